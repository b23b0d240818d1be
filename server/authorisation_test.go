package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"gatehouse/contract"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// outcomes are lists of credentials by outcome.
type outcomes map[contract.Outcome][]string

// authorisationTable is testdata/authorisation.yaml.
type authorisationTable struct {
	Credentials map[string]string
	Sets        map[string][]string
	Schemes     map[string]outcomes
	Operations  map[string]outcomes
}

func readAuthorisationTable(t *testing.T) authorisationTable {
	t.Helper()
	text, err := os.ReadFile("testdata/authorisation.yaml")
	require.NoError(t, err)
	var table authorisationTable
	require.NoError(t, yaml.Unmarshal(text, &table))
	return table
}

// expand replaces sets by their credentials.
func (table authorisationTable) expand(t *testing.T, names []string) (credentials []string) {
	t.Helper()
	for _, name := range names {
		set, isSet := table.Sets[name]
		_, isCredential := table.Credentials[name]
		require.NotEqual(t, isSet, isCredential, "%q is neither a credential nor a set, or both", name)
		if isSet {
			credentials = append(credentials, table.expand(t, set)...)
		} else {
			credentials = append(credentials, name)
		}
	}
	return credentials
}

// others stands for the credentials that have no other outcome.
const others = "others"

// row returns the outcome of each credential.
func (table authorisationTable) row(t *testing.T, op operation) map[string]contract.Outcome {
	t.Helper()
	row := map[string]contract.Outcome{}
	var ofOthers contract.Outcome
	for _, part := range []outcomes{table.Schemes[op.scheme], table.Operations[op.id]} {
		for outcome, names := range part {
			if slices.Equal(names, []string{others}) {
				require.Empty(t, ofOthers, "%s: the others have two outcomes", op.id)
				ofOthers = outcome
				continue
			}
			for _, name := range table.expand(t, names) {
				require.Empty(t, row[name], "%s: %s has two outcomes", op.id, name)
				row[name] = outcome
			}
		}
	}
	for name := range table.Credentials {
		if row[name] == "" && ofOthers != "" {
			row[name] = ofOthers
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(table.Credentials)), slices.Collect(maps.Keys(row)),
		"%s: each credential has an outcome", op.id)
	return row
}

// TestAuthorisation sends the request of each operation with each credential.
func TestAuthorisation(t *testing.T) {
	t.Parallel()
	table := readAuthorisationTable(t)
	var known []string
	for _, op := range operations() {
		known = append(known, op.id)
	}
	require.ElementsMatch(t, known, slices.Collect(maps.Keys(table.Operations)),
		"each operation has a row in testdata/authorisation.yaml: say who may call it")
	servers, users := newCallers(t, slices.Sorted(maps.Keys(table.Credentials)))
	for _, op := range operations() {
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			testAuthorisation(&world{bundle: servers.lend(t), users: users}, op, table.row(t, op))
		})
	}
}

// testAuthorisation sends the refused requests first: they change nothing.
func testAuthorisation(w *world, op operation, row map[string]contract.Outcome) {
	w.t.Helper()
	var refused, accepted []string
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if row[name] == "ok" {
			accepted = append(accepted, name)
		} else {
			refused = append(refused, name)
		}
	}
	before := storetest.Dump(w.t, w.conn)
	for _, name := range refused {
		w.send(op, name, row[name])
	}
	require.Equal(w.t, before, storetest.Dump(w.t, w.conn), "refused requests change nothing")
	for _, name := range accepted {
		w.restore(op)
		w.resetObjects(op)
		w.send(op, name, row[name])
	}
}

// restore stores what an operation has deleted for the caller before, and what it needs besides the examples' rows.
func (w *world) restore(op operation) {
	w.t.Helper()
	switch {
	case strings.HasPrefix(op.path, "/api/apis/oas/{"):
		w.importAPIs(`{"api_definition":{"api_id":"` + exampleAPI + `","org_id":"` + exampleOrg + `","is_oas":true},"oas":` +
			exampleBody(w.t, "createApiOAS") + `}`).is(200)
	case op.id == "deleteApi":
		w.admin("POST", "/admin/apis/import", exampleBody(w.t, "importAPIs")).is(200)
	case op.id == "deletePolicy":
		w.admin("POST", "/admin/policies/import", exampleBody(w.t, "importPolicies")).is(200)
	}
}

