package server_test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store/storetest"
)

func TestOfRepeatedMembersTheLastCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	t.Run("permissions", func(t *testing.T) {
		user := b.admin("POST", "/admin/users", `{"email_address":"a@b.example","user_permissions":{"IsAdmin":"admin"},"first_name":"one",`+
			`"user_permissions":{"apis":"read"},"first_name":"two"}`).is(200).user()
		require.Equal(t, map[string]string{"apis": "read"}, user.UserPermissions)
		require.Equal(t, "two", user.FirstName)
		user = b.admin("PUT", "/admin/users/"+user.Id, `{"email_address":"a@b.example","user_permissions":{"users":"write","users":"read"},`+
			`"\u0075ser_permissions":{"keys":"read","keys":"write"}}`).is(200).user()
		require.Equal(t, map[string]string{"keys": "write"}, user.UserPermissions)
	})
	t.Run("a value that the last one hides need not be valid", func(t *testing.T) {
		b.admin("POST", "/admin/users", `{"email_address":5,"email_address":"c@b.example"}`).is(200)
		b.admin("POST", "/admin/users", `{"email_address":"d@b.example","email_address":5}`).message(403, "Request body malformed")
	})
	t.Run("organisations and sessions are stored without the others", func(t *testing.T) {
		b.admin("PUT", "/admin/organisations/"+org, `{"owner_name":"x","ui":{"a":{"b":1}},"ui":{"a":{"c":1},"a":{"d":1}}}`).is(200)
		require.Contains(t, b.admin("GET", "/admin/organisations/"+org, nil).body, `"ui":{"a":{"d":1}}`)
		b.admin("POST", "/admin/org/keys", `{"org_id":"elsewhere","rate":1,"org_id":"`+org+`","rate":2}`).is(200)
		require.Contains(t, b.admin("GET", "/admin/org/keys/"+org, nil).body, `"data":{"org_id":"`+org+`","rate":2}`)
	})
	t.Run("sign-on, in any case", func(t *testing.T) {
		nonce := b.admin("POST", "/admin/sso", `{"ForSection":"dashboard","OrgID":"elsewhere","orgid":"`+org+`","GroupsIDs":["a","b"],"groupsids":["c"]}`).is(200).meta()
		require.Contains(t, b.do("GET", "/tap?nonce="+nonce, nil).is(200).body, `"GroupsIDs":["c"]`)
	})
	t.Run("imports", func(t *testing.T) {
		b.importAPIs(`{"api_definition":{"api_id":"hidden","org_id":"elsewhere","name":"n"},"api_definition":{"api_id":"seen","api_id":"twice","org_id":"`+org+`"}}`).
			message(200, "APIs imported")
		require.Regexp(t, `^\{"apis":\[\{"api_definition":\{"id":"[0-9a-f]{24}","api_id":"twice","org_id":"`+org+`"\}\}\],"pages":0\}$`, b.admin("GET", "/admin/apis", nil).body)
	})
	t.Run("a form", func(t *testing.T) {
		b.admin("POST", "/admin/organisations/"+org+"/generate-portals", "domain=one.example&domain=two.example").is(200)
		require.Contains(t, b.admin("GET", "/admin/organisations/"+org, nil).body, `"cname":"two.example"`)
	})
}

// unreadable are values that are JSON, but that Go, Python or jq cannot read, or not write again.
var unreadable = map[string]string{
	"half of a surrogate pair": `"\ud800"`,
	"the other half":           `"\udc00"`,
	"a swapped pair":           `"\udc00\ud800"`,
	"half a pair in a name":    `{"\ud800":1}`,
	"beyond a float":           `1e400`,
	"beyond a float, negative": `-1e400`,
	"beyond a float, in full":  strings.Repeat("9", 400),
	"Python's 4,300 digits":    strings.Repeat("9", 4301),
	"9,999 lists":              strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999),
	"9,999 objects":            strings.Repeat(`{"a":`, 9_999) + "1" + strings.Repeat("}", 9_999),
	"more than the limit":      strings.Repeat("[", defaultDepth) + strings.Repeat("]", defaultDepth),
}

// defaultDepth is the default of --max-depth.
const defaultDepth = 120

