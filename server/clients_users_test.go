package server_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
)

// shell runs a command with the body of the response as its input, as scripts take values out of it, and returns what
// it prints.
func (r reply) shell(command string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "sh", "-c", command)
	cmd.Stdin = strings.NewReader(r.body + "\n") // as echo writes it
	out, err := cmd.Output()
	require.NoError(r.t, err, command)
	return strings.TrimSuffix(string(out), "\n")
}

// TestClientTykProDockerDemoShell runs the script's own awk on the bytes of the responses.
func TestClientTykProDockerDemoShell(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, 200, b.do("HEAD", "/hello", nil).status)
	org := b.admin("POST", "/admin/organisations/", `{"owner_name":"Tyk Demo","cname_enabled":true,`+eventOptions+`,"hybrid_enabled":true}`, jason).is(200).
		shell(`awk -F'"' '/"Meta":/{print $(NF-1)}'`)
	require.Regexp(t, `^[0-9a-f]{24}$`, org)
	made := b.admin("POST", "/admin/users/", `{"org_id":"`+org+`","first_name":"Dev","last_name":"Trial","email_address":"dev@tyk.io","active":true,
		"user_permissions":{"IsAdmin":"admin"}}`, jason).is(200)
	id := made.shell(`awk -F'"id":"' '{split($2,a,"\""); print a[1]}'`)
	key := made.shell(`awk -F'"access_key":"' '{split($2,a,"\""); print a[1]}'`)
	b.do("POST", "/api/users/"+id+"/actions/reset", `{"new_password":"topsecret","user_permissions":{"IsAdmin":"admin"}}`, asUser(key), jason).is(200)
	// The IDs of what POST /api answers are found by the same means.
	require.Regexp(t, `^[0-9a-f]{24}$`, b.do("POST", "/api/users", `{"email_address":"n@tyk.io","user_permissions":{"apis":"read"}}`, asUser(key)).is(200).
		shell(`awk -F'"' '/"Meta":/{print $(NF-1)}'`))
	require.Equal(t, "User group created", b.do("POST", "/api/usergroups", `{"name":"n"}`, asUser(key)).is(200).
		shell(`grep -o '"Message":"[^"]*"' | cut -d":" -f2 | tr -d '"'`))
}

// TestClientTykSandbox bootstraps by the forms of the first page.
func TestClientTykSandbox(t *testing.T) {
	t.Parallel()
	b := setup(t, withBootstrap)
	b.do("POST", "/license", "license=eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl", form).is(200)
	made := b.do("POST", "/bootstrap", "owner_name=TYK&owner_slug=TYK&email_address=admin@example.org&first_name=Tyk&last_name=Admin&password=topsecret&confirm_password=topsecret", form).is(200)
	key := made.shell(`grep -o '"access_key":"[^"]*"' | cut -d":" -f2 | tr -d '"'`)
	require.Contains(t, b.do("GET", "/api/users", nil, asUser(key)).is(200).body, `"email_address":"admin@example.org"`)
	require.Equal(t, key, made.envelope().Message)
}

// TestClientTykScripts is the Python module of tyk-scripts, whose session sends both credentials with every request.
func TestClientTykScripts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := "N/A"
	both := func() []with { return []with{asUser(key), header("admin-auth", secret)} }
	b.do("GET", "/hello/", nil, both()...).is(200)
	b.do("POST", "/license", "license=x", append(both(), form)...).is(200)
	org := b.do("POST", "/admin/organisations", `{"owner_name":"admin@example.org","owner_slug":"slug","cname_enabled":true,"cname":"portal.cname.com"}`, append(both(), jason)...).is(200).meta()
	made := b.do("POST", "/admin/users", `{"first_name":"Tyk","last_name":"Admin","email_address":"admin@example.org","password":"topsecret","active":true,"org_id":"`+org+`",
		"user_permissions":{"ResetPassword":"admin","IsAdmin":"admin"}}`, append(both(), jason)...).is(200).user()
	key = made.AccessKey
	b.do("POST", "/api/users/"+made.Id+"/actions/reset", `{"new_password":"topsecret"}`, append(both(), jason)...).is(200)
	var list struct{ Users []admin.User }
	b.do("GET", "/api/users?p=-1", nil, both()...).is(200).json(&list)
	require.Equal(t, "admin", list.Users[0].UserPermissions["IsAdmin"])
	b.do("GET", "/api/users/"+made.Id, nil, both()...).is(200)
	b.do("GET", "/api/system/nodes?p=-1", nil, both()...).is(200)
	b.do("GET", "/api/system/stats", nil, both()...).is(200)
	b.do("PUT", "/api/users/"+made.Id+"/actions/key/reset", nil, both()...).is(200)
}

