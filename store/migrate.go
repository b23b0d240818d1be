package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"

	"gatehouse/migrations"
)

const (
	// VersionTable is the table that has the number of the last migration that was applied.
	VersionTable = "gatehouse_schema_version"
	// ContractVersionTable is VersionTable for migrations.Contract.
	ContractVersionTable = "gatehouse_contract_version"
	// contractLockTimeout is how long a migration of migrations.Contract waits for a lock. Requests wait behind it.
	contractLockTimeout = "5s"
)

// migrationLock is the advisory lock that tern holds while it migrates. It is held until the transaction of the
// migrations has ended, so that servers of any release migrate one after another.
const migrationLock = 9628173550095224

// ErrNewerDatabase is returned when the database has migrations that this program does not have.
var ErrNewerDatabase = errors.New("the database is of a newer version of gatehouse")

// ErrMigrationsDue is returned when the database lacks migrations, and Config.NoMigrations is set.
var ErrMigrationsDue = errors.New("migrations are due")

// sequence is a sequence of migrations, of which a table of the database has the number of the last that was applied.
type sequence struct {
	files fs.FS
	table string
}

// expand returns the migrations that add what this release needs.
func expand() sequence { return sequence{migrations.Files, VersionTable} }

// contract returns the migrations that remove what only servers of earlier releases need.
func contract() sequence { return sequence{migrations.Contract(), ContractVersionTable} }

// count returns the number of migrations.
func (s sequence) count() int {
	files, err := fs.Glob(s.files, "*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	return len(files)
}

// apply applies the migrations that are missing, all of them or none. If there were none before, it applies those of
// the other sequences, too. The connection holds migrationLock afterwards: the caller closes it.
func (s sequence) apply(ctx context.Context, conn *pgx.Conn, ifEmpty ...sequence) error {
	ctx = withStatementTimeout(ctx, migrationTimeout)
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return pgx.BeginFunc(ctx, conn, func(pgx.Tx) error {
		before, err := s.migrate(ctx, conn)
		if err != nil || before > 0 {
			return err
		}
		for _, other := range ifEmpty {
			if _, err := other.migrate(ctx, conn); err != nil {
				return err
			}
		}
		return nil
	})
}

// migrate applies the migrations that are missing, in the transaction of the connection, and returns how many there
// were before.
func (s sequence) migrate(ctx context.Context, conn *pgx.Conn) (before int32, err error) {
	migrator, before, err := s.open(ctx, conn)
	if err != nil {
		return before, err
	}
	if known := len(migrator.Migrations); int(before) > known {
		return before, newerDatabase(conn, int(before), known)
	}
	if err := migrator.Migrate(ctx); err != nil {
		return before, fmt.Errorf("migration failed, database %q is left at schema version %d: %w",
			conn.Config().Database, before, err)
	}
	return before, nil
}

// isMissing reports whether a migration is missing.
func (s sequence) isMissing(ctx context.Context, conn *pgx.Conn) (bool, error) {
	migrator, version, err := s.open(ctx, conn)
	return err == nil && int(version) < len(migrator.Migrations), err
}

// open returns a migrator, and the number of the last migration that was applied.
func (s sequence) open(ctx context.Context, conn *pgx.Conn) (*migrate.Migrator, int32, error) {
	// DisableTx: tern would commit after each migration.
	migrator, err := migrate.NewMigratorEx(ctx, conn, s.table, &migrate.MigratorOptions{DisableTx: true})
	if err != nil {
		return nil, 0, fmt.Errorf("migrations: %w", err)
	}
	if err := migrator.LoadMigrations(s.files); err != nil {
		return nil, 0, fmt.Errorf("migrations: %w", err)
	}
	version, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("migrations: %w", err)
	}
	return migrator, version, nil
}

// applied returns the number of the last migration that was applied, and the names of all that this program has. It
// changes nothing.
func (s sequence) applied(ctx context.Context, conn *pgx.Conn) (version int, names []string, err error) {
	files, err := fs.Glob(s.files, "*.sql")
	if err != nil {
		return 0, nil, err
	}
	for _, each := range files { // in the order of their numbers
		names = append(names, strings.TrimSuffix(each, ".sql"))
	}
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, s.table).Scan(&exists); err != nil || !exists {
		return 0, names, err
	}
	err = conn.QueryRow(ctx, `SELECT version FROM `+s.table).Scan(&version)
	return version, names, err
}

// requireAll returns an error unless all migrations that this program has have been applied, and no others.
func (s sequence) requireAll(ctx context.Context, conn *pgx.Conn) error {
	version, names, err := s.applied(ctx, conn)
	switch {
	case err != nil:
		return fmt.Errorf("migrations: %w", err)
	case version > len(names):
		return newerDatabase(conn, version, len(names))
	case version < len(names):
		return fmt.Errorf("%w: database %q has schema version %d, this program needs %d",
			ErrMigrationsDue, conn.Config().Database, version, len(names))
	}
	return nil
}

func newerDatabase(conn *pgx.Conn, version, known int) error {
	return fmt.Errorf("%w: database %q has schema version %d, this program has %d: start a newer version of it",
		ErrNewerDatabase, conn.Config().Database, version, known)
}
