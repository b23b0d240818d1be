package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// apiVersions is what the definition of an API says about its versions.
type apiVersions struct {
	Enabled                      bool
	Name, Default, Location, Key string
	Versions                     map[string]string
}

// versions returns what the definition of an API says about its versions.
func (a *author) versions(id string) (v apiVersions) {
	a.t.Helper()
	var api struct {
		Definition struct {
			Definition apiVersions `json:"definition"`
		} `json:"api_definition"`
	}
	a.send("GET", "/api/apis/"+id, "").is(200).json(&api)
	return api.Definition.Definition
}

// TestVersionsOfAClassicAPI: the base names its versions, as a gateway writes it.
func TestVersionsOfAClassicAPI(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	send := func(id, query string) reply { return a.send("POST", "/api/apis?"+query, apiOf(a.org, id)) }
	base := send("base", "").is(200)
	send("v2", "base_api_id=base&new_version_name=v2&base_api_version_name=v1").message(200, "API created")
	require.Contains(t, a.audit.last(), "action=postApis object=api object_id=v2 base=base outcome=ok")
	require.Equal(t, apiVersions{true, "v1", "self", "header", "x-api-version", map[string]string{"v2": "v2"}}, a.versions("base"))
	send("v3", `base_api_id=`+base.meta()+`&new_version_name=v%223%5C&set_default=true`).is(200)
	require.Equal(t, apiVersions{true, "v1", `v"3\`, "header", "x-api-version", map[string]string{"v2": "v2", `v"3\`: "v3"}}, a.versions("base"))
	send("again", "base_api_id=base&new_version_name=v2&base_api_version_name=first&set_default=false").is(200)
	require.Equal(t, apiVersions{true, "first", `v"3\`, "header", "x-api-version", map[string]string{"v2": "again", `v"3\`: "v3"}}, a.versions("base"))
	require.False(t, a.versions("v3").Enabled, "a version has none of its own")

	t.Run("neither is stored if one cannot be", func(*testing.T) {
		send("v2", "base_api_id=base&new_version_name=v4").is(409)
		send("unnamed", "base_api_id=base").message(400, "version name header should be set with base API ID")
		send("unnamed", "base_api_id=v2&new_version_name=x").message(400, "you need to provide a version name for the new Base API: v2")
		send("unnamed", "base_api_id=nothing&new_version_name=x").message(400, "nothing is not a valid Base API version")
		a.send("GET", "/api/apis/unnamed", "").is(404)
		require.Len(t, a.versions("base").Versions, 2)
	})
	t.Run("a base that cannot be stored", func(*testing.T) {
		for id, document := range map[string]string{
			"unknown": `{"openapi":"3.0.3","info":{},"paths":{},"x-tyk-api-gateway":{"info":{},"upstream":{},"server":{"listenPath":{},"nobody":1}}}`,
			"none":    `{"openapi":"3.0.3","info":{},"paths":{}}`,
		} {
			a.importAPIs(`{"api_definition":{"api_id":"` + id + `","org_id":"` + a.org + `","is_oas":true},"oas":` + document + `}`).is(200)
			send("unnamed", "base_api_id="+id+"&new_version_name=x&base_api_version_name=y").is(400)
			a.send("GET", "/api/apis/unnamed", "").is(404)
		}
	})
	t.Run("the base is one of the organisation", func(*testing.T) {
		other := a.another()
		other.send("POST", "/api/apis?base_api_id=base&new_version_name=x&base_api_version_name=y", apiOf("", "foreign")).is(400)
		super := asUser(a.user("", "super@example.org", nil).AccessKey)
		a.do("POST", "/api/apis?base_api_id=base&new_version_name=x", apiOf(other.org, "foreign"), super).is(400)
		a.do("POST", "/api/apis?base_api_id=base&new_version_name=by-super", apiOf(a.org, "by-super"), super).is(200)
		require.Len(t, a.versions("base").Versions, 3)
	})
}

// TestVersionsOfAnOASAPI: the document of the base names its versions, and otherwise stays as it is.
func TestVersionsOfAnOASAPI(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	document := func(id string) string {
		return `{"x-first":1.0,"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"x-tyk-api-gateway":{"info":{"id":"` + id + `","name":"` + id +
			`","state":{"active":true}},"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"/` + id + `/"},"authentication":{"enabled":true}}}}`
	}
	a.send("POST", "/api/apis/oas", document("base")).is(200)
	a.send("POST", "/api/apis/oas?base_api_id=base&new_version_name=v2&base_api_version_name=v1&set_default=true", document("v2")).is(200)
	imported := a.send("POST", "/api/apis/oas/import?base_api_id=base&new_version_name=v3",
		`{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"servers":[{"url":"http://127.0.0.1:1/"}]}`).is(200)
	var v3 struct{ ID string }
	imported.json(&v3)
	want := apiVersions{true, "v1", "v2", "header", "x-api-version", map[string]string{"v2": "v2", "v3": v3.ID}}
	require.Equal(t, want, a.versions("base"), "gateways serve the classic definition")
	got := a.send("GET", "/api/apis/oas/base", "").is(200).body
	require.True(t, strings.HasPrefix(got, `{"x-first":1.0,"openapi":"3.0.3",`), got)
	var stated struct {
		Extension struct {
			Info struct{ Versioning json.RawMessage }
		} `json:"x-tyk-api-gateway"`
	}
	require.NoError(t, json.Unmarshal([]byte(got), &stated))
	require.JSONEq(t, `{"enabled":true,"name":"v1","default":"v2","location":"header","key":"x-api-version",
		"versions":[{"name":"v2","id":"v2"},{"name":"v3","id":"`+v3.ID+`"}]}`, string(stated.Extension.Info.Versioning))

	var listed struct {
		APIs []struct {
			ID               string `json:"id"`
			VersionName      string
			IsDefaultVersion bool
		}
	}
	a.send("GET", "/api/apis/oas/base/versions", "").is(200).json(&listed)
	require.Len(t, listed.APIs, 3)
	require.Equal(t, "v2", listed.APIs[1].ID)
	require.True(t, listed.APIs[1].IsDefaultVersion)
	a.send("POST", "/api/apis/oas?base_api_id=nothing&new_version_name=x", document("x")).
		message(403, "Could not retrieve detail of apiID nothing in org "+a.org+".")

	t.Run("purge deletes the versions, and nothing of others", func(*testing.T) {
		other := a.another() // whose API gets the ID of a version that does not exist yet
		a.send("PUT", "/api/apis/oas/base", strings.Replace(got, `"versions":[`, `"versions":[{"name":"f","id":"foreign"},`, 1)).is(200)
		other.send("POST", "/api/apis/oas", document("foreign")).is(409)
		storetest.Exec(t, a.conn, `UPDATE apis SET calls = NULL`) // as APIs are that an earlier release has stored
		a.importAPIs(apiOf(other.org, "foreign")).is(200)
		a.send("DELETE", "/api/apis/oas/v2", "").is(200)
		a.send("GET", "/api/apis/oas/base", "").is(200)
		a.send("DELETE", "/api/apis/oas/base?purge=true", "").message(200, "API deleted.")
		line, ids, _ := strings.Cut(a.audit.last(), " ids=")
		require.Contains(t, line, "action=deleteOASApi object=api object_id=base outcome=ok status=200 deleted=2")
		require.ElementsMatch(t, []string{"base", v3.ID}, strings.Fields(ids))
		a.send("GET", "/api/apis/"+v3.ID, "").is(404)
		other.send("GET", "/api/apis/foreign", "").is(200)
	})
	t.Run("without purge they stay", func(*testing.T) {
		a.send("POST", "/api/apis/oas", document("second")).is(200)
		a.send("POST", "/api/apis/oas?base_api_id=second&new_version_name=v2&base_api_version_name=v1", document("stays")).is(200)
		a.send("DELETE", "/api/apis/oas/second?purge=false", "").is(200)
		a.send("GET", "/api/apis/oas/stays", "").is(200)
	})
}
