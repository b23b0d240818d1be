package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestAPIsTakeNoRequestsOfOthers: gateways serve the API with the longest listen path, of whatever organisation.
func TestAPIsTakeNoRequestsOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	own := asUser(b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	theirs := asUser(b.user(other, "v@example.org", map[string]string{"apis": "write", "portal": "write"}).AccessKey)
	at := func(id, path, more string) string {
		return strings.Replace(classic(id, more), `"listen_path":"/`+id+`/"`, `"listen_path":"`+path+`"`, 1)
	}
	for _, api := range []string{
		at("v-bank", "/bank/", ""), at("v-root", "/", ""), at("v-pattern", "/users/{id}/", ""), at("v-shop", "/shop", `,"domain":"shop.example"`),
		at("v-off", "/off/", `,"active":false`), at("payments", "/a-long-path/", ""),
		at("v-terms", "/terms/v1/", ""),
		at("v-nowhere", "", ""), at("v-nodomain", "/nodomain/", `,"domain":"d.example","domain_disabled":true`),
	} {
		b.do("POST", "/api/apis", api, theirs).is(200)
	}
	b.importAPIs(strings.Replace(apiOf(other, "v-imported"), "/v-imported/", "/imported//", 1)).is(200)
	b.fill(other, 1) // as an earlier release has stored it
	b.do("PUT", "/api/portal/cname", `{"cname":"portal.v.example"}`, theirs).is(200)
	b.do("POST", "/api/apis", at("mine", "/mine/", ""), own).is(200)
	b.do("POST", "/api/apis/oas", oasWith("mine-oas", "", "", ""), own).is(200)
	for name, api := range map[string]string{
		"the same path":                                 at("mine", "/bank/", ""),
		"the same path without a slash":                 at("mine", "/bank", ""),
		"a path below":                                  at("mine", "/bank/login/", ""),
		"a path far below":                              at("mine", "/bank/a/b/c", ""),
		"a path below, on a domain":                     at("mine", "/bank/login/", `,"domain":"gw.example"`),
		"a path of an import":                           at("mine", "/imported/x", ""),
		"a path of an earlier release":                  at("mine", "/many-1/x", ""),
		"a path below a pattern":                        at("mine", "/users/me/", ""),
		"a pattern for everything":                      at("mine", "/{x:.*}", ""),
		"a pattern for a part of a name":                at("mine", "/ba{x:.*}/longer", ""),
		"a path on its domain":                          at("mine", "/shop/x", `,"domain":"SHOP.example"`),
		"a path on a pattern of domains":                at("mine", "/shop/x", `,"domain":"{x:.*}"`),
		"its domain with a port":                        at("mine", "/shop/x", `,"domain":"shop.example:8080"`),
		"its path, on a domain that is switched off":    at("mine", "/bank/x", `,"domain":"a.example","domain_disabled":true`),
		"a path of an API whose domain is switched off": at("mine", "/nodomain/x", ""),
		"the root, on a domain":                         at("mine", "/", `,"domain":"long.attacker.example"`),
		"the root, on a port":                           at("mine", "/", `,"domain":":8080"`),
		"the root, on a pattern of domains":             at("mine", "/", `,"domain":"{x:.*}"`),
		"the root, on a domain that is switched off":    at("mine", "/", `,"domain":"a.example","domain_disabled":true`),
		"the beginning of a path, on a domain":          at("mine", "/ba", `,"domain":"a.example"`),
		"its portal":                                    at("mine", "/mine/", `,"domain":"portal.v.example"`),
		"a path that is its api_id":                     at("mine", "/payments/", ""),
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, b.do("PUT", "/api/apis/mine", api, own).is(400).body, "would get requests for one of another organisation")
			b.do("POST", "/api/apis", strings.Replace(api, `"api_id":"mine"`, `"api_id":"new"`, 1), own).is(400)
		})
	}
	b.do("POST", "/api/apis", at("bank", "/x/y/z/", ""), own).is(400) // each API is served at its api_id
	b.do("POST", "/api/apis", at("terms", "/a-longer-path-than-theirs/", ""), own).is(400)
	b.do("PUT", "/api/apis/oas/mine-oas", strings.Replace(oasWith("mine-oas", "", "", ""), "/mine-oas/", "/bank/oas/", 1), own).is(400)
	for name, api := range map[string]string{
		"the root":                                 at("mine", "/", ""),
		"no path":                                  at("mine", "", ""),
		"an own path below":                        at("mine", "/mine/x/", ""),
		"a path that only begins alike":            at("mine", "/banking/", ""),
		"a path above":                             at("mine", "/many", ""),
		"a path of an API that is not active":      at("mine", "/off/", ""),
		"a path of another domain":                 at("mine", "/shop/", `,"domain":"other.example"`),
		"an API that is not active":                at("mine", "/bank/x/", `,"active":false`),
		"a path of an own API, which two may have": at("mine", "/mine-oas/", ""),
	} {
		t.Run(name, func(t *testing.T) { b.do("PUT", "/api/apis/mine", api, own).is(200) })
	}
	t.Run("what is served stays", func(t *testing.T) {
		b.importAPIs(strings.Replace(apiOf(org, "imported"), "/imported/", "/bank/imported/", 1)).is(200)
		b.do("PUT", "/api/apis/imported", at("imported", "/bank/imported/", `,"tags":["x"]`), own).is(200)
		b.do("PUT", "/api/apis/imported", at("imported", "/bank/imported/", `,"active":false`), own).is(200)
		b.do("PUT", "/api/apis/imported", at("imported", "/bank/imported/", ``), own).is(400)
	})
	t.Run("where gateways serve domains", func(t *testing.T) {
		b := setupOn(t, b.conn, func(cfg *server.Config) { cfg.GatewayDomains = true })
		b.do("PUT", "/api/apis/mine", at("mine", "/", `,"domain":"a.example"`), own).is(200)
		b.do("PUT", "/api/apis/mine", at("mine", "/", `,"domain":"{x:.*}"`), own).is(400)
		b.do("PUT", "/api/apis/mine", at("mine", "/", `,"domain":"a.example","domain_disabled":true`), own).is(400)
		b.do("PUT", "/api/apis/mine", at("mine", "/", ""), own).is(200)
	})
	t.Run("unless the operator allows it", func(t *testing.T) {
		shared := setupOn(t, b.conn, func(cfg *server.Config) { cfg.AllowSharedPaths = true })
		shared.do("PUT", "/api/apis/mine", at("mine", "/bank/login/", ""), own).is(200)
	})
}

