package server_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// TestTemplatesAreApplied: an API has what its template says and its own document does not, authentication included,
// and gateways serve it so.
func TestTemplatesAreApplied(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	const template = `{"kind":"oas-template","id":"shore","name":"n","data":{"openapi":"3.0.3","info":{"title":"","version":""},
		"paths":{"/anything":{"post":{"operationId":"anythingpost","responses":{"200":{"description":""}}}}},
		"components":{"securitySchemes":{"key":{"type":"apiKey","in":"header","name":"X-Key"}}},"security":[{"key":[]}],
		"x-tyk-api-gateway":{"info":{"id":"made-of","dbId":"5ead7295575961000181868b","orgId":"x","name":"template"},
			"server":{"authentication":{"enabled":true,"securitySchemes":{"key":{"enabled":true,"header":{"enabled":true,"name":"X-Key"}}}}},
			"middleware":{"operations":{"anythingpost":{"requestSizeLimit":{"enabled":true,"value":100}}}}}}}`
	a.send("POST", "/api/assets", template).is(201)
	const document = `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{"/json":{"get":{"operationId":"jsonget","responses":{}}}},
		"x-tyk-api-gateway":{"info":{"name":"mine","state":{"active":true}},"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"/x/"},"authentication":null}}}`
	check := func(c created, name string) {
		t.Helper()
		api := a.send("GET", "/api/apis/"+c.ID, "").is(200).body
		require.False(t, gjson.Get(api, "api_definition.use_keyless").Bool(), api)
		require.Equal(t, "X-Key", gjson.Get(api, "api_definition.auth_configs.authToken.auth_header_name").String(), api)
		oas := a.send("GET", "/api/apis/oas/"+c.ID, "").is(200).body
		require.Equal(t, name, gjson.Get(oas, "x-tyk-api-gateway.info.name").String())
		require.Equal(t, []string{c.ID, c.Meta, a.org}, []string{
			gjson.Get(oas, "x-tyk-api-gateway.info.id").String(), gjson.Get(oas, "x-tyk-api-gateway.info.dbId").String(),
			gjson.Get(oas, "x-tyk-api-gateway.info.orgId").String(),
		})
		require.Equal(t, "T", gjson.Get(oas, "info.title").String(), "the document's")
		for _, path := range []string{`paths./json.get`, `paths./anything.post`, `x-tyk-api-gateway.middleware.operations.anythingpost.requestSizeLimit`} {
			require.True(t, gjson.Get(oas, path).Exists(), path)
		}
	}
	check(a.created("/api/apis/oas?templateID=shore", document), "mine")
	before, _, _ := strings.Cut(document, `"x-tyk`)
	ordinary := strings.Replace(before, `"paths"`, `"servers":[{"url":"http://127.0.0.1:1/"}],"paths"`, 1)
	ordinary = strings.TrimRight(ordinary, ", \n\t") + "}"
	check(a.created("/api/apis/oas/import?templateID=shore", ordinary), "T")

	for path, body := range map[string]string{"/api/apis/oas": document, "/api/apis/oas/import": ordinary} {
		other.send("POST", path+"?templateID=shore", body).message(404, "Asset not found")
		a.send("POST", path+"?templateID=other", body).is(404)
		only := asUser(a.user(a.org, strings.ReplaceAll(path, "/", "")+"@example.org", map[string]string{"apis": "write"}).AccessKey)
		a.do("POST", path+"?templateID=shore", body, only).message(403, "The user does not have the rights to apply templates.")
		a.do("POST", path+"?templateID=", body, only).is(200)
	}
	super := asUser(a.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey)
	of := func(org string) string {
		return strings.Replace(document, `"info":{"name"`, `"info":{"orgId":"`+org+`","name"`, 1)
	}
	require.NotEqual(t, document, of(""))
	a.do("POST", "/api/apis/oas?templateID=shore", of(other.org), super).message(404, "Asset not found")
	a.do("POST", "/api/apis/oas?templateID=shore", document, super).is(404)
	a.do("POST", "/api/apis/oas/import?templateID=shore", ordinary, super).is(404)
	other.send("POST", "/api/assets", `{"id":"shore","kind":"oas-template","name":"theirs","data":{}}`).is(201)
	a.do("POST", "/api/apis/oas?templateID=shore", of(a.org), super).is(200)
	a.send("POST", "/api/apis/oas?templateID=shore", ordinary).message(400, "The payload should contain x-tyk-api-gateway.")
	large := strings.Replace(template, `"id":"shore"`, `"id":"large"`, 1)
	large = strings.Replace(large, `"title":""`, `"x-large":"`+strings.Repeat("x", 900<<10)+`"`, 1)
	a.send("POST", "/api/assets", large).is(201)
	full := strings.Replace(document, `"title":"T"`, `"title":"T","x-full":"`+strings.Repeat("x", 1900<<10)+`"`, 1)
	a.send("POST", "/api/apis/oas", full).is(200)
	a.send("POST", "/api/apis/oas?templateID=large", document).is(200)
	require.Contains(t, a.send("POST", "/api/apis/oas?templateID=large", full).is(400).body, "too large")
}
