package contract_test

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/contract"
)

// whole is a contract that keeps the rules.
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
        '403':
          description: d
          content: {application/json: {examples: {malformed: {value: {}}, access_denied: {value: {}}}}}
        '408': {description: d, content: {application/json: {examples: {too_slow: {value: {}}}}}}
        '413': {description: d, content: {application/json: {examples: {too_large: {value: {}}}}}}
        '500': {description: d, content: {application/json: {examples: {empty_body: {value: {}}}}}}
`

// rules are what a server relies on.
var rules = contract.Rules{
	Schemes: []string{"api_key"}, Authenticated: []contract.Outcome{"unauthorised"}, Authorised: []contract.Outcome{"access_denied"},
	Body: []contract.Outcome{"empty_body", "malformed", "too_large", "too_slow"},
}

// load compiles a contract in YAML.
func load(t *testing.T, rules contract.Rules, specs ...string) (*contract.Contract, error) {
	t.Helper()
	var documents [][]byte
	for _, yaml := range specs {
		spec, err := openapi3.NewLoader().LoadFromData([]byte(yaml))
		require.NoError(t, err)
		document, err := spec.MarshalJSON()
		require.NoError(t, err)
		documents = append(documents, document)
	}
	return contract.Load(rules, documents...)
}

// A server must not start when contracts, code and routes disagree. Each of these cases makes them.

func TestContractThatLacksSomethingIsRefused(t *testing.T) {
	t.Parallel()
	_, err := load(t, rules, whole)
	require.NoError(t, err)
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
			_, err := load(t, rules, strings.Replace(whole, change[0], change[1], 1))
			require.Error(t, err)
		})
	}
}

func TestOperationDeclaredTwiceIsRefused(t *testing.T) {
	t.Parallel()
	_, err := load(t, rules, whole, whole)
	require.EqualError(t, err, "contract: operation x is declared twice")
}

func TestRoutesThatDisagreeAreRefused(t *testing.T) {
	t.Parallel()
	known, err := load(t, rules, whole)
	require.NoError(t, err)
	require.NoError(t, known.CheckRoutes([]contract.Route{{"POST", "/admin/x"}}))
	require.ErrorContains(t, known.CheckRoutes(nil), "operation x has no route POST /admin/x")
	require.ErrorContains(t, known.CheckRoutes([]contract.Route{{"POST", "/admin/x"}, {"GET", "/debug"}}), "route GET /debug is in no contract")
}
