package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// abandonedImports is more than the number of connections to the database.
const abandonedImports = 40

// beginImport sends the head of an import and the beginning of its body, of which size bytes are announced.
func (b *bundle) beginImport(size int, beginning string) net.Conn {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /admin/apis/import HTTP/1.1\r\nHost: gatehouse\r\nAdmin-Auth: %s\r\nContent-Length: %d\r\n\r\n%s",
		secret, size, beginning)
	require.NoError(b.t, err)
	return conn
}

// largeImport is the body of an import that does not fit into memory, and the number of its APIs.
func largeImport(org, prefix string) (body string, n int) {
	n = 300
	var documents []string
	for i := range n {
		documents = append(documents, apiOf(org, fmt.Sprint(prefix, i), `"config_data":{"filler":"`+strings.Repeat("x", documentSize)+`"}`))
	}
	return `{"apis":[` + strings.Join(documents, ",") + `]}`, n
}

// setupForImports starts a server that never loses patience, and returns its directory for imports.
func setupForImports(t *testing.T) (b *bundle, dir string) {
	t.Helper()
	dir = t.TempDir()
	return setupStreaming(t, unwrapped, func(c *server.Config) {
		c.Limits.BodyTimeout, c.SpoolDir = unlimited, dir
	}), dir
}

// TestSlowImportsHoldNothing begins many imports that their clients abandon, and one that its client sends slowly.
func TestSlowImportsHoldNothing(t *testing.T) {
	t.Parallel()
	b, dir := setupForImports(t)
	org := b.org()
	body, n := largeImport(org, "slow-")
	slow := b.beginImport(len(body), body[:len(body)-10])
	var abandoned []net.Conn
	for i := range abandonedImports {
		body, _ := largeImport(org, fmt.Sprint("abandoned-", i, "-"))
		abandoned = append(abandoned, b.beginImport(len(body), body[:1+i*len(body)/abandonedImports]))
	}

	b.importAPIs(apiOf(org, "meanwhile")).is(200)
	b.importPolicies(`{"_id":"61df10078f11dd00097cb551","org_id":"` + org + `"}`).is(200)
	b.do("GET", "/ready", nil).is(200)
	b.waitForFreeConnections()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the files have no names")

	for _, conn := range abandoned {
		require.NoError(t, conn.Close())
	}
	gatewaytest.Eventually(t, soon, "the abandoned imports end", func() bool {
		return strings.Count(b.log.String(), "route=/admin/apis/import status=403") == abandonedImports
	})
	_, err = io.WriteString(slow, body[len(body)-10:])
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	stored := b.admin("GET", "/admin/apis", nil).is(200).body
	require.Equal(t, n, strings.Count(stored, `"api_id":"slow-`))
	require.NotContains(t, stored, `"api_id":"abandoned-`)
}

