package server_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/internal/gatewaytest"
)

// These are the assertions of the folder "General Tests" of tyk-demo's Postman collection, a comment with their number
// beside each request, but for those of users (TestClientPostmanDashboardUsers). The 26 that are left out send nothing
// to the dashboard: they are about the gateway's own operations on keys, and a request to an API.

// postmanOrg is the organisation of tyk-demo, which the bootstrap has made.
const postmanOrg = "5e9d9544a1dcd60001d0ed20"

// TestClientPostmanOrganisations has 16 assertions. Before each request, the collection makes an organisation, and
// deletes it afterwards.
func TestClientPostmanOrganisations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := func(name string) string {
		return b.admin("POST", "/admin/organisations", `{"owner_name":"`+name+`"}`, plain).is(200).meta()
	}
	remove := func(id string) { b.admin("DELETE", "/admin/organisations/"+id, "", plain).is(200) }
	named := func(id string) (name string) {
		var org struct {
			OwnerName string `json:"owner_name"`
		}
		b.admin("GET", "/admin/organisations/"+id, nil).is(200).json(&org)
		return org.OwnerName
	}
	t.Run("create", func(t *testing.T) { // 3
		id := b.admin("POST", "/admin/organisations", "{\n    \"owner_name\": \"Create an Organisation Test\"\n}", plain).
			message(200, "Org created").meta()
		require.Equal(t, "Create an Organisation Test", named(id))
		remove(id)
	})
	t.Run("get all", func(t *testing.T) { // 3
		id := create("Company")
		var list struct{ Organisations []map[string]any }
		b.admin("GET", "/admin/organisations?p=-1", nil).is(200).json(&list)
		require.NotEmpty(t, list.Organisations)
		remove(id)
	})
	t.Run("get", func(t *testing.T) { // 2
		id := create("Kessler, Rau and Sons")
		require.Equal(t, "Kessler, Rau and Sons", named(id))
		remove(id)
	})
	t.Run("update", func(t *testing.T) { // 4
		id := create("Company")
		updated := b.admin("PUT", "/admin/organisations/"+id, "{\n    \"owner_name\": \"Other Company\"\n}", plain)
		require.Equal(t, "OK", updated.message(200, "Org updated").envelope().Status)
		require.Equal(t, "Other Company", named(id))
		remove(id)
	})
	t.Run("delete", func(t *testing.T) { // 4
		id := create("Company")
		deleted := b.admin("DELETE", "/admin/organisations/"+id, "", plain)
		require.Equal(t, "OK", deleted.message(200, "Org deleted").envelope().Status)
		b.admin("GET", "/admin/organisations/"+id, nil).is(404)
	})
}

// TestClientPostmanUsersAndAPIs has 10 assertions. Users are deleted with the key of a temporary one, which deletes
// itself at last.
func TestClientPostmanUsersAndAPIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("POST", "/admin/organisations/import", `{"id":"`+postmanOrg+`","owner_name":"Tyk Demo"}`, form).is(200)
	b.user(postmanOrg, "first@example.org", nil) // of the bootstrap
	create := func(email string) reply {
		return b.admin("POST", "/admin/users", `{"first_name":"N","last_name":"N","email_address":"`+email+`","org_id":"`+postmanOrg+`",
			"active":true,"password":"3LEsHO1jv1dt9Xgf","user_permissions":{"IsAdmin":"admin","ResetPassword":"admin"}}`, plain).is(200)
	}
	temporary := create("Temporary@example.com").user()
	key := asUser(temporary.AccessKey)
	remove := func(id string) { b.do("DELETE", "/api/users/"+id, nil, key).is(200) }
	t.Run("create a user", func(t *testing.T) { // 4
		created := create("New@example.com")
		require.Equal(t, "OK", created.envelope().Status)
		require.NotEmpty(t, created.envelope().Message)
		id := created.user().Id
		b.admin("GET", "/admin/users/"+id, nil).is(200)
		remove(id)
	})
	t.Run("get a user", func(t *testing.T) { // 2
		id := create("Shown@example.com").user().Id
		var got admin.User
		b.admin("GET", "/admin/users/"+id, nil).is(200).json(&got)
		require.False(t, got.CreatedAt.IsZero())
		require.Equal(t, []string{postmanOrg, "admin"}, []string{got.OrgId, got.UserPermissions["IsAdmin"]})
		remove(id)
	})
	t.Run("create an API", func(t *testing.T) { // 4
		created := b.do("POST", "/api/apis", `{"api_definition": {
			"name": "Handmade API", "slug": "voluptatem-aut", "org_id": "`+postmanOrg+`", "use_keyless": true,
			"definition": {"location": "header", "key": "x-api-version", "strip_path": false},
			"version_data": {"not_versioned": true, "versions": {"Default": {"name": "Default"}}},
			"proxy": {"listen_path": "/voluptatem-aut/", "target_url": "http://httpbin/", "strip_listen_path": true},
			"active": true}}`, key, plain).message(200, "API created")
		require.Equal(t, "OK", created.envelope().Status)
		b.do("GET", "/api/apis/"+created.meta(), nil, key).is(200)
		b.do("DELETE", "/api/apis/"+created.meta(), nil, key).is(200)
	})
	remove(temporary.Id)
}

