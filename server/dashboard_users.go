package server

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// accessibleUser returns a user that the caller may see. It returns store.ErrNotFound for a user of another
// organisation, too.
func (s *Server) accessibleUser(c echo.Context, userID string) (store.User, error) {
	caller, err := callerOf(c)
	if err != nil {
		return store.User{}, err
	}
	user, err := s.store.User(c.Request().Context(), userID)
	if err == nil && !caller.canAccess(user.OrgID) {
		err = store.ErrNotFound
	}
	return user, err
}

// visibleTo removes the access key of another user unless the caller is an administrator: with the key, they could act
// as that user.
func visibleTo(caller caller, user store.User) store.User {
	if !caller.isAdmin() && !caller.is(user.ID) {
		user.AccessKey = ""
	}
	return user
}

// GetUsers implements dashboard.ServerInterface.
func (s *Server) GetUsers(c echo.Context, params dashboard.GetUsersParams) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	filter := store.UserFilter{OrgID: caller.scope(), Page: s.page(params.P, firstPage)}
	return s.replyUsers(c, filter, func(user store.User) store.User { return visibleTo(caller, user) })
}

// GetUser implements dashboard.ServerInterface.
func (s *Server) GetUser(c echo.Context, userID admin.UserID) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	user, err := s.accessibleUser(c, userID)
	if err != nil {
		return err
	}
	return replyObject(c, toUser(visibleTo(caller, user)))
}

// DeleteUser implements dashboard.ServerInterface.
func (s *Server) DeleteUser(c echo.Context, userID admin.UserID) error {
	if _, err := s.accessibleUser(c, userID); err != nil {
		return err
	}
	if err := s.store.DeleteUser(c.Request().Context(), userID); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// ResetUserKey implements dashboard.ServerInterface.
func (s *Server) ResetUserKey(c echo.Context, userID admin.UserID) error {
	if _, err := s.accessibleUser(c, userID); err != nil {
		return err
	}
	if err := s.store.RenewAccessKey(c.Request().Context(), userID); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// SetUserPassword implements dashboard.ServerInterface.
func (s *Server) SetUserPassword(c echo.Context, userID admin.UserID) error {
	sent, err := decode[dashboard.UserPassword](c)
	if err != nil {
		return err
	}
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if err := s.authoriseReset(ctx, caller, userID); err != nil {
		return err
	}
	setPassword := s.store.SetPassword
	if caller.is(userID) {
		if setPassword, err = s.ownPassword(ctx, userID, valueOf(sent.CurrentPassword)); err != nil {
			return err
		}
	}
	hash, err := s.passwords.Hash(ctx, sent.NewPassword)
	if err != nil {
		return err
	}
	if err := setPassword(ctx, userID, hash); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// ownPassword checks a user's current password, and returns the function that replaces it. If two requests replace it
// at the same time, the second fails: its current password is no longer the current one.
func (s *Server) ownPassword(ctx context.Context, userID, current string) (
	replace func(ctx context.Context, userID, hash string) error, err error,
) {
	currentHash, err := s.store.PasswordHash(ctx, userID)
	if err != nil {
		return nil, err
	}
	if err := s.checkPassword(ctx, currentHash, current); err != nil {
		return nil, err
	}
	return func(ctx context.Context, userID, hash string) error {
		err := s.store.ChangePassword(ctx, userID, currentHash, hash)
		if errors.Is(err, store.ErrNotFound) {
			return apiError{outcome: outcomeWrongPassword, cause: err}
		}
		return err
	}, nil
}

// checkPassword compares a password with a hash. A user without a password, whose hash is "", need not send one.
func (s *Server) checkPassword(ctx context.Context, hash, password string) error {
	if hash == "" {
		return nil
	}
	matches, err := s.passwords.Matches(ctx, password, hash)
	if err == nil && !matches {
		return apiError{outcome: outcomeWrongPassword}
	}
	return err
}

// authoriseReset fails unless the caller may set a user's password: everybody may set their own, an administrator with
// the permission ResetPassword that of a user of the same organisation. A super user may only set those of super users
// (docs/behaviour.md#passwords).
func (s *Server) authoriseReset(ctx context.Context, caller caller, userID string) error {
	switch {
	case caller.is(userID):
		return nil
	case !caller.isAdmin():
		return apiError{outcome: outcomeNotAdmin}
	case caller.permissions()["ResetPassword"] == "":
		return apiError{outcome: outcomeNotAllowed}
	}
	user, err := s.store.User(ctx, userID)
	if err == nil && !caller.belongsTo(user.OrgID) {
		return apiError{outcome: outcomeNotAdmin}
	}
	return err
}
