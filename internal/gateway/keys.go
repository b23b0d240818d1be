package gateway

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// SetOrgKey creates or replaces the key of an organisation.
func (c *Client) SetOrgKey(ctx context.Context, orgID string, session json.RawMessage) error {
	return c.call(ctx, request{method: http.MethodPost, path: orgKeyPath(orgID), body: session}, nil)
}

// ErrNoAPIs is returned by DeleteOrgKey if the gateway has no APIs: then it deletes nothing.
var ErrNoAPIs = errors.New("the gateway has no APIs, and deletes no organisation key")

// DeleteOrgKey deletes the key of an organisation. A key that the gateway does not have is no error.
func (c *Client) DeleteOrgKey(ctx context.Context, orgID string) error {
	err := c.call(ctx, request{method: http.MethodDelete, path: orgKeyPath(orgID)}, nil)
	refused, ok := errors.AsType[*Refused](err)
	switch {
	case ok && refused.Status == http.StatusNotFound:
		return ErrNoAPIs
	case ok && refused.Message == "Failed to remove the key": // the gateway does not have it
		return nil
	}
	return err
}

// OrgKey returns an organisation's session as the gateway has it: with all fields, and the counters of its quota.
// found is false if the gateway does not have the key, or has no APIs.
func (c *Client) OrgKey(ctx context.Context, orgID string) (session json.RawMessage, found bool, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: orgKeyPath(orgID)}, &session)
	var refused *Refused
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return nil, false, nil
	}
	return session, err == nil, err
}

// OrgKeys lists the organisations that have a key in the gateway's Redis. A gateway without APIs refuses that with
// 404.
func (c *Client) OrgKeys(ctx context.Context) ([]string, error) {
	var list struct{ Keys []string }
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"tyk", "org", "keys"}}, &list)
	return list.Keys, err
}

// Key is a key for APIs.
type Key struct {
	ID   string `json:"key"`
	Hash string `json:"key_hash"` // "" unless the gateway hashes keys
}

// CreateKey creates a key with a session, which must grant access to an API.
func (c *Client) CreateKey(ctx context.Context, session json.RawMessage) (key Key, err error) {
	err = c.call(ctx, request{method: http.MethodPost, path: keyPath("create"), body: session}, &key)
	return key, err
}

// CreateNamedKey creates a key that is made of the session's organisation and a name, or replaces it.
func (c *Client) CreateNamedKey(ctx context.Context, name string, session json.RawMessage) (key Key, err error) {
	if err := c.checkName(name); err != nil {
		return Key{}, err
	}
	err = c.call(ctx, request{method: http.MethodPost, path: keyPath(name), body: session}, &key)
	return key, err
}

// KeyRef refers to a key.
type KeyRef struct {
	// ID is the key; with Hashed, its hash; with OrgID, also the name that it was created with.
	ID     string
	Hashed bool
	// OrgID is the organisation whose keys are looked up by their names, "" for none.
	OrgID string
}

func (k KeyRef) query(hashed string) url.Values {
	query := url.Values{}
	if k.Hashed {
		query.Set("hashed", hashed)
	}
	if k.OrgID != "" {
		query.Set("org_id", k.OrgID)
	}
	return query
}

// Session returns the session of a key.
func (c *Client) Session(ctx context.Context, key KeyRef) (session json.RawMessage, err error) {
	if err := c.checkElements(errUnknownKey, key.ID); err != nil {
		return nil, err
	}
	get := request{method: http.MethodGet, path: keyPath(key.ID), query: key.query("true")}
	err = c.call(ctx, get, &session)
	return session, err
}

// UpdateKey replaces the session of a key; with keepQuota, what is left of its quota stays as it is. A name is looked
// up in the session's organisation.
func (c *Client) UpdateKey(ctx context.Context, key KeyRef, session json.RawMessage, keepQuota bool) error {
	if err := c.checkElements(errUnknownKey, key.ID); err != nil {
		return err
	}
	query := key.query("1")
	if keepQuota {
		query.Set("suppress_reset", "1")
	}
	return c.call(ctx, request{method: http.MethodPut, path: keyPath(key.ID), query: query, body: session}, nil)
}

// DeleteKey deletes a key.
func (c *Client) DeleteKey(ctx context.Context, key KeyRef) error {
	if err := c.checkElements(errUnknownKey, key.ID); err != nil {
		return err
	}
	return c.call(ctx, request{method: http.MethodDelete, path: keyPath(key.ID), query: key.query("1")}, nil)
}

// Keys lists the keys of an organisation, or the hashes of all keys if the gateway hashes keys. A gateway that does not
// list hashes refuses that with 404.
func (c *Client) Keys(ctx context.Context, orgID string) ([]string, error) {
	var list struct{ Keys []string }
	get := request{method: http.MethodGet, path: []string{"tyk", "keys"}, query: url.Values{"filter": {orgID}}}
	err := c.call(ctx, get, &list)
	return list.Keys, err
}

func orgKeyPath(orgID string) []string { return []string{"tyk", "org", "keys", orgID} }

// errUnknownKey is a gateway's refusal of a key that it does not have.
var errUnknownKey = &Refused{Status: http.StatusNotFound, Message: "Key not found"}

// checkElements returns the error unless each ID is one element of a path. Nothing has another ID, but its path may be
// that of another operation: gateways decode it and clean it.
func (c *Client) checkElements(unknown *Refused, ids ...string) error {
	if c == nil {
		return nil // call returns ErrNotConfigured
	}
	for _, id := range ids {
		if id == "" || id == "." || id == ".." || strings.Contains(id, "/") {
			return unknown
		}
	}
	return nil
}

// checkName refuses names that keys cannot have. A gateway writes the name into JSON as it is, beside the organisation:
// what has to be escaped there could name another organisation.
func (c *Client) checkName(name string) error {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError }) {
		return errUnknownKey
	}
	return c.checkElements(errUnknownKey, name)
}

// objectIDLength is the length of the ID of an organisation.
const objectIDLength = 24

// KeyOrg returns the ID of the organisation that a key states, "" if it states none. Gateways make keys of a JSON
// object in base64, or of an organisation's ID and what follows it.
func KeyOrg(key string) string {
	var stated struct{ Org string }
	if text, err := base64.StdEncoding.DecodeString(key); err == nil && json.Unmarshal(text, &stated) == nil {
		return stated.Org
	}
	if len(key) > objectIDLength && isHex(key[:objectIDLength]) {
		return key[:objectIDLength]
	}
	return ""
}

func isHex(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil
}

func keyPath(id string) []string { return []string{"tyk", "keys", id} }
