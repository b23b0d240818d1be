package spool

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if os.IsNotExist(err) {
		testprogram.Missing(t, "/dev/full")
	}
	require.NoError(t, err)
	s := New(Config{Memory: 10, Max: 1 << 20})
	s.file = full
	err = s.Add(make([]byte, 100))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NotErrorIs(t, err, ErrNoFile, "the same import may fit later")
	require.NoError(t, s.Close())
}
