package lint_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/openapi/lint"
)

// public is a contract as others write it, which OpenAPI allows: with what no contract of gatehouse has.
const public = `openapi: 3.0.3
info: {title: Public, version: 2024-01-31, x-logo: {url: logo.png}}
servers: [{url: 'https://{region}.api.example/v1', variables: {region: {default: eu, enum: [eu, us]}}}]
x-tagGroups: []
paths:
  x-paths: {any: thing}
  /pets/{id}:
    parameters: [{$ref: '#/components/parameters/id'}]
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}]
      security: [{oauth: [read]}, {}]
      responses:
        2XX:
          description: &text The pet.
          links: {next: {operationId: next, parameters: {id: $response.body#/next}}}
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Pet'}
              example: {kind: cat}
        default: {$ref: '#/components/responses/Failed'}
    post:
      operationId: next
      callbacks: {done: {'{$request.body#/url}': {post: {responses: {'200': {description: Done.}}}}}}
      requestBody:
        content:
          multipart/form-data:
            schema: {type: object, properties: {photo: {type: string, format: binary}}}
            encoding: {photo: {contentType: image/png, headers: {X-Size: {schema: {type: integer}}}}}
      responses: {'204': {description: *text}}
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {implicit: {authorizationUrl: 'https://api.example', scopes: {read: Read.}}}}
    copy: {$ref: '#/components/securitySchemes/oauth'}
  parameters:
    id: {name: id, in: path, required: true, style: simple, schema: {type: string}}
  responses:
    Failed: {description: Not done., headers: {X-Why: {style: simple, explode: false, schema: {type: string}}}}
  schemas:
    Pet:
      oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}]
      discriminator: {propertyName: kind, mapping: {cat: '#/components/schemas/Cat'}}
      externalDocs: {url: 'https://api.example/pets'}
    Cat: &cat
      type: object
      required: [kind, name]
      xml: {name: cat, wrapped: true}
      properties: {kind: {type: string}, lives: {type: integer, nullable: true}}
    Dog:
      <<: *cat
      description: A dog.
`

// checkText checks a document.
func checkText(t *testing.T, text string) []lint.Problem {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	problems, err := lint.CheckAll(path)
	require.NoError(t, err)
	return problems
}

// TestPublicContract finds no fault in what OpenAPI allows, and names each rule of gatehouse that it does not keep.
func TestPublicContract(t *testing.T) {
	t.Parallel()
	found := map[string]int{}
	for _, problem := range checkText(t, public) {
		require.False(t, problem.IsFault(), problem)
		found[problem.Rule]++
	}
	require.Equal(t, map[string]int{
		"operation-id": 1, "outcome": 3, "example-name": 1, "example-value": 1, "keyword": 9, "extension": 3, "format": 1,
		"required": 1, "property-order": 2, "property-optional": 1,
	}, found)
}

// TestRulesAreNamed checks that each rule that a problem names is one of Rules.
func TestRulesAreNamed(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, rule := range lint.Rules() {
		require.False(t, named[rule.Name], "%s is there twice", rule.Name)
		require.NotEmpty(t, rule.Consequence)
		named[rule.Name] = true
	}
	for _, problem := range checkText(t, public) {
		require.True(t, named[problem.Rule], problem)
	}
}

