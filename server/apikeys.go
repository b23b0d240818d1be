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
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// maxSessionRequests is how many sessions are requested from the gateway at the same time when keys are listed.
const maxSessionRequests = 8

// gatewayError returns the outcome of a gateway's error for a client that asked for a key.
func gatewayError(err error) error {
	refused, ok := errors.AsType[*gateway.Refused](err)
	switch {
	case ok && refused.Status == http.StatusNotFound:
		return apiError{outcome: outcomeNotFound, cause: err}
	case ok:
		return apiError{outcome: outcomeGateway, value: refused.Message, cause: err}
	}
	return err
}

// toKeyData returns a key as the API shows it.
func toKeyData(key gateway.Key, session json.RawMessage) admin.KeyData {
	return admin.KeyData{ApiModel: &admin.ApiModel{}, KeyId: &key.ID, Data: &session, KeyHash: &key.Hash}
}

// sessionRequest returns the session in the body, of the caller's organisation if it states none. It fails if the
// organisation, or an API that the session grants access to, belongs to somebody else.
func (s *Server) sessionRequest(c echo.Context, caller caller) (json.RawMessage, error) {
	session := bodyOf(c).json
	if err := checkSpelling(session); err != nil {
		return nil, err
	}
	orgID := jsondoc.String(session, "org_id")
	if orgID == "" {
		orgID = valueOf(caller.scope())
		session = jsondoc.Set(session, "org_id", jsondoc.Quote(orgID))
	}
	if orgID == "" || !caller.canAccess(orgID) {
		return nil, apiError{outcome: outcomeNotOwned}
	}
	owned, err := s.store.OwnsAPIs(c.Request().Context(), orgID, grantedAPIs(session))
	if err == nil && !owned {
		err = apiError{outcome: outcomeNotOwned}
	}
	return session, err
}

// checkSpelling requires the exact names of the members that sessionRequest checks: a gateway decodes names in any
// case.
func checkSpelling(session json.RawMessage) error {
	for _, m := range jsondoc.Members(session) {
		for _, name := range []string{"org_id", "access_rights"} {
			if strings.EqualFold(m.Name, name) && m.Name != name {
				return malformed(contract.Pointer(m.Name), "is to be written "+name, nil)
			}
		}
	}
	return nil
}

// grantedAPIs returns the IDs of the APIs that a session grants access to. If access_rights occurs twice, a gateway
// merges both.
func grantedAPIs(session json.RawMessage) []string {
	var ids []string
	for _, m := range jsondoc.Members(session) {
		if m.Name != "access_rights" {
			continue
		}
		for _, right := range jsondoc.Members(m.Value) {
			ids = append(ids, right.Name)
		}
	}
	return ids
}

// accessibleKey returns the session of a key, if its organisation is the caller's.
func (s *Server) accessibleKey(ctx context.Context, caller caller, id string, hashed bool) (json.RawMessage, error) {
	session, err := s.gateway.Session(ctx, id, hashed)
	if err != nil {
		return nil, gatewayError(err)
	}
	if !caller.canAccess(jsondoc.String(session, "org_id")) {
		return nil, apiError{outcome: outcomeNotOwned}
	}
	return session, nil
}

// AddKey implements dashboard.ServerInterface.
func (s *Server) AddKey(c echo.Context) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	session, err := s.sessionRequest(c, caller)
	if err != nil {
		return err
	}
	key, err := s.gateway.CreateKey(c.Request().Context(), s.gatewaySession(session))
	if err != nil {
		return gatewayError(err)
	}
	return replyObject(c, toKeyData(key, session))
}

// GetKeyDetail implements dashboard.ServerInterface.
func (s *Server) GetKeyDetail(c echo.Context, keyID admin.KeyID, params dashboard.GetKeyDetailParams) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	session, err := s.accessibleKey(c.Request().Context(), caller, keyID, valueOf(params.Hashed) != "")
	if err != nil {
		return err
	}
	return replyObject(c, toKeyData(gateway.Key{ID: keyID}, session))
}

// UpdateKey implements dashboard.ServerInterface.
func (s *Server) UpdateKey(c echo.Context, keyID admin.KeyID, params dashboard.UpdateKeyParams) error {
	ctx := c.Request().Context()
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	if _, err := s.accessibleKey(ctx, caller, keyID, false); err != nil {
		return err
	}
	session, err := s.sessionRequest(c, caller)
	if err != nil {
		return err
	}
	err = s.gateway.UpdateKey(ctx, keyID, s.gatewaySession(session), valueOf(params.SuppressReset) != "")
	if err != nil {
		return gatewayError(err)
	}
	return replyObject(c, toKeyData(gateway.Key{ID: keyID}, session))
}

// DeleteKey implements dashboard.ServerInterface.
func (s *Server) DeleteKey(c echo.Context, keyID admin.KeyID, params dashboard.DeleteKeyParams) error {
	ctx, hashed := c.Request().Context(), valueOf(params.Hashed) != ""
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	if _, err := s.accessibleKey(ctx, caller, keyID, hashed); err != nil {
		return err
	}
	if err := s.gateway.DeleteKey(ctx, keyID, hashed); err != nil {
		return gatewayError(err)
	}
	return replyOK(c, nil)
}

// ListApiKeys implements dashboard.ServerInterface.
func (s *Server) ListApiKeys(c echo.Context, id admin.APIID) error {
	ctx := c.Request().Context()
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	api, err := s.store.API(ctx, id, caller.scope())
	if err != nil {
		return err
	}
	keys, err := s.apiKeys(ctx, api)
	if err != nil {
		return gatewayError(err)
	}
	pages := 1
	return replyObject(c, admin.Keys{Data: &admin.AllKeys{Keys: &keys}, Pages: &pages})
}

// apiKeys returns the IDs of an API's keys: those of its organisation that grant access to it, sorted. The gateway has
// no such list, so that all of its keys are requested.
func (s *Server) apiKeys(ctx context.Context, api store.Row) (admin.Strings, error) {
	all, err := s.gateway.Keys(ctx)
	if err != nil {
		return nil, err
	}
	orgID := jsondoc.String(api.Document, "api_definition", "org_id")
	granted := admin.Strings{}
	var mu sync.Mutex // guards granted, for one append
	requests, ctx := errgroup.WithContext(ctx)
	requests.SetLimit(maxSessionRequests)
	for _, id := range all {
		requests.Go(func() error {
			session, err := s.session(ctx, id)
			if slices.Contains(grantedAPIs(session), api.ID) && jsondoc.String(session, "org_id") == orgID {
				mu.Lock()
				defer mu.Unlock()
				granted = append(granted, id)
			}
			return err
		})
	}
	err = requests.Wait()
	slices.Sort(granted)
	return granted, err
}

// session returns the session of a listed key, which is a hash if the gateway hashes keys. It returns nil for a key
// that has expired since it was listed.
func (s *Server) session(ctx context.Context, id string) (json.RawMessage, error) {
	session, err := s.gateway.Session(ctx, id, false)
	if !isNotFound(err) {
		return session, err
	}
	session, err = s.gateway.Session(ctx, id, true)
	if _, refused := errors.AsType[*gateway.Refused](err); refused {
		return nil, nil
	}
	return session, err
}

func isNotFound(err error) bool {
	refused, ok := errors.AsType[*gateway.Refused](err)
	return ok && refused.Status == http.StatusNotFound
}
