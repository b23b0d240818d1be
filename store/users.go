package store

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// User is a stored user, without the hash of the password.
type User struct {
	ID              string
	OrgID           string // "" is a super user, who has access to all organisations
	EmailAddress    string
	FirstName       string
	LastName        string
	Active          bool
	AccessKey       string
	UserPermissions map[string]string // shared with other callers of the store: do not change it
	GroupID         string
	PasswordMaxDays int
	PasswordUpdated *time.Time // nil: never
	LastLoginDate   *time.Time // nil: never
	CreatedAt       time.Time
}

// userColumns has a column for each field of User.
const userColumns = `
	id, coalesce(org_id, '') AS org_id, email_address, first_name, last_name, active, access_key, user_permissions,
	group_id, password_max_days, password_updated, last_login_date, created_at`

// IsSuperUser reports whether the user has access to all organisations. The zero User, which has no ID, has access to
// none: a caller that is missing by mistake must not be the most powerful one.
func (u User) IsSuperUser() bool { return u.ID != "" && u.OrgID == "" }

// IsAdmin reports whether the user may do everything in their organisation. The permission has the value "admin"; the
// documentation of the original also has "true".
func (u User) IsAdmin() bool {
	value := u.UserPermissions["IsAdmin"]
	return value == "admin" || value == "true"
}

// CanAccess reports whether the user has access to an organisation.
func (u User) CanAccess(orgID string) bool {
	return u.IsSuperUser() || (u.ID != "" && u.OrgID == orgID)
}

// UserParams is what a request sets of a user. In an update, what is optional keeps its value if it is not set.
type UserParams struct {
	OrgID           *string // optional; "" is a super user
	EmailAddress    string
	FirstName       string
	LastName        string
	Active          bool
	UserPermissions map[string]string // optional
	GroupID         string
	PasswordMaxDays int
	AccessKey       string // optional; ignored for a new user, who gets a random one
	PasswordHash    string // optional
}

// columns returns the columns that p sets.
func (p UserParams) columns(now time.Time) columns {
	set := columns{
		{"email_address", p.EmailAddress},
		{"email_key", strings.ToLower(p.EmailAddress)},
		{"first_name", p.FirstName},
		{"last_name", p.LastName},
		{"active", p.Active},
		{"group_id", p.GroupID},
		{"password_max_days", p.PasswordMaxDays},
	}
	if p.OrgID != nil {
		set = append(set, column{"org_id", nonEmpty(*p.OrgID)})
	}
	if p.UserPermissions != nil {
		set = append(set, column{"user_permissions", p.UserPermissions})
	}
	if p.AccessKey != "" {
		set = append(set, column{"access_key", p.AccessKey})
	}
	if p.PasswordHash != "" {
		set = append(set, column{"password_hash", p.PasswordHash}, column{"password_updated", now})
	}
	return set
}

// CreateUser stores a new user with a new ID and access key. It returns ErrConflict if the e-mail address is taken in
// the organisation, and ErrUnknownOrganisation if the organisation does not exist.
func (s *Store) CreateUser(ctx context.Context, p UserParams) (u User, err error) {
	defer wrap("create user", &err)
	p.AccessKey = s.ids.Key()
	if p.UserPermissions == nil {
		p.UserPermissions = map[string]string{}
	}
	now := s.timestamp()
	row := append(p.columns(now), column{"id", s.ids.Object()}, column{"created_at", now})
	sql, args := row.insert("users")
	return queryRow[User](ctx, s.pool, sql+` RETURNING`+userColumns, args...)
}

// UpdateUser changes what p sets of a user. It returns ErrNotFound if there is no such user, ErrConflict if the e-mail
// address is taken in the organisation, ErrAccessKeyTaken if another user has the access key, and
// ErrUnknownOrganisation if the organisation does not exist.
func (s *Store) UpdateUser(ctx context.Context, id string, p UserParams) (u User, err error) {
	defer wrap("update user", &err)
	sql, args := p.columns(s.timestamp()).update("users", id)
	return queryRow[User](ctx, s.pool, sql+` RETURNING`+userColumns, args...)
}

// SetResetPassword grants or revokes a user's permission to reset the passwords of others. It returns ErrNotFound if
// there is no such user.
func (s *Store) SetResetPassword(ctx context.Context, id string, allow bool) (u User, err error) {
	defer wrap("set reset password permission", &err)
	return queryRow[User](ctx, s.pool, `
		UPDATE users SET user_permissions = CASE
			WHEN $2::boolean THEN user_permissions || '{"ResetPassword": "admin"}'
			ELSE user_permissions - 'ResetPassword' END
		WHERE id = $1
		RETURNING`+userColumns, id, allow)
}

// User returns a user, or ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (u User, err error) {
	defer wrap("get user", &err)
	return s.users.do(ctx, id)
}

