package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// WriteOrgKey changes a key in Postgres only; gateways are sent it later, if there are any. It returns ErrNotFound if
// the key must exist and does not, and ErrUnknownOrganisation if the organisation does not exist.
func (s *Store) WriteOrgKey(ctx context.Context, change OrgKeyChange) (err error) {
	defer wrap("write organisation key", &err)
	return s.inTx(ctx, func(tx pgx.Tx) error { return writeOrgKey(ctx, tx, change) })
}

// OrgKey returns an organisation's key, or ErrNotFound.
func (s *Store) OrgKey(ctx context.Context, orgID string) (key OrgKey, err error) {
	defer wrap("get organisation key", &err)
	return queryRow[OrgKey](ctx, s.pool, `SELECT org_id, session FROM org_keys WHERE org_id = $1`, orgID)
}

// OrgKeyIDs lists the organisations that have a key.
func (s *Store) OrgKeyIDs(ctx context.Context) (ids []string, err error) {
	defer wrap("list organisation keys", &err)
	return queryColumn[string](ctx, s.pool, `SELECT org_id FROM org_keys ORDER BY org_id`)
}

// SyncedOrgKeys looks at a number of keys, by the IDs of their organisations, from the one after a given ID on. It
// returns those that a gateway was seen to keep, and the ID of the last one that it has looked at; "" if there is none.
func (s *Store) SyncedOrgKeys(ctx context.Context, after string, limit int) (keys []OrgKey, last string, err error) {
	defer wrap("list synced organisation keys", &err)
	// count(*) and not EXISTS, for which Postgres may read the whole table.
	rows, _ := s.pool.Query(ctx, `
		SELECT org_id, session, (SELECT count(*) FROM org_key_sync WHERE org_key_sync.org_id = org_keys.org_id) = 0
		FROM org_keys WHERE org_id > $1 ORDER BY org_id LIMIT $2`, after, limit)
	var key OrgKey
	var synced bool
	_, err = pgx.ForEachRow(rows, []any{&key.OrgID, &key.Session, &synced}, func() error {
		if last = key.OrgID; synced {
			keys = append(keys, key)
		}
		return nil
	})
	return keys, last, err
}
