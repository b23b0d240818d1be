package server

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
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
// count, whatever the method: some operations change something by GET.
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
func (s *Server) shownSession(r *request) (dashboard.Session, error) {
	caller, err := callerOf(r)
	if err != nil {
		return dashboard.Session{}, err
	}
	user := caller.user
	shown := dashboard.Session{
		Kind: dashboard.SessionKindUser, UserId: user.ID, EmailAddress: user.EmailAddress, OrgId: user.OrgID,
		Name:    strings.TrimSpace(user.FirstName + " " + user.LastName),
		IsAdmin: caller.isAdmin(), Permissions: caller.permissions(),
	}
	if user.ID == unregisteredID {
		shown.UserId = ""
	}
	if r.operator {
		shown.Kind, shown.UserId = dashboard.SessionKindOperator, ""
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

// CreateSession implements dashboard.Handlers.
func (s *Server) CreateSession(r *request, _ dashboard.CreateSessionParams) dashboard.CreateSessionReply {
	var reply dashboard.CreateSessionReplies
	if err := s.crossOrigin.Check(r.Echo.Request()); err != nil {
		return reply.CrossOrigin(err)
	}
	sent, err := apiserver.Decode[dashboard.SessionRequest](r)
	if err != nil {
		return reply.Malformed(err)
	}
	shown, err := s.openSession(r, sent)
	if choice, ok := errors.AsType[*severalOrganisationsError](err); ok {
		return reply.SeveralOrganisations(dashboard.SeveralOrganisations{
			Error:         "Users of several organisations have this e-mail address and password. Choose one.",
			Organisations: choice.organisations,
		}, err)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), tooManyAttempts(reply), wrongPassword(reply),
			notFound(reply), apiserver.On(reply.WrongSecret, apiserver.ErrUnauthorised),
			apiserver.On(reply.Incomplete, errNoCredential), apiserver.On(reply.Expired, errPasswordExpired),
			apiserver.On(reply.NotRegistered, errNotRegistered), apiserver.On(reply.NotAllowed, errSignOnNotAllowed),
			apiserver.On(reply.NoPermissions, errNoPermissions))
	}
	return reply.OK(shown)
}

// Why no session is opened.
var (
	errNoCredential     = errors.New("the request has no credential")
	errPasswordExpired  = errors.New("the password has expired")
	errNotRegistered    = errors.New("nobody who is registered has the address of the nonce")
	errSignOnNotAllowed = errors.New("the nonce has UserNotAllowed")
)

// severalOrganisationsError is returned if users of several organisations have an e-mail address and a password.
type severalOrganisationsError struct {
	organisations []dashboard.OrganisationChoice
}

// Error implements error.
func (e *severalOrganisationsError) Error() string {
	return fmt.Sprintf("users of %d organisations have the e-mail address and the password", len(e.organisations))
}

// openSession opens the session that a request asks for, in place of one that its client has, and sets the cookie.
func (s *Server) openSession(r *request, sent dashboard.SessionRequest) (shown dashboard.Session, err error) {
	token := s.store.NewToken()
	opened, passwordHash, err := s.signIn(r, token, sent)
	if err != nil {
		return shown, err
	}
	_, err = s.store.OpenSession(r.Context(), token, opened, passwordHash)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnknownOrganisation) {
		return shown, errWrongPassword // the user was changed, or the organisation deleted, meanwhile
	}
	if err != nil {
		return shown, err
	}
	if earlier, err := r.Echo.Request().Cookie(sessionCookie); err == nil {
		if err := s.store.CloseSession(r.Context(), earlier.Value); err != nil {
			return shown, err
		}
	}
	found, err := s.store.Session(r.Context(), token)
	if err != nil {
		return shown, err
	}
	r.session = &found.Session
	if r.operator = found.Caller == nil; r.operator {
		r.caller, err = s.operatorCaller(r.Context(), "")
	} else {
		r.caller = sessionCaller(found)
	}
	if err != nil {
		return shown, err
	}
	if shown, err = s.shownSession(r); err == nil {
		s.setSessionCookie(r, token)
	}
	return shown, err
}

