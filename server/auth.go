package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/store"
)

// The contracts' security schemes.
const (
	noScheme        = ""
	adminScheme     = "api_key"
	accessKeyScheme = "access_key"
	nodeScheme      = "node_secret"
)

// authenticators check a request by its operation's scheme, each by its own header and by no other's. None of them
// reads the body.
var authenticators = map[string]func(*Server, echo.Context) error{
	noScheme:        func(*Server, echo.Context) error { return nil },
	adminScheme:     (*Server).authenticateAdmin,
	accessKeyScheme: (*Server).authenticateUser,
	nodeScheme:      (*Server).authenticateNode,
}

func (s *Server) authenticateAdmin(c echo.Context) error {
	if !sameSecret(c.Request().Header.Get("Admin-Auth"), s.adminDigest) {
		return failure{event: unauthorised}
	}
	return nil
}

func (s *Server) authenticateNode(c echo.Context) error {
	if !sameSecret(c.Request().Header.Get(echo.HeaderAuthorization), s.nodeDigest) {
		return failure{event: unauthorised}
	}
	return nil
}

// digest is what is kept of a secret.
type digest [sha256.Size]byte

// sameSecret compares digests, so that the time it takes says nothing of the secret, nor of its length.
func sameSecret(given string, secret digest) bool {
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], secret[:]) == 1
}

// authenticateUser finds the user whose access key the request brings. Permissions are read with it, each time: a change
// of them counts at once.
func (s *Server) authenticateUser(c echo.Context) error {
	key := c.Request().Header.Get(echo.HeaderAuthorization)
	if key == "" {
		return failure{event: noKey}
	}
	caller, err := s.Store.UserByAccessKey(c.Request().Context(), key)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrMalformed):
		return failure{event: unauthorised}
	case err != nil:
		return err
	}
	c.Set(callerKey, caller)
	return nil
}

// callerOf is the user who makes the request.
func callerOf(c echo.Context) store.User {
	caller, _ := c.Get(callerKey).(store.User)
	return caller
}

// scopeOf is the organisation that the caller is bound to; nil for a super user, who is bound to none.
func scopeOf(c echo.Context) *string {
	caller := callerOf(c)
	if caller.IsSuperUser() {
		return nil
	}
	return &caller.OrgID
}

// authorise fails if the caller has not the permission that the operation asks for.
func authorise(c echo.Context, op *contract.Operation) error {
	if op.Permission == nil {
		return nil
	}
	caller := callerOf(c)
	if caller.IsAdmin() || op.Permission.GrantedBy(caller.UserPermissions) || (op.Permission.Self && caller.ID == c.Param("userId")) {
		return nil
	}
	return failure{event: accessDenied}
}