// TestQuotas: gateways load the APIs and policies of all organisations, and all share the database.
func TestQuotas(t *testing.T) {
	t.Parallel()
	const documents, size = 3, 40 << 10
	conn := storetest.Database(t)
	quota := store.Quota{Documents: documents, Bytes: size}
	b := setupOn(t, conn, withStore(t, store.Config{ConnString: conn, Quota: quota}))
	org, other := b.org(), b.org()
	all := map[string]string{"apis": "write", "policies": "write", "hooks": "write", "portal": "write"}
	own, theirs := asUser(b.user(org, "a@example.org", all).AccessKey), asUser(b.user(other, "v@example.org", all).AccessKey)
	for path, document := range map[string]func(id, filler string) string{
		"/api/apis": func(id, filler string) string { return classic(id, `,"config_data":{"x":"`+filler+`"}`) },
		"/api/portal/policies": func(id, filler string) string {
			return `{"id":"` + id + `","name":"` + id + `","active":true,"rate":1,"per":1,"quota_max":-1,"access_rights":{},"meta_data":{"x":"` + filler + `"}}`
		},
		"/api/hooks": func(id, filler string) string {
			return `{"name":"` + id + filler + `","method":"POST","target_path":"http://a.example"}`
		},
	} {
		t.Run(path, func(t *testing.T) {
			refused := func(answer reply) {
				require.NotEqual(t, 200, answer.status)
				require.Contains(t, answer.body, "as many documents as it may")
			}
			refused(b.do("POST", path, document("large", strings.Repeat("x", size)), own))
			for n := range documents {
				b.do("POST", path, document(fmt.Sprint("d-", n), ""), own).is(200)
			}
			refused(b.do("POST", path, document("one-more", ""), own))
			b.do("POST", path, document("theirs", ""), theirs).is(200)
		})
	}
	refused := b.do("PUT", "/api/apis/d-0", classic("d-0", `,"config_data":{"x":"`+strings.Repeat("x", size)+`"}`), own).is(400)
	require.Contains(t, refused.body, "as many bytes")
	b.do("PUT", "/api/apis/d-0", classic("d-0", ""), own).is(200)
	b.do("DELETE", "/api/apis/d-0", nil, own).is(200)
	b.do("POST", "/api/apis", classic("d-3", ""), own).is(200)
	b.importAPIs(apiOf(org, "imported"), apiOf(org, "imported-too")).is(200)
	b.do("POST", "/api/apis", classic("d-4", ""), own).is(400)
}

