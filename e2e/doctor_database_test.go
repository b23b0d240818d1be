package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// catalogue returns what there is in a database: all of its schemas, tables, columns and functions, as they were made.
func catalogue(t *testing.T, database string) string {
	t.Helper()
	return storetest.Value[string](t, database, `
		SELECT concat((SELECT string_agg(oid || nspname || xmin, ' ' ORDER BY oid) FROM pg_namespace),
			(SELECT string_agg(oid || relname || xmin, ' ' ORDER BY oid) FROM pg_class WHERE oid >= 16384),
			(SELECT string_agg(attrelid || attname || xmin, ' ' ORDER BY attrelid, attnum)
				FROM pg_attribute WHERE attrelid >= 16384),
			(SELECT string_agg(oid || proname || xmin, ' ' ORDER BY oid) FROM pg_proc WHERE oid >= 16384))`)
}

// TestDoctorChangesNoDatabase looks at databases of all states, and compares them with what they were.
func TestDoctorChangesNoDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		database               string
		status, check, pattern string
	}{
		"empty":                 {storetest.EmptyDatabase(t), "note", "database schema", "there are no tables of gatehouse"},
		"of a release before":   {storetest.DatabaseAtVersion(t, 11), "note", "database schema", `^version 11, this program has \d+$`},
		"upgraded":              {storetest.UpgradedDatabase(t), "note", "database schema", "what only servers of earlier releases need"},
		"of this release":       {storetest.Database(t), "ok", "database schema", "as this program has it"},
		"of a release after":    {databaseOfLater(t), "fault", "database schema", `^version 999, this program has \d+$`},
		"that refuses to write": {storetest.Database(t) + " options='-c default_transaction_read_only=on'", "fault", "database", "accepts no writes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := catalogue(t, c.database)
			rows := func() string {
				if name == "empty" {
					return ""
				}
				return storetest.Dump(t, c.database)
			}
			rowsBefore := rows()
			run := examine(t, "DATABASE_URL="+c.database)
			run.has(c.check, c.status, c.pattern)
			run.only(c.check)
			require.Equal(t, before, catalogue(t, c.database))
			require.Equal(t, rowsBefore, rows())
		})
	}
}

// databaseOfLater is a database that a later release has upgraded.
func databaseOfLater(t *testing.T) string {
	t.Helper()
	database := storetest.Database(t)
	storetest.Exec(t, database, `UPDATE gatehouse_schema_version SET version = 999`)
	return database
}

// as returns a connection string with another role.
func as(database, role string) string { return database + " user=" + role }

func TestDoctorUnreachableDatabase(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	full := storetest.Role(t, database, "CONNECTION LIMIT 0")
	closed := storetest.Role(t, database, "")
	storetest.Exec(t, database, `ALTER ROLE `+closed+` NOLOGIN`)
	for name, c := range map[string]struct{ url, found, advice string }{
		"no connection string": {"postgres://user:hid@den@host/db", "is not a URL of a database", "correct --database-url"},
		"no server":            {"postgres://user:hidden@127.0.0.1:1/db", "connection refused", "check that the server runs"},
		"no host":              {"postgres://user:hidden@nowhere.invalid/db", "nowhere.invalid", "correct the name of the host"},
		"no database":          {database + " dbname=nothing", "there is no such database", "create it with createdb"},
		"no role":              {as(database, "nobody_here"), "refuses the role or its password", "check user and password"},
		"a role that may not":  {as(database, closed), "refuses the role or its password", "check user and password"},
		"no connection left":   {as(database, full), "no connection left", "raise max_connections"},
		"no certificate":       {"host=127.0.0.1 sslmode=verify-full sslrootcert=/nowhere dbname=db", "/nowhere", "correct --database-url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, "DATABASE_URL="+c.url)
			run.has("database", "fault", c.found)
			run.only("database")
			for _, each := range run.findings {
				if each.Check == "database" {
					require.Contains(t, each.Advice, c.advice)
				}
			}
		})
	}
	t.Run("one that hangs", func(t *testing.T) {
		t.Parallel()
		proxy := storetest.NewProxy(t, database)
		proxy.Stop()
		began := time.Now()
		run := examineBy(t, doctorCommand(t, "--timeout", "2s"), "DATABASE_URL="+proxy.ConnString())
		run.has("database", "fault", "")
		run.only("database")
		require.Less(t, time.Since(began), bound)
	})
	t.Run("a wrong password", func(t *testing.T) {
		t.Parallel()
		pair := storetest.NewPair(t)
		require.NoError(t, pair.StartPrimary(t.Context()))
		url := pair.Primary().URL("postgres")
		examine(t, "DATABASE_URL="+url).has("database", "ok", "")
		run := examine(t, "DATABASE_URL="+strings.Replace(url, "gatehouse:", "gatehouse:hidden", 1))
		run.has("database", "fault", "refuses the role or its password")
	})
}

