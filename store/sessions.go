package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// sessionLifetime is how long a session lasts.
const sessionLifetime = 12 * time.Hour

// maxSessions is the maximum number of sessions of one user, of one e-mail address of an organisation that no user has,
// and of all operators together. A new one ends the oldest.
const maxSessions = 20

// Session is a session of the console: of a user (UserID), of somebody who redeemed a nonce and is no user of its
// organisation (OrgID), or of an operator (SecretMAC).
type Session struct {
	UserID string
	OrgID  string
	// Email and DisplayName are those of the nonce, of somebody who is not registered.
	Email, DisplayName string
	// GroupIDs are the user groups that the nonce named. They replace that of a user.
	GroupIDs []string
	// Granted limits the permissions of the session; nil is no limit.
	Granted map[string]string
	// SecretMAC authenticates the admin secret that the session was opened with; the store does not interpret it.
	SecretMAC []byte
	ExpiresAt time.Time
}

// owner returns what maxSessions counts by: the same for all operators, which is "".
func (s Session) owner() string {
	if s.OrgID != "" {
		return fmt.Sprintf("%s %x", s.OrgID, sha256.Sum256([]byte(strings.ToLower(s.Email)))) // an index bounds its length
	}
	return s.UserID
}

// NewToken returns a new token of a session.
func (s *Store) NewToken() string { return s.ids.Token() }

// userCredentials is the SHA-256 of a user's access key and password hash. A session stores the value at its opening,
// and is no longer valid when the user has another one.
const userCredentials = `sha256(convert_to(access_key || ' ' || coalesce(password_hash, ''), 'UTF8'))`

func hashToken(token string) []byte {
	hash := sha256.Sum256([]byte(token))
	return hash[:]
}

