package server_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/store/storetest"
)

// group creates a user group, and returns its ID.
func (b *bundle) group(key, document string) string {
	b.t.Helper()
	return b.do("POST", "/api/usergroups", document, asUser(key)).message(200, "User group created").meta()
}

// join puts a user into a group, "" for none.
func (b *bundle) join(key string, user admin.User, groupID string) reply {
	b.t.Helper()
	return b.do("PUT", "/api/users/"+user.Id, fmt.Sprintf(`{"email_address":%q,"active":true,"group_id":%q}`,
		user.EmailAddress, groupID), asUser(key))
}

func TestGroupsGrantPermissions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	boss := b.user(org, "boss@example.org", nil).AccessKey
	member := b.user(org, "member@example.org", map[string]string{"hooks": "read"})
	key := asUser(member.AccessKey)
	readers := b.group(boss, `{"name":"Readers","user_permissions":{"apis":"read","users":"read"}}`)
	writers := b.group(boss, `{"name":"Writers","user_permissions":{"users":"write"}}`)
	mayRead := func(path string, status int) { t.Helper(); b.do("GET", path, nil, key).is(status) }

	mayRead("/api/users", 403)
	b.join(boss, member, readers).message(200, "User updated")
	mayRead("/api/users", 200)
	mayRead("/api/apis", 200)
	mayRead("/api/portal/policies", 403)
	require.Equal(t, map[string]string{"hooks": "read"}, b.shownUser(boss, member.Id).UserPermissions, "their own ones stay")
	b.do("PUT", "/api/users/"+member.Id+"/actions/key/reset", nil, asUser(boss)) // another key, the same group
	key = asUser(b.shownUser(boss, member.Id).AccessKey)
	mayRead("/api/apis", 200)

	t.Run("a change of the group counts at once", func(t *testing.T) {
		b.do("PUT", "/api/usergroups/"+readers, `{"name":"Readers","user_permissions":{"policies":"read"}}`, asUser(boss)).message(200, "User group updated")
		mayRead("/api/apis", 403)
		mayRead("/api/portal/policies", 200)
	})
	t.Run("so does another group, and none", func(t *testing.T) {
		b.join(boss, member, writers).is(200)
		mayRead("/api/portal/policies", 403)
		mayRead("/api/users", 200)
		b.join(boss, member, "").is(200)
		mayRead("/api/users", 403)
	})
	t.Run("users of a group that is not active are kept out, administrators are not", func(t *testing.T) {
		b.join(boss, member, writers).is(200)
		administrator := b.user(org, "second@example.org", map[string]string{"IsAdmin": "admin"})
		b.join(boss, administrator, writers).is(200)
		b.do("PUT", "/api/usergroups/"+writers, `{"active":false,"user_permissions":{"users":"write"}}`, asUser(boss)).is(200)
		mayRead("/api/users", 401)
		b.do("GET", "/api/users", nil, asUser(administrator.AccessKey)).is(200)
		b.do("PUT", "/api/usergroups/"+writers, `{"active":true,"user_permissions":{"users":"write"}}`, asUser(boss)).is(200)
		mayRead("/api/users", 200)
	})
	t.Run("users of a deleted group have no group", func(t *testing.T) {
		b.do("DELETE", "/api/usergroups/"+writers, nil, asUser(boss)).message(200, "User group deleted")
		mayRead("/api/users", 403)
		require.Empty(t, b.shownUser(boss, member.Id).GroupId)
		b.do("GET", "/api/usergroups/"+writers, nil, asUser(boss)).is(404)
		b.do("DELETE", "/api/usergroups/"+writers, nil, asUser(boss)).is(404)
	})
	t.Run("no administrators are made by a group", func(t *testing.T) {
		admins := b.group(boss, `{"name":"Admin","user_permissions":{"IsAdmin":"admin","ResetPassword":"admin"}}`)
		b.join(boss, member, admins).is(200)
		mayRead("/api/users", 403)
	})
}

// shownUser returns a user as the API shows them.
func (b *bundle) shownUser(key, id string) (u admin.User) {
	b.t.Helper()
	b.do("GET", "/api/users/"+id, nil, asUser(key)).is(200).json(&u)
	return u
}

