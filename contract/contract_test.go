package contract_test

import (
	"encoding/json"
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
      x-permission: {object: users, level: read}
      parameters: [{name: p, in: query, required: true, schema: {type: string}}]
      requestBody: {content: {application/json: {schema: {type: object}}}}
      responses:
        '200': {description: d, content: {application/json: {examples: {ok: {value: {Message: fine}}}}}}
        '400': {description: d, content: {application/json: {examples: {bad_parameter: {value: {}}}}}}
        '422': {description: d, content: {application/json: {examples: {missing_parameter: {value: {}}}}}}
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
	Schemes: map[string][]contract.Outcome{"api_key": {"unauthorised"}}, Authorised: []contract.Outcome{"access_denied"},
	Body: []contract.Outcome{"malformed", "too_large", "too_slow"}, RequiredBody: []contract.Outcome{"empty_body"},
	Parameters: []contract.Outcome{"bad_parameter"}, RequiredParameters: []contract.Outcome{"missing_parameter"},
	Outcomes: true, Extensions: map[string]string{},
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
		"no 401":                         {"unauthorised:", "other:"},
		"no malformed":                   {"malformed:", "other:"},
		"no empty_body":                  {"empty_body:", "other:"},
		"an optional body that is false": {"operationId: x", "x-optional-body: false\n      operationId: x"},
		"no too_slow":                    {"too_slow:", "other:"},
		"no too_large":                   {"too_large:", "other:"},
		"an undeclared security scheme":  {"security: [{api_key: []}]", "security: [{other: []}]"},
		"a response without example":     {"{examples: {ok: {value: {Message: fine}}}}", "{}"},
		"a response without content":     {", content: {application/json: {examples: {ok: {value: {Message: fine}}}}}", ""},
		"an outcome for a response with content": {
			"'200': {description: d", "'200': {description: d, x-outcome: other",
		},
		"an outcome with two responses": {"{ok: {value: {Message: fine}}}", "{ok: {value: {Message: fine}}, unauthorised: {value: {}}}"},
		"no bad_parameter":              {"bad_parameter:", "other:"},
		"no missing_parameter":          {"missing_parameter:", "other:"},
		"a default response":            {"'500'", "default"},
		"a permission of no level":      {"level: read", "level: none"},
		"what varies is not there":      {"{value: {Message: fine}}", "{value: {Message: fine}, x-varies: other}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, whole, change[0])
			_, err := load(t, rules, strings.Replace(whole, change[0], change[1], 1))
			require.Error(t, err)
		})
	}
}

// TestOptionalBody: an operation whose body may be absent needs no outcome for an empty one.
func TestOptionalBody(t *testing.T) {
	t.Parallel()
	optional := strings.Replace(whole, "operationId: x", "x-optional-body: true\n      operationId: x", 1)
	known, err := load(t, rules, strings.Replace(optional, "empty_body:", "other:", 1))
	require.NoError(t, err)
	require.True(t, known.Operation("x").Body.Optional)
	known, err = load(t, rules, whole)
	require.NoError(t, err)
	require.False(t, known.Operation("x").Body.Optional)
}

func TestResponseWithoutContent(t *testing.T) {
	t.Parallel()
	known, err := load(t, rules, strings.Replace(whole, "responses:\n", "responses:\n        '409': {description: d, x-outcome: conflict}\n", 1))
	require.NoError(t, err)
	require.Equal(t, contract.Response{Status: 409, Form: contract.Empty}, known.Operation("x").Responses["conflict"])
	require.Equal(t, contract.Response{Status: 200, Form: contract.Envelope, Message: "fine"}, known.Operation("x").Responses["ok"])
	require.Equal(t, contract.Response{Status: 403}, known.Operation("x").Responses["malformed"])
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	schema := func(text string) *openapi3.Schema {
		s := &openapi3.Schema{}
		require.NoError(t, s.UnmarshalJSON([]byte(text)))
		return s
	}
	defaults, err := contract.Defaults(schema(`{"properties":{
		"a":{"type":"integer","default":0,"x-order":3},
		"z":{"type":"string","default":"","x-order":1},
		"n":{"type":"object","nullable":true,"default":{},"x-order":2,"properties":{
			"second":{"type":"boolean","default":true,"x-order":2},"first":{"type":"array","items":{},"default":[],"x-order":1},"none":{"type":"string"}}},
		"last":{"type":"string","default":"x"},"id":{"type":"string"}}}`), "id")
	require.NoError(t, err)
	require.Equal(t, `{"z":"","n":{"first":[],"second":true},"a":0,"last":"x"}`, string(defaults))
	_, err = contract.Defaults(schema(`{"properties":{"a":{"type":"integer"}}}`))
	require.EqualError(t, err, "the property a has no default")
	_, err = contract.Defaults(schema(`{"properties":{"a":{"type":"integer","default":"0"}}}`))
	require.ErrorContains(t, err, "a: its default does not match its schema")
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

// TestCanonicalNames spells names as the contract does, and leaves what is not a JSON object alone.
func TestCanonicalNames(t *testing.T) {
	t.Parallel()
	c, err := load(t, extendedRules, extended)
	require.NoError(t, err)
	for body, want := range map[string]string{
		`{"USERS":[{"ID":"x"}],"other":1}`: `{"users":[{"ID":"x"}],"other":1}`,
		`{"USERS":`:                        `{"USERS":`,
		`["USERS"]`:                        `["USERS"]`,
		``:                                 ``,
	} {
		require.Equal(t, want, string(c.Operation("x").Body.CanonicalNames(json.RawMessage(body))))
	}
}
