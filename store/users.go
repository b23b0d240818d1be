package store

import (
	"context"
	"errors"
	"fmt"
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

// IsAdmin reports whether the user may do everything in their organisation. isAdmin is the same in SQL.
func (u User) IsAdmin() bool { return Grants(u.UserPermissions[PermissionIsAdmin]) }

func (u User) isActiveAdmin() bool { return u.Active && u.IsAdmin() }

// MayResetPasswords reports whether the user, if an administrator, may set the passwords of others.
func (u User) MayResetPasswords() bool { return Grants(u.UserPermissions[PermissionResetPassword]) }

// The permissions that have no levels.
const (
	PermissionIsAdmin       = "IsAdmin"
	PermissionResetPassword = "ResetPassword"
)

// Grants reports whether the value of a permission that has no levels grants it: "admin", or "true", which the
// documentation of the original also has. Any other value, such as "deny", grants nothing.
func Grants(value string) bool { return value == "admin" || value == "true" }

// isAdmin is the condition that a row of users is an administrator's.
const isAdmin = `coalesce(user_permissions->>'IsAdmin', '') IN ('admin', 'true')`

// CanAccess reports whether the user has access to an organisation.
func (u User) CanAccess(orgID string) bool {
	return u.IsSuperUser() || (u.ID != "" && u.OrgID == orgID)
}

// UserParams is what a request sets of a user. In an update, what is optional keeps its value if it is not set.
type UserParams struct {
	OrgID           *string // optional; "" is a super user
	EmailAddress    string  // stored in lower case
	FirstName       string
	LastName        string
	Active          bool
	UserPermissions map[string]string // optional
	GroupID         string
	PasswordMaxDays int
	AccessKey       string // optional; ignored for a new user, who gets a random one
	PasswordHash    string // optional
}

// Params returns what sets a user to what the user is already.
func (u User) Params() UserParams {
	return UserParams{
		EmailAddress: u.EmailAddress, FirstName: u.FirstName, LastName: u.LastName, Active: u.Active, GroupID: u.GroupID,
		PasswordMaxDays: u.PasswordMaxDays,
	}
}

// columns returns the columns that p sets.
func (p UserParams) columns(now time.Time) columns {
	address := strings.ToLower(p.EmailAddress) // as the original stores it
	set := columns{
		{"email_address", address},
		{"email_key", address},
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
	u, err = s.insertUser(ctx, s.pool, p)
	return u, s.userConflict(ctx, "", p, err)
}

func (s *Store) insertUser(ctx context.Context, db querier, p UserParams) (User, error) {
	p.AccessKey = s.ids.Key()
	if p.UserPermissions == nil {
		p.UserPermissions = map[string]string{}
	}
	now := s.timestamp()
	row := append(p.columns(now), column{"id", s.ids.Object()}, column{"created_at", now})
	sql, args := row.insert("users")
	return queryRow[User](ctx, db, sql+` RETURNING`+userColumns, args...)
}

// userConflict adds to a conflict which user has the e-mail address or the access key that a request sets of a user.
func (s *Store) userConflict(ctx context.Context, id string, p UserParams, err error) error {
	switch conflict := translate(err); {
	case errors.Is(conflict, ErrConflict):
		return withOwner(ctx, s.pool, err, ownerQuery{
			"email_address", "user", `
			SELECT id FROM users WHERE email_key = $1 AND coalesce(org_id, '') = coalesce(
				$2, (SELECT org_id FROM users WHERE id = $3), '')`,
			[]any{strings.ToLower(p.EmailAddress), p.OrgID, id},
		})
	case errors.Is(conflict, ErrAccessKeyTaken):
		return withOwner(ctx, s.pool, err, ownerQuery{
			"access_key", "user", `SELECT id FROM users WHERE access_key = $1`, []any{p.AccessKey},
		})
	}
	return err
}

// UpdateUser changes what p sets of a user. It returns ErrNotFound if there is no such user, ErrConflict if the e-mail
// address is taken in the organisation, ErrAccessKeyTaken if another user has the access key, and
// ErrUnknownOrganisation if the organisation does not exist.
func (s *Store) UpdateUser(ctx context.Context, id string, p UserParams) (u User, err error) {
	defer wrap("update user", &err)
	set := p.columns(s.timestamp())
	if p.PasswordHash != "" {
		set = append(set, column{"password_history", s.passwordHistory()})
	}
	if p.Active {
		err = repeatDeadlocks(func() (err error) {
			u, err = updateUser(ctx, s.pool, id, set)
			return err
		})
	} else {
		err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
			u, err = updateUser(ctx, tx, id, set)
			return err
		})
	}
	return u, s.userConflict(ctx, id, p, err)
}

