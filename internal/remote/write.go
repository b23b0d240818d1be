package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

const jsonType = "application/json"

// SaveOrganisation stores an organisation with its ID: it replaces the organisation if that exists, or imports it.
func (s *Server) SaveOrganisation(ctx context.Context, id string, doc json.RawMessage, exists bool) error {
	c := call{"POST /admin/organisations/import", func() (*http.Response, error) {
		return s.cfg.Client.ImportOrgsWithBody(ctx, jsonType, bytes.NewReader(doc))
	}}
	if exists {
		c = call{"PUT /admin/organisations/{orgID}", func() (*http.Response, error) {
			return s.cfg.Client.UpdateOrgWithBody(ctx, id, jsonType, bytes.NewReader(doc))
		}}
	}
	_, err := s.body(ctx, c)
	return err
}

// SaveKey stores the key of the organisation that is the org_id of the session.
func (s *Server) SaveKey(ctx context.Context, session json.RawMessage) error {
	_, err := s.body(ctx, call{"POST /admin/org/keys", func() (*http.Response, error) {
		return s.cfg.Client.CreateOrgKeyWithBody(ctx, jsonType, bytes.NewReader(session))
	}})
	return err
}

// Delete deletes an object. The ID of a user is the one that the server generated, not the e-mail address.
func (s *Server) Delete(ctx context.Context, kind Kind, id string) error {
	var c call
	switch kind {
	case User:
		c = call{"DELETE /admin/users/{userId}", func() (*http.Response, error) {
			return s.cfg.Client.RemoveUser(ctx, id)
		}}
	case API:
		c = call{"DELETE /admin/apis/{apiId}", func() (*http.Response, error) { return s.cfg.Client.RemoveAPI(ctx, id) }}
	case Policy:
		c = call{"DELETE /admin/policies/{policyId}", func() (*http.Response, error) {
			return s.cfg.Client.RemovePolicy(ctx, id)
		}}
	case Key:
		c = call{"DELETE /admin/org/keys/{keyId}", func() (*http.Response, error) {
			return s.cfg.Client.DeleteOrgKey(ctx, id)
		}}
	default:
		return fmt.Errorf("an %s cannot be deleted", kind)
	}
	_, err := s.body(ctx, c)
	return err
}

// SavedUser is a user as a server has stored it.
type SavedUser struct {
	ID        string `json:"id"`
	AccessKey string `json:"access_key"`
}

// CreateUser creates a user, and returns the ID and the access key that the server has generated.
func (s *Server) CreateUser(ctx context.Context, doc json.RawMessage) (SavedUser, error) {
	return s.saveUser(ctx, call{"POST /admin/users", func() (*http.Response, error) {
		return s.cfg.Client.CreateUserWithBody(ctx, jsonType, bytes.NewReader(doc))
	}})
}

// UpdateUser replaces a user.
func (s *Server) UpdateUser(ctx context.Context, id string, doc json.RawMessage) error {
	_, err := s.body(ctx, call{"PUT /admin/users/{userId}", func() (*http.Response, error) {
		return s.cfg.Client.UpdateUserWithBody(ctx, id, jsonType, bytes.NewReader(doc))
	}})
	return err
}

func (s *Server) saveUser(ctx context.Context, c call) (SavedUser, error) {
	var reply struct {
		Meta SavedUser
	}
	raw, err := s.body(ctx, c)
	if err == nil {
		err = json.Unmarshal(raw, &reply)
	}
	if err == nil && reply.Meta.ID == "" {
		err = &Error{c.operation, http.StatusOK, "the response has no user"}
	}
	return reply.Meta, err
}
