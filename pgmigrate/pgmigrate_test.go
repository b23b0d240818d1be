package pgmigrate_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/pgmigrate"
	"gatehouse/pgtest"
)

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(context.Context, string) error { return nil }))
}

// files returns a file system of SQL files, numbered from 1.
func files(texts ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for i, text := range texts {
		all[fmt.Sprintf("%03d_file.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

func connect(t *testing.T, connString string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), connString)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

const (
	makeTable = `CREATE TABLE notes (title text);`
	addColumn = `ALTER TABLE notes ADD owner text DEFAULT 'nobody';`
)

// TestEachOnce: a later program applies only what an earlier one has not.
func TestEachOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.EmptyDatabase(t)
	require.NoError(t, pgmigrate.Sequence{Files: files(makeTable)}.Up(t.Context(), db))
	pgtest.Exec(t, db, `INSERT INTO notes VALUES ('kept')`)
	later := pgmigrate.Sequence{Files: files(makeTable, addColumn)}
	conn := connect(t, db)
	due, err := later.IsDue(t.Context(), conn)
	require.NoError(t, err)
	require.True(t, due)
	require.ErrorIs(t, later.Require(t.Context(), conn), pgmigrate.ErrDue)
	for range 2 {
		require.NoError(t, later.Up(t.Context(), db))
	}
	require.Equal(t, "nobody", pgtest.Value[string](t, db, `SELECT owner FROM notes WHERE title = 'kept'`))
	require.NoError(t, later.Require(t.Context(), conn))
	names, applied, err := later.Status(t.Context(), conn)
	require.NoError(t, err)
	require.Equal(t, []string{"001_file", "002_file"}, names)
	require.Equal(t, 2, applied)
	due, err = later.IsDue(t.Context(), conn)
	require.NoError(t, err)
	require.False(t, due)
}

// TestAllOrNone: a file that fails takes those before it along.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	db := pgtest.EmptyDatabase(t)
	err := pgmigrate.Sequence{Files: files(makeTable, `SELECT 1 / 0;`)}.Up(t.Context(), db)
	require.ErrorContains(t, err, "002_file.sql: ERROR: division by zero")
	require.True(t, pgtest.Value[bool](t, db, `SELECT to_regclass('notes') IS NULL`))
	require.NoError(t, pgmigrate.Sequence{Files: files(makeTable)}.Up(t.Context(), db))
}

// TestNewerDatabase: a program refuses a database of a later one, and changes nothing.
func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.EmptyDatabase(t)
	require.NoError(t, pgmigrate.Sequence{Files: files(makeTable, addColumn)}.Up(t.Context(), db))
	earlier := pgmigrate.Sequence{Files: files(makeTable)}
	require.ErrorIs(t, earlier.Up(t.Context(), db), pgmigrate.ErrNewerDatabase)
	require.ErrorIs(t, earlier.Require(t.Context(), connect(t, db)), pgmigrate.ErrNewerDatabase)
	_, _, err := earlier.Status(t.Context(), connect(t, db))
	require.ErrorIs(t, err, pgmigrate.ErrNewerDatabase)
}

// TestManyAtOnce: programs that start at the same time apply each file once, whatever the isolation of transactions.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			db := pgtest.EmptyDatabase(t)
			name := pgtest.Value[string](t, db, `SELECT current_database()`)
			pgtest.Exec(t, db, `ALTER DATABASE `+name+` SET default_transaction_isolation = '`+isolation+`'`)
			sequence := pgmigrate.Sequence{Files: files(makeTable, addColumn, `INSERT INTO notes VALUES ('once');`)}
			var starting sync.WaitGroup
			for range 8 {
				starting.Go(func() {
					if err := sequence.Up(t.Context(), db); err != nil {
						t.Error(err)
					}
				})
			}
			starting.Wait()
			require.Equal(t, 1, pgtest.Value[int](t, db, `SELECT count(*) FROM notes`))
		})
	}
}

// TestOtherSequence: it is applied to a database that was empty only.
func TestOtherSequence(t *testing.T) {
	t.Parallel()
	first := pgmigrate.Sequence{Files: files(makeTable)}
	second := pgmigrate.Sequence{Files: files(`ALTER TABLE notes ADD second text;`), Table: "second_version"}
	const hasColumn = `SELECT EXISTS (SELECT FROM information_schema.columns WHERE table_name = 'notes' AND column_name = 'second')`

	empty := pgtest.EmptyDatabase(t)
	require.NoError(t, first.Apply(t.Context(), connect(t, empty), second))
	require.True(t, pgtest.Value[bool](t, empty, hasColumn))

	older := pgtest.EmptyDatabase(t)
	require.NoError(t, first.Up(t.Context(), older))
	require.NoError(t, first.Apply(t.Context(), connect(t, older), second))
	require.False(t, pgtest.Value[bool](t, older, hasColumn))
	due, err := second.IsDue(t.Context(), connect(t, older))
	require.NoError(t, err)
	require.True(t, due)
}

// TestStatusChangesNothing also means: it makes no table.
func TestStatusChangesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.EmptyDatabase(t)
	sequence := pgmigrate.Sequence{Files: files(makeTable)}
	_, applied, err := sequence.Status(t.Context(), connect(t, db))
	require.NoError(t, err)
	require.Zero(t, applied)
	require.ErrorIs(t, sequence.Require(t.Context(), connect(t, db)), pgmigrate.ErrDue)
	require.Zero(t, pgtest.Value[int](t, db, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`))
}
