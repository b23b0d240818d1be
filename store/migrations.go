package store

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"gatehouse/pgmigrate"
)

// Migration is a migration of the schema.
type Migration struct {
	// Name is that of its file, such as 001_admin.
	Name string
	// Contract reports whether it removes what only servers of earlier releases need.
	Contract bool
	// Applied reports whether the database has it.
	Applied bool
}

// Migrations returns all migrations in their order, without changing anything. It does not wait for the database. It
// returns an error that wraps ErrNewerDatabase if the database has others, too.
func Migrations(ctx context.Context, cfg Config) (all []Migration, err error) {
	defer wrap("list migrations", &err)
	config, err := parseConnString(cmp.Or(cfg.DirectConnString, cfg.ConnString))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(cfg.StatementTimeout, defaultStatementTimeout))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, each := range []pgmigrate.Sequence{expand(), contract()} {
		names, applied, err := each.Status(ctx, conn)
		if err != nil {
			return nil, err
		}
		for i, name := range names {
			all = append(all, Migration{Name: name, Contract: each.Table == ContractVersionTable, Applied: i < applied})
		}
	}
	return all, nil
}
