// Package storetest gives each test a Postgres database of its own. A test package starts one private Postgres, in
// Main; every test gets a copy of a database in which the migrations have run.
package storetest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
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
	"github.com/jackc/tern/v2/migrate"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/postgres"
	"gatehouse/migrations"
	"gatehouse/store"
)

// shared is the Postgres of the test package. It is global because Main and the tests share nothing else.
var shared struct {
	// postgres is the connection string of the Postgres, without a database.
	postgres string
	// prefix is in front of the names of databases: processes that fuzz share a Postgres.
	prefix   string
	template sync.Mutex // held while a database is copied: nothing may be connected to the template
	made     map[string]bool
	strategy string
	count    atomic.Int64
	// connections are those of this package.
	connections connections
	binDir      string // the directory of Postgres's programs
}

const templateName = "template_gatehouse"

// postgresVar is the environment variable by which the processes that go test -fuzz starts, one for each core, learn of
// the Postgres of the process that starts them. Each of them would otherwise start one of its own, which takes seconds
// of the time for fuzzing, and on a busy machine all of it.
const postgresVar = "GATEHOUSE_TEST_POSTGRES"

// databaseVar is the environment variable with a Postgres to test on, as a connection string of a superuser, instead of
// a private one. The tests make databases and roles of their own in it, and drop them.
const databaseVar = "GATEHOUSE_TEST_DATABASE_URL"

// gcPercent lets the heap grow to four times what is in use before the garbage collector runs, which took a fifth of
// the CPU time of the tests: the contracts, which all servers of a test package share, are most of what is in use.
const gcPercent = 300

