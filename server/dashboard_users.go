package server

import (
	"context"
	"errors"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// accessibleUser returns a user that the caller may see. It returns store.ErrNotFound for a user of another
// organisation, too.
func (s *Server) accessibleUser(r *request, userID string) (store.User, error) {
	caller, err := callerOf(r)
	if err != nil {
		return store.User{}, err
	}
	user, err := s.store.User(r.Context(), userID)
	if err == nil && !caller.canAccess(user.OrgID) {
		err = store.ErrNotFound
	}
	return user, err
}

// visibleTo removes the access key of another user unless the caller is an administrator, who may be forbidden to see
// it, too: with the key, they could act as that user.
func (s *Server) visibleTo(caller caller, user store.User) store.User {
	if (!caller.isAdmin() || s.security.HideAccessKeys) && !caller.is(user.ID) {
		user.AccessKey = ""
	}
	return user
}

// GetUsers implements dashboard.Handlers.
func (s *Server) GetUsers(r *request, params dashboard.GetUsersParams) dashboard.GetUsersReply {
	var reply dashboard.GetUsersReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	filter := store.UserFilter{OrgID: caller.scope(), Text: valueOf(params.Q), Page: s.page(params.P, firstPage)}
	visible := func(user store.User) store.User { return s.visibleTo(caller, user) }
	return replyList(s, r, reply, s.userList(r, filter, visible))
}

// GetUser implements dashboard.Handlers.
func (s *Server) GetUser(r *request, userID admin.UserID) dashboard.GetUserReply {
	var reply dashboard.GetUserReplies
	user, err := s.accessibleUser(r, userID)
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK(toUser(s.visibleTo(r.caller, user)))
}

// DeleteUser implements dashboard.Handlers.
func (s *Server) DeleteUser(r *request, userID admin.UserID) dashboard.DeleteUserReply {
	var reply dashboard.DeleteUserReplies
	_, err := s.accessibleUser(r, userID)
	if err == nil {
		err = s.store.DeleteUserAs(r.Context(), userID, *r.caller.user)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply), denied(reply))
	}
	return reply.OK()
}

// ResetUserKey implements dashboard.Handlers.
func (s *Server) ResetUserKey(r *request, userID admin.UserID) dashboard.ResetUserKeyReply {
	var reply dashboard.ResetUserKeyReplies
	if s.security.OwnKeysOnly && !r.caller.is(userID) {
		return reply.AccessDenied(nil)
	}
	_, err := s.accessibleUser(r, userID)
	if err == nil {
		err = s.store.RenewAccessKey(r.Context(), userID, *r.caller.user)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply), denied(reply))
	}
	return reply.OK()
}

// SetUserPassword implements dashboard.Handlers.
func (s *Server) SetUserPassword(r *request, userID admin.UserID) dashboard.SetUserPasswordReply {
	var reply dashboard.SetUserPasswordReplies
	if err := s.setPassword(r, userID); err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notFound(reply), notAdmin(reply), notAllowed(reply),
			wrongPassword(reply), tooManyAttempts(reply))
	}
	return reply.OK()
}

// setPassword sets a user's password as the body says.
func (s *Server) setPassword(r *request, userID string) error {
	sent, err := apiserver.Decode[dashboard.UserPassword](r)
	if err != nil {
		return err
	}
	caller, err := callerOf(r)
	if err != nil {
		return err
	}
	if err := s.authoriseReset(r.Context(), caller, userID); err != nil {
		return err
	}
	if err := s.checkPolicy("/new_password", sent.NewPassword); err != nil {
		return err
	}
	setPassword := s.store.SetPassword
	if caller.is(userID) {
		if setPassword, err = s.ownPassword(r, userID, valueOf(sent.CurrentPassword)); err != nil {
			return err
		}
	}
	if err := s.limitHistory(r.Context(), caller, userID, sent.NewPassword); err != nil {
		return err
	}
	hash, err := s.hashPassword(r.Context(), userID, sent.NewPassword)
	if err != nil {
		return err
	}
	return setPassword(r.Context(), userID, hash)
}

// Why a password is not set.
var (
	errNotAdmin   = errors.New("the caller may not set the passwords of others")
	errNotAllowed = errors.New("the caller lacks the permission ResetPassword")
)

func notAdmin[R any](replies interface{ NotAdmin(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotAdmin, errNotAdmin)
}

func notAllowed[R any](replies interface{ NotAllowed(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotAllowed, errNotAllowed)
}

func wrongPassword[R any](replies interface{ WrongPassword(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.WrongPassword, errWrongPassword)
}

// ownPassword checks a user's current password, and returns the function that replaces it. If two requests replace it
// at the same time, the second fails: its current password is no longer the current one.
func (s *Server) ownPassword(r *request, userID, current string) (
	replace func(ctx context.Context, userID, hash string) error, err error,
) {
	currentHash, err := s.store.PasswordHash(r.Context(), userID)
	if err != nil {
		return nil, err
	}
	compare := func() error { return s.checkPassword(r.Context(), userID, passwordAndHash{current, currentHash}) }
	if err := s.limitPasswords(r, userID, current, compare); err != nil {
		return nil, err
	}
	return func(ctx context.Context, userID, hash string) error {
		err := s.store.ChangePassword(ctx, userID, currentHash, hash)
		if errors.Is(err, store.ErrNotFound) {
			return errWrongPassword
		}
		return err
	}, nil
}

// passwordAndHash is a password that a client sent, and the hash of the one that it has to be.
type passwordAndHash struct{ password, hash string }

// checkPassword compares a user's password with its hash. A user without a password, whose hash is "", need not send
// one.
func (s *Server) checkPassword(ctx context.Context, userID string, sent passwordAndHash) error {
	if sent.hash == "" {
		return nil
	}
	matches, err := s.passwords.Matches(ctx, userID, sent.password, sent.hash)
	if err == nil && !matches {
		return errWrongPassword
	}
	return orTooMany(err)
}

// authoriseReset fails unless the caller may set a user's password: everybody may set their own, an administrator with
// the permission ResetPassword that of a user of the same organisation. A super user may only set those of super users
// (docs/behaviour.md#passwords).
func (s *Server) authoriseReset(ctx context.Context, caller caller, userID string) error {
	switch {
	case caller.is(userID):
		return nil
	case !caller.isAdmin():
		return errNotAdmin
	case !caller.mayResetPasswords() && !s.security.AdminsResetPasswords:
		return errNotAllowed
	}
	user, err := s.store.User(ctx, userID)
	switch {
	case err != nil:
		return err
	case !caller.canAccess(user.OrgID):
		return store.ErrNotFound // as for a user who does not exist
	case !caller.belongsTo(user.OrgID):
		return errNotAdmin
	}
	return nil
}
