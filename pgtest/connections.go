package pgtest

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// connections holds a connection of each database from its first use until the database is dropped: a new connection
// costs some ten times as much as a statement. Templates have none, because nothing may be connected to them.
type connections struct {
	mu  sync.Mutex // guards all, for the time of one access
	all map[string]*connection
}

type connection struct {
	mu   sync.Mutex // held while a statement runs
	conn *pgx.Conn
}

// add keeps the connection of a database from now on.
func (c *connections) add(connString string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]*connection{}
	}
	c.all[connString] = &connection{}
}

// remove closes the connection of a database.
func (c *connections) remove(connString string) {
	c.mu.Lock()
	kept := c.all[connString]
	delete(c.all, connString)
	c.mu.Unlock()
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if kept.conn != nil {
		_ = kept.conn.Close(context.Background())
	}
}

// with calls use with a connection. It is a new one, of this call only, if the kept one is in use: its statement may
// wait for what use does.
func (c *connections) with(t testing.TB, connString string, use func(context.Context, *pgx.Conn)) {
	t.Helper()
	ctx := context.Background()
	c.mu.Lock()
	kept := c.all[connString]
	c.mu.Unlock()
	if kept == nil || !kept.mu.TryLock() {
		conn := connect(t, connString)
		defer conn.Close(ctx)
		use(ctx, conn)
		return
	}
	defer kept.mu.Unlock()
	if kept.conn == nil || kept.conn.IsClosed() || kept.conn.Ping(ctx) != nil {
		kept.conn = connect(t, connString)
	}
	use(ctx, kept.conn)
}

// connect prepares no statements, whose results a change of a table would invalidate.
func connect(t testing.TB, connString string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(connString)
	requireNoError(t, err)
	config.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	conn, err := pgx.ConnectConfig(context.Background(), config)
	requireNoError(t, err)
	return conn
}
