package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// These tests cover what the generated code, kin-openapi, Echo or Postgres would get wrong without an error. Undeclared
// responses and invalid contracts are found by the harness and contract_test.go, invalid bodies by mutation_test.go.

// newServer returns a server that does not listen.
func newServer(t *testing.T, now func() time.Time) *server.Server {
	t.Helper()
	s, err := server.New(server.Config{
		Store: storetest.New(t), Log: slog.New(slog.DiscardHandler), Now: now, AdminSecret: secret, NodeSecret: nodeSecret,
		PageSize: 10, Limits: server.Limits{Import: 1 << 20, Document: 1 << 20, Depth: 1000, BodyTimeout: time.Second},
		Contract: loadedContract(),
	})
	require.NoError(t, err)
	return s
}

// countedBeforeResponse counts the bytes of a body that are read before the response is sent.
type countedBeforeResponse struct {
	io.Reader
	response *httptest.ResponseRecorder
	read     int
}

func (c *countedBeforeResponse) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if !c.response.Flushed {
		c.read += n
	}
	return n, err
}

func TestBodyIsNotReadBeforeAuthentication(t *testing.T) {
	t.Parallel()
	s := newServer(t, time.Now)
	for _, op := range operations() {
		if op.scheme == "" {
			continue
		}
		rec := httptest.NewRecorder()
		body := &countedBeforeResponse{
			Reader: strings.NewReader(`{"wrong":` + strings.Repeat(" ", 1<<16)), response: rec,
		}
		r := httptest.NewRequest(op.method, op.target(nil), body)
		r.ContentLength = 1 << 16
		s.ServeHTTP(rec, r)
		want := op.examples()["unauthorised"].status
		require.Equal(t, want, rec.Code, "%s: %s", op.id, rec.Body)
		require.Zero(t, body.read, op.id)
		require.NotContains(t, rec.Body.String(), "errors", op.id)
	}
}

func TestEveryOperationValidatesItsParameters(t *testing.T) {
	t.Parallel()
	s := newServer(t, time.Now)
	checked := 0
	for _, op := range operations() {
		for _, p := range op.declared.Parameters {
			if p.Value.In != "query" || !p.Value.Schema.Value.Type.Is("integer") || op.scheme != "api_key" {
				continue
			}
			r := httptest.NewRequest(op.method, op.target(map[string]string{p.Value.Name: "x"}), nil)
			r.Header.Set("Admin-Auth", secret)
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, r)
			require.Equal(t, http.StatusBadRequest, rec.Code, op.id)
			checked++
		}
	}
	require.Positive(t, checked)
}

func TestCredentialsAreWhereTheContractsSay(t *testing.T) {
	t.Parallel()
	for _, spec := range contractSpecs() {
		for name, scheme := range spec.Components.SecuritySchemes {
			want := map[string]string{
				"api_key": "header Admin-Auth", "access_key": "header Authorization", "node_secret": "header Authorization",
				"session": "cookie gatehouse_session", "operator_session": "cookie gatehouse_session",
			}[name]
			require.Equal(t, want, scheme.Value.In+" "+scheme.Value.Name)
		}
	}
}

func TestPathParametersAndHosts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("GET", "/admin/organisations/a%2Fb", nil).message(404, "Could not retrieve org detail")
	b.admin("GET", "/admin/organisations/%00", nil).is(404)
	b.admin("GET", "/admin/organisations/%ff", nil).is(404)
	b.admin("PUT", "/admin/users/%00/actions/allow_reset_passwords", nil).message(404, "Could not retrieve user detail")
	b.admin("GET", "/admin/users?email=%00", nil).is(400)
	b.admin("GET", "/admin/organisations/"+strings.Repeat("x", 10_000), nil).is(404)
	for _, host := range []string{"dashboard.example", "dashboard.example:8443", "[::1]:3000"} {
		b.admin("GET", "/admin/organisations", nil, func(r *http.Request) { r.Host = host }).is(200)
	}
}

