package server

import (
	"encoding/json"
	"fmt"
	"maps"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// userGroupFields returns the documented fields of a user group, as organisationFields does.
func userGroupFields(known *contract.Contract) ([]jsondoc.Member, error) {
	defaults, err := contract.Defaults(known.Operation("createUserGroup").Body.Schema, "id", "org_id")
	if err != nil {
		return nil, fmt.Errorf("a user group: %w", err)
	}
	return append([]jsondoc.Member{jsondoc.NewMember("id", nil)}, jsondoc.Members(defaults)...), nil
}

// userGroupRequest returns the group in the body of a request as it is stored under an ID in an organisation.
func userGroupRequest(r *request, id, orgID string) (store.UserGroup, error) {
	var sent struct {
		UserPermissions map[string]string `json:"user_permissions"`
	}
	if permissions, ok := jsondoc.Get(r.Body.JSON, "user_permissions"); ok {
		if err := json.Unmarshal(permissions, &sent.UserPermissions); err != nil {
			return store.UserGroup{}, apiserver.MalformedAt("/user_permissions", "must be an object of strings", err)
		}
	}
	if err := checkPermissions(sent.UserPermissions); err != nil {
		return store.UserGroup{}, err
	}
	if sent.UserPermissions == nil {
		sent.UserPermissions = map[string]string{}
	}
	doc := jsondoc.Set(jsondoc.Without(r.Body.JSON, "org_id"), "org_id", jsondoc.Quote(orgID))
	doc = jsondoc.Set(jsondoc.Without(doc, "id"), "id", jsondoc.Quote(id))
	return store.UserGroup{
		ID: id, OrgID: orgID, Active: jsondoc.Bool(doc, true, "active"), UserPermissions: sent.UserPermissions, Document: doc,
	}, nil
}

// withoutAdministration returns the permissions of a group without those that grant nothing to its users.
func withoutAdministration(permissions map[string]string) map[string]string {
	permissions = maps.Clone(permissions)
	delete(permissions, store.PermissionIsAdmin)
	delete(permissions, store.PermissionResetPassword)
	return permissions
}

// shownUserGroup returns a group as the API shows it: the stored document with the documented fields that it lacks.
func (s *Server) shownUserGroup(row store.Row) (json.RawMessage, error) {
	return jsondoc.Fill(row.Document, s.userGroupFields, jsondoc.Quote(row.ID)), nil
}

// ListUserGroups implements dashboard.Handlers.
func (s *Server) ListUserGroups(r *request, params dashboard.ListUserGroupsParams) dashboard.ListUserGroupsReply {
	var reply dashboard.ListUserGroupsReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	ctx := r.Context()
	filter := store.UserGroupFilter{OrgID: caller.scope(), Page: s.page(params.P, firstPage)}
	return replyList(s, r, reply, list[store.Row]{
		name: "groups", pages: "pages", page: filter.Page, rows: s.store.UserGroups(ctx, filter),
		encode: s.shownUserGroup, count: func() (int, error) { return s.store.CountUserGroups(ctx, filter) },
	})
}

// CreateUserGroup implements dashboard.Handlers.
func (s *Server) CreateUserGroup(r *request) dashboard.CreateUserGroupReply {
	var reply dashboard.CreateUserGroupReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	orgID := caller.user.OrgID
	if caller.scope() == nil {
		orgID = jsondoc.String(r.Body.JSON, "org_id")
	}
	group, err := userGroupRequest(r, s.store.NewUserGroupID(), orgID)
	if err == nil {
		err = caller.checkGrant(group.UserPermissions, nil)
	}
	if err == nil {
		err = orMalformedOrganisation(s.store.CreateUserGroup(r.Context(), group))
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), denied(reply))
	}
	return reply.OK(group.ID)
}

// GetUserGroup implements dashboard.Handlers.
func (s *Server) GetUserGroup(r *request, groupID dashboard.GroupID) dashboard.GetUserGroupReply {
	var reply dashboard.GetUserGroupReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	group, err := s.store.UserGroup(r.Context(), groupID, caller.scope())
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK(jsondoc.Fill(group.Document, s.userGroupFields, jsondoc.Quote(group.ID)))
}

// UpdateUserGroup implements dashboard.Handlers.
func (s *Server) UpdateUserGroup(r *request, groupID dashboard.GroupID) dashboard.UpdateUserGroupReply {
	var reply dashboard.UpdateUserGroupReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	edit := func(current store.UserGroup) (store.UserGroup, error) {
		group, err := userGroupRequest(r, current.ID, current.OrgID)
		if err == nil && len(group.UserPermissions) == 0 {
			err = apiserver.MalformedAt("/user_permissions", "needs at least one permission", nil)
		}
		if err == nil {
			err = caller.checkGrant(group.UserPermissions, current.UserPermissions)
		}
		return group, err
	}
	if err := s.store.EditUserGroup(r.Context(), groupID, caller.scope(), edit); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply), malformed(reply), denied(reply))
	}
	return reply.OK()
}

// DeleteUserGroup implements dashboard.Handlers.
func (s *Server) DeleteUserGroup(r *request, groupID dashboard.GroupID) dashboard.DeleteUserGroupReply {
	var reply dashboard.DeleteUserGroupReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	if err := s.store.DeleteUserGroup(r.Context(), groupID, caller.scope()); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK()
}
