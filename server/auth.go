package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/labstack/echo/v4"

	"gatehouse/store"
)

// The contracts' security schemes.
const (
	noScheme        = ""
	adminScheme     = "api_key"
	accessKeyScheme = "access_key"
	nodeScheme      = "node_secret"
)

// The levels of a permission: who may write may read.
const (
	levelRead  = "read"
	levelWrite = "write"
)

// authenticators check a request by its operation's scheme, each by its own header and by no other's. None of them
// reads the body.
var authenticators = map[string]func(*Server, echo.Context) error{
	noScheme:        func(*Server, echo.Context) error { return nil },
	adminScheme:     (*Server).authenticateAdmin,
	accessKeyScheme: (*Server).authenticateUser,
	nodeScheme:      (*Server).authenticateNode,
}

func (s *Server) authenticate(op *operation) echo.MiddlewareFunc {
	check := authenticators[op.scheme]
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := check(s, c); err != nil {
				return err
			}
			return next(c)
		}
	}
}

func (s *Server) authenticateAdmin(c echo.Context) error {
	if !sameSecret(c.Request().Header.Get("Admin-Auth"), s.AdminSecret) {
		return failure{event: unauthorised}
	}
	return nil
}

func (s *Server) authenticateNode(c echo.Context) error {
	if !sameSecret(c.Request().Header.Get(echo.HeaderAuthorization), s.NodeSecret) {
		return failure{event: unauthorised}
	}
	return nil
}

// sameSecret compares digests, so that the time it takes says nothing of the secret, nor of its length.
func sameSecret(given, secret string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
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
	if caller.SuperUser() {
		return nil
	}
	return &caller.OrgID
}

// authorise lets a request through if its caller has the permission that the operation asks for.
func authorise(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if op.permission != nil && !op.permission.granted(callerOf(c), c.Param("userId")) {
				return failure{event: accessDenied}
			}
			return next(c)
		}
	}
}

func (p *permission) granted(caller store.User, userID string) bool {
	given := caller.UserPermissions[p.object]
	return caller.IsAdmin() || given == p.level || given == levelWrite || (p.self && caller.ID == userID)
}
