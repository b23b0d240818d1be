package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

func TestOrganisations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("the server assigns the ID", func(t *testing.T) {
		made := b.admin("POST", "/admin/organisations", `{"id":"5e9d9544a1dcd60001d0ed20","owner_name":"a"}`).message(200, "Org created")
		require.Regexp(t, `^\{"Status":"OK","Message":"Org created","Meta":"[0-9a-f]{24}"\}$`, made.body)
		require.NotEqual(t, "5e9d9544a1dcd60001d0ed20", made.meta())
		require.Equal(t, "5e9d9544a1dcd60001d0ed20", b.admin("POST", "/admin/organisations/import", `{"id":"5e9d9544a1dcd60001d0ed20"}`).message(200, "Org imported").meta())
		b.admin("POST", "/admin/organisations/import", `{"id":"not hex"}`).message(403, "Request body malformed")
		for _, none := range []string{``, `"id":"",`, `"id":null,`} {
			id := b.admin("POST", "/admin/organisations/import", `{`+none+`"owner_name":"no id"}`).is(200).meta()
			require.Regexp(t, `^[0-9a-f]{24}$`, id)
			require.True(t, strings.HasPrefix(b.admin("GET", "/admin/organisations/"+id, nil).is(200).body, `{"id":"`+id+`","owner_name":"no id",`))
		}
	})
	t.Run("a cname is unique regardless of case, names and slugs are not", func(t *testing.T) {
		body := `{"owner_name":"same","owner_slug":"same","cname":"Portal.example:3000"}`
		id := b.admin("POST", "/admin/organisations", body).is(200).meta()
		b.admin("POST", "/admin/organisations", strings.ToUpper(body[:0])+strings.Replace(body, "Portal", "PORTAL", 1)).message(403, "Failed to save new Org object to DB")
		other := b.admin("POST", "/admin/organisations", strings.Replace(body, "Portal", "Other", 1)).is(200).meta()
		b.admin("PUT", "/admin/organisations/"+other, `{"cname":"portal.EXAMPLE:3000"}`).message(403, "Failed to update Org object to DB")
		b.admin("PUT", "/admin/organisations/"+id, `{"cname":"portal.example:3000"}`).message(200, "Org updated")
		b.admin("POST", "/admin/organisations/"+other+"/generate-portals", "domain=portal.example:3000").is(403)
		for range 2 {
			b.admin("POST", "/admin/organisations", `{"owner_name":"same","cname":""}`).is(200)
		}
	})
	t.Run("PUT replaces the organisation", func(t *testing.T) {
		id := b.org(`{"owner_name":"before","apis":[{"api_id":"x","api_human_name":"X"}],"extra":1}`)
		require.Equal(t, `{"Status":"OK","Message":"Org updated","Meta":null}`, b.admin("PUT", "/admin/organisations/"+id, `{"owner_name":"after","id":"elsewhere"}`).is(200).body)
		got := b.admin("GET", "/admin/organisations/"+id, nil).is(200).body
		require.True(t, strings.HasPrefix(got, `{"id":"`+id+`","owner_name":"after","owner_slug":"","cname_enabled":false,"cname":"","apis":[],"sso_enabled":false,`+
			`"developer_quota":0,"developer_count":0,"event_options":{},"hybrid_enabled":false,"ui":{`), got)
		require.NotContains(t, got, "extra")
		b.admin("PUT", "/admin/organisations/5e9d9544a1dcd60001d0ed99", `{"owner_name":"x"}`).message(404, "Could not retrieve org detail")
		b.admin("PUT", "/admin/organisations/"+id, "").message(500, "Failed to read request body, body empty")
		b.admin("POST", "/admin/organisations", "").message(500, "Failed to read response body, body empty")
	})
}

func TestOrganisationList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, `{"organisations":[],"pages":0}`, b.admin("GET", "/admin/organisations", nil).is(200).body)
	var ids []string
	for i := range 23 {
		ids = append(ids, b.org(fmt.Sprintf(`{"owner_name":"%d"}`, i)))
	}
	list := func(query string) (got []string, pages int) {
		var body struct {
			Organisations []struct{ ID string }
			Pages         int
		}
		b.admin("GET", "/admin/organisations"+query, nil).is(200).json(&body)
		for _, o := range body.Organisations {
			got = append(got, o.ID)
		}
		return got, body.Pages
	}
	for query, want := range map[string]struct {
		ids   []string
		pages int
	}{
		"": {ids, 0}, "/": {ids, 0}, "?p=0": {ids, 0}, "?p=-1": {ids, 0}, "?p=-2": {ids, 0},
		"?p=1": {ids[:10], 3}, "?p=3": {ids[20:], 3}, "?p=4": {nil, 3},
		"?p=5534023222112865486": {nil, 3}, "?p=9223372036854775807": {nil, 3}, // times the size of a page, beyond 64 bits
	} {
		got, pages := list(query)
		require.Equal(t, want.ids, got, query)
		require.Equal(t, want.pages, pages, query)
	}
}

