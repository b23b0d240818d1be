package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"gatehouse/internal/postgrespair"
)

// reader reads the tables of a database on a node, without their indexes.
type reader struct{ conn *pgx.Conn }

func newReader(ctx context.Context, node *postgrespair.Node, name string) (reader, error) {
	conn, err := pgx.Connect(ctx, node.URL(name))
	if err != nil {
		return reader{}, err
	}
	_, err = conn.Exec(ctx, `SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off`)
	return reader{conn}, err
}

func (r reader) close(ctx context.Context) { _ = r.conn.Close(context.WithoutCancel(ctx)) }

// rows returns the rows of a query, each as text.
func (r reader) rows(ctx context.Context, sql string) ([]string, error) {
	rows, _ := r.conn.Query(ctx, sql) // CollectRows returns the error
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// query returns the rows of one query.
func query(ctx context.Context, node *postgrespair.Node, name, sql string) ([]string, error) {
	r, err := newReader(ctx, node, name)
	if err != nil {
		return nil, err
	}
	defer r.close(ctx)
	return r.rows(ctx, sql)
}

// schemaOf returns the tables, columns, constraints, indexes, triggers and functions of a database, and the versions of
// its migrations.
func schemaOf(ctx context.Context, node *postgrespair.Node, name string) (string, error) {
	lines, err := query(ctx, node, name, `
		WITH own AS (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
		SELECT format('column %s.%s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
		FROM pg_attribute WHERE attrelid IN (SELECT oid FROM own) AND attnum > 0 AND NOT attisdropped
		UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE connamespace = 'public'::regnamespace
		UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM own)
		UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger
		WHERE tgrelid IN (SELECT oid FROM own) AND NOT tgisinternal
		UNION ALL SELECT 'function ' || proname || ' ' || md5(prosrc) FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')
		ORDER BY 1`)
	if err != nil {
		return "", err
	}
	versions, err := query(ctx, node, name, `SELECT 'version ' || version FROM gatehouse_schema_version`)
	return strings.Join(append(lines, versions...), "\n"), err
}

// duplicates returns the values of unique columns that several rows have, by reading the tables without their indexes.
func duplicates(ctx context.Context, node *postgrespair.Node) (found []string, err error) {
	r, err := newReader(ctx, node, database)
	if err != nil {
		return nil, err
	}
	defer r.close(ctx)
	indexes, err := r.rows(ctx, `
		SELECT format('SELECT %L || ROW(%s)::text FROM %s WHERE %s GROUP BY %s HAVING count(*) > 1',
			indexrelid::regclass || ': ', keys, indrelid::regclass, coalesce(pg_get_expr(indpred, indrelid), 'true')
			|| (SELECT string_agg(format(' AND (%s) IS NOT NULL', pg_get_indexdef(indexrelid, n, true)), '')
				FROM generate_series(1, indnkeyatts) AS n), keys)
		FROM pg_index, LATERAL (
			SELECT string_agg(pg_get_indexdef(indexrelid, n, true), ', ') AS keys FROM generate_series(1, indnkeyatts) AS n) AS k
		WHERE indisunique AND indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)`)
	if err != nil {
		return nil, err
	}
	for _, sql := range indexes {
		rows, err := r.rows(ctx, sql)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
		found = append(found, rows...)
	}
	return found, nil
}
