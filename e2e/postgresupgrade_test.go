package e2e_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/postgres"
)

// atRest is a data directory with data, whose private Postgres does not run.
var atRest struct {
	once sync.Once
	dir  string // removed by TestMain
	err  error
}

// dataAtRest returns a server whose data directory has what a backup of everything has. It does not run.
func dataAtRest(t *testing.T) *server {
	t.Helper()
	atRest.once.Do(func() {
		if atRest.dir, atRest.err = os.MkdirTemp("", "e2e-"); atRest.err != nil { //nolint:usetesting // tests share it
			return
		}
		if atRest.err = os.Chmod(atRest.dir, 0o711); atRest.err != nil {
			return
		}
		files, _ := filepath.Glob("testdata/backups/*.backup")
		restore := exec.Command(program(t), "restore", files[len(files)-1])
		restore.Env = environment("GATEHOUSE_DATA_DIR=" + filepath.Join(atRest.dir, "data"))
		if output, err := restore.CombinedOutput(); err != nil {
			atRest.err = fmt.Errorf("%w: %s", err, output)
		}
	})
	require.NoError(t, atRest.err)
	s := newServer(t)
	output, err := exec.Command("cp", "-a", filepath.Join(atRest.dir, "data"), s.dir).CombinedOutput()
	require.NoError(t, err, string(output))
	return s
}

// programsOf returns the directory of the programs of the machine's Postgres, which include pg_dump.
func programsOf(t *testing.T) string {
	t.Helper()
	programs, err := postgres.FindPrograms(t.Context(), os.Getenv("GATEHOUSE_POSTGRES_BIN"))
	require.NoError(t, err)
	if _, err := os.Stat(programs.Path("pg_dump")); err != nil {
		testprogram.Missing(t, "pg_dump")
	}
	return filepath.Dir(programs.Path("postgres"))
}

// npmPostgres is the Postgres of npm.
var npmPostgres struct {
	once sync.Once
	dir  string // removed by TestMain
	err  error
}

// programsOfNpm returns the directory of the programs that internal/install.sh installs with npm.
func programsOfNpm(t *testing.T) string {
	t.Helper()
	node := testprogram.Need(t, "node")
	testprogram.Need(t, "npm")
	npmPostgres.once.Do(func() {
		if npmPostgres.dir, npmPostgres.err = os.MkdirTemp("", "e2e-"); npmPostgres.err != nil { //nolint:usetesting // as above
			return
		}
		draft := filepath.Join(npmPostgres.dir, "draft")
		npmPostgres.err = os.Chmod(npmPostgres.dir, 0o711)
		if err := os.Mkdir(draft, 0o700); err != nil || npmPostgres.err != nil {
			return
		}
		install := exec.Command(node, filepath.Join(repository, "postgres/npm/install.mjs"), draft, npmPostgres.dir)
		if output, err := install.CombinedOutput(); err != nil {
			npmPostgres.err = fmt.Errorf("%w: %s", err, output)
		}
	})
	require.NoError(t, npmPostgres.err)
	found, err := filepath.Glob(filepath.Join(npmPostgres.dir, "postgres-*", "bin"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// removeSharedPostgres removes what the tests of upgrades share.
func removeSharedPostgres() error {
	for _, dir := range []string{atRest.dir, npmPostgres.dir} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// wrapped returns a directory with the programs of another one, some of them as scripts in which REAL is the program,
// and HOLD waits for the end of the test.
func wrapped(t *testing.T, programs string, scripts map[string]string) string {
	t.Helper()
	dir := newDir(t)
	for _, name := range []string{"initdb", "postgres", "pg_dump", "psql"} {
		script := scripts[name]
		if script == "" {
			script = `exec REAL "$@"`
		}
		script = "#!/bin/sh\n" + strings.NewReplacer("REAL", filepath.Join(programs, name),
			"HOLD", "while [ -e "+dir+" ]; do sleep 0.1; done").Replace(script) + "\n"
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(script), 0o755))
		// While another test forks, its child has the script open for writing, and it cannot run ("text file busy").
		eventually(t, "the script runs", func() bool { return exec.Command(path, "--version").Run() == nil })
	}
	return dir
}

// upgrade runs gatehouse postgres upgrade.
func (s *server) upgrade(args ...string) (output string, err error) {
	s.t.Helper()
	text, err := s.command(append([]string{"postgres", "upgrade"}, args...)...).CombinedOutput()
	return string(text), err
}

// requireUpgradeFails requires that an upgrade fails and leaves the data directory as it was, and returns its message.
func (s *server) requireUpgradeFails(args ...string) (message string) {
	s.t.Helper()
	before := s.entries()
	message, err := s.upgrade(args...)
	require.Error(s.t, err, message)
	require.Equal(s.t, before, s.entries())
	return message
}

// entries returns the names in the data directory, without those of logs, locks and secrets.
func (s *server) entries() (names []string) {
	s.t.Helper()
	entries, err := os.ReadDir(s.dir)
	require.NoError(s.t, err)
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasSuffix(name, ".log") && !strings.HasSuffix(name, "lock") && !strings.HasSuffix(name, "secret") {
			names = append(names, name)
		}
	}
	return names
}

// content returns all rows of the database, in the form of backups.
func (s *server) content() string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "content.backup")
	output, err := s.command("backup", file).CombinedOutput()
	require.NoError(s.t, err, string(output))
	return contentOf(s.t, file)
}

