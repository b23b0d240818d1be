package server

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// trailTest is an audit trail on a database behind a proxy.
type trailTest struct {
	*auditTrail

	conn    string
	metrics *metrics
	proxy   *storetest.Proxy
	out     *bytes.Buffer
}

func newTrailTest(t *testing.T, statementTimeout time.Duration) *trailTest {
	t.Helper()
	conn := storetest.Database(t)
	proxy := storetest.NewProxy(t, conn)
	db, err := store.Open(t.Context(), store.Config{
		ConnString: proxy.ConnString(), Now: time.Now, IDs: store.NewIDs(time.Now), StatementTimeout: statementTimeout,
		Wait: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	out := &bytes.Buffer{}
	log, recorded := slog.New(slog.NewTextHandler(out, nil)), newMetrics(db, time.Now)
	return &trailTest{newAuditTrail(db, log, recorded.auditEvents), conn, recorded, proxy, out}
}

// start runs the trail until the function that it returns is called.
func (tt *trailTest) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tt.run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

func (tt *trailTest) addMany(n int) {
	for range n {
		tt.add(store.AuditEvent{At: time.Now(), Details: json.RawMessage(`{}`)})
	}
}

func (tt *trailTest) stored(t *testing.T) int {
	t.Helper()
	return storetest.Value[int](t, tt.conn, `SELECT count(*) FROM audit_events`)
}

// counted returns the number of events with a result, by the metric.
func (tt *trailTest) counted(t *testing.T, result string) int {
	t.Helper()
	families, err := tt.metrics.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "gatehouse_audit_events_total" && metric.GetLabel()[0].GetValue() == result {
				return int(metric.GetCounter().GetValue())
			}
		}
	}
	t.Fatalf("no events are counted as %s", result)
	return 0
}

const (
	trailSoon = time.Minute
	trailPoll = 10 * time.Millisecond
)

// TestAuditTrailOutlastsTheDatabase: events wait while no connection can be had, and are stored afterwards.
func TestAuditTrailOutlastsTheDatabase(t *testing.T) {
	t.Parallel()
	tt := newTrailTest(t, 3*time.Second)
	tt.proxy.Cut()
	tt.proxy.Stop()
	tt.addMany(3)
	tt.flush(t.Context(), t.Context())
	require.Equal(t, 3, tt.waiting())
	tt.addMany(2)
	tt.proxy.Resume()
	stop := tt.start(t)
	require.Eventually(t, func() bool { return tt.stored(t) == 5 }, trailSoon, trailPoll)
	stop()
	require.Equal(t, 5, tt.counted(t, "stored"))
	require.Zero(t, tt.counted(t, "dropped"))
}

// TestAuditTrailIsBounded: what does not fit into the queue is dropped, counted, and logged once, until something was
// stored again.
func TestAuditTrailIsBounded(t *testing.T) {
	t.Parallel()
	tt := newTrailTest(t, time.Minute)
	const line = `level=WARN msg="write audit events failed, the API lacks them, the audit log has them" count=1 err="too many`
	for n := 1; n <= 2; n++ {
		tt.addMany(maxAuditQueue + 7)
		require.Equal(t, 7*n, tt.counted(t, "dropped"))
		require.Equal(t, n, strings.Count(tt.out.String(), line), tt.out.String())
		tt.flush(t.Context(), t.Context())
		require.Equal(t, maxAuditQueue*n, tt.stored(t))
		require.Equal(t, maxAuditQueue*n, tt.counted(t, "stored"))
	}
}

// TestAuditTrailDropsWhatFails: a batch that the database refuses keeps no other from being stored.
func TestAuditTrailDropsWhatFails(t *testing.T) {
	t.Parallel()
	tt := newTrailTest(t, time.Minute)
	tt.addMany(maxAuditBatch - 1)
	tt.add(store.AuditEvent{Details: json.RawMessage(`no JSON`)})
	tt.addMany(5)
	tt.flush(t.Context(), t.Context())
	require.Equal(t, 5, tt.stored(t))
	require.Equal(t, maxAuditBatch, tt.counted(t, "dropped"))
	require.Contains(t, tt.out.String(), "count=1000 err=")
}

// TestAuditTrailEndsWithTheServer: Run writes what is left when it ends, and FlushAudit what came afterwards, or counts
// it.
func TestAuditTrailEndsWithTheServer(t *testing.T) {
	t.Parallel()
	tt := newTrailTest(t, time.Second)
	_, err := tt.store.Clock(t.Context()) // opens a connection, for which the end of a trail may leave no time
	require.NoError(t, err)
	stop := tt.start(t)
	tt.addMany(2)
	stop()
	require.Equal(t, 2, tt.stored(t))
	s := &Server{trail: tt.auditTrail}
	tt.addMany(3)
	s.FlushAudit(t.Context())
	require.Equal(t, 5, tt.stored(t))
	tt.addMany(4)
	tt.proxy.Cut()
	tt.proxy.Stop()
	began := time.Now()
	s.FlushAudit(t.Context())
	require.Less(t, time.Since(began), 30*time.Second)
	require.Equal(t, 4, tt.counted(t, "dropped"))
	require.Equal(t, 5, tt.stored(t))
}

// TestAuditEventOf: what of a line has no column is in the details, and what Postgres does not store is replaced.
func TestAuditEventOf(t *testing.T) {
	t.Parallel()
	event := auditEventOf([]slog.Attr{
		slog.String("req_id", "r"), slog.String("ip", "192.0.2.1"), slog.String("who", "user"), slog.String("user", "u"),
		slog.String("org_id", "o"), slog.String("action", "putApi"), slog.String("object", "api"),
		slog.String("object_id", "a\x00b"), slog.String("outcome", "ok"), slog.Int("status", http.StatusOK),
		slog.Int("imported", 3), slog.String("ids", "a\x00 b"),
	})
	require.Equal(t, store.AuditEvent{
		ReqID: "r", IP: "192.0.2.1", Who: "user", Actor: "u", UserID: "u", OrgID: "o", Action: "putApi", Object: "api",
		ObjectID: "a?b", Outcome: "ok", Status: http.StatusOK, Details: json.RawMessage(`{"ids":"a? b","imported":3}`),
	}, event)
	require.Equal(t, "admin_secret", auditEventOf([]slog.Attr{slog.String("who", "admin_secret")}).Actor)
}

func TestCSVHasNoFormulas(t *testing.T) {
	t.Parallel()
	require.Equal(t, `'=1+1,'+1,'-1,'@a,"'`+"\r"+`a",'`+"\t"+`a,a=1,,"""a,b"`+"\n",
		string(csvLine([]string{"=1+1", "+1", "-1", "@a", "\ra", "\ta", "a=1", "", `"a,b`})))
}
