package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
)

// SetOrgKey creates or replaces the key of an organisation; the gateway treats both alike.
func (c *Client) SetOrgKey(ctx context.Context, orgID string, session json.RawMessage) error {
	return c.call(ctx, http.MethodPost, []string{"tyk", "org", "keys", orgID}, nil, session, nil)
}

// DeleteOrgKey deletes the key of an organisation. A gateway that does not have it has nothing to lose: that is no error.
func (c *Client) DeleteOrgKey(ctx context.Context, orgID string) error {
	err := c.call(ctx, http.MethodDelete, []string{"tyk", "org", "keys", orgID}, nil, nil, nil)
	var refused *Refused
	if errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Message == "Failed to remove the key") {
		return nil // facts gateway §6: the answers for an unknown key, and for a gateway without APIs
	}
	return err
}

// OrgKey returns an organisation's session as the gateway has it: all fields, what it counts included. A gateway without
// APIs answers 404, as for an unknown key.
func (c *Client) OrgKey(ctx context.Context, orgID string) (session json.RawMessage, err error) {
	err = c.call(ctx, http.MethodGet, []string{"tyk", "org", "keys", orgID}, nil, nil, &session)
	return session, err
}

// OrgKeys lists the organisations that have a key in the gateway's Redis. A gateway without APIs does not tell: it
// answers 404 (facts gateway §6).
func (c *Client) OrgKeys(ctx context.Context) ([]string, error) {
	var list struct{ Keys []string }
	err := c.call(ctx, http.MethodGet, []string{"tyk", "org", "keys"}, nil, nil, &list)
	return list.Keys, err
}

// Key is a key of an API's user.
type Key struct {
	ID   string `json:"key"`
	Hash string `json:"key_hash"` // "" unless the gateway hashes keys
}

// CreateKey makes a key with a session, which must grant access to something.
func (c *Client) CreateKey(ctx context.Context, session json.RawMessage) (key Key, err error) {
	err = c.call(ctx, http.MethodPost, []string{"tyk", "keys", "create"}, nil, session, &key)
	return key, err
}

// Session returns a key's session. hashed: id is the key's hash.
func (c *Client) Session(ctx context.Context, id string, hashed bool) (session json.RawMessage, err error) {
	err = c.call(ctx, http.MethodGet, []string{"tyk", "keys", id}, flag("hashed", hashed, "true"), nil, &session)
	return session, err
}

// UpdateKey replaces a key's session. keepQuota: what is left of the quota stays as it is.
func (c *Client) UpdateKey(ctx context.Context, id string, session json.RawMessage, keepQuota bool) error {
	return c.call(ctx, http.MethodPut, []string{"tyk", "keys", id}, flag("suppress_reset", keepQuota, "1"), session, nil)
}

// DeleteKey deletes a key. hashed: id is the key's hash.
func (c *Client) DeleteKey(ctx context.Context, id string, hashed bool) error {
	return c.call(ctx, http.MethodDelete, []string{"tyk", "keys", id}, flag("hashed", hashed, "1"), nil, nil)
}

// Keys lists every key, or its hash where the gateway hashes keys. A gateway that does not list hashes answers 404.
func (c *Client) Keys(ctx context.Context) ([]string, error) {
	var list struct{ Keys []string }
	err := c.call(ctx, http.MethodGet, []string{"tyk", "keys"}, nil, nil, &list)
	return list.Keys, err
}

func flag(name string, set bool, value string) url.Values {
	if !set {
		return nil
	}
	return url.Values{name: {value}}
}
