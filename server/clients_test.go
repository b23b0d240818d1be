package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each test is named after a public client of the original. It sends the requests of the client as the client sends
// them, and checks what the client reads of the responses.

// form is the Content-Type that curl -d sends with a JSON body.
var (
	form  = header("Content-Type", "application/x-www-form-urlencoded")
	jason = header("Content-Type", "application/json")
	plain = header("Content-Type", "text/plain")
)

// grep returns the first match of a pattern's group in the body, as shell scripts do.
func (r reply) grep(pattern string) string {
	r.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(r.body)
	require.NotNil(r.t, m, "%s answered %s, which has no %s", r.what, r.body, pattern)
	return m[1]
}

const eventOptions = `"event_options":{"key_event":{"redis":true},"hashed_key_event":{"redis":true}}`

func TestClientTykDemo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for group, id := range []string{"5e9d9544a1dcd60001d0ed20", "5e9d9544a1dcd60001d0ed21"} {
		org := fmt.Sprintf(`{"id":"%s","owner_name":"Tyk Demo %d","owner_slug":"","cname_enabled":true,
			"cname":"tyk-portal-%d.localhost:3000","apis":[],"sso_enabled":false,"hybrid_enabled":false,%s}`, id, group, group, eventOptions)
		imported := b.admin("POST", "/admin/organisations/import", org, form).is(200)
		require.Contains(t, []string{"OK", "Ok", "ok"}, imported.envelope().Status)
		require.Equal(t, id, imported.meta())
		user := b.admin("POST", "/admin/users", `{"first_name":"API","last_name":"Developer","email_address":"api-dev@example.org","password":"topsecret",
			"active":true,"org_id":"`+id+`","user_permissions":{"IsAdmin":"admin","ResetPassword":"admin"}}`, form).is(200)
		u := user.user()
		require.Equal(t, []string{"api-dev@example.org", id}, []string{u.EmailAddress, u.OrgId}, "the same address in both groups")
		b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"topsecret","user_permissions":{"IsAdmin":"admin"}}`, asUser(u.AccessKey), form).is(200)
		b.do("GET", "/api/users", nil, asUser(u.AccessKey)).is(200)
	}
	t.Run("mdcb and tyk2", func(t *testing.T) {
		made := b.admin("POST", "/admin/users", `{"first_name":"M","last_name":"D","email_address":"mdcb@example.org","active":true,
			"org_id":"5e9d9544a1dcd60001d0ed20","user_permissions":{"websockets":"read"}}`, form).is(200)
		require.Equal(t, made.user().AccessKey, made.envelope().Message)
		require.Equal(t, map[string]string{"websockets": "read"}, made.user().UserPermissions)
		b.do("POST", "/api/users/"+made.user().Id+"/actions/reset", `{"new_password":"topsecret"}`, asUser(made.envelope().Message)).is(200)
	})
	t.Run("mqtt imports a saved list", func(t *testing.T) {
		saved := `{"apis":[{"api_model":{},"api_definition":{"id":"5ea6b3e1d1a7f6000183b5c4","api_id":"mqtt","org_id":"5e9d9544a1dcd60001d0ed20",
			"name":"MQTT","unknown_field":{"kept":[1.10]}},"hook_references":[],"is_site":false,"sort_by":0,"user_group_owners":[],"user_owners":[]}],"pages":1}`
		b.admin("POST", "/admin/apis/import", saved, form).message(200, "APIs imported")
		require.Contains(t, b.admin("GET", "/admin/apis", nil).is(200).body, `"unknown_field":{"kept":[1.10]}`)
	})
	t.Run("portal-backstage adds an event", func(t *testing.T) {
		changed := `{"id":"5e9d9544a1dcd60001d0ed20","owner_name":"Tyk Demo","event_options":{"api_event":{"webhook":"http://backstage/"}}}`
		b.admin("PUT", "/admin/organisations/5e9d9544a1dcd60001d0ed20", changed, form).message(200, "Org updated")
		require.Contains(t, b.admin("GET", "/admin/organisations/5e9d9544a1dcd60001d0ed20", nil).body, `"api_event":{"webhook":"http://backstage/"}`)
	})
	t.Run("keycloak-dcr waits with curl -I -X GET, and older ones with HEAD", func(t *testing.T) {
		b.admin("GET", "/admin/organisations", nil).is(200)
		require.Empty(t, b.admin("HEAD", "/admin/organisations", nil).is(200).body)
	})
}

func TestClientTykDemoPostman(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.admin("POST", "/admin/organisations", `{"owner_name":"Postman"}`, plain).message(200, "Org created").meta()
	path := "/admin/organisations/" + id
	require.Equal(t, "OK", b.admin("PUT", path, `{"owner_name":"Renamed"}`, plain).message(200, "Org updated").envelope().Status)
	require.Contains(t, b.admin("GET", "/admin/organisations?p=-1", nil).is(200).body, `"owner_name":"Renamed"`)
	user := b.admin("POST", "/admin/users", `{"org_id":"`+id+`","email_address":"p@example.org","password":"x","active":true,"user_permissions":{"IsAdmin":"admin","ResetPassword":"admin"}}`, plain).user()
	var got map[string]any
	b.admin("GET", "/admin/users/"+user.Id, nil).is(200).json(&got)
	require.NotEmpty(t, got["created_at"])
	require.Equal(t, "admin", got["user_permissions"].(map[string]any)["IsAdmin"])
	require.NotEmpty(t, b.admin("POST", "/admin/sso", `{"ForSection":"dashboard","OrgID":"`+id+`","EmailAddress":"","GroupID":""}`, plain).message(200, "SSO Nonce created").meta())
	other := b.user(id, "other@example.org", map[string]string{"IsAdmin": "admin"})
	b.do("DELETE", "/api/users/"+user.Id, nil, asUser(other.AccessKey)).is(200)
	b.admin("DELETE", path, nil).message(200, "Org deleted")
	b.admin("GET", path, nil).is(404)
}

func TestClientTykProDockerDemo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("HEAD", "/hello", nil).is(200)
	made := b.admin("POST", "/admin/organisations/", `{"owner_name": "TestOrg5 Ltd.","owner_slug": "testorg","cname_enabled":true,"cname":"","hybrid_enabled":false,`+eventOptions+`}`, form).is(200)
	// The last quoted token of the line that has "Meta":
	id := made.grep(`"Meta":.*"([^"]*)"[^"]*$`)
	require.Regexp(t, `^[0-9a-f]{24}$`, id)
	user := b.admin("POST", "/admin/users/", `{"first_name": "John","last_name": "Smith","email_address": "test@example.org","password":"topsecret","active": true,"org_id": "`+id+`","user_permissions": { "IsAdmin": "admin" }}`, form).is(200)
	userID, key := user.grep(`"id":"([^"]*)"`), user.grep(`"access_key":"([^"]*)"`)
	b.do("POST", "/api/users/"+userID+"/actions/reset", `{"new_password":"topsecret","user_permissions": { "IsAdmin": "admin" }}`, asUser(key), form).is(200)
}

func TestClientK8sBootstrap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var orgs struct {
		Organisations []struct {
			OwnerName string `json:"owner_name"`
			CName     string `json:"cname"`
		} `json:"organisations"`
	}
	b.admin("GET", "/admin/organisations", nil, jason).is(200).json(&orgs)
	require.Empty(t, orgs.Organisations)
	var created struct{ Status, Message, Meta string }
	b.admin("POST", "/admin/organisations", `{"owner_name":"Default Org","cname_enabled":true,"cname":"tyk-portal.org","event_options":{"key_event":{"redis":true},"hashed_key_event":{}}}`, jason).is(200).json(&created)
	user := b.admin("POST", "/admin/users", `{"first_name":"Default","last_name":"User","email_address":"default@example.com","active":true,"org_id":"`+created.Meta+`","user_permissions":{"IsAdmin":"admin"}}`, jason)
	b.do("POST", "/api/users/"+user.user().Id+"/actions/reset", `{"new_password":"12345678","user_permissions":{"IsAdmin":"admin"}}`, asUser(user.envelope().Message), jason).is(200)
	for i := range 15 { // its organisation may be on any page
		b.admin("POST", "/admin/organisations", fmt.Sprintf(`{"owner_name":"other %d"}`, i)).is(200)
	}
	b.admin("GET", "/admin/organisations", nil, jason).json(&orgs)
	require.Len(t, orgs.Organisations, 16)
	require.Equal(t, "tyk-portal.org", orgs.Organisations[0].CName)
	b.admin("POST", "/admin/users", `{"email_address":"default@example.com","org_id":"`+created.Meta+`"}`, jason).is(403) // it takes any 403 for "exists already"
}

func TestClientHelmChart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.admin("POST", "/admin/organisations", `{"owner_name":"helm","cname_enabled":true,"cname":"helm-17.example"}`, form).meta()
	made := b.admin("POST", "/admin/users", `{"first_name":"A","last_name":"B","email_address":"a@b.example","active":true,"org_id":"`+id+`","user_permissions":{"IsAdmin":"admin"}}`, form)
	require.Len(t, strings.Fields(made.body), 1, "it keeps the first word of the response")
	u := made.user()
	b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"1234testing","user_permissions":{"IsAdmin":"admin"}}`, asUser(u.AccessKey)).is(200)
	// Its last administrator stays until the organisation is deleted, which the script does next.
	b.do("DELETE", "/api/users/"+u.Id, nil, asUser(u.AccessKey)).is(403)
	b.admin("DELETE", "/admin/organisations/"+id, nil).is(200)
}

