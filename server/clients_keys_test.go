package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/multipart"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
)

// certificateOf returns a certificate that signs itself, its private key, both in PEM, and its SHA-256.
func certificateOf(t testing.TB, name string, expires time.Time) (certificate, key, sum string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: expires,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	digest := sha256.Sum256(der)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})), hex.EncodeToString(digest[:])
}

// fileForm returns a form with a file, and its Content-Type.
func fileForm(t testing.TB, part, content string) (body string, contentType with) {
	t.Helper()
	var out bytes.Buffer
	form := multipart.NewWriter(&out)
	require.NoError(t, form.WriteField("comment", "not the file"))
	file, err := form.CreateFormFile(part, "cert.pem")
	require.NoError(t, err)
	_, err = file.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, form.Close())
	return out.String(), header("Content-Type", form.FormDataContentType())
}

// TestClientsOfGateways sends what public clients send for what only gateways have: certificates, keys, OAuth clients.
func TestClientsOfGateways(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	org := e.org()
	admin := asUser(e.user(org, "admin@example.org", nil).AccessKey)
	protected := func(id string) string {
		return strings.Replace(apiOf(org, id), `"use_keyless":true`, `"use_keyless":false`, 1)
	}
	e.importAPIs(protected("basic-auth-api"), protected("second"),
		strings.Replace(apiOf(org, "oauth-api"), `"use_keyless":true`, `"use_keyless":false,"use_oauth2":true`, 1)).is(200)
	e.importPolicies(`{"_id":"` + idOf("a", 1) + `","id":"gold","org_id":"` + org + `","active":true,"rate":5,"per":1,"quota_max":-1,
		"access_rights":{"second":{"api_id":"second","versions":["Default"]},"oauth-api":{"api_id":"oauth-api","versions":["Default"]}}}`).is(200)
	for _, api := range []string{"basic-auth-api", "second", "oauth-api"} {
		e.gateway.WaitForAPI(t, api, soon)
	}
	gatewaytest.Eventually(t, soon, "the policy is loaded", func() bool { return len(e.gateway.Policies()) == 1 })

	t.Run("the operator keeps the certificates of secrets", func(t *testing.T) { operatorCertificates(t, e, org, admin) })
	t.Run("the demo uploads a certificate, and makes a user and an OAuth client", func(t *testing.T) { demo(t, e, org, admin) })
	t.Run("Python scripts make, list, change and delete keys", func(t *testing.T) { pythonKeys(t, e, org, admin) })
	t.Run("the identity broker replaces the token of a user", func(t *testing.T) { identityBrokerToken(t, e, org, admin) })
	t.Run("nothing that was sent or returned as a secret is logged", func(t *testing.T) {
		for _, text := range []string{"PRIVATE KEY", "basic-auth-password", "demo-secret", "BEGIN CERT", "a-python-key", "basic-auth-username"} {
			require.NotContains(t, e.log.String(), text)
			require.NotContains(t, e.audit.String(), text)
		}
		for action, object := range map[string]string{
			"createNewClientApp": "oauth_client object_id:demo-client", "createCertificates": "certificate object_id:" + org,
			"deleteCertificates": "certificate object_id:" + org, "createBasicAuthUser": "key object_id:sha256:",
			"deleteApiKeyDetail": "key object_id:sha256:", "createCustomKey": "key object_id:sha256:",
		} {
			require.Regexp(t, `action:`+action+` [^]]*object:`+object+`[^]]* outcome:ok`, e.audit.String())
		}
	})
}

func operatorCertificates(t *testing.T, e *gatewaySetup, org string, admin with) {
	t.Helper()
	certificate, key, sum := certificateOf(t, "tls.example", time.Now().Add(time.Hour))
	id := org + sum
	e.do("GET", "/api/certs/"+id, nil, admin).is(404) // anything but 200 is "it is not there"
	body, contentType := fileForm(t, "cert", key+certificate)
	var uploaded struct{ ID, Message, Status string }
	e.do("POST", "/api/certs", body, admin, contentType).is(200).json(&uploaded)
	require.Equal(t, struct{ ID, Message, Status string }{id, "Certificate added", "ok"}, uploaded)
	e.do("POST", "/api/certs", body, admin, contentType).
		message(404, "Could not create certificate.Certificate with "+id+" id already exists")
	var meta map[string]any
	got := e.do("GET", "/api/certs/"+id, nil, admin).is(200)
	got.json(&meta)
	require.Equal(t, id, meta["id"])
	require.Equal(t, sum, meta["fingerprint"])
	require.Equal(t, true, meta["has_private"])
	require.NotContains(t, got.body, "PRIVATE")
	var list struct {
		Certs []string
		Pages int
	}
	e.do("GET", "/api/certs", nil, admin).is(200).json(&list)
	require.Equal(t, []string{id}, list.Certs)
	e.do("DELETE", "/api/certs/"+id, nil, admin).is(200)
	e.do("DELETE", "/api/certs/"+id, nil, admin).message(404, "Could not delete certificate.")
	require.JSONEq(t, `{"certs":[],"pages":0}`, e.do("GET", "/api/certs", nil, admin).is(200).body, "a list, never null")
}