// versionOf returns the content of PG_VERSION.
func versionOf(t *testing.T, cluster string) string {
	t.Helper()
	return strings.TrimSpace(readFile(t, filepath.Join(cluster, "PG_VERSION")))
}

// TestPostgresUpgrade upgrades from the machine's Postgres to that of npm, which has neither pg_dump nor lz4.
func TestPostgresUpgrade(t *testing.T) {
	t.Parallel()
	old, s, newer := programsOf(t), dataAtRest(t), programsOfNpm(t)
	was := versionOf(t, filepath.Join(s.dir, "postgres"))
	if was >= "18" {
		testprogram.Missing(t, "a Postgres that is older than that of npm")
	}
	before := s.content()
	s.start()
	apis := s.page("/admin/apis")
	require.Contains(t, s.requireUpgradeFails("--new-bin", newer), "in use by another server")
	require.Zero(t, s.stop())

	s.settings = []string{"GATEHOUSE_POSTGRES_BIN=" + newer} // as a system that was upgraded, with the old packages still there
	for _, command := range [][]string{{"serve"}, {"backup", filepath.Join(t.TempDir(), "x")}, {"finish-upgrade"}} {
		output, err := s.command(command...).CombinedOutput()
		require.Error(t, err)
		require.Regexp(t, `was made by Postgres `+was+`, found only Postgres 18 in \S+: run gatehouse postgres upgrade`, string(output))
	}
	output, err := s.upgrade()
	require.NoError(t, err, output)
	require.Regexp(t, `^upgraded the private Postgres from `+was+`\S* to 18\.\S*: \d{3,} rows of \d\d tables, compared\n`, output)
	kept := filepath.Join(s.dir, "postgres."+was)
	require.Contains(t, output, "the old data is in "+kept+"\n  to remove it:  rm -r "+kept+"\n")
	require.Equal(t, "18", versionOf(t, filepath.Join(s.dir, "postgres")))
	require.Equal(t, was, versionOf(t, kept))

	require.Equal(t, before, s.content(), "every row, byte for byte")
	for range 2 {
		s.start()
		require.Equal(t, apis, s.page("/admin/apis"))
		s.newOrganisation()
		require.Zero(t, s.stop())
	}
	output, err = s.upgrade()
	require.NoError(t, err)
	require.Regexp(t, "^nothing to do: the private Postgres has version 18", output)

	// The way back, as the output says.
	require.NoError(t, os.Rename(filepath.Join(s.dir, "postgres"), filepath.Join(s.dir, "postgres.not-used")))
	require.NoError(t, os.Rename(kept, filepath.Join(s.dir, "postgres")))
	s.settings = []string{"GATEHOUSE_POSTGRES_BIN=" + old}
	require.Equal(t, before, s.content())
}

// TestPostgresUpgradeToTheSameVersion names the same programs as the old and the new ones.
func TestPostgresUpgradeToTheSameVersion(t *testing.T) {
	t.Parallel()
	programs := programsOf(t)

	t.Run("all data", func(t *testing.T) {
		t.Parallel()
		s := dataAtRest(t)
		before := s.content()
		conf := filepath.Join(s.dir, "postgres", "postgresql.conf")
		file, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = file.WriteString("work_mem = 5MB\n")
		require.NoError(t, err)
		require.NoError(t, file.Close())
		output, err := s.upgrade("--new-bin", programs, "-o", "json")
		require.NoError(t, err, output)
		require.Contains(t, output, `"work_mem = 5MB"`)
		version := versionOf(t, filepath.Join(s.dir, "postgres"))
		require.Contains(t, output, `"kept": "`+filepath.Join(s.dir, "postgres."+version)+`"`)
		require.Equal(t, before, s.content())
		output, err = s.upgrade("--new-bin", programs, "--old-bin", programs)
		require.NoError(t, err, output)
		require.Contains(t, output, "the old data is in "+filepath.Join(s.dir, "postgres."+version+"-2")+"\n")
		require.Equal(t, before, s.content())
	})

	t.Run("a data directory that was linked to another disk", func(t *testing.T) {
		t.Parallel()
		s, disk := dataAtRest(t), newDir(t)
		before := s.content()
		cluster, place := filepath.Join(s.dir, "postgres"), filepath.Join(disk, "data")
		require.NoError(t, os.Rename(cluster, place))
		require.NoError(t, os.Symlink(place, cluster))
		output, err := s.upgrade("--new-bin", programs)
		require.NoError(t, err, output)
		version := versionOf(t, place)
		require.Equal(t, version, versionOf(t, place+"."+version))
		require.Equal(t, before, s.content())
		// As if it had been killed between the two renames.
		require.NoError(t, os.Rename(place, place+".upgraded"))
		require.Equal(t, before, s.content())
	})
}

