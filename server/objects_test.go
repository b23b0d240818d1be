package server_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/store/storetest"
)

// documentKind is what the tests of this file need to know of a kind of documents of which an organisation may have
// many.
type documentKind struct {
	path string
	// id is the member with the ID, and list that of the list, "" if the response is the list.
	id, list string
	// audited is the kind in the audit log.
	audited string
	// body is a document that is valid; a text in place of %s makes it unique.
	body string
}

var documentKinds = []documentKind{
	{path: "/api/assets", id: "_id", audited: "asset", body: `{"id":"t-%s","name":"T"}`},
	{path: "/api/hooks", id: "id", list: "hooks", audited: "webhook", body: `{"webhook_id":"w-%s","method":"post","target_path":"http://x/"}`},
	{path: "/api/portal/pages", id: "id", list: "Data", audited: "portal_page", body: `{"slug":"/%s"}`},
	{path: "/api/portal/developers", id: "id", list: "Data", audited: "portal_developer", body: `{"email":"%s@example.org"}`},
	{path: "/api/portal/requests", id: "id", list: "Data", audited: "portal_request", body: `{"by_user":"%s"}`},
	{path: "/api/portal/documentation", id: "id", audited: "portal_documentation", body: `{"api_id":"%s"}`},
}

// onlyKinds are the paths of documents of which an organisation has one.
var onlyKinds = []string{"/api/portal/configuration", "/api/portal/catalogue", "/api/portal/menus", "/api/portal/css"}

// named returns a document of the kind with more members.
func (k documentKind) named(name, more string) string {
	return strings.Replace(fmt.Sprintf(k.body, name), "{", "{"+more, 1)
}

// create creates a document and returns its ID.
func (k documentKind) create(b *bundle, key, name, more string) string {
	b.t.Helper()
	made := b.do("POST", k.path, k.named(name, more), asUser(key))
	require.Contains(b.t, []int{200, 201}, made.status, made.body)
	id := made.envelope().Message
	switch k.path {
	case "/api/assets":
		id = made.meta()
	case "/api/hooks":
		id = gjson.Get(b.do("GET", "/api/hooks/w-"+name, nil, asUser(key)).is(200).body, "id").String()
	}
	require.Regexp(b.t, objectIDPattern, id)
	return id
}