func TestGroupsBelongToOneOrganisation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	boss := b.user(org, "boss@example.org", nil).AccessKey
	stranger := b.user(other, "boss@example.org", nil).AccessKey
	super := b.user("", "super@example.org", nil).AccessKey
	member := b.user(org, "member@example.org", map[string]string{"hooks": "read"})
	foreign := b.group(stranger, `{"name":"F","org_id":"`+org+`","user_permissions":{"users":"write"}}`)

	require.Equal(t, other, b.shownGroup(stranger, foreign).OrgID, "the caller's organisation wins")
	unknown := b.do("GET", "/api/usergroups/nope", nil, asUser(boss)).is(404).body
	require.Equal(t, unknown, b.do("GET", "/api/usergroups/"+foreign, nil, asUser(boss)).is(404).body)
	b.do("PUT", "/api/usergroups/"+foreign, `{"user_permissions":{"apis":"read"}}`, asUser(boss)).message(400, "Group ID does not exist")
	b.do("DELETE", "/api/usergroups/"+foreign, nil, asUser(boss)).is(404)
	require.Contains(t, b.join(boss, member, foreign).message(403, "User object validation failed.").body, `"path":"/group_id"`)
	require.Contains(t, b.do("POST", "/api/users", `{"email_address":"n@example.org","group_id":"`+foreign+`"}`, asUser(boss)).
		message(400, "User object validation failed.").body, `"path":"/group_id"`)

	// The admin API stores any group, as it always has; one of another organisation grants nothing.
	b.admin("PUT", "/admin/users/"+member.Id, `{"email_address":"member@example.org","active":true,"group_id":"`+foreign+`"}`).is(200)
	b.do("GET", "/api/users", nil, asUser(member.AccessKey)).is(403)
	b.do("PUT", "/api/usergroups/"+foreign, `{"active":false,"user_permissions":{"users":"write"}}`, asUser(stranger)).is(200)
	b.do("GET", "/api/users", nil, asUser(member.AccessKey)).is(403)
	b.do("DELETE", "/api/usergroups/"+foreign, nil, asUser(stranger)).is(200)
	require.Equal(t, foreign, b.shownUser(boss, member.Id).GroupId, "a group of another organisation is none of theirs")

	t.Run("a super user names the organisation", func(t *testing.T) {
		made := b.group(super, `{"name":"S","org_id":"`+org+`","user_permissions":{"apis":"read"}}`)
		require.Equal(t, org, b.shownGroup(boss, made).OrgID)
		b.do("POST", "/api/usergroups", `{"name":"S"}`, asUser(super)).message(403, "Request body malformed.")
		b.do("POST", "/api/usergroups", `{"name":"S","org_id":"588b4f0bb275ff0001cc7471"}`, asUser(super)).message(403, "Request body malformed.")
		require.Contains(t, b.do("GET", "/api/usergroups", nil, asUser(super)).is(200).body, made)
	})
	t.Run("the groups of an organisation go with it", func(t *testing.T) {
		b.admin("DELETE", "/admin/organisations/"+org, nil).is(200)
		require.Equal(t, `{"groups":[],"pages":1}`, strings.ReplaceAll(b.do("GET", "/api/usergroups", nil, asUser(super)).is(200).body, `"pages":0`, `"pages":1`))
	})
}

type shownGroup struct {
	ID              string            `json:"id"`
	OrgID           string            `json:"org_id"`
	UserPermissions map[string]string `json:"user_permissions"`
}

func (b *bundle) shownGroup(key, id string) (g shownGroup) {
	b.t.Helper()
	b.do("GET", "/api/usergroups/"+id, nil, asUser(key)).is(200).json(&g)
	return g
}

// TestGroupsAreDocuments: what is sent is returned as it came, with the documented members.
func TestGroupsAreDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "boss@example.org", nil).AccessKey
	id := b.group(key, `{"unknown": [1.10], "name": "<G>", "id": "mine", "user_permissions": {"b": "read", "a": "deny"}, "active": null}`)
	want := fmt.Sprintf(`{"id":%q,"org_id":%q,"unknown":[1.10],"name":"<G>","description":"","user_permissions":{"b":"read","a":"deny"},`+
		`"password_max_days":0,"active":null}`, id, org)
	require.Equal(t, want, b.do("GET", "/api/usergroups/"+id, nil, asUser(key)).is(200).body)
	require.Equal(t, `{"groups":[`+want+`],"pages":1}`, b.do("GET", "/api/usergroups", nil, asUser(key)).is(200).body)
	b.do("PUT", "/api/usergroups/"+id, `{"id":"other","org_id":"other","name":"H","user_permissions":{"a":"read"}}`, asUser(key)).is(200)
	require.Equal(t, fmt.Sprintf(`{"id":%q,"org_id":%q,"name":"H","description":"","active":true,"user_permissions":{"a":"read"},"password_max_days":0}`, id, org),
		b.do("GET", "/api/usergroups/"+id, nil, asUser(key)).is(200).body)
	for _, none := range []string{`{"name":"H"}`, `{"user_permissions":null}`, `{"user_permissions":{}}`} {
		require.Contains(t, b.do("PUT", "/api/usergroups/"+id, none, asUser(key)).message(400, "Request body malformed.").body, "/user_permissions")
	}
	for _, wrong := range []string{`[]`, `{"user_permissions":[]}`, `{"user_permissions":{"a":1}}`, `{"active":1}`} {
		b.do("POST", "/api/usergroups", wrong, asUser(key)).message(403, "Request body malformed.")
	}
}

