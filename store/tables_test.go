package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// table is what the tests of this package need to know of a table. A new table needs an entry in tables, and no other
// test here.
type table struct {
	name string
	// mapping stores a row, and reads it (mapping_test.go).
	mapping func(*testing.T, *mappingTest)
	// calls has calls of each method of Store that is about the table (plans_test.go).
	calls func(context.Context, *store.Store) calls
	// rows inserts so many rows that reading all of them costs more than an index.
	rows string
}

// tables are the tables of the schema. One that refers to another is after it.
var tables = []table{
	{
		name: "organisations", mapping: testMappingOfOrganisations, calls: callsOfOrganisations,
		rows: `INSERT INTO organisations (id, sso_enabled, document)
			SELECT 'organisation ' || n, true, '{}' FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "users", mapping: testMappingOfUsers, calls: callsOfUsers,
		rows: `INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
				user_permissions, group_id, password_max_days, created_at)
			SELECT 'user ' || n, CASE WHEN n % 100 = 0 THEN NULL ELSE 'organisation ' || n % 1000 END,
				'', 'user' || n || '@example.org', '', '', true, 'key ' || n, '{}', '', 0, now()
			FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "user_groups", mapping: testMappingOfUserGroups, calls: callsOfUserGroups,
		rows: `INSERT INTO user_groups (id, org_id, active, user_permissions, document)
			SELECT 'group ' || n, 'organisation ' || n % 1000, true, '{}', '{}' FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "apis", mapping: testMappingOfAPIs, calls: callsOfAPIs,
		rows: `INSERT INTO apis (api_id, id, org_id, active, document, checked)
			SELECT 'api ' || n, 'id ' || n, 'organisation ' || n % 1000, true, '{}', 'check:' || repeat('0', 64)
			FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "released_apis", calls: func(context.Context, *store.Store) calls { return nil }, // those of apis
		// TestKeysOpenNoLaterAPI of package server tests what the rows are for.
		mapping: func(*testing.T, *mappingTest) {},
		rows: `INSERT INTO released_apis (api_id, org_id)
			SELECT 'released ' || n, 'organisation ' || n % 1000 FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "released_policies", calls: func(context.Context, *store.Store) calls { return nil }, // those of policies
		// TestKeysHaveNoLaterPolicy of package server tests what the rows are for.
		mapping: func(*testing.T, *mappingTest) {},
		rows: `INSERT INTO released_policies (policy_id, org_id)
			SELECT 'released ' || n, 'organisation ' || n % 1000 FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "policies", mapping: testMappingOfPolicies, calls: callsOfPolicies,
		rows: `INSERT INTO policies (id, policy_id, org_id, document, checked)
			SELECT 'policy ' || n, 'id ' || n, 'organisation ' || n % 1000, '{}', 'check:' || repeat('0', 64)
			FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "objects", mapping: testMappingOfObjects, calls: callsOfObjects,
		rows: `INSERT INTO objects (id, kind, org_id, public_id, look_up, document)
			SELECT lpad(to_hex(n), 24, '0'), 'kind ' || n % 10, 'organisation ' || n % 1000, 'public ' || n, 'look up ' || n,
				'{}'
			FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "org_keys", mapping: testMappingOfOrgKeys, calls: callsOfOrgKeys,
		rows: `INSERT INTO org_keys (org_id, session)
			SELECT 'organisation ' || n, '{}' FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "org_key_sync", calls: callsOfOrgKeySync,
		// internal/gatewaysync tests what the reconciler stores.
		mapping: func(*testing.T, *mappingTest) {},
		rows: `INSERT INTO org_key_sync (org_id, sent, due_at)
			SELECT 'organisation ' || n, false, now() + interval '1 hour' FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "leases", mapping: func(*testing.T, *mappingTest) {}, // TestOneLeader
		calls: func(context.Context, *store.Store) calls { return calls{} },
		rows: `INSERT INTO leases (name, holder, expires_at)
			SELECT 'lease ' || n, 'holder', now() FROM generate_series(0, 999) AS n`,
	},
	{
		name: "sso_nonces", mapping: testMappingOfNonces, calls: callsOfNonces,
		rows: `INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
			SELECT sha256(n::text::bytea), 'organisation ' || n % 1000, '', true, '{}', now() + interval '1 hour'
			FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "sessions", mapping: testMappingOfSessions, calls: callsOfSessions,
		rows: `INSERT INTO sessions (token_hash, owner, user_id, credentials, org_id, created_at, expires_at)
			SELECT sha256(n::text::bytea), 'owner ' || n, CASE WHEN n % 2 = 0 THEN 'user ' || n END,
				CASE WHEN n % 2 = 0 THEN ''::bytea END,
				CASE WHEN n % 2 = 1 THEN 'organisation ' || n % 1000 END, now(), now() + interval '1 hour'
			FROM generate_series(0, 9999) AS n`,
	},
	{
		name: "nodes", mapping: testMappingOfNodes, calls: callsOfNodes,
		rows: `INSERT INTO nodes (id, session_id, hostname, first_seen, pinged, last_seen)
			SELECT 'node ' || n, 'session ' || n, 'host', now(), false, now() FROM generate_series(0, 999) AS n`,
	},
	{
		name: "audit_events", mapping: testMappingOfAuditEvents, calls: callsOfAuditEvents,
		rows: insertAuditEvents,
	},
}

// insertAuditEvents inserts events of the last 10,000 minutes.
const insertAuditEvents = `INSERT INTO audit_events (at, req_id, ip, who, actor, user_id, org_id, action, object, object_id,
		outcome, status, method, url, details)
	SELECT now() - n * interval '1 minute', 'request ' || n, '192.0.2.' || n % 250, 'user', 'User ' || n % 1000,
		'user ' || n % 1000, 'organisation ' || n % 100, 'putApi', 'api', 'api ' || n % 5000, 'ok',
		200, 'PUT', '/api/apis/api ' || n, '{}'
	FROM generate_series(0, 9999) AS n`

// calls are calls of methods of Store, by the method: one for each filter that makes another statement. The plans of
// their statements may not read a whole table to find some of its rows.
type calls map[string][]func() error

// wholeTable has the methods that read whole tables although they have a condition, and why.
var wholeTable = map[string]string{
	"Organisations":      "a search reads an index that has what is searched",
	"CountOrganisations": "as Organisations",
	"Overview":           "a super user's counts all rows",
	"WithheldAPIs":       "an index has only the rows that are read",
	"WithheldPolicies":   "as WithheldAPIs",

	"NodeAPIs":     "nearly all documents are in the list",
	"NodePolicies": "nearly all documents are in the list",
	"ReadNodeAPIs": "nearly all documents are in the list", "ReadNodePolicies": "nearly all documents are in the list",
	"Nodes":        "nearly all nodes are in the list, and an index on last_seen would cost each heartbeat more",
	"NodesLacking": "as Nodes: after a change",
	"Health":       "as Nodes",
	"ReviveNodes":  "as Nodes",
	"WriteNodes":   "as Nodes: it writes what nearly all of them do",
	"RegisterNode": "as Nodes: it deletes nodes that have gone",
	"RetryOrgKeys": "all keys are due again",
}

// someOrg is the organisation that calls are about.
const someOrg = "organisation 7"

// eachPage calls do with each page of a list by organisation that makes another statement.
func eachPage(do func(orgID *string, page store.Page)) {
	org, none := someOrg, ""
	for _, orgID := range []*string{nil, &none, &org} {
		for _, page := range []store.Page{{}, {Number: 2, Size: 10}} {
			do(orgID, page)
		}
	}
}

// eachAPIFilter calls do with each filter of APIs that makes another statement. The APIs of all organisations, which
// only a super user lists, are read from the first to the last: an index on every filter would cost each import more.
func eachAPIFilter(do func(store.APIFilter)) {
	active := true
	eachPage(func(orgID *string, page store.Page) {
		do(store.APIFilter{OrgID: orgID, Page: page})
		if orgID == nil {
			return
		}
		for _, f := range []store.APIFilter{
			{Text: "a"},
			{Active: &active},
			{Type: "rest"},
			{Auth: []string{"keyless"}},
			{Categories: []string{"a"}},
			{Sort: store.APISort{By: store.ByName}},
			{Sort: store.APISort{By: store.ByCreatedAt, Descending: true}},
			{Text: "a", Sort: store.APISort{By: store.ByUpdatedAt}},
		} {
			f.OrgID, f.Page = orgID, page
			do(f)
		}
	})
}

// callsOfNoTable has the methods that are about no table.
func callsOfNoTable(ctx context.Context, s *store.Store) calls {
	return calls{
		"Notify":        {func() error { return s.Notify(ctx, store.EventReload) }},
		"Listen":        {}, // has a connection of its own
		"Version":       {}, // sends a notice to Listen
		"Listening":     {},
		"FinishUpgrade": {func() error { return s.FinishUpgrade(ctx) }},
		"Ping":          {func() error { return s.Ping(ctx) }},
		"Snapshot":      {}, // reads all tables; the tests of the commands backup and restore are in e2e
		"Restore":       {}, // writes them
		"Connections":   {},
		"SetConnString": {}, "SetDirectConnString": {}, "UpgradePending": {},
		"Close": {},
	}
}

// get drops the result of a call.
func get(call func() (any, error)) func() error {
	return func() error {
		_, err := call()
		return err
	}
}

// conflict drops the error of a call that is a conflict with a row.
func conflict(call func() (any, error)) func() error {
	return func() error {
		_, err := call()
		if _, ok := errors.AsType[*store.ConflictError](err); ok {
			return nil
		}
		return fmt.Errorf("no conflict with a row: %w", err)
	}
}

// drainSnapshot reads a list for gateways at one time.
func drainSnapshot(list store.NodeSnapshot) error {
	if len(list.Rows) == 0 {
		return errors.New("the list is empty")
	}
	return drain(list.Documents(list.Rows[0].Position, list.Rows[len(list.Rows)-1].Position))
}

func drain[T any](list iter.Seq2[T, error]) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

func testMappingOfOrganisations(t *testing.T, m *mappingTest) {
	org := fill[store.Organisation](t, m, 1)
	id, err := m.CreateOrganisation(t.Context(), org)
	require.NoError(t, err)
	org.ID = id
	made := []string{"position", "search"} // by Postgres
	requireMapped(t, m.row(t), fields(t, org, "CName", "cname_key"), made...)

	writes := map[string]func(store.Organisation) error{
		"ReplaceOrganisation": func(o store.Organisation) error { return m.ReplaceOrganisation(t.Context(), o) },
		"EditOrganisation": func(o store.Organisation) error {
			return m.EditOrganisation(t.Context(), id, func(store.Row) store.Organisation { return o })
		},
		"ImportOrganisation": func(o store.Organisation) error {
			_, err := m.ImportOrganisation(t.Context(), o)
			return err
		},
	}
	n := 1
	for name, write := range writes {
		n++
		org := fill[store.Organisation](t, m, n)
		org.ID = id
		require.NoError(t, write(org), name)
		requireMapped(t, m.row(t), fields(t, org, "CName", "cname_key"), made...)
	}
}

func callsOfOrganisations(ctx context.Context, s *store.Store) calls {
	change, page := store.Organisation{ID: someOrg, Document: json.RawMessage(`{}`)}, store.Page{Number: 2, Size: 10}
	return calls{
		"Organisation": {get(func() (any, error) { return s.Organisation(ctx, someOrg) })},
		"Organisations": {
			func() error { return drain(s.Organisations(ctx, store.OrganisationFilter{Page: page})) },
			func() error { return drain(s.Organisations(ctx, store.OrganisationFilter{Text: "a", Page: page})) },
		},
		"CountOrganisations": {
			get(func() (any, error) { return s.CountOrganisations(ctx, store.OrganisationFilter{}) }),
			get(func() (any, error) { return s.CountOrganisations(ctx, store.OrganisationFilter{Text: "a"}) }),
		},
		"SSOEnabled":       {get(func() (any, error) { return s.SSOEnabled(ctx, someOrg) })},
		"HasOrganisations": {get(func() (any, error) { return s.HasOrganisations(ctx) })},
		"Bootstrap":        {}, // it stores what CreateOrganisation and CreateUser do (TestBootstrapOnce)
		"CreateOrganisation": {
			get(func() (any, error) {
				return s.CreateOrganisation(ctx, store.Organisation{CName: "taken", Document: json.RawMessage(`{}`)})
			}),
			conflict(func() (any, error) {
				return s.CreateOrganisation(ctx, store.Organisation{CName: "TAKEN", Document: json.RawMessage(`{}`)})
			}),
		},
		"ImportOrganisation": {get(func() (any, error) {
			return s.ImportOrganisation(ctx, store.Organisation{ID: "organisation 8", Document: json.RawMessage(`{}`)})
		})},
		"ReplaceOrganisation": {func() error { return s.ReplaceOrganisation(ctx, change) }},
		"EditOrganisation": {func() error {
			return s.EditOrganisation(ctx, someOrg, func(store.Row) store.Organisation { return change })
		}},
		"DeleteOrganisation": {func() error { return s.DeleteOrganisation(ctx, "organisation 9") }},
	}
}

func testMappingOfUsers(t *testing.T, m *mappingTest) {
	ctx := t.Context()
	made := []string{"id", "position", "email_key", "password_updated", "password_history", "last_login_date", "created_at"}
	params := fill[store.UserParams](t, m, 1)
	user, err := m.CreateUser(ctx, params)
	require.NoError(t, err)
	storetest.Exec(t, m.conn, `UPDATE users SET last_login_date = now() - interval '1 day'`) // no function does
	params.AccessKey = user.AccessKey                                                        // a new one
	requireMapped(t, m.row(t), fields(t, params), made...)

	params = fill[store.UserParams](t, m, 2)
	_, err = m.UpdateUser(ctx, user.ID, params)
	require.NoError(t, err)
	row := m.row(t)
	requireMapped(t, row, fields(t, params), made...)

	kept := params
	kept.OrgID, kept.UserPermissions, kept.AccessKey, kept.PasswordHash = nil, nil, "", ""
	_, err = m.UpdateUser(ctx, user.ID, kept)
	require.NoError(t, err)
	require.Equal(t, row, m.row(t), "what is optional keeps its value")

	reads := map[string]func() (store.User, error){
		"User": func() (store.User, error) { return m.User(ctx, user.ID) },
		"UserByAccessKey": func() (store.User, error) {
			c, err := m.UserByAccessKey(ctx, params.AccessKey)
			return c.User, err
		},
		"EditUserAs": func() (store.User, error) {
			same := func(u store.User) (store.UserParams, error) { return u.Params(), nil }
			return m.EditUserAs(ctx, user.ID, store.User{}, same)
		},
		"UpdateUser":       func() (store.User, error) { return m.UpdateUser(ctx, user.ID, kept) },
		"SetResetPassword": func() (store.User, error) { return m.SetResetPassword(ctx, user.ID, true) },
		"Users": func() (u store.User, err error) {
			for u, err = range m.Users(ctx, store.UserFilter{}) {
				require.NoError(t, err)
			}
			return u, err
		},
	}
	for name, read := range reads {
		u, err := read()
		require.NoError(t, err, name)
		requireMapped(t, m.row(t), fields(t, u), "position", "email_key", "password_hash", "password_history")
	}
}

func callsOfUsers(ctx context.Context, s *store.Store) calls {
	org := someOrg
	var lists, counts []func() error
	eachPage(func(orgID *string, page store.Page) {
		filters := []store.UserFilter{{}, {Email: "user7@example.org"}}
		if orgID != nil && *orgID != "" { // a super user's search reads the users of all organisations
			filters = append(filters, store.UserFilter{EmailPart: "7@"}, store.UserFilter{Text: "7@"})
		}
		for _, f := range filters {
			f.OrgID, f.Page = orgID, page
			lists = append(lists, func() error { return drain(s.Users(ctx, f)) })
			counts = append(counts, get(func() (any, error) { return s.CountUsers(ctx, f) }))
		}
	})
	return calls{
		"Users": lists, "CountUsers": counts,
		"User":            {get(func() (any, error) { return s.User(ctx, "user 7") })},
		"UserByAccessKey": {get(func() (any, error) { return s.UserByAccessKey(ctx, "key 7") })},
		"LookUpMany":      {func() error { return s.LookUpMany(ctx, []string{"user 7", "key 7", someOrg}) }},
		"UserUnbatched":   {get(func() (any, error) { return s.UserUnbatched(ctx, "user 7") })},
		"PasswordHash":    {get(func() (any, error) { return s.PasswordHash(ctx, "user 7") })},
		"LastPasswords":   {func() error { _, err := s.LastPasswords(ctx, "user 7"); return err }},
		"SetPassword":     {func() error { return s.SetPassword(ctx, "user 7", "hash") }},
		"ChangePassword":  {func() error { return s.ChangePassword(ctx, "user 7", "hash", "hash") }},
		"RenewAccessKey":  {func() error { return s.RenewAccessKey(ctx, "user 8", store.User{}) }},
		"DeleteUserAs":    {func() error { return s.DeleteUserAs(ctx, "user 8", store.User{}) }},
		"DeleteUser":      {func() error { return s.DeleteUser(ctx, "user 9") }},
		"EditUserAs": {get(func() (any, error) {
			return s.EditUserAs(ctx, "user 27", store.User{}, func(u store.User) (store.UserParams, error) {
				return u.Params(), nil
			})
		})},
		"SetResetPassword": {get(func() (any, error) {
			return s.SetResetPassword(ctx, "user 7", true)
		})},
		"CreateUser": {
			get(func() (any, error) { return s.CreateUser(ctx, store.UserParams{OrgID: &org}) }),
			conflict(func() (any, error) {
				return s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: "user7@example.org"})
			}),
		},
		"UpdateUser": {
			get(func() (any, error) { return s.UpdateUser(ctx, "user 7", store.UserParams{EmailAddress: "a"}) }),
			conflict(func() (any, error) {
				return s.UpdateUser(ctx, "user 17", store.UserParams{EmailAddress: "user1017@example.org"})
			}),
			conflict(func() (any, error) {
				return s.UpdateUser(ctx, "user 17", store.UserParams{EmailAddress: "b", AccessKey: "key 18"})
			}),
		},
	}
}

func testMappingOfUserGroups(t *testing.T, m *mappingTest) {
	ctx := t.Context()
	group := fill[store.UserGroup](t, m, 1)
	require.NoError(t, m.CreateUserGroup(ctx, group))
	requireMapped(t, m.row(t), fields(t, group), "position")

	changed := fill[store.UserGroup](t, m, 2)
	changed.ID, changed.OrgID = group.ID, group.OrgID
	err := m.EditUserGroup(ctx, group.ID, nil, func(current store.UserGroup) (store.UserGroup, error) {
		require.Equal(t, group, current)
		return changed, nil
	})
	require.NoError(t, err)
	requireMapped(t, m.row(t), fields(t, changed), "position")
	read, err := m.UserGroup(ctx, group.ID, &group.OrgID)
	require.NoError(t, err)
	require.Equal(t, changed, read)
	for row, err := range m.UserGroups(ctx, store.UserGroupFilter{}) {
		require.NoError(t, err)
		require.Equal(t, store.Row{ID: changed.ID, Document: changed.Document}, row)
	}
}

func callsOfUserGroups(ctx context.Context, s *store.Store) calls {
	org := someOrg
	var lists, counts []func() error
	eachPage(func(orgID *string, page store.Page) {
		f := store.UserGroupFilter{OrgID: orgID, Page: page}
		lists = append(lists, func() error { return drain(s.UserGroups(ctx, f)) })
		counts = append(counts, get(func() (any, error) { return s.CountUserGroups(ctx, f) }))
	})
	same := func(g store.UserGroup) (store.UserGroup, error) { return g, nil }
	return calls{
		"UserGroups": lists, "CountUserGroups": counts,
		"UserGroup": {
			get(func() (any, error) { return s.UserGroup(ctx, "group 7", nil) }),
			get(func() (any, error) { return s.UserGroup(ctx, "group 7", &org) }),
		},
		"EditUserGroup":   {func() error { return s.EditUserGroup(ctx, "group 7", &org, same) }},
		"DeleteUserGroup": {func() error { return s.DeleteUserGroup(ctx, "group 1007", &org) }},
		"CreateUserGroup": {func() error {
			return s.CreateUserGroup(ctx, store.UserGroup{
				ID: "new", OrgID: org, UserPermissions: map[string]string{}, Document: json.RawMessage(`{}`),
			})
		}},
		"NewUserGroupID": {},
	}
}

func testMappingOfAPIs(t *testing.T, m *mappingTest) {
	api := fill[store.API](t, m, 1)
	for n := range 2 {
		api.ID, api.Document = fmt.Sprintf("id-%d", n), fmt.Appendf(nil, `{"n":%d}`, n)
		refused, err := m.ImportAPIs(t.Context(), "check", func(yield func(store.API, error) bool) { yield(api, nil) })
		require.NoError(t, err)
		require.Empty(t, refused)
		row := m.row(t)
		require.Nil(t, row["calls"], "imports are not looked at")
		delete(row, "calls")
		requireMapped(t, row, fields(t, api, "APIID", "api_id"), "position", "checked", "size")
	}
	api.APIID, api.Document, api.AllCalls = "another", json.RawMessage(`{"n":3}`), []string{"called"}
	require.NoError(t, m.EditAPI(t.Context(), store.Ref{ID: api.ID}, "check", func(stored store.API) (store.API, error) {
		require.JSONEq(t, string(api.Search), string(stored.Search))
		stored.APIID, stored.Document, stored.AllCalls = api.APIID, api.Document, api.AllCalls
		return stored, nil
	}))
	requireMapped(t, m.row(t), fields(t, api, "APIID", "api_id"), "position", "checked", "size", "calls")
	require.NoError(t, m.DeleteAPI(t.Context(), store.Ref{ID: api.APIID, OrgID: &api.OrgID}))
	require.NoError(t, m.CreateAPI(t.Context(), "check", api))
	requireMapped(t, m.row(t), fields(t, api, "APIID", "api_id"), "position", "checked", "size", "calls")
}

// builtAPI builds what CheckAPI checks.
func builtAPI(stored *store.API) (store.API, error) {
	if stored != nil {
		return *stored, nil
	}
	return someAPI("checked", "checked id"), nil
}

func callsOfAPIs(ctx context.Context, s *store.Store) calls {
	org := someOrg
	var lists, counts []func() error
	eachAPIFilter(func(f store.APIFilter) {
		lists = append(lists, func() error { return drain(s.APIs(ctx, f)) })
		counts = append(counts, get(func() (any, error) { return s.CountAPIs(ctx, f) }))
	})
	checks := []store.CheckResult{{Document: store.NodeDocument{ID: "7"}}}
	return calls{
		"APIs": lists, "CountAPIs": counts,
		"APISize": {get(func() (any, error) { return s.APISize(ctx, store.Ref{ID: "api 7", OrgID: &org}) })},
		"API": {
			get(func() (any, error) { return s.API(ctx, store.Ref{ID: "api 7"}) }),
			get(func() (any, error) { return s.API(ctx, store.Ref{ID: "api 7", OrgID: &org}) }),
		},
		"APISummaries": {
			get(func() (any, error) { return s.APISummaries(ctx, nil, []string{"api 7", "api 1007"}) }),
			get(func() (any, error) { return s.APISummaries(ctx, &org, []string{"api 7", "api 1007"}) }),
		},
		"CreateAPI": {func() error { return s.CreateAPI(ctx, "check", someAPI("new", "new id")) }},
		"CheckAPI": {
			func() error { return s.CheckAPI(ctx, store.Ref{}, builtAPI) },
			func() error { return s.CheckAPI(ctx, store.Ref{ID: "api 7"}, builtAPI) },
			func() error { return s.CheckAPI(ctx, store.Ref{ID: "api 1007", OrgID: &org}, builtAPI) },
		},
		"CheckQuota": {func() error {
			return s.CheckQuota(ctx, store.TableAPIs, org, store.Quota{Documents: 1, Bytes: 1})
		}},
		"CreateVersion": {func() error {
			return s.CreateVersion(ctx, "check", store.NewVersion{
				API: someAPI("version", "version id"), Base: store.Ref{ID: "api 7", OrgID: &org}, Link: sameAPI,
			})
		}},
		"DeleteAPIAndVersions": {get(func() (any, error) {
			return s.DeleteAPIAndVersions(ctx, store.Ref{ID: "api 9"}, []string{"api 1009", "api 2009"})
		})},
		"EditAPI": {
			func() error {
				return s.EditAPI(ctx, store.Ref{ID: "api 11"}, "check", func(stored store.API) (store.API, error) {
					stored.APIID = "renamed"
					return stored, nil
				})
			},
			func() error { return s.EditAPI(ctx, store.Ref{ID: "api 7"}, "check", sameAPI) },
			func() error { return s.EditAPI(ctx, store.Ref{ID: "id 7", OrgID: &org}, "check", sameAPI) },
		},
		"DeleteAPI": {
			func() error { return s.DeleteAPI(ctx, store.Ref{ID: "api 8"}) },
			func() error { return s.DeleteAPI(ctx, store.Ref{ID: "id 1007", OrgID: &org}) },
		},
		"Overview": {
			get(func() (any, error) { return s.Overview(ctx, "check", &org) }),
			get(func() (any, error) { return s.Overview(ctx, "check", nil) }),
		},
		"WithheldAPIs": {
			get(func() (any, error) {
				return s.WithheldAPIs(ctx, store.WithheldFilter{CheckedBy: "check", OrgID: &org, Limit: 2})
			}),
			get(func() (any, error) { return s.WithheldAPIs(ctx, store.WithheldFilter{CheckedBy: "check", Limit: 2}) }),
		},
		"APIUsage":      {get(func() (any, error) { return s.APIUsage(ctx, &org) })},
		"OwnsAPIs":      {get(func() (any, error) { return s.OwnsAPIs(ctx, org, []string{"api 7", "api 10"}) })},
		"NodeAPIs":      {func() error { return drain(s.NodeAPIs(ctx, "check")) }},
		"ReadNodeAPIs":  {func() error { return s.ReadNodeAPIs(ctx, "check", drainSnapshot) }},
		"SaveAPIChecks": {func() error { return s.SaveAPIChecks(ctx, "check", checks) }},
		"ImportAPIs":    {}, // TestImportsLookIDsUp
		"NewAPIIDs":     {},
	}
}

// someAPI is an API of someOrg.
func someAPI(apiID, id string) store.API {
	return store.API{APIID: apiID, ID: id, OrgID: someOrg, Document: json.RawMessage(`{}`), Search: json.RawMessage(`{}`)}
}

func sameAPI(api store.API) (store.API, error) { return api, nil }

func testMappingOfPolicies(t *testing.T, m *mappingTest) {
	policy := fill[store.Policy](t, m, 1)
	for n := range 2 {
		policy.ExplicitID, policy.Document = fmt.Sprintf("id-%d", n), fmt.Appendf(nil, `{"n":%d}`, n)
		refused, err := m.ImportPolicies(t.Context(), "check", func(yield func(store.Policy, error) bool) {
			yield(policy, nil)
		})
		require.NoError(t, err)
		require.Empty(t, refused)
		stored := fields(t, policy, "ExplicitID", "policy_id")
		requireMapped(t, m.row(t), stored, "position", "checked", "size")
	}
	policy.ExplicitID, policy.Document = "another", json.RawMessage(`{"n":3}`)
	edit := func(stored store.Policy) (store.PolicyParams, error) {
		require.Equal(t, policy.Served, stored.Served)
		stored.ExplicitID, stored.Document = policy.ExplicitID, policy.Document
		return store.PolicyParams{Policy: stored, CheckedBy: "check"}, nil
	}
	require.NoError(t, m.EditPolicy(t.Context(), store.Ref{ID: policy.ID}, edit))
	stored := fields(t, policy, "ExplicitID", "policy_id")
	requireMapped(t, m.row(t), stored, "position", "checked", "size")
	require.NoError(t, m.DeletePolicy(t.Context(), store.Ref{ID: "another", OrgID: &policy.OrgID}))
	require.NoError(t, m.CreatePolicy(t.Context(), store.PolicyParams{Policy: policy, CheckedBy: "check"}))
	requireMapped(t, m.row(t), stored, "position", "checked", "size")
}

// somePolicy grants access to APIs of someOrg.
func somePolicy(p store.Policy) (store.PolicyParams, error) {
	p.Document = json.RawMessage(`{}`)
	return store.PolicyParams{Policy: p, CheckedBy: "check", APIIDs: []string{"api 7", "api 1007"}}, nil
}

// builtPolicy builds what CheckPolicy checks.
func builtPolicy(stored *store.Policy) (store.PolicyParams, error) {
	if stored != nil {
		return somePolicy(*stored)
	}
	return somePolicy(store.Policy{ID: "checked", OrgID: someOrg})
}

func callsOfPolicies(ctx context.Context, s *store.Store) calls {
	org := someOrg
	var lists, counts []func() error
	eachPage(func(orgID *string, page store.Page) {
		filters := []store.PolicyFilter{{}}
		if orgID != nil {
			filters = append(filters, store.PolicyFilter{Active: new(bool)}, store.PolicyFilter{Text: "a"})
		}
		for _, f := range filters {
			f.OrgID, f.Page = orgID, page
			lists = append(lists, func() error { return drain(s.Policies(ctx, f)) })
			counts = append(counts, get(func() (any, error) { return s.CountPolicies(ctx, f) }))
		}
	})
	checks := []store.CheckResult{{Document: store.NodeDocument{ID: "7"}}}
	return calls{
		"Policies": lists, "CountPolicies": counts,
		"Policy": {
			get(func() (any, error) { return s.Policy(ctx, store.Ref{ID: "policy 7"}) }),
			get(func() (any, error) { return s.Policy(ctx, store.Ref{ID: "policy 7", OrgID: &org}) }),
		},
		"CreatePolicy": {func() error {
			p, _ := somePolicy(store.Policy{ID: "new", OrgID: org})
			return s.CreatePolicy(ctx, p)
		}},
		"CheckPolicy": {
			func() error { return s.CheckPolicy(ctx, store.Ref{}, builtPolicy) },
			func() error { return s.CheckPolicy(ctx, store.Ref{ID: "policy 7"}, builtPolicy) },
			func() error { return s.CheckPolicy(ctx, store.Ref{ID: "id 1007", OrgID: &org}, builtPolicy) },
		},
		"EditPolicy": {
			func() error { return s.EditPolicy(ctx, store.Ref{ID: "policy 7"}, somePolicy) },
			func() error { return s.EditPolicy(ctx, store.Ref{ID: "id 1007", OrgID: &org}, somePolicy) },
		},
		"ImportedPolicyID": {get(func() (any, error) { return s.ImportedPolicyID(ctx, org, "gold") })},
		"KeyPolicies": {get(func() (any, error) {
			return s.KeyPolicies(ctx, store.KeyPolicyFilter{OrgID: org, IDs: []string{"id 7", "id 10"}, CheckedBy: "check", Rights: true})
		})},
		"APIRights": {get(func() (any, error) {
			return s.APIRights(ctx, org, []string{"id 7", "id 10"}, "api 7")
		})},
		"DeletePolicy": {
			func() error { return s.DeletePolicy(ctx, store.Ref{ID: "policy 8"}) },
			func() error { return s.DeletePolicy(ctx, store.Ref{ID: "id 2007", OrgID: &org}) },
		},
		"WithheldPolicies": {
			get(func() (any, error) {
				return s.WithheldPolicies(ctx, store.WithheldFilter{CheckedBy: "check", OrgID: &org, Limit: 2})
			}),
			get(func() (any, error) {
				return s.WithheldPolicies(ctx, store.WithheldFilter{CheckedBy: "check", Limit: 2})
			}),
		},
		"NodePolicies":     {func() error { return drain(s.NodePolicies(ctx, "check")) }},
		"ReadNodePolicies": {func() error { return s.ReadNodePolicies(ctx, "check", drainSnapshot) }},
		"SavePolicyChecks": {func() error { return s.SavePolicyChecks(ctx, "check", checks) }},
		"ImportPolicies":   {}, // TestImportsLookIDsUp
		"NewPolicyID":      {},
	}
}

func testMappingOfObjects(t *testing.T, m *mappingTest) {
	o := fill[store.Object](t, m, 1)
	o.ID = m.NewObjectID()
	require.NoError(t, m.CreateObject(t.Context(), o))
	requireMapped(t, m.row(t), fields(t, o), "position", "size")

	ref := store.ObjectRef{Kind: o.Kind, ID: o.PublicID}
	read, err := m.Object(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, o, read)
	read, err = m.Object(t.Context(), store.ObjectRef{Kind: o.Kind, LookUp: o.LookUp})
	require.NoError(t, err)
	require.Equal(t, o, read)

	writes := map[string]func(store.Object) error{
		"EditObject": func(edited store.Object) error {
			_, err := m.EditObject(t.Context(), store.ObjectRef{Kind: o.Kind, ID: o.ID}, func(store.Object) store.Object {
				return edited
			})
			return err
		},
		"PutObject": func(put store.Object) error {
			put.PublicID = o.PublicID
			id, err := m.PutObject(t.Context(), put, func(store.Object) (store.Object, error) { return put, nil })
			require.Equal(t, o.ID, id)
			return err
		},
	}
	n := 1
	for name, write := range writes {
		n++
		changed := fill[store.Object](t, m, n)
		changed.ID, changed.Kind, changed.OrgID, changed.PublicID = o.ID, o.Kind, o.OrgID, o.PublicID
		require.NoError(t, write(changed), name)
		requireMapped(t, m.row(t), fields(t, changed), "position", "size")
	}
}

func callsOfObjects(ctx context.Context, s *store.Store) calls {
	org, kind := someOrg, "kind 7"
	someID := fmt.Sprintf("%024x", 7)
	var lists, counts []func() error
	eachPage(func(orgID *string, page store.Page) {
		for _, lookUp := range []string{"", "look up 7"} {
			f := store.ObjectFilter{Kind: kind, OrgID: orgID, LookUp: lookUp, Page: page}
			lists = append(lists, func() error { return drain(s.Objects(ctx, f)) })
			counts = append(counts, get(func() (any, error) { return s.CountObjects(ctx, f) }))
		}
	})
	keep := func(o store.Object) store.Object { return o }
	created := store.Object{Kind: kind, OrgID: org, Document: json.RawMessage(`{}`)}
	return calls{
		"Objects": lists, "CountObjects": counts,
		"Object": {
			get(func() (any, error) { return s.Object(ctx, store.ObjectRef{Kind: kind, ID: someID}) }),
			get(func() (any, error) { return s.Object(ctx, store.ObjectRef{Kind: kind, OrgID: &org, ID: "public 7"}) }),
			get(func() (any, error) { return s.Object(ctx, store.ObjectRef{Kind: kind, LookUp: "look up 7"}) }),
			get(func() (any, error) {
				return s.Object(ctx, store.ObjectRef{Kind: kind, OrgID: &org, LookUp: "look up 7"})
			}),
		},
		"CreateObject": {
			func() error { o := created; o.ID = s.NewObjectID(); return s.CreateObject(ctx, o) },
			conflict(func() (any, error) {
				o := created
				o.ID, o.PublicID = s.NewObjectID(), "public 7"
				return nil, s.CreateObject(ctx, o)
			}),
		},
		"EditObject": {
			get(func() (any, error) {
				return s.EditObject(ctx, store.ObjectRef{Kind: kind, OrgID: &org, ID: someID}, keep)
			}),
			get(func() (any, error) { return s.EditObject(ctx, store.ObjectRef{Kind: kind, ID: "public 7"}, keep) }),
		},
		"PutObject": {get(func() (any, error) {
			o := created
			o.ID, o.PublicID = s.NewObjectID(), "public 7"
			return s.PutObject(ctx, o, func(stored store.Object) (store.Object, error) { return stored, nil })
		})},
		"DeleteObject": {
			func() error {
				return s.DeleteObject(ctx, store.ObjectRef{Kind: kind, OrgID: &org, ID: fmt.Sprintf("%024x", 1007)})
			},
			func() error { return s.DeleteObject(ctx, store.ObjectRef{Kind: kind, ID: "public 2007"}) },
		},
		"NewObjectID": {},
		"NewPublicID": {},
	}
}

func testMappingOfOrgKeys(t *testing.T, m *mappingTest) {
	key := fill[store.OrgKey](t, m, 1)
	require.NoError(t, m.WriteOrgKey(t.Context(), store.OrgKeyChange{OrgKey: key}))
	requireMapped(t, m.row(t), fields(t, key))
	key.Session = json.RawMessage(`{"n":2}`)
	require.NoError(t, m.WriteOrgKey(t.Context(), store.OrgKeyChange{OrgKey: key}))
	read, err := m.OrgKey(t.Context(), key.OrgID)
	require.NoError(t, err)
	requireMapped(t, m.row(t), fields(t, read))
}

func callsOfOrgKeys(ctx context.Context, s *store.Store) calls {
	return calls{
		"OrgKey":        {get(func() (any, error) { return s.OrgKey(ctx, someOrg) })},
		"SyncedOrgKeys": {func() error { _, _, err := s.SyncedOrgKeys(ctx, "", 20); return err }},
		"OrgKeyIDs":     {get(func() (any, error) { return s.OrgKeyIDs(ctx) })},
		"WriteOrgKey":   {func() error { return s.WriteOrgKey(ctx, someKeyChange()) }},
	}
}

func someKeyChange() store.OrgKeyChange {
	return store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: someOrg, Session: json.RawMessage(`{}`)}}
}

func callsOfOrgKeySync(ctx context.Context, s *store.Store) calls {
	change, unsynced, lease := someKeyChange(), store.UnsyncedOrgKey{OrgID: someOrg}, store.OrgKeyLease{}
	return calls{
		"BeginOrgKeyChange": {get(func() (any, error) {
			return s.BeginOrgKeyChange(ctx, change, time.Minute)
		})},
		"CommitOrgKeyChange":  {func() error { return s.CommitOrgKeyChange(ctx, lease, change) }},
		"AbandonOrgKeyChange": {func() error { return s.AbandonOrgKeyChange(ctx, lease, true) }},
		"UnsyncedOrgKeys": {get(func() (any, error) {
			return s.UnsyncedOrgKeys(ctx, time.Now(), 10)
		})},
		"UnsyncedOrgKey":       {get(func() (any, error) { return s.UnsyncedOrgKey(ctx, someOrg) })},
		"UnsyncedOrgKeyErrors": {get(func() (any, error) { return s.UnsyncedOrgKeyErrors(ctx) })},
		"LeaseOrgKey": {get(func() (any, error) {
			return s.LeaseOrgKey(ctx, unsynced, time.Minute)
		})},
		"ReleaseOrgKey": {get(func() (any, error) { return s.ReleaseOrgKey(ctx, lease, unsynced) })},
		"DeferOrgKey":   {func() error { return s.DeferOrgKey(ctx, unsynced, time.Now(), context.Canceled) }},
		"ConfirmOrgKey": {func() error { return s.ConfirmOrgKey(ctx, unsynced) }},
		"ResendOrgKeys": {func() error { return s.ResendOrgKeys(ctx, []string{someOrg}) }},
		"RetryOrgKeys":  {func() error { return s.RetryOrgKeys(ctx) }},
	}
}

func testMappingOfNonces(t *testing.T, m *mappingTest) {
	on := fill[store.SignOn](t, m, 1)
	nonce, err := m.CreateNonce(t.Context(), on)
	require.NoError(t, err)
	_, err = m.PeekNonce(t.Context(), "another section", nonce)
	require.ErrorIs(t, err, store.ErrNotFound)
	stored := fields(t, on, "Email", "email_key")
	delete(stored.values, "section") // a part of nonce_hash
	requireMapped(t, m.row(t), stored, "nonce_hash", "expires_at")
}

func callsOfNonces(ctx context.Context, s *store.Store) calls {
	return calls{
		"CreateNonce": {get(func() (any, error) {
			return s.CreateNonce(ctx, store.SignOn{OrgID: someOrg, Document: json.RawMessage(`{}`)})
		})},
		"RedeemNonce":         {get(func() (any, error) { return s.RedeemNonce(ctx, "portal", "7") })},
		"PeekNonce":           {get(func() (any, error) { return s.PeekNonce(ctx, "portal", "7") })},
		"DeleteExpiredNonces": {func() error { return s.DeleteExpiredNonces(ctx) }},
	}
}

func testMappingOfAuditEvents(t *testing.T, m *mappingTest) {
	ctx := t.Context()
	event := fill[store.AuditEvent](t, m, 1)
	require.NoError(t, m.WriteAuditEvents(ctx, []store.AuditEvent{event}))
	event.Position = storetest.Value[int64](t, m.conn, `SELECT position FROM audit_events`)
	requireMapped(t, m.row(t), fields(t, event))
	read, err := m.AuditEvent(ctx, strconv.FormatInt(event.Position, 10), nil)
	require.NoError(t, err)
	require.Equal(t, fields(t, event), fields(t, read))
	for listed, err := range m.AuditEvents(ctx, store.AuditFilter{}) {
		require.NoError(t, err)
		require.Equal(t, fields(t, event), fields(t, listed))
	}
}

func callsOfAuditEvents(ctx context.Context, s *store.Store) calls {
	org := someOrg
	var lists, counts []func() error
	add := func(f store.AuditFilter) {
		lists = append(lists, func() error { return drain(s.AuditEvents(ctx, f)) })
		counts = append(counts, get(func() (any, error) { return s.CountAuditEvents(ctx, f) }))
	}
	eachPage(func(orgID *string, page store.Page) {
		add(store.AuditFilter{OrgID: orgID, Page: page})
		add(store.AuditFilter{OrgID: orgID, Page: page, Actor: "user 7"})
		add(store.AuditFilter{OrgID: orgID, Page: page, ObjectID: "api 7"})
	})
	// A super user's other filters read the events from the newest to the oldest, and count all of them.
	for _, f := range []store.AuditFilter{
		{Action: "putApi"},
		{IP: "192.0.2.7"},
		{Method: "put"},
		{URL: "7"},
		{Object: "api"},
		{Outcome: "ok"},
		{Status: 200},
		{From: time.Now().Add(-time.Hour), Before: time.Now()},
	} {
		f.OrgID, f.Page = &org, store.Page{Number: 2, Size: 10}
		add(f)
	}
	return calls{
		"AuditEvents": lists, "CountAuditEvents": counts,
		"AuditEvent": {
			get(func() (any, error) { return s.AuditEvent(ctx, "7", nil) }),
			get(func() (any, error) { return s.AuditEvent(ctx, "7", &org) }),
		},
		"WriteAuditEvents":  {func() error { return s.WriteAuditEvents(ctx, []store.AuditEvent{{Details: json.RawMessage(`{}`)}}) }},
		"DeleteAuditEvents": {func() error { return s.DeleteAuditEvents(ctx, time.Now().Add(-9990*time.Minute)) }},
	}
}

func testMappingOfSessions(t *testing.T, m *mappingTest) {
	ctx, org := t.Context(), organisation(t, m.Store)
	group := store.UserGroup{
		ID: "group", OrgID: org, Active: true, UserPermissions: map[string]string{"apis": "read"}, Document: json.RawMessage(`{}`),
	}
	require.NoError(t, m.CreateUserGroup(ctx, group))
	opened := store.Session{
		OrgID: org, Email: "ines@rivermouth.example", DisplayName: "Ines", GroupIDs: []string{"group"},
		Granted: map[string]string{"apis": "read"},
	}
	var err error
	opened.ExpiresAt, err = m.OpenSession(ctx, "token", opened, "")
	require.NoError(t, err)
	row := m.row(t)
	for _, column := range []string{"token_hash", "created_at", "owner"} {
		require.NotNil(t, row[column], column)
		delete(row, column)
	}
	for _, column := range []string{"user_id", "credentials", "secret_mac"} { // of sessions of users and operators
		require.Nil(t, row[column], column)
		delete(row, column)
	}
	whole := opened
	whole.UserID, whole.SecretMAC = "of another kind", []byte("of another kind")
	stored := fields(t, whole)
	for _, column := range []string{"user_id", "secret_mac"} {
		delete(stored.values, column)
	}
	requireMapped(t, row, stored)
	found, err := m.Session(ctx, "token")
	require.NoError(t, err)
	require.WithinDuration(t, opened.ExpiresAt, found.ExpiresAt, time.Millisecond)
	found.ExpiresAt = opened.ExpiresAt
	require.Equal(t, opened, found.Session)
	require.Equal(t, group.UserPermissions, found.Caller.GroupPermissions)
}

func callsOfSessions(ctx context.Context, s *store.Store) calls {
	open := func(token string, of store.Session) func() error {
		return func() error {
			_, err := s.OpenSession(ctx, token, of, "")
			return err
		}
	}
	get := func(get func() (any, error)) func() error {
		return func() error {
			_, err := get()
			return err
		}
	}
	return calls{
		"OpenSession": {
			open("user", store.Session{UserID: "user 7"}), open("organisation", store.Session{OrgID: someOrg}),
			open("operator", store.Session{SecretMAC: []byte("mac")}),
		},
		"Session": {
			get(func() (any, error) { return s.Session(ctx, "operator") }),
			get(func() (any, error) { return s.Session(ctx, "user") }),
		},
		"HasGroup":              {get(func() (any, error) { return s.HasGroup(ctx, someOrg, []string{"group 7"}) })},
		"CloseSession":          {func() error { return s.CloseSession(ctx, "organisation") }},
		"CloseSessionsOf":       {func() error { return s.CloseSessionsOf(ctx, "user 7") }},
		"DeleteExpiredSessions": {func() error { return s.DeleteExpiredSessions(ctx) }},
		"Accounts": {
			get(func() (any, error) { return s.Accounts(ctx, "user7@example.org", "") }),
			get(func() (any, error) { return s.Accounts(ctx, "user7@example.org", someOrg) }),
		},
		"OrganisationName": {get(func() (any, error) { return s.OrganisationName(ctx, someOrg) })},
		"NewToken":         {},
	}
}

func testMappingOfNodes(t *testing.T, m *mappingTest) {
	var id string
	for _, host := range []string{"host", "another host"} {
		var err error
		id, err = m.RegisterNode(t.Context(), "session", host)
		require.NoError(t, err)
		node := onlyNode(t, m.Store)
		require.Equal(t, []string{id, "session", host}, []string{node.ID, node.SessionID, node.Hostname})
		require.False(t, node.Pinged, "no heartbeat has arrived since it registered")
	}
	require.NoError(t, m.RecordHeartbeat(t.Context(), id))
	began, err := m.Clock(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.RecordPoliciesFetch(t.Context(), id, began))
	require.NoError(t, m.RecordAPIsFetch(t.Context(), id, began.Add(time.Second)))
	changed, err := m.SetNodesBehind(t.Context(), []string{id, "unknown"}, true)
	require.NoError(t, err)
	require.Equal(t, []string{id}, changed)
	node := onlyNode(t, m.Store)
	require.True(t, began.Equal(*node.PoliciesFetched))
	require.True(t, began.Add(time.Second).Equal(*node.APIsFetched))
	requireMapped(t, m.row(t), fields(t, node, "APIsFetched", "apis_fetched"))

	t.Run("it lacks what was stored after its fetches", func(t *testing.T) {
		for name, c := range map[string]struct {
			changed time.Time
			behind  bool
			want    int
		}{
			"marked":                  {began, true, 1},
			"both fetched":            {began, false, 0},
			"policies fetched before": {began.Add(time.Second), false, 1},
			"both fetched before":     {began.Add(time.Minute), false, 1},
		} {
			_, err := m.SetNodesBehind(t.Context(), []string{id}, c.behind)
			require.NoError(t, err)
			lacking, err := m.NodesLacking(t.Context(), c.changed)
			require.NoError(t, err)
			require.Len(t, lacking, c.want, name)
		}
		_, err := m.SetNodesBehind(t.Context(), []string{id}, true)
		require.NoError(t, err)
	})
	t.Run("a fetch that began earlier changes nothing", func(t *testing.T) {
		require.NoError(t, m.RecordAPIsFetch(t.Context(), id, began))
		require.True(t, began.Add(time.Second).Equal(*onlyNode(t, m.Store).APIsFetched))
	})
	t.Run("a node that is marked is not marked again", func(t *testing.T) {
		changed, err := m.SetNodesBehind(t.Context(), []string{id}, true)
		require.NoError(t, err)
		require.Empty(t, changed)
	})
	t.Run("a session that has sent a heartbeat is registered, and has to fetch its APIs", func(t *testing.T) {
		_, err := m.RegisterNode(t.Context(), "session", "host")
		require.ErrorIs(t, err, store.ErrNodeRegistered)
		require.Nil(t, onlyNode(t, m.Store).APIsFetched)
		require.NotNil(t, onlyNode(t, m.Store).PoliciesFetched)
		_, err = m.SetNodesBehind(t.Context(), []string{id}, false)
		require.NoError(t, err)
		lacking, err := m.NodesLacking(t.Context(), began)
		require.NoError(t, err)
		require.Len(t, lacking, 1)
	})
}

func onlyNode(t *testing.T, s *store.Store) store.Node {
	t.Helper()
	nodes, err := s.Nodes(t.Context())
	require.NoError(t, err)
	require.Len(t, nodes, 1)
	return nodes[0]
}

func callsOfNodes(ctx context.Context, s *store.Store) calls {
	return calls{
		"RegisterNode":        {get(func() (any, error) { return s.RegisterNode(ctx, "session 7", "host") })},
		"IsRegistered":        {get(func() (any, error) { return s.IsRegistered(ctx, "node 7") })},
		"RecordHeartbeat":     {func() error { return s.RecordHeartbeat(ctx, "node 9") }},
		"DeleteNode":          {func() error { return s.DeleteNode(ctx, "node 8") }},
		"Clock":               {get(func() (any, error) { return s.Clock(ctx) })},
		"RecordPoliciesFetch": {func() error { return s.RecordPoliciesFetch(ctx, "node 7", time.Now()) }},
		"RecordAPIsFetch":     {func() error { return s.RecordAPIsFetch(ctx, "node 7", time.Now()) }},
		"WriteNodes": {func() error {
			store.CollectHeartbeat(s, "node 6")
			ended, cancel := context.WithCancel(ctx)
			cancel()
			var err error
			s.WriteNodes(ended, func(failed error) { err = failed })
			return err
		}},
		"SetNodesBehind": {get(func() (any, error) { return s.SetNodesBehind(ctx, []string{"node 7"}, true) })},
		"ReviveNodes":    {func() error { return s.ReviveNodes(ctx) }},
		"Nodes":          {get(func() (any, error) { return s.Nodes(ctx) })},
		"NodesLacking":   {get(func() (any, error) { return s.NodesLacking(ctx, time.Now()) })},
		"Health":         {get(func() (any, error) { return s.Health(ctx) })},
		"NewNodeNonce":   {},
		"Answers": {func() error {
			if !s.Answers(ctx) {
				return store.ErrUnavailable
			}
			return nil
		}},
	}
}
