package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/store/storetest"
)

// ofGateway returns settings for the gateway at an address.
func ofGateway(t *testing.T, address, secret string) []string {
	t.Helper()
	at, err := url.Parse(address)
	require.NoError(t, err)
	return []string{
		"TYK_DB_TYKAPI_HOST=" + at.Scheme + "://" + at.Hostname(), "TYK_DB_TYKAPI_PORT=" + at.Port(),
		"TYK_DB_TYKAPI_SECRET=" + secret,
	}
}

// TestDoctorWithGateway looks at a server, its gateway and its Redis, of which one after another is changed.
func TestDoctorWithGateway(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.EmptyDatabase(t)
	s := serveGateway(t, true, database)
	settings := slices.Concat(s.settings, []string{"GATEHOUSE_LISTEN=" + s.address})
	run := examine(t, settings...)
	run.has("gateway", "ok", "answers, and accepts the secret")
	run.has("gateway version", "ok", `^v5\.`)
	run.has("gateway registration", "ok", "has loaded the API harbour of this database, 1 registered here")
	run.has("gateway clock", "ok", "")
	run.has("redis", "ok", "answers, 1 gateways listen on it")
	run.only("secrets") // those of the harness are short
	require.NotContains(t, run.printed, testControlSecret)
	require.NotContains(t, run.printed, testNodeSecret)
	require.NotContains(t, run.printed, s.redis.Password())

	t.Run("a wrong secret", func(t *testing.T) {
		run := examine(t, append(settings, "TYK_DB_TYKAPI_SECRET=hidden-and-wrong-one")...)
		run.has("gateway", "fault", "refuses the secret")
		run.only("gateway", "secrets")
	})
	t.Run("the gateway of another installation", func(t *testing.T) {
		other := serveGateway(t, true, "DATABASE_URL="+storetest.EmptyDatabase(t))
		run := examine(t, append(settings, ofGateway(t, other.gateway.URL(), testControlSecret)...)...)
		run.has("gateway registration", "ok", "harbour") // the APIs of both have the same ID
		s.importAPI(s.org, "lighthouse")
		s.deleteAPI("harbour")
		s.gateway.WaitForAPI(t, "lighthouse", bound)
		run = examine(t, append(settings, ofGateway(t, other.gateway.URL(), testControlSecret)...)...)
		run.has("gateway registration", "warning", "1 registered here, but this gateway has none of the APIs lighthouse")
		run.only("gateway registration", "secrets")
	})
	t.Run("another redis", func(t *testing.T) {
		host, port := gatewaytest.StartRedis(t).Addr()
		run := examine(t, append(settings, "TYK_DB_REDISHOST="+host, fmt.Sprint("TYK_DB_REDISPORT=", port), "TYK_DB_REDISPASSWORD=")...)
		run.has("redis", "warning", "none of 1 registered gateways listens on it")
		run.only("redis", "secrets")
	})
	t.Run("a gateway that does not answer", func(t *testing.T) {
		s.gateway.Close()
		run := examine(t, settings...)
		run.has("gateway", "fault", "cannot be reached")
		run.has("redis", "warning", "none of 1 registered gateways listens on it")
		run.only("gateway", "redis", "secrets")
	})
}

// deleteAPI deletes an API.
func (s *server) deleteAPI(id string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodDelete, "http://"+s.address+"/admin/apis/"+id, nil)
	require.NoError(s.t, err)
	request.Header.Set("Admin-Auth", s.adminSecret())
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	require.Equal(s.t, http.StatusOK, response.StatusCode)
}

// TestDoctorWithForeignGateway looks at a gateway that does not register at the server.
func TestDoctorWithForeignGateway(t *testing.T) {
	t.Parallel()
	s := startServer(t, append(fixedSecrets(), "DATABASE_URL="+storetest.EmptyDatabase(t))...)
	other := startServer(t, append(fixedSecrets(), "DATABASE_URL="+storetest.EmptyDatabase(t))...)
	start := func(t *testing.T, of *server, nodeSecret string) *gatewaytest.Gateway {
		t.Helper()
		gateway := gatewaytest.Start(t, gatewaytest.Config{
			DashboardURL: "http://" + of.address, NodeSecret: nodeSecret, ControlSecret: "hidden-control-secret",
			PingInterval: 50 * time.Millisecond, RetryInterval: 50 * time.Millisecond,
		})
		eventually(t, "the gateway has details of its health", func() bool {
			response, err := http.Get(gateway.URL() + "/hello")
			require.NoError(t, err)
			defer response.Body.Close()
			var hello struct{ Details map[string]any }
			require.NoError(t, json.NewDecoder(response.Body).Decode(&hello))
			return hello.Details != nil
		})
		return gateway
	}
	look := func(t *testing.T, gateway *gatewaytest.Gateway, more ...string) doctorRun {
		t.Helper()
		settings := slices.Concat(s.settings, []string{"GATEHOUSE_LISTEN=" + s.address})
		settings = append(settings, ofGateway(t, gateway.URL(), "hidden-control-secret")...)
		return examine(t, append(settings, more...)...)
	}
	const name = "gateway registration"
	t.Run("another node secret", func(t *testing.T) {
		gateway := start(t, s, "another node secret")
		run := look(t, gateway)
		run.has(name, "fault", "its URL or its node secret is wrong")
		run.only(name, "secrets")
		look(t, gateway, "GATEHOUSE_LISTEN=127.0.0.1:1").has(name, "note", "no server answers on this machine")
	})
	t.Run("another dashboard", func(t *testing.T) {
		gateway := start(t, other, testNodeSecret)
		gateway.WaitReady(t, bound)
		run := look(t, gateway)
		run.has(name, "fault", "this one is registered elsewhere")
		run.only(name, "secrets")
	})
	t.Run("no APIs to compare", func(t *testing.T) {
		gateway := start(t, s, testNodeSecret)
		gateway.WaitReady(t, bound)
		run := look(t, gateway)
		run.has(name, "ok", "1 registered here; without an active API")
		run.only("secrets")
	})
}

