package gatewaystandin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// keyChange is the response to a change of a key.
type keyChange struct {
	Key     string `json:"key"`
	Status  string `json:"status"`
	Action  string `json:"action"`
	KeyHash string `json:"key_hash,omitempty"`
}

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
	if err := applyPolicies(&s, c.state.policy); err != nil {
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
	if applyPolicies(&s, c.state.policy) != nil || len(s.AccessRights) == 0 {
		return failure(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	if key == "" {
		key = newKey(s.OrgID)
	}
	return c.saveNewKey(r.Context(), key, s)
}

func (c *controlAPI) saveNewKey(ctx context.Context, key string, s session) response {
	s.DateCreated = time.Now()
	s.QuotaRemaining = s.QuotaMax
	if c.keys.set(ctx, c.keys.name(key), s) != nil {
		return failure(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	c.limits.resetQuota(c.keys.name(key))
	change := keyChange{Key: key, Status: "ok", Action: "added"}
	if c.state.cfg.HashKeys {
		change.KeyHash = hashKey(key)
	}
	return ok(change)
}

func (c *controlAPI) updateKey(r *http.Request, key string) response {
	s, decoded := decodeSession(r)
	if !decoded {
		return failure(http.StatusBadRequest, "Request malformed")
	}
	name := c.nameOf(r, key)
	old, found := c.keys.get(r.Context(), name)
	if !found {
		return failure(http.StatusNotFound, "Key is not found")
	}
	s.DateCreated = old.DateCreated
	if applyPolicies(&s, c.state.policy) != nil || len(s.AccessRights) == 0 || c.keys.set(r.Context(), name, s) != nil {
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
	s, found := c.keys.get(r.Context(), c.nameOf(r, key))
	if !found {
		return failure(http.StatusNotFound, "Key not found")
	}
	return ok(s)
}

func (c *controlAPI) listKeys(r *http.Request) response {
	if c.state.cfg.HashKeys && !c.state.cfg.ListHashedKeys {
		return failure(http.StatusNotFound, "Hashed key listing is disabled in config (enable_hashed_keys_listing)")
	}
	return ok(keyNames{c.keys.names(r.Context(), keyPrefix, r.URL.Query().Get("filter"))})
}

func (c *controlAPI) deleteKey(r *http.Request, key string) response {
	name := c.nameOf(r, key)
	if _, found := c.keys.get(r.Context(), name); !found {
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

// nameOf returns the name under which the key of a request is stored. With ?hashed=, the key is a hash already.
func (c *controlAPI) nameOf(r *http.Request, key string) string {
	if c.state.cfg.HashKeys && isHashed(r) {
		return keyPrefix + key
	}
	return c.keys.name(key)
}

// newKey returns a key: base64 of a JSON object with the organisation and an ID.
func newKey(orgID string) string {
	text, _ := json.Marshal(struct { // cannot fail: strings only
		Org  string `json:"org"`
		ID   string `json:"id"`
		Hash string `json:"h"`
	}{orgID, strings.ReplaceAll(uuid.NewString(), "-", ""), "murmur64"})
	return base64.StdEncoding.EncodeToString(text)
}
