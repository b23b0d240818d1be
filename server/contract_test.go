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

// operation is one operation of a contract, as a test needs it.
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

// example is a named example of a response: what a server says when that happens.
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

// target is the operation's path with its parameters' examples in it, or with other values for some.
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

// requestBody is the request's example; "" if the operation has no body.
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

// exampleBody is the example of an operation's request.
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

// The ids of the contracts' examples.
const (
	exampleOrg    = "53ac07777cbb8c2d53000002"
	exampleUser   = "614215edb2d47190f98b3b79"
	exampleKey    = "68b225c4376748207453c235ed8e2a82"
	exampleAPI    = "5fa2db834e07444f760b7ceb314209fb"
	examplePolicy = "61df10078f11dd00097cb55f"
	exampleNonce  = "YTNiOGUzZjctYWZkYi00OTNhLTYwODItZTAzMDI3MjM0OTEw"
	otherOrg      = "5e9d9544a1dcd60001d0ed20"
)

// furnished makes a database in which there is what the examples name.
func furnished(t testing.TB) string {
	t.Helper()
	return storetest.Copy(t, "template_furnished", func(conn string) {
		furnishing(t, conn)
	})
}

// furnishing starts a server only for furnish: a template must have no connection left.
func furnishing(t testing.TB, conn string) {
	t.Helper()
	tt, ok := t.(*testing.T)
	require.True(t, ok, "a template is made in a test")
	tt.Run("furnish", func(t *testing.T) { furnish(setupOn(t, conn)) })
}

// furnish puts what the examples name into a bundle's database.
func furnish(b *bundle) {
	b.t.Helper()
	b.admin("POST", "/admin/organisations/import", `{"id":"`+exampleOrg+`","owner_name":"Rivermouth Foods","sso_enabled":true}`).is(200)
	b.admin("POST", "/admin/organisations/import", `{"id":"`+otherOrg+`","owner_name":"Other","cname":"taken.example"}`).is(200)
	storetest.Exec(b.t, b.conn, `INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
		user_permissions, group_id, password_max_days, created_at) VALUES
		($1, $2, 'owner@rivermouth.example', 'owner@rivermouth.example', 'O', 'W', true, $3, '{"IsAdmin":"admin","ResetPassword":"admin"}', '', 0, now())`,
		exampleUser, exampleOrg, exampleKey)
	b.admin("POST", "/admin/apis/import", exampleBody(b.t, "importAPIs")).says(200, "APIs imported")
	b.admin("POST", "/admin/policies/import", exampleBody(b.t, "importPolicies")).says(200, "Policies imported")
	b.admin("POST", "/admin/org/keys", `{"org_id":"`+exampleOrg+`","rate":1,"per":1}`).is(200)
	storetest.Exec(b.t, b.conn, `INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES (sha256($1::bytea), $2, 'x', false, '{"ForSection":"dashboard","OrgID":"","EmailAddress":"","DisplayName":"","GroupID":"",
			"GroupsIDs":[],"SSOOnlyForRegisteredUsers":false,"UserNotAllowed":false}', now() + interval '1 day')`, []byte(exampleNonce), exampleOrg)
}

// occurrence makes one event happen to one operation.
type occurrence struct {
	op, event string
	params    map[string]string
	body      string // "": the contract's example
	before    func(*bundle)
	change    []with
	// gateway is what the control API of the gateway answers; 0 is no gateway.
	gateway int
	// slow: the client stops sending before the end of its body.
	slow bool
	// control is the control API where more than a status is asked of it.
	control http.HandlerFunc
}

// send makes it happen.
func (o occurrence) send(t *testing.T, op operation) reply {
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
			r.Body, r.ContentLength = struct { // the client gives up when it has the answer
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(`{"`), stalled), stalled}, -1
		})
	}
	b := setupOn(t, furnished(t), change...)
	if o.before != nil {
		o.before(b)
	}
	body := o.body
	if body == "" {
		body = op.requestBody(t)
	}
	return b.do(op.method, op.target(o.params), body, append(append([]with{credential(op)}, op.headers()...), o.change...)...)
}