// signIn checks the credential of a request, and returns the session that it opens, and the hash of the password, ""
// unless there is one.
func (s *Server) signIn(
	r *request, token string, sent dashboard.SessionRequest,
) (opened store.Session, passwordHash string, err error) {
	switch {
	case valueOf(sent.AdminSecret) != "":
		number, err := s.checkSecret(r.Echo, sentCredential{adminScheme, *sent.AdminSecret}, s.secrets.Load().admin)
		if err != nil {
			return opened, "", err
		}
		return store.Session{SecretMAC: secretMAC(token, s.secrets.Load().admin[number-1])}, "", nil
	case valueOf(sent.Nonce) != "":
		opened, err := s.signOn(r, *sent.Nonce)
		return opened, "", err
	case valueOf(sent.EmailAddress) != "" && valueOf(sent.Password) != "":
		account, err := s.account(r, sent)
		return store.Session{UserID: account.ID}, account.PasswordHash, err
	}
	return opened, "", errNoCredential
}

// signOn redeems a nonce, and returns the session that it opens.
func (s *Server) signOn(r *request, nonce string) (opened store.Session, err error) {
	redeemed, err := s.redeemNonce(r, dashboardSection, nonce)
	if err != nil {
		return opened, err
	}
	var of admin.SSOAccessData
	if err := json.Unmarshal(redeemed.Document, &of); err != nil {
		return opened, fmt.Errorf("decode the document of a nonce: %w", err)
	}
	switch {
	case valueOf(of.UserNotAllowed):
		return opened, errSignOnNotAllowed
	case !redeemed.Registered:
		return opened, errNotRegistered
	}
	opened = store.Session{UserID: redeemed.UserID, Granted: redeemed.Granted, GroupIDs: groupsOf(of)}
	if opened.UserID != "" {
		return opened, nil
	}
	opened.OrgID, opened.Email, opened.DisplayName = redeemed.OrgID, valueOf(of.EmailAddress), valueOf(of.DisplayName)
	has, err := s.store.HasGroup(r.Context(), opened.OrgID, opened.GroupIDs)
	if err == nil && !has {
		err = errNoPermissions
	}
	return opened, err
}

// groupsOf returns the user groups that a nonce names.
func groupsOf(of admin.SSOAccessData) (ids []string) {
	if id := valueOf(of.GroupID); id != "" {
		ids = append(ids, id)
	}
	return append(ids, valueOf(of.GroupsIDs)...)
}

// account returns the account with an e-mail address and a password. It compares the password with those of a few
// accounts at most, and takes as long for an unknown address as for a wrong password.
func (s *Server) account(r *request, sent dashboard.SessionRequest) (store.Account, error) {
	accounts, err := s.store.Accounts(r.Context(), *sent.EmailAddress, valueOf(sent.OrgId))
	if errors.Is(err, store.ErrMalformed) {
		err = nil // as an unknown address
	}
	if err != nil {
		return store.Account{}, err
	}
	var matching []store.Account
	credential := sentCredential{"password", strings.Join([]string{*sent.EmailAddress, valueOf(sent.OrgId), *sent.Password}, "\x00")}
	err = s.limitGuesses(r.Echo, credential, func() error {
		matching, err = s.matchingAccounts(r, *sent.Password, accounts)
		switch {
		case err != nil:
			return err
		case len(accounts) == 0:
			if err := s.passwords.Refuse(r.Context(), "unknown account"); err != nil {
				return orTooMany(err)
			}
		}
		if len(matching) == 0 {
			return fmt.Errorf("%w: %w", errWrongPassword, apiserver.ErrUnauthorised)
		}
		return nil
	})
	switch {
	case err != nil:
		return store.Account{}, err
	case len(matching) > 1:
		return store.Account{}, severalOrganisations(matching)
	case matching[0].Expired(s.now()):
		return store.Account{}, errPasswordExpired
	}
	return matching[0], nil
}

// matchingAccounts returns those of the accounts that have a password.
func (s *Server) matchingAccounts(r *request, password string, accounts []store.Account) (matching []store.Account, err error) {
	for _, account := range accounts {
		compare := func() error {
			return s.checkPassword(r.Context(), account.ID, passwordAndHash{password, account.PasswordHash})
		}
		switch err := s.limitPasswords(r, account.ID, password, compare); {
		case err == nil:
			matching = append(matching, account)
		case !errors.Is(err, errWrongPassword):
			return nil, err
		}
	}
	return matching, nil
}

func severalOrganisations(accounts []store.Account) error {
	var choice severalOrganisationsError
	for _, account := range accounts {
		choice.organisations = append(choice.organisations, dashboard.OrganisationChoice{
			OrgId: account.OrgID, OrgName: cmp.Or(account.OrgName, account.OrgID),
		})
	}
	return &choice
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
	cookie := &http.Cookie{
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
