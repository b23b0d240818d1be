package console_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/testport"
	"gatehouse/server"
)

const (
	controlSecret = "the-control-secret"
	// patience is how long a gateway may take, on a machine that does other work.
	patience = time.Minute
)

// startWithGateway starts a server with a stand-in gateway, and waits until the gateway has registered.
func startWithGateway(t testing.TB, change ...func(*gatewaytest.Config)) (*site, *gatewaytest.Gateway) {
	t.Helper()
	var dashboard atomic.Pointer[url.URL] // the server, which is started after the gateway
	front := httptest.NewServer(forward(&dashboard))
	t.Cleanup(front.Close)
	cfg := gatewaytest.Config{
		DashboardURL: front.URL, NodeSecret: "the-node-secret", ControlSecret: controlSecret,
		RetryInterval: 50 * time.Millisecond,
	}
	for _, c := range change {
		c(&cfg)
	}
	standIn := gatewaytest.Start(t, cfg)
	s := start(t, withControl(t, standIn.URL()))
	address, err := url.Parse(s.url)
	require.NoError(t, err)
	dashboard.Store(address)
	standIn.WaitReady(t, patience)
	return s, standIn
}

// withControl configures the control API of a gateway.
func withControl(t testing.TB, address string) func(*server.Config) {
	return func(cfg *server.Config) {
		client, err := gateway.New(gateway.Config{Host: address, Secret: controlSecret})
		require.NoError(t, err)
		cfg.Gateway = client
	}
}

// forward forwards requests to a server, and refuses them as long as there is none.
func forward(to *atomic.Pointer[url.URL]) http.Handler {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to.Load())
		r.Out.Host = r.In.Host
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// front is an address at which a server can be stopped and another one started: connections are refused in between.
type front struct {
	t       testing.TB
	address string
	to      atomic.Pointer[url.URL]
	web     *http.Server
}

func newFront(t testing.TB) *front {
	t.Helper()
	address, err := testport.Address() // nothing else gets it while the front is stopped
	require.NoError(t, err)
	f := &front{t: t, address: address}
	t.Cleanup(f.stop)
	return f
}

// start serves a site.
func (f *front) start(s *site) {
	f.t.Helper()
	address, err := url.Parse(s.url)
	require.NoError(f.t, err)
	f.to.Store(address)
	listener, err := net.Listen("tcp", f.address)
	require.NoError(f.t, err)
	f.web = &http.Server{Handler: forward(&f.to), ReadHeaderTimeout: time.Minute}
	go func(web *http.Server) { _ = web.Serve(listener) }(f.web)
}

func (f *front) stop() {
	if f.web != nil {
		_ = f.web.Close()
	}
}

// servedAPI stores an API that gateways serve, and returns its ID.
func (s *site) servedAPI(as user, name string) string {
	s.t.Helper()
	var created struct{ ID string }
	s.as(as, "POST", "/api/apis", map[string]any{"api_definition": map[string]any{
		"name": name, "active": true, "use_keyless": false, "use_standard_auth": true,
		"auth_configs": map[string]any{"authToken": map[string]any{"auth_header_name": "Authorization"}},
		"version_data": map[string]any{"not_versioned": true, "versions": map[string]any{"Default": map[string]any{"name": "Default"}}},
		"proxy":        map[string]any{"listen_path": "/" + name + "/", "target_url": s.url + "/", "strip_listen_path": true},
	}}, &created)
	require.NotEmpty(s.t, created.ID)
	var stored struct {
		APIDefinition struct {
			APIID string `json:"api_id"`
		} `json:"api_definition"`
	}
	s.as(as, "GET", "/api/apis/"+created.ID, nil, &stored)
	return stored.APIDefinition.APIID
}
