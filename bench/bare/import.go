package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-faster/jx"
	"github.com/jackc/pgx/v5"
	"github.com/tidwall/gjson"

	"gatehouse/bench/alternative"
)

// documentKind is a kind of document that can be imported.
type documentKind struct {
	list  string // name of the list in a request
	table string
	// columns are the table's columns; the first is the key, the last is the document.
	columns []string
	// row returns the values of columns.
	row func(document []byte) []any
}

var (
	apis = documentKind{
		list: "apis", table: "apis", columns: []string{"api_id", "id", "org_id", "active", "document"},
		row: func(document []byte) []any {
			found := gjson.GetManyBytes(document,
				"api_definition.api_id", "api_definition.id", "api_definition.org_id", "api_definition.active")
			return []any{found[0].String(), found[1].String(), found[2].String(), found[3].Bool(), document}
		},
	}
	policies = documentKind{
		list: "Data", table: "policies", columns: []string{"id", "policy_id", "org_id", "document"},
		row: func(document []byte) []any {
			found := gjson.GetManyBytes(document, "_id", "org_id")
			return []any{found[0].String(), found[0].String(), found[1].String(), document}
		},
	}
)

// upsert returns the statement that moves the rows of the temporary table "incoming" to the table.
func (k documentKind) upsert() string {
	var update []string
	for _, name := range k.columns[1:] {
		update = append(update, name+" = excluded."+name)
	}
	return fmt.Sprintf(`
		INSERT INTO %s (%s) SELECT %[2]s FROM incoming
		ON CONFLICT (%s) DO UPDATE SET %s WHERE %[1]s.org_id = excluded.org_id`,
		k.table, strings.Join(k.columns, ", "), k.columns[0], strings.Join(update, ", "))
}

// importDocuments decodes the list of a request element by element while COPY writes the elements
// to a temporary table, and moves them from there with one statement.
func (s *server) importDocuments(k documentKind) func(http.ResponseWriter, *http.Request) error {
	create := fmt.Sprintf(`CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT %s FROM %s LIMIT 0`,
		strings.Join(k.columns, ", "), k.table)
	upsert := k.upsert()
	return func(w http.ResponseWriter, r *http.Request) error {
		imported := map[string]bool{}
		err := pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(r.Context(), create); err != nil {
				return err
			}
			rows := decodeRows(r.Context(), r.Body, k.list, func(document []byte) []any {
				row := k.row(document)
				imported[row[0].(string)] = true
				return row
			})
			if _, err := tx.CopyFrom(r.Context(), pgx.Identifier{"incoming"}, k.columns, rows); err != nil {
				return err
			}
			_, err := tx.Exec(r.Context(), upsert)
			return err
		})
		if err != nil {
			return err
		}
		return writeJSON(w, alternative.OK("imported", imported))
	}
}

// maxRowsAhead is how many decoded rows may wait for Postgres. It bounds the memory of an import.
const maxRowsAhead = 64

// decodeRows decodes the list of a request in a goroutine while pgx copies its rows.
func decodeRows(ctx context.Context, body io.Reader, list string, row func(document []byte) []any) pgx.CopyFromSource {
	const bufferSize = 64 << 10
	rows, decoded := make(chan []any, maxRowsAhead), make(chan error, 1)
	go func() {
		defer close(rows)
		decoded <- jx.Decode(body, bufferSize).ObjBytes(func(d *jx.Decoder, name []byte) error {
			if string(name) != list {
				return d.Skip()
			}
			return d.Arr(func(d *jx.Decoder) error {
				document, err := d.RawAppend(nil)
				if err != nil {
					return err
				}
				select {
				case rows <- row(document):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}()
	return pgx.CopyFromFunc(func() ([]any, error) {
		if row, ok := <-rows; ok {
			return row, nil
		}
		return nil, <-decoded
	})
}