// TestDocumentsOfOrganisations does with each kind of documents what all of them have in common.
func TestDocumentsOfOrganisations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	key, foreign := b.user(org, "a@example.org", nil).AccessKey, b.user(other, "b@example.org", nil).AccessKey
	super := b.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey
	const unknown = `"org_id":"another","_id":"mine","id":"mine","more":{"z":1.10,"a":["\u00e9","<&>"],"n":null},`
	for _, k := range documentKinds {
		t.Run(k.path, func(t *testing.T) {
			more := unknown
			if k.path == "/api/assets" {
				more = strings.Replace(unknown, `"id":"mine",`, "", 1) // which is kept
			}
			id := k.create(b, key, "first", more)
			require.Contains(t, b.audit.last(), " object="+k.audited+" object_id="+id+" outcome=ok")
			one := func() string { return b.do("GET", k.path+"/"+id, nil, asUser(key)).is(200).body }
			require.Contains(t, one(), `"more":{"z":1.10,"a":["\u00e9","<&>"],"n":null}`, "byte for byte")
			require.Equal(t, org, gjson.Get(one(), "org_id").String(), "the caller's organisation wins")
			require.Equal(t, id, gjson.Get(one(), k.id).String(), "the server makes the ID")
			require.Equal(t, 1, strings.Count(one(), `"org_id"`))

			if k.path != "/api/portal/documentation" { // which has no operation that replaces it
				b.do("PUT", k.path+"/"+id, k.named("second", `"label":"N","`+k.id+`":"another",`), asUser(key)).is(200)
				require.NotContains(t, one(), "more")
				require.Equal(t, []string{id, org, "N"}, []string{
					gjson.Get(one(), k.id).String(), gjson.Get(one(), "org_id").String(), gjson.Get(one(), "label").String(),
				})
				require.Equal(t, one(), listedDocuments(b, k, key, "?p=-1")[0], "the list has the same bytes")
			}
			t.Run("others", func(t *testing.T) {
				before := storetest.Dump(t, b.conn)
				for _, method := range []string{"GET", "PUT", "DELETE"} {
					if k.path == "/api/portal/documentation" && method == "PUT" {
						continue
					}
					unknown := b.do(method, k.path+"/588b4f0bb275ff0001cc7471", fmt.Sprintf(k.body, "x"), asUser(foreign)).is(404)
					require.Equal(t, unknown.body, b.do(method, k.path+"/"+id, fmt.Sprintf(k.body, "x"), asUser(foreign)).is(404).body)
				}
				require.Equal(t, before, storetest.Dump(t, b.conn))
				require.Empty(t, listedDocuments(b, k, foreign, ""))
				k.create(b, foreign, "second", "") // what is unique is so within an organisation
			})
			t.Run("a super user", func(t *testing.T) {
				nameless := b.do("POST", k.path, fmt.Sprintf(k.body, "super"), asUser(super))
				require.Contains(t, nameless.body, `{"errors":[{"path":"/org_id"`)
				b.do("POST", k.path, k.named("super", `"org_id":"588b4f0bb275ff0001cc7471",`), asUser(super)).is(nameless.status)
				made := k.create(b, super, "super", `"org_id":"`+other+`",`)
				require.Equal(t, other, gjson.Get(b.do("GET", k.path+"/"+made, nil, asUser(super)).is(200).body, "org_id").String())
				b.do("GET", k.path+"/"+made, nil, asUser(key)).is(404)
			})
			b.do("DELETE", k.path+"/"+id, nil, asUser(key)).is(200)
			require.Contains(t, b.audit.last(), " object="+k.audited+" object_id="+id+" outcome=ok")
			b.do("GET", k.path+"/"+id, nil, asUser(key)).is(404)
		})
	}
	b.admin("DELETE", "/admin/organisations/"+other, nil).is(200)
	require.NotContains(t, objectsDump(t, b.conn), other, "documents are deleted with their organisation")
}

// objectsDump returns the rows of the documents.
func objectsDump(t *testing.T, conn string) string {
	t.Helper()
	_, objects, found := strings.Cut(storetest.Dump(t, conn), "\nobjects\n")
	require.True(t, found, "the dump has the table")
	return objects
}

// listedDocuments returns the documents of a list.
func listedDocuments(b *bundle, k documentKind, key, query string) (documents []string) {
	b.t.Helper()
	if k.path == "/api/portal/documentation" { // which has no list
		return nil
	}
	list := gjson.Parse(b.do("GET", k.path+query, nil, asUser(key)).is(200).body)
	if k.list != "" {
		list = list.Get(k.list)
	}
	require.True(b.t, list.IsArray(), k.path)
	for _, document := range list.Array() {
		documents = append(documents, document.Raw)
	}
	return documents
}

func TestListsOfDocumentsHavePages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.user(b.org(), "a@example.org", nil).AccessKey
	for _, k := range documentKinds {
		if k.path == "/api/portal/documentation" {
			continue
		}
		for i := range 12 {
			k.create(b, key, strconv.Itoa(i), "")
		}
		if k.path == "/api/assets" {
			require.Len(t, listedDocuments(b, k, key, "?p=2"), 12, "it has no pages")
			continue
		}
		require.Len(t, listedDocuments(b, k, key, ""), 10, k.path)
		require.Len(t, listedDocuments(b, k, key, "?p=2"), 2, k.path)
		require.Len(t, listedDocuments(b, k, key, "?p=0"), 12, k.path)
		require.Regexp(t, `"[pP]ages":2}$`, b.do("GET", k.path, nil, asUser(key)).body)
	}
}

