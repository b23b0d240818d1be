package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/singleflight"
)

const (
	// healthTimeout bounds a check of the database. Those who poll a server's health give up after a few seconds.
	healthTimeout = 2 * time.Second
	// healthStatementTimeout is how long Postgres may take for a statement of a check, so that one that waits for a lock
	// neither costs the connection nor the whole time.
	healthStatementTimeout = time.Second
	// writeInterval is the minimum time between two writes of checks: anybody may cause a check.
	writeInterval = time.Second
)

// writeProbe extends a file of the database by some 100 KB, which fails when the disk is full. The table belongs to the
// connection, and is emptied by the end of the transaction.
const writeProbe = `
	CREATE TEMPORARY TABLE IF NOT EXISTS gatehouse_health (filler text) ON COMMIT DELETE ROWS;
	INSERT INTO gatehouse_health SELECT repeat('x', 1000) FROM generate_series(1, 100)`

// Why the database does not serve writes, although it answers.
var (
	// ErrReadOnly is returned when the server is a standby, or was made read-only.
	ErrReadOnly = errors.New("the database accepts no writes")
	// ErrDiskFull is returned when Postgres has no space left for what it has to store.
	ErrDiskFull = errors.New("the disk of the database is full")
	// ErrNoConnectionLeft is returned when as many clients are connected as Postgres allows.
	ErrNoConnectionLeft = errors.New("the database has no connection left")
)

// Health is what a check of the database has found.
type Health struct {
	// Nodes counts the nodes; nil if they could not be counted.
	Nodes *NodeCount
}

// NodeCount counts the registered nodes, and those of them that are behind (SetNodesBehind).
type NodeCount struct{ Registered, Behind int }

var errClosed = errors.New("the store is closed")

// healthCheck checks the database on a connection of its own: how busy the others are is nobody's health. Callers that
// come during a check share its result, so that any number of them costs one statement at a time.
type healthCheck struct {
	shared singleflight.Group

	mu   sync.Mutex // guards the fields below, for the time of a check, which is at most healthTimeout
	conn *pgx.Conn  // nil if there is none yet, or it has failed
	// pooling is that of the connection. Settings would remain in sessions that belong to a transaction.
	pooling Pooling
	closed  bool
	// written is when a write was last tried, and unwritable the error of that.
	written    time.Time
	unwritable error
}

// run checks the database once, for all who check the same: it calls use with the connection that there is or, if it
// has broken since the last time, with one that connect returns. Not with the first caller's context: the others would
// fail with it.
func (h *healthCheck) run(
	ctx context.Context, what string, connect func(context.Context) (*pgx.Conn, error),
	use func(context.Context, *pgx.Conn) (any, error),
) (any, error) {
	result, err, _ := h.shared.Do(what, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
		defer cancel()
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := h.ensureConnected(ctx, connect); err != nil {
			return nil, err
		}
		return use(ctx, h.conn)
	})
	return result, err
}

// ensureConnected has h.conn be a connection on which the database answers. h.mu must be held.
func (h *healthCheck) ensureConnected(
	ctx context.Context, connect func(context.Context) (*pgx.Conn, error),
) (err error) {
	if h.closed {
		return errClosed
	}
	if h.conn != nil && h.conn.Ping(ctx) == nil {
		return nil
	}
	h.disconnect(ctx)
	if h.conn, err = connect(ctx); err != nil {
		return err
	}
	if h.pooling == PoolsTransactions {
		return nil
	}
	const limit = `SELECT set_config('statement_timeout', $1, false)`
	_, err = h.conn.Exec(ctx, limit, strconv.FormatInt(healthStatementTimeout.Milliseconds(), 10))
	if err != nil {
		h.disconnect(ctx)
	}
	return err
}

// checkWrites returns ErrReadOnly or ErrDiskFull if the database cannot store anything. h.mu must be held.
func (h *healthCheck) checkWrites(ctx context.Context, conn *pgx.Conn, now time.Time) error {
	switch err := checkReadOnly(ctx, conn); {
	case err != nil:
		return err
	case now.Sub(h.written).Abs() < writeInterval:
		return h.unwritable
	}
	h.written = now
	_, err := conn.Exec(ctx, writeProbe)
	h.unwritable = unwritable(err)
	return h.unwritable
}

// checkReadOnly returns ErrReadOnly if the transactions of a session cannot write.
func checkReadOnly(ctx context.Context, db querier) error {
	readOnly, err := queryValue[bool](ctx, db, `SELECT current_setting('transaction_read_only')::boolean`)
	if err == nil && readOnly {
		err = ErrReadOnly
	}
	return err
}

// unwritable returns why the database cannot store anything, if the error of writeProbe says so.
func unwritable(err error) error {
	switch sqlState(err) {
	case diskFull:
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case readOnlyTransaction:
		return ErrReadOnly
	case insufficientPrivilege: // to create temporary tables: nothing is known about the disk
		return nil
	}
	return err
}

func (h *healthCheck) disconnect(ctx context.Context) {
	if h.conn != nil {
		_ = h.conn.Close(ctx) // an error says that it is closed already
	}
	h.conn = nil
}

// close waits for a check, and disconnects.
func (h *healthCheck) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.conn != nil {
		_ = h.conn.PgConn().Conn().Close()
	}
	h.conn = nil
}

// answers returns an error if the database does not answer.
func (h *healthCheck) answers(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) error {
	_, err := h.run(ctx, "answers", connect, func(context.Context, *pgx.Conn) (any, error) {
		return nil, nil //nolint:nilnil // run has found that it does
	})
	return err
}

// executes reports whether the session with the process ID executes a statement. It returns an error if the database
// does not answer. Behind a pooler, which hides the sessions, each one counts as executing.
func (h *healthCheck) executes(
	ctx context.Context, pid uint32, connect func(context.Context) (*pgx.Conn, error),
) (bool, error) {
	if h.pooling != NoPooler {
		return true, h.answers(ctx, connect)
	}
	executes, err := h.run(ctx, "session "+strconv.FormatUint(uint64(pid), 10), connect,
		func(ctx context.Context, conn *pgx.Conn) (any, error) {
			return queryValue[bool](ctx, conn, `SELECT EXISTS (
				SELECT FROM pg_stat_activity WHERE pid = $1 AND coalesce(state NOT LIKE 'idle%', true))`, pid)
		})
	return executes == true, err
}

// unfit returns why a database is unfit, if err says so.
func unfit(err error) error {
	switch {
	case sqlState(err) == tooManyConnections:
		return fmt.Errorf("%w: %w", ErrNoConnectionLeft, err)
	case errors.Is(err, pgconn.ErrReadOnlyConnection), errors.Is(err, pgconn.ErrStandbyConnection):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}