func TestClientOperator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.admin("POST", "/admin/organisations", `{"owner_name":"op","owner_slug":"op","cname_enabled":true,"cname":"op.example"}`, jason).meta()
	user := b.admin("POST", "/admin/users", `{"first_name":"Jane","last_name":"Doe","email_address":"jane@example.org","password":"password","active":true,"org_id":"`+id+`"}`, jason).user()
	require.Equal(t, map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"}, user.UserPermissions)
	b.do("POST", "/api/users/"+user.Id+"/actions/reset", `{"new_password":"password"}`, asUser(user.AccessKey)).is(200)
	require.Contains(t, b.admin("GET", "/admin/organisations?p=-2", nil).is(200).body, id)
	b.admin("DELETE", "/admin/organisations/"+id, nil).is(200)
	b.admin("DELETE", "/users/"+user.Id, nil).is(404) // the operator omits /admin, and accepts 200 and 404
	b.admin("DELETE", "/admin/organisations/"+id, nil).is(404)
	b.admin("GET", "/admin/organisations/"+id, nil).is(404)
}

func TestClientOperatorEndToEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	both := func(key string) []with { return []with{asUser(key), header("admin-auth", secret), jason} }
	super := b.admin("POST", "/admin/users", `{"first_name":"Super","email_address":"super@example.org","password":"x","active":true,"org_id":""}`, jason).user()
	require.NotContains(t, b.do("GET", "/api/users?p=-1", nil, both(super.AccessKey)...).is(200).body, `"Message"`)
	var users []string
	for i := range 3 {
		org := b.admin("POST", "/admin/organisations", fmt.Sprintf(`{"owner_name":"e2e","owner_slug":"e2e","cname":"e2e-%d.example"}`, i), both(secret)...).meta()
		users = append(users, b.user(org, "u@example.org", nil).Id)
	}
	for _, id := range append(users, super.Id) {
		b.do("DELETE", "/api/users/"+id, nil, both(super.AccessKey)...).is(200)
	}
	var orgs struct{ Organisations []struct{ ID string } }
	b.admin("GET", "/admin/organisations", nil).json(&orgs)
	for _, o := range orgs.Organisations {
		b.admin("DELETE", "/admin/organisations/"+o.ID, nil).is(200)
	}
}

