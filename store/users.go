package store

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// User is a user as it is stored, without the hash of the password.
type User struct {
	ID              string
	OrgID           string // empty for a super user
	EmailAddress    string
	FirstName       string
	LastName        string
	Active          bool
	AccessKey       string
	UserPermissions map[string]string
	GroupID         string
	PasswordMaxDays int
	PasswordUpdated *time.Time // nil: never
	LastLoginDate   *time.Time // nil: never
	CreatedAt       time.Time
}

// scanUser reads a row of userColumns.
func scanUser(row pgx.CollectableRow) (u User, err error) {
	err = row.Scan(&u.ID, &u.OrgID, &u.EmailAddress, &u.FirstName, &u.LastName, &u.Active, &u.AccessKey, &u.UserPermissions,
		&u.GroupID, &u.PasswordMaxDays, &u.PasswordUpdated, &u.LastLoginDate, &u.CreatedAt)
	return u, err
}

// oneUser runs a statement that gives one user.
func (s *Store) oneUser(ctx context.Context, sql string, args ...any) (User, error) {
	rows, _ := s.pool.Query(ctx, sql, args...) // an error of Query comes back from the collection
	user, err := pgx.CollectExactlyOneRow(rows, scanUser)
	return user, translate(err)
}

// someUsers runs a statement that gives any number of users, each under what key says.
func (s *Store) someUsers(ctx context.Context, key func(User) string, sql string, args ...any) (map[string]User, error) {
	rows, _ := s.pool.Query(ctx, sql, args...)
	users, err := pgx.CollectRows(rows, scanUser)
	byKey := make(map[string]User, len(users))
	for _, u := range users {
		byKey[key(u)] = u
	}
	return byKey, err
}

func userID(u User) string { return u.ID }

func (s *Store) userByID() *coalescer[string, User] {
	return &coalescer[string, User]{
		alone: func(ctx context.Context, id string) (User, error) { return s.oneUser(ctx, SelectUser, id) },
		shared: func(ctx context.Context, ids []string) (map[string]User, error) {
			return s.someUsers(ctx, userID, `SELECT`+userColumns+` FROM users WHERE id = ANY ($1)`, ids)
		},
	}
}

func (s *Store) userByAccessKey() *coalescer[string, User] {
	return &coalescer[string, User]{
		alone: func(ctx context.Context, key string) (User, error) {
			return s.oneUser(ctx, `SELECT`+userColumns+` FROM users WHERE access_key = $1 AND active`, key)
		},
		shared: func(ctx context.Context, keys []string) (map[string]User, error) {
			return s.someUsers(ctx, func(u User) string { return u.AccessKey },
				`SELECT`+userColumns+` FROM users WHERE access_key = ANY ($1) AND active`, keys)
		},
	}
}

// resetPasswordSetter sets or removes the permission.
func (s *Store) resetPasswordSetter(allow bool) *coalescer[string, User] {
	return &coalescer[string, User]{
		alone: func(ctx context.Context, id string) (User, error) { return s.oneUser(ctx, SetResetPassword, id, allow) },
		shared: func(ctx context.Context, ids []string) (map[string]User, error) {
			return s.someUsers(ctx, userID, `
				WITH locked (locked_id) AS (SELECT id FROM users WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
				UPDATE users SET`+resetPassword+` FROM locked WHERE id = locked_id RETURNING`+userColumns, ids, allow)
		},
	}
}

// IsSuperUser reports whether the user belongs to no organisation and so has access to all of them. The zero User, which
// has no ID, is nobody and has access to nothing.
func (u User) IsSuperUser() bool { return u.ID != "" && u.OrgID == "" }

// IsAdmin tells whether the user may do everything in their organisation. Docs also show "true" (facts §3).
func (u User) IsAdmin() bool {
	value := u.UserPermissions["IsAdmin"]
	return value == "admin" || value == "true"
}

// CanAccess reports whether the user has access to what belongs to the organisation.
func (u User) CanAccess(orgID string) bool { return u.IsSuperUser() || u.ID != "" && u.OrgID == orgID }

// UserParams is what can be said of a user.
type UserParams struct {
	// OrgID: nil leaves it, "" is a super user.
	OrgID           *string
	EmailAddress    string
	FirstName       string
	LastName        string
	Active          bool
	UserPermissions map[string]string // nil leaves them
	GroupID         string
	PasswordMaxDays int
	AccessKey       string // "" leaves it
	PasswordHash    string // "" leaves it
}

func (p UserParams) args(id string, now time.Time) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{
		"id": id, "org_id": p.OrgID, "email_address": p.EmailAddress, "email_key": strings.ToLower(p.EmailAddress),
		"first_name": p.FirstName, "last_name": p.LastName, "active": p.Active, "group_id": p.GroupID,
		"password_max_days": p.PasswordMaxDays, "access_key": p.AccessKey, "password_hash": nonEmpty(p.PasswordHash),
		"user_permissions": nil, "now": now,
	}
	if p.UserPermissions != nil {
		args["user_permissions"] = p.UserPermissions
	}
	return args
}

