package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// changingMethods are the methods of Store that change what gateways load, and the tables that they write.
var changingMethods = map[string]string{
	"CreateAPI": "apis", "CreateVersion": "apis", "EditAPI": "apis", "DeleteAPI": "apis", "DeleteAPIAndVersions": "apis",
	"ImportAPIs":   "apis",
	"CreatePolicy": "policies", "EditPolicy": "policies", "DeletePolicy": "policies", "ImportPolicies": "policies",
	"CreateOrganisation": "organisations", "ImportOrganisation": "organisations", "ReplaceOrganisation": "organisations",
	"EditOrganisation": "organisations", "DeleteOrganisation": "org_keys organisations", "Bootstrap": "organisations",
	"WriteOrgKey": "org_keys", "CommitOrgKeyChange": "org_keys",
}

// notChanges are the methods that write the tables, but change nothing that gateways load, and why.
var notChanges = map[string]string{
	"SaveAPIChecks":    "it stores what was found out about documents",
	"SavePolicyChecks": "as SaveAPIChecks",
}

// eventOf has the event that a change of a table is announced by.
var eventOf = map[string]store.Event{
	"apis": store.EventChange, "policies": store.EventChange, "organisations": store.EventChange,
	"org_keys": store.EventOrgKey,
}

// changes matches the statements that change the tables.
var changes = regexp.MustCompile(`(?:INSERT INTO|UPDATE|DELETE FROM)\s+(apis|policies|organisations|org_keys)\b`)

// noticeRecorder is a tracer that records which tables each transaction changes and which events it announces.
type noticeRecorder struct {
	t *testing.T

	mu           sync.Mutex // guards what follows
	method       string
	transactions map[*pgx.Conn]*tracedTransaction
	written      map[string]map[string]bool // the tables by method
}

type tracedTransaction struct{ tables, events map[string]bool }

func newNoticeRecorder(t *testing.T) *noticeRecorder {
	return &noticeRecorder{
		t: t, transactions: map[*pgx.Conn]*tracedTransaction{}, written: map[string]map[string]bool{},
	}
}

func (r *noticeRecorder) TraceQueryStart(
	ctx context.Context, conn *pgx.Conn, q pgx.TraceQueryStartData,
) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch sql := strings.ToLower(q.SQL); {
	case strings.HasPrefix(sql, "begin"):
		r.transactions[conn] = &tracedTransaction{map[string]bool{}, map[string]bool{}}
	case sql == "rollback":
		delete(r.transactions, conn)
	case sql == "commit":
		r.commit(r.transactions[conn])
		delete(r.transactions, conn)
	case strings.HasPrefix(q.SQL, `SELECT pg_notify(`) && r.transactions[conn] != nil:
		r.transactions[conn].events[fmt.Sprint(q.Args[1])] = true
	}
	for _, found := range changes.FindAllStringSubmatch(q.SQL, -1) {
		r.write(conn, found[1])
	}
	return ctx
}

func (r *noticeRecorder) TraceCopyFromStart(
	ctx context.Context, conn *pgx.Conn, c pgx.TraceCopyFromStartData,
) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(conn, c.TableName[0])
	return ctx
}

func (*noticeRecorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)       {}
func (*noticeRecorder) TraceCopyFromEnd(context.Context, *pgx.Conn, pgx.TraceCopyFromEndData) {}

func (r *noticeRecorder) write(conn *pgx.Conn, table string) {
	if r.transactions[conn] == nil {
		r.t.Errorf("%s writes %s without a transaction that could announce it", r.method, table)
		return
	}
	r.transactions[conn].tables[table] = true
}

func (r *noticeRecorder) commit(tx *tracedTransaction) {
	if _, ok := notChanges[r.method]; ok {
		return
	}
	for table := range tx.tables {
		if !tx.events[string(eventOf[table])] {
			r.t.Errorf("%s writes %s, but does not announce it in the transaction: see announcingChange in store/store.go",
				r.method, table)
		}
		if r.written[r.method] == nil {
			r.written[r.method] = map[string]bool{}
		}
		r.written[r.method][table] = true
	}
}

