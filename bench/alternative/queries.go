package alternative

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/gen/admin"
)

// The statements of the small requests. The alternatives run them through pgx, which prepares each
// once per connection as it does for gatehouse, and pgbench runs them without a server.
const (
	SelectUser = `SELECT` + userColumns + ` FROM users WHERE id = $1`

	// SetResetPassword grants or revokes the permission to reset the passwords of others.
	SetResetPassword = `
		UPDATE users SET
			user_permissions = CASE
				WHEN $2::boolean THEN user_permissions || '{"ResetPassword": "admin"}'
				ELSE user_permissions - 'ResetPassword' END
		WHERE id = $1 RETURNING` + userColumns

	InsertUser = `
		INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, created_at)
		VALUES ($1, nullif($2::text, ''), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		RETURNING` + userColumns

	SelectOrganisation = `SELECT id, document FROM organisations WHERE id = $1`

	InsertNonce = `
		INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at, granted)
		VALUES ($1, $2, $3, $4, $5, $6, NULL)`

	userColumns = `
		id, coalesce(org_id, '') AS org_id, email_address, first_name, last_name, active, access_key, user_permissions,
		group_id, password_max_days, password_updated, last_login_date, created_at`
)

// nonceLifetime is how long a sign-on nonce is valid.
const nonceLifetime = 60 * time.Second

// User is a user as the statements return it.
type User struct {
	ID              string
	OrgID           string
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

// Response returns u as the contract's type.
func (u User) Response() admin.User {
	return admin.User{
		FirstName: u.FirstName, LastName: u.LastName, EmailAddress: u.EmailAddress, OrgId: u.OrgID, Active: u.Active,
		Id: u.ID, AccessKey: u.AccessKey, UserPermissions: u.UserPermissions, GroupId: u.GroupID,
		PasswordMaxDays: u.PasswordMaxDays, PasswordUpdated: TimeOrZero(u.PasswordUpdated), PWHistory: []string{},
		LastLoginDate: TimeOrZero(u.LastLoginDate), CreatedAt: u.CreatedAt.UTC(),
	}
}

// TimeOrZero returns the time that t points to, or the zero time, which stands for "never" on the
// wire.
func TimeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// Envelope is the contract's envelope of a successful response.
type Envelope struct {
	Status  admin.ApiOkStatus
	Message string
	Meta    any
}

// OK returns the envelope around meta.
func OK(message string, meta any) Envelope { return Envelope{admin.ApiOkStatusOK, message, meta} }

// GetUser returns the user with an ID.
func GetUser(ctx context.Context, pool *pgxpool.Pool, id string) (User, error) {
	return queryUser(ctx, pool, SelectUser, id)
}

// AllowResetPassword lets a user reset the passwords of others, and returns the user.
func AllowResetPassword(ctx context.Context, pool *pgxpool.Pool, id string) (User, error) {
	return queryUser(ctx, pool, SetResetPassword, id, true)
}

// CreateUser stores a new user with a new ID and access key, and returns it. It uses the other
// fields of u that a client sends.
func CreateUser(ctx context.Context, pool *pgxpool.Pool, u User) (User, error) {
	return queryUser(ctx, pool, InsertUser, newID(), u.OrgID, u.EmailAddress, strings.ToLower(u.EmailAddress),
		u.FirstName, u.LastName, u.Active, newKey(), u.UserPermissions, "", 0, time.Now())
}

func queryUser(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) (User, error) {
	rows, _ := pool.Query(ctx, sql, args...) // CollectExactlyOneRow returns the error of Query
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[User])
}

// GetOrganisation returns the document of an organisation.
func GetOrganisation(ctx context.Context, pool *pgxpool.Pool, id string) (json.RawMessage, error) {
	return QueryDocument(ctx, pool, SelectOrganisation, id)
}

// QueryDocument runs a statement that selects an ID and its document, and returns the document.
func QueryDocument(ctx context.Context, pool *pgxpool.Pool, sql, id string) (json.RawMessage, error) {
	type row struct {
		ID       string
		Document json.RawMessage
	}
	rows, _ := pool.Query(ctx, sql, id) // CollectExactlyOneRow returns the error of Query
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[row])
	return found.Document, err
}

// Nonce is a request for a sign-on nonce.
type Nonce struct {
	OrgID        string
	EmailAddress string
	Document     json.RawMessage // the whole request
}

// CreateNonce stores the hash of a new nonce, and returns the nonce.
func CreateNonce(ctx context.Context, pool *pgxpool.Pool, n Nonce) (string, error) {
	nonce := newNonce()
	hash := sha256.Sum256([]byte(nonce))
	_, err := pool.Exec(ctx, InsertNonce, hash[:], n.OrgID, strings.ToLower(n.EmailAddress), false, n.Document,
		time.Now().Add(nonceLifetime))
	return nonce, err
}
