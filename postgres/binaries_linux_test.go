package postgres

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVersionInAProcessGroup has the binaries print their process group, which is a field of /proc/PID/stat, as their
// minor version.
func TestVersionInAProcessGroup(t *testing.T) {
	t.Parallel()
	dir := fakeBinaries(t, t.TempDir(), `'"$(cut -d " " -f 5 /proc/$$/stat | sed s/^/15./)"'`)
	b, err := inspect(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, 15, b.major)
	require.NotZero(t, b.minor)
	require.NotEqual(t, syscall.Getpgrp(), b.minor)
}