func TestClientTykCI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("POST", "/admin/users", `{"email_address":"super@example.org","org_id":"","active":true}`).is(200)
	id := b.admin("POST", "/admin/organisations", `{"owner_name":"ci","cname_enabled":true,"cname":""}`, jason).meta()
	made := b.admin("POST", "/admin/users", `{"first_name":"C","last_name":"I","email_address":"ci@example.org","password":"supersekret","active":true,"org_id":"`+id+`"}`, jason)
	key := made.envelope().Message
	var list struct{ Users []struct{ ID string } }
	b.do("GET", "/api/users", nil, asUser(key)).is(200).json(&list)
	require.Equal(t, made.user().Id, list.Users[0].ID, "its own user is the first")
	b.do("POST", "/api/users/"+list.Users[0].ID+"/actions/reset", `{"new_password":"supersekret"}`, asUser(key)).is(200)
}

func TestClientAnalyticsTests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("GET", "/admin/hello/", nil).is(200)
	for i := range 2 { // each run uses the same owner and slug
		id := b.admin("POST", "/admin/organisations/", fmt.Sprintf(`{"owner_name":"test-org1","owner_slug":"default","cname_enabled":true,"cname":"Auto-test-org%d"}`, i), jason).is(200).meta()
		made := b.admin("POST", "/admin/users/", `{"first_name":"T","last_name":"U","email_address":"u@example.org","active":true,"org_id":"`+id+`","user_permissions":{"IsAdmin":"admin"}}`, jason)
		var user map[string]any
		require.NoError(t, json.Unmarshal(made.envelope().Meta, &user))
		key := made.envelope().Message
		delete(user, "access_key")
		user["password"] = "test123"
		b.admin("PUT", "/admin/users/"+user["id"].(string), user, jason).is(200)
		b.do("GET", "/api/users", nil, asUser(key)).is(200)
	}
}

