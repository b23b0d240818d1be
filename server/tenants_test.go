package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

const notOwned = "Attempted access to non-owned key."

// certificateHash is the part of a certificate's ID after its organisation.
var certificateHash = strings.Repeat("0123456789abcdef", 4)

// tenants are two organisations, each with an API, policies and a user who may change keys.
type tenants struct {
	org, other string
	key        string // the access key of the user of org
	otherKey   string
}

func twoTenants(b *bundle) tenants {
	b.t.Helper()
	two := tenants{org: b.org(), other: b.org()}
	two.key = b.user(two.org, "a@example.org", map[string]string{"keys": "write", "users": "write"}).AccessKey
	two.otherKey = b.user(two.other, "b@example.org", map[string]string{"keys": "write"}).AccessKey
	for i, org := range []string{two.org, two.other} {
		api, prefix := []string{"own", "foreign"}[i], []string{"a", "b"}[i]
		b.importAPIs(strings.Replace(apiOf(org, api), `"use_keyless":true`, `"use_keyless":false`, 1)).is(200)
		rights := `"access_rights":{"` + api + `":{"api_id":"` + api + `","versions":["Default"]}}`
		b.importPolicies(
			`{"_id":"`+idOf(prefix, 1)+`","id":"`+api+`-gold","org_id":"`+org+`",`+rights+`}`,
			`{"_id":"`+idOf(prefix, 2)+`","org_id":"`+org+`",`+rights+`}`,
			`{"_id":"`+idOf(prefix, 3)+`","id":"`+api+`-nothing","org_id":"`+org+`"}`,
			`{"_id":"`+idOf(prefix, 4)+`","id":"`+api+`-no-rights","org_id":"`+org+`","access_rights":{},"rate":5}`,
			`{"_id":"`+idOf(prefix, 5)+`","id":"`+api+`-quota","org_id":"`+org+`","partitions":{"quota":true},`+rights+`}`,
			`{"_id":"`+idOf(prefix, 6)+`","id":"`+api+`-acl","org_id":"`+org+`","partitions":{"quota":true,"acl":true},`+rights+`}`,
		).is(200)
	}
	return two
}

// idOf returns an ID of 24 digits.
func idOf(prefix string, n int) string { return strings.Repeat(prefix, 23) + strconv.Itoa(n) }

// foreignSessions are sessions of an organisation that reach another one. {O} is the other organisation.
var foreignSessions = map[string]string{
	"its organisation":                       `{"org_id":"{O}","apply_policies":["own-gold"]}`,
	"its organisation beside the own":        `{"org_id":"{A}","ORG_ID":"{O}","apply_policies":["own-gold"]}`,
	"its API":                                `{"access_rights":{"foreign":{}}}`,
	"its API beside the own":                 `{"access_rights":{"own":{},"foreign":{}}}`,
	"its API below the name of the own":      `{"access_rights":{"own":{"api_id":"foreign"}}}`,
	"its API below the name, in upper case":  `{"access_rights":{"own":{"api_id":"own","API_ID":"foreign"}}}`,
	"its API in another case":                `{"access_rights":{"own":{}},"Access_Rights":{"foreign":{}}}`,
	"its API with a long s":                  `{"access_rights":{"own":{}},"acceſſ_rightſ":{"foreign":{}}}`,
	"its API with escapes":                   `{"\u0061ccess_rights":{"f\u006freign":{}}}`,
	"an API that does not exist":             `{"access_rights":{"tomorrow":{}}}`,
	"its policy":                             `{"apply_policies":["foreign-gold"]}`,
	"its policy beside the own":              `{"apply_policies":["own-gold","foreign-gold"]}`,
	"its policy by _id":                      `{"apply_policies":["bbbbbbbbbbbbbbbbbbbbbbb2"]}`,
	"its policy by an _id that id replaces":  `{"apply_policies":["bbbbbbbbbbbbbbbbbbbbbbb1"]}`,
	"its policy in another case":             `{"Apply_Policies":["foreign-gold"]}`,
	"its policy with a long s":               `{"apply_policieſ":["foreign-gold"]}`,
	"its policy in the second of two":        `{"apply_policies":["own-gold"],"apply_policies":["foreign-gold"]}`,
	"its policy in the old place":            `{"apply_policy_id":"foreign-gold"}`,
	"its policy in the old place, too":       `{"apply_policies":["own-gold"],"APPLY_POLICY_ID":"foreign-gold"}`,
	"a policy that does not exist":           `{"apply_policies":["own-gold","tomorrow"]}`,
	"no name of a policy":                    `{"apply_policies":["own-gold",""]}`,
	"an own policy by an _id without effect": `{"apply_policies":["aaaaaaaaaaaaaaaaaaaaaaa1"]}`,
	"a policy of its own":                    `{"apply_policies":["own-gold"],"meta_data":{"policies":[{"id":"x","org_id":"{O}","access_rights":{"foreign":{}}}]}}`,
	"a policy in META_DATA":                  `{"apply_policies":["own-gold"],"META_DATA":{"policies":[]}}`,
	"everything":                             `{}`,
	"everything, in words":                   `{"access_rights":{},"apply_policies":[],"apply_policy_id":"","rate":1}`,
	"everything, with null":                  `{"access_rights":null,"apply_policies":null}`,
	"everything, by a policy of nothing":     `{"apply_policies":["own-nothing"]}`,
	"everything, by several of them":         `{"apply_policies":["own-nothing","own-no-rights","own-quota"],"access_rights":{}}`,
	"everything, in the old place":           `{"apply_policy_id":"own-quota","access_rights":null}`,
	"everything, beside one without effect":  `{"apply_policies":["own-no-rights"],"apply_policy_id":"own-gold"}`,
	"everything, after an own policy":        `{"apply_policies":["own-gold"],"apply_policies":[]}`,
	"everything, in another case":            `{"apply_policies":["own-gold"],"Apply_Policies":null}`,
	"its certificate":                        `{"apply_policies":["own-gold"],"certificate":"{O}{H}"}`,
	"a certificate with quotes":              `{"apply_policies":["own-gold"],"certificate":"x\",\"org\":\"{O}"}`,
	"its certificate for signatures":         `{"apply_policies":["own-gold"],"rsa_certificate_id":"{O}{H}"}`,
	"its certificate among bindings":         `{"apply_policies":["own-gold"],"mtls_static_certificate_bindings":["{A}{H}","{O}{H}"]}`,
	"an OAuth client":                        `{"apply_policies":["own-gold"],"oauth_client_id":"somebody's"}`,
	"a token of an OAuth client":             `{"apply_policies":["own-gold"],"oauth_keys":{"mine":"a key to delete"}}`,
}

