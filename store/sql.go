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
	rows, _ := db.Query(ctx, sql, args...) // CollectExactlyOneRow returns the error
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
}

// queryRows runs a query and returns its rows. Each column is the field of T of that name.
func queryRows[T any](ctx context.Context, db querier, sql string, args ...any) ([]T, error) {
	rows, _ := db.Query(ctx, sql, args...) // CollectRows returns the error
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// queryValue runs a query that returns one row of one column. It returns pgx.ErrNoRows if there is no row.
func queryValue[T any](ctx context.Context, db querier, sql string, args ...any) (T, error) {
	rows, _ := db.Query(ctx, sql, args...) // CollectExactlyOneRow returns the error
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
}

// execRow runs a statement that changes one row. It returns ErrNotFound if it changes none.
func execRow(ctx context.Context, db querier, sql string, args ...any) error {
	tag, err := db.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return err
}

// columns are the columns that a statement writes, with their values.
type columns []column

type column struct {
	name  string
	value any
}

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
