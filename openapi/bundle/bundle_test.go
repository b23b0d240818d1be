package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/openapi/bundle"
)

const head = `
openapi: 3.0.3
info: {title: TITLE, version: '1', description: d, license: {name: MIT}}
servers: [{url: 'http://127.0.0.1:3000'}]
`

// first and second have a tag, a component and a security scheme each, and second refers to first and to third.
const (
	first = head + `
security: [{admin: []}]
tags: [{name: Things, description: The first.}]
paths:
  /a: # a comment
    get:
      operationId: a
      tags: [Things]
      x-permission: {object: things, level: read}
      parameters: [{$ref: '#/components/parameters/Page'}]
      responses: {'200': {description: d}}
components:
  securitySchemes: {admin: {type: apiKey, in: header, name: A}}
  parameters:
    Page: {name: p, in: query, schema: {type: integer}}
  schemas:
    Unused: {type: string}
    Shared:
      type: object
      x-order: 1
      x-go-type: string
      properties: {$ref: {type: string}, next: {$ref: '#/components/schemas/Next'}}
    Next: {type: number, minimum: 1.0}
`
	second = head + `
security: [{user: []}]
tags: [{name: Things, description: The second.}, {name: Others, description: d}]
paths:
  /b:
    get:
      operationId: b
      tags: [Others]
      security: []
      parameters: [{$ref: '#/components/parameters/Page'}]
      responses:
        '200':
          description: d
          content:
            application/json:
              schema: {$ref: 'first.yaml#/components/schemas/Shared'}
              examples: {ok: {value: {$ref: 'no reference'}}}
  /c:
    get:
      operationId: c
      tags: [Things]
      responses: {'200': {$ref: 'third.yaml#/components/responses/Third'}}
components:
  securitySchemes: {user: {type: apiKey, in: header, name: U}}
  parameters:
    Page: {name: page, in: query, schema: {type: integer}}
`
	third = `
components:
  responses: {Third: {description: third}}
`
)

// join joins documents of a directory with these files.
func join(t *testing.T, files map[string]string, names ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name))
	}
	joined, err := bundle.Join("All", paths...)
	if err != nil {
		return "", err
	}
	text, err := bundle.YAML(joined)
	require.NoError(t, err)
	return string(text), nil
}

func TestJoin(t *testing.T) {
	t.Parallel()
	files := map[string]string{"first.yaml": first, "second.yaml": second, "third.yaml": third}
	text, err := join(t, files, "first.yaml", "second.yaml")
	require.NoError(t, err)
	spec, err := openapi3.NewLoader().LoadFromData([]byte(text)) // which refuses references to other files
	require.NoError(t, err)
	require.NoError(t, spec.Validate(t.Context()))
	a, b, c := spec.Paths.Value("/a").Get, spec.Paths.Value("/b").Get, spec.Paths.Value("/c").Get

	require.Equal(t, "All", spec.Info.Title)
	require.Equal(t, openapi3.Servers{{URL: "/", Description: "The server that serves this file."}}, spec.Servers)
	require.Equal(t, openapi3.Tags{
		{Name: "Things", Description: "The first. The second."}, {Name: "Others", Description: "d"},
	}, spec.Tags)

	t.Run("each operation has the security of its document", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, spec.Security)
		require.Equal(t, openapi3.SecurityRequirements{{"admin": {}}}, *a.Security)
		require.Equal(t, openapi3.SecurityRequirements{}, *b.Security)
		require.Equal(t, openapi3.SecurityRequirements{{"user": {}}}, *c.Security)
		require.Contains(t, spec.Components.SecuritySchemes, "admin")
		require.Contains(t, spec.Components.SecuritySchemes, "user")
	})
	t.Run("components of one name stay apart", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "#/components/parameters/Page", a.Parameters[0].Ref)
		require.Equal(t, "#/components/parameters/SecondPage", b.Parameters[0].Ref)
		require.Equal(t, "page", b.Parameters[0].Value.Name)
	})
	t.Run("what is referred to is there, and nothing else", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "third", *c.Responses.Value("200").Value.Description)
		require.Len(t, spec.Components.Schemas, 2)
		require.Equal(t, "no reference", b.Responses.Value("200").Value.Content["application/json"].Examples["ok"].Value.Value.(map[string]any)["$ref"])
	})
	t.Run("keys for the code of the server are left out", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, a.Extensions, "x-permission")
		require.Contains(t, text, "x-go-type")
		require.NotContains(t, text, "x-order")
		require.NotContains(t, text, "a comment")
	})
	t.Run("the result is always the same", func(t *testing.T) {
		t.Parallel()
		again, err := join(t, files, "first.yaml", "second.yaml")
		require.NoError(t, err)
		require.Equal(t, text, again)
	})
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		err   string
	}{
		"a path of two documents": {
			map[string]string{"first.yaml": first, "second.yaml": strings.ReplaceAll(first, "admin:", "other:")},
			"second.yaml:9:3: another document has the path /a, too",
		},
		"a security scheme of two documents": {
			map[string]string{"first.yaml": first, "second.yaml": first},
			"second.yaml:17:21: another document has a component admin in securitySchemes, too",
		},
		"a reference to nothing": {
			map[string]string{"first.yaml": first, "second.yaml": second, "third.yaml": "components: {}"},
			`second.yaml:26:33: "third.yaml#/components/responses/Third" is not a component`,
		},
		"a document that is no object": {
			map[string]string{"first.yaml": first, "second.yaml": "- 1"}, "second.yaml: the file is not an object",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := join(t, test.files, "first.yaml", "second.yaml")
			require.ErrorContains(t, err, test.err)
		})
	}
}