// ownSessions are sessions that refer only to the organisation's own APIs and policies.
var ownSessions = map[string]string{
	"an own API":              `{"access_rights":{"own":{"api_id":"own","versions":["Default"]}}}`,
	"an own policy":           `{"org_id":"{A}","apply_policies":["own-gold"]}`,
	"an own policy by _id":    `{"apply_policies":["aaaaaaaaaaaaaaaaaaaaaaa2"]}`,
	"in the old place":        `{"apply_policy_id":"own-gold","meta_data":{"a":1,"policies":null}}`,
	"limits of one policy":    `{"apply_policies":["own-quota","own-acl"]}`,
	"limits beside rights":    `{"apply_policies":["own-gold","own-nothing"],"access_rights":{"own":{"api_id":"own"}}}`,
	"an own certificate":      `{"apply_policies":["own-gold"],"certificate":"{A}{H}","rsa_certificate_id":"{H}"}`,
	"nothing of an OAuth app": `{"apply_policies":["own-gold"],"oauth_client_id":"","oauth_keys":{},"certificate":""}`,
}

// replacedSessions reach another organisation with a member that a later one of the same name replaces.
var replacedSessions = map[string]string{
	"its organisation, then the own":  `{"org_id":"{O}","org_id":"{A}","apply_policies":["own-gold"]}`,
	"a policy in the first meta_data": `{"apply_policies":["own-gold"],"meta_data":{"polici\u0065s":[{}]},"meta_data":{}}`,
	"its API in the first of two":     `{"access_rights":{"foreign":{}},"access_rights":{"own":{}}}`,
	"its policy in the first of two":  `{"apply_policies":["foreign-gold"],"apply_policies":["own-gold"]}`,
}

func (two tenants) fill(session string) string {
	return strings.NewReplacer("{A}", two.org, "{O}", two.other, "{H}", certificateHash).Replace(session)
}

