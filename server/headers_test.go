package server_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store"
)

// TestNoResponseIsCached covers responses that no other test gets. checkResponses holds every response to every test to
// the same.
func TestNoResponseIsCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, op := range operations() {
		got := b.do(op.method, op.target(nil), op.requestBody(t), credential(op))
		require.Empty(t, cacheable(&http.Request{URL: must(http.NewRequest(op.method, op.path, nil)).URL}, got.header), op.id)
	}
	for _, c := range []struct {
		method, path string
		status       int
		change       with
	}{
		{"GET", "/nothing", 404, asUser("")},
		{"OPTIONS", "/admin/users", 404, asUser("")},
		{"BREW", "/coffee", 404, asUser("")},
		{"HEAD", "/hello", 200, asUser("")},
		{"GET", "/hello", 200, header("Accept-Encoding", "gzip")},
		{"GET", "/metrics", 200, header("Admin-Auth", secret)},
		{"GET", "/metrics", 401, asUser("")},
		{"GET", "/debug/pprof/heap", 200, header("Admin-Auth", secret)},
		{"GET", "/debug/pprof/profile?seconds=-", 500, header("Admin-Auth", "wrong")},
		{"GET", "/admin/users?p=abc", 400, header("Admin-Auth", secret)},
	} {
		got := b.do(c.method, c.path, nil, c.change)
		if c.status != 500 {
			got.is(c.status)
		}
		require.Equal(t, []string{"no-store"}, got.header.Values("Cache-Control"), c.path)
		require.Equal(t, []string{"nosniff"}, got.header.Values("X-Content-Type-Options"), c.path)
	}
	b.store.Close()
	failed := b.do("GET", "/ready", nil).is(503)
	require.Equal(t, "no-store", failed.header.Get("Cache-Control"))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestPaths covers paths that are not written as in the contract.
func TestPaths(t *testing.T) {
	t.Parallel()
	withDocs := func(cfg *server.Config) { cfg.Docs = true }
	b := setup(t, withDocs)
	prefixed := setupOn(t, b.conn, withDocs, func(cfg *server.Config) { cfg.BasePath = testBasePath })
	org := b.org()
	key := b.user(org, "a@example.org", nil).AccessKey

	for _, path := range []string{
		"/admin/users", "/admin/users/", "//admin/users", "///admin//users//", "/admin//users?p=1", "/admin/users//?p=1",
	} {
		require.Contains(t, b.admin("GET", path, nil).is(200).body, "a@example.org", path)
		require.Contains(t, prefixed.admin("GET", "/tyk/dash"+path, nil).is(200).body, "a@example.org", path)
		require.Contains(t, prefixed.admin("GET", "//tyk//dash"+path, nil).is(200).body, "a@example.org", path)
		require.Contains(t, prefixed.admin("GET", path, nil).is(200).body, "a@example.org", path)
		b.admin("GET", "/other/path"+path, nil).is(404)
		prefixed.admin("GET", "/tyk/dash/tyk/dash"+path, nil).is(404)
		prefixed.admin("GET", "/tyk/dashboard"+path, nil).is(404)
		prefixed.admin("GET", "/tyk"+path, nil).is(404)
	}
	for _, path := range []string{"", "/", "//", "/hello", "/hello/"} {
		prefixed.do("GET", "/tyk/dash"+path, nil).is(200)
		prefixed.do("HEAD", "/tyk/dash"+path, nil).is(200)
	}
	b.do("GET", "//", nil).is(200)
	// A POST is not redirected, which would lose its body.
	b.admin("POST", "//admin//organisations/", `{"owner_name":"A"}`).is(200)
	prefixed.admin("POST", "/tyk/dash//admin/organisations", `{"owner_name":"A"}`).is(200)
	prefixed.do("GET", "/tyk/dash/api/users", nil, asUser(key)).is(200)

	// An escaped slash is a part of an ID.
	b.admin("GET", "/admin/users/a%2F%2Fb", nil).message(404, "Could not retrieve user detail")
	b.admin("GET", "//admin//users/a%2Fb/", nil).message(404, "Could not retrieve user detail")
	prefixed.admin("GET", "/tyk/dash/admin/users/a%2F%2Fb", nil).message(404, "Could not retrieve user detail")

	// The documentation works below the path.
	page := prefixed.do("GET", "/tyk/dash/docs", nil).is(200).body
	require.Contains(t, page, `href="/tyk/dash/openapi.yaml"`)
	require.Contains(t, page, `src="/tyk/dash/docs/page-`)
	require.NotRegexp(t, `(href|src)="/[^t]`, page)
	require.Contains(t, prefixed.do("GET", "/tyk/dash/openapi.yaml", nil).is(200).body, "\n- url: /tyk/dash\n")
	require.Contains(t, prefixed.do("GET", "/tyk/dash/openapi-node.json", nil).is(200).body, `"url":"/tyk/dash"`)
	require.Contains(t, b.do("GET", "/openapi.yaml", nil).is(200).body, "\n- url: /\n")
}

// TestBasePathMustBeFree: a base path that begins another path would hide it.
func TestBasePathMustBeFree(t *testing.T) {
	t.Parallel()
	now := time.Now
	db, err := store.Open(t.Context(), store.Config{ConnString: setup(t).conn, Now: now, IDs: store.NewIDs(now)})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	for path, free := range map[string]bool{
		"/api": false, "/admin": false, "/admin/users": false, "/system": false, "/hello": false, "/metrics": false,
		"/tyk": true, "/apis": true, "/admin/tyk": true, "/adm": true,
	} {
		_, err := server.New(server.Config{
			Store: db, Log: slog.New(slog.DiscardHandler), Now: now, AdminSecret: secret, NodeSecret: nodeSecret,
			PageSize: 1, Limits: testLimits, Contract: loadedContract(), BasePath: path,
		})
		if free {
			require.NoError(t, err, path)
			continue
		}
		require.ErrorContains(t, err, "base path "+path)
	}
}
