package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// nodeLife is how long a node stays known without a heartbeat. A gateway sends one every two seconds (facts gateway §2).
const nodeLife = 60 * time.Second

// Node is a Tyk Gateway that has registered.
type Node struct {
	ID string
	// SessionID is what the gateway names itself, anew at each of its starts.
	SessionID string
	Hostname  string
	FirstSeen time.Time
	LastSeen  time.Time
}

// RegisterNode makes a node known and returns its id, which is the same for the same session. A gateway that names no
// session is a new node each time.
func (s *Store) RegisterNode(ctx context.Context, sessionID, hostname string) (string, error) {
	now := s.now()
	if sessionID == "" {
		sessionID = s.ids.UUID()
	}
	// Nodes that are gone are swept here. Who sweeps at the same time takes others: two would wait for each other.
	rows, _ := s.pool.Query(ctx, `
		WITH gone AS (
			SELECT id FROM nodes WHERE last_seen < @gone AND session_id <> @session_id FOR UPDATE SKIP LOCKED
		), swept AS (DELETE FROM nodes WHERE id IN (SELECT id FROM gone))
		INSERT INTO nodes (id, session_id, hostname, first_seen, last_seen) VALUES (@id, @session_id, @hostname, @now, @now)
		ON CONFLICT (session_id) DO UPDATE SET hostname = excluded.hostname, last_seen = excluded.last_seen
		RETURNING id`,
		pgx.StrictNamedArgs{
			"id": s.ids.UUID(), "session_id": sessionID, "hostname": hostname, "now": now, "gone": now.Add(-nodeLife),
		})
	id, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	return id, translate(err)
}

// RecordHeartbeat notes a node's heartbeat. ErrNotFound: it is unknown, or has been unseen for a minute.
func (s *Store) RecordHeartbeat(ctx context.Context, id string) error {
	now := s.now()
	return s.exec(ctx, `UPDATE nodes SET last_seen = @now WHERE id = @id AND last_seen >= @gone`,
		pgx.StrictNamedArgs{"id": id, "now": now, "gone": now.Add(-nodeLife)})
}

// DeleteNode forgets a node. ErrNotFound.
func (s *Store) DeleteNode(ctx context.Context, id string) error {
	return s.exec(ctx, `DELETE FROM nodes WHERE id = @id`, pgx.StrictNamedArgs{"id": id})
}

const liveNodes = ` FROM nodes WHERE last_seen >= @gone`

// Nodes lists the nodes that live, oldest first.
func (s *Store) Nodes(ctx context.Context) ([]Node, error) {
	rows, _ := s.pool.Query(ctx, `SELECT id, session_id, hostname, first_seen, last_seen`+liveNodes+` ORDER BY first_seen, id`,
		pgx.StrictNamedArgs{"gone": s.now().Add(-nodeLife)})
	nodes, err := pgx.CollectRows(rows, pgx.RowToStructByName[Node])
	return nodes, translate(err)
}

// CountNodes counts the nodes that live.
func (s *Store) CountNodes(ctx context.Context) (int, error) {
	return s.count(ctx, `SELECT count(*)`+liveNodes, pgx.StrictNamedArgs{"gone": s.now().Add(-nodeLife)})
}
