package server

import (
	"encoding/json"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/http/httpguts"

	"gatehouse/gen/admin"
	"gatehouse/store"
)

// minPassword is the minimum length of a password in characters. More is not required: bootstrap scripts set weak
// passwords (docs/behaviour.md#passwords).
const minPassword = 6

// defaultPermissions are the permissions of a user whose request states none (docs/behaviour.md#users).
func defaultPermissions() map[string]string {
	return map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"}
}

// toUser returns a stored user as the API shows it.
func toUser(u store.User) admin.User {
	return admin.User{
		FirstName: u.FirstName, LastName: u.LastName, EmailAddress: u.EmailAddress, OrgId: u.OrgID, Active: u.Active,
		Id: u.ID, AccessKey: u.AccessKey, UserPermissions: u.UserPermissions, GroupId: u.GroupID,
		PasswordMaxDays: u.PasswordMaxDays, PasswordUpdated: orNever(u.PasswordUpdated), PWHistory: []string{},
		LastLoginDate: orNever(u.LastLoginDate), CreatedAt: u.CreatedAt.UTC(),
	}
}

// orNever returns a time, or the zero time, by which the API means never.
func orNever(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// toUserParams returns what a request states about a user, except the password.
func toUserParams(sent admin.UserRequest) store.UserParams {
	return store.UserParams{
		OrgID: sent.OrgId, EmailAddress: valueOf(sent.EmailAddress), FirstName: valueOf(sent.FirstName),
		LastName: valueOf(sent.LastName), Active: valueOf(sent.Active), UserPermissions: valueOf(sent.UserPermissions),
		GroupID: valueOf(sent.GroupId), PasswordMaxDays: valueOf(sent.PasswordMaxDays), AccessKey: valueOf(sent.AccessKey),
	}
}

// userRequest returns what the request states about a user, and the password, which is "" if there is none.
func userRequest(c echo.Context) (params store.UserParams, newPassword string, err error) {
	sent, err := decode[admin.UserRequest](c)
	if err != nil {
		return store.UserParams{}, "", err
	}
	params, newPassword = toUserParams(sent), valueOf(sent.Password)
	address, err := mail.ParseAddress(params.EmailAddress)
	if err != nil || address.Address != params.EmailAddress {
		return params, newPassword, apiError{outcome: outcomeInvalid, cause: err}
	}
	return params, newPassword, nil
}

// ListUsers implements admin.ServerInterface.
func (s *Server) ListUsers(c echo.Context, params admin.ListUsersParams) error {
	filter := store.UserFilter{OrgID: params.OrgId, Email: valueOf(params.Email), Page: s.page(params.P, everything)}
	return s.replyUsers(c, filter, func(user store.User) store.User { return user })
}

// replyUsers replies with a page of users, each as visible returns it.
func (s *Server) replyUsers(c echo.Context, filter store.UserFilter, visible func(store.User) store.User) error {
	ctx := c.Request().Context()
	var buf []byte
	return replyList(s, c, list[store.User]{
		name: "users", pages: "pages", page: filter.Page, rows: s.store.Users(ctx, filter),
		count: func() (int, error) { return s.store.CountUsers(ctx, filter) },
		encode: func(user store.User) (_ json.RawMessage, err error) {
			buf, err = appendJSON(buf[:0], toUser(visible(user)))
			return buf, err
		},
	})
}

// CreateUser implements admin.ServerInterface. Like the original, it ignores a password (docs/behaviour.md#users).
func (s *Server) CreateUser(c echo.Context) error {
	params, _, err := userRequest(c)
	if err != nil {
		return err
	}
	if params.UserPermissions == nil {
		params.UserPermissions = defaultPermissions()
	}
	user, err := s.store.CreateUser(c.Request().Context(), params)
	if err != nil {
		return withOrgID(valueOf(params.OrgID), err)
	}
	return replyMessage(c, user.AccessKey, toUser(user))
}

// GetUserDetail implements admin.ServerInterface.
func (s *Server) GetUserDetail(c echo.Context, userID admin.UserID) error {
	user, err := s.store.User(c.Request().Context(), userID)
	if err != nil {
		return err
	}
	return replyObject(c, toUser(user))
}

// UpdateUser implements admin.ServerInterface.
func (s *Server) UpdateUser(c echo.Context, userID admin.UserID) error {
	ctx := c.Request().Context()
	params, newPassword, err := userUpdate(c)
	if err != nil {
		if _, unknown := s.store.User(ctx, userID); unknown != nil {
			return unknown // a user who does not exist is reported first
		}
		return err
	}
	if newPassword != "" {
		if params.PasswordHash, err = s.passwords.Hash(ctx, newPassword); err != nil {
			return err
		}
	}
	user, err := s.store.UpdateUser(ctx, userID, params)
	if err != nil {
		return withOrgID(valueOf(params.OrgID), err)
	}
	return replyMessage(c, user.AccessKey, toUser(user))
}

// userUpdate is userRequest with the checks of what only an update stores: the access key and the password, of which ""
// keeps the current one.
func userUpdate(c echo.Context) (params store.UserParams, newPassword string, err error) {
	params, newPassword, err = userRequest(c)
	switch {
	case err != nil:
	case !httpguts.ValidHeaderFieldValue(params.AccessKey), strings.Trim(params.AccessKey, " \t") != params.AccessKey:
		err = malformed("/access_key", "could not be sent in a header", nil)
	case newPassword != "" && utf8.RuneCountInString(newPassword) < minPassword:
		err = malformed("/password", "minimum string length is 6", nil)
	}
	return params, newPassword, err
}

// RemoveUser implements admin.ServerInterface.
func (s *Server) RemoveUser(c echo.Context, userID admin.UserID) error {
	if err := s.store.DeleteUser(c.Request().Context(), userID); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// AllowResetPassword implements admin.ServerInterface.
func (s *Server) AllowResetPassword(c echo.Context, userID admin.UserID) error {
	return s.setResetPassword(c, userID, true)
}

// DisallowResetPassword implements admin.ServerInterface.
func (s *Server) DisallowResetPassword(c echo.Context, userID admin.UserID) error {
	return s.setResetPassword(c, userID, false)
}

func (s *Server) setResetPassword(c echo.Context, userID string, allow bool) error {
	user, err := s.store.SetResetPassword(c.Request().Context(), userID, allow)
	if err != nil {
		return err
	}
	return replyOK(c, toUser(user))
}
