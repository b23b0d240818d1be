package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// recordVar is set for the processes of TestFuzzingSharesAPostgres: the directory where each one records its Postgres.
const recordVar = "GATEHOUSE_TEST_RECORD"

// FuzzDatabase is run by TestFuzzingSharesAPostgres.
func FuzzDatabase(f *testing.F) {
	f.Add("seed")
	conn, err := pgx.Connect(f.Context(), storetest.Database(f))
	require.NoError(f, err)
	f.Cleanup(func() { _ = conn.Close(context.WithoutCancel(f.Context())) })
	if dir := os.Getenv(recordVar); dir != "" {
		var postgres string
		require.NoError(f, conn.QueryRow(f.Context(), `SHOW data_directory`).Scan(&postgres))
		require.NoError(f, os.WriteFile(filepath.Join(dir, strconv.Itoa(os.Getpid())), []byte(postgres), 0o600))
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, err := conn.Exec(t.Context(), `SELECT $1::int`, len(value))
		require.NoError(t, err)
	})
}

// TestFuzzingSharesAPostgres fuzzes with several processes: they use the Postgres of the one that starts them, each
// with a database of its own.
func TestFuzzingSharesAPostgres(t *testing.T) {
	t.Parallel()
	records := t.TempDir()
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^$", "-test.fuzz", "^FuzzDatabase$",
		"-test.fuzztime", "50x", "-test.parallel", "2", "-test.fuzzcachedir", t.TempDir())
	run.Env = append(run.Environ(), recordVar+"="+records)
	output, err := run.CombinedOutput()
	require.NoError(t, err, string(output))
	require.Contains(t, string(output), "now fuzzing with 2 workers")
	files, err := os.ReadDir(records)
	require.NoError(t, err)
	require.Len(t, files, 3, "two processes, and the one that starts them")
	used := map[string]bool{}
	for _, file := range files {
		postgres, err := os.ReadFile(filepath.Join(records, file.Name()))
		require.NoError(t, err)
		used[string(postgres)] = true
	}
	require.Len(t, used, 1, "%v", used)
}
