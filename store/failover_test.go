package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/postgrespair"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

const (
	// failoverBound limits waits for what is certain to happen after a failover.
	failoverBound = time.Minute
	// database is the database of pairs.
	database = "postgres"
	// shortTimeout is Config.StatementTimeout of tests in which statements reach it. Others must not, also on a slow
	// machine.
	shortTimeout = 2 * time.Second
	// recoversWithin is how long after a promotion a store writes and receives events again: 2 s on a machine that is four
	// times as fast.
	recoversWithin = 8 * time.Second
)

// writers create organisations until the test ends, and remember those that were acknowledged.
type writers struct {
	store *store.Store
	stop  context.CancelFunc
	all   sync.WaitGroup

	mu           sync.Mutex // guards the following
	acknowledged []string
	last         time.Time // of the last acknowledgement
}

func startWriters(t *testing.T, s *store.Store) *writers {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &writers{store: s, stop: stop}
	for range 20 {
		w.all.Go(func() {
			for ctx.Err() == nil {
				id, err := s.CreateOrganisation(ctx, store.Organisation{Document: json.RawMessage(`{}`)})
				if err != nil {
					continue
				}
				w.mu.Lock()
				w.acknowledged, w.last = append(w.acknowledged, id), time.Now()
				w.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { stop(); w.all.Wait() })
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acknowledged) >= 100
	}, failoverBound, time.Millisecond)
	return w
}

// waitForWrite waits for an acknowledgement after a time, and returns how long after that it came.
func (w *writers) waitForWrite(t *testing.T, after time.Time) (took time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		took = w.last.Sub(after)
		return took > 0
	}, failoverBound, time.Millisecond)
	return took
}

// requireAgain requires a write soon after a promotion.
func (w *writers) requireAgain(t *testing.T, promoted time.Time) {
	t.Helper()
	took := w.waitForWrite(t, promoted)
	t.Logf("writes again %s after the promotion", took)
	require.Less(t, took, recoversWithin)
}

// listens counts how often a store has begun to receive events.
type listens struct {
	store *store.Store
	ready atomic.Int64
	heard atomic.Int64 // the number of events
}

// startListener listens until the test ends. It returns when the store receives events.
func startListener(t *testing.T, s *store.Store) *listens {
	t.Helper()
	l := &listens{store: s}
	listenUntilEnd(t, s, store.Listener{
		Ready: func() { l.ready.Add(1) }, HandleEvent: func(store.Event) { l.heard.Add(1) },
	})
	return l
}

// requireAgain requires that the store receives events again soon after a promotion.
func (l *listens) requireAgain(t *testing.T, promoted time.Time) {
	t.Helper()
	again := func() bool { return l.ready.Load() > 1 && l.store.Listening() }
	require.Eventually(t, again, failoverBound, time.Millisecond)
	took := time.Since(promoted)
	t.Logf("listens again %s after the promotion", took)
	require.Less(t, took, recoversWithin)
	before := l.heard.Load()
	require.NoError(t, l.store.Notify(t.Context(), "again"))
	require.Eventually(t, func() bool { return l.heard.Load() > before }, failoverBound, time.Millisecond)
}

// end stops the writers, and checks that no acknowledged write is lost.
func (w *writers) end(t *testing.T) {
	t.Helper()
	w.stop()
	w.all.Wait()
	stored := map[string]bool{}
	for row, err := range w.store.Organisations(t.Context(), store.OrganisationFilter{}) {
		require.NoError(t, err)
		stored[row.ID] = true
	}
	for _, id := range w.acknowledged {
		require.True(t, stored[id], "organisation %s was acknowledged, and is lost", id)
	}
	t.Logf("%d writes acknowledged, none lost", len(w.acknowledged))
}

func openPair(t *testing.T) (*postgrespair.Pair, *store.Store) {
	t.Helper()
	pair := storetest.StartPair(t)
	s := storetest.Open(t, pair.URL(database))
	t.Cleanup(s.Close)
	return pair, s
}

// TestFailoverAfterKill kills the primary, promotes the standby, and has the old primary come back as a standby.
func TestFailoverAfterKill(t *testing.T) {
	t.Parallel()
	pair, s := openPair(t)
	listener := startListener(t, s)
	w := startWriters(t, s)
	pair.Primary().Kill()
	require.NoError(t, pair.Promote(t.Context()))
	promoted := time.Now()
	w.requireAgain(t, promoted)
	listener.requireAgain(t, promoted)
	require.NoError(t, pair.Rejoin(t.Context()))
	w.waitForWrite(t, time.Now())
	w.end(t)
}

