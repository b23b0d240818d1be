package gatewaystandin

import (
	"net/http"
	"time"
)

func (c *controlAPI) orgKeyOperation(r *http.Request, orgID string) response {
	switch {
	case r.Method == http.MethodGet && orgID == "":
		return c.listOrgKeys(r)
	case orgID == "":
		return methodNotSupported()
	case r.Method == http.MethodGet:
		return c.getOrgKey(r, orgID)
	case r.Method == http.MethodPost:
		return c.setOrgKey(r, orgID, "added")
	case r.Method == http.MethodPut:
		return c.setOrgKey(r, orgID, "modified")
	case r.Method == http.MethodDelete:
		return c.deleteOrgKey(r, orgID)
	}
	return methodNotSupported()
}

// setOrgKey writes the session, and resets the flag of one API of the organisation, but not of the others and not the
// session cache: the gateway's two traps.
func (c *controlAPI) setOrgKey(r *http.Request, orgID, action string) response {
	s, decoded := decodeSession(r)
	if !decoded {
		return failure(http.StatusBadRequest, "Request malformed")
	}
	name := orgPrefix + orgID
	if r.URL.Query().Get("reset_quota") == "1" {
		c.limits.resetQuota(name)
		s.QuotaRenews = time.Now().Unix() + s.QuotaRenewalRate
		s.QuotaRemaining = s.QuotaMax
	}
	if c.keys.set(r.Context(), name, s) != nil {
		return failure(http.StatusInternalServerError, "Error writing to key store")
	}
	if api := c.state.config().forOrg(orgID); api != nil {
		api.orgHasNoSession.Store(false)
	}
	return ok(keyChange{Key: orgID, Status: "ok", Action: action})
}

func (c *controlAPI) getOrgKey(r *http.Request, orgID string) response {
	s, found := c.keys.get(r.Context(), orgPrefix+orgID)
	if !found || c.state.config().forOrg(orgID) == nil {
		return failure(http.StatusNotFound, "Org not found")
	}
	return ok(s)
}

func (c *controlAPI) listOrgKeys(r *http.Request) response {
	if c.state.config().forOrg("") == nil {
		return failure(http.StatusNotFound, "ORG not found")
	}
	return ok(keyNames{c.keys.names(r.Context(), orgPrefix, r.URL.Query().Get("filter"))})
}

func (c *controlAPI) deleteOrgKey(r *http.Request, orgID string) response {
	if c.state.config().forOrg(orgID) == nil {
		return failure(http.StatusNotFound, "Org not found")
	}
	if !c.keys.remove(r.Context(), orgPrefix+orgID) {
		return failure(http.StatusBadRequest, "Failed to remove the key")
	}
	return ok(keyChange{Key: orgID, Status: "ok", Action: "deleted"})
}
