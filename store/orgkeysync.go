package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A change of an organisation's key takes three steps, of which none holds a connection while the gateway answers:
// BeginOrgKeyChange leases the key, the caller calls the gateway, and CommitOrgKeyChange or AbandonOrgKeyChange ends
// the lease. Only the holder of the lease may send the key to a gateway, so that a key's changes reach it in the
// order in which they are stored. A lease that expires was held by a server that crashed: nobody knows what it sent,
// and the stored key is sent again.

var (
	// ErrOrgKeyLeased is returned when another request or server is changing the key.
	ErrOrgKeyLeased = errors.New("the organisation key is being changed")
	// ErrLeaseLost is returned when the lease has expired and the key was leased to another.
	ErrLeaseLost = errors.New("the lease of the organisation key was lost")
)

// OrgKeyLease is the exclusive right to send an organisation's key to gateways.
type OrgKeyLease struct {
	orgID string
	lease int64
}

// BeginOrgKeyChange checks that a change can be stored, and leases the key for a duration. It returns ErrOrgKeyLeased
// if the key is leased already, and the errors of WriteOrgKey.
func (s *Store) BeginOrgKeyChange(ctx context.Context, change OrgKeyChange, duration time.Duration,
) (lease OrgKeyLease, err error) {
	defer wrap("begin change of organisation key", &err)
	lease.orgID = change.OrgID
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if err := checkOrgKeyChange(ctx, tx, change); err != nil {
			return err
		}
		now := s.now()
		rows, _ := tx.Query(ctx, `
			WITH next AS (SELECT nextval('org_key_versions') AS version)
			INSERT INTO org_key_sync AS sync (org_id, version, sent, lease, lease_until)
			SELECT @org_id, version, true, version, @until FROM next
			ON CONFLICT (org_id) DO UPDATE SET
				version = excluded.version, sent = sync.sent AND sync.lease IS NULL,
				lease = excluded.lease, lease_until = excluded.lease_until
			WHERE sync.lease IS NULL OR sync.lease_until <= @now
			RETURNING lease`,
			pgx.StrictNamedArgs{"org_id": change.OrgID, "now": now, "until": now.Add(duration)})
		lease.lease, err = leased(rows)
		return err
	})
	return lease, err
}

// checkOrgKeyChange returns the error that writeOrgKey would return.
func checkOrgKeyChange(ctx context.Context, tx pgx.Tx, change OrgKeyChange) error {
	var organisation, key, storable bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM organisations WHERE id = @org_id),
			EXISTS (SELECT FROM org_keys WHERE org_id = @org_id),
			coalesce(@session::json IS NOT NULL, true)`,
		pgx.StrictNamedArgs{"org_id": change.OrgID, "session": change.Session}).Scan(&organisation, &key, &storable)
	switch {
	case err != nil:
		return err
	case change.MustExist && !key:
		return ErrNotFound
	case !organisation:
		return ErrUnknownOrganisation
	}
	return nil
}

func leased(rows pgx.Rows) (int64, error) {
	lease, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrOrgKeyLeased
	}
	return lease, err
}

// CommitOrgKeyChange stores a change that the gateway has accepted, and ends the lease. It returns ErrLeaseLost if
// the key was leased to another meanwhile, and the errors of WriteOrgKey; then nothing is stored.
func (s *Store) CommitOrgKeyChange(ctx context.Context, lease OrgKeyLease, change OrgKeyChange) (err error) {
	defer wrap("commit change of organisation key", &err)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		// First the record, then org_key_sync: the order in which the deletion of an organisation locks them.
		if err := writeOrgKey(ctx, tx, change); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE org_key_sync SET sent = true, lease = NULL, lease_until = NULL
			WHERE org_id = @org_id AND lease = @lease`,
			pgx.StrictNamedArgs{"org_id": lease.orgID, "lease": lease.lease})
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrLeaseLost
		}
		return err
	})
}

// AbandonOrgKeyChange ends the lease of a change that is not stored. unchanged: the gateway has said that it did not
// accept the change, so that it still has what it had; otherwise the stored key is sent again. A lost lease is no
// error.
func (s *Store) AbandonOrgKeyChange(ctx context.Context, lease OrgKeyLease, unchanged bool) (err error) {
	defer wrap("abandon change of organisation key", &err)
	return s.announcingRows(ctx, EventOrgKey, `
		UPDATE org_key_sync SET sent = sent AND @unchanged, lease = NULL, lease_until = NULL, due_at = @now
		WHERE org_id = @org_id AND lease = @lease`,
		pgx.StrictNamedArgs{"org_id": lease.orgID, "lease": lease.lease, "unchanged": unchanged, "now": s.now()})
}

// UnsyncedOrgKey is a key that a gateway may not have as it is stored.
type UnsyncedOrgKey struct {
	OrgID string
	// Session is the stored key; nil if there is none, so that the gateway must not have one either.
	Session json.RawMessage
	// Version changes with every change of the stored key.
	Version int64
	// Sent reports whether the gateway has accepted the stored key.
	Sent bool
	// Attempts is the number of attempts that failed since the last change.
	Attempts int
}

// UnsyncedOrgKeys lists the keys that became due before a time and that nobody has leased. Keys that the gateway may
// not have come first, then those that are due longest.
func (s *Store) UnsyncedOrgKeys(ctx context.Context, due time.Time, limit int) (keys []UnsyncedOrgKey, err error) {
	defer wrap("list unsynced organisation keys", &err)
	return queryRows[UnsyncedOrgKey](ctx, s.pool, `
		SELECT org_id, (SELECT session FROM org_keys WHERE org_keys.org_id = sync.org_id) AS session, version,
			sent AND lease IS NULL AS sent, attempts
		FROM org_key_sync AS sync
		WHERE due_at <= @due AND (lease IS NULL OR lease_until <= @now)
		ORDER BY sent AND lease IS NULL, due_at, version LIMIT @limit`,
		pgx.StrictNamedArgs{"due": due, "now": s.now(), "limit": limit})
}

