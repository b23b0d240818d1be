package server

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
)

// A server must not start when contracts, code and routes do not agree (facts toolchain 1, 20). These break them.

func TestContractThatLacksSomethingIsRefused(t *testing.T) {
	t.Parallel()
	const whole = `
openapi: 3.0.3
info: {title: t, version: '1'}
security: [{api_key: []}]
components: {securitySchemes: {api_key: {type: apiKey, in: header, name: Admin-Auth}}}
paths:
  /admin/x:
    post:
      operationId: x
      requestBody: {content: {application/json: {schema: {type: object}}}}
      responses:
        '200': {description: d, content: {application/json: {examples: {ok: {value: {Message: fine}}}}}}
        '401': {description: d, content: {application/json: {examples: {unauthorised: {value: {Message: no}}}}}}
        '403': {description: d, content: {application/json: {examples: {malformed: {value: {}}, access_denied: {value: {}}}}}}
        '408': {description: d, content: {application/json: {examples: {too_slow: {value: {}}}}}}
        '413': {description: d, content: {application/json: {examples: {too_large: {value: {}}}}}}
        '500': {description: d, content: {application/json: {examples: {empty_body: {value: {}}}}}}
`
	read := func(yaml string) error {
		spec, err := openapi3.NewLoader().LoadFromData([]byte(yaml))
		require.NoError(t, err)
		_, err = newContract(spec)
		return err
	}
	require.NoError(t, read(whole))
	for name, change := range map[string][2]string{
		"no 401":                     {"unauthorised:", "other:"},
		"no malformed":               {"malformed:", "other:"},
		"no empty_body":              {"empty_body:", "other:"},
		"no too_slow":                {"too_slow:", "other:"},
		"no too_large":               {"too_large:", "other:"},
		"a scheme nobody knows":      {"security: [{api_key: []}]", "security: [{other: []}]"},
		"a response without example": {"{examples: {ok: {value: {Message: fine}}}}", "{}"},
		"a default response":         {"'500'", "default"},
		"a permission of no level":   {"operationId: x", "operationId: x\n      x-permission: {object: users, level: none}"},
		"what varies is not there":   {"{value: {Message: fine}}", "{value: {Message: fine}, x-varies: other}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, whole, change[0])
			require.Error(t, read(strings.Replace(whole, change[0], change[1], 1)))
		})
	}
}

func TestRoutesThatDoNotAgreeAreRefused(t *testing.T) {
	t.Parallel()
	known := contract{"x": {id: "x", method: "GET", path: "/admin/x/{id}"}}
	require.NoError(t, known.checkRoutes([]*echo.Route{{Method: "GET", Path: "/admin/x/:id"}}))
	require.ErrorContains(t, known.checkRoutes(nil), "operation x has no route")
	require.ErrorContains(t, known.checkRoutes([]*echo.Route{{Method: "GET", Path: "/admin/x/:id"}, {Method: "GET", Path: "/debug"}}), "is in no contract")
}
