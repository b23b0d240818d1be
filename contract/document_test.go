package contract_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/contract"
)

// loadText compiles a document in YAML.
func loadText(t *testing.T, text string) (*contract.Contract, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return contract.LoadFile(contract.Rules{}, path)
}

// TestUnusableDocuments has documents that libraries load, and whose use would not end or panic.
func TestUnusableDocuments(t *testing.T) {
	t.Parallel()
	const head = "openapi: 3.0.3\ninfo: {title: any, version: '1'}\n"
	for name, c := range map[string]struct{ document, message string }{
		"a schema that is composed of itself": {
			`paths: {/a: {get: {responses: {'200': {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}}}}}
components: {schemas: {A: {allOf: [{$ref: '#/components/schemas/B'}]}, B: {anyOf: [{type: string}, {$ref: '#/components/schemas/A'}]}}}`,
			`"any": components/schemas/A: the schema is composed of itself`,
		},
		"a schema that is not itself": {
			`paths: {}
components: {schemas: {A: {not: {$ref: '#/components/schemas/A'}}}}`,
			`"any": components/schemas/A: the schema is composed of itself`,
		},
		"a response that refers to itself": {
			`paths: {/a: {get: {responses: {'200': {$ref: '#/components/responses/A'}}}}}
components: {responses: {A: {$ref: '#/components/responses/B'}, B: {$ref: '#/components/responses/A'}}}`,
			`"any": GET /a responses/200: the reference #/components/responses/A leads to itself`,
		},
		"a security scheme that refers to itself": {
			`paths: {/a: {get: {security: [{key: []}], responses: {'200': {description: d}}}}}
components: {securitySchemes: {key: {$ref: '#/components/securitySchemes/key'}}}`,
			`"any": components/securitySchemes/key: the reference #/components/securitySchemes/key leads to itself`,
		},
		"a media type without a value": {
			`paths: {/a: {post: {requestBody: {content: {application/json: null}}, responses: {'200': {description: d}}}}}`,
			`"any": POST /a requestBody/content/application/json: has no value`,
		},
		"a response for what is no status": {
			`paths: {/a: {get: {responses: {'20': {description: d}}}}}`,
			`"any": GET /a responses: response 20 is not a status`,
		},
		"a response for a range that there is not": {
			`paths: {/a: {get: {responses: {6XX: {description: d}}}}}`,
			`"any": GET /a responses: response 6XX is not a status`,
		},
		"a brace without the other one": {
			`paths: {'/a/{id': {get: {responses: {'200': {description: d}}}}}`,
			`"any": path /a/{id: does not begin with a slash, or has a brace without the other one`,
		},
		"a path without a slash": {
			`paths: {a: {get: {responses: {'200': {description: d}}}}}`,
			`"any": path a: does not begin with a slash`,
		},
		"no paths": {`components: {}`, "api.yaml: has no paths"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := loadText(t, head+c.document)
			require.ErrorContains(t, err, c.message)
		})
	}
}

// TestSchemasMayReferToThemselves loads what is not endless: a value is smaller than the one that it is in.
func TestSchemasMayReferToThemselves(t *testing.T) {
	t.Parallel()
	_, err := loadText(t, `
openapi: 3.0.3
info: {title: any, version: '1'}
paths:
  /a:
    get: {responses: {2XX: {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}}}
components: {schemas: {A: {allOf: [{$ref: '#/components/schemas/B'}, {$ref: '#/components/schemas/B'}]},
  B: {properties: {a: {$ref: '#/components/schemas/A'}}}}}
`)
	require.NoError(t, err)
}

// TestFaultsInOtherFiles checks the parts of a document that are in another file.
func TestFaultsInOtherFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("shared.yaml", `
components:
  schemas:
    A: {type: object, properties: {b: {allOf: [{$ref: '#/components/schemas/B'}]}}}
    B: {oneOf: [{$ref: '#/components/schemas/B'}]}
`)
	path := write("api.yaml", `
openapi: 3.0.3
info: {title: any, version: '1'}
paths:
  /a:
    get:
      responses:
        '200': {description: d, content: {application/json: {schema: {$ref: 'shared.yaml#/components/schemas/A'}}}}
`)
	_, err := contract.LoadFile(contract.Rules{}, path)
	require.ErrorContains(t, err, "the schema is composed of itself")
}

// TestNothingIsFetched has a document that refers to another server.
func TestNothingIsFetched(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte("type: string\n"))
	}))
	t.Cleanup(server.Close)
	_, err := loadText(t, `
openapi: 3.0.3
info: {title: any, version: '1'}
paths: {}
components: {schemas: {A: {$ref: '`+server.URL+`/a.yaml'}}}
`)
	require.ErrorContains(t, err, server.URL+"/a.yaml")
	require.Zero(t, requests.Load())
}

// TestFindAmongSimilarPaths finds operations of paths that differ in the names of their parameters.
func TestFindAmongSimilarPaths(t *testing.T) {
	t.Parallel()
	c, err := loadText(t, `
openapi: 3.0.3
info: {title: any, version: '1'}
servers: [{url: 'https://{tenant}.api.example/{version}', variables: {tenant: {default: any}, version: {default: v2}}}]
paths:
  /users/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    delete: {operationId: deleteUser, responses: {'204': {description: d}}}
  /users/{name}:
    parameters: [{name: name, in: path, required: true, schema: {type: string}}]
    get: {operationId: getUser, responses: {'200': {description: d}}}
`)
	require.NoError(t, err)
	for method, want := range map[string]struct{ id, parameter string }{
		http.MethodDelete: {"deleteUser", "id"}, http.MethodGet: {"getUser", "name"},
	} {
		op, parameters, err := c.Find(httptest.NewRequest(method, "/v2/users/5", http.NoBody))
		require.NoError(t, err, method)
		require.Equal(t, want.id, op.ID)
		require.Equal(t, "5", parameters[want.parameter])
	}
	_, _, err = c.Find(httptest.NewRequest(http.MethodPut, "/v2/users/5", http.NoBody))
	require.ErrorIs(t, err, contract.ErrNoOperation)
}

func TestServerPath(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://api.example": "", "https://api.example/": "", "https://api.example/v1/": "/v1", "/v1": "/v1", "v1": "/v1",
		"https://{tenant}.example/{version}/x": "/v2/x", "http://[": "",
	} {
		server := &openapi3.Server{URL: url, Variables: map[string]*openapi3.ServerVariable{
			"tenant": {Default: "any"}, "version": {Default: "v2"},
		}}
		require.Equal(t, want, contract.ServerPath(server), url)
	}
}