func TestClientIdentityBroker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.org()
	user := b.user(id, "admin@example.org", nil)
	body := `{"ForSection":"dashboard","OrgID":"` + id + `","EmailAddress":"ssoSession@ssoSession.com","DisplayName":"D","GroupID":"","GroupsIDs":null,"SSOOnlyForRegisteredUsers":false}`
	require.NotEqual(t, 200, b.do("POST", "/api/sso", body, asUser(user.AccessKey)).status, "not enabled: it falls back")
	nonce := b.admin("POST", "/admin/sso", body).is(200).meta()
	b.do("GET", "/tap?nonce="+nonce, nil).is(200) // inserted into the URL without escaping
	b.admin("PUT", "/admin/organisations/"+id, `{"owner_name":"x","sso_enabled":true}`).is(200)
	require.Len(t, b.do("POST", "/api/sso", body, asUser(user.AccessKey)).message(200, "SSO Nonce created.").meta(), 48)
}

func TestClientMomo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	both := []with{header("admin-auth", secret), asUser(secret), jason}
	b.do("GET", "/", nil).is(200)
	id := b.do("POST", "/admin/organisations/", `{"owner_name":"m","owner_slug":"m","cname_enabled":true,"cname":"<no value>","hybrid_enabled":true}`, both...).is(200).meta()
	made := b.do("POST", "/admin/users", `{"org_id":"`+id+`","first_name":"M","last_name":"O","email_address":"m@example.org","password":"longenough","active":true}`, both...).is(200)
	u := made.user()
	require.Equal(t, u.AccessKey, made.envelope().Message)
	b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"longenough"}`, asUser(u.AccessKey), header("admin-auth", secret)).is(200)
	b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"different","current_password":"longenough"}`, asUser(u.AccessKey)).is(200)
	var key struct {
		KeyID string `json:"key_id"`
		Data  struct{ Rate float64 }
	}
	b.do("POST", "/admin/org/keys", `{"org_id":"`+id+`","rate":10,"per":1,"quota_max":-1,"tags":[],"meta_data":{}}`, both...).is(200).json(&key)
	require.Equal(t, id, key.KeyID)
	require.InDelta(t, 10, key.Data.Rate, 0)
	b.do("GET", "/admin/organisations/"+id, "", both...).is(200)
	b.do("PUT", "/admin/organisations/"+id, b.admin("GET", "/admin/organisations/"+id, nil).body, both...).is(200)
	b.do("GET", "/admin/system/reload", nil, both...).is(200)
	require.NotEmpty(t, b.do("POST", "/admin/sso", `{"ForSection":"dashboard","OrgID":"`+id+`","EmailAddress":"m@example.org"}`, both...).is(200).meta())
	b.do("POST", "/admin/license", "license=x", header("admin-auth", secret), form).is(200)
}

func TestClientPocs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NotRegexp(t, `"id":"`, b.admin("GET", "/admin/organisations/", nil).is(200).body, "nothing to reuse")
	id := b.admin("POST", "/admin/organisations/", `{"owner_name":"pocs","cname_enabled":true,"hybrid_enabled":false,`+eventOptions+`}`, form).is(200).grep(`"Meta":"([^"]*)"`)
	require.Equal(t, id, b.admin("GET", "/admin/organisations/", nil).grep(`"id":"([^"]*)"`), "the first id is the organisation's")
	b.do("GET", "/api/users/", nil, asUser("")).is(401)
	made := b.admin("POST", "/admin/users/", `{"first_name":"P","last_name":"O","email_address":"p@example.org","active":true,"org_id":"`+id+`","user_permissions":{"IsAdmin":"admin"}}`, form)
	require.Equal(t, 1, strings.Count(made.body, `"id":"`), "there is no head -1")
	b.do("POST", "/api/users/"+made.grep(`"id":"([^"]*)"`)+"/actions/reset", `{"new_password":"topsecret"}`, asUser(made.grep(`"access_key":"([^"]*)"`))).is(200)
}

