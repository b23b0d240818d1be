package server_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestHeadChangesNothing sends HEAD to each operation that answers GET, with a valid credential. It stores and
// announces nothing; GET does.
func TestHeadChangesNothing(t *testing.T) {
	t.Parallel()
	b := setupOn(t, exampleDatabase(t))
	asNode := []with{header("Authorization", nodeSecret), header("X-Tyk-Session-Id", "a-session")}
	var registered struct{ Message struct{ NodeID string } }
	b.do("GET", "/register/node", nil, asNode...).is(200).json(&registered)
	asNode = append(asNode, header("X-Tyk-Nodeid", registered.Message.NodeID))
	storetest.Exec(t, b.conn, `UPDATE apis SET checked = NULL`)
	storetest.Exec(t, b.conn, `UPDATE policies SET checked = NULL`)
	events := listen(t, b.conn)
	b.clock.forward(time.Second) // a heartbeat would store another time

	before := storetest.Dump(t, b.conn)
	answered := 0
	for _, op := range operations() {
		if op.method != "GET" {
			continue
		}
		change := []with{credential(op)}
		if op.scheme == "node_secret" {
			change = asNode
		}
		got := b.do("HEAD", op.target(nil), nil, change...)
		require.Empty(t, got.body)
		if got.status == 200 {
			answered++
		}
	}
	require.Greater(t, answered, 20)
	b.do("HEAD", "/register/node", nil, header("Authorization", nodeSecret), header("X-Tyk-Session-Id", "another")).is(200)
	b.do("HEAD", "/register/ping", nil, asNode...).is(200)
	b.do("HEAD", "/register/ping", nil, header("Authorization", nodeSecret), header("X-Tyk-Nodeid", "unknown")).is(403)
	require.Equal(t, before, storetest.Dump(t, b.conn))
	require.NoError(t, b.store.Notify(t.Context(), "marker"))
	require.Eventually(t, func() bool { return len(events()) > 0 }, soon, pollEvery)
	require.Equal(t, []store.Event{"marker"}, events(), "no other server is notified before")

	for _, path := range []string{"/register/ping", "/system/policies", "/system/apis"} {
		b.do("GET", path, nil, asNode...).is(200)
		after := storetest.Dump(t, b.conn)
		require.NotEqual(t, before, after, "GET %s", path)
		before = after
	}
	b.admin("GET", "/admin/system/reload", nil).is(200)
	require.Eventually(t, func() bool { return slices.Contains(events(), store.EventReload) }, soon, pollEvery)
}

// TestHeadReadsNoList: a response without a body needs no more of a list than its first row.
func TestHeadReadsNoList(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped)
	b.fill(b.org(), manyDocuments)
	for _, list := range []struct {
		path string
		as   with
	}{{"/admin/apis", header("Admin-Auth", secret)}, {"/system/apis", asUser(nodeSecret)}} {
		b.log.reset()
		b.do("HEAD", list.path, nil, list.as).is(200)
		require.Regexp(t, `msg=request .* bytes=\d{1,5} `, b.log.String(), "less than 100,000 bytes")
	}
}

// TestHeadDuringDrain: a HEAD request for a list neither begins a reload that a server waits for before it stops, nor
// ends one.
func TestHeadDuringDrain(t *testing.T) {
	t.Parallel()
	const drainTimeout = 4 * time.Second // of Drain, if no gateway ends its reload; the clock of the server stands still
	b := setup(t, func(cfg *server.Config) { cfg.Now = newFrozenClock().now })
	drain := func() (done chan struct{}) {
		done = make(chan struct{})
		var draining sync.WaitGroup
		draining.Go(func() { b.server.Drain(t.Context()); close(done) })
		t.Cleanup(draining.Wait)
		return done
	}
	list := func(method, path string) { b.node(method, path, nil, session("s-1")).is(200) }

	start := time.Now()
	list("HEAD", "/system/policies")
	<-drain()
	require.Less(t, time.Since(start), drainTimeout)

	list("GET", "/system/policies")
	start = time.Now()
	done := drain()
	list("HEAD", "/system/apis")
	select {
	case <-done:
		require.GreaterOrEqual(t, time.Since(start), drainTimeout, "HEAD has ended the reload")
	case <-time.After(drainTimeout / 8): // several times the interval in which Drain looks
	}
	list("GET", "/system/apis")
	<-done
	<-drain()
}

// listen records the events of a database from now on, on a plain connection: that of store.Listen ends, and loses
// events, if the database is slow.
func listen(t *testing.T, conn string) (events func() []store.Event) {
	t.Helper()
	connection := connectTo(t, conn)
	_, err := connection.Exec(t.Context(), `LISTEN gatehouse`)
	require.NoError(t, err)
	var mu sync.Mutex // guards received
	var received []store.Event
	ctx, cancel := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			notification, err := connection.WaitForNotification(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			received = append(received, store.Event(notification.Payload))
			mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); listening.Wait() })
	return func() []store.Event {
		mu.Lock()
		defer mu.Unlock()
		return append([]store.Event(nil), received...)
	}
}

// TestHeadConvertsNothing: a response without a body is not converted to YAML, which takes far more than reading it.
func TestHeadConvertsNothing(t *testing.T) { //nolint:paralleltest // it measures what the process allocates
	b := setup(t)
	own := asUser(b.user(b.org(), "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	numbers := strings.Repeat("0,", 90_000) + "0"
	b.do("POST", "/api/apis/oas", strings.Replace(oasWith("numbers", "", "", ""), `{`, `{"x-numbers":[`+numbers+`],`, 1), own).is(200)
	for path, asked := range map[string]with{
		"/api/apis/oas/numbers":        header("Accept", "application/x-yaml"),
		"/api/apis/oas/numbers/export": header("Content-Type", "application/x-yaml"),
	} {
		want := b.do("GET", path, nil, own, asked).is(200).header
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := b.do("HEAD", path, nil, own, asked).is(200)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3<<20), path)
		require.Equal(t, want.Get("Content-Type"), got.header.Get("Content-Type"))
	}
}
