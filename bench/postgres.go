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

	"gatehouse/postgres"
)

// open creates a temporary directory, builds the servers unless the plan names built ones, and starts a private
// Postgres.
func open(ctx context.Context, p plan, progress io.Writer) (_ *bench, err error) {
	b := &bench{
		plan: p, report: newReport(), pgbenchSamples: map[string]sample{}, progress: progress, started: time.Now(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if b.dir, err = os.MkdirTemp("", "gatehouse-bench-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(b.dir, 0o711); err != nil { // Postgres may run as another account
		return nil, err
	}
	if b.programs == "" {
		b.programs = b.dir
		b.progressf("building the servers")
		if err := buildServers(ctx, b.programs); err != nil {
			return nil, err
		}
	}
	executable, err := os.Stat(b.executable(gatehouse))
	if err != nil {
		return nil, err
	}
	b.report.add("binary_mib", "MiB", float64(executable.Size())/mebibyte)
	if err := b.startPostgres(ctx); err != nil {
		return nil, err
	}
	b.binDir, err = b.findBinDir()
	return b, err
}

// maxConnections is max_connections of Postgres. The default of 100 is too low: all contenders are connected at once,
// pgbench with 64 connections. All other settings are those of the private Postgres of gatehouse.
const maxConnections = 300

// startPostgres starts a private Postgres with maxConnections.
func (b *bench) startPostgres(ctx context.Context) (err error) {
	b.progressf("starting a private Postgres")
	if b.cluster, err = postgres.Start(ctx, b.clusterConfig()); err != nil {
		return err
	}
	return b.reconfigure(ctx, fmt.Sprintf("ALTER SYSTEM SET max_connections = %d", maxConnections))
}

// postgresCPU returns the CPU time that the private Postgres has used.
func (b *bench) postgresCPU() time.Duration {
	return postgresCPUTime(filepath.Join(b.clusterConfig().DataDir, "postgres"))
}

func (b *bench) clusterConfig() postgres.Config {
	return postgres.Config{DataDir: filepath.Join(b.dir, "cluster"), Log: slog.New(slog.DiscardHandler)}
}

// reconfigure changes a setting of the private Postgres that needs a restart, and restarts it.
func (b *bench) reconfigure(ctx context.Context, alterSystem string) error {
	if err := execute(ctx, b.cluster.ConnString(), alterSystem); err != nil {
		return err
	}
	if err := b.cluster.Stop(ctx); err != nil {
		return err
	}
	restarted, err := postgres.Start(ctx, b.clusterConfig())
	if err == nil {
		b.cluster = restarted // on an error, close stops the first one again, which does nothing
	}
	return err
}

// close stops Postgres and removes the temporary directory.
func (b *bench) close(ctx context.Context) error {
	const postgresStopTimeout = 30 * time.Second
	var err error
	if b.cluster != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresStopTimeout)
		defer cancel()
		err = b.cluster.Stop(stopping)
	}
	if b.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// clientPrograms are the programs of Postgres that the benchmark runs. Those of npm's package lack them.
func clientPrograms() []string { return []string{"psql", "pgbench"} }

// findBinDir returns the directory of the server's own clientPrograms.
func (b *bench) findBinDir() (string, error) {
	dir := b.cluster.BinDir()
	for _, name := range clientPrograms() {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("the benchmark needs Postgres's %s: %w", name, err)
		}
	}
	b.report.machine = fmt.Sprintf("%s/%s, %d CPUs, %s, Postgres %s, %d rounds",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), b.cluster.Version(), b.rounds)
	return dir, nil
}

// database creates a database, has gatehouse migrate it, and returns its connection string.
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

// drop drops a database.
func (b *bench) drop(ctx context.Context, name string) error {
	return execute(ctx, b.cluster.ConnString(), "DROP DATABASE "+name+" WITH (FORCE)")
}

// execute runs statements on a new connection.
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

// psqlTime matches the duration of a statement in the output of psql, in milliseconds.
var psqlTime = regexp.MustCompile(`Time: ([0-9.]+) ms`)

// psql runs a command of psql and returns its duration, without the start of psql.
func (b *bench) psql(ctx context.Context, conn, command string) (time.Duration, error) {
	out, err := b.runProgram(ctx, nil, "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-d", conn,
		"-c", `\timing on`, "-c", command)
	if err != nil {
		return 0, err
	}
	return parseMillis(psqlTime, out)
}

// pgbenchRate and pgbenchLatency match the results in the output of pgbench.
var (
	pgbenchRate    = regexp.MustCompile(`tps = ([0-9.]+)`)
	pgbenchLatency = regexp.MustCompile(`latency average = ([0-9.]+) ms`)
)

// pgbenchRun is a script and how pgbench runs it: on several connections, transactions times on each.
type pgbenchRun struct {
	script                    string
	connections, transactions int
}

// pgbench runs a script with pgbench. p50 of the result is the mean.
func (b *bench) pgbench(ctx context.Context, conn string, run pgbenchRun) (sample, error) {
	out, err := b.runProgram(ctx, strings.NewReader(run.script), "pgbench",
		"--no-vacuum", "--protocol=prepared", "--file=-",
		"--client="+strconv.Itoa(run.connections), "--jobs="+strconv.Itoa(min(run.connections, runtime.NumCPU())),
		"--transactions="+strconv.Itoa(run.transactions), conn)
	if err != nil {
		return sample{}, err
	}
	average, err := parseMillis(pgbenchLatency, out)
	if err != nil {
		return sample{}, err
	}
	found := pgbenchRate.FindSubmatch(out)
	if found == nil {
		return sample{}, fmt.Errorf("no rate in the output of pgbench: %s", out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	return sample{perSecond: rate, p50: average}, err
}

// runProgram runs a program of Postgres and returns its standard output.
func (b *bench) runProgram(ctx context.Context, in io.Reader, name string, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(b.binDir, name), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, errs.String())
	}
	return out.Bytes(), nil
}

// parseMillis returns the duration in milliseconds that pattern finds.
func parseMillis(pattern *regexp.Regexp, text []byte) (time.Duration, error) {
	found := pattern.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no duration in %q", text)
	}
	ms, err := strconv.ParseFloat(string(found[1]), 64)
	return time.Duration(ms * float64(time.Millisecond)), err
}
