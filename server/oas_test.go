package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store/storetest"
)

// oasOf returns a Tyk OAS API in the form in which the server sends it. info are members of the extension's info, and
// more are members of its server.
func oasOf(info, listenPath string, more ...string) string {
	return `{"openapi":"3.0.3","info":{"title":"Tides","version":"1"},"paths":{"/tides":{"get":{"operationId":"listTides","responses":{"200":{"description":"ok"}}}}},` +
		`"x-number":1.10,"x-text":"\u00e9\/","x-tyk-api-gateway":{"info":{` + info + `"name":"Tides","state":{"active":true}},` +
		`"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"` + listenPath + `","strip":true}` + strings.Join(more, "") + `}}}`
}

func TestOASIDs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	t.Run("a free ID is kept, one of the database never", func(t *testing.T) {
		sent := oasOf(`"id":"tides","dbId":"5ea6b3e1d1a7f6000183b5c4","orgId":"1",`, "/tides/")
		made := a.created("/api/apis/oas?accept_additional_properties=true", sent)
		require.Equal(t, "tides", made.ID)
		require.NotEqual(t, "5ea6b3e1d1a7f6000183b5c4", made.Meta)
		stored := oasOf(`"id":"tides","dbId":"`+made.Meta+`","orgId":"`+a.org+`",`, "/tides/")
		for _, id := range []string{"tides", made.Meta} {
			require.Equal(t, stored, a.send("GET", "/api/apis/oas/"+id, nil).is(200).body, "apart from the IDs, it is what was sent")
			definition := a.definition(id)
			require.Equal(t, []any{"tides", made.Meta, a.org, true, "Tides", true}, []any{
				definition["api_id"], definition["id"],
				definition["org_id"], definition["is_oas"], definition["name"], definition["use_keyless"],
			})
			require.Equal(t, []any{}, definition["tags"])
		}
		require.Contains(t, a.send("GET", "/api/apis?p=-2", nil).body, `"oas":`+stored)
		for _, each := range []*author{a, other} {
			each.send("POST", "/api/apis/oas", sent).message(409, "Found API with the same ID.")
			each.send("POST", "/api/apis", `{"api_definition":{"api_id":"tides"}}`).is(409)
		}
	})
	t.Run("made if there is none", func(t *testing.T) {
		for _, info := range []string{``, `"id":"",`, `"id":null,`} {
			require.Regexp(t, `^[0-9a-f]{32}$`, a.created("/api/apis/oas", oasOf(info, "/a/")).ID)
		}
	})
	t.Run("they do not change", func(t *testing.T) {
		made := a.created("/api/apis/oas", oasOf(`"id":"ferries",`, "/ferries/"))
		for _, info := range []string{``, `"id":"ferries",`, `"dbId":"5ea6b3e1d1a7f6000183b5c4","orgId":"` + other.org + `",`} {
			a.send("PUT", "/api/apis/oas/"+made.Meta, oasOf(info, "/changed/")).message(200, "API updated.")
			body := a.send("GET", "/api/apis/oas/ferries", nil).is(200).body
			for _, part := range []string{`"id":"ferries"`, `"dbId":"` + made.Meta + `"`, `"orgId":"` + a.org + `"`, `"value":"/changed/"`} {
				require.Contains(t, body, part)
			}
		}
		a.send("PUT", "/api/apis/oas/ferries", oasOf(`"id":"tides",`, "/ferries/")).message(400, "Invalid `ID` value")
	})
	t.Run("those of others are unknown", func(t *testing.T) {
		a.created("/api/apis/oas", oasOf(`"id":"mine",`, "/mine/"))
		for _, id := range []string{"mine", "nope"} {
			for _, path := range []string{"", "/export", "/categories", "/versions"} {
				other.send("GET", "/api/apis/oas/"+id+path, nil).is(404)
			}
			other.send("PUT", "/api/apis/oas/"+id, oasOf("", "/x/")).message(404, "API definition does not exist")
			other.send("PUT", "/api/apis/oas/"+id+"/categories", `{}`).message(404, "API not found")
			other.send("DELETE", "/api/apis/oas/"+id, nil).message(404, "Could not retrieve API detail.")
		}
		a.send("DELETE", "/api/apis/oas/mine", nil).message(200, "API deleted.")
		a.send("GET", "/api/apis/mine", nil).is(404)
	})
	t.Run("a super user names the organisation", func(t *testing.T) {
		super := &author{a.bundle, "", a.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey}
		super.send("POST", "/api/apis/oas", oasOf("", "/x/")).message(400, "Org id not found ('').")
		made := super.created("/api/apis/oas", oasOf(`"orgId":"`+a.org+`",`, "/x/"))
		require.Equal(t, a.org, a.definition(made.ID)["org_id"])
	})
	t.Run("a classic API has its own operations", func(t *testing.T) {
		const text = "the requested API definition is in Tyk classic format, please use old api endpoint"
		a.createAPI(`{"api_id":"classic"}`)
		a.send("GET", "/api/apis/oas/classic", nil).message(400, text)
		a.send("GET", "/api/apis/oas/classic/export", nil).message(400, text)
		a.send("PUT", "/api/apis/oas/classic", oasOf("", "/x/")).message(400, text)
		a.send("DELETE", "/api/apis/oas/classic", nil).message(400, text)
		a.send("GET", "/api/apis/oas/classic/categories", nil).message(404, "API not found")
		a.send("GET", "/api/apis/classic", nil).is(200)
	})
}

