package oas

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

const petstore = `{
  "openapi": "3.0.3",
  "info": {"title": "Pets & \"co\"", "version": "1"},
  "servers": [{"url": "https://{host}/{v}", "variables": {"host": {"default": "pets.example"}, "v": {"default": "v1"}}}, {"url": "/"}],
  "security": [{"key": [], "jwt": [], "opaque": []}, {"basic": []}],
  "components": {
    "securitySchemes": {
      "key": {"type": "apiKey", "in": "query", "name": "k"}, "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
      "opaque": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"}},
    "requestBodies": {"pet": {"content": {"application/json": {"schema": {"type": "object"}}}}}},
  "paths": {
    "/pets": {
      "get": {"operationId": "listPets", "responses": {"200": {"description": "ok", "content": {"application/json": {"example": [1.50]}}}}},
      "post": {"requestBody": {"$ref": "#/components/requestBodies/pet"}, "responses": {"200": {"description": "ok"}}}},
    "/pets/{id}": {
      "parameters": [{"in": "path", "name": "id", "required": true, "schema": {"type": "string"}}],
      "delete": {"operationId": "deletePet", "parameters": [{"in": "query", "name": "force", "schema": {"type": "string"}}], "responses": {"200": {"description": "ok"}}}}}
}
`

func TestExtend(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, test := range map[string]struct {
		options ImportOptions
		want    string // the extension
	}{
		"nothing given": {
			ImportOptions{},
			`{"info":{"name":"Pets & \"co\"","state":{"active":true,"internal":false}},"upstream":{"url":"https://pets.example/v1"},
				"server":{"listenPath":{"value":"/","strip":true}},
				"middleware":{"global":{"contextVariables":{"enabled":true},"trafficLogs":{"enabled":true}}}}`,
		},
		"all given": {
			ImportOptions{
				UpstreamURL: "http://other.example", ListenPath: "/pets/", CustomDomain: "pets.example", APIID: "p",
				AllowList: &yes, ValidateRequest: &yes, MockResponse: &no, Authentication: &yes,
			},
			`{"info":{"id":"p","name":"Pets & \"co\"","state":{"active":true,"internal":false}},"upstream":{"url":"http://other.example"},
				"server":{"listenPath":{"value":"/pets/","strip":true},"customDomain":{"enabled":true,"name":"pets.example"},
					"authentication":{"enabled":true,"baseIdentityProvider":"auth_token","securitySchemes":{
						"key":{"enabled":true,"query":{"enabled":true}},
						"jwt":{"enabled":true,"header":{"enabled":true,"name":"Authorization"}}}}},
				"middleware":{"global":{"contextVariables":{"enabled":true},"trafficLogs":{"enabled":true}},"operations":{
					"listPets":{"allow":{"enabled":true},"mockResponse":{"enabled":false,"fromOASExamples":{"enabled":false}}},
					"petsPOST":{"allow":{"enabled":true},"validateRequest":{"enabled":true,"errorResponseCode":422}},
					"deletePet":{"allow":{"enabled":true},"validateRequest":{"enabled":true,"errorResponseCode":422}}}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			extended, err := Extend([]byte(petstore), test.options)
			require.NoError(t, err)
			require.JSONEq(t, test.want, gjson.GetBytes(extended, Extension).Raw)

			rest, err := Public(extended)
			require.NoError(t, err)
			if test.options.AllowList != nil {
				require.Equal(t, "petsPOST", gjson.GetBytes(rest, `paths./pets.post.operationId`).Str)
				rest = []byte(strings.Replace(string(rest), `"operationId":"petsPOST",`, "", 1))
			}
			require.Equal(t, petstore, string(rest), "the rest stays as it came")

			api, err := Convert(extended, Identity{ID: "i", DBID: "d", OrgID: "o"}, Options{})
			require.NoError(t, err)
			require.Equal(t, test.options.Authentication == nil, gjson.GetBytes(api.Classic, "use_keyless").Bool())
			require.Equal(t, test.options.Authentication != nil, gjson.GetBytes(api.Classic, "enable_jwt").Bool())
		})
	}
}

func TestExtendRefuses(t *testing.T) {
	t.Parallel()
	yes := true
	const head = `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{}`
	for _, test := range []struct {
		document string
		options  ImportOptions
		pointer  string
		reason   string
	}{
		{`nope`, ImportOptions{}, "", "is not JSON"},
		{head + `,"x-tyk-api-gateway":{}}`, ImportOptions{}, "/x-tyk-api-gateway", "The import payload should not contain x-tyk-api-gateway."},
		{head + `}`, ImportOptions{}, "/servers", "servers object is empty in OAS"},
		{head + `,"servers":[{"url":"/relative"}]}`, ImportOptions{}, "/servers/0/url", `Please update "/relative" to be a valid URL or pass a valid URL with upstreamURL query param`},
		{head + `,"servers":[{"url":"http://{a}/"}]}`, ImportOptions{}, "/servers/0/url", "upstreamURL"},
		{head + `}`, ImportOptions{UpstreamURL: "nowhere"}, "", "invalid upstream URL"},
		{head + `}`, ImportOptions{UpstreamURL: "http://u", Authentication: &yes}, "/security", "security object is empty in OAS"},
		{head + `,"servers":7}`, ImportOptions{}, "", "is not OpenAPI"},
		{`{"openapi":"3.0.3","paths":{}}`, ImportOptions{UpstreamURL: "http://u"}, "/info", "is missing"},
		{strings.Replace(head, "3.0.3", "3.1.0", 1) + `}`, ImportOptions{}, "/openapi", "OpenAPI 3.1.0"},
		{`{"swagger":"2.0"}`, ImportOptions{}, "/swagger", "OpenAPI 2.0"},
		{head + `,"components":{"schemas":{"x":{"$ref":"file:///etc/passwd"}}}}`, ImportOptions{UpstreamURL: "http://u"}, "", "is not OpenAPI"},
	} {
		_, err := Extend([]byte(test.document), test.options)
		var fault *Error
		require.ErrorAs(t, err, &fault, test.document)
		require.Equal(t, test.pointer, fault.Pointer, test.document)
		require.Contains(t, fault.Message, test.reason, test.document)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`{"a":1, "x-tyk-api-gateway" : {"b":[1]} ,"c":2}`:                                    `{"a":1 ,"c":2}`,
		`{"x-tyk-api-gateway":{}, "c":2}`:                                                    `{"c":2}`,
		` {"a":1,"x-tyk-api-gateway":{}} `:                                                   ` {"a":1} `,
		`{ "x-tyk-api-gateway":{} }`:                                                         `{  }`,
		`{"x-tyk-api-gateway":1,"\u0078-tyk-api-gateway":2}`:                                 `{}`,
		`{"x-tyk-api-gateway":1,"a":1,"x-tyk-api-gateway":1,"x-tyk-api-gateway":1,"b":1}`:    `{"a":1,"b":1}`,
		`{"x-tyk-api-gateway":1,"x-tyk-api-gateway":2,"a":{"x-tyk-api-gateway":1.50},"b":1}`: `{"a":{"x-tyk-api-gateway":1.50},"b":1}`,
		`{}`: `{}`,
		`[]`: `[]`,
	} {
		got, err := Public([]byte(document))
		require.NoError(t, err)
		require.Equal(t, want, string(got), document)
		require.True(t, json.Valid(got))
	}
	_, err := Public([]byte(`{`))
	require.Error(t, err)
}

// TestExtendManyOperations would take minutes if each operation or scheme was looked for in the whole document, or if
// references between schemas were followed.
func TestExtendManyOperations(t *testing.T) {
	t.Parallel()
	const operations = 20_000
	paths := make([]string, operations)
	for i := range paths {
		paths[i] = fmt.Sprintf(`"/%d":{"get":{}}`, i)
	}
	schemas, schemes, required := paths[:0:0], paths[:0:0], paths[:0:0]
	for i := range 5_000 {
		schemas = append(schemas, fmt.Sprintf(`"s%d":{"properties":{"a":{"$ref":"#/components/schemas/s%d"}}}`, i, i+1))
		schemes = append(schemes, fmt.Sprintf(`"s%d":{"type":"http","scheme":"basic"}`, i))
		required = append(required, fmt.Sprintf(`"s%d":[]`, i))
	}
	document := `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"servers":[{"url":"http://u"}],"components":{"schemas":{` +
		strings.Join(schemas, ",") + `},"securitySchemes":{` + strings.Join(schemes, ",") + `}},"security":[{` +
		strings.Join(required, ",") + `}],"paths":{` + strings.Join(paths, ",") + `}}`
	extended, err := Extend([]byte(document), ImportOptions{AllowList: new(true), Authentication: new(true)})
	require.NoError(t, err)
	require.Len(t, gjson.GetBytes(extended, "x-tyk-api-gateway.middleware.operations").Map(), operations)
	require.Equal(t, "19999GET", gjson.GetBytes(extended, "paths./19999.get.operationId").String())
	require.Len(t, gjson.GetBytes(extended, "x-tyk-api-gateway.server.authentication.securitySchemes").Map(), 5_000)
	_, err = Convert(extended, Identity{}, Options{})
	require.ErrorContains(t, err, "at most 100")
}