func userByID() lookup[User] {
	return lookup[User]{
		single: func(ctx context.Context, db querier, id string) (User, error) {
			return queryRow[User](ctx, db, `SELECT`+userColumns+` FROM users WHERE id = $1`, id)
		},
		many: func(ctx context.Context, db querier, ids []string) ([]User, error) {
			return queryRows[User](ctx, db, `SELECT`+userColumns+` FROM users WHERE id = ANY ($1)`, ids)
		},
		key: func(u User) string { return u.ID },
	}
}

// UserByAccessKey returns the user who has the access key. It returns ErrNotFound if there is none, or the user is not
// active.
func (s *Store) UserByAccessKey(ctx context.Context, key string) (u User, err error) {
	defer wrap("get user by access key", &err)
	return s.usersByKey.do(ctx, key)
}

func userByAccessKey() lookup[User] {
	return lookup[User]{
		single: func(ctx context.Context, db querier, key string) (User, error) {
			return queryRow[User](ctx, db, `SELECT`+userColumns+` FROM users WHERE access_key = $1 AND active`, key)
		},
		many: func(ctx context.Context, db querier, keys []string) ([]User, error) {
			return queryRows[User](ctx, db,
				`SELECT`+userColumns+` FROM users WHERE access_key = ANY ($1) AND active`, keys)
		},
		key: func(u User) string { return u.AccessKey },
	}
}

// UserFilter selects users of a list.
type UserFilter struct {
	OrgID *string // nil: all; "": super users
	Email string  // "": all; case is ignored
	Page  Page
}

func (f UserFilter) where() (condition string, args pgx.StrictNamedArgs) {
	var conditions []string
	args = pgx.StrictNamedArgs{}
	switch {
	case f.OrgID == nil:
	case *f.OrgID == "":
		conditions = append(conditions, `org_id IS NULL`)
	default:
		conditions, args["org_id"] = append(conditions, `org_id = @org_id`), *f.OrgID
	}
	if f.Email != "" {
		conditions, args["email_key"] = append(conditions, `email_key = @email_key`), strings.ToLower(f.Email)
	}
	if conditions == nil {
		return "", args
	}
	return ` WHERE ` + strings.Join(conditions, ` AND `), args
}

// Users lists users, oldest first.
func (s *Store) Users(ctx context.Context, f UserFilter) iter.Seq2[User, error] {
	where, args := f.where()
	return stream(ctx, s.pool, query{
		"list users",
		`SELECT` + userColumns + ` FROM users` + where + ` ORDER BY position LIMIT @limit OFFSET @offset`,
		f.Page.bounds(args),
	}, func(rows pgx.Rows, u *User) (err error) {
		*u, err = pgx.RowToStructByName[User](rows)
		return err
	})
}

// CountUsers counts the users of all pages.
func (s *Store) CountUsers(ctx context.Context, f UserFilter) (n int, err error) {
	defer wrap("count users", &err)
	where, args := f.where()
	return queryValue[int](ctx, s.pool, `SELECT count(*) FROM users`+where, args)
}

// DeleteUser deletes a user, or returns ErrNotFound.
func (s *Store) DeleteUser(ctx context.Context, id string) (err error) {
	defer wrap("delete user", &err)
	return execRow(ctx, s.pool, `DELETE FROM users WHERE id = $1`, id)
}

// RenewAccessKey gives a user a new access key, or returns ErrNotFound.
func (s *Store) RenewAccessKey(ctx context.Context, id string) (err error) {
	defer wrap("renew access key", &err)
	return execRow(ctx, s.pool, `UPDATE users SET access_key = $2 WHERE id = $1`, id, s.ids.Key())
}

// PasswordHash returns the hash of a user's password, "" if there is no password. It returns ErrNotFound if there is no
// such user.
func (s *Store) PasswordHash(ctx context.Context, id string) (hash string, err error) {
	defer wrap("get password hash", &err)
	return queryValue[string](ctx, s.pool, `SELECT coalesce(password_hash, '') FROM users WHERE id = $1`, id)
}

// SetPassword replaces the hash of a user's password, or returns ErrNotFound.
func (s *Store) SetPassword(ctx context.Context, id, hash string) (err error) {
	defer wrap("set password", &err)
	return execRow(ctx, s.pool, `UPDATE users SET password_hash = $2, password_updated = $3 WHERE id = $1`,
		id, hash, s.timestamp())
}

// ChangePassword replaces the hash of a user's password if it still is old, "" for no password. Otherwise, and if there
// is no such user, it returns ErrNotFound.
func (s *Store) ChangePassword(ctx context.Context, id, old, hash string) (err error) {
	defer wrap("change password", &err)
	return execRow(ctx, s.pool, `
		UPDATE users SET password_hash = $3, password_updated = $4
		WHERE id = $1 AND coalesce(password_hash, '') = $2`, id, old, hash, s.timestamp())
}

// timestamp returns the current time in milliseconds, which is the precision of the API.
func (s *Store) timestamp() time.Time { return s.now().UTC().Truncate(time.Millisecond) }