func TestRefusedOASDocuments(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	made := a.created("/api/apis/oas", oasOf(`"id":"tides",`, "/tides/"))
	before := storetest.Dump(t, a.conn)
	for name, each := range map[string]struct{ body, message, path string }{
		"not an object":                  {`[]`, "Couldn't read body.", ""},
		"no extension":                   {`{"openapi":"3.0.3","info":{"title":"x","version":"1"},"paths":{}}`, "The payload should contain x-tyk-api-gateway.", ""},
		"an unknown member":              {oasOf("", "/x/", `,"future":{"enabled":true}`), "The API definition is not valid: /x-tyk-api-gateway/server/future: ", "/x-tyk-api-gateway/server/future"},
		"no listen path":                 {strings.Replace(oasOf("", "/x/"), `"listenPath"`, `"other"`, 1), "The API definition is not valid: /x-tyk-api-gateway/server/listenPath: is missing", "/x-tyk-api-gateway/server/listenPath"},
		"no paths":                       {strings.Replace(oasOf("", "/x/"), `"paths"`, `"other"`, 1), "The API definition is not valid: /paths: is missing", "/paths"},
		"null in place of the extension": {`{"openapi":"3.0.3","info":{},"paths":{},"x-tyk-api-gateway":null}`, "The payload should contain x-tyk-api-gateway.", ""},
		"null info":                      {strings.Replace(oasOf("", "/x/"), `"info":{"title":"Tides","version":"1"}`, `"info":null`, 1), "The API definition is not valid: /info: is missing", "/info"},
		"a version that gateways may not decode": {
			strings.Replace(oasOf("", "/x/"), "3.0.3", "3.1.0", 1), "The API definition is not valid: /openapi: OpenAPI 3.1.0 is not supported", "/openapi",
		},
		"an operation in capitals": {
			strings.Replace(oasOf("", "/x/"), `"get"`, `"GET"`, 1),
			"The API definition is not valid: /paths/~1tides/GET: differs from get in case only", "/paths/~1tides/GET",
		},
		"an operationId in lower case": {
			strings.Replace(oasOf("", "/x/"), `"get":{`, `"get":{"operationid":"x",`, 1),
			"The API definition is not valid: /paths/~1tides/get/operationid: differs from operationId", "/paths/~1tides/get/operationid",
		},
		"security in another case": {
			strings.Replace(oasOf("", "/x/"), `"paths"`, `"Security":[],"paths"`, 1),
			"The API definition is not valid: /Security: differs from security in case only", "/Security",
		},
		"what gateways cannot decode": {
			strings.Replace(oasOf("", "/x/"), `"description":"ok"`, `"description":1`, 1), "Couldn't read body.", "/paths/~1tides/get/responses/200/description",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, request := range [][2]string{{"POST", "/api/apis/oas"}, {"PUT", "/api/apis/oas/tides"}, {"POST", "/api/apis/streams"}} {
				refused := a.send(request[0], request[1], each.body).is(400)
				require.True(t, strings.HasPrefix(refused.envelope().Message, each.message), refused.body)
				if each.path != "" {
					require.Contains(t, refused.body, `"path":"`+each.path+`"`)
				}
			}
		})
	}
	require.Equal(t, before, storetest.Dump(t, a.conn))
	a.send("GET", "/api/apis/oas/"+made.Meta, nil).is(200)
}

