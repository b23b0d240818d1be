// Package store keeps everything in Postgres. It is the only package that imports pgx. There is a file for each table,
// with the SQL beside the function that runs it, and one list of the table's columns. Exported functions begin
// transactions, unexported ones get them. Errors name the operation; errors.go has those that callers tell apart, with
// errors.Is.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
)

// transactionTries is how often a transaction runs that Postgres ends because of a deadlock.
const transactionTries = 4

// openPause is the time between two attempts of Open to connect.
const openPause = 250 * time.Millisecond

// Store is a database. Its methods may be called concurrently.
type Store struct {
	connections *connector
	direct      *connector // for what belongs to a session of Postgres; the same as connections if no pooler is between
	pool        *pool
	now         func() time.Time
	ids         IDs

	lastPasswords int // Config.LastPasswords
	quota         Quota

	users         *batcher[User]
	usersByKey    *batcher[Caller]
	organisations *batcher[Row]

	heartbeats      heartbeats
	firstHeartbeats *batcher[string]

	health healthCheck

	versions versions

	heard          atomic.Pointer[time.Time] // when Listen last received its own notice; nil: it does not run
	upgradePending bool

	// apiImports and policyImports have an element while an import runs. It is held as long as the import's client
	// sends.
	apiImports, policyImports chan struct{}
}

// Config configures a Store.
type Config struct {
	// ConnString is a postgres:// URL, or has libpq's keywords. `database=` means the same as `dbname=`.
	ConnString string
	// DirectConnString leads to Postgres itself if ConnString leads to a pooler in transaction mode. It is used for what
	// belongs to a session: migrations and Listen. "" is ConnString.
	DirectConnString string
	// Now is the clock.
	Now func() time.Time
	// IDs creates IDs and keys.
	IDs IDs
	// LastPasswords is how many hashes of a user's passwords are kept, the current one included. 0 is 1.
	LastPasswords int
	// Quota limits what an organisation stores.
	Quota Quota
	// NoMigrations has Open fail with an error that wraps ErrMigrationsDue in place of applying migrations.
	NoMigrations bool
	// Wait is how long Open waits for a database that cannot be connected to yet. 0 is not at all.
	Wait time.Duration
	// Waiting is called each time that Open has to try again, with the reason. It may be nil.
	Waiting func(error)
	// StatementTimeout bounds a small statement. Statements that may take long have a minute, or this if it is longer. 0
	// is five seconds.
	StatementTimeout time.Duration
	// SlowStatement is how long a statement takes that is reported to Slow. 0 is none.
	SlowStatement time.Duration
	// Slow is called with statements that were slow, at their end, by the goroutine that ran them. It may be nil.
	Slow func(context.Context, SlowStatement)

	// Tracer makes a span of each statement that is a part of a trace; nil: there are no traces.
	Tracer trace.Tracer

	tracer pgx.QueryTracer // for tests
}

// tracers returns what else pgx calls with the events of statements.
func (cfg Config) tracers() (all []pgx.QueryTracer) {
	if cfg.tracer != nil {
		all = append(all, cfg.tracer)
	}
	if cfg.Tracer != nil {
		all = append(all, spans{cfg.Tracer})
	}
	return all
}

// Open connects to the database, and applies the migrations that are missing, all of them or none. It takes an advisory
// lock for that: any number of servers may start at once. Open returns an error that wraps ErrNewerDatabase if the
// database has migrations that this program does not have, and ErrPooler or ErrStatementPooler if a pooler of
// connections is in the way.
//
// Up to cfg.Wait, Open tries again while the database does not answer, is about to start, has no connection left or
// accepts no writes. It does not wait if the settings are wrong, such as the password or the name of the database.
func Open(ctx context.Context, cfg Config) (s *Store, err error) {
	defer wrap("open", &err)
	config, err := parseConnString(cfg.ConnString)
	if err != nil {
		return nil, err
	}
	s = &Store{
		now: cfg.Now, ids: cfg.IDs, lastPasswords: cfg.LastPasswords, quota: cfg.Quota,
		apiImports: make(chan struct{}, 1), policyImports: make(chan struct{}, 1),
	}
	limits := deadlines{
		cmp.Or(cfg.StatementTimeout, defaultStatementTimeout),
		func(ctx context.Context, pid uint32) (bool, error) {
			return s.health.executes(ctx, pid, s.connections.alone)
		},
		slowStatements{cfg.SlowStatement, cfg.Slow},
	}
	s.connections = newConnector(config, limits, cfg.tracers()...)
	s.direct = s.connections
	if cfg.DirectConnString != "" {
		direct, err := parseConnString(cfg.DirectConnString)
		if err != nil {
			return nil, fmt.Errorf("direct %w", err)
		}
		s.direct = newConnector(direct, limits)
	}
	if err := s.waitAndMigrate(ctx, cfg); err != nil {
		s.health.close()
		return nil, err
	}
	config.ConnConfig.DefaultQueryExecMode = s.connections.config.DefaultQueryExecMode
	if s.pool, err = s.connections.newPool(ctx, config); err != nil {
		s.health.close()
		return nil, err
	}
	s.users = newBatcher(s.pool, userByID())
	s.usersByKey = newBatcher(s.pool, userByAccessKey())
	s.organisations = newBatcher(s.pool, organisationByID())
	s.firstHeartbeats = newBatcher(s.pool, heartbeatOf(s.now))
	return s, nil
}

