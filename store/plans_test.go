package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// calls has calls of every method of Store, with each filter that makes another statement. The plans of their
// statements may not read a whole table to find some of its rows.
func calls(ctx context.Context, s *store.Store) map[string][]func() error {
	org, none, page := "organisation 7", "", store.Page{Number: 2, Size: 10}
	var users, documents []func() error
	var countUsers, countDocuments, policies, countPolicies []func() error
	for _, orgID := range []*string{nil, &none, &org} {
		for _, page := range []store.Page{{}, page} {
			for _, email := range []string{"", "user7@example.org"} {
				f := store.UserFilter{OrgID: orgID, Email: email, Page: page}
				users = append(users, func() error { return drain(s.Users(ctx, f)) })
				countUsers = append(countUsers, get(func() (any, error) { return s.CountUsers(ctx, f) }))
			}
			f := store.Filter{OrgID: orgID, Page: page}
			documents = append(documents, func() error { return drain(s.APIs(ctx, f)) })
			countDocuments = append(countDocuments, get(func() (any, error) { return s.CountAPIs(ctx, f) }))
			policies = append(policies, func() error { return drain(s.Policies(ctx, f)) })
			countPolicies = append(countPolicies, get(func() (any, error) { return s.CountPolicies(ctx, f) }))
		}
	}
	checks := []store.CheckResult{{Document: store.NodeDocument{ID: "7"}}}
	unsynced, lease := store.UnsyncedOrgKey{OrgID: org}, store.OrgKeyLease{}
	change := store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: org, Session: json.RawMessage(`{}`)}}
	return map[string][]func() error{
		"Users": users, "CountUsers": countUsers,
		"APIs": documents, "CountAPIs": countDocuments, "Policies": policies, "CountPolicies": countPolicies,
		"User":            {get(func() (any, error) { return s.User(ctx, "user 7") })},
		"UserByAccessKey": {get(func() (any, error) { return s.UserByAccessKey(ctx, "key 7") })},
		"LookUpMany":      {func() error { return s.LookUpMany(ctx, []string{"user 7", "key 7", org}) }},
		"UserUnbatched":   {get(func() (any, error) { return s.UserUnbatched(ctx, "user 7") })},
		"PasswordHash":    {get(func() (any, error) { return s.PasswordHash(ctx, "user 7") })},
		"SetPassword":     {func() error { return s.SetPassword(ctx, "user 7", "hash") }},
		"ChangePassword":  {func() error { return s.ChangePassword(ctx, "user 7", "hash", "hash") }},
		"RenewAccessKey":  {func() error { return s.RenewAccessKey(ctx, "user 8") }},
		"DeleteUser":      {func() error { return s.DeleteUser(ctx, "user 9") }},
		"SetResetPassword": {get(func() (any, error) {
			return s.SetResetPassword(ctx, "user 7", true)
		})},
		"CreateUser": {get(func() (any, error) { return s.CreateUser(ctx, store.UserParams{OrgID: &org}) })},
		"UpdateUser": {get(func() (any, error) {
			return s.UpdateUser(ctx, "user 7", store.UserParams{EmailAddress: "a"})
		})},
		"Organisation":       {get(func() (any, error) { return s.Organisation(ctx, org) })},
		"Organisations":      {func() error { return drain(s.Organisations(ctx, page)) }},
		"CountOrganisations": {get(func() (any, error) { return s.CountOrganisations(ctx) })},
		"SSOEnabled":         {get(func() (any, error) { return s.SSOEnabled(ctx, org) })},
		"CreateOrganisation": {get(func() (any, error) {
			return s.CreateOrganisation(ctx, store.Organisation{Document: json.RawMessage(`{}`)})
		})},
		"ImportOrganisation": {get(func() (any, error) {
			return s.ImportOrganisation(ctx, store.Organisation{ID: "organisation 8", Document: json.RawMessage(`{}`)})
		})},
		"ReplaceOrganisation": {func() error {
			return s.ReplaceOrganisation(ctx, store.Organisation{ID: org, Document: json.RawMessage(`{}`)})
		}},
		"EditOrganisation": {func() error {
			return s.EditOrganisation(ctx, org, func(store.Row) store.Organisation {
				return store.Organisation{ID: org, Document: json.RawMessage(`{}`)}
			})
		}},
		"DeleteOrganisation": {func() error { return s.DeleteOrganisation(ctx, "organisation 9") }},
		"API": {
			get(func() (any, error) { return s.API(ctx, "api 7", nil) }),
			get(func() (any, error) { return s.API(ctx, "api 7", &org) }),
		},
		"DeleteAPI":      {func() error { return s.DeleteAPI(ctx, "api 8") }},
		"OwnsAPIs":       {get(func() (any, error) { return s.OwnsAPIs(ctx, org, []string{"api 7", "api 10"}) })},
		"NodeAPIs":       {func() error { return drain(s.NodeAPIs(ctx, "check")) }},
		"SaveAPIChecks":  {func() error { return s.SaveAPIChecks(ctx, "check", checks) }},
		"ImportAPIs":     {}, // TestImportsLookIDsUp
		"NewAPIIDs":      {},
		"ImportPolicies": {}, // TestImportsLookIDsUp
		"NewPolicyID":    {},
		"Policy": {
			get(func() (any, error) { return s.Policy(ctx, "policy 7", nil) }),
			get(func() (any, error) { return s.Policy(ctx, "policy 7", &org) }),
		},
		"DeletePolicy":     {func() error { return s.DeletePolicy(ctx, "policy 8") }},
		"NodePolicies":     {func() error { return drain(s.NodePolicies(ctx, "check")) }},
		"SavePolicyChecks": {func() error { return s.SavePolicyChecks(ctx, "check", checks) }},
		"CreateNonce": {get(func() (any, error) {
			return s.CreateNonce(ctx, store.SignOn{OrgID: org, Document: json.RawMessage(`{}`)})
		})},
		"RedeemNonce":         {get(func() (any, error) { return s.RedeemNonce(ctx, "7") })},
		"PeekNonce":           {get(func() (any, error) { return s.PeekNonce(ctx, "7") })},
		"DeleteExpiredNonces": {func() error { return s.DeleteExpiredNonces(ctx) }},
		"RegisterNode":        {get(func() (any, error) { return s.RegisterNode(ctx, "session 7", "host") })},
		"RecordHeartbeat":     {func() error { return s.RecordHeartbeat(ctx, "node 7") }},
		"DeleteNode":          {func() error { return s.DeleteNode(ctx, "node 8") }},
		"Nodes":               {get(func() (any, error) { return s.Nodes(ctx) })},
		"CountNodes":          {get(func() (any, error) { return s.CountNodes(ctx) })},
		"NewNodeNonce":        {},
		"OrgKey":              {get(func() (any, error) { return s.OrgKey(ctx, org) })},
		"OrgKeyIDs":           {get(func() (any, error) { return s.OrgKeyIDs(ctx) })},
		"WriteOrgKey":         {func() error { return s.WriteOrgKey(ctx, change) }},
		"BeginOrgKeyChange": {get(func() (any, error) {
			return s.BeginOrgKeyChange(ctx, change, time.Minute)
		})},
		"CommitOrgKeyChange":  {func() error { return s.CommitOrgKeyChange(ctx, lease, change) }},
		"AbandonOrgKeyChange": {func() error { return s.AbandonOrgKeyChange(ctx, lease, true) }},
		"UnsyncedOrgKeys": {get(func() (any, error) {
			return s.UnsyncedOrgKeys(ctx, time.Now(), 10)
		})},
		"UnsyncedOrgKey":       {get(func() (any, error) { return s.UnsyncedOrgKey(ctx, org) })},
		"UnsyncedOrgKeyErrors": {get(func() (any, error) { return s.UnsyncedOrgKeyErrors(ctx) })},
		"LeaseOrgKey": {get(func() (any, error) {
			return s.LeaseOrgKey(ctx, unsynced, time.Minute)
		})},
		"ReleaseOrgKey": {get(func() (any, error) { return s.ReleaseOrgKey(ctx, lease, unsynced) })},
		"DeferOrgKey":   {func() error { return s.DeferOrgKey(ctx, unsynced, time.Now(), context.Canceled) }},
		"ConfirmOrgKey": {func() error { return s.ConfirmOrgKey(ctx, unsynced) }},
		"ResendOrgKeys": {func() error { return s.ResendOrgKeys(ctx, []string{org}) }},
		"RetryOrgKeys":  {func() error { return s.RetryOrgKeys(ctx) }},
		"Notify":        {func() error { return s.Notify(ctx, store.EventReload) }},
		"Listen":        {}, // has a connection of its own, and no tables
		"Ping":          {func() error { return s.Ping(ctx) }},
		"Connections":   {},
		"Close":         {},
	}
}