func TestUnknownOASSettings(t *testing.T) {
	t.Parallel()
	a := authorOn(setup(t, func(cfg *server.Config) { cfg.AllowUnknownOAS = true }))
	made := a.created("/api/apis/oas", oasOf(`"id":"tides",`, "/tides/", `,"future":{"enabled":true}`))
	require.Contains(t, a.send("GET", "/api/apis/oas/"+made.ID, nil).body, `"future":{"enabled":true}`)
	require.Contains(t, a.log.String(), "OAS API has settings that are not known")
	require.Contains(t, a.log.String(), "/x-tyk-api-gateway/server/future")
}

// TestStoredBesideOAS has what is stored beside the document of an API, which replacing the document keeps.
func TestStoredBesideOAS(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	made := a.created("/api/apis/oas", oasOf(`"id":"tides",`, "/tides/"))
	categories := func() string { return a.send("GET", "/api/apis/oas/tides/categories", nil).is(200).body }
	require.Equal(t, `{"categories":[]}`, categories())
	for _, each := range [][2]string{
		{`{"categories":["ferries","tides"]}`, `{"categories":["ferries","tides"]}`},
		{`{"categories":null}`, `{"categories":[]}`},
		{`{"categories":["tides"]}`, `{"categories":["tides"]}`},
		{`{}`, `{"categories":[]}`},
		{`{"categories":["a"],"x":1}`, `{"categories":["a"]}`},
	} {
		a.send("PUT", "/api/apis/oas/"+made.Meta+"/categories", each[0]).message(200, "API categories updated.")
		require.Equal(t, each[1], categories())
	}
	require.Contains(t, a.send("GET", "/api/apis?category=a", nil).body, `"categories":["a"]`)
	created := a.document("/api/apis/tides")["created_at"]
	a.send("PUT", "/api/apis/oas/tides", oasOf("", "/changed/")).is(200)
	doc := a.document("/api/apis/tides")
	require.Equal(t, []any{created, []any{"a"}}, []any{doc["created_at"], doc["categories"]})
	require.Equal(t, "/changed/", a.definition("tides")["proxy"].(map[string]any)["listen_path"])
	require.Equal(t, true, a.document("/api/apis/" + a.created("/api/apis/streams", oasOf("", "/s/")).ID)["is_streams"])
}

func TestOASVersions(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	a.created("/api/apis/oas", oasOf(`"id":"v2",`, "/v2/"))
	a.created("/api/apis/oas", oasOf(`"id":"base","versioning":{"enabled":true,"name":"v1","default":"v2","location":"header","key":"v",
		"versions":[{"name":"v2","id":"v2"},{"name":"v3","id":"foreign"},{"name":"v4","id":"gone"}]},`, "/base/"))
	storetest.Exec(t, a.conn, `UPDATE apis SET calls = NULL`) // as APIs are that an earlier release has stored
	a.importAPIs(apiOf(other.org, "foreign")).is(200)         // users' APIs get no name that an API of others calls
	version := func(id, name string, isDefault bool) string {
		return fmt.Sprintf(`{"id":"%s","name":"Tides","versionName":"%s","internal":false,"expirationDate":"","isDefaultVersion":%t}`, id, name, isDefault)
	}
	for path, want := range map[string]string{
		"base/versions":                     version("base", "v1", false) + "," + version("v2", "v2", true),
		"base/versions?searchText=V2":       version("v2", "v2", true),
		"base/versions?accessType=external": version("base", "v1", false) + "," + version("v2", "v2", true),
		"base/versions?accessType=internal": "",
		"v2/versions":                       version("v2", "", true),
	} {
		require.Equal(t, `{"apis":[`+want+`],"pages":1}`, a.send("GET", "/api/apis/oas/"+path, nil).is(200).body, path)
	}
}

