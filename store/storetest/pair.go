package storetest

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/postgrespair"
	"gatehouse/internal/testprogram"
	"gatehouse/pgtest"
)

// NewPair returns a primary of Postgres with a synchronous standby, which are not started. They end with the test.
// settings are lines of postgresql.conf.
func NewPair(t testing.TB, settings ...string) *postgrespair.Pair {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-pair-") //nolint:usetesting // the account of Postgres has to reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	pair, err := postgrespair.New(t.Context(), postgrespair.Config{
		Dir: dir, BinDir: pgtest.BinDir(), Settings: settings,
	})
	if errors.Is(err, postgrespair.ErrMissing) {
		testprogram.Missing(t, err.Error())
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, pair.Close())
		for _, node := range pair.Nodes() {
			if text, err := os.ReadFile(node.LogPath()); t.Failed() && err == nil {
				t.Logf("log of node %s:\n%s", node.Name, text)
			}
		}
	})
	return pair
}

// StartPair is NewPair with both started.
func StartPair(t testing.TB, settings ...string) *postgrespair.Pair {
	t.Helper()
	pair := NewPair(t, settings...)
	require.NoError(t, pair.Start(t.Context()))
	return pair
}
