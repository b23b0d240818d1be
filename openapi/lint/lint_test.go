package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var contracts = []string{"admin.yaml", "dashboard.yaml", "node.yaml"}

func TestContractsHaveNoFaults(t *testing.T) {
	t.Parallel()
	var files []string
	for _, name := range contracts {
		files = append(files, filepath.Join("..", name))
	}
	faults, err := check(files...)
	require.NoError(t, err)
	require.Empty(t, faults)
}

// TestFaultsHaveTheirLine breaks a copy of a contract in one place: the fault is reported with the line of that place.
func TestFaultsHaveTheirLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, old, broken, fault string }{
		{"admin.yaml", "first_name: {type: string", "first_name: {type: strng", "unknown type strng; known are array, "},
		{"dashboard.yaml", "componentId: {type: string", "componentId: {type: strng", "unknown type strng; known are array, "},
		{"node.yaml", "key: {type: string", "key: {type: strng", "unknown type strng; known are array, "},
		{"admin.yaml", "domain: {type: string", "domain: {maxLenght: 5, type: string", "unknown keyword maxLenght of a schema"},
		{"admin.yaml", "'#/components/parameters/UserID'", "'#/components/parameters/UserId'", "#/components/parameters/UserId refers to nothing"},
		{"node.yaml", "admin.yaml#/components/schemas/", "admim.yaml#/components/schemas/", "admim.yaml#/components/schemas/"},
		{"admin.yaml", "required: [Status, Message, Meta]", "required: [Status, Message, Mete]", "required property Mete is not one of the properties"},
		{"admin.yaml", "operationId: updateUser", "operationId: createUser", "operationId createUser is that of the operation at "},
		{"dashboard.yaml", "operationId: getUser\n", "operationId: createUser\n", "operationId createUser is that of the operation at "},
		{"dashboard.yaml", "x-permission:", "x-permision:", "unknown key x-permision; known are x-duration, "},
		{"admin.yaml", ", description: The given name.}", "}", "first_name has no description"},
		{
			"admin.yaml", "conflict: {$ref: '#/components/examples/UserEmailAlreadyExistsForThisOrg'}", "conflict: {value: {}}",
			"example conflict is not a reference to components/examples",
		},
		{"admin.yaml", "    OrgUpdated:\n      value: {Status: OK,", "    OrgUpdated:\n      value: {Status: Okay,", "example breaks its schema: "},
		{
			"admin.yaml", "example: {org_id: 53ac07777cbb8c2d53000002, first_name: Ines", "example: {org_id: 5, first_name: Ines",
			"example breaks its schema: ",
		},
	} {
		t.Run(c.file+" "+c.fault, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			line := 0
			var files []string
			for _, name := range contracts {
				raw, err := os.ReadFile(filepath.Join("..", name))
				require.NoError(t, err)
				text := string(raw)
				if name == c.file {
					before, _, found := strings.Cut(text, c.old)
					require.True(t, found, "%s has no %q", name, c.old)
					line = 1 + strings.Count(before, "\n")
					text = strings.Replace(text, c.old, c.broken, 1)
				}
				files = append(files, filepath.Join(dir, name))
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			}
			faults, err := check(files...)
			require.NoError(t, err)
			require.NotEmpty(t, faults)
			for _, f := range faults {
				if filepath.Base(f.file) == c.file && f.line-line <= 3 && f.line >= line && strings.Contains(f.message, c.fault) {
					return
				}
			}
			t.Errorf("no fault %q near line %d of %s, but:\n%s", c.fault, line, c.file, join(faults))
		})
	}
}

func join(faults []fault) string {
	var out strings.Builder
	for _, f := range faults {
		fmt.Fprintln(&out, f)
	}
	return out.String()
}
