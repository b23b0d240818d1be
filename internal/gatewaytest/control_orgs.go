package gatewaytest

import (
	"net/http"
	"time"
)

func (p *process) controlOrgKeys(r *http.Request, orgID string) answer {
	switch {
	case r.Method == http.MethodGet && orgID == "":
		return p.listOrgKeys(r)
	case orgID == "":
		return badMethod()
	case r.Method == http.MethodGet:
		return p.getOrgKey(r, orgID)
	case r.Method == http.MethodPost:
		return p.putOrgKey(r, orgID, "added")
	case r.Method == http.MethodPut:
		return p.putOrgKey(r, orgID, "modified")
	case r.Method == http.MethodDelete:
		return p.deleteOrgKey(r, orgID)
	}
	return badMethod()
}

// putOrgKey writes to Redis and tells one API of the organisation, not the others and not the session cache: the two
// traps of facts §6.
func (p *process) putOrgKey(r *http.Request, orgID, action string) answer {
	s, decoded := decodeSession(r)
	if !decoded {
		return fail(http.StatusBadRequest, "Request malformed")
	}
	name := orgPrefix + orgID
	if r.URL.Query().Get("reset_quota") == "1" {
		p.limits.resetQuota(name)
		s.QuotaRenews = time.Now().Unix() + s.QuotaRenewalRate
		s.QuotaRemaining = s.QuotaMax
	}
	if p.store.set(r.Context(), name, s) != nil {
		return fail(http.StatusInternalServerError, "Error writing to key store")
	}
	if api := p.config().forOrg(orgID); api != nil {
		api.orgHasNoSession.Store(false)
	}
	return ok(keyChange{Key: orgID, Status: "ok", Action: action})
}

func (p *process) getOrgKey(r *http.Request, orgID string) answer {
	s, found := p.store.get(r.Context(), orgPrefix+orgID)
	if !found || p.config().forOrg(orgID) == nil {
		return fail(http.StatusNotFound, "Org not found")
	}
	return ok(s)
}

func (p *process) listOrgKeys(r *http.Request) answer {
	if p.config().forOrg("") == nil {
		return fail(http.StatusNotFound, "ORG not found")
	}
	return ok(keyNames{p.store.names(r.Context(), orgPrefix, r.URL.Query().Get("filter"))})
}

func (p *process) deleteOrgKey(r *http.Request, orgID string) answer {
	if p.config().forOrg(orgID) == nil {
		return fail(http.StatusNotFound, "Org not found")
	}
	if !p.store.remove(r.Context(), orgPrefix+orgID) {
		return fail(http.StatusBadRequest, "Failed to remove the key")
	}
	return ok(keyChange{Key: orgID, Status: "ok", Action: "deleted"})
}
