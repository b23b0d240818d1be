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
func (s *Store) WriteOrgKey(ctx context.Context, change OrgKeyChange) (err error) {
	defer wrap("write organisation key", &err)
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
	return execRow(ctx, tx, sql, args)
}

// OrgKey returns an organisation's key, or ErrNotFound.
func (s *Store) OrgKey(ctx context.Context, orgID string) (key OrgKey, err error) {
	defer wrap("get organisation key", &err)
	return queryRow[OrgKey](ctx, s.pool, `SELECT org_id, session FROM org_keys WHERE org_id = $1`, orgID)
}

// OrgKeyIDs lists the organisations that have a key.
func (s *Store) OrgKeyIDs(ctx context.Context) (ids []string, err error) {
	defer wrap("list organisation keys", &err)
	rows, _ := s.pool.Query(ctx, `SELECT org_id FROM org_keys ORDER BY org_id`) // CollectRows returns the error
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
