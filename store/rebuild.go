package store

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// rebuiltRows is the number of rows from which on a restore makes the indexes and foreign keys of an empty table anew,
// as pg_restore does, in place of adding each row to each of them: with a million rows that takes half of the time
// (docs/performance.md). Nobody can read the table meanwhile, which had nothing to read.
const rebuiltRows = 20_000

// rebuiltLockTimeout is how long a restore waits until nobody reads the table. Readers wait behind it.
const rebuiltLockTimeout = `5s`

// lockRebuilt locks the empty tables whose indexes are to be made anew. There are none if somebody reads one for long.
func (r *restore) lockRebuilt(ctx context.Context) error {
	var names []string
	for _, t := range r.tables {
		if t.rows < rebuiltRows {
			continue
		}
		filled, err := hasRows(ctx, r.tx, t.name)
		if err != nil {
			return err
		}
		if !filled {
			names = append(names, t.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	err := pgx.BeginFunc(ctx, r.tx, func(savepoint pgx.Tx) error {
		_, err := savepoint.Exec(ctx, `SELECT set_config('lock_timeout', '`+rebuiltLockTimeout+`', true)`)
		if err == nil {
			_, err = savepoint.Exec(ctx, `LOCK TABLE `+strings.Join(names, ", ")+` IN ACCESS EXCLUSIVE MODE`)
		}
		return err
	})
	if sqlState(err) == lockNotAvailable {
		return nil
	}
	if err == nil {
		r.rebuilt = names
	}
	return err
}

// definition is an index or a constraint of a table: the statements that drop it and make it.
type definition struct{ Drop, Make string }

// definitionsOf selects the definitions of a table, foreign keys last. Left out are the keys that other tables refer
// to, indexes in a tablespace of their own, and all if the table is another role's.
const definitionsOf = `
	WITH indexes AS (
		SELECT indexrelid FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
		WHERE indrelid = $1::regclass AND reltablespace = 0 AND NOT indisreplident
			AND NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conindid = indexrelid)
	), constraints AS (
		SELECT oid, conname, contype, conindid FROM pg_constraint
		WHERE conrelid = $1::regclass
			AND (contype = 'f' OR contype IN ('p', 'u') AND conindid IN (SELECT indexrelid FROM indexes))
	), definitions AS (
		SELECT 1 AS place, conname AS name, format('ALTER TABLE %s DROP CONSTRAINT %I', $1, conname) AS drop,
			format('ALTER TABLE %s ADD CONSTRAINT %I %s', $1, conname, pg_get_constraintdef(oid)) AS make
		FROM constraints WHERE contype <> 'f'
		UNION ALL
		SELECT 2, indexrelid::regclass::name, format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
		FROM indexes WHERE indexrelid NOT IN (SELECT conindid FROM constraints)
		UNION ALL
		SELECT 3, conname, format('ALTER TABLE %s DROP CONSTRAINT %I', $1, conname),
			format('ALTER TABLE %s ADD CONSTRAINT %I %s', $1, conname, pg_get_constraintdef(oid))
		FROM constraints WHERE contype = 'f'
	)
	SELECT drop, make FROM definitions
	WHERE (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1::regclass) ORDER BY place, name`

// withoutIndexes calls fill while a table has no indexes and foreign keys, if lockRebuilt has locked it.
func (r *restore) withoutIndexes(ctx context.Context, table string, fill func() error) error {
	if !slices.Contains(r.rebuilt, table) {
		return fill()
	}
	definitions, err := queryRows[definition](ctx, r.tx, definitionsOf, table)
	if err != nil {
		return err
	}
	for _, each := range definitions {
		if _, err := r.tx.Exec(ctx, each.Drop); err != nil {
			return err
		}
	}
	if err := fill(); err != nil {
		return err
	}
	ctx = withStatementTimeout(ctx, migrationTimeout)
	for _, each := range definitions {
		if _, err := r.tx.Exec(ctx, each.Make); err != nil {
			return err
		}
	}
	return nil
}
