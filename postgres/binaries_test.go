//go:build unix

package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeBinaries makes a directory whose postgres prints this version.
func fakeBinaries(t *testing.T, dir, version string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s (Debian)'\n", version)
	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	// While another test forks, its child has the scripts open for writing, and they cannot run ("text file busy").
	for _, name := range []string{"initdb", "postgres"} {
		run := func() bool { return exec.Command(filepath.Join(dir, name)).Run() == nil }
		require.Eventually(t, run, time.Minute, time.Millisecond)
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	machine := t.TempDir()
	in := func(name string) string { return filepath.Join(machine, name, "bin") }
	for name, version := range map[string]string{
		"9.6": "9.6.24", "14": "14.2", "15": "15.9", "15b": "15.18", "17": "17.0", "18": "18beta1",
	} {
		fakeBinaries(t, in(name), version)
	}
	folders := []string{in("*")}

	search := func(from places, binDir string, major int) binariesSearch {
		return binariesSearch{places: from, binDir: binDir, cluster: "/data", major: major}
	}
	find := func(t *testing.T, from places, binDir string, major int) string {
		t.Helper()
		b, err := search(from, binDir, major).find(t.Context())
		require.NoError(t, err)
		return b.dir
	}

	t.Run("the newest of the usual folders", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("18"), find(t, places{folders: folders}, "", 0))
	})
	t.Run("PATH before the usual folders", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("14"), find(t, places{pathList: "/nowhere:" + in("14"), folders: folders}, "", 0))
	})
	t.Run("the usual folders before the cache", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("14"), find(t, places{folders: []string{in("14")}, cache: in("1*")}, "", 0))
	})
	t.Run("the newest of the cache", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("18"), find(t, places{folders: []string{in("9.6")}, cache: in("1*")}, "", 0))
	})
	t.Run("a version on PATH that is too old is ignored", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("18"), find(t, places{pathList: in("9.6"), folders: folders}, "", 0))
	})
	t.Run("the newest minor of the cluster's major", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("15b"), find(t, places{pathList: in("17"), folders: folders}, "", 15))
	})
	t.Run("only the configured directory", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, in("14"), find(t, places{folders: folders}, in("14"), 0))
		_, err := search(places{folders: folders}, in("14"), 15).find(t.Context())
		require.EqualError(t, err, "data directory /data was made by Postgres 15, found only Postgres 14 in "+in("14")+
			": install it or name one (Debian, Ubuntu: apt-get install postgresql-15; macOS: brew install postgresql@15; "+
			"set GATEHOUSE_POSTGRES_BIN to the folder of initdb and postgres; set DATABASE_URL to a Postgres that already runs)")
	})
	t.Run("a link on PATH is followed to the installation", func(t *testing.T) {
		t.Parallel()
		linked := t.TempDir()
		for _, name := range []string{"initdb", "postgres"} {
			require.NoError(t, os.Symlink(filepath.Join(in("17"), name), filepath.Join(linked, name)))
		}
		require.Equal(t, in("17"), find(t, places{pathList: linked}, "", 0))
	})
	t.Run("without any, the error has each way to get one", func(t *testing.T) {
		t.Parallel()
		_, err := search(places{pathList: "relative:" + t.TempDir()}, "", 0).find(t.Context())
		require.EqualError(t, err, "the private Postgres needs Postgres 14 or newer, found none: install it or name one ("+
			"Debian, Ubuntu: make serve as root or as a user with sudo, or apt-get install postgresql; "+
			"Fedora: dnf install postgresql-server; Alpine: apk add postgresql; macOS: brew install postgresql@18; "+
			"Linux or macOS without root: make serve once npm (Node.js) is installed; "+
			"set GATEHOUSE_POSTGRES_BIN to the folder of initdb and postgres; set DATABASE_URL to a Postgres that already runs)")
	})
	t.Run("with only old ones, the error names them", func(t *testing.T) {
		t.Parallel()
		_, err := search(places{folders: []string{in("9.6")}}, "", 0).find(t.Context())
		require.ErrorContains(t, err, "needs Postgres 14 or newer, found only Postgres 9 in "+in("9.6")+": install it")
	})
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]binaries{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": {version: "15.18", major: 15, minor: 18},
		"postgres (PostgreSQL) 18.4\n":                           {version: "18.4", major: 18, minor: 4},
		"postgres (PostgreSQL) 18beta1\n":                        {version: "18beta1", major: 18},
	} {
		var b binaries
		require.NoError(t, b.parseVersion(line))
		require.Equal(t, want, b)
	}
	var b binaries
	require.Error(t, b.parseVersion("no version"))
}

// TestCache runs the functions of internal/install.sh to compare what it chooses with what the server searches.
func TestCache(t *testing.T) {
	t.Parallel()
	script := `cache_folder() {` + functionBody(t, "cache_folder") + `}; cache_folder`
	out, err := exec.Command("sh", "-c", script).Output()
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(out))+"/postgres-*/bin", cachePattern())
}

// TestInstallScript runs internal/install.sh where nothing can be installed: it finds a Postgres of the system, or
// prints each way to get one.
func TestInstallScript(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	for _, name := range []string{"cat", "dirname", "id", "sed", "uname"} {
		tool, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(tool, filepath.Join(tools, name)))
	}
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	command := exec.Command(shell, "../internal/install.sh", "postgres")
	command.Env = []string{"PATH=" + tools, "HOME=" + t.TempDir()}
	printed, err := command.CombinedOutput()
	if err == nil {
		require.Empty(t, string(printed))
		return
	}
	for way := range strings.Lines(waysToInstall) {
		require.Contains(t, string(printed), way)
	}
	require.NotContains(t, string(printed), "install.sh:", "a message of the shell")
}

// TestFilesOfInstallScript: what internal/install.sh reads and runs is there.
func TestFilesOfInstallScript(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../internal/install.sh")
	require.NoError(t, err)
	files := regexp.MustCompile(`"\$folder/([^"]+)"`).FindAllStringSubmatch(string(text), -1)
	require.GreaterOrEqual(t, len(files), 4)
	for _, file := range files {
		require.FileExists(t, filepath.Join("../internal", file[1]))
	}
}

// functionBody returns the body of a function of internal/install.sh.
func functionBody(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../internal/install.sh")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "\n"+name+"() {")
	require.True(t, found)
	body, _, found := strings.Cut(after, "\n}\n")
	require.True(t, found)
	return body + "\n"
}
