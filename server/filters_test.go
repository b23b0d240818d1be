package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/gen/admin"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// searchedAPIs are APIs that differ in what lists are filtered and sorted by. ORG stands for the organisation.
var searchedAPIs = []string{
	`{"api_definition":{"api_id":"keyless","org_id":"ORG","name":"Tide Tables #tides","use_keyless":true},"created_at":"2024-03-01T10:00:00Z","updated_at":"2024-03-05T10:00:00+02:00"}`,
	`{"api_definition":{"api_id":"token","org_id":"ORG","name":"ferries","active":false},"created_at":"2024-02-01T10:00:00.5Z","updated_at":"2024-03-05T09:00:00Z","categories":["tides","Ferries #1"]}`,
	`{"api_definition":{"api_id":"jwt","org_id":"ORG","name":"Äpfel, Birnen 50%_","proxy":{"listen_path":"/Timetable/{day}"},"enable_jwt":true,"use_basic_auth":true,"internal":true}}`,
	`{"api_definition":{"api_id":"tcp","org_id":"ORG","name":"","protocol":"tls","use_standard_auth":true,"enable_signature_checking":true}}`,
	`{"api_definition":{"api_id":"graphql","org_id":"ORG","name":"Graph","graphql":{"enabled":true,"execution_mode":"proxyOnly"},"use_openid":true,"use_oauth2":true}}`,
	`{"api_definition":{"api_id":"udg","org_id":"ORG","name":"graph #a #b#c","graphql":{"enabled":true,"execution_mode":"executionEngine"},"external_oauth":{"enabled":true}}}`,
	`{"api_definition":{"api_id":"subgraph","org_id":"ORG","name":"x","graphql":{"enabled":true,"execution_mode":"subgraph"},"use_mutual_tls_auth":true},"categories":null}`,
	`{"api_definition":{"api_id":"supergraph","org_id":"ORG","name":"y","graphql":{"enabled":true,"execution_mode":"supergraph"},"enable_coprocess_auth":true},"categories":[]}`,
	`{"api_definition":{"api_id":"plugin","org_id":"ORG","graphql":{"enabled":false,"execution_mode":"subgraph"},"use_go_plugin_auth":true,"custom_plugin_auth_enabled":true},"updated_at":"2024-03-05T10:00:00.123456789-01:00"}`,
}

// listed returns the IDs of a list of APIs.
func listed(got reply) string {
	got.t.Helper()
	var list struct {
		APIs []struct {
			Definition struct {
				APIID string `json:"api_id"`
			} `json:"api_definition"`
		} `json:"apis"`
	}
	got.is(200).json(&list)
	var ids []string
	for _, api := range list.APIs {
		ids = append(ids, api.Definition.APIID)
	}
	return strings.Join(ids, " ")
}

// setupSearch stores searchedAPIs, and an API of another organisation.
func setupSearch(t *testing.T) (b *bundle, user admin.User) {
	t.Helper()
	b = setup(t, func(c *server.Config) { c.PageSize = 3 })
	org := b.org()
	var documents []string
	for _, api := range searchedAPIs {
		documents = append(documents, strings.ReplaceAll(api, "ORG", org))
	}
	b.importAPIs(append(documents, apiOf(b.org(), "foreign"))...).is(200)
	return b, b.user(org, "reader@example.org", nil)
}

