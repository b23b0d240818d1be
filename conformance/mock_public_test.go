package conformance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
	"gatehouse/contract"
)

// readDocument reads an OpenAPI document.
func readDocument(t *testing.T, text string) (*conformance.Spec, []*contract.Contract) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	spec, err := conformance.ReadSpec(path)
	require.NoError(t, err)
	compiled, err := contract.LoadFile(contract.Rules{}, path)
	require.NoError(t, err)
	return spec, []*contract.Contract{compiled}
}

// document returns a document with one operation, GET /a, and these responses.
func document(responses, components string) string {
	return fmt.Sprintf("openapi: 3.0.3\ninfo: {title: any, version: '1'}\npaths: {/a: {get: {responses: {%s}}}}\n%s\n",
		responses, components)
}

// TestMockMakesSamples has schemas as public contracts write them. The mock's response matches each.
func TestMockMakesSamples(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ schema, components, want string }{
		"pattern":                             {`{type: string, pattern: '^[A-Z]{3}-\d+(/[a-z]+)?$'}`, "", `"XXX-1"`},
		"pattern with a minimum length":       {`{type: string, pattern: '^[a-z]+$', minLength: 20}`, "", ""},
		"format that has a pattern, too":      {`{type: string, format: date, pattern: '^\d{4}'}`, "", `"2024-02-29"`},
		"example of another type":             {`{type: integer, example: 'five'}`, "", `1`},
		"least number":                        {`{type: integer, minimum: 2}`, "", `2`},
		"number above the least":              {`{type: number, minimum: 2, exclusiveMinimum: true}`, "", `3`},
		"number below the greatest":           {`{type: integer, maximum: -3, exclusiveMaximum: true}`, "", `-4`},
		"number between":                      {`{type: number, minimum: 0.25, maximum: 0.75}`, "", `0.5`},
		"multiple":                            {`{type: integer, multipleOf: 5, minimum: 12}`, "", `15`},
		"several elements":                    {`{type: array, minItems: 2, items: {type: boolean}}`, "", `[true,true]`},
		"list without items":                  {`{type: array, minItems: 1}`, "", `[{}]`},
		"any value":                           {`{readOnly: true}`, "", `{}`},
		"required property without a schema":  {`{type: object, required: [b], properties: {a: {type: boolean}}}`, "", `{"a":true,"b":"string"}`},
		"required property of the additional": {`{type: object, required: [b], additionalProperties: {type: integer}}`, "", `{"b":1}`},
		"least number of properties":          {`{type: object, minProperties: 2, additionalProperties: {type: integer}}`, "", `{"property1":1,"property2":1}`},
		"writeOnly":                           {`{type: object, properties: {a: {type: string, writeOnly: true}, b: {type: boolean}}}`, "", `{"b":true}`},
		"properties beside oneOf":             {`{type: object, required: [a], properties: {a: {type: boolean}}, oneOf: [{required: [b], properties: {b: {type: integer}}}]}`, "", `{"a":true,"b":1}`},
		"first alternative that is the only":  {`{oneOf: [{type: number}, {type: integer}, {type: string}]}`, "", `"string"`},
		"enum of a part":                      {`{allOf: [{type: string, enum: [x]}], nullable: true}`, "", `"x"`},
		"discriminator": {
			`{$ref: '#/components/schemas/Pet'}`,
			`{Pet: {oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}], discriminator: {propertyName: kind, mapping: {cat: '#/components/schemas/Cat', dog: '#/components/schemas/Dog'}}},
  Cat: {type: object, required: [kind], properties: {kind: {type: string}}}, Dog: {type: object, required: [kind], properties: {kind: {type: string}}}}`,
			`{"kind":"cat"}`,
		},
		"discriminator without a mapping": {
			`{$ref: '#/components/schemas/Pet'}`,
			`{Pet: {anyOf: [{$ref: '#/components/schemas/Cat'}], discriminator: {propertyName: kind}}, Cat: {type: object, required: [kind], properties: {kind: {type: string}}}}`,
			`{"kind":"Cat"}`,
		},
		"recursion": {
			`{$ref: '#/components/schemas/Tree'}`,
			`{Tree: {type: object, required: [children], properties: {children: {type: array, items: {$ref: '#/components/schemas/Tree'}}}}}`, "",
		},
		"recursion by all properties": {
			`{$ref: '#/components/schemas/Tree'}`,
			`{Tree: {type: object, required: [name], properties: {name: {type: string}, left: {$ref: '#/components/schemas/Tree'}, right: {$ref: '#/components/schemas/Tree'}, above: {$ref: '#/components/schemas/Tree'}, next: {$ref: '#/components/schemas/Tree'}, last: {$ref: '#/components/schemas/Tree'}, x: {$ref: '#/components/schemas/Tree'}}}}`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			components := ""
			if c.components != "" {
				components = "components: {schemas: " + c.components + "}"
			}
			spec, contracts := readDocument(t, document(
				"'200': {description: d, content: {application/json: {schema: "+c.schema+"}}}", components))
			response, body := startMock(t, spec, contracts).ask("GET /a", "")
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			require.True(t, json.Valid([]byte(body)), body)
			if c.want != "" {
				require.Equal(t, c.want, body)
			}
			const most = 1 << 18
			require.Less(t, len(body), most)
			problems := contracts[0].Operation("GET /a").CheckResponse(response.StatusCode, response.Header, []byte(body))
			require.Empty(t, problems, body)
		})
	}
}

