package gatewaystandin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/gatewaytest"
)

// dashboard is a minimal dashboard. It hands out nonces and does not check them.
type dashboard struct {
	*httptest.Server
	mu             sync.Mutex // guards the fields below
	policies, apis string     // the JSON of Message
	override       map[string]http.HandlerFunc
	nonces         int
}

func newDashboard(t *testing.T) *dashboard {
	d := &dashboard{policies: "[]", apis: "[]", override: map[string]http.HandlerFunc{}}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	override := d.override[r.URL.Path]
	d.nonces++
	nonce := "nonce-" + strconv.Itoa(d.nonces)
	message := map[string]string{"/system/policies": d.policies, "/system/apis": d.apis}[r.URL.Path]
	d.mu.Unlock()
	if override != nil {
		override(w, r)
		return
	}
	switch r.URL.Path {
	case "/register/node":
		message = `{"NodeID":"node-1"}`
	case "/register/ping", "/system/node", "/system/key/quota_trigger":
		message = "{}"
	case "/system/clientidps":
		message = "[]"
	}
	_, _ = fmt.Fprintf(w, `{"Status":"OK","Message":%s,"Nonce":%q}`, message, nonce)
}

func (d *dashboard) set(policies, apis string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.policies, d.apis = policies, apis
}

// answer replaces the response of a path; status 0 restores it.
func (d *dashboard) answer(path string, status int, body string) {
	if status == 0 {
		d.handle(path, nil)
		return
	}
	d.handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func (d *dashboard) handle(path string, h http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.override[path] = h
}

const (
	secret  = "node-secret"
	control = "control-secret"
	org     = "5f0000000000000000000001"
)

// api returns a minimal list element that works; extra is added to the definition.
func api(id, extra string) string {
	return fmt.Sprintf(`{"api_definition":{"api_id":%q,"org_id":%q,"name":%q,"use_keyless":true,"version_data":`+
		`{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},`+
		`"proxy":{"listen_path":"/%s/","target_url":"http://127.0.0.1/","strip_listen_path":true}%s}}`,
		id, org, id, id, extra)
}

func list(items ...string) string { return "[" + strings.Join(items, ",") + "]" }

func access(ids ...string) string {
	var rights []string
	for _, id := range ids {
		rights = append(rights, fmt.Sprintf(`%q:{"api_id":%q,"api_name":%q,"versions":["Default"]}`, id, id, id))
	}
	return "{" + strings.Join(rights, ",") + "}"
}

func config(d *dashboard) gatewaytest.Config {
	return gatewaytest.Config{
		DashboardURL: d.URL, NodeSecret: secret, ControlSecret: control, Hostname: "host-1",
		PingInterval: 20 * ms, ReloadInterval: 20 * ms, RetryInterval: 20 * ms, RecoveryWindow: soon, RedisPause: 20 * ms,
	}
}
