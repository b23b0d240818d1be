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
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/postgres"
)

const (
	// ownerVar turns the test binary into a server that owns the directory named
	// by it, so that tests can kill a server.
	ownerVar = "GATEHOUSE_TEST_POSTGRES_OWNER"
	// patience is far more than anything here takes on a loaded machine.
	patience = time.Minute
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerVar); dir != "" {
		os.Exit(ownUntilKilled(dir))
	}
	os.Exit(m.Run())
}

// ownUntilKilled prints the connection string when it is ready, and stops when
// it is interrupted.
func ownUntilKilled(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c, err := postgres.Start(ctx, postgres.Config{DataDir: dir, Log: log, Volatile: true})
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

type bundle struct {
	t   *testing.T
	dir string // the server's data directory
	log *bytes.Buffer
}

// setup gives a data directory that every account can walk to (those of
// testing.T are closed to others) and that a killed postmaster may still leave.
func setup(t *testing.T) *bundle {
	t.Helper()
	base, err := os.MkdirTemp("", "gatehouse-test-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(base, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(base)) })
	return &bundle{t: t, dir: filepath.Join(base, "data"), log: new(bytes.Buffer)}
}

func (b *bundle) config() postgres.Config {
	return postgres.Config{DataDir: b.dir, Log: slog.New(slog.NewTextHandler(b.log, nil)), Volatile: true}
}

func (b *bundle) start() *postgres.Cluster { return b.startWith(b.config()) }

func (b *bundle) startWith(cfg postgres.Config) *postgres.Cluster {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), patience)
	defer cancel()
	require.NoError(b.t, c.Stop(ctx))
}

// refused expects the start to fail with one line.
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

// killPostmaster kills only the postmaster; its backends notice by themselves.
func (b *bundle) killPostmaster() int {
	b.t.Helper()
	pid := b.postmaster()
	require.NoError(b.t, syscall.Kill(pid, syscall.SIGKILL))
	return pid
}

func psql(conn, sql string) (string, error) {
	out, err := exec.Command("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", conn, "-c", sql).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (b *bundle) query(conn, sql string) string {
	b.t.Helper()
	out, err := psql(conn, sql)
	require.NoError(b.t, err, out)
	return out
}

func (b *bundle) keepRow(conn string) {
	b.t.Helper()
	b.query(conn, "create table kept (v text); insert into kept values ('row')")
}

func (b *bundle) requireRow(conn string) {
	b.t.Helper()
	require.Equal(b.t, "row", b.query(conn, "select v from kept"))
}

// eventually is for what happens in Postgres's own time.
func (b *bundle) eventually(what string, happened func() bool) {
	b.t.Helper()
	require.Eventually(b.t, happened, patience, 20*time.Millisecond, what)
}

// other is a server in a process of its own.
type other struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	out    io.Reader
}

// serve starts another server on the directory, as the given account unless nil.
func (b *bundle) serve(as *syscall.Credential) *other {
	b.t.Helper()
	self := filepath.Join(filepath.Dir(b.dir), "server") // where every account can run it
	if _, err := os.Stat(self); err != nil {
		text, err := os.ReadFile(must(os.Executable()))
		require.NoError(b.t, err)
		require.NoError(b.t, os.WriteFile(self, text, 0o755))
	}
	o := &other{cmd: exec.Command(self), stderr: new(bytes.Buffer)}
	o.cmd.Dir = "/"
	o.cmd.Env = append(os.Environ(), ownerVar+"="+b.dir)
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
		b.keepRow(c.ConnString())
		b.stop(c)
		require.NoFileExists(t, b.cluster("postmaster.pid"))
		b.requireRow(b.startWith(cfg).ConnString())
	})

	t.Run("it listens on a socket that nobody else reaches, and nowhere else", func(t *testing.T) {
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
		b.keepRow(c.ConnString())
		b.stop(c)
		b.requireRow(b.start().ConnString())
	})

	t.Run("the last words of a postgres that does not start", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.stop(b.start())
		breakConfig(t, b)
		require.Contains(t, b.refused(b.config()), "no_such_setting")
		_, err := os.Stat(b.cluster("PG_VERSION"))
		require.NoError(t, err, "the data directory is still there")
	})

	t.Run("an ended context ends the start", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := postgres.Start(ctx, b.config())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		left, err := filepath.Glob(filepath.Join(b.dir, "postgres*"))
		require.NoError(t, err)
		require.Equal(t, []string{filepath.Join(b.dir, "postgres.lock")}, left)
		b.start()
	})

	t.Run("a caller's ended context leaves the cluster running", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := postgres.Start(ctx, b.config())
		require.NoError(t, err)
		cancel()
		b.keepRow(c.ConnString())
		b.killPostmaster()
		b.eventually("brought back", func() bool { _, err := psql(c.ConnString(), "select v from kept"); return err == nil })
		b.stop(c)
	})
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
		require.Contains(t, b.refused(b.config()), fmt.Sprintf("%s is in use by another server (process %d)", b.dir, os.Getpid()))
		require.Equal(t, "1", b.query(c.ConnString(), "select 1"))
	})

	t.Run("a directory of another major, which stays as it was", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.NoError(t, os.MkdirAll(b.cluster(), 0o700))
		require.NoError(t, os.WriteFile(b.cluster("PG_VERSION"), []byte("9.6\n"), 0o600))
		message := b.refused(b.config())
		require.Regexp(t, `data directory \S+ was made by Postgres 9, found only Postgres \d+ in \S+: install it \(Debian: apt-get install postgresql-9;.* or set GATEHOUSE_POSTGRES_BIN `, message)
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

	t.Run("it comes back with its data", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.keepRow(c.ConnString())
		for range 3 {
			killed := b.killPostmaster()
			b.eventually("brought back", func() bool { _, err := psql(c.ConnString(), "select 1"); return err == nil })
			require.NotEqual(t, killed, b.postmaster())
		}
		b.requireRow(c.ConnString())
		require.Empty(t, c.Failed())
	})

	t.Run("it waits for backends that still work on the data", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.keepRow(c.ConnString())
		// Longer than all the pauses between restarts together.
		busy := exec.Command("psql", "-X", "-d", c.ConnString(), "-c",
			"do $$ declare until timestamptz := clock_timestamp() + '9 s'; begin while clock_timestamp() < until loop end loop; end $$")
		require.NoError(t, busy.Start())
		b.eventually("busy", func() bool {
			return b.query(c.ConnString(), "select count(*) from pg_stat_activity where state = 'active'") == "2"
		})
		killed := time.Now()
		b.killPostmaster()
		_ = busy.Wait()
		b.eventually("brought back", func() bool { _, err := psql(c.ConnString(), "select 1"); return err == nil })
		require.Greater(t, time.Since(killed), 5*time.Second, "the old backend was at work until now")
		b.requireRow(c.ConnString())
		require.Empty(t, c.Failed())
	})

	t.Run("one that cannot come back is reported with its last words", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		breakConfig(t, b)
		b.killPostmaster()
		select {
		case err := <-c.Failed():
			require.ErrorContains(t, err, "no_such_setting")
			require.NotContains(t, err.Error(), "\n")
		case <-time.After(patience):
			require.Fail(t, "no report", b.log)
		}
		b.stop(c)
	})

	t.Run("stopping while it is down", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		breakConfig(t, b)
		b.killPostmaster()
		b.eventually("noticed", func() bool { _, err := psql(c.ConnString(), "select 1"); return err != nil })
		b.stop(c)
		require.Empty(t, c.Failed())
	})
}

