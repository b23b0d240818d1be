package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/store/storetest"
)

// author is a server with an administrator who stores APIs and policies.
type author struct {
	*bundle
	org, key string
}

func newAuthor(t *testing.T) *author {
	t.Helper()
	return authorOn(setup(t))
}

func authorOn(b *bundle) *author {
	b.t.Helper()
	org := b.org()
	return &author{b, org, b.user(org, "author@example.org", nil).AccessKey}
}

// another is the administrator of another organisation.
func (a *author) another() *author {
	a.t.Helper()
	return authorOn(a.bundle)
}

func (a *author) send(method, path string, body any, change ...with) reply {
	a.t.Helper()
	return a.do(method, path, body, append([]with{asUser(a.key)}, change...)...)
}

// created is the response to an API that was created.
type created struct{ Status, Message, Meta, ID string }

func (a *author) createAPI(definition string) created {
	a.t.Helper()
	return a.created("/api/apis", `{"api_definition":`+definition+`}`)
}

// created posts an API, and returns the response.
func (a *author) created(path, body string) (c created) {
	a.t.Helper()
	a.send("POST", path, body).message(200, "API created").json(&c)
	require.Regexp(a.t, `^[0-9a-f]{24}$`, c.Meta)
	return c
}

// document returns a stored document.
func (a *author) document(path string) (doc map[string]any) {
	a.t.Helper()
	a.send("GET", path, nil).is(200).json(&doc)
	return doc
}

// definition returns the definition of a stored API.
func (a *author) definition(id string) map[string]any {
	a.t.Helper()
	definition, _ := a.document("/api/apis/" + id)["api_definition"].(map[string]any)
	return definition
}

func TestAPIIDs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	t.Run("a free api_id is kept, an ID in the database never", func(t *testing.T) {
		made := a.createAPI(`{"api_id":"ZGVmYXVsdC9odHRwYmlu","id":"5ea6b3e1d1a7f6000183b5c4","org_id":"1","name":"x"}`)
		require.Equal(t, "ZGVmYXVsdC9odHRwYmlu", made.ID)
		require.NotEqual(t, "5ea6b3e1d1a7f6000183b5c4", made.Meta)
		for _, id := range []string{made.ID, made.Meta} {
			definition := a.definition(id)
			require.Equal(t, []any{made.ID, made.Meta, a.org}, []any{definition["api_id"], definition["id"], definition["org_id"]})
		}
		a.send("POST", "/api/apis", `{"api_definition":{"api_id":"ZGVmYXVsdC9odHRwYmlu"}}`).message(409, "Found API with the same ID")
		other.send("POST", "/api/apis", `{"api_definition":{"api_id":"ZGVmYXVsdC9odHRwYmlu"}}`).message(409, "Found API with the same ID")
		other.send("GET", "/api/apis/"+made.ID, nil).is(404)
	})
	for _, empty := range []string{`{}`, `{"api_id":""}`, `{"api_id":null,"id":null,"org_id":null}`} {
		t.Run("made for "+empty, func(t *testing.T) {
			made := a.createAPI(empty)
			require.Regexp(t, `^[0-9a-f]{32}$`, made.ID)
			require.NotEqual(t, made.ID, a.createAPI(empty).ID)
		})
	}
	t.Run("the api_id may change, the ID in the database not", func(t *testing.T) {
		made := a.createAPI(`{"api_id":"before","name":"x"}`)
		created := a.document("/api/apis/before")["created_at"]
		require.NotEmpty(t, created)
		a.send("PUT", "/api/apis/before", `{"api_definition":{"api_id":"after","name":"y","org_id":"`+other.org+`"},"created_at":"2020-01-01T00:00:00Z"}`).message(200, "API updated")
		a.send("GET", "/api/apis/before", nil).is(404)
		definition := a.definition("after")
		require.Equal(t, []any{"y", made.Meta, a.org}, []any{definition["name"], definition["id"], definition["org_id"]})
		require.Equal(t, created, a.document("/api/apis/after")["created_at"])
		a.send("PUT", "/api/apis/"+made.Meta, `{"api_definition":{"name":"z"}}`).is(200)
		require.Equal(t, []any{"z", "after"}, []any{a.definition(made.Meta)["name"], a.definition(made.Meta)["api_id"]})
		a.createAPI(`{"api_id":"taken"}`)
		a.send("PUT", "/api/apis/after", `{"api_definition":{"api_id":"taken"}}`).message(409, "Found API with the same ID")
		a.send("PUT", "/api/apis/after", `{"api_definition":{"id":"5ea6b3e1d1a7f6000183b5c4"}}`).message(400, "Invalid `ID` value")
		require.Equal(t, "z", a.definition("after")["name"])
	})
	t.Run("those of others are unknown", func(t *testing.T) {
		made := a.createAPI(`{"api_id":"mine"}`)
		for _, id := range []string{"mine", made.Meta, "nope"} {
			other.send("PUT", "/api/apis/"+id, `{"api_definition":{}}`).message(404, "API definition does not exist")
			other.send("DELETE", "/api/apis/"+id, nil).message(404, "Could not retrieve API detail")
		}
		a.send("DELETE", "/api/apis/"+made.Meta+"/", nil).message(200, "API deleted")
		a.send("DELETE", "/api/apis/mine", nil).is(404)
	})
	t.Run("a super user names the organisation", func(t *testing.T) {
		super := &author{a.bundle, "", a.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey}
		super.send("POST", "/api/apis", `{"api_definition":{}}`).message(400, "Org id not found ('')")
		made := super.createAPI(`{"org_id":"` + a.org + `"}`)
		require.Equal(t, a.org, a.definition(made.ID)["org_id"])
		super.send("PUT", "/api/apis/"+made.ID, `{"api_definition":{"org_id":"`+other.org+`"}}`).is(200)
		require.Equal(t, a.org, a.definition(made.ID)["org_id"])
	})
	t.Run("an ID in the database counts before the api_id of another organisation", func(t *testing.T) {
		super := &author{a.bundle, "", a.admin("POST", "/admin/users", `{"email_address":"both@example.org","active":true}`).user().AccessKey}
		mine := a.createAPI(`{"name":"mine"}`)
		a.importAPIs(strings.Replace(apiOf(other.org, mine.Meta), `"name":"`+mine.Meta+`"`, `"name":"theirs"`, 1)).is(200)
		theirID, _ := other.definition(mine.Meta)["id"].(string)
		super.send("PUT", "/api/apis/"+mine.Meta, `{"api_definition":{"name":"changed"}}`).is(200)
		require.Equal(t, "changed", a.definition(mine.ID)["name"])
		require.Equal(t, "theirs", other.definition(mine.Meta)["name"])
		a.admin("DELETE", "/admin/apis/"+mine.Meta, nil).is(200)
		a.send("GET", "/api/apis/"+mine.ID, nil).is(404)
		require.Equal(t, "theirs", other.definition(theirID)["name"])
	})
}