// wholeTable has the methods that read whole tables although they have a condition, and why.
var wholeTable = map[string]string{
	"NodeAPIs":     "nearly all documents are in the list",
	"NodePolicies": "nearly all documents are in the list",
	"Nodes":        "nearly all nodes are in the list, and an index on last_seen would cost each heartbeat more",
	"CountNodes":   "as Nodes",
	"RegisterNode": "as Nodes: it deletes nodes that have gone",
	"RetryOrgKeys": "all keys are due again",
}

// get drops the result of a call.
func get(call func() (any, error)) func() error {
	return func() error {
		_, err := call()
		return err
	}
}

func drain[T any](list iter.Seq2[T, error]) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// statement is a statement that the store has run.
type statement struct {
	method, sql string
	args        []any
}

// recorder is a tracer that records statements.
type recorder struct {
	t *testing.T

	mu         sync.Mutex // guards what follows
	method     string
	statements []statement
}

func (r *recorder) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	sql, args := data.SQL, data.Args
	if len(args) == 1 {
		if rewriter, ok := args[0].(pgx.QueryRewriter); ok {
			var err error
			sql, args, err = rewriter.RewriteQuery(ctx, conn, sql, nil)
			if err != nil {
				r.t.Error(err)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := func(s statement) bool { return s.method == r.method && s.sql == sql }
	if plannable.MatchString(sql) && !slices.ContainsFunc(r.statements, known) {
		r.statements = append(r.statements, statement{r.method, sql, args})
	}
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *recorder) run(t *testing.T, method string, call func() error) {
	t.Helper()
	r.mu.Lock()
	r.method = method
	r.mu.Unlock()
	err := call()
	for _, allowed := range []error{store.ErrNotFound, store.ErrOrgKeyLeased, store.ErrLeaseLost} {
		if err != nil && strings.Contains(err.Error(), allowed.Error()) {
			return
		}
	}
	require.NoError(t, err, method)
}

// plannable are statements that have a plan; those of transactions and configuration have none.
var plannable = regexp.MustCompile(`(?i)^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b`)

func TestPlansUseIndexes(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	manyRows(t, conn)
	recorded := &recorder{t: t}
	s, err := store.Open(t.Context(), store.WithTracer(store.Config{
		ConnString: conn, Now: time.Now, IDs: store.NewIDs(time.Now),
	}, recorded))
	require.NoError(t, err)
	t.Cleanup(s.Close)

	all, methods := calls(t.Context(), s), []string{}
	for method := range reflect.TypeFor[*store.Store]().Methods() {
		methods = append(methods, method.Name)
	}
	require.ElementsMatch(t, methods, slices.Collect(maps.Keys(all)),
		"methods of Store against calls (store/plans_test.go)")
	for _, method := range slices.Sorted(maps.Keys(all)) {
		for _, call := range all[method] {
			recorded.run(t, method, call)
		}
	}
	require.Greater(t, len(recorded.statements), 60)

	explaining := connect(t, conn)
	for i, st := range recorded.statements {
		if _, ok := wholeTable[st.method]; ok || !strings.Contains(st.sql, "WHERE") {
			continue
		}
		for mode, explained := range explain(t, explaining, fmt.Sprintf("statement_%d", i), st) {
			assert.Empty(t, tablesRead(explained), "%s reads whole tables with a %s plan:%s", st.method, mode, st.sql)
		}
	}
}

// explain returns the plan that Postgres makes for the arguments, and the one for any arguments, to which it may change
// when a statement has been run a few times.
func explain(t *testing.T, conn *pgx.Conn, name string, st statement) map[string]any {
	t.Helper()
	plans := map[string]any{}
	var custom, generic []any
	require.NoError(t, conn.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) `+st.sql, st.args...).Scan(&custom), st.sql)
	prepared, err := conn.Prepare(t.Context(), name, st.sql)
	require.NoError(t, err)
	execute := name
	if n := len(prepared.ParamOIDs); n > 0 {
		execute += `(NULL` + strings.Repeat(`, NULL`, n-1) + `)`
	}
	_, err = conn.Exec(t.Context(), `SET plan_cache_mode = force_generic_plan`)
	require.NoError(t, err)
	explained := conn.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) EXECUTE `+execute, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, explained.Scan(&generic))
	_, err = conn.Exec(t.Context(), `RESET plan_cache_mode`)
	require.NoError(t, err)
	plans["custom"], plans["generic"] = custom, generic
	return plans
}

// tablesRead returns the tables that a plan reads from the beginning to the end, one after another or in an index's
// order.
func tablesRead(plan any) (tables []string) {
	switch node := plan.(type) {
	case []any:
		for _, child := range node {
			tables = append(tables, tablesRead(child)...)
		}
	case map[string]any:
		_, bounded := node["Index Cond"]
		_, filtered := node["Filter"]
		if node["Node Type"] == "Seq Scan" || node["Node Type"] == "Index Scan" && filtered && !bounded {
			tables = append(tables, fmt.Sprint(node["Relation Name"]))
		}
		for _, child := range node {
			tables = append(tables, tablesRead(child)...)
		}
	}
	return tables
}

// manyRows fills tables with so many rows that reading all of them costs more than an index.
func manyRows(t *testing.T, connString string) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO organisations (id, sso_enabled, document)
			SELECT 'organisation ' || n, true, '{}' FROM generate_series(0, 9999) AS n`,
		`INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
				user_permissions, group_id, password_max_days, created_at)
			SELECT 'user ' || n, CASE WHEN n % 100 = 0 THEN NULL ELSE 'organisation ' || n % 1000 END,
				'', 'user' || n || '@example.org', '', '', true, 'key ' || n, '{}', '', 0, now()
			FROM generate_series(0, 9999) AS n`,
		`INSERT INTO apis (api_id, id, org_id, active, document, loadable, checked_by)
			SELECT 'api ' || n, 'id ' || n, 'organisation ' || n % 1000, true, '{}', true, 'check'
			FROM generate_series(0, 9999) AS n`,
		`INSERT INTO policies (id, policy_id, org_id, document, loadable, checked_by)
			SELECT 'policy ' || n, 'id ' || n, 'organisation ' || n % 1000, '{}', true, 'check'
			FROM generate_series(0, 9999) AS n`,
		`INSERT INTO org_keys (org_id, session) SELECT 'organisation ' || n, '{}' FROM generate_series(0, 9999) AS n`,
		`UPDATE org_key_sync SET due_at = now() + interval '1 hour'`,
		`INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
			SELECT sha256(n::text::bytea), 'organisation ' || n % 1000, '', true, '{}', now() + interval '1 hour'
			FROM generate_series(0, 9999) AS n`,
		`INSERT INTO nodes (id, session_id, hostname, first_seen, last_seen)
			SELECT 'node ' || n, 'session ' || n, 'host', now(), now() FROM generate_series(0, 999) AS n`,
		`VACUUM ANALYZE`,
	} {
		storetest.Exec(t, connString, sql)
	}
}
