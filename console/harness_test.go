package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	adminSecret  = "the-admin-secret"
	nodeSecret   = "the-node-secret"
	userPassword = "correct-horse-7"
)

// loadedContract is compiled once for all servers of the tests.
var loadedContract = sync.OnceValues(server.LoadContract)

// site is a server with the console, on a database of its own.
type site struct {
	t    testing.TB
	url  string
	conn string // the database's connection string
	// wrap is around the server, for a test that has requests fail.
	wrap func(next http.Handler) http.Handler
}

// start starts a server. Its users sign in with userPassword.
func start(t testing.TB, change ...func(*server.Config)) *site {
	t.Helper()
	known, err := loadedContract()
	require.NoError(t, err)
	conn := storetest.Database(t)
	db, err := store.Open(t.Context(), store.Config{
		ConnString: conn, Now: time.Now, IDs: store.NewIDs(time.Now), Wait: time.Minute, StatementTimeout: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	cfg := server.Config{
		Store: db, Log: slog.New(slog.DiscardHandler), Now: time.Now, AdminSecret: adminSecret, NodeSecret: nodeSecret,
		Audit:    server.Audit{Log: slog.New(slog.DiscardHandler), Retention: 24 * time.Hour},
		PageSize: 10, Version: "test", Contract: known, Docs: true, Console: true,
		PasswordCost: password.Cost{MemoryKiB: 64, Iterations: 1}, CheckResponses: server.DeparturesReported,
		Limits: server.Limits{
			Import: 64 << 20, Document: 16 << 20, Depth: 1000, BodyTimeout: time.Minute, NodeCache: 16 << 20,
			WrongCredentials: 60, WrongPasswords: 10,
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := server.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	started := &site{t: t, conn: conn}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler := http.Handler(s)
		if started.wrap != nil {
			handler = started.wrap(handler)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { web.Close(); cancel(); running.Wait() })
	started.url = web.URL
	return started
}

// admin sends a request with the admin secret, and decodes the response, which has to be 200, into result.
func (s *site) admin(method, path string, body, result any) {
	s.t.Helper()
	s.send(http.Header{"Admin-Auth": {adminSecret}}, method, path, body, result)
}

// as sends a request with the access key of a user.
func (s *site) as(user user, method, path string, body, result any) {
	s.t.Helper()
	s.send(http.Header{"Authorization": {user.key}}, method, path, body, result)
}

// send sends a request. A body that is not a string is sent as JSON.
func (s *site) send(header http.Header, method, path string, body, result any) {
	s.t.Helper()
	text, isText := body.(string)
	if !isText && body != nil {
		raw, err := json.Marshal(body)
		require.NoError(s.t, err)
		text = string(raw)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(text))
	require.NoError(s.t, err)
	r.Header = header
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode, "%s %s: %s", method, path, raw)
	if result != nil {
		require.NoError(s.t, json.Unmarshal(raw, result), "%s", raw)
	}
}

// org creates an organisation, and returns its ID.
func (s *site) org(name string) string {
	s.t.Helper()
	var created struct{ Meta string }
	s.admin("POST", "/admin/organisations", map[string]any{"owner_name": name}, &created)
	return created.Meta
}

// user is a user whose password is userPassword.
type user struct{ id, orgID, email, key string }

// administrator is what the permissions of an administrator are.
var administrator = map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"}

// user creates a user with permissions.
func (s *site) user(orgID, email string, permissions map[string]string) user {
	s.t.Helper()
	first, _, _ := strings.Cut(email, "@")
	var created struct {
		Message string // the access key
		Meta    struct{ ID string }
	}
	s.admin("POST", "/admin/users", map[string]any{
		"org_id": orgID, "email_address": email, "first_name": strings.ToUpper(first[:1]) + first[1:], "last_name": "Mar",
		"active": true, "user_permissions": permissions,
	}, &created)
	made := user{created.Meta.ID, orgID, email, created.Message}
	s.as(made, "POST", "/api/users/"+made.id+"/actions/reset", map[string]any{"new_password": userPassword}, nil)
	return made
}

// policies creates policies in an organisation, by a new administrator, whom it returns.
func (s *site) policies(orgID string, count int) user {
	s.t.Helper()
	admin := s.user(orgID, fmt.Sprintf("admin%d@%s.example", count, orgID), administrator)
	for i := range count {
		s.as(admin, "POST", "/api/portal/policies", map[string]any{
			"name": fmt.Sprintf("Policy %03d", i+1), "active": i%4 != 3, "rate": 100 * (i + 1), "per": 60, "quota_max": -1,
			"access_rights": map[string]any{},
		}, nil)
	}
	return admin
}

// open opens the console in a new tab, at an address such as #/policies.
func (s *site) open(address string) *browsertest.Tab {
	s.t.Helper()
	return s.openPath("/console/" + address)
}

// openPath opens a path of the server in a new tab.
func (s *site) openPath(path string) *browsertest.Tab {
	s.t.Helper()
	tab := browsertest.Open(s.t)
	tab.Allow("status of 401") // of GET /api/session, before anybody has signed in
	tab.Go(s.url + path)
	return tab
}

// openAs opens the console in a new tab, in which a user signs in.
func (s *site) openAs(user user, address string) *browsertest.Tab {
	s.t.Helper()
	tab := s.open(address)
	signIn(tab, user.email, userPassword)
	seePage(tab)
	return tab
}

// seePage waits for a page: the console goes to its first one some time after somebody has signed in.
func seePage(tab *browsertest.Tab) {
	browsertest.Eventually(tab, true, `location.hash.startsWith('#/')`)
}

// openAsOperator opens the console in a new tab, in which an operator signs in.
func (s *site) openAsOperator(address string) *browsertest.Tab {
	s.t.Helper()
	tab := s.open(address)
	tab.Press("Operator")
	tab.Fill("Admin secret", adminSecret)
	tab.Press("Sign in")
	tab.See("Sign out")
	seePage(tab)
	return tab
}

// signIn signs in by the form that is shown.
func signIn(tab *browsertest.Tab, email, password string) {
	tab.Fill("E-mail address", email)
	tab.Fill("Password", password)
	tab.Press("Sign in")
	tab.See("Sign out")
}

// in returns the site for a subtest.
func (s *site) in(t testing.TB) *site { return &site{t: t, url: s.url, conn: s.conn} }