func demo(t *testing.T, e *gatewaySetup, org string, admin with) {
	t.Helper()
	certificate, _, sum := certificateOf(t, "demo.example", time.Now().Add(time.Hour))
	body, contentType := fileForm(t, "data", certificate)
	require.Equal(t, org+sum, e.do("POST", "/api/certs", body, admin, contentType).is(200).grep(`"id":"([^"]*)"`))
	// curl -d says that JSON is a form, and the file has nulls.
	e.do("POST", "/api/apis/keys/basic/basic-auth-username", `{"last_check":0,"certificate":null,"allowance":1000,"hmac_enabled":null,"hmac_string":"",
		"basic_auth_data":{"password":"basic-auth-password"},"rate":1000,"per":60,"throttle_interval":-1,"throttle_retry_limit":-1,
		"expires":0,"quota_max":-1,"quota_renews":1589006432,"quota_remaining":-1,"quota_renewal_rate":-1,
		"access_rights":{"basic-auth-api":{"api_id":"basic-auth-api","api_name":"Basic","versions":["Default"],"allowed_urls":[],"limit":null}},
		"apply_policy_id":"","apply_policies":[],"tags":[],"jwt_data":{"secret":""},"meta_data":{},"alias":""}`, admin, form).is(200)
	user := e.do("GET", "/api/apis/basic-auth-api/keys/basic-auth-username?username=true", nil, admin).is(200)
	require.Contains(t, user.body, `"password":""`)
	require.NotContains(t, user.body, "basic-auth-password")

	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"secret"`
	}
	e.do("POST", "/api/apis/oauth/oauth-api", `{"client_id":"demo-client","api_id":"oauth-api","policy_id":"gold","secret":"demo-secret",
		"redirect_uri":"http://localhost:3000/"}`, admin, form).is(200).json(&client)
	require.Equal(t, "demo-client demo-secret", client.ID+" "+client.Secret)
	require.JSONEq(t, `{"apps":[{"client_id":"demo-client","client_name":"","dcr_registration":{"access_token":"","client_uri":"","provider":""},
		"description":"","meta_data":null,"policy_id":"gold","redirect_uri":"http://localhost:3000/","secret":"demo-secret"}],"pages":1}`,
		e.do("GET", "/api/apis/oauth/oauth-api", nil, admin).is(200).body)
	require.Equal(t, "[]", e.do("GET", "/api/apis/oauth/oauth-api/demo-client/tokens", nil, admin).is(200).body)
	require.NoError(t, e.gateway.AddOAuthToken(t.Context(), gatewaytest.OAuthToken{
		APIID: "oauth-api", ClientID: "demo-client", Code: "the-hash", Expires: 1795600800,
	}))
	require.Equal(t, `[{"code":"the-hash","expires":1795600800}]`,
		e.do("GET", "/api/apis/oauth/oauth-api/demo-client/tokens", nil, admin).is(200).body)
	made := e.do("POST", "/api/apis/oauth/oauth-api", `{"redirect_uri":"https://a.example","policy_id":"gold","meta_data":{"user":1.0}}`, admin).is(200)
	made.json(&client)
	require.NotEmpty(t, client.Secret, "the gateway makes what is absent")
	require.Contains(t, made.body, `"meta_data":{"user":1`)
	e.do("DELETE", "/api/apis/oauth/oauth-api/"+client.ID, nil, admin).message(200, "OAuth client deleted successfully.")
	e.do("DELETE", "/api/apis/oauth/oauth-api/"+client.ID, nil, admin).message(404, "Could not retrieve app detail.")

	// The script of the rate limits makes a key with a name at the gateway, and deletes it by the name here.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.gateway.URL()+"/tyk/keys/rl-test-key",
		strings.NewReader(`{"org_id":"`+org+`","access_rights":{"second":{"api_id":"second","versions":["Default"]}}}`))
	require.NoError(t, err)
	r.Header.Set("X-Tyk-Authorization", controlSecret)
	send(t, r).is(200)
	require.Contains(t, e.do("DELETE", "/api/apis/second/keys/rl-test-key", nil, admin).is(200).body, `"Status":"OK"`)
	e.do("DELETE", "/api/apis/second/keys/rl-test-key", nil, admin).message(404, "Could not retrieve key detail.")
}

func pythonKeys(t *testing.T, e *gatewaySetup, org string, admin with) {
	t.Helper()
	session := `{"access_rights":{"second":{"api_id":"second","versions":["Default"]}},"rate":7,"per":1,"quota_max":-1}`
	custom := keyID(e.do("POST", "/api/keys/a-python-key", session, admin, jason).is(200))
	e.through("/second/", custom).is(200)
	e.through("/second/", "a-python-key").is(200)
	generated := keyID(e.do("POST", "/api/keys", session, admin, jason).is(200))
	for _, id := range []string{custom, "a-python-key", generated} {
		var key struct {
			Data map[string]any
		}
		e.do("GET", "/api/apis/-/keys/"+id, nil, admin).is(200).json(&key)
		require.InDelta(t, 7, key.Data["rate"], 0)
		key.Data["rate"] = 9
		e.do("PUT", "/api/apis/-/keys/"+id, key.Data, admin, jason).is(200) // a key as it came
		require.Contains(t, e.do("GET", "/api/apis/default/keys/"+id, nil, admin).is(200).body, `"rate":9`)
		e.do("PUT", "/api/apis/-/keys/"+id, session, admin, jason).is(200)
	}
	require.Contains(t, e.do("GET", "/api/apis/-/keys?p=-1", nil, admin).is(200).body, custom)
	require.Contains(t, e.do("GET", "/api/apis/keys/?p=-1", nil, admin).is(200).body, custom)
	var detailed struct {
		Keys []struct {
			ID   string `json:"key_id"`
			Data struct {
				OrgID         string `json:"org_id"`
				BasicAuthData struct{ Password string }
			}
		}
		Pages int
	}
	list := func(query string) (ids []string) {
		e.do("GET", "/api/keys/detailed/"+query, nil, admin).is(200).json(&detailed)
		for _, key := range detailed.Keys {
			require.Equal(t, org, key.Data.OrgID)
			ids = append(ids, key.ID)
		}
		return ids
	}
	require.Contains(t, list("?p=-1"), custom)
	require.Equal(t, 1, detailed.Pages)
	hash := sha256.Sum256([]byte("basic-auth-password"))
	require.NotContains(t, e.do("GET", "/api/keys/detailed", nil, admin).body, hex.EncodeToString(hash[:]), "nor the hash of a password")
	require.Equal(t, []string{generated}, list("?q="+generated))
	for _, id := range []string{"a-python-key", generated} {
		e.do("DELETE", "/api/keys/"+id+"/?auto_guess=true", nil, admin, jason).is(200)
	}
	require.NotContains(t, list("?p=-1"), custom)
	e.through("/second/", custom).is(403)
}

func identityBrokerToken(t *testing.T, e *gatewaySetup, org string, admin with) {
	t.Helper()
	session := `{"last_check":0,"allowance":1,"rate":1,"per":1,"expires":4102444800,"quota_max":1,"quota_renews":60,"quota_remaining":1,
		"quota_renewal_rate":1,"access_rights":{"second":{"api_name":"Base","api_id":"second","versions":["Default"],"allowed_urls":null}},
		"org_id":"` + org + `","oauth_client_id":"","oauth_keys":null,"basic_auth_data":{"password":"","hash_type":""},"jwt_data":{"secret":""},
		"hmac_enabled":false,"hmac_string":"","is_inactive":false,"apply_policy_id":"gold","data_expires":0,"monitor":{"trigger_limits":null},
		"meta_data":{"Origin":"TAP","AuthProviderUserID":"u"},"tags":["TykOrigin-TAP"]}`
	e.do("DELETE", "/api/apis/second/keys/unknown", nil, admin).is(404) // logged, and no reason to stop
	first := keyID(e.do("POST", "/api/keys", session, admin).is(200))
	e.do("DELETE", "/api/apis/second/keys/"+first, nil, admin).is(200)
	e.through("/second/", first).is(403)
	second := keyID(e.do("POST", "/api/keys", session, admin).is(200))
	e.through("/second/", second).is(200)
}

// TestKeysOfGatewaysThatHashThem: lists have hashes, by which keys are read, changed and deleted.
func TestKeysOfGatewaysThatHashThem(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{gateway: func(cfg *gatewaytest.Config) {
		cfg.HashKeys, cfg.ListHashedKeys = true, true
	}})
	two := twoTenants(e.bundle)
	e.gateway.WaitForAPI(t, "foreign", soon)
	session := func(api string) string { return `{"access_rights":{"` + api + `":{"api_id":"` + api + `"}}}` }
	e.do("POST", "/api/keys", session("foreign"), asUser(two.otherKey)).is(200)
	var made struct {
		ID   string `json:"key_id"`
		Hash string `json:"key_hash"`
	}
	e.do("POST", "/api/keys/named", session("own"), asUser(two.key)).is(200).json(&made)
	for _, operation := range []string{"create", "preview"} {
		e.do("POST", "/api/keys/"+operation, session("own"), asUser(two.key)).message(403, "Request body malformed.")
	}
	require.NotEmpty(t, made.Hash)
	for _, path := range []string{"/api/apis/keys?p=0", "/api/apis/-/keys", "/api/apis/own/keys"} {
		require.JSONEq(t, `{"data":{"keys":["`+made.Hash+`"]},"pages":1}`, e.do("GET", path, nil, asUser(two.key)).is(200).body)
	}
	got := e.do("GET", "/api/keys/detailed", nil, asUser(two.key)).is(200).body
	require.Equal(t, 1, strings.Count(got, `"key_id":`))
	require.Contains(t, got, `"key_id":"`+made.Hash+`"`)
	require.Contains(t, got, `"key_hash":"`+made.Hash+`"`)
	for _, key := range []string{made.ID, "named", made.Hash + "?hashed=1", made.Hash + "?auto_guess=true", "named?auto_guess=true"} {
		e.do("GET", "/api/keys/"+key, nil, asUser(two.key)).is(200)
		e.do("PUT", "/api/apis/own/keys/"+key, session("own"), asUser(two.key)).is(200)
		e.do("GET", "/api/keys/"+key, nil, asUser(two.otherKey)).is(404)
		e.do("DELETE", "/api/keys/"+key, nil, asUser(two.otherKey)).is(404)
	}
	e.do("DELETE", "/api/keys/"+made.Hash, nil, asUser(two.key)).is(404)
	e.do("DELETE", "/api/keys/"+made.Hash+"?auto_guess=true", nil, asUser(two.key)).is(200)
	user := e.do("POST", "/api/apis/keys/basic/bob", `{"basic_auth_data":{"password":"x"},`+session("own")[1:], asUser(two.key)).is(200)
	require.Contains(t, user.body, `"key_id":""`, "a gateway that hashes keys returns no key for users")
	e.do("DELETE", "/api/keys/bob?username=true", nil, asUser(two.key)).is(200)
}

// TestFormsOfFiles: whatever the Content-Type says, the gateway gets the file.
func TestFormsOfFiles(t *testing.T) {
	t.Parallel()
	var received atomic.Pointer[string]
	_, withControl := startControlAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tyk/certs" {
			body, _ := io.ReadAll(r.Body)
			text := string(body)
			received.Store(&text)
		}
		fmt.Fprint(w, `{"id":"x","status":"ok","message":"Certificate added"}`)
	})
	b := setup(t, withControl)
	key := asUser(b.user(b.org(), "a@example.org", map[string]string{"certs": "write"}).AccessKey)
	const file = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	part := func(disposition, content string) string {
		return "--b\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + content + "\r\n"
	}
	for name, body := range map[string]string{
		"a file":                       part(`name="cert"; filename="a.pem"`, file) + "--b--\r\n",
		"a field before the file":      part(`name="note"`, "text") + part(`name="data"; filename="a.pem"`, file) + "--b--",
		"a field alone":                part(`name="cert"`, file) + "--b--\r\n",
		"line feeds between the lines": strings.ReplaceAll(part(`name="file"; filename="a"`, file)+"--b--\r\n", "\r\n", "\n"),
		"the file itself":              file,
	} {
		t.Run(name, func(t *testing.T) {
			for _, contentType := range []string{"", "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=other"} {
				received.Store(nil)
				b.do("POST", "/api/certs", body, key, header("Content-Type", contentType)).is(200)
				require.NotNil(t, received.Load())
				require.Equal(t, strings.TrimSpace(file), strings.TrimSpace(*received.Load()))
			}
		})
	}
	received.Store(nil)
	for body, status := range map[string]int{
		part(`name="cert"; filename="a.pem"`, " \n") + "--b--\r\n": 500, part(`name="cert"`, "") + "--b--\r\n": 500,
		part(`name="cert"; filename="a.pem"`, file): 403, "--b--\r\n": 403, "--": 403, "text": 403, `{"cert":"x"}`: 403, "--b\r\n": 403,
	} {
		got := b.do("POST", "/api/certs", body, key).is(status)
		require.NotContains(t, got.body, "AAAA")
	}
	require.Nil(t, received.Load())
	require.NotContains(t, b.log.String(), "AAAA")
}