// TestSessionsReachNoOtherOrganisation sends each session for a new key and for an existing one. A gateway would accept
// nearly all of them.
func TestSessionsReachNoOtherOrganisation(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	two := twoTenants(e.bundle)
	super := e.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey
	e.gateway.WaitForAPI(t, "own", soon)
	gatewaytest.Eventually(t, soon, "the policies are loaded", func() bool { return len(e.gateway.Policies()) == 12 })
	key := e.do("POST", "/api/keys", `{"apply_policies":["own-gold"]}`, asUser(two.key)).is(200)
	path := "/api/keys/" + keyID(key)
	before := e.do("GET", path, nil, asUser(two.key)).is(200).body
	stored := len(e.redis.Client().Keys(t.Context(), "apikey-*").Val())
	for name, session := range foreignSessions {
		t.Run(name, func(t *testing.T) {
			body := two.fill(session)
			e.do("POST", "/api/keys", body, asUser(two.key)).message(400, notOwned)
			e.do("PUT", path, body, asUser(two.key)).message(400, notOwned)
			if !strings.Contains(strings.ToLower(body), "org_id") {
				body = `{"org_id":"` + two.org + `",` + strings.TrimPrefix(body, `{`)
				body = strings.Replace(body, `,}`, `}`, 1)
			}
			e.do("POST", "/api/keys", body, asUser(super)).message(400, notOwned)
		})
	}
	require.Equal(t, before, e.do("GET", path, nil, asUser(two.key)).is(200).body)
	require.Len(t, e.redis.Client().Keys(t.Context(), "apikey-*").Val(), stored, "no key was made")
	for name, session := range ownSessions {
		t.Run(name, func(t *testing.T) {
			e.do("POST", "/api/keys", two.fill(session), asUser(two.key)).is(200)
			e.do("PUT", path, two.fill(session), asUser(two.key)).is(200)
		})
	}
	for name, session := range replacedSessions {
		t.Run(name+": the gateway gets the last", func(t *testing.T) {
			id := keyID(e.do("POST", "/api/keys", two.fill(session), asUser(two.key)).is(200))
			got := e.do("GET", "/api/keys/"+id, nil, asUser(two.key)).is(200).body
			require.NotContains(t, got, two.other)
			require.NotContains(t, got, "foreign")
			require.NotContains(t, got, `"policies":[{`)
		})
	}
	t.Run("what decoders may read in different ways is malformed", func(t *testing.T) {
		for body, place := range map[string]string{
			`{"Apply_Policies":["own-gold"]}`:                               "/Apply_Policies",
			`{"apply_policies":["own-gold"],"APPLY_POLICIES":["own-gold"]}`: "/APPLY_POLICIES",
			`{"Access_Rights":{"own":{}}}`:                                  "/Access_Rights",
		} {
			refused := e.do("POST", "/api/keys", body, asUser(two.key)).message(403, "Request body malformed.")
			require.Contains(t, refused.body, `"path":"`+place+`"`)
		}
	})
	t.Run("what the gateway has set stays", func(t *testing.T) {
		e.redis.Client().Set(t.Context(), "apikey-oauth", `{"org_id":"`+two.org+`","apply_policies":["own-gold"],
			"certificate":"as imported","oauth_client_id":"c","oauth_keys":{"c":"t"}}`, 0)
		unchanged := `{"apply_policies":["own-gold"],"certificate":"as imported","oauth_client_id":"c","oauth_keys":{"c":"t"}}`
		e.do("PUT", "/api/keys/oauth", unchanged, asUser(two.key)).is(200)
		e.do("PUT", "/api/keys/oauth", strings.Replace(unchanged, `"t"`, `"u"`, 1), asUser(two.key)).message(400, notOwned)
	})
}

func keyID(key reply) string {
	key.t.Helper()
	var made struct {
		ID string `json:"key_id"`
	}
	key.json(&made)
	return made.ID
}

// TestKeyOpensNoAPIOfAnotherOrganisation shows with the gateway's own control API what the checks of sessions prevent:
// a key with the policy of another organisation opens its API.
func TestKeyOpensNoAPIOfAnotherOrganisation(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	two := twoTenants(e.bundle)
	e.gateway.WaitForAPI(t, "foreign", soon)
	gatewaytest.Eventually(t, soon, "the policies are loaded", func() bool { return len(e.gateway.Policies()) == 12 })
	session := `{"org_id":"` + two.org + `","apply_policies":["foreign-gold"]}`
	client, err := gateway.New(gateway.Config{Host: e.gateway.URL(), Secret: controlSecret})
	require.NoError(t, err)
	key, err := client.CreateKey(t.Context(), []byte(session))
	require.NoError(t, err)
	e.through("/foreign/", key.ID).is(200)
	e.do("POST", "/api/keys", session, asUser(two.key)).message(400, notOwned)
	own := keyID(e.do("POST", "/api/keys", `{"apply_policies":["own-gold"]}`, asUser(two.key)).is(200))
	e.through("/own/", own).is(200)
	e.through("/foreign/", own).is(403)
}

