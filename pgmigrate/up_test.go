package pgmigrate_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"gatehouse/pgmigrate"
	"gatehouse/pgtest"
)

func named(names ...string) pgmigrate.Sequence {
	all := fstest.MapFS{}
	for _, name := range names {
		all[name] = &fstest.MapFile{Data: []byte(`SELECT 1`)}
	}
	return pgmigrate.Sequence{Files: all}
}

// TestFileNames: a file that would never be applied, because of its name, is an error.
func TestFileNames(t *testing.T) {
	t.Parallel()
	database := pgtest.EmptyDatabase(t)
	for name, names := range map[string][]string{
		"002-tags.sql":       {"001_notes.sql", "002-tags.sql"},
		"002.sql":            {"001_notes.sql", "002.sql"},
		"tags.sql":           {"001_notes.sql", "tags.sql"},
		"002_tags.SQL":       {"001_notes.sql", "002_tags.SQL"},
		"000_notes.sql":      {"000_notes.sql", "001_tags.sql"},
		"99999999_notes.sql": {"99999999_notes.sql"},
	} {
		err := named(names...).Up(t.Context(), database)
		require.ErrorContains(t, err, name)
		_, err = named(names...).Names()
		require.ErrorContains(t, err, name)
	}
	require.NoError(t, named("001_notes.sql", "README.md", "shared/part.sql").Up(t.Context(), database))
}

// TestUpToDate: a program starts on an up-to-date database that it may only read.
func TestUpToDate(t *testing.T) {
	t.Parallel()
	database := pgtest.EmptyDatabase(t)
	require.NoError(t, named("001_notes.sql").Up(t.Context(), database))
	readOnly := database + " options='-c default_transaction_read_only=on'"
	require.NoError(t, named("001_notes.sql").Up(t.Context(), readOnly))
	require.ErrorContains(t, named("001_notes.sql", "002_tags.sql").Up(t.Context(), readOnly), "read-only")
	role := pgtest.Role(t, database, "")
	pgtest.Exec(t, database, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	require.NoError(t, named("001_notes.sql").Up(t.Context(), database+" user="+role))
}

// TestConnectionStrings: the settings of a pool may be in a connection string, and none of its text is in an error.
func TestConnectionStrings(t *testing.T) {
	t.Parallel()
	database := pgtest.EmptyDatabase(t)
	require.NoError(t, named("001_notes.sql").Up(t.Context(), database+" pool_max_conns=3"))
	for _, invalid := range []string{
		"port=abc password = s3cret", "password='a s3cret port=x", "postgres://u:p@h:s3cret/db", "password = s3cret pool_max_conns=x",
	} {
		err := named("001_notes.sql").Up(t.Context(), invalid)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cret", invalid)
	}
}
