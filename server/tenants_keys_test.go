package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
)

// TestWhatGatewaysHaveOfOthers: gateways do not compare organisations. What is another one's is unknown.
func TestWhatGatewaysHaveOfOthers(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	two := twoTenants(e.bundle)
	own, other := asUser(e.user(two.org, "own@example.org", nil).AccessKey), asUser(e.user(two.other, "other@example.org", nil).AccessKey)
	super := asUser(e.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user().AccessKey)
	for _, api := range []string{"own", "foreign"} {
		org := map[string]string{"own": two.org, "foreign": two.other}[api]
		e.importAPIs(strings.Replace(apiOf(org, api), `"use_keyless":true`, `"use_keyless":false,"use_oauth2":true`, 1)).is(200)
		e.gateway.WaitForAPI(t, api, soon)
	}
	gatewaytest.Eventually(t, soon, "the APIs use OAuth", func() bool {
		return e.do("POST", "/api/apis/oauth/foreign", `{"client_id":"theirs","policy_id":"foreign-gold"}`, other).status == 200 &&
			e.do("POST", "/api/apis/oauth/own", `{"client_id":"mine"}`, own).status == 200
	})

	t.Run("certificates", func(t *testing.T) {
		upload := func(by with) string {
			certificate, key, _ := certificateOf(t, "x.example", time.Now().Add(time.Hour))
			body, _ := fileForm(t, "cert", certificate+key)
			return e.do("POST", "/api/certs", body, by).is(200).grep(`"id":"([^"]*)"`)
		}
		mine, theirs, nobodys := upload(own), upload(other), upload(super)
		require.True(t, strings.HasPrefix(theirs, two.other))
		require.Len(t, nobodys, 64, "a super user has no organisation")
		unknown := mine[:24] + strings.Repeat("0", 64)
		for _, id := range []string{
			theirs, nobodys, theirs + "," + mine, mine + "," + theirs, mine[24:], two.org, "", ".", "..", "/etc/passwd", "..%2Fkeys",
			strings.ToUpper(mine), two.other[:23] + mine, mine + "\n", "raw-" + mine, two.org + theirs,
		} {
			path := "/api/certs/" + url.PathEscape(id)
			want := e.do("GET", "/api/certs/"+unknown, nil, own).is(404).body
			if id != "" && id != "." && id != ".." {
				require.Equal(t, want, e.do("GET", path, nil, own).is(404).body, id)
				require.Equal(t, e.do("DELETE", "/api/certs/"+unknown, nil, own).is(404).body, e.do("DELETE", path, nil, own).is(404).body, id)
			}
		}
		for _, query := range []string{"?p=-1", "?p=-1&mode=detailed"} {
			got := e.do("GET", "/api/certs"+query, nil, own).is(200).body
			require.Contains(t, got, mine)
			require.NotContains(t, got, theirs)
			require.NotContains(t, got, `"`+nobodys)
		}
		for _, id := range []string{mine, theirs, nobodys} {
			require.Contains(t, e.do("GET", "/api/certs?p=0", nil, super).is(200).body, id)
			e.do("GET", "/api/certs/"+id, nil, super).is(200)
		}
		e.do("DELETE", "/api/certs/"+theirs, nil, super).is(200)
		e.do("GET", "/api/certs/"+theirs, nil, other).is(404)
	})
	t.Run("OAuth clients", func(t *testing.T) {
		for _, api := range []string{"foreign", "unknown", "..", "a%2Fb"} {
			for path, message := range map[string]string{
				"": "API Reference not found.", "/theirs": "API reference not found.", "/theirs/tokens": "API Reference not found.",
			} {
				if api != ".." {
					e.do("GET", "/api/apis/oauth/"+api+path, nil, own).message(400, message)
				}
			}
			if api != ".." {
				e.do("DELETE", "/api/apis/oauth/"+api+"/theirs", nil, own).message(400, "API Reference not found.")
				e.do("POST", "/api/apis/oauth/"+api, `{"client_id":"mine","policy_id":"own-gold"}`, own).message(400, "API reference not found.")
			}
		}
		e.do("POST", "/api/apis/oauth/own", `{"client_id":"theirs","api_id":"foreign","secret":"taken"}`, own).is(200)
		require.NotContains(t, e.do("GET", "/api/apis/oauth/foreign/theirs", nil, other).is(200).body, "taken", "the API of the path counts")
		for _, policy := range []string{"foreign-gold", "unknown", idOf("b", 2)} {
			e.do("POST", "/api/apis/oauth/own", `{"policy_id":"`+policy+`"}`, own).message(500, "Could not retrieve policy details.")
		}
		for _, data := range []string{
			`{"policies":[{"id":"x","access_rights":{"foreign":{}}}]}`, `{"POLICIES":[]}`, `{"policieſ":{}}`, `{"polici\u0065s":[1]}`, `{"policies":[],"policies":[{}]}`,
		} {
			e.do("POST", "/api/apis/oauth/own", `{"meta_data":`+data+`}`, own).message(400, "An OAuth client must not bring policies in meta_data.")
		}
		for _, body := range []string{`{"meta_data":[]}`, `{"meta_data":"x"}`, `{"meta_data":1}`, `{"client_id":"../x"}`, `{"client_id":".."}`, `{"client_id":5}`} {
			e.do("POST", "/api/apis/oauth/own", body, own).is(403)
		}
		require.NotContains(t, e.do("GET", "/api/apis/oauth/own", nil, own).is(200).body, "polici")
		e.do("GET", "/api/apis/oauth/own/mine", nil, super).is(200)
	})
	t.Run("keys of another API of the organisation are found, those of others not", func(t *testing.T) {
		e.importAPIs(apiOf(two.org, "second")).is(200)
		e.gateway.WaitForAPI(t, "second", soon)
		mine := keyID(e.do("POST", "/api/keys", `{"access_rights":{"own":{"api_id":"own"}}}`, own).is(200))
		theirs := keyID(e.do("POST", "/api/keys", `{"access_rights":{"foreign":{"api_id":"foreign"}}}`, other).is(200))
		e.do("GET", "/api/apis/second/keys/"+mine, nil, own).is(200)
		const unknown = "Could not retrieve key detail."
		for _, path := range []string{
			"second/keys/" + theirs, "-/keys/" + theirs, "default/keys/" + theirs, "foreign/keys/" + theirs, "foreign/keys/" + mine, "unknown/keys/" + mine,
		} {
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				for _, query := range []string{"", "?username=true", "?auto_guess=true"} {
					e.do(method, "/api/apis/"+path+query, `{"access_rights":{"own":{}}}`, own).message(404, unknown)
				}
			}
		}
		e.do("GET", "/api/apis/foreign/keys/"+mine, nil, super).message(404, unknown)
		e.do("GET", "/api/apis/own/keys/"+mine, nil, super).is(200)
		e.do("GET", "/api/apis/-/keys/"+mine, nil, super).is(200)
		for _, path := range []string{"/api/apis/keys?p=-1", "/api/apis/-/keys", "/api/keys/detailed", "/api/keys/detailed?q=" + theirs} {
			require.NotContains(t, e.do("GET", path, nil, own).is(200).body, theirs)
			require.Contains(t, e.do("GET", path, nil, super).is(200).body, theirs)
		}
	})
}