// TestDoctorWithStrangeGateway has what a gateway could answer, and what other servers do.
func TestDoctorWithStrangeGateway(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.Database(t)
	const noAPI = `{"status":"error","message":"API not found"}`
	serve := func(t *testing.T, hello, api string, more ...func(http.Header)) []string {
		t.Helper()
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, change := range more {
				change(w.Header())
			}
			if r.URL.Path == "/hello" && hello != "" {
				_, _ = w.Write([]byte(hello))
				return
			}
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(api))
		}))
		t.Cleanup(web.Close)
		return append(ofGateway(t, web.URL, "hidden-control-secret"), database)
	}
	for name, c := range map[string]struct {
		hello, api             string
		change                 func(http.Header)
		check, status, pattern string
	}{
		"another server":      {"", "404 page not found", nil, "gateway", "fault", "not that of the control API"},
		"APIs in files":       {`{"version":"v5.11.1","details":{"redis":{"status":"pass"}}}`, noAPI, nil, "gateway registration", "fault", "use_db_app_configs is off"},
		"no redis":            {`{"version":"v5.11.1","details":{"dashboard":{"status":"pass"},"redis":{"status":"fail"}}}`, noAPI, nil, "gateway redis", "warning", "does not reach its Redis"},
		"an old one":          {`{"version":"v3.0.0"}`, noAPI, nil, "gateway version", "warning", "v3.0.0 is older"},
		"no path hello":       {"", noAPI, nil, "gateway version", "note", "does not answer /hello"},
		"a clock that is off": {`{"version":"v5.11.1"}`, noAPI, func(h http.Header) { h.Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)) }, "gateway clock", "warning", `the gateway is (1h0m\ds|59m\d\ds) behind`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var more []func(http.Header)
			if c.change != nil {
				more = append(more, c.change)
			}
			run := examine(t, serve(t, c.hello, c.api, more...)...)
			run.has(c.check, c.status, c.pattern)
			run.only(c.check)
		})
	}
	t.Run("an unknown authority", func(t *testing.T) {
		t.Parallel()
		web := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(web.Close)
		run := examine(t, append(ofGateway(t, web.URL, "hidden-control-secret"), database)...)
		run.has("gateway", "fault", "certificate signed by unknown authority")
		run.only("gateway")
	})
	t.Run("one that hangs", func(t *testing.T) {
		t.Parallel()
		ended := make(chan struct{})
		web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
		t.Cleanup(web.Close)
		t.Cleanup(func() { close(ended) })
		run := examineBy(t, doctorCommand(t, "--timeout", "5s"), append(ofGateway(t, web.URL, "hidden-control-secret"), database)...)
		run.has("gateway", "fault", "cannot be reached")
		run.only("gateway")
	})
}

func TestDoctorRedis(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.Database(t)
	redis := gatewaytest.StartRedis(t, gatewaytest.WithPassword("hidden-password"))
	host, port := redis.Addr()
	settings := []string{database, "TYK_DB_REDISHOST=" + host, fmt.Sprint("TYK_DB_REDISPORT=", port)}
	for name, c := range map[string]struct {
		settings      []string
		status, found string
	}{
		"nobody listens":   {[]string{"TYK_DB_REDISPASSWORD=hidden-password"}, "note", "answers, and no gateway listens on it"},
		"a wrong password": {[]string{"TYK_DB_REDISPASSWORD=hidden-other"}, "fault", "refuses the user name or the password"},
		"no password":      {nil, "fault", "refuses the user name or the password"},
		"no such database": {[]string{"TYK_DB_REDISPASSWORD=hidden-password", "TYK_DB_REDISDATABASE=99"}, "fault", "out of range"},
		"no TLS":           {[]string{"TYK_DB_REDISPASSWORD=hidden-password", "TYK_DB_REDISUSESSL=true"}, "fault", "cannot be used"},
		"no cluster":       {[]string{"TYK_DB_REDISPASSWORD=hidden-password", "TYK_DB_ENABLECLUSTER=true"}, "fault", "cannot be used"},
		"another port":     {[]string{"TYK_DB_REDISPORT=1"}, "fault", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, append(settings, c.settings...)...)
			run.has("redis", c.status, c.found)
			run.only("redis")
		})
	}
}