func TestServerKilled(t *testing.T) {
	t.Parallel()

	t.Run("the next one takes over", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.serve(nil)
		b.keepRow(b.ready(o))
		b.kill(o)
		b.requireRow(b.start().ConnString())
	})

	t.Run("the next one stops a postmaster that did not end with it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.keepRow(c.ConnString())
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
		b.keepRow(b.ready(o))
		require.NoError(t, o.cmd.Process.Kill())
		b.killPostmaster()
		_ = o.cmd.Wait()
		b.requireRow(b.start().ConnString())
	})

	t.Run("in the middle of initdb", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.serve(nil)
		unfinished := filepath.Join(b.dir, "postgres.new-*")
		b.eventually("half a cluster", func() bool {
			half, _ := filepath.Glob(filepath.Join(unfinished, "base", "1", "*"))
			return len(half) > 0
		})
		b.kill(o)
		require.NoFileExists(t, b.cluster("PG_VERSION"))
		b.keepRow(b.start().ConnString())
		left, err := filepath.Glob(unfinished)
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("and its process number is another's now", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c := b.start()
		b.keepRow(c.ConnString())
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
		require.NoError(t, bystander.Process.Signal(syscall.Signal(0)), "the bystander lives")
	})

	t.Run("and left half a pid file", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.stop(b.start())
		require.NoError(t, os.WriteFile(b.cluster("postmaster.pid"), nil, 0o600))
		b.start()
	})

	t.Run("without it, interrupted, postgres stops with it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.serve(nil)
		b.ready(o)
		require.NoError(t, o.cmd.Process.Signal(os.Interrupt))
		require.NoError(t, o.cmd.Wait(), o.stderr)
		require.NoFileExists(t, b.cluster("postmaster.pid"))
	})
}

// orphan starts a postmaster that no server has started.
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
		_, err := psql(fmt.Sprintf("host=%s user=gatehouse dbname=postgres", b.cluster()), "select 1")
		return err == nil
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

	// As it is for whoever runs the tests, and from root down to an ordinary user.
	t.Run("an ordinary user", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.NoError(t, os.Mkdir(b.dir, 0o700))
		var as *syscall.Credential
		if os.Geteuid() == 0 {
			const nobody = 65534 // any number that initdb finds in the list of accounts
			as = &syscall.Credential{Uid: nobody, Gid: nobody}
			require.NoError(t, os.Chown(b.dir, nobody, nobody))
		}
		o := b.serve(as)
		b.keepRow(b.ready(o))
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
		require.NotContains(t, b.log.String(), "capability", "none is needed where every account can walk")
	})

	t.Run("root below a directory closed to others", func(t *testing.T) {
		t.Parallel()
		needsRoot(t)
		b := setup(t)
		require.NoError(t, os.Chmod(filepath.Dir(b.dir), 0o700))
		c := b.start()
		b.keepRow(c.ConnString())
		b.killPostmaster()
		b.eventually("brought back", func() bool { _, err := psql(c.ConnString(), "select 1"); return err == nil })
		b.stop(c)
		b.requireRow(b.start().ConnString())
	})

	t.Run("root with a restored backup that root owns", func(t *testing.T) {
		t.Parallel()
		needsRoot(t)
		b := setup(t)
		c := b.start()
		b.keepRow(c.ConnString())
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
		t.Skip("only root can change accounts: run the tests as root to see this one")
	}
}
