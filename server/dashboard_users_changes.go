package server

import (
	"context"
	"errors"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// CurrentUserDetail implements dashboard.Handlers.
func (s *Server) CurrentUserDetail(r *request) dashboard.CurrentUserDetailReply {
	var reply dashboard.CurrentUserDetailReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	return reply.OK(toUser(*caller.user))
}

// SearchUserGet implements dashboard.Handlers.
func (s *Server) SearchUserGet(r *request, params dashboard.SearchUserGetParams) dashboard.SearchUserGetReply {
	return replyUserSearch(s, r, dashboard.SearchUserGetReplies{}, userSearch{valueOf(params.Q), params.P})
}

// SearchUser implements dashboard.Handlers.
func (s *Server) SearchUser(r *request, params dashboard.SearchUserParams) dashboard.SearchUserReply {
	var reply dashboard.SearchUserReplies
	sent, err := apiserver.Decode[dashboard.UserSearchPayload](r)
	if err != nil {
		return reply.Malformed(err)
	}
	query := ""
	if sent.Filters != nil {
		query = valueOf(sent.Filters.Query)
	}
	return replyUserSearch(s, r, reply, userSearch{query, params.P})
}

// userSearch is what users are searched for, and which page of them is returned.
type userSearch struct {
	emailPart string
	p         *int
}

// replyUserSearch replies with the users that the caller may see.
func replyUserSearch[R apiserver.Replier](s *Server, r *request, replies listReplies[R], search userSearch) R {
	caller, err := callerOf(r)
	if err != nil {
		return replies.Failed(err)
	}
	filter := store.UserFilter{OrgID: caller.scope(), EmailPart: search.emailPart, Page: s.page(search.p, firstPage)}
	visible := func(user store.User) store.User { return s.visibleTo(caller, user) }
	return replyList(s, r, replies, s.userList(r, filter, visible))
}

// AddUser implements dashboard.Handlers.
func (s *Server) AddUser(r *request) dashboard.AddUserReply {
	var reply dashboard.AddUserReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	params, err := s.newUser(r, caller)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), invalid(reply), noPermissions(reply), denied(reply))
	}
	user, err := s.store.CreateUser(r.Context(), params)
	if err != nil {
		return apiserver.ReplyError(reply, orInvalidOrganisation(err), malformed(reply), conflict(reply), invalid(reply))
	}
	return reply.OK(user.ID)
}

// orInvalidOrganisation returns an errInvalid in place of store.ErrUnknownOrganisation.
func orInvalidOrganisation(err error) error {
	if errors.Is(err, store.ErrUnknownOrganisation) {
		return invalidAt("/org_id", "is no organisation")
	}
	return err
}

// orMalformedOrganisation returns an apiserver.MalformedError in place of store.ErrUnknownOrganisation.
func orMalformedOrganisation(err error) error {
	if errors.Is(err, store.ErrUnknownOrganisation) {
		return apiserver.MalformedAt("/org_id", "is no organisation", err)
	}
	return err
}

// sentUser returns what the request states about a user, of which the caller may set all but the password, the access
// key and the organisation.
func sentUser(r *request) (store.UserParams, error) {
	params, _, err := userRequest(r)
	if errors.Is(err, errInvalid) {
		err = invalidAt("/email_address", "is no e-mail address")
	}
	params.AccessKey = ""
	return params, err
}

// newUser returns the user in the body of a request as the caller may create them.
func (s *Server) newUser(r *request, caller caller) (store.UserParams, error) {
	params, err := sentUser(r)
	if err != nil {
		return params, err
	}
	if org := caller.scope(); org != nil || params.OrgID == nil {
		params.OrgID = &caller.user.OrgID // a super user creates a super user unless the body says otherwise
	}
	if len(params.UserPermissions) == 0 && params.GroupID == "" {
		return params, errNoPermissions
	}
	if params.UserPermissions, err = withResetPassword(params.UserPermissions, nil); err != nil {
		return params, err
	}
	if err := caller.checkGrant(params.UserPermissions, nil); err != nil {
		return params, err
	}
	return params, s.checkGroup(r.Context(), caller, params.GroupID, *params.OrgID)
}

