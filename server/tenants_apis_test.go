package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// classic returns a classic API of a user with more members of its definition.
func classic(apiID, members string) string {
	return fmt.Sprintf(`{"api_definition":{"name":"N %[1]s","api_id":%[1]q,"active":true,"proxy":{"listen_path":"/%[1]s/",
		"target_url":"http://127.0.0.1:1/"},"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default"}}}%[2]s}}`,
		apiID, members)
}

// oasWith returns an OAS API of a user, with more members of the settings of its extension.
func oasWith(apiID, upstream, server, rest string) string {
	return fmt.Sprintf(`{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{"/x":{"get":{"operationId":"getX","responses":{"200":{"description":"ok"}}}}},
		"x-tyk-api-gateway":{"info":{"id":%[1]q,"name":"O %[1]s","state":{"active":true}%[4]s},"upstream":{"url":"http://127.0.0.1:1/"%[2]s},
		"server":{"listenPath":{"value":"/%[1]s/"}%[3]s},"middleware":{"operations":{"getX":{"allow":{"enabled":true}}}}}}`,
		apiID, upstream, server, rest)
}

// definitionsOfOthers are members of classic API definitions that refer to another organisation, or to files of
// gateways. {O} is the other organisation, {H} a SHA-256, {D} the ID of its API in the database.
var definitionsOfOthers = map[string]string{
	"its certificate for the upstream":          `"upstream_certificates":{"*":"{O}{H}"}`,
	"its certificate, in another case":          `"Upstream_Certificates":{"*":"{O}{H}"}`,
	"its certificate beside the own":            `"upstream_certificates":{"a.example":"{A}{H}","*":"{O}{H}"}`,
	"a file as a certificate":                   `"upstream_certificates":{"*":"/etc/ssl/private/x.pem"}`,
	"its certificate for the domain":            `"certificates":["{O}{H}"]`,
	"its certificate for clients":               `"client_certificates":["{A}{H}","{O}{H}"]`,
	"its key":                                   `"pinned_public_keys":{"*":"{A}{H},{O}{H}"}`,
	"a file as a key":                           `"pinned_public_keys":{"*":"tyk.conf"}`,
	"its key for signatures":                    `"request_signing":{"is_enabled":true,"certificate_id":"{O}{H}"}`,
	"a file for a response":                     `"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","extended_paths":{"transform_response":[{"path":"/","method":"GET","template_data":{"template_mode":"file","template_source":"/opt/tyk-gateway/tyk.conf"}}]}}}}`,
	"a file for a request":                      `"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","extended_paths":{"transform":[{"path":"/","method":"GET","template_data":{"template_mode":"file","template_source":"templates/../tyk.conf"}}]}}}}`,
	"a device as a virtual endpoint":            `"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","extended_paths":{"virtual":[{"path":"/","method":"GET","response_function_name":"f","function_source_type":"file","function_source_uri":"//dev/zero"}]}}}}`,
	"a device as a plugin":                      `"custom_middleware":{"pre":[{"name":"f","path":"middleware/../../x.js"}]}`,
	"a device as a plugin for authentication":   `"custom_middleware":{"auth_check":{"name":"f","path":"/proc/self/environ"}}`,
	"a file for a webhook":                      `"event_handlers":{"events":{"AuthFailure":[{"handler_name":"eh_web_hook_handler","handler_meta":{"target_path":"http://a.example","template_path":"tyk.conf"}}]}}`,
	"its API as the target":                     `"proxy":{"listen_path":"/x/","target_url":"tyk://foreign/"}`,
	"its API as the target, by another case":    `"proxy":{"listen_path":"/x/","target_url":" TYK://foreign/"}`,
	"its API as the target, with a user":        `"proxy":{"listen_path":"/x/","target_url":"tyk://me@foreign:80/"}`,
	"its API by its ID in the database":         `"proxy":{"listen_path":"/x/","target_url":"tyk://{D}/"}`,
	"its API by its name":                       `"proxy":{"listen_path":"/x/","target_url":"tyk://LEDGER-of-v/x"}`,
	"its API by a long s":                       `"proxy":{"listen_path":"/x/","target_url":"tyk://leDger-of-v\u017f/"}`,
	"its API by a long s, with escapes":         `"proxy":{"listen_path":"/x/","target_url":"tyk://ledger-of-%C5%BFv/"}`,
	"its API as a version, by a Kelvin sign":    `"definition":{"enabled":true,"name":"v1","default":"v2","location":"header","key":"x","versions":{"v2":"boo\u212aing"}}`,
	"its API as a host":                         `"proxy":{"listen_path":"/x/","target_url":"http://foreign/"}`,
	"its API as a host, by its name":            `"proxy":{"listen_path":"/x/","target_url":"//Ledger-of-v"}`,
	"its API as a host among targets":           `"proxy":{"listen_path":"/x/","target_url":"http://a.example","target_list":["foreign"]}`,
	"its API as the host of a data source":      `"graphql":{"enabled":true,"execution_mode":"proxyOnly","schema":"type Query { a: Int }","engine":{"data_sources":[{"kind":"REST","name":"a","config":{"url":"https://{D}/x"}}]}}`,
	"a header that makes hosts loops":           `"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","global_headers":{"X-TYK-internal":"1"}}}}`,
	"the client's Host in a loop":               `"proxy":{"listen_path":"/x/","target_url":"http://a.example","preserve_host_header":true,"target_list":["tyk://own/"]}`,
	"its API among targets":                     `"proxy":{"listen_path":"/x/","target_url":"http://a.example","target_list":["tyk://foreign"]}`,
	"its API by a rewrite":                      `"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","extended_paths":{"url_rewrites":[{"path":"/","method":"GET","match_pattern":"x","rewrite_to":"tyk://ledger of v/"}]}}}}`,
	"its API by a trigger":                      `"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","extended_paths":{"url_rewrites":[{"path":"/","method":"GET","match_pattern":"x","rewrite_to":"/","triggers":[{"on":"any","options":{},"rewrite_to":"tyk://foreign/"}]}]}}}}`,
	"an API that the request names":             `"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","extended_paths":{"url_rewrites":[{"path":"/","method":"GET","match_pattern":"(.*)","rewrite_to":"tyk://$1/"}]}}}}`,
	"its API as a version":                      `"definition":{"enabled":true,"name":"v1","default":"v2","location":"header","key":"x","versions":{"v2":"foreign"}}`,
	"its API as a version, by its name":         `"definition":{"enabled":true,"name":"v1","default":"v2","location":"header","key":"x","versions":{"v2":"ledger-OF-v"}}`,
	"a secret of the gateway":                   `"config_data":{"x":["env://TYK_GW_NODESECRET"]}`,
	"a secret of the gateway in a name":         `"config_data":{"x env://TYK_GW_SECRET":1}`,
	"a secret of the gateway, with escapes":     `"config_data":{"x":"\u0065nv:\/\/TYK_GW_SECRET"},"proxy":{"listen_path":"/x/","target_url":"http://a.example/env://TYK_GW_SECRET"}`,
	"a secret of the gateway, all in escapes":   `"proxy":{"listen_path":"/x/","target_url":"\u0065nv:\/\/TYK_GW_SECRET"}`,
	"a name that is the api_id of its API":      `"name":"Foreign"`,
	"a name that is the ID of its API":          `"name":"{D}"`,
	"a name that is its api_id, and a category": `"name":"foreign #b"`,
	"a name that is too long":                   `"name":"` + strings.Repeat("a!", 128) + `"`,
	"an API with a name that is too long":       `"proxy":{"listen_path":"/x/","target_url":"tyk://` + strings.Repeat("a", 256) + `/"}`,
	"a name that gateways cannot compare":       `"name":"#b"`,
}