func TestFiltersOfAPIs(t *testing.T) {
	t.Parallel()
	b, user := setupSearch(t)
	const all = "keyless token jwt tcp graphql udg subgraph supergraph plugin"
	check := func(t *testing.T) {
		t.Helper()
		for query, want := range map[string]string{
			"":                              all,
			"unknown=1&compressed=1":        all,
			"q=&category=&category2=":       all,
			"q=TIDE":                        "keyless",
			"q=graph":                       "graphql udg",
			"q=%25_":                        "jwt",
			"q=%C3%84pfel":                  "jwt",
			"q=nothing":                     "",
			"q=SUBGRAPH":                    "",
			"q=subgraph":                    "subgraph",
			"q=TIMETABLE":                   "jwt",
			"q=/timetable/":                 "jwt",
			"q=/timetable/x":                "",
			"active=true":                   "keyless jwt tcp graphql udg subgraph supergraph plugin",
			"active=false":                  "token",
			"active=0&q=ferries":            "token",
			"active=1&q=ferries":            "",
			"category=tides":                "keyless token",
			"category=Ferries%20%231":       "token",
			"category=a,%20nothing,":        "udg",
			"category=,":                    all,
			"auth_type=keyless":             "keyless",
			"auth_type=authToken":           "token tcp",
			"auth_type=jwt,oidc":            "jwt graphql",
			"auth_type=basic":               "jwt",
			"auth_type=hmac":                "tcp",
			"auth_type=oauth":               "graphql",
			"auth_type=externalOAuth":       "udg",
			"auth_type=mutualTLS,coprocess": "subgraph supergraph",
			"auth_type=goplugin":            "plugin",
			"auth_type=customPlugin":        "plugin",
			"api_type=rest":                 "keyless token jwt plugin",
			"api_type=tcp":                  "tcp",
			"api_type=graphql":              "graphql",
			"api_type=udg":                  "udg",
			"api_type=subgraph":             "subgraph",
			"api_type=supergraph":           "supergraph",
			"api_type=internal":             "jwt",
			"api_type=rest&auth_type=jwt,keyless&q=tide": "keyless",
			"sort=name":                      "tcp plugin token graphql udg keyless subgraph supergraph jwt",
			"sort=-name":                     "jwt supergraph subgraph keyless udg graphql token tcp plugin",
			"sort=created_at":                "jwt tcp graphql udg subgraph supergraph plugin token keyless",
			"sort=-created_at":               "keyless token jwt tcp graphql udg subgraph supergraph plugin",
			"sort=updated_at&api_type=rest":  "jwt keyless token plugin",
			"sort=-updated_at&api_type=rest": "plugin token keyless jwt",
		} {
			got := b.do("GET", "/api/apis?p=-1&"+query, nil, asUser(user.AccessKey))
			require.Equal(t, want, listed(got), query)
			var paged []string
			for page := 1; ; page++ {
				got := b.do("GET", fmt.Sprintf("/api/apis?p=%d&%s", page, query), nil, asUser(user.AccessKey))
				ids := strings.Fields(listed(got))
				require.LessOrEqual(t, len(ids), 3)
				require.Contains(t, got.body, fmt.Sprintf(`"pages":%d}`, (len(strings.Fields(want))+2)/3), query)
				if len(ids) == 0 {
					break
				}
				paged = append(paged, ids...)
			}
			require.Equal(t, want, strings.Join(paged, " "), "the pages of %s", query)
		}
	}
	t.Run("imported", func(t *testing.T) { check(t) })
	t.Run("written by another program", func(t *testing.T) {
		storetest.Exec(t, b.conn, `UPDATE apis SET document = (document::text || ' ')::json`)
		storetest.Announce(t, b.conn)
		require.Equal(t, 10, queryInt(t, b.conn, `SELECT count(*) FROM apis WHERE search IS NULL`))
		check(t)
	})
	t.Run("listed by a gateway since", func(t *testing.T) {
		b.node("GET", "/system/apis", nil).is(200)
		require.Zero(t, queryInt(t, b.conn, `SELECT count(*) FROM apis WHERE search IS NULL AND active`))
		check(t)
	})
	t.Run("a super user filters the APIs of all organisations", func(t *testing.T) {
		super := b.user("", "super@example.org", nil)
		require.Equal(t, "keyless foreign", listed(b.do("GET", "/api/apis?auth_type=keyless&p=-1", nil, asUser(super.AccessKey))))
	})
	for _, query := range []string{
		"sort=size", "sort=", "sort=NAME", "api_type=soap", "api_type=", "auth_type=magic", "auth_type=keyless,magic",
		"auth_type=keyless,", "auth_type=", "q=%00", "q=a&q=b", "sort=name&sort=name", "auth_type=jwt&auth_type=oidc",
		"active=", "active=maybe", "active=true&active=true",
	} {
		b.do("GET", "/api/apis?"+query, nil, asUser(user.AccessKey)).is(400)
	}
	for name, value := range map[string]string{"category": "tides", "auth_type": "jwt"} {
		values := strings.Repeat(value+",", 31) + value
		b.do("GET", "/api/apis?"+name+"="+values, nil, asUser(user.AccessKey)).is(200)
		refused := b.do("GET", "/api/apis?"+name+"="+values+","+value, nil, asUser(user.AccessKey)).is(400)
		require.Contains(t, refused.body, `{"path":"/`+name+`","reason":"has more than 32 values"}`)
	}
}

// connectTo connects to a database of a test.
func connectTo(t *testing.T, conn string) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), conn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close(context.WithoutCancel(t.Context())) })
	return connection
}

// queryInt returns the result of a statement.
func queryInt(t *testing.T, conn, sql string) (n int) {
	t.Helper()
	require.NoError(t, connectTo(t, conn).QueryRow(t.Context(), sql).Scan(&n))
	return n
}

