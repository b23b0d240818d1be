package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContractGenerate(t *testing.T) {
	t.Parallel()
	const contract = `openapi: 3.0.3
info: {title: Teams, version: 1.0.0}
paths: {/teams: {get: {operationId: listTeams, responses: {'204': {description: No teams., x-outcome: ok}}}}}
`
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	folder := filepath.Join(dir, "openapi")
	status, _, log := run(t, "contract", "generate", folder)
	require.Contains(t, log, "no such file or directory")
	require.Equal(t, 2, status)

	write("go.mod", "module example.com/teams\n")
	file := write("openapi/teams.yaml", contract)
	write("openapi/teams.codegen.yaml", "package: api\noutput: api/api.gen.go\n")
	status, out, log := run(t, "contract", "generate", folder)
	require.Empty(t, log)
	require.Equal(t, "wrote api/api.gen.go\n", out)
	require.Zero(t, status)
	generated := filepath.Join(dir, "api/api.gen.go")
	text, err := os.ReadFile(generated)
	require.NoError(t, err)
	require.Contains(t, string(text), "func (ListTeamsReplies) OK() ListTeamsReply {")

	status, out, log = run(t, "contract", "generate", folder)
	require.Empty(t, log)
	require.Equal(t, "the generated code is up to date\n", out)
	require.Zero(t, status)

	write("openapi/teams.yaml", strings.Replace(contract, "x-outcome", "x-outcom", 1))
	status, out, log = run(t, "contract", "generate", folder)
	require.Contains(t, log, file+`:3:`)
	require.Contains(t, log, `nothing reads "x-outcom": did you mean "x-outcome"?`)
	require.Empty(t, out)
	require.Equal(t, 1, status)
	after, err := os.ReadFile(generated)
	require.NoError(t, err)
	require.Equal(t, string(text), string(after))

	status, _, log = run(t, "contract", "generate", folder, "another")
	require.NotEmpty(t, log)
	require.Equal(t, 2, status)
}