// TestAbandonedImportEnds abandons an import that waits for the database.
func TestAbandonedImportEnds(t *testing.T) {
	t.Parallel()
	b, _ := setupForImports(t)
	org := b.org()
	locking := connectTo(t, b.conn)
	_, err := locking.Exec(t.Context(), `BEGIN; LOCK TABLE apis IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	body, _ := largeImport(org, "abandoned-")
	client := b.beginImport(len(body), body)
	gatewaytest.Eventually(t, soon, "the import waits for the table", func() bool { return b.store.Connections().InUse > 0 })
	require.NoError(t, client.Close())
	b.waitForFreeConnections()
	_, err = locking.Exec(t.Context(), `COMMIT`)
	require.NoError(t, err)
	require.NotContains(t, b.admin("GET", "/admin/apis", nil).is(200).body, "abandoned-")
	b.importAPIs(apiOf(org, "next")).is(200)
	require.NotContains(t, b.log.String(), "level=ERROR", "a client that is gone is no fault of the server")
}

func TestImportsWithoutADirectory(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *server.Config) { c.SpoolDir = filepath.Join(t.TempDir(), "missing") })
	org := b.org()
	b.importAPIs(apiOf(org, "small")).is(200)
	before := storetest.Dump(t, b.conn)
	body, _ := largeImport(org, "large-")
	got := b.admin("POST", "/admin/apis/import", body).message(413, "Request body too large")
	require.Contains(t, got.body, "--spool-dir")
	require.Equal(t, before, storetest.Dump(t, b.conn))
	require.Contains(t, b.log.String(), "no such file or directory")
}

// TestImportsOfNothing sends bodies that were meant for something else: a client must not take them for imported.
func TestImportsOfNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	before := storetest.Dump(t, b.conn)
	policy := `{"_id":"61df10078f11dd00097cb551","org_id":"` + org + `"}`
	for _, c := range []struct{ path, body, problem string }{
		{"apis", apiOf(org, "a"), `{"path":"/apis","reason":"is missing"}`},
		{"apis", `{"Data":[` + policy + `],"Pages":0}`, `{"path":"/apis","reason":"is missing"}`},
		{"apis", `{"type":"apidef","files":[{"file":"api-1.json"}],"policies":[{"file":"policy-1.json"}]}`, `{"path":"/apis","reason":"is missing"}`},
		{"apis", `{}`, `{"path":"/apis","reason":"is missing"}`},
		{"apis", `[` + apiOf(org, "a") + `]`, `{"path":"","reason":"value must be an object"}`},
		{"apis", `{"apis":` + apiOf(org, "a") + `}`, `{"path":"/apis","reason":"value must be an array"}`},
		{"apis", `{"APIs":` + apiOf(org, "a") + `}`, `{"path":"/apis","reason":"value must be an array"}`},
		{"policies", policy, `{"path":"/Data","reason":"is missing"}`},
		{"policies", `{"apis":[` + apiOf(org, "a") + `],"pages":0}`, `{"path":"/Data","reason":"is missing"}`},
		{"policies", `{"policies":[` + policy + `]}`, `{"path":"/Data","reason":"is missing"}`},
		{"policies", `{}`, `{"path":"/Data","reason":"is missing"}`},
		{"policies", `[` + policy + `]`, `{"path":"","reason":"value must be an object"}`},
		{"organisations", `[{"owner_name":"x"}]`, `{"path":"","reason":"value must be an object"}`},
		{
			"organisations", `{"organisations":[{"id":"` + org + `","owner_name":"x"}],"pages":0}`,
			`{"path":"/organisations","reason":"is a list: send each organisation by itself"}`,
		},
	} {
		got := b.admin("POST", "/admin/"+c.path+"/import", c.body).message(403, "Request body malformed")
		require.Contains(t, got.body, `"Status":"Error"`)
		require.Contains(t, got.body, c.problem, c.body)
	}
	require.Equal(t, before, storetest.Dump(t, b.conn))
	b.admin("POST", "/admin/apis/import", `{"apis":[]}`).message(200, "APIs imported")
	b.admin("POST", "/admin/policies/import", `{"Data":[]}`).message(200, "Policies imported")
}

// TestImportsOfWhichNoneWasTaken sends documents that are all refused.
func TestImportsOfWhichNoneWasTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	b.importAPIs(apiOf(org, "a")).is(200)
	before := storetest.Dump(t, b.conn)
	none := b.importAPIs(apiOf("nope", "b"), `{"api_definition":{"api_id":"c","slug":5}}`).is(403).body
	require.Equal(t, `{"Status":"Error","Message":"0 of 2 APIs imported; b: unknown organisation; c: /api_definition/slug value must be a string",`+
		`"Meta":{"errors":[{"path":"/apis/0","reason":"unknown organisation"},{"path":"/apis/1","reason":"/api_definition/slug value must be a string"}]}}`, none)
	none = b.importPolicies(`{"_id":"61df10078f11dd00097cb551","org_id":"nope"}`).is(403).body
	require.Equal(t, `{"Status":"Error","Message":"0 of 1 policies imported; 61df10078f11dd00097cb551: unknown organisation",`+
		`"Meta":{"errors":[{"path":"/Data/0","reason":"unknown organisation"}]}}`, none)
	require.Equal(t, before, storetest.Dump(t, b.conn))
	b.importAPIs(apiOf(org, "a")).message(200, "APIs imported")
	got := b.importAPIs(apiOf(org, "a"), apiOf("nope", "b")).is(200).envelope()
	require.Equal(t, "OK", got.Status, "an API that is stored already counts as imported")
	require.JSONEq(t, `{"a":true,"b":false}`, string(got.Meta))
}

// TestImportOfAnOrganisationByItsDatabaseID imports organisations as a dump of MongoDB has them.
func TestImportOfAnOrganisationByItsDatabaseID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, want := range map[string]string{
		`{"_id":"53ac07777cbb8c2d53000011"}`:                                   "53ac07777cbb8c2d53000011",
		`{"_id":{"$oid":"53ac07777cbb8c2d53000012"}}`:                          "53ac07777cbb8c2d53000012",
		`{"id":"53ac07777cbb8c2d53000013","_id":"53ac07777cbb8c2d53000014"}`:   "53ac07777cbb8c2d53000013",
		`{"id":"","_id":"53ac07777cbb8c2d53000015","owner_name":"Rivermouth"}`: "53ac07777cbb8c2d53000015",
	} {
		require.Equal(t, want, b.admin("POST", "/admin/organisations/import", body).is(200).meta(), body)
		require.Contains(t, b.admin("GET", "/admin/organisations/"+want, nil).is(200).body, `{"id":"`+want+`"`)
	}
	b.admin("POST", "/admin/organisations/import", `{"_id":"nope"}`).message(403, "Request body malformed")
}

// TestRefusalOfALongImportArrives sends an import for longer than the server's timeout of a request.
func TestRefusalOfALongImportArrives(t *testing.T) {
	t.Parallel()
	var cfg server.Config
	b := setup(t, func(c *server.Config) { cfg = *c })
	s, err := server.New(cfg)
	require.NoError(t, err)
	web := httptest.NewUnstartedServer(s)
	web.Config.WriteTimeout = 100 * time.Millisecond
	web.Start()
	t.Cleanup(web.Close)
	b.url = web.URL
	const body = `{"apis":[{"api_definition":{"org_id":"nope"}}]}`
	client := b.beginImport(len(body), body[:5])
	time.Sleep(2 * web.Config.WriteTimeout)
	_, err = io.WriteString(client, body[5:])
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 403, resp.StatusCode)
}
