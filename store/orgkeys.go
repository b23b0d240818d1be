package store

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
)

// OrgKey is the key of an organisation: the session that limits all of it.
type OrgKey struct {
	OrgID   string
	Session json.RawMessage
}

// Tell passes a change on to the gateways before it is committed; its error undoes the change.
type Tell func(context.Context) error

// CreateOrgKey stores an organisation's key, over the one it has. ErrUnknownOrganisation, or tell's error.
func (s *Store) CreateOrgKey(ctx context.Context, key OrgKey, tell Tell) error {
	return s.change(ctx, tell, `
		INSERT INTO org_keys (org_id, session) VALUES (@org_id, @session)
		ON CONFLICT (org_id) DO UPDATE SET session = excluded.session`,
		pgx.StrictNamedArgs{"org_id": key.OrgID, "session": key.Session})
}

// UpdateOrgKey replaces an organisation's key. ErrNotFound, or tell's error.
func (s *Store) UpdateOrgKey(ctx context.Context, key OrgKey, tell Tell) error {
	return s.change(ctx, tell, `UPDATE org_keys SET session = @session WHERE org_id = @org_id`,
		pgx.StrictNamedArgs{"org_id": key.OrgID, "session": key.Session})
}

// DeleteOrgKey deletes an organisation's key. ErrNotFound, or tell's error.
func (s *Store) DeleteOrgKey(ctx context.Context, orgID string, tell Tell) error {
	return s.change(ctx, tell, `DELETE FROM org_keys WHERE org_id = @org_id`, pgx.StrictNamedArgs{"org_id": orgID})
}

// change runs a statement that must touch a row, tells, and commits. Two changes of one key tell in the order in which
// they are committed, for the second waits for the first's row.
func (s *Store) change(ctx context.Context, tell Tell, sql string, args pgx.StrictNamedArgs) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return tell(ctx)
	})
}

// OrgKey returns an organisation's key. ErrNotFound.
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

// WithOrgKey calls do with an organisation's key as it is, nil if there is none, while nobody changes it.
func (s *Store) WithOrgKey(ctx context.Context, orgID string, do func(context.Context, *OrgKey) error) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		// The organisation's row stands for a key that is not there: creating one waits for it.
		rows, _ := tx.Query(ctx, `SELECT organisations.id AS org_id, session FROM organisations
			LEFT JOIN org_keys ON org_keys.org_id = organisations.id WHERE organisations.id = $1 FOR UPDATE OF organisations`, orgID)
		keys, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[OrgKey])
		if err != nil {
			return err
		}
		if len(keys) == 0 || keys[0].Session == nil {
			return do(ctx, nil)
		}
		return do(ctx, keys[0])
	})
}
