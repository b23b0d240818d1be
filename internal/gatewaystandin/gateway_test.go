package gatewaystandin_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/internal/gatewaystandin"
	"gatehouse/internal/gatewaytest"
)

const (
	ms = time.Millisecond
	// soon is the time-out of what is bound to happen. It is long: only a failure waits for it.
	soon = time.Minute
)

// setup starts a dashboard with one keyless API, and a gateway that has loaded it.
func setup(t *testing.T, change ...func(*gatewaytest.Config)) (*dashboard, *gatewaytest.Gateway) {
	t.Helper()
	t.Parallel()
	d := newDashboard(t)
	d.set("[]", list(api("one", "")))
	cfg := config(d)
	for _, c := range change {
		c(&cfg)
	}
	g := gatewaytest.Start(t, cfg)
	g.WaitReady(t, soon)
	return d, g
}

// reload requests a reload and waits for it.
func reload(t *testing.T, g *gatewaytest.Gateway) {
	t.Helper()
	status, body := ask(t, g, http.MethodGet, "/tyk/reload/?block=true", "")
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"status":"ok","message":""}`, body)
}

// ask calls the gateway with the control secret, or with the header "Authorization: <key>" if one is given.
func ask(t *testing.T, g *gatewaytest.Gateway, method, path, body string, key ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, g.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	if len(key) > 0 {
		r.Header.Set("Authorization", key[0])
	} else {
		r.Header.Set("x-tyk-authorization", control)
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, strings.TrimSpace(string(text))
}

func expect(
	t *testing.T, g *gatewaytest.Gateway, method, path, body string, status int, contains string, key ...string,
) string {
	t.Helper()
	got, text := ask(t, g, method, path, body, key...)
	require.Equal(t, status, got, "%s %s: %s", method, path, text)
	require.Contains(t, text, contains)
	return text
}

// waitPings waits until the gateway has sent n more heartbeats: time enough for whatever else it was about to do.
func waitPings(t *testing.T, g *gatewaytest.Gateway, n int) {
	t.Helper()
	pings := func() (sent int) {
		for _, c := range g.Calls() {
			if c.Path == "/register/ping" {
				sent++
			}
		}
		return sent
	}
	before := pings()
	gatewaytest.Eventually(t, soon, "heartbeats", func() bool { return pings() >= before+n })
}

func paths(calls []gatewaytest.Call) []string {
	var all []string
	for _, c := range calls {
		all = append(all, c.Path)
	}
	return all
}

func TestStartIsThatOfARealGateway(t *testing.T) {
	// One heartbeat only: its place among the first calls is looked at.
	_, g := setup(t, func(c *gatewaytest.Config) { c.PingInterval = time.Hour })

	t.Run("the dashboard is called in the real order", func(t *testing.T) {
		gatewaytest.Eventually(t, soon, "the first heartbeat", func() bool { return len(g.Calls()) >= 6 })
		all := paths(g.Calls())
		require.Equal(t, []string{"/register/node", "/system/policies", "/system/apis"}, all[:3])
		// The heartbeat runs beside the second reload.
		require.ElementsMatch(t, []string{"/register/ping", "/system/policies", "/system/apis"}, all[3:6])
		require.Equal(t, 2, g.Reloads())
	})
	t.Run("the first heartbeat carries a nonce of the second reload", func(t *testing.T) {
		calls := g.Calls()[3:6]
		beat := slices.IndexFunc(calls, func(c gatewaytest.Call) bool { return c.Path == "/register/ping" })
		require.NotEmpty(t, calls[beat].Nonce)
		others := slices.Delete(slices.Clone(calls), beat, beat+1)
		require.Contains(t, []string{others[0].Nonce, others[1].Nonce}, calls[beat].Nonce)
	})
	t.Run("each call carries the headers of its kind", func(t *testing.T) {
		require.NoError(t, g.QuotaTrigger(org, "key", 50))
		session := g.SessionID()
		for _, c := range g.Calls() {
			require.Equal(t, secret, c.Headers.Get("authorization"))
			_, named := c.Headers["X-Tyk-Nodeid"]
			_, nonce := c.Headers["X-Tyk-Nonce"]
			require.Equal(t, c.Path != "/register/node", named, c.Path)
			require.Equal(t, named, nonce, c.Path)
			require.Equal(t, c.Path != "/system/key/quota_trigger", c.SessionID == session, c.Path)
			require.Equal(t, strings.HasPrefix(c.Path, "/register/"), c.Hostname == "host-1", c.Path)
		}
	})
	t.Run("it serves and is ready", func(t *testing.T) {
		expect(t, g, http.MethodGet, "/one/x", "", http.StatusOK, `{"api_id":"one"}`)
		expect(t, g, http.MethodGet, "/ready", "", http.StatusOK, "Tyk GW Ready")
		expect(t, g, http.MethodPost, "/hello", "", http.StatusMethodNotAllowed, "Method Not Allowed")
		require.Equal(t, "node-1", g.NodeID())
	})
	t.Run("it takes leave when stopped, and starts anew", func(t *testing.T) {
		before := g.SessionID()
		require.NoError(t, g.Stop())
		calls := g.Calls()
		require.Equal(t, http.MethodDelete, calls[len(calls)-1].Method)
		require.Equal(t, "/system/node", calls[len(calls)-1].Path)
		url := g.URL()
		g.Restart()
		g.WaitReady(t, soon)
		require.Equal(t, url, g.URL())
		require.NotEqual(t, before, g.SessionID())
		g.Kill()
		require.NotContains(t, paths(g.Calls()), "/system/node")
	})
}

func TestWithoutDashboardItListensAndKeepsTrying(t *testing.T) {
	t.Parallel()
	d := newDashboard(t)
	d.answer("/register/node", http.StatusInternalServerError, "")
	g := gatewaytest.Start(t, config(d))
	expect(t, g, http.MethodGet, "/hello", "", http.StatusOK, `"status":"pass"`)
	expect(t, g, http.MethodGet, "/ready", "", http.StatusServiceUnavailable, "A successful API reload did not happen")
	require.True(t, strings.HasPrefix(g.NodeID(), "solo-"))
	d.answer("/register/node", 0, "")
	g.WaitReady(t, soon)
}

func TestRegisterAnswers(t *testing.T) {
	t.Run("a Message of text is no registration, and the next ping mends it", func(t *testing.T) {
		t.Parallel()
		d := newDashboard(t)
		d.answer("/register/node", http.StatusOK, `{"Status":"OK","Message":"no","Nonce":"n"}`)
		d.answer("/register/ping", http.StatusForbidden, "")
		g := gatewaytest.Start(t, config(d))
		waitPings(t, g, 3)
		require.Zero(t, g.Registrations())
		d.answer("/register/node", 0, "")
		gatewaytest.Eventually(t, soon, "registered", func() bool { return g.Registrations() > 0 })
	})
	t.Run("409 leaves the node solo", func(t *testing.T) {
		t.Parallel()
		d := newDashboard(t)
		d.answer("/register/node", http.StatusConflict, `{"Status":"OK","Message":{"NodeID":"n"},"Nonce":"n"}`)
		g := gatewaytest.Start(t, config(d))
		gatewaytest.Eventually(t, soon, "second reload", func() bool { return g.Reloads() > 0 })
		require.True(t, strings.HasPrefix(g.NodeID(), "solo-"))
		require.Zero(t, g.Registrations())
	})
	t.Run("409 is read by 5.14", func(t *testing.T) {
		t.Parallel()
		d := newDashboard(t)
		d.answer("/register/node", http.StatusConflict, `{"Status":"Error","Message":{},"Nonce":"n"}`)
		cfg := config(d)
		cfg.Version = gatewaystandin.Version5_14
		g := gatewaytest.Start(t, cfg)
		registrations := func() (sent int) {
			for _, path := range paths(g.Calls()) {
				if path == "/register/node" {
					sent++
				}
			}
			return sent
		}
		gatewaytest.Eventually(t, soon, "tries again", func() bool { return registrations() > 2 })
		require.Zero(t, g.Reloads())
		d.answer("/register/node", http.StatusConflict, `{"Status":"OK","Message":{"NodeID":"n"},"Nonce":"n"}`)
		g.WaitReady(t, soon)
		require.Equal(t, "n", g.NodeID())
		gatewaytest.Eventually(t, soon, "loads the identity providers", func() bool {
			return slices.Contains(paths(g.Calls()), "/system/clientidps")
		})
	})
	t.Run("409 without JSON ends the registration of 5.14", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{"", "registered"} {
			d := newDashboard(t)
			d.answer("/register/node", http.StatusConflict, body)
			cfg := config(d)
			cfg.Version = gatewaystandin.Version5_14
			g := gatewaytest.Start(t, cfg)
			gatewaytest.Eventually(t, soon, "the reload after it", func() bool { return g.Reloads() > 0 })
			require.True(t, strings.HasPrefix(g.NodeID(), "solo-"))
			require.Zero(t, g.Registrations())
		}
	})
}

func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	_, err := gatewaystandin.Start(t.Context(), gatewaystandin.Config{NodeSecret: secret, Version: "v4.0.0"})
	require.ErrorIs(t, err, gatewaystandin.ErrUnknownVersion)
}

// TestRegistrationWithinAReload: what a gateway does that loses its dashboard in the middle of a reload, and finds it
// again, depends on the response to its registration.
func TestRegistrationWithinAReload(t *testing.T) {
	const success = `{"Status":"OK","Message":{"NodeID":"n"},"Nonce":"n"}`
	type outcome struct {
		status   int
		body     string
		hangs    bool
		reloaded bool // the reload goes on after the registration, and succeeds
	}
	for version, outcomes := range map[gatewaystandin.Version]map[string]outcome{
		gatewaystandin.Version5_11: {
			"200":                {status: 200, body: success, hangs: true},
			"409 without a body": {status: 409, reloaded: true},
			"409 that says OK":   {status: 409, body: success, reloaded: true},
			"409 as text":        {status: 409, body: "registered", reloaded: true},
		},
		gatewaystandin.Version5_14: {
			"200":                {status: 200, body: success, hangs: true},
			"409 without a body": {status: 409},
			"409 that says OK":   {status: 409, body: success, hangs: true},
			"409 as text":        {status: 409, body: "registered"},
		},
	} {
		for name, want := range outcomes {
			t.Run(string(version)+" and "+name, func(t *testing.T) {
				d, g := setup(t, func(c *gatewaytest.Config) { c.Version = version })
				d.set("[]", list(api("two", "")))
				d.handle("/system/apis", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
				d.handle("/register/node", func(w http.ResponseWriter, _ *http.Request) { // the dashboard is back
					d.handle("/system/apis", nil)
					w.WriteHeader(want.status)
					_, _ = w.Write([]byte(want.body))
				})
				before := g.Reloads()
				_, _ = ask(t, g, http.MethodGet, "/tyk/reload", "")
				gatewaytest.Eventually(t, soon, "the end of the reload", func() bool { return g.Idle() || g.Deadlocked() })
				require.Equal(t, want.hangs, g.Deadlocked())
				require.Equal(t, want.reloaded, g.Reloads() == before+1)
				if want.hangs {
					return
				}
				require.Equal(t, "node-1", g.NodeID())
				reload(t, g)
				require.Equal(t, []string{"two"}, g.APIs(), "the next notice is followed")
			})
		}
	}
}

// TestDeadlockBeforeAHeartbeat: a dashboard has to tell a gateway that starts from one that registers within its first
// reload, and cannot.
func TestDeadlockBeforeAHeartbeat(t *testing.T) {
	for name, test := range map[string]struct {
		heartbeat       int // the status of the response
		beforeHeartbeat bool
	}{
		"no heartbeat was answered": {heartbeat: http.StatusInternalServerError, beforeHeartbeat: true},
		"a heartbeat was answered":  {heartbeat: http.StatusOK, beforeHeartbeat: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDashboard(t)
			d.answer("/register/ping", test.heartbeat, `{"Status":"OK","Message":{},"Nonce":""}`)
			g := gatewaytest.Start(t, config(d))
			g.WaitReady(t, soon)
			waitPings(t, g, 2) // the response to one of them has arrived
			require.Equal(t, test.beforeHeartbeat, g.Heartbeats() == 0)
			d.handle("/system/apis", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			_, _ = ask(t, g, http.MethodGet, "/tyk/reload", "")
			gatewaytest.Eventually(t, soon, "deadlock", g.Deadlocked)
			require.Equal(t, test.beforeHeartbeat, g.DeadlockedBeforeHeartbeat())
			d.answer("/register/ping", http.StatusOK, `{"Status":"OK","Message":{},"Nonce":""}`)
			gatewaytest.Eventually(t, soon, "a later heartbeat", func() bool { return g.Heartbeats() > 0 })
			require.Equal(t, test.beforeHeartbeat, g.DeadlockedBeforeHeartbeat(), "what came later changes nothing")
			d.handle("/system/apis", nil)
			g.Restart()
			require.False(t, g.DeadlockedBeforeHeartbeat())
		})
	}
	t.Run("in the first reload", func(t *testing.T) {
		t.Parallel()
		d := newDashboard(t)
		d.handle("/system/apis", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		g := gatewaytest.Start(t, config(d))
		gatewaytest.Eventually(t, soon, "deadlock", g.DeadlockedBeforeHeartbeat)
	})
}

func TestRefusedReload(t *testing.T) {
	for _, words := range []string{"Nonce failed", "Authorization failed (nonce empty)", "No node ID Found"} {
		t.Run("403 with "+words+" deadlocks", func(t *testing.T) {
			d, g := setup(t)
			d.answer("/system/policies", http.StatusForbidden, words)
			_, _ = ask(t, g, http.MethodGet, "/tyk/reload", "")
			gatewaytest.Eventually(t, soon, "deadlock", g.Deadlocked)
			d.answer("/system/policies", 0, "")
			d.set("[]", list(api("two", "")))
			before := g.Reloads()
			_, _ = ask(t, g, http.MethodGet, "/tyk/reload", "")

			// A reload that would succeed never runs, not even for a client that waits for it.
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL()+"/tyk/reload?block=true", nil)
			require.NoError(t, err)
			r.Header.Set("x-tyk-authorization", control)
			ended := make(chan error, 1)
			go func() {
				response, err := http.DefaultClient.Do(r)
				if err == nil {
					_ = response.Body.Close()
				}
				ended <- err
			}()
			waitPings(t, g, 10)
			cancel()
			require.ErrorIs(t, <-ended, context.Canceled)
			require.Equal(t, before, g.Reloads())
			require.Equal(t, []string{"one"}, g.APIs())
			expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "one")
			expect(t, g, http.MethodGet, "/ready", "", http.StatusOK, "pass")

			g.Restart()
			g.WaitForAPI(t, "two", soon)
			require.False(t, g.Deadlocked())
		})
	}
	t.Run("403 with neutral words fails that reload only", func(t *testing.T) {
		d, g := setup(t)
		d.answer("/system/apis", http.StatusForbidden, "no")
		reload(t, g)
		require.Len(t, g.ReloadErrors(), 1)
		require.Equal(t, []string{"one"}, g.APIs())
		d.answer("/system/apis", 0, "")
		d.set("[]", list(api("two", "")))
		reload(t, g)
		require.Equal(t, []string{"two"}, g.APIs())
		require.False(t, g.Deadlocked())
	})
	t.Run("500 for policies leaves the APIs unasked", func(t *testing.T) {
		d, g := setup(t)
		d.answer("/system/policies", http.StatusInternalServerError, "nonce")
		d.handle("/system/apis", func(http.ResponseWriter, *http.Request) { t.Error("APIs were fetched") })
		reload(t, g)
		require.Len(t, g.ReloadErrors(), 1)
		require.False(t, g.Deadlocked())
	})
	t.Run("403 on ping registers and reloads", func(t *testing.T) {
		d, g := setup(t)
		d.set("[]", list(api("two", "")))
		var refused atomic.Bool // the gateway pings for two reasons, maybe at once
		d.handle("/register/ping", func(w http.ResponseWriter, _ *http.Request) {
			if refused.Swap(true) {
				_, _ = io.WriteString(w, `{"Status":"OK","Message":{},"Nonce":"n"}`)
				return
			}
			http.Error(w, "Nonce failed", http.StatusForbidden)
		})
		g.WaitForAPI(t, "two", soon)
		require.Equal(t, 2, g.Registrations())
		require.False(t, g.Deadlocked())
	})
}

func TestBrokenConnections(t *testing.T) {
	// drop breaks the connection, each time: net/http repeats a request whose reused connection breaks.
	drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

	t.Run("in a reload, with the dashboard back in time, deadlock", func(t *testing.T) {
		d, g := setup(t)
		d.handle("/system/apis", drop)
		_, _ = ask(t, g, http.MethodGet, "/tyk/reload", "")
		gatewaytest.Eventually(t, soon, "deadlock", g.Deadlocked)
	})
	t.Run("in a reload, with the dashboard gone for longer, fail that reload", func(t *testing.T) {
		d, g := setup(t, func(c *gatewaytest.Config) { c.RecoveryWindow = 100 * ms })
		d.handle("/system/policies", drop)
		d.handle("/register/node", drop)
		reload(t, g)
		require.Len(t, g.ReloadErrors(), 1)
		d.handle("/system/policies", nil)
		reload(t, g)
		require.False(t, g.Deadlocked())
	})
	t.Run("in a body, deadlock", func(t *testing.T) {
		d, g := setup(t)
		d.answer("/system/policies", http.StatusOK, `{"Message":[`)
		_, _ = ask(t, g, http.MethodGet, "/tyk/reload", "")
		gatewaytest.Eventually(t, soon, "deadlock", g.Deadlocked)
	})
}

func TestItemWithoutDefinitionCrashes(t *testing.T) {
	d, g := setup(t)
	d.set("[]", list(api("one", ""), `{"oas":null}`))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL()+"/tyk/reload", nil)
	require.NoError(t, err)
	r.Header.Set("x-tyk-authorization", control)
	if response, err := http.DefaultClient.Do(r); err == nil { // the process may end before it answers
		_ = response.Body.Close()
	}
	gatewaytest.Eventually(t, soon, "crash", func() bool { return g.Crashed() != nil })
	require.ErrorContains(t, g.Crashed(), "nil pointer")
	gatewaytest.Eventually(t, soon, "no response", func() bool {
		response, err := http.Get(g.URL() + "/hello")
		if err == nil {
			_ = response.Body.Close()
		}
		return err != nil
	})
	require.NotContains(t, paths(g.Calls()), "/system/node")
	g.Restart()
	gatewaytest.Eventually(t, soon, "crash at every start", func() bool { return g.Crashed() != nil })
}

func TestPoisonedDocuments(t *testing.T) {
	for name, poison := range map[string]string{
		"text for a number":       `,"slug":5`,
		"a float where an int is": `,"listen_port":0.0`,
		"an id that is not hex":   `,"id":"not-24-hex"`,
		"a negative skew":         `,"jwt_issued_at_validation_skew":-1`,
		"deep in a version":       `,"VERSION_DATA":{"versions":{"v":{"extended_paths":{"hard_timeouts":[{"timeout":1.0}]}}}}`,
		"a time that is none":     `,"graphql":{"last_schema_update":"yesterday"}`,
	} {
		t.Run(name+" keeps the old APIs", func(t *testing.T) {
			d, g := setup(t)
			d.set("[]", list(api("two", ""), api("three", poison)))
			reload(t, g)
			require.Len(t, g.ReloadErrors(), 1)
			require.Equal(t, []string{"one"}, g.APIs())
		})
	}
	for _, oas := range []string{`"text"`, `"eyJvcGVuYXBpIjoiMy4wLjMifQ=="`, `[]`} {
		t.Run("oas "+oas+" keeps the old APIs", func(t *testing.T) {
			d, g := setup(t)
			two := api("two", "")
			d.set("[]", list(two[:len(two)-1]+`,"oas":`+oas+`}`))
			reload(t, g)
			require.Len(t, g.ReloadErrors(), 1)
			require.Equal(t, []string{"one"}, g.APIs())
		})
	}
	for name, poison := range map[string]string{
		"a bad _id":            `{"_id":"zz"}`,
		"a float quota":        `{"id":"p","quota_max":1500.0}`,
		"a float in the limit": `{"id":"p","access_rights":{"one":{"limit":{"quota_max":1.0}}}}`,
	} {
		t.Run(name+" in a policy keeps policies and APIs", func(t *testing.T) {
			d, g := setup(t)
			d.set(list(poison), list(api("two", "")))
			reload(t, g)
			require.Len(t, g.ReloadErrors(), 1)
			require.Equal(t, []string{"one"}, g.APIs())
			require.Empty(t, g.Policies())
		})
	}
	t.Run("what only looks odd loads", func(t *testing.T) {
		d, g := setup(t)
		d.set(
			list(`{"_id":"5f0000000000000000000002","name":"by _id"}`, `{"id":"p","_id":null,"access_rights":null}`,
				`{"id":"p","name":"twice"}`, `{"name":"none"}`, `{"id":"q","rate":3,"access_rights":{"x":{"limit":null,"versions":null}}}`),
			list(api("two", `,"id":{"$oid":"5f0000000000000000000003"},"tags":null,"CORS":null,"unknown":1.5`),
				api("three", `,"id":"","NAME":"case is free","active":false`)))
		reload(t, g)
		require.Empty(t, g.ReloadErrors())
		require.Equal(t, []string{"three", "two"}, g.APIs())
		require.Equal(t, []string{"5f0000000000000000000002", "p", "q"}, g.Policies())
		require.Equal(t, map[string]string{"5f0000000000000000000002": "by _id", "p": "", "q": ""}, g.PolicyNames())
	})
}

func TestWhatIsNotServed(t *testing.T) {
	def := func(id, rest string) string {
		return fmt.Sprintf(`{"api_definition":{"api_id":%q,"org_id":%q,"use_keyless":true,%s}`, id, org, rest)
	}
	t.Run("by listen path and OAS", func(t *testing.T) {
		d, g := setup(t)
		const doc = `{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{}}`
		d.set("[]", list(
			def("empty", `"proxy":{"listen_path":""}}`), def("space", `"proxy":{"listen_path":"/a b"}}`),
			def("noslash", `"proxy":{"listen_path":"x/"}}`), def("noversion", `"proxy":{"listen_path":"/nv/"}}`),
			def("same", `"proxy":{"listen_path":"/nv/"}}`),
			def("nooas", `"is_oas":true,"proxy":{"listen_path":"/nooas/"}},"oas":null`),
			def("emptyoas", `"is_oas":true,"proxy":{"listen_path":"/emptyoas/"}},"oas":{}`),
			def("nopaths", `"is_oas":true,"proxy":{"listen_path":"/np/"}},"oas":{"openapi":"3.0.3","info":{"title":"t","version":"1"}}`),
			def("oas", `"is_oas":true,"proxy":{"listen_path":"/oas/"}},"oas":`+doc),
		))
		reload(t, g)
		require.Empty(t, g.ReloadErrors())
		require.Equal(t, []string{"noversion", "oas", "same"}, g.APIs())
		expect(t, g, http.MethodGet, "/tyk/apis/empty", "", http.StatusOK, `"api_id":"empty"`)
		expect(t, g, http.MethodGet, "/tyk/apis/nopaths", "", http.StatusNotFound, "API not found")
		expect(t, g, http.MethodGet, "/nv/", "", http.StatusForbidden, "Version information not found")
		expect(t, g, http.MethodGet, "/nv/-same", "", http.StatusForbidden, "Version information not found")
		expect(t, g, http.MethodGet, "/empty/", "", http.StatusNotFound, "")
	})
	t.Run("by segment", func(t *testing.T) {
		d, g := setup(t, func(c *gatewaytest.Config) { c.Segmented, c.Tags = true, []string{"edge"} })
		require.Empty(t, g.APIs())
		d.set("[]", list(api("one", ""), api("two", `,"tags":["edge","x"]`), api("three", `,"tags":["edge"],"tags_disabled":true`)))
		reload(t, g)
		require.Equal(t, []string{"two"}, g.APIs())
	})
}

func signed(command, payload string) string {
	sum := sha256.Sum256([]byte(command + payload + secret))
	return fmt.Sprintf(`{"command":%q,"payload":%q,"signature":%q,"algorithm":5}`, command, payload, hex.EncodeToString(sum[:]))
}

func TestNotices(t *testing.T) {
	server := gatewaytest.StartRedis(t, gatewaytest.WithPassword("redis-password"))
	d, g := setup(t, func(c *gatewaytest.Config) { c.Redis = server.Options(); c.ReloadInterval = 100 * ms })
	client := server.Client()
	publish := func(t *testing.T, messages ...string) {
		t.Helper()
		for _, m := range messages {
			require.NoError(t, client.Publish(t.Context(), "tyk.cluster.notifications", m).Err())
		}
	}

	t.Run("a signed one reloads", func(t *testing.T) {
		d.set("[]", list(api("two", "")))
		publish(t, signed("ApiUpdated", "any text"))
		g.WaitForAPI(t, "two", soon)
		// The API is served before its reload is counted, and the notice is recorded after the reload was requested.
		gatewaytest.Eventually(t, soon, "the end of both", func() bool { return g.Idle() && len(g.Notices()) == 1 })
	})
	t.Run("others are ignored, each for its reason", func(t *testing.T) {
		seen, before := len(g.Notices()), g.Reloads()
		good := signed("ApiAdded", "")
		publish(t, strings.Replace(good, "5}", `"sha256"}`, 1), strings.Replace(good, `,"algorithm":5`, "", 1),
			strings.Replace(good, `"payload":""`, `"payload":"x"`, 1), signed("Dance", ""), "text")
		gatewaytest.Eventually(t, soon, "notices", func() bool { return len(g.Notices()) == seen+5 })
		var reasons []string
		for _, n := range g.Notices()[seen:] {
			require.False(t, n.Accepted)
			reasons = append(reasons, n.Reason)
		}
		require.Equal(t, []string{
			gatewaystandin.ReasonMalformed, gatewaystandin.ReasonSignature, gatewaystandin.ReasonSignature,
			gatewaystandin.ReasonUnknown, gatewaystandin.ReasonMalformed,
		}, reasons)
		reload(t, g)
		require.Equal(t, before+1, g.Reloads(), "none but the one just requested")
	})
	t.Run("many are one reload", func(t *testing.T) {
		reload(t, g) // at the start of an interval
		before, seen, began := g.Reloads(), len(g.Notices()), time.Now()
		for range 50 {
			publish(t, signed("PolicyChanged", ""))
		}
		g.WaitReloads(t, before+1, soon)
		gatewaytest.Eventually(t, soon, "all notices", func() bool { return len(g.Notices()) >= seen+50 })
		reload(t, g)
		require.LessOrEqual(t, g.Reloads()-before, 2+int(time.Since(began)/(100*ms)))
	})
	t.Run("a group reload reaches the others on the same Redis", func(t *testing.T) {
		cfg := config(d)
		cfg.Redis = server.Options()
		other := gatewaytest.Start(t, cfg)
		other.WaitReady(t, soon)
		d.set("[]", list(api("three", "")))
		expect(t, g, http.MethodGet, "/tyk/reload/group", "", http.StatusOK, `{"status":"ok","message":""}`)
		other.WaitForAPI(t, "three", soon)
		g.WaitForAPI(t, "three", soon)
	})
	t.Run("a purge counts", func(t *testing.T) {
		publish(t, signed("OAuthPurgeLapsedTokens", ""))
		gatewaytest.Eventually(t, soon, "purge", func() bool { return g.Purges() == 1 })
	})
	t.Run("a lost Redis loses the keys, and is found again", func(t *testing.T) {
		body := fmt.Sprintf(`{"org_id":%q,"access_rights":%s}`, org, access("three"))
		key := gjson.Get(expect(t, g, http.MethodPost, "/tyk/keys/create", body, http.StatusOK, "added"), "key").String()
		expect(t, g, http.MethodGet, "/tyk/keys/"+key, "", http.StatusOK, org)
		require.EqualValues(t, 1, client.Exists(t.Context(), "apikey-"+key).Val())
		server.Kill()
		gatewaytest.Eventually(t, soon, "loss seen", func() bool { return !g.Subscribed() })
		expect(t, g, http.MethodGet, "/tyk/keys/"+key, "", http.StatusNotFound, "Key not found")
		expect(t, g, http.MethodPost, "/tyk/keys/create", body, http.StatusInternalServerError, "Failed to create key")
		expect(t, g, http.MethodDelete, "/tyk/oauth/tokens?scope=lapsed", "", http.StatusInternalServerError, "error purging lapsed tokens")
		expect(t, g, http.MethodGet, "/three/", "", http.StatusOK, "three")
		server.Restart()
		g.WaitSubscribed(t, soon)
		expect(t, g, http.MethodGet, "/tyk/keys/"+key, "", http.StatusNotFound, "Key not found")
		d.set("[]", list(api("four", "")))
		publish(t, signed("ApiUpdated", ""))
		g.WaitForAPI(t, "four", soon)
	})
}

func TestControlAPI(t *testing.T) {
	d, g := setup(t)
	body := fmt.Sprintf(`{"org_id":%q,"access_rights":%s}`, org, access("one"))

	t.Run("access", func(t *testing.T) {
		status, text := ask(t, g, http.MethodGet, "/tyk/keys", "", "no control secret")
		require.Equal(t, http.StatusForbidden, status)
		require.JSONEq(t, `{"status":"error","message":"Attempted administrative access with invalid or missing key!"}`, text)
		expect(t, g, http.MethodPatch, "/tyk/keys/x", "", http.StatusMethodNotAllowed, "Method not supported")
		expect(t, g, http.MethodGet, "/tyk/dance", "", http.StatusNotFound, "404")
		expect(t, g, http.MethodPost, "/tyk/apis", "{}", http.StatusInternalServerError, "use_db_app_configs")
	})
	t.Run("keys", func(t *testing.T) {
		key := gjson.Get(expect(t, g, http.MethodPost, "/tyk/keys/create/", body, http.StatusOK, `"action":"added"`), "key").String()
		expect(t, g, http.MethodGet, "/tyk/keys/"+key, "", http.StatusOK, `"throttle_retry_limit":0`)
		expect(t, g, http.MethodGet, "/tyk/keys/"+key+"?hashed=true", "", http.StatusBadRequest, "Key requested by hash but key hashing is not enabled")
		expect(t, g, http.MethodGet, "/tyk/keys", "", http.StatusOK, key)
		expect(t, g, http.MethodPut, "/tyk/keys/"+key, body, http.StatusOK, `"action":"modified"`)
		expect(t, g, http.MethodDelete, "/tyk/keys/"+key, "", http.StatusOK, `"action":"deleted"`)
		expect(t, g, http.MethodDelete, "/tyk/keys/"+key, "", http.StatusNotFound, "There is no such key found")
		expect(t, g, http.MethodPut, "/tyk/keys/"+key, body, http.StatusNotFound, "Key is not found")
		expect(t, g, http.MethodGet, "/tyk/keys/"+key, "", http.StatusNotFound, "Key not found")
	})
	t.Run("keys with a name", func(t *testing.T) {
		mine := base64.StdEncoding.EncodeToString([]byte(`{"org":"` + org + `","id":"mine","h":"murmur64"}`))
		expect(t, g, http.MethodPost, "/tyk/keys/mine", body, http.StatusOK, `"key":"`+mine+`"`)
		expect(t, g, http.MethodGet, "/tyk/keys/mine", "", http.StatusNotFound, "Key not found")
		expect(t, g, http.MethodGet, "/tyk/keys/mine?org_id="+org, "", http.StatusOK, org)
		expect(t, g, http.MethodGet, "/tyk/keys/"+mine, "", http.StatusOK, org)
		expect(t, g, http.MethodPut, "/tyk/keys/mine", body, http.StatusOK, "modified")
		require.Equal(t, "null", expect(t, g, http.MethodDelete, "/tyk/keys/mine?api_id=-1&org_id="+org, "", http.StatusOK, ""))
		expect(t, g, http.MethodGet, "/tyk/keys/"+mine, "", http.StatusNotFound, "Key not found")
	})
	t.Run("OAuth clients", func(t *testing.T) {
		const create = "/tyk/oauth/clients/create"
		expect(t, g, http.MethodPost, create, "{", http.StatusInternalServerError, "Unmarshalling failed")
		expect(t, g, http.MethodPost, create, `{"api_id":"nowhere"}`, http.StatusBadRequest, "API doesn't exist")
		expect(t, g, http.MethodPost, create, `{"api_id":"one"}`, http.StatusBadRequest, "API is not OAuth2")
		expect(t, g, http.MethodGet, "/tyk/oauth/clients/nowhere", "", http.StatusNotFound, "null")
		expect(t, g, http.MethodGet, "/tyk/oauth/clients/one", "", http.StatusOK, "[]")
		expect(t, g, http.MethodGet, "/tyk/oauth/clients/one/x", "", http.StatusNotFound, "OAuth Client ID not found")
		expect(t, g, http.MethodGet, "/tyk/oauth/clients/one/x/tokens", "", http.StatusOK, "[]")
		expect(t, g, http.MethodDelete, "/tyk/oauth/clients/one/x", "", http.StatusOK, `"action":"deleted"`)
		expect(t, g, http.MethodGet, "/tyk/oauth/clients", "", http.StatusMethodNotAllowed, "")
	})
	t.Run("certificates", func(t *testing.T) {
		require.JSONEq(t, `{"certs":null}`, expect(t, g, http.MethodGet, "/tyk/certs?org_id="+org, "", http.StatusOK, ""))
		expect(t, g, http.MethodPost, "/tyk/certs", "no", http.StatusForbidden, "Failed to decode certificate. It should be PEM encoded.")
		expect(t, g, http.MethodGet, "/tyk/certs/x", "", http.StatusNotFound, "Certificate with given SHA256 fingerprint not found")
		require.JSONEq(t, `[null,null]`, expect(t, g, http.MethodGet, "/tyk/certs/x,y", "", http.StatusOK, ""))
		expect(t, g, http.MethodDelete, "/tyk/certs/x", "", http.StatusOK, `"message":"removed"`)
	})
	t.Run("keys that are refused", func(t *testing.T) {
		expect(t, g, http.MethodPost, "/tyk/keys/create", "{", http.StatusInternalServerError, "Unmarshalling failed")
		expect(t, g, http.MethodPost, "/tyk/keys/create", `{"expires":1.5}`, http.StatusInternalServerError, "Unmarshalling failed")
		expect(t, g, http.MethodPost, "/tyk/keys/create", `{"apply_policies":["x"]}`, http.StatusInternalServerError, `Failed to create key - policy not found: \"x\"`)
		expect(t, g, http.MethodPost, "/tyk/keys/create", "{}", http.StatusBadRequest, "keys must have at least one Access Rights record set.")
		expect(t, g, http.MethodPost, "/tyk/keys", "{", http.StatusBadRequest, "Request malformed")
		expect(t, g, http.MethodPost, "/tyk/keys", "{}", http.StatusInternalServerError, "ensure security settings are correct")
	})
	t.Run("OAuth tokens", func(t *testing.T) {
		expect(t, g, http.MethodDelete, "/tyk/oauth/tokens", "", http.StatusUnprocessableEntity, "scope parameter is required")
		expect(t, g, http.MethodDelete, "/tyk/oauth/tokens?scope=", "", http.StatusBadRequest, "unknown scope")
		expect(t, g, http.MethodDelete, "/tyk/oauth/tokens?scope=lapsed", "", http.StatusOK, "lapsed tokens purged")
	})
	t.Run("org keys", func(t *testing.T) {
		expect(t, g, http.MethodGet, "/tyk/org/keys/"+org, "", http.StatusNotFound, "Org not found")
		expect(t, g, http.MethodPost, "/tyk/org/keys", "{}", http.StatusMethodNotAllowed, "")
		expect(t, g, http.MethodPost, "/tyk/org/keys/"+org, "no", http.StatusBadRequest, "Request malformed")
		expect(t, g, http.MethodDelete, "/tyk/org/keys/"+org, "", http.StatusBadRequest, "Failed to remove the key")
		require.JSONEq(t, fmt.Sprintf(`{"key":%q,"status":"ok","action":"added"}`, org),
			expect(t, g, http.MethodPost, "/tyk/org/keys/"+org, `{"rate":1}`, http.StatusOK, ""))
		expect(t, g, http.MethodPut, "/tyk/org/keys/"+org+"?reset_quota=1", `{"rate":2}`, http.StatusOK, "modified")
		expect(t, g, http.MethodGet, "/tyk/org/keys/"+org, "", http.StatusOK, `"rate":2`)
		expect(t, g, http.MethodGet, "/tyk/org/keys?filter=5f", "", http.StatusOK, fmt.Sprintf(`{"keys":[%q]}`, org))
		expect(t, g, http.MethodDelete, "/tyk/org/keys/"+org, "", http.StatusOK, "deleted")
		d.set("[]", "[]")
		reload(t, g)
		expect(t, g, http.MethodGet, "/tyk/org/keys", "", http.StatusNotFound, "ORG not found")
		expect(t, g, http.MethodDelete, "/tyk/org/keys/"+org, "", http.StatusNotFound, "Org not found")
	})
	t.Run("faults", func(t *testing.T) {
		g.SetControlError(http.StatusInternalServerError, "made to fail")
		expect(t, g, http.MethodGet, "/tyk/keys", "", http.StatusInternalServerError, "made to fail")
		g.SetControlError(0, "")
		g.SetControlDown(true)
		_, err := http.Get(g.URL() + "/hello")
		require.Error(t, err)
		g.SetControlDown(false)
		expect(t, g, http.MethodGet, "/tyk/keys", "", http.StatusOK, "")
	})
}