// oasOfOthers are the same for OAS APIs: members of upstream, server and info.
var oasOfOthers = map[string][3]string{
	"its certificate for the upstream": {`,"mutualTLS":{"enabled":true,"domainToCertificateMapping":[{"domain":"*","certificate":"{O}{H}"}]}`},
	"a file as a certificate":          {`,"mutualTLS":{"enabled":true,"domainToCertificateMapping":[{"domain":"*","certificate":"/etc/x.pem"}]}`},
	"its key":                          {`,"certificatePinning":{"enabled":true,"domainToPublicKeysMapping":[{"domain":"*","publicKeys":["{O}{H}"]}]}`},
	"its key for signatures":           {`,"authentication":{"enabled":true,"requestSigning":{"enabled":true,"certificateId":"{O}{H}"}}`},
	"its certificate for clients":      {``, `,"clientCertificates":{"enabled":true,"allowlist":["{O}{H}"]}`},
	"its certificate for the domain":   {``, `,"customDomain":{"enabled":true,"name":"a.example","certificates":["{O}{H}"]}`},
	"its API among targets":            {`,"loadBalancing":{"enabled":true,"targets":[{"url":"tyk://foreign/","weight":1}]}`},
	"a secret of the gateway":          {`,"proxy":{"enabled":true,"url":"env:\/\/TYK_GW_SECRET"}`},
	"its API as a version":             {``, ``, `,"versioning":{"enabled":true,"name":"v1","default":"v2","location":"header","key":"x","versions":[{"name":"v2","id":"foreign"}]}`},
}

