package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// nonceLifetime is how long a nonce can be redeemed (docs/behaviour.md#sso).
const nonceLifetime = 60 * time.Second

// SignOn is the sign-on that a nonce is created for.
type SignOn struct {
	// Section is what the nonce signs on to. Nothing else can redeem it.
	Section string
	OrgID   string
	Email   string
	// RegisteredOnly: only the address of an active user of the organisation may sign on.
	RegisteredOnly bool
	// Granted are the permissions of the user who creates the nonce: its session has no others. nil is no limit.
	Granted  map[string]string
	Document json.RawMessage
}

// CreateNonce returns a new one-time nonce, of which only the hash is stored. It returns ErrUnknownOrganisation if the
// organisation does not exist.
func (s *Store) CreateNonce(ctx context.Context, on SignOn) (nonce string, err error) {
	defer wrap("create nonce", &err)
	nonce = s.ids.Nonce()
	sql, args := columns{
		{"nonce_hash", hashNonce(on.Section, nonce)},
		{"org_id", on.OrgID},
		{"email_key", strings.ToLower(on.Email)},
		{"registered_only", on.RegisteredOnly},
		{"granted", on.Granted},
		{"document", on.Document},
		{"expires_at", s.now().Add(nonceLifetime)},
	}.insert("sso_nonces")
	return nonce, execRow(ctx, s.pool, sql, args...)
}

// hashNonce returns the hash of a nonce and its section: no other section has a nonce with this hash.
func hashNonce(section, nonce string) []byte {
	hash := sha256.Sum256([]byte(section + ":" + nonce))
	return hash[:]
}

// deletedAtOnce is how many nonces a statement deletes, so that it locks no more for no longer.
const deletedAtOnce = 1000

// DeleteExpiredNonces deletes the nonces that can no longer be redeemed. Servers that do so at once delete different
// ones.
func (s *Store) DeleteExpiredNonces(ctx context.Context) (err error) {
	defer wrap("delete expired nonces", &err)
	return s.deleteInPieces(ctx, `
		DELETE FROM sso_nonces WHERE nonce_hash = ANY (ARRAY(
			SELECT nonce_hash FROM sso_nonces WHERE expires_at < $1
			ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, s.now())
}

// deleteInPieces repeats a statement that deletes rows from before a time ($1), at most $2 of them, until it deletes
// fewer.
func (s *Store) deleteInPieces(ctx context.Context, sql string, before time.Time) error {
	for {
		tag, err := s.pool.Exec(ctx, sql, before, deletedAtOnce)
		if err != nil || tag.RowsAffected() < deletedAtOnce {
			return err
		}
	}
}

// RedeemedNonce is the sign-on of a redeemed nonce.
type RedeemedNonce struct {
	Document json.RawMessage
	OrgID    string
	// UserID is the active user of the organisation who has the address, "" if there is none.
	UserID string
	// Granted is that of the SignOn.
	Granted map[string]string
	// Registered reports whether the address may sign on: the nonce is not RegisteredOnly, or the address is an active
	// user's.
	Registered bool
}

// RedeemNonce returns the sign-on of a nonce for a section and deletes the nonce: of concurrent calls, one succeeds. It
// returns ErrNotFound if the nonce does not exist, has expired, or is for another section.
func (s *Store) RedeemNonce(ctx context.Context, section, nonce string) (redeemed RedeemedNonce, err error) {
	defer wrap("redeem nonce", &err)
	return s.redeem(ctx, hashNonce(section, nonce),
		`DELETE FROM sso_nonces WHERE nonce_hash = @hash RETURNING `+redeemedColumns)
}

// PeekNonce returns what RedeemNonce would, and keeps the nonce.
func (s *Store) PeekNonce(ctx context.Context, section, nonce string) (redeemed RedeemedNonce, err error) {
	defer wrap("peek nonce", &err)
	return s.redeem(ctx, hashNonce(section, nonce),
		`SELECT `+redeemedColumns+` FROM sso_nonces WHERE nonce_hash = @hash`)
}

const redeemedColumns = `org_id, email_key, registered_only, granted, document, expires_at`

// redeem returns the sign-on of the nonce whose redeemedColumns a statement returns.
func (s *Store) redeem(ctx context.Context, hash []byte, sql string) (RedeemedNonce, error) {
	return queryRow[RedeemedNonce](ctx, s.pool, `
		WITH redeemed AS (`+sql+`)
		SELECT document, redeemed.org_id, coalesce(users.id, '') AS user_id, granted,
			NOT registered_only OR users.id IS NOT NULL AS registered
		FROM redeemed LEFT JOIN users
			ON users.org_id = redeemed.org_id AND users.email_key = redeemed.email_key AND active
		WHERE expires_at > @now`, pgx.StrictNamedArgs{"hash": hash, "now": s.now()})
}