// UnsyncedOrgKey returns the state of one key, or ErrNotFound if a gateway was seen to keep it as it is stored.
func (s *Store) UnsyncedOrgKey(ctx context.Context, orgID string) (key UnsyncedOrgKey, err error) {
	defer wrap("get unsynced organisation key", &err)
	return queryRow[UnsyncedOrgKey](ctx, s.pool, `
		SELECT sync.org_id, session, version, sent AND lease IS NULL AS sent, attempts
		FROM org_key_sync AS sync LEFT JOIN org_keys ON org_keys.org_id = sync.org_id WHERE sync.org_id = @org_id`,
		pgx.StrictNamedArgs{"org_id": orgID})
}

// UnsyncedOrgKeyErrors returns, for the organisations of all keys that a gateway may not have as they are stored, the
// cause of the last failed attempt; it is empty if no attempt has failed since the last change.
func (s *Store) UnsyncedOrgKeyErrors(ctx context.Context) (causes map[string]string, err error) {
	defer wrap("list errors of unsynced organisation keys", &err)
	rows, _ := s.pool.Query(ctx, `SELECT org_id, coalesce(last_error, '') FROM org_key_sync`)
	causes = map[string]string{}
	var orgID, cause string
	_, err = pgx.ForEachRow(rows, []any{&orgID, &cause}, func() error { causes[orgID] = cause; return nil })
	return causes, err
}

// LeaseOrgKey leases a key, to send it again as it is stored. It returns ErrOrgKeyLeased if the key was changed or
// leased since it was listed.
func (s *Store) LeaseOrgKey(
	ctx context.Context, key UnsyncedOrgKey, duration time.Duration,
) (lease OrgKeyLease, err error) {
	defer wrap("lease organisation key", &err)
	now := s.now()
	rows, _ := s.pool.Query(ctx, `
		UPDATE org_key_sync SET lease = nextval('org_key_versions'), lease_until = @until, sent = false
		WHERE org_id = @org_id AND version = @version AND (lease IS NULL OR lease_until <= @now) RETURNING lease`,
		pgx.StrictNamedArgs{"org_id": key.OrgID, "version": key.Version, "now": now, "until": now.Add(duration)})
	version, err := leased(rows)
	return OrgKeyLease{key.OrgID, version}, err
}

// ReleaseOrgKey ends the lease of a key that was sent again, and reports whether it is now sent as it is stored: the
// stored key may have changed meanwhile. A lost lease is no error.
func (s *Store) ReleaseOrgKey(ctx context.Context, lease OrgKeyLease, key UnsyncedOrgKey) (sent bool, err error) {
	defer wrap("release organisation key", &err)
	rows, _ := s.pool.Query(ctx, `
		UPDATE org_key_sync SET sent = version = @version, lease = NULL, lease_until = NULL
		WHERE org_id = @org_id AND lease = @lease RETURNING sent`,
		pgx.StrictNamedArgs{"org_id": lease.orgID, "lease": lease.lease, "version": key.Version})
	sent, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return sent, err
}

// DeferOrgKey records a failed attempt, after which the key is due again at a time. A key that was changed since it
// was listed stays as it is.
func (s *Store) DeferOrgKey(ctx context.Context, key UnsyncedOrgKey, due time.Time, cause error) (err error) {
	defer wrap("defer organisation key", &err)
	// The cause quotes the gateway, which may send what Postgres cannot store.
	text := strings.ToValidUTF8(strings.ReplaceAll(cause.Error(), "\x00", "?"), "?")
	_, err = s.pool.Exec(ctx, `
		UPDATE org_key_sync SET attempts = @attempts, due_at = @due, last_error = @cause
		WHERE org_id = @org_id AND version = @version`,
		pgx.StrictNamedArgs{
			"org_id": key.OrgID, "version": key.Version, "attempts": key.Attempts + 1, "due": due, "cause": text,
		})
	return err
}

// ConfirmOrgKey records that the gateway has kept a key as it is stored. A key that was changed since it was listed
// stays unsynced.
func (s *Store) ConfirmOrgKey(ctx context.Context, key UnsyncedOrgKey) (err error) {
	defer wrap("confirm organisation key", &err)
	_, err = s.pool.Exec(ctx, `
		DELETE FROM org_key_sync WHERE org_id = @org_id AND version = @version AND sent AND lease IS NULL`,
		pgx.StrictNamedArgs{"org_id": key.OrgID, "version": key.Version})
	return err
}

// ResendOrgKeys has the stored keys of organisations sent again, whatever the gateway has. Organisations without a
// key are ignored.
func (s *Store) ResendOrgKeys(ctx context.Context, orgIDs []string) (err error) {
	defer wrap("resend organisation keys", &err)
	return s.announcingRows(ctx, EventOrgKey, `
		INSERT INTO org_key_sync (org_id, sent, due_at)
		SELECT org_id, false, @now FROM org_keys WHERE org_id = ANY (@org_ids) ORDER BY org_id`+againUnsynced,
		pgx.StrictNamedArgs{"org_ids": orgIDs, "now": s.now()})
}

// RetryOrgKeys makes all keys due that wait for another attempt.
func (s *Store) RetryOrgKeys(ctx context.Context) (err error) {
	defer wrap("retry organisation keys", &err)
	return s.announcingRows(ctx, EventOrgKey,
		`UPDATE org_key_sync SET due_at = @now WHERE due_at > @now`, pgx.StrictNamedArgs{"now": s.now()})
}
