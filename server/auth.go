package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/authlimit"
	"gatehouse/store"
)

const headerAdminAuth = "Admin-Auth"

// The functions that authenticate a request check the credential that a security scheme requires, each in its own
// header. They do not read the body. They return an *authlimit.TooManyError for a client that has guessed too often.

// authenticateClient checks the admin secret.
func (s *Server) authenticateClient(r *request) (err error) {
	r.secret, err = s.authenticateAdmin(r.Echo)
	return err
}

// authenticateNode checks the secret of the gateways.
func (s *Server) authenticateNode(r *request) (err error) {
	credential := sentCredential{nodeScheme, r.Header(echo.HeaderAuthorization)}
	r.secret, err = s.checkSecret(r.Echo, credential, s.secrets.Load().node)
	return err
}

// authenticateUser checks the access key of a user, and sets the caller.
func (s *Server) authenticateUser(r *request) error {
	authorization := r.Header(echo.HeaderAuthorization)
	key, _ := bearerKey(authorization) // one credential, however it is written: a limiter remembers each
	credential := sentCredential{accessKeyScheme, cmp.Or(key, authorization)}
	return s.limitGuesses(r.Echo, credential, func() error { return s.findCaller(r, authorization) })
}

// authenticateAdmin returns the number of the admin secret that the request has.
func (s *Server) authenticateAdmin(c echo.Context) (secretNumber, error) {
	credential := sentCredential{adminScheme, c.Request().Header.Get(headerAdminAuth)}
	return s.checkSecret(c, credential, s.secrets.Load().admin)
}

// checkSecret returns the number of the secret that a credential is.
func (s *Server) checkSecret(c echo.Context, sent sentCredential, secrets secretDigests) (secretNumber, error) {
	var number secretNumber
	err := s.limitGuesses(c, sent, func() (err error) {
		number, err = checkSecret(sent.value, secrets)
		return err
	})
	return number, err
}

// sentCredential is what a client has sent to authenticate itself by a security scheme; value is "" if it sent nothing.
type sentCredential struct{ scheme, value string }

// maxRememberedCredentials is the number of credentials that are not limited, because they were right when they came
// from the same address before. Each takes some 100 bytes.
const maxRememberedCredentials = 16 << 10

// newLimiters sets the limiters of credentials.
func (s *Server) newLimiters() (err error) {
	s.guesses, err = authlimit.New[netip.Prefix](authlimit.Config{
		Limit: s.limits.WrongCredentials, Window: time.Minute, Remembered: maxRememberedCredentials,
		Wrong: isWrongCredential, Now: s.now,
	})
	if err != nil {
		return err
	}
	s.siteGuesses, err = authlimit.New[netip.Prefix](authlimit.Config{
		Limit: siteAddresses * s.limits.WrongCredentials, Window: time.Minute, Remembered: maxRememberedCredentials,
		Wrong: isWrongCredential, Now: s.now,
	})
	if err != nil {
		return err
	}
	ofUser := authlimit.Config{
		Limit: s.limits.WrongPasswords, Window: time.Minute, Now: s.now,
		Wrong: func(err error) bool { return errors.Is(err, errWrongPassword) },
	}
	failures := s.security.LoginFailures
	if failures.PerUser > 0 {
		ofUser.Limit, ofUser.Window, ofUser.Lock = failures.PerUser, failures.Window, true
	}
	if s.passwordGuesses, err = authlimit.New[string](ofUser); err != nil {
		return err
	}
	s.historyChecks, err = authlimit.New[string](authlimit.Config{
		Limit: s.limits.WrongPasswords, Window: time.Minute, Wrong: isMalformed, Now: s.now,
	})
	if err != nil {
		return err
	}
	s.loginFailures, err = authlimit.New[netip.Prefix](authlimit.Config{
		Limit: failures.PerAddress, Window: failures.Window, Lock: true, Wrong: isLoginFailure, Now: s.now,
	})
	return err
}

// limitGuesses calls compare unless the client's address has sent too many wrong credentials.
func (s *Server) limitGuesses(c echo.Context, credential sentCredential, compare func() error) error {
	digest := sha256.Sum256([]byte(credential.scheme + " " + credential.value))
	ctx, network := c.Request().Context(), s.networkOf(c)
	ofNetwork := func() error { return s.guesses.Do(ctx, network, digest, compare) }
	if !network.Addr().Is6() {
		return ofNetwork()
	}
	site, err := network.Addr().Prefix(siteBits)
	if err != nil {
		return err
	}
	return s.siteGuesses.Do(ctx, site, digest, ofNetwork)
}