// TestOnlyDocuments is about documents of which an organisation has one.
func TestOnlyDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "a@example.org", nil).AccessKey
	other := b.org()
	otherKey := b.user(other, "b@example.org", nil).AccessKey
	super := b.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey
	for _, path := range onlyKinds {
		t.Run(path, func(t *testing.T) {
			one := func() string { return b.do("GET", path, nil, asUser(key)).is(200).body }
			b.do("GET", path, nil, asUser(key)).is(404)
			b.do("PUT", path, `{}`, asUser(key)).message(404, "Could not retrieve portal object.")
			var ids sync.Map
			var creations sync.WaitGroup
			for range 8 { // at once
				creations.Go(func() {
					ids.Store(b.do("POST", path, `{"more":[1.50]}`, asUser(key)).is(200).envelope().Message, true)
				})
			}
			creations.Wait()
			var all []string
			ids.Range(func(id, _ any) bool { all = append(all, fmt.Sprint(id)); return true })
			require.Len(t, all, 1, "an organisation has one")
			require.Equal(t, all[0], gjson.Get(one(), "id").String())

			again := b.do("POST", path, `{"org_id":"`+org+`","email":"x","name":null,"more":null}`, asUser(key)).is(200).envelope().Message
			require.Equal(t, all[0], again)
			require.Contains(t, one(), `"more":[1.50]`, "creating it again keeps what the body lacks")
			require.Equal(t, "x", gjson.Get(one(), "email").String())
			b.do("PUT", path, `{"id":"588b4f0bb275ff0001cc7471","menus":{}}`, asUser(key)).message(200, "Data updated")
			require.NotContains(t, one(), "more")
			require.Equal(t, []string{all[0], org}, []string{gjson.Get(one(), "id").String(), gjson.Get(one(), "org_id").String()})
			b.do("POST", path, nil, asUser(otherKey)).is(200)
			require.Equal(t, one(), b.do("GET", path+"?org_id="+org, nil, asUser(super)).is(200).body)
			require.Equal(t, other, gjson.Get(b.do("GET", path+"?org_id="+other, nil, asUser(super)).is(200).body, "org_id").String())
			b.do("GET", path, nil, asUser(super)).is(404)
			require.Equal(t, one(), b.do("GET", path+"?org_id="+other, nil, asUser(key)).is(200).body, "the caller's counts")
			b.do("PUT", path, `{}`, asUser(super)).is(403)
			b.do("PUT", path, `{"org_id":"`+org+`","by":"super"}`, asUser(super)).is(200)
			require.Contains(t, one(), `"by":"super"`)
			require.Contains(t, b.audit.last(), "object_id="+all[0])
		})
	}
	t.Run("names of members stay as they are escaped", func(t *testing.T) {
		const member = `"a\":1,\"org_id\":\"x\",\"b":1`
		for range 2 { // the second one replaces the member of the first
			b.do("POST", "/api/portal/catalogue", `{"apis":[],`+member+`}`, asUser(key)).is(200)
			require.Contains(t, b.do("GET", "/api/portal/catalogue", nil, asUser(key)).body, member)
		}
	})
	t.Run("the entries of a catalogue are a list", func(t *testing.T) {
		for _, method := range []string{"POST", "PUT"} {
			b.do(method, "/api/portal/catalogue", `{"apis":null}`, asUser(key)).is(200)
			require.Contains(t, b.do("GET", "/api/portal/catalogue", nil, asUser(key)).body, `"apis":[]`)
		}
		b.do("PUT", "/api/portal/catalogue", `{"apis":{}}`, asUser(key)).is(403)
	})
}