func TestClientEDPMigration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("GET", "/hello", nil).is(200)
	id := b.admin("POST", "/admin/organisations/", `{"owner_name":"edp","owner_slug":"edp","cname_enabled":true}`, form).meta()
	admin := b.admin("POST", "/admin/users/", `{"org_id":"`+id+`","first_name":"E","last_name":"D","email_address":"e@example.org","active":true,"user_permissions":{"IsAdmin":"admin"}}`).user()
	other := b.admin("POST", "/admin/users/", `{"org_id":"`+id+`","first_name":"F","last_name":"G","email_address":"f@example.org","active":true,"user_permissions":{"IsAdmin":"admin"}}`).user()
	b.do("POST", "/api/users/"+other.Id+"/actions/reset", `{"new_password":"topsecret"}`, asUser(admin.AccessKey)).is(403)
	b.admin("PUT", "/admin/users/"+admin.Id+"/actions/allow_reset_passwords", nil).is(200)
	b.do("PUT", "/api/users/"+admin.Id+"/actions/key/reset", nil, asUser(admin.AccessKey)).is(200)
	var now struct {
		AccessKey string `json:"access_key"`
	}
	b.admin("GET", "/admin/users/"+admin.Id, nil).json(&now)
	require.NotEqual(t, admin.AccessKey, now.AccessKey)
	for _, u := range []string{admin.Id, other.Id} {
		b.do("POST", "/api/users/"+u+"/actions/reset", `{"new_password":"topsecret"}`, asUser(now.AccessKey)).is(200)
	}
	b.do("PUT", "/api/users/"+admin.Id+"/actions/reset", `{"new_password":"topsecret"}`, asUser(now.AccessKey)).is(404)
}

func TestClientPublicScripts(t *testing.T) {
	t.Parallel()
	t.Run("the Python operator posts its whole model", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.admin("POST", "/admin/organisations", `{"id":"5e9d9544a1dcd60001d0ed20","owner_name":"py","owner_slug":"","cname":"","apis":[],"ui":{}}`, jason).is(200).meta()
		require.NotEqual(t, "5e9d9544a1dcd60001d0ed20", id)
		b.admin("PUT", "/admin/organisations/"+id, `{"id":"`+id+`","owner_name":"py2","apis":[{"api_human_name":"a","api_id":"b"}]}`, jason).is(200)
		b.admin("DELETE", "/admin/organisations/"+id, nil).is(200)
	})
	t.Run("the Go client decodes ui and event_options as objects", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.org()
		var list struct {
			Organisations []struct {
				EventOptions map[string]any `json:"event_options"`
				UI           struct {
					Languages map[string]string `json:"languages"`
					LoginPage map[string]any    `json:"login_page"`
				} `json:"ui"`
			}
		}
		b.admin("GET", "/admin/organisations", nil).json(&list)
		require.NotNil(t, list.Organisations[0].UI.Languages)
		require.NotNil(t, list.Organisations[0].EventOptions)
	})
	t.Run("CanDIG sets up and reloads", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.admin("POST", "/admin/organisations", `{"owner_name":"candig","owner_slug":"candig","cname_enabled":true,"cname":"candig.example"}`, jason).meta()
		key := b.admin("POST", "/admin/users", `{"org_id":"`+id+`","first_name":"c","last_name":"d","email_address":"c@example.org","active":true}`, jason).envelope().Message
		var list struct{ Users []struct{ ID string } }
		b.do("GET", "/api/users", nil, asUser(key)).json(&list)
		b.do("POST", "/api/users/"+list.Users[0].ID+"/actions/reset", `{"new_password":"test123"}`, asUser(key)).is(200)
		require.Equal(t, `{"status":"ok"}`, b.admin("GET", "/admin/system/reload", nil, jason).is(200).body)
	})
	t.Run("the quickstart makes portals with a form", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.org()
		b.admin("POST", "/admin/organisations/"+id+"/generate-portals", "domain=www.tyk-portal-test.com", form).message(200, "Org updated")
		require.Contains(t, b.admin("GET", "/admin/organisations/"+id, nil).body, `"cname_enabled":true,"cname":"www.tyk-portal-test.com"`)
	})
	t.Run("the docker script takes the first organisation", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.org()
		b.org()
		var list struct{ Organisations []struct{ ID string } }
		b.admin("GET", "/admin/organisations", nil).json(&list)
		require.Equal(t, first, list.Organisations[0].ID)
	})
}

