package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCreateUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	made := b.admin("POST", "/admin/users", `{"org_id":"`+org+`","first_name":"Jane","last_name":"Doe","email_address":"Jane@example.org","active":true,"password":"supersekret"}`).is(200)
	require.Regexp(t, `^\{"Status":"OK","Message":"([0-9a-f]{32})","Meta":\{"api_model":\{\},"first_name":"Jane","last_name":"Doe","email_address":"jane@example.org",`+
		`"org_id":"`+org+`","active":true,"id":"[0-9a-f]{24}","access_key":"[0-9a-f]{32}","user_permissions":\{"IsAdmin":"admin","ResetPassword":"admin"\},`+
		`"group_id":"","password_max_days":0,"password_updated":"0001-01-01T00:00:00Z","PWHistory":\[\],"last_login_date":"0001-01-01T00:00:00Z","created_at":"[^"]+"\}\}$`, made.body)
	require.Equal(t, made.envelope().Message, made.user().AccessKey)
	require.Equal(t, 1, strings.Count(made.body, `"id":`))
	u := made.user()

	t.Run("the access key works at once, and the password is not set", func(t *testing.T) {
		b.do("GET", "/api/users/"+u.Id, nil, asUser(u.AccessKey)).is(200)
		b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"another1"}`, asUser(u.AccessKey)).is(200)
	})
	t.Run("an address is unique in an organisation, regardless of case", func(t *testing.T) {
		b.admin("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"JANE@example.org"}`).message(403, "User email already exists for this Org")
		b.admin("POST", "/admin/users", `{"org_id":"`+b.org()+`","email_address":"jane@example.org"}`).is(200)
	})
	t.Run("stated permissions are stored", func(t *testing.T) {
		require.Equal(t, map[string]string{"IsAdmin": "admin"}, b.user(org, "a@example.org", map[string]string{"IsAdmin": "admin"}).UserPermissions)
		require.Empty(t, b.user(org, "none@example.org", map[string]string{}).UserPermissions)
	})
	t.Run("invalid users are refused", func(t *testing.T) {
		for _, address := range []string{"", "x", "x@", "Jane <jane@example.org>", "a b@example.org"} {
			b.admin("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"`+address+`"}`).message(403, "User object validation failed")
		}
		b.admin("POST", "/admin/users", `{"org_id":"588b4f0bb275ff0001cc7471","email_address":"x@example.org"}`).message(403, "Org id not found ('588b4f0bb275ff0001cc7471')")
	})
	t.Run("the access key of an inactive user does not work", func(t *testing.T) {
		idle := b.admin("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"idle@example.org"}`).user()
		require.False(t, idle.Active)
		b.do("GET", "/api/users", nil, asUser(idle.AccessKey)).message(401, "Not authorised")
	})
}

func TestUpdateUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	u := b.user(org, "u@example.org", map[string]string{"IsAdmin": "admin"})
	path := "/admin/users/" + u.Id
	put := func(body string) reply { return b.admin("PUT", path, body) }

	got := put(`{"org_id":"` + org + `","email_address":"u2@example.org","first_name":"New","active":true}`).is(200)
	require.Equal(t, u.AccessKey, got.envelope().Message, "unchanged when absent")
	require.Equal(t, map[string]string{"IsAdmin": "admin"}, got.user().UserPermissions, "unchanged when absent")
	require.Equal(t, "New", got.user().FirstName)
	require.Equal(t, u.CreatedAt, got.user().CreatedAt)

	put(`{"email_address":"u@example.org","active":true,"password":"short"}`).message(403, "Request body malformed")
	put(`{"email_address":"u@example.org","active":true,"password":"long enough"}`).is(200)
	b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"another1"}`, asUser(u.AccessKey)).is(403)
	b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"another1","current_password":"long enough"}`, asUser(u.AccessKey)).is(200)

	put(`{"email_address":"u@example.org","active":true,"access_key":"adopted-access-key"}`).message(200, "adopted-access-key")
	b.do("GET", "/api/users", nil, asUser(u.AccessKey)).is(401)
	b.do("GET", "/api/users", nil, asUser("adopted-access-key")).is(200)
	other := b.user(org, "other@example.org", nil)
	b.admin("PUT", "/admin/users/"+other.Id, `{"email_address":"other@example.org","access_key":"adopted-access-key"}`).is(403)
	b.admin("PUT", "/admin/users/"+other.Id, `{"email_address":"U@example.org"}`).message(403, "User email already exists for this Org")
	for _, body := range []string{`{"email_address":"x@example.org"}`, `{"email_address":"none"}`, `{}`, `{"email_address":"x@example.org","password":"short"}`} {
		b.admin("PUT", "/admin/users/nobody", body).message(404, "User not found")
	}
	put(`{"email_address":"u@example.org","active":true,"access_key":"sésame-sésame-sésame"}`).message(200, "sésame-sésame-sésame")
	b.do("GET", "/api/users", nil, asUser("sésame-sésame-sésame")).is(200)
	b.admin("PUT", "/admin/users/nobody", `{"email_address":"x@example.org","access_key":"short"}`).message(404, "User not found")
	put(`{"email_address":"u@example.org","active":true,"access_key":"fifteen letters"}`).message(403, "Request body malformed")
	put(``).message(500, "Failed to read response body, body empty")
	put(`{"email_address":"u@example.org","active":false}`).is(200)
	b.do("GET", "/api/users", nil, asUser("sésame-sésame-sésame")).is(401)
	for _, hidden := range []string{"long enough", "another1", "$argon2"} {
		require.NotContains(t, b.log.String(), hidden)
		require.NotContains(t, b.admin("GET", "/admin/users", nil).body, hidden)
	}
}