// TestFaultsOfOpenAPI breaks the public contract in ways that no version of OpenAPI 3.0 allows.
func TestFaultsOfOpenAPI(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, broken, at, message string }{
		"no title":                          {"title: Public, ", "", "{version", "info: it needs title"},
		"no responses":                      {"      responses: {'204': {description: *text}}\n", "", "operationId: next", "operation: it needs responses"},
		"no description":                    {"Failed: {description: Not done., ", "Failed: {", "{headers", "response: it needs description"},
		"what is no status":                 {"'204'", "'20'", "'20'", `"20" is not a status, a range such as 4XX, or default`},
		"what is no path":                   {"  /pets/{id}:", "  pets/{id}:", "pets", `"pets/{id}" is not a path`},
		"a path parameter that is optional": {"{name: id, in: path, required: true, style", "{name: id, in: path, style", "{name: id, in: path, style", "needs required: true"},
		"a parameter without a schema":      {"style: simple, schema: {type: string}}\n  responses", "style: simple}\n  responses", "{name: id, in: path, required: true, style", "either a schema or a content"},
		"no such security scheme":           {"[{oauth: [read]}", "[{oaut: [read]}", "oaut:", `the security scheme "oaut" is not declared: did you mean "oauth"?`},
		"no propertyName":                   {"{propertyName: kind, mapping", "{mapping", "{mapping", "discriminator: it needs propertyName"},
		"a keyword of OpenAPI 3.1":          {"A dog.", "A dog.\n      const: 1", "const", `unknown keyword "const" (schema)`},
		"a schema that is composed of itself": {
			"oneOf: [{$ref: '#/components/schemas/Cat'}", "oneOf: [{$ref: '#/components/schemas/Pet'}", "{$ref: '#/components/schemas/Pet'}", "composed of itself",
		},
		"a reference to itself":            {"    copy: {$ref: '#/components/securitySchemes/oauth'}", "    copy: {$ref: '#/components/securitySchemes/copy'}", "'#/components/securitySchemes/copy", "leads to itself"},
		"a reference to another server":    {"copy: {$ref: '#/", "copy: {$ref: 'https://api.example/common.yaml#/", "'https", "it is on another server: save it in a file"},
		"a reference to another component": {"schema: {$ref: '#/components/schemas/Pet'}", "schema: {$ref: '#/components/parameters/id'}", "'#/", "does not refer to what belongs here, components/schemas"},
		"another version":                  {"openapi: 3.0.3", "openapi: 3.1.0", "3.1.0", "this is OpenAPI 3.1.0, of which nothing is checked"},
		"Swagger":                          {"openapi: 3.0.3", "swagger: '2.0'", "'2.0'", "this is Swagger 2.0: convert the document to OpenAPI 3.0"},
		"an alias of what it is in":        {"    Cat: &cat\n", "    Cat: &cat\n      x-cat: *cat\n", "", "an alias stands for something that it is a part of"},
		"two paths that are one":           {"components:\n", "  /pets/{name}: {get: {parameters: [{name: name, in: path, required: true, schema: {type: string}}], responses: {'204': {description: D.}}}}\ncomponents:\n", "/pets/{name}", "matches the same requests (get) as /pets/{id} on line 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, public, c.old)
			text := strings.Replace(public, c.old, c.broken, 1)
			var faults []lint.Problem
			for _, problem := range checkText(t, text) {
				if problem.IsFault() {
					faults = append(faults, problem)
				}
			}
			require.Len(t, faults, 1, "one fault is one problem")
			require.Contains(t, faults[0].Message, c.message)
			if c.at == "" {
				return
			}
			require.Contains(t, places(text, c.at), [2]int{faults[0].Line, faults[0].Column}, faults[0])
		})
	}
}

// places returns the lines and columns of a part of a text.
func places(text, part string) (all [][2]int) {
	for number, line := range strings.Split(text, "\n") {
		for i := range line {
			if strings.HasPrefix(line[i:], part) {
				all = append(all, [2]int{number + 1, i + 1})
			}
		}
	}
	return all
}

// TestManyAliases has a document that would have billions of nodes without aliases.
func TestManyAliases(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("openapi: 3.0.3\nx-0: &a0 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n")
	for i := range 12 {
		fmt.Fprintf(&text, "x-%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	problems := checkText(t, text.String())
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Message, "aliases for too much")
}

// TestFaultInAnotherFile has a document that refers to a whole file, which is no document itself.
func TestFaultInAnotherFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pet.yaml"), []byte("type: number\nmaximum: 5\nformat: float\ntitle: {}\n"), 0o600))
	path := filepath.Join(folder, "api.yaml")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(public, "oneOf: [{$ref: '#/components/schemas/Cat'}",
		"oneOf: [{$ref: 'pet.yaml'}", 1)), 0o600))
	problems, err := lint.CheckAll(path)
	require.NoError(t, err)
	faults := 0
	for _, problem := range problems {
		if problem.IsFault() {
			faults++
			require.Equal(t, filepath.Join(folder, "pet.yaml"), problem.File)
			require.Equal(t, 4, problem.Line)
		}
	}
	require.Equal(t, 1, faults, problems)
}