// CreateUser stores a new user with an id and an access key that it makes. ErrConflict: the address is taken in
// the organisation; ErrUnknownOrganisation.
func (s *Store) CreateUser(ctx context.Context, p UserParams) (User, error) {
	return s.oneUser(ctx, InsertUser, s.ids.Object(), p.OrgID, p.EmailAddress, strings.ToLower(p.EmailAddress), p.FirstName,
		p.LastName, p.Active, s.ids.Key(), p.UserPermissions, p.GroupID, p.PasswordMaxDays, s.timestamp())
}

// UpdateUser replaces what p says of a user. ErrNotFound; ErrConflict: the address is taken in the organisation;
// ErrAccessKeyTaken; ErrUnknownOrganisation.
func (s *Store) UpdateUser(ctx context.Context, id string, p UserParams) (User, error) {
	return one[User](ctx, s, `
		UPDATE users SET
			org_id = CASE WHEN @org_id::text IS NULL THEN org_id ELSE nullif(@org_id::text, '') END,
			email_address = @email_address, email_key = @email_key, first_name = @first_name, last_name = @last_name,
			active = @active, group_id = @group_id, password_max_days = @password_max_days,
			access_key = coalesce(nullif(@access_key, ''), access_key),
			user_permissions = coalesce(@user_permissions::jsonb, user_permissions),
			password_hash = coalesce(@password_hash, password_hash),
			password_updated = CASE WHEN @password_hash::text IS NULL THEN password_updated ELSE @now END
		WHERE id = @id
		RETURNING`+userColumns, p.args(id, s.timestamp()))
}

// SetResetPassword grants a user the permission to reset the passwords of others, or takes it back. ErrNotFound.
func (s *Store) SetResetPassword(ctx context.Context, id string, allow bool) (User, error) {
	if allow {
		return s.allowReset.do(ctx, id)
	}
	return s.disallowReset.do(ctx, id)
}

// User returns one user. ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	return s.users.do(ctx, id)
}

// UserByAccessKey returns the active user whose key it is. ErrNotFound, also for a user who is not active.
func (s *Store) UserByAccessKey(ctx context.Context, key string) (User, error) {
	return s.usersByKey.do(ctx, key)
}

// UserFilter narrows a list of users.
type UserFilter struct {
	OrgID *string // nil: all; "": super users
	Email string  // "": all; compared without regard to case
	Page  Page
}

const whereUser = `
	WHERE (@org_id::text IS NULL OR coalesce(org_id, '') = @org_id) AND (@email_key = '' OR email_key = @email_key)`

func (f UserFilter) args() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{"org_id": f.OrgID, "email_key": strings.ToLower(f.Email)}
}

// Users lists users, oldest first.
func (s *Store) Users(ctx context.Context, f UserFilter) iter.Seq2[User, error] {
	args := f.args()
	args["limit"], args["offset"] = f.Page.limit()
	return stream(ctx, s, `SELECT`+userColumns+` FROM users`+whereUser+` ORDER BY position LIMIT @limit OFFSET @offset`, args,
		func(rows pgx.Rows, u *User) (err error) {
			*u, err = scanUser(rows)
			return err
		})
}

// CountUsers counts the users that the filter lets through on all pages.
func (s *Store) CountUsers(ctx context.Context, f UserFilter) (int, error) {
	return s.count(ctx, `SELECT count(*) FROM users`+whereUser, f.args())
}

// DeleteUser deletes a user; their access key is gone with them. ErrNotFound.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	return s.exec(ctx, `DELETE FROM users WHERE id = @id`, pgx.StrictNamedArgs{"id": id})
}

// RenewAccessKey gives a user a new access key. ErrNotFound.
func (s *Store) RenewAccessKey(ctx context.Context, id string) error {
	return s.exec(ctx, `UPDATE users SET access_key = @key WHERE id = @id`,
		pgx.StrictNamedArgs{"id": id, "key": s.ids.Key()})
}

// PasswordHash returns the hash of a user's password, "" if there is none yet. ErrNotFound.
func (s *Store) PasswordHash(ctx context.Context, id string) (string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT coalesce(password_hash, '') FROM users WHERE id = $1`, id)
	hash, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	return hash, translate(err)
}

// SetPassword replaces the hash of a user's password. ErrNotFound.
func (s *Store) SetPassword(ctx context.Context, id, hash string) error {
	return s.exec(ctx, `UPDATE users SET password_hash = @hash, password_updated = @now WHERE id = @id`,
		pgx.StrictNamedArgs{"id": id, "hash": hash, "now": s.timestamp()})
}

// ChangePassword replaces the hash of a user's password, provided it still is old ("" for none). ErrNotFound, also if it is not.
func (s *Store) ChangePassword(ctx context.Context, id, old, hash string) error {
	return s.exec(ctx, `
		UPDATE users SET password_hash = @hash, password_updated = @now
		WHERE id = @id AND coalesce(password_hash, '') = @old`,
		pgx.StrictNamedArgs{"id": id, "old": old, "hash": hash, "now": s.timestamp()})
}

// timestamp is now, as exactly as the API shows it.
func (s *Store) timestamp() time.Time { return s.now().UTC().Truncate(time.Millisecond) }