// updateUser changes columns of a user. It ends the sessions of one who is not active afterwards; db is a transaction
// then.
func updateUser(ctx context.Context, db querier, id string, set columns) (User, error) {
	sql, args := set.update("users", id)
	u, err := queryRow[User](ctx, db, sql+` RETURNING`+userColumns, args...)
	if err == nil && !u.Active {
		err = closeSessionsOf(ctx, db, id)
	}
	return u, err
}

// closeSessionsOf deletes the sessions of a user.
func closeSessionsOf(ctx context.Context, db querier, userID string) error {
	_, err := db.Exec(ctx, `DELETE FROM sessions WHERE user_id = $1`, userID)
	return err
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

// Caller is a user with what the user's group grants.
type Caller struct {
	User
	// GroupPermissions are the permissions of the user's group, nil without a group of the user's organisation. They
	// are shared with other callers of the store: do not change them.
	GroupPermissions map[string]string
}

// callerQuery selects callers. A group counts for users of its own organisation. If it is not active, it keeps its
// users out, except administrators, who have nothing from it.
const callerQuery = `
	SELECT` + userColumns + `, group_permissions
	FROM users LEFT JOIN (
		SELECT id AS own_group, org_id AS own_org, active AS group_active, user_permissions AS group_permissions
		FROM user_groups
	) AS own ON own_group = group_id AND own_org = org_id
	WHERE active AND (group_active IS NOT FALSE OR ` + isAdmin + `) AND `

// UserByAccessKey returns the user who has the access key. It returns ErrNotFound if there is none, or the user or the
// user's group is not active.
func (s *Store) UserByAccessKey(ctx context.Context, key string) (c Caller, err error) {
	defer wrap("get user by access key", &err)
	return s.usersByKey.do(ctx, key)
}

func userByAccessKey() lookup[Caller] {
	return lookup[Caller]{
		single: func(ctx context.Context, db querier, key string) (Caller, error) {
			return queryRow[Caller](ctx, db, callerQuery+`access_key = $1`, key)
		},
		many: func(ctx context.Context, db querier, keys []string) ([]Caller, error) {
			return queryRows[Caller](ctx, db, callerQuery+`access_key = ANY ($1)`, keys)
		},
		key: func(c Caller) string { return c.AccessKey },
	}
}

// UserFilter selects users of a list.
type UserFilter struct {
	OrgID *string // nil: all; "": super users
	Email string  // "": all; case is ignored
	// EmailPart is a part of the address; "" is a part of all. Case is ignored.
	EmailPart string
	// Text is a part of the address, or of the first and the last name with a space between them; "" is a part of all.
	// Case is ignored.
	Text string
	Page Page
}

// where returns the conditions of the filter, as Filter.where does.
func (f UserFilter) where() (conditions, pgx.StrictNamedArgs) {
	where, args := ofOrganisation(f.OrgID)
	if f.OrgID != nil && *f.OrgID == "" {
		where, args = conditions{`org_id IS NULL`}, pgx.StrictNamedArgs{}
	}
	if f.Email != "" {
		where, args["email_key"] = append(where, `email_key = @email_key`), strings.ToLower(f.Email)
	}
	if f.EmailPart != "" {
		where, args["email_part"] = append(where, `strpos(email_key, @email_part) > 0`), strings.ToLower(f.EmailPart)
	}
	if f.Text != "" {
		where, args["text"] = append(where, `(strpos(email_key, lower(@text)) > 0
			OR strpos(lower(first_name || ' ' || last_name), lower(@text)) > 0)`), f.Text
	}
	return where, args
}

// Users lists users, oldest first.
func (s *Store) Users(ctx context.Context, f UserFilter) iter.Seq2[User, error] {
	where, args := f.where()
	return listQuery[User]{
		operation: "list users", columns: userColumns, table: `users`, where: where, args: args, page: f.Page,
		scan: func(row pgx.Rows, _ *chunkMemory, at *place) (User, error) {
			listed, err := pgx.RowToStructByName[struct {
				User
				place
			}](row)
			*at = listed.place
			return listed.User, err
		},
	}.rows(ctx, s.pool)
}

// CountUsers counts the users of all pages.
func (s *Store) CountUsers(ctx context.Context, f UserFilter) (n int, err error) {
	defer wrap("count users", &err)
	where, args := f.where()
	return countRows(ctx, s.pool, `users`+where.sql(), args)
}

// DeleteUser deletes a user, or returns ErrNotFound.
func (s *Store) DeleteUser(ctx context.Context, id string) (err error) {
	defer wrap("delete user", &err)
	return execRow(ctx, s.pool, `DELETE FROM users WHERE id = $1`, id)
}

// DeleteUserAs deletes a user on behalf of another one, or of themselves. It returns ErrNotFound if there is no such
// user, and ErrProtected for an administrator unless by is one, too, and for the last active administrator of an
// organisation unless by is a super user. Of two administrators who delete each other at the same time, one stays.
func (s *Store) DeleteUserAs(ctx context.Context, id string, by User) (err error) {
	defer wrap("delete user", &err)
	// The administrators are locked, in one order, so that none of those that are counted is deleted meanwhile.
	return s.changeUserAs(ctx, `
		WITH admins AS MATERIALIZED (
			SELECT id FROM users
			WHERE org_id = (SELECT org_id FROM users WHERE id = @id) AND active AND `+isAdmin+`
			ORDER BY id FOR UPDATE
		), changed AS (
			DELETE FROM users WHERE id = @id AND (@admin OR NOT `+isAdmin+`)
				AND (@super OR (SELECT count(*) FROM admins WHERE id <> @id) > 0 OR @id NOT IN (SELECT id FROM admins))
			RETURNING id
		)`, id, pgx.StrictNamedArgs{"admin": by.IsAdmin(), "super": by.IsSuperUser()})
}

// RenewAccessKey gives a user a new access key, on behalf of another one or of themselves. It returns ErrNotFound if
// there is no such user, and ErrProtected for an administrator unless by is one, too.
func (s *Store) RenewAccessKey(ctx context.Context, id string, by User) (err error) {
	defer wrap("renew access key", &err)
	return s.changeUserAs(ctx, `
		WITH changed AS (
			UPDATE users SET access_key = @key WHERE id = @id AND (@admin OR NOT `+isAdmin+`) RETURNING id
		)`, id, pgx.StrictNamedArgs{"admin": by.IsAdmin(), "key": s.ids.Key()})
}

// EditUserAs changes a user as edit says, on behalf of another user or of themselves, without a chance for others to
// change the user meanwhile. It returns ErrNotFound if there is no such user, ErrProtected for an administrator unless
// by is one, too, and for the last active administrator of an organisation, who would no longer be one, unless by is a
// super user. It returns the error of edit, and ErrConflict as UpdateUser does.
func (s *Store) EditUserAs(
	ctx context.Context, id string, by User, edit func(User) (UserParams, error),
) (u User, err error) {
	defer wrap("edit user", &err)
	var p UserParams
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		current, others, err := lockUser(ctx, tx, id)
		if err != nil {
			return err
		}
		if p, err = edit(current); err != nil {
			return err
		}
		u, err = updateUser(ctx, tx, id, p.columns(s.timestamp()))
		switch {
		case err != nil:
			return err
		case current.IsAdmin() && !by.IsAdmin():
			return ErrProtected
		case current.isActiveAdmin() && !u.isActiveAdmin() && others == 0 && !by.IsSuperUser():
			return ErrProtected
		}
		return nil
	})
	return u, s.userConflict(ctx, id, p, err)
}

