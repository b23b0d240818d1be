package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// sessionCookie is the name of the cookie that has the token of a session.
const sessionCookie = "gatehouse_session"

// organisationHeader has the ID of the organisation whose administrator an operator acts as.
const organisationHeader = "X-Organisation"

// IDs of callers who are no users. No user has them: those of users are 24 digits long.
const (
	operatorID     = "operator"
	unregisteredID = "unregistered"
)

// authenticateSession checks the session of a user or an operator, and sets the caller.
func (s *Server) authenticateSession(r *request) error {
	found, err := s.findSession(r, sessionScheme)
	if err != nil {
		return err
	}
	r.session = &found.Session
	if found.Caller != nil {
		r.caller = sessionCaller(found)
		return nil
	}
	r.operator = true
	r.caller, err = s.operatorCaller(r.Context(), r.Header(organisationHeader))
	return err
}

// authenticateOperator checks the session of an operator.
func (s *Server) authenticateOperator(r *request) error {
	found, err := s.findSession(r, operatorScheme)
	if err == nil && found.Caller != nil {
		err = apiserver.ErrUnauthorised
	}
	r.operator = err == nil
	return err
}

// findSession returns the session whose token the request has. A token that a page of another origin has sent does not
// count, whatever the method: some operations change something by GET. Over plain HTTP, browsers do not say which page
// a link is in, so that no link may change anything.
func (s *Server) findSession(r *request, scheme string) (found store.SessionCaller, err error) {
	cookie, err := r.Echo.Request().Cookie(sessionCookie)
	if err != nil {
		return found, apiserver.ErrUnauthorised
	}
	unsafe := *r.Echo.Request()
	unsafe.Method = http.MethodPost
	if err := s.crossOrigin.Check(&unsafe); err != nil {
		return found, fmt.Errorf("%w: %w", apiserver.ErrUnauthorised, err)
	}
	if changes(r) && isNavigation(r, r.Header("Sec-Fetch-Mode")) {
		return found, fmt.Errorf("%w: a link has sent the session", apiserver.ErrUnauthorised)
	}
	err = s.limitGuesses(r.Echo, sentCredential{scheme, cookie.Value}, func() (err error) {
		found, err = s.store.Session(r.Context(), cookie.Value)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrMalformed):
			return apiserver.ErrUnauthorised
		case err == nil && found.Caller == nil && !s.hasSecret(cookie.Value, found.SecretMAC):
			return apiserver.ErrUnauthorised
		}
		return err
	})
	return found, err
}

// secretMAC returns what a session stores of the admin secret that it was opened with. Without the token, which is not
// stored, nobody can compare it with a secret.
func secretMAC(token string, secret [sha256.Size]byte) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write(secret[:])
	return mac.Sum(nil)
}

// hasSecret reports whether a session was opened with an admin secret that is still valid.
func (s *Server) hasSecret(token string, mac []byte) bool {
	return slices.ContainsFunc(s.secrets.Load().admin, func(secret [sha256.Size]byte) bool {
		return hmac.Equal(mac, secretMAC(token, secret))
	})
}

// operatorCaller returns the caller that an operator is: an administrator of an organisation, or a super user if orgID
// is "". It returns an apiserver.ErrUnauthorised for an organisation that does not exist.
func (s *Server) operatorCaller(ctx context.Context, orgID string) (caller, error) {
	if orgID != "" {
		_, err := s.store.OrganisationName(ctx, orgID)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrMalformed):
			return caller{}, fmt.Errorf("%w: %s is no organisation", apiserver.ErrUnauthorised, organisationHeader)
		case err != nil:
			return caller{}, err
		}
	}
	return caller{user: &store.User{
		ID: operatorID, OrgID: orgID, FirstName: "Operator", Active: true, UserPermissions: defaultPermissions(),
	}}, nil
}