func TestOASFiles(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	made := a.created("/api/apis/oas", oasOf(`"id":"tides",`, "/tides/"))
	stored := a.send("GET", "/api/apis/oas/tides", nil).body
	t.Run("export", func(t *testing.T) {
		exported := a.send("GET", "/api/apis/oas/"+made.Meta+"/export", nil).is(200)
		require.Equal(t, []string{stored, "application/octet-stream"}, []string{exported.body, exported.header.Get("Content-Type")})
		require.Equal(t, stored, a.send("GET", "/api/apis/oas/tides/export?mode=all", nil).is(200).body)
		asJSON := a.send("GET", "/api/apis/oas/tides/export", nil, header("Accept", "application/json")).is(200)
		require.Equal(t, []string{stored, "application/json"}, []string{asJSON.body, asJSON.header.Get("Content-Type")})
		require.Empty(t, a.send("HEAD", "/api/apis/oas/tides/export", nil).is(200).body)
	})
	t.Run("export for the public", func(t *testing.T) {
		public := a.send("GET", "/api/apis/oas/tides/export?mode=public", nil).is(200).body
		require.NotContains(t, public, "x-tyk")
		require.Contains(t, public, `"x-number":1.10,"x-text":"\u00e9\/"`)
	})
	t.Run("YAML", func(t *testing.T) {
		exported := a.send("GET", "/api/apis/oas/tides/export", nil, header("Content-Type", "application/x-yaml")).is(200)
		require.Equal(t, "application/octet-stream", exported.header.Get("Content-Type"))
		got := a.send("GET", "/api/apis/oas/tides", nil, header("Accept", "application/x-yaml")).is(200)
		require.Equal(t, []string{exported.body, "application/x-yaml"}, []string{got.body, got.header.Get("Content-Type")})
		require.Contains(t, got.body, "openapi: ")
		for name, change := range map[string]with{
			"said to be YAML": header("Content-Type", "application/x-yaml; charset=utf-8"), "of no type": func(*http.Request) {}, "said to be a form": form,
		} {
			text := strings.NewReplacer("id: tides", "id: "+strings.ReplaceAll(name, " ", "-"), "/tides/", "/yaml/").Replace(got.body)
			again := a.createdAs(text, change)
			var sent, back map[string]any
			require.NoError(t, json.Unmarshal([]byte(stored), &sent))
			a.send("GET", "/api/apis/oas/"+again.ID, nil).json(&back)
			require.Equal(t, sent["paths"], back["paths"], name)
			a.send("PUT", "/api/apis/oas/"+again.ID, text, change).is(200)
		}
		a.send("POST", "/api/apis/oas", "a: [", header("Content-Type", "application/x-yaml")).message(400, "Couldn't read body.")
		a.createdAs(strings.Replace(stored, `"id":"tides"`, `"id":"json"`, 1), header("Content-Type", "application/x-yaml"))
	})
	t.Run("import", func(t *testing.T) {
		public := a.send("GET", "/api/apis/oas/tides/export?mode=public", nil).body
		made := a.created("/api/apis/oas/import?upstreamURL=http://127.0.0.1:2/&listenPath=/imported/&validateRequest=true", public)
		definition := a.definition(made.ID)
		require.Equal(t, "/imported/", definition["proxy"].(map[string]any)["listen_path"])
		require.Equal(t, "http://127.0.0.1:2/", definition["proxy"].(map[string]any)["target_url"])
		a.send("POST", "/api/apis/oas/import", stored).message(400, "The import payload should not contain x-tyk-api-gateway.")
		a.send("POST", "/api/apis/oas/import", `{"url":"http://127.0.0.1/"}`).is(400)
	})
}

