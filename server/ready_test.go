package server_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/internal/gatewaytest"
	"gatehouse/store/storetest"
)

// readyTimeout is what probes allow for a readiness check, on a machine that has nothing else to do: the check itself
// ends after two seconds.
const readyTimeout = 20 * time.Second

// TestReadyWithABusyPool has requests hold all connections of the pool: the server is ready, and knows its gateways.
func TestReadyWithABusyPool(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn+" pool_max_conns=3")
	b.register(session("s-1"))
	var holding sync.WaitGroup
	defer holding.Wait()
	defer lock(t, conn, `LOCK TABLE organisations`)()
	create := func() { b.admin("POST", "/admin/organisations", `{"owner_name":"A"}`).is(200) }
	require.Eventually(t, func() bool {
		holding.Go(create)
		return b.store.Connections().InUse == 3
	}, time.Minute, 10*time.Millisecond)

	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			start := time.Now()
			b.do("GET", "/ready", nil).is(200)
			require.Less(t, time.Since(start), readyTimeout)
			require.Equal(t, 1, helloNodes(b))
		})
	}
	asking.Wait()
	require.Equal(t, 3, b.store.Connections().InUse)
	// A table that cannot be read is not the whole database.
	var locked sync.WaitGroup
	storetest.Exec(t, conn, `CREATE TABLE locked (a int); INSERT INTO locked VALUES (1)`)
	locked.Go(func() {
		storetest.Exec(t, conn, `DO $$ BEGIN
			LOCK TABLE nodes;
			INSERT INTO locked VALUES (2);
			WHILE EXISTS (SELECT FROM locked WHERE a = 1) LOOP PERFORM pg_sleep(0.01); END LOOP;
		END $$`)
	})
	gatewaytest.Eventually(t, soon, "the nodes are not counted", func() bool {
		return !strings.Contains(b.do("GET", "/ready", nil).is(200).body, `"nodes"`)
	})
	storetest.Exec(t, conn, `DELETE FROM locked WHERE a = 1`)
	locked.Wait()
	require.Equal(t, 1, helloNodes(b))
}

// TestReadyOfADatabaseThatHangs: the server is not ready within a bounded time, and ready again when the database is
// there.
func TestReadyOfADatabaseThatHangs(t *testing.T) {
	t.Parallel()
	proxy := storetest.NewProxy(t, storetest.Database(t))
	b := setupOn(t, proxy.ConnString())
	b.do("GET", "/ready", nil).is(200)
	proxy.Stop()
	var asking sync.WaitGroup
	start := time.Now()
	for range 20 {
		asking.Go(func() {
			b.do("GET", "/ready", nil).is(503)
			b.do("GET", "/hello", nil).is(200) // at the same time, or on a new connection
		})
	}
	asking.Wait()
	require.Less(t, time.Since(start), readyTimeout)
	proxy.Resume()
	require.Eventually(t, func() bool { return b.do("GET", "/ready", nil).status == 200 }, time.Minute, 10*time.Millisecond)
}

// TestReadySaysWhatIsWrong: a server is not ready while the database stores nothing, or the server does not receive
// changes from it, and /hello says why.
func TestReadySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	// notReady waits until the server is not ready because of a part, and ready returns after that.
	notReady := func(t *testing.T, b *bundle, part, output string) {
		t.Helper()
		var body string
		require.Eventually(t, func() bool {
			got := b.do("GET", "/ready", nil)
			body = got.body
			return got.status == 503 && gjson.Get(body, "details."+part+".output").String() == output
		}, time.Minute, 10*time.Millisecond)
		hello := b.do("GET", "/hello", nil).is(200).body
		require.Equal(t, output, gjson.Get(hello, "details."+part+".output").String(), hello)
		require.Equal(t, "fail", gjson.Get(hello, "status").String(), hello)
	}
	ready := func(t *testing.T, b *bundle) {
		t.Helper()
		require.Eventually(t, func() bool { return b.do("GET", "/ready", nil).status == 200 }, time.Minute, 10*time.Millisecond)
	}
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		conn := storetest.Database(t)
		name := storetest.Value[string](t, conn, `SELECT current_database()`)
		storetest.Exec(t, conn, `ALTER DATABASE `+name+` SET default_transaction_read_only = on`)
		notReady(t, setupOn(t, conn), "postgres", "the database accepts no writes")
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		conn, disk := storetest.DatabaseOnADisk(t)
		b := setupOn(t, conn)
		ready(t, b)
		disk.Fill()
		notReady(t, b, "postgres", "the disk of the database is full")
		disk.Free()
		ready(t, b)
	})
	t.Run("deaf", func(t *testing.T) {
		t.Parallel()
		conn := storetest.Database(t)
		b := setupOn(t, conn)
		ready(t, b)
		readmit := storetest.Isolate(t, conn, "gatehouse_health")
		notReady(t, b, "listener", "notices of changes are not received from the database")
		readmit()
		ready(t, b)
	})
	t.Run("no connection left", func(t *testing.T) {
		t.Parallel()
		conn := storetest.Database(t)
		role := storetest.Role(t, conn, "CONNECTION LIMIT 1")
		b := setupOn(t, conn+" user="+role)
		require.Eventually(t, b.store.Listening, time.Minute, 10*time.Millisecond, "the listener has the connection")
		notReady(t, b, "postgres", "the database has no connection left")
	})
}
