package store

import (
	"context"
	"encoding/json"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Organisation is an organisation and what it is searched by.
type Organisation struct {
	ID string
	// CName is the domain of the organisation's portal. Two organisations cannot have the same, in whatever case, but
	// any number can have none.
	CName      string
	SSOEnabled bool
	Document   json.RawMessage
}

// columns returns the columns of organisations.
func (o Organisation) columns() columns {
	return columns{
		{"id", o.ID},
		{"cname_key", nonEmpty(strings.ToLower(o.CName))},
		{"sso_enabled", o.SSOEnabled},
		{"document", o.Document},
	}
}

// CreateOrganisation stores a new organisation with a new ID, which it returns. It returns ErrConflict if the cname is
// taken.
func (s *Store) CreateOrganisation(ctx context.Context, org Organisation) (id string, err error) {
	defer wrap("create organisation", &err)
	return s.insertOrganisation(ctx, org)
}

func (s *Store) insertOrganisation(ctx context.Context, org Organisation) (id string, err error) {
	org.ID = s.ids.Object()
	sql, args := org.columns().insert("organisations")
	return org.ID, execRow(ctx, s.pool, sql, args...)
}

// ImportOrganisation stores an organisation with its ID, and replaces the one that has the ID. Without an ID it is a
// new one. ImportOrganisation returns the ID, or ErrConflict if the cname is taken.
func (s *Store) ImportOrganisation(ctx context.Context, org Organisation) (id string, err error) {
	defer wrap("import organisation", &err)
	if org.ID == "" {
		return s.insertOrganisation(ctx, org)
	}
	sql, args := org.columns().upsert("organisations", "id")
	return org.ID, execRow(ctx, s.pool, sql, args...)
}

// ReplaceOrganisation replaces an organisation. It returns ErrNotFound if there is no such organisation, and
// ErrConflict if the cname is taken.
func (s *Store) ReplaceOrganisation(ctx context.Context, org Organisation) (err error) {
	defer wrap("replace organisation", &err)
	return updateOrganisation(ctx, s.pool, org)
}

func updateOrganisation(ctx context.Context, db querier, org Organisation) error {
	sql, args := org.columns().update("organisations", org.ID)
	return execRow(ctx, db, sql, args...)
}

// EditOrganisation replaces an organisation by what edit returns for it, without a chance for others to change it
// meanwhile. It returns ErrNotFound if there is no such organisation, and ErrConflict if the cname is taken.
func (s *Store) EditOrganisation(ctx context.Context, id string, edit func(Row) Organisation) (err error) {
	defer wrap("edit organisation", &err)
	return s.inTx(ctx, func(tx pgx.Tx) error {
		row, err := queryRow[Row](ctx, tx, `SELECT id, document FROM organisations WHERE id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		org := edit(row)
		org.ID = id
		return updateOrganisation(ctx, tx, org)
	})
}

// DeleteOrganisation deletes an organisation and everything that belongs to it, or returns ErrNotFound.
func (s *Store) DeleteOrganisation(ctx context.Context, id string) (err error) {
	defer wrap("delete organisation", &err)
	// It may deadlock with requests that write what belongs to the organisation: inTx runs it again.
	return s.inTx(ctx, func(tx pgx.Tx) error {
		return execRow(ctx, tx, `DELETE FROM organisations WHERE id = $1`, id)
	})
}

// Organisation returns an organisation, or ErrNotFound.
func (s *Store) Organisation(ctx context.Context, id string) (row Row, err error) {
	defer wrap("get organisation", &err)
	return s.organisations.do(ctx, id)
}

func organisationByID() lookup[Row] {
	return lookup[Row]{
		single: func(ctx context.Context, db querier, id string) (Row, error) {
			return queryRow[Row](ctx, db, `SELECT id, document FROM organisations WHERE id = $1`, id)
		},
		many: func(ctx context.Context, db querier, ids []string) ([]Row, error) {
			return queryRows[Row](ctx, db, `SELECT id, document FROM organisations WHERE id = ANY ($1)`, ids)
		},
		key: func(r Row) string { return r.ID },
	}
}

// Organisations lists organisations, oldest first.
func (s *Store) Organisations(ctx context.Context, page Page) iter.Seq2[Row, error] {
	return streamRows(ctx, s.pool, query{
		"list organisations",
		`SELECT id, document FROM organisations ORDER BY position LIMIT @limit OFFSET @offset`,
		page.bounds(pgx.StrictNamedArgs{}),
	})
}

// CountOrganisations counts the organisations.
func (s *Store) CountOrganisations(ctx context.Context) (n int, err error) {
	defer wrap("count organisations", &err)
	return queryValue[int](ctx, s.pool, `SELECT count(*) FROM organisations`)
}

// SSOEnabled reports whether the users of an organisation may create nonces, or returns ErrNotFound.
func (s *Store) SSOEnabled(ctx context.Context, orgID string) (enabled bool, err error) {
	defer wrap("get sso_enabled", &err)
	return queryValue[bool](ctx, s.pool, `SELECT sso_enabled FROM organisations WHERE id = $1`, orgID)
}