// TestWhatIsStoredCanBeRead sends every operation that stores a document what some programs cannot read, and reads back
// what was stored with three of them.
func TestWhatIsStoredCanBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.Limits.Depth = defaultDepth })
	org := b.org()
	key := b.user(org, "u@example.org", nil).AccessKey
	b.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`"}`).is(200)
	stores := map[string]func(value string) reply{
		"createOrg": func(v string) reply { return b.admin("POST", "/admin/organisations", `{"x":`+v+`}`) },
		"importOrgs": func(v string) reply {
			return b.admin("POST", "/admin/organisations/import", `{"org_options_meta":{"x":`+v+`}}`)
		},
		"updateOrg":    func(v string) reply { return b.admin("PUT", "/admin/organisations/"+org, `{"ui":{"x":`+v+`}}`) },
		"createOrgKey": func(v string) reply { return b.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`","x":`+v+`}`) },
		"updateOrgKey": func(v string) reply { return b.admin("PUT", "/admin/org/keys/"+org, `{"meta_data":{"x":`+v+`}}`) },
		"importAPIs": func(v string) reply {
			return b.importAPIs(`{"api_definition":{"org_id":"` + org + `","config_data":{"x":` + v + `}}}`)
		},
		"importPolicies": func(v string) reply { return b.importPolicies(`{"org_id":"` + org + `","x":` + v + `}`) },
		"createUser": func(v string) reply {
			return b.admin("POST", "/admin/users", `{"email_address":"x@example.org","x":`+v+`}`)
		},
		"generateAuthToken": func(v string) reply {
			return b.admin("POST", "/admin/sso", `{"ForSection":"portal","OrgID":"`+org+`","x":`+v+`}`)
		},
	}
	before := storetest.Dump(t, b.conn)
	for operation, store := range stores {
		for name, value := range unreadable {
			got := store(value)
			require.Equal(t, 403, got.status, "%s: %s: %s", operation, name, got.body)
			require.Contains(t, got.body, `"Meta":{"errors":[{`, "%s: %s", operation, name)
		}
	}
	require.Equal(t, before, storetest.Dump(t, b.conn))

	deepest := strings.Repeat(`{"a":`, defaultDepth-4) + `[1.5e300,-0,1e-400,` + strings.Repeat("9", 300) + `,"\u0000\ud83d\ude00\u2028",null]` + strings.Repeat("}", defaultDepth-4)
	for operation, store := range stores {
		got := store(deepest)
		require.Equal(t, 200, got.status, "%s: %s", operation, got.body)
	}
	for _, path := range []string{
		"/admin/organisations", "/admin/organisations/" + org, "/admin/org/keys/" + org, "/admin/apis", "/admin/policies", "/admin/users",
		"/api/apis?p=-1", "/api/portal/policies?p=-1", "/system/apis", "/system/policies",
	} {
		credential := asUser(key)
		if strings.HasPrefix(path, "/system") {
			credential = header("Authorization", nodeSecret)
		}
		readable(t, b.admin("GET", path, nil, credential).is(200).body)
	}
}

// readable reads JSON with Go, Python and jq, and writes it again.
func readable(t *testing.T, text string) {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal([]byte(text), &value))
	for _, command := range [][]string{
		{"python3", "-c", "import json, sys; sys.stdout.buffer.write(json.dumps(json.load(sys.stdin), ensure_ascii=False, allow_nan=False).encode())"},
		{"jq", "-c", "."},
	} {
		if _, err := exec.LookPath(command[0]); err != nil {
			t.Logf("%s is not installed: its reading is not tested", command[0])
			continue
		}
		run := exec.CommandContext(t.Context(), command[0], command[1:]...)
		run.Stdin = strings.NewReader(text)
		out, err := run.CombinedOutput()
		require.NoError(t, err, "%s: %s", command[0], out[:min(len(out), 1000)])
	}
}

