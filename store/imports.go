package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
)

// Refusal says why a document was not imported.
type Refusal string

// The reasons of an import's refusals.
const (
	RefusedOrganisation Refusal = "unknown organisation"
	RefusedOwner        Refusal = "the id belongs to another organisation"
	RefusedID           Refusal = "the id is another document's"
)

// staging is the temporary table through which documents are imported. They flow into it while they come in, however
// slowly, without a lock on anything; one statement then moves them.
type staging struct {
	table   string
	columns []string
	create  string
	merge   string // gives the id and the refusal of each row that it does not move
}

// importAll copies the items into the staging table and moves them from there, in one transaction. A connection is taken
// when the first item is there; an item need be good only until the next one is asked for.
func importAll[T any](ctx context.Context, s *Store, st staging, checkedBy string, items iter.Seq2[T, error],
	values func(item T, row []any) []any,
) (refused map[string]Refusal, err error) {
	next, stop := iter.Pull2(items)
	defer stop()
	item, wrong, more := next() // before a connection is taken: it may be long in coming
	if !more || wrong != nil {
		return nil, wrong
	}
	row := make([]any, 0, len(st.columns))
	first := true
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if !first {
			item, wrong, more = next()
		}
		if first = false; !more || wrong != nil {
			return nil, wrong
		}
		row = values(item, row[:0])
		return row, nil
	})
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := st.prepare(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", st.table}, st.columns, source); err != nil {
			return err
		}
		refused, err = st.move(ctx, tx, checkedBy)
		return err
	})
	if wrong != nil { // err is what Postgres makes of it
		return nil, wrong
	}
	return refused, translate(err)
}

// prepare makes the staging table where this connection has none yet. Its documents stay in their rows where they fit: out
// of line they would be written once more.
func (st staging) prepare(ctx context.Context, tx pgx.Tx) error {
	// The schema forgets the check of documents that are written without this (migration 002).
	var there bool
	err := tx.QueryRow(ctx, `SELECT set_config('gatehouse.checked', 'on', true) IS NOT NULL AND to_regclass($1) IS NOT NULL`,
		"pg_temp."+st.table).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = tx.Exec(ctx, st.create+`; ALTER TABLE pg_temp.`+st.table+` ALTER document SET STORAGE MAIN;
		DO $$ BEGIN
			IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
				ALTER TABLE pg_temp.`+st.table+` ALTER document SET COMPRESSION lz4;
			END IF;
		END $$`)
	return err
}

// move moves what is staged, again if it lost a deadlock: what is staged outlives that.
func (st staging) move(ctx context.Context, tx pgx.Tx, checkedBy string) (refused map[string]Refusal, err error) {
	for range transactionTries {
		err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) (err error) {
			rows, _ := tx.Query(ctx, st.merge, pgx.StrictNamedArgs{
				"checked_by": checkedBy, "organisation": RefusedOrganisation, "owner": RefusedOwner, "id": RefusedID,
			})
			refused, err = collectRefusals(rows)
			return err
		})
		if !isDeadlock(err) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("move from %s: %w", st.table, err)
	}
	return refused, nil
}

func collectRefusals(rows pgx.Rows) (map[string]Refusal, error) {
	refused := map[string]Refusal{}
	var id string
	var why Refusal
	_, err := pgx.ForEachRow(rows, []any{&id, &why}, func() error {
		refused[id] = why
		return nil
	})
	return refused, err
}
