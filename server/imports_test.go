package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

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

	// What somebody else has written is not what was imported.
	storetest.Exec(t, b.conn, `UPDATE apis SET document = '{"api_definition":{"api_id":"b","edited":true}}' WHERE api_id = 'b'`)
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

func TestImportMakesItSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	b.importAPIs(apiOf(org, "a"), apiOf(org, "b")).says(200, "APIs imported")
	first := storetest.Dump(t, b.conn)
	b.importAPIs(apiOf(org, "a"), apiOf(org, "b")).says(200, "APIs imported")
	require.Equal(t, first, storetest.Dump(t, b.conn), "again changes nothing")
	b.importAPIs(apiOf(org, "a", `"slug":"new"`)).is(200)
	require.Equal(t, 2, strings.Count(b.admin("GET", "/admin/apis", nil).body, `"api_id"`))
	require.Contains(t, b.admin("GET", "/admin/apis", nil).body, `"slug":"new"`)

	t.Run("what is refused is told, and the rest goes in", func(t *testing.T) {
		got := b.importAPIs(apiOf(other, "a"), apiOf("588b4f0bb275ff0001cc7471", "c"), apiOf(org, "d"), `{"api_definition":{"org_id":"nope"}}`).is(200).envelope()
		require.Regexp(t, `^1 of 4 APIs imported; a: the id belongs to another organisation; c: unknown organisation; [0-9a-f]{32}: unknown organisation$`, got.Message)
		require.Regexp(t, `^\{"a":false,"c":false,"d":true,"[0-9a-f]{32}":false\}$`, string(got.Meta))
		require.NotContains(t, b.admin("GET", "/admin/apis?org_id="+other, nil).body, "api_id")
	})
	t.Run("the database's id is one API's", func(t *testing.T) {
		withDatabaseID := func(id string) string { return apiOf(org, id, `"id":"5ea6b3e1d1a7f6000183b5c4"`) }
		b.importAPIs(withDatabaseID("e")).is(200)
		require.Contains(t, b.importAPIs(withDatabaseID("f"), apiOf(org, "g")).is(200).envelope().Message, "f: the id is another document's")
		require.Contains(t, b.importAPIs(apiOf(org, "h", `"id":"5ea6b3e1d1a7f6000183b5c5"`), apiOf(org, "i", `"id":"5ea6b3e1d1a7f6000183b5c5"`)).is(200).envelope().Message,
			"i: the id is another document's")
	})
	t.Run("one id twice in a body is an error, and nothing is stored", func(t *testing.T) {
		before := storetest.Dump(t, b.conn)
		got := b.importAPIs(apiOf(org, "x"), apiOf(org, "y"), apiOf(org, "x")).says(403, "Request body malformed")
		require.Contains(t, got.body, `{"errors":[{"path":"/apis/2","reason":"has the id of one before it"}]}`)
		require.Equal(t, before, storetest.Dump(t, b.conn))
	})
	t.Run("a byte that is wrong at the end undoes all", func(t *testing.T) {
		before := storetest.Dump(t, b.conn)
		got := b.admin("POST", "/admin/apis/import", `{"apis":[`+apiOf(org, "x")+`,`+apiOf(org, "y")+`],"pages":"many"}`).says(403, "Request body malformed")
		require.Contains(t, got.body, `"path":"/pages"`)
		b.admin("POST", "/admin/apis/import", `{"apis":[`+apiOf(org, "x")+`,`+apiOf(org, "y")+`}`).says(403, "Request body malformed")
		require.Equal(t, before, storetest.Dump(t, b.conn))
	})
	t.Run("an empty list is no error", func(t *testing.T) {
		require.Equal(t, `{"Status":"OK","Message":"APIs imported","Meta":{}}`, b.importAPIs().is(200).body)
		b.admin("POST", "/admin/apis/import", `{"apis":null}`).is(200)
	})
	t.Run("deleted, it is gone", func(t *testing.T) {
		b.admin("DELETE", "/admin/apis/a", nil).is(200)
		b.admin("DELETE", "/admin/apis/a", nil).is(404)
		b.admin("DELETE", "/admin/apis/5ea6b3e1d1a7f6000183b5c4", nil).is(200)
	})
}

func TestImportPoliciesMakesItSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	policy := func(org, id, more string) string { return `{"_id":"` + id + `","org_id":"` + org + `"` + more + `}` }
	const one, two = "61df10078f11dd00097cb551", "61df10078f11dd00097cb552"
	b.importPolicies(policy(org, one, ``), policy(org, two, `,"id":"gold"`)).says(200, "Policies imported")
	require.Contains(t, b.importPolicies(policy(other, one, ``), policy(org, two, `,"id":"silver"`)).is(200).envelope().Message, "1 of 2 policies imported; "+one+": the id belongs to another organisation")
	require.Contains(t, b.importPolicies(policy(org, one, `,"id":"silver"`), policy(org, two, `,"id":"silver"`)).is(200).envelope().Message, one+": the id is another document's")
	made := string(b.importPolicies(`{"_id":"","id":"","org_id":"` + org + `","access_rights":null}`).is(200).envelope().Meta)
	require.Regexp(t, `^\{"[0-9a-f]{24}":true\}$`, made)
	for range 2 { // the id follows from the explicit one: again finds the same
		b.importPolicies(`{"id":"explicit","org_id":"` + org + `"}`).is(200)
	}
	require.Equal(t, 1, strings.Count(b.admin("GET", "/admin/policies", nil).body, `"explicit"`))
	b.admin("DELETE", "/admin/policies/explicit", nil).is(200)
	b.admin("DELETE", "/admin/policies/"+one, nil).is(200)
	b.admin("DELETE", "/admin/policies/"+one, nil).is(404)
}