// TestPoliciesEmbedNoPolicies: a gateway merges the meta_data of a policy into its keys, and applies the policies that
// it then finds there, of whatever organisation.
func TestPoliciesEmbedNoPolicies(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	two := twoTenants(e.bundle)
	editor := e.user(two.org, "editor@example.org", map[string]string{"policies": "write", "keys": "write", "oauth": "write"}).AccessKey
	policy := func(metaData string) string {
		return `{"_id":"` + idOf("c", 1) + `","id":"bridge","org_id":"` + two.org + `","access_rights":{"own":{"api_id":"own"}},` + metaData + `}`
	}
	embedded := `[{"id":"x","org_id":"` + two.other + `","access_rights":{"foreign":{"api_id":"foreign","versions":["Default"]}}}]`
	e.do("POST", "/api/portal/policies", policy(`"meta_data":{"a":1,"policies":null}`), asUser(editor)).is(200)
	before := e.admin("GET", "/admin/policies?p=-1", nil).is(200).body
	for _, metaData := range []string{
		`"meta_data":{"policies":` + embedded + `}`, `"meta_data":{"policies":[]}`, `"meta_data":{"policies":{}}`,
		`"meta_data":{"Policies":` + embedded + `}`, `"meta_data":{"polici\u0065ſ":` + embedded + `}`,
		`"meta_data":{"a":1},"Meta_Data":{"policies":` + embedded + `}`, `"meta_data":{"a":1},"meta_data":{"policies":` + embedded + `}`,
		`"meta_data":{"policies":` + embedded + `,"policies":[]}`,
	} {
		created := strings.NewReplacer(idOf("c", 1), idOf("c", 2), "bridge", "bridge-2").Replace(policy(metaData))
		for _, refused := range []reply{
			e.do("POST", "/api/portal/policies", created, asUser(editor)),
			e.do("PUT", "/api/portal/policies/bridge", policy(metaData), asUser(editor)),
			e.importPolicies(created), e.importPolicies(policy(metaData)),
		} {
			require.Regexp(t, `(?i)/?meta_data`, refused.is(403).body)
		}
	}
	require.Equal(t, before, e.admin("GET", "/admin/policies?p=-1", nil).is(200).body, "nothing was stored")

	// What an earlier version has stored.
	e.gateway.WaitForAPI(t, "foreign", soon)
	gatewaytest.Eventually(t, soon, "the policies are loaded", func() bool { return slices.Contains(e.gateway.Policies(), "bridge") })
	older := keyID(e.do("POST", "/api/keys", `{"apply_policies":["bridge"]}`, asUser(editor)).is(200))
	e.through("/own/", older).is(200)
	storetest.Exec(t, e.conn, `UPDATE policies SET document = '`+policy(`"meta_data":{"policies":`+embedded+`}`)+`', checked = NULL
		WHERE policy_id = 'bridge'`)
	e.do("POST", "/api/keys", `{"apply_policies":["bridge"]}`, asUser(editor)).message(400, notOwned)
	e.do("POST", "/api/keys", `{"apply_policies":["own-gold","bridge"]}`, asUser(editor)).message(400, notOwned)
	e.do("PUT", "/api/keys/"+older, `{"apply_policies":["bridge"]}`, asUser(editor)).message(400, notOwned)
	e.do("POST", "/api/apis/oauth/own", `{"policy_id":"bridge"}`, asUser(editor)).message(500, "Could not retrieve policy details.")
	e.admin("GET", "/admin/system/reload", nil).is(200)
	gatewaytest.Eventually(t, soon, "the policy is left out", func() bool { return !slices.Contains(e.gateway.Policies(), "bridge") })
	e.through("/foreign/", older).is(403)
	e.do("PUT", "/api/portal/policies/bridge", policy(`"meta_data":{"a":2}`), asUser(editor)).is(200)
	gatewaytest.Eventually(t, soon, "the policy is back", func() bool { return slices.Contains(e.gateway.Policies(), "bridge") })
	e.do("POST", "/api/keys", `{"apply_policies":["bridge"]}`, asUser(editor)).is(200)
}