// TestCallersGrantWhatTheyHave: no operation lets a user grant a permission that they lack, to a user or to a group.
func TestCallersGrantWhatTheyHave(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	boss := b.user(org, "boss@example.org", nil)
	keeper := b.user(org, "keeper@example.org", map[string]string{"users": "write", "user_groups": "write", "apis": "read"})
	strong := b.user(org, "strong@example.org", map[string]string{"policies": "write", "apis": "deny"})
	key := keeper.AccessKey
	powerful := b.group(boss.AccessKey, `{"name":"P","user_permissions":{"apis":"write"}}`)
	weak := b.group(boss.AccessKey, `{"name":"W","user_permissions":{"apis":"read"}}`)
	before := storetest.Dump(t, b.conn)
	denied := func(r reply, at string) {
		t.Helper()
		require.Contains(t, r.is(403).body, "access denied")
		require.Contains(t, r.body, `"path":"`+at+`"`)
	}
	for permission, at := range map[string]string{
		`"apis":"write"`: "apis", `"policies":"read"`: "policies", `"IsAdmin":"admin"`: "IsAdmin", `"IsAdmin":"true"`: "IsAdmin",
		`"ResetPassword":"admin"`: "ResetPassword", `"anything":"read"`: "anything",
	} {
		at = "/user_permissions/" + at
		denied(b.do("POST", "/api/users", `{"email_address":"n@example.org","user_permissions":{"users":"read",`+permission+`}}`, asUser(key)), at)
		if permission != `"policies":"read"` { // less than the user has is no grant
			denied(b.do("PUT", "/api/users/"+strong.Id, `{"email_address":"strong@example.org","user_permissions":{`+permission+`}}`, asUser(key)), at)
		}
		denied(b.do("PUT", "/api/users/"+keeper.Id, `{"email_address":"keeper@example.org","user_permissions":{`+permission+`}}`, asUser(key)), at)
		denied(b.do("POST", "/api/usergroups", `{"name":"N","user_permissions":{`+permission+`}}`, asUser(key)), at)
		denied(b.do("PUT", "/api/usergroups/"+weak, `{"name":"W","user_permissions":{`+permission+`}}`, asUser(key)), at)
	}
	denied(b.join(key, strong, powerful), "/group_id")
	denied(b.join(key, keeper, powerful), "/group_id")
	denied(b.do("POST", "/api/users", `{"email_address":"n@example.org","group_id":"`+powerful+`"}`, asUser(key)), "/group_id")
	denied(b.do("POST", "/api/users", `{"email_address":"n@example.org","user_permissions":{"ResetPassword":"admin"}}`, asUser(boss.AccessKey)), "/user_permissions/ResetPassword")
	require.Equal(t, before, storetest.Dump(t, b.conn), "nothing was changed")

	b.join(key, strong, weak).is(200)
	b.do("PUT", "/api/users/"+strong.Id, `{"email_address":"strong@example.org","user_permissions":{"policies":"write","apis":"read"},"active":true}`, asUser(key)).is(200)
	require.Equal(t, map[string]string{"policies": "write", "apis": "read"}, b.shownUser(boss.AccessKey, strong.Id).UserPermissions, "what they have stays")
	b.do("POST", "/api/users", `{"email_address":"n@example.org","user_permissions":{"apis":"read","users":"write","keys":"deny","x":"?"}}`, asUser(key)).is(200)
	b.do("PUT", "/api/usergroups/"+powerful, `{"name":"P","description":"d","user_permissions":{"apis":"write"}}`, asUser(key)).is(200)

	t.Run("what the caller has from a group counts", func(t *testing.T) {
		b.join(boss.AccessKey, keeper, powerful).is(200)
		b.do("POST", "/api/users", `{"email_address":"o@example.org","user_permissions":{"apis":"write"}}`, asUser(key)).is(200)
	})
	t.Run("ResetPassword is the admin API's", func(t *testing.T) {
		second := b.user(org, "second@example.org", map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"})
		change := func(permissions string) map[string]string {
			b.do("PUT", "/api/users/"+second.Id, `{"email_address":"second@example.org","active":true,"user_permissions":`+permissions+`}`, asUser(boss.AccessKey)).is(200)
			return b.shownUser(boss.AccessKey, second.Id).UserPermissions
		}
		require.Equal(t, map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"}, change(`{"IsAdmin":"admin"}`))
		require.Equal(t, map[string]string{"apis": "read", "ResetPassword": "admin"}, change(`{"apis":"read","ResetPassword":"deny"}`))
		require.Equal(t, map[string]string{"apis": "read", "ResetPassword": "admin"}, change(`null`))
	})
}

// TestNobodyMakesThemselvesAdministrator has users who may write users store values of IsAdmin that grant nothing, and
// then build on them.
func TestNobodyMakesThemselvesAdministrator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	boss := b.user(org, "boss@example.org", nil)
	grant := func(key string, u admin.User, permissions string) reply {
		return b.do("PUT", "/api/users/"+u.Id, `{"email_address":"`+u.EmailAddress+`","active":true,"user_permissions":`+permissions+`}`, asUser(key))
	}
	values := []string{"write", "read", "deny", "", "Admin", "TRUE"}
	refused := func(key string, u admin.User) {
		t.Helper()
		for _, name := range []string{"IsAdmin", "ResetPassword"} {
			for _, value := range []string{"admin", "true"} {
				for _, other := range []string{"write", "read"} {
					grant(key, u, `{"users":"`+other+`","`+name+`":"`+value+`"}`).is(403)
				}
			}
		}
	}
	for n, value := range values {
		keeper := b.user(org, fmt.Sprintf("k%d@example.org", n), map[string]string{"users": "write", "user_groups": "write"})
		refused(keeper.AccessKey, keeper)
		grant(keeper.AccessKey, keeper, `{"users":"write","user_groups":"write","IsAdmin":"`+value+`","ResetPassword":"`+value+`"}`).is(200)
		refused(keeper.AccessKey, keeper)
		b.do("POST", "/api/users", `{"email_address":"n@example.org","user_permissions":{"IsAdmin":"admin"}}`, asUser(keeper.AccessKey)).is(403)
		b.do("POST", "/api/usergroups", `{"name":"N","user_permissions":{"IsAdmin":"admin"}}`, asUser(keeper.AccessKey)).is(403)
		b.do("GET", "/api/apis", nil, asUser(keeper.AccessKey)).is(403)

		created := b.user(org, fmt.Sprintf("c%d@example.org", n), map[string]string{"users": "write", "IsAdmin": value})
		refused(created.AccessKey, created)
	}
	for _, value := range append(values, "admin", "true") {
		group := b.group(boss.AccessKey, `{"name":"G","user_permissions":{"apis":"read","IsAdmin":"`+value+`","ResetPassword":"`+value+`"}}`)
		member := b.user(org, "m-"+group+"@example.org", map[string]string{"users": "write", "user_groups": "write"})
		b.join(boss.AccessKey, member, group).is(200)
		refused(member.AccessKey, member)
		b.do("POST", "/api/usergroups", `{"name":"N","user_permissions":{"IsAdmin":"admin"}}`, asUser(member.AccessKey)).is(403)
	}
	grant(boss.AccessKey, b.user(org, "second@example.org", map[string]string{"users": "read"}), `{"IsAdmin":"admin"}`).is(200)
}

// TestChangesOfUsersAreProtected has PUT and revoke protect administrators as DELETE does.
func TestChangesOfUsersAreProtected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	boss := b.user(org, "boss@example.org", nil)
	super := b.user("", "super@example.org", nil)
	keeper := b.user(org, "keeper@example.org", map[string]string{"users": "write"})
	plain := b.user(org, "plain@example.org", map[string]string{"apis": "read"})
	change := func(key string, u admin.User, body string) reply {
		return b.do("PUT", "/api/users/"+u.Id, `{"email_address":"`+u.EmailAddress+`",`+body+`}`, asUser(key))
	}
	revoke := func(key string, u admin.User) reply {
		return b.do("PUT", "/api/users/"+u.Id+"/actions/revoke", nil, asUser(key))
	}
	before := storetest.Dump(t, b.conn)
	change(keeper.AccessKey, boss, `"first_name":"X"`).is(403)
	revoke(keeper.AccessKey, boss).is(403)
	change(boss.AccessKey, boss, `"active":false`).is(403)
	change(boss.AccessKey, boss, `"user_permissions":{"apis":"read"}`).is(403)
	revoke(boss.AccessKey, boss).is(403)
	change(boss.AccessKey, super, `"active":true`).message(400, "user does not exist.")
	revoke(boss.AccessKey, super).message(400, "Could not retrieve user detail.")
	change(boss.AccessKey, keeper, `"user_permissions":{}`).message(403, "To create a user specify at least one permission, or make them an admin.")
	require.Equal(t, before, storetest.Dump(t, b.conn), "nothing was changed")

	change(boss.AccessKey, boss, `"first_name":"X","org_id":"`+otherOrg+`","access_key":"0123456789abcdef","password":"different"`).message(200, "User updated")
	shown := b.shownUser(boss.AccessKey, boss.Id)
	require.Equal(t, []string{"X", org, boss.AccessKey}, []string{shown.FirstName, shown.OrgId, shown.AccessKey})
	require.True(t, shown.Active, "what is absent stays")
	require.Equal(t, boss.UserPermissions, shown.UserPermissions)
	revoke(keeper.AccessKey, plain).message(200, "User revoked")
	b.do("GET", "/api/apis", nil, asUser(plain.AccessKey)).is(401)
	change(keeper.AccessKey, plain, `"active":true`).is(200)
	b.do("GET", "/api/apis", nil, asUser(plain.AccessKey)).is(200)
	revoke(super.AccessKey, boss).is(200)
	b.do("GET", "/api/apis", nil, asUser(boss.AccessKey)).is(401)
}