// shadowed returns a connection string for which functions and views of the schema public hide those of Postgres: what
// doctor finds then is what another Postgres would say.
func shadowed(t *testing.T, sql string) string {
	t.Helper()
	database := storetest.Database(t)
	storetest.Exec(t, database, sql)
	return "DATABASE_URL=" + database + " options='-c search_path=public,pg_catalog'"
}

func TestDoctorDatabase(t *testing.T) {
	t.Parallel()
	t.Run("too old", func(t *testing.T) {
		t.Parallel()
		run := examine(t, shadowed(t, `CREATE FUNCTION public.current_setting(name text) RETURNS text LANGUAGE sql AS $$
			SELECT CASE name WHEN 'server_version_num' THEN '130018' WHEN 'server_version' THEN '13.18'
				ELSE pg_catalog.current_setting(name) END $$`))
		run.has("database version", "fault", "Postgres 13.18 is older than gatehouse supports")
		run.only("database version")
	})
	t.Run("without lz4", func(t *testing.T) {
		t.Parallel()
		run := examine(t, shadowed(t, `CREATE VIEW public.pg_settings AS
			SELECT 'default_toast_compression' AS name, ARRAY['pglz'] AS enumvals`))
		run.has("database compression", "note", "lacks lz4")
		run.only()
	})
	t.Run("far away", func(t *testing.T) {
		t.Parallel()
		run := examine(t, shadowed(t, `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$
			BEGIN PERFORM pg_sleep(0.05); RETURN pg_catalog.clock_timestamp(); END $$`))
		run.has("database latency", "warning", "ms for a small statement")
		run.only()
	})
	for name, c := range map[string]struct{ shift, status, found string }{
		"a clock that is ahead":      {"+ interval '5 seconds'", "warning", "the database is [456]s ahead of"},
		"a clock that is far behind": {"- interval '1 hour'", "fault", `the database is (59m59s|1h0m\ds) behind`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, shadowed(t, `CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
				AS 'SELECT pg_catalog.clock_timestamp() `+strings.ReplaceAll(c.shift, `'`, `''`)+`'`))
			run.has("database clock", c.status, c.found)
			run.only("database clock")
		})
	}
	t.Run("few connections", func(t *testing.T) {
		t.Parallel()
		database := storetest.Database(t)
		run := examine(t, "DATABASE_URL="+as(database, storetest.Role(t, database, "CONNECTION LIMIT 4")))
		run.has("database connections", "warning", "the database allows 4")
		run = examine(t, "DATABASE_URL="+database+" pool_max_conns=1000")
		run.has("database connections", "warning", "a server makes up to 1002")
		run.only("database connections")
	})
	t.Run("a full disk", func(t *testing.T) {
		t.Parallel()
		database, disk := storetest.DatabaseOnADisk(t)
		examine(t, "DATABASE_URL="+database).has("database", "ok", "") // the first connection writes a file
		disk.Fill()
		examine(t, "DATABASE_URL="+database).has("database", "fault", "the disk of the database is full")
		disk.Free()
		examine(t, "DATABASE_URL="+database).has("database", "ok", "")
	})
}

