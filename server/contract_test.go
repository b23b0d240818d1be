package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// operation is one operation of a contract.
type operation struct {
	id, method, path string
	scheme           string
	declared         *openapi3.Operation
}

// operations lists every operation of every contract.
func operations() []operation {
	var all []operation
	for _, spec := range contractSpecs() {
		for path, item := range spec.Paths.Map() {
			for method, declared := range item.Operations() {
				op := operation{id: declared.OperationID, method: method, path: path, declared: declared}
				security := spec.Security
				if declared.Security != nil {
					security = *declared.Security
				}
				for _, requirement := range security {
					for scheme := range requirement {
						op.scheme = scheme
					}
				}
				all = append(all, op)
			}
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	return all
}

// example is a named example of a response: the response for the outcome of that name.
type example struct {
	status int
	value  map[string]any
	varies string
}

func (op operation) examples() map[string]example {
	all := map[string]example{}
	for code, response := range op.declared.Responses.Map() {
		for name, ex := range response.Value.Content.Get("application/json").Examples {
			e := example{}
			_, _ = fmt.Sscan(code, &e.status)
			e.value, _ = ex.Value.Value.(map[string]any)
			e.varies, _ = ex.Value.Extensions["x-varies"].(string)
			all[name] = e
		}
	}
	return all
}

// target returns the path and query with the examples of the parameters, or with the values in params.
func (op operation) target(params map[string]string) string {
	path, query := op.path, url.Values{}
	for _, p := range op.declared.Parameters {
		value, ok := params[p.Value.Name]
		if !ok {
			value = fmt.Sprint(p.Value.Example)
		}
		switch p.Value.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(value))
		case "query":
			if value != absent {
				query.Set(p.Value.Name, value)
			}
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

// absent leaves a query parameter out.
const absent = "\x00"

// requestBody returns the example of the body, "" if the operation has none.
func (op operation) requestBody(t testing.TB) string {
	t.Helper()
	if op.declared.RequestBody == nil {
		return ""
	}
	for mediaType, content := range op.declared.RequestBody.Value.Content {
		ok := content.Examples["ok"]
		require.NotNil(t, ok, "%s: the request has no example named ok", op.id)
		if mediaType == "application/x-www-form-urlencoded" {
			form := url.Values{}
			for name, v := range ok.Value.Value.(map[string]any) {
				form.Set(name, fmt.Sprint(v))
			}
			return form.Encode()
		}
		raw, err := json.Marshal(ok.Value.Value)
		require.NoError(t, err)
		return string(raw)
	}
	return ""
}

// exampleBody returns the example of an operation's body.
func exampleBody(t testing.TB, id string) string {
	t.Helper()
	for _, op := range operations() {
		if op.id == id {
			return op.requestBody(t)
		}
	}
	t.Fatalf("no operation %s", id)
	return ""
}

// The IDs in the contracts' examples.
const (
	exampleOrg    = "53ac07777cbb8c2d53000002"
	exampleUser   = "614215edb2d47190f98b3b79"
	exampleKey    = "68b225c4376748207453c235ed8e2a82"
	exampleAPI    = "5fa2db834e07444f760b7ceb314209fb"
	examplePolicy = "61df10078f11dd00097cb55f"
	exampleNonce  = "YTNiOGUzZjctYWZkYi00OTNhLTYwODItZTAzMDI3MjM0OTEw"
	otherOrg      = "5e9d9544a1dcd60001d0ed20"
)

// exampleDatabase returns a database with the rows that the contracts' examples name.
func exampleDatabase(t testing.TB) string {
	t.Helper()
	return storetest.Copy(t, "template_examples", func(conn string) {
		insertExamplesInto(t, conn)
	})
}

// insertExamplesInto runs insertExamples with a server that is stopped before it returns: a template may have no
// connections.
func insertExamplesInto(t testing.TB, conn string) {
	t.Helper()
	tt, ok := t.(*testing.T)
	require.True(t, ok, "a template is made in a test")
	tt.Run("insert examples", func(t *testing.T) { insertExamples(setupOn(t, conn)) })
}

// insertExamples inserts the rows that the contracts' examples name.
func insertExamples(b *bundle) {
	b.t.Helper()
	b.admin("POST", "/admin/organisations/import", `{"id":"`+exampleOrg+`","owner_name":"Rivermouth Foods","sso_enabled":true}`).is(200)
	b.admin("POST", "/admin/organisations/import", `{"id":"`+otherOrg+`","owner_name":"Other","cname":"taken.example"}`).is(200)
	storetest.Exec(b.t, b.conn, `INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
		user_permissions, group_id, password_max_days, created_at) VALUES
		($1, $2, 'owner@rivermouth.example', 'owner@rivermouth.example', 'O', 'W', true, $3, '{"IsAdmin":"admin","ResetPassword":"admin"}', '', 0, now())`,
		exampleUser, exampleOrg, exampleKey)
	b.admin("POST", "/admin/apis/import", exampleBody(b.t, "importAPIs")).message(200, "APIs imported")
	b.admin("POST", "/admin/policies/import", exampleBody(b.t, "importPolicies")).message(200, "Policies imported")
	b.admin("POST", "/admin/org/keys", `{"org_id":"`+exampleOrg+`","rate":1,"per":1}`).is(200)
	storetest.Exec(b.t, b.conn, `INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES (sha256($1::bytea), $2, 'x', false, '{"ForSection":"dashboard","OrgID":"","EmailAddress":"","DisplayName":"","GroupID":"",
			"GroupsIDs":[],"SSOOnlyForRegisteredUsers":false,"UserNotAllowed":false}', now() + interval '1 day')`, []byte(exampleNonce), exampleOrg)
}

// scenario produces one outcome of one operation.
type scenario struct {
	op, outcome string
	params      map[string]string
	body        string // "": the contract's example
	before      func(*bundle)
	change      []with
	// gateway is the status that the control API of the gateway replies; 0 is no gateway.
	gateway int
	// slow clients stop sending before the end of the body.
	slow bool
	// control is the control API, where a status is not enough.
	control http.HandlerFunc
}

// send sends the request of a scenario.
func (o scenario) send(t *testing.T, op operation) reply {
	t.Helper()
	var change []func(*server.Config)
	if o.gateway != 0 {
		o.control = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(o.gateway)
			_, _ = w.Write([]byte(`{"status":"error","message":"Request malformed"}`))
		}
	}
	if o.control != nil {
		control := httptest.NewServer(o.control)
		t.Cleanup(control.Close)
		change = append(change, func(cfg *server.Config) {
			client, err := gateway.New(gateway.Config{Host: control.URL, Secret: "s"})
			require.NoError(t, err)
			cfg.Gateway = client
		})
	}
	if o.slow {
		change = append(change, func(cfg *server.Config) { cfg.Limits.BodyTimeout = 50 * time.Millisecond })
		stalled, never := io.Pipe()
		t.Cleanup(func() { _ = never.Close() })
		o.change = append(o.change, func(r *http.Request) {
			r.Body, r.ContentLength = struct { // the client closes the body when it has the response
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(`{"`), stalled), stalled}, -1
		})
	}
	b := setupOn(t, exampleDatabase(t), change...)
	if o.before != nil {
		o.before(b)
	}
	body := o.body
	if body == "" {
		body = op.requestBody(t)
	}
	changes := append(append([]with{credential(op)}, op.headers()...), o.change...)
	return b.do(op.method, op.target(o.params), body, changes...)
}

// headers returns the examples of the header parameters.
func (op operation) headers() (all []with) {
	for _, p := range op.declared.Parameters {
		if p.Value.In == "header" {
			all = append(all, header(p.Value.Name, fmt.Sprint(p.Value.Example)))
		}
	}
	return all
}

// holdingKey returns the control API of a gateway that has one key with this session.
func holdingKey(session string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/tyk/keys":
			_, _ = w.Write([]byte(`{"keys":["the-key"]}`))
		case r.Method == http.MethodGet:
			_, _ = w.Write([]byte(session))
		default:
			_, _ = w.Write([]byte(`{"key":"the-key","status":"ok","action":"done","key_hash":""}`))
		}
	}
}

