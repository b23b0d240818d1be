package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
	"gatehouse/contract"
	"gatehouse/store/storetest"
)

// newRunner returns a runner of all scenarios.
func newRunner(t *testing.T, change ...func(*conformance.RunnerConfig)) *conformance.Runner {
	t.Helper()
	suite, err := scenarioSuite()
	require.NoError(t, err)
	cfg := conformance.RunnerConfig{
		Suite: suite, Run: "test", Random: rand.Reader, Now: time.Now, CleanupTimeout: time.Minute,
		Client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	for _, c := range change {
		c(&cfg)
	}
	return conformance.NewRunner(cfg)
}

// outside are the options of a check of which nothing is known but the URL and the secrets.
func outside(target conformance.Target) conformance.Options {
	return conformance.Options{Target: target, Parallel: 4, Provides: map[string]bool{"exclusive": true}}
}

func reportText(t *testing.T, report *conformance.Report) string {
	t.Helper()
	var text strings.Builder
	require.NoError(t, report.WriteText(&text))
	return text.String()
}

// TestCheckThroughAProxy checks a server with a gateway over HTTP alone: what it drives, and that it leaves nothing.
// The check passes through a proxy, which finds nothing that departs from the contract: neither in schemas nor in
// messages.
func TestCheckThroughAProxy(t *testing.T) {
	t.Parallel()
	target, b := startWithGateway(t)
	proxy, front := startProxy(t, target.URL)
	target.URL = front.URL
	before := storetest.Dump(t, b.conn)
	done := 0
	options := outside(target)
	options.Progress = func(p conformance.Progress) { done = p.Done }
	report, err := conformance.Check(t.Context(), newRunner(t), options)
	require.NoError(t, err)
	text := reportText(t, report)
	require.True(t, report.Held(), text)
	counts := report.Counts()
	require.GreaterOrEqual(t, counts.Driven, 260, text)
	documented := 0
	for op := range loadedContract().Operations() {
		documented += len(op.Responses)
	}
	require.Equal(t, documented, counts.Driven+counts.NotDriven)
	// The scenarios that need what a probe does not find are done, too, without a request.
	missing := []string{
		"needs a server without a gateway", "needs a Tyk Gateway that hashes keys and does not list them",
		"needs a server that POST /bootstrap is switched on for",
	}
	probed := 0
	for _, result := range report.Results {
		if result.Status == conformance.StatusDriven || slices.Contains(missing, result.Reason) {
			probed++
		}
	}
	require.Equal(t, probed, done)
	require.Contains(t, text, "needs a database that fails every statement")
	require.Empty(t, report.Leftovers())
	storetest.Exec(t, b.conn, `DELETE FROM sessions WHERE owner = ''`) // of operators, which end by themselves
	require.Equal(t, before, withoutHeartbeat(t, b.conn, before), "a check leaves nothing")
	front.Close() // waits until all is recorded
	seen := proxy.Report()
	require.True(t, seen.Held(), reportText(t, seen))
	require.GreaterOrEqual(t, seen.Counts().Driven, 260, reportText(t, seen))
}

// startProxy starts a proxy in front of a server.
func startProxy(t *testing.T, address string) (*conformance.Proxy, *httptest.Server) {
	t.Helper()
	upstream, err := url.Parse(address)
	require.NoError(t, err)
	suite, err := scenarioSuite()
	require.NoError(t, err)
	proxy := conformance.NewProxy(conformance.ProxyConfig{
		Spec: suite.Spec, Contracts: []*contract.Contract{loadedContract()}, Upstream: upstream, MaxBody: 1 << 20,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return proxy, front
}

// TestCheckRefusesAWrongSecret: with a wrong secret, every scenario that sends it would fail.
func TestCheckRefusesAWrongSecret(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"api_key", "node_secret"} {
		right := target(setup(t), nil)
		right.Secrets[scheme] = "wrong"
		_, err := conformance.Check(t.Context(), newRunner(t), outside(right))
		require.ErrorIs(t, err, conformance.ErrCannotRun, scheme)
	}
}

// withoutHeartbeat returns the rows of a database, with those of the gateway's node as they were: its heartbeat changes
// them.
func withoutHeartbeat(t *testing.T, conn, before string) string {
	t.Helper()
	nodes := func(dump string) (rest, node string) {
		head, tail, _ := strings.Cut(dump, "nodes\n")
		node, tail, _ = strings.Cut(tail, "\n")
		return head + "nodes\n" + tail, node
	}
	_, node := nodes(before)
	after, changed := nodes(storetest.Dump(t, conn))
	require.Equal(t, node[:40], changed[:40], "the gateway's node stays registered")
	head, tail, _ := strings.Cut(after, "nodes\n")
	return head + "nodes\n" + node + "\n" + tail
}

// TestInterruptedCheckLeavesNothing ends a check while scenarios run.
func TestInterruptedCheckLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := storetest.Dump(t, b.conn)
	for _, after := range []int{1, 20, 100} {
		ctx, interrupt := context.WithCancel(t.Context())
		options := outside(target(b, nil))
		options.Progress = func(p conformance.Progress) {
			if p.Done == after {
				interrupt()
			}
		}
		report, err := conformance.Check(ctx, newRunner(t), options)
		require.NoError(t, err)
		require.True(t, report.Held(), reportText(t, report))
		require.Empty(t, report.Leftovers())
		require.Contains(t, reportText(t, report), "interrupted")
		storetest.Exec(t, b.conn, `DELETE FROM sessions WHERE owner = ''`) // of operators, which end by themselves
		require.Equal(t, before, storetest.Dump(t, b.conn), "after %d", after)
	}
}

// TestReadOnlyCheckSendsNothingButGET watches the requests of a check with ReadOnly.
func TestReadOnlyCheckSendsNothingButGET(t *testing.T) {
	t.Parallel()
	b := setup(t)
	base, err := url.Parse(b.url)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(base)
	watched := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("sent %s %s", r.Method, r.URL)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(watched.Close)
	through := target(b, nil)
	through.URL = watched.URL
	options := outside(through)
	options.ReadOnly = true
	report, err := conformance.Check(t.Context(), newRunner(t), options)
	require.NoError(t, err)
	require.True(t, report.Held(), reportText(t, report))
	require.Greater(t, report.Counts().Driven, 40)
}

// TestCheckOfThePublishedContract checks only what the published contracts have: gatehouse is a superset of them.
func TestCheckOfThePublishedContract(t *testing.T) {
	t.Parallel()
	through, b := startWithGateway(t)
	before := storetest.Dump(t, b.conn)
	var documents []*openapi3.T
	for _, name := range []string{"dashboard-admin-5.11.yml", "dashboard-5.11.yml"} {
		document, err := openapi3.NewLoader().LoadFromFile("../openapi/published/" + name)
		require.NoError(t, err)
		documents = append(documents, document)
	}
	runner := newRunner(t, func(cfg *conformance.RunnerConfig) { cfg.Published = conformance.NewPublished(documents...) })
	report, err := conformance.Check(t.Context(), runner, outside(through))
	require.NoError(t, err)
	text := reportText(t, report)
	require.True(t, report.Held(), text)
	require.Greater(t, report.Counts().Driven, 100, text)
	for _, result := range report.Results {
		if result.Scenario.Operation.Own {
			require.Equal(t, conformance.StatusNotDriven, result.Status, result.Scenario.ID())
		}
	}
	require.Empty(t, report.Leftovers())
	require.Equal(t, before, withoutHeartbeat(t, b.conn, before), "it leaves nothing, although the contract cannot remove users")
}

// mutant is a fault of a server, made by a proxy.
type mutant struct {
	name string
	// only are the scenarios that are run.
	only []string
	// request changes a request on its way, response the response of one; both may be nil.
	request  func(*http.Request)
	response func(*http.Response, string) string
	// names is what the report has to say.
	names []string
}

func replaced(old, with string) func(*http.Response, string) string {
	return func(_ *http.Response, body string) string { return strings.ReplaceAll(body, old, with) }
}

func on(method, path string, change func(*http.Response, string) string) func(*http.Response, string) string {
	return func(r *http.Response, body string) string {
		if r.Request.Method == method && strings.HasPrefix(r.Request.URL.Path, path) {
			return change(r, body)
		}
		return body
	}
}

func status(code int) func(*http.Response, string) string {
	return func(r *http.Response, body string) string {
		r.StatusCode = code
		return body
	}
}

var mutants = []mutant{
	{
		name: "another status", only: []string{"createUser/*"}, response: func(r *http.Response, body string) string {
			if strings.Contains(body, "email already exists") {
				r.StatusCode = http.StatusConflict
			}
			return body
		},
		names: []string{"createUser/conflict", "the operation declares no status 409", "expected 403 (conflict), got 409"},
	},
	{
		name: "a declared status of another outcome", only: []string{"getOrg/not_found"},
		response: on("GET", "/admin/organisations/nope", status(http.StatusInternalServerError)),
		names:    []string{"getOrg/not_found", "expected 404 (not_found), got 500"},
	},
	{
		name: "a dropped field", only: []string{"getUserDetail/ok"},
		response: on("GET", "/admin/users/", replaced(`"group_id":"",`, "")),
		names: []string{
			"getUserDetail/ok", "/group_id: is missing", `schema: /group_id: property "group_id" is missing` + "\n",
		},
	},
	{
		name: "a wrong type", only: []string{"getUsers/ok"},
		response: on("GET", "/api/users", replaced(`"active":true`, `"active":"true"`)),
		names:    []string{"getUsers/ok", `/users/0/active: expected true, got "true"`, "schema: "},
	},
	{
		name: "a missing check", only: []string{"getApis/access_denied"},
		request: func(r *http.Request) {
			// The server takes the reader of users for an administrator: its creation loses the permissions.
			if r.Method == http.MethodPost && r.URL.Path == "/admin/users" {
				body, _ := io.ReadAll(r.Body)
				text := strings.ReplaceAll(string(body), `"user_permissions":{"users":"read"}`, `"user_permissions":null`)
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			}
		},
		names: []string{"getApis/access_denied", "expected 403 (access_denied), got 200"},
	},
	{
		name: "a missing authentication", only: []string{"deleteOrg/unauthorised"},
		request: func(r *http.Request) {
			if r.Method == http.MethodDelete {
				r.Header.Set("Admin-Auth", secret)
			}
		},
		names: []string{"deleteOrg/unauthorised", "expected 401 (unauthorised), got 404"},
	},
	{
		name: "another message", only: []string{"removeAPI/not_found"},
		response: replaced("Could not retrieve API detail", "API not found"),
		names:    []string{"removeAPI/not_found", `/Message: expected "Could not retrieve API detail", got "API not found"`},
	},
	{
		name: "a value that is lost", only: []string{"getOrg/ok"},
		response: on("GET", "/admin/organisations/", replaced(`"developer_quota":123`, `"developer_quota":0`)),
		names:    []string{"getOrg/ok", "/developer_quota: expected 123, got 0"},
	},
	{
		name: "another object", only: []string{"getApi/ok"},
		response: on("GET", "/api/apis/", replaced(`"name":"Tide tables"`, `"name":"Ferries"`)),
		names:    []string{"getApi/ok", `/api_definition/name: expected "Tide tables", got "Ferries"`},
	},
	{
		name: "a secret that leaks", only: []string{"getNodeAPIs/ok"},
		response: on("GET", "/system/apis", replaced(`"name":"Ferries"`, `"name":"Ferries","secret":"x"`)),
		names:    []string{"getNodeAPIs/ok", `/api_definition/secret: is not in the example, got "x"`},
	},
	{
		name: "a list without its last element", only: []string{"importAPIs/ok"},
		response: on("POST", "/admin/apis/import", func(_ *http.Response, body string) string {
			return body[:strings.LastIndex(body, ",")] + "}}"
		}),
		names: []string{"importAPIs/ok", "is missing, expected true"},
	},
	{
		name: "another content type", only: []string{"getRoot/ok"},
		response: func(r *http.Response, body string) string {
			r.Header.Set("Content-Type", "text/plain")
			return body
		},
		names: []string{"getRoot/ok", "schema: "},
	},
	{
		name: "an access key that is not the user's", only: []string{"createUser/ok"},
		response: on("POST", "/admin/users", func(_ *http.Response, body string) string {
			return strings.Replace(body, `"Message":"`, `"Message":"0`, 1)
		}),
		names: []string{
			"createUser/ok", `/Meta/access_key: expected "$ACCESS_KEY", got "$ACCESS_KEY", which is another value`,
		},
	},
}

// TestCheckNamesMutants checks a server with one fault at a time: each is found, and named.
func TestCheckNamesMutants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runner := newRunner(t)
	check := func(t *testing.T, through conformance.Target, only []string) *conformance.Report {
		t.Helper()
		options := outside(through)
		options.Only = only
		report, err := conformance.Check(t.Context(), runner, options)
		require.NoError(t, err)
		return report
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			through := target(b, nil)
			require.True(t, check(t, through, m.only).Held(), "the server without the fault")
			through.URL = mutated(t, b.url, m)
			report := check(t, through, m.only)
			text := reportText(t, report)
			require.False(t, report.Held(), text)
			for _, name := range m.names {
				require.Contains(t, text, name)
			}
			require.Contains(t, text, "curl -sS -X ")
			require.NotContains(t, text, secret)
		})
	}
}