// TestAnAdministratorIsLeftByChanges has two administrators revoke each other at the same time.
func TestAnAdministratorIsLeftByChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	for i := range 5 {
		users := [2]admin.User{}
		for n := range users {
			users[n] = b.user(org, fmt.Sprintf("u%d-%d@example.org", i, n), map[string]string{"IsAdmin": "admin"})
		}
		var revoking sync.WaitGroup
		var status [2]int
		for n := range users {
			revoking.Go(func() {
				status[n] = b.do("PUT", "/api/users/"+users[1-n].Id+"/actions/revoke", nil, asUser(users[n].AccessKey)).status
			})
		}
		revoking.Wait()
		require.ElementsMatch(t, []int{200, 1}, []int{min(status[0], status[1]), 1}, "one is revoked: %v", status)
		require.NotEqual(t, status[0], status[1])
		for _, u := range users {
			b.admin("DELETE", "/admin/users/"+u.Id, nil).is(200)
		}
	}
}

func TestSearchUsers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := asUser(b.user(org, "boss@example.org", nil).AccessKey)
	for i := range 12 {
		b.user(org, fmt.Sprintf("U%d@tyk.example", i), map[string]string{"apis": "read"})
	}
	b.user(b.org(), "stranger@tyk.example", nil)
	found := func(r reply) (emails []string, pages int) {
		t.Helper()
		var list struct {
			Users []admin.User
			Pages int
		}
		r.is(200).json(&list)
		for _, u := range list.Users {
			emails = append(emails, u.EmailAddress)
		}
		return emails, list.Pages
	}
	get := func(query string) ([]string, int) { return found(b.do("GET", "/api/users/search?"+query, nil, key)) }
	post := func(body, query string) ([]string, int) {
		return found(b.do("POST", "/api/users/search"+query, body, key))
	}
	emails, pages := get("q=" + url.QueryEscape("@TYK.ex"))
	require.Len(t, emails, 10)
	require.Equal(t, 2, pages)
	emails, _ = get("p=-1&q=tyk.example")
	require.Len(t, emails, 12)
	emails, _ = get("q=u7@tyk")
	require.Equal(t, []string{"u7@tyk.example"}, emails)
	emails, _ = get("q=%25") // no pattern
	require.Empty(t, emails)
	emails, _ = post(`{"filters":{"query":"U11@"}}`, "")
	require.Equal(t, []string{"u11@tyk.example"}, emails)
	for _, all := range []string{`{}`, `{"filters":null}`, `{"filters":{"query":null}}`, `{"filters":{"query":""}}`} {
		emails, _ = post(all, "?p=0")
		require.Len(t, emails, 13, all)
	}
	b.do("POST", "/api/users/search", `{"filters":{"query":1}}`, key).message(400, "Could not extract search filter from request body.")
	b.do("GET", "/api/users/search?q=%00", nil, key).is(400)
}