// TestSearchOfImportsIsThatOfPostgres compares what imports store with what Postgres makes of the same documents.
func TestSearchOfImportsIsThatOfPostgres(t *testing.T) {
	t.Parallel()
	b, _ := setupSearch(t)
	org := b.org()
	var documents []string
	for i, at := range []string{
		`"2024-02-30T10:00:00Z"`, `"2024-12-31T23:59:60Z"`, `"2024-01-01T24:00:00Z"`, `"2024-01-01t01:02:03z"`, `"0001-01-01T00:00:00Z"`,
		`"2024-01-01T01:02:03.1234567891Z"`, `"2024-01-01T01:02:03,5Z"`, `"2024-01-01T01:02:03+15:59"`, `"2024-01-01T01:02:03+16:00"`,
		`"2024-01-01"`, `""`, `"0000-01-01T00:00:00Z"`, `"9999-12-31T23:59:59Z"`, `"2024-01-01T1:02:03Z"`, `"\u0000"`, `"2024-01-01T01:02:03Z "`,
	} {
		documents = append(documents, `{"created_at":`+at+`,`+apiOf(org, fmt.Sprint("time-", i))[1:])
	}
	b.importAPIs(documents...).is(200) // the contract refuses some of them
	require.Greater(t, queryInt(t, b.conn, `SELECT count(*) FROM apis WHERE api_id LIKE 'time-%'`), 4)
	rows, err := connectTo(t, b.conn).Query(t.Context(),
		`SELECT api_id, search, api_search(document) FROM apis
		WHERE search - '{route,domain,oas}'::text[] IS DISTINCT FROM api_search(document)
			OR search ->> 'route' IS DISTINCT FROM api_route(document) OR search ->> 'oas' IS DISTINCT FROM api_is_oas(document)`)
	require.NoError(t, err)
	for rows.Next() {
		var id string
		var imported, made json.RawMessage
		require.NoError(t, rows.Scan(&id, &imported, &made))
		if id != "time-14" { // it has a NUL, which Postgres cannot read
			t.Errorf("%s: %s, but Postgres makes %s", id, imported, made)
		}
	}
	require.NoError(t, rows.Err())
}

// TestSearchOfOrganisations: an organisation is found by a part of its name, slug or cname, and by its ID, whoever has
// written it.
func TestSearchOfOrganisations(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *server.Config) { c.PageSize = 2 })
	ids := map[string]string{}
	for name, document := range map[string]string{
		"river": `{"owner_name":"Rivermouth Ferries","owner_slug":"rivermouth","cname":"Portal.Rivermouth.example"}`,
		"tide":  `{"owner_name":"Tide & Co","owner_slug":"the-tides"}`,
		"none":  `{"developer_quota":1}`,
	} {
		ids[name] = b.admin("POST", "/admin/organisations/", document).is(200).meta()
	}
	found := func(query string) (names []string) {
		t.Helper()
		got := b.admin("GET", "/admin/organisations?"+query, nil).is(200)
		for _, org := range gjson.Get(got.body, "organisations.#.id").Array() {
			for name, id := range ids {
				if id == org.String() {
					names = append(names, name)
				}
			}
		}
		slices.Sort(names)
		return names
	}
	check := func() {
		t.Helper()
		for query, want := range map[string][]string{
			"":                                  {"none", "river", "tide"},
			"q=":                                {"none", "river", "tide"},
			"q=FERRIES":                         {"river"},
			"q=mouth":                           {"river"},
			"q=portal.":                         {"river"},
			"q=tide":                            {"tide"},
			"q=ri&p=1":                          {"river"},
			"q=ri&p=2":                          nil,
			"q=%25":                             nil,
			"q=" + ids["none"]:                  {"none"},
			"q=" + strings.ToUpper(ids["tide"]): {"tide"},
			"q=" + ids["none"][:23]:             nil,
		} {
			require.Equal(t, want, found(query), query)
		}
	}
	check()
	require.Contains(t, b.admin("GET", "/admin/organisations?q=e&p=1", nil).is(200).body, `"pages":1}`)
	storetest.Exec(t, b.conn, `UPDATE organisations SET document = replace(document::text, 'Ferries', 'Ships')::json`)
	require.Equal(t, []string{"river"}, found("q=ships"), "written by another program")
	require.Empty(t, found("q=ferries"))
	storetest.Exec(t, b.conn, `UPDATE organisations SET document = '{"owner_name":"\u0000"}' WHERE id = '`+ids["none"]+`'`)
	require.Equal(t, []string{"river"}, found("q=ships"), "beside a document that Postgres cannot read")
	b.admin("GET", "/admin/organisations?q="+strings.Repeat("a", 257), nil).is(400)
}