// definitionsOfTheOwn refer to objects of the organisation, or to objects that do not exist.
var definitionsOfTheOwn = map[string]string{
	"an own certificate":     `"upstream_certificates":{"*":"{A}{H}"},"pinned_public_keys":{"*":"{A}{H},{H}"},"certificates":["{A}{H}"],"client_certificates":[]`,
	"the own API":            `"proxy":{"listen_path":"/x/","target_url":"tyk://self/"}`,
	"an own API":             `"proxy":{"listen_path":"/x/","target_url":"tyk://own/y?z=tyk"}`,
	"an own API by its name": `"proxy":{"listen_path":"/x/","target_url":"tyk://Ledger-of-A/"}`,
	"an unknown API":         `"proxy":{"listen_path":"/x/","target_url":"tyk://tomorrow/"}`,
	"an own version":         `"definition":{"enabled":true,"name":"v1","default":"self","location":"header","key":"x","versions":{"v2":"own"}}`,
	"a host with a port":     `"proxy":{"listen_path":"/x/","target_url":"http://foreign:8080/"}`,
	"the client's Host":      `"proxy":{"listen_path":"/x/","target_url":"http://a.example/","preserve_host_header":true},"definition":{"enabled":true,"name":"v1","default":"self","location":"header","key":"x","versions":{"v2":"own"}}`,
	"a host of a container":  `"proxy":{"listen_path":"/x/","target_url":"http://own/","target_list":["b","http://upstream"]}`,
	"a plugin":               `"custom_middleware":{"pre":[{"name":"f","path":"./middleware/x.js"}],"auth_check":{"name":"F","path":"/opt/tyk-gateway/middleware/x.so"}}`,
	"a template":             `"event_handlers":{"events":{"AuthFailure":[{"handler_name":"eh_web_hook_handler","handler_meta":{"template_path":"templates/default_webhook.json"}}]}}`,
	"a text about loops":     `"config_data":{"doc":"see tyk://foreign/","upstream_certificates":{"*":"x"}}`,
	"a name of another's":    `"name":"Ledger of V"`,
	"secrets for APIs":       `"config_data":{"x":["env://TYK_SECRET_A","secrets://a","vault://a","consul://a"]}`,
}