func TestSystemStats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	key := asUser(b.user(org, "boss@example.org", map[string]string{"system": "read"}).AccessKey)
	super := asUser(b.user("", "super@example.org", nil).AccessKey)
	definition := func(org string, n int, active bool) string {
		return fmt.Sprintf(`{"api_definition":{"org_id":"%s","api_id":"a%d","name":"n","active":%t,"proxy":{"listen_path":"/%d/","target_url":"http://u/"}}}`, org, n, active, n)
	}
	b.admin("POST", "/admin/apis/import", `{"apis":[`+definition(org, 1, true)+`,`+definition(org, 2, false)+`,`+definition(other, 3, true)+`]}`).is(200)
	usage := func(as with, query string) string {
		t.Helper()
		return b.do("GET", "/api/system/stats"+query, nil, as).is(200).body
	}
	today := b.clock.now().UTC().Format("2006-01-02")
	require.Contains(t, usage(key, ""), `{"status":"Success","message":"","stats":{"apis":[{"date":"`+today+`",`)
	require.Contains(t, usage(key, "?resolution=day&entity=apis&start_day="+today+"&end_day="+today), `"max_usage":2,"min_active_usage":1,`)
	require.Contains(t, usage(super, ""), `"max_usage":3,"min_active_usage":2,`)
	require.Equal(t, `{"status":"Success","message":"","stats":{"dataplanes_gateways":[]}}`, usage(key, "?entity=dataplanes.gateways"))
	require.Equal(t, `{"status":"Success","message":"","stats":{"dataplanes":[]}}`, usage(key, "?entity=dataplanes"))
	b.do("GET", "/api/system/stats?start_day=9999-01-01", nil, key).message(404, "Stats not found.")
	b.do("GET", "/api/system/stats?end_day=01.02.2024", nil, key).is(400)
}

