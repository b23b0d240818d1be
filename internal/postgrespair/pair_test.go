package postgrespair_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/postgrespair"
	"gatehouse/internal/testprogram"
)

// TestFailover commits on the primary, kills it, promotes the standby, which has the commit, and has the old primary
// rejoin.
func TestFailover(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "pair-") //nolint:usetesting // the account of Postgres has to reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	pair, err := postgrespair.Start(t.Context(), postgrespair.Config{Dir: dir})
	if errors.Is(err, postgrespair.ErrMissing) {
		testprogram.Missing(t, err.Error())
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pair.Close()) })
	old := pair.Primary()

	require.NoError(t, old.SQL(t.Context(), "postgres", "CREATE TABLE t AS SELECT 1 AS n"))
	require.Error(t, pair.Standby().SQL(t.Context(), "postgres", "INSERT INTO t VALUES (2)"), "a standby is read-only")
	require.Error(t, pair.Promote(t.Context()), "two primaries")
	old.Kill()
	require.NoError(t, pair.Promote(t.Context()))
	require.NotSame(t, old, pair.Primary())
	write := func(n int) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), pair.URL("postgres"))
		require.NoError(t, err)
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), "INSERT INTO t VALUES ($1)", n)
		require.NoError(t, err)
	}
	write(2)
	require.NoError(t, pair.Rejoin(t.Context()))
	write(3)
	require.Eventually(t, func() bool { // a commit waits until the standby has it, and not until reads see it
		return old.SQL(t.Context(), "postgres", "SELECT 1 / (count(*) = 3)::int FROM t") == nil
	}, time.Minute, 20*time.Millisecond)
	require.Same(t, old, pair.Standby())
}