// TestNamesStandForNoKeyOfAnotherOrganisation: a gateway looks an ID up as a name of the organisation, and then as a
// key. A name that is another organisation's key must not become that key while a request is under way.
func TestNamesStandForNoKeyOfAnotherOrganisation(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	two := twoTenants(e.bundle)
	e.gateway.WaitForAPI(t, "foreign", soon)
	theirs := keyID(e.do("POST", "/api/keys/bob", `{"access_rights":{"foreign":{"api_id":"foreign"}}}`, asUser(two.otherKey)).is(200))
	session := `{"access_rights":{"own":{"api_id":"own"}}}`
	legacy := two.other + "bob" // the key of a gateway that does not encode them
	for _, name := range []string{theirs, legacy} {
		e.do("POST", "/api/keys/"+name, session, asUser(two.key)).is(200)
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			for _, query := range []string{"", "?username=true"} {
				e.do(method, "/api/keys/"+name+query, session, asUser(two.key)).message(404, "Could not retrieve key detail.")
			}
		}
	}
	e.through("/foreign/", theirs).is(200)
	t.Run("a name brings no JSON of its own", func(t *testing.T) {
		stored := len(e.redis.Client().Keys(t.Context(), "apikey-*").Val())
		for _, name := range []string{`x","org":"` + two.other, `x\`, "x\n", "\xff", `"`, "a/b", ".."} {
			for _, path := range []string{"/api/keys/", "/api/apis/keys/basic/"} {
				body := `{"basic_auth_data":{"password":"x"},` + session[1:]
				got := e.do("POST", path+url.PathEscape(name), body, asUser(two.key))
				if name != ".." {
					got.message(404, "Could not retrieve key detail.")
				}
			}
		}
		require.Len(t, e.redis.Client().Keys(t.Context(), "apikey-*").Val(), stored)
	})
	t.Run("a key states the organisation of its session", func(t *testing.T) {
		decoded, err := base64.StdEncoding.DecodeString(theirs)
		require.NoError(t, err)
		require.Contains(t, string(decoded), `"org":"`+two.other+`"`)
	})
}

