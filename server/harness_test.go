package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const (
	secret     = "the-admin-secret"
	nodeSecret = "the-node-secret"
)

// testLimits do not limit any test that is not about limits.
var testLimits = server.Limits{Import: 64 << 20, Document: 1 << 20, Depth: 1000, BodyTimeout: 10 * time.Second}

// loadedContract is compiled once for all servers of the tests.
var loadedContract = sync.OnceValue(func() *contract.Contract {
	loaded, err := server.LoadContract()
	if err != nil {
		panic(err)
	}
	return loaded
})

// contractSpecs returns the contracts.
var contractSpecs = sync.OnceValue(func() []*openapi3.T {
	var specs []*openapi3.T
	for _, get := range []func() (*openapi3.T, error){admin.GetSpec, dashboard.GetSpec, node.GetSpec} {
		spec, err := get()
		if err != nil {
			panic(err)
		}
		specs = append(specs, spec)
	}
	return specs
})

// contractRouters find the operation of a request, independently of the server's router.
var contractRouters = sync.OnceValue(func() []routers.Router {
	var all []routers.Router
	for _, spec := range contractSpecs() {
		unbound := *spec
		unbound.Servers, unbound.Security = nil, nil
		router, err := gorillamux.NewRouter(&unbound)
		if err != nil {
			panic(err)
		}
		all = append(all, router)
	}
	return all
})

// bundle is a server on a database of its own.
type bundle struct {
	t     testing.TB
	conn  string // the database's connection string
	store *store.Store
	url   string
	log   *logBuffer
	clock *clock
}

// setup starts a server on a database of its own. Each of its responses is checked against the contract.
func setup(t testing.TB, change ...func(*server.Config)) *bundle {
	t.Helper()
	return setupOn(t, storetest.Database(t), change...)
}

// setupOn starts a server on an existing database.
func setupOn(t testing.TB, conn string, change ...func(*server.Config)) *bundle {
	t.Helper()
	return setupAt(t, conn, loopback(t), change...)
}