func TestClientMDCBDocs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.org(`{"_id":"54b53d3aeba6db5c35000002","owner_name":"docs","cname":"docs.example",` + eventOptions + `}`)
	var doc map[string]any
	b.admin("GET", "/admin/organisations/"+id, nil).json(&doc)
	doc["hybrid_enabled"] = true
	pretty, err := json.MarshalIndent(doc, "", "    ")
	require.NoError(t, err)
	require.Equal(t, `{"Status":"OK","Message":"Org updated","Meta":null}`, b.admin("PUT", "/admin/organisations/"+id, string(pretty), form).is(http.StatusOK).body)
	got := b.admin("GET", "/admin/organisations/"+id, nil).body
	require.Contains(t, got, `"hybrid_enabled":true`)
	require.Contains(t, got, `"_id":"54b53d3aeba6db5c35000002"`)
}

// TestClientOperatorAPIs has what Tyk Operator 0.18 does with an API and a policy. It looks for each by its own ID
// first, and takes 404, and nothing else, for "not found".
func TestClientOperatorAPIs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	const api, policy = "ZGVmYXVsdC9odHRwYmlu", "ZGVmYXVsdC9odHRwYmluLXBvbGljeQ"
	definition := func(name string) string {
		return `{"api_definition":{"api_id":"` + api + `","org_id":"` + a.org + `","name":"` + name + `","slug":"","active":true,"use_keyless":true,
			"protocol":"http","proxy":{"listen_path":"/httpbin","target_url":"http://httpbin.org","strip_listen_path":true},
			"version_data":{"default_version":"","not_versioned":true,"versions":{"Default":{"name":"Default"}}}},"user_owners":null,"user_group_owners":null}`
	}
	a.send("GET", "/api/apis/"+api, nil, jason).is(404)
	var made struct{ Status, Message, Meta string }
	a.send("POST", "/api/apis", definition("httpbin"), jason).is(200).json(&made)
	require.Equal(t, []any{"OK", "API created"}, []any{made.Status, made.Message})
	require.Equal(t, api, a.definition(made.Meta)["api_id"], "it gets the API by Meta")
	a.send("PUT", "/api/apis/"+made.Meta, definition("httpbin"), jason).is(200)
	withoutOwners := strings.Replace(definition("renamed"), `,"user_owners":null,"user_group_owners":null`, "", 1)
	require.Equal(t, "OK", a.send("PUT", "/api/apis/"+api, withoutOwners, jason).is(200).envelope().Status)
	require.Equal(t, []any{"renamed", made.Meta}, []any{a.definition(api)["name"], a.definition(api)["id"]})
	require.Contains(t, a.send("GET", "/api/apis?compressed=true&p=-2", nil).is(200).body, api)

	security := func(name string) string {
		return `{"id":"` + policy + `","name":"` + name + `","org_id":"` + a.org + `","state":"active","active":true,"access_rights_array":[
			{"namespace":"default","name":"httpbin","api_name":"httpbin","api_id":"` + api + `","versions":["Default"]}]}`
	}
	a.send("GET", "/api/portal/policies/"+policy, nil).is(404)
	id := a.send("POST", "/api/portal/policies", security("gold"), jason).is(200).envelope().Message
	var stored struct {
		MID          string                    `json:"_id"`
		AccessRights map[string]map[string]any `json:"access_rights"`
	}
	a.send("GET", "/api/portal/policies/"+id, nil).is(200).json(&stored)
	require.Equal(t, id, stored.MID)
	require.Equal(t, "httpbin", stored.AccessRights[api]["api_name"])
	a.send("PUT", "/api/portal/policies/"+id, security("platinum"), jason).is(200).json(&stored) // it decodes the response as a policy
	require.Equal(t, "platinum", a.document("/api/portal/policies/" + policy)["name"])
	a.send("DELETE", "/api/portal/policies/"+id, nil).is(200)
	a.send("DELETE", "/api/portal/policies/"+id, nil).is(404)
	a.send("DELETE", "/api/apis/"+api, nil).is(200)
	a.send("GET", "/api/apis/"+api, nil).is(404)
	a.send("DELETE", "/api/apis/"+api, nil).is(404)
}