// world is a server with the rows of the contracts' examples, and callers.
type world struct {
	*bundle
	users map[string]string // IDs by the name of the user
}

// resetObjects puts back what an earlier request has deleted of the examples' documents, and removes what it has
// created, domains included.
func (w *world) resetObjects(op operation) {
	w.t.Helper()
	isDocument := func(o exampleObject) bool { return o.tag == op.declared.Tags[0] }
	if op.method == http.MethodGet || !slices.ContainsFunc(exampleObjects, isDocument) {
		return
	}
	storetest.Exec(w.t, w.conn, `DELETE FROM objects`)
	storetest.Exec(w.t, w.conn, `UPDATE organisations SET cname_key = NULL`)
	if op.method != http.MethodPost {
		insertExampleObjects(w.bundle)
	}
}

// newCallers returns servers whose gateway is exampleGateway, and which have callers, and the IDs of all users by name.
func newCallers(t *testing.T, credentials []string) (servers *exampleServers, users map[string]string) {
	t.Helper()
	_, withControl := startControlAPI(t, exampleGateway)
	start := func() *bundle {
		return setupOn(t, storetest.Copy(t, "template_callers", func(conn string) {
			insertExamplesInto(t, conn)
			t.Run("add callers", func(t *testing.T) {
				b := setupOn(t, conn)
				for _, name := range credentials {
					addCaller(b, name)
					storetest.Exec(t, conn, insertUserGroup, "group-"+name, exampleOrg)
				}
			})
			storetest.Keep(t, conn)
		}), withControl, func(cfg *server.Config) {
			cfg.AllowSharedPaths = true // users of several organisations send the same request
		})
	}
	first := start()
	var list struct {
		Users []struct {
			ID   string `json:"id"`
			Name string `json:"first_name"`
		}
	}
	first.admin("GET", "/admin/users", nil).is(200).json(&list)
	users = map[string]string{}
	for _, user := range list.Users {
		users[user.Name] = user.ID
	}
	return &exampleServers{start: start, idle: []*bundle{first}}, users
}

// exampleGateway answers as a gateway that has one key, of the examples' organisation, and whatever certificate and
// OAuth client it is asked for.
func exampleGateway(w http.ResponseWriter, r *http.Request) {
	const session = `{"org_id":"` + exampleOrg + `","access_rights":{"` + exampleAPI + `":{}}}`
	path := strings.TrimPrefix(r.URL.Path, "/tyk/")
	switch {
	case path == "keys" && r.Method == http.MethodGet:
		fmt.Fprint(w, `{"keys":["the-key"]}`)
	case strings.HasPrefix(path, "keys/") && r.Method == http.MethodGet:
		fmt.Fprint(w, session)
	case path == "certs" && r.Method == http.MethodGet:
		fmt.Fprint(w, `{"certs":null}`)
	case path == "certs":
		fmt.Fprint(w, `{"id":"`+r.URL.Query().Get("org_id")+certificateHash+`","status":"ok","message":"Certificate added"}`)
	case strings.HasSuffix(path, "/tokens"), path == "oauth/clients/"+exampleAPI:
		fmt.Fprint(w, `[]`)
	default:
		fmt.Fprint(w, `{"key":"the-key","status":"ok","message":"done"}`)
	}
}

// target returns the ID of the user whom a request with a credential is about: the user with the name target-…, or the
// caller.
func (w *world) target(credential string) string {
	if credential == "self" {
		return w.users[credential]
	}
	return w.users["target-"+credential]
}

// permissionsOf are the permissions of callers who are administrators, or have none. The names of others say what they
// have.
var permissionsOf = map[string]map[string]string{
	"administrator":         nil, // the default
	"administrator_only":    {"IsAdmin": "admin"},
	"foreign_administrator": nil,
	"super_user":            nil,
	"inactive":              nil,
	"deleted":               nil,
	"self":                  {},
	"no_permission":         {},
	"deny":                  everyPermission("deny"),
	"unknown_value":         everyPermission("all"),
	"reset_password":        {"ResetPassword": "admin"},
}

