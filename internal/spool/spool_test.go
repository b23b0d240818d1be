package spool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/spool"
)

// add adds n records of two fields, of which the second has so many bytes.
func add(s *spool.Spool, n, size int) error {
	for i := range n {
		if err := s.Add([]byte(strconv.Itoa(i)), bytes.Repeat([]byte{byte(i)}, size)); err != nil {
			return err
		}
	}
	return nil
}

// requireRecords checks that the records are those that add added, twice.
func requireRecords(t *testing.T, s *spool.Spool, n, size int) {
	t.Helper()
	for range 2 {
		i := 0
		for record, err := range s.Records() {
			require.NoError(t, err)
			require.Len(t, record, 2)
			require.Equal(t, strconv.Itoa(i), string(record[0]))
			require.True(t, bytes.Equal(bytes.Repeat([]byte{byte(i)}, size), record[1]))
			i++
		}
		require.Equal(t, n, i)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ n, size int }{
		"none":                    {0, 0},
		"in memory":               {10, 50},
		"in a file":               {1000, 50},
		"larger than the memory":  {3, 5000},
		"larger than the buffers": {3, 500_000},
		"empty fields":            {1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := spool.New(spool.Config{Dir: dir, Memory: 1000, Max: 1 << 30})
			require.NoError(t, add(s, c.n, c.size))
			requireRecords(t, s, c.n, c.size)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left, "the file has no name")
			require.NoError(t, s.Close())
		})
	}
}

func TestTooManyRecords(t *testing.T) {
	t.Parallel()
	s := spool.New(spool.Config{Dir: t.TempDir(), Memory: 1000, Max: 10_000})
	require.ErrorIs(t, add(s, 1000, 50), spool.ErrTooLarge)
	require.NoError(t, s.Close())
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	s := spool.New(spool.Config{Dir: filepath.Join(t.TempDir(), "missing"), Memory: 1000, Max: 1 << 20})
	require.NoError(t, add(s, 10, 50), "few records need no file")
	requireRecords(t, s, 10, 50)
	err := add(s, 10, 50)
	require.ErrorIs(t, err, spool.ErrNoFile)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, s.Close())
}