// TestAPIsReachNoOtherOrganisation: gateways find certificates, files and APIs by names that they do not compare with
// the organisation of the API.
func TestAPIsReachNoOtherOrganisation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	key := b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey
	b.importAPIs(
		strings.Replace(apiOf(org, "own"), `"name":"own"`, `"name":"Ledger of A #money"`, 1),
		strings.Replace(apiOf(other, "foreign"), `"name":"foreign"`, `"name":"Ledger of V #money"`, 1)).is(200)
	var stored struct {
		Definition struct {
			ID string `json:"id"`
		} `json:"api_definition"`
	}
	b.do("GET", "/api/apis/foreign", nil, asUser(b.user(other, "v@example.org", map[string]string{"apis": "read"}).AccessKey)).is(200).json(&stored)
	fill := strings.NewReplacer("{A}", org, "{O}", other, "{H}", certificateHash, "{D}", stored.Definition.ID).Replace
	b.do("POST", "/api/apis", classic("mine", ""), asUser(key)).is(200)
	b.do("POST", "/api/apis/oas", oasWith("mine-oas", "", "", ""), asUser(key)).is(200)
	before := b.do("GET", "/api/apis?p=-1", nil, asUser(key)).is(200).body
	for name, members := range definitionsOfOthers {
		t.Run(name, func(t *testing.T) {
			for method, path := range map[string]string{"POST": "/api/apis", "PUT": "/api/apis/mine"} {
				refused := b.do(method, path, classic(map[string]string{"POST": "mine-2", "PUT": "mine"}[method], ","+fill(members)), asUser(key)).is(400)
				require.Contains(t, refused.body, `"path":"/api_definition`)
				require.NotContains(t, refused.body, certificateHash)
			}
		})
	}
	for name, parts := range oasOfOthers {
		t.Run("OAS: "+name, func(t *testing.T) {
			document := oasWith("mine-oas", fill(parts[0]), fill(parts[1]), fill(parts[2]))
			b.do("POST", "/api/apis/oas", strings.Replace(document, `"id":"mine-oas"`, `"id":"mine-2"`, 1), asUser(key)).is(400)
			b.do("PUT", "/api/apis/oas/mine-oas", document, asUser(key)).is(400)
		})
	}
	require.Equal(t, before, b.do("GET", "/api/apis?p=-1", nil, asUser(key)).is(200).body, "nothing was stored")
	for name, members := range definitionsOfTheOwn {
		t.Run(name, func(t *testing.T) {
			b.do("PUT", "/api/apis/mine", classic("mine", ","+fill(members)), asUser(key)).is(200)
		})
	}
	t.Run("what the operator has imported stays", func(t *testing.T) {
		for n, name := range []string{"its certificate for the upstream", "a file for a webhook", "its API as the target", "a name that is the api_id of its API"} {
			id := fmt.Sprintf("imported-%d", n)
			imported := strings.Replace(apiOf(org, id), `"proxy":{`, `"x":{`, 1)
			imported = strings.TrimSuffix(imported, "}}") + "," + fill(definitionsOfOthers[name]) + "}}"
			b.importAPIs(imported).is(200)
			b.do("PUT", "/api/apis/"+id, classic(id, ","+fill(definitionsOfOthers[name])), asUser(key)).is(200)
		}
	})
}

// TestNewAPIIDs: an api_id is a part of paths, and of names in the Redis of gateways.
func TestNewAPIIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	key := b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey
	b.do("POST", "/api/apis", classic("mine", ""), asUser(key)).is(200)
	for _, id := range []string{
		"*", "a*", "*.oauth-clientid.*[0-9a-z", "v?", "[a]", "a]", `a\\b`, "{x}", "a^", "victim.oauth-clientid.y", "a b", "a/b", "..", "a..b", ".a", "a.",
		"apis", "create", "Create", "keys", "oauth", "oas", "-", "default", "search", "streams", "\\u0000", "a\\nb", "é", strings.Repeat("x", 256),
	} {
		for method, path := range map[string]string{"POST": "/api/apis", "PUT": "/api/apis/mine"} {
			body := strings.Replace(classic("mine", ""), `"api_id":"mine"`, `"api_id":"`+id+`"`, 1)
			require.Contains(t, b.do(method, path, body, asUser(key)).is(400).body, "api_id", id)
		}
		b.do("POST", "/api/apis/oas", strings.Replace(oasWith("mine-oas", "", "", ""), `"id":"mine-oas"`, `"id":"`+id+`"`, 1), asUser(key)).is(400)
	}
	for _, id := range []string{
		"5fa2db834e07444f760b7ceb314209fb", "b84fe1a04e5648927971c0557971565c", "0b1c2d3e-4f50-4617-8a9b-0c1d2e3f4a5b", "5f0000000000000000000001",
		"my-api_v1.2~x", "ZGVmYXVsdC9odHRwYmlu", "Z2F0ZQ==", "team:api", "1", "A",
	} {
		b.do("POST", "/api/apis", classic(id, ""), asUser(key)).is(200)
		b.do("POST", "/api/apis/oas", oasWith("oas-"+id, "", "", ""), asUser(key)).is(200)
	}
	b.importAPIs(apiOf(org, "of an import*")).is(200)
	b.do("PUT", "/api/apis/of%20an%20import*", classic("of an import*", ""), asUser(key)).is(200)
}

