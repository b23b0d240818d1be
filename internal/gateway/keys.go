package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
)

// SetOrgKey creates or replaces the key of an organisation.
func (c *Client) SetOrgKey(ctx context.Context, orgID string, session json.RawMessage) error {
	return c.call(ctx, http.MethodPost, []string{"tyk", "org", "keys", orgID}, nil, session, nil)
}

// DeleteOrgKey deletes the key of an organisation. A key that the gateway does not have is no error.
func (c *Client) DeleteOrgKey(ctx context.Context, orgID string) error {
	err := c.call(ctx, http.MethodDelete, []string{"tyk", "org", "keys", orgID}, nil, nil, nil)
	var refused *Refused
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Status == http.StatusNotFound || refused.Message == "Failed to remove the key" {
		return nil // 404: the gateway has no APIs; the message: it does not have the key
	}
	return err
}

// OrgKey returns an organisation's session as the gateway has it: with all fields, and the counters of its quota.
// found is false if the gateway does not have the key, or has no APIs.
func (c *Client) OrgKey(ctx context.Context, orgID string) (session json.RawMessage, found bool, err error) {
	err = c.call(ctx, http.MethodGet, []string{"tyk", "org", "keys", orgID}, nil, nil, &session)
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
	err := c.call(ctx, http.MethodGet, []string{"tyk", "org", "keys"}, nil, nil, &list)
	return list.Keys, err
}

// Key is a key for APIs.
type Key struct {
	ID   string `json:"key"`
	Hash string `json:"key_hash"` // "" unless the gateway hashes keys
}

// CreateKey creates a key with a session, which must grant access to an API.
func (c *Client) CreateKey(ctx context.Context, session json.RawMessage) (key Key, err error) {
	err = c.call(ctx, http.MethodPost, []string{"tyk", "keys", "create"}, nil, session, &key)
	return key, err
}

// Session returns the session of a key; with hashed, id is the hash of the key.
func (c *Client) Session(ctx context.Context, id string, hashed bool) (session json.RawMessage, err error) {
	err = c.call(ctx, http.MethodGet, []string{"tyk", "keys", id}, flag("hashed", hashed, "true"), nil, &session)
	return session, err
}

// UpdateKey replaces the session of a key; with keepQuota, what is left of its quota stays as it is.
func (c *Client) UpdateKey(ctx context.Context, id string, session json.RawMessage, keepQuota bool) error {
	query := flag("suppress_reset", keepQuota, "1")
	return c.call(ctx, http.MethodPut, []string{"tyk", "keys", id}, query, session, nil)
}

// DeleteKey deletes a key; with hashed, id is the hash of the key.
func (c *Client) DeleteKey(ctx context.Context, id string, hashed bool) error {
	return c.call(ctx, http.MethodDelete, []string{"tyk", "keys", id}, flag("hashed", hashed, "1"), nil, nil)
}

// Keys lists all keys, or their hashes if the gateway hashes keys. A gateway that does not list hashes refuses that
// with 404.
func (c *Client) Keys(ctx context.Context) ([]string, error) {
	var list struct{ Keys []string }
	err := c.call(ctx, http.MethodGet, []string{"tyk", "keys"}, nil, nil, &list)
	return list.Keys, err
}

// flag returns a query with one parameter, or none unless set.
func flag(name string, set bool, value string) url.Values {
	if !set {
		return nil
	}
	return url.Values{name: {value}}
}