// TestWhatGatewaysCompile: gateways compile patterns and code when they load an API, and end with it.
func TestWhatGatewaysCompile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := asUser(b.user(b.org(), "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	with := func(extended string) string {
		return classic("mine", `,"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true,"extended_paths":{`+extended+`}}}}`)
	}
	rewrite := func(pattern string) string {
		return with(`"url_rewrites":[{"path":"/","method":"GET","match_pattern":"` + pattern + `","rewrite_to":"/"}]`)
	}
	virtual := func(member, code string) string {
		return with(`"virtual":[{"response_function_name":"f","function_source_type":"blob","` + member + `":"` + base64.StdEncoding.EncodeToString([]byte(code)) + `","path":"/x","method":"GET"}]`)
	}
	b.do("POST", "/api/apis", classic("mine", ""), own).is(200)
	for name, api := range map[string]string{
		"a pattern that repeats":          rewrite(strings.Repeat("x{1000}", 300)),
		"a pattern that repeats more":     rewrite(strings.Repeat("(x{30}){30}", 200)),
		"patterns that repeat together":   with(`"ignored":[` + strings.TrimSuffix(strings.Repeat(`{"path":"x{1000}y{1000}","method_actions":{}},`, 60), ",") + `]`),
		"code that nests":                 virtual("function_source_uri", strings.Repeat("(", 2000)+"1"+strings.Repeat(")", 2000)),
		"code, by a name in another case": virtual("Function_Source_URI", strings.Repeat("[", 2000)),
		"long code":                       virtual("function_source_uri", strings.Repeat("a=", 200<<10)+"1"),
		"a schema that nests":             classic("mine", `,"graphql":{"enabled":true,"schema":"type Query { x: `+strings.Repeat("[", 2000)+`"}`),
	} {
		t.Run(name, func(t *testing.T) {
			require.Regexp(t, "repeat too much|nests deeper|KiB of code|in case only", b.do("PUT", "/api/apis/mine", api, own).is(400).body)
		})
	}
	for name, api := range map[string]string{
		"patterns":              rewrite(`^/a/([0-9]{1,64})/[a-f]{32}(x|y{2,500})+$`),
		"a pattern with braces": rewrite(`/{id}/{x: [y{1}`),
		"code":                  virtual("function_source_uri", strings.Repeat("function f(){ return [1,(2)]; }\n", 4000)),
		"a schema":              classic("mine", `,"graphql":{"enabled":true,"schema":"type Query { x: [[String!]!] }"}`),
	} {
		t.Run(name, func(t *testing.T) { b.do("PUT", "/api/apis/mine", api, own).is(200) })
	}
}

// TestPermissionsAreBounded: they are read with each request.
func TestPermissionsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "a@example.org", map[string]string{"IsAdmin": "admin"}).AccessKey
	many := map[string]string{}
	for n := range 201 {
		many[fmt.Sprint("permission-", n)] = "read"
	}
	for _, permissions := range []map[string]string{many, {strings.Repeat("x", 101): "read"}, {"apis": strings.Repeat("x", 101)}} {
		text, err := json.Marshal(permissions)
		require.NoError(t, err)
		user := `{"org_id":"` + org + `","first_name":"B","last_name":"B","email_address":"b@example.org","active":true,"user_permissions":` + string(text) + `}`
		for path, answer := range map[string]reply{
			"/admin/users":    b.admin("POST", "/admin/users", user),
			"/api/users":      b.do("POST", "/api/users", user, asUser(key)),
			"/api/usergroups": b.do("POST", "/api/usergroups", `{"name":"g","user_permissions":`+string(text)+`}`, asUser(key)),
		} {
			require.NotEqual(t, 200, answer.status, path)
			require.Contains(t, answer.body, `"path":"/user_permissions"`, path)
		}
	}
	delete(many, "permission-0")
	b.user(org, "c@example.org", many)
}

