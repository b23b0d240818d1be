package contract_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/contract"
)

// extended is a contract with each x- key that is read, in its place.
const extended = `
openapi: 3.0.3
info: {title: Extended, version: '1'}
paths:
  /users:
    post:
      operationId: x
      x-permission: {object: users, level: read, self: true}
      x-ours: true
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Users'}}}}
      responses:
        '200':
          description: d
          content:
            application/json:
              schema: {type: object, properties: {x-property: {type: string}}}
              examples:
                ok: {x-varies: b, value: {Message: abc, x-value: 1}}
                access_denied: {value: {}}
components:
  schemas:
    Users:
      type: object
      x-ignore-case: true
      properties:
        users:
          type: array
          x-each: true
          items: {$ref: '#/components/schemas/User'}
    User:
      type: object
      properties:
        id: {type: string, x-object-id: true}
        wait: {type: string, x-duration: true}
    Other: {type: object, example: {x-value: 1}}
`

var extendedRules = contract.Rules{
	Authorised: []contract.Outcome{"access_denied"}, Outcomes: true, Extensions: map[string]string{"x-ours": "operation"},
}

// TestUnreadExtensionsAreRefused holds that a typing error in an x- key, or a wrong place, is an error that names both.
func TestUnreadExtensionsAreRefused(t *testing.T) {
	t.Parallel()
	known, err := load(t, extendedRules, extended)
	require.NoError(t, err)
	require.Equal(t, &contract.Permission{Object: "users", Level: "read", Self: true}, known.Operation("x").Permission)
	for _, c := range []struct{ old, changed, want string }{
		{"x-permission:", "x-permision:", `"Extended": POST /users: nothing reads x-permision: did you mean x-permission?`},
		{"x-permission:", "x-permision:", `"Extended": POST /users: has the outcome access_denied, but no x-permission`},
		{"x-ours:", "x-hours:", `"Extended": POST /users: nothing reads x-hours: did you mean x-ours?`},
		{"x-ours:", "x-unlike-any:", `"Extended": POST /users: nothing reads x-unlike-any`},
		{"x-each: true", "x-eachh: true", `"Extended": components/schemas/Users/properties/users: nothing reads x-eachh: did you mean x-each?`},
		{"{x-varies: b", "{x-varie: b", `"Extended": POST /users responses/200/content/application/json/examples/ok: nothing reads x-varie: did you mean x-varies?`},
		{"openapi: 3.0.3", "openapi: 3.0.3\nx-ours: true", `"Extended": x-ours belongs to: operation, not to: document`},
		{"{title: Extended", "{x-duration: true, title: Extended", `"Extended": info: x-duration belongs to: schema, not to: info`},
		{"    post:", "    x-permission: {object: users, level: read}\n    post:", `"Extended": /users: x-permission belongs to: operation, not to: path item`},
		{"paths:", "paths:\n  x-permission: {}", `"Extended": paths: x-permission belongs to: operation, not to: paths`},
		{"'200':", "x-varies: b\n        '200':", `"Extended": POST /users responses: x-varies belongs to: example, not to: responses`},
		{"          description: d", "          x-each: true\n          description: d", `"Extended": POST /users responses/200: x-each belongs to: schema, not to: response`},
		{"requestBody: {", "requestBody: {x-ignore-case: true, ", `"Extended": POST /users requestBody: x-ignore-case belongs to: schema, not to: request body`},
		{"{$ref: '#/components/schemas/User'}", "{$ref: '#/components/schemas/User', x-objectid: true}", `"Extended": components/schemas/Users/properties/users/items: nothing reads x-objectid: did you mean x-object-id?`},
		{"x-object-id: true", "x-object-id: false", `"Extended": components/schemas/User/properties/id: x-object-id can only be true`},
		{"{type: object, example", "{type: object, x-ignore-case: true, example", `"Extended": components/schemas/Other: x-ignore-case belongs to the schema of a request body`},
		{"wait: {type: string, x-duration: true}", "wait: {type: array, x-each: true}", `"Extended": components/schemas/User/properties/wait: x-each belongs to the schema of a request body`},
		{"self: true", "slef: true", `"Extended": POST /users: x-permission has an unknown member "slef": did you mean self?`},
		{"self: true", "self: 'true'", `"Extended": POST /users: x-permission: self has the wrong type`},
	} {
		require.Contains(t, extended, c.old)
		_, err := load(t, extendedRules, strings.Replace(extended, c.old, c.changed, 1))
		require.ErrorContains(t, err, c.want)
	}
	foreign := extendedRules
	foreign.Extensions = nil
	_, err = load(t, foreign, strings.Replace(extended, "x-ours:", "x-hours:", 1))
	require.NoError(t, err)
}

// TestAllFaultsAreReported holds that one start names every fault.
func TestAllFaultsAreReported(t *testing.T) {
	t.Parallel()
	broken := strings.NewReplacer("malformed:", "other:", "too_slow:", "slow:", "access_denied:", "denied:", "api_key: []", "app_key: []",
		"{examples: {ok: {value: {Message: fine}}}}", "{}").Replace(whole)
	again := strings.NewReplacer("/admin/x", "/admin/y", "operationId: x", "operationId: x\n      x-y: 1").Replace(broken)
	_, err := load(t, rules, broken, again)
	require.Error(t, err)
	operation := func(path string) string {
		return `"t": POST ` + path + `: response 200: it has neither a named example nor, without content, an x-outcome
"t": POST ` + path + `: security scheme "app_key" is not implemented: did you mean api_key?
"t": POST ` + path + `: has x-permission, but has no outcome [access_denied]
"t": POST ` + path + `: has a request body, but has no outcome [malformed too_slow]
`
	}
	require.Equal(t, "contract: "+operation("/admin/x")+`"t": POST /admin/y: nothing reads x-y
`+operation("/admin/y")+`operation x is declared twice`, err.Error())
}
