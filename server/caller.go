package server

import (
	"gatehouse/store"
)

// caller is the user who sent a request. The zero value is nobody and may do nothing: a request without an
// authenticated user cannot be mistaken for a super user's, whose organisation is empty, too.
type caller struct {
	user *store.User
}

// authenticated reports whether there is a user.
func (c caller) authenticated() bool { return c.user != nil }

// is reports whether the caller is the user with this ID.
func (c caller) is(userID string) bool { return c.user != nil && c.user.ID == userID }

// isAdmin reports whether the caller may do everything in their organisation.
func (c caller) isAdmin() bool { return c.user != nil && c.user.IsAdmin() }

// canAccess reports whether the caller may see what belongs to an organisation.
func (c caller) canAccess(orgID string) bool { return c.user != nil && c.user.CanAccess(orgID) }

// belongsTo reports whether the caller is a user of this organisation, or a super user if orgID is "".
func (c caller) belongsTo(orgID string) bool { return c.user != nil && c.user.OrgID == orgID }

// permissions returns the levels that the caller has, by object.
func (c caller) permissions() map[string]string {
	if c.user == nil {
		return nil
	}
	return c.user.UserPermissions
}

// scope returns the organisation that the caller's lists are limited to; nil, which is no limit, for a super user. It
// panics for nobody.
func (c caller) scope() *string {
	if c.user.IsSuperUser() {
		return nil
	}
	return &c.user.OrgID
}