// nullPlaces returns the paths of the properties of a schema that need not be there.
func nullPlaces(s *openapi3.Schema, path []any, depth int) (places [][]any) {
	if depth == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		place := append(slices.Clone(path), name)
		if !slices.Contains(s.Required, name) {
			places = append(places, place)
		}
		places = append(places, nullPlaces(s.Properties[name].Value, place, depth-1)...)
	}
	if s.Items != nil {
		places = append(places, nullPlaces(s.Items.Value, append(slices.Clone(path), 0), depth-1)...)
	}
	return places
}

// TestNullIsAbsent sends each operation its example with null in place of each property, and without the property, to
// two servers with the same rows: the responses are the same.
func TestNullIsAbsent(t *testing.T) {
	t.Parallel()
	const depth = 3
	random := regexp.MustCompile(`[0-9a-f-]{24,36}|[0-9A-Za-z+/=]{48}|"(created_at|password_updated)":"[^"]*"`)
	servers := newExampleServers(t)
	for _, op := range operations() {
		if op.jsonBody() == nil {
			continue
		}
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			absent, null := servers.lend(t), servers.lend(t)
			send := func(b *bundle, place []any, value any) reply {
				var body any
				require.NoError(t, json.Unmarshal([]byte(op.requestBody(t)), &body))
				raw, err := json.Marshal(put(body, place, value))
				require.NoError(t, err)
				return b.do(op.method, op.target(nil), string(raw), credential(op))
			}
			places := nullPlaces(op.jsonBody(), nil, depth)
			require.NotEmpty(t, places)
			list := loadedContract().Operation(op.id).Body.List
			for _, place := range places {
				if len(place) == 1 && place[0] == list { // Go writes an empty list as null: it is there, and empty
					continue
				}
				var without any = missing{}
				if len(place) == 1 && place[0] == loadedContract().Operation(op.id).Body.List {
					without = []any{} // as Go encodes an empty list
				}
				want, got := send(absent, place, without), send(null, place, nil)
				require.Equal(t, want.status, got.status, "%v: %s", place, got.body)
				if op.id == "createOrgKey" { // which shows the session as it came
					continue
				}
				require.Equal(t, random.ReplaceAllString(want.body, "?"), random.ReplaceAllString(got.body, "?"), "%v", place)
			}
		})
	}
}

func TestNullsAreStoredAsTheyCame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.admin("POST", "/admin/organisations", `{"owner_name":null,"cname":null,"developer_quota":null,"Developer_Count":null,"sso_enabled":null,"ui":{"hide_help":null}}`).is(200).meta()
	require.Equal(t, `{"id":"`+org+`","owner_name":null,"owner_slug":"","cname_enabled":false,"cname":null`, strings.Split(b.admin("GET", "/admin/organisations/"+org, nil).is(200).body, `,"apis"`)[0])
	b.admin("GET", "/admin/organisations", nil).is(200)
	session := `{"org_id":"` + org + `","rate":null,"access_rights":{"a":{"limit":null,"versions":[null],"api_name":null}},"is_inactive":null}`
	b.admin("POST", "/admin/org/keys", session).is(200)
	require.Contains(t, b.admin("GET", "/admin/org/keys/"+org, nil).is(200).body, session)
	api := `{"api_definition":{"api_id":"a","id":"5ea6b3e1d1a7f6000183b5c4","org_id":"` + org + `","name":null,"active":null,"proxy":{"listen_path":null}},"is_site":null}`
	b.importAPIs(api).message(200, "APIs imported")
	require.Contains(t, b.admin("GET", "/admin/apis", nil).is(200).body, api)
	policy := `{"_id":"61df10078f11dd00097cb55f","id":null,"org_id":"` + org + `","rate":null,"active":null,"tags":null}`
	b.importPolicies(policy).message(200, "Policies imported")
	require.Contains(t, b.admin("GET", "/admin/policies", nil).is(200).body, policy)
	for _, path := range []string{"/system/apis", "/system/policies"} {
		require.Contains(t, b.do("GET", path, nil, header("Authorization", nodeSecret)).is(200).body, `"org_id":"`+org+`"`, "a gateway gets it")
	}
	user := b.admin("POST", "/admin/users", `{"org_id":null,"email_address":"n@example.org","first_name":null,"active":null,"password_max_days":null,"user_permissions":null}`).is(200).user()
	require.Equal(t, map[string]string{"IsAdmin": "admin", "ResetPassword": "admin"}, user.UserPermissions)
	b.admin("POST", "/admin/users", `{"email_address":null}`).message(403, "User object validation failed")
	b.admin("POST", "/admin/sso", `{"ForSection":"portal","OrgID":"`+org+`","EmailAddress":null,"SSOOnlyForRegisteredUsers":null,"GroupsIDs":[null]}`).is(200)
}

func TestIDsAsMongoWritesThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := func(hex string) string { return `{ "$oid" : "` + hex + `" }` }
	require.Equal(t, documentsOrg, b.admin("POST", "/admin/organisations/import", `{"id":`+id(documentsOrg)+`,"owner_name":"x"}`).is(200).meta())
	require.Contains(t, b.admin("GET", "/admin/organisations/"+documentsOrg, nil).is(200).body, `{"id":"`+documentsOrg+`","owner_name":"x",`)
	b.admin("POST", "/admin/organisations/import", `{"id":{"$oid":5}}`).message(403, "Request body malformed")
	b.admin("POST", "/admin/organisations/import", `{"id":{"$oid":"short"}}`).message(403, "Request body malformed")

	b.importAPIs(`{"api_definition":{"api_id":"a","id":`+id("5ea6b3e1d1a7f6000183b5c4")+`,"org_id":"`+documentsOrg+`"}}`).message(200, "APIs imported")
	key := b.user(documentsOrg, "u@example.org", nil).AccessKey
	b.do("GET", "/api/apis/5ea6b3e1d1a7f6000183b5c4", nil, asUser(key)).is(200)
	b.importPolicies(`{"_id":`+id("61df10078f11dd00097cb55f")+`,"org_id":"`+documentsOrg+`"}`).message(200, "Policies imported")
	require.Contains(t, b.admin("GET", "/admin/policies", nil).is(200).body, `{"_id":{"$oid":"61df10078f11dd00097cb55f"},"org_id":`)
	b.do("GET", "/api/portal/policies/61df10078f11dd00097cb55f", nil, asUser(key)).is(200)
	for _, path := range []string{"/system/apis", "/system/policies"} {
		require.Contains(t, b.do("GET", path, nil, header("Authorization", nodeSecret)).is(200).body, `{"$oid":"`, "a gateway decodes it")
	}
	b.importPolicies(`{"_id":{"$oid":"x"},"org_id":"`+documentsOrg+`"}`).message(403, "Request body malformed")
}

func TestAddressesAreStoredInLowerCase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	user := b.user(org, "Äda.Lovelace@Example.ORG", nil)
	require.Equal(t, "äda.lovelace@example.org", user.EmailAddress)
	user = b.admin("PUT", "/admin/users/"+user.Id, `{"email_address":"ADA@EXAMPLE.ORG","active":true}`).is(200).user()
	require.Equal(t, "ada@example.org", user.EmailAddress)
	require.Equal(t, "ada@example.org", b.admin("GET", "/admin/users/"+user.Id, nil).is(200).user().EmailAddress)
	b.admin("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"aDa@example.org"}`).message(403, "User email already exists for this Org")
	require.Contains(t, b.admin("GET", "/admin/users?email=ADA@example.org", nil).is(200).body, `"email_address":"ada@example.org"`)
}

func TestCNamesThatAreNoHostNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, cname := range []string{"<no value>", "a b", "*.example", "a..b", ":3000", "a:b", "{{ .Host }}", "[x]"} {
		body, err := json.Marshal(map[string]string{"cname": cname})
		require.NoError(t, err)
		for range 2 {
			id := b.admin("POST", "/admin/organisations", string(body)).is(200).meta()
			b.admin("PUT", "/admin/organisations/"+id, string(body)).is(200)
			require.Contains(t, b.admin("GET", "/admin/organisations/"+id, nil).is(200).body, strings.Trim(string(body), "{}"), "it is stored")
		}
	}
	for _, cname := range []string{
		"localhost", "portal.example.", "tyk-portal.localhost:3000", "Auto-test-org_1", "bücher.example", "127.0.0.1:3000", "[::1]:3000",
	} {
		b.admin("POST", "/admin/organisations", `{"cname":"`+cname+`"}`).is(200)
		b.admin("POST", "/admin/organisations", `{"cname":"`+strings.ToUpper(cname)+`"}`).message(403, "Failed to save new Org object to DB")
	}
}

