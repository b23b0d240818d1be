package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxAbsence is how long no server may have run for ReviveNodes to keep the nodes that there were: far longer than an
// upgrade or a repair.
const maxAbsence = 24 * time.Hour

// Node is a registered Tyk Gateway.
type Node struct {
	ID string
	// SessionID is the gateway's own ID, which changes each time it starts.
	SessionID string
	Hostname  string
	FirstSeen time.Time
	// LastSeen is when the last heartbeat arrived, or one that arrived up to HeartbeatDelay before it.
	LastSeen time.Time
	// Pinged reports whether a heartbeat has arrived since the gateway registered.
	Pinged bool
	// PoliciesFetched and APIsFetched are when the gateway's last requests began that were answered in full, by the
	// clock of the database (Clock); nil if there were none. APIsFetched is also nil after a reload that the gateway had
	// to break off.
	PoliciesFetched, APIsFetched *time.Time
	// Behind is what SetNodesBehind has set.
	Behind bool
	// Registered is when the gateway last registered, by the clock of the database; nil if a server of an earlier release
	// registered it.
	Registered *time.Time
}

const nodeColumns = `
	id, session_id, hostname, first_seen, last_seen, pinged, policies_fetched, apis_fetched, behind, registered`

// ErrNodeRegistered is returned for a session that is registered, and has sent a heartbeat since it registered.
var ErrNodeRegistered = errors.New("the session is registered")

// RegisterNode registers a node and returns its ID, which is the same for the same session. Without a session ID, each
// call registers a new node. It returns ErrNodeRegistered for a session that has sent a heartbeat since it registered,
// and is not forgotten: such a gateway registers because it had to break off a reload, and has to fetch its APIs again.
func (s *Store) RegisterNode(ctx context.Context, sessionID, hostname string) (id string, err error) {
	defer wrap("register node", &err)
	now := s.now()
	if sessionID == "" {
		sessionID = s.ids.UUID()
	}
	// Nodes that have gone are deleted here. SKIP LOCKED: concurrent registrations would wait for each other's
	// deletions.
	node, err := queryRow[registeredNode](ctx, s.pool, `
		WITH gone AS (
			SELECT id FROM nodes WHERE last_seen < @gone AND session_id <> @session_id FOR UPDATE SKIP LOCKED
		), deleted AS (DELETE FROM nodes WHERE id IN (SELECT id FROM gone))
		INSERT INTO nodes AS node (id, session_id, hostname, first_seen, last_seen, pinged, registered)
		VALUES (@id, @session_id, @hostname, @now, @now, false, clock_timestamp())
		ON CONFLICT (session_id) DO UPDATE SET hostname = excluded.hostname, last_seen = excluded.last_seen,
			pinged = node.pinged AND node.last_seen >= @gone, apis_fetched = NULL, registered = excluded.registered
		RETURNING id, pinged`,
		pgx.StrictNamedArgs{
			"id": s.ids.UUID(), "session_id": sessionID, "hostname": hostname,
			"now": now, "gone": now.Add(-nodeLifetime),
		})
	if err == nil && node.Pinged {
		err = ErrNodeRegistered
	}
	return node.ID, err
}

// registeredNode is what RegisterNode reads.
type registeredNode struct {
	ID     string
	Pinged bool
}

// RecordHeartbeat keeps a node registered. It returns ErrNotFound if the node is not registered, or its last heartbeat
// is too old. While WriteNodes runs, only the first heartbeat of a node is written at once: later ones succeed also
// while the database is away, for knownTime.
func (s *Store) RecordHeartbeat(ctx context.Context, id string) (err error) {
	defer wrap("record heartbeat", &err)
	now := s.now()
	if s.heartbeats.collect(now, nodeActivity{id, activity{ping: now}}) {
		return nil
	}
	_, err = s.firstHeartbeats.do(ctx, id)
	switch err = translate(err); {
	case err == nil:
		s.heartbeats.add(id, now)
	case errors.Is(err, ErrNotFound):
		s.heartbeats.remove(id)
	}
	return err
}

