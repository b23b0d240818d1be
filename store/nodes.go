package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// nodeLifetime is how long a node is registered without a heartbeat. A gateway sends one every two seconds
// (docs/behaviour.md#heartbeat).
const nodeLifetime = 60 * time.Second

// Node is a registered Tyk Gateway.
type Node struct {
	ID string
	// SessionID is the gateway's own ID, which changes each time it starts.
	SessionID string
	Hostname  string
	FirstSeen time.Time
	LastSeen  time.Time
}

const nodeColumns = `id, session_id, hostname, first_seen, last_seen`

// RegisterNode registers a node and returns its ID, which is the same for the same session. Without a session ID, each
// call registers a new node.
func (s *Store) RegisterNode(ctx context.Context, sessionID, hostname string) (id string, err error) {
	defer wrap("register node", &err)
	now := s.now()
	if sessionID == "" {
		sessionID = s.ids.UUID()
	}
	// Nodes that have gone are deleted here. SKIP LOCKED: concurrent registrations would wait for each other's
	// deletions.
	return queryValue[string](ctx, s.pool, `
		WITH gone AS (
			SELECT id FROM nodes WHERE last_seen < @gone AND session_id <> @session_id FOR UPDATE SKIP LOCKED
		), deleted AS (DELETE FROM nodes WHERE id IN (SELECT id FROM gone))
		INSERT INTO nodes (`+nodeColumns+`) VALUES (@id, @session_id, @hostname, @now, @now)
		ON CONFLICT (session_id) DO UPDATE SET hostname = excluded.hostname, last_seen = excluded.last_seen
		RETURNING id`,
		pgx.StrictNamedArgs{
			"id": s.ids.UUID(), "session_id": sessionID, "hostname": hostname,
			"now": now, "gone": now.Add(-nodeLifetime),
		})
}

// RecordHeartbeat keeps a node registered. It returns ErrNotFound if the node is not registered, or its last heartbeat
// is too old.
func (s *Store) RecordHeartbeat(ctx context.Context, id string) (err error) {
	defer wrap("record heartbeat", &err)
	now := s.now()
	return execRow(ctx, s.pool, `UPDATE nodes SET last_seen = $2 WHERE id = $1 AND last_seen >= $3`,
		id, now, now.Add(-nodeLifetime))
}

// DeleteNode deletes a node, or returns ErrNotFound.
func (s *Store) DeleteNode(ctx context.Context, id string) (err error) {
	defer wrap("delete node", &err)
	return execRow(ctx, s.pool, `DELETE FROM nodes WHERE id = $1`, id)
}

// Nodes lists the registered nodes, oldest first.
func (s *Store) Nodes(ctx context.Context) (nodes []Node, err error) {
	defer wrap("list nodes", &err)
	return queryRows[Node](ctx, s.pool,
		`SELECT `+nodeColumns+` FROM nodes WHERE last_seen >= $1 ORDER BY first_seen, id`, s.now().Add(-nodeLifetime))
}

// CountNodes counts the registered nodes.
func (s *Store) CountNodes(ctx context.Context) (n int, err error) {
	defer wrap("count nodes", &err)
	return queryValue[int](ctx, s.pool, `SELECT count(*) FROM nodes WHERE last_seen >= $1`, s.now().Add(-nodeLifetime))
}

// NewNodeNonce returns a nonce for an answer to a gateway. It is not stored: the gateway sends it back, but nothing
// depends on it (docs/behaviour.md#registration).
func (s *Store) NewNodeNonce() string { return s.ids.UUID() }
