package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// These are the parts of the sequences of public clients that are about templates, webhooks and the developer portal,
// in the form of clients_test.go.

// tykSyncAsset is a template as tyk-sync reads and writes it.
type tykSyncAsset struct {
	DBID        string          `json:"_id"`
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	OrgID       string          `json:"org_id"`
	Description string          `json:"description"`
	Kind        string          `json:"kind"`
	Data        json.RawMessage `json:"data"`
	LastUpdated time.Time       `json:"last_updated"`
}

// clientStatus is what tyk-sync, tyk-operator and scripts read of an envelope.
type clientStatus struct{ Status, Message, Meta, ID string }

const objectIDPattern = `^[0-9a-f]{24}$`

// TestClientTykSyncTemplates publishes, updates, synchronises with a smaller folder, and finds nothing left over.
func TestClientTykSyncTemplates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "sync@example.org", map[string]string{"api_assets": "write"}).AccessKey
	fetch := func() (assets []tykSyncAsset) {
		listed := b.do("GET", "/api/assets", nil, asUser(key), header("Accept-Encoding", "identity")).is(200)
		require.True(t, strings.HasPrefix(listed.body, "["), listed.body)
		listed.json(&assets)
		require.NotNil(t, assets, "an empty list is [], not null")
		return assets
	}
	write := func(method, path string, asset tykSyncAsset, want int) clientStatus {
		var got clientStatus
		b.do(method, path, asset, asUser(key), jason).is(want).json(&got)
		require.Equal(t, "success", got.Status)
		require.Regexp(t, objectIDPattern, got.Meta, "tyk-sync ends with a panic otherwise")
		return got
	}
	require.Empty(t, fetch())
	folder := []tykSyncAsset{}
	for i := range 12 { // more than a page
		folder = append(folder, tykSyncAsset{
			ID: fmt.Sprintf("template-%d", i), Name: fmt.Sprintf("Template %d", i), OrgID: "of another installation", Kind: "oas-template",
			Data: json.RawMessage(`{"x-tyk-api-gateway":{"upstream":{"rateLimit":{"rate":1.50}}},"info":{"title":"\u00e9"}}`),
		})
	}
	for _, asset := range folder {
		made := write("POST", "/api/assets", asset, 201)
		require.Equal(t, asset.ID, made.ID)
	}
	b.do("POST", "/api/assets", folder[0], asUser(key)).message(409, "Asset ID already exists: 'template-0'.")

	existing := fetch()
	require.Len(t, existing, len(folder))
	for i, asset := range existing {
		require.Equal(t, folder[i].ID, asset.ID)
		require.Equal(t, org, asset.OrgID, "the caller's organisation wins")
		require.Regexp(t, objectIDPattern, asset.DBID)
		require.Equal(t, string(folder[i].Data), string(asset.Data), "byte for byte")
		require.WithinDuration(t, time.Now(), asset.LastUpdated, time.Hour)
	}
	changed := folder[3]
	changed.DBID, changed.Name = existing[3].DBID, "Renamed"
	require.Equal(t, existing[3].DBID, write("PUT", "/api/assets/"+changed.ID, changed, 200).Meta, "it updates by id")
	var one tykSyncAsset
	b.do("GET", "/api/assets/"+existing[3].DBID, nil, asUser(key)).is(200).json(&one)
	require.Equal(t, "Renamed", one.Name)
	require.True(t, one.LastUpdated.After(existing[3].LastUpdated))
	for _, asset := range existing { // and deletes by _id
		require.JSONEq(t, `{"Status":"success","Message":"Asset removed successfully","Meta":null}`,
			b.do("DELETE", "/api/assets/"+asset.DBID, nil, asUser(key)).is(200).body)
	}
	require.Empty(t, fetch())
}

// tykDemoPage is the home page of tyk-demo, which others have copied.
const tykDemoPage = `{"is_homepage":true,"template_name":"","title":"Developer Portal Home","slug":"/",
	"fields":{"JumboCTATitle":"Tyk Developer Portal","SubHeading":"Sub Header","JumboCTALink":"#cta","PanelThereeContent":""}}`

// TestClientTykDemoPortal runs the steps of tyk-demo's bootstrap that set up webhooks and the portal, once for each of
// its two organisations, and then once more: a bootstrap that runs again loses nothing.
func TestClientTykDemoPortal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for group := range 2 {
		org := b.org(fmt.Sprintf(`{"owner_name":"Tyk Demo %d"}`, group))
		key := b.user(org, "api-dev@example.org", nil).AccessKey
		for run := range 2 {
			bootstrapTykDemoPortal(t, b, org, key, run)
		}
	}
}