// RecordPoliciesFetch records that a node was sent all policies, and when its request began (Clock). An unknown node is
// no error.
func (s *Store) RecordPoliciesFetch(ctx context.Context, id string, began time.Time) (err error) {
	defer wrap("record fetch of policies", &err)
	if !s.heartbeats.collect(s.now(), nodeActivity{id, activity{policies: began}}) {
		_, err = s.pool.Exec(ctx,
			`UPDATE nodes SET policies_fetched = greatest(policies_fetched, $2) WHERE id = $1`, id, began)
	}
	return err
}

// RecordAPIsFetch records that a node was sent all APIs, as RecordPoliciesFetch does for policies.
func (s *Store) RecordAPIsFetch(ctx context.Context, id string, began time.Time) (err error) {
	defer wrap("record fetch of APIs", &err)
	if !s.heartbeats.collect(s.now(), nodeActivity{id, activity{apis: began}}) {
		_, err = s.pool.Exec(ctx, `
			UPDATE nodes AS node SET apis_fetched = `+laterFetch+`
			FROM (VALUES ($1::text, $2::timestamptz)) AS seen (id, apis) WHERE node.id = seen.id`, id, began)
	}
	return err
}

// WriteNodes collects the activity of nodes until ctx ends, and writes it for all nodes together. It calls failed with
// each error, and with nil after a write that succeeds. What an attempt did not write, the next one does.
func (s *Store) WriteNodes(ctx context.Context, failed func(error)) {
	s.heartbeats.setRunning(true)
	ticker := time.NewTicker(fetchDelay)
	defer ticker.Stop()
	var err error
	for tick := 1; ctx.Err() == nil; tick++ {
		select {
		case <-ctx.Done():
			continue
		case <-ticker.C:
		}
		if tick%int(HeartbeatDelay/fetchDelay) == 0 || err == nil && s.heartbeats.hasFetches() {
			if wrote := s.writeCollected(ctx); ctx.Err() == nil {
				err = wrote
				failed(err)
			}
		}
	}
	s.heartbeats.setRunning(false)
	if err != nil { // the database is away
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWriteTimeout)
	defer cancel()
	failed(s.writeCollected(last))
}

// writeCollected writes what was collected.
func (s *Store) writeCollected(ctx context.Context) (err error) {
	defer wrap("write activity of nodes", &err)
	for nodes := range slices.Chunk(s.heartbeats.collected(s.now()), maxNodeRows) {
		found, err := writeNodes(ctx, s.pool, nodes)
		if err != nil {
			return err
		}
		s.heartbeats.settle(nodes, found)
	}
	return nil
}

// Clock returns the time of the database's clock, which is the same for all servers on it.
func (s *Store) Clock(ctx context.Context) (now time.Time, err error) {
	defer wrap("read clock", &err)
	return queryValue[time.Time](ctx, s.pool, `SELECT clock_timestamp()`)
}

// SetNodesBehind sets Behind of nodes, and returns the IDs of those that it has changed.
func (s *Store) SetNodesBehind(ctx context.Context, ids []string, behind bool) (changed []string, err error) {
	defer wrap("set nodes behind", &err)
	return queryColumn[string](ctx, s.pool, `
		UPDATE nodes SET behind = $2
		WHERE id IN (SELECT id FROM nodes WHERE id = ANY ($1) AND behind <> $2 ORDER BY id FOR NO KEY UPDATE)
		RETURNING id`, ids, behind) // in the order of writeNodes
}