// TestClientPostmanOAuthClients has 13 assertions, with the API and the policy of the bootstrap.
func TestClientPostmanOAuthClients(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	e.admin("POST", "/admin/organisations/import", `{"id":"`+postmanOrg+`","owner_name":"Tyk Demo"}`, form).is(200)
	key := asUser(e.user(postmanOrg, "first@example.org", nil).AccessKey)
	const api, policy = "fa0b0268b4124faa70e151a879d3e92c", "615d2e528bf3980001c7c6c2"
	e.importAPIs(strings.Replace(apiOf(postmanOrg, api), `"use_keyless":true`, `"use_keyless":false,"use_oauth2":true`, 1)).is(200)
	e.importPolicies(`{"_id":"` + policy + `","org_id":"` + postmanOrg + `","active":true,
		"access_rights":{"` + api + `":{"api_id":"` + api + `","versions":["Default"]}}}`).is(200)
	e.gateway.WaitForAPI(t, api, soon)
	gatewaytest.Eventually(t, soon, "the policy is loaded", func() bool { return len(e.gateway.Policies()) == 1 })
	type client struct {
		ClientID    string `json:"client_id"`
		Secret      string `json:"secret"`
		PolicyID    string `json:"policy_id"`
		RedirectURI string `json:"redirect_uri"`
	}
	path := "/api/apis/oauth/" + api
	create := func(id string) (sent client) {
		sent = client{ClientID: id, Secret: "zQf_4 \"%", PolicyID: policy, RedirectURI: "https://example.net/" + url.PathEscape(id)}
		var got client
		e.do("POST", path, map[string]string{
			"client_id": sent.ClientID, "api_id": api, "policy_id": policy, "secret": sent.Secret, "redirect_uri": sent.RedirectURI,
		}, key, plain).is(200).json(&got)
		require.Equal(t, sent, got)
		return sent
	}
	remove := func(c client) { e.do("DELETE", path+"/"+c.ClientID, nil, key).is(200) }
	t.Run("create", func(*testing.T) { remove(create("6e9b2f4e-0c0a-4f0e-9a2b-0f7b4a1d1c01")) }) // 5
	t.Run("get", func(t *testing.T) {                                                            // 3
		sent := create("6e9b2f4e-0c0a-4f0e-9a2b-0f7b4a1d1c02")
		var got client
		e.do("GET", path+"/"+sent.ClientID, nil, key).is(200).json(&got)
		require.Equal(t, []string{sent.ClientID, sent.Secret}, []string{got.ClientID, got.Secret})
		remove(sent)
	})
	t.Run("get all", func(t *testing.T) { // 3
		sent := create("6e9b2f4e-0c0a-4f0e-9a2b-0f7b4a1d1c03")
		var list struct{ Apps []client }
		e.do("GET", path, nil, key).is(200).json(&list)
		require.Len(t, list.Apps, 1)
		require.Equal(t, []string{sent.ClientID, sent.Secret}, []string{list.Apps[0].ClientID, list.Apps[0].Secret})
		remove(sent)
	})
	t.Run("delete", func(*testing.T) { // 2
		sent := create("6e9b2f4e-0c0a-4f0e-9a2b-0f7b4a1d1c04")
		remove(sent)
		e.do("GET", path+"/"+sent.ClientID, nil, key).is(404)
	})
}