// checkGroup returns an errInvalid unless the group is one of the user's organisation, and an apiserver.ErrAccessDenied
// if it has permissions that the caller lacks. "" is no group.
func (s *Server) checkGroup(ctx context.Context, caller caller, groupID, orgID string) error {
	if groupID == "" {
		return nil
	}
	group, err := s.store.UserGroup(ctx, groupID, &orgID)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrMalformed):
		return invalidAt("/group_id", "is no user group of the organisation")
	case err != nil:
		return err
	case caller.checkGrant(withoutAdministration(group.UserPermissions), nil) != nil:
		return deniedAt("/group_id", "has permissions that the caller lacks")
	}
	return nil
}

// ChangeUser implements dashboard.Handlers.
func (s *Server) ChangeUser(r *request, userID admin.UserID) dashboard.ChangeUserReply {
	var reply dashboard.ChangeUserReplies
	user, err := s.accessibleUser(r, userID)
	if err == nil {
		err = s.changeUser(r, user)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notFound(reply), noPermissions(reply), denied(reply),
			invalid(reply), conflict(reply))
	}
	return reply.OK()
}

// changeUser changes a user as the body says. user is what the user was when the request arrived.
func (s *Server) changeUser(r *request, user store.User) error {
	params, err := sentUser(r)
	if err != nil {
		return err
	}
	sent, err := apiserver.Decode[admin.UserRequest](r)
	if err != nil {
		return err
	}
	if sent.GroupId != nil && *sent.GroupId != user.GroupID {
		if err := s.checkGroup(r.Context(), r.caller, *sent.GroupId, user.OrgID); err != nil {
			return err
		}
	}
	_, err = s.store.EditUserAs(r.Context(), user.ID, *r.caller.user, func(current store.User) (store.UserParams, error) {
		if current.GroupID != user.GroupID || current.OrgID != user.OrgID {
			return params, apiserver.ErrAccessDenied // what was checked is no longer so
		}
		params := withCurrent(params, sent, current)
		return params, checkChange(r.caller, &params, current)
	})
	return err
}

// withCurrent returns what a request sets of a user, with the current values of what may be absent.
func withCurrent(params store.UserParams, sent admin.UserRequest, current store.User) store.UserParams {
	params.OrgID = nil
	if sent.Active == nil {
		params.Active = current.Active
	}
	if sent.GroupId == nil {
		params.GroupID = current.GroupID
	}
	if sent.PasswordMaxDays == nil {
		params.PasswordMaxDays = current.PasswordMaxDays
	}
	if params.UserPermissions == nil {
		params.UserPermissions = current.UserPermissions
	}
	return params
}

// checkChange returns why a caller may not change a user so. It keeps the user's ResetPassword.
func checkChange(caller caller, params *store.UserParams, current store.User) (err error) {
	if len(params.UserPermissions) == 0 && params.GroupID == "" {
		return errNoPermissions
	}
	params.UserPermissions, err = withResetPassword(params.UserPermissions, current.UserPermissions)
	if err != nil {
		return err
	}
	return caller.checkGrant(params.UserPermissions, current.UserPermissions)
}

// RevokeUser implements dashboard.Handlers.
func (s *Server) RevokeUser(r *request, userID admin.UserID) dashboard.RevokeUserReply {
	var reply dashboard.RevokeUserReplies
	_, err := s.accessibleUser(r, userID)
	if err == nil {
		_, err = s.store.EditUserAs(r.Context(), userID, *r.caller.user, func(user store.User) (store.UserParams, error) {
			params := user.Params()
			params.Active = false
			return params, nil
		})
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply), denied(reply))
	}
	return reply.OK()
}
