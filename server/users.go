package server

import (
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/http/httpguts"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/store"
)

// minPassword is the least length of a password in characters. Longer or richer ones are not asked for: bootstrap
// scripts set weak ones (facts §5.1).
const minPassword = 6

// defaultPermissions are a user's if the request says nothing of permissions (facts §4.8).
func defaultPermissions() map[string]string {
	return map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"}
}

// showUser is a user as it goes out.
func showUser(u store.User) admin.User {
	return admin.User{
		FirstName: u.FirstName, LastName: u.LastName, EmailAddress: u.EmailAddress, OrgId: u.OrgID, Active: u.Active,
		Id: u.ID, AccessKey: u.AccessKey, UserPermissions: u.UserPermissions, GroupId: u.GroupID,
		PasswordMaxDays: u.PasswordMaxDays, PasswordUpdated: orNever(u.PasswordUpdated), PWHistory: []string{},
		LastLoginDate: orNever(u.LastLoginDate), CreatedAt: u.CreatedAt.UTC(),
	}
}

// orNever is a time, or the zero time, which is how the API writes never.
func orNever(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// userParams reads a user out of a request.
func userParams(c echo.Context) (store.UserParams, string, error) {
	sent, err := decode[admin.UserRequest](c)
	if err != nil {
		return store.UserParams{}, "", err
	}
	p := store.UserParams{
		OrgID: sent.OrgId, EmailAddress: value(sent.EmailAddress), FirstName: value(sent.FirstName),
		LastName: value(sent.LastName), Active: value(sent.Active), UserPermissions: value(sent.UserPermissions),
		GroupID: value(sent.GroupId), PasswordMaxDays: value(sent.PasswordMaxDays), AccessKey: value(sent.AccessKey),
	}
	address, err := mail.ParseAddress(p.EmailAddress)
	if err != nil || address.Address != p.EmailAddress {
		return p, "", failure{event: invalid, cause: err}
	}
	return p, value(sent.Password), nil
}

// value is what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// ListUsers implements admin.ServerInterface.
func (s *Server) ListUsers(c echo.Context, params admin.ListUsersParams) error {
	filter := store.UserFilter{OrgID: params.OrgId, Email: value(params.Email), Page: s.page(params.P, everything)}
	return s.sendUsers(c, filter, func(user store.User) store.User { return user })
}

// sendUsers answers with a page of users, as the caller may see them.
func (s *Server) sendUsers(c echo.Context, filter store.UserFilter, seen func(store.User) store.User) error {
	ctx := c.Request().Context()
	return send(s, c, listing[store.User]{
		list: "users", pages: "pages", page: filter.Page, rows: s.Store.Users(ctx, filter),
		count: func() (int, error) { return s.Store.CountUsers(ctx, filter) },
		show:  func(buf []byte, user store.User) ([]byte, error) { return appendJSON(buf, showUser(seen(user))) },
	})
}

// CreateUser implements admin.ServerInterface.
func (s *Server) CreateUser(c echo.Context) error {
	params, _, err := userParams(c) // a password is ignored, as the original ignores it (facts §4.8)
	if err != nil {
		return err
	}
	if params.UserPermissions == nil {
		params.UserPermissions = defaultPermissions()
	}
	user, err := s.Store.CreateUser(c.Request().Context(), params)
	if err != nil {
		return naming(value(params.OrgID), err)
	}
	return say(c, user.AccessKey, showUser(user))
}

// GetUserDetail implements admin.ServerInterface.
func (s *Server) GetUserDetail(c echo.Context, userID admin.UserID) error {
	user, err := s.Store.User(c.Request().Context(), userID)
	if err != nil {
		return err
	}
	return bare(c, showUser(user))
}

// UpdateUser implements admin.ServerInterface.
func (s *Server) UpdateUser(c echo.Context, userID admin.UserID) error {
	ctx := c.Request().Context()
	params, newPassword, err := userChange(c)
	if err != nil {
		if _, unknown := s.Store.User(ctx, userID); unknown != nil {
			return unknown // whatever is said of a user who does not exist
		}
		return err
	}
	if newPassword != "" {
		if params.PasswordHash, err = s.passwords.Hash(ctx, newPassword); err != nil {
			return err
		}
	}
	user, err := s.Store.UpdateUser(ctx, userID, params)
	if err != nil {
		return naming(value(params.OrgID), err)
	}
	return say(c, user.AccessKey, showUser(user))
}

// userChange reads what is to become of a user out of a request, and their new password; "" leaves the one they have.
func userChange(c echo.Context) (store.UserParams, string, error) {
	params, newPassword, err := userParams(c)
	switch {
	case err != nil:
	case !httpguts.ValidHeaderFieldValue(params.AccessKey), strings.Trim(params.AccessKey, " \t") != params.AccessKey:
		err = failure{event: malformed, problems: []contract.Problem{{Path: "/access_key", Reason: "could not be sent in a header"}}}
	case newPassword != "" && utf8.RuneCountInString(newPassword) < minPassword:
		err = failure{event: malformed, problems: []contract.Problem{{Path: "/password", Reason: "minimum string length is 6"}}}
	}
	return params, newPassword, err
}

// RemoveUser implements admin.ServerInterface.
func (s *Server) RemoveUser(c echo.Context, userID admin.UserID) error {
	if err := s.Store.DeleteUser(c.Request().Context(), userID); err != nil {
		return err
	}
	return done(c, nil)
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
	user, err := s.Store.SetResetPassword(c.Request().Context(), userID, allow)
	if err != nil {
		return err
	}
	return done(c, showUser(user))
}