// loopback returns a listener on a free port. Connections wait until a server accepts them.
func loopback(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// setupAt starts a server on an existing database and listener.
func setupAt(t testing.TB, conn string, listener net.Listener, change ...func(*server.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, conn: conn, log: &logBuffer{}, clock: &clock{}}
	db, err := store.Open(t.Context(), store.Config{ConnString: conn, Now: b.clock.now, IDs: store.NewIDs(b.clock.now)})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	b.store = db
	cfg := server.Config{
		Store: db, Log: slog.New(slog.NewTextHandler(b.log, nil)), Now: b.clock.now, AdminSecret: secret, NodeSecret: nodeSecret,
		PageSize: 10, Version: "test", Limits: testLimits, Contract: loadedContract(),
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := server.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var listening sync.WaitGroup
	listening.Go(func() { s.Run(ctx) })
	web := httptest.NewUnstartedServer(checkResponses(b, s))
	_ = web.Listener.Close()
	web.Listener = listener
	web.Start()
	t.Cleanup(func() { web.Close(); cancel(); listening.Wait() })
	b.url = web.URL
	return b
}

// clock is a clock that a test can move forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// logBuffer records the log of a server.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// checkResponses checks each response of next against the contract.
func checkResponses(b *bundle, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseRecorder: httptest.NewRecorder(), connection: w}
		next.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if encoding := rec.Header().Get("Content-Encoding"); encoding != "" {
			body = []byte(decompressed(b.t, encoding, rec.Body.String()))
		}
		if err := checkResponse(r, rec.Code, rec.Header(), body); err != nil {
			b.t.Errorf("%s %s sent a response that its contract does not declare: %d %s\n%v", r.Method, r.URL.Path, rec.Code, rec.Body, err)
		}
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// recorder records a response. The connection remains accessible, for its deadlines.
type recorder struct {
	*httptest.ResponseRecorder
	connection http.ResponseWriter
}

// Unwrap returns the connection to an http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.connection }

// checkResponse returns an error for a response that the contract does not declare. It ignores paths without an
// operation.
func checkResponse(r *http.Request, status int, header http.Header, body []byte) error {
	if r.Method == http.MethodHead {
		return nil
	}
	route := routeOf(r.Method, r.URL.Path)
	if route == nil {
		return nil
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
}

func routeOf(method, path string) *routers.Route {
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	plain, err := http.NewRequest(method, "http://localhost"+path, nil)
	if err != nil {
		return nil
	}
	for _, router := range contractRouters() {
		if route, _, err := router.FindRoute(plain); err == nil {
			return route
		}
	}
	return nil
}

// reply is a response with its whole body.
type reply struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   string
}

// with changes a request before it is sent.
type with func(*http.Request)

func header(name, value string) with { return func(r *http.Request) { r.Header.Set(name, value) } }

func asUser(key string) with { return header("Authorization", key) }

// admin sends a request with the admin secret. A body that is not a string is sent as JSON.
func (b *bundle) admin(method, path string, body any, change ...with) reply {
	b.t.Helper()
	return b.do(method, path, body, append([]with{header("admin-auth", secret)}, change...)...)
}

// do sends a request.
func (b *bundle) do(method, path string, body any, change ...with) reply {
	b.t.Helper()
	var text string
	switch v := body.(type) {
	case nil:
	case string:
		text = v
	default:
		raw, err := json.Marshal(v)
		require.NoError(b.t, err)
		text = string(raw)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(text))
	require.NoError(b.t, err)
	for _, c := range change {
		c(r)
	}
	return send(b.t, r)
}

// send sends a request; no redirect is followed.
func send(t testing.TB, r *http.Request) reply {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{t: t, what: r.Method + " " + r.URL.RequestURI(), status: resp.StatusCode, header: resp.Header, body: string(raw)}
}

// is checks the status. It prints the body if the status is wrong.
func (r reply) is(status int) reply {
	r.t.Helper()
	require.Equalf(r.t, status, r.status, "%s: %s", r.what, r.body)
	return r
}

// message checks the status and Message.
func (r reply) message(status int, message string) reply {
	r.t.Helper()
	r.is(status)
	require.Equal(r.t, message, r.envelope().Message, r.what)
	return r
}

// json reads the body into v.
func (r reply) json(v any) {
	r.t.Helper()
	require.NoErrorf(r.t, json.Unmarshal([]byte(r.body), v), "%s: %s", r.what, r.body)
}

type envelope struct {
	Status, Message string
	Meta            json.RawMessage
}

func (r reply) envelope() (e envelope) {
	r.t.Helper()
	r.json(&e)
	return e
}

// meta returns Meta as a string.
func (r reply) meta() (s string) {
	r.t.Helper()
	require.NoErrorf(r.t, json.Unmarshal(r.envelope().Meta, &s), "%s: %s", r.what, r.body)
	return s
}

// user returns Meta, or the whole body if there is no envelope, as a user.
func (r reply) user() (u admin.User) {
	r.t.Helper()
	if strings.HasPrefix(r.body, `{"Status"`) {
		require.NoError(r.t, json.Unmarshal(r.envelope().Meta, &u), r.body)
	} else {
		r.json(&u)
	}
	return u
}

// org creates an organisation and returns its ID.
func (b *bundle) org(fields ...string) string {
	b.t.Helper()
	body := `{"owner_name":"Rivermouth"}`
	if len(fields) > 0 {
		body = fields[0]
	}
	return b.admin("POST", "/admin/organisations", body).is(200).meta()
}

// user creates an active user and returns it.
func (b *bundle) user(orgID, email string, permissions map[string]string) admin.User {
	b.t.Helper()
	body := map[string]any{"org_id": orgID, "email_address": email, "first_name": "A", "last_name": "B", "active": true}
	if permissions != nil {
		body["user_permissions"] = permissions
	}
	return b.admin("POST", "/admin/users", body).is(200).user()
}
