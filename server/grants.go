package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/store"
)

// Callers grant no permission that they lack, neither to a user nor to a user group (docs/behaviour.md#permissions).

// errNoPermissions is returned for a user who would have no permissions.
var errNoPermissions = errors.New("the user has no permissions")

// refusal is an error with what is wrong with the request, for the client.
type refusal struct {
	problem contract.Problem
	reason  error // which the error is
}

// deniedAt returns the apiserver.ErrAccessDenied for a permission, at a JSON pointer of the body, that the caller
// cannot grant.
func deniedAt(path, reason string) error {
	return &refusal{contract.Problem{Path: path, Reason: reason}, apiserver.ErrAccessDenied}
}

// invalidAt returns the errInvalid for the value at a JSON pointer of the body.
func invalidAt(path, reason string) error {
	return &refusal{contract.Problem{Path: path, Reason: reason}, errInvalid}
}

// Error implements error.
func (r *refusal) Error() string { return r.problem.Path + " " + r.problem.Reason }

// Unwrap returns apiserver.ErrAccessDenied or errInvalid.
func (r *refusal) Unwrap() error { return r.reason }

// Problems returns what is wrong.
func (r *refusal) Problems() []contract.Problem { return []contract.Problem{r.problem} }

// denied is the reply where the caller may not do this to this object.
func denied[R any](replies interface{ AccessDenied(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.AccessDenied, apiserver.ErrAccessDenied, store.ErrProtected)
}

func noPermissions[R any](replies interface{ NoPermissions(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NoPermissions, errNoPermissions)
}

// Bounds of the permissions of a user or a group, which are read with each request. The Dashboard has some 30, and an
// organisation may add a few of its own.
const (
	maxPermissions    = 200
	maxPermissionText = 100
)

// checkPermissions returns an apiserver.MalformedError for more permissions, or longer ones, than a user or a group may
// have.
func checkPermissions(permissions map[string]string) error {
	if len(permissions) > maxPermissions {
		return apiserver.MalformedAt("/user_permissions", fmt.Sprintf("has more than %d permissions", maxPermissions), nil)
	}
	for name, value := range permissions {
		if len(name) > maxPermissionText || len(value) > maxPermissionText {
			return apiserver.MalformedAt("/user_permissions",
				fmt.Sprintf("has a name or a value of more than %d bytes", maxPermissionText), nil)
		}
	}
	return nil
}

// checkGrant returns an apiserver.ErrAccessDenied unless the caller may grant the wanted permissions. Those that the
// user or the group has already (current) may stay.
func (c caller) checkGrant(wanted, current map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if value := wanted[name]; value != current[name] && !c.mayGrant(name, value) {
			return deniedAt(contract.Pointer("user_permissions", name), "is a permission that the caller lacks")
		}
	}
	return nil
}

// mayGrant reports whether the caller may give others a permission with a value. Everybody may give one that grants
// nothing. Only administrators give the permissions that have no levels: no value that the caller or the caller's group
// has for them, and that grants nothing, counts.
func (c caller) mayGrant(name, value string) bool {
	switch {
	case c.isAdmin():
		return true
	case name == store.PermissionIsAdmin, name == store.PermissionResetPassword:
		return !store.Grants(value)
	case value == contract.LevelRead, value == contract.LevelWrite:
		return c.has(&contract.Permission{Object: name, Level: value})
	default:
		return true
	}
}

// withResetPassword returns the permissions that a request states for a user, with the current ResetPassword, which
// only the admin API changes. It returns an apiserver.ErrAccessDenied if they would grant it.
func withResetPassword(wanted, current map[string]string) (map[string]string, error) {
	const name = store.PermissionResetPassword
	if store.Grants(wanted[name]) && !store.Grants(current[name]) {
		return nil, deniedAt(contract.Pointer("user_permissions", name), "is granted by the admin API only")
	}
	wanted = maps.Clone(wanted)
	delete(wanted, name)
	if value, ok := current[name]; ok {
		wanted[name] = value
	}
	return wanted, nil
}
