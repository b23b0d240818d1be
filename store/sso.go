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
	nonce, now := s.ids.Nonce(), s.now()
	hash := sha256.Sum256([]byte(nonce))
	return nonce, s.exec(ctx, `
		WITH lapsed AS (SELECT nonce_hash FROM sso_nonces WHERE expires_at < @now FOR UPDATE SKIP LOCKED),
		swept AS (DELETE FROM sso_nonces WHERE nonce_hash IN (SELECT nonce_hash FROM lapsed))
		INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES (@hash, @org_id, @email_key, @registered_only, @document, @expires_at)`,
		pgx.StrictNamedArgs{
			"hash": hash[:], "org_id": on.OrgID, "email_key": strings.ToLower(on.Email),
			"registered_only": on.RegisteredOnly, "document": on.Document, "now": now, "expires_at": now.Add(nonceLife),
		})
}

// Redeemed is a nonce's end.
type Redeemed struct {
	Document json.RawMessage
	// Welcome: the nonce was for anyone, or its address is an active user's.
	Welcome bool
}

// RedeemNonce spends a nonce: of any number of calls with it, one gets an answer. ErrNotFound: unknown, spent or too old.
func (s *Store) RedeemNonce(ctx context.Context, nonce string) (Redeemed, error) {
	hash := sha256.Sum256([]byte(nonce))
	return one[Redeemed](ctx, s, `
		WITH spent AS (DELETE FROM sso_nonces WHERE nonce_hash = @hash RETURNING *)
		SELECT document, NOT registered_only OR EXISTS (
			SELECT FROM users WHERE users.org_id = spent.org_id AND users.email_key = spent.email_key AND active) AS welcome
		FROM spent WHERE expires_at > @now`, pgx.StrictNamedArgs{"hash": hash[:], "now": s.now()})
}
