package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

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
	var shown admin.ConsoleSession
	opened, err := s.signIn(r, sent)
	if err == nil {
		shown, err = s.openSession(r, s.store.NewToken(), opened)
	}
	if choice, ok := errors.AsType[*severalOrganisationsError](err); ok {
		return reply.SeveralOrganisations(dashboard.SeveralOrganisations{
			Error:         "Users of several organisations have this e-mail address and password. Choose one.",
			Organisations: choice.organisations,
		}, err)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), tooManyAttempts(reply), wrongPassword(reply),
			notFound(reply),
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

// CreateOperatorSession implements admin.Handlers.
func (s *Server) CreateOperatorSession(r *request) admin.CreateOperatorSessionReply {
	var reply admin.CreateOperatorSessionReplies
	token := s.store.NewToken()
	secret := sha256.Sum256([]byte(r.Header(headerAdminAuth))) // which is a right one
	shown, err := s.openSession(r, token, credentialOfSession{session: store.Session{SecretMAC: secretMAC(token, secret)}})
	if err != nil {
		return reply.Failed(err)
	}
	return reply.OK(shown)
}

// credentialOfSession is a session that is to be opened, and the hash of the password, "" unless there is one.
type credentialOfSession struct {
	session      store.Session
	passwordHash string
}

// openSession opens a session, in place of one that its client has, and sets the cookie.
func (s *Server) openSession(
	r *request, token string, opened credentialOfSession,
) (shown admin.ConsoleSession, err error) {
	_, err = s.store.OpenSession(r.Context(), token, opened.session, opened.passwordHash)
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

// signIn checks the credential of a request, and returns the session that it opens.
func (s *Server) signIn(r *request, sent dashboard.SessionRequest) (opened credentialOfSession, err error) {
	switch {
	case valueOf(sent.Nonce) != "":
		opened.session, err = s.signOn(r, *sent.Nonce)
		return opened, err
	case valueOf(sent.EmailAddress) != "" && valueOf(sent.Password) != "":
		account, err := s.account(r, sent)
		return credentialOfSession{store.Session{UserID: account.ID}, account.PasswordHash}, err
	}
	return opened, errNoCredential
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
	case redeemed.Granted != nil && len(redeemed.Granted) == 0: // made by a server of the last release
		return opened, errNoPermissions
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
	guess := strings.Join([]string{*sent.EmailAddress, valueOf(sent.OrgId), *sent.Password}, "\x00")
	// The address has a limit whether or not anybody has it, or the limit of its user would tell.
	address := "address " + fingerprint(strings.ToLower(*sent.EmailAddress))
	err = s.limitGuesses(r.Echo, sentCredential{"password", guess}, func() error {
		return s.limitPasswords(r, address, guess, func() error {
			if len(accounts) == 0 {
				if err := s.passwords.Refuse(r.Context(), address); err != nil {
					return orTooMany(err)
				}
			}
			matching, err = s.matchingAccounts(r.Context(), *sent.Password, accounts)
			if err == nil && len(matching) == 0 {
				err = fmt.Errorf("%w: %w", errWrongPassword, apiserver.ErrUnauthorised)
			}
			return err
		})
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

// matchingAccounts returns those of the accounts that have a password. It compares it with all of them at once: the
// time does not tell how many there are.
func (s *Server) matchingAccounts(
	ctx context.Context, password string, accounts []store.Account,
) (matching []store.Account, err error) {
	results := make([]error, len(accounts))
	var comparing sync.WaitGroup
	for i, account := range accounts {
		comparing.Go(func() {
			results[i] = s.passwordGuesses.Do(ctx, account.ID, passwordOf(account.ID, password), func() error {
				return s.checkPassword(ctx, account.ID, passwordAndHash{password, account.PasswordHash})
			})
		})
	}
	comparing.Wait()
	for i, err := range results {
		switch {
		case err == nil:
			matching = append(matching, accounts[i])
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
