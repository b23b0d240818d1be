package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A pooler of connections, such as PgBouncer, may give each transaction of a client another session of Postgres
// (transaction mode). Then nothing that belongs to a session works: prepared statements, LISTEN, advisory locks,
// settings.

var (
	// ErrPooler is returned by Open if the connection string leads to a pooler in transaction mode, and there is no other
	// one for what needs a session.
	ErrPooler = errors.New("connects through a pooler that gives each transaction another session " +
		"(PgBouncer: pool_mode=transaction)")
	// ErrStatementPooler is returned by Open if a connection string leads to a pooler that allows no transactions.
	ErrStatementPooler = errors.New("connects through a pooler that does not allow transactions " +
		"(PgBouncer: pool_mode=statement)")
)

const (
	// poolerRounds is how often two connections are compared, if a pooler is there. One round misses about half of the
	// poolers in transaction mode that other clients use at the same time. It takes some milliseconds.
	poolerRounds = 25
	// poolerTimeout bounds a round. In session mode, a pooler may have no session left for the second connection.
	poolerTimeout = 5 * time.Second
	// protocolViolation is the SQLSTATE with which PgBouncer refuses BEGIN in statement mode.
	protocolViolation = "08P01"
)

// Pooling is how a pooler between the program and Postgres assigns sessions to connections.
type Pooling int

// NoPooler is a connection to Postgres itself. A pooler of PoolsSessions gives a connection a session of its own, one
// of PoolsTransactions may give it another one for each transaction.
const (
	NoPooler Pooling = iota
	PoolsSessions
	PoolsTransactions
)

// pooling returns how a pooler that connections lead to assigns sessions. It returns ErrStatementPooler for one that
// allows no transactions.
//
// A pooler sends its clients process IDs of its own, of which Postgres does not know. If it does that, a second
// connection shows how it assigns sessions: while both are connected, the second must not get the session of the first,
// nor the first another one because the second holds it in a transaction.
func (c *connector) pooling(ctx context.Context) (Pooling, error) {
	first, err := c.alone(ctx)
	if err != nil {
		return NoPooler, err
	}
	defer first.Close(context.WithoutCancel(ctx))
	session, err := sessionOf(ctx, first)
	if err != nil || session == first.PgConn().PID() {
		return NoPooler, err
	}
	for range poolerRounds {
		round, cancel := context.WithTimeout(ctx, poolerTimeout)
		pools, err := c.sharesSession(round, first)
		full := round.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case full: // the first connection occupies the only session that is left
			return PoolsSessions, nil
		case err != nil:
			return PoolsSessions, err
		case pools:
			return PoolsTransactions, nil
		}
	}
	return PoolsSessions, nil
}

// sharesSession reports whether a second connection uses the session of the first, or drives the first from it.
func (c *connector) sharesSession(ctx context.Context, first *pgx.Conn) (bool, error) {
	before, err := sessionOf(ctx, first)
	if err != nil {
		return false, err
	}
	second, err := c.alone(ctx)
	if err != nil {
		return false, err
	}
	defer second.Close(context.WithoutCancel(ctx))
	var other, after uint32
	err = pgx.BeginFunc(ctx, second, func(tx pgx.Tx) error {
		if other, err = sessionOf(ctx, tx); err != nil || other == before {
			return err
		}
		after, err = sessionOf(ctx, first)
		return err
	})
	if sqlState(err) == protocolViolation {
		return false, ErrStatementPooler
	}
	return err == nil && (other == before || after != before), err
}

// sessionOf returns the process ID of the session that a statement runs in.
func sessionOf(ctx context.Context, db querier) (uint32, error) {
	// The simple protocol leaves no prepared statement in the session.
	pid, err := queryValue[int64](ctx, db, `SELECT pg_backend_pid()::bigint`, pgx.QueryExecModeSimpleProtocol)
	return uint32(pid), err
}

// checkPoolers returns how the connections of the pool are pooled. If that is by transactions, their statements are not
// prepared by a name. It returns an error if then what needs a session has none.
func checkPoolers(ctx context.Context, pooled, direct *connector) (Pooling, error) {
	pools, err := pooled.pooling(ctx)
	switch {
	case err != nil:
		return pools, fmt.Errorf("connect to the database: %w", err)
	case pools == PoolsTransactions && direct == pooled:
		return pools, fmt.Errorf("the connection string %w: "+
			"set GATEHOUSE_DIRECT_DATABASE_URL to one that leads to Postgres itself, or use session mode", ErrPooler)
	case direct == pooled:
		return pools, nil
	}
	if pools == PoolsTransactions && pooled.config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		pooled.config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	ofDirect, err := direct.pooling(ctx)
	switch {
	case err != nil:
		return pools, fmt.Errorf("connect to the database directly: %w", err)
	case ofDirect == PoolsTransactions:
		return pools, fmt.Errorf("the direct connection string %w, too: it must lead to Postgres itself", ErrPooler)
	}
	return pools, nil
}