// TestKeysHaveNoLaterPolicy: a key keeps the IDs of its policies in gateways, also of such that are gone.
func TestKeysHaveNoLaterPolicy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	editor := b.user(org, "a@example.org", map[string]string{"policies": "write"}).AccessKey
	stranger := b.user(other, "b@example.org", map[string]string{"policies": "write"}).AccessKey
	for _, id := range []string{"gold", "silver"} {
		b.do("POST", "/api/portal/policies", `{"id":"`+id+`"}`, asUser(editor)).is(200)
	}
	bronze := b.do("POST", "/api/portal/policies", `{"_id":"`+idOf("c", 1)+`"}`, asUser(editor)).is(200)
	require.Contains(t, bronze.body, idOf("c", 1))
	b.do("DELETE", "/api/portal/policies/gold", nil, asUser(editor)).is(200)
	b.do("DELETE", "/api/portal/policies/"+idOf("c", 1), nil, asUser(editor)).is(200)
	b.do("PUT", "/api/portal/policies/silver", `{"id":"steel"}`, asUser(editor)).is(200)
	b.do("POST", "/api/portal/policies", `{"id":"theirs"}`, asUser(stranger)).is(200)
	for _, document := range []string{`{"id":"gold"}`, `{"id":"silver"}`, `{"_id":"` + idOf("c", 1) + `"}`, `{"id":"` + idOf("c", 1) + `"}`} {
		b.do("POST", "/api/portal/policies", document, asUser(stranger)).is(409)
		if strings.Contains(document, `"id"`) {
			b.do("PUT", "/api/portal/policies/theirs", document, asUser(stranger)).is(409)
		}
	}
	b.do("PUT", "/api/portal/policies/theirs", `{"id":"theirs","rate":1}`, asUser(stranger)).is(200)
	b.do("POST", "/api/portal/policies", `{"id":"gold"}`, asUser(editor)).is(200)
	b.do("POST", "/api/portal/policies", `{"_id":"`+idOf("c", 1)+`"}`, asUser(editor)).is(200)
	b.do("POST", "/api/portal/policies", `{"_id":"`+idOf("e", 1)+`","id":"explicit"}`, asUser(editor)).is(200)
	for _, id := range []string{idOf("e", 1), strings.ToUpper(idOf("e", 1))} { // gateways may use either ID
		b.do("POST", "/api/portal/policies", `{"id":"`+id+`"}`, asUser(stranger)).is(409)
		b.do("PUT", "/api/portal/policies/theirs", `{"id":"`+id+`"}`, asUser(stranger)).is(409)
	}
	// Keys know a policy by either ID, whichever of them it has: both stay with the organisation.
	b.do("DELETE", "/api/portal/policies/explicit", nil, asUser(editor)).is(200)
	for _, document := range []string{
		`{"_id":"` + idOf("e", 1) + `"}`, `{"_id":"` + idOf("e", 1) + `","id":"new"}`, `{"id":"` + strings.ToUpper(idOf("e", 1)) + `"}`,
		`{"_id":"` + idOf("e", 2) + `","id":"explicit"}`, `{"_id":"` + idOf("c", 1) + `","id":"new"}`, `{"id":"Explicit"}`,
	} {
		b.do("POST", "/api/portal/policies", document, asUser(stranger)).is(409)
	}
	b.do("POST", "/api/portal/policies", `{"_id":"`+idOf("e", 1)+`","id":"explicit"}`, asUser(editor)).is(200)
	b.importPolicies(`{"_id":"` + idOf("d", 1) + `","id":"silver","org_id":"` + other + `"}`).is(200)
	b.do("DELETE", "/api/portal/policies/silver", nil, asUser(stranger)).is(200)
	b.do("POST", "/api/portal/policies", `{"id":"silver"}`, asUser(stranger)).is(200)
}

// controlAPI is a gateway's control API that records its calls.
type controlAPI struct {
	running atomic.Int64

	mu    sync.Mutex // guards calls and most
	calls []string
	// most is the largest number of calls that ran at the same time, except notices, which may be sent at any time.
	most int64
}

func startControlAPI(t *testing.T, answer http.HandlerFunc) (*controlAPI, func(*server.Config)) {
	t.Helper()
	api := &controlAPI{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := int64(0)
		if !strings.HasPrefix(r.URL.Path, "/tyk/reload") {
			now = api.running.Add(1)
			defer api.running.Add(-1)
		}
		api.mu.Lock()
		api.most = max(api.most, now)
		api.calls = append(api.calls, r.Method+" "+r.URL.RequestURI())
		api.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(web.Close)
	client, err := gateway.New(gateway.Config{Host: web.URL, Secret: controlSecret})
	require.NoError(t, err)
	return api, func(cfg *server.Config) { cfg.Gateway = client }
}

func (c *controlAPI) mostAtOnce() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// take returns the calls since the last take.
func (c *controlAPI) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

// TestIDsOfKeysReachNoOtherOperation: a gateway cleans paths, and redirects to the clean one.
func TestIDsOfKeysReachNoOtherOperation(t *testing.T) {
	t.Parallel()
	control, withControl := startControlAPI(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/tyk/reload/group")
		w.WriteHeader(http.StatusMovedPermanently)
	})
	b := setup(t, withControl)
	b.importAPIs(apiOf(b.org(), "harbour")) // notices of the import precede those that are counted
	org := b.org()
	key := b.user(org, "a@example.org", map[string]string{"keys": "write", "oauth": "write", "certs": "write"}).AccessKey
	b.importAPIs(apiOf(org, "quay")).is(200)
	gatewaytest.Eventually(t, soon, "the notice", func() bool { return len(control.take()) > 0 })
	for _, id := range []string{
		"..%2Freload%2Fgroup", "..", "%2E%2E", ".", "%2F", "..%2Fapis", "..%2Forg%2Fkeys", "a%2F..%2F..%2Freload", "%2e%2e%2Freload%3Fblock=true",
	} {
		for _, method := range []string{"GET", "PUT", "DELETE", "HEAD"} {
			got := b.do(method, "/api/keys/"+id, `{"rate":1}`, asUser(key)).is(404)
			if strings.Contains(got.body, "Message") && method != "HEAD" {
				require.NotContains(t, got.body, "Moved")
			}
			b.do(method, "/api/apis/-/keys/"+id, `{"rate":1}`, asUser(key)).is(404)
			if method != "PUT" {
				b.do(method, "/api/apis/oauth/quay/"+id, nil, asUser(key)).is(404)
				b.do(method, "/api/certs/"+id, nil, asUser(key)).is(404)
			}
		}
		b.do("GET", "/api/apis/oauth/quay/"+id+"/tokens", nil, asUser(key)).is(404)
		b.do("POST", "/api/keys/"+id, `{"access_rights":{"quay":{}}}`, asUser(key)).is(404)
		b.do("POST", "/api/apis/keys/basic/"+id, `{"access_rights":{"quay":{}},"basic_auth_data":{"password":"x"}}`, asUser(key)).is(404)
	}
	for _, call := range control.take() {
		require.Regexp(t, "^GET /tyk/reload/group$", call, "an ID that is no key is not sent")
	}
	b.do("GET", "/api/keys/unknown", nil, asUser(key)).is(400)
	for _, call := range control.take() {
		if strings.Contains(call, "keys") {
			require.Equal(t, "GET /tyk/keys/unknown?org_id="+org, call)
		}
	}
}

