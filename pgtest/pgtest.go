// Package pgtest gives each test a database of Postgres of its own. A test package starts one private Postgres, in its
// TestMain, and each test gets a copy of a database to which the migrations were applied, which takes some 20 ms:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, migrations.Up)) }
//
//	func TestNotes(t *testing.T) {
//		t.Parallel()
//		db := open(t, pgtest.Database(t))
//
// Postgres is found as package postgres finds it, or in the folder that GATEHOUSE_POSTGRES_BIN names. It ends with the
// tests, also if they are killed, and its data is deleted. With the connection string of a superuser in
// GATEHOUSE_TEST_DATABASE_URL, the tests run on that Postgres, and drop the databases that they make there.
package pgtest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/postgres"
)

// shared is the Postgres of the test package. It is global because Main and the tests share nothing else.
var shared struct {
	// migrate applies the migrations to the database of a connection string.
	migrate func(context.Context, string) error
	// postgres is the connection string of the Postgres, with a database that is not a test's.
	postgres string
	// prefix is in front of the names of databases, in a Postgres that is not of this process only.
	prefix string
	// fuzzing reports whether the process that has started this one to fuzz may have made the templates.
	fuzzing  bool
	template sync.Mutex // held while a database is copied: nothing may be connected to the template
	made     map[string]bool
	strategy string
	count    atomic.Int64
	// connections are those of this package.
	connections connections
	binDir      string // the directory of Postgres's programs
}

const templateName = "pgtest_template"

// postgresVar is the environment variable by which the processes that go test -fuzz starts, one for each core, learn of
// the Postgres of the process that starts them. Each of them would otherwise start one of its own, which takes seconds
// of the time for fuzzing, and on a busy machine all of it.
const postgresVar = "GATEHOUSE_TEST_POSTGRES"

// databaseVar is the environment variable with a Postgres to test on, as a connection string of a superuser, instead of
// a private one. The tests make databases and roles of their own in it, and drop them.
const databaseVar = "GATEHOUSE_TEST_DATABASE_URL"

// binDirVar is the environment variable with the folder of Postgres's programs.
const binDirVar = "GATEHOUSE_POSTGRES_BIN"

// stopTimeout is how long Postgres may take to end regularly, before it is stopped immediately.
const stopTimeout = 10 * time.Second

// gcPercent lets the heap grow to four times what is in use before the garbage collector runs, which took a fifth of
// the CPU time of tests of servers, whose compiled contracts are most of what is in use.
const gcPercent = 300

// Main starts the Postgres of a test package, runs the tests, stops Postgres, and returns the exit status. migrate
// applies the migrations to an empty database, and closes its connections. It is called once, when a test needs the
// database.
//
// Main sets -parallel to 8 if it is less and the command line does not have it, because tests of a database wait most
// of the time, and collects garbage less often than usual unless GOGC is set.
func Main(m *testing.M, migrate func(ctx context.Context, connString string) error) int {
	flag.Parse()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	shared.migrate = migrate
	ctx := context.Background()
	if isSet("test.fuzzworker") && os.Getenv(postgresVar) != "" {
		shared.postgres, shared.prefix = os.Getenv(postgresVar), fmt.Sprintf("fuzz_%d_", os.Getpid())
		shared.fuzzing = true
		return run(ctx, m)
	}
	if given := os.Getenv(databaseVar); given != "" {
		return runGiven(ctx, m, given)
	}
	return runPrivate(ctx, m)
}

// runPrivate runs the tests on a Postgres of their own.
func runPrivate(ctx context.Context, m *testing.M) int {
	dir, err := makeDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cluster, err := postgres.Start(ctx, postgres.Config{
		DataDir: dir, BinDir: os.Getenv(binDirVar), Log: slog.New(slog.DiscardHandler), Volatile: true,
		Settings: settings(),
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "tests need Postgres, or the connection string of one in %s: %v\n", databaseVar, err)
		return 1
	}
	defer func() {
		stopping, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		if err := cluster.Stop(stopping); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	shared.postgres, shared.binDir = cluster.ConnString(), cluster.BinDir()
	if isSet("test.fuzz") {
		err = os.Setenv(postgresVar, shared.postgres)
	} else {
		err = runParallel()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run(ctx, m)
}

// settings returns settings of Postgres for data that is deleted after the tests. The log of changes is small, because
// it is in memory, too. On a busy machine, tests in parallel have had more than 100 connections.
func settings() []string {
	return []string{
		"synchronous_commit=off", "autovacuum=off", "min_wal_size=32MB", "max_wal_size=128MB", "max_connections=300",
	}
}

// run runs the tests on the shared Postgres.
func run(ctx context.Context, m *testing.M) int {
	shared.made = map[string]bool{}
	shared.connections.add(shared.postgres)
	defer shared.connections.remove(shared.postgres)
	var err error
	if shared.strategy, err = copyStrategy(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// runGiven runs the tests on the Postgres of databaseVar, and drops what they have copied.
func runGiven(ctx context.Context, m *testing.M, given string) int {
	cfg, err := pgx.ParseConfig(given)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared.postgres = keywords(cfg)
	shared.prefix = fmt.Sprintf("gatehouse_test_%d_", os.Getpid())
	status := run(ctx, m)
	conn, err := pgx.Connect(ctx, shared.postgres)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer conn.Close(ctx)
	for template := range shared.made {
		if _, err := conn.Exec(ctx, `DROP DATABASE `+template+` WITH (FORCE)`); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	return status
}

// keywords returns a connection string in libpq's keyword form, in which a keyword that is added at the end replaces
// the same one.
func keywords(cfg *pgx.ConnConfig) string {
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
	return fmt.Sprintf("host='%s' port=%d user='%s' password='%s' dbname='%s'",
		escape(cfg.Host), cfg.Port, escape(cfg.User), escape(cfg.Password), escape(cfg.Database))
}

// isSet reports whether a flag of package testing has another value than its default.
func isSet(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != f.DefValue
}

// minParallel is the minimum number of tests that run at the same time. Most of the time, a test waits for Postgres or
// for a time-out: on two cores, the tests of a server took 71 s with two at a time, and 40 to 45 s with eight.
const minParallel = 8

// runParallel sets -parallel, unless the command line does. It is not for fuzzing, which starts as many processes, each
// busy all the time.
func runParallel() error {
	const name = "test.parallel"
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if given || runtime.GOMAXPROCS(0) >= minParallel {
		return nil
	}
	return flag.Set(name, strconv.Itoa(minParallel))
}

// oldestStrategy is the version of Postgres that copies databases in two ways.
const oldestStrategy = 150000

// copyStrategy is the way of copying that is faster for small databases, where this Postgres has a choice (15 or
// newer).
func copyStrategy(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, shared.postgres)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var version int
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return "", err
	}
	if version < oldestStrategy {
		return "", nil
	}
	return " STRATEGY FILE_COPY", nil
}
