package gatewaystandin

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

type keyNames struct {
	Keys []string `json:"keys"`
}

func (c *controlAPI) keyOperation(r *http.Request, key string) response {
	switch {
	case key == "create" && r.Method == http.MethodPost:
		return c.createKey(r)
	case r.Method == http.MethodPost:
		return c.addKey(r, key)
	case r.Method == http.MethodGet && key == "":
		return c.listKeys(r)
	case r.Method == http.MethodGet:
		return c.getKey(r, key)
	case r.Method == http.MethodPut && key != "":
		return c.updateKey(r, key)
	case r.Method == http.MethodDelete && key != "":
		return c.deleteKey(r, key)
	}
	return methodNotSupported()
}

func (c *controlAPI) createKey(r *http.Request) response {
	s, decoded := decodeSession(r)
	if !decoded {
		return failure(http.StatusInternalServerError, "Unmarshalling failed")
	}
	if err := c.state.applyPoliciesOfAPIs(&s); err != nil {
		return failure(http.StatusInternalServerError, "Failed to create key - "+err.Error())
	}
	if len(s.AccessRights) == 0 {
		return failure(http.StatusBadRequest,
			"Failed to create key, keys must have at least one Access Rights record set.")
	}
	return c.saveNewKey(r.Context(), newKey(s.OrgID), s)
}

// addKey creates a key with the given name, or with a new one.
func (c *controlAPI) addKey(r *http.Request, key string) response {
	s, decoded := decodeSession(r)
	if !decoded {
		return failure(http.StatusBadRequest, "Request malformed")
	}
	if c.state.applyPoliciesOfAPIs(&s) != nil || len(s.AccessRights) == 0 {
		return failure(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	if key == "" {
		key = newKey(s.OrgID)
	} else {
		key = namedKey(s.OrgID, key)
	}
	return c.saveNewKey(r.Context(), key, s)
}

func (c *controlAPI) saveNewKey(ctx context.Context, key string, s session) response {
	s.DateCreated = time.Now()
	s.QuotaRemaining = s.QuotaMax
	s.BasicAuthData.hash()
	if c.keys.set(ctx, c.keys.name(key), s) != nil {
		return failure(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	c.limits.resetQuota(c.keys.name(key))
	change := keyChange{Key: key, Status: "ok", Action: "added"}
	if c.state.cfg.HashKeys {
		change.KeyHash = hashKey(key)
		if s.BasicAuthData.Password != "" {
			change.Key = ""
		}
	}
	return ok(change)
}

func (c *controlAPI) updateKey(r *http.Request, key string) response {
	s, decoded := decodeSession(r)
	if !decoded {
		return failure(http.StatusBadRequest, "Request malformed")
	}
	name, old, found := c.find(r, s.OrgID, key)
	if !found {
		return failure(http.StatusNotFound, "Key is not found")
	}
	s.DateCreated = old.DateCreated
	if s.BasicAuthData.Password == "" {
		s.BasicAuthData = old.BasicAuthData
	} else if s.BasicAuthData.Password != old.BasicAuthData.Password {
		s.BasicAuthData.hash()
	}
	if c.state.applyPoliciesOfAPIs(&s) != nil || len(s.AccessRights) == 0 || c.keys.set(r.Context(), name, s) != nil {
		return failure(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	if r.URL.Query().Get("suppress_reset") != "1" {
		c.limits.resetQuota(name)
	}
	return ok(keyChange{Key: key, Status: "ok", Action: "modified"})
}

func (c *controlAPI) getKey(r *http.Request, key string) response {
	if isHashed(r) && !c.state.cfg.HashKeys {
		return failure(http.StatusBadRequest, "Key requested by hash but key hashing is not enabled")
	}
	_, s, found := c.find(r, r.URL.Query().Get("org_id"), key)
	if !found {
		return failure(http.StatusNotFound, "Key not found")
	}
	s.BasicAuthData.Password = ""
	return ok(s)
}

func (c *controlAPI) listKeys(r *http.Request) response {
	if c.state.cfg.HashKeys && !c.state.cfg.ListHashedKeys {
		return failure(http.StatusNotFound, "Hashed key listing is disabled in config (enable_hashed_keys_listing)")
	}
	org := r.URL.Query().Get("filter")
	if c.state.cfg.HashKeys {
		org = "" // hashes are not filtered
	}
	names := c.keys.names(r.Context(), keyPrefix, org)
	if org != "" {
		names = append(names, c.keys.names(r.Context(), keyPrefix, beginningOfKeys(org))...)
	}
	return ok(keyNames{names})
}

// beginningOfKeys returns what all keys of an organisation begin with. Its last byte is left out: it depends on what
// follows.
func beginningOfKeys(orgID string) string {
	text := base64.RawStdEncoding.EncodeToString([]byte(`{"org":"` + orgID + `"`))
	return text[:len(text)-2]
}

func (c *controlAPI) deleteKey(r *http.Request, key string) response {
	name, _, found := c.find(r, r.URL.Query().Get("org_id"), key)
	if !found {
		return failure(http.StatusNotFound, "There is no such key found")
	}
	if !c.keys.remove(r.Context(), name) {
		return failure(http.StatusBadRequest, "Failed to remove the key")
	}
	if r.URL.Query().Get("api_id") == "-1" {
		return ok(nil)
	}
	return ok(keyChange{Key: key, Status: "ok", Action: "deleted"})
}

func isHashed(r *http.Request) bool { return r.URL.Query().Get("hashed") != "" }

// find returns the session of the key of a request, and the name under which it is stored. With ?hashed=, the key is a
// hash already.
func (c *controlAPI) find(r *http.Request, orgID, key string) (name string, s session, found bool) {
	if !c.state.cfg.HashKeys || !isHashed(r) {
		return c.keys.find(r.Context(), orgID, key)
	}
	s, found = c.keys.get(r.Context(), keyPrefix+key)
	return keyPrefix + key, s, found
}

// newKey returns a key with a random ID.
func newKey(orgID string) string {
	return namedKey(orgID, strings.ReplaceAll(uuid.NewString(), "-", ""))
}