const (
	ownSession   = `{"org_id":"` + exampleOrg + `","rate":3,"per":60,"allowance":3,"quota_max":-1,"expires":0,"access_rights":{"` + exampleAPI + `":{}}}`
	otherSession = `{"org_id":"` + otherOrg + `"}`
)

// twice sends a header twice.
func twice(name string) with {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = []string{"a", "b"} }
}

// credential sets the credential that the operation requires.
func credential(op operation) with {
	switch op.scheme {
	case "api_key":
		return header("Admin-Auth", secret)
	case "access_key":
		return asUser(exampleKey)
	case "node_secret":
		return header("Authorization", nodeSecret)
	}
	return func(*http.Request) {}
}

// breakDatabase makes every statement fail.
func breakDatabase(b *bundle) { storetest.Exec(b.t, b.conn, `DROP SCHEMA public CASCADE`) }

func disconnect(b *bundle) { b.store.Close() }

// registered inserts the examples' node.
func registered(b *bundle) {
	storetest.Exec(b.t, b.conn, `INSERT INTO nodes VALUES ('9b2cbb1c-63ba-4f1e-8fd2-1f4b5d3a2c11', 's', 'gateway-1', now(), now())`)
}

func sql(statement string) func(*bundle) {
	return func(b *bundle) { storetest.Exec(b.t, b.conn, statement) }
}