func TestStoredAPIs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	t.Run("members that lists have are added", func(t *testing.T) {
		made := a.created("/api/apis", `{"api_definition":{"tags":null,"unknown":[1.10,"\u00e9"]},"user_owners":null,"mine":{"b":1,"a":2}}`)
		body := a.send("GET", "/api/apis/"+made.ID, nil).body
		for _, part := range []string{
			`"tags":[]`, `"config_data":{}`, `"unknown":[1.10,"\u00e9"]`, `"user_owners":[]`, `"user_group_owners":[]`,
			`"hook_references":[]`, `"is_site":false`, `"sort_by":0`, `"api_model":{}`, `"mine":{"b":1,"a":2}`, `"created_at":"20`, `"updated_at":"20`,
		} {
			require.Equal(t, 1, strings.Count(body, part), "%s in %s", part, body)
		}
		require.Equal(t, `{"apis":[`+body+`],"pages":0}`, a.send("GET", "/api/apis?p=-2", nil).body)
	})
	t.Run("members of the request stay", func(t *testing.T) {
		made := a.created("/api/apis", `{"api_definition":{"tags":["edge"],"config_data":{"a":1}},"created_at":"2020-01-01T00:00:00Z","user_owners":["5ea6b3e1d1a7f6000183b5c4"],"categories":["ferries"]}`)
		doc := a.document("/api/apis/" + made.ID)
		require.Equal(t, []any{"2020-01-01T00:00:00Z", []any{"5ea6b3e1d1a7f6000183b5c4"}, []any{"ferries"}}, []any{doc["created_at"], doc["user_owners"], doc["categories"]})
		require.Contains(t, a.send("GET", "/api/apis?category=ferries", nil).body, made.ID)
	})
	for name, body := range map[string]string{
		"no definition":       `{"name":"x"}`,
		"null":                `{"api_definition":null}`,
		"a list":              `{"api_definition":[]}`,
		"a wrong type":        `{"api_definition":{"active":"yes"}}`,
		"a wrong nested type": `{"api_definition":{"proxy":{"listen_path":1}}}`,
		"too large a number":  `{"api_definition":{"listen_port":1e3}}`,
		"an ID that is none":  `{"api_definition":{"api_id":7}}`,
		"a NUL":               `{"api_definition":{"api_id":"a\u0000b"}}`,
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			before := storetest.Dump(t, a.conn)
			refused := a.send("POST", "/api/apis", body).message(400, "API definition malformed")
			require.Contains(t, refused.body, `"errors":[{`)
			require.Equal(t, before, storetest.Dump(t, a.conn))
		})
	}
	t.Run("a Tyk OAS API has its own operations", func(t *testing.T) {
		const text = "this API endpoint only supports Tyk Classic APIs; please use the appropriate Tyk OAS API endpoint"
		for _, name := range []string{"is_oas", "Is_OAS", "i\u017f_oas"} { // as gateways decode names
			a.send("POST", "/api/apis", `{"api_definition":{"`+name+`":true},"oas":{"openapi":"3.0.3"}}`).message(400, text)
		}
		a.importAPIs(`{"api_definition":{"api_id":"an-oas","org_id":"` + a.org + `","is_oas":true},"oas":{"openapi":"3.0.3"}}`).is(200)
		a.send("PUT", "/api/apis/an-oas", `{"api_definition":{}}`).message(400, text)
		a.send("DELETE", "/api/apis/an-oas", nil).is(200)
	})
}