// TestRenamedObjectsAreAudited: who looks for an ID in the audit log finds what had it first.
func TestRenamedObjectsAreAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := asUser(b.user(b.org(), "a@example.org", map[string]string{"apis": "write", "policies": "write"}).AccessKey)
	b.do("POST", "/api/apis", classic("before", ""), own).is(200)
	b.do("PUT", "/api/apis/before", classic("before", `,"tags":[]`), own).is(200)
	require.NotContains(t, b.audit.last(), "new_id")
	b.do("PUT", "/api/apis/before", strings.Replace(classic("before", ""), `"api_id":"before"`, `"api_id":"after"`, 1), own).is(200)
	require.Contains(t, b.audit.last(), " object_id=before new_id=after ")
	policy := `{"id":"gold","name":"x","active":true,"rate":1,"per":1,"quota_max":-1,"access_rights":{}}`
	id := b.do("POST", "/api/portal/policies", policy, own).is(200).envelope().Message
	b.do("PUT", "/api/portal/policies/"+id, strings.Replace(policy, "gold", "silver", 1), own).is(200)
	require.Contains(t, b.audit.last(), " new_id=silver ")
}

// TestCnamesAreHosts: a cname is another organisation's in whatever form it names the host.
func TestCnamesAreHosts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := asUser(b.user(b.org(), "a@example.org", map[string]string{"portal": "write"}).AccessKey)
	theirs := asUser(b.user(b.org(), "v@example.org", map[string]string{"portal": "write"}).AccessKey)
	put := func(by with, cname string) int {
		text, err := json.Marshal(map[string]string{"cname": cname})
		require.NoError(t, err)
		return b.do("PUT", "/api/portal/cname", string(text), by).status
	}
	require.Equal(t, 200, put(theirs, "vv.example"))
	for _, cname := range []string{
		"vv.example", "VV.example", "vv.example.", "vv.example:80", "vv.example:443", " vv.example ", "http://vv.example", "https://vv.example/portal",
		"vv。example", "ｖv.example",
	} {
		require.NotEqual(t, 200, put(own, cname), cname)
	}
	for _, cname := range []string{"vv.example:8080", "v.example", "portal_1.example:3000", "bücher.example", "<no value>", ""} {
		require.Equal(t, 200, put(own, cname), cname)
	}
}

// TestGuessesOfOneSiteAreLimited: a customer has 65,536 of the networks that count as one address.
func TestGuessesOfOneSiteAreLimited(t *testing.T) {
	t.Parallel()
	b, _ := setupGuesses(t)
	guess := func(network, n int) int {
		return b.do("GET", "/admin/hello", nil, header("Admin-Auth", fmt.Sprint("guess ", network, n)), from(fmt.Sprintf("2001:db8:1:%x::1", network))).status
	}
	for network := range 8 {
		for n := range 60 {
			require.Equal(t, 401, guess(network, n))
		}
	}
	require.Equal(t, 429, guess(8, 0))
	require.Equal(t, 429, b.do("GET", "/admin/hello", nil, header("Admin-Auth", "x"), from("2001:db8:1:ffff::1")).status)
	require.Equal(t, 401, b.do("GET", "/admin/hello", nil, header("Admin-Auth", "x"), from("2001:db8:2::1")).status)
}

// TestAbandonedReadsKeepTheirConnection: a connection to the database takes longer to make than a small statement, and
// everybody can send one.
func TestAbandonedReadsKeepTheirConnection(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn, withStore(t, store.Config{ConnString: conn, StatementTimeout: time.Minute}))
	key := b.user(b.org(), "a@example.org", map[string]string{"apis": "read"}).AccessKey
	lock, look := connectTo(t, conn), connectTo(t, conn)
	_, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE apis")
	require.NoError(t, err)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/apis/unknown", nil)
		if err == nil {
			r.Header.Set("Authorization", key)
			_, err = http.DefaultClient.Do(r)
		}
		left <- err
	}()
	var pid int
	gatewaytest.Eventually(t, soon, "the statement waits", func() bool {
		return look.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'SELECT api_id%'`).Scan(&pid) == nil
	})
	leave()
	require.ErrorIs(t, <-left, context.Canceled)
	_, err = lock.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	gatewaytest.Eventually(t, soon, "the connection is used again", func() bool {
		var state string
		err := look.QueryRow(t.Context(), `SELECT state FROM pg_stat_activity WHERE pid = $1`, pid).Scan(&state)
		require.NoError(t, err, "the connection was closed")
		return state == "idle"
	})
}

// withStore has a server use a store with another configuration.
func withStore(t *testing.T, with store.Config) func(*server.Config) {
	t.Helper()
	return func(cfg *server.Config) {
		with.Now, with.IDs = cfg.Now, store.NewIDs(cfg.Now)
		opened, err := store.Open(t.Context(), with)
		require.NoError(t, err)
		t.Cleanup(opened.Close)
		cfg.Store = opened
	}
}