// lockUser locks a user and the active administrators of the user's organisation, in one order, and returns the user
// and how many of the administrators are others.
func lockUser(ctx context.Context, tx pgx.Tx, id string) (u User, otherAdmins int, err error) {
	admins, err := tx.Query(ctx, `
		SELECT id FROM users WHERE org_id = (SELECT org_id FROM users WHERE id = $1) AND active AND `+isAdmin+`
		ORDER BY id FOR UPDATE`, id)
	if err != nil {
		return u, 0, err
	}
	ids, err := pgx.CollectRows(admins, pgx.RowTo[string])
	if err != nil {
		return u, 0, err
	}
	for _, admin := range ids {
		if admin != id {
			otherAdmins++
		}
	}
	u, err = queryRow[User](ctx, tx, `SELECT`+userColumns+` FROM users WHERE id = $1 FOR UPDATE`, id)
	return u, otherAdmins, err
}

// changeUserAs runs a statement that may change the user @id, and then has the ID in changed.
func (s *Store) changeUserAs(ctx context.Context, with, id string, args pgx.StrictNamedArgs) error {
	args["id"] = id
	found, err := queryRow[struct{ Known, Changed bool }](ctx, s.pool, with+`
		SELECT EXISTS (SELECT FROM users WHERE id = @id) AS known, EXISTS (SELECT FROM changed) AS changed`, args)
	if err == nil && found.Known && !found.Changed { // the user may have been deleted while the statement waited
		found.Known, err = queryValue[bool](ctx, s.pool, `SELECT EXISTS (SELECT FROM users WHERE id = $1)`, id)
	}
	switch {
	case err != nil:
		return err
	case !found.Known:
		return ErrNotFound
	case !found.Changed:
		return ErrProtected
	}
	return nil
}