// TestClientSync has what tyk-sync 1.5 does: it creates, replaces what it has just created, and compares by api_id and
// explicit ID.
func TestClientSync(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	const query = "?accept_additional_properties=true"
	var list struct {
		APIs []struct {
			Definition struct{ ID, Name string } `json:"api_definition"`
			Owners     []string                  `json:"user_owners"`
			Hooks      []any                     `json:"hook_references"`
		} `json:"apis"`
	}
	api := func(id, name string) string {
		return `{"api_definition":{"id":"` + id + `","api_id":"fa7c8ffe9e1a4d2b8b5fdb2d4e1d9c00","org_id":"another","name":"` + name + `","slug":"tides","proxy":{"listen_path":"/tides/"},
			"tags":null,"config_data":null},"hook_references":[],"is_site":false,"sort_by":0,"user_group_owners":null,"user_owners":null}`
	}
	a.send("GET", "/api/apis?p=-2", nil).is(200).json(&list)
	require.Empty(t, list.APIs)
	made := a.created("/api/apis"+query, api("5ea6b3e1d1a7f6000183b5c4", "Tides"))
	a.send("GET", "/api/apis?p=-2", nil).json(&list)
	require.Equal(t, made.Meta, list.APIs[0].Definition.ID)
	require.Equal(t, "OK", a.send("PUT", "/api/apis/"+made.Meta+query, api(made.Meta, "Tides 2")).is(200).envelope().Status)
	a.send("GET", "/api/apis/"+made.Meta+"?p=-2", nil).is(200)
	policy := func(mid, name string) string {
		return `{"_id":"` + mid + `","id":"gold","name":"` + name + `","org_id":"another","rate":3,"per":1,"date_created":"0001-01-01T00:00:00Z","tags":[],
			"access_rights":{"fa7c8ffe9e1a4d2b8b5fdb2d4e1d9c00":{"api_name":"Tides","api_id":"fa7c8ffe9e1a4d2b8b5fdb2d4e1d9c00","versions":["Default"],"allowed_urls":[],"restricted_types":null,"limit":null}}}`
	}
	a.send("GET", "/api/portal/policies?p=-2", nil).is(200)
	mid := a.send("POST", "/api/portal/policies", policy("61df10078f11dd00097cb55f", "Gold")).is(200).envelope().Message
	require.Equal(t, "61df10078f11dd00097cb55f", mid)
	require.Equal(t, "OK", a.send("PUT", "/api/portal/policies/"+mid, policy(mid, "Gold 2")).is(200).envelope().Status)
	require.Contains(t, a.send("GET", "/api/portal/policies?p=-2", nil).is(200).body, `"name":"Gold 2"`)
	a.send("DELETE", "/api/portal/policies/"+mid, nil).is(200)
	a.send("DELETE", "/api/apis/"+made.Meta, nil).is(200)
	a.send("GET", "/api/apis?p=-2", nil).json(&list)
	require.Empty(t, list.APIs)
}

// TestClientBackstage has what the plugin for Backstage does, which reads the tags of each API, and the community's
// Python scripts, which replace what they have listed.
func TestClientBackstageAndPython(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	var made struct{ Status, Message, Meta, ID string }
	a.send("POST", "/api/apis", `{"api_definition":{"name":"Backstage","tags":null}}`).is(200).json(&made)
	require.Equal(t, "OK", made.Status)
	require.Equal(t, []any{}, a.definition(made.ID)["tags"])
	var list struct{ APIs []json.RawMessage }
	a.send("GET", "/api/apis/?p=-1", nil).json(&list)
	changed := strings.Replace(string(list.APIs[0]), `"Backstage"`, `"Python"`, 1)
	a.send("PUT", "/api/apis/"+made.ID, changed).is(200)
	require.Equal(t, "Python", a.definition(made.Meta)["name"])
	a.send("GET", "/api/portal/policies/?p=-1", nil).is(200)
	a.send("DELETE", "/api/apis/"+made.ID, nil).is(200)
}