// OpenSession stores a session under a token, of which only the hash is stored, and returns when it expires. It returns
// ErrNotFound if the session is a user's who is not active, or whose password no longer has passwordHash, which is ""
// for a session that was not opened with a password.
func (s *Store) OpenSession(
	ctx context.Context, token string, of Session, passwordHash string,
) (expires time.Time, err error) {
	defer wrap("open session", &err)
	now := s.timestamp()
	expires = now.Add(sessionLifetime)
	return expires, s.inTx(ctx, func(tx pgx.Tx) error {
		var credentials []byte
		if of.UserID != "" {
			// The row is locked: a change that ends the user's sessions happens before this, or ends this one, too.
			credentials, err = queryValue[[]byte](ctx, tx, `
				UPDATE users SET last_login_date = $3
				WHERE id = $1 AND active AND ($2 = '' OR password_hash = $2)
				RETURNING `+userCredentials, of.UserID, passwordHash, now)
			if err != nil {
				return err
			}
		}
		sql, args := columns{
			{"token_hash", hashToken(token)},
			{"user_id", nonEmpty(of.UserID)},
			{"credentials", credentials},
			{"org_id", nonEmpty(of.OrgID)},
			{"owner", of.owner()},
			{"email", of.Email},
			{"display_name", of.DisplayName},
			{"group_ids", append([]string{}, of.GroupIDs...)},
			{"granted", of.Granted},
			{"secret_mac", of.SecretMAC},
			{"created_at", now},
			{"expires_at", expires},
		}.insert("sessions")
		if err := execRow(ctx, tx, sql, args...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			DELETE FROM sessions WHERE token_hash = ANY (ARRAY(
				SELECT token_hash FROM sessions WHERE owner = $1
				ORDER BY created_at DESC, token_hash OFFSET $2 FOR UPDATE SKIP LOCKED))`,
			of.owner(), maxSessions)
		return err
	})
}

// SessionCaller is a session with whom it belongs to.
type SessionCaller struct {
	Session
	// Caller is the user as they are now, with the permissions of GroupIDs if the session has some. It is nil for an
	// operator.
	Caller *Caller
}

// Session returns the session with a token. It returns ErrNotFound if there is none, if it has expired, if its
// user is not active or has other credentials, and if somebody who is not registered has no active group.
func (s *Store) Session(ctx context.Context, token string) (found SessionCaller, err error) {
	defer wrap("get session", &err)
	found.Session, err = queryRow[Session](ctx, s.pool, `
		SELECT coalesce(user_id, '') AS user_id, coalesce(org_id, '') AS org_id, email, display_name, group_ids, granted,
			secret_mac, expires_at
		FROM sessions
		WHERE token_hash = $1 AND expires_at > $2 AND (user_id IS NULL OR credentials = (
			SELECT `+userCredentials+` FROM users WHERE users.id = user_id))`, hashToken(token), s.now())
	if err != nil || found.SecretMAC != nil {
		return found, err
	}
	var owner Caller
	if found.UserID != "" {
		if owner, err = queryRow[Caller](ctx, s.pool, callerQuery+`id = $1`, found.UserID); err != nil {
			return found, err
		}
	} else {
		owner.User = User{OrgID: found.OrgID, EmailAddress: found.Email, Active: true}
	}
	found.Caller = &owner
	if len(found.GroupIDs) > 0 {
		owner.GroupPermissions, err = s.groupPermissions(ctx, owner.OrgID, found.GroupIDs)
	}
	if err == nil && found.UserID == "" && owner.GroupPermissions == nil {
		err = ErrNotFound
	}
	return found, err
}

// groupPermissions returns the permissions of the active groups among those with these IDs, together; nil if there is
// no such group.
func (s *Store) groupPermissions(ctx context.Context, orgID string, ids []string) (map[string]string, error) {
	groups, err := queryColumn[map[string]string](ctx, s.pool, `
		SELECT user_permissions FROM user_groups WHERE id = ANY ($1) AND org_id = $2 AND active ORDER BY id`, ids, orgID)
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	all := map[string]string{}
	for _, permissions := range groups {
		addPermissions(all, permissions)
	}
	return all, nil
}

// addPermissions adds permissions to others, the higher level of each.
func addPermissions(all, more map[string]string) {
	rank := func(level string) int { return slices.Index([]string{"read", "write"}, level) }
	for name, level := range more {
		if current, ok := all[name]; !ok || rank(level) > rank(current) {
			all[name] = level
		}
	}
}

// HasGroup reports whether one of the IDs is that of an active user group of the organisation.
func (s *Store) HasGroup(ctx context.Context, orgID string, ids []string) (_ bool, err error) {
	defer wrap("look for user groups", &err)
	permissions, err := s.groupPermissions(ctx, orgID, ids)
	return permissions != nil, err
}

// CloseSession deletes the session with a token, if there is one.
func (s *Store) CloseSession(ctx context.Context, token string) (err error) {
	defer wrap("close session", &err)
	_, err = s.pool.Exec(ctx, `DELETE FROM sessions WHERE token_hash = $1`, hashToken(token))
	return err
}

// CloseSessionsOf deletes all sessions of a user.
func (s *Store) CloseSessionsOf(ctx context.Context, userID string) (err error) {
	defer wrap("close sessions", &err)
	return closeSessionsOf(ctx, s.pool, userID)
}

// DeleteExpiredSessions deletes the sessions that have expired. Servers that do so at once delete different ones.
func (s *Store) DeleteExpiredSessions(ctx context.Context) (err error) {
	defer wrap("delete expired sessions", &err)
	return s.deleteInPieces(ctx, `
		DELETE FROM sessions WHERE token_hash = ANY (ARRAY(
			SELECT token_hash FROM sessions WHERE expires_at < $1
			ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, s.now())
}

// Account is a user who may sign in with a password.
type Account struct {
	ID, OrgID, OrgName string
	PasswordHash       string
	PasswordMaxDays    int        // 0: the password does not expire
	PasswordUpdated    *time.Time // nil: never
}

// Expired reports whether the password is older than it may be.
func (a Account) Expired(now time.Time) bool {
	return a.PasswordMaxDays > 0 && a.PasswordUpdated != nil &&
		now.After(a.PasswordUpdated.AddDate(0, 0, a.PasswordMaxDays))
}

// maxAccounts is the number of users whose passwords are compared when one signs in with an e-mail address alone. Each
// takes as long as hashing a password.
const maxAccounts = 5

// Accounts returns the active users with an e-mail address and a password, the latest log-in first, at most
// maxAccounts: of one organisation, or of all if orgID is "".
func (s *Store) Accounts(ctx context.Context, email, orgID string) (_ []Account, err error) {
	defer wrap("list accounts", &err)
	return queryRows[Account](ctx, s.pool, `
		SELECT caller.id, caller.org_id, coalesce(organisations.document ->> 'owner_name', '') AS org_name, password_hash,
			caller.password_max_days, caller.password_updated
		FROM (`+callerQuery+` email_key = $1) AS caller JOIN users ON users.id = caller.id
			LEFT JOIN organisations ON organisations.id = users.org_id
		WHERE password_hash <> '' AND ($2 = '' OR users.org_id = $2)
		ORDER BY users.last_login_date DESC NULLS LAST, users.id LIMIT $3`, strings.ToLower(email), orgID, maxAccounts)
}

// OrganisationName returns the owner_name of an organisation, or ErrNotFound.
func (s *Store) OrganisationName(ctx context.Context, id string) (name string, err error) {
	defer wrap("get organisation name", &err)
	return queryValue[string](ctx, s.pool,
		`SELECT coalesce(document ->> 'owner_name', '') FROM organisations WHERE id = $1`, id)
}

// Permissions returns the permissions of the caller and of the caller's group, the higher level of each.
func (c Caller) Permissions() map[string]string {
	all := map[string]string{}
	addPermissions(all, c.UserPermissions)
	addPermissions(all, c.GroupPermissions)
	return all
}
