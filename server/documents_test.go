package server_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/store/storetest"
)

const documentsOrg = "5e9d9544a1dcd60001d0ed20"

// fixtures returns documents as users write them, with members that no schema declares, in compact form.
func fixtures(t *testing.T, pattern string) (compact []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/" + pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, json.Compact(&out, raw), file)
		compact = append(compact, out.String())
	}
	return compact
}

func TestDocumentsAreReturnedByteForByte(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("POST", "/admin/organisations/import", `{"id":"`+documentsOrg+`","owner_name":"x"}`).is(200)
	user := b.user(documentsOrg, "reader@example.org", nil)
	apis, policies := fixtures(t, "api-*.json"), fixtures(t, "policy-*.json")
	b.importAPIs(strings.Join(apis, " ,\n\t")).message(200, "APIs imported")
	b.importPolicies(strings.Join(policies, ",\r\n ")).message(200, "Policies imported")

	wantAPIs, wantPolicies := `{"apis":[`+strings.Join(apis, ",")+`],"pages":0}`, `{"Data":[`+strings.Join(policies, ",")+`],"Pages":0}`
	require.Equal(t, wantAPIs, b.admin("GET", "/admin/apis", nil).is(200).body)
	require.Equal(t, wantPolicies, b.admin("GET", "/admin/policies?org_id="+documentsOrg, nil).is(200).body)
	require.Equal(t, wantAPIs, b.do("GET", "/api/apis?p=-1", nil, asUser(user.AccessKey)).is(200).body)
	require.Equal(t, wantPolicies, b.do("GET", "/api/portal/policies?p=0", nil, asUser(user.AccessKey)).is(200).body)
	for _, doc := range apis {
		id := gjson.Get(doc, "api_definition.api_id").String()
		require.Equal(t, doc, b.do("GET", "/api/apis/"+id, nil, asUser(user.AccessKey)).is(200).body)
	}
	for _, doc := range policies {
		require.Equal(t, doc, b.do("GET", "/api/portal/policies/"+gjson.Get(doc, "_id").String(), nil, asUser(user.AccessKey)).is(200).body)
	}
	t.Run("gateways get the same bytes", func(t *testing.T) {
		node := header("Authorization", nodeSecret)
		require.True(t, strings.HasPrefix(b.do("GET", "/system/apis", nil, node).is(200).body, `{"Message":[`+strings.Join(apis, ",")+`],"Nonce":"`))
		require.True(t, strings.HasPrefix(b.do("GET", "/system/policies", nil, node).is(200).body, `{"Message":[`+strings.Join(policies, ",")+`],"Nonce":"`))
	})
	t.Run("importing an export changes nothing", func(t *testing.T) {
		before := storetest.Dump(t, b.conn)
		b.admin("POST", "/admin/apis/import", wantAPIs).is(200)
		b.admin("POST", "/admin/policies/import", wantPolicies).is(200)
		require.Equal(t, before, storetest.Dump(t, b.conn))
	})
}

func TestOnlyMissingIDsAreAdded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin("POST", "/admin/organisations/import", `{"id":"`+documentsOrg+`"}`).is(200)
	b.importAPIs(`{"z":1.0,"api_definition":{"org_id":"` + documentsOrg + `","name":"\u0041"}}`).is(200)
	require.Regexp(t, `^\{"apis":\[\{"z":1.0,"api_definition":\{"api_id":"[0-9a-f]{32}","id":"[0-9a-f]{24}","org_id":"`+documentsOrg+`","name":"\\u0041"\}\}\],"pages":0\}$`,
		b.admin("GET", "/admin/apis", nil).body)
	b.importPolicies(`{"id":"","org_id":"` + documentsOrg + `","_id":""}`).is(200)
	require.Regexp(t, `^\{"Data":\[\{"id":"","org_id":"`+documentsOrg+`","_id":"[0-9a-f]{24}"\}\],"Pages":0\}$`, b.admin("GET", "/admin/policies", nil).body)
}

func TestOrganisationsAndSessionsAreReturnedUnchanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fields := `"zeta":{"b":1.10,"a":[1e3,123456789012345678901234567890]},"owner_name":"\u00e9 <&> \/","event_options":{"unknown":{"x":null}}`
	b.admin("POST", "/admin/organisations/import", `{"id":"`+documentsOrg+`",`+fields+`}`).is(200)
	got := b.admin("GET", "/admin/organisations/"+documentsOrg, nil).is(200).body
	for _, token := range strings.SplitAfter(fields, ",\"") {
		require.Contains(t, got, strings.TrimSuffix(token, ",\""))
	}
	session := `{"org_id":"` + documentsOrg + `","rate":1.50,"unknown":[1e2],"tags":[],"meta_data":{"<&>":"\u0041"}}`
	b.admin("POST", "/admin/org/keys", session).is(200)
	require.Contains(t, b.admin("GET", "/admin/org/keys/"+documentsOrg, nil).is(200).body, `"data":`+session)
}

// FuzzUnknownField imports any JSON value in a member that the contract does not declare, and exports it unchanged.
func FuzzUnknownField(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[1.10,1e3,-0,123456789012345678901234567890]`, `"\u003c\/\ud83d\ude00"`, `{"a":1,"a":{"b":[]}}`, ` [ 1 , { "x" : "<&>" } ] `, `"é"`, `null`,
	} {
		f.Add(seed)
	}
	const largest = 64 << 10 // larger values are no different, and slow
	b := setup(f)            // shared by all inputs
	b.admin("POST", "/admin/organisations/import", `{"id":"`+documentsOrg+`"}`).is(200)
	f.Fuzz(func(t *testing.T, value string) {
		var compact bytes.Buffer
		if len(value) > largest || json.Compact(&compact, []byte(value)) != nil || strings.Contains(value, "\uFFFD") || !json.Valid([]byte(value)) || strings.Count(value, "[")+strings.Count(value, "{") > 900 {
			return
		}
		b.t = t
		body := `{"api_definition":{"api_id":"fuzz","id":"5ea6b3e1d1a7f6000183b5c4","org_id":"` + documentsOrg + `"},"unknown_to_all":` + value + `}`
		if status := b.importAPIs(body).status; status != 200 {
			require.Equal(t, 403, status) // Postgres cannot store it
			return
		}
		want := `{"api_definition":{"api_id":"fuzz","id":"5ea6b3e1d1a7f6000183b5c4","org_id":"` + documentsOrg + `"},"unknown_to_all":` + compact.String() + `}`
		require.Equal(t, `{"apis":[`+want+`],"pages":0}`, b.admin("GET", "/admin/apis", nil).body)
	})
}