// TestClientTykDemoUserGroups creates the groups of tyk-demo, and takes them by their position.
func TestClientTykDemoUserGroups(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("POST", "/admin/organisations/import", `{"id":"5e9d9544a1dcd60001d0ed20","owner_name":"Tyk Demo"}`, form).is(200)
	key := b.user("5e9d9544a1dcd60001d0ed20", "api-dev@example.org", nil).AccessKey
	const readOnly = `{
  "name": "Read-only", "description": "", "org_id": "5e9d9544a1dcd60001d0ed20", "active": true,
  "user_permissions": {"analytics": "read", "apis": "read", "certs": "read", "hooks": "read", "idm": "read", "keys": "read", "log": "read",
    "oauth": "read", "policies": "read", "portal": "read", "system": "read", "user_groups": "read", "users": "read", "websockets": "read"},
  "password_max_days": 0
}`
	var ids []string
	for _, group := range []string{readOnly, `{"name":"Default","user_permissions":{"analytics":"deny"}}`, `{"name":"Admin","user_permissions":{"IsAdmin":"admin"}}`} {
		made := b.do("POST", "/api/usergroups", group, asUser(key), form).is(200)
		require.Equal(t, "OK", made.envelope().Status)
		ids = append(ids, made.meta())
	}
	var list struct {
		Groups []struct{ ID, Name string }
	}
	b.do("GET", "/api/usergroups", nil, asUser(key)).is(200).json(&list)
	for i, name := range []string{"Read-only", "Default", "Admin"} {
		require.Equal(t, []string{ids[i], name}, []string{list.Groups[i].ID, list.Groups[i].Name})
	}
	reader := b.user("5e9d9544a1dcd60001d0ed20", "reader@example.org", map[string]string{"websockets": "read"})
	b.join(key, reader, ids[0]).is(200)
	for _, path := range []string{"/api/apis", "/api/portal/policies", "/api/users", "/api/usergroups", "/api/system/stats"} {
		b.do("GET", path, nil, asUser(reader.AccessKey)).is(200)
	}
}

// TestClientDashboardSDK sends what the generated client sends: the key after Bearer, whole objects.
func TestClientDashboardSDK(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	bearer := asUser("Bearer " + b.user(org, "sdk@example.org", nil).AccessKey)
	id := b.do("POST", "/api/users", `{"first_name":"itachi","last_name":"sasuke","email_address":"itachi@gmail.com","active":true,"user_permissions":{"IsAdmin":"admin"}}`, bearer, jason).
		message(200, "User and session have been created").meta()
	var user map[string]any
	b.do("GET", "/api/users/"+id, nil, bearer).is(200).json(&user)
	user["last_name"] = "uchiha"
	b.do("PUT", "/api/users/"+id, user, bearer, jason).message(200, "User updated")
	b.do("GET", "/api/users/"+id, nil, bearer).is(200).json(&user)
	require.Equal(t, "uchiha", user["last_name"])
	b.do("POST", "/api/users", `{"first_name":"i","last_name":"s","email_address":"ITACHI@gmail.com","user_permissions":{"IsAdmin":"admin"}}`, bearer).
		message(403, "User email already exists for this org.")
	for _, none := range []string{`null`, `{}`} {
		b.do("POST", "/api/users", `{"first_name":"i","last_name":"s","email_address":"x@gmail.com","user_permissions":`+none+`}`, bearer).
			message(403, "To create a user specify at least one permission, or make them an admin.")
	}
	b.do("POST", "/api/users/search?p=1", `{"filters":{"query":"itachi@"}}`, bearer, jason).is(200).grep(`"(itachi@gmail.com)"`)
	b.do("GET", "/api/users/search?q=itachi", nil, bearer).is(200).grep(`"(itachi@gmail.com)"`)
	require.Equal(t, "sdk@example.org", b.do("GET", "/api/users/me", nil, bearer).is(200).grep(`"email_address":"([^"]*)"`))
	b.do("PUT", "/api/users/"+id+"/actions/revoke", nil, bearer).message(200, "User revoked")
	b.do("GET", "/api/users/me", nil, asUser(fmt.Sprint(user["access_key"]))).is(401)

	group := b.do("POST", "/api/usergroups", `{"name":"devs","description":"devs company","user_permissions":{"apis":"write","owned_analytics":"deny"}}`, bearer, jason).meta()
	var document map[string]any
	b.do("GET", "/api/usergroups/"+group, nil, bearer).is(200).json(&document)
	document["active"] = false
	b.do("PUT", "/api/usergroups/"+group, document, bearer, jason).message(200, "User group updated")
	b.do("DELETE", "/api/usergroups/"+group, nil, bearer).message(200, "User group deleted")
	b.do("DELETE", "/api/users/"+id, nil, bearer).message(200, "User deleted")
}

