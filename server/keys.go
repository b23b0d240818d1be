package server

import (
	"errors"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// toOrgKeyData returns an organisation's key as the API shows it.
func toOrgKeyData(key store.OrgKey) admin.KeyData {
	return toKeyData(gateway.Key{ID: key.OrgID}, key.Session)
}

// orgKeyError maps the errors of Sync.ChangeOrgKey that are the gateway's: its message becomes part of the response.
func orgKeyError(err error) error {
	switch refused, ok := errors.AsType[*gateway.Refused](err); {
	case ok:
		return apiError{outcome: outcomeGateway, value: refused.Message, cause: err}
	case errors.Is(err, gateway.ErrUnreachable):
		return apiError{outcome: outcomeGateway, value: gateway.ErrUnreachable.Error(), cause: err}
	}
	return err
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
	key := store.OrgKey{OrgID: jsondoc.String(bodyOf(c).json, "org_id"), Session: bodyOf(c).json}
	if err := s.sync.ChangeOrgKey(c.Request().Context(), store.OrgKeyChange{OrgKey: key}); err != nil {
		return withOrgID(key.OrgID, orgKeyError(err))
	}
	return replyObject(c, toOrgKeyData(key))
}

// GetOrgKey implements admin.ServerInterface.
func (s *Server) GetOrgKey(c echo.Context, keyID admin.KeyID) error {
	key, err := s.store.OrgKey(c.Request().Context(), keyID)
	if err != nil {
		return err
	}
	return replyObject(c, toOrgKeyData(key))
}

// UpdateOrgKey implements admin.ServerInterface.
func (s *Server) UpdateOrgKey(c echo.Context, keyID admin.KeyID) error {
	key := store.OrgKey{OrgID: keyID, Session: bodyOf(c).json}
	ctx := c.Request().Context()
	if named := jsondoc.String(key.Session, "org_id"); named != "" && named != keyID {
		if _, err := s.store.OrgKey(ctx, keyID); err != nil {
			return err // a key that does not exist is reported before the other organisation
		}
		return apiError{outcome: outcomeInvalid}
	}
	if err := s.sync.ChangeOrgKey(ctx, store.OrgKeyChange{OrgKey: key, MustExist: true}); err != nil {
		return orgKeyError(err)
	}
	return replyOK(c, nil)
}

// DeleteOrgKey implements admin.ServerInterface.
func (s *Server) DeleteOrgKey(c echo.Context, keyID admin.KeyID) error {
	change := store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: keyID}, MustExist: true}
	if err := s.sync.ChangeOrgKey(c.Request().Context(), change); err != nil {
		return orgKeyError(err)
	}
	return replyOK(c, nil)
}
