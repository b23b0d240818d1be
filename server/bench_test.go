package server_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// discard is a ResponseWriter that discards the response.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Flush()                      {}

// handler returns a server as in production, except for the network and the file of the log.
func handler(tb testing.TB, mode server.ResponseCheck) *server.Server {
	tb.Helper()
	db, err := store.Open(tb.Context(), store.Config{
		ConnString: storetest.Database(tb), Now: time.Now, IDs: store.NewIDs(time.Now),
	})
	require.NoError(tb, err)
	tb.Cleanup(db.Close)
	written := slog.New(slog.NewTextHandler(io.Discard, nil)) //nolint:sloglint // formatting its lines is measured
	s, err := server.New(server.Config{
		Store: db, Log: written, Now: time.Now, AdminSecret: secret, NodeSecret: nodeSecret,
		PageSize: 10, Limits: testLimits, Contract: loadedContract(), CheckResponses: mode,
	})
	require.NoError(tb, err)
	return s
}

func createUser(tb testing.TB, s http.Handler) string {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, "/admin/users", strings.NewReader(`{"email_address":"u@example.org","active":true}`))
	r.Header.Set("Admin-Auth", secret)
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	require.Equal(tb, http.StatusOK, rec.Code, rec.Body)
	_, rest, _ := strings.Cut(rec.Body.String(), `"id":"`)
	return rest[:24]
}

// maxAllocations bounds the allocations of a validated GET, including its statement with its deadline, and its log
// line. The race detector makes sync.Pool drop a part of what it is given, which adds some ten.
const maxAllocations = 60 + raceAllocations

func TestGetAllocations(t *testing.T) { //nolint:paralleltest // it would count those of other tests
	s := handler(t, server.DeparturesReported)
	r := httptest.NewRequest(http.MethodGet, "/admin/users/"+createUser(t, s), nil)
	r.Header.Set("Admin-Auth", secret)
	w := &discard{}
	const runs = 200
	allocations := testing.AllocsPerRun(runs, func() {
		w.header = http.Header{}
		s.ServeHTTP(w, r)
	})
	require.Equal(t, http.StatusOK, w.status)
	t.Logf("%.0f allocations", allocations)
	require.LessOrEqual(t, allocations, float64(maxAllocations))
}

// connections is how many clients send requests at the same time, for each core.
const connections = 4

// benchmarkSmall measures a small request for each way to check responses.
func benchmarkSmall(b *testing.B, request func(s *server.Server) func() *http.Request) {
	for _, mode := range []server.ResponseCheck{
		server.ResponsesUnchecked, server.DeparturesReported, server.DeparturesRefused,
	} {
		b.Run(string(mode), func(b *testing.B) {
			s := handler(b, mode)
			next := request(s)
			b.ReportAllocs()
			b.SetParallelism(connections)
			b.ResetTimer()
			before := cpuTime(b)
			b.RunParallel(func(pb *testing.PB) {
				w := &discard{}
				for pb.Next() {
					w.header = http.Header{}
					s.ServeHTTP(w, next())
					if w.status != http.StatusOK {
						b.Error(w.status)
						return
					}
				}
			})
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is the time that this process has used of all cores. Unlike the time of the clock, it does not depend on what
// else the machine does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// adminRequest returns a request with the admin secret.
func adminRequest(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Admin-Auth", secret)
	return r
}

// BenchmarkHello measures the way of a request without its statement: nothing in it waits.
func BenchmarkHello(b *testing.B) {
	benchmarkSmall(b, func(*server.Server) func() *http.Request {
		return func() *http.Request { return adminRequest(http.MethodGet, "/admin/hello", "") }
	})
}

func BenchmarkGetUser(b *testing.B) {
	benchmarkSmall(b, func(s *server.Server) func() *http.Request {
		path := "/admin/users/" + createUser(b, s)
		return func() *http.Request { return adminRequest(http.MethodGet, path, "") }
	})
}

func BenchmarkCreateNonce(b *testing.B) {
	benchmarkSmall(b, func(s *server.Server) func() *http.Request {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, adminRequest(http.MethodPost, "/admin/organisations", `{"owner_name":"x","sso_enabled":true}`))
		org := strings.Split(rec.Body.String(), `"`)[11]
		body := `{"ForSection":"dashboard","OrgID":"` + org + `","EmailAddress":"u@example.org","GroupID":"","DisplayName":"U"}`
		return func() *http.Request { return adminRequest(http.MethodPost, "/admin/sso", body) }
	})
}

// BenchmarkExport exports a hundred APIs of 8 KiB, of which a report checks the first two.
func BenchmarkExport(b *testing.B) {
	benchmarkSmall(b, func(s *server.Server) func() *http.Request {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, adminRequest(http.MethodPost, "/admin/organisations", `{"owner_name":"x"}`))
		org := strings.Split(rec.Body.String(), `"`)[11]
		apis := make([]string, 0, 100)
		for i := range 100 {
			apis = append(apis, apiOf(org, "api-"+strings.Repeat("x", i), `"config_data":{"list":[`+strings.Repeat(`{"a":1.5,"b":"text"},`, 400)+`{}]}`))
		}
		rec = httptest.NewRecorder()
		s.ServeHTTP(rec, adminRequest(http.MethodPost, "/admin/apis/import", `{"apis":[`+strings.Join(apis, ",")+`]}`))
		require.Equal(b, http.StatusOK, rec.Code, rec.Body)
		return func() *http.Request { return adminRequest(http.MethodGet, "/admin/apis", "") }
	})
}

// BenchmarkImport imports a hundred unchanged APIs, which Postgres does not write: it measures reading and checking.
func BenchmarkImport(b *testing.B) {
	s := handler(b, server.DeparturesReported)
	post := func(path, body string) string {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Admin-Auth", secret)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		require.Equal(b, http.StatusOK, rec.Code, rec.Body)
		return rec.Body.String()
	}
	org := strings.Split(post("/admin/organisations", `{"owner_name":"x"}`), `"`)[11]
	apis := make([]string, 0, 100)
	for i := range 100 {
		apis = append(apis, apiOf(org, "api-"+strings.Repeat("x", i), `"config_data":{"list":[`+strings.Repeat(`{"a":1.5,"b":"text"},`, 400)+`{}]}`))
	}
	body := `{"apis":[` + strings.Join(apis, ",") + `]}`
	post("/admin/apis/import", body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		post("/admin/apis/import", body)
	}
}
