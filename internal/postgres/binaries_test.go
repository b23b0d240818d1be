//go:build unix

package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeBinaries makes a folder whose postgres says that it is of this version.
func fakeBinaries(t *testing.T, dir, version string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s (Debian)'\n", version)
	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	machine := t.TempDir()
	in := func(name string) string { return filepath.Join(machine, name, "bin") }
	for name, version := range map[string]string{"9.6": "9.6.24", "14": "14.2", "15": "15.9", "15b": "15.18", "17": "17.0", "18": "18beta1"} {
		fakeBinaries(t, in(name), version)
	}
	folders := []string{in("*")}

	find := func(t *testing.T, from places, binDir string, major int) string {
		t.Helper()
		b, err := findBinaries(t.Context(), from, binDir, "/data", major)
		require.NoError(t, err)
		return b.dir
	}

	t.Run("the newest of the folders", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("18"), find(t, places{folders: folders}, "", 0))
	})
	t.Run("PATH before the folders", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("14"), find(t, places{pathList: "/nowhere:" + in("14"), folders: folders}, "", 0))
	})
	t.Run("not those on PATH that are too old", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("18"), find(t, places{pathList: in("9.6"), folders: folders}, "", 0))
	})
	t.Run("the cluster's major, newest minor", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("15b"), find(t, places{pathList: in("17"), folders: folders}, "", 15))
	})
	t.Run("a folder that was set, and no other", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("14"), find(t, places{folders: folders}, in("14"), 0))
		_, err := findBinaries(t.Context(), places{folders: folders}, in("14"), "/data", 15)
		require.ErrorContains(t, err, "data directory /data was made by Postgres 15, found only Postgres 14 in "+in("14")+": install it (Debian: apt-get install postgresql-15;")
	})
	t.Run("a link on PATH leads to the installation", func(t *testing.T) {
		t.Parallel()
		linked := t.TempDir()
		for _, name := range []string{"initdb", "postgres"} {
			require.NoError(t, os.Symlink(filepath.Join(in("17"), name), filepath.Join(linked, name)))
		}
		require.Equal(t, in("17"), find(t, places{pathList: linked}, "", 0))
	})
	t.Run("none at all says what to install or set", func(t *testing.T) {
		t.Parallel()
		_, err := findBinaries(t.Context(), places{pathList: "relative:" + t.TempDir()}, "", "/data", 0)
		require.EqualError(t, err, "the private Postgres needs Postgres 14 or newer, found none: install it (Debian: apt-get install postgresql; macOS: brew install postgresql@17), or set GATEHOUSE_POSTGRES_BIN to the folder of its initdb and postgres, or DATABASE_URL to a Postgres that already runs")
	})
	t.Run("only old ones says so", func(t *testing.T) {
		t.Parallel()
		_, err := findBinaries(t.Context(), places{folders: []string{in("9.6")}}, "", "/data", 0)
		require.ErrorContains(t, err, "needs Postgres 14 or newer, found only Postgres 9 in "+in("9.6")+": install it")
	})
}
