//go:build unix

package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/postgres"
)

const (
	// serverVar makes the test binary a server on the data directory that it names, so that tests can kill a server.
	serverVar = "GATEHOUSE_TEST_POSTGRES_SERVER"
	// timeout ends a test that will not succeed. What it limits takes a second on an idle machine.
	timeout = 3 * time.Minute
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverVar); dir != "" {
		os.Exit(serve(dir))
	}
	os.Exit(m.Run())
}

// serve prints the connection string when Postgres is ready, and stops Postgres when it is interrupted.
func serve(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg := postgres.Config{DataDir: dir, BinDir: os.Getenv("GATEHOUSE_POSTGRES_BIN"), Log: log, Volatile: true}
	c, err := postgres.Start(ctx, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(c.ConnString())
	<-ctx.Done()
	if err := c.Stop(context.WithoutCancel(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type bundle struct {
	t   *testing.T
	dir string // the server's data directory
	log *syncBuffer
}

// setup returns a data directory that every account can reach, unlike those of testing.T, and that is removed even
// while a postmaster that was killed still ends.
func setup(t *testing.T) *bundle {
	t.Helper()
	base, err := os.MkdirTemp("", "gatehouse-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(base, 0o755))
	t.Cleanup(func() {
		// A process that still ends may write a file into a directory whose files have just been removed.
		require.Eventually(t, func() bool { return os.RemoveAll(base) == nil }, time.Minute, 10*time.Millisecond)
	})
	return &bundle{t: t, dir: filepath.Join(base, "data"), log: new(syncBuffer)}
}

func (b *bundle) config() postgres.Config {
	return postgres.Config{
		DataDir: b.dir, BinDir: os.Getenv("GATEHOUSE_POSTGRES_BIN"), Volatile: true,
		Log: slog.New(slog.NewTextHandler(b.log, nil)),
	}
}

func (b *bundle) start() *postgres.Cluster { return b.startWith(b.config()) }

func (b *bundle) startWith(cfg postgres.Config) *postgres.Cluster {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), timeout)
	defer cancel()
	began := time.Now()
	c, err := postgres.Start(ctx, cfg)
	require.NoError(b.t, err)
	b.t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	b.t.Cleanup(func() { b.stop(c) })
	return c
}

func (b *bundle) stop(c *postgres.Cluster) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), timeout)
	defer cancel()
	require.NoError(b.t, c.Stop(ctx))
}

// refused returns the error of a start, which must be one line.
func (b *bundle) refused(cfg postgres.Config) string {
	b.t.Helper()
	c, err := postgres.Start(b.t.Context(), cfg)
	if err == nil {
		b.stop(c)
	}
	require.Error(b.t, err)
	require.NotContains(b.t, err.Error(), "\n")
	return err.Error()
}

func (b *bundle) cluster(name ...string) string {
	return filepath.Join(append([]string{b.dir, "postgres"}, name...)...)
}

func (b *bundle) postmaster() int {
	b.t.Helper()
	text, err := os.ReadFile(b.cluster("postmaster.pid"))
	require.NoError(b.t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(b.t, err)
	return pid
}

// killPostmaster kills the postmaster only. Its backends end when they notice.
func (b *bundle) killPostmaster() int {
	b.t.Helper()
	pid := b.postmaster()
	require.NoError(b.t, syscall.Kill(pid, syscall.SIGKILL))
	return pid
}

// execute runs SQL and returns the first value of its last result as text.
func execute(ctx context.Context, connString, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, connString)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 || len(results[len(results)-1].Rows) == 0 {
		return "", err
	}
	return string(results[len(results)-1].Rows[0][0]), nil
}

// connects reports whether the cluster answers a statement.
func (b *bundle) connects(connString, sql string) bool {
	_, err := execute(b.t.Context(), connString, sql)
	return err == nil
}

func (b *bundle) query(connString, sql string) string {
	b.t.Helper()
	value, err := execute(b.t.Context(), connString, sql)
	require.NoError(b.t, err)
	return value
}

func (b *bundle) insertRow(connString string) {
	b.t.Helper()
	b.query(connString, "create table stored (v text); insert into stored values ('row')")
}

