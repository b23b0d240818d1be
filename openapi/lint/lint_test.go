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

// TestFaults breaks a copy of the contracts in each way that Check knows.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name string
		// The first occurrence of old in file becomes broken.
		file, old, broken string
		// at is a text in broken at whose last occurrence Check has to report the problem; "" for any position.
		at string
		// message is a part of the problem.
		message string
	}{
		// The requirements of OpenAPI.
		{
			name: "syntax", file: "admin.yaml",
			old:     "operationId: getOrg\n",
			broken:  "operationId: [getOrg\n      tags: {\n",
			at:      "",
			message: "not YAML",
		},
		{
			name: "misspelt type", file: "admin.yaml",
			old:     "api_id: {type: string",
			broken:  "api_id: {type: strng",
			at:      "strng",
			message: `unknown value "strng": did you mean "string"?`,
		},
		{
			name: "unknown keyword", file: "admin.yaml",
			old:     "maxLength: 1024",
			broken:  "maxLenght: 1024",
			at:      "maxLenght",
			message: `unknown keyword "maxLenght" (schema): did you mean "maxLength"?`,
		},
		{
			name: "unknown keyword of an operation", file: "node.yaml",
			old:     "summary: Send",
			broken:  "summry: Send",
			at:      "summry",
			message: `unknown keyword "summry" (operation): did you mean "summary"?`,
		},
		{
			name: "value of another type", file: "admin.yaml",
			old:     "nullable: true",
			broken:  "nullable: sure",
			at:      "sure",
			message: "this has to be true or false",
		},
		{
			name: "object instead of a list", file: "admin.yaml",
			old:    "required: [status]",
			broken: "required: {status: true}",
			at:     "{status", message: "this has to be a list",
		},
		{
			name: "reference to nothing", file: "admin.yaml", old: "{$ref: '#/components/schemas/OASTag'}",
			broken:  "{$ref: '#/components/schemas/OASTagg'}",
			at:      "'#/",
			message: `there is no "OASTagg": did you mean "OASTag"?`,
		},
		{
			name: "reference to nothing in another file", file: "dashboard.yaml",
			old:     "admin.yaml#/components/schemas/Users",
			broken:  "admin.yaml#/components/schemas/Usres",
			at:      "admin",
			message: `there is no "Usres": did you mean "Users"?`,
		},
		{
			name: "reference to a missing file", file: "node.yaml", old: "admin.yaml#/components/schemas/DBPolicy",
			broken:  "amin.yaml#/components/schemas/DBPolicy",
			at:      "'amin",
			message: "the file amin.yaml cannot be read",
		},
		{
			name: "reference to another kind of component", file: "admin.yaml",
			old:     "'#/components/examples/Organisations'",
			broken:  "'#/components/schemas/ApiError'",
			at:      "'#/",
			message: "does not refer to what belongs here, components/examples",
		},
		{
			name: "keyword beside a reference", file: "admin.yaml", old: "{$ref: '#/components/schemas/ApiModel'",
			broken:  "{$ref: '#/components/schemas/ApiModel', nullable: true",
			at:      "nullable",
			message: "OpenAPI 3.0 ignores",
		},
		{
			name: "required without property", file: "admin.yaml",
			old:    "required: [status]",
			broken: "required: [status, state]",
			at:     "state]", message: `required names "state", which is not a property`,
		},
		{
			name: "key twice", file: "node.yaml", old: "operationId: pingNode\n",
			broken:  "operationId: pingNode\n      operationId: ping\n",
			at:      "operationId: ping\n",
			message: "occurs twice",
		},
		{
			name: "operationId twice", file: "admin.yaml",
			old:    "operationId: getOrg\n",
			broken: "operationId: getOrgs\n",
			at:     "getOrgs", message: `operationId "getOrgs" is already used at `,
		},
		{
			name: "operationId of another document", file: "dashboard.yaml", old: "operationId: getRoot\n",
			broken: "operationId: getOrgs\n", at: "getOrgs", message: `operationId "getOrgs" is already used at `,
		},
		{
			name: "example that does not match its schema", file: "admin.yaml",
			old:     "sso_enabled: false",
			broken:  "sso_enabled: 7",
			at:      "7",
			message: "example ok does not match its schema at /organisations/0/sso_enabled: value must be a boolean",
		},
		{
			name: "example that lacks a required property", file: "node.yaml",
			old:    "value: {Message: [], Nonce: 0d0a",
			broken: "value: {Message: [], Nonse: 0d0a", at: "{Message", message: `property "Nonce" is missing`,
		},
		{
			name: "path parameter without a place", file: "admin.yaml", old: "  /admin/users/{userId}:\n",
			broken: "  /admin/users/{id}:\n", at: "/admin", message: "must define exactly all path parameters",
		},
		{
			name: "pattern that is no regular expression", file: "admin.yaml", old: "domain: {type: string",
			broken: "domain: {type: string, pattern: '(['", at: "domain", message: "missing closing ]",
		},
		{
			name: "unknown security scheme", file: "node.yaml",
			old:     "node_secret: []",
			broken:  "node_secert: []",
			at:      "node_secert",
			message: `no security scheme "node_secert": did you mean "node_secret"?`,
		},
		// The rules of this repository.
		{
			name: "unused component", file: "admin.yaml", old: "  examples:\n    Malformed",
			broken:  "  examples:\n    Unused:\n      value: 1\n    Malformed",
			at:      "Unused",
			message: "nothing refers to components/examples/Unused",
		},
		{
			name: "schema without a description", file: "node.yaml", old: "    QuotaTrigger:\n      description:",
			broken:  "    QuotaTrigger:\n      title:",
			at:      "QuotaTrigger",
			message: "schema QuotaTrigger has no description",
		},
		{
			name: "property without a description", file: "node.yaml",
			old:    "key: {type: string, description",
			broken: "key: {type: string, title",
			at:     "key", message: "property key has no description",
		},
		{
			name: "nested property without a description", file: "admin.yaml",
			old:    "              contentType: {$ref: '#/components/schemas/OASText'}\n",
			broken: "              contentType: {type: string}\n",
			at:     "contentType", message: "property contentType has no description",
		},
		{
			name: "no operationId", file: "admin.yaml",
			old:    "    get:\n      operationId: getOrg\n",
			broken: "    get:\n",
			at:     "get", message: "no operationId",
		},
		{
			name: "summary that is a sentence", file: "admin.yaml",
			old:     "    delete:\n      operationId: removeAPI\n      tags: [Export]\n      summary: Delete an API\n",
			broken:  "    delete:\n      operationId: removeAPI\n      tags: [Export]\n      summary: Delete an API.\n",
			at:      "delete",
			message: "needs a summary",
		},
		{
			name: "operation without a description", file: "dashboard.yaml",
			old:    "    delete:\n      operationId: deleteUser\n      tags: [Users]\n      summary: Delete a user\n      description:",
			broken: "    delete:\n      operationId: deleteUser\n      tags: [Users]\n      summary: Delete a user\n      x-description:",
			at:     "delete:\n", message: "needs a description",
		},
		{
			name: "undeclared tag", file: "admin.yaml",
			old:     "tags: [Health]",
			broken:  "tags: [Heatlh]",
			at:      "Heatlh",
			message: `declares no tag "Heatlh": did you mean "Health"?`,
		},
		{
			name: "two tags", file: "admin.yaml",
			old:     "    get:\n      operationId: getOrg\n      tags: [Organisations]\n",
			broken:  "    get:\n      operationId: getOrg\n      tags: [Organisations, Users]\n",
			at:      "get:\n",
			message: "needs one tag",
		},
		{
			name: "unused tag", file: "admin.yaml",
			old:    "  - {name: Health,",
			broken: "  - {name: Spare, description: Spare.}\n  - {name: Health,",
			at:     "{name: Spare", message: `no operation has the tag "Spare"`,
		},
		{
			name: "tag without a description", file: "admin.yaml",
			old:    "{name: Health, description: The state of the server.}",
			broken: "{name: Health}", at: "{name", message: `tag "Health" has no description`,
		},
		{
			name: "no response for a wrong secret", file: "admin.yaml",
			old:     "                ok: {$ref: '#/components/examples/Hello'}\n        '401': {$ref: '#/components/responses/Unauthorised'}\n",
			broken:  "                ok: {$ref: '#/components/examples/Hello'}\n",
			at:      "",
			message: "has no response for a wrong one",
		},
		{
			name: "slash at the end of a path", file: "admin.yaml",
			old:     "  /admin/hello:\n",
			broken:  "  /admin/hello/:\n",
			at:      "/admin",
			message: "declare the path without the slash",
		},
		{
			name: "parameter without a description", file: "node.yaml",
			old:     "name: x-tyk-hostname\n      in: header\n      description:",
			broken:  "name: x-tyk-hostname\n      in: header\n      x-description:",
			at:      "name: x-tyk",
			message: "parameter x-tyk-hostname has no description",
		},
		{
			name: "parameter without an example", file: "node.yaml",
			old:     "description: The host name of the gateway.\n      schema: {type: string}\n      example: gateway-1\n",
			broken:  "description: The host name of the gateway.\n      schema: {type: string}\n",
			at:      "",
			message: "parameter x-tyk-hostname has no example",
		},
		{
			name: "response without a description", file: "node.yaml",
			old:    "'200':\n          description: The ID of the gateway.\n",
			broken: "'200':\n", at: "", message: "the response has no description",
		},
		{
			name: "response without an example", file: "node.yaml",
			old:     "application/json:\n              schema: {$ref: '#/components/schemas/NodeClientIDPs'}\n              examples:\n                ok: {$ref: '#/components/examples/NoClientIDPs'}\n",
			broken:  "application/json:\n              schema: {$ref: '#/components/schemas/NodeClientIDPs'}\n",
			at:      "application",
			message: "has no examples",
		},
		{
			name: "example outside components", file: "node.yaml",
			old:     "ok: {$ref: '#/components/examples/NoClientIDPs'}",
			broken:  "ok: {value: {Message: [], Nonce: ''}}",
			at:      "ok",
			message: "move the example ok to components/examples",
		},
		{
			name: "example without a name", file: "node.yaml",
			old:     "application/json:\n              schema: {$ref: '#/components/schemas/NodeClientIDPs'}\n",
			broken:  "application/json:\n              schema: {$ref: '#/components/schemas/NodeClientIDPs'}\n              example: {}\n",
			at:      "application",
			message: "use examples, with a name",
		},
		{
			name: "request without an example that succeeds", file: "node.yaml",
			old:     "application/json:\n            schema: {$ref: '#/components/schemas/QuotaTrigger'}\n            examples:\n              ok:",
			broken:  "application/json:\n            schema: {$ref: '#/components/schemas/QuotaTrigger'}\n            examples:\n              okay:",
			at:      "application",
			message: "the request needs an example named ok",
		},
		{
			name: "unknown extension", file: "admin.yaml",
			old:     "x-each: true",
			broken:  "x-eachh: true",
			at:      "x-eachh",
			message: `nothing reads "x-eachh": did you mean "x-each"?`,
		},
		{
			name: "extension of something else", file: "dashboard.yaml",
			old:     "x-permission: {object: users, level: read}\n",
			broken:  "x-varies: users\n",
			at:      "x-varies",
			message: "x-varies is an extension of: example, not of: operation",
		},
		{
			name: "extension with another value", file: "admin.yaml",
			old:     "x-gatehouse: true",
			broken:  "x-gatehouse: false",
			at:      "false",
			message: "x-gatehouse has to be true",
		},
		{
			name: "permission with an unknown level", file: "dashboard.yaml",
			old:    "x-permission: {object: users, level: read}",
			broken: "x-permission: {object: users, level: reed}", at: "{object", message: "x-permission has to be",
		},
		{
			name: "x-varies that is in no message", file: "admin.yaml",
			old:    "x-varies: Request malformed",
			broken: "x-varies: Request refused",
			at:     "Request", message: "is not a part of the example's Message",
		},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			dir := copyContracts(t)
			path := filepath.Join(dir, fault.file)
			before, err := os.ReadFile(path)
			require.NoError(t, err)
			index := strings.Index(string(before), fault.old)
			require.GreaterOrEqual(t, index, 0, "%s does not contain %q", fault.file, fault.old)
			after := strings.Replace(string(before), fault.old, fault.broken, 1)
			require.NoError(t, os.WriteFile(path, []byte(after), 0o600))

			problems, err := lint.Check(contracts(dir)...)
			require.NoError(t, err)
			want := ""
			if fault.at != "" {
				offset := index + strings.LastIndex(fault.broken, fault.at)
				line := strings.Count(after[:offset], "\n") + 1
				column := offset - strings.LastIndex(after[:offset], "\n")
				want = fmt.Sprintf("%s:%d:%d: ", path, line, column)
			}
			for _, problem := range problems {
				require.Positive(t, problem.Column)
				if strings.HasPrefix(problem.String(), want) && strings.Contains(problem.Message, fault.message) {
					require.Equal(t, path, problem.File)
					return
				}
			}
			require.Failf(t, "not reported", "want %s… %s, got:\n%v", want, fault.message, problems)
		})
	}
}

// TestFaultsTogether checks that one fault does not hide another.
func TestFaultsTogether(t *testing.T) {
	t.Parallel()
	dir := copyContracts(t)
	path := filepath.Join(dir, "admin.yaml")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	broken := strings.ReplaceAll(string(text), "{type: boolean", "{type: bolean")
	require.NoError(t, os.WriteFile(path, []byte(broken), 0o600))
	problems, err := lint.Check(contracts(dir)...)
	require.NoError(t, err)
	require.Len(t, problems, strings.Count(broken, "{type: bolean"))
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := lint.Check("absent.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestExtensionsAreExplained finds each x- key in openapi/README.md.
func TestExtensionsAreExplained(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	for _, name := range lint.Extensions() {
		require.Contains(t, string(text), "### `"+name+"`", "openapi/README.md does not explain %s", name)
	}
}

func contracts(dir string) []string {
	return []string{filepath.Join(dir, "admin.yaml"), filepath.Join(dir, "dashboard.yaml"), filepath.Join(dir, "node.yaml")}
}

func copyContracts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i, path := range contracts(dir) {
		text, err := os.ReadFile(contracts("..")[i])
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
	return dir
}
