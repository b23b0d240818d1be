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

// sections are what a user can be signed on to.
var sections = []string{"dashboard", "portal"}

// signOn reads whom a nonce is for.
func signOn(c echo.Context) (store.SignOn, error) {
	sent, err := decode[admin.SSOAccessData](c)
	if err != nil {
		return store.SignOn{}, err
	}
	if !slices.Contains(sections, value(sent.ForSection)) {
		return store.SignOn{}, failure{event: invalid}
	}
	groups := append([]string{}, value(sent.GroupsIDs)...) // [], not null
	who, err := json.Marshal(admin.SSOAccessData{
		ForSection: sent.ForSection, OrgID: orEmpty(sent.OrgID), EmailAddress: orEmpty(sent.EmailAddress),
		DisplayName: orEmpty(sent.DisplayName), GroupID: orEmpty(sent.GroupID), GroupsIDs: &groups,
		SSOOnlyForRegisteredUsers: orEmpty(sent.SSOOnlyForRegisteredUsers), UserNotAllowed: orEmpty(sent.UserNotAllowed),
	})
	return store.SignOn{
		OrgID: value(sent.OrgID), Email: value(sent.EmailAddress),
		RegisteredOnly: value(sent.SSOOnlyForRegisteredUsers), Document: who,
	}, err
}

// orEmpty is p, or a pointer to the zero value: an answer names every field.
func orEmpty[T any](p *T) *T {
	if p == nil {
		p = new(T)
	}
	return p
}

func (s *Server) makeNonce(c echo.Context, on store.SignOn) error {
	nonce, err := s.Store.CreateNonce(c.Request().Context(), on)
	if err != nil {
		return naming(on.OrgID, err)
	}
	return done(c, nonce)
}

// GenerateAuthToken implements admin.ServerInterface.
func (s *Server) GenerateAuthToken(c echo.Context) error {
	on, err := signOn(c)
	if err != nil {
		return err
	}
	return s.makeNonce(c, on)
}

// CreateSSONonce implements dashboard.ServerInterface.
func (s *Server) CreateSSONonce(c echo.Context) error {
	on, err := signOn(c)
	if err != nil {
		return err
	}
	if !callerOf(c).CanAccess(on.OrgID) {
		return failure{event: accessDenied}
	}
	enabled, err := s.Store.SSOEnabled(c.Request().Context(), on.OrgID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return failure{event: unknownOrganisation, value: on.OrgID}
	case err != nil:
		return err
	case !enabled:
		return failure{event: ssoDisabled}
	}
	return s.makeNonce(c, on)
}

// RedeemDashboardNonce implements dashboard.ServerInterface.
func (s *Server) RedeemDashboardNonce(c echo.Context, params dashboard.RedeemDashboardNonceParams) error {
	return s.redeem(c, params.Nonce)
}

// RedeemPortalNonce implements dashboard.ServerInterface.
func (s *Server) RedeemPortalNonce(c echo.Context, params dashboard.RedeemPortalNonceParams) error {
	return s.redeem(c, params.Nonce)
}

// redeem spends a nonce. HEAD only looks at it: its answer is thrown away, and nobody is signed on.
func (s *Server) redeem(c echo.Context, nonce string) error {
	ctx := c.Request().Context()
	redeem := s.Store.RedeemNonce
	if ctx.Value(onlyLooking{}) != nil {
		redeem = s.Store.PeekNonce
	}
	redeemed, err := redeem(ctx, nonce)
	if err != nil {
		return err
	}
	if !redeemed.Allowed {
		return failure{event: notRegistered}
	}
	return done(c, redeemed.Document)
}

// sweepEvery is how long a nonce that nobody has redeemed may lie about after it has lapsed.
const sweepEvery = time.Minute

func (s *Server) sweepNonces(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.Store.DeleteExpiredNonces(ctx); err != nil {
			s.Log.Warn("lapsed nonces stay for now", "err", err)
		}
	}
}