func (b *bundle) requireRow(connString string) {
	b.t.Helper()
	require.Equal(b.t, "row", b.query(connString, "select v from stored"))
}

// requireRestart waits until the cluster answers again.
func (b *bundle) requireRestart(c *postgres.Cluster) {
	b.t.Helper()
	b.eventually("restarted", func() bool { return b.connects(c.ConnString(), "select 1") })
}

// eventually waits for a condition that Postgres or another process fulfils.
func (b *bundle) eventually(what string, condition func() bool) {
	b.t.Helper()
	require.Eventually(b.t, condition, timeout, 20*time.Millisecond, what)
}

// other is a server in a process of its own.
type other struct {
	cmd    *exec.Cmd
	stderr *syncBuffer
	out    io.Reader
}

// serve starts another server on the directory, as the given account unless nil.
func (b *bundle) serve(as *syscall.Credential) *other {
	b.t.Helper()
	self := filepath.Join(filepath.Dir(b.dir), "server") // where every account can run it
	if _, err := os.Stat(self); err != nil {
		text, err := os.ReadFile(must(os.Executable()))
		require.NoError(b.t, err)
		syscall.ForkLock.RLock() // a process that is started meanwhile would keep the file open for writing
		err = os.WriteFile(self, text, 0o755)
		syscall.ForkLock.RUnlock()
		require.NoError(b.t, err)
	}
	o := &other{cmd: exec.Command(self), stderr: new(syncBuffer)}
	o.cmd.Dir = "/"
	o.cmd.Env = append(os.Environ(), serverVar+"="+b.dir)
	if as != nil { // what root downloaded is in a cache that this account does not search
		o.cmd.Env = append(o.cmd.Env, "XDG_CACHE_HOME=/var/cache")
	}
	o.cmd.Stderr = o.stderr
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	var err error
	o.out, err = o.cmd.StdoutPipe()
	require.NoError(b.t, err)
	require.NoError(b.t, o.cmd.Start())
	b.t.Cleanup(func() {
		_ = o.cmd.Process.Kill()
		_ = o.cmd.Wait()
	})
	return o
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

// ready returns the connection string once the other server is up.
func (b *bundle) ready(o *other) string {
	b.t.Helper()
	line := make([]byte, 1024)
	n, err := o.out.Read(line)
	if err != nil {
		_ = o.cmd.Wait()
	}
	require.NoError(b.t, err, o.stderr)
	return strings.TrimSpace(string(line[:n]))
}

func (b *bundle) kill(o *other) {
	b.t.Helper()
	require.NoError(b.t, o.cmd.Process.Kill())
	_ = o.cmd.Wait()
}

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("a restart keeps the data, synced to disk", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cfg := b.config()
		cfg.Volatile = false
		c := b.startWith(cfg)
		require.Equal(t, "on", b.query(c.ConnString(), "show fsync"))
		b.insertRow(c.ConnString())
		b.stop(c)
		require.NoFileExists(t, b.cluster("postmaster.pid"))
		b.requireRow(b.startWith(cfg).ConnString())
	})

	t.Run("it listens only on a socket that no other account can reach", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		require.Empty(t, b.query(c.ConnString(), "show listen_addresses"))
		info, err := os.Stat(filepath.Join(b.dir, "postgres.socket"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
		info, err = os.Stat(filepath.Join(b.dir, "postgres.socket", ".s.PGSQL.5432"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	})

	t.Run("a path too long for a socket", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.dir = filepath.Join(b.dir, strings.Repeat("long/", 30), `with 'quotes', "commas" and \`)
		c := b.start()
		b.insertRow(c.ConnString())
		b.stop(c)
		b.requireRow(b.start().ConnString())
	})

	t.Run("the error of a postgres that does not start has its log", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.stop(b.start())
		breakConfig(t, b)
		require.Contains(t, b.refused(b.config()), "no_such_setting")
		_, err := os.Stat(b.cluster("PG_VERSION"))
		require.NoError(t, err, "the data directory is still there")
	})

	t.Run("the end of the context ends the start", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		slow := b.config()
		slow.BinDir = filepath.Join(filepath.Dir(b.dir), "slow")
		slowInitdb(t, slow.BinDir)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := make(chan error, 1)
		go func() {
			_, err := postgres.Start(ctx, slow)
			result <- err
		}()
		var initdb int
		b.eventually("initdb runs", func() bool {
			files, _ := filepath.Glob(filepath.Join(b.dir, "postgres.new-*", "started"))
			if len(files) == 0 {
				return false
			}
			text, err := os.ReadFile(files[0])
			require.NoError(t, err)
			initdb, err = strconv.Atoi(strings.TrimSpace(string(text)))
			return err == nil
		})
		cancel()
		require.ErrorIs(t, <-result, context.Canceled)
		require.ErrorIs(t, syscall.Kill(initdb, 0), syscall.ESRCH, "initdb still runs")
		left, err := filepath.Glob(filepath.Join(b.dir, "postgres*"))
		require.NoError(t, err)
		require.Equal(t, []string{filepath.Join(b.dir, "postgres.lock")}, left)
		b.start()
	})

	t.Run("a signal for the process group ends each program before it begins", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cfg := b.config()
		cfg.Volatile = false
		cfg.BinDir = preemptedBinaries(t, filepath.Join(filepath.Dir(b.dir), "bin"))
		b.insertRow(b.startWith(cfg).ConnString())
		ended, err := filepath.Glob(filepath.Join(cfg.BinDir, "*.ended-*"))
		require.NoError(t, err)
		require.Len(t, ended, 4, "postgres --version, initdb, initdb --sync-only, postgres")
	})

	t.Run("the cluster outlives the context of its start", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := postgres.Start(ctx, b.config())
		require.NoError(t, err)
		cancel()
		b.insertRow(c.ConnString())
		b.killPostmaster()
		b.eventually("restarted", func() bool { return b.connects(c.ConnString(), "select v from stored") })
		b.stop(c)
	})
}

// slowInitdb makes a directory of binaries whose initdb writes its process ID to the file started in the cluster and
// never ends.
func slowInitdb(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, script := range map[string]string{
		"postgres": "echo 'postgres (PostgreSQL) 18.4'",
		"initdb":   `echo $$ >"$2/started"; while :; do sleep 60; done`, // initdb --pgdata DIRECTORY …
	} {
		writeScript(t, filepath.Join(dir, name), script)
	}
}

// writeScript has a child write a script: if this process had it open for writing while another test forks, so would
// the child of that, and the script could not run ("text file busy").
func writeScript(t *testing.T, path, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `cat >"$0" && chmod 755 "$0"`, path)
	cmd.Stdin = strings.NewReader("#!/bin/sh\n" + script + "\n")
	require.NoError(t, cmd.Run())
}

// preemptedBinaries makes a directory of binaries, and returns it. The first run of each, by the number of arguments,
// ends with SIGHUP; the others are those of the machine.
func preemptedBinaries(t *testing.T, dir string) string {
	t.Helper()
	machine, err := postgres.FindPrograms(t.Context(), os.Getenv("GATEHOUSE_POSTGRES_BIN"))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chmod(dir, 0o777)) // the account of Postgres makes directories in it
	for _, name := range []string{"initdb", "postgres"} {
		writeScript(t, filepath.Join(dir, name),
			fmt.Sprintf(`mkdir "$0.ended-$#" 2>&- && kill -HUP $$; exec '%s' "$@"`, machine.Path(name)))
	}
	return dir
}

func breakConfig(t *testing.T, b *bundle) {
	t.Helper()
	conf, err := os.OpenFile(b.cluster("postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = conf.WriteString("no_such_setting = 1\n")
	require.NoError(t, err)
	require.NoError(t, conf.Close())
}

func TestRefusals(t *testing.T) {
	t.Parallel()

	t.Run("a second server on the directory", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		require.Contains(t, b.refused(b.config()),
			fmt.Sprintf("%s is in use by another server (process %d)", b.dir, os.Getpid()))
		require.Equal(t, "1", b.query(c.ConnString(), "select 1"))
	})

	t.Run("a directory of another major, which stays as it was", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.NoError(t, os.MkdirAll(b.cluster(), 0o700))
		require.NoError(t, os.WriteFile(b.cluster("PG_VERSION"), []byte("9.6\n"), 0o600))
		message := b.refused(b.config())
		require.Regexp(t, `data directory \S+ was made by Postgres 9, found only Postgres \d+ in \S+: `+
			`install it or name one \(Debian, Ubuntu: apt-get install postgresql-9;.* set GATEHOUSE_POSTGRES_BIN `, message)
		entries, err := os.ReadDir(b.cluster())
		require.NoError(t, err)
		require.Len(t, entries, 1)
		text, err := os.ReadFile(b.cluster("PG_VERSION"))
		require.NoError(t, err)
		require.Equal(t, "9.6\n", string(text))
	})

	t.Run("a directory that is something else, which stays as it was", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.NoError(t, os.MkdirAll(b.cluster(), 0o700))
		require.NoError(t, os.WriteFile(b.cluster("letter.txt"), []byte("dear"), 0o600))
		require.Contains(t, b.refused(b.config()), "not a Postgres data directory")
		require.FileExists(t, b.cluster("letter.txt"))
	})

	t.Run("a folder without binaries", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cfg := b.config()
		cfg.BinDir = t.TempDir()
		message := b.refused(cfg)
		require.Contains(t, message, cfg.BinDir)
		require.Contains(t, message, "apt-get install postgresql;")
	})
}

func TestPostmasterKilled(t *testing.T) {
	t.Parallel()

	t.Run("it is restarted with its data", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.insertRow(c.ConnString())
		for range 3 {
			killed := b.killPostmaster()
			b.requireRestart(c)
			require.NotEqual(t, killed, b.postmaster())
		}
		b.requireRow(c.ConnString())
		require.Empty(t, c.Failed())
	})

	t.Run("a restart waits for backends that still work on the data", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.insertRow(c.ConnString())
		end := filepath.Join(filepath.Dir(b.dir), "end") // the backend works until this file exists
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = execute(t.Context(), c.ConnString(),
				"do $$ begin while pg_stat_file('"+end+"', true) is null loop end loop; end $$")
		}()
		b.eventually("busy", func() bool {
			return b.query(c.ConnString(), "select count(*) from pg_stat_activity where state = 'active'") == "2"
		})
		b.killPostmaster()
		refusals := func() int {
			text, err := os.ReadFile(filepath.Join(b.dir, "postgres.log"))
			require.NoError(t, err)
			return strings.Count(string(text), "pre-existing shared memory block")
		}
		// More often than a postmaster is restarted: waiting for the backend is not a failed restart.
		b.eventually("refused to start", func() bool { return refusals() > 8 })
		require.False(t, b.connects(c.ConnString(), "select 1"), "the old backend still runs")
		require.NoError(t, os.WriteFile(end, nil, 0o600))
		<-ended
		b.requireRestart(c)
		b.requireRow(c.ConnString())
		require.Empty(t, c.Failed())
	})

	t.Run("a failed restart is reported with the log", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		breakConfig(t, b)
		b.killPostmaster()
		select {
		case err := <-c.Failed():
			require.ErrorContains(t, err, "no_such_setting")
			require.NotContains(t, err.Error(), "\n")
		case <-time.After(timeout):
			require.Fail(t, "no report", b.log)
		}
		b.stop(c)
	})

	t.Run("Stop while it is down", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		breakConfig(t, b)
		b.killPostmaster()
		b.eventually("down", func() bool { return !b.connects(c.ConnString(), "select 1") })
		b.stop(c)
		require.Empty(t, c.Failed())
	})
}

func TestServerKilled(t *testing.T) {
	t.Parallel()

	t.Run("the next server takes over", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.serve(nil)
		b.insertRow(b.ready(o))
		b.kill(o)
		b.requireRow(b.start().ConnString())
	})

	t.Run("the next server stops a postmaster that outlived it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.insertRow(c.ConnString())
		b.stop(c)
		orphan := b.orphan()
		b.requireRow(b.start().ConnString())
		require.Contains(t, b.log.String(), "stopping the postgres of a server that died")
		require.NoError(t, orphan.Wait(), "a fast shutdown")
	})

	t.Run("and the postmaster at the same time", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.serve(nil)
		b.insertRow(b.ready(o))
		postmaster := b.postmaster() // the file that names it is removed when it ends with its server
		require.NoError(t, o.cmd.Process.Kill())
		_ = syscall.Kill(postmaster, syscall.SIGKILL) // it may have ended
		_ = o.cmd.Wait()
		b.requireRow(b.start().ConnString())
	})

	t.Run("in the middle of initdb", func(t *testing.T) {
		t.Parallel()
		b := killDuringInitdb(t)
		b.insertRow(b.start().ConnString())
		left, err := filepath.Glob(filepath.Join(b.dir, "postgres.new-*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("and its process ID belongs to another process", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.insertRow(c.ConnString())
		socketLock := filepath.Join(b.dir, "postgres.socket", ".s.PGSQL.5432.lock")
		var left [2][]byte
		for i, path := range []string{b.cluster("postmaster.pid"), socketLock} {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			left[i] = text
		}
		b.stop(c)

		bystander := exec.Command("sleep", "600")
		bystander.Dir = "/"
		bystander.SysProcAttr = &syscall.SysProcAttr{Credential: b.clusterOwner()}
		require.NoError(t, bystander.Start())
		t.Cleanup(func() { _ = bystander.Process.Kill(); _ = bystander.Wait() })
		require.NoError(t, os.Mkdir(filepath.Dir(socketLock), 0o700))
		for i, path := range []string{b.cluster("postmaster.pid"), socketLock} {
			_, rest, _ := bytes.Cut(left[i], []byte("\n"))
			stale := fmt.Appendf(nil, "%d\n%s", bystander.Process.Pid, rest)
			require.NoError(t, os.WriteFile(path, stale, 0o600))
			b.chownLikeCluster(path)
		}

		b.requireRow(b.start().ConnString())
		require.NoError(t, bystander.Process.Signal(syscall.Signal(0)), "the other process still runs")
	})

	t.Run("and left an empty pid file", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.stop(b.start())
		require.NoError(t, os.WriteFile(b.cluster("postmaster.pid"), nil, 0o600))
		b.start()
	})

	t.Run("interrupted, it stops postgres", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.serve(nil)
		b.ready(o)
		require.NoError(t, o.cmd.Process.Signal(os.Interrupt))
		require.NoError(t, o.cmd.Wait(), o.stderr)
		require.NoFileExists(t, b.cluster("postmaster.pid"))
	})
}

// killDuringInitdb kills a server whose initdb has not finished. It repeats that if initdb was faster.
func killDuringInitdb(t *testing.T) *bundle {
	t.Helper()
	for range 20 {
		b := setup(t)
		o := b.serve(nil)
		b.eventually("initdb made files", func() bool {
			files, _ := filepath.Glob(filepath.Join(b.dir, "postgres*", "base", "1", "*"))
			return len(files) > 0
		})
		b.kill(o)
		if _, err := os.Stat(b.cluster("PG_VERSION")); err != nil {
			return b
		}
	}
	require.Fail(t, "initdb always finished before the server was killed")
	return nil
}

// orphan starts a postmaster that belongs to no server.
func (b *bundle) orphan() *exec.Cmd {
	b.t.Helper()
	opts, err := os.ReadFile(b.cluster("postmaster.opts")) // how it was started last
	require.NoError(b.t, err)
	binary, _, _ := strings.Cut(string(opts), " ")
	cmd := exec.Command(binary, "-D", b.cluster(), "-c", "listen_addresses=", "-c", "unix_socket_directories="+b.cluster())
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: b.clusterOwner()}
	require.NoError(b.t, cmd.Start())
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	b.eventually("orphan ready", func() bool {
		conn := fmt.Sprintf("host=%s port=5432 user=gatehouse dbname=postgres sslmode=disable", b.cluster())
		return b.connects(conn, "select 1")
	})
	return cmd
}

// clusterOwner is nil where the cluster is our own.
func (b *bundle) clusterOwner() *syscall.Credential {
	b.t.Helper()
	info, err := os.Stat(b.cluster())
	require.NoError(b.t, err)
	stat := info.Sys().(*syscall.Stat_t)
	if int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
}

func (b *bundle) chownLikeCluster(path string) {
	b.t.Helper()
	if as := b.clusterOwner(); as != nil {
		require.NoError(b.t, os.Chown(path, int(as.Uid), int(as.Gid)))
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()

	// The tests may be run by root, who runs this one as another account, or by an ordinary user.
	t.Run("an ordinary user", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.NoError(t, os.Mkdir(b.dir, 0o700))
		var as *syscall.Credential
		if os.Geteuid() == 0 {
			const nobody = 65534 // initdb needs an account that has a name
			as = &syscall.Credential{Uid: nobody, Gid: nobody}
			require.NoError(t, os.Chown(b.dir, nobody, nobody))
		}
		o := b.serve(as)
		b.insertRow(b.ready(o))
		b.kill(o)
		o = b.serve(as)
		b.requireRow(b.ready(o))
		info, err := os.Stat(b.cluster())
		require.NoError(t, err)
		dir, err := os.Stat(b.dir)
		require.NoError(t, err)
		require.Equal(t, dir.Sys().(*syscall.Stat_t).Uid, info.Sys().(*syscall.Stat_t).Uid)
	})

	t.Run("root runs postgres as another account", func(t *testing.T) {
		t.Parallel()
		needsRoot(t)
		b := setup(t)
		b.start()
		require.NotNil(t, b.clusterOwner())
		require.NotContains(t, b.log.String(), "capability", "every account can reach the directory")
	})

	t.Run("root below a directory closed to others", func(t *testing.T) {
		t.Parallel()
		needsRoot(t)
		b := setup(t)
		require.NoError(t, os.Chmod(filepath.Dir(b.dir), 0o700))
		c := b.start()
		b.insertRow(c.ConnString())
		b.killPostmaster()
		b.requireRestart(c)
		b.stop(c)
		b.requireRow(b.start().ConnString())
	})

	t.Run("a volume with an fsGroup of Kubernetes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.insertRow(c.ConnString())
		b.stop(c)
		require.NoError(t, filepath.WalkDir(b.dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.Type()&(os.ModeSymlink|os.ModeSocket) != 0 {
				return err
			}
			mode := os.FileMode(0o660)
			if entry.IsDir() {
				mode = 0o771 | os.ModeSetgid // the account of Postgres has to pass, if the test is root's
			}
			return os.Chmod(path, mode)
		}))
		socket := filepath.Join(b.dir, "postgres.socket") // as a crash leaves it
		require.NoError(t, os.Mkdir(socket, 0o700))
		require.NoError(t, os.Chmod(socket, 0o770))
		require.NoError(t, os.Chmod(b.cluster(), 0o770|os.ModeSetgid))
		b.requireRow(b.start().ConnString())
		for _, dir := range []string{b.cluster(), socket} {
			info, err := os.Stat(dir)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), dir)
		}
		require.Contains(t, b.log.String(), "was open to other accounts")
	})

	t.Run("an account without a name gets the ways out", func(t *testing.T) {
		t.Parallel()
		needsRoot(t)
		b := setup(t)
		const nameless = 1234567
		require.NoError(t, os.Mkdir(b.dir, 0o700))
		require.NoError(t, os.Chown(b.dir, nameless, nameless))
		o := b.serve(&syscall.Credential{Uid: nameless, Gid: nameless})
		require.Error(t, o.cmd.Wait())
		require.Contains(t, o.stderr.String(), "account 1234567 has no name, which initdb needs: run as an account that has an "+
			"entry in /etc/passwd (docker run --user, or runAsUser of Kubernetes), add one, or set DATABASE_URL")
	})

	t.Run("root with a restored backup that root owns", func(t *testing.T) {
		t.Parallel()
		needsRoot(t)
		b := setup(t)
		c := b.start()
		b.insertRow(c.ConnString())
		b.stop(c)
		require.NoError(t, filepath.WalkDir(b.cluster(), func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, 0, 0)
		}))
		b.requireRow(b.start().ConnString())
	})
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		testprogram.Missing(t, "root, who can change accounts")
	}
}