func TestDoctorPrivileges(t *testing.T) {
	t.Parallel()
	current, old, empty := storetest.Database(t), storetest.DatabaseAtVersion(t, 11), storetest.EmptyDatabase(t)
	user, ofOld := storetest.Role(t, current, ""), storetest.Role(t, old, "")
	reader := storetest.Role(t, current, "")
	storetest.Exec(t, current, `REVOKE INSERT, UPDATE ON organisations FROM `+reader)
	newcomer, none := storetest.Role(t, empty, ""), storetest.Role(t, empty, "")
	const name = "database privileges"
	for kind, c := range map[string]struct{ url, status, found string }{
		"not the owner":          {as(current, user), "warning", `lacks OWNERSHIP on apis.*which the migrations of the next release need`},
		"not the owner, upgrade": {as(old, ofOld), "fault", `OWNERSHIP on apis.*without which the server does not work`},
		"may only read":          {as(current, reader), "fault", `lacks INSERT on organisations, UPDATE on organisations, without`},
		"may not create":         {as(empty, newcomer), "fault", `lacks CREATE on schema public`},
		"no schema":              {as(empty, none) + " options='-c search_path=nothing'", "fault", `USAGE on no schema`},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			run := examine(t, "DATABASE_URL="+c.url)
			run.has(name, c.status, c.found)
			run.only(name)
		})
	}
	t.Run("those of a server", func(t *testing.T) {
		t.Parallel()
		database := storetest.EmptyDatabase(t)
		owner := storetest.Role(t, database, "")
		storetest.Exec(t, database, `GRANT USAGE, CREATE ON SCHEMA public TO `+owner)
		settings := "DATABASE_URL=" + as(database, owner)
		run := examine(t, settings)
		run.has(name, "ok", "")
		run.only()
		require.Zero(t, startServer(t, settings).stop(), "the server can do what doctor says")
		run = examine(t, settings)
		run.has(name, "ok", "")
		run.only()
	})
}

func TestDoctorPoolers(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	sessions := storetest.PgBouncer(t, database, storetest.PoolSessions, 3)
	transactions := storetest.PgBouncer(t, database, storetest.PoolTransactions, 3)
	statements := storetest.PgBouncer(t, database, storetest.PoolStatements, 3)
	for name, c := range map[string]struct{ url, direct, status, found string }{
		"sessions":                     {sessions, "", "ok", "one in session mode"},
		"transactions":                 {transactions, "", "fault", "set GATEHOUSE_DIRECT_DATABASE_URL"},
		"transactions, direct":         {transactions, database, "ok", "one in transaction mode, and a direct connection"},
		"transactions, direct as well": {transactions, transactions, "fault", "it must lead to Postgres itself"},
		"statements":                   {statements, "", "fault", "does not allow transactions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, "DATABASE_URL="+c.url, "GATEHOUSE_DIRECT_DATABASE_URL="+c.direct)
			run.has("database pooler", c.status, c.found)
			run.only("database pooler")
			run.has("database schema", "ok", "")
		})
	}
}

func TestDoctorReplication(t *testing.T) {
	t.Parallel()
	pair := storetest.StartPair(t, "wal_sender_timeout = 0") // a standby that is frozen stays connected
	const name = "database replication"
	url := "DATABASE_URL=" + pair.URL("postgres")
	run := examine(t, url)
	run.has(name, "ok", `^standby .*: \d{1,4} KB behind, lag `)
	run.only()

	run = examine(t, "DATABASE_URL="+pair.Standby().URL("postgres"))
	run.has("database", "fault", "the server is a standby")

	require.NoError(t, pair.Standby().Freeze())
	require.NoError(t, pair.Primary().SQL(t.Context(), "postgres", `SET synchronous_commit = local;
		CREATE TABLE filler AS SELECT repeat(n::text, 200) AS text FROM generate_series(1, 120000) AS n`))
	run = examine(t, url)
	run.has(name, "warning", `^standby .*: \d{5,} KB behind`)
	run.only(name)
	require.NoError(t, pair.Standby().Thaw())
	pair.Standby().Kill()
	eventually(t, "the standby has gone", func() bool {
		return storetest.Value[int](t, pair.URL("postgres"), `SELECT count(*) FROM pg_stat_replication`) == 0
	})
	run = examine(t, url)
	run.has(name, "fault", "no synchronous standby is connected")
	run.only(name)
}

// TestDoctorPrivatePostgres has data directories with which a server does not start.
func TestDoctorPrivatePostgres(t *testing.T) {
	t.Parallel()
	old, other := newDir(t), newDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(old, "postgres"), 0o700))
	writeFile(t, filepath.Join(old, "postgres", "PG_VERSION"), "9\n")
	require.NoError(t, os.Mkdir(filepath.Join(other, "postgres"), 0o700))
	writeFile(t, filepath.Join(other, "postgres", "mine"), "")
	for name, c := range map[string]struct{ setting, found string }{
		"no programs":           {"GATEHOUSE_POSTGRES_BIN=/nowhere", "no Postgres in /nowhere"},
		"of another version":    {"GATEHOUSE_DATA_DIR=" + old, "was made by Postgres 9, found only"},
		"no data of a Postgres": {"GATEHOUSE_DATA_DIR=" + other, "not a Postgres data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, c.setting)
			run.has("private postgres", "fault", c.found)
			run.only("private postgres")
		})
	}
}
