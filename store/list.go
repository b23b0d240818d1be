package store

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Page is a part of a list.
type Page struct {
	// Number counts from 1. The whole list is 0, or less.
	Number int
	// Size is how many rows a page has.
	Size int
}

// bounds adds the arguments of LIMIT @limit OFFSET @offset. NULL is no limit.
func (p Page) bounds(args pgx.StrictNamedArgs) pgx.StrictNamedArgs {
	args["limit"], args["offset"] = nil, 0
	if p.Number >= 1 {
		args["limit"], args["offset"] = int64(p.Size), (int64(p.Number)-1)*int64(p.Size)
	}
	return args
}

// Pages returns how many pages a list of so many rows has, or 0 if p is the whole list.
func (p Page) Pages(total int) int {
	if p.Number < 1 {
		return 0
	}
	return (total + p.Size - 1) / p.Size
}

// Row is a stored document and its ID. In a list, the document is valid until the next row is requested.
type Row struct {
	ID       string
	Document json.RawMessage
}

// Filter selects documents of a list.
type Filter struct {
	// OrgID selects those of one organisation; nil selects all.
	OrgID *string
	Page  Page
}

// where returns the condition of the filter, and its arguments. There is no condition like `@org_id IS NULL OR …`,
// which would keep Postgres from using an index.
func (f Filter) where() (condition string, args pgx.StrictNamedArgs) {
	if f.OrgID == nil {
		return "", pgx.StrictNamedArgs{}
	}
	return ` WHERE org_id = @org_id`, pgx.StrictNamedArgs{"org_id": *f.OrgID}
}

// ofOrganisation returns the condition that a row is one of an organisation, and its arguments. Nil is all
// organisations.
func ofOrganisation(orgID *string) (and string, args pgx.StrictNamedArgs) {
	if orgID == nil {
		return "", pgx.StrictNamedArgs{}
	}
	return ` AND org_id = @org_id`, pgx.StrictNamedArgs{"org_id": *orgID}
}

// query is a statement of an operation, which its errors name.
type query struct {
	operation, sql string
	args           pgx.StrictNamedArgs
}

// streamRows runs a query for IDs and documents.
func streamRows(ctx context.Context, db querier, q query) iter.Seq2[Row, error] {
	return stream(ctx, db, q, func(rows pgx.Rows, row *Row) error {
		return rows.Scan(&row.ID, (*pgtype.DriverBytes)(&row.Document))
	})
}

// stream runs a query and yields its rows as they arrive, so that a list of any length needs the memory of one row. The
// query begins with the loop, and holds a connection until the loop ends.
func stream[T any](ctx context.Context, db querier, q query, scan func(pgx.Rows, *T) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		rows, err := db.Query(ctx, q.sql, q.args)
		if err != nil {
			wrap(q.operation, &err)
			yield(*new(T), err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var row T
			err := scan(rows, &row)
			wrap(q.operation, &err)
			if !yield(row, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			wrap(q.operation, &err)
			yield(*new(T), err)
		}
	}
}