// run calls a method, and returns the events that it caused.
func (r *noticeRecorder) run(t *testing.T, l *recordedEvents, method string, call func() error) []store.Event {
	t.Helper()
	l.settle(t)
	(&recorder{t: t}).run(t, method, func() error {
		r.mu.Lock()
		r.method = method
		r.mu.Unlock()
		return call()
	})
	return l.settle(t)
}

// recordedEvents are the events of a database. They come on a plain connection: that of Listen ends, and loses events,
// if the database is slow.
type recordedEvents struct {
	db      *store.Store
	conn    *pgx.Conn
	markers int
}

// recordEvents listens until the end of the test.
func recordEvents(t *testing.T, db *store.Store, connString string) *recordedEvents {
	t.Helper()
	conn := connect(t, connString)
	_, err := conn.Exec(t.Context(), `LISTEN gatehouse`)
	require.NoError(t, err)
	return &recordedEvents{db: db, conn: conn}
}

// settle returns the events that were announced since the last call.
func (l *recordedEvents) settle(t *testing.T) (events []store.Event) {
	t.Helper()
	l.markers++
	marker := store.Event(fmt.Sprint("marker ", l.markers))
	require.NoError(t, l.db.Notify(t.Context(), marker))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		notice, err := l.conn.WaitForNotification(ctx)
		require.NoError(t, err)
		if store.Event(notice.Payload) == marker {
			return events
		}
		events = append(events, store.Event(notice.Payload))
	}
}

// listenUntilEnd listens, and again after each failure, until the test ends. It returns when the listener is ready.
func listenUntilEnd(t *testing.T, db *store.Store, l store.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan struct{})
	var once sync.Once
	own := l.Ready
	l.Ready = func() {
		if own != nil {
			own()
		}
		once.Do(func() { close(ready) })
	}
	if l.HandleEvent == nil {
		l.HandleEvent = func(store.Event) {}
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		for ctx.Err() == nil {
			_ = db.Listen(ctx, l)
		}
	})
	stop = func() { cancel(); listening.Wait() }
	t.Cleanup(stop)
	<-ready
	return stop
}

// TestEveryChangeIsAnnounced calls each method of Store that writes what gateways load, and requires that its
// transaction announces the change. A method that is new and does not, turns it red.
func TestEveryChangeIsAnnounced(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	insertManyRows(t, conn)
	traced := newNoticeRecorder(t)
	open := func(conn string) *store.Store {
		s, err := store.Open(t.Context(), store.WithTracer(store.Config{
			ConnString: conn, Now: time.Now, IDs: store.NewIDs(time.Now),
		}, traced))
		require.NoError(t, err)
		t.Cleanup(s.Close)
		return s
	}
	s := open(conn)
	here := storetest.Open(t, conn)
	t.Cleanup(here.Close)
	events := recordEvents(t, here, conn)

	all := everyCall(t, s)
	maps.Copy(all, importCalls(t, s))
	for _, method := range slices.Sorted(maps.Keys(all)) {
		var caused []store.Event
		for _, call := range all[method] {
			caused = append(caused, traced.run(t, events, method, call)...)
		}
		for table := range traced.written[method] {
			require.Contains(t, caused, eventOf[table], "%s changes %s", method, table)
		}
	}
	empty := storetest.Database(t)
	first := open(empty)
	bootstrap := func() error {
		_, err := first.Bootstrap(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)}, store.UserParams{})
		return err
	}
	require.Equal(t, []store.Event{store.EventChange}, traced.run(t, recordEvents(t, first, empty), "Bootstrap", bootstrap))
	for method, tables := range changingMethods {
		require.Equal(t, strings.Fields(tables), slices.Sorted(maps.Keys(traced.written[method])), "the tables of %s", method)
	}
	require.Len(t, traced.written, len(changingMethods), "a method is not in changingMethods")
}

// importCalls are calls of the imports. The others are in tables_test.go.
func importCalls(t *testing.T, s *store.Store) calls {
	t.Helper()
	return calls{
		"ImportAPIs": {get(func() (any, error) {
			return s.ImportAPIs(t.Context(), "check", func(yield func(store.API, error) bool) {
				yield(someAPI("imported", "imported"), nil)
			})
		})},
		"ImportPolicies": {get(func() (any, error) {
			return s.ImportPolicies(t.Context(), "check", func(yield func(store.Policy, error) bool) {
				yield(store.Policy{ID: "imported", OrgID: someOrg, Document: json.RawMessage(`{}`)}, nil)
			})
		})},
		// Its lease is one that exists: the change of tables_test.go is rolled back.
		"CommitOrgKeyChange": {func() error {
			change := store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: "organisation 17", Session: json.RawMessage(`{}`)}}
			lease, err := s.BeginOrgKeyChange(t.Context(), change, time.Minute)
			if err != nil {
				return err
			}
			return s.CommitOrgKeyChange(t.Context(), lease, change)
		}},
	}
}