// TestSuperUsersNameOrganisations: what is unique in an organisation only is that of none for a super user, unless one
// organisation has it.
func TestSuperUsersNameOrganisations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	super := asUser(b.user("", "super@example.org", nil).AccessKey)
	var orgs []string
	var keys []with
	for _, email := range []string{"a@example.org", "b@example.org"} {
		orgs = append(orgs, b.org())
		keys = append(keys, asUser(b.user(orgs[len(orgs)-1], email, nil).AccessKey))
	}
	b.do("POST", "/api/assets", `{"id":"twice","kind":"oas-template","name":"first","data":{}}`, keys[0]).is(201)
	b.do("GET", "/api/assets/twice", nil, super).is(200)
	b.do("POST", "/api/assets", `{"id":"twice","kind":"oas-template","name":"second","data":{}}`, keys[1]).is(201)
	b.do("GET", "/api/assets/twice", nil, super).is(404)
	b.do("PUT", "/api/assets/twice", `{"name":"x","kind":"oas-template","data":{}}`, super).is(404)
	b.do("DELETE", "/api/assets/twice", nil, super).is(404)
	for i, name := range []string{"first", "second"} {
		own := b.do("GET", "/api/assets/twice", nil, keys[i]).is(200).body
		require.Equal(t, name, gjson.Get(own, "name").String())
		require.Equal(t, own, b.do("GET", "/api/assets/"+gjson.Get(own, "_id").String(), nil, super).is(200).body)
	}
	for i, key := range keys {
		b.do("POST", "/api/portal/developers", fmt.Sprintf(`{"email":"D@example.org","sso_key":"s","n":%d}`, i), key).is(200)
	}
	for _, path := range []string{"/api/portal/developers/email/d@example.org", "/api/portal/developers/ssokey/s"} {
		b.do("GET", path, nil, super).is(404)
		for i, org := range orgs {
			require.Equal(t, int64(i), gjson.Get(b.do("GET", path+"?org_id="+org, nil, super).is(200).body, "n").Int())
			require.Equal(t, int64(i), gjson.Get(b.do("GET", path+"?org_id="+orgs[0], nil, keys[i]).is(200).body, "n").Int())
		}
	}
	taken := b.do("POST", "/api/portal/developers", `{"email":"d@example.org"}`, keys[0])
	require.Regexp(t, `"reason":"belongs to developer [0-9a-f]{24}"`, taken.body, "the words of the contract")
}