// TestManyReferences: an API may repeat a reference, but not have many different ones.
func TestManyReferences(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.user(b.org(), "a@example.org", map[string]string{"apis": "write"}).AccessKey
	texts := func(each func(n int) string, n int) string {
		var list []string
		for i := range n {
			list = append(list, `"`+each(i)+`"`)
		}
		return `,"config_data":{"x":[` + strings.Join(list, ",") + `]}`
	}
	same := func(text string) func(int) string { return func(int) string { return text } }
	numbered := func(n int) string { return fmt.Sprintf("tyk://a%d/", n) }
	b.do("POST", "/api/apis", classic("mine", texts(same("tyk://mine/"), 40_000)), asUser(key)).is(200)
	b.do("PUT", "/api/apis/mine", classic("mine", texts(same("tyk://own/"), 40_000)), asUser(key)).is(200)
	require.Contains(t, b.do("PUT", "/api/apis/mine", classic("mine", texts(numbered, 5001)), asUser(key)).is(400).body, "more than 5000")
}

// TestLaterAPIsAreNotCalled: gateways find an API by any of its names, whichever organisation was first to use it.
func TestLaterAPIsAreNotCalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := func(email string) string {
		return b.user(b.org(), email, map[string]string{"apis": "write"}).AccessKey
	}
	attacker, victim := user("a@example.org"), user("v@example.org")
	loop := func(apiID, name, to string) string {
		return classic(apiID, fmt.Sprintf(`,"name":%q,"proxy":{"listen_path":"/%s/","target_url":%q}`, name, apiID, to))
	}
	post := func(key, api string) reply { return b.do("POST", "/api/apis", api, asUser(key)) }

	post(attacker, loop("l1", "L1", "tyk://later/")).is(200)
	post(victim, classic("later", "")).is(409)
	post(victim, loop("v1", "Later", "http://a.example")).is(400)
	post(victim, loop("v1", "V1", "tyk://later/")).is(400)
	versions := `,"definition":{"enabled":true,"name":"v1","default":"self","location":"header","key":"x","versions":{"v2":"version-2"}}`
	post(attacker, classic("l2", versions)).is(200)
	post(victim, classic("version-2", "")).is(409)
	post(attacker, classic("version-2", "")).is(200)

	post(victim, classic("gap", "")).is(200)
	b.do("DELETE", "/api/apis/gap", nil, asUser(victim)).is(200)
	post(attacker, loop("l3", "L3", "tyk://gap/")).is(400)
	post(attacker, loop("l3", "Gap", "http://a.example")).is(400)
	post(victim, classic("gap", "")).is(200)

	post(attacker, loop("l4", "Auth X", "http://a.example")).is(200)
	post(victim, classic("auth-x", "")).is(409)
	var stored struct {
		Definition struct {
			ID string `json:"id"`
		} `json:"api_definition"`
	}
	b.do("GET", "/api/apis/gap", nil, asUser(victim)).is(200).json(&stored)
	post(attacker, classic(strings.ToUpper(stored.Definition.ID), "")).is(409)
	post(victim, loop("v2", "Auth X", "http://a.example")).is(200)

	post(victim, loop("v3", "aé#x", "http://a.example")).is(200)
	post(attacker, loop("l5", "L5", "tyk://a-/")).is(400)
}