// TestWhatChangesNothingIsNotAnnounced: each notice has all gateways load everything again.
func TestWhatChangesNothingIsNotAnnounced(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	events := recordEvents(t, s, conn)
	ctx := t.Context()
	org := store.Organisation{ID: "organisation 7", CName: "portal.example", Document: json.RawMessage(`{"a":1}`)}
	imports := map[string]func() error{
		"an organisation": get(func() (any, error) { return s.ImportOrganisation(ctx, org) }),
		"APIs":            importCalls(t, s)["ImportAPIs"][0],
		"policies":        importCalls(t, s)["ImportPolicies"][0],
	}
	for _, what := range []string{"an organisation", "APIs", "policies"} {
		require.NoError(t, imports[what]())
		require.Equal(t, []store.Event{store.EventChange}, events.settle(t), "%s that are new", what)
		require.NoError(t, imports[what]())
		require.Empty(t, events.settle(t), "%s that are the same", what)
	}
	absent := store.Ref{ID: "absent"}
	for name, err := range map[string]error{
		"DeleteAPI": s.DeleteAPI(ctx, absent), "DeletePolicy": s.DeletePolicy(ctx, absent),
		"EditAPI": s.EditAPI(ctx, absent, "check", sameAPI), "EditPolicy": s.EditPolicy(ctx, absent, somePolicy),
		"DeleteOrganisation":  s.DeleteOrganisation(ctx, "absent"),
		"ReplaceOrganisation": s.ReplaceOrganisation(ctx, store.Organisation{ID: "absent", Document: json.RawMessage(`{}`)}),
		"WriteOrgKey":         s.WriteOrgKey(ctx, store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: "organisation 7"}}),
	} {
		require.ErrorIs(t, err, store.ErrNotFound, name)
	}
	require.ErrorIs(t, s.CreateAPI(ctx, "check", someAPI("imported", "new")), store.ErrConflict)
	require.Empty(t, events.settle(t))
}

// silentProxy forwards connections to a Postgres until it becomes silent: then those that are open get nothing through,
// and stay open, as when a network is cut. New ones are forwarded.
type silentProxy struct {
	database *pgx.ConnConfig

	mu     sync.Mutex // guards silent, for the time of one access
	silent chan struct{}
}

// newSilentProxy returns a proxy of a database, and the connection string of what it forwards.
func newSilentProxy(t *testing.T, connString string) (p *silentProxy, through string) {
	t.Helper()
	database, err := pgx.ParseConfig(connString)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p = &silentProxy{database: database, silent: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(ctx, client) })
		}
	})
	t.Cleanup(func() { cancel(); _ = listener.Close(); serving.Wait() })
	address := listener.Addr().(*net.TCPAddr)
	return p, fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable",
		address.Port, database.User, database.Database)
}

func (p *silentProxy) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	silent := p.silent
	p.mu.Unlock()
	network, address := pgconn.NetworkAddress(p.database.Host, p.database.Port)
	database, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer database.Close()
	ended := make(chan struct{}, 2)
	forward := func(to io.Writer, from io.Reader) {
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			select {
			case <-silent:
				<-ctx.Done()
				return
			default:
			}
			if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
				ended <- struct{}{}
				return
			}
		}
	}
	var forwarding sync.WaitGroup
	forwarding.Go(func() { forward(client, database) })
	forwarding.Go(func() { forward(database, client) })
	select {
	case <-ended:
	case <-ctx.Done():
	}
	_ = client.Close()
	_ = database.Close()
	forwarding.Wait()
}

// cut makes the connections silent that are open.
func (p *silentProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.silent)
	p.silent = make(chan struct{})
}

