package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// What a user can sign on to: ForSection of a nonce.
const (
	dashboardSection = "dashboard"
	portalSection    = "portal"
)

// toSignOn returns what a nonce is created for. Its document, which redeeming the nonce returns, has every field.
func toSignOn(sent admin.SSOAccessData) (store.SignOn, error) {
	groups := append([]string{}, valueOf(sent.GroupsIDs)...) // [] instead of null
	document, err := json.Marshal(admin.SSOAccessData{
		ForSection: orZero(sent.ForSection), OrgID: orZero(sent.OrgID), EmailAddress: orZero(sent.EmailAddress),
		DisplayName: orZero(sent.DisplayName), GroupID: orZero(sent.GroupID), GroupsIDs: &groups,
		SSOOnlyForRegisteredUsers: orZero(sent.SSOOnlyForRegisteredUsers), UserNotAllowed: orZero(sent.UserNotAllowed),
	})
	return store.SignOn{
		Section: valueOf(sent.ForSection), OrgID: valueOf(sent.OrgID), Email: valueOf(sent.EmailAddress),
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

// signOnRequest returns what a request creates a nonce for. It returns errInvalid for an unknown section.
func signOnRequest(r *request) (store.SignOn, error) {
	sent, err := apiserver.Decode[admin.SSOAccessData](r)
	if err != nil {
		return store.SignOn{}, err
	}
	if section := valueOf(sent.ForSection); section != dashboardSection && section != portalSection {
		return store.SignOn{}, errInvalid
	}
	return toSignOn(sent)
}

// GenerateAuthToken implements admin.Handlers.
func (s *Server) GenerateAuthToken(r *request) admin.GenerateAuthTokenReply {
	var reply admin.GenerateAuthTokenReplies
	on, err := signOnRequest(r)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), invalid(reply))
	}
	nonce, err := s.store.CreateNonce(r.Context(), on)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), unknownOrganisation(reply, on.OrgID))
	}
	return reply.OK(nonce)
}

// CreateSSONonce implements dashboard.Handlers.
func (s *Server) CreateSSONonce(r *request) dashboard.CreateSSONonceReply {
	var reply dashboard.CreateSSONonceReplies
	on, err := signOnRequest(r)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), invalid(reply))
	}
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	if caller.is(unregisteredID) || !caller.canAccess(on.OrgID) {
		return reply.AccessDenied(nil) // by nonces of nonces, a session would outlast whoever has made the first one
	}
	enabled, err := s.store.SSOEnabled(r.Context(), on.OrgID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return reply.UnknownOrganisation(on.OrgID, err)
	case err != nil:
		return apiserver.ReplyError(reply, err, malformed(reply))
	case !enabled:
		return reply.SsoDisabled(nil)
	}
	if !caller.isAdmin() {
		on.Granted = caller.permissions()
	}
	nonce, err := s.store.CreateNonce(r.Context(), on)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), unknownOrganisation(reply, on.OrgID))
	}
	return reply.OK(nonce)
}

// RedeemDashboardNonce implements dashboard.Handlers.
func (s *Server) RedeemDashboardNonce(
	r *request, params dashboard.RedeemDashboardNonceParams,
) dashboard.RedeemDashboardNonceReply {
	var reply dashboard.RedeemDashboardNonceReplies
	if s.servesConsole && isNavigation(r, valueOf(params.SecFetchMode)) {
		r.Echo.Response().Header().Set(echo.HeaderLocation, consoleAddress(r)+"#nonce="+url.QueryEscape(params.Nonce))
		return reply.ToConsole()
	}
	redeemed, err := s.redeemNonce(r, dashboardSection, params.Nonce)
	return replySignOn(reply, redeemed, err)
}

// isNavigation reports whether a browser is going to show the response to a request. Browsers send fetchMode, which is
// Sec-Fetch-Mode, to trustworthy addresses only.
func isNavigation(r *request, fetchMode string) bool {
	return fetchMode == "navigate" || fetchMode == "" && strings.Contains(r.Header(echo.HeaderAccept), echo.MIMETextHTML)
}

// consoleAddress returns the address of the console, relative to that of a request for /tap.
func consoleAddress(r *request) string {
	if path, _, _ := strings.Cut(r.Echo.Request().RequestURI, "?"); strings.HasSuffix(path, "/") {
		return "../console/"
	}
	return "console/"
}

// RedeemPortalNonce implements dashboard.Handlers.
func (s *Server) RedeemPortalNonce(
	r *request, params dashboard.RedeemPortalNonceParams,
) dashboard.RedeemPortalNonceReply {
	var reply dashboard.RedeemPortalNonceReplies
	redeemed, err := s.redeemNonce(r, portalSection, params.Nonce)
	return replySignOn(reply, redeemed, err)
}

// redeemNonce redeems a nonce for a section. HEAD does not redeem it: its response has no body, and the
// client could not sign on.
func (s *Server) redeemNonce(r *request, section, nonce string) (store.RedeemedNonce, error) {
	return s.limitNonces(r, nonce, func() (store.RedeemedNonce, error) {
		if r.IsHead() {
			return s.store.PeekNonce(r.Context(), section, nonce)
		}
		return s.store.RedeemNonce(r.Context(), section, nonce)
	})
}

// replySignOn replies to the redemption of a nonce. It refuses a sign-on whose UserNotAllowed
// was true when the nonce was created.
func replySignOn[R any](replies interface {
	OK(meta any) R
	NotFound(cause error) R
	NotRegistered(cause error) R
	NotAllowed(cause error) R
	Failed(cause error) R
}, redeemed store.RedeemedNonce, err error,
) R {
	switch {
	case err != nil:
		return apiserver.ReplyError(replies, err, notFound(replies))
	case jsondoc.Bool(redeemed.Document, false, "UserNotAllowed"):
		return replies.NotAllowed(nil)
	case !redeemed.Registered:
		return replies.NotRegistered(nil)
	}
	return replies.OK(redeemed.Document)
}

// expiredInterval is the time between two deletions of nonces that expired without being redeemed, and of sessions.
const expiredInterval = time.Minute

// deleteExpired deletes expired nonces and sessions until ctx ends.
func (s *Server) deleteExpired(ctx context.Context) {
	tick := time.NewTicker(expiredInterval)
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
		if err := s.store.DeleteExpiredSessions(ctx); err != nil {
			s.log.Warn("delete expired sessions failed", "err", err)
		}
	}
}
