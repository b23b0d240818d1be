package pgtest

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrphansAreRemoved(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	used, err := makeLockedDir(parent)
	require.NoError(t, err)
	orphan, closed := filepath.Join(parent, dirPrefix+"orphan"), filepath.Join(parent, dirPrefix+"closed")
	require.NoError(t, os.MkdirAll(filepath.Join(orphan, "postgres"), 0o700))
	require.NoError(t, os.Mkdir(closed, 0o000))
	require.NoError(t, removeOrphans(parent))
	require.DirExists(t, used)
	require.NoDirExists(t, orphan)
	_, err = os.Stat(closed)
	require.Equal(t, os.Geteuid() == 0, os.IsNotExist(err), "only root may open it, as with those of other accounts")
}

// TestDirsAreMadeAtOnce has processes make directories while others look for orphans.
func TestDirsAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	var makers, removers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		removers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := removeOrphans(parent); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 4 {
		makers.Go(func() {
			for range 50 {
				dir, err := makeLockedDir(parent)
				if err == nil {
					_, err = os.Stat(dir)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	makers.Wait()
	close(done)
	removers.Wait()
	dirs, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Len(t, dirs, 200)
	_, err = lockDir(filepath.Join(parent, dirs[0].Name()), syscall.LOCK_EX|syscall.LOCK_NB)
	require.ErrorIs(t, err, syscall.EWOULDBLOCK)
}