func bootstrapTykDemoPortal(t *testing.T, b *bundle, org, key string, run int) {
	t.Helper()
	// log_json_result ends the bootstrap unless .Status is OK.
	call := func(method, path, body string) (message string) {
		var got clientStatus
		b.do(method, path, body, asUser(key), form).is(200).json(&got)
		require.Equal(t, "OK", got.Status)
		return got.Message
	}
	call("POST", "/api/hooks", `{"api_model":{},"org_id":"1","name":"Webhook Receiver Post","method":"POST",
		"target_path":"http://httpbin/post","template_path":"","header_map":null,"event_timeout":0}`)
	call("POST", "/api/portal/configuration", `{}`)
	require.Regexp(t, objectIDPattern, call("POST", "/api/portal/catalogue", `{"org_id": "`+org+`"}`))
	call("POST", "/api/portal/pages", tykDemoPage)
	developer := fmt.Sprintf(`{"email":"portal-%d@example.org","password":"topsecret","org_id":"1","inactive":false}`, run)
	call("POST", "/api/portal/developers", developer)
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(`{"swagger":"2.0"}`, 30_000))) // 660 KB
	documentation := call("POST", "/api/portal/documentation", `{"api_id":"","doc_type":"swagger","documentation":"`+encoded+`"}`)
	require.Regexp(t, objectIDPattern, documentation)
	require.Contains(t, b.do("GET", "/api/portal/documentation/"+documentation, nil, asUser(key)).is(200).body, encoded)

	// jq '.apis += $new_catalogue', once for each entry.
	for i := range 2 {
		var catalogue map[string]any
		b.do("GET", "/api/portal/catalogue", nil, asUser(key)).is(200).json(&catalogue)
		apis, isList := catalogue["apis"].([]any)
		require.True(t, isList, "apis is a list")
		require.Len(t, apis, 2*run+i, "nothing is lost when the bootstrap runs again")
		catalogue["apis"] = append(apis, map[string]any{"name": fmt.Sprintf("Entry %d", i), "documentation": documentation, "policy_id": "p"})
		raw, err := json.Marshal(catalogue)
		require.NoError(t, err)
		require.Equal(t, "Data updated", call("PUT", "/api/portal/catalogue", string(raw)))
	}

	var hooks struct {
		Hooks []struct{ ID, Name string }
	}
	b.do("GET", "/api/hooks?p=-1", nil, asUser(key)).is(200).json(&hooks)
	require.Len(t, hooks.Hooks, run+1)
	require.Equal(t, "Webhook Receiver Post", hooks.Hooks[0].Name, "it finds the webhook by its name")
	require.Regexp(t, objectIDPattern, hooks.Hooks[0].ID)
}

// tibDeveloper is a developer as tyk-identity-broker reads and writes it.
type tibDeveloper struct {
	ID            string              `json:"id"`
	Email         string              `json:"email"`
	Password      string              `json:"password"`
	DateCreated   time.Time           `json:"date_created"`
	Inactive      bool                `json:"inactive"`
	OrgID         string              `json:"org_id"`
	Keys          map[string][]string `json:"keys"`
	Subscriptions map[string]string   `json:"subscriptions"`
	Fields        map[string]string   `json:"fields"`
	Nonce         string              `json:"nonce"`
	SSOKey        string              `json:"sso_key"`
}

// TestClientIdentityBrokerPortal logs a person on to the portal twice: the first time, the broker creates the
// developer.
func TestClientIdentityBrokerPortal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org(`{"owner_name":"tib","sso_enabled":true}`)
	key := b.user(org, "tib@example.org", nil).AccessKey
	const ssoKey = "113-7/%&@gplus"
	find := func() reply {
		return b.do("GET", "/api/portal/developers/ssokey/"+url.QueryEscape(ssoKey), nil, asUser(key))
	}
	nonce := func() string {
		return b.admin("POST", "/admin/sso", `{"ForSection":"portal","OrgID":"`+org+`","EmailAddress":"p+1@example.org","DisplayName":"P","GroupID":"","SSOOnlyForRegisteredUsers":false}`).is(200).meta()
	}
	require.NotEqual(t, 401, find().status, "the broker stops at a 401")
	find().is(404)
	first := tibDeveloper{
		Email: "p+1@example.org", Password: "0b4ad2ef-6c4b-4a0d-bb5e-5d2d4d7f6f0e", DateCreated: time.Now(), OrgID: org,
		Keys: map[string][]string{}, Subscriptions: map[string]string{}, Fields: map[string]string{}, Nonce: nonce(),
		SSOKey: ssoKey,
	}
	require.LessOrEqual(t, b.do("POST", "/api/portal/developers", first, asUser(key)).is(200).status, 201)
	b.do("GET", "/sso?nonce="+first.Nonce, nil).is(200)

	var found tibDeveloper
	find().is(200).json(&found)
	require.Regexp(t, objectIDPattern, found.ID)
	require.Empty(t, found.Password)
	require.WithinDuration(t, first.DateCreated, found.DateCreated, time.Second)
	found.Nonce = nonce()
	b.do("PUT", "/api/portal/developers/"+found.ID, found, asUser(key)).message(200, "Data updated")
	b.do("GET", "/sso?nonce="+found.Nonce, nil).is(200)
	var byEmail tibDeveloper
	b.do("GET", "/api/portal/developers/email/"+url.QueryEscape("P+1@example.org"), nil, asUser(key)).is(200).json(&byEmail)
	require.Equal(t, found, byEmail)
	require.Regexp(t, `\$argon2id\$`, storetest.Dump(t, b.conn), "the password is still there, as a hash")
	require.NotContains(t, storetest.Dump(t, b.conn), first.Password)
}

