package store

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Page is a part of a list. Number counts from 1; 0 or less is the whole list.
type Page struct {
	Number, Size int
}

// limit is what SQL's LIMIT and OFFSET take; no LIMIT is NULL.
func (p Page) limit() (limit *int64, offset int64) {
	if p.Number < 1 {
		return nil, 0
	}
	size := int64(p.Size)
	return &size, (int64(p.Number) - 1) * size
}

// Pages is how many pages total rows fill: 0 for the whole list.
func (p Page) Pages(total int) int {
	if p.Number < 1 {
		return 0
	}
	return (total + p.Size - 1) / p.Size
}

// Row is a stored document and its id. In a list, the document is good until the next row is asked for.
type Row struct {
	ID       string
	Document json.RawMessage
}

// Filter narrows a list of documents.
type Filter struct {
	// OrgID narrows to one organisation; nil is all.
	OrgID *string
	Page  Page
}

// rows runs a query for documents and their ids.
func (s *Store) rows(ctx context.Context, sql string, args pgx.StrictNamedArgs) iter.Seq2[Row, error] {
	return stream(ctx, s, sql, args, func(rows pgx.Rows, row *Row) error {
		return rows.Scan(&row.ID, (*pgtype.DriverBytes)(&row.Document))
	})
}

// stream runs a query and yields its rows one by one, as the reader takes them: a list of any length needs the memory of
// one row. The connection is held until the loop ends.
func stream[T any](ctx context.Context, s *Store, sql string, args pgx.StrictNamedArgs, scan func(pgx.Rows, *T) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		rows, err := s.pool.Query(ctx, sql, args)
		if err != nil {
			yield(*new(T), translate(err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var row T
			err := scan(rows, &row)
			if !yield(row, translate(err)) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(*new(T), translate(err))
		}
	}
}

func (s *Store) count(ctx context.Context, sql string, args pgx.StrictNamedArgs) (int, error) {
	rows, _ := s.pool.Query(ctx, sql, args)
	n, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	return n, translate(err)
}