// Main starts the Postgres of a test package, runs the tests, stops Postgres, and returns the exit status.
func Main(m *testing.M) int {
	flag.Parse()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx := context.Background()
	if isSet("test.fuzzworker") && os.Getenv(postgresVar) != "" {
		shared.postgres, shared.prefix = os.Getenv(postgresVar), fmt.Sprintf("fuzz_%d_", os.Getpid())
		return run(ctx, m)
	}
	if given := os.Getenv(databaseVar); given != "" {
		return runGiven(ctx, m, given)
	}
	dir, err := makeDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cluster, err := postgres.Start(ctx, postgres.Config{
		DataDir: dir, BinDir: os.Getenv("GATEHOUSE_POSTGRES_BIN"), Log: slog.New(slog.DiscardHandler), Volatile: true,
		Settings: settings(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests need Postgres:", err)
		return 1
	}
	defer func() {
		stopping, cancel := context.WithTimeout(ctx, 10*time.Second)
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
// it is in memory, too.
func settings() []string {
	return []string{"synchronous_commit=off", "autovacuum=off", "min_wal_size=32MB", "max_wal_size=128MB"}
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
	// In this form, a keyword that is added at the end replaces the same one.
	shared.postgres = fmt.Sprintf("host='%s' port=%d user='%s' password='%s'", cfg.Host, cfg.Port, cfg.User, cfg.Password)
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

// isSet reports whether a flag of package testing has another value than its default.
func isSet(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != f.DefValue
}

// minParallel is the minimum number of tests that run at the same time. Most of the time, a test waits for Postgres or
// for a time-out: on two cores, the tests of server/ took 71 s with two at a time, and 40 to 45 s with eight.
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
	if version < 150000 {
		return "", nil
	}
	return " STRATEGY FILE_COPY", nil
}

// Database makes a database for a test and returns its connection string. The database is dropped at the end of the
// test.
func Database(t testing.TB) string {
	t.Helper()
	return Copy(t, templateName, func(conn string) { Open(t, conn).Close() })
}

// Copy makes a database for a test as a copy of the one called template, which fill fills once and must leave without
// a connection. The database is dropped at the end of the test.
func Copy(t testing.TB, template string, fill func(connString string)) string {
	t.Helper()
	shared.template.Lock()
	defer shared.template.Unlock()
	if shared.prefix != "" && !exists(t, template) { // the process that starts those that fuzz has not made it
		template = shared.prefix + template
	}
	if !shared.made[template] && !exists(t, template) {
		admin(t, `CREATE DATABASE `+template)
		fill(connString(template))
		// A new connection writes a file about the catalogue that is copied, too. Each database would else make its own.
		Exec(t, connString(template), `SELECT`)
	}
	shared.made[template] = true
	return create(t, "test", ` TEMPLATE `+template+shared.strategy)
}

// create makes a database, and drops it at the end of the test.
func create(t testing.TB, name, options string) string {
	t.Helper()
	name = fmt.Sprintf("%s%s_%d", shared.prefix, name, shared.count.Add(1))
	admin(t, `CREATE DATABASE `+name+options)
	shared.connections.add(connString(name))
	t.Cleanup(func() {
		shared.connections.remove(connString(name))
		admin(t, `DROP DATABASE `+name+` WITH (FORCE)`)
	})
	return connString(name)
}

// EmptyDatabase makes a database in which no migration has run.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	return create(t, "empty", "")
}

// DatabaseAtVersion makes a database in which only the first migrations have run, to see what later ones make of its
// rows.
func DatabaseAtVersion(t testing.TB, version int32) string {
	t.Helper()
	connString, ctx := EmptyDatabase(t), context.Background()
	conn, err := pgx.Connect(ctx, connString)
	require.NoError(t, err)
	defer conn.Close(ctx)
	migrator, err := migrate.NewMigrator(ctx, conn, store.VersionTable)
	require.NoError(t, err)
	require.NoError(t, migrator.LoadMigrations(migrations.Files))
	require.NoError(t, migrator.MigrateTo(ctx, version))
	return connString
}

// lastShared is the number of the last migration of the release before the first migration of migrations.Contract.
const lastShared = 11

// UpgradedDatabase makes a database that was one of an earlier release, with what servers of that release need.
func UpgradedDatabase(t testing.TB) string {
	t.Helper()
	connString := DatabaseAtVersion(t, lastShared)
	s := Open(t, connString)
	defer s.Close()
	require.True(t, s.UpgradePending())
	return connString
}

// Open opens a store, which the caller closes.
func Open(t testing.TB, connString string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{
		ConnString: connString, Now: time.Now, IDs: store.NewIDs(time.Now),
	})
	require.NoError(t, err)
	return s
}

// New opens a store on a database of its own, and closes it with the test.
func New(t testing.TB) *store.Store {
	t.Helper()
	s := Open(t, Database(t))
	t.Cleanup(s.Close)
	return s
}

// Exec runs a statement, for what no function of the store does.
func Exec(t testing.TB, connString, sql string, args ...any) {
	t.Helper()
	shared.connections.with(t, connString, func(ctx context.Context, conn *pgx.Conn) {
		_, err := conn.Exec(ctx, sql, args...)
		require.NoError(t, err)
	})
}

// Keep stores a copy of all rows, in a schema of its own, for Restore.
func Keep(t testing.TB, connString string) {
	t.Helper()
	Exec(t, connString, `
		DO $$ DECLARE name text; BEGIN
			CREATE SCHEMA kept;
			FOR name IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
				EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', name);
			END LOOP;
		END $$`)
}

// Restore makes the rows of a database those that Keep has kept. Nobody is notified, and the next values of sequences
// stay as they are. It locks all tables, because a server may do something in the background. It waits for no table
// while it has locked others, which what it waits for may need.
func Restore(t testing.TB, connString string) {
	t.Helper()
	Exec(t, connString, `
		DO $$ DECLARE name text; tables text := (
			SELECT string_agg(format('public.%I', relname), ', ')
			FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relkind = 'r');
		BEGIN
			PERFORM set_config('session_replication_role', 'replica', true); -- without triggers and foreign keys
			LOOP
				BEGIN
					EXECUTE 'LOCK TABLE ' || tables || ' NOWAIT';
					EXIT;
				EXCEPTION WHEN lock_not_available THEN
					PERFORM pg_sleep(0.001);
				END;
			END LOOP;
			FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relkind = 'r' LOOP
				EXECUTE format('DELETE FROM public.%1$I', name);
				EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE kept.%1$I', name);
			END LOOP;
		END $$`)
}

// Value returns the value of a query that returns one.
func Value[T any](t testing.TB, connString, sql string, args ...any) (value T) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), connString)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.NoError(t, conn.QueryRow(context.Background(), sql, args...).Scan(&value))
	return value
}

