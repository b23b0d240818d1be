package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/dashboard"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// check checks a text, and returns what the server says of it.
func (a *author) check(text string) (result dashboard.TextCheck) {
	a.t.Helper()
	a.send("POST", "/api/apis/check?documents=true", text).is(200).json(&result)
	return result
}

// described returns what a check says of a document, in a line.
func described(doc dashboard.CheckedDocument) string {
	return fmt.Sprintf("%s %q %q %q %t %s %s at %q %d:%d%s",
		doc.Kind, doc.Id, doc.Name, doc.ListenPath, doc.Exists, doc.Method, doc.Path, doc.Pointer, doc.Line, doc.Column,
		problemsIn(doc.Problems))
}

// problemsIn returns problems, each in a line.
func problemsIn(problems []dashboard.LocatedProblem) string {
	var lines strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&lines, "\n%d:%d %s: %s", p.Line, p.Column, p.Path, p.Reason)
	}
	return lines.String()
}

// TestCheckOfKinds checks each kind of document, and that what the response has to store it with stores it.
func TestCheckOfKinds(t *testing.T) {
	t.Parallel()
	oas := oasOf(`"id":"tides",`, "/tides/")
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"a classic definition": {
			`{"api_id":"x","name":"X","proxy":{"listen_path":"/x/"}}`,
			[]string{`classic "x" "X" "/x/" false POST /api/apis at "" 1:1`},
		},
		"a classic API": {
			"\ufeff\n {\"api_definition\":{\"api_id\":\"x\",\"name\":\"X\"}}",
			[]string{`classic "x" "X" "" false POST /api/apis at "" 2:2`},
		},
		"a classic API in YAML": {
			"# of the ferry\n---\napi_definition:\n  api_id: x\n  proxy: {listen_path: /x/}\n",
			[]string{`classic "x" "" "/x/" false POST /api/apis at "" 3:1`},
		},
		"an OAS API": {oas, []string{`oas "tides" "Tides" "/tides/" false POST /api/apis/oas at "" 1:1`}},
		"an export": {
			`{"apis":[{"api_definition":{"api_id":"x","name":"X"}},` + "\n" +
				`{"api_definition":{"api_id":"tides","is_oas":true},"oas":` + oas + `}],"pages":1}`,
			[]string{
				`classic "x" "X" "" false POST /api/apis at "/apis/0" 1:10`,
				`oas "tides" "Tides" "/tides/" false POST /api/apis/oas at "/apis/1" 2:1`,
			},
		},
		"policies": {
			`{"Data":[{"_id":"61DF10078f11dd00097cb55f","name":"Gold","access_rights":{}}]}` + "\n" + `[{"id":"silver","rate":1}]`,
			[]string{
				`policy "61df10078f11dd00097cb55f" "Gold" "" false POST /api/portal/policies at "/Data/0" 1:10`,
				`policy "silver" "" "" false POST /api/portal/policies at "/0" 2:2`,
			},
		},
		"an OpenAPI document": {
			"openapi: 3.0.3\ninfo: {title: Ferries, version: '1'}\nservers: [{url: http://127.0.0.1:1/}]\npaths: {}\n",
			[]string{`openapi "" "Ferries" "" false POST /api/apis/oas/import at "" 1:1`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthor(t)
			before := storetest.Dump(t, a.conn)
			result := a.check(test.text)
			require.Equal(t, before, storetest.Dump(t, a.conn), "a check stores nothing")
			require.Empty(t, result.Problems)
			require.Len(t, result.Documents, len(test.want))
			for i, doc := range result.Documents {
				require.Equal(t, test.want[i], described(doc))
				require.NotNil(t, doc.Document)
				a.send(doc.Method, doc.Path, string(*doc.Document)).is(200)
			}
			for _, doc := range a.check(test.text).Documents {
				if doc.Id == "" {
					continue // of which another API is made each time
				}
				require.True(t, doc.Exists, "it is stored with its ID: %s", described(doc))
				require.Equal(t, "PUT", doc.Method)
				a.send(doc.Method, doc.Path, string(*doc.Document)).is(200)
			}
		})
	}
}