func TestHashedKeys(t *testing.T) {
	_, g := setup(t, func(c *gatewaytest.Config) { c.HashKeys = true })
	body := fmt.Sprintf(`{"org_id":%q,"access_rights":%s}`, org, access("one"))
	made := expect(t, g, http.MethodPost, "/tyk/keys/create", body, http.StatusOK, "")
	hash := gjson.Get(made, "key_hash").String()
	require.Len(t, hash, 16)
	expect(t, g, http.MethodGet, "/tyk/keys/"+gjson.Get(made, "key").String(), "", http.StatusOK, org)
	expect(t, g, http.MethodGet, "/tyk/keys/"+hash+"?hashed=true", "", http.StatusOK, org)
	expect(t, g, http.MethodGet, "/tyk/keys", "", http.StatusNotFound, "Hashed key listing is disabled in config")
}

func TestTokenAuth(t *testing.T) {
	d, g := setup(t)
	right := `,"access_rights":` + access("one")
	policy := func(id, rest string) string { return fmt.Sprintf(`{"id":%q,"org_id":%q%s%s}`, id, org, right, rest) }
	d.set(list(
		policy("rate", `,"rate":3,"per":60`), policy("quota", `,"quota_max":2,"quota_renewal_rate":60`),
		policy("inactive", `,"is_inactive":true`), policy("unlimited", `,"quota_max":-1,"active":false`),
		policy("perapi", `,"partitions":{"per_api":true,"acl":true}`), policy("noacl", `,"partitions":{"quota":true}`),
		fmt.Sprintf(`{"id":"foreign","org_id":"other"%s}`, right), fmt.Sprintf(`{"id":"null","org_id":%q,"access_rights":null}`, org),
		policy("limited", `,"rate":100,"per":60,"partitions":{"per_api":true}`),
	), list(strings.Replace(api("one", ""), `"use_keyless":true`, `"use_keyless":false`, 1),
		strings.Replace(api("two", ""), `"use_keyless":true`, `"use_keyless":false`, 1)))
	reload(t, g)
	key := func(t *testing.T, policy string) string {
		body := fmt.Sprintf(`{"org_id":%q,"apply_policies":[%q]}`, org, policy)
		return gjson.Get(expect(t, g, http.MethodPost, "/tyk/keys/create", body, http.StatusOK, ""), "key").String()
	}

	t.Run("without and with a wrong key", func(t *testing.T) {
		expect(t, g, http.MethodGet, "/one/", "", http.StatusUnauthorized, "Authorization field missing")
		expect(t, g, http.MethodGet, "/one/", "", http.StatusForbidden, "Access to this API has been disallowed", "wrong")
		expect(t, g, http.MethodGet, "/two/", "", http.StatusForbidden, "Access to this API has been disallowed", key(t, "unlimited"))
	})
	t.Run("rate limit of a policy", func(t *testing.T) {
		k := key(t, "rate")
		for range 3 {
			expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "one", k)
		}
		expect(t, g, http.MethodGet, "/one/", "", http.StatusTooManyRequests, "Rate Limit Exceeded", k)
	})
	t.Run("quota of a policy", func(t *testing.T) {
		k := key(t, "quota")
		for range 2 {
			expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "one", k)
		}
		expect(t, g, http.MethodGet, "/one/", "", http.StatusForbidden, "Quota exceeded", k)
	})
	t.Run("inactive, and active:false that means nothing", func(t *testing.T) {
		expect(t, g, http.MethodGet, "/one/", "", http.StatusForbidden, "Key is inactive, please renew", key(t, "inactive"))
		expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "one", key(t, "unlimited"))
		expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "one", key(t, "limited"))
	})
	const foreignOrg = "5f0000000000000000000009"
	t.Run("policies that no key can have", func(t *testing.T) {
		for policy, text := range map[string]string{
			"perapi": "per_api", "noacl": "key has no valid policies to be applied", "foreign": "different organisation",
			"null": "key has no valid policies to be applied",
		} {
			body := fmt.Sprintf(`{"org_id":%q,"apply_policies":[%q]}`, org, policy)
			expect(t, g, http.MethodPost, "/tyk/keys/create", body, http.StatusInternalServerError, text)
		}
	})
	t.Run("policies that the meta_data of a policy brings", func(t *testing.T) {
		bringing := fmt.Sprintf(`{"id":"bridge","org_id":%q,"access_rights":{"two":{"api_id":"two"}},
			"meta_data":{"policies":[{"id":"x","org_id":%q,"access_rights":{"three":{"api_id":"three"}}}]}}`, org, foreignOrg)
		apis := strings.Replace(api("two", "")+","+strings.ReplaceAll(api("three", ""), org, foreignOrg), `"use_keyless":true`, `"use_keyless":false`, 2)
		d.set(list(bringing), list(apis))
		reload(t, g)
		body := fmt.Sprintf(`{"org_id":%q,"apply_policies":["bridge"]}`, org)
		text := expect(t, g, http.MethodPost, "/tyk/keys/create", body, http.StatusInternalServerError, "different organisation")
		require.NotContains(t, text, "three", "while the API is loaded, the policies are compared with it")
		d.set(list(bringing), list(strings.Replace(strings.ReplaceAll(api("three", ""), org, foreignOrg), `"use_keyless":true`, `"use_keyless":false`, 1)))
		reload(t, g)
		expect(t, g, http.MethodGet, "/three/", "", http.StatusOK, "three", key(t, "bridge"))
	})
}