const grantedAPI = "5fa2db834e07444f760b7ceb314209fb"

func TestPolicyIDs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	create := func(body string) string {
		t.Helper()
		message := a.send("POST", "/api/portal/policies", body).is(200).envelope().Message
		require.Regexp(t, `^[0-9a-f]{24}$`, message)
		return message
	}
	t.Run("free IDs are kept", func(t *testing.T) {
		const demo = "5ead72955759610001818688"
		require.Equal(t, demo, create(`{"_id":"`+demo+`","id":"`+demo+`","org_id":"1","name":"x"}`))
		require.Equal(t, a.org, a.document("/api/portal/policies/" + demo)["org_id"])
		for _, taken := range []string{`{"_id":"` + demo + `"}`, `{"id":"` + demo + `"}`} {
			a.send("POST", "/api/portal/policies", taken).message(409, "Found policy with the same ID.")
			other.send("POST", "/api/portal/policies", taken).is(409)
		}
		const digits = "5EAD7295575961000181868B" // gateways decode the digits, and write lower case
		require.Equal(t, strings.ToLower(digits), create(`{"_id":"`+digits+`"}`))
		other.send("POST", "/api/portal/policies", `{"_id":"`+strings.ToLower(digits)+`"}`).is(409)
		other.send("POST", "/api/portal/policies", `{"_id":{"$oid":"`+digits+`"}}`).is(409)
		id := create(`{"_id":"","id":"ZGVmYXVsdC9odHRwYmlu"}`)
		require.Equal(t, id, a.document("/api/portal/policies/ZGVmYXVsdC9odHRwYmlu")["_id"])
	})
	t.Run("they do not change", func(t *testing.T) {
		id := create(`{"id":"explicit","name":"x"}`)
		a.send("PUT", "/api/portal/policies/explicit", `{"_id":"5ead72955759610001818689","org_id":"`+other.org+`","name":"y"}`).message(200, "Data updated")
		doc := a.document("/api/portal/policies/" + id)
		require.Equal(t, []any{id, "explicit", a.org, "y"}, []any{doc["_id"], doc["id"], doc["org_id"], doc["name"]})
		a.send("PUT", "/api/portal/policies/"+id, `{"id":"renamed"}`).is(200)
		a.send("GET", "/api/portal/policies/explicit", nil).is(404)
		create(`{"id":"taken"}`)
		a.send("PUT", "/api/portal/policies/renamed", `{"id":"taken"}`).message(409, "Found policy with the same ID.")
	})
	t.Run("those of others are unknown", func(t *testing.T) {
		id := create(`{"id":"mine"}`)
		for _, each := range []string{"mine", id, "nope"} {
			other.send("PUT", "/api/portal/policies/"+each, `{}`).message(404, "Could not retrieve portal object.")
			other.send("DELETE", "/api/portal/policies/"+each, nil).message(404, "Could not retrieve object for deletion")
		}
		a.send("DELETE", "/api/portal/policies/"+id, nil).message(200, "Data deleted")
		a.send("DELETE", "/api/portal/policies/mine", nil).is(404)
	})
	t.Run("APIs of others are not granted, unknown ones are", func(t *testing.T) {
		foreign := other.createAPI(`{"api_id":"foreign"}`).ID
		for _, body := range []string{
			`{"access_rights":{"%s":{}}}`, `{"access_rights":{"x":{"api_id":"%s"}}}`, `{"access_rights_array":[{"api_id":"%s"}]}`,
		} {
			a.send("POST", "/api/portal/policies", fmt.Sprintf(body, foreign)).message(403, "Attempted access to non-owned API.")
			a.send("PUT", "/api/portal/policies/renamed", fmt.Sprintf(body, foreign)).message(403, "Attempted access to non-owned API.")
			create(fmt.Sprintf(body, "not-there-yet"))
		}
		for _, spelling := range []string{`{"Access_Rights":{"%s":{}}}`, `{"access_rights":{"x":{"API_ID":"%s"}}}`} {
			a.send("POST", "/api/portal/policies", fmt.Sprintf(spelling, foreign)).is(403)
		}
	})
	t.Run("a super user names the organisation", func(t *testing.T) {
		super := &author{a.bundle, "", a.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey}
		super.send("POST", "/api/portal/policies", `{}`).message(400, "Org id not found ('').")
		id := super.send("POST", "/api/portal/policies", `{"org_id":"`+a.org+`"}`).is(200).envelope().Message
		require.Equal(t, a.org, a.document("/api/portal/policies/" + id)["org_id"])
	})
	t.Run("refused", func(t *testing.T) {
		for _, body := range []string{`[]`, `{"rate":"fast"}`, `{"_id":"nope"}`, `{"access_rights_array":[{"api_id":"x","versions":"Default"}]}`, `{"quota_max":1.5}`} {
			refused := a.send("POST", "/api/portal/policies", body).message(403, "Request body malformed.")
			require.Contains(t, refused.body, `"errors":[{`)
		}
	})
}

