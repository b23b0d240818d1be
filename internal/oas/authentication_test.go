package oas

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// secured is a document with a security scheme of each kind.
func secured(security, authentication string) []byte {
	return []byte(`{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"security":` + security + `,
		"components":{"securitySchemes":{
			"key":{"type":"apiKey","in":"header","name":"X-Key"},
			"query":{"type":"apiKey","in":"query","name":"k"},
			"alias":{"$ref":"#/components/securitySchemes/query"},
			"jwt":{"type":"http","scheme":"bearer","bearerFormat":"JWT"},
			"opaque":{"type":"http","scheme":"bearer"},
			"basic":{"type":"http","scheme":"basic"},
			"oauth":{"type":"oauth2","flows":{"implicit":{},"password":{},"clientCredentials":{},"authorizationCode":{}}}}},
		"x-tyk-api-gateway":{"info":{"name":"N","state":{"active":true}},"upstream":{"url":"http://u"},
			"server":{"listenPath":{"value":"/t/"},"authentication":` + authentication + `}}}`)
}

// TestAuthentication has what the settings of authentication mean together.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		security, authentication string
		want                     map[string]string
	}{
		"the first requirement counts": {
			`[{"key":[],"jwt":["a"]},{"basic":[]}]`,
			`{"enabled":true,"securitySchemes":{"key":{"enabled":true},"jwt":{"enabled":true,"source":"s"},"basic":{"enabled":true}}}`,
			map[string]string{
				"use_keyless": "false", "use_standard_auth": "true", "enable_jwt": "true", "jwt_source": `"s"`, "use_basic_auth": "false",
				"auth_configs.authToken.name": `"key"`, "auth_configs.jwt.name": `"jwt"`, "auth_configs.basic": "",
				"security_requirements":       `[["jwt","key"],["basic"]]`,
				"security_requirement_scopes": `[{"jwt":["a"],"key":[]},{"basic":[]}]`,
			},
		},
		"in compliant mode, each does": {
			`[{"key":[]},{"jwt":[]}]`,
			`{"enabled":true,"securityProcessingMode":"compliant","security":[["hmac","jwt"],["basic"]],"hmac":{"enabled":true},
				"securitySchemes":{"key":{"enabled":true},"jwt":{"enabled":true},"basic":{"enabled":true}}}`,
			map[string]string{
				"use_standard_auth": "true", "enable_jwt": "true", "use_basic_auth": "true", "enable_signature_checking": "true",
				"security_requirements": `[["key"],["hmac","jwt"],["basic"]]`,
			},
		},
		"in compliant mode, a mode of the extension may be required alone": {
			`[{"hmac":[]},{"jwt":[]}]`,
			`{"enabled":true,"securityProcessingMode":"compliant","security":[["hmac","jwt"]],"hmac":{"enabled":true},
				"securitySchemes":{"jwt":{"enabled":true}}}`,
			map[string]string{"enable_jwt": "true", "security_requirements": `[["hmac"],["hmac","jwt"]]`},
		},
		"a scheme without settings is required": {
			`[{"key":[],"jwt":[],"basic":[],"oauth":[],"opaque":[],"gone":[]}]`, `{"enabled":true}`,
			map[string]string{
				"use_keyless": "false", "use_standard_auth": "false", "enable_jwt": "false",
				"auth_configs.authToken.auth_header_name": `"X-Key"`, "auth_configs.jwt.name": `"jwt"`, "auth_configs.basic.name": `"basic"`,
				"auth_configs.oauth": "",
			},
		},
		"without authentication, nothing is required": {
			`[{"key":[]}]`, `{"enabled":false}`,
			map[string]string{"use_keyless": "true", "auth_configs": `{}`},
		},
		"one of several tokens is enabled": {
			`[{"key":[],"query":[]}]`, `{"enabled":true,"securitySchemes":{"key":{"enabled":false},"query":{"enabled":true}}}`,
			map[string]string{
				"use_standard_auth": "true", "auth_configs.authToken.name": `"query"`, "auth_configs.authToken.param_name": `"k"`,
				"auth_configs.authToken.use_param": "true", "auth_configs.authToken.disable_header": "true",
			},
		},
		"a reference to a scheme": {
			`[{"alias":[]}]`, `{"enabled":true,"securitySchemes":{"alias":{"enabled":true}}}`,
			map[string]string{"use_standard_auth": "true", "auth_configs.authToken.param_name": `"k"`, "auth_configs.authToken.name": `"alias"`},
		},
		"certificateAuth counts before what it replaces": {
			`[{"key":[]}]`,
			`{"enabled":true,"certificateAuth":{"enabled":false},"securitySchemes":{"key":{"enabled":true,"enableClientCertificate":true}}}`,
			map[string]string{"auth_configs.authToken.use_certificate": "false", "auth_configs.authToken.name": `"key"`},
		},
		"OAuth with flows and a refresh token": {
			`[{"oauth":[]}]`, `{"enabled":true,"securitySchemes":{"oauth":{"enabled":true,"refreshToken":true}}}`,
			map[string]string{
				"use_oauth2":                      "true",
				"oauth_meta.allowed_access_types": `["refresh_token","authorization_code","client_credentials","password","__implicit"]`,
			},
		},
		"OAuth of another provider": {
			`[{"oauth":[]}]`, `{"enabled":true,"securitySchemes":{"oauth":{"enabled":true,"providers":[{"jwt":{"source":"s"}}]}}}`,
			map[string]string{
				"use_oauth2": "false", "external_oauth.enabled": "true", "external_oauth.providers.0.jwt.source": `"s"`,
				"oauth_meta.allowed_access_types": "",
			},
		},
		"OAuth that gateways read from the document": {
			`[{"oauth":[]}]`, `{"enabled":true,"securitySchemes":{"oauth":{"enabled":true,"scopeCheck":{"enabled":true}}}}`,
			map[string]string{"use_oauth2": "false", "auth_configs": `{}`, "use_keyless": "false"},
		},
		"claims of a token": {
			`[{"jwt":[]}]`,
			`{"enabled":true,"securitySchemes":{"jwt":{"enabled":true,"customClaimValidation":{"role":{"type":"exact_match","allowedValues":["a",1,true,["b"]]}}}}}`,
			map[string]string{"enable_jwt": "true"},
		},
		"a key's lifetime that is not enabled": {
			`[]`, `{"enabled":true,"customKeyLifetime":{"enabled":false,"value":"1m","respectValidity":true}}`,
			map[string]string{"session_lifetime": "0", "session_lifetime_respects_key_expiration": "true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, err := Convert(secured(test.security, test.authentication), Identity{}, Options{})
			require.NoError(t, err)
			for path, want := range test.want {
				require.Equal(t, want, gjson.GetBytes(api.Classic, path).Raw, "%s of %s", path, api.Classic)
			}
		})
	}
}

