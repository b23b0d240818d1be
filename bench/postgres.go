package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/internal/postgres"
)

// open makes a directory, a Postgres and a gatehouse in it.
func open(ctx context.Context, p plan, progress io.Writer) (_ *bench, err error) {
	b := &bench{plan: p, report: newReport(), statements: map[string]sample{}, progress: progress, began: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if b.dir, err = os.MkdirTemp("", "gatehouse-bench-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(b.dir, 0o711); err != nil { // Postgres may run as another account, which must walk through
		return nil, err
	}
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	if err := b.startPostgres(ctx); err != nil {
		return nil, err
	}
	b.programs, err = b.findPrograms(ctx)
	return b, err
}

// maxConnections is more than Postgres's default of 100: all contenders are connected at once, pgbench with 64. It is
// the only setting that differs from those of gatehouse's own Postgres.
const maxConnections = 300

func (b *bench) startPostgres(ctx context.Context) (err error) {
	b.say("starting a private Postgres")
	cfg := postgres.Config{DataDir: filepath.Join(b.dir, "cluster"), Log: slog.New(slog.DiscardHandler)}
	if b.cluster, err = postgres.Start(ctx, cfg); err != nil {
		return err
	}
	if err := execute(ctx, b.cluster.ConnString(), fmt.Sprintf("ALTER SYSTEM SET max_connections = %d", maxConnections)); err != nil {
		return err
	}
	if err := b.cluster.Stop(ctx); err != nil {
		return err
	}
	again, err := postgres.Start(ctx, cfg)
	if err == nil {
		b.cluster = again // else the first one is there to be stopped, which it is
	}
	return err
}

func (b *bench) close(ctx context.Context) error {
	const patience = 30 * time.Second
	var err error
	if b.cluster != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = b.cluster.Stop(stopping)
	}
	if b.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// findPrograms asks the server where it was installed: psql and pgbench of its version lie beside it.
func (b *bench) findPrograms(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, b.cluster.ConnString())
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var dir, version string
	err = conn.QueryRow(ctx, `SELECT setting, current_setting('server_version') FROM pg_config WHERE name = 'BINDIR'`).Scan(&dir, &version)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"psql", "pgbench"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("the benchmark needs Postgres's %s: %w", name, err)
		}
	}
	b.report.about = fmt.Sprintf("%s/%s, %d CPUs, %s, Postgres %s, %d rounds", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		runtime.Version(), version, b.rounds)
	return dir, nil
}

// database makes a database that gatehouse has migrated at a start, and returns its connection string.
func (b *bench) database(ctx context.Context, name string) (string, error) {
	if err := execute(ctx, b.cluster.ConnString(), "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	conn := b.cluster.ConnString() + " dbname=" + name
	migrating, err := b.start(ctx, gatehouse, conn)
	if err != nil {
		return "", err
	}
	if err := migrating.stop(ctx); err != nil {
		return "", err
	}
	return conn, execute(ctx, conn, stockTables)
}

// drop makes room on the disk.
func (b *bench) drop(ctx context.Context, name string) error {
	return execute(ctx, b.cluster.ConnString(), "DROP DATABASE "+name+" WITH (FORCE)")
}

// execute runs statements on a connection of their own.
func execute(ctx context.Context, connString string, statements ...string) error {
	conn, err := pgx.Connect(ctx, connString)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(sql))
		}
	}
	return nil
}

// copied is how psql tells how long a statement took, in milliseconds.
var copied = regexp.MustCompile(`Time: ([0-9.]+) ms`)

// psql runs psql's own \copy and returns what it took, without psql's start.
func (b *bench) psql(ctx context.Context, conn, command string) (time.Duration, error) {
	out, err := b.program(ctx, nil, "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-d", conn, "-c", `\timing on`, "-c", command)
	if err != nil {
		return 0, err
	}
	return parseMillis(copied, out)
}

// transactions is how pgbench tells its result.
var (
	perSecond = regexp.MustCompile(`tps = ([0-9.]+)`)
	latency   = regexp.MustCompile(`latency average = ([0-9.]+) ms`)
)

// pgbench runs a script, each of the connections so many times.
func (b *bench) pgbench(ctx context.Context, conn, script string, connections, times int) (sample, error) {
	out, err := b.program(ctx, strings.NewReader(script), "pgbench", "--no-vacuum", "--protocol=prepared", "--file=-",
		"--client="+strconv.Itoa(connections), "--jobs="+strconv.Itoa(min(connections, runtime.NumCPU())),
		"--transactions="+strconv.Itoa(times), conn)
	if err != nil {
		return sample{}, err
	}
	average, err := parseMillis(latency, out)
	if err != nil {
		return sample{}, err
	}
	found := perSecond.FindSubmatch(out)
	if found == nil {
		return sample{}, fmt.Errorf("pgbench said: %s", out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	return sample{perSecond: rate, p50: average}, err
}

// program runs one of Postgres's programs and returns what it printed.
func (b *bench) program(ctx context.Context, in io.Reader, name string, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(b.programs, name), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, errs.String())
	}
	return out.Bytes(), nil
}

func parseMillis(pattern *regexp.Regexp, text []byte) (time.Duration, error) {
	found := pattern.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no time in %q", text)
	}
	ms, err := strconv.ParseFloat(string(found[1]), 64)
	return time.Duration(ms * float64(time.Millisecond)), err
}
