package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/time/rate"
)

// ErrUnavailable is returned when the database grants no connection in time: it does not answer, has no free
// connection, or none of its servers accepts writes. Nothing was executed.
var ErrUnavailable = errors.New("no connection to the database")

const (
	// acquireTimeouts is how many times the timeout of a small statement a call waits for a connection: longer than one,
	// so that it gets the place of a statement that has hung.
	acquireTimeouts = 2
	// refusedPause is how long the pool has one connection less after Postgres has refused one for want of a free one.
	refusedPause = time.Second
	// unreachablePause is the same after a failure to connect. Writes go on at most so long after a failover.
	unreachablePause = 200 * time.Millisecond
	// minResetInterval is the minimum time between two resets of the pool, so that a server that stays read-only does
	// not cause a new connection for every write.
	minResetInterval = time.Second
)

// pool is the connections of a Store, and the only place that waits for connections and repeats statements:
//
//   - A call waits for a connection, up to acquireTimeout. While Postgres refuses new connections, calls share those
//     that there are: each refusal takes one slot away for a while. Calls for an organisation share its part (shares).
//   - A call whose connection broke is repeated once, on another connection, if it cannot have had an effect
//     (repeats). The deadline of each statement, which finds connections that hang, is set by deadlines.
type pool struct {
	*pgxpool.Pool

	slots          chan struct{} // has an element for each connection that is in use, and for each that was refused
	shares         *shares
	acquireTimeout time.Duration
	reset          rate.Sometimes
	waiting        atomic.Int64 // number of calls that wait for a connection
}

func newPool(connections *pgxpool.Pool, statementTimeout time.Duration) *pool {
	return &pool{
		Pool: connections, slots: make(chan struct{}, connections.Config().MaxConns),
		shares:         newShares(int(connections.Config().MaxConns)),
		acquireTimeout: acquireTimeouts * statementTimeout,
		reset:          rate.Sometimes{Interval: minResetInterval},
	}
}

// connection is a connection that is in use until its release.
type connection struct {
	*pgxpool.Conn

	slots chan struct{}
	lease lease
	use   use
}

func (c connection) release() {
	c.Release()
	<-c.slots
	c.lease.release()
	c.use.end()
}

// connection waits for a connection. It returns an error that wraps ErrUnavailable if there is none in time.
func (p *pool) connection(ctx context.Context) (connection, error) {
	used := beginUse(ctx)
	conn, err := p.wait(ctx)
	if err != nil {
		used.end()
		return connection{}, err
	}
	conn.use = used
	return conn, nil
}

// wait waits for a connection, which counts for the organisation of the call.
func (p *pool) wait(ctx context.Context) (connection, error) {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	waiting, cancel := context.WithTimeout(ctx, p.acquireTimeout)
	defer cancel()
	place, err := p.shares.acquire(waiting)
	if err != nil {
		return connection{}, p.unavailable(ctx, nil)
	}
	conn, err := p.free(ctx, waiting)
	if err != nil {
		place.release()
		return connection{}, err
	}
	conn.lease = place
	return conn, nil
}

// free waits for a connection, as long as waiting, a context that ends with ctx, has not ended.
func (p *pool) free(ctx, waiting context.Context) (connection, error) {
	var refusal error
	for {
		select {
		case p.slots <- struct{}{}:
		case <-waiting.Done():
			return connection{}, p.unavailable(ctx, refusal)
		}
		conn, err := p.Acquire(waiting)
		if err == nil {
			return connection{Conn: conn, slots: p.slots}, nil
		}
		pause := unreachablePause
		switch {
		case waiting.Err() != nil:
			<-p.slots
			return connection{}, p.unavailable(ctx, refusal)
		case !mayConnectLater(err):
			<-p.slots
			return connection{}, err
		case sqlState(err) == tooManyConnections:
			pause = refusedPause
		}
		refusal = err
		time.AfterFunc(pause, func() { <-p.slots })
	}
}

// unavailable is the error of a caller that got no connection. The refusal, if any, is why.
func (p *pool) unavailable(ctx context.Context, refusal error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case refusal != nil:
		return fmt.Errorf("%w within %s: %w", ErrUnavailable, p.acquireTimeout, refusal)
	}
	return fmt.Errorf("%w within %s", ErrUnavailable, p.acquireTimeout)
}

