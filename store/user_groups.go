package store

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/jackc/pgx/v5"
)

// UserGroup is a user group and what it grants.
type UserGroup struct {
	ID    string
	OrgID string
	// Active reports whether the access keys of the group's users work, except those of administrators.
	Active bool
	// UserPermissions are what users have in addition to their own. IsAdmin and ResetPassword grant nothing here.
	UserPermissions map[string]string
	Document        json.RawMessage
}

const userGroupColumns = `id, org_id, active, user_permissions, document`

// columns returns the columns of user_groups.
func (g UserGroup) columns() columns {
	return columns{
		{"id", g.ID},
		{"org_id", g.OrgID},
		{"active", g.Active},
		{"user_permissions", g.UserPermissions},
		{"document", g.Document},
	}
}

// CreateUserGroup stores a new group. It returns ErrUnknownOrganisation if the organisation does not exist.
func (s *Store) CreateUserGroup(ctx context.Context, group UserGroup) (err error) {
	defer wrap("create user group", &err)
	sql, args := group.columns().insert("user_groups")
	return execRow(ctx, s.pool, sql, args...)
}

// NewUserGroupID returns the ID of a new group.
func (s *Store) NewUserGroupID() string { return s.ids.Object() }

// UserGroup returns a group. If orgID is not nil, the group must be one of that organisation. Otherwise, and if there
// is no such group, UserGroup returns ErrNotFound.
func (s *Store) UserGroup(ctx context.Context, id string, orgID *string) (group UserGroup, err error) {
	defer wrap("get user group", &err)
	where, args := ofUserGroup(id, orgID)
	return queryRow[UserGroup](ctx, s.pool, `SELECT `+userGroupColumns+` FROM user_groups`+where, args)
}

// ofUserGroup returns the WHERE clause for a group, of one organisation if orgID is not nil.
func ofUserGroup(id string, orgID *string) (where string, args pgx.StrictNamedArgs) {
	conditions, args := ofOrganisation(orgID)
	args["id"] = id
	return append(conditions, `id = @id`).sql(), args
}

// UserGroupFilter selects user groups of a list.
type UserGroupFilter struct {
	OrgID *string // nil: all
	Page  Page
}

// UserGroups lists user groups, oldest first.
func (s *Store) UserGroups(ctx context.Context, f UserGroupFilter) iter.Seq2[Row, error] {
	where, args := ofOrganisation(f.OrgID)
	return listQuery[Row]{
		operation: "list user groups", columns: `id, document`, table: `user_groups`,
		where: where, args: args, page: f.Page, scan: scanRow,
	}.rows(ctx, s.pool)
}

// CountUserGroups counts the user groups of all pages.
func (s *Store) CountUserGroups(ctx context.Context, f UserGroupFilter) (n int, err error) {
	defer wrap("count user groups", &err)
	where, args := ofOrganisation(f.OrgID)
	return countRows(ctx, s.pool, `user_groups`+where.sql(), args)
}

// EditUserGroup replaces a group by what edit returns for it, without a chance for others to change it meanwhile. Its
// ID and organisation stay. EditUserGroup returns the error of edit, and ErrNotFound as UserGroup does.
func (s *Store) EditUserGroup(
	ctx context.Context, id string, orgID *string, edit func(UserGroup) (UserGroup, error),
) (err error) {
	defer wrap("edit user group", &err)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		where, args := ofUserGroup(id, orgID)
		current, err := queryRow[UserGroup](ctx, tx,
			`SELECT `+userGroupColumns+` FROM user_groups`+where+` FOR UPDATE`, args)
		if err != nil {
			return err
		}
		changed, err := edit(current)
		if err != nil {
			return err
		}
		changed.OrgID = current.OrgID
		sql, values := changed.columns().update("user_groups", current.ID)
		return execRow(ctx, tx, sql, values...)
	})
}

// DeleteUserGroup deletes a group, which its users then no longer have. It returns ErrNotFound as UserGroup does.
func (s *Store) DeleteUserGroup(ctx context.Context, id string, orgID *string) (err error) {
	defer wrap("delete user group", &err)
	where, args := ofUserGroup(id, orgID)
	return s.inTx(ctx, func(tx pgx.Tx) error { // it may deadlock with requests that change its users
		deleted, err := queryValue[string](ctx, tx,
			`DELETE FROM user_groups`+where+` RETURNING org_id`, args)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE users SET group_id = '' WHERE group_id = $1 AND group_id <> '' AND org_id = $2`,
			id, deleted)
		return err
	})
}