// TestAccessRights checks that each of the two forms of access rights is made of the other.
func TestAccessRights(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	served := func() string {
		return a.do("GET", "/system/policies", nil, header("Authorization", nodeSecret)).is(200).body
	}
	const right = `{"namespace":"default","name":"tides","api_name":"Tide tables","api_id":"` + grantedAPI + `","versions":["Default"]}`
	for name, each := range map[string]struct{ sent, rights, array string }{
		"array": {`"access_rights_array":[` + right + `]`, `{"` + grantedAPI + `":` + right + `}`, `[` + right + `]`},
		"map":   {`"access_rights":{"` + grantedAPI + `":` + right + `}`, `{"` + grantedAPI + `":` + right + `}`, `[` + right + `]`},
		"null and empty": {
			`"access_rights":null,"access_rights_array":[` + right + `]`, `{"` + grantedAPI + `":` + right + `}`, `[` + right + `]`,
		},
		"both":    {`"access_rights":{"x":{"api_id":"x"}},"access_rights_array":[` + right + `]`, `{"x":{"api_id":"x"}}`, `[` + right + `]`},
		"neither": {`"name":"x"`, `{}`, `[]`},
		"without api_id": {
			`"access_rights":{"x":null,"y":{"versions":["Default"]}}`, `{"x":null,"y":{"versions":["Default"]}}`,
			`[{"api_id":"x"},{"api_id":"y","versions":["Default"]}]`,
		},
		"nothing granted": {`"access_rights_array":[null,{},{"api_id":""}]`, `{}`, `[null,{},{"api_id":""}]`},
		"twice": {
			`"access_rights_array":[{"api_id":"x","versions":["a"]},{"api_id":"x","versions":["b"]}]`, `{"x":{"api_id":"x","versions":["b"]}}`,
			`[{"api_id":"x","versions":["a"]},{"api_id":"x","versions":["b"]}]`,
		},
	} {
		t.Run("created with "+name, func(t *testing.T) {
			id := a.send("POST", "/api/portal/policies", `{`+each.sent+`}`).is(200).envelope().Message
			stored := a.send("GET", "/api/portal/policies/"+id, nil).is(200).body
			require.Contains(t, stored, `"access_rights":`+each.rights)
			require.Contains(t, stored, `"access_rights_array":`+each.array)
			require.Contains(t, served(), stored)
			a.send("PUT", "/api/portal/policies/"+id, `{`+each.sent+`}`).is(200)
			require.Contains(t, a.send("GET", "/api/portal/policies/"+id, nil).body, `"access_rights":`+each.rights)
		})
	}
	t.Run("an import stays as it came, and gateways get it complete", func(t *testing.T) {
		imported := `{"_id":"61df10078f11dd00097cb55f","id":"imported","org_id":"` + a.org + `","access_rights_array":[` + right + `]}`
		complete := `{"access_rights":{"` + grantedAPI + `":` + right + `},` + imported[1:]
		a.importPolicies(imported).message(200, "Policies imported")
		require.Equal(t, imported, a.send("GET", "/api/portal/policies/imported", nil).body)
		require.Contains(t, a.admin("GET", "/admin/policies", nil).body, imported)
		require.Contains(t, served(), complete)
		changed := strings.Replace(imported, `"Tide tables"`, `"Tides"`, 1)
		a.importPolicies(changed).is(200)
		require.Contains(t, served(), strings.ReplaceAll(complete, `"Tide tables"`, `"Tides"`))
		// A policy with rights, and one whose list could not be decoded, are served as they came.
		a.importPolicies(`{"_id":"61df10078f11dd00097cb55f","id":"imported","org_id":"`+a.org+`","access_rights":{"x":{}}}`,
			`{"_id":"61df10078f11dd00097cb560","org_id":"`+a.org+`","access_rights_array":[{"api_id":"x","versions":"all"}]}`).message(200, "Policies imported")
		require.Contains(t, served(), `"access_rights":{"x":{}}`)
		require.Contains(t, served(), `,"access_rights_array":[{"api_id":"x","versions":"all"}]}`)
	})
	t.Run("what another program writes is completed, too", func(t *testing.T) {
		storetest.Exec(t, a.conn, `INSERT INTO policies (id, policy_id, org_id, document) VALUES ('61df10078f11dd00097cb561', 'written', $1, $2)`,
			a.org, `{"id":"written","access_rights_array":[`+right+`]}`)
		storetest.Announce(t, a.conn)
		for range 2 { // unchecked, and checked
			require.Contains(t, served(), `{"access_rights":{"`+grantedAPI+`":`+right+`},"id":"written"`)
		}
		storetest.Exec(t, a.conn, `UPDATE policies SET document = '{"id":"written","access_rights":{"y":{}}}' WHERE policy_id = 'written'`)
		storetest.Announce(t, a.conn)
		for range 2 {
			require.Contains(t, served(), `{"id":"written","access_rights":{"y":{}}}`)
		}
	})
}

