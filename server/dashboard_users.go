package server

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// visible returns a user that the caller may know of. store.ErrNotFound, also for a user of another organisation.
func (s *Server) visible(c echo.Context, userID string) (store.User, error) {
	user, err := s.Store.User(c.Request().Context(), userID)
	if err == nil && !callerOf(c).CanAccess(user.OrgID) {
		err = store.ErrNotFound
	}
	return user, err
}

// hideKey takes another's access key out of what goes to a caller who is no administrator: whoever holds a key is its user.
func hideKey(caller, user store.User) store.User {
	if !caller.IsAdmin() && user.ID != caller.ID {
		user.AccessKey = ""
	}
	return user
}

// GetUsers implements dashboard.ServerInterface.
func (s *Server) GetUsers(c echo.Context, params dashboard.GetUsersParams) error {
	caller := callerOf(c)
	return s.sendUsers(c, store.UserFilter{OrgID: scopeOf(c), Page: s.page(params.P, firstPage)}, func(user store.User) store.User {
		return hideKey(caller, user)
	})
}

// GetUser implements dashboard.ServerInterface.
func (s *Server) GetUser(c echo.Context, userID admin.UserID) error {
	user, err := s.visible(c, userID)
	if err != nil {
		return err
	}
	return bare(c, showUser(hideKey(callerOf(c), user)))
}

// DeleteUser implements dashboard.ServerInterface.
func (s *Server) DeleteUser(c echo.Context, userID admin.UserID) error {
	if _, err := s.visible(c, userID); err != nil {
		return err
	}
	if err := s.Store.DeleteUser(c.Request().Context(), userID); err != nil {
		return err
	}
	return done(c, nil)
}

// ResetUserKey implements dashboard.ServerInterface.
func (s *Server) ResetUserKey(c echo.Context, userID admin.UserID) error {
	if _, err := s.visible(c, userID); err != nil {
		return err
	}
	if err := s.Store.RenewAccessKey(c.Request().Context(), userID); err != nil {
		return err
	}
	return done(c, nil)
}

// SetUserPassword implements dashboard.ServerInterface.
func (s *Server) SetUserPassword(c echo.Context, userID admin.UserID) error {
	sent, err := decode[dashboard.UserPassword](c)
	if err != nil {
		return err
	}
	if err := s.mayReset(c, userID); err != nil {
		return err
	}
	set := s.Store.SetPassword
	if callerOf(c).ID == userID {
		if set, err = s.ownPassword(c, value(sent.CurrentPassword)); err != nil {
			return err
		}
	}
	ctx := c.Request().Context()
	hash, err := s.passwords.Hash(ctx, sent.NewPassword)
	if err != nil {
		return err
	}
	if err := set(ctx, userID, hash); err != nil {
		return err
	}
	return done(c, nil)
}

// ownPassword checks the password that the caller says is theirs, and returns what sets another in its place. Of two who
// change it at once with the same password, the second is too late: what they said is no longer it.
func (s *Server) ownPassword(c echo.Context, current string) (set func(context.Context, string, string) error, err error) {
	old, err := s.Store.PasswordHash(c.Request().Context(), callerOf(c).ID)
	if err != nil {
		return nil, err
	}
	if err := s.checkPassword(c, old, current); err != nil {
		return nil, err
	}
	return func(ctx context.Context, userID, hash string) error {
		err := s.Store.ChangePassword(ctx, userID, old, hash)
		if errors.Is(err, store.ErrNotFound) {
			return failure{event: wrongPassword, cause: err}
		}
		return err
	}, nil
}

// mayReset tells whether the caller may set a user's password: their own always; another's as an administrator of the
// same organisation who holds ResetPassword (facts §5.2).
func (s *Server) mayReset(c echo.Context, userID string) error {
	caller := callerOf(c)
	switch {
	case caller.ID == userID:
		return nil
	case !caller.IsAdmin():
		return failure{event: notAdmin}
	case caller.UserPermissions["ResetPassword"] == "":
		return failure{event: notAllowed}
	}
	user, err := s.Store.User(c.Request().Context(), userID)
	if err == nil && user.OrgID != caller.OrgID { // a super user, too, resets super users only
		return failure{event: notAdmin}
	}
	return err
}

// checkPassword checks the password that a user says is theirs. A user without one need not say it.
func (s *Server) checkPassword(c echo.Context, hash, said string) error {
	if hash == "" {
		return nil
	}
	same, err := s.passwords.Matches(c.Request().Context(), said, hash)
	if err == nil && !same {
		return failure{event: wrongPassword}
	}
	return err
}