// stopBackend stops the process of Postgres that serves the listener with a name, as SIGSTOP does, until the end of the
// test. It stops the process while that waits for its client: within a transaction, it would keep locks of all others.
func stopBackend(t *testing.T, connString, application string) {
	t.Helper()
	var pid int
	require.NoError(t, connect(t, connString).QueryRow(t.Context(), `
		SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
			AND (query LIKE '%pg_notify($1, '''')%' OR query LIKE '%INTO leases%')`, application).Scan(&pid))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	require.Eventually(t, func() bool {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		if isIdle(t, connString, pid) {
			return true
		}
		_ = syscall.Kill(pid, syscall.SIGCONT)
		return false
	}, time.Minute, 7*time.Millisecond, "the process waits for its client")
}

// isIdle reports whether a backend waits for its client. It looks for a second: the backend may be stopped with a lock
// that this needs, too.
func isIdle(t *testing.T, connString string, pid int) (idle bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	look, err := pgx.Connect(ctx, connString)
	if err != nil {
		return false
	}
	defer look.Close(ctx)
	err = look.QueryRow(ctx, `SELECT state = 'idle' AND wait_event = 'ClientRead' FROM pg_stat_activity WHERE pid = $1`,
		pid).Scan(&idle)
	return err == nil && idle
}

// TestListenerNoticesASilentConnection: nothing tells the listener that its connection has died.
func TestListenerNoticesASilentConnection(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"the process is stopped", "the network is cut"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			proxy, through := newSilentProxy(t, conn)
			db := storetest.Open(t, through+" application_name=silent")
			t.Cleanup(db.Close)
			var mu sync.Mutex // guards what follows
			var readied int
			var received []store.Event
			listenUntilEnd(t, db, store.Listener{
				Ready:       func() { mu.Lock(); readied++; mu.Unlock() },
				HandleEvent: func(event store.Event) { mu.Lock(); received = append(received, event); mu.Unlock() },
			})
			require.True(t, db.Listening())

			begun := time.Now()
			if name == "the network is cut" {
				proxy.cut()
			} else {
				stopBackend(t, conn, "silent")
			}
			require.Eventually(t, func() bool { return !db.Listening() }, time.Minute, time.Millisecond)
			require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return readied == 2 },
				time.Minute, time.Millisecond)
			took := time.Since(begun)
			t.Logf("listens again after %s", took)
			require.Less(t, took, 8*time.Second, "2 s on a machine that is four times as fast")
			require.NoError(t, db.Notify(t.Context(), "heard"))
			require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(received, "heard") },
				time.Minute, time.Millisecond)
			require.True(t, db.Listening())
		})
	}
}

// leads records when a server leads.
type leads struct {
	mu    sync.Mutex // guards what follows
	first time.Time  // when it became the leader
	until time.Time
}

func (l *leads) lead(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first.IsZero() {
		l.first = time.Now()
	}
	l.until = until
}

func (l *leads) now() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

// TestOneLeader: a leader that is silent, or whose connection is, has stopped leading before another one begins.
func TestOneLeader(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	servers, stops := make([]*leads, 3), make([]func(), 3)
	for i := range servers {
		db := storetest.Open(t, fmt.Sprintf("%s application_name=leader_%d", conn, i))
		t.Cleanup(db.Close)
		servers[i] = &leads{}
		stops[i] = listenUntilEnd(t, db, store.Listener{Lead: servers[i].lead})
		if i == 0 {
			require.Eventually(t, servers[0].now, time.Minute, time.Millisecond)
		}
	}
	require.Never(t, func() bool { return servers[1].now() || servers[2].now() }, 2*time.Second, 10*time.Millisecond)
	require.True(t, servers[0].now())

	stopBackend(t, conn, "leader_0")
	stops[0]()
	var second *leads
	var stop func()
	require.Eventually(t, func() bool {
		for i := 1; i < len(servers); i++ {
			if servers[i].now() {
				second, stop = servers[i], stops[i]
			}
		}
		return second != nil
	}, time.Minute, time.Millisecond)
	require.False(t, second.first.Before(servers[0].until), "two servers have led at the same time")

	begun := time.Now()
	stop() // in an orderly way
	third := servers[1]
	if third == second {
		third = servers[2]
	}
	require.Eventually(t, third.now, time.Minute, time.Millisecond)
	t.Logf("another server leads %s after the leader has stopped", time.Since(begun))
}