// A customer usually has an IPv6 network of siteBits, which is 65,536 of those that count as one address. Together they
// may send as many wrong credentials as a few addresses.
const (
	siteBits      = 48
	siteAddresses = 8
)

// limitPasswords calls compare unless too many wrong passwords of the user, or from the client's address, have been
// checked.
func (s *Server) limitPasswords(r *request, userID, sent string, compare func() error) error {
	err := s.loginFailures.Do(r.Context(), s.networkOf(r.Echo), passwordOf(userID, sent), func() error {
		return s.passwordGuesses.Do(r.Context(), userID, passwordOf(userID, sent), compare)
	})
	if !s.security.LoginFailures.Hide || !isTooManyAttempts(err) {
		return err
	}
	s.log.Info("password not checked", "user", userID, "from", r.Echo.RealIP(), "err", err)
	if err := s.passwords.Refuse(r.Context(), userID); err != nil {
		return orTooMany(err)
	}
	return errWrongPassword
}

// passwordOf is a password of a user, or of who signs in with an e-mail address, in the limits.
func passwordOf(userID, password string) authlimit.Credential {
	return sha256.Sum256([]byte(userID + " " + password))
}

// limitNonces calls redeem unless the client's address has sent too many wrong passwords and nonces. Then the nonce is
// no different from an unknown one.
func (s *Server) limitNonces(
	r *request, nonce string, redeem func() (store.RedeemedNonce, error),
) (redeemed store.RedeemedNonce, err error) {
	err = s.loginFailures.Do(r.Context(), s.networkOf(r.Echo), sha256.Sum256([]byte(nonce)), func() (err error) {
		redeemed, err = redeem()
		return err
	})
	if isTooManyAttempts(err) && s.isListed(r.Echo) {
		s.log.Info("sign-on refused", "from", r.Echo.RealIP(), "err", err)
	}
	if isTooManyAttempts(err) {
		err = fmt.Errorf("%w: the nonce was not looked up", store.ErrNotFound)
	}
	return redeemed, err
}

// isLoginFailure reports whether an error says that a password is wrong, or that there is no such nonce.
func isLoginFailure(err error) bool {
	return errors.Is(err, errWrongPassword) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrMalformed)
}

// isWrongCredential reports whether an error says that a credential is absent or wrong.
func isWrongCredential(err error) bool {
	return errors.Is(err, apiserver.ErrUnauthorised) || errors.Is(err, errNoKey)
}

// findCaller sets the caller: the user with the access key of the request. The user is read with each request, so
// that a change of permissions counts at once.
func (s *Server) findCaller(r *request, authorization string) error {
	if authorization == "" {
		return errNoKey
	}
	user, err := s.userByAuthorization(r.Context(), authorization)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrMalformed):
		return apiserver.ErrUnauthorised
	case err != nil:
		return err
	}
	r.caller = caller{&user.User, user.GroupPermissions}
	return nil
}

// userByAuthorization returns the user whose access key a header contains, alone or after "Bearer" in any case. A key
// that itself begins like that is found, too.
func (s *Server) userByAuthorization(ctx context.Context, authorization string) (store.Caller, error) {
	if key, ok := bearerKey(authorization); ok {
		user, err := s.store.UserByAccessKey(ctx, key)
		if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrMalformed) {
			return user, err
		}
	}
	return s.store.UserByAccessKey(ctx, authorization)
}

// bearerKey returns the key after "Bearer". ok is false if a header does not begin like that.
func bearerKey(authorization string) (key string, ok bool) {
	scheme, key, _ := strings.Cut(authorization, " ")
	key = strings.TrimLeft(key, " ")
	if key == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return key, true
}

// authorise fails if the caller lacks the permission that the operation requires. userID is the user in the path, if
// any.
func authorise(caller caller, permission *contract.Permission, userID string) error {
	switch {
	case permission == nil, caller.has(permission):
		return nil
	case permission.Self && caller.is(userID):
		return nil
	}
	return apiserver.ErrAccessDenied
}
