// Package storetest gives each test a Postgres database of its own. A test package starts one private Postgres, in
// Main; every test gets a copy of a database in which the migrations have run.
package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
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
	cluster  *postgres.Cluster
	template sync.Mutex // held while a database is copied: nothing may be connected to the template
	made     map[string]bool
	strategy string
	count    atomic.Int64
}

const templateName = "template_gatehouse"

// Main starts the Postgres of a test package, runs the tests, stops Postgres, and returns the exit status.
func Main(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "gatehouse-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.cluster, err = postgres.Start(ctx, postgres.Config{
		DataDir: dir, BinDir: os.Getenv("GATEHOUSE_POSTGRES_BIN"), Log: slog.New(slog.DiscardHandler), Volatile: true,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests need Postgres:", err)
		return 1
	}
	defer func() {
		stopping, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := shared.cluster.Stop(stopping); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	shared.made = map[string]bool{}
	if shared.strategy, err = copyStrategy(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// copyStrategy is the way of copying that is faster for small databases, where this Postgres has a choice (15 or
// newer).
func copyStrategy(ctx context.Context) (string, error) {
	conn, err := pgx.Connect(ctx, shared.cluster.ConnString())
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
	if !shared.made[template] {
		admin(t, `CREATE DATABASE `+template)
		fill(connString(template))
		shared.made[template] = true
	}
	name := fmt.Sprintf("test_%d", shared.count.Add(1))
	admin(t, `CREATE DATABASE `+name+` TEMPLATE `+template+shared.strategy)
	t.Cleanup(func() { admin(t, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return connString(name)
}

// EmptyDatabase makes a database in which no migration has run.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("empty_%d", shared.count.Add(1))
	admin(t, `CREATE DATABASE `+name)
	t.Cleanup(func() { admin(t, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return connString(name)
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
	conn, err := pgx.Connect(context.Background(), connString)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), sql, args...)
	require.NoError(t, err)
}

// Dump returns all rows of all tables, to see whether something has changed. It reads the names of the tables in the
// catalogue, so that it has new tables, too. It leaves out the table of the migrations, and org_key_sync: what has yet
// to be sent to gateways outlives what it is about, and changes in the background.
func Dump(t testing.TB, connString string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, connString)
	require.NoError(t, err)
	defer conn.Close(ctx)
	rows, _ := conn.Query(ctx, `
		SELECT relname FROM pg_class
		WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND relname <> ALL ($1)
		ORDER BY relname`, []string{store.VersionTable, "org_key_sync"})
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var out strings.Builder
	for _, table := range tables {
		rows, _ := conn.Query(ctx, `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` AS t ORDER BY 1`)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		out.WriteString(table + "\n" + strings.Join(lines, "\n") + "\n")
	}
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
	return "postgres:///" + cfg.Database + "?" + query.Encode()
}

func connString(database string) string {
	return shared.cluster.ConnString() + " dbname=" + database
}

func admin(t testing.TB, sql string) {
	t.Helper()
	Exec(t, shared.cluster.ConnString(), sql)
}
