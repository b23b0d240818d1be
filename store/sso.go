package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// nonceLife is how long a nonce is good for (facts §4.15).
const nonceLife = 60 * time.Second

// SignOn is what a nonce was made for.
type SignOn struct {
	OrgID string
	Email string
	// RegisteredOnly: only an active user of the organisation with that address may redeem the nonce.
	RegisteredOnly bool
	Document       json.RawMessage
}

// CreateNonce returns a new one-time nonce and keeps its hash. ErrUnknownOrganisation.
func (s *Store) CreateNonce(ctx context.Context, on SignOn) (string, error) {
	nonce := s.ids.Nonce()
	_, err := s.nonces.do(ctx, &newNonce{SignOn: on, hash: sha256.Sum256([]byte(nonce)), expires: s.now().Add(nonceLife)})
	return nonce, err
}

// newNonce is a row to insert.
type newNonce struct {
	SignOn

	hash    [sha256.Size]byte
	expires time.Time
}

func (s *Store) nonceMaker() *coalescer[*newNonce, struct{}] {
	return &coalescer[*newNonce, struct{}]{
		alone: func(ctx context.Context, n *newNonce) (struct{}, error) {
			_, err := s.pool.Exec(ctx, InsertNonce, n.hash[:], n.OrgID, strings.ToLower(n.Email), n.RegisteredOnly, n.Document, n.expires)
			return struct{}{}, translate(err)
		},
		shared: func(ctx context.Context, nonces []*newNonce) (map[*newNonce]struct{}, error) {
			var hashes [][]byte
			var orgIDs, emails, documents []string
			var registered []bool
			var expires []time.Time
			byHash := make(map[[sha256.Size]byte]*newNonce, len(nonces))
			for _, n := range nonces {
				byHash[n.hash] = n
				hashes, orgIDs, emails = append(hashes, n.hash[:]), append(orgIDs, n.OrgID), append(emails, strings.ToLower(n.Email))
				registered, documents = append(registered, n.RegisteredOnly), append(documents, string(n.Document))
				expires = append(expires, n.expires)
			}
			rows, _ := s.pool.Query(ctx, `
				WITH new AS (
					SELECT nonce_hash, org_id, email_key, registered_only, document, expires_at
					FROM unnest($1::bytea[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::timestamptz[])
						AS sent (nonce_hash, org_id, email_key, registered_only, document, expires_at)
				), organisation AS (
					SELECT id FROM organisations WHERE id IN (SELECT org_id FROM new) ORDER BY id FOR KEY SHARE SKIP LOCKED
				)
				INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
				SELECT nonce_hash, org_id, email_key, registered_only, document::json, expires_at
				FROM new JOIN organisation ON organisation.id = new.org_id
				RETURNING nonce_hash`, hashes, orgIDs, emails, registered, documents, expires)
			made := make(map[*newNonce]struct{}, len(nonces))
			var hash []byte
			_, err := pgx.ForEachRow(rows, []any{&hash}, func() error {
				made[byHash[[sha256.Size]byte(hash)]] = struct{}{}
				return nil
			})
			return made, err
		},
	}
}

// DeleteExpiredNonces deletes the nonces that are no longer good for anything.
func (s *Store) DeleteExpiredNonces(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `
		WITH lapsed AS (SELECT nonce_hash FROM sso_nonces WHERE expires_at < $1 FOR UPDATE SKIP LOCKED)
		DELETE FROM sso_nonces USING lapsed WHERE sso_nonces.nonce_hash = lapsed.nonce_hash`, s.now())
	return translate(err)
}

// RedeemedNonce is a nonce's end.
type RedeemedNonce struct {
	Document json.RawMessage
	// Allowed: the nonce was for anyone, or its address is an active user's.
	Allowed bool
}

// RedeemNonce spends a nonce: of any number of calls with it, one gets an answer. ErrNotFound: unknown, spent or too old.
func (s *Store) RedeemNonce(ctx context.Context, nonce string) (RedeemedNonce, error) {
	return s.redeemed(ctx, nonce, `DELETE FROM sso_nonces WHERE nonce_hash = @hash RETURNING *`)
}

// PeekNonce tells what RedeemNonce would. ErrNotFound.
func (s *Store) PeekNonce(ctx context.Context, nonce string) (RedeemedNonce, error) {
	return s.redeemed(ctx, nonce, `SELECT org_id, email_key, registered_only, document, expires_at FROM sso_nonces WHERE nonce_hash = @hash`)
}

// redeemed is the end of the nonce that a statement gives.
func (s *Store) redeemed(ctx context.Context, nonce, given string) (RedeemedNonce, error) {
	hash := sha256.Sum256([]byte(nonce))
	return one[RedeemedNonce](ctx, s, `
		WITH given AS (`+given+`)
		SELECT document, NOT registered_only OR EXISTS (
			SELECT FROM users WHERE users.org_id = given.org_id AND users.email_key = given.email_key AND active) AS allowed
		FROM given WHERE expires_at > @now`, pgx.StrictNamedArgs{"hash": hash[:], "now": s.now()})
}