// headers are the examples of the operation's header parameters.
func (op operation) headers() (all []with) {
	for _, p := range op.declared.Parameters {
		if p.Value.In == "header" {
			all = append(all, header(p.Value.Name, fmt.Sprint(p.Value.Example)))
		}
	}
	return all
}

// holdingKey is the control API of a gateway that has one key, with this session.
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

// twice sends a header two times.
func twice(name string) with {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = []string{"a", "b"} }
}

// credential is what the operation asks for.
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

// registered makes the examples' node known.
func registered(b *bundle) {
	storetest.Exec(b.t, b.conn, `INSERT INTO nodes VALUES ('9b2cbb1c-63ba-4f1e-8fd2-1f4b5d3a2c11', 's', 'gateway-1', now(), now())`)
}

func sql(statement string) func(*bundle) {
	return func(b *bundle) { storetest.Exec(b.t, b.conn, statement) }
}

// permissions replaces those of the caller of the examples.
func permissions(json string) func(*bundle) {
	return sql(`UPDATE users SET user_permissions = '` + json + `' WHERE id = '` + exampleUser + `'`)
}

// occurrences are what does not follow from the contract's structure; occurrencesOf adds what does.
var occurrences = []occurrence{
	{op: "createOrg", event: "conflict", body: `{"cname":"TAKEN.example"}`},
	{op: "importOrgs", event: "conflict", body: `{"id":"53ac07777cbb8c2d53000009","cname":"taken.example"}`},
	{op: "getOrg", event: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "updateOrg", event: "conflict", body: `{"cname":"Taken.Example"}`},
	{op: "updateOrg", event: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "deleteOrg", event: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "generatePortalAPIsForOrg", event: "conflict", body: "domain=taken.example"},
	{op: "generatePortalAPIsForOrg", event: "not_found", params: map[string]string{"orgID": "nope"}},
	{op: "createUser", event: "invalid", body: `{"email_address":"nobody"}`},
	{op: "createUser", event: "conflict", body: `{"org_id":"` + exampleOrg + `","email_address":"OWNER@rivermouth.example"}`},
	{op: "createUser", event: "unknown_organisation", body: `{"org_id":"588b4f0bb275ff0001cc7471","email_address":"a@b.example"}`},
	{op: "getUserDetail", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "updateUser", event: "invalid", body: `{"email_address":""}`},
	{op: "updateUser", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "updateUser", event: "unknown_organisation", body: `{"org_id":"588b4f0bb275ff0001cc7471","email_address":"a@b.example"}`},
	{
		op: "updateUser", event: "conflict", body: `{"org_id":"` + exampleOrg + `","email_address":"taken@rivermouth.example"}`,
		before: func(b *bundle) { b.user(exampleOrg, "taken@rivermouth.example", nil) },
	},
	{
		op: "updateUser", event: "key_conflict", body: `{"access_key":"taken","email_address":"a@b.example"}`,
		before: func(b *bundle) {
			u := b.user(exampleOrg, "x@rivermouth.example", nil)
			b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"x@rivermouth.example","access_key":"taken"}`).is(200)
		},
	},
	{op: "removeUser", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "allowResetPassword", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "disallowResetPassword", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "importAPIs", event: "ok", body: `{"apis":[{"api_definition":{"api_id":"5fa2db834e07444f760b7ceb314209fb","org_id":"` + exampleOrg + `"}},
		{"api_definition":{"api_id":"7a6ddeca9244448a4233866938a0d6e2","org_id":"` + exampleOrg + `"}}]}`},
	{op: "importAPIs", event: "refused", body: `{"apis":[{"api_definition":{"api_id":"5fa2db834e07444f760b7ceb314209fb","org_id":"` + exampleOrg + `"}},
		{"api_definition":{"api_id":"7a6ddeca9244448a4233866938a0d6e2","org_id":"nope"}}]}`},
	{op: "importPolicies", event: "refused", body: `{"Data":[{"_id":"61df10078f11dd00097cb55f","org_id":"nope"}]}`},
	{op: "removeAPI", event: "not_found", params: map[string]string{"apiId": "nope"}},
	{op: "removePolicy", event: "not_found", params: map[string]string{"policyId": "nope"}},
	{op: "createOrgKey", event: "unknown_organisation", body: `{"org_id":"588b4f0bb275ff0001cc7471"}`},
	{op: "createOrgKey", event: "gateway", gateway: 400},
	{op: "getOrgKey", event: "not_found", params: map[string]string{"keyId": "nope"}},
	{op: "updateOrgKey", event: "not_found", params: map[string]string{"keyId": otherOrg}, body: `{"rate":1}`},
	{op: "updateOrgKey", event: "invalid", body: `{"org_id":"` + otherOrg + `"}`},
	{op: "updateOrgKey", event: "gateway", gateway: 400},
	{op: "deleteOrgKey", event: "not_found", params: map[string]string{"keyId": "nope"}},
	{op: "deleteOrgKey", event: "gateway", gateway: 500},
	{op: "deleteOAuthTokens", event: "ok", gateway: 200},
	{op: "reloadURLs", event: "failed", before: disconnect},
	{op: "deleteOAuthTokens", event: "bad_parameter", params: map[string]string{"scope": "all"}},
	{op: "deleteOAuthTokens", event: "missing_parameter", params: map[string]string{"scope": absent}},
	{op: "deleteOAuthTokens", event: "failed", gateway: 500},
	{op: "deleteOAuthTokens", event: "no_gateway"},
	{op: "generateAuthToken", event: "unknown_organisation", body: `{"OrgID":"588b4f0bb275ff0001cc7471","ForSection":"portal"}`},
	{op: "generateAuthToken", event: "invalid", body: `{"OrgID":"` + exampleOrg + `","ForSection":"cellar"}`},

	{op: "getUser", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "getUser", event: "access_denied", params: map[string]string{"userId": "nope"}, before: permissions(`{"apis":"read"}`)},
	{op: "getUsers", event: "access_denied", before: permissions(`{"apis":"read"}`)},
	{op: "deleteUser", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "deleteUser", event: "access_denied", params: map[string]string{"userId": "nope"}, before: permissions(`{"users":"read"}`)},
	{op: "resetUserKey", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "resetUserKey", event: "access_denied", params: map[string]string{"userId": "nope"}, before: permissions(`{"users":"read"}`)},
	{op: "setUserPassword", event: "not_found", params: map[string]string{"userId": "nope"}},
	{op: "setUserPassword", event: "not_admin", params: map[string]string{"userId": "other"}, before: permissions(`{"users":"write"}`)},
	{op: "setUserPassword", event: "not_allowed", params: map[string]string{"userId": "other"}, before: permissions(`{"IsAdmin":"admin"}`)},
	{
		op: "setUserPassword", event: "wrong_password", body: `{"new_password":"correct-horse","current_password":"wrong"}`,
		before: func(b *bundle) {
			b.do("POST", "/api/users/"+exampleUser+"/actions/reset", `{"new_password":"battery-staple"}`, asUser(exampleKey)).is(200)
		},
	},
	{op: "getApis", event: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getApi", event: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getApi", event: "not_found", params: map[string]string{"apiId": "nope"}},
	{op: "getPolicies", event: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getPolicy", event: "access_denied", before: permissions(`{"users":"read"}`)},
	{op: "getPolicy", event: "not_found", params: map[string]string{"policyId": "nope"}},
	{op: "createSSONonce", event: "access_denied", before: permissions(`{"users":"read"}`)},
	{
		op: "createSSONonce", event: "unknown_organisation", body: `{"OrgID":"588b4f0bb275ff0001cc7471","ForSection":"portal"}`,
		before: sql(`UPDATE users SET org_id = NULL WHERE id = '` + exampleUser + `'`),
	},
	{op: "createSSONonce", event: "invalid", body: `{"OrgID":"` + exampleOrg + `"}`},
	{op: "createSSONonce", event: "sso_disabled", before: sql(`UPDATE organisations SET sso_enabled = false`)},
	{op: "redeemDashboardNonce", event: "missing_parameter", params: map[string]string{"nonce": absent}},
	{op: "redeemDashboardNonce", event: "not_found", params: map[string]string{"nonce": "nope"}},
	{op: "redeemDashboardNonce", event: "not_registered", before: sql(`UPDATE sso_nonces SET registered_only = true`)},
	{op: "redeemPortalNonce", event: "missing_parameter", params: map[string]string{"nonce": absent}},
	{op: "redeemPortalNonce", event: "not_found", params: map[string]string{"nonce": "nope"}},
	{op: "redeemPortalNonce", event: "not_registered", before: sql(`UPDATE sso_nonces SET registered_only = true`)},
	{op: "getReady", event: "failed", before: disconnect},

	{op: "listApiKeys", event: "ok", control: holdingKey(ownSession)},
	{op: "listApiKeys", event: "not_found", params: map[string]string{"apiId": "nope"}},
	{op: "listApiKeys", event: "access_denied", before: permissions(`{"apis":"read"}`)},
	{op: "listApiKeys", event: "gateway", gateway: 400},
	{op: "listApiKeys", event: "no_gateway"},
	{op: "addKey", event: "ok", control: holdingKey(ownSession)},
	{op: "addKey", event: "not_owned", body: otherSession},
	{op: "addKey", event: "access_denied", before: permissions(`{"keys":"read"}`)},
	{op: "addKey", event: "gateway", gateway: 400},
	{op: "addKey", event: "no_gateway"},
	{op: "getKeyDetail", event: "ok", control: holdingKey(ownSession)},
	{op: "getKeyDetail", event: "not_owned", control: holdingKey(otherSession)},
	{op: "getKeyDetail", event: "access_denied", before: permissions(`{"apis":"read"}`)},
	{op: "getKeyDetail", event: "not_found", gateway: 404},
	{op: "getKeyDetail", event: "gateway", gateway: 400},
	{op: "getKeyDetail", event: "no_gateway"},
	{op: "updateKey", event: "ok", control: holdingKey(ownSession)},
	{op: "updateKey", event: "not_owned", control: holdingKey(otherSession)},
	{op: "updateKey", event: "access_denied", before: permissions(`{"keys":"read"}`)},
	{op: "updateKey", event: "not_found", gateway: 404},
	{op: "updateKey", event: "gateway", gateway: 400},
	{op: "updateKey", event: "no_gateway"},
	{op: "deleteKey", event: "ok", control: holdingKey(ownSession)},
	{op: "deleteKey", event: "not_owned", control: holdingKey(otherSession)},
	{op: "deleteKey", event: "access_denied", before: permissions(`{"keys":"read"}`)},
	{op: "deleteKey", event: "not_found", gateway: 404},
	{op: "deleteKey", event: "gateway", gateway: 400},
	{op: "deleteKey", event: "no_gateway"},

	{op: "registerNode", event: "bad_parameter", change: []with{twice("x-tyk-hostname")}},
	{op: "pingNode", event: "ok", before: registered},
	{op: "pingNode", event: "not_found"},
	{op: "pingNode", event: "bad_parameter", change: []with{twice("x-tyk-nodeid")}},
	{op: "removeNode", event: "ok", before: registered},
	{op: "removeNode", event: "bad_parameter", change: []with{twice("x-tyk-nodeid")}},
	{op: "listNodes", event: "ok", before: registered},
}

// occurrencesOf is everything that is to happen to an operation: what the table above says, and what every operation of
// its kind must withstand.
func occurrencesOf(op operation) []occurrence {
	var all []occurrence
	named := map[string]bool{}
	for _, o := range occurrences {
		if o.op == op.id {
			all = append(all, o)
			named[o.event] = true
		}
	}
	add := func(o occurrence) {
		if !named[o.event] {
			all = append(all, o)
		}
	}
	add(occurrence{event: "ok"})
	if op.scheme != "" {
		add(occurrence{event: "unauthorised", change: []with{header("Admin-Auth", "wrong"), header("Authorization", "wrong")}})
	}
	if op.scheme == "access_key" {
		add(occurrence{event: "no_key", change: []with{header("Authorization", "")}})
	}
	if op.declared.RequestBody != nil {
		limit := 4 << 20
		if op.id == "importAPIs" || op.id == "importPolicies" {
			limit = 64 << 20
		}
		add(occurrence{event: "empty_body", body: " \n"})
		add(occurrence{event: "malformed", body: "%zz{"})
		add(occurrence{event: "too_large", body: strings.Repeat(" ", limit+1)})
		add(occurrence{event: "too_slow", slow: true})
	}
	if slices.ContainsFunc(op.declared.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == "p" }) {
		add(occurrence{event: "bad_parameter", params: map[string]string{"p": "abc"}})
	}
	if _, ok := op.examples()["failed"]; ok {
		add(occurrence{event: "failed", before: breakDatabase})
	}
	return all
}

// TestContractCoverage makes every documented answer of every operation happen, and compares it with its example.
func TestContractCoverage(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			examples := op.examples()
			happened := map[string]int{}
			var mu sync.Mutex
			t.Run("event", func(t *testing.T) {
				for _, o := range occurrencesOf(op) {
					t.Run(o.event, func(t *testing.T) {
						t.Parallel()
						want, documented := examples[o.event]
						require.True(t, documented, "the contract of %s has no example named %s", op.id, o.event)
						got := o.send(t, op).is(want.status)
						compare(t, want, got)
						mu.Lock()
						happened[o.event] = got.status
						mu.Unlock()
					})
				}
			})
			var row []string
			for name, e := range examples {
				if _, ok := happened[name]; !ok {
					t.Errorf("%s: %d %s is documented and never happened", op.id, e.status, name)
				}
				row = append(row, fmt.Sprintf("%d %s", e.status, name))
			}
			sort.Strings(row)
			t.Logf("%-26s %-6s %s: %s", op.id, op.method, op.path, strings.Join(row, ", "))
		})
	}
}

// compare compares an answer with its example: the same words (but for what varies), the same shape.
func compare(t *testing.T, want example, got reply) {
	t.Helper()
	var answer map[string]any
	got.json(&answer)
	if message, ok := want.value["Message"].(string); ok && want.varies == "" && len(message) != len(exampleKey) {
		require.Equal(t, message, answer["Message"], got.body)
	}
	if want.varies != "" {
		require.Contains(t, answer["Message"], want.varies)
	}
	sameShape(t, "", want.value, answer)
}

// sameShape checks that got has every member of want, of the same type. Maps of ids are compared by their values' types.
func sameShape(t *testing.T, at string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		require.Truef(t, ok, "%s is %T and not an object", at, got)
		for name, v := range w {
			if strings.HasSuffix(at, "/event_options") || strings.HasSuffix(at, "/api_definition") || strings.HasSuffix(at, "/0") || name == "reload" || name == "errors" ||
				strings.HasSuffix(at, "user_permissions") || strings.HasPrefix(at, "/Meta") && len(name) >= 24 || at == "/data" {
				continue // free maps, and stored documents, which are compared byte for byte elsewhere
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
	case nil: // null in an example is also where a list of problems may be
		if _, problems := got.(map[string]any); !problems {
			require.Nilf(t, got, "%s is not null", at)
		}
	case string, bool:
		require.IsTypef(t, w, got, "%s", at)
	default:
		require.IsTypef(t, float64(0), got, "%s", at)
	}
}

// TestContractsValidate validates the documents themselves, their examples included.
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