// TestCommitIsNotRepeated: a write whose commit got no response is not sent again, because it may have been stored.
func TestCommitIsNotRepeated(t *testing.T) {
	t.Parallel()
	pair, s := openPair(t)
	org, err := s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	require.NoError(t, pair.Standby().Freeze()) // without its acknowledgement, a commit waits
	policy := store.PolicyParams{
		Policy:    store.Policy{ID: "5fd08ed769710900018bc196", OrgID: org, Document: json.RawMessage(`{}`)},
		CheckedBy: "check",
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		err := s.CreatePolicy(t.Context(), policy)
		require.Error(t, err)
		require.NotErrorIs(t, err, store.ErrConflict, "with itself")
	})
	writing.Go(func() {
		_, err := s.RegisterNode(t.Context(), "session", "host")
		require.Error(t, err)
	})
	primary := pair.Primary().URL(database)
	require.Eventually(t, func() bool {
		return storetest.Value[int](t, primary, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`) >= 2
	}, failoverBound, time.Millisecond)
	pair.Primary().Kill()
	require.NoError(t, pair.Standby().Thaw())
	require.NoError(t, pair.Primary().Start(t.Context()))
	writing.Wait()
	_, err = s.Policy(t.Context(), store.Ref{ID: policy.ID})
	require.NoError(t, err, "the primary had stored it")
}

// TestFailoverFromAPrimaryThatHangs stops the primary, which goes on accepting connections, and promotes the standby.
// Statements that wait for the old primary end. When it resumes, the store does not use it.
func TestFailoverFromAPrimaryThatHangs(t *testing.T) {
	t.Parallel()
	pair := storetest.StartPair(t)
	primary := pair.Primary()
	cfg := config(pair.URL(database))
	cfg.StatementTimeout = time.Hour // a deadline is not what ends the statements
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	listener := startListener(t, s)
	w := startWriters(t, s)
	require.NoError(t, primary.Freeze())
	require.NoError(t, pair.Standby().Promote(t.Context()))
	promoted := time.Now()
	w.requireAgain(t, promoted)
	listener.requireAgain(t, promoted)
	require.NoError(t, primary.Thaw())
	w.waitForWrite(t, time.Now())
	w.end(t)
}

// TestReadOnlyServerIsDropped makes the primary read-only while its connections stay, and promotes the standby: writes
// go there, and none fails because of that.
func TestReadOnlyServerIsDropped(t *testing.T) {
	t.Parallel()
	pair, s := openPair(t)
	_, err := s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	primary := pair.Primary().URL(database)
	storetest.Exec(t, primary, `ALTER SYSTEM SET default_transaction_read_only = on`)
	storetest.Exec(t, primary, `SELECT pg_reload_conf()`)
	require.Eventually(t, func() bool { // the processes of the primary read the setting one after another
		return storetest.Value[bool](t, primary, `SELECT current_setting('transaction_read_only')::boolean`)
	}, failoverBound, time.Millisecond)
	require.NoError(t, pair.Standby().Promote(t.Context()))
	for range 100 {
		_, err := s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
		require.NoError(t, err)
	}
	n := storetest.Value[int](t, pair.Primary().URL(database), `SELECT count(*) FROM organisations`)
	require.GreaterOrEqual(t, n, 100, "some may have been written before the primary had read the setting")
}

// TestConnectionLimit has more callers than Postgres grants connections to: they wait for those of the store.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	role := storetest.Role(t, conn, "CONNECTION LIMIT 4")
	s := storetest.Open(t, conn+" user="+role+" pool_max_conns=32")
	t.Cleanup(s.Close)
	var calling sync.WaitGroup
	var failed atomic.Pointer[error]
	for i := range 600 {
		calling.Go(func() {
			_, err := s.CreateOrganisation(t.Context(), store.Organisation{
				CName: fmt.Sprintf("portal-%d.example", i), Document: json.RawMessage(`{}`),
			})
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	calling.Wait()
	if err := failed.Load(); err != nil {
		require.NoError(t, *err)
	}
}

// TestOpenWaits opens a store before its Postgres is started.
func TestOpenWaits(t *testing.T) {
	t.Parallel()
	pair := storetest.NewPair(t)
	cfg := config(pair.Primary().URL(database))
	waiting := make(chan error, 1)
	cfg.Wait, cfg.Waiting = failoverBound, func(err error) {
		select {
		case waiting <- err:
		default:
		}
	}
	var opening sync.WaitGroup
	opening.Go(func() {
		s, err := store.Open(t.Context(), cfg)
		if err == nil {
			s.Close()
		}
		require.NoError(t, err)
	})
	require.ErrorContains(t, <-waiting, "connect")
	require.NoError(t, pair.StartPrimary(t.Context()))
	opening.Wait()
	t.Run("not longer than configured", func(t *testing.T) {
		t.Parallel()
		cfg := config(pair.Standby().URL(database)) // which has not been started
		cfg.Wait = time.Millisecond
		_, err := store.Open(t.Context(), cfg)
		require.ErrorContains(t, err, "connect")
	})
	for name, change := range map[string]func(*url.URL){
		"password": func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wrong") },
		"name":     func(u *url.URL) { u.Path = "/nobodys" },
	} {
		t.Run("not with a wrong "+name, func(t *testing.T) {
			t.Parallel()
			wrong, err := url.Parse(pair.Primary().URL(database))
			require.NoError(t, err)
			change(wrong)
			cfg := config(wrong.String())
			cfg.Wait = time.Hour
			_, err = store.Open(t.Context(), cfg)
			require.Error(t, err)
		})
	}
}

// TestReadsSurviveConnectionsThatAreCut: connections that no longer answer, without an end, cost a read no error.
func TestReadsSurviveConnectionsThatAreCut(t *testing.T) {
	t.Parallel()
	proxy := storetest.NewProxy(t, storetest.Database(t))
	cfg := config(proxy.ConnString() + " pool_max_conns=2")
	cfg.StatementTimeout = shortTimeout
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	id, err := s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	for range 3 {
		proxy.Cut()
		_, err = s.Organisation(t.Context(), id)
		require.NoError(t, err)
	}
	proxy.Cut()
	_, err = s.RegisterNode(t.Context(), "session", "host")
	require.Error(t, err, "it may have been stored")
	proxy.Cut()
	_, err = s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err, "its transaction was not committed")
}

// TestIdleConnectionsAreChecked: a write that is not repeated succeeds although all connections were cut while they
// were idle.
func TestIdleConnectionsAreChecked(t *testing.T) {
	t.Parallel()
	proxy := storetest.NewProxy(t, storetest.Database(t))
	s := storetest.Open(t, proxy.ConnString()+" pool_max_conns=1")
	t.Cleanup(s.Close)
	_, err := s.RegisterNode(t.Context(), "session", "host")
	require.NoError(t, err)
	proxy.Cut()
	time.Sleep(1100 * time.Millisecond) // connections that have been idle for more than a second are checked
	_, err = s.RegisterNode(t.Context(), "session", "host")
	require.NoError(t, err)
}

// TestDatabaseThatHangs: every call ends while the database does not answer, and succeeds when it does again.
func TestDatabaseThatHangs(t *testing.T) {
	t.Parallel()
	proxy := storetest.NewProxy(t, storetest.Database(t))
	cfg := config(proxy.ConnString() + " pool_max_conns=32 connect_timeout=1")
	cfg.StatementTimeout = shortTimeout
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	proxy.Stop()
	var calling sync.WaitGroup
	all := everyCall(t, s)
	delete(all, "CheckQuota") // which reads nothing without a quota
	for method, calls := range all {
		for _, call := range calls {
			calling.Go(func() {
				err := call()
				require.Error(t, err, method)
				require.NotErrorIs(t, err, store.ErrNotFound, method)
			})
		}
	}
	calling.Wait()
	proxy.Resume()
	require.Eventually(t, func() bool {
		_, err := s.CountOrganisations(t.Context(), store.OrganisationFilter{})
		return err == nil
	}, failoverBound, time.Millisecond)
}

// TestLongStatements: what waits for an import of another server takes as long as that, but not longer than the
// database answers.
func TestLongStatements(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	cfg := config(conn)
	cfg.StatementTimeout = shortTimeout
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	id, err := s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	other := connect(t, conn)
	_, err = other.Exec(t.Context(), `BEGIN; SELECT FROM organisations FOR KEY SHARE;
		SELECT pg_advisory_xact_lock(hashtextextended('apis', 0))`)
	require.NoError(t, err)
	var waiting sync.WaitGroup
	waiting.Go(func() { require.NoError(t, s.DeleteOrganisation(t.Context(), id)) })
	waiting.Go(func() {
		refused, err := s.ImportAPIs(t.Context(), "test", func(yield func(store.API, error) bool) {
			yield(store.API{ID: "1", APIID: "a", Document: json.RawMessage(`{}`)}, nil)
		})
		require.NoError(t, err)
		require.Len(t, refused, 1, "its organisation does not exist")
	})
	require.Eventually(t, func() bool {
		return storetest.WaitsForLock(t, conn)
	}, failoverBound, time.Millisecond, "the organisation is locked")
	time.Sleep(3 * cfg.StatementTimeout) // longer than a small statement may take
	_, err = other.Exec(t.Context(), `COMMIT`)
	require.NoError(t, err)
	waiting.Wait()
}

// TestLongStatementWhoseConnectionIsCut: a list for gateways is read again when the network has lost the connection of
// its statement, long before that reaches its timeout, although the database answers on other connections.
func TestLongStatementWhoseConnectionIsCut(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	proxy := storetest.NewProxy(t, conn)
	cfg := config(proxy.ConnString())
	cfg.StatementTimeout = shortTimeout
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	reads := 0
	began := time.Now()
	err = s.ReadNodeAPIs(t.Context(), "test", func(snapshot store.NodeSnapshot) error {
		if reads++; reads == 1 {
			proxy.Cut()
		}
		for _, err := range snapshot.Documents(0, 1) {
			return err
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, reads)
	require.Less(t, time.Since(began), time.Minute, "the timeout of the statement")
}

// TestHealthOfAReadOnlyDatabase: the check returns ErrReadOnly, and the number of nodes.
func TestHealthOfAReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	name := strings.TrimSpace(storetest.Value[string](t, conn, `SELECT current_database()`))
	storetest.Exec(t, conn, `ALTER DATABASE `+name+` SET default_transaction_read_only = on`)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	health, err := s.Health(t.Context())
	require.ErrorIs(t, err, store.ErrReadOnly)
	require.NotNil(t, health.Nodes)
}
