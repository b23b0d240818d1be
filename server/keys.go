package server

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/internal/document"
	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// showKey is an organisation's key as it goes out: the session as it is stored.
func showKey(key store.OrgKey) admin.KeyData {
	hash, session := "", key.Session
	return admin.KeyData{ApiModel: &admin.ApiModel{}, KeyId: &key.OrgID, Data: &session, KeyHash: &hash}
}

// tell passes a key's change on to the gateway, while it can still be undone. Without a gateway the record is all.
func (s *Server) tell(change func(context.Context) error) store.Tell {
	return func(ctx context.Context) error {
		err := change(ctx)
		switch refused, ok := errors.AsType[*gateway.Refused](err); {
		case err == nil, errors.Is(err, gateway.ErrNotConfigured):
			return nil
		case ok:
			return apiError{outcome: outcomeGateway, value: refused.Message, cause: err}
		default:
			return apiError{outcome: outcomeGateway, value: gateway.ErrUnreachable.Error(), cause: err}
		}
	}
}

func (s *Server) tellSession(key store.OrgKey) store.Tell {
	return s.tell(func(ctx context.Context) error { return s.setOrgKey(ctx, key) })
}

func (s *Server) setOrgKey(ctx context.Context, key store.OrgKey) error {
	return s.gateway.SetOrgKey(ctx, key.OrgID, s.gatewaySession(key.Session))
}

// GetAllKeys implements admin.ServerInterface.
func (s *Server) GetAllKeys(c echo.Context) error {
	ids, err := s.store.OrgKeyIDs(c.Request().Context())
	if err != nil {
		return err
	}
	pages := 1
	return replyObject(c, admin.Keys{Data: &admin.AllKeys{Keys: &ids}, Pages: &pages})
}

// CreateOrgKey implements admin.ServerInterface.
func (s *Server) CreateOrgKey(c echo.Context) error {
	key := store.OrgKey{OrgID: document.String(bodyOf(c).json, "org_id"), Session: bodyOf(c).json}
	if err := s.store.CreateOrgKey(c.Request().Context(), key, s.tellSession(key)); err != nil {
		return withOrgID(key.OrgID, err)
	}
	s.sync.OrgKeyChanged(key.OrgID)
	return replyObject(c, showKey(key))
}

// GetOrgKey implements admin.ServerInterface.
func (s *Server) GetOrgKey(c echo.Context, keyID admin.KeyID) error {
	key, err := s.store.OrgKey(c.Request().Context(), keyID)
	if err != nil {
		return err
	}
	return replyObject(c, showKey(key))
}

// UpdateOrgKey implements admin.ServerInterface.
func (s *Server) UpdateOrgKey(c echo.Context, keyID admin.KeyID) error {
	key := store.OrgKey{OrgID: keyID, Session: bodyOf(c).json}
	ctx := c.Request().Context()
	if named := document.String(key.Session, "org_id"); named != "" && named != keyID {
		if _, err := s.store.OrgKey(ctx, keyID); err != nil {
			return err // there is nothing whose organisation could not be changed
		}
		return apiError{outcome: outcomeInvalid}
	}
	if err := s.store.UpdateOrgKey(ctx, key, s.tellSession(key)); err != nil {
		return err
	}
	s.sync.OrgKeyChanged(key.OrgID)
	return replyOK(c, nil)
}

// DeleteOrgKey implements admin.ServerInterface.
func (s *Server) DeleteOrgKey(c echo.Context, keyID admin.KeyID) error {
	tell := s.tell(func(ctx context.Context) error { return s.gateway.DeleteOrgKey(ctx, keyID) })
	if err := s.store.DeleteOrgKey(c.Request().Context(), keyID, tell); err != nil {
		return err
	}
	s.sync.OrgKeyChanged(keyID)
	return replyOK(c, nil)
}
