package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/openapi/lint"
)

// fault is a way to break a contract.
type fault struct {
	name string
	// The first occurrence of old in file becomes broken.
	file, old, broken string
	// at is a text in broken: the problem is where it occurs last. It is "" if the problem is elsewhere in the file.
	at string
	// message is a part of the problem.
	message string
}

// write breaks the contract in dir, and returns the offset of what is broken.
func (f fault) write(t *testing.T, dir string) (offset int) {
	t.Helper()
	path := filepath.Join(dir, f.file)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	offset = strings.Index(string(text), f.old)
	require.GreaterOrEqual(t, offset, 0, "%s: %s does not contain %q", f.name, f.file, f.old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), f.old, f.broken, 1)), 0o600))
	return offset
}

// reported reports whether p is the problem with the fault, which is at offset in dir.
func (f fault) reported(t *testing.T, dir string, offset int, p lint.Problem) bool {
	t.Helper()
	path := filepath.Join(dir, f.file)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	if p.File != path || !strings.Contains(p.Message, f.message) {
		return false
	}
	before := string(text)[:offset+strings.LastIndex(f.broken, f.at)]
	line, column := strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n")
	return f.at == "" || p.Line == line && p.Column == column
}

// TestFaults breaks a copy of the contracts in each way that Check knows.
func TestFaults(t *testing.T) {
	t.Parallel()
	requireSound(t)
	for _, f := range []fault{
		{
			name: "syntax", file: "admin.yaml",
			old:     "operationId: getOrg\n",
			broken:  "operationId: [getOrg\n      tags: {\n",
			at:      "",
			message: "correct it, or close a quote or a bracket further up",
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
			name: "comma in a text without quotes", file: "admin.yaml",
			old:     "x-order: 4, x-optional: true, description: Not set.}",
			broken:  "x-order: 4, x-optional: true, description: Not set, ever again.}",
			at:      "ever",
			message: "A text with a comma between braces has to be in quotes",
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
			name: "unknown format", file: "dashboard.yaml",
			old:     "format: date-time",
			broken:  "format: date-tyme",
			at:      "date-tyme",
			message: `unknown value "date-tyme": did you mean "date-time"?`,
		},
		{
			name: "nullable without a type", file: "admin.yaml",
			old:     "          description: The OAuth clients of the key, by `api_id`.\n          type: object\n          nullable",
			broken:  "          description: The OAuth clients of the key, by `api_id`.\n          nullable",
			at:      "nullable",
			message: "nullable has no effect without a type: add the type",
		},
		{
			name: "path parameter without a place", file: "admin.yaml",
			old:     "  /admin/users/{userId}/actions/allow_reset_passwords:\n",
			broken:  "  /admin/users/{id}/actions/allow_reset_passwords:\n",
			at:      "/admin",
			message: `the path has the parameters ["id"], and an operation declares ["userId"]`,
		},
		{
			name: "pattern that is no regular expression", file: "admin.yaml",
			old:     "domain: {type: string",
			broken:  "domain: {type: string, pattern: '(['",
			at:      "'(['",
			message: "missing closing ]",
		},
		{
			name: "example without a name", file: "node.yaml",
			old:     "schema: {$ref: '#/components/schemas/NodeAPIs'}\n",
			broken:  "schema: {$ref: '#/components/schemas/NodeAPIs'}\n              example: {Message: [], Nonce: ''}\n",
			at:      "example",
			message: `unknown keyword "example" (media type): did you mean "examples"?`,
		},
		{
			name: "unused component", file: "admin.yaml", old: "  examples:\n    Malformed",
			broken:  "  examples:\n    Unused:\n      value: 1\n    Malformed",
			at:      "Unused",
			message: "nothing refers to components/examples/Unused",
		},
		{
			name: "no operationId", file: "admin.yaml",
			old:    "    get:\n      operationId: getOrg\n",
			broken: "    get:\n",
			at:     "get", message: "no operationId",
		},
		{
			name: "property of a response without a place", file: "admin.yaml",
			old:     "        pages: {type: integer, x-order: 2, description: 'The number of pages, always 1.'}\n",
			broken:  "        pages: {type: integer, x-order: 2, description: Pages.}\n        description: {type: string, description: A.}\n",
			at:      "description: {",
			message: "property description is part of a response and has no x-order",
		},
		{
			name: "property of a response in the place of another", file: "node.yaml",
			old:     "x-order: 1\n",
			broken:  "x-order: 2\n",
			message: "has the x-order 2 of",
		},
		{
			name: "property of a response that is not required", file: "admin.yaml",
			old:     "[api_model, first_name,",
			broken:  "[api_model,",
			at:      "",
			message: "property first_name is part of a response and not in required: add it there, or add x-optional",
		},
		{
			name: "optional property that is required", file: "admin.yaml",
			old:     "status: {type: string, enum: [ok], x-order: 1",
			broken:  "status: {type: string, enum: [ok], x-order: 1, x-optional: true",
			at:      "status",
			message: "is in required and has x-optional",
		},
		{
			name: "unknown extension", file: "admin.yaml",
			old:     "x-each: true",
			broken:  "x-eachh: true",
			at:      "x-eachh",
			message: `nothing reads "x-eachh": did you mean "x-each"?`,
		},
		{
			name: "misspelt permission", file: "dashboard.yaml",
			old:     "x-permission: {object: users, level: read}\n",
			broken:  "x-permision: {object: users, level: read}\n",
			at:      "x-permision",
			message: `nothing reads "x-permision": did you mean "x-permission"?`,
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
			name: "unknown security scheme", file: "node.yaml",
			old:     "node_secret: []",
			broken:  "node_secert: []",
			at:      "node_secert",
			message: `the security scheme "node_secert" is not declared: did you mean "node_secret"?`,
		},
		{
			name: "x-varies that is in no message", file: "admin.yaml",
			old:    "x-varies: Request malformed",
			broken: "x-varies: Request refused",
			at:     "Request", message: "is not a part of the example's Message",
		},
		{
			name: "response without a description", file: "node.yaml",
			old:     "'200':\n          description: The ID of the gateway.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/NodeResponse'}\n              examples:\n                ok: {$ref: '#/components/examples/Registered'}\n",
			broken:  "'200':\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/NodeResponse'}\n              examples:\n                ok: {$ref: '#/components/examples/Registered'}\n",
			at:      "content:",
			message: "response: it needs description",
		},
		{
			name: "response without an example", file: "admin.yaml",
			old:     "'200':\n          description: The user was deleted.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/ApiOk'}\n              examples:\n                ok: {$ref: '#/components/examples/UserDeleted'}\n",
			broken:  "'200':\n          description: The user was deleted.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/ApiOk'}\n",
			at:      "'200'",
			message: "the response has no named example: add one below examples",
		},
		{
			name: "response without content", file: "node.yaml",
			old:     "        '400': {$ref: '#/components/responses/BadHeader'}",
			broken:  "        '400': {description: A header occurs twice.}",
			at:      "'400'",
			message: "the response has no content: name its outcome with x-outcome",
		},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := copyContracts(t)
			offset := f.write(t, dir)
			problems, err := lint.Check(contracts(dir)...)
			require.NoError(t, err)
			require.Len(t, problems, 1, "one fault is one problem")
			require.True(t, f.reported(t, dir, offset, problems[0]), "want %q at %q, got %s", f.message, f.at, problems[0])
		})
	}
}

// TestFaultsTogether checks that one fault does not hide another.
func TestFaultsTogether(t *testing.T) {
	t.Parallel()
	requireSound(t)
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
	for name := range lint.Extensions() {
		require.Contains(t, string(text), "### `"+name+"`", "openapi/README.md does not explain %s", name)
	}
}

// requireSound ends a test that breaks copies of the contracts if they have faults already, which would hide its own.
func requireSound(t *testing.T) {
	t.Helper()
	problems, err := lint.Check(contracts("..")...)
	require.NoError(t, err)
	if len(problems) > 0 {
		t.Fatalf("the contracts themselves are faulty: %s\nMend them first. go test ./openapi lists all of the %d faults.",
			problems[0], len(problems))
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