func TestContentTypeIsIgnored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "multipart/form-data", "not a type", "application/xml"} {
		id := b.admin("POST", "/admin/organisations", `{"owner_name":"x"}`, header("Content-Type", kind)).is(200).meta()
		b.admin("POST", "/admin/organisations/"+id+"/generate-portals", "domain="+id+".example", header("Content-Type", kind)).is(200)
	}
}

func TestNamesAreCaseSensitive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.admin("POST", "/admin/users", `{"email_address":"a@b.example","ACTIVE":true,"First_Name":5}`).is(200).user()
	require.False(t, made.Active)
	require.Empty(t, made.FirstName)
	b.admin("POST", "/admin/users", `{"EMAIL_ADDRESS":"a@b.example"}`).message(403, "User object validation failed")
}

func TestNumbersThatGoCannotDecode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("POST", "/admin/users", `{"email_address":"a@b.example","password_max_days":12345678901234567890}`).message(403, "Request body malformed")
	b.admin("GET", "/admin/organisations?p=99999999999999999999", nil).is(400)
}

func TestErrorsDoNotQuoteValues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	user := b.user(org, "u@example.org", nil)
	for _, got := range []reply{
		b.admin("PUT", "/admin/users/"+user.Id, `{"email_address":"u@example.org","password":["hunter2"]}`),
		b.admin("PUT", "/admin/users/"+user.Id, `{"email_address":"u@example.org","password":"hunt2"}`),
		b.do("POST", "/api/users/"+user.Id+"/actions/reset", `{"new_password":"hunt2"}`, asUser(user.AccessKey)),
		b.do("POST", "/api/users/"+user.Id+"/actions/reset", `{"new_password":{"hunter2":1}}`, asUser(user.AccessKey)),
		b.importAPIs(`{"api_definition":{"slug":{"hunter2":"hunter2"}}}`),
		b.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`","rate":"hunter2"}`),
	} {
		got.is(403)
		require.NotContains(t, got.body, "hunt")
		require.NotContains(t, got.body, `\n`)
		require.Contains(t, got.body, `"Meta":{"errors":[{"path":"/`)
	}
	for _, hidden := range []string{"hunt", user.AccessKey, secret} {
		require.NotContains(t, b.log.String(), hidden)
	}
}

func TestSuperUsersHaveUniqueAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("POST", "/admin/users", `{"email_address":"Super@example.org"}`).is(200)
	b.admin("POST", "/admin/users", `{"email_address":"super@example.org","org_id":""}`).message(403, "User email already exists for this Org")
}

func TestValidationDoesNotInsertDefaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	b.importAPIs(`{"api_definition":{"api_id":"a","id":"5ea6b3e1d1a7f6000183b5c4","org_id":"` + org + `"}}`).is(200)
	require.Equal(t, `{"apis":[{"api_definition":{"api_id":"a","id":"5ea6b3e1d1a7f6000183b5c4","org_id":"`+org+`"}}],"pages":0}`, b.admin("GET", "/admin/apis", nil).body)
}

func TestPanicIsReported(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	b := setup(t, func(cfg *server.Config) {
		now := cfg.Now
		cfg.Now = func() time.Time {
			if broken.Swap(false) { // the request is counted afterwards
				panic("the clock is broken")
			}
			return now()
		}
	})
	node := header("Authorization", nodeSecret)
	require.Eventually(t, func() bool { // the listener of changes has read the clock
		return strings.Contains(b.do("GET", "/hello", nil).body, `"reload":{"status":"pass"`)
	}, soon, pollEvery)
	broken.Store(true)
	b.do("GET", "/system/policies", nil, node).message(500, "The database did not answer")
	require.Contains(t, b.log.String(), "the clock is broken")
	b.do("GET", "/system/policies", nil, node).is(200)
}