// createdAs posts an OAS API in any form.
func (a *author) createdAs(text string, change with) (c created) {
	a.t.Helper()
	a.send("POST", "/api/apis/oas", text, change).message(200, "API created").json(&c)
	return c
}

// TestGatewayServesOASAPIs stores, changes and deletes an OAS API, and looks at a gateway.
func TestGatewayServesOASAPIs(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	a := authorOn(e.bundle)
	const authentication = `,"authentication":{"enabled":true,"securitySchemes":{"key":{"enabled":true,"header":{"enabled":true,"name":"X-Key"}}}}`
	document := func(listenPath string) string {
		doc := oasOf(`"id":"the-tides",`, listenPath, authentication)
		const mock = `"x-tyk-api-gateway":{"middleware":{"operations":{"listTides":{"mockResponse":{"enabled":true,"code":200,"body":"low tide"}}}},`
		doc = strings.Replace(doc, `"x-tyk-api-gateway":{`, mock, 1)
		return `{"components":{"securitySchemes":{"key":{"type":"apiKey","in":"header","name":"X-Key"}}},"security":[{"key":[]}],` + doc[1:]
	}
	through := func(path, key string) reply {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.gateway.URL()+path, nil)
		require.NoError(t, err)
		if key != "" {
			r.Header.Set("X-Key", key)
		}
		return send(t, r)
	}
	a.created("/api/apis/oas", document("/tides/"))
	e.gateway.WaitForAPI(t, "the-tides", soon)
	through("/tides/tides", "").is(401)
	given := e.do("GET", "/system/apis", nil, header("Authorization", nodeSecret)).is(200).body
	require.Contains(t, given, `"mockResponse":{"enabled":true,"code":200,"body":"low tide"}`, "gateways mock by the document")
	var key struct {
		ID string `json:"key_id"`
	}
	a.send("POST", "/api/keys", `{"rate":2,"per":3600,"quota_max":-1,"access_rights":{"the-tides":{"api_id":"the-tides","versions":["Default"]}}}`).is(200).json(&key)
	for range 2 {
		through("/tides/tides", key.ID).is(200)
	}
	through("/tides/tides", key.ID).is(429)
	a.send("PUT", "/api/apis/oas/the-tides", document("/changed/")).is(200)
	waitFor(t, "the new path", func() bool { return through("/changed/tides", "").status == 401 })
	through("/tides/tides", "").is(404)
	a.send("DELETE", "/api/apis/oas/the-tides", nil).is(200)
	waitFor(t, "no API", func() bool { return len(e.gateway.APIs()) == 0 })
	require.Empty(t, e.gateway.ReloadErrors())
}

// TestLargeOASDocuments stores a document of nearly 2 MiB, which has more values than other bodies may have.
func TestLargeOASDocuments(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	document := func(operations int) string {
		var paths strings.Builder
		for i := range operations {
			fmt.Fprintf(&paths, `"/p%d":{"get":{"operationId":"o%d","description":"%s","parameters":[{"name":"a","in":"query","schema":{"type":"string"}}],"responses":{"200":{"description":"ok"}}}},`, i, i, strings.Repeat("x", 150))
		}
		return strings.Replace(oasOf("", "/large/"), `"paths":{`, `"paths":{`+paths.String(), 1)
	}
	large := document(6500)
	require.Greater(t, len(large), 1900<<10)
	made := a.created("/api/apis/oas", large)
	a.send("PUT", "/api/apis/oas/"+made.ID, large).is(200)
	require.Len(t, a.send("GET", "/api/apis/oas/"+made.ID+"/export?mode=public", nil).is(200).body, strings.Index(large, `,"x-tyk-api-gateway"`)+1)
	a.send("POST", "/api/apis/oas", document(7_000)).message(413, "Request body too large")
	a.send("POST", "/api/apis/oas", strings.Replace(oasOf("", "/x/"), `"paths":{`, `"paths":{"/x":{"x-a":[`+strings.Repeat("1,", 500_000)+`1]},`, 1)).is(400)
}