// ReviveNodes keeps the nodes registered that could send no heartbeats because no server ran: those that were
// registered when the last heartbeat of any node arrived. It is for the start of a server.
func (s *Store) ReviveNodes(ctx context.Context) (err error) {
	defer wrap("revive nodes", &err)
	now := s.now()
	_, err = s.pool.Exec(ctx, `
		UPDATE nodes SET last_seen = @now
		FROM (SELECT max(last_seen) AS time FROM nodes) AS last
		WHERE last_seen >= last.time - @lifetime::interval AND last.time BETWEEN @oldest AND @absent`,
		pgx.StrictNamedArgs{
			"now": now, "lifetime": nodeLifetime, "oldest": now.Add(-maxAbsence), "absent": now.Add(-nodeLifetime / 2),
		})
	return err
}

// IsRegistered reports whether RecordHeartbeat would find the node, and changes nothing.
func (s *Store) IsRegistered(ctx context.Context, id string) (registered bool, err error) {
	defer wrap("find node", &err)
	return queryValue[bool](ctx, s.pool, `SELECT EXISTS (SELECT FROM nodes WHERE id = $1 AND last_seen >= $2)`,
		id, s.now().Add(-nodeLifetime))
}

// DeleteNode deletes a node, or returns ErrNotFound.
func (s *Store) DeleteNode(ctx context.Context, id string) (err error) {
	defer wrap("delete node", &err)
	err = execRow(ctx, s.pool, `DELETE FROM nodes WHERE id = $1`, id)
	if err == nil || errors.Is(err, ErrNotFound) {
		s.heartbeats.remove(id)
	}
	return err
}

// Nodes lists the registered nodes, oldest first.
func (s *Store) Nodes(ctx context.Context) (nodes []Node, err error) {
	defer wrap("list nodes", &err)
	return queryRows[Node](ctx, s.pool,
		`SELECT `+nodeColumns+` FROM nodes WHERE last_seen >= $1 ORDER BY first_seen, id`, s.now().Add(-nodeLifetime))
}

// NodesLacking lists the registered nodes that have not fetched what was stored at a time, by the database's clock, and
// those that are marked as behind. A node that fetches its policies from elsewhere fetches APIs only.
func (s *Store) NodesLacking(ctx context.Context, changed time.Time) (nodes []Node, err error) {
	defer wrap("list nodes that lack a change", &err)
	return queryRows[Node](ctx, s.pool, `
		SELECT `+nodeColumns+` FROM nodes
		WHERE last_seen >= $1
			AND (behind OR apis_fetched IS NULL OR apis_fetched < $2 OR policies_fetched < $2)
		ORDER BY first_seen, id`, s.now().Add(-nodeLifetime), changed)
}

// Health checks that the database can be read and written, and counts the nodes. It returns an error if the database
// does not answer within two seconds; it wraps ErrReadOnly, ErrDiskFull or ErrNoConnectionLeft if that is the reason.
// The nodes are counted also if there is an error, unless the database does not answer. It needs no connection of the
// pool.
func (s *Store) Health(ctx context.Context) (health Health, err error) {
	defer wrap("check health", &err)
	check := func(ctx context.Context, conn *pgx.Conn) (any, error) {
		var health Health
		counted, err := queryRow[NodeCount](ctx, conn, `
			SELECT count(*) AS registered, count(*) FILTER (WHERE behind) AS behind FROM nodes WHERE last_seen >= $1`,
			s.now().Add(-nodeLifetime))
		if err == nil {
			health.Nodes = &counted
		}
		return health, s.health.checkWrites(ctx, conn, s.now())
	}
	result, err := s.health.run(ctx, "health", s.connections.alone, check)
	health, _ = result.(Health) // there is none if the database does not answer
	return health, unfit(err)
}

// Answers reports whether the database answers within two seconds. It needs no connection of the pool.
func (s *Store) Answers(ctx context.Context) bool {
	return s.health.answers(ctx, s.connections.alone) == nil
}

// NewNodeNonce returns a nonce for an answer to a gateway. It is not stored: the gateway sends it back, but nothing
// depends on it (docs/behaviour.md#registration).
func (s *Store) NewNodeNonce() string { return s.ids.UUID() }
