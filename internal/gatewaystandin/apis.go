package gatewaystandin

import (
	"net/http"
	"strings"
	"time"
)

// refusal is the response to a request that does not reach its API; nil lets the request through.
type refusal struct {
	status  int
	message string
}

// apiHandler serves the loaded APIs. It does not proxy: a request that is allowed gets the ID of its API.
type apiHandler struct {
	state    *state
	keys     *keyStore
	sessions *sessionCache
	limits   *limits
}

// ServeHTTP implements http.Handler.
func (h *apiHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := h.state.config().find(r.URL.Path)
	if api == nil {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	for _, check := range []func(*spec, *http.Request) *refusal{h.checkVersion, h.checkOrg, h.checkKey, checkTarget} {
		if no := check(api, r); no != nil {
			writeJSON(w, no.status, map[string]string{"error": no.message})
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]string{"api_id": api.APIID})
}

// checkVersion checks version_data (docs/behaviour.md#lists).
func (h *apiHandler) checkVersion(api *spec, r *http.Request) *refusal {
	versions := api.VersionData.Versions
	if len(versions) == 0 {
		return &refusal{http.StatusForbidden, "Version information not found"}
	}
	if !api.VersionData.NotVersioned {
		if _, known := versions[requestedVersion(api, r)]; !known {
			return &refusal{http.StatusForbidden, "This API version does not seem to exist"}
		}
		return nil
	}
	for _, name := range []string{"Default", "default", ""} {
		if _, found := versions[name]; found {
			return nil
		}
	}
	if len(versions) > 1 {
		return &refusal{http.StatusForbidden, "No default API version for this non-versioned API found"}
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

// checkOrg applies the organisation key, with a gateway's two traps: an API that found no key does not look again, and
// the cached session is written back over the one in Redis (docs/behaviour.md#gateway-keys-and-cache).
func (h *apiHandler) checkOrg(api *spec, r *http.Request) *refusal {
	if !h.state.cfg.EnforceOrgQuotas || api.orgHasNoSession.Load() {
		return nil
	}
	org, found := h.sessions.get(api.OrgID)
	if !found {
		if org, found = h.keys.get(r.Context(), orgPrefix+api.OrgID); !found {
			api.orgHasNoSession.Store(true)
			return nil
		}
	}
	if org.IsInactive {
		return &refusal{
			http.StatusForbidden,
			"this organisation access has been disabled, please contact your API administrator",
		}
	}
	no := h.checkOrgLimits(api.OrgID, &org)
	if h.keys.set(r.Context(), orgPrefix+api.OrgID, org) == nil {
		h.sessions.set(api.OrgID, org)
	}
	return no
}

func (h *apiHandler) checkOrgLimits(orgID string, org *session) *refusal {
	if !h.limits.allowRate(orgPrefix+orgID, org.Rate, org.Per) {
		return &refusal{
			http.StatusForbidden,
			"This organisation rate limit has been exceeded, please contact your API administrator",
		}
	}
	remaining, allowed := h.limits.allowQuota(orgPrefix+orgID, org.QuotaMax, org.QuotaRenewalRate)
	if !allowed {
		return &refusal{
			http.StatusForbidden,
			"This organisation quota has been exceeded, please contact your API administrator",
		}
	}
	org.QuotaRemaining = remaining
	return nil
}

// checkKey checks the auth token and its limits. Other kinds of authentication are not simulated: an API that uses one
// is treated as one with auth tokens.
func (h *apiHandler) checkKey(api *spec, r *http.Request) *refusal {
	if api.UseKeyless {
		return nil
	}
	key := r.Header.Get(authHeader(api))
	if key == "" {
		return &refusal{http.StatusUnauthorized, "Authorization field missing"}
	}
	key = strings.TrimPrefix(key, "Bearer ")
	name, held, found := h.keys.find(r.Context(), api.OrgID, key)
	if !found || applyPolicies(&held, &api.OrgID, h.state.policy) != nil {
		return &refusal{http.StatusForbidden, "Access to this API has been disallowed"}
	}
	if held.IsInactive {
		return &refusal{http.StatusForbidden, "Key is inactive, please renew"}
	}
	if held.Expires > 0 && time.Now().Unix() > held.Expires {
		return &refusal{http.StatusUnauthorized, "Key has expired, please renew"}
	}
	right, has := held.AccessRights[api.APIID]
	if !has && len(held.AccessRights) > 0 {
		return &refusal{http.StatusForbidden, "Access to this API has been disallowed"}
	}
	return h.checkKeyLimits(api, name, &held, right.Limit)
}

// authHeader returns the header of the auth token: that of auth_configs.authToken, else of the legacy auth.
func authHeader(api *spec) string {
	for _, name := range []string{api.AuthConfigs["authToken"].AuthHeaderName, api.Auth.AuthHeaderName} {
		if name != "" {
			return name
		}
	}
	return "Authorization"
}

// checkKeyLimits applies the key's limits. An API's own limit replaces them, and has a counter of its own.
func (h *apiHandler) checkKeyLimits(api *spec, name string, held *session, own *apiLimit) *refusal {
	limit := apiLimit{Rate: held.Rate, Per: held.Per, QuotaMax: held.QuotaMax, QuotaRenewalRate: held.QuotaRenewalRate}
	if own != nil && (own.Rate > 0 || own.QuotaMax != 0) {
		limit, name = *own, name+"/"+api.APIID
	}
	if !api.DisableRateLimit && !h.limits.allowRate(name, limit.Rate, limit.Per) {
		return &refusal{http.StatusTooManyRequests, "Rate Limit Exceeded"}
	}
	if _, allowed := h.limits.allowQuota(name, limit.QuotaMax, limit.QuotaRenewalRate); !api.DisableQuota && !allowed {
		return &refusal{http.StatusForbidden, "Quota exceeded"}
	}
	return nil
}

// checkTarget replaces the proxying.
func checkTarget(api *spec, _ *http.Request) *refusal {
	if api.Proxy.TargetURL == "" {
		return &refusal{http.StatusInternalServerError, "There was a problem proxying the request"}
	}
	return nil
}
