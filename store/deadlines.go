package store

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// The limits of one statement. Work that takes long consists of many, each of which makes progress: an import has one
// or more for each batch, a list has one for each chunk.
const (
	// defaultStatementTimeout is Config.StatementTimeout, unless it is set. A small statement takes milliseconds.
	defaultStatementTimeout = 5 * time.Second
	// longStatementTimeout is that of statements that may take long (mayTakeLong).
	longStatementTimeout = time.Minute
	// migrationTimeout is for the statements of migrations, which may rewrite a table, and wait for another server that
	// migrates.
	migrationTimeout = 10 * time.Minute
	// abandonedTimeout bounds a small statement that changes rows from when its caller has gone. It is far more than such
	// a statement takes, so that it seldom ends one that Postgres executes, and not one that waits for a locked row.
	abandonedTimeout = time.Second
	// maxFailures is how many checks in a row must fail before a statement that may take long is given up. A busy database
	// may fail to answer once, and a statement may have ended since its client has read the last rows.
	maxFailures = 3
)

// deadlines gives each statement of a connection a deadline, also BEGIN, COMMIT and COPY, so that no caller waits for a
// database that has stopped or cannot be reached. pgx calls it as a tracer: nothing else sees every statement. A
// connection whose statement has reached its deadline is closed.
//
// The deadline of a small statement is set on the socket, which is what pgx does when a context ends: a context for
// each statement would cost a dozen allocations.
type deadlines struct {
	timeout time.Duration
	// executes checks a statement that may take long, on another connection. It returns an error if the database does not
	// answer there, and false if the session with the process ID executes nothing: then the network has lost the statement
	// or its result.
	executes func(ctx context.Context, pid uint32) (bool, error)
	// slow receives the statements that took longer than Config.SlowStatement.
	slow slowStatements
}

type timeoutKey struct{}

// withStatementTimeout returns a context whose statements have another timeout than that of the Store. The longer one
// counts.
func withStatementTimeout(ctx context.Context, timeout time.Duration) context.Context {
	return context.WithValue(ctx, timeoutKey{}, timeout)
}

// mayTakeLong returns a context for statements that may read or write a whole table, or wait for an import.
func mayTakeLong(ctx context.Context) context.Context {
	return withStatementTimeout(ctx, longStatementTimeout)
}

// isLong reports whether the statements of a context may take long.
func isLong(ctx context.Context) bool {
	_, long := ctx.Value(timeoutKey{}).(time.Duration)
	return long
}

// bounded returns the context of a statement that has a deadline, and may take long if the caller's context says so.
func (d deadlines) bounded(ctx context.Context, conn *pgx.Conn) (context.Context, context.CancelFunc) {
	longer, _ := ctx.Value(timeoutKey{}).(time.Duration)
	ctx, cancel := context.WithTimeout(ctx, max(d.timeout, longer))
	if longer > d.timeout {
		cancel = d.watch(ctx, conn.PgConn().PID(), cancel)
	}
	return ctx, cancel
}

// watch cancels a statement that may take long when the database no longer answers, or no longer executes it. It
// returns a function that ends the watch.
func (d deadlines) watch(ctx context.Context, pid uint32, cancel context.CancelFunc) context.CancelFunc {
	var timer *time.Timer
	failures := 0 // consecutive; only the timer's function uses it
	timer = time.AfterFunc(migrationTimeout, func() {
		executes, err := d.executes(ctx, pid)
		failures++
		switch {
		case ctx.Err() != nil:
		case executes && err == nil:
			failures = 0
			timer.Reset(d.timeout)
		case failures == maxFailures:
			cancel()
		case err != nil:
			timer.Reset(0) // the check has waited for an answer already
		default:
			timer.Reset(d.timeout)
		}
	})
	timer.Reset(d.timeout) // after timer has been set
	return func() {
		timer.Stop()
		cancel()
	}
}

// changesRows are the verbs of statements that change rows.
var changesRows = map[string]bool{"INSERT": true, "UPDATE": true, "DELETE": true, "WITH": true}

