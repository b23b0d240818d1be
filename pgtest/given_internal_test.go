package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestKeywords: a connection string of a given Postgres means the same as keywords.
func TestKeywords(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		`postgres://ann:o%27clock%5C@db.example:5433/tests`, `host=/run/postgresql user=ann password='' dbname='a b'`,
	} {
		want, err := pgx.ParseConfig(given)
		require.NoError(t, err)
		got, err := pgx.ParseConfig(keywords(want) + " dbname=other")
		require.NoError(t, err)
		require.Equal(t, want.Password, got.Password)
		require.Equal(t, want.Host, got.Host)
		require.Equal(t, want.Port, got.Port)
		require.Equal(t, "other", got.Database)
	}
}