func TestListAndDeleteUsers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	a := b.user(org, "Alma@example.org", nil)
	b.user(other, "alma@example.org", nil)
	b.admin("POST", "/admin/users", `{"email_address":"super@example.org"}`).is(200)
	count := func(query string) int {
		return strings.Count(b.admin("GET", "/admin/users"+query, nil).is(200).body, `"id":`)
	}
	require.Equal(t, 3, count(""))
	require.Equal(t, 1, count("?org_id="+org))
	require.Equal(t, 2, count("?email=ALMA@example.org"))
	require.Equal(t, 1, count("?email=alma@example.org&org_id="+other))
	require.Equal(t, 1, count("?org_id="), "super users")
	require.Contains(t, b.admin("GET", "/admin/users?p=1", nil).body, `"pages":1`)
	b.admin("DELETE", "/admin/users/"+a.Id, nil).is(200)
	b.admin("DELETE", "/admin/users/"+a.Id, nil).is(404)
	b.do("GET", "/api/users", nil, asUser(a.AccessKey)).is(401)
}

// TestPasswordResetPermissions tests who may set whose password (docs/behaviour.md#passwords).
func TestPasswordResetPermissions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, elsewhere := b.org(), b.org()
	admin := b.user(org, "admin@example.org", map[string]string{"IsAdmin": "admin"})
	holder := b.user(org, "holder@example.org", map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"})
	member := b.user(org, "member@example.org", map[string]string{"users": "write", "ResetPassword": "admin"})
	stranger := b.user(elsewhere, "stranger@example.org", map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"})
	const (
		never = "You do not have permission to reset the password for other users."
		asYet = never + " As an admin user, this permission can be modified using OPA rules."
	)
	reset := func(caller, of string, body string) reply {
		return b.do("POST", "/api/users/"+of+"/actions/reset", body, asUser(caller))
	}
	const fresh = `{"new_password":"topsecret"}`
	reset(member.AccessKey, member.Id, fresh).message(200, "User password updated")
	reset(member.AccessKey, member.Id, `{"new_password":"different"}`).is(403)
	reset(member.AccessKey, member.Id, `{"new_password":"different","current_password":"wrong"}`).is(403)
	reset(member.AccessKey, member.Id, `{"new_password":"different","current_password":"topsecret"}`).is(200)
	reset(member.AccessKey, admin.Id, fresh).message(403, never)
	reset(admin.AccessKey, member.Id, fresh).message(403, asYet)
	reset(holder.AccessKey, member.Id, fresh).is(200)
	unknown := reset(stranger.AccessKey, "nobody", fresh).message(404, "Could not retrieve user detail.").body
	require.Equal(t, unknown, reset(stranger.AccessKey, member.Id, fresh).is(404).body, "a user of another organisation")
	require.Equal(t, unknown, reset(holder.AccessKey, stranger.Id, fresh).is(404).body, "a user of another organisation")
	super := b.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user()
	reset(super.AccessKey, member.Id, fresh).message(403, never)

	toggle := func(action string) reply { return b.admin("PUT", "/admin/users/"+admin.Id+"/actions/"+action, nil) }
	got := toggle("allow_reset_passwords").message(200, "User updated")
	require.Equal(t, "admin", got.user().UserPermissions["ResetPassword"])
	require.Contains(t, got.body, `"PWHistory":[]`)
	reset(admin.AccessKey, member.Id, fresh).is(200)
	require.NotContains(t, toggle("disallow_reset_passwords").message(200, "User updated").user().UserPermissions, "ResetPassword")
	reset(admin.AccessKey, member.Id, fresh).message(403, asYet)
	reset(admin.AccessKey, member.Id, `{"new_password":"short"}`).is(403)
}

func TestAPIUsersAreLimitedToTheCallersOrganisation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, elsewhere := b.org(), b.org()
	admin, reader := b.user(org, "admin@example.org", nil), b.user(org, "reader@example.org", map[string]string{"users": "read"})
	other := b.user(elsewhere, "other@example.org", nil)
	super := b.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user()
	body := b.do("GET", "/api/users", nil, asUser(reader.AccessKey)).is(200).body
	require.Contains(t, body, reader.AccessKey)
	require.NotContains(t, body, admin.AccessKey, "the access keys of others are hidden")
	require.NotContains(t, body, other.Id)
	require.NotContains(t, body, super.Id)
	b.do("GET", "/api/users/"+other.Id, nil, asUser(admin.AccessKey)).is(404)
	b.do("DELETE", "/api/users/"+other.Id, nil, asUser(admin.AccessKey)).is(404)
	b.do("DELETE", "/api/users/"+admin.Id, nil, asUser(reader.AccessKey)).is(403)
	all := b.do("GET", "/api/users?p=-1", nil, asUser(super.AccessKey)).is(200).body
	for _, id := range []string{admin.Id, other.Id, super.Id} {
		require.Contains(t, all, id)
	}
	require.Equal(t, "User session renewed", b.do("PUT", "/api/users/"+reader.Id+"/actions/key/reset", nil, asUser(reader.AccessKey)).is(200).envelope().Message)
	b.do("GET", "/api/users", nil, asUser(reader.AccessKey)).is(401)
}

func TestPasswordUpdatedTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.user(b.org(), "u@example.org", nil)
	b.clock.forward(time.Hour)
	b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"topsecret"}`, asUser(u.AccessKey)).is(200)
	now := b.admin("GET", "/admin/users/"+u.Id, nil).user()
	require.GreaterOrEqual(t, now.PasswordUpdated.Sub(now.CreatedAt), time.Hour)
}

// TestConcurrentPasswordChanges sets a password several times at once: of the requests with the same current password
// one succeeds, and the others report a wrong password.
func TestConcurrentPasswordChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	holder, member := b.user(org, "holder@example.org", nil), b.user(org, "member@example.org", nil)
	const atOnce = 4
	atATime := func(caller, body string) (statuses []int) {
		responses := make(chan reply, atOnce)
		for range atOnce {
			go func() { responses <- b.do("POST", "/api/users/"+member.Id+"/actions/reset", body, asUser(caller)) }()
		}
		for range atOnce {
			statuses = append(statuses, (<-responses).status)
		}
		slices.Sort(statuses)
		return statuses
	}
	require.Equal(t, []int{200, 403, 403, 403}, atATime(member.AccessKey, `{"new_password":"topsecret"}`))
	require.Equal(t, []int{200, 403, 403, 403}, atATime(member.AccessKey, `{"new_password":"different","current_password":"topsecret"}`))
	require.Equal(t, []int{200, 200, 200, 200}, atATime(holder.AccessKey, `{"new_password":"from above"}`))
}

// TestValuesThatCannotBeStored checks that the response points to the value.
func TestValuesThatCannotBeStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.user(b.org(), "u@example.org", nil)
	problem := func(method, path, body, at, reason string) {
		got := b.admin(method, path, body).message(403, "Request body malformed").body
		require.Contains(t, got, `{"path":"`+at+`","reason":"`+reason+`"}`)
	}
	problem("POST", "/admin/users", `{"email_address":"v@example.org","first_name":"a\u0000b"}`, "/first_name", "has a NUL")
	problem("POST", "/admin/organisations", `{"owner_name":"x","cname":"a\u0000b"}`, "/cname", "has a NUL")
	problem("POST", "/admin/organisations", `{"Developer_Quota":1e3}`, "/Developer_Quota", "must be a whole number of 64 bits, and written as one")
	b.admin("POST", "/admin/organisations", `{"developer_count":1e3,"developer_count":1}`).is(200) // the last counts
	problem("POST", "/admin/organisations", `{"developer_count":1,"developer_count":1e3}`, "/developer_count", "must be a whole number of 64 bits, and written as one")
	for _, number := range []string{"1.0", "1e2", "9999999999999999999"} {
		problem("POST", "/admin/users", `{"email_address":"v@example.org","password_max_days":`+number+`}`, "/password_max_days",
			"must be a whole number of 64 bits, and written as one")
		problem("POST", "/admin/organisations", `{"developer_quota":`+number+`}`, "/developer_quota",
			"must be a whole number of 64 bits, and written as one")
	}
	for _, key := range []string{" lead", "trail ", `trail\t`, `new\nline`, `\u007f`} {
		problem("PUT", "/admin/users/"+u.Id, `{"email_address":"u@example.org","access_key":"`+key+`"}`, "/access_key", "could not be sent in a header")
	}
	b.do("GET", "/api/users", nil, asUser(u.AccessKey)).is(200)
}
