package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store/storetest"
)

func TestImportingAgainWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	policy := `{"_id":"61df10078f11dd00097cb501","org_id":"` + org + `","rate":3}`
	b.importAPIs(apiOf(org, "a"), apiOf(org, "b")).is(200)
	b.importPolicies(policy).is(200)
	exported := b.admin("GET", "/admin/apis", nil).body

	// A document that another program has changed is imported again.
	storetest.Exec(t, b.conn, `UPDATE apis SET document = '{"api_definition":{"api_id":"b","edited":true}}' WHERE api_id = 'b'`)
	storetest.Announce(t, b.conn)
	require.NotEqual(t, exported, b.admin("GET", "/admin/apis", nil).body)
	b.importAPIs(apiOf(org, "a"), apiOf(org, "b")).is(200)
	require.Equal(t, exported, b.admin("GET", "/admin/apis", nil).body)

	storetest.Exec(t, b.conn, `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'written'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON apis FOR EACH STATEMENT EXECUTE FUNCTION refuse();
		CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON policies FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)
	require.Equal(t, `{"Status":"OK","Message":"APIs imported","Meta":{"b":true,"a":true}}`, b.importAPIs(apiOf(org, "b"), apiOf(org, "a")).is(200).body)
	b.importPolicies(policy).is(200)
	b.importAPIs(apiOf(org, "a", `"slug":"new"`)).is(500)
	b.importPolicies(strings.Replace(policy, `"rate":3`, `"rate":4`, 1)).is(500)
}

func TestImportAPIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	b.importAPIs(apiOf(org, "a"), apiOf(org, "b")).message(200, "APIs imported")
	first := storetest.Dump(t, b.conn)
	b.importAPIs(apiOf(org, "a"), apiOf(org, "b")).message(200, "APIs imported")
	require.Equal(t, first, storetest.Dump(t, b.conn), "a second import changes nothing")
	b.importAPIs(apiOf(org, "a", `"slug":"new"`)).is(200)
	require.Equal(t, 2, strings.Count(b.admin("GET", "/admin/apis", nil).body, `"api_id"`))
	require.Contains(t, b.admin("GET", "/admin/apis", nil).body, `"slug":"new"`)

	t.Run("refused documents are reported, the others are imported", func(t *testing.T) {
		got := b.importAPIs(apiOf(other, "a"), apiOf("588b4f0bb275ff0001cc7471", "c"), apiOf(org, "d"), `{"api_definition":{"org_id":"nope"}}`).is(200).envelope()
		require.Regexp(t, `^1 of 4 APIs imported; a: the id belongs to another organisation \(`+org+`\); c: unknown organisation; [0-9a-f]{32}: unknown organisation$`, got.Message)
		require.Regexp(t, `^\{"a":false,"c":false,"d":true,"[0-9a-f]{32}":false\}$`, string(got.Meta))
		require.NotContains(t, b.admin("GET", "/admin/apis?org_id="+other, nil).body, "api_id")
	})
	t.Run("the id of the database is unique", func(t *testing.T) {
		withDatabaseID := func(id string) string { return apiOf(org, id, `"id":"5ea6b3e1d1a7f6000183b5c4"`) }
		b.importAPIs(withDatabaseID("e")).is(200)
		require.Contains(t, b.importAPIs(withDatabaseID("f"), apiOf(org, "g")).is(200).envelope().Message, "f: the id is another document's (e)")
		require.Contains(t, b.importAPIs(apiOf(org, "h", `"id":"5ea6b3e1d1a7f6000183b5c5"`), apiOf(org, "i", `"id":"5ea6b3e1d1a7f6000183b5c5"`)).is(200).envelope().Message,
			"i: the id is another document's (h)")
	})
	t.Run("a duplicate ID in a body is an error, and nothing is stored", func(t *testing.T) {
		before := storetest.Dump(t, b.conn)
		got := b.importAPIs(apiOf(org, "x"), apiOf(org, "y"), apiOf(org, "x")).message(403, "Request body malformed")
		require.Contains(t, got.body, `{"errors":[{"path":"/apis/2","reason":"has the id of one before it"}]}`)
		require.Equal(t, before, storetest.Dump(t, b.conn))
	})
	t.Run("an error at the end of the body undoes the import", func(t *testing.T) {
		before := storetest.Dump(t, b.conn)
		got := b.admin("POST", "/admin/apis/import", `{"apis":[`+apiOf(org, "x")+`,`+apiOf(org, "y")+`],"pages":"many"}`).message(403, "Request body malformed")
		require.Contains(t, got.body, `"path":"/pages"`)
		b.admin("POST", "/admin/apis/import", `{"apis":[`+apiOf(org, "x")+`,`+apiOf(org, "y")+`}`).message(403, "Request body malformed")
		require.Equal(t, before, storetest.Dump(t, b.conn))
	})
	t.Run("an empty list is valid", func(t *testing.T) {
		require.Equal(t, `{"Status":"OK","Message":"APIs imported","Meta":{}}`, b.importAPIs().is(200).body)
		b.admin("POST", "/admin/apis/import", `{"apis":null}`).is(200)
	})
	t.Run("APIs can be deleted by either ID", func(t *testing.T) {
		b.admin("DELETE", "/admin/apis/a", nil).is(200)
		b.admin("DELETE", "/admin/apis/a", nil).is(404)
		b.admin("DELETE", "/admin/apis/5ea6b3e1d1a7f6000183b5c4", nil).is(200)
	})
}

func TestImportPolicies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	policy := func(org, id, more string) string { return `{"_id":"` + id + `","org_id":"` + org + `"` + more + `}` }
	const one, two = "61df10078f11dd00097cb551", "61df10078f11dd00097cb552"
	b.importPolicies(policy(org, one, ``), policy(org, two, `,"id":"gold"`)).message(200, "Policies imported")
	require.Contains(t, b.importPolicies(policy(other, one, ``), policy(org, two, `,"id":"silver"`)).is(200).envelope().Message, "1 of 2 policies imported; "+one+": the id belongs to another organisation ("+org+")")
	require.Contains(t, b.importPolicies(policy(org, one, `,"id":"silver"`), policy(org, two, `,"id":"silver"`)).is(200).envelope().Message, one+": the id is another document's ("+two+")")
	made := string(b.importPolicies(`{"_id":"","id":"","org_id":"` + org + `","access_rights":null}`).is(200).envelope().Meta)
	require.Regexp(t, `^\{"[0-9a-f]{24}":true\}$`, made)
	for range 2 { // the ID is derived from the explicit one, so that the second import finds the policy
		b.importPolicies(`{"id":"explicit","org_id":"` + org + `"}`).is(200)
	}
	require.Equal(t, 1, strings.Count(b.admin("GET", "/admin/policies", nil).body, `"explicit"`))
	b.admin("DELETE", "/admin/policies/explicit", nil).is(200)
	b.admin("DELETE", "/admin/policies/"+one, nil).is(200)
	b.admin("DELETE", "/admin/policies/"+one, nil).is(404)
}

func TestConcurrentImports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	var forward, backward []string
	for i := range 60 {
		doc := apiOf(org, fmt.Sprint("api-", i))
		forward, backward = append(forward, doc), append([]string{doc}, backward...)
	}
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			docs := forward
			if i%2 == 0 {
				docs = backward
			}
			if got := b.importAPIs(docs...); got.status != 200 {
				t.Errorf("%d: %s\n%s", got.status, got.body, b.log)
			}
		})
	}
	running.Wait()
	require.Equal(t, 60, strings.Count(b.admin("GET", "/admin/apis", nil).body, `"api_id"`))
}

// endless is a body without end, that of a piece which repeats.
type endless struct{ piece []byte }

func newEndless(of string) endless { return endless{bytes.Repeat([]byte(of), 32<<10)} }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.piece), nil }

// exchange sends a request on a connection of its own, and reads the response although the server may have closed the
// connection in the middle of the request, which net/http's client reports instead of the response.
func exchange(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", r.URL.Host)
	require.NoError(t, err)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(longestRequest)))
	writing.Go(func() { _ = r.Write(conn) })
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	require.NoError(t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(raw)
}

// TestHostileImports sends bodies that must not exhaust memory: each is a documented error, and nothing is stored.
func TestHostileImports(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.Limits.Import, cfg.Limits.Document = 4<<20, 1<<20 })
	org := b.org()
	before := storetest.Dump(t, b.conn)
	whole := `{"apis":[` + apiOf(org, "a") + `,`
	for name, c := range map[string]struct {
		body     io.Reader
		status   int
		encoding string
	}{
		"endless spaces":                  {io.MultiReader(strings.NewReader(whole), newEndless(" ")), 413, ""},
		"an endless string":               {io.MultiReader(strings.NewReader(whole+`{"a":"`), newEndless("x")), 413, ""},
		"endless nesting":                 {io.MultiReader(strings.NewReader(whole), newEndless("[")), 413, ""},
		"deep nesting":                    {strings.NewReader(whole + `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}]}`), 403, ""},
		"nesting over the limit":          {strings.NewReader(whole + `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}]}`), 403, ""},
		"endless commas":                  {io.MultiReader(strings.NewReader(`{"apis":[1`), newEndless(",")), 403, ""},
		"truncated in a document":         {strings.NewReader(whole + `{"api_def`), 403, ""},
		"truncated after the list":        {strings.NewReader(whole + `{}]`), 403, ""},
		"an endless name":                 {io.MultiReader(strings.NewReader(`{"`), newEndless("x")), 413, ""},
		"an endless number":               {io.MultiReader(strings.NewReader(whole), newEndless("1")), 413, ""},
		"the list twice":                  {strings.NewReader(whole + `{}],"apis":[]}`), 403, ""},
		"endless backslashes":             {io.MultiReader(strings.NewReader(whole+`"`), newEndless("\\")), 413, ""},
		"a document of a million members": {strings.NewReader(whole + `{` + strings.Repeat(`"a":1,`, 300_000) + `"a":1}]}`), 413, ""},
		"a gzip bomb":                     {bytes.NewReader(compressed(t, "gzip", whole+strings.Repeat(" ", 100<<20))), 413, "gzip"},
		"a zstd bomb":                     {bytes.NewReader(compressed(t, "zstd", whole+strings.Repeat(" ", 100<<20))), 413, "zstd"},
		"truncated gzip":                  {bytes.NewReader(compressed(t, "gzip", whole+"{}]}")[:40]), 403, "gzip"},
		"truncated zstd":                  {bytes.NewReader(compressed(t, "zstd", whole+"{}]}")[:40]), 403, "zstd"},
		"not gzip":                        {strings.NewReader(whole + "{}]}"), 403, "gzip"},
		"not zstd":                        {strings.NewReader(whole + "{}]}"), 403, "zstd"},
		"an unknown encoding":             {strings.NewReader(whole + "{}]}"), 403, "br"},
		"an empty body, with gzip":        {strings.NewReader(""), 500, "gzip"},
		"an empty body, with zstd":        {strings.NewReader(""), 500, "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/admin/apis/import", c.body)
			require.NoError(t, err)
			r.Header.Set("Admin-Auth", secret)
			r.Header.Set("Content-Encoding", c.encoding)
			status, text := exchange(t, r)
			require.Equal(t, c.status, status, text)
		})
	}
	t.Cleanup(func() { require.Equal(t, before, storetest.Dump(t, b.conn)) })
}

// TestDepthLimit configures the maximum depth: documents that deep are stored, and sent to gateways.
func TestDepthLimit(t *testing.T) {
	t.Parallel()
	const deepest = 5000
	b := setup(t, func(cfg *server.Config) { cfg.Limits.Depth = deepest })
	org := b.org()
	lists := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	imported := func(depth int) reply {
		return b.admin("POST", "/admin/apis/import", `{"apis":[`+apiOf(org, "deep", `"config_data":{"a":`+lists(depth)+`}`)+`]}`)
	}
	const within = deepest - 3 // an object in an object in an object
	require.Contains(t, imported(within+1).message(403, "Request body malformed").body, "nested deeper than 5000")
	imported(within).message(200, "APIs imported")
	// A lower limit does not apply to stored documents, which are checked again after psql has written them.
	storetest.Exec(t, b.conn, `UPDATE apis SET document = (document::text || ' ')::json`)
	storetest.Announce(t, b.conn)
	for _, list := range []reply{
		b.admin("GET", "/admin/apis", nil), b.do("GET", "/system/apis", nil, header("Authorization", nodeSecret)),
	} {
		require.Equal(t, 1, strings.Count(list.is(200).body, lists(within)))
	}
}

// TestListNameIsCaseInsensitive imports lists whose names Go's decoder would match.
func TestListNameIsCaseInsensitive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	b.admin("POST", "/admin/apis/import", `{"Apis":[`+apiOf(org, "a")+`]}`).message(200, "APIs imported")
	require.Contains(t, b.admin("GET", "/admin/apis", nil).is(200).body, `"api_id":"a"`)
	b.admin("POST", "/admin/policies/import", `{"data":[{"_id":"61df10078f11dd00097cb55f","org_id":"`+org+`"}]}`).message(200, "Policies imported")
	require.Contains(t, b.admin("GET", "/admin/policies", nil).is(200).body, "61df10078f11dd00097cb55f")
	b.admin("POST", "/admin/apis/import", `{"APIS":[{"api_definition":{"slug":5}}]}`).message(403, "Request body malformed")
}