func TestBodiesOfWindowsPrograms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.admin("POST", "/admin/organisations", "\ufeff{\"owner_name\":\"x\"}").is(200).meta()
	b.admin("POST", "/admin/apis/import", "\ufeff{\"apis\":["+apiOf(org, "a")+"]}").message(200, "APIs imported")
	for _, path := range []string{"/admin/organisations", "/admin/apis/import"} {
		got := b.admin("POST", path, "\xff\xfe{\x00}\x00").message(403, "Request body malformed")
		require.Contains(t, got.body, `{"path":"","reason":"the body is in UTF-16: send it in UTF-8"}`)
	}
	for _, empty := range []string{"\ufeff", "\ufeff \r\n"} {
		b.admin("POST", "/admin/organisations", empty).message(500, "Failed to read response body, body empty")
		b.admin("POST", "/admin/apis/import", empty).message(500, "Failed to read response body, body empty")
	}
}

func TestSyntaxErrorsHaveAPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, member := range map[string]string{"/admin/organisations": "apis", "/admin/apis/import": "apis", "/admin/policies/import": "Data"} {
		for body, place := range map[string]string{
			"{\n  \"MEMBER\": [\n    {\"x\": tru}\n  ]\n}":        "at byte 27, line 3, column 14",
			"{\r\n \"MEMBER\": [{\"x\": \"\u00e9\", \"y\": 01}]}": "at byte 31, line 2, column 29",
			"{\"MEMBER\":[],\n":   "at byte 12, line 2, column 1",
			"{\"MEMBER\":[]}\n x": "at byte 13, line 2, column 2",
		} {
			body = strings.Replace(body, "MEMBER", member, 1)
			got := b.admin("POST", path, body).message(403, "Request body malformed")
			require.Contains(t, got.body, place, "%s: %q", path, body)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "u@example.org", nil).AccessKey
	padded := func(body string, size int) string {
		return body[:len(body)-1] + strings.Repeat(" ", size-len(body)) + "}"
	}
	const small, large = 256 << 10, 512 << 10
	sso := `{"ForSection":"portal","OrgID":"` + org + `"}`
	b.admin("POST", "/admin/sso", padded(sso, small)).is(200)
	b.admin("POST", "/admin/sso", padded(sso, small+1)).is(413)
	b.do("POST", "/api/sso", padded(sso, small+1), asUser(key)).is(413)
	b.do("POST", "/api/users/"+exampleUser+"/actions/reset", padded(`{"new_password":"secret"}`, small+1), asUser(key)).is(413)
	b.admin("POST", "/admin/organisations", padded(`{"owner_name":"x"}`, large)).is(200)
	b.admin("POST", "/admin/organisations", padded(`{"owner_name":"x"}`, large+1)).is(413)
	for _, encoding := range []string{"gzip", "zstd"} {
		encoded := header("Content-Encoding", encoding)
		b.admin("POST", "/admin/organisations", string(compressed(t, encoding, padded(`{"owner_name":"x"}`, large))), encoded).is(200)
		b.admin("POST", "/admin/organisations", string(compressed(t, encoding, padded(`{"owner_name":"x"}`, large+1))), encoded).is(413)
		b.admin("POST", "/admin/organisations", string(compressed(t, encoding, strings.Repeat(" ", 64<<20))), encoded).is(413)
	}
	got := b.admin("POST", "/admin/organisations", `{"x":[`+strings.Repeat("0,", 50_000)+`0]}`).message(403, "Request body malformed")
	require.Contains(t, got.body, "more than 50000 values")
	got = b.admin("POST", "/admin/organisations", `{"apis":[`+strings.Repeat("0,", 40_000)+`0]}`).message(403, "Request body malformed")
	require.Equal(t, 20, strings.Count(got.body, `"reason"`), "problems are listed up to a limit")
	require.Contains(t, got.body, `{"path":"/apis/0","reason":"value must be an object"}`)
}
