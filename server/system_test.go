package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrailingSlashesAndHEAD(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, op := range operations() {
		if op.path == "/" {
			continue
		}
		target := op.target(nil)
		slashed := strings.Replace(target, "?", "/?", 1)
		if slashed == target {
			slashed += "/"
		}
		plain := b.do(op.method, target, op.requestBody(t), header("Admin-Auth", "wrong"), asUser("wrong"))
		require.Equal(t, plain.status, b.do(op.method, slashed, op.requestBody(t), header("Admin-Auth", "wrong"), asUser("wrong")).status, slashed)
		require.NotContains(t, []int{301, 302, 307, 308, 404, 405}, plain.status, target)
		if op.method == "GET" {
			head := b.do("HEAD", target, nil, header("Admin-Auth", "wrong"), asUser("wrong"))
			require.Equal(t, plain.status, head.status, target)
			require.Empty(t, head.body)
		}
	}
	require.Empty(t, b.do("HEAD", "/hello", nil).is(200).body)
	require.Empty(t, b.admin("HEAD", "/admin/organisations/", nil).is(200).body)
}

func TestUnknownRoutesAndMethods(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range [][2]string{
		{"GET", "/nowhere"},
		{"GET", "/admin/license"},
		{"PATCH", "/admin/organisations"},
		{"PUT", "/api/users/x/actions/reset"},
		{"POST", "/hello"},
		{"DELETE", "/admin/users"},
		{"OPTIONS", "/admin/users"},
		{"GET", "//evil.example/"},
		{"TRACE", "/"},
	} {
		got := b.admin(c[0], c[1], nil)
		require.Equal(t, `{"Status":"Error","Message":"Not Found","Meta":null}`, got.is(404).body)
		require.Empty(t, got.header.Get("Allow"))
		require.Empty(t, got.header.Get("Location"))
	}
}

func TestSchemesIgnoreOtherSchemesHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.user(b.org(), "u@example.org", nil)
	b.do("GET", "/admin/organisations", nil, asUser(secret)).message(401, "Not authorised")
	b.do("GET", "/admin/organisations", nil, header("Admin-Auth", "")).message(401, "Not authorised")
	b.do("GET", "/admin/organisations", nil, header("Admin-Auth", secret+"x")).message(401, "Not authorised")
	b.do("GET", "/api/users", nil, header("Admin-Auth", secret)).message(401, "Authorization field empty")
	b.do("GET", "/api/users", nil, header("Admin-Auth", "wrong"), asUser(user.AccessKey)).is(200)
	b.do("GET", "/admin/organisations", nil, header("Admin-Auth", "Bearer "+secret)).message(401, "Not authorised")
	b.do("GET", "/system/apis", nil, header("Authorization", "Bearer "+nodeSecret)).message(403, "Not authorised")
	b.admin("GET", "/admin/organisations", nil, asUser("wrong")).is(200)
	b.do("GET", "/system/apis", nil, header("Admin-Auth", secret)).is(403)
}

func TestReloadReachesEveryServerOnTheDatabase(t *testing.T) {
	t.Parallel()
	first := setup(t)
	second := setupOn(t, first.conn)
	at := func(b *bundle) string {
		var health struct {
			Details map[string]struct{ Time string }
		}
		b.do("GET", "/hello", nil).json(&health)
		return health.Details["reload"].Time
	}
	for _, b := range []*bundle{first, second} {
		require.Eventually(t, func() bool { return at(b) != "" }, soon, pollEvery)
	}
	before := []string{at(first), at(second)}
	require.Equal(t, `{"status":"ok"}`, second.admin("GET", "/admin/system/reload", nil).is(200).body)
	require.Eventually(t, func() bool { return at(first) != before[0] && at(second) != before[1] }, soon, pollEvery)
}

func TestListsAreCompactJSON(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.org()
	for _, path := range []string{"/admin/organisations", "/admin/users", "/admin/apis", "/admin/policies", "/admin/nodes", "/hello"} {
		got := b.admin("GET", path, nil).is(200)
		require.NotRegexp(t, `[,:] |\n`, got.body)
		require.Equal(t, "application/json", got.header.Get("Content-Type"))
	}
	require.Equal(t, `{"Status":"OK","Message":"Hello","Meta":null}`, b.admin("GET", "/admin/hello/", nil).is(200).body)
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requestID := func(given string) string {
		return b.do("GET", "/", nil, header("X-Request-Id", given)).is(200).header.Get("X-Request-Id")
	}
	require.Equal(t, "a-clients-own", requestID("a-clients-own"))
	require.Contains(t, b.log.String(), " id=a-clients-own ")
	require.Regexp(t, `^[A-Z2-7]{26}$`, requestID(""))
	long := strings.Repeat("x", 129)
	require.Regexp(t, `^[A-Z2-7]{26}$`, requestID(long))
	require.NotContains(t, b.log.String(), long)
}

func TestProfilesRequireTheAdminSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"heap", "allocs", "goroutine", "mutex", "block", "threadcreate", "profile?seconds=1", "trace?seconds=1"} {
		path := "/debug/pprof/" + name
		require.NotEmpty(t, b.admin("GET", path, nil).is(200).body)
		require.Equal(t, `{"Status":"Error","Message":"Not authorised","Meta":null}`, b.do("GET", path, nil).is(401).body)
		b.do("GET", path, nil, header("Admin-Auth", "wrong"), asUser(nodeSecret)).is(401)
	}
	b.admin("GET", "/debug/pprof/cmdline", nil).is(404) // the flags may contain secrets
	b.admin("POST", "/debug/pprof/heap", nil).is(404)
}
