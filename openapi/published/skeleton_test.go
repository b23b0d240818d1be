package published_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/openapi/published"
)

// document has each kind of prose, some of it where property names look like keywords.
const document = `
# A comment.
openapi: 3.0.3
info: {title: Pets, version: 1.2.3, description: Prose., contact: {name: N}, license: {name: L}, x-logo: logo.png}
servers: [{url: 'https://{tenant}'}]
tags: [{name: Pets, description: Prose.}]
paths:
  /pets/{id}:
    summary: Prose.
    put:
      tags: [Pets]
      summary: Prose.
      description: Prose.
      operationId: putPet
      parameters:
        - {name: id, in: path, required: true, description: Prose., example: 1, schema: {type: string}}
        - $ref: '#/components/parameters/Page'
          description: Prose.
      requestBody:
        description: Prose.
        content:
          application/json:
            example: {name: Rex}
            schema: {$ref: '#/components/schemas/Pet'}
      responses:
        404:
          description: Prose.
          content:
            application/json:
              examples: {none: {value: {}}}
              schema:
                title: Prose
                description: Prose.
                type: object
                additionalProperties: true
        200:
          description: Prose.
          headers: {x-rate: {description: Prose., schema: {type: integer}}}
components:
  examples: {Rex: {value: {name: Rex}}}
  parameters:
    Page: {in: query, name: p, schema: {type: integer, minimum: 1, default: 1, example: 3}}
  securitySchemes:
    key: {type: apiKey, in: header, name: admin-auth, description: Prose.}
  schemas:
    Pet:
      required: [title]
      type: object
      x-go-package: pets
      properties:
        title: {type: string, description: Prose., example: Rex}
        example: {type: object, properties: {description: {type: string, format: date, nullable: true}}}
        description: {allOf: [{$ref: '#/components/schemas/Pet'}], title: Prose}
        kind: {type: string, enum: [cat, dog], externalDocs: {url: 'https://example.com'}}
`

const skeleton = `openapi: 3.0.3
info: {title: Skeleton, version: 1.2.3}
paths:
  /pets/{id}:
    put:
      operationId: putPet
      parameters:
        - name: id
          in: path
          required: true
          schema: {type: string}
        - {$ref: '#/components/parameters/Page'}
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/Pet'}
      responses:
        '200':
          description: ''
          headers:
            x-rate:
              schema: {type: integer}
        '404':
          description: ''
          content:
            application/json:
              schema: {type: object, additionalProperties: true}
components:
  schemas:
    Pet:
      type: object
      required: [title]
      properties:
        description:
          allOf:
            - {$ref: '#/components/schemas/Pet'}
        example:
          type: object
          properties:
            description: {type: string, format: date, nullable: true}
        kind:
          type: string
          enum: [cat, dog]
        title: {type: string}
  parameters:
    Page:
      name: p
      in: query
      schema: {type: integer, default: 1, minimum: 1}
  securitySchemes:
    key: {type: apiKey, name: admin-auth, in: header}
`

func TestSkeleton(t *testing.T) {
	t.Parallel()
	got, err := published.Skeleton([]byte(document))
	require.NoError(t, err)
	require.Equal(t, skeleton, string(got))
}

func TestSkeletonRefusesUnknownKeywords(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct{ old, broken, message string }{
		{"    summary: Prose.", "    sumry: Prose.", `line 9: unknown keyword "sumry"`},
		{"x-go-package: pets", "if: {}", `line 49: unknown keyword "if"`},
		{"openapi: 3.0.3", "webhooks: {}", `line 3: unknown keyword "webhooks"`},
	} {
		_, err := published.Skeleton([]byte(strings.Replace(document, fault.old, fault.broken, 1)))
		require.EqualError(t, err, fault.message)
	}
	for _, text := range []string{"", "paths: [", "paths: {/pets: {get: [1]}}", "text"} {
		_, err := published.Skeleton([]byte(text))
		require.Error(t, err, text)
	}
}

// TestCommittedSkeletons checks that the files here are skeletons, and valid documents but for a default of another
// type in a published one.
func TestCommittedSkeletons(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		again, err := published.Skeleton(text)
		require.NoError(t, err, file)
		require.Equal(t, string(text), string(again), "%s is not a skeleton: make it with go run ./openapi/published/cmd", file)
		loaded, err := openapi3.NewLoader().LoadFromData(text)
		require.NoError(t, err, file)
		assert.NoError(t, loaded.Validate(t.Context(), openapi3.DisableSchemaDefaultsValidation()), file)
	}
}
