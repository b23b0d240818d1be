package gatewaytest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// handler is the gateway's one listener: health, control API, and whatever else is an API.
func (p *process) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", p.hello)
	mux.HandleFunc("/ready", p.readiness)
	mux.HandleFunc("/tyk/", p.control)
	mux.HandleFunc("/", p.serveAPI)
	return mux
}

// reply writes JSON as a gateway does, with a line end.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// refused is the answer to a request that does not reach its API; nil lets it through.
type refused struct {
	status  int
	message string
}

func (p *process) serveAPI(w http.ResponseWriter, r *http.Request) {
	api := p.config().find(r.URL.Path)
	if api == nil {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	for _, check := range []func(*spec, *http.Request) *refused{p.checkVersion, p.checkOrg, p.checkKey, checkTarget} {
		if no := check(api, r); no != nil {
			reply(w, no.status, map[string]string{"error": no.message})
			return
		}
	}
	reply(w, http.StatusOK, map[string]string{"api_id": api.APIID})
}

// checkVersion follows facts §3, version_data.
func (p *process) checkVersion(api *spec, r *http.Request) *refused {
	versions := api.VersionData.Versions
	if len(versions) == 0 {
		return &refused{http.StatusForbidden, "Version information not found"}
	}
	if !api.VersionData.NotVersioned {
		if _, known := versions[requestedVersion(api, r)]; !known {
			return &refused{http.StatusForbidden, "This API version does not seem to exist"}
		}
		return nil
	}
	for _, name := range []string{"Default", "default", ""} {
		if _, found := versions[name]; found {
			return nil
		}
	}
	if len(versions) > 1 {
		return &refused{http.StatusForbidden, "No default API version for this non-versioned API found"}
	}
	return nil
}

func requestedVersion(api *spec, r *http.Request) string {
	asked := ""
	switch api.VersionDefinition.Location {
	case "header":
		asked = r.Header.Get(api.VersionDefinition.Key)
	case "url-param":
		asked = r.URL.Query().Get(api.VersionDefinition.Key)
	}
	if asked == "" {
		return api.VersionData.DefaultVersion
	}
	return asked
}

// checkOrg enforces the org key with both traps of facts §6: an API that once found none does not look again, and the
// cached copy is written back over whatever Redis holds by then.
func (p *process) checkOrg(api *spec, r *http.Request) *refused {
	if !p.cfg.EnforceOrgQuotas || api.orgHasNoSession.Load() {
		return nil
	}
	org, found := p.sessions.get(api.OrgID)
	if !found {
		if org, found = p.store.get(r.Context(), orgPrefix+api.OrgID); !found {
			api.orgHasNoSession.Store(true)
			return nil
		}
	}
	if org.IsInactive {
		return &refused{
			http.StatusForbidden,
			"this organisation access has been disabled, please contact your API administrator",
		}
	}
	no := p.checkOrgLimits(api.OrgID, &org)
	if p.store.set(r.Context(), orgPrefix+api.OrgID, org) == nil {
		p.sessions.set(api.OrgID, org)
	}
	return no
}

func (p *process) checkOrgLimits(orgID string, org *session) *refused {
	if !p.limits.allowRate(orgPrefix+orgID, org.Rate, org.Per) {
		return &refused{
			http.StatusForbidden,
			"This organisation rate limit has been exceeded, please contact your API administrator",
		}
	}
	remaining, allowed := p.limits.allowQuota(orgPrefix+orgID, org.QuotaMax, org.QuotaRenewalRate)
	if !allowed {
		return &refused{
			http.StatusForbidden,
			"This organisation quota has been exceeded, please contact your API administrator",
		}
	}
	org.QuotaRemaining = remaining
	return nil
}

// checkKey is the auth token with what hangs on it. Other kinds of authentication are not modelled: an API that uses
// one is treated as one with auth tokens.
func (p *process) checkKey(api *spec, r *http.Request) *refused {
	if api.UseKeyless {
		return nil
	}
	key := r.Header.Get(authHeader(api))
	if key == "" {
		return &refused{http.StatusUnauthorized, "Authorization field missing"}
	}
	key = strings.TrimPrefix(key, "Bearer ")
	held, found := p.store.get(r.Context(), keyPrefix+p.keyName(key))
	if !found || p.applyPolicies(&held) != nil {
		return &refused{http.StatusForbidden, "Access to this API has been disallowed"}
	}
	if held.IsInactive {
		return &refused{http.StatusForbidden, "Key is inactive, please renew"}
	}
	if held.Expires > 0 && time.Now().Unix() > held.Expires {
		return &refused{http.StatusUnauthorized, "Key has expired, please renew"}
	}
	right, has := held.AccessRights[api.APIID]
	if !has && len(held.AccessRights) > 0 {
		return &refused{http.StatusForbidden, "Access to this API has been disallowed"}
	}
	return p.checkKeyLimits(api, keyPrefix+p.keyName(key), &held, right.Limit)
}

// authHeader: auth_configs.authToken is preferred, the legacy auth still read (facts §3).
func authHeader(api *spec) string {
	for _, name := range []string{api.AuthConfigs["authToken"].AuthHeaderName, api.Auth.AuthHeaderName} {
		if name != "" {
			return name
		}
	}
	return "Authorization"
}

// checkKeyLimits: an API's own limit takes the place of the key's, and counts for itself.
func (p *process) checkKeyLimits(api *spec, name string, held *session, own *apiLimit) *refused {
	limit := apiLimit{Rate: held.Rate, Per: held.Per, QuotaMax: held.QuotaMax, QuotaRenewalRate: held.QuotaRenewalRate}
	if own != nil && (own.Rate > 0 || own.QuotaMax != 0) {
		limit, name = *own, name+"/"+api.APIID
	}
	if !api.DisableRateLimit && !p.limits.allowRate(name, limit.Rate, limit.Per) {
		return &refused{http.StatusTooManyRequests, "Rate Limit Exceeded"}
	}
	if _, allowed := p.limits.allowQuota(name, limit.QuotaMax, limit.QuotaRenewalRate); !api.DisableQuota && !allowed {
		return &refused{http.StatusForbidden, "Quota exceeded"}
	}
	return nil
}

// checkTarget stands for the proxying itself.
func checkTarget(api *spec, _ *http.Request) *refused {
	if api.Proxy.TargetURL == "" {
		return &refused{http.StatusInternalServerError, "There was a problem proxying the request"}
	}
	return nil
}

// version is what /hello says: the gateway that the facts are about.
const version = "v5.11.1"

func (p *process) hello(w http.ResponseWriter, r *http.Request) {
	p.health(w, r, "Tyk GW")
}

// readiness is 503 until one reload has succeeded (facts §2.3).
func (p *process) readiness(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && !p.ready.Load() {
		write(w, fail(http.StatusServiceUnavailable, "A successful API reload did not happen"))
		return
	}
	p.health(w, r, "Tyk GW Ready")
}

// health is always 200, and silent about details before the first health check (facts §6).
func (p *process) health(w http.ResponseWriter, r *http.Request, description string) {
	if r.Method != http.MethodGet {
		write(w, fail(http.StatusMethodNotAllowed, "Method Not Allowed"))
		return
	}
	body := map[string]any{"status": "pass", "version": version, "description": description}
	if time.Since(p.born) > healthEvery*p.cfg.PingInterval {
		body["details"] = p.healthDetails(r)
	}
	reply(w, http.StatusOK, body)
}

func (p *process) healthDetails(r *http.Request) map[string]any {
	status := map[bool]string{true: "pass", false: "fail"}
	now := time.Now().Format(time.RFC3339)
	return map[string]any{
		"dashboard": map[string]string{"status": status[p.dashboardUp.Load()], "componentType": "system", "time": now},
		"redis":     map[string]string{"status": status[p.store.alive(r.Context())], "componentType": "datastore", "time": now},
	}
}