// sessionCaller returns the caller that a session's owner is. Somebody who is not registered is no user, and neither is
// the owner of a session with limited permissions: as the user, they could read their access key, which has no limit.
func sessionCaller(found store.SessionCaller) caller {
	owner := *found.Caller
	if found.Granted == nil && owner.ID != "" {
		return caller{&owner.User, owner.GroupPermissions}
	}
	user := owner.User
	user.ID, user.AccessKey = unregisteredID, ""
	if user.FirstName == "" {
		user.FirstName = found.DisplayName
	}
	if found.Granted == nil {
		user.UserPermissions = withoutAdministration(owner.GroupPermissions)
		return caller{user: &user}
	}
	user.UserPermissions = map[string]string{}
	own := caller{&owner.User, owner.GroupPermissions}
	for object := range found.Granted {
		for _, level := range []string{contract.LevelRead, contract.LevelWrite} {
			permission := &contract.Permission{Object: object, Level: level}
			if permission.GrantedBy(found.Granted) && own.has(permission) {
				user.UserPermissions[object] = level
			}
		}
	}
	return caller{user: &user}
}

// GetSession implements dashboard.Handlers.
func (s *Server) GetSession(r *request) dashboard.GetSessionReply {
	var reply dashboard.GetSessionReplies
	session, err := s.shownSession(r)
	if err != nil {
		return reply.Failed(err)
	}
	return reply.OK(session)
}

// shownSession returns the caller of a request as the API shows it.
func (s *Server) shownSession(r *request) (admin.ConsoleSession, error) {
	caller, err := callerOf(r)
	if err != nil {
		return admin.ConsoleSession{}, err
	}
	user := caller.user
	shown := admin.ConsoleSession{
		Kind: admin.ConsoleSessionKindUser, UserId: user.ID, EmailAddress: user.EmailAddress, OrgId: user.OrgID,
		Name:    strings.TrimSpace(user.FirstName + " " + user.LastName),
		IsAdmin: caller.isAdmin(), Permissions: caller.permissions(),
	}
	if user.ID == unregisteredID {
		shown.UserId = ""
	}
	if r.operator {
		shown.Kind, shown.UserId = admin.ConsoleSessionKindOperator, ""
	}
	if r.session != nil {
		expires := r.session.ExpiresAt.UTC()
		shown.ExpiresAt = &expires
	}
	if user.OrgID != "" {
		shown.OrgName, err = s.store.OrganisationName(r.Context(), user.OrgID)
	}
	return shown, err
}

// DeleteSession implements dashboard.Handlers.
func (s *Server) DeleteSession(r *request) dashboard.DeleteSessionReply {
	var reply dashboard.DeleteSessionReplies
	if err := s.closeSession(r); err != nil {
		return reply.Failed(err)
	}
	return reply.OK()
}

// closeSession ends the session of a request, or all sessions of the user whose access key it has.
func (s *Server) closeSession(r *request) error {
	caller, err := callerOf(r)
	if err != nil {
		return err
	}
	if r.session == nil {
		return s.store.CloseSessionsOf(r.Context(), caller.user.ID)
	}
	cookie, err := r.Echo.Request().Cookie(sessionCookie)
	if err != nil {
		return err
	}
	if err := s.store.CloseSession(r.Context(), cookie.Value); err != nil {
		return err
	}
	s.setSessionCookie(r, "")
	return nil
}

// setSessionCookie sets the cookie with the token of a session, or removes it if token is "". It is sent to the path
// that the client reaches the server at.
func (s *Server) setSessionCookie(r *request, token string) {
	cookie := &http.Cookie{ //nolint:gosec // a local installation may have no TLS
		Name: sessionCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.proxies.IsHTTPS(r.Echo.Request()), MaxAge: -1,
	}
	if s.basePath != "" && strings.HasPrefix(r.Echo.Request().RequestURI, s.basePath+"/") {
		cookie.Path = s.basePath
	}
	if token != "" {
		cookie.MaxAge = int(r.session.ExpiresAt.Sub(s.now()).Seconds())
	}
	r.Echo.SetCookie(cookie)
}

// permissions returns the caller's own permissions and those of the caller's group, the higher level of each.
func (c caller) permissions() map[string]string {
	return maps.Clone(store.Caller{User: *c.user, GroupPermissions: c.groupPermissions}.Permissions())
}
