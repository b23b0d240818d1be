package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/internal/gatewaytest"
	"gatehouse/store/storetest"
)

// known registers a node that a server knows: its first heartbeat was written.
func (b *bundle) known(name string) (id string) {
	b.t.Helper()
	id = b.register(session(name))
	b.ping(id).nodeReply()
	return id
}

// nodeOf returns the node that has the ID.
func (b *bundle) nodeOf(id string) (found admin.Node) {
	b.t.Helper()
	for _, node := range b.nodes() {
		if node.Id == id {
			found = node
		}
	}
	return found
}

// locked calls do while another transaction holds the rows of all nodes.
func locked(t *testing.T, conn string, do func()) {
	t.Helper()
	holder, err := pgx.Connect(t.Context(), conn)
	require.NoError(t, err)
	defer holder.Close(t.Context())
	tx, err := holder.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM nodes FOR UPDATE`)
	require.NoError(t, err)
	do()
	require.NoError(t, tx.Rollback(t.Context()))
}

// withoutNodes calls do while no server can use the table.
func withoutNodes(t *testing.T, conn string, do func()) {
	t.Helper()
	storetest.Exec(t, conn, `ALTER TABLE nodes RENAME TO nodes_away`)
	do()
	storetest.Exec(t, conn, `ALTER TABLE nodes_away RENAME TO nodes`)
}

// TestHeartbeatsAreWrittenLater: a heartbeat costs no statement, except the first one of a node on a server. The clocks
// of both servers are real, so that what is written is later than what was before.
func TestHeartbeatsAreWrittenLater(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b, replica := setupOn(t, conn), setupOn(t, conn)
	id := b.known("s-1")
	replica.ping(id).nodeReply()
	first := b.nodeOf(id).LastSeen
	locked(t, conn, func() {
		for range 3 {
			b.ping(id).nodeReply()
			replica.ping(id).nodeReply()
		}
	})
	gatewaytest.Eventually(t, soon, "the heartbeats are written", func() bool { return b.nodeOf(id).LastSeen.After(first) })

	t.Run("so are fetches of a node that the server knows", func(t *testing.T) {
		fetch := func(list string) {
			b.node("GET", "/system/"+list, nil, header("X-Tyk-Nodeid", id), session("s-1")).is(200)
		}
		locked(t, conn, func() { fetch("policies"); fetch("apis") })
		gatewaytest.Eventually(t, soon, "both are recorded", func() bool {
			node := b.nodeOf(id)
			return node.PoliciesFetched != nil && node.ApisFetched != nil
		})
	})
}

// TestFirstHeartbeatIsWrittenAtOnce: whether a session has sent a heartbeat decides how its next registration is
// answered, also when another server has known the node before.
func TestFirstHeartbeatIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	servers := []*bundle{setupOn(t, conn), setupOn(t, conn), setupOn(t, conn)}
	again := func(on *bundle) reply { return on.node("GET", "/register/node", nil, session("s-1")) }
	id := servers[0].known("s-1")
	for _, b := range servers {
		b.ping(id).nodeReply()
	}
	for round := range 3 {
		for _, b := range servers { // the node is forgotten
			b.clock.forward(61 * time.Second)
		}
		registering, pinged := servers[round], servers[(round+1)%3]
		require.Equal(t, id, registering.register(session("s-1")))
		require.Equal(t, id, pinged.register(session("s-1")), "it has sent no heartbeat since")
		pinged.ping(id).nodeReply()
		for _, b := range servers {
			again(b).is(409)
			b.ping(id).nodeReply()
		}
	}
	t.Run("a node that was removed through another server", func(t *testing.T) {
		servers[1].node("DELETE", "/system/node", nil, header("X-Tyk-Nodeid", id)).nodeReply()
		servers[1].ping(id).is(403)
		for _, b := range servers {
			gatewaytest.Eventually(t, soon, "its heartbeats are refused", func() bool { return b.ping(id).status == 403 })
		}
		require.Empty(t, servers[0].nodes(), "no server brings it back")
		other := servers[2].register(session("s-1"))
		require.NotEqual(t, id, other)
		require.Equal(t, other, servers[0].register(session("s-1")), "it has sent no heartbeat with its new ID")
		servers[0].ping(other).nodeReply()
		again(servers[2]).is(409)
	})
}

// TestHeartbeatsWhileTheDatabaseIsAway: gateways need not register again because the database was away for less than a
// minute.
func TestHeartbeatsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn)
	id, stranger := b.known("s-1"), b.register(session("s-2"))
	const failed = `msg="write heartbeats of gateways failed, retrying"`
	withoutNodes(t, conn, func() {
		b.clock.forward(5 * time.Second)
		b.ping(id).nodeReply()
		b.ping(stranger).message(500, "The database did not answer")
		gatewaytest.Eventually(t, soon, "the failure is logged", func() bool { return strings.Contains(b.log.String(), failed) })
		b.clock.forward(5 * time.Second)
		b.ping(id).nodeReply()
		b.clock.forward(20 * time.Second)
		b.ping(id).message(500, "The database did not answer")
	})
	for range 2 {
		b.ping(id).nodeReply()
	}
	require.Equal(t, 1, strings.Count(b.log.String(), failed), "the failure is logged once")
	b.node("GET", "/register/node", nil, session("s-1")).is(409)
	b.clock.forward(61 * time.Second)
	b.ping(id).is(403)
}

// TestCollectedHeartbeatsAreWrittenAtTheEnd: what a server has collected is in the database when it has stopped.
func TestCollectedHeartbeatsAreWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn)
	id := b.register(session("s-1"))
	var last time.Time
	t.Run("another server", func(t *testing.T) {
		other := setupOn(t, conn)
		for range 50 {
			other.clock.forward(time.Second)
			last = other.clock.now()
			other.ping(id).nodeReply()
		}
	})
	require.False(t, b.nodeOf(id).LastSeen.Before(last.Truncate(time.Microsecond)))
}

// TestLateRecordOfAFetch: a server records a fetch after the gateway has registered on another server, because it had
// to give that fetch up.
func TestLateRecordOfAFetch(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b, replica := setupOn(t, conn), setupOn(t, conn)
	id := b.known("s-1")
	fetch := func() { b.node("GET", "/system/apis", nil, header("X-Tyk-Nodeid", id), session("s-1")).is(200) }
	withoutNodes(t, conn, fetch)
	replica.node("GET", "/register/node", nil, session("s-1")).is(409)
	before := b.nodeOf(id).LastSeen
	b.ping(id).nodeReply()
	gatewaytest.Eventually(t, soon, "the server has written what it had", func() bool { return b.nodeOf(id).LastSeen.After(before) })
	require.Nil(t, b.nodeOf(id).ApisFetched)
	fetch()
	gatewaytest.Eventually(t, soon, "the next fetch counts", func() bool { return b.nodeOf(id).ApisFetched != nil })
}

// TestServersWriteTheSameNodes: behind a proxy that spreads requests, each server has heartbeats of each node.
func TestServersWriteTheSameNodes(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	servers := []*bundle{setupOn(t, conn), setupOn(t, conn), setupOn(t, conn)}
	ids := make([]string, 60)
	for i := range ids {
		ids[i] = servers[0].known(fmt.Sprint("s-", i))
	}
	start := time.Now()
	statuses := make([]map[int]int, len(servers))
	var pinging sync.WaitGroup
	for i, b := range servers {
		statuses[i] = map[int]int{}
		pinging.Go(func() {
			for time.Since(start) < 4*time.Second {
				for _, id := range ids {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/register/ping", nil)
					if err != nil {
						return
					}
					r.Header.Set("Authorization", nodeSecret)
					r.Header.Set("X-Tyk-Nodeid", id)
					statuses[i][send(t, r).status]++
				}
			}
		})
	}
	pinging.Wait()
	for i, b := range servers {
		require.Len(t, statuses[i], 1, "%v", statuses[i])
		require.NotZero(t, statuses[i][http.StatusOK])
		require.NotContains(t, b.log.String(), "write heartbeats of gateways failed")
	}
}