// TestForeignSchemeSettings refuses the settings of another kind of scheme, but for OAuth, of which there are three.
func TestForeignSchemeSettings(t *testing.T) {
	t.Parallel()
	const at = "/x-tyk-api-gateway/server/authentication/securitySchemes/"
	for scheme, setting := range map[string]string{"key": "source", "jwt": "refreshToken", "basic": "jwksURIs", "oauth": "cacheTTL"} {
		document := secured(`[{"`+scheme+`":[]}]`, `{"enabled":true,"securitySchemes":{"`+scheme+`":{"`+setting+`":true}}}`)
		requireFault(t, string(document), at+scheme+"/"+setting, "is not a known setting")
	}
}

func TestEndpointsAreInOrder(t *testing.T) {
	t.Parallel()
	document := []byte(`{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{
		"/a":{"get":{"operationId":"1"},"delete":{"operationId":"2"}},
		"/a/{b}":{"get":{"operationId":"3"}},
		"/a/longer":{"get":{"operationId":"4"}},
		"/sub{id}":{"get":{"operationId":"5"}},
		"/sub":{"get":{"operationId":"6"}},
		"/x/y/z":{"get":{"operationId":"7"}},
		"/z":{"get":{"operationId":""},"put":{}}},
		"x-tyk-api-gateway":{"info":{"name":"N","state":{"active":true}},"server":{"listenPath":{"value":"/t/"}},
		"upstream":{"url":"http://u"},"middleware":{"operations":{
			"7":{"block":{"enabled":true},"allow":{}},"6":{"block":{}},"5":{"block":{}},"4":{"block":{},"allow":{}},"3":{"block":{}},
			"2":{"block":{}},"1":{"block":{},"allow":{}},"":{"block":{}},"none":{"block":{}}}}}}`)
	api, err := Convert(document, Identity{}, Options{})
	require.NoError(t, err)
	endpoints := func(list string) (found []string) {
		gjson.GetBytes(api.Classic, "version_data.versions..extended_paths."+list).ForEach(func(_, v gjson.Result) bool {
			found = append(found, v.Get("method").Str+" "+v.Get("path").Str)
			return true
		})
		return found
	}
	require.Equal(t, []string{
		"GET /x/y/z", "GET /a/longer", "GET /a/{b}", "GET /sub", "GET /sub{id}", "DELETE /a", "GET /a", "GET /z", "PUT /z",
	}, endpoints("black_list"))
	require.Equal(t, []string{"GET /a", "GET /a/longer", "GET /x/y/z"}, endpoints("white_list"))
}

func TestTargetsAreLimited(t *testing.T) {
	t.Parallel()
	document := func(weight string) string {
		return strings.Replace(withExtension(""), `"url":"http://u"`,
			`"url":"http://u","loadBalancing":{"enabled":true,"targets":[{"url":"a","weight":-1},{"url":"b","weight":2},{"url":"c","weight":`+
				weight+`}]}`, 1)
	}
	api, err := Convert([]byte(document("9998")), Identity{}, Options{})
	require.NoError(t, err)
	targets := gjson.GetBytes(api.Classic, "proxy.target_list").Array()
	require.Len(t, targets, maxTargets)
	require.Equal(t, []string{"b", "b", "c"}, []string{targets[0].Str, targets[1].Str, targets[2].Str})
	for _, more := range []string{"9999", "9223372036854775807"} {
		requireFault(t, document(more), "/x-tyk-api-gateway/upstream/loadBalancing/targets", "at most 10000")
	}
}

func TestEventHandlersHaveAKind(t *testing.T) {
	t.Parallel()
	document := strings.Replace(withExtension(""), `"server":{`, `"server":{"eventHandlers":[{"type":"mail"}],`, 1)
	requireFault(t, document, "/x-tyk-api-gateway/server/eventHandlers/0/type", "must be webhook, custom or log")
}
