package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// nodeLifetime is how long a node is registered without a heartbeat. A gateway sends one every two seconds
// (docs/behaviour.md#heartbeat).
const nodeLifetime = 60 * time.Second

const (
	// HeartbeatDelay is how long a heartbeat may be collected before it is written. A gateway sends one every two
	// seconds, and three seconds after a change the leader looks for gateways that have sent one since the change, but
	// have not fetched it: what is left is one second.
	HeartbeatDelay = time.Second
	// fetchDelay is how long a fetch may be collected: little against the three seconds in which a gateway has to fetch a
	// change.
	fetchDelay = 100 * time.Millisecond
	// knownTime is how long a node's heartbeats are collected after the last one that the database has. Until then it
	// cannot be forgotten, whatever other servers do.
	knownTime = nodeLifetime / 2
	// staleTime is how long a heartbeat is tried to be written. Together with knownTime, it leaves ten seconds of
	// nodeLifetime to the statement and to clocks that differ: no heartbeat is written for a node that another server may
	// have registered anew since.
	staleTime = nodeLifetime / 3
	// maxNodeRows bounds the nodes of a statement, so that none takes seconds: ten thousand take 50 to 100 ms.
	maxNodeRows = 5000
	// lastWriteTimeout bounds the write at the end of a server, which has others to wait for.
	lastWriteTimeout = time.Second
)

// heartbeats collects what nodes do on this server, so that one statement writes it for all of them: an UPDATE for each
// heartbeat takes all of a small machine for some thousand gateways that do nothing.
//
// Only a node that the database has is in memory: its first heartbeat is written at once, and its later ones are
// collected while knownTime lasts. So the first heartbeat after a registration is always written before its response.
// RegisterNode resets Node.Pinged only of a node that was not seen for nodeLifetime, which no server knows by then.
//
// What is collected is lost when a server is killed, which does no harm. A node stays registered for nodeLifetime after
// the last heartbeat that was written, and sends the next one in two seconds; a node whose fetch is lost is notified
// once more. A node that is deleted through another server is known here until the next statement does not find it:
// gateways deregister when they end.
type heartbeats struct {
	mu      sync.Mutex           // guards the following, for the time of a look at the nodes
	running bool                 // whether WriteNodes runs: else nothing is collected
	nodes   map[string]*activity // by ID
	fetched bool                 // whether a fetch is collected
}

// activity is what is collected of a node. A time is zero if there is nothing to write.
type activity struct {
	// written is when the last heartbeat was received that the database has.
	written        time.Time
	ping           time.Time
	policies, apis time.Time // when the last fetches began
}

// isCollected reports whether there is anything to write.
func (a activity) isCollected() bool { return a != activity{written: a.written} }

// nodeActivity is what a node has done.
type nodeActivity struct {
	id string
	activity
}

// collect has a node's activity written later. It returns false if it has to be written at once, because the node is
// not known.
func (h *heartbeats) collect(now time.Time, seen nodeActivity) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	node := h.nodes[seen.id]
	if !h.running || node == nil || now.Sub(node.written) >= knownTime {
		return false
	}
	node.ping = later(node.ping, seen.ping)
	node.policies = later(node.policies, seen.policies)
	node.apis = later(node.apis, seen.apis)
	h.fetched = h.fetched || seen.ping.IsZero()
	return true
}

// add makes a node known, of which the database has a heartbeat.
func (h *heartbeats) add(id string, written time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		return
	}
	if h.nodes[id] == nil {
		h.nodes[id] = &activity{}
	}
	h.nodes[id].written = later(h.nodes[id].written, written)
}

// remove forgets a node that the database does not have.
func (h *heartbeats) remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.nodes, id)
}

// setRunning begins or ends the collection. What has been collected stays.
func (h *heartbeats) setRunning(running bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = running
	if h.nodes == nil {
		h.nodes = map[string]*activity{}
	}
}

// hasFetches reports whether a fetch is collected.
func (h *heartbeats) hasFetches() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fetched
}

