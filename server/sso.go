package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// ssoSections are what a user can sign on to.
var ssoSections = []string{"dashboard", "portal"}

// toSignOn returns what a nonce is created for. Its document, which redeeming the nonce returns, has every field.
func toSignOn(sent admin.SSOAccessData) (store.SignOn, error) {
	groups := append([]string{}, valueOf(sent.GroupsIDs)...) // [] instead of null
	document, err := json.Marshal(admin.SSOAccessData{
		ForSection: orZero(sent.ForSection), OrgID: orZero(sent.OrgID), EmailAddress: orZero(sent.EmailAddress),
		DisplayName: orZero(sent.DisplayName), GroupID: orZero(sent.GroupID), GroupsIDs: &groups,
		SSOOnlyForRegisteredUsers: orZero(sent.SSOOnlyForRegisteredUsers), UserNotAllowed: orZero(sent.UserNotAllowed),
	})
	return store.SignOn{
		OrgID: valueOf(sent.OrgID), Email: valueOf(sent.EmailAddress),
		RegisteredOnly: valueOf(sent.SSOOnlyForRegisteredUsers), Document: document,
	}, err
}

// orZero returns p, or a pointer to the zero value.
func orZero[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// signOnRequest returns what a request creates a nonce for.
func signOnRequest(c echo.Context) (store.SignOn, error) {
	sent, err := decode[admin.SSOAccessData](c)
	if err != nil {
		return store.SignOn{}, err
	}
	if !slices.Contains(ssoSections, valueOf(sent.ForSection)) {
		return store.SignOn{}, apiError{outcome: outcomeInvalid}
	}
	return toSignOn(sent)
}

func (s *Server) createNonce(c echo.Context, on store.SignOn) error {
	nonce, err := s.store.CreateNonce(c.Request().Context(), on)
	if err != nil {
		return withOrgID(on.OrgID, err)
	}
	return replyOK(c, nonce)
}

// GenerateAuthToken implements admin.ServerInterface.
func (s *Server) GenerateAuthToken(c echo.Context) error {
	on, err := signOnRequest(c)
	if err != nil {
		return err
	}
	return s.createNonce(c, on)
}

// CreateSSONonce implements dashboard.ServerInterface.
func (s *Server) CreateSSONonce(c echo.Context) error {
	on, err := signOnRequest(c)
	if err != nil {
		return err
	}
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	if !caller.canAccess(on.OrgID) {
		return apiError{outcome: outcomeAccessDenied}
	}
	enabled, err := s.store.SSOEnabled(c.Request().Context(), on.OrgID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return apiError{outcome: outcomeUnknownOrganisation, value: on.OrgID}
	case err != nil:
		return err
	case !enabled:
		return apiError{outcome: outcomeSSODisabled}
	}
	return s.createNonce(c, on)
}

// RedeemDashboardNonce implements dashboard.ServerInterface.
func (s *Server) RedeemDashboardNonce(c echo.Context, params dashboard.RedeemDashboardNonceParams) error {
	return s.redeemNonce(c, params.Nonce)
}

// RedeemPortalNonce implements dashboard.ServerInterface.
func (s *Server) RedeemPortalNonce(c echo.Context, params dashboard.RedeemPortalNonceParams) error {
	return s.redeemNonce(c, params.Nonce)
}

// redeemNonce redeems a nonce. HEAD leaves it as it is: its response has no body, so that nobody is signed on.
func (s *Server) redeemNonce(c echo.Context, nonce string) error {
	redeem := s.store.RedeemNonce
	if isHead(c) {
		redeem = s.store.PeekNonce
	}
	redeemed, err := redeem(c.Request().Context(), nonce)
	if err != nil {
		return err
	}
	if !redeemed.Allowed {
		return apiError{outcome: outcomeNotRegistered}
	}
	return replyOK(c, redeemed.Document)
}

// expiredNoncesInterval is the time between two deletions of nonces that expired without being redeemed.
const expiredNoncesInterval = time.Minute

// deleteExpiredNonces deletes expired nonces until ctx ends.
func (s *Server) deleteExpiredNonces(ctx context.Context) {
	tick := time.NewTicker(expiredNoncesInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.store.DeleteExpiredNonces(ctx); err != nil {
			s.log.Warn("delete expired nonces failed", "err", err)
		}
	}
}
