package store

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
)

// OrgKey is the key of an organisation: the session whose limits count for the whole organisation.
type OrgKey struct {
	OrgID   string
	Session json.RawMessage
}

// OrgKeyChange is a change of an organisation's key: what a request wants to store.
type OrgKeyChange struct {
	OrgKey // a nil Session deletes the key

	// MustExist refuses the change of a key that the organisation does not have.
	MustExist bool
}

// WriteOrgKey changes a key in Postgres only; gateways are sent it later, if there are any. It returns ErrNotFound if
// the key must exist and does not, and ErrUnknownOrganisation if the organisation does not exist.
func (s *Store) WriteOrgKey(ctx context.Context, change OrgKeyChange) error {
	return s.inTx(ctx, func(tx pgx.Tx) error { return writeOrgKey(ctx, tx, change) })
}

func writeOrgKey(ctx context.Context, tx pgx.Tx, change OrgKeyChange) error {
	sql, args := `
		INSERT INTO org_keys (org_id, session) VALUES (@org_id, @session)
		ON CONFLICT (org_id) DO UPDATE SET session = excluded.session`,
		pgx.StrictNamedArgs{"org_id": change.OrgID, "session": change.Session}
	switch {
	case change.Session == nil:
		sql, args = `DELETE FROM org_keys WHERE org_id = @org_id`, pgx.StrictNamedArgs{"org_id": change.OrgID}
	case change.MustExist:
		sql = `UPDATE org_keys SET session = @session WHERE org_id = @org_id`
	}
	tag, err := tx.Exec(ctx, sql, args)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrNotFound
	}
	return err
}

// OrgKey returns an organisation's key, or ErrNotFound.
func (s *Store) OrgKey(ctx context.Context, orgID string) (OrgKey, error) {
	return one[OrgKey](ctx, s, `SELECT org_id, session FROM org_keys WHERE org_id = @org_id`,
		pgx.StrictNamedArgs{"org_id": orgID})
}

// OrgKeyIDs lists the organisations that have a key.
func (s *Store) OrgKeyIDs(ctx context.Context) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT org_id FROM org_keys ORDER BY org_id`)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, translate(err)
}
