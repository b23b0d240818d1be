// Package pgmigrate applies numbered SQL files to a database of Postgres, each once.
//
// The files of a Sequence are named NNN_what.sql, beginning with 001; an .sql file of another name is an error. A table
// of the database, which Apply creates, has the number of the last one that was applied. Apply runs all missing files
// in one transaction: if one fails, none is applied. Any number of programs may call it at once: an advisory lock has
// them do so one after another.
//
// A file is a template of text/template, so that {{ has to be written as {{"{{"}}. What follows the line
// "---- create above / drop below ----" is not applied. Nothing reverts a file: a later one does.
package pgmigrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
)

// lock is the advisory lock that is held while files are applied. The library, which would release it after each file,
// uses the same.
const lock = 9628173550095224

// ErrNewerDatabase is returned when the database has files that the program does not have.
var ErrNewerDatabase = errors.New("the database is of a newer version of this program")

// ErrDue is returned by Require when the database lacks files.
var ErrDue = errors.New("migrations are due")

// DefaultTable is the table of a Sequence that names none.
const DefaultTable = "schema_version"

// Sequence is a sequence of SQL files. A database may have several, each with a table of its own.
type Sequence struct {
	// Files has the files in its root. Files in its folders are templates, which those in the root can include.
	Files fs.FS
	// Table is the table with the number of the last file that was applied; "" is DefaultTable. It is part of SQL
	// statements: a name in lower case, which may have that of a schema in front.
	Table string
}

// ErrConnString is returned by Up for a connection string that is not valid. The error has none of its text, of which
// each part may be one of the password.
var ErrConnString = errors.New("the connection string of the database is not valid: write " +
	"postgres://user@host:5432/name with percent-encoded parts, or host=… user=… dbname=… without spaces around =")

// Up connects to a database, and applies the files that are missing, as Apply does. The connection string may have
// settings of pgxpool, such as pool_max_conns.
func (s Sequence) Up(ctx context.Context, connString string) error {
	config, err := pgxpool.ParseConfig(connString)
	if file, ok := errors.AsType[*fs.PathError](err); ok { // of a certificate
		return fmt.Errorf("%w: %w", ErrConnString, file)
	}
	if err != nil {
		return ErrConnString
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	return errors.Join(s.Apply(ctx, conn), conn.Close(context.WithoutCancel(ctx)))
}

// Apply applies the files that are missing, all of them or none. If none was applied before, it applies those of the
// other sequences, too. It returns an error that wraps ErrNewerDatabase if the database has more files than s.
func (s Sequence) Apply(ctx context.Context, conn *pgx.Conn, ifEmpty ...Sequence) error {
	// Each statement has to see what the last holder of the lock has committed.
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
	return pgx.BeginTxFunc(ctx, conn, options, func(pgx.Tx) error {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lock); err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
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

func (s Sequence) table() string { return cmp.Or(s.Table, DefaultTable) }

// migrate applies the files that are missing, in the transaction of the connection, and returns how many there were
// before.
func (s Sequence) migrate(ctx context.Context, conn *pgx.Conn) (before int, err error) {
	migrator, before, err := s.open(ctx, conn)
	if err != nil {
		return before, err
	}
	if known := len(migrator.Migrations); before > known {
		return before, newerDatabase(conn, before, known)
	}
	if err := migrator.Migrate(ctx); err != nil {
		return before, fmt.Errorf("migration failed, database %q is left at schema version %d: %w",
			conn.Config().Database, before, err)
	}
	return before, nil
}

// IsDue reports whether the database lacks a file. It creates the table if that is missing.
func (s Sequence) IsDue(ctx context.Context, conn *pgx.Conn) (bool, error) {
	migrator, version, err := s.open(ctx, conn)
	return err == nil && version < len(migrator.Migrations), err
}

// open returns a migrator, and the number of the last file that was applied.
func (s Sequence) open(ctx context.Context, conn *pgx.Conn) (*migrate.Migrator, int, error) {
	if _, err := s.Names(); err != nil {
		return nil, 0, err
	}
	// DisableTx: tern would commit after each file.
	migrator, err := migrate.NewMigratorEx(ctx, conn, s.table(), &migrate.MigratorOptions{DisableTx: true})
	if err != nil {
		return nil, 0, fmt.Errorf("migrations: %w", err)
	}
	if err := migrator.LoadMigrations(s.Files); err != nil {
		return nil, 0, fmt.Errorf("migrations: %w", err)
	}
	version, err := migrator.GetCurrentVersion(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("migrations: %w", err)
	}
	return migrator, int(version), nil
}

// fileName is the form of the names of files.
var fileName = regexp.MustCompile(`\A0*[1-9][0-9]{0,3}_.+\.sql\z`)

// checkNames returns an error for a file that tern would leave out, or panic at, because of its name.
func (s Sequence) checkNames() error {
	entries, err := fs.ReadDir(s.Files, ".")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() && strings.EqualFold(path.Ext(e.Name()), ".sql") && !fileName.MatchString(e.Name()) {
			return fmt.Errorf("migrations: the file %s is not named NNN_what.sql, with a number from 001", e.Name())
		}
	}
	return nil
}

// Names returns the names of the files in their order, without ".sql".
func (s Sequence) Names() ([]string, error) {
	if err := s.checkNames(); err != nil {
		return nil, err
	}
	files, err := migrate.FindMigrations(s.Files)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	for i, each := range files {
		files[i] = strings.TrimSuffix(each, ".sql")
	}
	return files, nil
}

// Version returns the number of the last file that was applied, 0 if there is none. It changes nothing.
func (s Sequence) Version(ctx context.Context, conn *pgx.Conn) (version int, err error) {
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, s.table()).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT version FROM `+s.table()).Scan(&version)
	return version, err
}

// Status returns the names of all files, and how many of them were applied. It changes nothing. It returns an error
// that wraps ErrNewerDatabase if the database has more files than s.
func (s Sequence) Status(ctx context.Context, conn *pgx.Conn) (names []string, applied int, err error) {
	if names, err = s.Names(); err != nil {
		return nil, 0, err
	}
	applied, err = s.Version(ctx, conn)
	if err == nil && applied > len(names) {
		err = newerDatabase(conn, applied, len(names))
	}
	return names, applied, err
}

// Require returns an error that wraps ErrDue if a file is missing, and ErrNewerDatabase if the database has more than
// s. It changes nothing.
func (s Sequence) Require(ctx context.Context, conn *pgx.Conn) error {
	names, applied, err := s.Status(ctx, conn)
	switch {
	case errors.Is(err, ErrNewerDatabase):
		return err
	case err != nil:
		return fmt.Errorf("migrations: %w", err)
	case applied < len(names):
		return fmt.Errorf("%w: database %q has schema version %d, this program needs %d",
			ErrDue, conn.Config().Database, applied, len(names))
	}
	return nil
}

func newerDatabase(conn *pgx.Conn, version, known int) error {
	return fmt.Errorf("%w: database %q has schema version %d, this program has %d: start a newer version of it",
		ErrNewerDatabase, conn.Config().Database, version, known)
}