// mutated starts a proxy that makes a fault, and returns its URL.
func mutated(t *testing.T, upstream string, m mutant) string {
	t.Helper()
	base, err := url.Parse(upstream)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(base)
			r.Out.Header.Del("Accept-Encoding")
			if m.request != nil {
				m.request(r.Out)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if m.response == nil {
				return nil
			}
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			text := []byte(m.response(r, string(raw)))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return nil
		},
		// The transport would otherwise ask for a compressed response.
		Transport: &http.Transport{DisableCompression: true},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// TestCheckThatCannotRun returns ErrCannotRun, with the reason.
func TestCheckThatCannotRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("a wrong secret", func(t *testing.T) {
		t.Parallel()
		wrong := target(b, nil)
		wrong.Secrets = map[string]string{"api_key": "another"}
		_, err := conformance.Check(t.Context(), newRunner(t), outside(wrong))
		require.ErrorIs(t, err, conformance.ErrCannotRun)
		require.ErrorContains(t, err, "401")
		require.NotContains(t, err.Error(), "another")
	})
	t.Run("no server", func(t *testing.T) {
		t.Parallel()
		listener := loopback(t)
		require.NoError(t, listener.Close())
		_, err := conformance.Check(t.Context(), newRunner(t), outside(conformance.Target{URL: "http://" + listener.Addr().String()}))
		require.ErrorIs(t, err, conformance.ErrCannotRun)
		require.ErrorContains(t, err, "connection refused")
	})
}

// TestFuzzHolds sends generated requests to a server with a gateway.
func TestFuzzHolds(t *testing.T) {
	t.Parallel()
	through, b := startWithGateway(t)
	report, err := conformance.Fuzz(t.Context(), newRunner(t), conformance.FuzzOptions{
		Options: outside(through), Seed: 1, Duration: time.Minute, Requests: 400,
	})
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, report.WriteText(&text))
	require.Empty(t, report.Failures, text.String())
	require.NotContains(t, b.log.String(), "panic")
}