// TestCheckFindsProblems has texts with faults, and where each fault is.
func TestCheckFindsProblems(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	other.createAPI(`{"api_id":"theirs","name":"x","active":true,"proxy":{"listen_path":"/theirs/"}}`)
	a.createAPI(`{"api_id":"ours","name":"x"}`)
	a.created("/api/apis/oas", oasOf(`"id":"tides",`, "/tides/"))
	for name, test := range map[string]struct {
		text, want string
		of         string // the problems are of the "text" instead of a document
	}{
		"syntax":          {"{\n  \"é\": 1,,\n}", "\n2:10 : not one JSON value in UTF-8", "text"},
		"broken off":      {`{"api_definition":{`, "\n1:20 : ends before its JSON value is complete", "text"},
		"YAML":            {"a: 1\nb: [1\nc: 2\n", "\n3:2 : the document is not valid YAML: ", "text"},
		"nothing":         {"# nothing\n", "\n1:1 : the text has no document", "text"},
		"another export":  {`{"users":[]}`, "\n1:10 /users: is not stored here", "text"},
		"unknown":         {"[{\"hello\":1}]", "\n1:2 /0: is no document that can be stored", "text"},
		"type":            {"{\"api_definition\":{\n\"name\":5}}", "\n2:8 /api_definition/name: value must be a string", ""},
		"bare definition": {"{\"proxy\":{},\n \"active\":\"x\"}", "\n2:11 /active: value must be a boolean", ""},
		"in a list": {
			"{\"apis\":[{\"api_definition\":{}},\n{\"api_definition\":{\n\"name\":5}}]}",
			"\n3:8 /api_definition/name: value must be a string", "1",
		},
		"not in the next one": {
			"{\"apis\":[{\"api_definition\":{\n\"name\":5}},\n{\"api_definition\":{\"name\":\"x\"}}]}",
			"\n2:8 /api_definition/name: value must be a string", "first",
		},
		"in YAML":         {"api_definition:\n  name: x\n  active: 5\n", "\n3:11 /api_definition/active: value must be a boolean", ""},
		"enveloped OAS":   {`{"api_definition":{"is_oas":true},` + "\n" + `"oas":` + strings.Replace(oasOf("", "/x/"), `"strip"`, `"stripp"`, 1) + `}`, "\n2:354 /oas/x-tyk-api-gateway/server/listenPath/stripp: is not a known setting", ""},
		"OAS":             {strings.Replace(oasOf("", "/x/"), `"paths":`, "\n"+`"path":`, 1), "\n1:1 /paths: is missing", ""},
		"misspelt":        {`{"api_definition":{"Name":"x"}}`, "\n1:27 /api_definition/Name: ", ""},
		"another's ID":    {`{"api_definition":{"api_id":"theirs"}}`, "\n1:1 : has an ID that belongs, or belonged, to another", ""},
		"another's path":  {`{"proxy":` + "\n" + `{"listen_path":"/theirs/"},"active":true}`, "\n2:16 /proxy/listen_path: with this domain", ""},
		"OAS, its path":   {oasOf("", "/theirs/"), "/x-tyk-api-gateway/server/listenPath: with this domain", ""},
		"twice":           {"[{\"api_id\":\"x\",\"proxy\":{}},\n{\"api_id\":\"x\",\"proxy\":{}}]", "\n2:1 : has the ID of the document at line 1", "1"},
		"not classic":     {`{"api_definition":{"api_id":"tides"}}`, "\n1:1 : is a classic API, and the API with its ID is a Tyk OAS API", ""},
		"not OAS":         {oasOf(`"id":"ours",`, "/o/"), "\n1:1 : is a Tyk OAS API, and the API with its ID is a classic one", ""},
		"ID in database":  {`{"api_definition":{"api_id":"ours","id":"5ea6b3e1d1a7f6000183b5c4"}}`, "has another ID in the database", ""},
		"another's right": {`{"access_rights":{"theirs":{"api_id":"theirs"}}}`, "refers to an API of another organisation", ""},
		"NUL":             {`{"api_definition":{"api_id":"a\u0000"}}`, "\n1:", ""},
		"too large":       {`{"api_definition":{"name":"` + strings.Repeat("x", 1<<20) + `"}}`, "\n1:1 : is larger than 1048576 bytes", ""},
		"range of floats": {"{\"api_definition\":\n{\"a\":1e400}}", "\n2:6 : number is out of the range of a 64-bit float", "text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := a.check(test.text)
			var n int
			switch test.of {
			case "text":
				require.Contains(t, problemsIn(result.Problems), test.want)
				return
			case "first":
				require.Contains(t, described(result.Documents[0]), test.want)
				return
			case "1":
				n = 1
			}
			require.Empty(t, result.Problems)
			require.Len(t, result.Documents, n+1)
			require.Contains(t, described(result.Documents[n]), test.want)
			require.Nil(t, result.Documents[n].Document, "a document with problems is not to be stored")
		})
	}
}

