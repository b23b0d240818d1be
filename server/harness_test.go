package server_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/browsertest"
	"gatehouse/internal/password"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

func TestMain(m *testing.M) {
	os.Exit(browsertest.Main(func() int { return storetest.Main(m) }))
}

const (
	secret     = "the-admin-secret"
	nodeSecret = "the-node-secret"
)

// testLimits do not limit any test that is not about limits.
var testLimits = server.Limits{
	Import: 64 << 20, Document: 1 << 20, Depth: 1000, BodyTimeout: 10 * time.Second,
	NodeCache:        64 << 20,
	WrongCredentials: 60, WrongPasswords: 10, // the defaults of the program: tests stay below them, as other clients do
}

// testPasswordCost is a thousandth of the cost of the program: hashes were a seventh of the time that the tests took.
var testPasswordCost = password.Cost{MemoryKiB: 64, Iterations: 1}

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

// declaredRoute is an operation of the contracts and its path, in segments.
type declaredRoute struct {
	method   string
	segments []string
	id       string
}

// declaredRoutes are all operations by the number of segments of their paths, independently of the server's router.
// Paths with fewer parameters are in front, because they take precedence.
var declaredRoutes = sync.OnceValue(func() map[int][]declaredRoute {
	all := map[int][]declaredRoute{}
	for _, spec := range contractSpecs() {
		for path, item := range spec.Paths.Map() {
			segments := strings.Split(path, "/")
			for method, op := range item.Operations() {
				all[len(segments)] = append(all[len(segments)], declaredRoute{method, segments, op.OperationID})
			}
		}
	}
	for _, routes := range all {
		slices.SortFunc(routes, func(a, b declaredRoute) int {
			return cmp.Or(
				cmp.Compare(parameters(a.segments), parameters(b.segments)), slices.Compare(a.segments, b.segments),
				cmp.Compare(a.method, b.method),
			)
		})
	}
	return all
})

// parameters returns the number of segments that are parameters.
func parameters(segments []string) (n int) {
	for _, segment := range segments {
		if isParameter(segment) {
			n++
		}
	}
	return n
}

func isParameter(segment string) bool { return strings.HasPrefix(segment, "{") }

// matches reports whether a path is that of the route.
func (r declaredRoute) matches(segments []string) bool {
	for i, segment := range r.segments {
		if segment != segments[i] && (!isParameter(segment) || segments[i] == "") {
			return false
		}
	}
	return true
}

// bundle is a server on a database of its own.
type bundle struct {
	t     testing.TB
	conn  string // the database's connection string
	store *store.Store
	// server is for what is not done by requests.
	server *server.Server
	url    string
	log    *logBuffer
	audit  *auditRecords
	clock  *clock
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
	declaredRoutes() // the contracts take seconds with the race detector: the first request may not wait for them
	b := &bundle{t: t, conn: conn, log: &logBuffer{}, audit: &auditRecords{}, clock: &clock{}}
	db, err := store.Open(t.Context(), store.Config{
		ConnString: conn, Now: b.clock.now, IDs: store.NewIDs(b.clock.now), Wait: time.Minute,
		StatementTimeout: time.Minute, // on a busy machine, a statement may take seconds
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	b.store = db
	cfg := server.Config{
		Store: db, Log: slog.New(slog.NewTextHandler(b.log, nil)), Now: b.clock.now,
		AdminSecret: secret, NodeSecret: nodeSecret,
		PageSize: 10, Version: "test", Console: true, Limits: testLimits, PasswordCost: testPasswordCost, Contract: loadedContract(),
		CheckResponses: server.DeparturesReported,
		Audit:          server.Audit{Log: slog.New(b.audit), Detailed: true, Retention: 24 * time.Hour},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := server.New(cfg)
	require.NoError(t, err)
	b.server = s
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

// clock is a clock that a test can move forward, and freeze: then it moves only forward by the test.
type clock struct {
	ahead  atomic.Int64
	frozen atomic.Pointer[time.Time]
}

func (c *clock) now() time.Time {
	at := time.Now()
	if frozen := c.frozen.Load(); frozen != nil {
		at = *frozen
	}
	return at.Add(time.Duration(c.ahead.Load()))
}

func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func (c *clock) freeze() {
	at := time.Now()
	c.frozen.Store(&at)
}

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

// reset forgets what was logged.
func (l *logBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Reset()
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
		sent := *r.URL // the server removes a slash at the end
		next.ServeHTTP(rec, r)
		r.URL = &sent
		body := rec.Body.Bytes()
		if encoding := rec.Header().Get("Content-Encoding"); encoding != "" {
			body = []byte(decompressed(b.t, encoding, rec.Body.String()))
		}
		if err := checkResponse(r, rec.Code, rec.Header(), body); err != nil {
			b.t.Errorf("%s %s sent a response that its contract does not declare: %d %s\n%v", r.Method, r.URL.Path, rec.Code, rec.Body, err)
		}
		if err := b.audit.check(r, rec); err != nil {
			b.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		if problem := cacheable(r, rec.Header()); problem != "" {
			b.t.Errorf("%s %s: %s", r.Method, r.URL.Path, problem)
		}
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// cacheable says what is wrong if a response may be stored by a cache, or interpreted as another type than it has; "" if
// nothing is. The files of the documentation and the console have no secrets.
func cacheable(r *http.Request, header http.Header) string {
	public := slices.ContainsFunc([]string{"/docs", "/openapi", "/console"}, func(part string) bool {
		return strings.Contains(r.URL.Path, part)
	})
	if got := header.Values("Cache-Control"); !slices.Equal(got, []string{"no-store"}) && !public {
		return fmt.Sprintf("Cache-Control is %q", got)
	}
	if got := header.Values("X-Content-Type-Options"); !slices.Equal(got, []string{"nosniff"}) {
		return fmt.Sprintf("X-Content-Type-Options is %q", got)
	}
	return ""
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
	operation := routeOf(r.Method, r.URL.EscapedPath())
	if operation == "" {
		return nil
	}
	problems := loadedContract().Operation(operation).CheckResponse(status, header, body)
	if problems != nil {
		return fmt.Errorf("%v", problems)
	}
	return nil
}

// testBasePath is the base path of servers that have one.
const testBasePath = "/tyk/dash"

var slashes = regexp.MustCompile(`/+`)

// routeOf returns the ID of the operation of a request, or "".
func routeOf(method, path string) string {
	path = slashes.ReplaceAllString(path, "/")
	if rest, ok := strings.CutPrefix(path, testBasePath); ok && (rest == "" || rest[0] == '/') {
		path = rest
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	segments := strings.Split(path, "/")
	for _, route := range declaredRoutes()[len(segments)] {
		if route.method == method && route.matches(segments) {
			return route.id
		}
	}
	return ""
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

// longestRequest bounds every request. It is reached only if a server does not answer: fuzzing would wait until its
// time is over, and report nothing.
const longestRequest = 5 * time.Minute

// send sends a request; no redirect is followed.
func send(t testing.TB, r *http.Request) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), longestRequest)
	defer cancel()
	resp, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx))
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
