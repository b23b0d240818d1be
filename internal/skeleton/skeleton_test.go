package skeleton_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/skeleton"
)

// TestWriteFails: after an error, a folder that was there is empty, and one that was not there is gone.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	options := skeleton.Options{Module: "example.com/shop", Gatehouse: root, Replacement: root}
	parent := t.TempDir()
	empty := filepath.Join(parent, "empty")
	require.NoError(t, os.Mkdir(empty, 0o700))
	failure := errors.New("the generator fails")
	for _, folder := range []string{empty, filepath.Join(parent, "services", "shop")} {
		written := false
		require.ErrorIs(t, skeleton.Write(folder, options, func() error {
			_, err := os.Stat(filepath.Join(folder, "openapi", "api.yaml"))
			written = err == nil
			return failure
		}), failure)
		require.True(t, written)
	}
	left, err := filepath.Glob(filepath.Join(parent, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{empty}, left)
	left, err = filepath.Glob(filepath.Join(empty, "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
