package lint_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"gatehouse/internal/testprogram"
	"gatehouse/openapi/lint"
)

// spectralFaults break the contracts in each way that Spectral's rules know, each in a place of its own.
var spectralFaults = []fault{
	// Descriptions.
	{
		name: "schema without a description", file: "node.yaml",
		old:     "    QuotaTrigger:\n      description:",
		broken:  "    QuotaTrigger:\n      title:",
		at:      "\n      title:",
		message: "QuotaTrigger.description is missing: say",
	},
	{
		name: "property without a description", file: "node.yaml",
		old:     "key: {type: string, description",
		broken:  "key: {type: string, title",
		at:      " {type",
		message: "key.description is missing: say",
	},
	{
		name: "nested property without a description", file: "admin.yaml",
		old:     "              contentType: {$ref: '#/components/schemas/OASText'}\n",
		broken:  "              contentType: {type: string}\n",
		at:      " {type",
		message: "contentType.description is missing: say",
	},
	{
		name: "outcome of a response with content", file: "admin.yaml",
		old:     "          description: The organisations.\n",
		broken:  "          description: The organisations.\n          x-outcome: ok\n",
		at:      "\n          description: The organisations.",
		message: "a response has either content with named examples, or x-outcome",
	},
	{
		name: "operation without a summary", file: "admin.yaml",
		old:     "      summary: List organisations\n",
		broken:  "      summary: ''\n",
		at:      "''",
		message: "the operation has no summary: add",
	},
	{
		name: "summary that is a sentence", file: "admin.yaml",
		old:     "summary: Delete an API\n",
		broken:  "summary: Delete an API.\n",
		at:      "Delete",
		message: "a summary is a title: remove",
	},
	{
		name: "operation without a description", file: "dashboard.yaml",
		old:     "description: Deletes the key from the gateway, which refuses it from then on.",
		broken:  "deprecated: false",
		at:      "",
		message: `Operation "description" must be present`,
	},
	{
		name: "description that is not a sentence", file: "dashboard.yaml",
		old:     "description: Returns a user of the caller's organisation, or the caller.",
		broken:  "description: A user",
		at:      "A user",
		message: "a description is a sentence or more: end it",
	},
	{
		name: "parameter without a description", file: "node.yaml",
		old:     "      description: The host name of the gateway.\n",
		broken:  "      deprecated: false\n",
		at:      "",
		message: `Parameter objects must have "description"`,
	},
	{
		name: "response without a description", file: "node.yaml",
		old:     "'200':\n          description: The ID of the gateway.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/NodeResponse'}\n              examples:\n                ok: {$ref: '#/components/examples/Registered'}\n",
		broken:  "'200':\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/NodeResponse'}\n              examples:\n                ok: {$ref: '#/components/examples/Registered'}\n",
		at:      "\n          content:",
		message: `must have required property "description"`,
	},
	{
		name: "response with an empty description", file: "node.yaml",
		old:     "          description: An empty list.\n",
		broken:  "          description: ''\n",
		at:      "''",
		message: "the description of the response is empty: say",
	},
	// Tags and security.
	{
		name: "undeclared tag", file: "admin.yaml",
		old:     "tags: [Health]",
		broken:  "tags: [Heatlh]",
		at:      "Heatlh",
		message: "Operation tags must be defined in global tags",
	},
	{
		name: "two tags", file: "admin.yaml",
		old:     "      operationId: getOrg\n      tags: [Organisations]\n",
		broken:  "      operationId: getOrg\n      tags: [Organisations, Users]\n",
		at:      " [Organisations, Users]",
		message: "Operation must not have more than a single tag",
	},
	{
		name: "unused tag", file: "node.yaml",
		old:     "  - {name: Events,",
		broken:  "  - {name: Spare, description: Spare.}\n  - {name: Events,",
		at:      "{name: Spare",
		message: `no operation has the tag "Spare": remove it`,
	},
	{
		name: "tag without a description", file: "admin.yaml",
		old:     "{name: Health, description: The state of the server.}",
		broken:  "{name: Health}",
		at:      "{name",
		message: `Tag object must have "description"`,
	},
	{
		name: "slash at the end of a path", file: "admin.yaml",
		old:     "  /admin/nodes:\n",
		broken:  "  /admin/nodes/:\n",
		at:      "\n",
		message: "Path must not end with slash",
	},
	// Examples.
	{
		name: "example of the wrong type", file: "admin.yaml",
		old:     "sso_enabled: false",
		broken:  "sso_enabled: 7",
		at:      "7",
		message: `the example does not match its schema: "sso_enabled" property type must be boolean`,
	},
	{
		name: "example that lacks a required property", file: "node.yaml",
		old:     "value: {Message: [], Nonce: 0d0a",
		broken:  "value: {Message: [], Nonse: 0d0a",
		at:      " {Message",
		message: `must have required property "Nonce"`,
	},
	{
		name: "response without an example", file: "admin.yaml",
		old:     "The user was deleted.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/ApiOk'}\n              examples:\n                ok: {$ref: '#/components/examples/UserDeleted'}\n",
		broken:  "The user was deleted.\n          content:\n            application/json:\n              schema: {$ref: '#/components/schemas/ApiOk'}\n",
		at:      "\n              schema",
		message: "there is no example: add one",
	},
	{
		name: "response without content", file: "node.yaml",
		old:     "        '400': {$ref: '#/components/responses/BadHeader'}",
		broken:  "        '400': {description: A header occurs twice.}",
		at:      " {description",
		message: "a response has either content with named examples, or x-outcome: add",
	},
	{
		name: "example outside components", file: "dashboard.yaml",
		old:     "not_found: {$ref: '#/components/examples/CouldNotRetrieveUserDetail'}",
		broken:  "not_found: {value: {Status: Error, Message: Could not retrieve user detail., Meta: null}}",
		at:      " {value",
		message: "move the example not_found to components/examples",
	},
	{
		name: "request without an example that succeeds", file: "node.yaml",
		old:     "              ok: {$ref: '#/components/examples/QuotaReport'}",
		broken:  "              okay: {$ref: '#/components/examples/QuotaReport'}",
		at:      "",
		message: "the request has no example named ok: add one",
	},
	{
		name: "parameter without an example", file: "node.yaml",
		old:     "      description: A UUID that the gateway makes each time it starts.\n      schema: {type: string}\n      example: 3b0e1dfe-3a84-4e2c-9f39-6a5b0ed6a9b0\n",
		broken:  "      description: A UUID that the gateway makes each time it starts.\n      schema: {type: string}\n",
		at:      "",
		message: "the parameter has no example: add one",
	},
	// Outcomes.
	{
		name: "no outcome of success", file: "admin.yaml",
		old:     "ok: {$ref: '#/components/examples/TokensPurged'}",
		broken:  "purged: {$ref: '#/components/examples/TokensPurged'}",
		at:      "",
		message: "the operation has no outcome ok: give",
	},
	{
		name: "no outcome for a wrong secret", file: "admin.yaml",
		old:     "                ok: {$ref: '#/components/examples/Hello'}\n        '401': {$ref: '#/components/responses/Unauthorised'}\n",
		broken:  "                ok: {$ref: '#/components/examples/Hello'}\n",
		at:      "",
		message: "the operation needs a secret, but has no outcome unauthorised: add a 401",
	},
	{
		name: "an operation with a secret that anybody may guess", file: "node.yaml",
		old:     "                ok: {$ref: '#/components/examples/NoClientIDPs'}\n        '403': {$ref: '#/components/responses/Unauthorised'}\n        '429': {$ref: '#/components/responses/TooManyAttempts'}\n",
		broken:  "                ok: {$ref: '#/components/examples/NoClientIDPs'}\n        '403': {$ref: '#/components/responses/Unauthorised'}\n",
		at:      "",
		message: "the operation needs a secret, but has no outcome too_many_attempts: add",
	},
	{
		name: "permission without access_denied", file: "dashboard.yaml",
		old:     "access_denied: {$ref: '#/components/examples/NoAccessToSSO'}",
		broken:  "denied: {$ref: '#/components/examples/NoAccessToSSO'}",
		at:      "",
		message: "the operation has x-permission, but no outcome access_denied: add",
	},
	{
		name: "access_denied without permission", file: "dashboard.yaml",
		old:     "      description: Returns the policy with this `_id` or with this explicit `id`.\n      x-permission: {object: policies, level: read}\n",
		broken:  "      description: Returns the policy with this `_id` or with this explicit `id`.\n",
		at:      "",
		message: "nothing denies access without x-permission: add it",
	},
	{
		name: "body without empty_body", file: "admin.yaml",
		old:     "                empty_body: {$ref: '#/components/examples/RequestBodyEmpty'}",
		broken:  "                empty: {$ref: '#/components/examples/RequestBodyEmpty'}",
		at:      "",
		message: "the operation has a body, but no outcome empty_body: add",
	},
	{
		name: "body without malformed", file: "dashboard.yaml",
		old:     "malformed: {$ref: '#/components/examples/Malformed'}\n                not_admin",
		broken:  "wrong: {$ref: '#/components/examples/Malformed'}\n                not_admin",
		at:      "",
		message: "the operation has a body, but no outcome malformed: add",
	},
	{
		name: "body without too_large", file: "dashboard.yaml",
		old:     "        '404': {$ref: '#/components/responses/NoKey'}\n        '408': {$ref: '#/components/responses/TooSlow'}\n        '413': {$ref: '#/components/responses/TooLarge'}\n",
		broken:  "        '404': {$ref: '#/components/responses/NoKey'}\n        '408': {$ref: '#/components/responses/TooSlow'}\n",
		at:      "",
		message: "the operation has a body, but no outcome too_large: add",
	},
	{
		name: "body without too_slow", file: "node.yaml",
		old:     "                too_slow: {$ref:",
		broken:  "                slow: {$ref:",
		at:      "",
		message: "the operation has a body, but no outcome too_slow: add",
	},
	{
		name: "no outcome of a failure", file: "node.yaml",
		old:     "ok: {$ref: '#/components/examples/NodePolicies'}\n        '403': {$ref: '#/components/responses/Unauthorised'}\n        '429': {$ref: '#/components/responses/TooManyAttempts'}\n        '500': {$ref: '#/components/responses/Failed'}\n",
		broken:  "ok: {$ref: '#/components/examples/NodePolicies'}\n        '403': {$ref: '#/components/responses/Unauthorised'}\n        '429': {$ref: '#/components/responses/TooManyAttempts'}\n",
		at:      "",
		message: "the operation has no outcome failed: add a 500",
	},
	{
		name: "failure with another status", file: "admin.yaml",
		old:     "                not_found: {$ref: '#/components/examples/UserNotFound'}\n        '408': {$ref: '#/components/responses/TooSlow'}\n        '413': {$ref: '#/components/responses/TooLarge'}\n        '429': {$ref: '#/components/responses/TooManyAttempts'}\n        '500':\n",
		broken:  "                not_found: {$ref: '#/components/examples/UserNotFound'}\n        '408': {$ref: '#/components/responses/TooSlow'}\n        '413': {$ref: '#/components/responses/TooLarge'}\n        '429': {$ref: '#/components/responses/TooManyAttempts'}\n        '400':\n",
		at:      "",
		message: "a failure of the server is a 500, or a 503: change",
	},
	{
		name: "path with an ID and no 404", file: "dashboard.yaml",
		old:     "        '404': {$ref: '#/components/responses/NoKey'}",
		broken:  "        '410': {$ref: '#/components/responses/NoKey'}",
		at:      "",
		message: "the path has an ID, which may be unknown: add a 404",
	},
}