// TestClientBackstage decodes what the plugin's schemas require.
func TestClientBackstage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token := asUser(b.user(b.org(), "backstage@example.org", nil).AccessKey)
	b.do("GET", "/api/system/stats", nil, asUser("wrong")).is(401)
	b.do("GET", "/api/system/stats", nil, token).is(200)
	var registered struct{ Message struct{ NodeID string } }
	b.do("GET", "/register/node", nil, asUser(nodeSecret), header("x-tyk-session-id", "s"), header("x-tyk-hostname", "gw-1")).is(200).json(&registered)
	var nodes struct {
		Data struct {
			Nodes           []struct{ ID, Hostname *string }
			ActiveNodeCount *int `json:"active_node_count"`
			NodesAvailable  *int `json:"nodes_available"`
			NodesRemaining  *int `json:"nodes_remaining"`
			ValidUntil      *int `json:"valid_until"`
		}
	}
	b.do("GET", "/api/system/nodes", nil, token).is(200).json(&nodes)
	require.Equal(t, registered.Message.NodeID, *nodes.Data.Nodes[0].ID)
	require.Equal(t, "gw-1", *nodes.Data.Nodes[0].Hostname)
	require.Equal(t, 1, *nodes.Data.ActiveNodeCount)
	require.NotNil(t, nodes.Data.NodesAvailable)
	require.NotNil(t, nodes.Data.NodesRemaining)
	require.NotNil(t, nodes.Data.ValidUntil)
	require.Equal(t, `{"data":{"db_app_conf_options":{"node_is_segmented":false,"tags":[]}}}`,
		b.do("GET", "/api/system/node/"+*nodes.Data.Nodes[0].ID+"/gw-1", nil, token).is(200).body)
	b.do("GET", "/api/system/node/"+*nodes.Data.Nodes[0].ID+"/gw-2", nil, token).is(404)
}

// TestClientPostmanDashboardUsers has the 23 assertions of the collection's requests of users. Each request has a key
// of its own, whose user is deleted with it afterwards.
func TestClientPostmanDashboardUsers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const org = "5e9d9544a1dcd60001d0ed20"
	b.admin("POST", "/admin/organisations/import", `{"id":"`+org+`","owner_name":"Tyk Demo"}`, form).is(200)
	b.user(org, "first@example.org", nil) // of the bootstrap
	made := 0
	create := func() admin.User {
		made++
		return b.admin("POST", "/admin/users", fmt.Sprintf(`{"first_name":"F%d","last_name":"L","email_address":"User%d@Example.com","org_id":"%s","active":true,
			"password":"3LEsHO1jv1dt9Xgf","user_permissions":{"IsAdmin":"admin","ResetPassword":"admin"}}`, made, made, org), plain).is(200).user()
	}
	request := func(name string, test func(t *testing.T, key with)) {
		t.Run(name, func(t *testing.T) {
			temporary := create()
			test(t, asUser(temporary.AccessKey))
			b.do("DELETE", "/api/users/"+temporary.Id, nil, asUser(temporary.AccessKey)).is(200)
		})
	}
	remove := func(id string, key with) reply { return b.do("DELETE", "/api/users/"+id, nil, key) }
	request("create", func(t *testing.T, key with) {
		got := b.do("POST", "/api/users", `{"first_name":"N","last_name":"N","email_address":"new@example.com","active":true,"password":"thisisatest",
			"user_permissions":{ "IsAdmin": "admin" }}`, key, plain).message(200, "User and session have been created")
		require.Equal(t, "OK", got.envelope().Status)
		require.NotEmpty(t, got.meta())
		b.do("GET", "/api/users/"+got.meta(), nil, key).is(200)
		remove(got.meta(), key).is(200)
	})
	request("get all", func(t *testing.T, key with) {
		var list struct{ Users []admin.User }
		b.do("GET", "/api/users?p=-1", "", key).is(200).json(&list)
		require.NotEmpty(t, list.Users)
	})
	request("get", func(t *testing.T, key with) {
		u := create()
		got := b.shownUser(u.AccessKey, u.Id)
		require.False(t, got.CreatedAt.IsZero())
		require.Equal(t, []string{org, "admin", u.FirstName, "L", strings.ToLower(u.EmailAddress)},
			[]string{got.OrgId, got.UserPermissions["IsAdmin"], got.FirstName, got.LastName, got.EmailAddress})
		remove(u.Id, key).is(200)
	})
	request("update", func(t *testing.T, key with) {
		u := create()
		updated := b.do("PUT", "/api/users/"+u.Id, `{"first_name":"Updated First","last_name":"Updated Last","email_address":"updated.email@tyk.io","active":true,
			"user_permissions":{ "IsAdmin": "admin" }}`, key, plain).message(200, "User updated")
		require.Equal(t, "OK", updated.envelope().Status)
		got := b.shownUser(u.AccessKey, u.Id)
		require.Equal(t, []string{"Updated First", "Updated Last", "updated.email@tyk.io"}, []string{got.FirstName, got.LastName, got.EmailAddress})
		remove(u.Id, key).is(200)
	})
	request("delete", func(t *testing.T, key with) {
		require.Equal(t, "OK", remove(create().Id, key).message(200, "User deleted").envelope().Status)
	})
	request("reset password", func(t *testing.T, key with) {
		u := create()
		for _, body := range []string{`{"new_password":"password1"}`, `{"current_password":"password1","new_password":"password2"}`} {
			require.Equal(t, "OK", b.do("POST", "/api/users/"+u.Id+"/actions/reset", body, key, plain).message(200, "User password updated").envelope().Status)
		}
		remove(u.Id, key).is(200)
	})
}
