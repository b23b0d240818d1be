package server

import (
	"gatehouse/contract"
	"gatehouse/store"
)

// caller is the user who sent a request. The zero value has no user and no permissions: a request without an
// authenticated user cannot be mistaken for a super user's, whose organisation is empty, too.
type caller struct {
	user *store.User
	// groupPermissions are what the user has from a group; nil without one.
	groupPermissions map[string]string
}

// authenticated reports whether there is a user.
func (c caller) authenticated() bool { return c.user != nil }

// is reports whether the caller is the user with this ID.
func (c caller) is(userID string) bool { return c.user != nil && c.user.ID == userID }

// isAdmin reports whether the caller may do everything in their organisation.
func (c caller) isAdmin() bool { return c.user != nil && c.user.IsAdmin() }

// mayResetPasswords reports whether the caller, if an administrator, may set the passwords of others.
func (c caller) mayResetPasswords() bool { return c.user != nil && c.user.MayResetPasswords() }

// canAccess reports whether the caller may see what belongs to an organisation.
func (c caller) canAccess(orgID string) bool { return c.user != nil && c.user.CanAccess(orgID) }

// belongsTo reports whether the caller is a user of this organisation, or a super user if orgID is "".
func (c caller) belongsTo(orgID string) bool { return c.user != nil && c.user.OrgID == orgID }

// has reports whether the caller has a permission, from a group or not. Administrators have every one.
func (c caller) has(permission *contract.Permission) bool {
	return c.isAdmin() || c.user != nil &&
		(permission.GrantedBy(c.user.UserPermissions) || permission.GrantedBy(c.groupPermissions))
}

// scope returns the organisation that the caller's lists are limited to; nil, which is no limit, for a super user. It
// panics if there is no user.
func (c caller) scope() *string {
	if c.user.IsSuperUser() {
		return nil
	}
	return &c.user.OrgID
}

// ref refers to an API or a policy that the caller may see.
func (c caller) ref(id string) store.Ref { return store.Ref{ID: id, OrgID: c.scope()} }