// TestPostgresUpgradeKilled kills an upgrade where it takes longest, and checks what is left. Meanwhile nothing else
// may use the database.
func TestPostgresUpgradeKilled(t *testing.T) {
	t.Parallel()
	programs := programsOf(t)
	s := dataAtRest(t)
	before := s.content()
	entries := s.entries()
	for name, script := range map[string]string{
		"while initdb works":  "initdb",
		"while psql loads":    "psql",
		"while pg_dump dumps": "pg_dump",
	} {
		mark := filepath.Join(newDir(t), "reached")
		require.NoError(t, os.WriteFile(mark, nil, 0o666))
		require.NoError(t, os.Chmod(mark, 0o666))
		slow := map[string]string{
			"initdb":  `case "$*" in *--username*) echo here >MARK; HOLD;; esac; exec REAL "$@"`,
			"psql":    `case "$*" in *--single-transaction*) (head -c 20000; echo here >MARK; HOLD) | REAL "$@";; *) exec REAL "$@";; esac`,
			"pg_dump": `case "$*" in *--format*) REAL "$@" | head -c 5000; echo here >MARK; HOLD;; *) exec REAL "$@";; esac`,
		}
		wrapper := wrapped(t, programs, map[string]string{script: strings.ReplaceAll(slow[script], "MARK", mark)})
		cmd := s.command("postgres", "upgrade", "--new-bin", wrapper)
		log := &output{}
		cmd.Stdout, cmd.Stderr = log, log
		require.NoError(t, cmd.Start(), name)
		eventually(t, name, func() bool { return readFile(t, mark) != "" })
		for _, command := range [][]string{{"serve"}, {"backup", filepath.Join(t.TempDir(), "x")}, {"postgres", "upgrade"}} {
			text, err := s.command(command...).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(text), "is being upgraded by gatehouse postgres upgrade (process ")
		}
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		require.Greater(t, len(s.entries()), len(entries), "what was made until then: %s", log)
		require.Equal(t, before, s.content(), name)
		require.Equal(t, entries, s.entries(), "the next start removes it")
	}

	t.Run("interrupted", func(t *testing.T) {
		wrapper := wrapped(t, programs, map[string]string{"psql": `case "$*" in *--single-transaction*) HOLD;; *) exec REAL "$@";; esac`})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cmd := s.command("postgres", "upgrade", "--new-bin", wrapper)
		log := &output{}
		cmd.Stdout, cmd.Stderr = log, log
		require.NoError(t, cmd.Start())
		eventually(t, "the new Postgres runs", func() bool {
			running, _ := filepath.Glob(filepath.Join(s.dir, "postgres.socket.new", ".s.PGSQL.*"))
			return len(running) > 0
		})
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		require.Error(t, cmd.Wait())
		require.NoError(t, ctx.Err())
		require.Contains(t, log.String(), "the old data is as it was")
		require.Equal(t, entries, s.entries())
	})

	// Killed between the renames: by either a start or an upgrade, the new directory gets the place of the old one.
	text, err := s.upgrade("--new-bin", programs)
	require.NoError(t, err, text)
	cluster := filepath.Join(s.dir, "postgres")
	kept := cluster + "." + versionOf(t, cluster)
	require.NoError(t, os.Rename(cluster, cluster+".upgraded"))
	require.Equal(t, before, s.content())
	require.NoError(t, os.Rename(cluster, cluster+".upgraded"))
	require.NoError(t, os.Rename(kept, cluster))
	text, err = s.upgrade()
	require.NoError(t, err, text)
	require.Contains(t, text, "completed an upgrade that was killed")
	require.Contains(t, text, "the old data is in "+kept)
	require.Equal(t, before, s.content())
}