// Role makes a role with options, such as CONNECTION LIMIT 4, that may do in a database what a server does. It is
// dropped with the test.
func Role(t testing.TB, connString, options string) string {
	t.Helper()
	name := fmt.Sprintf("%srole_%d", shared.prefix, shared.count.Add(1))
	Exec(t, connString, `CREATE ROLE `+name+` LOGIN `+options)
	Exec(t, connString, `GRANT ALL ON ALL TABLES IN SCHEMA public TO `+name)
	Exec(t, connString, `GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO `+name)
	t.Cleanup(func() {
		Exec(t, connString, `DROP OWNED BY `+name)
		admin(t, `DROP ROLE `+name)
	})
	return name
}

// Announce announces what Exec has changed, as other programs do.
func Announce(t testing.TB, connString string) {
	t.Helper()
	Exec(t, connString, `SELECT gatehouse_changed()`)
}

// outlasting are the tables that Dump leaves out: those of the migrations, and those that change in the background or
// have what outlives its cause, such as the IDs of deleted documents.
var outlasting = []string{
	store.VersionTable, store.ContractVersionTable, "leases", "org_key_sync", "released_apis", "released_policies",
}

// Dump returns all rows of all tables but those that are outlasting, to see whether something has changed. It reads the
// names of the tables in the catalogue, so that it has new tables, too, and their rows in one statement.
func Dump(t testing.TB, connString string) string {
	t.Helper()
	var out strings.Builder
	shared.connections.with(t, connString, func(ctx context.Context, conn *pgx.Conn) {
		rows, _ := conn.Query(ctx, `
			SELECT relname FROM pg_class
			WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND relname <> ALL ($1)
			ORDER BY relname`, outlasting)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		var selects []string
		for _, table := range tables {
			name := pgx.Identifier{table}.Sanitize()
			selects = append(selects, `SELECT '`+table+`' AS name, t::text AS line FROM `+name+` AS t`)
		}
		rows, _ = conn.Query(ctx, strings.Join(selects, ` UNION ALL `)+` ORDER BY name, line`)
		lines := map[string][]string{}
		var table, line string
		_, err = pgx.ForEachRow(rows, []any{&table, &line}, func() error {
			lines[table] = append(lines[table], line)
			return nil
		})
		require.NoError(t, err)
		for _, table := range tables {
			out.WriteString(table + "\n" + strings.Join(lines[table], "\n") + "\n")
		}
	})
	return out.String()
}

// URL returns a connection string of this package as a postgres:// URL.
func URL(t testing.TB, connString string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(connString)
	require.NoError(t, err)
	query := url.Values{
		"host": {cfg.Host}, "port": {strconv.Itoa(int(cfg.Port))}, "user": {cfg.User},
		"sslmode": {"disable"},
	}
	if cfg.Password != "" {
		query.Set("password", cfg.Password)
	}
	return "postgres:///" + cfg.Database + "?" + query.Encode()
}

// exists reports whether there is a database.
func exists(t testing.TB, name string) (found bool) {
	t.Helper()
	shared.connections.with(t, shared.postgres, func(ctx context.Context, conn *pgx.Conn) {
		row := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name)
		require.NoError(t, row.Scan(&found))
	})
	return found
}

func connString(database string) string {
	return shared.postgres + " dbname=" + database
}

func admin(t testing.TB, sql string) {
	t.Helper()
	Exec(t, shared.postgres, sql)
}