// TestNamedKeysReachNoOtherOrganisation sends each foreign session as a key with a name, and as a user.
func TestNamedKeysReachNoOtherOrganisation(t *testing.T) {
	t.Parallel()
	var changes atomic.Int64
	_, withControl := startControlAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			changes.Add(1)
		}
		fmt.Fprint(w, `{"keys":[],"key":"k","status":"ok"}`)
	})
	b := setup(t, withControl)
	two := twoTenants(b)
	withPassword := func(session string) string {
		return strings.Replace(`{"basic_auth_data":{"password":"x"},`+session[1:], `,}`, `}`, 1)
	}
	for name, session := range foreignSessions {
		t.Run(name, func(t *testing.T) {
			body := two.fill(session)
			b.do("POST", "/api/keys/a-name", body, asUser(two.key)).message(400, notOwned)
			b.do("POST", "/api/apis/keys/basic/a-name", withPassword(body), asUser(two.key)).message(400, notOwned)
		})
	}
	require.Zero(t, changes.Load(), "nothing was sent to the gateway")
	for name, session := range ownSessions {
		t.Run(name, func(t *testing.T) {
			b.do("POST", "/api/keys/a-name", two.fill(session), asUser(two.key)).is(200)
			b.do("POST", "/api/apis/keys/basic/a-name", withPassword(two.fill(session)), asUser(two.key)).is(200)
			b.do("POST", "/api/apis/keys/basic/a-name", two.fill(session), asUser(two.key)).message(403, "Request body malformed.")
		})
	}
}

// TestKeysBringTheRightsOfTheirPolicies: a gateway that has not loaded the last change of a policy may find no rights
// in it, and would make a key that opens every API.
func TestKeysBringTheRightsOfTheirPolicies(t *testing.T) {
	t.Parallel()
	var sent atomic.Pointer[string] // the last session
	_, withControl := startControlAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || r.Method == http.MethodPut {
			body, _ := io.ReadAll(r.Body)
			text := string(body)
			sent.Store(&text)
		}
		fmt.Fprint(w, `{"key":"k","status":"ok","action":"added"}`)
	})
	b := setup(t, withControl)
	two := twoTenants(b)
	rights := func() string {
		var session struct {
			AccessRights json.RawMessage `json:"access_rights"`
		}
		require.NoError(t, json.Unmarshal([]byte(*sent.Load()), &session))
		return string(session.AccessRights)
	}
	for _, path := range []string{"/api/keys", "/api/keys/bob", "/api/apis/keys/basic/bob"} {
		for _, policies := range []string{`"apply_policies":["own-quota","own-gold","own-acl"]`, `"apply_policy_id":"own-gold"`, `"access_rights":{},"apply_policies":["own-gold"]`} {
			made := b.do("POST", path, `{"basic_auth_data":{"password":"x"},`+policies+`}`, asUser(two.key)).is(200).body
			require.NotContains(t, made, `"own":`, "the client sees what it has sent")
			require.JSONEq(t, `{"own":{"api_id":"own","versions":["Default"]}}`, rights(), policies)
		}
	}
	own := `{"own":{"api_id":"own","versions":["v2"]}}`
	b.do("POST", "/api/keys", `{"access_rights":`+own+`,"apply_policies":["own-gold"]}`, asUser(two.key)).is(200)
	require.JSONEq(t, own, rights())
}

// TestSessionsAreBounded: gateways keep sessions in the Redis that all organisations share.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	two := twoTenants(e.bundle)
	e.gateway.WaitForAPI(t, "own", soon)
	session := func(size int, rights string) string {
		return `{"access_rights":{"own":{"api_id":"own"` + rights + `}},"meta_data":{"x":"` + strings.Repeat("x", size) + `"}}`
	}
	limit := 64<<10 + 1<<10
	for _, large := range []string{session(limit, ""), session(10, `,"allowed_urls":[{"url":"`+strings.Repeat("x", limit)+`"}]`)} {
		require.Contains(t, e.do("POST", "/api/keys", large, asUser(two.key)).body, "is too large")
		e.do("POST", "/api/keys/bob", large, asUser(two.key)).is(403)
	}
	const keys = 40 // more than are in memory at the same time
	for n := range keys {
		e.do("POST", fmt.Sprintf("/api/keys/key-%d", n), session(limit-200, ""), asUser(two.key)).is(200)
	}
	listed := e.do("GET", "/api/keys/detailed?p=-1", nil, asUser(two.key)).is(200).body
	require.Equal(t, keys, strings.Count(listed, `"key_id":"`))
	require.Equal(t, keys, strings.Count(listed, `"x":"xxx`))
}
