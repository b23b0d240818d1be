// Package storetest gives each test a database of its own, in which the migrations have run, and what tests of the
// store and the server need besides: poolers, proxies, standbys, dumps. The databases are those of package pgtest.
package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
	"github.com/stretchr/testify/require"

	"gatehouse/migrations"
	"gatehouse/pgtest"
	"gatehouse/store"
)

// Main runs the tests of a package, as pgtest.Main does.
func Main(m *testing.M) int {
	return pgtest.Main(m, func(ctx context.Context, connString string) error {
		s, err := openStore(ctx, connString)
		if err == nil {
			s.Close()
		}
		return err
	})
}

// The functions of package pgtest.
var (
	Database      = pgtest.Database
	EmptyDatabase = pgtest.EmptyDatabase
	Copy          = pgtest.Copy
	Exec          = pgtest.Exec
	Role          = pgtest.Role
	URL           = pgtest.URL
)

// Value is pgtest.Value.
func Value[T any](t testing.TB, connString, sql string, args ...any) T {
	t.Helper()
	return pgtest.Value[T](t, connString, sql, args...)
}

// WaitsForLock reports whether a session of the database waits for a lock.
func WaitsForLock(t testing.TB, connString string) bool {
	t.Helper()
	return Value[bool](t, connString, `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock')`)
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
	s, err := openStore(context.Background(), connString)
	require.NoError(t, err)
	return s
}

func openStore(ctx context.Context, connString string) (*store.Store, error) {
	return store.Open(ctx, store.Config{ConnString: connString, Now: time.Now, IDs: store.NewIDs(time.Now)})
}

// New opens a store on a database of its own, and closes it with the test.
func New(t testing.TB) *store.Store {
	t.Helper()
	s := Open(t, Database(t))
	t.Cleanup(s.Close)
	return s
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
		DO $$ DECLARE name text; columns text; tables text := (
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
				SELECT string_agg(format('%I', attname), ', ') INTO columns FROM pg_attribute
				WHERE attrelid = format('public.%I', name)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
				EXECUTE format('INSERT INTO public.%1$I (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM kept.%1$I', name, columns);
			END LOOP;
		END $$`)
}

// Announce announces what Exec has changed, as other programs do.
func Announce(t testing.TB, connString string) {
	t.Helper()
	Exec(t, connString, `SELECT gatehouse_changed()`)
}

// outlasting are the tables that Dump leaves out: those of the migrations, and those that change in the background or
// have what outlives its cause, such as the IDs of deleted documents, and refused requests.
var outlasting = []string{
	store.VersionTable, store.ContractVersionTable, "leases", "org_key_sync", "released_apis", "released_policies",
	"audit_events",
}

// Dump returns all rows of all tables but those that are outlasting, to see whether something has changed. It reads the
// names of the tables in the catalogue, so that it has new tables, too, and their rows in one statement.
func Dump(t testing.TB, connString string) string {
	t.Helper()
	var out strings.Builder
	pgtest.With(t, connString, func(ctx context.Context, conn *pgx.Conn) {
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
