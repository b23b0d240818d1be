//go:build unix

package postgres

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnlock releases a lock whose file a child still has open, as between its fork and its exec.
func TestUnlock(t *testing.T) {
	t.Parallel()
	dir := dataDir{lock: filepath.Join(t.TempDir(), "postgres.lock")}
	first, err := lockDataDir(dir, "")
	require.NoError(t, err)
	child, err := syscall.Dup(int(first.Fd()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(child) })
	_, err = lockDataDir(dir, "")
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, unlock(first))
	second, err := lockDataDir(dir, "")
	require.NoError(t, err)
	require.NoError(t, unlock(second))
}
