package e2e_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

// typeScriptExample returns the steps of the example's README, and what has to precede them: copying its files, and the
// address and the admin secret of the server.
func typeScriptExample(t *testing.T, s *server) (setup string, steps []step) {
	t.Helper()
	testprogram.Need(t, "node")
	testprogram.Need(t, "npm")
	folder, err := filepath.Abs(filepath.Join(repository, "examples", "typescript"))
	require.NoError(t, err)
	steps = stepsOf(readFile(t, filepath.Join(folder, "README.md")))
	require.Contains(t, steps[0].commands, "npm ci")
	return strings.Join([]string{
		"set -eu",
		"mkdir src",
		"cp " + folder + "/package.json " + folder + "/package-lock.json " + folder + "/tsconfig.json .",
		"cp " + folder + "/src/main.ts src",
		"export GATEHOUSE=http://" + s.address + " ADMIN=" + s.adminSecret(),
		"export NODE_DISABLE_COMPILE_CACHE=1 # which would be left in the temporary directory",
		"",
	}, "\n"), steps
}

// typeFaults are changes of the program, with what the compiler has to say of each.
var typeFaults = []struct{ old, broken, message string }{
	{"organisation: string", "organisation: number", "Type 'string' is not assignable to type 'number'"},
	{"email_address:", "email:", "'email' does not exist in type"},
	{"admin/users", "admin/user", `Argument of type '"/admin/user"' is not assignable`},
	{"user.Message", "user.Token", "Property 'Token' does not exist"},
}

// TestTypeScriptExample generates types from the contract that a server serves, compiles a program with them, and runs
// it. Then it compiles the program with each of typeFaults.
func TestTypeScriptExample(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	setup, steps := typeScriptExample(t, s)
	broken := step{}
	for i, fault := range typeFaults {
		broken.commands += fmt.Sprintf("sed 's|%s|%s|' src/main.ts >src/broken%d.ts\n", fault.old, fault.broken, i)
	}
	broken.commands += "! npm run --silent build\n"
	outputs, rest, err := runStepsWithin(t, guideTime, setup, append(slices.Clone(steps), broken))
	if len(outputs) == 0 {
		testprogram.Missing(t, "the npm packages of examples/typescript: "+rest)
	}
	require.NoError(t, err, "%s\n%s", strings.Join(outputs, "\n"), rest)
	last := len(outputs) - 1
	requireOutputs(t, steps, outputs[:last])
	for i, fault := range typeFaults {
		require.Regexp(t, fmt.Sprintf(`src/broken%d\.ts.*%s`, i, regexp.QuoteMeta(fault.message)), outputs[last])
	}
}