// TestClientK8sBootstrapPortal sends what tyk-k8s-bootstrap sends for a portal: first a POST without a body, whose
// status it does not look at.
func TestClientK8sBootstrapPortal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org(`{"owner_name":"Default Org","cname_enabled":true,"cname":"old-portal.org"}`)
	key := b.user(org, "default@example.com", nil).AccessKey
	var created clientStatus
	b.do("POST", "/api/portal/configuration", nil, asUser(key)).is(200).json(&created)
	require.Regexp(t, objectIDPattern, created.Message)
	require.Contains(t, b.do("GET", "/api/portal/configuration", nil, asUser(key)).is(200).body, `"id":"`+created.Message+`"`)
	b.do("POST", "/api/portal/catalogue", `{"org_id":"`+org+`"}`, asUser(key)).is(200).json(&created)
	b.do("POST", "/api/portal/pages", tykDemoPage, asUser(key)).is(200)
	b.do("PUT", "/api/portal/cname", `{"cname":"tyk-portal.org"}`, asUser(key)).is(200)
	require.Contains(t, b.admin("GET", "/admin/organisations/"+org, nil).is(200).body, `"cname_enabled":true,"cname":"tyk-portal.org"`)
}

// TestClientProDockerDemoPortal sends what its portal script sends: the same with a configuration, and a CNAME with a
// port. Another script writes CNAME in capitals.
func TestClientProDockerDemoPortal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "demo@example.org", nil).AccessKey
	b.do("POST", "/api/portal/configuration", `{}`, asUser(key), form).is(200)
	b.do("POST", "/api/portal/catalogue", "{\n    \"org_id\": \""+org+"\"\n  }", asUser(key), form).is(200)
	b.do("POST", "/api/portal/pages", tykDemoPage, asUser(key), form).is(200)
	b.do("PUT", "/api/portal/cname", `{ "cname": "tyk-portal.localhost:3000" }`, asUser(key), form).is(200)
	b.do("PUT", "/api/portal/cname", `{"CNAME": "portal.localhost:3000"}`, asUser(key), form).is(200)
	require.Contains(t, b.admin("GET", "/admin/organisations/"+org, nil).body, `"cname":"portal.localhost:3000"`)
	for _, without := range []string{`{}`, `{"cname": null}`} {
		b.do("PUT", "/api/portal/cname", without, asUser(key), form).is(403)
	}
	require.Contains(t, b.admin("GET", "/admin/organisations/"+org, nil).body, `"cname":"portal.localhost:3000"`)
	b.do("PUT", "/api/portal/cname", `{"cname": ""}`, asUser(key), form).is(200)
	require.Contains(t, b.admin("GET", "/admin/organisations/"+org, nil).body, `"cname":""`)
	b.admin("GET", "/admin/system/reload", nil).is(200)
}

