package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages returns the files in a directory.
func pages(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	all := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		all[entry.Name()] = string(content)
	}
	return all
}

func TestReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gatehouse_gone.md"), nil, 0o600))
	require.NoError(t, writeMarkdown(dir))
	require.Equal(t, pages(t, dir), pages(t, "../../../docs/reference"), "run go generate ./...")
}

func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	require.NoError(t, writeManual(dir))
	page := pages(t, dir)["gatehouse-keys-sync.1"]
	require.Contains(t, page, `.TH "GATEHOUSE-KEYS-SYNC" "1"`)
	require.Contains(t, page, "TYK_DB_TYKAPI_HOST")
}