// TestCheckAgreesWithStoring checks and stores what the authorisation of documents, and the database, may refuse.
func TestCheckAgreesWithStoring(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	t.Run("repeated names are a warning", func(t *testing.T) {
		t.Parallel()
		doc := a.check("{\"apis\":[{\"api_definition\":{\"name\":\"a\",\n\"x\":1,\n\"x\":2}}]}").Documents[0]
		require.Empty(t, doc.Problems)
		require.Equal(t, "\n3:5 /api_definition/x: is repeated: only the last one is stored", problemsIn(doc.Warnings))
	})
	t.Run("policies need their permission", func(t *testing.T) {
		t.Parallel()
		author := &author{a.bundle, a.org, a.user(a.org, "apis@example.org", map[string]string{"apis": "write"}).AccessKey}
		require.Contains(t, described(author.check(`{"access_rights":{}}`).Documents[0]), "you may not change policies")
	})
	t.Run("a super user names the organisation", func(t *testing.T) {
		t.Parallel()
		super := &author{a.bundle, "", a.user("", "super@example.org", nil).AccessKey}
		require.Contains(t, described(super.check(`{"api_definition":{}}`).Documents[0]), "names no organisation that exists")
		require.Empty(t, super.check(`{"api_definition":{"org_id":"` + a.org + `"}}`).Documents[0].Problems)
	})
	t.Run("numbers stay as they are written", func(t *testing.T) {
		t.Parallel()
		text := `{"api_definition":{"api_id":"numbers","config_data":{"b":1.0,"a":123456789012345678901234567890,"c":1E+2}}}`
		doc := a.check(text).Documents[0]
		require.Equal(t, text, string(*doc.Document))
		a.send(doc.Method, doc.Path, string(*doc.Document)).is(200)
		require.Contains(t, a.send("GET", "/api/apis/numbers", nil).body, `{"b":1.0,"a":123456789012345678901234567890,"c":1E+2}`)
	})
}

func TestCheckOfQuota(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	limited, err := store.Open(t.Context(), store.Config{
		ConnString: conn, Now: time.Now, IDs: store.NewIDs(time.Now), Wait: time.Minute, StatementTimeout: time.Minute,
		Quota: store.Quota{Documents: 2},
	})
	require.NoError(t, err)
	t.Cleanup(limited.Close)
	a := authorOn(setupOn(t, conn, func(cfg *server.Config) { cfg.Store = limited }))
	require.Empty(t, a.check(`[{"proxy":{}},{"proxy":{}}]`).Problems)
	require.Contains(t, problemsIn(a.check(`[{"proxy":{}},{"proxy":{}},{"proxy":{}}]`).Problems), "as many documents as it may")
}

// TestCheckIsBounded sends what would take long.
func TestCheckIsBounded(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	t.Run("size", func(t *testing.T) {
		t.Parallel()
		a.send("POST", "/api/apis/check", strings.Repeat("x", 16<<20)).is(413)
	})
	t.Run("documents", func(t *testing.T) {
		t.Parallel()
		result := a.check(`{"apis":[` + strings.Repeat(`{"api_definition":{}},`, 1000) + `{"api_definition":{}}]}`)
		require.Len(t, result.Documents, 1000)
		require.Contains(t, problemsIn(result.Problems), "/apis/1000: more than 1000 documents")
	})
	for name, text := range map[string]string{
		"values":         strings.Repeat("1 ", 2<<20),
		"lists":          strings.Repeat("[", 4<<20),
		"objects":        strings.Repeat(`{"a":`, 800_000),
		"YAML lists":     strings.Repeat("- ", 2<<20),
		"YAML markers":   strings.Repeat("---\n", 1<<20),
		"YAML documents": strings.Repeat("--- 1\n", 600_000),
		"YAML aliases":   "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*d,*d,*d,*d,*d,*d,*d,*d]\n",
		"unknown":        "[" + strings.Repeat("1,", 200_000) + "1]",
		"many unknown":   "[" + strings.Repeat("1,", 2<<20-2) + "1]",
		"long line":      `{"api_definition":{"tags":[` + strings.Repeat("1,", 500_000) + `1]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			result := a.check(text)
			problems := result.Problems
			for _, doc := range result.Documents {
				problems = append(problems, doc.Problems...)
			}
			require.NotEmpty(t, problems)
			require.LessOrEqual(t, len(problems), 1100)
			t.Logf("%d bytes: %s, %s", len(text), time.Since(start).Round(time.Millisecond), problemsIn(problems[:1]))
		})
	}
}

// TestCheckOfDumps checks files as tyk-sync and a gateway's folder of APIs have them.
func TestCheckOfDumps(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	files, err := filepath.Glob("testdata/dumps/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		result := a.check(string(text))
		require.Empty(t, result.Problems, file)
		require.Len(t, result.Documents, 1, file)
		doc := result.Documents[0]
		require.Empty(t, doc.Problems, file)
		a.send(doc.Method, doc.Path, string(*doc.Document)).is(200)
	}
}
