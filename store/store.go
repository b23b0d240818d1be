// Package store keeps everything in Postgres. It is the only package that imports pgx. There is a file for each table,
// with the SQL beside the function that runs it, and one list of the table's columns. Exported functions begin
// transactions, unexported ones get them. Errors name the operation; errors.go has those that callers tell apart, with
// errors.Is.
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
	// VersionTable is the table that has the number of the last migration that was applied.
	VersionTable = "gatehouse_schema_version"
	// transactionTries is how often a transaction runs that Postgres ends because of a deadlock.
	transactionTries = 4
)

// The number of connections, unless the connection string has pool_max_conns. Writes that wait for the disk, and lists
// that wait for their clients, should leave connections for others.
const (
	connectionsPerCore = 4
	minConnections     = 8
	maxConnections     = 32 // of the 100 that Postgres allows by default, which several servers may share
)

// Store is a database. Its methods may be called concurrently.
type Store struct {
	pool pool
	now  func() time.Time
	ids  IDs

	users, usersByKey *batcher[User]
	organisations     *batcher[Row]
}

// Config configures a Store.
type Config struct {
	// ConnString is a postgres:// URL, or has libpq's keywords. `database=` means the same as `dbname=`.
	ConnString string
	// Now is the clock.
	Now func() time.Time
	// IDs creates IDs and keys.
	IDs IDs

	tracer pgx.QueryTracer // for tests
}

// Open connects to the database, and applies the migrations that are missing. It takes an advisory lock for that: any
// number of servers may start at once. Open returns an error if the database has migrations that this program does not
// have.
func Open(ctx context.Context, cfg Config) (s *Store, err error) {
	defer wrap("open", &err)
	connections, err := connect(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connection string: %w", err)
	}
	if err := applyMigrations(ctx, connections); err != nil {
		connections.Close()
		return nil, err
	}
	return &Store{
		pool: connections, now: cfg.Now, ids: cfg.IDs,
		users:         newBatcher(connections, userByID()),
		usersByKey:    newBatcher(connections, userByAccessKey()),
		organisations: newBatcher(connections, organisationByID()),
	}, nil
}

func connect(ctx context.Context, cfg Config) (pool, error) {
	config, err := pgxpool.ParseConfig(cfg.ConnString)
	if err != nil {
		return pool{}, err
	}
	if !strings.Contains(cfg.ConnString, "pool_max_conns") {
		config.MaxConns = int32(min(max(connectionsPerCore*runtime.GOMAXPROCS(0), minConnections), maxConnections))
	}
	config.ConnConfig.Tracer = cfg.tracer
	connections, err := pgxpool.NewWithConfig(ctx, config)
	return pool{connections}, err
}

func applyMigrations(ctx context.Context, connections pool) error {
	conn, err := connections.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Release()
	migrator, err := migrate.NewMigrator(ctx, conn.Conn(), VersionTable)
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

// Close waits for the calls that run, and disconnects. Calls after Close return errors.
func (s *Store) Close() {
	s.users.close()
	s.usersByKey.close()
	s.organisations.close()
	s.pool.Close()
}

// Ping returns an error if the database does not answer.
func (s *Store) Ping(ctx context.Context) (err error) {
	defer wrap("ping", &err)
	return s.pool.Ping(ctx)
}

// Connections are numbers of connections to the database.
type Connections struct{ InUse, Idle, Max int }

// Connections returns the current numbers of connections.
func (s *Store) Connections() Connections {
	stat := s.pool.Stat()
	return Connections{InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Max: int(stat.MaxConns())}
}

// inTx runs fn in a transaction, and again if Postgres has ended the transaction because of a deadlock.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	var err error
	for range transactionTries {
		err = pgx.BeginFunc(ctx, s.pool, fn)
		if !isDeadlock(err) {
			break
		}
	}
	return err
}