// Query implements querier. The connection is released when the rows are closed.
//
//nolint:ireturn // implements querier
func (p *pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	conn, err := p.connection(ctx)
	if err != nil {
		return failedRows{err: err}, err
	}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		conn.release()
		return failedRows{err: err}, err
	}
	return &pooledRows{Rows: rows, conn: conn}, nil
}

// Exec implements querier.
func (p *pool) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = p.repeat(ctx, isRead(sql), func() error {
		conn, err := p.connection(ctx)
		if err != nil {
			return err
		}
		defer conn.release()
		tag, err = conn.Exec(ctx, sql, args...)
		return err
	})
	return tag, err
}

// begin runs fn in a transaction.
func (p *pool) begin(ctx context.Context, fn func(pgx.Tx) error) error {
	return p.beginWith(ctx, pgx.TxOptions{}, fn)
}

func (p *pool) beginWith(ctx context.Context, options pgx.TxOptions, fn func(pgx.Tx) error) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	defer conn.release()
	return pgx.BeginTxFunc(ctx, conn, options, fn)
}

// acquire implements connections. The callers that share a look-up by keys may be of several organisations, and each
// counts for its own Times.
//
//nolint:ireturn // implements connections
func (p *pool) acquire(ctx context.Context) (conn querier, release func(), err error) {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	waiting, cancel := context.WithTimeout(ctx, p.acquireTimeout)
	defer cancel()
	c, err := p.free(ctx, waiting)
	if err != nil {
		return nil, nil, err
	}
	return c, c.release, nil
}

func (p *pool) size() int { return cap(p.slots) }

func (p *pool) busy(ctx context.Context) bool {
	return len(p.slots) == cap(p.slots) || p.shares.full(ctx)
}

// repeat runs a call, and once more if repeats allows it.
func (p *pool) repeat(ctx context.Context, harmless bool, call func() error) error {
	err := call()
	if p.repeats(ctx, err, harmless) {
		err = call()
	}
	return err
}

// repeats reports whether a call that failed can succeed on another connection, and cannot have had an effect: nothing
// was sent, a server has refused to write, or the call is harmless: it only reads, or its transaction was not
// committed. A server that refuses to write may have become a standby: no connection to it is used again.
func (p *pool) repeats(ctx context.Context, err error, harmless bool) bool {
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, ErrUnavailable):
		return false
	case sqlState(err) == readOnlyTransaction:
		p.reset.Do(p.Reset)
		return true
	}
	return wasNotSent(err) || harmless && isBroken(err)
}

// wasNotSent reports whether a statement failed before a byte of it was sent. Of a connection that is closed, pgx says
// so too when it was closed while the response was awaited.
func wasNotSent(err error) bool {
	return pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
}

// isRead reports whether a statement changes nothing, so that it may run twice.
func isRead(sql string) bool { return strings.HasPrefix(strings.TrimSpace(sql), "SELECT ") }

// isBroken reports whether a connection has broken, or has hung until a deadline.
func isBroken(err error) bool {
	switch code := sqlState(err); code {
	case adminShutdown, crashShutdown, cannotConnectNow:
		return true
	case "":
		var network net.Error
		return errors.As(err, &network) || pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) ||
			errors.Is(err, context.Canceled) || // by deadlines.watch: repeats has looked at the context of the call
			errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, net.ErrClosed) ||
			errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	return false
}

// mayConnectLater reports whether connecting has failed for a reason that may go away without a change of the
// settings.
func mayConnectLater(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); !ok {
		return errors.Is(err, errMoved)
	}
	switch code := sqlState(err); code {
	case "":
		var certificate *tls.CertificateVerificationError
		return !errors.As(err, &certificate)
	case invalidCatalogName, insufficientPrivilege:
		return false
	default:
		return code[:2] != classInvalidAuthorization
	}
}

// pooledRows releases the connection of rows when they are closed.
type pooledRows struct {
	pgx.Rows

	conn   connection
	closed bool
}

// Close implements pgx.Rows.
func (r *pooledRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.conn.release()
}

// Next implements pgx.Rows.
func (r *pooledRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// failedRows are the rows of a query that got no connection.
type failedRows struct {
	pgx.Rows

	err error
}

// Close implements pgx.Rows.
func (failedRows) Close() {}

// Err implements pgx.Rows.
func (r failedRows) Err() error { return r.err }

// Next implements pgx.Rows.
func (failedRows) Next() bool { return false }

// CommandTag implements pgx.Rows.
func (failedRows) CommandTag() pgconn.CommandTag { return pgconn.CommandTag{} }
