package server_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
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
func handler(tb testing.TB) *server.Server {
	tb.Helper()
	db, err := store.Open(tb.Context(), store.Config{
		ConnString: storetest.Database(tb), Now: time.Now, IDs: store.NewIDs(time.Now),
	})
	require.NoError(tb, err)
	tb.Cleanup(db.Close)
	written := slog.New(slog.NewTextHandler(io.Discard, nil)) //nolint:sloglint // formatting its lines is measured
	s, err := server.New(server.Config{
		Store: db, Log: written, Now: time.Now, AdminSecret: secret, NodeSecret: nodeSecret,
		PageSize: 10, Limits: testLimits, Contract: loadedContract(),
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

// maxAllocations bounds the allocations of a validated GET, including its statement and its log line.
const maxAllocations = 60

func TestGetAllocations(t *testing.T) { //nolint:paralleltest // it would count those of other tests
	s := handler(t)
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

func BenchmarkGetUser(b *testing.B) {
	s := handler(b)
	r := httptest.NewRequest(http.MethodGet, "/admin/users/"+createUser(b, s), nil)
	r.Header.Set("Admin-Auth", secret)
	w := &discard{}
	b.ReportAllocs()
	for b.Loop() {
		w.header = http.Header{}
		s.ServeHTTP(w, r)
	}
}

// BenchmarkImport imports a hundred unchanged APIs, which Postgres does not write: it measures reading and checking.
func BenchmarkImport(b *testing.B) {
	s := handler(b)
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