// collected returns what is to be written, and forgets nodes that have sent no heartbeat to this server for knownTime.
func (h *heartbeats) collected(now time.Time) (all []nodeActivity) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fetched = false
	for id, node := range h.nodes {
		if now.Sub(node.ping) >= staleTime {
			node.ping = time.Time{}
		}
		switch {
		case node.isCollected():
			all = append(all, nodeActivity{id, *node})
		case now.Sub(node.written) >= knownTime:
			delete(h.nodes, id)
		}
	}
	return all
}

// settle records what was written. Nodes that were not found are forgotten, unless they have been added again.
func (h *heartbeats) settle(written []nodeActivity, found []string) {
	isFound := make(map[string]bool, len(found))
	for _, id := range found {
		isFound[id] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, each := range written {
		node := h.nodes[each.id]
		switch {
		case node == nil: // deleted meanwhile
		case !isFound[each.id] && !node.written.After(each.written):
			delete(h.nodes, each.id)
		default:
			node.written = later(node.written, each.ping)
			node.ping = unlessEqual(node.ping, each.ping)
			node.policies = unlessEqual(node.policies, each.policies)
			node.apis = unlessEqual(node.apis, each.apis)
		}
	}
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// unlessEqual returns t, or zero if t is what was written.
func unlessEqual(t, written time.Time) time.Time {
	if t.Equal(written) {
		return time.Time{}
	}
	return t
}

// laterFetch is the value of apis_fetched after a fetch that began at the time apis. The fetch counts only if it began
// after the last registration: the gateway may have registered because it had to give that fetch up, on another server
// than the one that has collected it.
const laterFetch = `CASE WHEN apis < registered THEN apis_fetched ELSE greatest(apis_fetched, apis) END`

// heartbeatOf writes a heartbeat of a node that is registered, and returns the node's ID.
func heartbeatOf(now func() time.Time) lookup[string] {
	return lookup[string]{
		single: func(ctx context.Context, db querier, id string) (string, error) {
			at := now()
			return queryValue[string](ctx, db,
				`UPDATE nodes SET last_seen = $2, pinged = true WHERE id = $1 AND last_seen >= $3 RETURNING id`,
				id, at, at.Add(-nodeLifetime))
		},
		many: func(ctx context.Context, db querier, ids []string) ([]string, error) {
			nodes, at := make([]nodeActivity, 0, len(ids)), now()
			for _, id := range ids {
				nodes = append(nodes, nodeActivity{id, activity{ping: at}})
			}
			return writeNodes(ctx, db, nodes)
		},
		key: func(id string) string { return id },
	}
}

// writeNodes writes what nodes have done, and returns the IDs of those that are registered. A node is not if its last
// heartbeat before that one is too old.
//
// Rows are locked in one order, so that servers which write the same nodes do not end in a deadlock.
func writeNodes(ctx context.Context, db querier, nodes []nodeActivity) ([]string, error) {
	ids := make([]string, len(nodes))
	pings, policies, apis := make([]*time.Time, len(nodes)), make([]*time.Time, len(nodes)), make([]*time.Time, len(nodes))
	for i := range nodes {
		node := &nodes[i]
		ids[i], pings[i], policies[i], apis[i] =
			node.id, nonZero(&node.ping), nonZero(&node.policies), nonZero(&node.apis)
	}
	return queryColumn[string](ctx, db, `
		WITH seen AS (
			SELECT seen.id, seen.ping, seen.policies, seen.apis
			FROM unnest(@ids::text[], @pings::timestamptz[], @policies::timestamptz[], @apis::timestamptz[])
				AS seen (id, ping, policies, apis)
			JOIN nodes AS node ON node.id = seen.id
			WHERE seen.ping IS NULL OR node.last_seen >= seen.ping - @lifetime::interval
			ORDER BY node.id FOR NO KEY UPDATE OF node
		)
		UPDATE nodes AS node SET
			last_seen = greatest(last_seen, ping), pinged = pinged OR ping IS NOT NULL,
			policies_fetched = greatest(policies_fetched, policies), apis_fetched = `+laterFetch+`
		FROM seen WHERE node.id = seen.id
		RETURNING node.id`,
		pgx.StrictNamedArgs{
			"ids": ids, "pings": pings, "policies": policies, "apis": apis, "lifetime": nodeLifetime,
		})
}

// nonZero returns t, or nil if it is zero.
func nonZero(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}
