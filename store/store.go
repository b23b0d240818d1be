// Package store keeps everything in Postgres, and is the only room that knows pgx. There is one file a table,
// with the SQL beside the function that runs it. What the schema forbids comes back as one of the errors of
// errors.go; callers tell them apart with errors.Is.
package store

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"

	"gatehouse/migrations"
)

const (
	// versionTable is where the migrations count what was applied.
	versionTable = "gatehouse_schema_version"
	// transactionTries is how often a transaction is run when Postgres ends it to break a deadlock.
	transactionTries = 4
)

// Store is the database. Its methods are safe for use by many goroutines.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
	ids  IDs

	users, usersByKey, allowReset, disallowReset *coalescer[string, User]
	organisations                                *coalescer[string, Row]
	nonces                                       *coalescer[*newNonce, struct{}]
}

// Config is what a Store needs.
type Config struct {
	// ConnString is libpq's keyword form or a postgres:// URL. `database=` works as `dbname=` does.
	ConnString string
	// Now is the clock; IDs makes ids and keys. Tests hold them still.
	Now func() time.Time
	IDs IDs
}

// Open connects, and brings the schema up to date under an advisory lock: any number of servers may start at once.
// It fails if the database is newer than this program.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	pool, err := connect(ctx, cfg.ConnString)
	if err != nil {
		return nil, fmt.Errorf("connection string: %w", err)
	}
	s := &Store{pool: pool, now: cfg.Now, ids: cfg.IDs}
	s.users, s.usersByKey, s.organisations, s.nonces = s.userByID(), s.userByAccessKey(), s.organisationByID(), s.nonceMaker()
	s.allowReset, s.disallowReset = s.resetPasswordSetter(true), s.resetPasswordSetter(false)
	if err := s.migrate(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// The pool's size, unless the connection string says otherwise (pool_max_conns): writes that wait for the disk, and lists
// that wait for their clients, should not keep others from a core.
const (
	connectionsPerCore = 4
	leastConnections   = 8
	mostConnections    = 32 // of the 100 that Postgres allows by default: some servers may share it
)

func connect(ctx context.Context, connString string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(connString, "pool_max_conns") {
		cfg.MaxConns = int32(min(max(connectionsPerCore*runtime.GOMAXPROCS(0), leastConnections), mostConnections))
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// Close waits for what runs, and disconnects.
func (s *Store) Close() { s.pool.Close() }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return translate(s.pool.Ping(ctx)) }

// Connections is the pool's.
type Connections struct{ InUse, Idle, Max int }

// Connections tells how the pool stands.
func (s *Store) Connections() Connections {
	stat := s.pool.Stat()
	return Connections{InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Max: int(stat.MaxConns())}
}

func (s *Store) migrate(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Release()
	migrator, err := migrate.NewMigrator(ctx, conn.Conn(), versionTable)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	var files fs.FS = migrations.Files
	if err := migrator.LoadMigrations(files); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if err := migrator.Migrate(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// inTx runs fn in a transaction, again if it lost a deadlock, and translates the error.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	var err error
	for range transactionTries {
		err = pgx.BeginFunc(ctx, s.pool, fn)
		if !isDeadlock(err) {
			break
		}
	}
	return translate(err)
}

// one runs a query that gives one row, as a T.
func one[T any](ctx context.Context, s *Store, sql string, args pgx.StrictNamedArgs) (T, error) {
	rows, _ := s.pool.Query(ctx, sql, args) // an error of Query comes back from the collection
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	return row, translate(err)
}

// exec runs a statement that must touch a row, else it is ErrNotFound.
func (s *Store) exec(ctx context.Context, sql string, args pgx.StrictNamedArgs) error {
	tag, err := s.pool.Exec(ctx, sql, args)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return translate(err)
}
