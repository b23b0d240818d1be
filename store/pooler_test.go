package store_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// openThrough opens a store through a pooler.
func openThrough(t *testing.T, pooler, direct string) (*store.Store, error) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{
		ConnString: pooler, DirectConnString: direct, Now: time.Now, IDs: store.NewIDs(time.Now),
	})
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

// keepBusy uses a pooler with other clients until the end of the test.
func keepBusy(t *testing.T, pooler string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 4 {
		conn, err := pgx.Connect(ctx, pooler)
		require.NoError(t, err)
		running.Go(func() {
			defer conn.Close(context.WithoutCancel(ctx))
			for ctx.Err() == nil {
				_, _ = conn.Exec(ctx, `SELECT pg_sleep(0.001)`)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
}

// TestPoolersThatAreRefused: nothing may be noticed only when a gateway is not notified, or a statement is prepared
// twice.
func TestPoolersThatAreRefused(t *testing.T) {
	t.Parallel()
	conn := storetest.EmptyDatabase(t)
	transactions := storetest.PgBouncer(t, conn, storetest.PoolTransactions, 3)
	single := storetest.PgBouncer(t, conn, storetest.PoolTransactions, 1)
	statements := storetest.PgBouncer(t, conn, storetest.PoolStatements, 3)
	for name, c := range map[string]struct {
		pooler, direct string
		want           error
		says           string
	}{
		"transaction mode":                     {transactions, "", store.ErrPooler, "set GATEHOUSE_DIRECT_DATABASE_URL"},
		"transaction mode with one connection": {single, "", store.ErrPooler, "set GATEHOUSE_DIRECT_DATABASE_URL"},
		"transaction mode as the direct one":   {transactions, transactions, store.ErrPooler, "direct connection string"},
		"statement mode":                       {statements, "", store.ErrStatementPooler, "pool_mode=statement"},
		"statement mode with a direct one":     {statements, conn, store.ErrStatementPooler, "pool_mode=statement"},
		"statement mode as the direct one":     {conn, statements, store.ErrStatementPooler, "pool_mode=statement"},
	} {
		_, err := openThrough(t, c.pooler, c.direct)
		require.ErrorIs(t, err, c.want, name)
		require.Contains(t, err.Error(), c.says, name)
		require.NotContains(t, err.Error(), "\n", name)
	}
	keepBusy(t, transactions)
	for range 5 {
		_, err := openThrough(t, transactions, "")
		require.ErrorIs(t, err, store.ErrPooler, "while others use the pooler")
	}
	tables := tablesOf(t, conn)
	require.Empty(t, tables, "nothing was stored")
}

// TestPoolers runs every method through a pooler, on two servers at once.
func TestPoolers(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, conn string) (pooler, direct string){
		"session mode": func(t *testing.T, conn string) (string, string) {
			return storetest.PgBouncer(t, conn, storetest.PoolSessions, 40), ""
		},
		"transaction mode": func(t *testing.T, conn string) (string, string) {
			return storetest.PgBouncer(t, conn, storetest.PoolTransactions, 3), conn
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			insertManyRows(t, conn)
			pooler, direct := open(t, conn)
			var servers []*store.Store
			for range 2 {
				s, err := openThrough(t, pooler, direct)
				require.NoError(t, err)
				servers = append(servers, s)
			}
			requireOthersHear(t, servers[0], servers[1])
			var calling sync.WaitGroup
			for i, s := range servers {
				all := everyCall(t, s)
				delete(all, "FinishUpgrade") // has a connection of its own
				if i == 0 {
					maps.Copy(all, importCalls(t, s))
				}
				calling.Go(func() { callEach(t, all) })
			}
			calling.Wait()
			requireNoSettingsLeft(t, pooler)
		})
	}
}

// requireOthersHear requires that a change on one server reaches another, and that one of them leads.
func requireOthersHear(t *testing.T, writer, listener *store.Store) {
	t.Helper()
	var leading leads
	heard := make(chan store.Event, 1)
	listenUntilEnd(t, listener, store.Listener{HandleEvent: func(e store.Event) {
		if e == "heard" {
			heard <- e
		}
	}, Lead: leading.lead})
	require.NoError(t, writer.Notify(t.Context(), "heard"))
	select {
	case e := <-heard:
		require.Equal(t, store.Event("heard"), e)
	case <-time.After(time.Minute):
		t.Fatal("the change was not heard")
	}
	require.Eventually(t, leading.now, time.Minute, time.Millisecond)
	require.True(t, listener.Listening())
}

// callEach calls the methods. Two servers that do so conflict in the rows that they create and delete.
func callEach(t *testing.T, all calls) {
	expected := []error{
		store.ErrNotFound, store.ErrOrgKeyLeased, store.ErrLeaseLost, store.ErrConflict, store.ErrAccessKeyTaken,
		store.ErrUnknownOrganisation,
	}
	for _, method := range slices.Sorted(maps.Keys(all)) {
		for range 2 { // with a statement that the connection knows, too
			for _, call := range all[method] {
				err := call()
				known := err == nil || slices.ContainsFunc(expected, func(e error) bool {
					return strings.Contains(err.Error(), e.Error())
				}) || strings.Contains(err.Error(), "no conflict with a row: %!w(<nil>)") ||
					strings.Contains(err.Error(), "_pkey)") // created by the other
				assert.True(t, known, "%s: %v", method, err)
			}
		}
	}
}

// requireNoSettingsLeft requires that the sessions behind a pooler have the settings of new ones.
func requireNoSettingsLeft(t *testing.T, pooler string) {
	t.Helper()
	conns := make([]*pgx.Conn, 3)
	for i := range conns {
		conns[i] = connect(t, pooler)
		_, err := conns[i].Exec(t.Context(), `BEGIN`) // occupies a session
		require.NoError(t, err)
		rows, _ := conns[i].Query(t.Context(), `SELECT name || ' = ' || setting FROM pg_settings
			WHERE source = 'session' AND name <> 'application_name'`, pgx.QueryExecModeSimpleProtocol)
		settings, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Empty(t, settings, fmt.Sprint("session ", i))
		var prepared, locks int
		require.NoError(t, conns[i].QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_prepared_statements),
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())`,
			pgx.QueryExecModeSimpleProtocol).Scan(&prepared, &locks))
		require.Zero(t, prepared)
		require.Zero(t, locks)
	}
	for _, conn := range conns {
		_, err := conn.Exec(t.Context(), `ROLLBACK`)
		require.NoError(t, err)
	}
}
