package gatewaystandin

import (
	"net/http"
	"time"
)

// health serves /hello and /ready.
type health struct {
	state *state
	keys  *keyStore
}

func (h health) hello(w http.ResponseWriter, r *http.Request) { h.report(w, r, "Tyk GW") }

// ready is 503 until a reload has succeeded.
func (h health) ready(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && !h.state.ready.Load() {
		failure(http.StatusServiceUnavailable, "A successful API reload did not happen").write(w)
		return
	}
	h.report(w, r, "Tyk GW Ready")
}

// report is always 200. It has no details before the first health check.
func (h health) report(w http.ResponseWriter, r *http.Request, description string) {
	if r.Method != http.MethodGet {
		failure(http.StatusMethodNotAllowed, "Method Not Allowed").write(w)
		return
	}
	body := map[string]any{"status": "pass", "version": h.state.cfg.Version, "description": description}
	if time.Since(h.state.startedAt) > healthCheckPings*h.state.cfg.PingInterval {
		body["details"] = h.details(r)
	}
	writeJSON(w, http.StatusOK, body)
}

func (h health) details(r *http.Request) map[string]any {
	status := map[bool]string{true: "pass", false: "fail"}
	now := time.Now().Format(time.RFC3339)
	return map[string]any{
		"dashboard": map[string]string{
			"status": status[h.state.dashboardUp.Load()], "componentType": "system", "time": now,
		},
		"redis": map[string]string{
			"status": status[h.keys.reachable(r.Context())], "componentType": "datastore", "time": now,
		},
	}
}
