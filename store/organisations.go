package store

import (
	"context"
	"encoding/json"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Organisation is an organisation as it is stored.
type Organisation struct {
	ID string
	// CName is the portal's domain. One that is not empty belongs to one organisation, whatever its case.
	CName      string
	SSOEnabled bool
	Document   json.RawMessage
}

func (o Organisation) args() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"id": o.ID, "cname_key": nonEmpty(strings.ToLower(o.CName)), "sso_enabled": o.SSOEnabled, "document": o.Document,
	}
}

// nonEmpty is s, or NULL for "".
func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// CreateOrganisation stores a new organisation under an id that it makes and returns. ErrConflict: the cname is taken.
func (s *Store) CreateOrganisation(ctx context.Context, org Organisation) (string, error) {
	org.ID = s.ids.Object()
	return org.ID, s.exec(ctx, `
		INSERT INTO organisations (id, cname_key, sso_enabled, document)
		VALUES (@id, @cname_key, @sso_enabled, @document)`, org.args())
}

// ImportOrganisation makes the organisation be as it says, under its own id or, without one, under one that it makes;
// it returns the id. ErrConflict: the cname is another's.
func (s *Store) ImportOrganisation(ctx context.Context, org Organisation) (string, error) {
	if org.ID == "" {
		return s.CreateOrganisation(ctx, org)
	}
	return org.ID, s.exec(ctx, `
		INSERT INTO organisations (id, cname_key, sso_enabled, document)
		VALUES (@id, @cname_key, @sso_enabled, @document)
		ON CONFLICT (id) DO UPDATE SET
			cname_key = excluded.cname_key, sso_enabled = excluded.sso_enabled, document = excluded.document`, org.args())
}

// ReplaceOrganisation replaces an organisation. ErrNotFound; ErrConflict: the cname is another's.
func (s *Store) ReplaceOrganisation(ctx context.Context, org Organisation) error {
	return s.exec(ctx, replaceOrganisation, org.args())
}

const replaceOrganisation = `
	UPDATE organisations SET cname_key = @cname_key, sso_enabled = @sso_enabled, document = @document
	WHERE id = @id`

// EditOrganisation replaces an organisation's row by what edit makes of it, while nobody else changes it.
// ErrNotFound; ErrConflict: the cname is another's; or edit's own error.
func (s *Store) EditOrganisation(ctx context.Context, id string, edit func(Row) Organisation) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `SELECT id, document FROM organisations WHERE id = $1 FOR UPDATE`, id)
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Row])
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, replaceOrganisation, edit(row).args())
		return err
	})
}

// DeleteOrganisation deletes an organisation with all that belongs to it, by the schema's cascades. ErrNotFound.
func (s *Store) DeleteOrganisation(ctx context.Context, id string) error {
	return s.exec(ctx, `DELETE FROM organisations WHERE id = @id`, pgx.StrictNamedArgs{"id": id})
}

// Organisation returns one organisation. ErrNotFound.
func (s *Store) Organisation(ctx context.Context, id string) (Row, error) {
	return s.organisations.do(ctx, id)
}

func (s *Store) organisationByID() *coalescer[string, Row] {
	return &coalescer[string, Row]{
		alone: func(ctx context.Context, id string) (Row, error) {
			rows, _ := s.pool.Query(ctx, SelectOrganisation, id) // an error of Query comes back from the collection
			row, err := pgx.CollectExactlyOneRow(rows, scanRow)
			return row, translate(err)
		},
		shared: func(ctx context.Context, ids []string) (map[string]Row, error) {
			rows, _ := s.pool.Query(ctx, `SELECT id, document FROM organisations WHERE id = ANY ($1)`, ids)
			found, err := pgx.CollectRows(rows, scanRow)
			byID := make(map[string]Row, len(found))
			for _, row := range found {
				byID[row.ID] = row
			}
			return byID, err
		},
	}
}

func scanRow(row pgx.CollectableRow) (r Row, err error) { return r, row.Scan(&r.ID, &r.Document) }

// Organisations lists organisations, oldest first.
func (s *Store) Organisations(ctx context.Context, page Page) iter.Seq2[Row, error] {
	limit, offset := page.limit()
	return s.rows(ctx, `SELECT id, document FROM organisations ORDER BY position LIMIT @limit OFFSET @offset`,
		pgx.StrictNamedArgs{"limit": limit, "offset": offset})
}

// CountOrganisations counts them.
func (s *Store) CountOrganisations(ctx context.Context) (int, error) {
	return s.count(ctx, `SELECT count(*) FROM organisations`, nil)
}

// SSOEnabled tells whether an organisation lets its own users make nonces. ErrNotFound.
func (s *Store) SSOEnabled(ctx context.Context, orgID string) (bool, error) {
	rows, _ := s.pool.Query(ctx, `SELECT sso_enabled FROM organisations WHERE id = $1`, orgID)
	enabled, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	return enabled, translate(err)
}
