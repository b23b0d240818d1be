package gatewaytest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// keyChange is the answer to a change of a key.
type keyChange struct {
	Key     string `json:"key"`
	Status  string `json:"status"`
	Action  string `json:"action"`
	KeyHash string `json:"key_hash,omitempty"`
}

type keyNames struct {
	Keys []string `json:"keys"`
}

func (p *process) controlKeys(r *http.Request, key string) answer {
	switch {
	case key == "create" && r.Method == http.MethodPost:
		return p.createKey(r)
	case r.Method == http.MethodPost:
		return p.addKey(r, key)
	case r.Method == http.MethodGet && key == "":
		return p.listKeys(r)
	case r.Method == http.MethodGet:
		return p.getKey(r, key)
	case r.Method == http.MethodPut && key != "":
		return p.updateKey(r, key)
	case r.Method == http.MethodDelete && key != "":
		return p.deleteKey(r, key)
	}
	return badMethod()
}

func (p *process) createKey(r *http.Request) answer {
	s, decoded := decodeSession(r)
	if !decoded {
		return fail(http.StatusInternalServerError, "Unmarshalling failed")
	}
	if err := p.applyPolicies(&s); err != nil {
		return fail(http.StatusInternalServerError, "Failed to create key - "+err.Error())
	}
	if len(s.AccessRights) == 0 {
		return fail(http.StatusBadRequest,
			"Failed to create key, keys must have at least one Access Rights record set.")
	}
	return p.saveNewKey(r.Context(), newKey(s.OrgID), s)
}

// addKey makes a key of a given name, or of a new one.
func (p *process) addKey(r *http.Request, key string) answer {
	s, decoded := decodeSession(r)
	if !decoded {
		return fail(http.StatusBadRequest, "Request malformed")
	}
	if p.applyPolicies(&s) != nil || len(s.AccessRights) == 0 {
		return fail(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	if key == "" {
		key = newKey(s.OrgID)
	}
	return p.saveNewKey(r.Context(), key, s)
}

func (p *process) saveNewKey(ctx context.Context, key string, s session) answer {
	s.DateCreated = time.Now()
	s.QuotaRemaining = s.QuotaMax
	if p.store.set(ctx, keyPrefix+p.keyName(key), s) != nil {
		return fail(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	p.limits.resetQuota(keyPrefix + p.keyName(key))
	change := keyChange{Key: key, Status: "ok", Action: "added"}
	if p.cfg.HashKeys {
		change.KeyHash = hashKey(key)
	}
	return ok(change)
}

func (p *process) updateKey(r *http.Request, key string) answer {
	s, decoded := decodeSession(r)
	if !decoded {
		return fail(http.StatusBadRequest, "Request malformed")
	}
	name := p.nameOf(r, key)
	old, found := p.store.get(r.Context(), name)
	if !found {
		return fail(http.StatusNotFound, "Key is not found")
	}
	s.DateCreated = old.DateCreated
	if p.applyPolicies(&s) != nil || len(s.AccessRights) == 0 || p.store.set(r.Context(), name, s) != nil {
		return fail(http.StatusInternalServerError, "Failed to create key, ensure security settings are correct.")
	}
	if r.URL.Query().Get("suppress_reset") != "1" {
		p.limits.resetQuota(name)
	}
	return ok(keyChange{Key: key, Status: "ok", Action: "modified"})
}

func (p *process) getKey(r *http.Request, key string) answer {
	if asksHashed(r) && !p.cfg.HashKeys {
		return fail(http.StatusBadRequest, "Key requested by hash but key hashing is not enabled")
	}
	s, found := p.store.get(r.Context(), p.nameOf(r, key))
	if !found {
		return fail(http.StatusNotFound, "Key not found")
	}
	return ok(s)
}

func (p *process) listKeys(r *http.Request) answer {
	if p.cfg.HashKeys && !p.cfg.ListHashedKeys {
		return fail(http.StatusNotFound, "Hashed key listing is disabled in config (enable_hashed_keys_listing)")
	}
	return ok(keyNames{p.store.names(r.Context(), keyPrefix, r.URL.Query().Get("filter"))})
}

func (p *process) deleteKey(r *http.Request, key string) answer {
	name := p.nameOf(r, key)
	if _, found := p.store.get(r.Context(), name); !found {
		return fail(http.StatusNotFound, "There is no such key found")
	}
	if !p.store.remove(r.Context(), name) {
		return fail(http.StatusBadRequest, "Failed to remove the key")
	}
	if r.URL.Query().Get("api_id") == "-1" {
		return ok(nil)
	}
	return ok(keyChange{Key: key, Status: "ok", Action: "deleted"})
}

func asksHashed(r *http.Request) bool { return r.URL.Query().Get("hashed") != "" }

// nameOf is where a key of a control call is stored; with ?hashed= it is named by its hash already.
func (p *process) nameOf(r *http.Request, key string) string {
	if p.cfg.HashKeys && asksHashed(r) {
		return keyPrefix + key
	}
	return keyPrefix + p.keyName(key)
}

func (p *process) keyName(key string) string {
	if p.cfg.HashKeys {
		return hashKey(key)
	}
	return key
}

// newKey is base64 of what a key says about itself (facts §6).
func newKey(orgID string) string {
	text, _ := json.Marshal(struct { // strings only
		Org  string `json:"org"`
		ID   string `json:"id"`
		Hash string `json:"h"`
	}{orgID, strings.ReplaceAll(uuid.NewString(), "-", ""), "murmur64"})
	return base64.StdEncoding.EncodeToString(text)
}

// hashKey has the form of a gateway's murmur64 (16 hex digits), but is FNV: to everybody but the gateway it is opaque.
func hashKey(key string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return fmt.Sprintf("%016x", h.Sum64())
}
