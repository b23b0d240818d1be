package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/internal/authlimit"
	"gatehouse/internal/password"
	"gatehouse/store"
)

// minPassword is the minimum length of a password in characters. Unless configured, more is not required: bootstrap
// scripts set weak passwords (docs/behaviour.md#passwords).
const minPassword = 6

// maxPassword is the maximum length of a password in bytes: argon2id is not run on a text of any length.
const maxPassword = 1024

// minAccessKey is the minimum length of an access key in characters: a shorter one could be guessed.
const minAccessKey = 16

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

// userRequest returns what the request states about a user, and the password, which is "" if there is none. It returns
// errInvalid for a user whose address is not an email address, and an apiserver.MalformedError for too many
// permissions.
func userRequest(r *request) (params store.UserParams, newPassword string, err error) {
	sent, err := apiserver.Decode[admin.UserRequest](r)
	if err != nil {
		return store.UserParams{}, "", err
	}
	params, newPassword = toUserParams(sent), valueOf(sent.Password)
	if !isEmailAddress(params.EmailAddress) {
		return params, newPassword, errInvalid
	}
	return params, newPassword, checkPermissions(params.UserPermissions)
}

// isEmailAddress reports whether a text is an e-mail address, without a name.
func isEmailAddress(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text
}

// ListUsers implements admin.Handlers.
func (s *Server) ListUsers(r *request, params admin.ListUsersParams) admin.ListUsersReply {
	filter := store.UserFilter{
		OrgID: params.OrgId, Email: valueOf(params.Email), Text: valueOf(params.Q), Page: s.page(params.P, everything),
	}
	asStored := func(user store.User) store.User { return user }
	return replyList(s, r, admin.ListUsersReplies{}, s.userList(r, filter, asStored))
}

// userList returns a page of users, each as visible returns it.
func (s *Server) userList(
	r *request, filter store.UserFilter, visible func(store.User) store.User,
) list[store.User] {
	ctx := r.Context()
	var buf []byte
	return list[store.User]{
		name: "users", pages: "pages", page: filter.Page, rows: s.store.Users(ctx, filter),
		count: func() (int, error) { return s.store.CountUsers(ctx, filter) },
		encode: func(user store.User) (_ json.RawMessage, err error) {
			buf, err = apiserver.AppendJSON(buf[:0], toUser(visible(user)))
			return buf, err
		},
	}
}

// CreateUser implements admin.Handlers. Like the original, it ignores a password (docs/behaviour.md#users).
func (s *Server) CreateUser(r *request) admin.CreateUserReply {
	var reply admin.CreateUserReplies
	params, _, err := userRequest(r)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), invalid(reply))
	}
	if params.UserPermissions == nil {
		params.UserPermissions = defaultPermissions()
	}
	user, err := s.store.CreateUser(r.Context(), params)
	if err != nil {
		return apiserver.ReplyError(reply, err,
			malformed(reply), conflict(reply), unknownOrganisation(reply, valueOf(params.OrgID)))
	}
	return reply.OK(user.AccessKey, toUser(user))
}

// GetUserDetail implements admin.Handlers.
func (s *Server) GetUserDetail(r *request, userID admin.UserID) admin.GetUserDetailReply {
	var reply admin.GetUserDetailReplies
	user, err := s.store.User(r.Context(), userID)
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK(toUser(user))
}

// UpdateUser implements admin.Handlers.
func (s *Server) UpdateUser(r *request, userID admin.UserID) admin.UpdateUserReply {
	var reply admin.UpdateUserReplies
	params, newPassword, err := s.userUpdate(r, userID)
	if err != nil {
		if _, unknown := s.store.User(r.Context(), userID); unknown != nil {
			err = unknown // a user who does not exist is reported first
		}
		return apiserver.ReplyError(reply, err, malformed(reply), invalid(reply), notFound(reply))
	}
	if newPassword != "" {
		// As another account than the user, so that a user cannot delay it.
		if params.PasswordHash, err = s.hashPassword(r.Context(), adminScheme+" "+userID, newPassword); err != nil {
			return apiserver.ReplyError(reply, err, tooManyAttempts(reply))
		}
	}
	user, err := s.store.UpdateUser(r.Context(), userID, params)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notFound(reply), conflict(reply), keyConflict(reply),
			unknownOrganisation(reply, valueOf(params.OrgID)))
	}
	return reply.OK(user.AccessKey, toUser(user))
}

// hashPassword returns the hash of a password of an account, if the request is still admitted then. It returns an
// *authlimit.TooManyError if too many are being hashed.
func (s *Server) hashPassword(ctx context.Context, account, newPassword string) (string, error) {
	hash, err := s.passwords.Hash(ctx, account, newPassword)
	if err == nil {
		err = apiserver.AdmitWaiting(ctx)
	}
	return hash, orTooMany(err)
}

// orTooMany returns an *authlimit.TooManyError in place of password.ErrBusy.
func orTooMany(err error) error {
	if errors.Is(err, password.ErrBusy) {
		return &authlimit.TooManyError{RetryAfter: password.WrongDelay}
	}
	return err
}

// userUpdate is userRequest with the checks of what only an update stores: the access key and the password, of which ""
// keeps the current one.
func (s *Server) userUpdate(r *request, userID string) (params store.UserParams, newPassword string, err error) {
	params, newPassword, err = userRequest(r)
	switch {
	case err != nil:
	case !httpguts.ValidHeaderFieldValue(params.AccessKey), strings.Trim(params.AccessKey, " \t") != params.AccessKey:
		err = apiserver.MalformedAt("/access_key", "could not be sent in a header", nil)
	default:
		err = s.checkKeyLength(r.Context(), userID, params.AccessKey)
	}
	if err == nil && newPassword != "" {
		err = s.checkPolicy("/password", newPassword)
	}
	return params, newPassword, err
}

// checkKeyLength returns an apiserver.MalformedError for an access key that could be guessed, unless the user already
// has it: a key may be older than this rule, and clients send back what they got.
func (s *Server) checkKeyLength(ctx context.Context, userID, key string) error {
	if key == "" || utf8.RuneCountInString(key) >= minAccessKey {
		return nil
	}
	user, err := s.store.User(ctx, userID)
	if err == nil && user.AccessKey != key {
		err = apiserver.MalformedAt("/access_key", "minimum string length is 16", nil)
	}
	return err
}

// RemoveUser implements admin.Handlers.
func (s *Server) RemoveUser(r *request, userID admin.UserID) admin.RemoveUserReply {
	var reply admin.RemoveUserReplies
	if err := s.store.DeleteUser(r.Context(), userID); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK()
}

// AllowResetPassword implements admin.Handlers.
func (s *Server) AllowResetPassword(r *request, userID admin.UserID) admin.AllowResetPasswordReply {
	user, err := s.store.SetResetPassword(r.Context(), userID, true)
	return replyUser(admin.AllowResetPasswordReplies{}, user, err)
}

// DisallowResetPassword implements admin.Handlers.
func (s *Server) DisallowResetPassword(r *request, userID admin.UserID) admin.DisallowResetPasswordReply {
	user, err := s.store.SetResetPassword(r.Context(), userID, false)
	return replyUser(admin.DisallowResetPasswordReplies{}, user, err)
}

// replyUser replies with a user in an envelope.
func replyUser[R any](replies interface {
	OK(meta any) R
	NotFound(cause error) R
	Failed(cause error) R
}, user store.User, err error,
) R {
	if err != nil {
		return apiserver.ReplyError(replies, err, notFound(replies))
	}
	return replies.OK(toUser(user))
}