func TestDeletingAnOrganisationDeletesEverythingInIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	empty := storetest.Dump(t, b.conn)
	org := b.org()
	user := b.user(org, "u@example.org", nil)
	b.importAPIs(apiOf(org, "a")).is(200)
	b.importPolicies(`{"_id":"61df10078f11dd00097cb55f","org_id":"` + org + `"}`).is(200)
	b.admin("PUT", "/admin/org/keys/"+org, `{"org_id":"elsewhere"}`).message(404, "Org key doesn't exist")
	b.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`"}`).is(200)
	b.admin("PUT", "/admin/org/keys/"+org, `{"org_id":"elsewhere"}`).message(500, "Updating orgID of org key is not allowed")
	nonce := b.admin("POST", "/admin/sso", `{"ForSection":"portal","OrgID":"`+org+`"}`).is(200).meta()
	require.Equal(t, `{"Status":"OK","Message":"Org deleted","Meta":null}`, b.admin("DELETE", "/admin/organisations/"+org, nil).is(200).body)
	require.Equal(t, empty, storetest.Dump(t, b.conn))
	b.do("GET", "/api/users", nil, asUser(user.AccessKey)).is(401)
	b.do("GET", "/sso?nonce="+nonce, nil).is(401)
	b.admin("DELETE", "/admin/organisations/"+org, nil).message(404, "Could not retrieve org detail")
}

func TestGeneratePortals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	path := "/admin/organisations/" + org + "/generate-portals"
	b.admin("POST", path, "domain=Portal.example%3A8080").message(200, "Org updated")
	require.Contains(t, b.admin("GET", "/admin/organisations/"+org, nil).body, `"cname_enabled":true,"cname":"Portal.example:8080"`)
	b.admin("POST", path, "domain=").message(404, "Could not generate APIs")
	b.admin("POST", "/admin/organisations/5e9d9544a1dcd60001d0ed99/generate-portals", "domain=x.example").message(404, "Could not generate APIs")
}

// TestConflictsSayWithWhom repeats a bootstrap.
func TestConflictsSayWithWhom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org(`{"owner_name":"Rivermouth","cname":"portal.example"}`)
	other := b.org()
	user, otherUser := b.user(org, "ines@example.org", nil), b.user(org, "other@example.org", nil)
	super := b.user("", "ines@example.org", nil)
	for _, c := range []struct{ method, path, body, problem string }{
		{"POST", "/admin/organisations", `{"cname":"Portal.example"}`, `{"path":"/cname","reason":"belongs to organisation ` + org + `"}`},
		{"POST", "/admin/organisations/import", `{"cname":"portal.example"}`, `{"path":"/cname","reason":"belongs to organisation ` + org + `"}`},
		{"POST", "/admin/organisations/import", `{"id":"53ac07777cbb8c2d53000011","cname":"portal.example"}`, `{"path":"/cname","reason":"belongs to organisation ` + org + `"}`},
		{"PUT", "/admin/organisations/" + other, `{"cname":"portal.example"}`, `{"path":"/cname","reason":"belongs to organisation ` + org + `"}`},
		{"POST", "/admin/organisations/" + other + "/generate-portals", `domain=portal.example`, `{"path":"/domain","reason":"belongs to organisation ` + org + `"}`},
		{"POST", "/admin/users", `{"email_address":"INES@example.org","org_id":"` + org + `"}`, `{"path":"/email_address","reason":"belongs to user ` + user.Id + `"}`},
		{"POST", "/admin/users", `{"email_address":"ines@example.org"}`, `{"path":"/email_address","reason":"belongs to user ` + super.Id + `"}`},
		{"PUT", "/admin/users/" + otherUser.Id, `{"email_address":"ines@example.org"}`, `{"path":"/email_address","reason":"belongs to user ` + user.Id + `"}`},
		{"PUT", "/admin/users/" + otherUser.Id, `{"email_address":"ines@example.org","org_id":""}`, `{"path":"/email_address","reason":"belongs to user ` + super.Id + `"}`},
		{"PUT", "/admin/users/" + otherUser.Id, `{"email_address":"other@example.org","access_key":"` + user.AccessKey + `"}`, `{"path":"/access_key","reason":"belongs to user ` + user.Id + `"}`},
	} {
		got := b.admin(c.method, c.path, c.body)
		require.Contains(t, got.body, `"Meta":{"errors":[`+c.problem+`]}`, c.path)
		require.Contains(t, []int{403, 409}, got.status, c.path)
	}
	log := b.log.String()
	require.Contains(t, log, "operation=updateOrg object="+other+" member=cname organisation="+org)
	require.Contains(t, log, "operation=updateUser object="+otherUser.Id+" member=access_key user="+user.Id)
	for _, hidden := range []string{user.AccessKey, "@example.org", "portal.example"} {
		require.NotContains(t, strings.ToLower(log), hidden)
	}
}

// TestFailuresNameTheirObject fails requests about an object.
func TestFailuresNameTheirObject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	user := b.user(org, "ines@example.org", nil)
	storetest.Exec(t, b.conn, `DROP TABLE policies; ALTER TABLE organisations RENAME COLUMN document TO hidden`)
	b.admin("DELETE", "/admin/policies/61df10078f11dd00097cb551", nil).is(500)
	b.admin("GET", "/admin/organisations/"+org, nil).is(500)
	b.do("GET", "/api/portal/policies/gold", nil, asUser(user.AccessKey)).is(500)
	for _, object := range []string{"61df10078f11dd00097cb551", org, "gold"} {
		require.Contains(t, b.log.String(), "object="+object)
	}
}
