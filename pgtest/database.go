package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Database makes a database to which the migrations were applied, and returns its connection string. The database is
// dropped at the end of the test.
func Database(t testing.TB) string {
	t.Helper()
	return Copy(t, templateName, func(connString string) {
		requireNoError(t, shared.migrate(context.Background(), connString))
	})
}

// EmptyDatabase makes an empty database. It is dropped at the end of the test.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	requireMain(t)
	return create(t, "empty", "")
}

// Copy makes a database for a test as a copy of the one called template, which fill fills once and must leave without
// a connection. The database is dropped at the end of the test. A template is for what many tests need, and what takes
// longer than a copy.
func Copy(t testing.TB, template string, fill func(connString string)) string {
	t.Helper()
	requireMain(t)
	shared.template.Lock()
	defer shared.template.Unlock()
	if !shared.fuzzing || !exists(t, template) {
		template = shared.prefix + template
	}
	if !shared.made[template] && !exists(t, template) {
		makeTemplate(t, template, fill)
	}
	shared.made[template] = true
	return create(t, "test", ` TEMPLATE `+template+shared.strategy)
}

// makeTemplate makes a template, or none if fill ends the test.
func makeTemplate(t testing.TB, name string, fill func(connString string)) {
	t.Helper()
	admin(t, `CREATE DATABASE `+name)
	filled := false
	defer func() {
		if !filled {
			admin(t, `DROP DATABASE `+name+` WITH (FORCE)`)
		}
	}()
	fill(connString(name))
	// A new connection writes a file about the catalogue that is copied, too. Each database would else make its own.
	Exec(t, connString(name), `SELECT`)
	filled = true
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

// Exec executes a statement in a database.
func Exec(t testing.TB, connString, sql string, args ...any) {
	t.Helper()
	With(t, connString, func(ctx context.Context, conn *pgx.Conn) {
		_, err := conn.Exec(ctx, sql, args...)
		requireNoError(t, err)
	})
}

// Value returns the value of a query that returns one.
func Value[T any](t testing.TB, connString, sql string, args ...any) (value T) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, connString)
	requireNoError(t, err)
	defer conn.Close(ctx)
	requireNoError(t, conn.QueryRow(ctx, sql, args...).Scan(&value))
	return value
}

// With calls use with a connection to a database, which use must not close. The connection is kept for the next call.
func With(t testing.TB, connString string, use func(ctx context.Context, conn *pgx.Conn)) {
	t.Helper()
	shared.connections.with(t, connString, use)
}

// Role makes a role with options, such as CONNECTION LIMIT 4, that may read and write all tables of a database. It is
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

// URL returns a connection string of this package as a postgres:// URL.
func URL(t testing.TB, connString string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(connString)
	requireNoError(t, err)
	query := url.Values{
		"host": {cfg.Host}, "port": {strconv.Itoa(int(cfg.Port))}, "user": {cfg.User},
		"sslmode": {"disable"},
	}
	if cfg.Password != "" {
		query.Set("password", cfg.Password)
	}
	return "postgres:///" + cfg.Database + "?" + query.Encode()
}

// Server returns the connection string of the Postgres, with a database that is not a test's.
func Server() string { return shared.postgres }

// BinDir returns the directory of Postgres's programs, "" if the Postgres is a given one.
func BinDir() string { return shared.binDir }

// exists reports whether there is a database.
func exists(t testing.TB, name string) (found bool) {
	t.Helper()
	With(t, shared.postgres, func(ctx context.Context, conn *pgx.Conn) {
		row := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name)
		requireNoError(t, row.Scan(&found))
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

// requireMain ends a test whose package has no Postgres: an empty connection string is that of the environment.
func requireMain(t testing.TB) {
	t.Helper()
	if shared.postgres == "" {
		t.Fatal("pgtest: TestMain has to call pgtest.Main")
	}
}

// requireNoError ends the test after an error.
func requireNoError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