// TestMockChoosesStatus has the responses of operations as public contracts declare them.
func TestMockChoosesStatus(t *testing.T) {
	t.Parallel()
	const content = "{description: d, content: {text/plain: {schema: {type: string}}}}"
	for name, c := range map[string]struct {
		responses, prefer string
		status            int
	}{
		"only the default":                    {"default: " + content, "", 200},
		"the default beside faults":           {"default: " + content + ", 4XX: " + content, "", 200},
		"the default beside a success":        {"default: " + content + ", '202': " + content, "", 202},
		"a range of success":                  {"default: " + content + ", 2XX: " + content, "", 200},
		"the protocol's is no success":        {"'100': {description: d}, '204': {description: d}", "", 204},
		"only faults":                         {"'401': " + content, "", 501},
		"a status of the default":             {"default: " + content, "code=503", 503},
		"what is no status is not sent":       {"2XX: " + content, "code=20", 400},
		"what is no final status is not sent": {"default: " + content, "code=101", 400},
		"what is too high is not sent":        {"default: " + content, "code=1000", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, contracts := readDocument(t, document(c.responses, ""))
			var headers []string
			if c.prefer != "" {
				headers = []string{"Prefer", c.prefer}
			}
			response, body := startMock(t, spec, contracts).ask("GET /a", "", headers...)
			require.Equal(t, c.status, response.StatusCode, body)
		})
	}
}

// TestMockSendsHeaders has headers as public contracts declare them. Those of the mock's own are not the contract's.
func TestMockSendsHeaders(t *testing.T) {
	t.Parallel()
	spec, contracts := readDocument(t, document(`'200': {description: d, headers: {
  X-Reset: {required: true, schema: {type: integer, example: 1741200000}},
  X-Parts: {schema: {type: array, items: {type: integer}, example: [1, 2]}},
  X-Named: {schema: {type: string}, examples: {one: {value: first}}},
  X-Content: {content: {text/plain: {schema: {type: string, enum: [c]}}}}, X-Bare: {},
  Content-Length: {schema: {type: integer, example: 279}}, Content-Encoding: {schema: {type: string, example: gzip}}},
  content: {text/html: {schema: {type: string}, example: '<p>Hello</p>'}}}`, ""))
	response, body := startMock(t, spec, contracts).ask("GET /a", "")
	require.Equal(t, "<p>Hello</p>", body)
	require.EqualValues(t, len(body), response.ContentLength)
	for name, want := range map[string]string{
		"X-Reset": "1741200000", "X-Parts": "1,2", "X-Named": "first", "X-Content": "c", "X-Bare": "string",
		"Content-Encoding": "", "Content-Type": "text/html",
	} {
		require.Equal(t, want, response.Header.Get(name), name)
	}
	require.Empty(t, contracts[0].Operation("GET /a").CheckResponse(response.StatusCode, response.Header, []byte(body)))
}
