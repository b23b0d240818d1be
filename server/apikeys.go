package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/document"
	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// sessionsAtOnce is how many sessions the gateway is asked for at a time when keys are listed.
const sessionsAtOnce = 8

// gatewayFailure says what a gateway's error means to who asked for a key.
func gatewayFailure(err error) error {
	refused, ok := errors.AsType[*gateway.Refused](err)
	switch {
	case ok && refused.Status == http.StatusNotFound:
		return failure{event: notFound, cause: err}
	case ok:
		return failure{event: gatewayRefused, value: refused.Message, cause: err}
	}
	return err
}

func showAPIKey(key gateway.Key, session json.RawMessage) admin.KeyData {
	return admin.KeyData{ApiModel: &admin.ApiModel{}, KeyId: &key.ID, Data: &session, KeyHash: &key.Hash}
}

// ownSession is the body's session as one of the caller's organisation. What belongs to another is refused: a key opens
// every API that it names.
func (s *Server) ownSession(c echo.Context) (json.RawMessage, error) {
	session, caller := bodyOf(c).raw, callerOf(c)
	if err := checkSpelling(session); err != nil {
		return nil, err
	}
	orgID := document.String(session, "org_id")
	if orgID == "" {
		orgID = caller.OrgID
		session = document.Set(session, "org_id", document.Quote(orgID))
	}
	if orgID == "" || !caller.CanAccess(orgID) {
		return nil, failure{event: notOwned}
	}
	owned, err := s.Store.OwnsAPIs(c.Request().Context(), orgID, grantedAPIs(session))
	if err == nil && !owned {
		err = failure{event: notOwned}
	}
	return session, err
}

// checkSpelling refuses another spelling of what ownSession looks at: a gateway takes names in any case.
func checkSpelling(session json.RawMessage) error {
	for _, m := range document.Members(session) {
		for _, name := range []string{"org_id", "access_rights"} {
			if strings.EqualFold(m.Name, name) && m.Name != name {
				return failure{event: malformed, problems: []contract.Problem{{Path: contract.Pointer(m.Name), Reason: "is to be written " + name}}}
			}
		}
	}
	return nil
}

// grantedAPIs are the APIs that a session grants access to. Of access_rights that are there twice a gateway takes both.
func grantedAPIs(session json.RawMessage) []string {
	var ids []string
	for _, m := range document.Members(session) {
		if m.Name != "access_rights" {
			continue
		}
		for _, right := range document.Members(m.Value) {
			ids = append(ids, right.Name)
		}
	}
	return ids
}

// ownKey returns the session of a key, if it is the caller's to see.
func (s *Server) ownKey(c echo.Context, id string, hashed bool) (json.RawMessage, error) {
	session, err := s.Gateway.Session(c.Request().Context(), id, hashed)
	if err != nil {
		return nil, gatewayFailure(err)
	}
	if !callerOf(c).CanAccess(document.String(session, "org_id")) {
		return nil, failure{event: notOwned}
	}
	return session, nil
}

// AddKey implements dashboard.ServerInterface.
func (s *Server) AddKey(c echo.Context) error {
	session, err := s.ownSession(c)
	if err != nil {
		return err
	}
	key, err := s.Gateway.CreateKey(c.Request().Context(), s.sessions(session))
	if err != nil {
		return gatewayFailure(err)
	}
	return bare(c, showAPIKey(key, session))
}

// GetKeyDetail implements dashboard.ServerInterface.
func (s *Server) GetKeyDetail(c echo.Context, keyID admin.KeyID, params dashboard.GetKeyDetailParams) error {
	session, err := s.ownKey(c, keyID, value(params.Hashed) != "")
	if err != nil {
		return err
	}
	return bare(c, showAPIKey(gateway.Key{ID: keyID}, session))
}

// UpdateKey implements dashboard.ServerInterface.
func (s *Server) UpdateKey(c echo.Context, keyID admin.KeyID, params dashboard.UpdateKeyParams) error {
	if _, err := s.ownKey(c, keyID, false); err != nil {
		return err
	}
	session, err := s.ownSession(c)
	if err != nil {
		return err
	}
	if err := s.Gateway.UpdateKey(c.Request().Context(), keyID, s.sessions(session), value(params.SuppressReset) != ""); err != nil {
		return gatewayFailure(err)
	}
	return bare(c, showAPIKey(gateway.Key{ID: keyID}, session))
}

// DeleteKey implements dashboard.ServerInterface.
func (s *Server) DeleteKey(c echo.Context, keyID admin.KeyID, params dashboard.DeleteKeyParams) error {
	hashed := value(params.Hashed) != ""
	if _, err := s.ownKey(c, keyID, hashed); err != nil {
		return err
	}
	if err := s.Gateway.DeleteKey(c.Request().Context(), keyID, hashed); err != nil {
		return gatewayFailure(err)
	}
	return done(c, nil)
}

// ListApiKeys implements dashboard.ServerInterface.
func (s *Server) ListApiKeys(c echo.Context, id admin.APIID) error {
	ctx := c.Request().Context()
	api, err := s.Store.API(ctx, id, scopeOf(c))
	if err != nil {
		return err
	}
	keys, err := s.keysOf(ctx, api)
	if err != nil {
		return gatewayFailure(err)
	}
	pages := 1
	return bare(c, admin.Keys{Data: &admin.AllKeys{Keys: &keys}, Pages: &pages})
}

// keysOf lists the keys of an API: those of its organisation that grant access to it. The gateway has no such list, so
// that it is asked for each key.
func (s *Server) keysOf(ctx context.Context, api store.Row) (admin.Strings, error) {
	all, err := s.Gateway.Keys(ctx)
	if err != nil {
		return nil, err
	}
	orgID := document.String(api.Document, "api_definition", "org_id")
	granted := admin.Strings{}
	var mu sync.Mutex
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(sessionsAtOnce)
	for _, id := range all {
		asking.Go(func() error {
			session, err := s.session(ctx, id)
			if slices.Contains(grantedAPIs(session), api.ID) && document.String(session, "org_id") == orgID {
				mu.Lock()
				defer mu.Unlock()
				granted = append(granted, id)
			}
			return err
		})
	}
	err = asking.Wait()
	slices.Sort(granted)
	return granted, err
}

// session is the session of a listed key, which is a hash if the gateway hashes keys; nil if it is gone.
func (s *Server) session(ctx context.Context, id string) (json.RawMessage, error) {
	session, err := s.Gateway.Session(ctx, id, false)
	refused, ok := errors.AsType[*gateway.Refused](err)
	if ok && refused.Status == http.StatusNotFound {
		session, err = s.Gateway.Session(ctx, id, true)
		_, ok = errors.AsType[*gateway.Refused](err)
		if ok { // it lapsed meanwhile
			return nil, nil
		}
	}
	return session, err
}