// abandonable returns a context that ends abandonedTimeout after ctx.
func abandonable(ctx context.Context) (context.Context, context.CancelFunc) {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(abandonedTimeout, cancel) })
	return detached, func() {
		stop()
		cancel()
	}
}

// execution is the context of a statement from its start to its end. It is one allocation, also without the end of its
// parent, which context.WithoutCancel would need another one for.
type execution struct {
	context.Context //nolint:containedctx // its parent

	sql     string
	started time.Time
	// uncancelled has the context not end with its parent.
	uncancelled bool
	// release ends what the statement holds other than the connection; nil if there is nothing.
	release context.CancelFunc
}

type executionKey struct{}

// Deadline implements context.Context.
func (e *execution) Deadline() (deadline time.Time, ok bool) {
	if e.uncancelled {
		return deadline, false
	}
	return e.Context.Deadline()
}

// Done implements context.Context.
func (e *execution) Done() <-chan struct{} {
	if e.uncancelled {
		return nil
	}
	return e.Context.Done()
}

// Err implements context.Context.
func (e *execution) Err() error {
	if e.uncancelled {
		return nil
	}
	return e.Context.Err()
}

// Value implements context.Context.
func (e *execution) Value(key any) any {
	if key == (executionKey{}) {
		return e
	}
	return e.Context.Value(key)
}

// end ends the execution that ctx is of.
func (d deadlines) end(ctx context.Context) {
	e, ok := ctx.Value(executionKey{}).(*execution)
	if !ok {
		return
	}
	d.slow.check(e)
	if e.release != nil {
		e.release()
	}
}

// verbOf returns the first word of a statement.
func verbOf(sql string) string {
	sql = strings.TrimSpace(sql)
	if end := strings.IndexFunc(sql, unicode.IsSpace); end >= 0 {
		sql = sql[:end]
	}
	return strings.ToUpper(sql)
}

// TraceQueryStart implements pgx.QueryTracer.
//
// The cancellation of its caller does not end COMMIT, nor a small statement that reads, unless the caller has a
// deadline: to cancel a statement costs the connection, which takes longer to make again than a small statement takes.
// One that changes rows, which may wait for others, ends abandonedTimeout later. Postgres could have executed it
// already, as COMMIT, and the caller would take the change for one that has failed.
func (d deadlines) TraceQueryStart(
	ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData,
) context.Context {
	e := &execution{Context: ctx, sql: data.SQL, started: time.Now()}
	long := isLong(ctx)
	verb := verbOf(data.SQL)
	_, isBounded := ctx.Deadline()
	e.uncancelled = verb == "COMMIT" || !long && !isBounded && !changesRows[verb]
	if long {
		if e.uncancelled {
			ctx = context.WithoutCancel(ctx)
		}
		e.uncancelled = false // it has a deadline
		e.Context, e.release = d.bounded(ctx, conn)
		return e
	}
	if !conn.IsClosed() { // pgx sets a deadline of its own on a connection that it closes
		_ = conn.PgConn().Conn().SetDeadline(e.started.Add(d.timeout)) // if it fails, the statement fails too
	}
	if changesRows[verb] {
		e.Context, e.release = abandonable(ctx)
	}
	return e
}

// TraceQueryEnd implements pgx.QueryTracer. pgx no longer watches the context of the statement then, which may have
// changed the deadline.
func (d deadlines) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryEndData) {
	d.end(ctx)
	if !conn.IsClosed() {
		_ = conn.PgConn().Conn().SetDeadline(time.Time{}) // if it fails, the next statement fails too
	}
}

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (d deadlines) TraceCopyFromStart(
	ctx context.Context, conn *pgx.Conn, data pgx.TraceCopyFromStartData,
) context.Context {
	e := &execution{sql: copyText(data), started: time.Now()}
	e.Context, e.release = d.bounded(ctx, conn)
	return e
}

// copyText returns what stands for the text of a statement that copies rows.
func copyText(data pgx.TraceCopyFromStartData) string { return "COPY " + data.TableName.Sanitize() }

// TraceCopyFromEnd implements pgx.CopyFromTracer. pgx does not call it if it cannot prepare the statement.
func (d deadlines) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromEndData) {
	d.end(ctx)
}