// TestClientThatLeavesIsNoError: otherwise, a client could fill the log with errors by closing connections.
func TestClientThatLeavesIsNoError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	blocker, err := pgx.Connect(t.Context(), b.conn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = blocker.Close(context.WithoutCancel(t.Context())) })
	lock, err := blocker.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "LOCK TABLE users")
	require.NoError(t, err)

	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/admin/users", nil)
	require.NoError(t, err)
	r.Header.Set("Admin-Auth", secret)
	left := make(chan struct{})
	go func() {
		defer close(left)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
		}
	}()
	require.Eventually(t, func() bool { // the request waits for the table
		var waiting bool
		err := blocker.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
			WHERE datname = current_database() AND NOT granted AND relation = 'users'::regclass)`).Scan(&waiting)
		return err == nil && waiting
	}, soon, pollEvery)
	leave()
	<-left
	require.Eventually(t, func() bool { return strings.Contains(b.log.String(), "status=500") }, soon, pollEvery)
	require.NotContains(t, b.log.String(), "level=ERROR")
}

// TestClientThatLeavesAListIsNoError has clients close their connections while lists are sent to them.
func TestClientThatLeavesAListIsNoError(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped)
	b.fill(b.org(), manyDocuments)
	for i, path := range []string{"/admin/apis", "/system/apis"} {
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+path, nil)
		require.NoError(t, err)
		r.Header.Set("Admin-Auth", secret)
		r.Header.Set("Authorization", nodeSecret)
		response, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(r)
		require.NoError(t, err)
		leave()
		_ = response.Body.Close()
		require.Eventually(t, func() bool { return strings.Count(b.log.String(), "broken off") > i }, soon, pollEvery)
	}
	require.NotContains(t, b.log.String(), "level=ERROR")
}

func TestPanicInOperationWithoutDocumentedFailure(t *testing.T) {
	t.Parallel()
	var repaired atomic.Bool // after the handler, the request is counted
	s := newServer(t, func() time.Time {
		if !repaired.Swap(true) {
			panic("the clock is broken")
		}
		return time.Now()
	})
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/hello", nil))
	require.Equal(t, http.StatusInternalServerError, rec.Code)
	require.Equal(t, `{"Status":"Error","Message":"Internal Server Error","Meta":null}`, rec.Body.String())
}

func TestHarnessRejectsUndocumentedResponses(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/admin/organisations", nil)
	json := http.Header{"Content-Type": {"application/json"}}
	require.NoError(t, checkResponse(r, 200, json, []byte(`{"organisations":[],"pages":0}`)))
	require.Error(t, checkResponse(r, 201, json, []byte(`{"organisations":[],"pages":0}`)), "another status")
	require.Error(t, checkResponse(r, 200, json, []byte(`{"organisations":{},"pages":0}`)), "another shape")
	require.Error(t, checkResponse(r, 200, http.Header{"Content-Type": {"text/html"}}, []byte(`<html>`)), "another type")
	require.NoError(t, checkResponse(httptest.NewRequest(http.MethodGet, "/elsewhere", nil), 404, json, []byte(`{}`)))
}

func TestAllMissingConfigurationIsReported(t *testing.T) {
	t.Parallel()
	_, err := server.New(server.Config{Store: &store.Store{}})
	require.Error(t, err)
	for _, missing := range []string{"Log", "Now", "AdminSecret", "NodeSecret", "PageSize", "Limits"} {
		require.Contains(t, err.Error(), "no "+missing)
	}
	require.NotErrorIs(t, err, errors.ErrUnsupported)
}

func TestSmallBodiesAreDecodedExactly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := b.admin("POST", "/admin/users", `{"email_address":"f@example.org","active":true,"password_max_days":5,"GROUP_ID":7}`).is(200).body
	require.Contains(t, got, `"password_max_days":5,`)
	require.Contains(t, got, `"group_id":"",`, "another case is another name")
	b.admin("POST", "/admin/users", `{"email_address":"g@example.org","password_max_days":12345678901234567890}`).message(403, "Request body malformed")
}