// PasswordHash returns the hash of a user's password, "" if there is no password. It returns ErrNotFound if there is no
// such user.
func (s *Store) PasswordHash(ctx context.Context, id string) (hash string, err error) {
	defer wrap("get password hash", &err)
	return queryValue[string](ctx, s.pool, `SELECT coalesce(password_hash, '') FROM users WHERE id = $1`, id)
}

// LastPasswords returns the hashes of a user's last passwords, the current one first, as many as the store keeps. It
// returns ErrNotFound if there is no such user.
func (s *Store) LastPasswords(ctx context.Context, id string) (hashes []string, err error) {
	defer wrap("get last passwords", &err)
	return queryValue[[]string](ctx, s.pool, `
		SELECT array_remove(ARRAY[password_hash], NULL) || password_history FROM users WHERE id = $1`, id)
}

// passwordHistory returns what password_history is set to together with another password_hash.
func (s *Store) passwordHistory() expression {
	return expression(fmt.Sprintf(
		`(array_remove(ARRAY[password_hash], NULL) || password_history)[1:%d]`, max(s.lastPasswords-1, 0)))
}

// SetPassword replaces the hash of a user's password, or returns ErrNotFound.
func (s *Store) SetPassword(ctx context.Context, id, hash string) (err error) {
	defer wrap("set password", &err)
	return execRow(ctx, s.pool, `
		UPDATE users SET password_hash = $2, password_updated = $3, password_history = `+string(s.passwordHistory())+`
		WHERE id = $1`,
		id, hash, s.timestamp())
}

// ChangePassword replaces the hash of a user's password if it still is old, "" for no password. Otherwise, and if there
// is no such user, it returns ErrNotFound.
func (s *Store) ChangePassword(ctx context.Context, id, old, hash string) (err error) {
	defer wrap("change password", &err)
	return execRow(ctx, s.pool, `
		UPDATE users SET password_hash = $3, password_updated = $4, password_history = `+string(s.passwordHistory())+`
		WHERE id = $1 AND coalesce(password_hash, '') = $2`, id, old, hash, s.timestamp())
}

// timestamp returns the current time in milliseconds, which is the precision of the API.
func (s *Store) timestamp() time.Time { return s.now().UTC().Truncate(time.Millisecond) }