func TestBootstrapOnce(t *testing.T) {
	t.Parallel()
	const formText = "owner_name=TYK&owner_slug=TYK&email_address=admin@example.org&first_name=Tyk&last_name=Admin&password=topsecret&confirm_password=topsecret"
	send := func(b *bundle, body string) reply { return b.do("POST", "/bootstrap", body, form) }
	t.Run("it is off by default", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.Contains(t, send(b, formText).is(403).body, "--bootstrap")
		require.Equal(t, `{"organisations":[],"pages":0}`, b.admin("GET", "/admin/organisations", nil).body)
	})
	t.Run("it works once", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withBootstrap)
		before := storetest.Dump(t, b.conn)
		for _, wrong := range []string{
			"", "owner_name=", "email_address=a@example.org&password=topsecret", strings.Replace(formText, "confirm_password=topsecret", "confirm_password=other", 1),
			strings.ReplaceAll(formText, "topsecret", "short"), strings.Replace(formText, "admin@example.org", "nobody", 1),
			strings.Replace(formText, "last_name=Admin", "last_name=%00", 1), `{"owner_name":"TYK"}`,
		} {
			require.GreaterOrEqual(t, send(b, wrong).status, 400, wrong)
		}
		require.Equal(t, before, storetest.Dump(t, b.conn), "nothing was stored")
		var bootstraps sync.WaitGroup
		replies := make([]reply, 4)
		for i := range replies {
			bootstraps.Go(func() { replies[i] = send(b, formText) })
		}
		bootstraps.Wait()
		var made []reply
		for _, r := range replies {
			if r.status == 200 {
				made = append(made, r)
				continue
			}
			r.message(403, "An organisation exists already.")
		}
		require.Len(t, made, 1)
		user := made[0].user()
		require.Equal(t, user.AccessKey, made[0].envelope().Message)
		require.Equal(t, map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"}, user.UserPermissions)
		require.Contains(t, b.admin("GET", "/admin/organisations/"+user.OrgId, nil).is(200).body, `"owner_name":"TYK","owner_slug":"TYK"`)
		b.do("POST", "/api/users/"+user.Id+"/actions/reset", `{"new_password":"different","current_password":"topsecret"}`, asUser(user.AccessKey)).is(200)
		require.NotContains(t, b.log.String(), "topsecret")
		lines, err := json.Marshal(b.audit.last())
		require.NoError(t, err)
		require.NotContains(t, string(lines), "topsecret")
	})
	t.Run("not beside an organisation", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withBootstrap)
		b.org()
		send(b, formText).message(403, "An organisation exists already.")
	})
}
