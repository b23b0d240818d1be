package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaytest"
	"gatehouse/openapi/scenarios"
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
				if len(security) > 0 { // sessions_test.go tests the others
					for scheme := range security[0] {
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
		content := response.Value.Content.Get("application/json")
		if content == nil {
			continue // a response without content has no example
		}
		for name, ex := range content.Examples {
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
		if mediaType == "multipart/form-data" {
			return formOfFile(ok.Value.Value.(map[string]any)["cert"].(string))
		}
		raw, err := json.Marshal(ok.Value.Value)
		require.NoError(t, err)
		return string(raw)
	}
	return ""
}

// formOfFile returns a form with a file.
func formOfFile(content string) string {
	return "--boundary\r\nContent-Disposition: form-data; name=\"cert\"; filename=\"cert.pem\"\r\n\r\n" + content + "\r\n--boundary--\r\n"
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
	exampleOrg      = "53ac07777cbb8c2d53000002"
	exampleUser     = "614215edb2d47190f98b3b79"
	exampleKey      = "68b225c4376748207453c235ed8e2a82"
	exampleAPI      = "5fa2db834e07444f760b7ceb314209fb"
	examplePolicy   = "61df10078f11dd00097cb55f"
	exampleGroup    = "6649fb3e5715ec4c96cbef36"
	exampleNonce    = "YTNiOGUzZjctYWZkYi00OTNhLTYwODItZTAzMDI3MjM0OTEw"
	exampleAuditLog = 1042
	otherOrg        = "5e9d9544a1dcd60001d0ed20"
)

// exampleDatabase returns a database with the rows that the contracts' examples name.
func exampleDatabase(t testing.TB) string {
	t.Helper()
	return storetest.Copy(t, "template_examples", func(conn string) {
		insertExamplesInto(t, conn)
		storetest.Keep(t, conn)
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
	const apis = `"apis":[{"api_human_name":"Tide tables","api_id":"` + exampleAPI + `"}]`
	b.admin("POST", "/admin/organisations/import", `{"id":"`+exampleOrg+`","owner_name":"Rivermouth Foods","sso_enabled":true,`+apis+`}`).is(200)
	b.admin("POST", "/admin/organisations/import", `{"id":"`+otherOrg+`","owner_name":"Other","cname":"taken.example",`+apis+`}`).is(200)
	storetest.Exec(b.t, b.conn, `INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
		user_permissions, group_id, password_max_days, created_at) VALUES
		($1, $2, 'owner@rivermouth.example', 'owner@rivermouth.example', 'O', 'W', true, $3, '{"IsAdmin":"admin","ResetPassword":"admin"}', '', 0, now())`,
		exampleUser, exampleOrg, exampleKey)
	b.admin("POST", "/admin/apis/import", exampleBody(b.t, "importAPIs")).message(200, "APIs imported")
	b.admin("POST", "/admin/policies/import", exampleBody(b.t, "importPolicies")).message(200, "Policies imported")
	b.admin("POST", "/admin/org/keys", `{"org_id":"`+exampleOrg+`","rate":1,"per":1}`).is(200)
	storetest.Exec(b.t, b.conn, insertUserGroup, exampleGroup, exampleOrg)
	insertExampleObjects(b)
	storetest.Exec(b.t, b.conn, `INSERT INTO audit_events (position, at, req_id, ip, who, actor, user_id, org_id, action, object, object_id,
		outcome, status, method, url, details) OVERRIDING SYSTEM VALUE
		VALUES ($1, now(), '', '', 'user', '', '', $2, '', '', '', '', 200, '', '', '{}')`, exampleAuditLog, exampleOrg)
	storetest.Exec(b.t, b.conn, `INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES (sha256($1::bytea), $2, 'x', false, '{"ForSection":"dashboard","OrgID":"","EmailAddress":"","DisplayName":"","GroupID":"",
			"GroupsIDs":[],"SSOOnlyForRegisteredUsers":false,"UserNotAllowed":false}', now() + interval '1 day')`, []byte("dashboard:"+exampleNonce), exampleOrg)
}

// insertUserGroup inserts the user group of the contracts' examples, under an ID and in an organisation.
const insertUserGroup = `INSERT INTO user_groups (id, org_id, active, user_permissions, document)
	VALUES ($1, $2, true, '{"analytics":"read","log":"read"}', '{"name":"Devops"}')`

// exampleObject is a document that the contracts' examples name.
type exampleObject struct {
	// operation returns it: its example is the document.
	operation, tag, kind string
	// publicID and lookUp are members that it is found by.
	publicID, lookUp string
}

var exampleObjects = []exampleObject{
	{operation: "getAsset", tag: "Assets", kind: "asset", publicID: "id"},
	{operation: "getWebhookDetail", tag: "Webhooks", kind: "webhook", publicID: "webhook_id"},
	{operation: "getPortalConfiguration", tag: "Developer Portal", kind: "portal_configuration"},
	{operation: "getPortalCatalogue", tag: "Developer Portal", kind: "portal_catalogue"},
	{operation: "getPortalMenus", tag: "Developer Portal", kind: "portal_menus"},
	{operation: "getPortalCSS", tag: "Developer Portal", kind: "portal_css"},
	{operation: "getPortalPage", tag: "Developer Portal", kind: "portal_page", publicID: "slug"},
	{operation: "getPortalDocumentation", tag: "Developer Portal", kind: "portal_documentation", publicID: "documentation"},
	{operation: "getPortalDeveloper", tag: "Developer Portal", kind: "portal_developer", publicID: "email", lookUp: "sso_key"},
	{operation: "getKeyRequest", tag: "Developer Portal", kind: "portal_request", publicID: "by_user", lookUp: "approved"},
}

// insertExampleObjects inserts the documents that the contracts' examples name.
func insertExampleObjects(b *bundle) {
	b.t.Helper()
	for _, op := range operations() {
		for _, o := range exampleObjects {
			if o.operation != op.id {
				continue
			}
			doc := op.examples()["ok"].value
			raw, err := json.Marshal(doc)
			require.NoError(b.t, err)
			id, publicID, lookUp := doc["id"], o.kind, (*string)(nil)
			if doc["_id"] != nil {
				id = doc["_id"]
			}
			if o.publicID != "" {
				publicID = fmt.Sprint(doc[o.publicID])
			}
			if o.lookUp != "" {
				value := fmt.Sprint(doc[o.lookUp])
				lookUp = &value
			}
			storetest.Exec(b.t, b.conn, `INSERT INTO objects (id, kind, org_id, public_id, look_up, document)
				VALUES ($1, $2, $3, $4, $5, $6)`, id, o.kind, exampleOrg, publicID, lookUp, string(raw))
		}
	}
}

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

// scenarioSuite returns the scenarios of openapi/scenarios. Its problems have the file and line of the contracts.
var scenarioSuite = sync.OnceValues(func() (*conformance.Suite, error) {
	spec, err := conformance.ReadSpec("../openapi/admin.yaml", "../openapi/dashboard.yaml", "../openapi/node.yaml")
	if err != nil {
		return nil, err
	}
	return conformance.Load(spec, scenarios.Files, "../"+scenarios.Dir)
})

// slowBody is the body timeout of the server for the outcome too_slow.
const slowBody = 50 * time.Millisecond

// scenarioServers starts the servers that scenarios need, each when the first scenario needs it. The scenarios of all
// operations share them: each acts on objects of its own.
type scenarioServers struct {
	t       *testing.T // all scenarios are subtests of it
	healthy func() *bundle
	byNeeds map[string]func() conformance.Target
}

func newScenarioServers(t *testing.T) *scenarioServers {
	t.Helper()
	s := &scenarioServers{t: t}
	s.healthy = sync.OnceValue(func() *bundle { return setup(t) })
	s.byNeeds = map[string]func() conformance.Target{
		"":                     func() conformance.Target { return target(s.healthy(), nil) },
		"no-gateway":           func() conformance.Target { return target(s.healthy(), nil) },
		"console":              func() conformance.Target { return target(s.healthy(), nil) },
		"later":                sync.OnceValue(s.later),
		"slow":                 sync.OnceValue(s.slow),
		"gateway":              sync.OnceValue(s.gateway),
		"gateway-without-list": sync.OnceValue(s.gatewayWithoutList),
		"gateway-fault":        sync.OnceValue(s.gatewayFault),
		"broken-database":      sync.OnceValue(s.brokenDatabase),
		"closed-database":      sync.OnceValue(s.closedDatabase),
		"guessed":              sync.OnceValue(s.guessed),
		"guesses":              sync.OnceValue(s.guessed),
		"no-bootstrap":         func() conformance.Target { return target(s.healthy(), nil) },
		"bootstrap":            sync.OnceValue(func() conformance.Target { return target(setup(t, withBootstrap), nil) }),
		"bootstrap fresh":      sync.OnceValue(func() conformance.Target { return target(setup(t, withBootstrap), nil) }),
	}
	s.byNeeds["gateway-without-hashes"] = s.byNeeds["gateway"]
	s.byNeeds["gateway exclusive"] = s.byNeeds["gateway"]
	return s
}

// target returns a server as scenarios use it. prepare is the server for the requests that prepare them, if it is
// another one.
func target(b, prepare *bundle) conformance.Target {
	t := conformance.Target{URL: b.url, Secrets: map[string]string{"api_key": secret, "node_secret": nodeSecret}}
	if prepare != nil {
		t.Prepare = prepare.url
	}
	return t
}

func (s *scenarioServers) slow() conformance.Target {
	patient := s.healthy()
	hasty := setupOn(s.t, patient.conn, func(cfg *server.Config) { cfg.Limits.BodyTimeout = slowBody })
	return target(hasty, patient)
}

// later is a server whose clock is a year ahead of that of the server which prepares its scenarios.
func (s *scenarioServers) later() conformance.Target {
	prepare := setup(s.t)
	b := setupOn(s.t, prepare.conn)
	b.clock.forward(365 * 24 * time.Hour)
	return target(b, prepare)
}

func (s *scenarioServers) gateway() conformance.Target {
	t, _ := startWithGateway(s.t)
	return t
}

func (s *scenarioServers) gatewayWithoutList() conformance.Target {
	t, _ := startWithGateway(s.t, func(cfg *gatewaytest.Config) { cfg.HashKeys = true })
	return t
}

// startWithGateway starts a server with a stand-in gateway that keeps keys in memory, and waits until the gateway has
// registered.
func startWithGateway(t *testing.T, change ...func(*gatewaytest.Config)) (conformance.Target, *bundle) {
	t.Helper()
	listener := loopback(t)
	cfg := gatewaytest.Config{
		DashboardURL: "http://" + listener.Addr().String(), NodeSecret: nodeSecret, ControlSecret: controlSecret,
	}
	for _, c := range change {
		c(&cfg)
	}
	standIn := gatewaytest.Start(t, cfg)
	b := setupAt(t, storetest.Database(t), listener, func(cfg *server.Config) {
		client, err := gateway.New(gateway.Config{Host: standIn.URL(), Secret: controlSecret})
		require.NoError(t, err)
		cfg.Gateway = client
	})
	standIn.WaitReady(t, time.Minute)
	return target(b, nil), b
}

// gatewayFault starts two servers on one database: one without a gateway, and one whose gateway refuses every call.
func (s *scenarioServers) gatewayFault() conformance.Target {
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"status":"error","message":"Request malformed"}`))
	}))
	s.t.Cleanup(control.Close)
	without := setup(s.t)
	return target(setupOn(s.t, without.conn, func(cfg *server.Config) {
		client, err := gateway.New(gateway.Config{Host: control.URL, Secret: controlSecret})
		require.NoError(s.t, err)
		cfg.Gateway = client
	}), without)
}

// guessed is a server whose clock stands still, so that it goes on refusing credentials.
func (s *scenarioServers) guessed() conformance.Target {
	start := time.Now()
	b := setup(s.t, func(cfg *server.Config) {
		cfg.Now = func() time.Time { return start }
		cfg.Limits.WrongCredentials = 1
	})
	b.do("GET", "/admin/hello", nil, header("Admin-Auth", "a guess")).is(401)
	return target(b, nil)
}

// withBootstrap switches POST /bootstrap on.
func withBootstrap(cfg *server.Config) { cfg.Security.Bootstrap = true }

func (s *scenarioServers) brokenDatabase() conformance.Target {
	b := setup(s.t, withBootstrap)
	storetest.Exec(s.t, b.conn, `DROP SCHEMA public CASCADE`)
	return target(b, nil)
}

func (s *scenarioServers) closedDatabase() conformance.Target {
	b := setup(s.t)
	b.store.Close()
	return target(b, nil)
}

// TestContractCoverage makes every documented outcome of every operation happen, and compares the response with its
// example. How is in openapi/scenarios.
func TestContractCoverage(t *testing.T) {
	t.Parallel()
	suite, err := scenarioSuite()
	require.NoError(t, err)
	// What the scenarios make is removed with the databases.
	runner := newRunner(t, func(cfg *conformance.RunnerConfig) { cfg.Keep = true })
	servers := newScenarioServers(t)
	byOperation := map[string][]*conformance.Scenario{}
	for _, s := range suite.Scenarios {
		byOperation[s.Operation.ID] = append(byOperation[s.Operation.ID], s)
	}
	for id, all := range byOperation {
		t.Run(id+"/outcome", func(t *testing.T) {
			t.Parallel()
			for _, s := range all {
				t.Run(strings.TrimPrefix(s.ID(), id+"/"), func(t *testing.T) {
					t.Parallel()
					start, ok := servers.byNeeds[strings.Join(s.Needs, " ")]
					require.True(t, ok, "%s: no server of this test meets the needs %q", s.Position, s.Needs)
					result := runner.Run(t.Context(), s, start())
					if result.Status != conformance.StatusDriven {
						t.Errorf("%s: %s\n%s", s.Position, result.Description(), result.Script())
					}
				})
			}
		})
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