// TestListOfKeysIsBounded counts the calls of the control API that listing the keys of an API takes.
func TestListOfKeysIsBounded(t *testing.T) {
	t.Parallel()
	const keys = 405
	var count atomic.Int64 // keys of the gateway
	count.Store(keys)
	var org, other string
	session := func(n int) string {
		switch n % 5 {
		case 0:
			return `{"org_id":"` + other + `","access_rights":{"harbour":{}}}`
		case 1:
			return `{"org_id":"` + org + `","access_rights":{"elsewhere":{}}}`
		}
		return `{"org_id":"` + org + `","access_rights":{"harbour":{"api_id":"harbour"}}}`
	}
	control, withControl := startControlAPI(t, func(w http.ResponseWriter, r *http.Request) {
		name, one := strings.CutPrefix(r.URL.Path, "/tyk/keys/")
		if one {
			var n int
			if _, err := fmt.Sscanf(name, "key-%d", &n); err != nil || r.URL.Query().Get("hashed") == "" {
				http.Error(w, `{"status":"error","message":"Key not found"}`, http.StatusNotFound)
				return
			}
			fmt.Fprint(w, session(n))
			return
		}
		names := make([]string, count.Load())
		for n := range names {
			names[n] = fmt.Sprintf(`"key-%d"`, n)
		}
		fmt.Fprint(w, `{"keys":[`+strings.Join(names, ",")+`]}`)
	})
	b := setup(t, withControl)
	org, other = b.org(), b.org()
	reader := b.user(org, "reader@example.org", map[string]string{"keys": "read"}).AccessKey
	b.importAPIs(apiOf(org, "harbour")).is(200)
	list := func(b *bundle) []string {
		var listed struct{ Data struct{ Keys []string } }
		b.do("GET", "/api/apis/harbour/keys", nil, asUser(reader)).is(200).json(&listed)
		return listed.Data.Keys
	}
	sent := func() (calls []string) {
		for _, call := range control.take() {
			if strings.Contains(call, "keys") {
				calls = append(calls, call)
			}
		}
		return calls
	}
	t.Run("without a Redis, each key is one call, and a few are two", func(t *testing.T) {
		require.Len(t, list(b), keys*3/5)
		calls := sent()
		require.Equal(t, "GET /tyk/keys?filter="+org, calls[0])
		require.LessOrEqual(t, len(calls), 1+keys+2*8)
		require.LessOrEqual(t, control.mostAtOnce(), int64(8))
	})
	t.Run("lists at the same time share the bound", func(t *testing.T) {
		count.Store(40)
		defer count.Store(keys)
		var lists sync.WaitGroup
		for range 8 {
			lists.Go(func() { list(b) })
		}
		lists.Wait()
		require.LessOrEqual(t, control.mostAtOnce(), int64(2*8+1))
	})
	detailed := func(b *bundle) int {
		return strings.Count(b.do("GET", "/api/keys/detailed", nil, asUser(reader)).is(200).body, `"key_id":"key-`)
	}
	t.Run("so are lists of the sessions", func(t *testing.T) {
		sent()
		require.Equal(t, keys*4/5, detailed(b))
		require.LessOrEqual(t, len(sent()), 1+keys+2*8)
		require.LessOrEqual(t, control.mostAtOnce(), int64(2*8+1))
	})
	t.Run("without a Redis, too many keys are refused at once", func(t *testing.T) {
		sent()
		count.Store(1001)
		defer count.Store(keys)
		for _, path := range []string{"/api/keys/detailed", "/api/apis/keys"} {
			b.do("GET", path, nil, asUser(reader)).message(500,
				"Failed to unmarshal keys data from Tyk API: more than 1000 keys can only be listed from the gateways' Redis")
		}
		require.Len(t, sent(), 2)
		b.do("GET", "/api/apis/harbour/keys", nil, asUser(reader)).message(500,
			"Failed to unmarshal keys data from Tyk API: more than 1000 keys can only be listed from the gateways' Redis")
		require.Len(t, sent(), 1)
	})
	t.Run("with a Redis, it is one call, however many keys there are", func(t *testing.T) {
		redis := gatewaytest.StartRedis(t)
		host, port := redis.Addr()
		withRedis := setupOn(t, b.conn, withControl, func(cfg *server.Config) {
			cfg.Redis = gateway.NewRedis(gateway.RedisConfig{Addresses: []string{fmt.Sprintf("%s:%d", host, port)}, NodeSecrets: []string{nodeSecret}})
			t.Cleanup(func() { _ = cfg.Redis.Close() })
		})
		count.Store(1001)
		defer count.Store(keys)
		for n := range 1000 { // the last has expired
			require.NoError(t, redis.Client().Set(t.Context(), fmt.Sprintf("apikey-key-%d", n), session(n), 0).Err())
		}
		sent()
		require.Len(t, list(withRedis), 600)
		require.Len(t, sent(), 1)
		require.Equal(t, 800, detailed(withRedis))
		require.Len(t, sent(), 1)

		redis.Kill()
		count.Store(keys)
		require.Len(t, list(withRedis), keys*3/5, "the control API replaces a Redis that does not answer")
	})
}

