package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/store"
)

// The security schemes of the contracts.
const (
	adminScheme     = "api_key"
	accessKeyScheme = "access_key"
	nodeScheme      = "node_secret"
)

const headerAdminAuth = "Admin-Auth"

// authenticate checks the credential that a security scheme requires, each in its own header. It does not read the
// body.
func (s *Server) authenticate(c echo.Context, r *request) error {
	switch r.operation.Scheme {
	case "":
		return nil
	case adminScheme:
		return checkSecret(c.Request().Header.Get(headerAdminAuth), s.adminDigest)
	case nodeScheme:
		return checkSecret(c.Request().Header.Get(echo.HeaderAuthorization), s.nodeDigest)
	case accessKeyScheme:
		return s.authenticateUser(c, r)
	}
	return fmt.Errorf("security scheme %q is not implemented", r.operation.Scheme)
}

// checkSecret compares SHA-256 digests in constant time, so that the duration reveals neither the secret nor its
// length.
func checkSecret(credential string, digest [sha256.Size]byte) error {
	sum := sha256.Sum256([]byte(credential))
	if subtle.ConstantTimeCompare(sum[:], digest[:]) != 1 {
		return apiError{outcome: outcomeUnauthorised}
	}
	return nil
}

// authenticateUser sets the caller: the user with the access key of the request. The user is read with each request, so
// that a change of permissions counts at once.
func (s *Server) authenticateUser(c echo.Context, r *request) error {
	key := c.Request().Header.Get(echo.HeaderAuthorization)
	if key == "" {
		return apiError{outcome: outcomeNoKey}
	}
	user, err := s.store.UserByAccessKey(c.Request().Context(), key)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrMalformed):
		return apiError{outcome: outcomeUnauthorised}
	case err != nil:
		return err
	}
	r.caller = caller{&user}
	return nil
}

// authorise fails if the caller lacks the permission that the operation requires. userID is the user in the path, if
// any.
func authorise(caller caller, permission *contract.Permission, userID string) error {
	switch {
	case permission == nil, caller.isAdmin(), permission.GrantedBy(caller.permissions()):
		return nil
	case permission.Self && caller.is(userID):
		return nil
	}
	return apiError{outcome: outcomeAccessDenied}
}