// permissions replaces the permissions of the examples' user.
func permissions(json string) func(*bundle) {
	return sql(`UPDATE users SET user_permissions = '` + json + `' WHERE id = '` + exampleUser + `'`)
}

// scenarios are the outcomes that need data of their own. scenariosOf adds those that follow from the contract.
var scenarios = []scenario{
	{op: "createOrg", outcome: "conflict", body: `{"cname":"TAKEN.example"}`},
	{op: "importOrgs", outcome: "conflict", body: `{"id":"53ac07777cbb8c2d53000009","cname":"taken.example"}`},
	{op: "getOrg", outcome: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "updateOrg", outcome: "conflict", body: `{"cname":"Taken.Example"}`},
	{op: "updateOrg", outcome: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "deleteOrg", outcome: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "generatePortalAPIsForOrg", outcome: "conflict", body: "domain=taken.example"},
	{op: "generatePortalAPIsForOrg", outcome: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "createUser", outcome: "invalid", body: `{"email_address":"nobody"}`},
	{op: "createUser", outcome: "conflict", body: `{"org_id":"` + exampleOrg + `","email_address":"OWNER@rivermouth.example"}`},
	{op: "createUser", outcome: "unknown_organisation", body: `{"org_id":"588b4f0bb275ff0001cc7471","email_address":"a@b.example"}`},
	{op: "getUserDetail", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "updateUser", outcome: "invalid", body: `{"email_address":""}`},
	{op: "updateUser", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "updateUser", outcome: "unknown_organisation", body: `{"org_id":"588b4f0bb275ff0001cc7471","email_address":"a@b.example"}`},
	{
		op: "updateUser", outcome: "conflict", body: `{"org_id":"` + exampleOrg + `","email_address":"taken@rivermouth.example"}`,
		before: func(b *bundle) { b.user(exampleOrg, "taken@rivermouth.example", nil) },
	},
	{
		op: "updateUser", outcome: "key_conflict", body: `{"access_key":"taken","email_address":"a@b.example"}`,
		before: func(b *bundle) {
			u := b.user(exampleOrg, "x@rivermouth.example", nil)
			b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"x@rivermouth.example","access_key":"taken"}`).is(200)
		},
	},
	{op: "removeUser", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "allowResetPassword", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "disallowResetPassword", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "importAPIs", outcome: "ok", body: `{"apis":[{"api_definition":{"api_id":"5fa2db834e07444f760b7ceb314209fb","org_id":"` + exampleOrg + `"}},
		{"api_definition":{"api_id":"7a6ddeca9244448a4233866938a0d6e2","org_id":"` + exampleOrg + `"}}]}`},
	{op: "importAPIs", outcome: "refused", body: `{"apis":[{"api_definition":{"api_id":"5fa2db834e07444f760b7ceb314209fb","org_id":"` + exampleOrg + `"}},
		{"api_definition":{"api_id":"7a6ddeca9244448a4233866938a0d6e2","org_id":"nope"}}]}`},
	{op: "importPolicies", outcome: "refused", body: `{"Data":[{"_id":"61df10078f11dd00097cb55f","org_id":"nope"}]}`},
	{op: "removeAPI", outcome: "not_found", params: map[string]string{"apiId": "nope"}},
	{op: "removePolicy", outcome: "not_found", params: map[string]string{"policyId": "nope"}},
	{op: "createOrgKey", outcome: "unknown_organisation", body: `{"org_id":"588b4f0bb275ff0001cc7471"}`},
	{op: "createOrgKey", outcome: "gateway", gateway: 400},
	{op: "getOrgKey", outcome: "not_found", params: map[string]string{"keyId": "nope"}},
	{op: "updateOrgKey", outcome: "not_found", params: map[string]string{"keyId": otherOrg}, body: `{"rate":1}`},
	{op: "updateOrgKey", outcome: "invalid", body: `{"org_id":"` + otherOrg + `"}`},
	{op: "updateOrgKey", outcome: "gateway", gateway: 400},
	{op: "deleteOrgKey", outcome: "not_found", params: map[string]string{"keyId": "nope"}},
	{op: "deleteOrgKey", outcome: "gateway", gateway: 500},
	{op: "deleteOAuthTokens", outcome: "ok", gateway: 200},
	{op: "reloadURLs", outcome: "failed", before: disconnect},
	{op: "deleteOAuthTokens", outcome: "bad_parameter", params: map[string]string{"scope": "all"}},
	{op: "deleteOAuthTokens", outcome: "missing_parameter", params: map[string]string{"scope": absent}},
	{op: "deleteOAuthTokens", outcome: "failed", gateway: 500},
	{op: "deleteOAuthTokens", outcome: "no_gateway"},
	{op: "generateAuthToken", outcome: "unknown_organisation", body: `{"OrgID":"588b4f0bb275ff0001cc7471","ForSection":"portal"}`},
	{op: "generateAuthToken", outcome: "invalid", body: `{"OrgID":"` + exampleOrg + `","ForSection":"cellar"}`},

	{op: "getUser", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "getUser", outcome: "access_denied", params: map[string]string{"userId": "nope"}, before: permissions(`{"apis":"read"}`)},
	{op: "getUsers", outcome: "access_denied", before: permissions(`{"apis":"read"}`)},
	{op: "deleteUser", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "deleteUser", outcome: "access_denied", params: map[string]string{"userId": "nope"}, before: permissions(`{"users":"read"}`)},
	{op: "resetUserKey", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "resetUserKey", outcome: "access_denied", params: map[string]string{"userId": "nope"}, before: permissions(`{"users":"read"}`)},
	{op: "setUserPassword", outcome: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "setUserPassword", outcome: "not_admin", params: map[string]string{"userId": "other"}, before: permissions(`{"users":"write"}`)},
	{op: "setUserPassword", outcome: "not_allowed", params: map[string]string{"userId": "other"}, before: permissions(`{"IsAdmin":"admin"}`)},
	{
		op: "setUserPassword", outcome: "wrong_password", body: `{"new_password":"correct-horse","current_password":"wrong"}`,
		before: func(b *bundle) {
			b.do("POST", "/api/users/"+exampleUser+"/actions/reset", `{"new_password":"battery-staple"}`, asUser(exampleKey)).is(200)
		},
	},
	{op: "getApis", outcome: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getApi", outcome: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getApi", outcome: "not_found", params: map[string]string{"apiId": "nope"}},
	{op: "getPolicies", outcome: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getPolicy", outcome: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getPolicy", outcome: "not_found", params: map[string]string{"policyId": "nope"}},
	{op: "createSSONonce", outcome: "access_denied", before: permissions(`{"users":"read"}`)},
	{
		op: "createSSONonce", outcome: "unknown_organisation", body: `{"OrgID":"588b4f0bb275ff0001cc7471","ForSection":"portal"}`,
		before: sql(`UPDATE users SET org_id = NULL WHERE id = '` + exampleUser + `'`),
	},
	{op: "createSSONonce", outcome: "invalid", body: `{"OrgID":"` + exampleOrg + `"}`},
	{op: "createSSONonce", outcome: "sso_disabled", before: sql(`UPDATE organisations SET sso_enabled = false`)},
	{op: "redeemDashboardNonce", outcome: "missing_parameter", params: map[string]string{"nonce": absent}},
	{op: "redeemDashboardNonce", outcome: "not_found", params: map[string]string{"nonce": "nope"}},
	{op: "redeemDashboardNonce", outcome: "not_registered", before: sql(`UPDATE sso_nonces SET registered_only = true`)},
	{op: "redeemPortalNonce", outcome: "missing_parameter", params: map[string]string{"nonce": absent}},
	{op: "redeemPortalNonce", outcome: "not_found", params: map[string]string{"nonce": "nope"}},
	{op: "redeemPortalNonce", outcome: "not_registered", before: sql(`UPDATE sso_nonces SET registered_only = true`)},
	{op: "getReady", outcome: "failed", before: disconnect},

	{op: "listApiKeys", outcome: "ok", control: holdingKey(ownSession)},
	{op: "listApiKeys", outcome: "not_found", params: map[string]string{"apiId": "nope"}},
	{op: "listApiKeys", outcome: "access_denied", before: permissions(`{"apis":"read"}`)},
	{op: "listApiKeys", outcome: "gateway", gateway: 400},
	{op: "listApiKeys", outcome: "no_gateway"},
	{op: "addKey", outcome: "ok", control: holdingKey(ownSession)},
	{op: "addKey", outcome: "not_owned", body: otherSession},
	{op: "addKey", outcome: "access_denied", before: permissions(`{"keys":"read"}`)},
	{op: "addKey", outcome: "gateway", gateway: 400},
	{op: "addKey", outcome: "no_gateway"},
	{op: "getKeyDetail", outcome: "ok", control: holdingKey(ownSession)},
	{op: "getKeyDetail", outcome: "not_owned", control: holdingKey(otherSession)},
	{op: "getKeyDetail", outcome: "access_denied", before: permissions(`{"apis":"read"}`)},
	{op: "getKeyDetail", outcome: "not_found", gateway: 404},
	{op: "getKeyDetail", outcome: "gateway", gateway: 400},
	{op: "getKeyDetail", outcome: "no_gateway"},
	{op: "updateKey", outcome: "ok", control: holdingKey(ownSession)},
	{op: "updateKey", outcome: "not_owned", control: holdingKey(otherSession)},
	{op: "updateKey", outcome: "access_denied", before: permissions(`{"keys":"read"}`)},
	{op: "updateKey", outcome: "not_found", gateway: 404},
	{op: "updateKey", outcome: "gateway", gateway: 400},
	{op: "updateKey", outcome: "no_gateway"},
	{op: "deleteKey", outcome: "ok", control: holdingKey(ownSession)},
	{op: "deleteKey", outcome: "not_owned", control: holdingKey(otherSession)},
	{op: "deleteKey", outcome: "access_denied", before: permissions(`{"keys":"read"}`)},
	{op: "deleteKey", outcome: "not_found", gateway: 404},
	{op: "deleteKey", outcome: "gateway", gateway: 400},
	{op: "deleteKey", outcome: "no_gateway"},

	{op: "registerNode", outcome: "bad_parameter", change: []with{twice("x-tyk-hostname")}},
	{op: "pingNode", outcome: "ok", before: registered},
	{op: "pingNode", outcome: "not_found"},
	{op: "pingNode", outcome: "bad_parameter", change: []with{twice("x-tyk-nodeid")}},
	{op: "removeNode", outcome: "ok", before: registered},
	{op: "removeNode", outcome: "bad_parameter", change: []with{twice("x-tyk-nodeid")}},
	{op: "listNodes", outcome: "ok", before: registered},
}

// scenariosOf returns the scenarios of an operation: those of the table, and those of every operation of its kind.
func scenariosOf(op operation) []scenario {
	var all []scenario
	named := map[string]bool{}
	for _, o := range scenarios {
		if o.op == op.id {
			all = append(all, o)
			named[o.outcome] = true
		}
	}
	add := func(o scenario) {
		if !named[o.outcome] {
			all = append(all, o)
		}
	}
	add(scenario{outcome: "ok"})
	if op.scheme != "" {
		add(scenario{outcome: "unauthorised", change: []with{header("Admin-Auth", "wrong"), header("Authorization", "wrong")}})
	}
	if op.scheme == "access_key" {
		add(scenario{outcome: "no_key", change: []with{header("Authorization", "")}})
	}
	if op.declared.RequestBody != nil {
		limit := 4 << 20
		if op.id == "importAPIs" || op.id == "importPolicies" {
			limit = 64 << 20
		}
		add(scenario{outcome: "empty_body", body: " \n"})
		add(scenario{outcome: "malformed", body: "%zz{"})
		add(scenario{outcome: "too_large", body: strings.Repeat(" ", limit+1)})
		add(scenario{outcome: "too_slow", slow: true})
	}
	if slices.ContainsFunc(op.declared.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == "p" }) {
		add(scenario{outcome: "bad_parameter", params: map[string]string{"p": "abc"}})
	}
	if _, ok := op.examples()["failed"]; ok {
		add(scenario{outcome: "failed", before: breakDatabase})
	}
	return all
}

// TestContractCoverage produces every documented response of every operation and compares it with its example.
func TestContractCoverage(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			examples := op.examples()
			produced := map[string]int{}
			var mu sync.Mutex
			t.Run("outcome", func(t *testing.T) {
				for _, o := range scenariosOf(op) {
					t.Run(o.outcome, func(t *testing.T) {
						t.Parallel()
						want, documented := examples[o.outcome]
						require.True(t, documented, "the contract of %s has no example named %s", op.id, o.outcome)
						got := o.send(t, op).is(want.status)
						compare(t, want, got)
						mu.Lock()
						produced[o.outcome] = got.status
						mu.Unlock()
					})
				}
			})
			var row []string
			for name, e := range examples {
				if _, ok := produced[name]; !ok {
					t.Errorf("%s: %d %s is documented, but no scenario produces it. Add one to scenarios, or rows to insertExamples.",
						op.id, e.status, name)
				}
				row = append(row, fmt.Sprintf("%d %s", e.status, name))
			}
			sort.Strings(row)
			t.Logf("%-26s %-6s %s: %s", op.id, op.method, op.path, strings.Join(row, ", "))
		})
	}
}

// compare compares a response with its example: the same Message (but for the part that varies), the same shape.
func compare(t *testing.T, want example, got reply) {
	t.Helper()
	var response map[string]any
	got.json(&response)
	if message, ok := want.value["Message"].(string); ok && want.varies == "" && len(message) != len(exampleKey) {
		require.Equal(t, message, response["Message"], got.body)
	}
	if want.varies != "" {
		require.Contains(t, response["Message"], want.varies)
	}
	sameShape(t, "", want.value, response)
}

// sameShape checks that got has every member of want, with a value of the same type.
func sameShape(t *testing.T, at string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		require.Truef(t, ok, "%s is %T and not an object", at, got)
		for name, v := range w {
			if strings.HasSuffix(at, "/event_options") || strings.HasSuffix(at, "/api_definition") || strings.HasSuffix(at, "/0") || name == "reload" || name == "errors" ||
				strings.HasSuffix(at, "user_permissions") || strings.HasPrefix(at, "/Meta") && len(name) >= 24 || at == "/data" {
				continue // maps with any keys, and documents, which other tests compare byte for byte
			}
			require.Containsf(t, g, name, "%s lacks %s", at, name)
			sameShape(t, at+"/"+name, v, g[name])
		}
	case []any:
		g, ok := got.([]any)
		require.Truef(t, ok, "%s is %T and not a list", at, got)
		if len(w) > 0 && len(g) > 0 {
			sameShape(t, at+"/0", w[0], g[0])
		}
	case nil: // the Meta of an error may also list problems
		if _, problems := got.(map[string]any); !problems {
			require.Nilf(t, got, "%s is not null", at)
		}
	case string, bool:
		require.IsTypef(t, w, got, "%s", at)
	default:
		require.IsTypef(t, float64(0), got, "%s", at)
	}
}

// TestContractsValidate validates the contracts and their examples.
func TestContractsValidate(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"admin.yaml", "dashboard.yaml", "node.yaml"} {
		loader := openapi3.NewLoader()
		loader.IsExternalRefsAllowed = true
		spec, err := loader.LoadFromFile("../openapi/" + name)
		require.NoError(t, err)
		require.NoError(t, spec.Validate(context.Background(), openapi3.EnableExamplesValidation()), name)
	}
	for _, spec := range contractSpecs() {
		require.NoError(t, spec.Validate(context.Background(), openapi3.EnableExamplesValidation()))
	}
}