func TestSearchOfUsers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	reader := b.user(org, "reader@example.org", map[string]string{"users": "read"})
	for address, names := range map[string][2]string{"ines@example.org": {"Ines", "Okoro"}, "b@example.net": {"Bo", "Inesson"}} {
		for _, orgID := range []string{org, other} {
			b.admin("POST", "/admin/users", map[string]any{
				"email_address": address, "first_name": names[0], "last_name": names[1], "org_id": orgID,
			}).is(200)
		}
	}
	for query, want := range map[string]int{
		"": 3, "q=": 3, "q=INES": 2, "q=ines@": 1, "q=s%20OKO": 1, "q=example": 3, "q=nobody": 0, "q=reader": 1,
	} {
		got := b.do("GET", "/api/users?p=1&"+query, nil, asUser(reader.AccessKey)).is(200)
		require.Len(t, gjson.Get(got.body, "users").Array(), want, query)
		require.Contains(t, got.body, `"pages":`+map[bool]string{true: "1", false: "0"}[want > 0]+`}`, query)
	}
	for query, want := range map[string]int{"q=ines": 4, "q=ines&org_id=" + org: 2, "q=inesson": 2, "q=ines&email=b@example.net": 2} {
		got := b.admin("GET", "/admin/users?"+query, nil).is(200)
		require.Len(t, gjson.Get(got.body, "users").Array(), want, query)
	}
}

func TestFilterOfPolicies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	user := b.user(org, "reader@example.org", nil)
	id := func(n int) string { return fmt.Sprintf("%024x", n) }
	policies := []string{`"active":true`, `"active":false`, `"is_inactive":true`, `"active":true,"is_inactive":true`, `"name":"The Golden one"`}
	for i, members := range policies {
		b.importPolicies(`{"_id":"` + id(i) + `","org_id":"` + org + `",` + members + `}`).is(200)
	}
	check := func(query string, want ...int) {
		t.Helper()
		got := b.do("GET", "/api/portal/policies?p=1&"+query, nil, asUser(user.AccessKey)).is(200)
		var list struct {
			Data []struct {
				ID string `json:"_id"`
			}
			Pages int
		}
		got.json(&list)
		require.Len(t, list.Data, len(want), query)
		for i, n := range want {
			require.Equal(t, id(n), list.Data[i].ID, query)
		}
		require.Equal(t, min(len(want), 1), list.Pages)
	}
	for range 2 {
		check("", 0, 1, 2, 3, 4)
		check("active=true", 0, 4)
		check("active=1", 0, 4)
		check("active=false", 1, 2, 3)
		check("q=GOLD", 4)
		check("active=true&q=gold", 4)
		check("active=false&q=gold")
		check("q="+id(2), 2)
		check("q=" + id(2)[1:])
		storetest.Exec(t, b.conn, `UPDATE policies SET document = (document::text || ' ')::json`) // by another program
		storetest.Announce(t, b.conn)
	}
	for _, query := range []string{"active=maybe", "active=", "active=true&active=true"} {
		b.do("GET", "/api/portal/policies?"+query, nil, asUser(user.AccessKey)).is(400)
	}
}

// TestWhatAPIsAreSearchedByIsBounded: lists read a bounded text of each API, however long its name is, and however many
// categories it has.
func TestWhatAPIsAreSearchedByIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	own := asUser(b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	var distinct strings.Builder
	for n := range 200 {
		fmt.Fprintf(&distinct, `"c%d",`, n)
	}
	for id, members := range map[string][2]string{
		"long-name": {strings.Repeat("ä!", 200_000), `[]`},
		"many-tags": {"middle", `[` + strings.Repeat(`"c",`, 40_000) + distinct.String() + `"last"]`},
		"one-tag":   {"small", `["first","` + strings.Repeat("c", 500_000) + `"]`},
	} {
		document := strings.Replace(classic(id, ""), "N "+id, members[0], 1)
		document = strings.Replace(document, `"api_definition":{`, `"api_definition":{"domain":"`+strings.Repeat("ä", 100_000)+`",`, 1)
		document = strings.Replace(document, `{`, `{"categories":`+members[1]+`,`, 1)
		if id == "long-name" { // which the operator only stores
			b.importAPIs(strings.Replace(document, `"api_definition":{`, `"api_definition":{"org_id":"`+org+`",`, 1)).is(200)
			continue
		}
		b.do("POST", "/api/apis", document, own).is(200)
	}
	require.Less(t, queryInt(t, b.conn, `SELECT max(octet_length(search::text)) FROM apis`), 4<<10)
	listed := func(query string) (ids []string) {
		for _, api := range gjson.Get(b.do("GET", "/api/apis?p=1&"+query, nil, own).is(200).body, "apis.#.api_definition.api_id").Array() {
			ids = append(ids, api.String())
		}
		return ids
	}
	require.Equal(t, []string{"many-tags", "one-tag", "long-name"}, listed("sort=name"))
	require.Equal(t, []string{"many-tags"}, listed("category=c42"))
	require.Equal(t, []string{"one-tag"}, listed("category=first"))
	require.Empty(t, listed("category=last"), "more than a hundred are before it")
}