// TestClientOperatorPortal has the operator's calls for its resources PortalAPICatalogue, APIDescription and
// PortalConfig. All of its paths but one end with a slash.
func TestClientOperatorPortal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "operator@example.org", nil).AccessKey
	call := func(method, path, body string) reply { return b.do(method, path, body, asUser(key), jason) }
	var result clientStatus
	t.Run("configuration", func(t *testing.T) {
		call("GET", "/api/portal/configuration", "").is(404)
		call("POST", "/api/portal/configuration", `{"org_id":"`+org+`","key_request_fields":["usecase"],"signup_fields":null,"mail_options":{"mail_from_name":""}}`).is(200).json(&result)
		require.Regexp(t, objectIDPattern, result.Message)
		var stored struct {
			ID               string   `json:"id"`
			KeyRequestFields []string `json:"key_request_fields"`
			SignupFields     []string `json:"signup_fields"`
		}
		call("GET", "/api/portal/configuration", "").is(200).json(&stored)
		require.Equal(t, result.Message, stored.ID)
		require.Equal(t, []string{"usecase"}, stored.KeyRequestFields)
		call("PUT", "/api/portal/configuration", `{"id":"`+stored.ID+`","org_id":"`+org+`","override":true}`).message(200, "Data updated")
		require.Contains(t, call("GET", "/api/portal/configuration", "").body, `"override":true`)
	})
	t.Run("documentation and catalogue", func(t *testing.T) {
		call("GET", "/api/portal/catalogue/", "").is(404)
		call("POST", "/api/portal/documentation/", `{"api_id":"YXBpcw","doc_type":"swagger","documentation":"e30="}`).is(200).json(&result)
		documentation := result.Message
		call("POST", "/api/portal/catalogue/", `{"org_id":"`+org+`","apis":null}`).is(200).json(&result)
		var catalogue map[string]any
		call("GET", "/api/portal/catalogue/", "").is(200).json(&catalogue)
		require.Equal(t, result.Message, catalogue["id"])
		require.Equal(t, []any{}, catalogue["apis"])
		call("PUT", "/api/portal/catalogue/", `{"id":"`+result.Message+`","org_id":"`+org+`","apis":[{"name":"a","documentation":"`+documentation+`"}]}`).is(200)
		call("DELETE", "/api/portal/documentation/"+documentation, "").message(200, "Data deleted")
		call("DELETE", "/api/portal/documentation/"+documentation, "").message(404, "Could not retrieve object for deletion")
	})
}

// TestClientPublicScriptsOfThePortal has what scripts of users send: the Python module that edits the catalogue, the
// custom portal in Ruby, and a seed of pages, menus, styles and requests that creates what is not there.
func TestClientPublicScriptsOfThePortal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "scripts@example.org", nil).AccessKey
	call := func(method, path, body string) reply { return b.do(method, path, body, asUser(key), form) }
	for _, path := range []string{"/api/portal/menus", "/api/portal/css"} {
		require.Nil(t, decoded(call("GET", path, "").is(404))["id"], "the seed creates what has no id")
		call("POST", path, `{"org_id":"`+org+`","page_css":".a{}","menus":{"main":[{"title":"C","url":"/portal/catalogue"}]}}`).is(200)
		require.Regexp(t, objectIDPattern, decoded(call("GET", path, "").is(200))["id"])
	}
	// The documented way to change the styles sends id and org_id back.
	css := decoded(call("GET", "/api/portal/css", ""))
	call("PUT", "/api/portal/css", fmt.Sprintf(`{"email_css":"","id":%q,"org_id":%q,"page_css":".btn-success {background-color: magenta1}"}`, css["id"], css["org_id"])).is(200)
	require.Equal(t, ".btn-success {background-color: magenta1}", decoded(call("GET", "/api/portal/css", ""))["page_css"])

	developer := decoded(call("POST", "/api/portal/developers", `{"email":"ruby@example.org","password":"p","inactive":false,"fields":{"Name":"R","Location":"L"}}`).is(200))["Message"]
	byEmail := decoded(call("GET", "/api/portal/developers/email/ruby@example.org", "").is(200))
	require.Equal(t, developer, byEmail["id"])
	require.Equal(t, map[string]any{}, byEmail["subscriptions"], "the portal reads a subscription in it")
	request := decoded(call("POST", "/api/portal/requests", fmt.Sprintf(`{"by_user":%q,"fields":{"usecase":"u"},"date_created":"2026-01-02T03:04:05Z","version":"v2","for_plan":"p"}`, developer)).is(200))["Message"]
	require.Regexp(t, objectIDPattern, request)
	for path, want := range map[string]int{
		"/api/portal/requests?p=0": 1, "/api/portal/requests?p=-1&approved=false": 1, "/api/portal/requests?approved=true": 0,
		"/api/portal/developers?p=-1": 1, "/api/portal/pages": 0,
	} {
		data, isList := decoded(call("GET", path, "").is(200))["Data"].([]any)
		require.True(t, isList, path)
		require.Len(t, data, want, path)
	}
	call("PUT", fmt.Sprintf("/api/portal/requests/%s", request), `{"approved":true}`).is(200)
	require.Len(t, decoded(call("GET", "/api/portal/requests?approved=true", ""))["Data"], 1)
	call("DELETE", fmt.Sprintf("/api/portal/requests/%s", request), "").is(200)
	call("DELETE", fmt.Sprintf("/api/portal/developers/%s", developer), "").is(200)
	call("GET", "/api/portal/developers/email/ruby@example.org", "").is(404)
}

// decoded returns the body as an object.
func decoded(r reply) map[string]any {
	r.t.Helper()
	require.NotEqual(r.t, http.StatusInternalServerError, r.status, r.body)
	var object map[string]any
	r.json(&object)
	return object
}