func TestImportsAtOnce(t *testing.T) {
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

// endless is a body that never ends.
type endless struct{ of byte }

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.of
	}
	return len(p), nil
}

// TestBadInput sends what would take all memory or all time: each is a documented error, and nothing is stored.
func TestBadInput(t *testing.T) {
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
		"spaces without end":              {io.MultiReader(strings.NewReader(whole), endless{' '}), 413, ""},
		"a text without end":              {io.MultiReader(strings.NewReader(whole+`{"a":"`), endless{'x'}), 413, ""},
		"nesting without end":             {io.MultiReader(strings.NewReader(whole), endless{'['}), 413, ""},
		"deep nesting":                    {strings.NewReader(whole + `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}]}`), 403, ""},
		"nesting over the limit":          {strings.NewReader(whole + `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}]}`), 403, ""},
		"documents without end":           {io.MultiReader(strings.NewReader(`{"apis":[1`), endless{','}), 403, ""},
		"cut off in the middle":           {strings.NewReader(whole + `{"api_def`), 403, ""},
		"cut off after the list":          {strings.NewReader(whole + `{}]`), 403, ""},
		"a name without end":              {io.MultiReader(strings.NewReader(`{"`), endless{'x'}), 413, ""},
		"a number without end":            {io.MultiReader(strings.NewReader(whole), endless{'1'}), 413, ""},
		"the list twice":                  {strings.NewReader(whole + `{}],"apis":[]}`), 403, ""},
		"a backslash without end":         {io.MultiReader(strings.NewReader(whole+`"`), endless{'\\'}), 413, ""},
		"a document of a million members": {strings.NewReader(whole + `{` + strings.Repeat(`"a":1,`, 300_000) + `"a":1}]}`), 413, ""},
		"a bomb of gzip":                  {bytes.NewReader(zipped(t, "gzip", whole+strings.Repeat(" ", 100<<20))), 413, "gzip"},
		"a bomb of zstd":                  {bytes.NewReader(zipped(t, "zstd", whole+strings.Repeat(" ", 100<<20))), 413, "zstd"},
		"gzip that breaks off":            {bytes.NewReader(zipped(t, "gzip", whole+"{}]}")[:40]), 403, "gzip"},
		"zstd that breaks off":            {bytes.NewReader(zipped(t, "zstd", whole+"{}]}")[:40]), 403, "zstd"},
		"no gzip":                         {strings.NewReader(whole + "{}]}"), 403, "gzip"},
		"no zstd":                         {strings.NewReader(whole + "{}]}"), 403, "zstd"},
		"an encoding that is not known":   {strings.NewReader(whole + "{}]}"), 403, "br"},
		"nothing, with gzip":              {strings.NewReader(""), 500, "gzip"},
		"nothing, with zstd":              {strings.NewReader(""), 500, "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/admin/apis/import", c.body)
			require.NoError(t, err)
			r.Header.Set("Admin-Auth", secret)
			r.Header.Set("Content-Encoding", c.encoding)
			got := send(t, r)
			require.Equal(t, c.status, got.status, got.body)
		})
	}
	t.Cleanup(func() { require.Equal(t, before, storetest.Dump(t, b.conn)) })
}

// TestDepthIsALimit allows documents to nest as deep as can be configured: they are kept, and served to gateways.
func TestDepthIsALimit(t *testing.T) {
	t.Parallel()
	const deepest = 5000
	b := setup(t, func(cfg *server.Config) { cfg.Limits.Depth = deepest })
	org := b.org()
	lists := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	imported := func(depth int) reply {
		return b.admin("POST", "/admin/apis/import", `{"apis":[`+apiOf(org, "deep", `"config_data":{"a":`+lists(depth)+`}`)+`]}`)
	}
	const within = deepest - 3 // an object in an object in an object
	require.Contains(t, imported(within+1).says(403, "Request body malformed").body, "nested deeper than 5000")
	imported(within).says(200, "APIs imported")
	// Whoever lowers the limit keeps what is there. What psql wrote is looked at anew.
	storetest.Exec(t, b.conn, `UPDATE apis SET document = document`)
	for _, list := range []reply{
		b.admin("GET", "/admin/apis", nil), b.do("GET", "/system/apis", nil, header("Authorization", nodeSecret)),
	} {
		require.Equal(t, 1, strings.Count(list.is(200).body, lists(within)))
	}
}

// TestListInAnyCase takes the list under the name that a program in Go would.
func TestListInAnyCase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	b.admin("POST", "/admin/apis/import", `{"Apis":[`+apiOf(org, "a")+`]}`).says(200, "APIs imported")
	require.Contains(t, b.admin("GET", "/admin/apis", nil).is(200).body, `"api_id":"a"`)
	b.admin("POST", "/admin/policies/import", `{"data":[{"_id":"61df10078f11dd00097cb55f","org_id":"`+org+`"}]}`).says(200, "Policies imported")
	require.Contains(t, b.admin("GET", "/admin/policies", nil).is(200).body, "61df10078f11dd00097cb55f")
	b.admin("POST", "/admin/apis/import", `{"APIS":[{"api_definition":{"slug":5}}]}`).says(403, "Request body malformed")
}
