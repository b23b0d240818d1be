package pgtest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/pgmigrate"
	"gatehouse/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, migrations.Up)) }

// migrations are the migrations of the program that is tested.
var migrations = pgmigrate.Sequence{Files: fstest.MapFS{
	"001_notes.sql": {Data: []byte(`CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, title text NOT NULL);`)},
}}

// TestDatabases: what one test stores in its database, another does not see, and the database is dropped with the test.
func TestDatabases(t *testing.T) {
	t.Parallel()
	const count = `SELECT count(*) FROM notes`
	var first, name string
	t.Run("one", func(t *testing.T) {
		first = pgtest.Database(t)
		name = pgtest.Value[string](t, first, `SELECT current_database()`)
		pgtest.Exec(t, first, `INSERT INTO notes (title) VALUES ($1)`, "mine")
		require.Equal(t, 1, pgtest.Value[int](t, first, count))
		second := pgtest.Database(t)
		require.Zero(t, pgtest.Value[int](t, second, count))
		require.Equal(t, 1, pgtest.Value[int](t, pgtest.URL(t, first), count), "the same, by a URL")
		empty := pgtest.EmptyDatabase(t)
		require.True(t, pgtest.Value[bool](t, empty, `SELECT to_regclass('notes') IS NULL`))
	})
	require.False(t, pgtest.Value[bool](t, pgtest.Server(),
		`SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name))
	_, err := pgx.Connect(t.Context(), first)
	require.ErrorContains(t, err, "does not exist")
}

// TestRole: a role may read and write, and is limited by its options.
func TestRole(t *testing.T) {
	t.Parallel()
	conn := pgtest.Database(t)
	as := conn + " user=" + pgtest.Role(t, conn, "CONNECTION LIMIT 1")
	one, err := pgx.Connect(t.Context(), as)
	require.NoError(t, err)
	defer one.Close(t.Context())
	_, err = one.Exec(t.Context(), `INSERT INTO notes (title) VALUES ('by a role')`)
	require.NoError(t, err)
	_, err = pgx.Connect(t.Context(), as)
	require.ErrorContains(t, err, "too many connections for role")
}

// brokenVar has TestFailedTemplate fill a template that fails once.
const brokenVar = "PGTEST_TEST_BROKEN"

// TestFailedTemplate does nothing unless TestTemplateIsFilledOrNotThere runs it.
func TestFailedTemplate(t *testing.T) {
	t.Parallel()
	if os.Getenv(brokenVar) == "" {
		return
	}
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			pgtest.Copy(t, "broken", func(string) { t.Fatal("no migrations in " + name) })
		})
	}
}

// TestTemplateIsFilledOrNotThere: a test fails with the error of its migrations, and not with that of a template that
// an earlier one has left without them.
func TestTemplateIsFilledOrNotThere(t *testing.T) {
	t.Parallel()
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestFailedTemplate$")
	run.Env = append(run.Environ(), brokenVar+"=1")
	output, err := run.CombinedOutput()
	require.Error(t, err, string(output))
	require.Contains(t, string(output), "no migrations in first")
	require.Contains(t, string(output), "no migrations in second")
}

// TestGivenPostgres runs tests on a Postgres that another process has started, and leaves nothing in it.
func TestGivenPostgres(t *testing.T) {
	t.Parallel()
	if os.Getenv(givenVar) != "" {
		return
	}
	const leftovers = `SELECT count(*) FROM pg_database WHERE datname LIKE 'gatehouse\_test\_%'`
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^(TestDatabases|TestRole)$", "-test.v")
	run.Env = append(run.Environ(), givenVar+"="+pgtest.URL(t, pgtest.Server()))
	output, err := run.CombinedOutput()
	require.NoError(t, err, string(output))
	require.Contains(t, string(output), "--- PASS: TestDatabases")
	require.Zero(t, pgtest.Value[int](t, pgtest.Server(), leftovers))
}

// givenVar has the Postgres of a process of TestGivenPostgres.
const givenVar = "GATEHOUSE_TEST_DATABASE_URL"

// recordVar is set for the processes of TestFuzzingSharesAPostgres: the directory where each one records its Postgres.
const recordVar = "GATEHOUSE_TEST_RECORD"

// FuzzDatabase is run by TestFuzzingSharesAPostgres.
func FuzzDatabase(f *testing.F) {
	f.Add("seed")
	conn, err := pgx.Connect(f.Context(), pgtest.Database(f))
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
		"-test.fuzztime", "1000x", "-test.parallel", "2", "-test.fuzzcachedir", t.TempDir())
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