// TestPostgresUpgradeRefused: each obstacle is named, and nothing has changed.
func TestPostgresUpgradeRefused(t *testing.T) {
	t.Parallel()
	programs := programsOf(t)

	t.Run("without the old programs", func(t *testing.T) {
		t.Parallel()
		s := dataAtRest(t)
		version := filepath.Join(s.dir, "postgres", "PG_VERSION")
		own := readFile(t, version)
		require.NoError(t, os.WriteFile(version, []byte("14\n"), 0o600))
		for _, command := range [][]string{{"serve"}, {"postgres", "upgrade"}} {
			text, err := s.command(command...).CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(text), "was made by Postgres 14, ")
			require.Contains(t, string(text), "apt-get install postgresql-14; if the release has another version")
			require.Contains(t, string(text), "--old-bin, then run gatehouse postgres upgrade")
		}
		require.Contains(t, s.requireUpgradeFails("--old-bin", programs), "--old-bin: "+programs+" has Postgres "+strings.TrimSpace(own))
		require.Contains(t, s.requireUpgradeFails("--old-bin", t.TempDir()), "--old-bin: no Postgres in ")
	})

	t.Run("a lower version", func(t *testing.T) {
		t.Parallel()
		s := dataAtRest(t)
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "postgres", "PG_VERSION"), []byte("99\n"), 0o600))
		require.Contains(t, s.requireUpgradeFails("--new-bin", programs), "a data directory cannot be downgraded")
		require.Contains(t, s.requireUpgradeFails(), "apt-get install postgresql-99")
	})

	t.Run("no space on the disk", func(t *testing.T) {
		t.Parallel()
		s := dataAtRest(t)
		large, err := os.Create(filepath.Join(s.dir, "postgres", "base", "large"))
		require.NoError(t, err)
		require.NoError(t, large.Truncate(15<<40)) // takes no space itself
		require.NoError(t, large.Close())
		require.Regexp(t, `not enough space in \S+ for a second data directory: \d+ MiB are needed, and \d+ MiB are free`,
			s.requireUpgradeFails("--new-bin", programs))
	})

	t.Run("no private Postgres", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		text, err := s.upgrade()
		require.Error(t, err)
		require.Contains(t, text, "there is no private Postgres in "+s.dir)
		_, err = os.Stat(s.dir)
		require.ErrorIs(t, err, fs.ErrNotExist)
		s.settings = []string{"DATABASE_URL=postgres://nowhere.example/x"}
		text, err = s.upgrade()
		require.Error(t, err)
		require.Contains(t, text, "DATABASE_URL) is set")
	})

	t.Run("what only a dump of everything has", func(t *testing.T) {
		t.Parallel()
		s := dataAtRest(t)
		s.start()
		output, err := exec.Command(filepath.Join(programs, "psql"), "-h", filepath.Join(s.dir, "postgres.socket"), "-U", "gatehouse",
			"-d", "postgres", "-c", "CREATE DATABASE reports", "-c", "CREATE ROLE auditor").CombinedOutput()
		require.NoError(t, err, string(output))
		require.Zero(t, s.stop())
		require.Contains(t, s.requireUpgradeFails("--new-bin", programs), "would lose: database reports, role auditor: ")
	})

	for name, test := range map[string]struct{ pgDump, want string }{
		"a dump that fails":         {`case "$*" in *--format*) REAL "$@" | head -c 20000; echo broken >&2; exit 3;; esac; exec REAL "$@"`, "pg_dump: exit status 3: broken"},
		"a dump that lacks a row":   {`case "$*" in *--format*) REAL "$@" | sed '/^api7\t/d';; *) exec REAL "$@";; esac`, "the new data directory differs from the old one: the old one has table public.apis|301|"},
		"a dump that alters a row":  {`case "$*" in *--format*) REAL "$@" | sed '/^api7\t/s/"text"/"tExt"/';; *) exec REAL "$@";; esac`, "the new data directory differs from the old one: the old one has table public.apis|301|"},
		"a dump with half of a row": {`case "$*" in *--format*) REAL "$@" | sed '/^api7\t/s/"}}/"}/';; *) exec REAL "$@";; esac`, "ERROR:  invalid input syntax for type json; the old data"},
		"a dump that is no SQL":     {`case "$*" in *--format*) echo 'no SQL;'; REAL "$@";; *) exec REAL "$@";; esac`, `syntax error at or near "no"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := dataAtRest(t)
			before := s.content()
			wrapper := wrapped(t, programs, map[string]string{"pg_dump": test.pgDump})
			message := s.requireUpgradeFails("--new-bin", wrapper)
			require.Contains(t, message, test.want)
			require.Contains(t, message, "the old data is as it was")
			require.Equal(t, before, s.content())
		})
	}
}