// TestSpectralFaults breaks copies of the contracts in all ways that Spectral's rules know. Each fault is one problem,
// in its place, and none that Check reports. Each rule reports one of them.
func TestSpectralFaults(t *testing.T) {
	t.Parallel()
	requireSound(t)
	testprogram.Need(t, filepath.Join("..", lint.Spectral))
	dir := copyContracts(t)
	require.NoError(t, os.CopyFS(filepath.Join(dir, "lint", "functions"), os.DirFS("functions")))
	rules, err := os.ReadFile(filepath.Join("..", lint.RulesFile))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, lint.RulesFile), rules, 0o600))
	for _, f := range spectralFaults {
		f.write(t, dir)
	}
	problems, err := lint.Check(contracts(dir)...)
	require.NoError(t, err)
	require.Empty(t, problems)
	problems, err = lint.RunSpectral(t.Context(), "..", contracts(dir)...)
	require.NoError(t, err)
	unproven := ownRules(t, rules)
	for _, f := range spectralFaults {
		text, err := os.ReadFile(filepath.Join(dir, f.file))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(text), f.broken), "%s: what is broken has to be unique", f.name)
		offset := strings.Index(string(text), f.broken)
		found := slices.IndexFunc(problems, func(p lint.Problem) bool { return f.reported(t, dir, offset, p) })
		if !assert.GreaterOrEqual(t, found, 0, "%s: want %q at %q", f.name, f.message, f.at) {
			continue
		}
		unproven = slices.DeleteFunc(unproven, func(rule string) bool {
			return strings.HasSuffix(problems[found].Message, "("+rule+")")
		})
		problems = slices.Delete(problems, found, found+1)
	}
	require.Empty(t, problems, "one fault is one problem")
	require.Empty(t, unproven, "no fault here breaks these rules")
}

// ownRules returns the names of the rules that the file declares, without those of a ruleset that it extends.
func ownRules(t *testing.T, file []byte) []string {
	t.Helper()
	var ruleset struct{ Rules map[string]any }
	require.NoError(t, yaml.Unmarshal(file, &ruleset))
	var names []string
	for name, rule := range ruleset.Rules {
		if _, declared := rule.(map[string]any); declared {
			names = append(names, name)
		}
	}
	require.NotEmpty(t, names)
	return names
}