func TestOrgKeyTraps(t *testing.T) {
	enforce := func(server *gatewaytest.Redis) func(*gatewaytest.Config) {
		return func(c *gatewaytest.Config) { c.EnforceOrgQuotas, c.Redis = true, server.Options() }
	}
	const path = "/tyk/org/keys/" + org

	t.Run("a new org key counts on one API only, until restart", func(t *testing.T) {
		d, g := setup(t, enforce(gatewaytest.StartRedis(t)))
		d.set("[]", list(api("one", ""), api("two", ""), api("three", "")))
		reload(t, g)
		refusing := func() (n int) {
			for _, id := range []string{"one", "two", "three"} {
				if status, _ := ask(t, g, http.MethodGet, "/"+id+"/", ""); status == http.StatusForbidden {
					n++
				}
			}
			return n
		}
		require.Zero(t, refusing())
		expect(t, g, http.MethodPost, path, `{"is_inactive":true}`, http.StatusOK, "added")
		require.Equal(t, 1, refusing())
		reload(t, g)
		require.Equal(t, 1, refusing(), "unchanged specs are kept")
		g.Restart()
		g.WaitReady(t, soon)
		require.Equal(t, 3, refusing())
		expect(t, g, http.MethodGet, "/one/", "", http.StatusForbidden,
			"this organisation access has been disabled, please contact your API administrator")
	})
	t.Run("a PUT is undone by the next request, unless a notice drops the cached session", func(t *testing.T) {
		server := gatewaytest.StartRedis(t)
		_, g := setup(t, enforce(server))
		expect(t, g, http.MethodPost, path, `{"alias":"old"}`, http.StatusOK, "")
		expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "")
		expect(t, g, http.MethodPut, path, `{"alias":"new"}`, http.StatusOK, "modified")
		expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "")
		expect(t, g, http.MethodGet, path, "", http.StatusOK, `"alias":"old"`)

		expect(t, g, http.MethodPut, path, `{"alias":"new"}`, http.StatusOK, "modified")
		require.NoError(t, server.Client().Publish(t.Context(), "tyk.cluster.notifications", signed("KeySpaceUpdateNotification", org)).Err())
		gatewaytest.Eventually(t, soon, "notice", func() bool { return len(g.Notices()) == 1 })
		expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "")
		expect(t, g, http.MethodGet, path, "", http.StatusOK, `"alias":"new"`)
	})
	t.Run("rate and quota", func(t *testing.T) {
		_, g := setup(t, enforce(nil))
		expect(t, g, http.MethodPost, path, `{"rate":1,"per":60,"quota_max":1}`, http.StatusOK, "")
		expect(t, g, http.MethodGet, "/one/", "", http.StatusOK, "")
		expect(t, g, http.MethodGet, "/one/", "", http.StatusForbidden, "This organisation rate limit has been exceeded")
	})
}
