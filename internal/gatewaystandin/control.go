package gatewaystandin

import (
	"encoding/json"
	"net/http"
	"strings"
)

// controlAPI serves the control API, everything under /tyk/ (docs/behaviour.md#gateway-keys-and-cache).
type controlAPI struct {
	state    *state
	keys     *keyStore
	limits   *limits
	notifier *notifier
	reloader *reloader
	fault    *controlFault
}

// ServeHTTP implements http.Handler.
func (c *controlAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if code, message := c.fault.get(); code != 0 {
		failure(code, message).write(w)
		return
	}
	if r.Header.Get("x-tyk-authorization") != c.state.cfg.ControlSecret {
		failure(http.StatusForbidden, "Attempted administrative access with invalid or missing key!").write(w)
		return
	}
	path := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/tyk/"), "/"), "/")
	reply, found := c.route(r, path)
	if !found {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	reply.write(w)
}

// route runs the operation. path is the path below /tyk/, without slashes at its ends.
func (c *controlAPI) route(r *http.Request, path []string) (reply response, found bool) {
	rest := strings.Join(path[1:], "/")
	switch path[0] {
	case "keys":
		return c.keyOperation(r, rest), true
	case "org":
		if len(path) > 1 && path[1] == "keys" {
			return c.orgKeyOperation(r, strings.Join(path[2:], "/")), true
		}
	case "reload":
		if rest == "" || rest == "group" {
			return c.reload(r, rest == "group"), true
		}
	case "oauth":
		if rest == "tokens" {
			return c.oauthTokens(r), true
		}
		if len(path) > 1 && path[1] == "clients" {
			return oauthAPI{c.state, c.keys}.serve(r, path[2:]), true
		}
	case "certs":
		return certificateAPI{c.keys}.serve(r, rest), true
	case "apis":
		return c.apis(r, path[1:]), true
	case "policies":
		return c.policies(r, rest), true
	}
	return response{}, false
}

// reload is ok even if the reload fails. After a deadlock, ?block=true does not return.
func (c *controlAPI) reload(r *http.Request, group bool) response {
	if r.Method != http.MethodGet {
		return methodNotSupported()
	}
	if group {
		c.notifier.publish(r.Context(), noticeGroupReload, "")
	}
	done := c.reloader.request()
	if !group && r.URL.Query().Get("block") == "true" {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
	return ok(status{"ok", ""})
}

func (c *controlAPI) oauthTokens(r *http.Request) response {
	if r.Method != http.MethodDelete {
		return methodNotSupported()
	}
	scope, given := r.URL.Query()["scope"]
	switch {
	case !given:
		return failure(http.StatusUnprocessableEntity, "scope parameter is required")
	case scope[0] != "lapsed":
		return failure(http.StatusBadRequest, "unknown scope")
	case !c.keys.reachable(r.Context()):
		return failure(http.StatusInternalServerError, "error purging lapsed tokens")
	}
	c.state.purges.Add(1)
	return ok(status{"ok", "lapsed tokens purged"})
}

// apis lists the loaded APIs, with or without a route. Only the dashboard may write them.
func (c *controlAPI) apis(r *http.Request, path []string) response {
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		return failure(http.StatusInternalServerError,
			"Due to enabled use_db_app_configs, please use the Dashboard API")
	}
	if r.Method != http.MethodGet {
		return methodNotSupported()
	}
	if len(path) == 0 {
		all := []apiDefinition{}
		for _, each := range c.state.config().specs {
			all = append(all, each.apiDefinition)
		}
		return ok(all)
	}
	found := c.state.config().byID(path[len(path)-1])
	if found == nil {
		return failure(http.StatusNotFound, "API not found")
	}
	if path[0] == "oas" {
		return ok(found.oas)
	}
	return ok(found.apiDefinition)
}

func (c *controlAPI) policies(r *http.Request, id string) response {
	if r.Method != http.MethodGet {
		return methodNotSupported()
	}
	if id != "" {
		found, has := c.state.policy(id)
		if !has {
			return failure(http.StatusNotFound, "Policy not found")
		}
		return ok(found)
	}
	all := []policy{}
	for _, each := range c.state.policyIDs() {
		if found, has := c.state.policy(each); has {
			all = append(all, found)
		}
	}
	return ok(all)
}

// decodeSession decodes a SessionState and reports whether the body fits the gateway's types.
func decodeSession(r *http.Request) (session, bool) {
	var s session
	err := json.NewDecoder(r.Body).Decode(&s)
	return s, err == nil
}