// waitAndMigrate applies the migrations, as soon as the database can be connected to.
func (s *Store) waitAndMigrate(ctx context.Context, cfg Config) error {
	waiting, cancel := context.WithTimeout(ctx, cfg.Wait)
	defer cancel()
	for {
		err := s.migrate(ctx, !cfg.NoMigrations)
		if err == nil || ctx.Err() != nil ||
			!mayConnectLater(err) && !isBroken(err) && sqlState(err) != readOnlyTransaction {
			return err
		}
		if waiting.Err() == nil && cfg.Waiting != nil {
			cfg.Waiting(err)
		}
		select {
		case <-waiting.Done():
			return cmp.Or(ctx.Err(), err)
		case <-time.After(openPause):
		}
	}
}

// migrate applies the migrations, on a connection of its own, which is closed afterwards. It applies those that remove
// to a database that was empty, where no server of an earlier release can be. Unless apply, it only checks that none is
// due.
func (s *Store) migrate(ctx context.Context, apply bool) error {
	pools, err := checkPoolers(ctx, s.connections, s.direct)
	if err != nil {
		return err
	}
	s.health.pooling = pools
	conn, err := s.direct.alone(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if !apply {
		if err := expand().Require(ctx, conn); err != nil {
			return err
		}
		if err := contract().Require(ctx, conn); !errors.Is(err, ErrMigrationsDue) {
			return err
		}
		s.upgradePending = true
		return nil
	}
	if err := applyMigrations(ctx, conn, expand(), contract()); err != nil {
		return err
	}
	s.upgradePending, err = contract().IsDue(ctx, conn)
	return err
}

// UpgradePending reports whether the database had, when the store was opened, what only servers of earlier releases
// need.
func (s *Store) UpgradePending() bool { return s.upgradePending }

// FinishUpgrade removes from the database what only servers of earlier releases need. None of them may run any more.
func (s *Store) FinishUpgrade(ctx context.Context) (err error) {
	defer wrap("finish upgrade", &err)
	conn, err := s.direct.alone(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `SET lock_timeout = '`+contractLockTimeout+`'`); err != nil {
		return err
	}
	return applyMigrations(ctx, conn, contract())
}

// Close waits for the calls that run, and disconnects. Calls after Close return errors.
func (s *Store) Close() {
	s.users.close()
	s.usersByKey.close()
	s.organisations.close()
	s.firstHeartbeats.close()
	s.health.close()
	s.pool.Close()
}

// Connections are numbers of connections to the database, and of calls that wait for one.
type Connections struct{ InUse, Idle, Max, Waiting int }

// Connections returns the current numbers of connections.
func (s *Store) Connections() Connections {
	stat := s.pool.Stat()
	return Connections{
		InUse: int(stat.AcquiredConns()), Idle: int(stat.IdleConns()), Max: int(stat.MaxConns()),
		Waiting: int(s.pool.waiting.Load()),
	}
}

// inTx runs fn in a transaction, and again if Postgres has ended the transaction because of a deadlock, or if the
// connection broke before the transaction was committed.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	return repeatDeadlocks(func() error { return s.inTxOnce(ctx, fn) })
}

// repeatDeadlocks calls fn again if Postgres has ended its transaction, or its statement, because of a deadlock.
func repeatDeadlocks(fn func() error) error {
	var err error
	for range transactionTries {
		if err = fn(); !isDeadlock(err) {
			break
		}
	}
	return err
}

func (s *Store) inTxOnce(ctx context.Context, fn func(pgx.Tx) error) error {
	committing := false
	run := func() error {
		return s.pool.begin(ctx, func(tx pgx.Tx) error {
			err := fn(tx)
			committing = err == nil
			return err
		})
	}
	err := run()
	if s.pool.repeats(ctx, err, !committing) {
		err = run()
	}
	return err
}

// announcingChange runs fn in a transaction, as inTx does, and announces EventChange if fn returns no error.
func (s *Store) announcingChange(ctx context.Context, fn func(pgx.Tx) error) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return announce(ctx, tx, EventChange)
	})
}

// announcingRows runs a statement, and announces an event if it changes a row.
func (s *Store) announcingRows(ctx context.Context, event Event, sql string, args ...any) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return announce(ctx, tx, event)
	})
}