// TestDocumentsAreCompleted: a document gets the documented members that it lacks, in their documented places, with
// their defaults.
func TestDocumentsAreCompleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "a@example.org", nil).AccessKey
	for _, k := range documentKinds {
		id := k.create(b, key, "x", "")
		body := b.do("GET", k.path+"/"+id, nil, asUser(key)).body
		body = strings.NewReplacer(id, "ID", org, "ORG").Replace(body)
		for _, at := range gjson.Get(body, "@values").Array() {
			if strings.HasPrefix(at.String(), "20") {
				body = strings.Replace(body, at.String(), "NOW", 1)
			}
		}
		require.Equal(t, map[string]string{
			"/api/assets": `{"_id":"ID","id":"t-x","name":"T","org_id":"ORG","description":"","kind":"oas-template","data":{},"last_updated":"NOW"}`,
			"/api/hooks": `{"api_model":{},"id":"ID","org_id":"ORG","name":"","webhook_id":"w-x","method":"post","target_path":"http://x/","template_path":"",` +
				`"header_map":{},"event_timeout":0}`,
			"/api/portal/pages": `{"id":"ID","title":"","slug":"/x","template_name":"","fields":{},"org_id":"ORG","is_homepage":false,"page_settings":{}}`,
			"/api/portal/developers": `{"id":"ID","date_created":"NOW","inactive":false,"org_id":"ORG","keys":{},"subscriptions":{},"fields":{},` +
				`"nonce":"","sso_key":"","oauth_clients":{},"password_max_days":0,"password_updated":"0001-01-01T00:00:00Z","PWHistory":[],"last_login_date":"0001-01-01T00:00:00Z","email":"x@example.org"}`,
			"/api/portal/requests":      `{"id":"ID","org_id":"ORG","by_user":"x","for_plan":"","apply_policies":[],"fields":{},"approved":false,"date_created":"NOW","version":""}`,
			"/api/portal/documentation": `{"id":"ID","api_id":"x","doc_type":"","documentation":"","org_id":"ORG"}`,
		}[k.path], body)
	}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.user(b.org(), "a@example.org", map[string]string{"hooks": "write"}).AccessKey
	for _, body := range []string{`{}`, `{"method":"POST"}`, `{"target_path":"x"}`, `{"method":"","target_path":"x"}`, `{"method":"HEAD","target_path":"x"}`, `{"method":null,"target_path":"x"}`} {
		b.do("POST", "/api/hooks", body, asUser(key)).message(400, "Webhook object validation failed.")
	}
	const hook = `{"method":"DELETE","target_path":"x","header_map":null`
	require.Equal(t, `{"Status":"OK","Message":"Webhook created","Meta":null}`, b.do("POST", "/api/hooks", hook+`}`, asUser(key)).is(200).body)
	made := gjson.Get(b.do("GET", "/api/hooks", nil, asUser(key)).body, "hooks.0")
	require.Contains(t, made.Raw, `"header_map":null`, "as it came")
	webhookID := made.Get("webhook_id").String()
	require.Regexp(t, `^[0-9a-f]{32}$`, webhookID)
	b.do("POST", "/api/hooks", hook+`,"webhook_id":"`+webhookID+`"}`, asUser(key)).message(409, "Duplicate webhook_id.")
	b.do("PUT", "/api/hooks/"+webhookID, hook+`,"webhook_id":"`+webhookID+`"}`, asUser(key)).is(200)
	b.do("PUT", "/api/hooks/"+webhookID, hook+`}`, asUser(key)).message(200, "Hook updated")
	b.do("GET", "/api/hooks/"+webhookID, nil, asUser(key)).is(404)
	require.Contains(t, b.do("GET", "/api/hooks/"+made.Get("id").String(), nil, asUser(key)).is(200).body, `"webhook_id":""`)
	b.do("POST", "/api/hooks", hook+`,"webhook_id":"`+webhookID+`"}`, asUser(key)).is(200)
}

func TestAssets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.user(b.org(), "a@example.org", nil).AccessKey
	var made clientStatus
	b.do("POST", "/api/assets", `{"name":"x","kind":null,"_id":"","id":"","last_updated":"0001-01-01T00:00:00Z"}`, asUser(key)).is(201).json(&made)
	require.Equal(t, made.Meta, made.ID, "without an id, it is the _id")
	require.Contains(t, b.do("GET", "/api/assets/"+made.ID, nil, asUser(key)).body, `"kind":"oas-template"`)
	b.do("POST", "/api/assets", `{"kind":"theme"}`, asUser(key)).message(422, "unsupported asset kind: 'theme'.")
	b.do("GET", "/api/assets?kind=oas-temp", nil, asUser(key)).message(400, "unsupported asset kind: 'oas-temp'")
	for _, query := range []string{"", "?kind=oas-template", "?kind="} {
		require.Len(t, gjson.Parse(b.do("GET", "/api/assets"+query, nil, asUser(key)).is(200).body).Array(), 1)
	}
	b.do("PUT", "/api/assets/"+made.ID, `{"id":"renamed"}`, asUser(key)).is(200)
	b.do("PUT", "/api/assets/renamed", `{"name":"y"}`, asUser(key)).is(200).json(&made)
	require.Equal(t, "renamed", made.ID, "the id stays if there is none")
	b.do("POST", "/api/assets", `{"id":"second"}`, asUser(key)).is(201)
	b.do("PUT", "/api/assets/second", `{"id":"renamed"}`, asUser(key)).message(409, "Asset ID already exists: 'renamed'.")
	b.do("GET", "/api/assets/none", nil, asUser(key)).message(404, "Asset not found")
	b.do("PUT", "/api/assets/none", `{}`, asUser(key)).message(404, "Asset not found.")
	b.do("DELETE", "/api/assets/none", nil, asUser(key)).message(404, "asset not found")
	large := `{"data":{"x":"` + strings.Repeat("a", 900<<10) + `"}}`
	b.do("POST", "/api/assets", large, asUser(key)).is(201)
	b.do("POST", "/api/assets", `{"data":{"x":"`+strings.Repeat("a", 1<<20)+`"}}`, asUser(key)).is(413)
}