// TestClientSyncOAS has what tyk-sync 1.5 does with Tyk OAS APIs of another installation: it posts the document, writes
// the categories by the document's own ID, replaces it by the ID in the database, and dumps it with an export.
func TestClientSyncOAS(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	const query = "?accept_additional_properties=true"
	made := a.created("/api/apis/oas"+query, oasOf(`"id":"tides","dbId":"5ea6b3e1d1a7f6000183b5c4","orgId":"another",`, "/tides/"))
	a.send("PUT", "/api/apis/oas/tides/categories"+query, `{"categories":["ferries"]}`).message(200, "API categories updated.")
	var list struct {
		APIs []struct {
			Definition struct {
				ID    string `json:"id"`
				IsOAS bool   `json:"is_oas"`
			} `json:"api_definition"`
			OAS struct {
				Tyk struct {
					Info   struct{ ID, DBID, OrgID, Name string }
					Server struct{ ListenPath struct{ Value string } }
				} `json:"x-tyk-api-gateway"`
			} `json:"oas"`
			Categories []string `json:"categories"`
		} `json:"apis"`
	}
	a.send("GET", "/api/apis?p=-2", nil).is(200).json(&list)
	api := list.APIs[0]
	require.Equal(t, []any{made.Meta, true, []string{"ferries"}}, []any{api.Definition.ID, api.Definition.IsOAS, api.Categories})
	info, listenPath := api.OAS.Tyk.Info, api.OAS.Tyk.Server.ListenPath.Value
	require.Equal(t, []string{"tides", made.Meta, a.org, "Tides", "/tides/"}, []string{info.ID, info.DBID, info.OrgID, info.Name, listenPath})
	again := oasOf(`"id":"tides","dbId":"`+made.Meta+`","orgId":"another",`, "/again/")
	require.Equal(t, "OK", a.send("PUT", "/api/apis/oas/"+made.Meta+query, again).is(200).envelope().Status)
	a.send("PUT", "/api/apis/oas/tides/categories"+query, `{"categories":null}`).is(200)
	dumped := a.send("GET", "/api/apis/oas/tides/export", nil).is(200).body
	require.Equal(t, strings.Replace(again, "another", a.org, 1), dumped)
	require.Equal(t, `{"categories":[]}`, a.send("GET", "/api/apis/oas/tides/categories"+query, nil).is(200).body)
	a.send("DELETE", "/api/apis/"+made.Meta, nil).is(200) // also of an OAS API
	a.send("GET", "/api/apis?p=-2", nil).json(&list)
	require.Empty(t, list.APIs)
}

// TestClientSDKAndCLI has what the Dashboard SDK and tyk-cli do: they send the key as a bearer token, and get what they
// have created by its ID.
func TestClientSDKAndCLI(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	bearer := asUser("Bearer " + a.key)
	var made struct{ Status, Message, Meta, ID string }
	a.do("POST", "/api/apis/oas", oasOf("", "/tides/"), bearer, jason).is(200).json(&made)
	require.NotEmpty(t, made.ID, "tyk-cli fails without it")
	var doc map[string]any
	a.do("GET", "/api/apis/oas/"+made.ID, nil, bearer).is(200).json(&doc)
	require.Equal(t, "3.0.3", doc["openapi"])
	text, err := json.Marshal(doc)
	require.NoError(t, err)
	a.do("PUT", "/api/apis/oas/"+made.ID, string(text), bearer, jason).message(200, "API updated.")
	a.do("GET", "/api/apis?p=1", nil, bearer).is(200)
	a.do("GET", "/api/apis/oas/"+made.ID+"/versions", nil, bearer).is(200)
	a.do("DELETE", "/api/apis/oas/"+made.ID, nil, bearer).message(200, "API deleted.")
	a.do("GET", "/api/apis/oas/"+made.ID, nil, bearer).is(404)
}

// TestClientTykDemoAPIs has how tyk-demo creates APIs and policies: with curl -d, whose Content-Type is that of a form,
// and files that name the organisation 1.
func TestClientTykDemoAPIs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	a.send("POST", "/api/apis", `{"api_definition":{"api_id":"727dad853a8a45f64ab981154d1ffdad","org_id":"1","id":"5e9d9544a1dcd60001d0ed22","name":"Basic"},"is_site":false}`, form).is(200)
	require.Equal(t, a.org, a.definition("727dad853a8a45f64ab981154d1ffdad")["org_id"])
	a.send("POST", "/api/apis/oas", oasOf(`"id":"727dad853a8a45f64ab981154d1ffdae","orgId":"1",`, "/oas/"), form).is(200)
	a.send("POST", "/api/apis/streams", strings.Replace(oasOf("", "/streams/"), `"paths"`, `"x-tyk-streaming":{"streams":{}},"paths"`, 1),
		header("Content-Type", "application/vnd.tyk.streams.oas")).is(200)
	made := a.send("POST", "/api/portal/policies", `{"_id":"5ead72955759610001818688","id":"5ead72955759610001818688","org_id":"1","name":"Silver",
		"access_rights":{"727dad853a8a45f64ab981154d1ffdad":{"api_name":"Basic","api_id":"727dad853a8a45f64ab981154d1ffdad","versions":["Default"]}}}`, form).is(200)
	require.Equal(t, "5ead72955759610001818688", made.envelope().Message)
	require.Contains(t, a.do("GET", "/system/policies", nil, header("Authorization", nodeSecret)).body, `"5ead72955759610001818688"`)
}