// TestListOfKeysAppliesPolicies: a session in the Redis has the rights that its policies granted when it was stored.
func TestListOfKeysAppliesPolicies(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{gateway: func(cfg *gatewaytest.Config) {
		cfg.HashKeys, cfg.ListHashedKeys = true, true
	}})
	two := twoTenants(e.bundle)
	e.importAPIs(apiOf(two.org, "second")).is(200)
	e.importPolicies(`{"_id":"`+idOf("a", 3)+`","id":"quota","org_id":"`+two.org+`","partitions":{"quota":true},"access_rights":{"second":{}}}`,
		`{"_id":"`+idOf("a", 4)+`","id":"acl","org_id":"`+two.org+`","partitions":{"quota":true,"acl":true},"access_rights":{"second":{}}}`).is(200)
	for hash, session := range map[string]string{
		"granted":        `"access_rights":{"own":{}},"apply_policies":["own-gold"]`,
		"changed":        `"access_rights":{"second":{}},"apply_policies":["own-gold"]`,
		"revoked":        `"access_rights":{"own":{}},"apply_policies":["acl"]`,
		"only a quota":   `"access_rights":{"own":{}},"apply_policies":["quota"]`,
		"deleted policy": `"access_rights":{"own":{}},"apply_policies":["gone"]`,
		"unrestricted":   `"access_rights":null`,
	} {
		e.redis.Client().Set(t.Context(), "apikey-"+hash, `{"org_id":"`+two.org+`",`+session+`}`, 0)
	}
	e.redis.Client().Set(t.Context(), "apikey-foreign", `{"org_id":"`+two.other+`","access_rights":{"own":{}}}`, 0)
	require.JSONEq(t, `{"data":{"keys":["changed","deleted policy","granted","only a quota"]},"pages":1}`,
		e.do("GET", "/api/apis/own/keys", nil, asUser(two.key)).is(200).body)
	require.JSONEq(t, `{"data":{"keys":["revoked"]},"pages":1}`, e.do("GET", "/api/apis/second/keys", nil, asUser(two.key)).is(200).body)
}

// TestAdministratorsAreProtected tests who may delete administrators, and renew their keys.
func TestAdministratorsAreProtected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	isAdmin := map[string]string{"IsAdmin": "admin"}
	first, writer := b.user(org, "first@example.org", isAdmin), b.user(org, "writer@example.org", map[string]string{"users": "write"})
	b.user(org, "reader@example.org", map[string]string{"users": "read"})
	idle := b.admin("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"idle@example.org","active":false}`).user()
	const denied = "access denied: You do not have permission to access  /api/users/{userId}"
	remove := func(id, by string) reply { return b.do("DELETE", "/api/users/"+id, nil, asUser(by)) }
	renew := func(id, by string) reply { return b.do("PUT", "/api/users/"+id+"/actions/key/reset", nil, asUser(by)) }
	for _, admin := range []string{first.Id, idle.Id, b.user(org, "true@example.org", map[string]string{"IsAdmin": "true"}).Id} {
		before := storetest.Dump(t, b.conn)
		remove(admin, writer.AccessKey).message(403, denied)
		renew(admin, writer.AccessKey).message(403, denied+"/actions/key/reset")
		require.Equal(t, before, storetest.Dump(t, b.conn))
	}
	member := b.user(org, "member@example.org", map[string]string{"IsAdmin": "deny", "users": "unknown"})
	renew(member.Id, writer.AccessKey).is(200)
	remove(member.Id, writer.AccessKey).is(200)
	for _, user := range b.usersOf(org) {
		if user.EmailAddress == "true@example.org" {
			remove(user.Id, first.AccessKey).is(200)
		}
	}

	remove(first.Id, first.AccessKey).message(403, denied)
	renewed := b.user(org, "second@example.org", isAdmin)
	renew(first.Id, renewed.AccessKey).is(200)
	remove(first.Id, renewed.AccessKey).is(200)
	remove(renewed.Id, renewed.AccessKey).message(403, denied)
	remove(writer.Id, writer.AccessKey).is(200)

	super := b.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user()
	remove(super.Id, renewed.AccessKey).is(404)
	remove(renewed.Id, super.AccessKey).is(200)
	remove(super.Id, super.AccessKey).is(200)
}