// TestPasswordsOfDevelopers: a password is stored as a hash, and nothing returns either.
func TestPasswordsOfDevelopers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.user(b.org(), "a@example.org", nil).AccessKey
	hash := func() (hash string) {
		conn, err := pgx.Connect(t.Context(), b.conn)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT coalesce(password_hash, '') FROM objects`).Scan(&hash))
		return hash
	}
	id := b.do("POST", "/api/portal/developers", `{"email":"D@Example.org","password":"first-secret","Password":"second-secret","n":1.0}`, asUser(key)).is(200).envelope().Message
	one := func() string { return b.do("GET", "/api/portal/developers/"+id, nil, asUser(key)).is(200).body }
	matches, err := argon2id.ComparePasswordAndHash("second-secret", hash())
	require.NoError(t, err)
	require.True(t, matches, "of members with one name in any case, the last counts")
	updated, created := gjson.Get(one(), "password_updated").String(), gjson.Get(one(), "date_created").String()
	require.NotEqual(t, "0001-01-01T00:00:00Z", updated)
	first := hash()

	for _, body := range []string{`{"email":"d@example.org"}`, `{"email":"d@example.org","password":"","password_updated":null}`, `{"email":"d@example.org","password":null}`} {
		b.do("PUT", "/api/portal/developers/"+id, body, asUser(key)).is(200)
		require.Equal(t, first, hash(), "no password keeps the current one")
		require.Equal(t, []string{updated, created}, []string{gjson.Get(one(), "password_updated").String(), gjson.Get(one(), "date_created").String()})
	}
	b.do("PUT", "/api/portal/developers/"+id, `{"email":"d@example.org","password":"third-secret"}`, asUser(key)).is(200)
	require.NotEqual(t, first, hash())
	require.NotEqual(t, updated, gjson.Get(one(), "password_updated").String())

	b.do("POST", "/api/portal/developers", `{"email":"d@EXAMPLE.org"}`, asUser(key)).message(403, "Developer email already exists for this org.")
	b.do("POST", "/api/portal/developers", `{"password":"x"}`, asUser(key)).message(403, "Request body malformed.")
	b.do("POST", "/api/portal/developers", `{"email":"e@example.org","PASSWORD":"`+strings.Repeat("x", 1025)+`"}`, asUser(key)).message(403, "Request body malformed.")
	everything := one() + b.do("GET", "/api/portal/developers", nil, asUser(key)).body + b.log.String() + b.audit.String() +
		strings.ReplaceAll(storetest.Dump(t, b.conn), hash(), "")
	for _, secret := range []string{"first-secret", "second-secret", "third-secret", "argon2id", `"password"`, `"Password"`} {
		require.NotContains(t, everything, secret)
	}
}

// TestDocumentsReachNoGateway: gateways get nothing of them, and are not told.
func TestDocumentsReachNoGateway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.user(b.org(), "a@example.org", nil).AccessKey
	conn, err := pgx.Connect(t.Context(), b.conn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `LISTEN gatehouse`)
	require.NoError(t, err)
	for _, k := range documentKinds {
		k.create(b, key, "x", "")
	}
	b.admin("GET", "/admin/system/reload", nil).is(200)
	notice, err := conn.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, "change", notice.Payload, "the reload is the first notice")
	var lists struct{ Message []json.RawMessage }
	for _, path := range []string{"/system/apis", "/system/policies"} {
		b.do("GET", path, nil, header("Authorization", nodeSecret)).is(200).json(&lists)
		require.Empty(t, lists.Message)
	}
}
