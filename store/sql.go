package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// querier is what statements run on: the pool, a connection of it, or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// queryRow runs a query that returns one row. Each column is the field of T of that name. It returns pgx.ErrNoRows if
// there is no row.
func queryRow[T any](ctx context.Context, db querier, sql string, args ...any) (T, error) {
	return collect(ctx, db, statement{sql, args}, func(rows pgx.Rows) (T, error) {
		return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	})
}

// queryRows runs a query and returns its rows. Each column is the field of T of that name.
func queryRows[T any](ctx context.Context, db querier, sql string, args ...any) ([]T, error) {
	return collect(ctx, db, statement{sql, args}, func(rows pgx.Rows) ([]T, error) {
		return pgx.CollectRows(rows, pgx.RowToStructByName[T])
	})
}

// queryValue runs a query that returns one row of one column. It returns pgx.ErrNoRows if there is no row.
func queryValue[T any](ctx context.Context, db querier, sql string, args ...any) (T, error) {
	return collect(ctx, db, statement{sql, args}, func(rows pgx.Rows) (T, error) {
		return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	})
}

// queryColumn runs a query that returns one column, and returns its values.
func queryColumn[T any](ctx context.Context, db querier, sql string, args ...any) ([]T, error) {
	return collect(ctx, db, statement{sql, args}, func(rows pgx.Rows) ([]T, error) {
		return pgx.CollectRows(rows, pgx.RowTo[T])
	})
}

// countRows counts the rows of a table, or of a table with a WHERE clause.
func countRows(ctx context.Context, db querier, from string, args ...any) (int, error) {
	return queryValue[int](mayTakeLong(ctx), db, `SELECT count(*) FROM `+from, args...)
}

// statement is a statement and its arguments.
type statement struct {
	sql  string
	args []any
}

// collect runs a query and collects what it returns. On the pool, it is repeated as pool.repeats allows.
func collect[T any](
	ctx context.Context, db querier, s statement, read func(pgx.Rows) (T, error),
) (result T, err error) {
	run := func() error {
		rows, _ := db.Query(ctx, s.sql, s.args...) // read returns the error
		result, err = read(rows)
		return err
	}
	if p, ok := db.(*pool); ok {
		return result, p.repeat(ctx, isRead(s.sql), run)
	}
	return result, run()
}

// execRow runs a statement that changes one row. It returns ErrNotFound if it changes none.
func execRow(ctx context.Context, db querier, sql string, args ...any) error {
	tag, err := db.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return err
}

// conditions are what the rows that a statement selects have to fulfil.
type conditions []string

// sql returns the WHERE clause of the conditions.
func (c conditions) sql() string {
	if len(c) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(c, ` AND `)
}

// columns are the columns that a statement writes, with their values.
type columns []column

type column struct {
	name  string
	value any
}

// expression is SQL that an update sets a column to, in place of a value. It may refer to the row's columns.
type expression string

// insert returns an INSERT of the columns into a table, and its arguments.
func (c columns) insert(table string) (sql string, args []any) {
	names, parameters := make([]string, 0, len(c)), make([]string, 0, len(c))
	for i, column := range c {
		names, parameters = append(names, column.name), append(parameters, fmt.Sprintf("$%d", i+1))
		args = append(args, column.value)
	}
	sql = fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`,
		table, strings.Join(names, ", "), strings.Join(parameters, ", "))
	return sql, args
}

// upsert returns an INSERT that replaces the columns of a row that has the key already, and its arguments.
func (c columns) upsert(table, key string) (sql string, args []any) {
	var set []string
	for _, column := range c {
		if column.name != key {
			set = append(set, column.name+` = excluded.`+column.name)
		}
	}
	sql, args = c.insert(table)
	return sql + ` ON CONFLICT (` + key + `) DO UPDATE SET ` + strings.Join(set, ", "), args
}

// update returns an UPDATE of the columns, except id, in the row that has the ID, and its arguments.
func (c columns) update(table, id string) (sql string, args []any) {
	args = []any{id}
	var set []string
	for _, column := range c {
		if column.name == "id" {
			continue
		}
		if sql, ok := column.value.(expression); ok {
			set = append(set, column.name+" = "+string(sql))
			continue
		}
		args = append(args, column.value)
		set = append(set, fmt.Sprintf("%s = $%d", column.name, len(args)))
	}
	return `UPDATE ` + table + ` SET ` + strings.Join(set, ", ") + ` WHERE id = $1`, args
}

// nonEmpty returns s, or NULL for "".
func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