// TestGatewayServesWhatUsersStore stores, changes and deletes a classic API and a policy, and looks at a gateway.
func TestGatewayServesWhatUsersStore(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{noControl: true})
	a := authorOn(e.bundle)
	definition := func(path string) string {
		return apiOf("1", "tides", `"tags":[]`, `"slug":"`+path+`"`)
	}
	made := a.created("/api/apis", definition("one"))
	e.gateway.WaitForAPI(t, "tides", soon)
	require.NotEqual(t, 404, e.through("/tides/", "").status)
	policy := a.send("POST", "/api/portal/policies", `{"id":"gold","name":"Gold","active":true,"access_rights_array":[{"api_id":"tides","versions":["Default"]}]}`).is(200).envelope().Message
	waitFor(t, "the policy", func() bool { return len(e.gateway.Policies()) == 1 })
	require.Equal(t, []string{"gold"}, e.gateway.Policies())
	a.send("PUT", "/api/apis/"+made.Meta, strings.ReplaceAll(definition("two"), "tides", "ferries")).is(200)
	e.gateway.WaitForAPI(t, "ferries", soon)
	require.Equal(t, []string{"ferries"}, e.gateway.APIs())
	a.send("DELETE", "/api/apis/ferries", nil).is(200)
	waitFor(t, "no API", func() bool { return len(e.gateway.APIs()) == 0 })
	a.send("DELETE", "/api/portal/policies/"+policy, nil).is(200)
	waitFor(t, "no policy", func() bool { return len(e.gateway.Policies()) == 0 })
	require.Empty(t, e.gateway.ReloadErrors())
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	gatewaytest.Eventually(t, soon, what, condition)
}
