package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testport"
	"gatehouse/internal/testprogram"
)

// TestNotesExample follows the README of examples/notes: it builds and starts the program, with a private Postgres,
// sends the requests, and checks the server against its contract.
func TestNotesExample(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	folder, err := filepath.Abs(filepath.Join(repository, "examples", "notes"))
	require.NoError(t, err)
	steps := stepsOf(strings.Replace(readFile(t, filepath.Join(folder, "README.md")), "```text\ntime=", "```console\ntime=", 1))
	require.NotEmpty(t, steps)
	address, err := testport.Address()
	require.NoError(t, err)
	for i := range steps {
		steps[i].commands = strings.ReplaceAll(steps[i].commands, "127.0.0.1:8080", address)
	}
	dir, err := os.MkdirTemp("", "e2e-") //nolint:usetesting // the account of Postgres has to reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	setup := strings.NewReplacer("@folder", folder, "@dir", dir, "@address", address).Replace(`set -eu
cd @folder
unset DATABASE_URL
export LISTEN=@address BIN=@dir/bin DATA_DIR=@dir/data
make build
"$BIN/notes" >@dir/log 2>&1 &
notes=$!
trap 'kill $notes; wait $notes || cat @dir/log' EXIT
until curl -so @dir/answer http://@address/; do kill -0 $notes; sleep 0.1; done
`)
	outputs, rest, err := runSteps(t, setup, steps)
	require.NoError(t, err, "%s\n%s", strings.Join(outputs, "\n"), rest)
	requireOutputs(t, steps, outputs)
	require.Empty(t, rest, "it stops without an error")
}
