package gatewaytest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// answer is what the control API says.
type answer struct {
	status int
	body   any
}

func ok(body any) answer { return answer{http.StatusOK, body} }

// status is the envelope of the control API.
type status struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func fail(code int, message string) answer { return answer{code, status{"error", message}} }

func badMethod() answer { return fail(http.StatusMethodNotAllowed, "Method not supported") }

func write(w http.ResponseWriter, a answer) { reply(w, a.status, a.body) }

// control is everything under /tyk/ (facts §6).
func (p *process) control(w http.ResponseWriter, r *http.Request) {
	if code, message := p.faults.control(); code != 0 {
		write(w, fail(code, message))
		return
	}
	if r.Header.Get("x-tyk-authorization") != p.cfg.ControlSecret {
		write(w, fail(http.StatusForbidden, "Attempted administrative access with invalid or missing key!"))
		return
	}
	path := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/tyk/"), "/"), "/")
	a, found := p.routeControl(r, path)
	if !found {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	write(w, a)
}

// routeControl finds the operation; path is what follows /tyk/, without slashes at its ends.
func (p *process) routeControl(r *http.Request, path []string) (a answer, found bool) {
	rest := strings.Join(path[1:], "/")
	switch path[0] {
	case "keys":
		return p.controlKeys(r, rest), true
	case "org":
		if len(path) > 1 && path[1] == "keys" {
			return p.controlOrgKeys(r, strings.Join(path[2:], "/")), true
		}
	case "reload":
		if rest == "" || rest == "group" {
			return p.controlReload(r, rest == "group"), true
		}
	case "oauth":
		if rest == "tokens" {
			return p.controlOAuthTokens(r), true
		}
	case "apis":
		return p.controlAPIs(r, path[1:]), true
	case "policies":
		return p.controlPolicies(r, rest), true
	}
	return answer{}, false
}

// controlReload says ok even where the reload fails (facts §0.8); behind a deadlock ?block=true does not return.
func (p *process) controlReload(r *http.Request, group bool) answer {
	if r.Method != http.MethodGet {
		return badMethod()
	}
	if group {
		p.publish(r.Context(), noticeGroupReload, "")
	}
	done := p.askReload()
	if !group && r.URL.Query().Get("block") == "true" {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
	return ok(status{"ok", ""})
}

func (p *process) controlOAuthTokens(r *http.Request) answer {
	if r.Method != http.MethodDelete {
		return badMethod()
	}
	scope, given := r.URL.Query()["scope"]
	switch {
	case !given:
		return fail(http.StatusUnprocessableEntity, "scope parameter is required")
	case scope[0] != "lapsed":
		return fail(http.StatusBadRequest, "unknown scope")
	case !p.store.alive(r.Context()):
		return fail(http.StatusInternalServerError, "error purging lapsed tokens")
	}
	p.purges.Add(1)
	return ok(status{"ok", "lapsed tokens purged"})
}

// controlAPIs lists what was loaded, reachable or not (facts §3); writing is the dashboard's.
func (p *process) controlAPIs(r *http.Request, path []string) answer {
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		return fail(http.StatusInternalServerError,
			"Due to enabled use_db_app_configs, please use the Dashboard API")
	}
	if r.Method != http.MethodGet {
		return badMethod()
	}
	if len(path) == 0 {
		all := []apiDefinition{}
		for _, each := range p.config().specs {
			all = append(all, each.apiDefinition)
		}
		return ok(all)
	}
	found := p.config().byID(path[len(path)-1])
	if found == nil {
		return fail(http.StatusNotFound, "API not found")
	}
	if path[0] == "oas" {
		return ok(found.oas)
	}
	return ok(found.apiDefinition)
}

func (p *process) controlPolicies(r *http.Request, id string) answer {
	if r.Method != http.MethodGet {
		return badMethod()
	}
	if id != "" {
		found, has := p.policy(id)
		if !has {
			return fail(http.StatusNotFound, "Policy not found")
		}
		return ok(found)
	}
	all := []policy{}
	for _, each := range p.policyIDs() {
		if found, has := p.policy(each); has {
			all = append(all, found)
		}
	}
	return ok(all)
}

// decodeSession reads a SessionState with the gateway's types; false is any malformed body.
func decodeSession(r *http.Request) (session, bool) {
	var s session
	err := json.NewDecoder(r.Body).Decode(&s)
	return s, err == nil
}