func everyPermission(value string) map[string]string {
	permissions := map[string]string{}
	for _, object := range []string{
		"IsAdmin", "ResetPassword", "users", "user_groups", "apis", "policies", "keys", "system", "oauth", "certs",
		"api_assets", "hooks", "portal", "audit_logs",
	} {
		permissions[object] = value
	}
	return permissions
}

// accessKeyOf returns the access key of the caller with a name.
func accessKeyOf(name string) string { return "the-access-key-of-" + name }

// addCaller makes the user whose access key a credential is, and the user whom its request is about.
func addCaller(b *bundle, name string) {
	b.t.Helper()
	addUser := func(org, name, key string, permissions map[string]string) string {
		email := strings.ReplaceAll(name, "_", "-") + "@example.org"
		u := b.user(org, email, permissions)
		b.admin("PUT", "/admin/users/"+u.Id, map[string]any{
			"email_address": email, "first_name": name, "access_key": key, "active": name != "inactive",
		}).is(200)
		return u.Id
	}
	addUser(exampleOrg, "target-"+name, accessKeyOf("target-"+name), map[string]string{})
	if headersOf(name) != nil {
		return
	}
	permissions, known := permissionsOf[name]
	if !known {
		at := strings.LastIndex(name, "_")
		require.Positive(b.t, at, "no such credential: %s", name)
		permissions = map[string]string{name[:at]: name[at+1:]}
	}
	org, elsewhere := map[string]string{"foreign_administrator": otherOrg, "super_user": ""}[name]
	if !elsewhere {
		org = exampleOrg
	}
	id := addUser(org, name, accessKeyOf(name), permissions)
	if name == "deleted" {
		b.admin("DELETE", "/admin/users/"+id, nil).is(200)
	}
}

// headersOf returns the headers of a credential that is no user's own access key, else nil.
func headersOf(credential string) map[string]string {
	return map[string]map[string]string{
		"none":                 {},
		"wrong":                {"Admin-Auth": "wrong", "Authorization": "wrong"},
		"admin_secret":         {"Admin-Auth": secret},
		"admin_secret_as_key":  {"Authorization": secret},
		"node_secret":          {"Authorization": nodeSecret},
		"node_secret_as_admin": {"Admin-Auth": nodeSecret},
		"key_as_admin":         {"Admin-Auth": exampleKey},
	}[credential]
}

// send sends the request of an operation with a credential, and requires the outcome. A response to the administrator
// of another organisation has nothing of the examples' one.
func (w *world) send(op operation, credential string, want contract.Outcome) {
	w.t.Helper()
	params := map[string]string{"nonce": "redeemed"}
	if op.scheme == "access_key" {
		params["userId"], params["groupId"] = w.target(credential), "group-"+credential
	}
	// An address belongs to one user.
	body := strings.ReplaceAll(op.requestBody(w.t), "@rivermouth", "@"+strings.ReplaceAll(credential, "_", "-")+".rivermouth")
	headers := headersOf(credential)
	if headers == nil {
		headers = map[string]string{"Authorization": accessKeyOf(credential)}
	}
	got := w.do(op.method, op.target(params), body, func(r *http.Request) {
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	})
	known := loadedContract().Operation(op.id).Responses[want]
	require.Equal(w.t, known.Status, got.status, "%s with %s is to be %s: %s", op.id, credential, want, got.body)
	if want != "ok" && known.Message != "" {
		pattern := regexp.QuoteMeta(known.Message)
		if known.Varies != "" {
			pattern = strings.Replace(pattern, regexp.QuoteMeta(known.Varies), ".*", 1)
		}
		require.Regexp(w.t, "^"+pattern+"$", got.envelope().Message, "%s with %s", op.id, credential)
	}
	if credential == "foreign_administrator" {
		for _, text := range []string{exampleOrg, exampleUser, exampleKey, exampleAPI, examplePolicy, "rivermouth", "target-", w.target(credential)} {
			require.NotContains(w.t, got.body, text, "%s", op.id)
		}
	}
}