// usersOf returns the users of an organisation.
func (b *bundle) usersOf(org string) []struct {
	Id           string `json:"id"`
	EmailAddress string `json:"email_address"`
} {
	b.t.Helper()
	var list struct {
		Users []struct {
			Id           string `json:"id"`
			EmailAddress string `json:"email_address"`
		}
	}
	b.admin("GET", "/admin/users?org_id="+org, nil).is(200).json(&list)
	return list.Users
}

// TestAnAdministratorIsLeft has the two administrators of an organisation delete themselves, or each other, at once:
// both requests wait for a lock of another transaction before one of them deletes anything.
func TestAnAdministratorIsLeft(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]int{"themselves": 0, "each other": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			org := b.org()
			var ids, keys []string
			for n := range 2 {
				u := b.user(org, fmt.Sprintf("%d@example.org", n), map[string]string{"IsAdmin": "admin"})
				ids, keys = append(ids, u.Id), append(keys, u.AccessKey)
			}
			conn, err := pgx.Connect(t.Context(), b.conn)
			require.NoError(t, err)
			defer conn.Close(context.WithoutCancel(t.Context()))
			watch, err := pgx.Connect(t.Context(), b.conn) // a transaction sees the same activity until it ends
			require.NoError(t, err)
			defer watch.Close(context.WithoutCancel(t.Context()))
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `SELECT FROM users FOR UPDATE`)
			require.NoError(t, err)

			var statuses [2]int
			var deletions sync.WaitGroup
			for n := range ids {
				deletions.Go(func() {
					statuses[n] = b.do("DELETE", "/api/users/"+ids[(n+other)%len(ids)], nil, asUser(keys[n])).status
				})
			}
			gatewaytest.Eventually(t, soon, "both wait", func() bool {
				var waiting int
				err := watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
				return err == nil && waiting == len(ids)
			})
			require.NoError(t, tx.Rollback(t.Context()))
			deletions.Wait()
			require.ElementsMatch(t, []int{200, 403}, statuses[:])
			require.Len(t, b.usersOf(org), 1)
		})
	}
}

// TestPermissionValues: a value that is not one of the known ones is stored as it came, and grants nothing.
func TestPermissionValues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	target := b.user(org, "target@example.org", map[string]string{}).Id
	for n, value := range []string{"deny", "", "none", "false", "yes", "ADMIN", "Admin", " admin", "reader", "Write", "write ", "0", "null"} {
		permissions := map[string]string{"users": value, "keys": value, "IsAdmin": value}
		user := b.user(org, fmt.Sprintf("u%d@example.org", n), permissions)
		require.Equal(t, permissions, user.UserPermissions)
		b.do("GET", "/api/users", nil, asUser(user.AccessKey)).is(403)
		b.do("DELETE", "/api/users/"+target, nil, asUser(user.AccessKey)).is(403)
		b.do("POST", "/api/keys", `{}`, asUser(user.AccessKey)).is(403)
		holder := b.user(org, fmt.Sprintf("h%d@example.org", n), map[string]string{"IsAdmin": "admin", "ResetPassword": value})
		b.do("POST", "/api/users/"+target+"/actions/reset", `{"new_password":"topsecret"}`, asUser(holder.AccessKey)).message(403,
			"You do not have permission to reset the password for other users. As an admin user, this permission can be modified using OPA rules.")
	}
	for n, value := range []string{"admin", "true"} {
		holder := b.user(org, fmt.Sprintf("a%d@example.org", n), map[string]string{"IsAdmin": value, "ResetPassword": value})
		b.do("POST", "/api/users/"+target+"/actions/reset", `{"new_password":"topsecret"}`, asUser(holder.AccessKey)).is(200)
	}
}
