package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/backup"
	"gatehouse/internal/cli"
	"gatehouse/store/storetest"
)

// everything fills each column of each table. Documents have what JSON allows and programs change when they read it.
const everything = `
	INSERT INTO organisations (id, position, cname_key, sso_enabled, document) OVERRIDING SYSTEM VALUE VALUES
		('org2', 7, 'a.example', true, E' {"a" :1.0e5,"a":"\\u00e9\\ud800\\u0000"}\n'), ('org1', 9, NULL, false, '{"b":[]}'),
		('org3', 11, NULL, false, '"text"');
	SELECT setval('organisations_position_seq', 11), setval('users_position_seq', 1000), setval('apis_position_seq', 5000);
	INSERT INTO users (id, position, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, password_hash, password_updated, password_history,
			last_login_date, created_at) OVERRIDING SYSTEM VALUE
		SELECT 'user' || n, 1000 - n, CASE WHEN n > 2 THEN 'org' || n % 3 + 1 END, 'Ada' || n || '@example.org',
			'ada' || n || '@example.org', E'A\td\\a\r\n', 'é"', n % 2 = 0, 'key' || n, '{"IsAdmin": "admin"}', 'group1', n,
			'hash' || n, now() - n * interval '1.000001 s', ARRAY['a', 'b"c,{}', NULL, ''], 'infinity', now()
		FROM generate_series(1, 50) AS n;
	INSERT INTO user_groups (id, org_id, active, user_permissions, document)
		VALUES ('group1', 'org1', true, '{"apis": "write"}', '{"name":"g"}'), ('group2', 'org2', false, '{}', '{}');
	INSERT INTO apis (api_id, position, id, org_id, active, document, checked, search, size, calls) OVERRIDING SYSTEM VALUE
		SELECT 'api' || n, 5000 - n, 'idof' || n, 'org' || n % 3 + 1, n % 2 = 0,
			('{"api_definition":{"api_id":"api' || n || '","text":"' || repeat(md5(n::text), n) || '"}}')::json,
			'check:' || repeat('0', 64), '{"name": "n"}', n, CASE WHEN n % 2 = 0 THEN ARRAY['called' || n, '"\{,'] END
		FROM generate_series(1, 300) AS n;
	INSERT INTO apis (api_id, id, org_id, active, document) VALUES ('unchecked', 'u', 'org1', true, '{"\t":"\\\\"}');
	INSERT INTO policies (id, policy_id, org_id, active, document, served, checked, size)
		SELECT 'policy' || n, 'explicit' || n, 'org' || n % 3 + 1, true, '{"x":1}', '{"served":true}',
			'!check:' || repeat('0', 64), n
		FROM generate_series(1, 40) AS n;
	INSERT INTO objects (id, kind, org_id, public_id, look_up, password_hash, document, size)
		SELECT lpad(to_hex(n), 24, '0'), 'kind', 'org' || n % 3 + 1, 'public' || n, 'look' || n, 'hash', 'null', 4
		FROM generate_series(1, 40) AS n;
	INSERT INTO org_keys (org_id, session) VALUES ('org1', '{"rate":1}'), ('org2', '{"rate":2.50}');
	INSERT INTO released_apis (api_id, org_id) VALUES ('gone', 'org1'), ('gone too', 'org2'), ('of nobody', 'deleted');
	INSERT INTO released_policies (policy_id, org_id) VALUES ('gone', 'org1'), ('gone too', 'org2');
	INSERT INTO nodes (id, session_id, hostname, first_seen, last_seen) VALUES ('n', 's', 'h', now(), now());
	INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES (sha256('n'), 'org1', '', true, '{}', now() + interval '1 hour');
	INSERT INTO sessions (token_hash, org_id, created_at, expires_at) VALUES (sha256('t'), 'org1', now(), 'infinity');`

// notBackedUp are the tables that backups do not have, and why.
var notBackedUp = map[string]string{
	"nodes":                      "gateways register again",
	"sso_nonces":                 "they are valid for a minute, and once: a restored one would be valid again",
	"sessions":                   "their users sign in again",
	"leases":                     "they are those of running servers",
	"audit_events":               "they say what happened to the database that the backup is of",
	"org_key_sync":               "a restore has all restored keys sent",
	"gatehouse_schema_version":   "it is in the header",
	"gatehouse_contract_version": "it is a database's own",
}

// fullDatabase returns a database with everything.
func fullDatabase(t *testing.T) string {
	t.Helper()
	return storetest.Copy(t, "backed_up", func(conn string) {
		storetest.Open(t, conn).Close()
		storetest.Exec(t, conn, everything)
	})
}

// gatehouse runs a command on a database, and returns what it prints. Slow statements, of a busy machine, are not
// logged.
func gatehouse(t *testing.T, conn string, args ...string) (status int, out, log string) {
	t.Helper()
	var outBuffer, logBuffer bytes.Buffer
	args = append(args, "--database-url", conn, "--log-slow-statements", "0")
	status = cli.Run(t.Context(), args, cli.Streams{Out: &outBuffer, Log: &logBuffer})
	return status, outBuffer.String(), logBuffer.String()
}

// backedUp returns the path of a backup of a database.
func backedUp(t *testing.T, conn string, flags ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gatehouse.backup")
	status, out, log := gatehouse(t, conn, append([]string{"backup", file}, flags...)...)
	require.Zero(t, status, log)
	require.Contains(t, out, "backed up ")
	require.Empty(t, log, "a progress bar is for terminals")
	return file
}

// restored restores a backup.
func restored(t *testing.T, conn, file string, flags ...string) (printed string) {
	t.Helper()
	status, printed, log := gatehouse(t, conn, append([]string{"restore", file}, flags...)...)
	require.Zero(t, status, log)
	return printed
}

// refused requires that a backup is not restored, and returns why.
func refused(t *testing.T, conn, file string, flags ...string) (log string) {
	t.Helper()
	before := rowsOf(t, conn)
	status, out, log := gatehouse(t, conn, append([]string{"restore", file}, flags...)...)
	require.Equal(t, 1, status, log)
	require.Empty(t, out)
	require.Contains(t, log, "nothing was restored")
	require.Equal(t, before, rowsOf(t, conn))
	return log
}

// readerOf returns a reader of a backup, which is closed with the test.
func readerOf(t *testing.T, file string) *backup.Reader {
	t.Helper()
	in, err := os.Open(file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, in.Close()) })
	reader, err := backup.NewReader(in)
	require.NoError(t, err)
	t.Cleanup(reader.Close)
	return reader
}

// headerOf returns the header of a backup.
func headerOf(t *testing.T, file string) backup.Header {
	t.Helper()
	return readerOf(t, file).Header
}

// tablesOf returns the tables of a database.
func tablesOf(t *testing.T, conn string) []string {
	t.Helper()
	return storetest.Value[[]string](t, conn, `SELECT array_agg(relname::text ORDER BY relname) FROM pg_class
		WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`)
}

// rowsOf returns all rows of the tables that backups have, as text, in the order of lists.
func rowsOf(t *testing.T, conn string) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for _, table := range tablesOf(t, conn) {
		if notBackedUp[table] != "" {
			continue
		}
		order := storetest.Value[string](t, conn, `SELECT attname::text FROM pg_attribute
			WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attname <> 'position', attnum LIMIT 1`, table)
		rows[table] = storetest.Value[[]string](t, conn,
			`SELECT coalesce(array_agg(t::text ORDER BY `+order+`), '{}') FROM `+table+` AS t`)
	}
	return rows
}

// TestBackupHasEverything: each table and each column is in a backup, or left out with a reason, and the test data has
// a value in each column.
func TestBackupHasEverything(t *testing.T) {
	t.Parallel()
	conn := fullDatabase(t)
	tables := map[string]backup.Table{}
	for _, table := range headerOf(t, backedUp(t, conn)).Tables {
		tables[table.Name] = table
	}
	for _, name := range tablesOf(t, conn) {
		if notBackedUp[name] != "" {
			require.NotContains(t, tables, name)
			continue
		}
		require.Contains(t, tables, name)
		columns := storetest.Value[[]string](t, conn, `SELECT array_agg(attname::text) FROM pg_attribute
			WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, name) // the others Postgres computes
		require.ElementsMatch(t, columns, tables[name].Columns, name)
		for _, column := range columns {
			require.Positive(t, storetest.Value[int](t, conn, `SELECT count(`+column+`) FROM `+name), "%s.%s", name, column)
		}
	}
}

func TestBackupRoundTrip(t *testing.T) {
	t.Parallel()
	source := fullDatabase(t)
	file := backedUp(t, source)
	for name, target := range map[string]string{
		"tables without rows": storetest.Database(t), "no tables": storetest.EmptyDatabase(t), "an upgraded database": storetest.UpgradedDatabase(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, restored(t, target, file), "restored 301 APIs\n")
			if name == "an upgraded database" {
				return // its rows have more columns
			}
			require.Equal(t, rowsOf(t, source), rowsOf(t, target))
			require.Zero(t, storetest.Value[int](t, target, `SELECT (SELECT count(*) FROM nodes) + (SELECT count(*) FROM sso_nonces) + (SELECT count(*) FROM sessions)`))
			require.Equal(t, []string{"org1", "org2"}, storetest.Value[[]string](t, target,
				`SELECT array_agg(org_id ORDER BY org_id) FROM org_key_sync WHERE NOT sent`), "gateways get the keys")
			storetest.Exec(t, target, `INSERT INTO apis (api_id, id, org_id, active, document) VALUES ('later', 'l', 'org1', true, '{}')`)
			require.Equal(t, "later", storetest.Value[string](t, target, `SELECT api_id FROM apis ORDER BY position DESC LIMIT 1`))
			require.Equal(t, contentOf(t, file), contentOf(t, backedUp(t, source)))
		})
	}
}

// contentOf returns the rows of a backup.
func contentOf(t *testing.T, file string) string {
	t.Helper()
	in, err := os.Open(file)
	require.NoError(t, err)
	defer in.Close()
	decompressed, err := zstd.NewReader(in)
	require.NoError(t, err)
	defer decompressed.Close()
	text, err := io.ReadAll(decompressed)
	require.NoError(t, err)
	_, rows, found := strings.Cut(string(text), "\n")
	require.True(t, found)
	return rows
}

func TestBackupOfOneOrganisation(t *testing.T) {
	t.Parallel()
	source, target := fullDatabase(t), storetest.Database(t)
	file := backedUp(t, source, "--org", "org2")
	require.Equal(t, "org2", headerOf(t, file).Organisation)
	restored(t, target, file)
	want := map[string][]string{}
	for table, column := range map[string]string{
		"organisations": "id", "users": "org_id", "user_groups": "org_id", "apis": "org_id", "policies": "org_id",
		"objects": "org_id", "org_keys": "org_id", "released_apis": "org_id", "released_policies": "org_id",
	} {
		storetest.Exec(t, source, `DELETE FROM `+table+` WHERE `+column+` IS DISTINCT FROM 'org2'`)
	}
	for table, rows := range rowsOf(t, source) {
		require.NotEmpty(t, rows, table)
		want[table] = rows
	}
	require.Equal(t, want, rowsOf(t, target))

	status, _, log := gatehouse(t, source, "backup", filepath.Join(t.TempDir(), "none"), "--org", "nobody")
	require.Equal(t, 1, status)
	require.Equal(t, "gatehouse: there is no organisation \"nobody\"\n", log)
}

// order returns the IDs of a list.
func order(t *testing.T, conn, table, id, where string) []string {
	t.Helper()
	return storetest.Value[[]string](t, conn,
		`SELECT coalesce(array_agg(`+id+` ORDER BY position), '{}') FROM `+table+` WHERE `+where)
}

// changedSince makes changes after a backup: some objects are deleted, others are changed, or new.
const changedSince = `
	DELETE FROM apis WHERE api_id IN ('api1', 'api150', 'api300');
	UPDATE apis SET document = '{"changed":1}', id = 'another id' WHERE api_id = 'api7';
	INSERT INTO apis (api_id, id, org_id, active, document) VALUES ('since', 's', 'org2', true, '{}');
	UPDATE policies SET policy_id = 'another id' WHERE id = 'policy7';
	DELETE FROM users WHERE id IN ('user1', 'user20');
	UPDATE organisations SET document = '{"changed":2}' WHERE id = 'org1';
	DELETE FROM organisations WHERE id = 'org3';
	DELETE FROM org_keys WHERE org_id = 'org1';
	DELETE FROM org_key_sync;
	UPDATE released_apis SET org_id = 'org2' WHERE api_id = 'gone';`

// pastTense makes what a dry run prints what a restore does.
var pastTense = strings.NewReplacer("would restore", "restored", "would replace", "replaced", "would keep", "kept")

func TestRestoreIntoFilledDatabase(t *testing.T) {
	t.Parallel()
	source := fullDatabase(t)
	file := backedUp(t, source)
	changed := func(t *testing.T) string {
		t.Helper()
		conn := fullDatabase(t)
		storetest.Exec(t, conn, changedSince)
		return conn
	}

	t.Run("refuse", func(t *testing.T) {
		t.Parallel()
		log := refused(t, changed(t), file)
		require.Contains(t, log, "organisation org1 exists\n")
		require.Contains(t, log, "--replace or --skip-existing")
		require.Contains(t, log, " more\n")
	})

	t.Run("replace", func(t *testing.T) {
		t.Parallel()
		conn := changed(t)
		before := rowsOf(t, conn)
		plan := restored(t, conn, file, "--replace", "--dry-run")
		require.Equal(t, before, rowsOf(t, conn))
		done := restored(t, conn, file, "--replace")
		require.Equal(t, pastTense.Replace(plan), done)
		require.Contains(t, done, "restored 103 APIs, replaced 198\n") // those of org3 are new, and three others
		for table, id := range map[string]string{
			"organisations": "id", "users": "id", "user_groups": "id", "apis": "api_id", "policies": "id", "objects": "id",
		} {
			require.Equal(t, order(t, source, table, id, "true"), order(t, conn, table, id, id+" <> 'since'"), table)
			same := `SELECT array_agg((to_jsonb(t) - 'position')::text ORDER BY ` + id + `) FROM ` + table + ` AS t WHERE ` + id + ` NOT IN ('since', 'org2')`
			if table != "apis" && table != "organisations" { // those have documents that jsonb cannot have
				require.Equal(t, storetest.Value[[]string](t, source, same), storetest.Value[[]string](t, conn, same), table)
			}
			text := `SELECT array_agg(document::text ORDER BY ` + id + `) FROM ` + table + ` WHERE ` + id + ` <> 'since'`
			if table != "users" {
				require.Equal(t, storetest.Value[[]string](t, source, text), storetest.Value[[]string](t, conn, text), table)
			}
		}
		require.Equal(t, "since", order(t, conn, "apis", "api_id", "true")[0], "what is not in the backup stays")
		require.Equal(t, rowsOf(t, source)["org_keys"], rowsOf(t, conn)["org_keys"])
		require.Equal(t, 2, storetest.Value[int](t, conn, `SELECT count(*) FROM org_key_sync WHERE NOT sent`))
		require.Equal(t, "org2", storetest.Value[string](t, conn, `SELECT org_id FROM released_apis WHERE api_id = 'gone'`),
			"the organisation that had an ID last")
		require.Equal(t, 2, storetest.Value[int](t, conn, `SELECT (SELECT count(*) FROM released_apis WHERE api_id = 'another id')
			+ (SELECT count(*) FROM released_policies WHERE policy_id = 'another id')`), "keys may name the IDs that were replaced")
	})

	t.Run("skip existing", func(t *testing.T) {
		t.Parallel()
		conn := changed(t)
		plan := restored(t, conn, file, "--skip-existing", "--dry-run")
		require.Equal(t, pastTense.Replace(plan), restored(t, conn, file, "--skip-existing"))
		require.Contains(t, plan, "would restore 103 APIs, would keep 198\n")
		require.Contains(t, plan, "would keep 2 user groups\n")
		require.JSONEq(t, `{"changed":1}`, storetest.Value[string](t, conn, `SELECT document::text FROM apis WHERE api_id = 'api7'`))
		require.JSONEq(t, `{"changed":2}`, storetest.Value[string](t, conn, `SELECT document::text FROM organisations WHERE id = 'org1'`))
		const added = `api_id <> 'since' AND position > (SELECT position FROM apis WHERE api_id = 'since')`
		require.Equal(t, order(t, source, "apis", "api_id", "org_id = 'org3' OR api_id IN ('api1', 'api150', 'api300')"),
			order(t, conn, "apis", "api_id", added))
		require.Equal(t, rowsOf(t, source)["org_keys"], rowsOf(t, conn)["org_keys"])
	})
}

// TestRestoreConflicts: what another object has already is named, whatever the flags are.
func TestRestoreConflicts(t *testing.T) {
	t.Parallel()
	file := backedUp(t, fullDatabase(t))
	for change, want := range map[string]string{
		`UPDATE apis SET org_id = 'org2' WHERE api_id = 'api3'`:                                                           "API api3 belongs to another organisation here: org2",
		`UPDATE users SET org_id = NULL WHERE id = 'user50'`:                                                              "user user50 belongs to another organisation here: none",
		`UPDATE users SET id = 'other', access_key = 'x' WHERE id = 'user50'`:                                             "user user50 has the e-mail address of user other",
		`UPDATE users SET id = 'other', email_key = 'x' WHERE id = 'user50'`:                                              "user user50 has the access key of user other",
		`UPDATE apis SET api_id = 'other' WHERE api_id = 'api3'`:                                                          "API api3 has the id of API other",
		`UPDATE policies SET id = 'other' WHERE id = 'policy3'`:                                                           "policy policy3 has the id of policy other",
		`UPDATE objects SET id = repeat('f', 24) WHERE id = lpad('3', 24, '0')`:                                           "object 000000000000000000000003 has the public ID of object ffffffffffffffffffffffff",
		`DELETE FROM organisations WHERE id = 'org2'; UPDATE organisations SET cname_key = 'a.example' WHERE id = 'org1'`: "organisation org2 has the cname of organisation org1",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			conn := fullDatabase(t)
			storetest.Exec(t, conn, change)
			for _, flag := range []string{"--replace", "--skip-existing"} {
				log := refused(t, conn, file, flag)
				require.Equal(t, "gatehouse: 1 object cannot be restored:\n  "+want+"\nnothing was restored\n", log)
				require.Equal(t, log, refused(t, conn, file, flag, "--dry-run"))
			}
		})
	}
}

// TestDamagedBackupIsRefused cuts a backup at each boundary of its blocks, and alters it. The database is not even
// connected to: no migration runs.
func TestDamagedBackupIsRefused(t *testing.T) {
	t.Parallel()
	file := backedUp(t, fullDatabase(t))
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	target := storetest.EmptyDatabase(t)
	damaged := filepath.Join(t.TempDir(), "damaged")
	try := func(content []byte, what string, at int) {
		t.Helper()
		require.NoError(t, os.WriteFile(damaged, content, 0o600))
		status, out, log := gatehouse(t, target, "restore", damaged)
		require.Equal(t, 1, status, "%s at %d", what, at)
		require.Empty(t, out)
		require.Regexp(t, `^gatehouse: \S+: (the backup is cut off or was altered|not a backup of gatehouse); nothing was restored\n$`, log)
	}
	boundaries := blocksOf(t, whole)
	require.Greater(t, len(boundaries), 5)
	for _, n := range boundaries {
		for _, at := range []int{n - 1, n, n + 1} {
			if at >= 0 && at < len(whole) {
				try(whole[:at], "cut off", at)
			}
		}
	}
	random := rand.New(rand.NewPCG(17, 17))
	for range 300 {
		at := random.IntN(len(whole))
		altered := bytes.Clone(whole)
		altered[at] ^= byte(1 + random.IntN(255))
		try(altered, "altered", at)
	}
	require.Zero(t, storetest.Value[int](t, target, `SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace`))
}

// blocksOf returns where the frame header, each block, the checksum and the trailer of a backup begin (RFC 8878).
func blocksOf(t *testing.T, file []byte) (boundaries []int) {
	t.Helper()
	var header zstd.Header
	require.NoError(t, header.Decode(file))
	at, last := header.HeaderSize, false
	for boundaries = []int{0, at}; !last; boundaries = append(boundaries, at) {
		block := int(file[at]) | int(file[at+1])<<8 | int(file[at+2])<<16
		size := block >> 3
		if block>>1&3 == 1 { // a byte that is repeated
			size = 1
		}
		at, last = at+3+size, block&1 == 1
	}
	const checksum, trailer = 4, 72
	require.Len(t, file, at+checksum+trailer)
	return append(boundaries, at+checksum, at+checksum+8)
}

// rewritten writes a backup that differs from another one.
func rewritten(
	t *testing.T, file string, edit func(*backup.Header), row func(table string, values [][]byte) [][]byte,
) string {
	t.Helper()
	reader := readerOf(t, file)
	header := reader.Header
	header.Tables = slices.Clone(header.Tables)
	edit(&header)
	for i := range header.Tables {
		header.Tables[i].Kinds = make([]backup.Kind, len(header.Tables[i].Columns)) // a text is as good as any other
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "rewritten.backup"))
	require.NoError(t, err)
	defer out.Close()
	writer, err := backup.NewWriter(out, header)
	require.NoError(t, err)
	for {
		read, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		table := reader.Header.Tables[read.Table].Name
		require.NoError(t, writer.Write(table, row(table, read.Values)))
	}
	require.NoError(t, writer.Close())
	return out.Name()
}

func same(_ string, values [][]byte) [][]byte { return values }

// TestRestoreThatFailsLeavesNothing: the last rows cannot be stored, or the command is interrupted.
func TestRestoreThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	file := backedUp(t, fullDatabase(t))
	broken := rewritten(t, file, func(*backup.Header) {}, func(table string, values [][]byte) [][]byte {
		if table == "org_keys" {
			return [][]byte{append([]byte("not "), values[0]...), values[1]}
		}
		return values
	})
	require.Contains(t, refused(t, storetest.Database(t), broken), "unknown organisation (constraint org_keys_org_id_fkey)")
	filled := storetest.Database(t)
	storetest.Exec(t, filled, `INSERT INTO organisations (id, sso_enabled, document) VALUES ('other', false, '{}');
		INSERT INTO org_keys (org_id, session) VALUES ('other', '{}')`)
	require.Contains(t, refused(t, filled, broken), "unknown organisation")

	conn := storetest.Database(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status := cli.Run(ctx, []string{"restore", file, "--database-url", conn}, cli.Streams{Out: io.Discard, Log: io.Discard})
	require.Equal(t, 1, status)
	require.Empty(t, rowsOf(t, conn)["organisations"])
}

// TestRestoreOfAnEarlierSchema: a backup that lacks columns of this release, and has one that it no longer has.
func TestRestoreOfAnEarlierSchema(t *testing.T) {
	t.Parallel()
	source, target := fullDatabase(t), storetest.Database(t)
	apis := func(h *backup.Header) *backup.Table {
		i := slices.IndexFunc(h.Tables, func(table backup.Table) bool { return table.Name == "apis" })
		return &h.Tables[i]
	}
	file := rewritten(t, backedUp(t, source), func(h *backup.Header) {
		h.Schema = 17
		table := apis(h)
		require.Equal(t, "size", table.Columns[len(table.Columns)-1])
		table.Columns = append(slices.Clone(table.Columns[:len(table.Columns)-1]), "of_old")
	}, same)
	restored(t, target, file)
	storetest.Exec(t, source, `UPDATE apis SET size = NULL`)
	require.Equal(t, rowsOf(t, source), rowsOf(t, target))

	// What the backup lacks was derived from the document that it replaces.
	storetest.Exec(t, target, `UPDATE apis SET size = 1, document = '{"changed":1}'`)
	restored(t, target, file, "--replace")
	require.Zero(t, storetest.Value[int](t, target, `SELECT count(size) FROM apis`), "the sizes of other documents")

	newer := rewritten(t, file, func(h *backup.Header) { h.Schema, h.Version = 1000, "v9.9" }, same)
	require.Contains(t, refused(t, storetest.Database(t), newer), "it is of gatehouse v9.9, whose schema has version 1000")
}

// TestRestoreOfReleasedBackups: each release restores the backups of those before it. A backup is added to the folder
// when a migration changes a table that backups have, and never removed.
func TestRestoreOfReleasedBackups(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/backups/*.backup")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			restored(t, conn, file)
			was, is := valuesOf(t, file), valuesOf(t, backedUp(t, conn))
			for table, columns := range was {
				for column, values := range columns {
					if is[table][column] != nil { // this release still has it
						require.Equal(t, values, is[table][column], "%s.%s", table, column)
					}
				}
			}
			require.Len(t, is["apis"]["document"], 301)
		})
	}
}

// valuesOf returns the values of a backup, by table and column.
func valuesOf(t *testing.T, file string) map[string]map[string][]string {
	t.Helper()
	reader := readerOf(t, file)
	all := map[string]map[string][]string{}
	for {
		row, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		table := reader.Header.Tables[row.Table]
		if all[table.Name] == nil {
			all[table.Name] = map[string][]string{}
		}
		for i, column := range table.Columns {
			all[table.Name][column] = append(all[table.Name][column], fmt.Sprintf("%t%s", row.Values[i] == nil, row.Values[i]))
		}
	}
}

func TestBackupFile(t *testing.T) {
	t.Parallel()
	conn := fullDatabase(t)
	file := backedUp(t, conn)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	first, err := os.ReadFile(file)
	require.NoError(t, err)

	// A backup that fails leaves the one before, and nothing else.
	status, _, _ := gatehouse(t, conn, "backup", file, "--org", "nobody")
	require.Equal(t, 1, status)
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1)
	now, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, first, now)

	// One that succeeds replaces it, behind a symbolic link too.
	require.NoError(t, os.Chmod(file, 0o644))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(file, link))
	status, _, log := gatehouse(t, conn, "backup", link, "--org", "org2")
	require.Zero(t, status, log)
	require.Equal(t, "org2", headerOf(t, file).Organisation)
	info, err = os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	// A device stays what it is.
	status, _, log = gatehouse(t, conn, "backup", os.DevNull)
	require.Zero(t, status, log)
	info, err = os.Stat(os.DevNull)
	require.NoError(t, err)
	require.False(t, info.Mode().IsRegular())

	status, _, log = gatehouse(t, conn, "backup", "-")
	require.Equal(t, 1, status, "the output of this call is no file")
	require.Contains(t, log, "redirect standard output")
	missing := filepath.Join(t.TempDir(), "no", "such")
	status, _, log = gatehouse(t, conn, "backup", missing)
	require.Equal(t, 1, status)
	require.Contains(t, log, "no such file or directory")
	for _, command := range []string{"backup", "restore"} {
		status, _, log = gatehouse(t, conn, command)
		require.Equal(t, 2, status)
		require.Equal(t, "gatehouse: expected one FILE; see gatehouse "+command+" --help\n", log)
	}
	require.Contains(t, refused(t, conn, missing), "no such file or directory")
	require.Contains(t, refused(t, conn, t.TempDir()), "is a directory")
	status, _, log = gatehouse(t, conn, "restore", file, "--replace", "--skip-existing")
	require.Equal(t, 2, status)
	require.Equal(t, "gatehouse: --replace and --skip-existing exclude each other; see gatehouse restore --help\n", log)

	// A wrong data directory is no empty database.
	dir := t.TempDir()
	for _, args := range [][]string{{"backup", filepath.Join(dir, "x")}, {"restore", "--dry-run", file}} {
		var errors bytes.Buffer
		status = cli.Run(t.Context(), append(args, "--data-dir", dir), cli.Streams{Out: io.Discard, Log: &errors})
		require.Equal(t, 1, status)
		require.Contains(t, errors.String(), "there is no database in "+dir)
		left, err = os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// TestBackupThroughPipes sends a backup from one program to the other, and one that is cut off.
func TestBackupThroughPipes(t *testing.T) {
	t.Parallel()
	source, target := fullDatabase(t), storetest.EmptyDatabase(t)
	pipe := func(script string) (output string, err error) {
		cmd := exec.Command("bash", "-ec", "set -o pipefail; "+script)
		cmd.Env = environment("PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "SOURCE="+source, "TARGET="+target)
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	const send, receive = `gatehouse backup - --database-url "$SOURCE" | `, `gatehouse restore - --database-url "$TARGET"`
	output, err := pipe(send + `head -c -1 | ` + receive)
	require.Error(t, err)
	require.Contains(t, output, "-: the backup is cut off or was altered; nothing was restored\n")
	require.Zero(t, storetest.Value[int](t, target, `SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace`))
	output, err = pipe(send + receive)
	require.NoError(t, err, output)
	require.Equal(t, rowsOf(t, source), rowsOf(t, target))
	require.Contains(t, output, "restored 301 APIs\n")
	require.Contains(t, output, "backed up 3 organisations, 50 users")
}

// TestBackupInterrupted interrupts commands that wait for another program: one that is not there, sends nothing, or
// does not read.
func TestBackupInterrupted(t *testing.T) {
	t.Parallel()
	conn := fullDatabase(t)
	storetest.Exec(t, conn, `INSERT INTO organisations (id, sso_enabled, document) SELECT 'large', false,
		json_build_object('text', string_agg(md5(n::text), '')) FROM generate_series(1, 40000) AS n`) // more than a pipe holds
	fifo := func(t *testing.T) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "fifo")
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		return path
	}
	other := func(t *testing.T, path string) *os.File { // has both ends open
		t.Helper()
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, file.Close()) })
		return file
	}
	interrupted := func(t *testing.T, out io.Writer, began func() bool, args ...string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan int, 1)
		log := &output{}
		go func() { ended <- cli.Run(ctx, append(args, "--database-url", conn), cli.Streams{Out: out, Log: log}) }()
		eventually(t, "the command has begun", began)
		cancel()
		select {
		case status := <-ended:
			require.Equal(t, 1, status)
			require.Contains(t, log.String(), "context canceled")
		case <-time.After(bound):
			require.Fail(t, "Ctrl-C has no effect")
		}
	}
	always := func() bool { return true }
	t.Run("restore from a FIFO without a sender", func(t *testing.T) {
		t.Parallel()
		path := fifo(t)
		interrupted(t, io.Discard, always, "restore", path)
		other(t, path) // what still waits for it ends
	})
	t.Run("restore from a sender that sends nothing", func(t *testing.T) {
		t.Parallel()
		path := fifo(t)
		sender := other(t, path)
		interrupted(t, io.Discard, always, "restore", path)
		_, err := sender.WriteString("end")
		require.NoError(t, err)
	})
	t.Run("backup to a FIFO without a reader", func(t *testing.T) {
		t.Parallel()
		path := fifo(t)
		interrupted(t, io.Discard, always, "backup", path)
		other(t, path)
	})
	t.Run("backup to a program that does not read", func(t *testing.T) {
		t.Parallel()
		reader, writer, err := os.Pipe()
		require.NoError(t, err)
		defer writer.Close()
		defer reader.Close() // first: the write that still waits fails
		interrupted(t, writer, func() bool {
			n, err := reader.Read(make([]byte, 1))
			return n == 1 && err == nil
		}, "backup", "-")
	})
}

// TestRestoreIsAudited: the file of the audit log has a line for a restore, and for one that was refused.
func TestRestoreIsAudited(t *testing.T) {
	t.Parallel()
	file, conn, audit := backedUp(t, fullDatabase(t), "--org", "org2"), storetest.Database(t), filepath.Join(t.TempDir(), "audit")
	restored(t, conn, file, "--audit-path", audit, "--dry-run")
	require.Empty(t, readFile(t, audit), "nothing has changed")
	restored(t, conn, file, "--audit-path", audit)
	refused(t, conn, file, "--audit-path", audit)
	restored(t, conn, file, "--audit-path", audit, "--audit=false", "--replace")
	lines := strings.Split(strings.TrimSpace(readFile(t, audit)), "\n")
	require.Len(t, lines, 2)
	const line = `^time=\S+ level=INFO msg=audit who=command account=\S+ action=restore file=\S+gatehouse.backup backup_created=\S+ org_id=org2 existing=refuse_existing `
	require.Regexp(t, line+`restored=[1-9]\d+ replaced=0 kept=0 outcome=ok$`, lines[0])
	require.Regexp(t, line+`restored=\d+ replaced=\d+ kept=\d+ outcome=failed$`, lines[1])
	require.Contains(t, refused(t, storetest.Database(t), file, "--audit-path", "/nowhere/audit"), "/nowhere/audit")
}

// TestBackupFormats prints the results for programs.
func TestBackupFormats(t *testing.T) {
	t.Parallel()
	conn, target := fullDatabase(t), storetest.Database(t)
	file := filepath.Join(t.TempDir(), "gatehouse.backup")
	status, out, log := gatehouse(t, conn, "backup", file, "-o", "json")
	require.Zero(t, status, log)
	var report struct {
		File   string
		Tables []struct {
			Name string
			Rows int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	require.Equal(t, file, report.File)
	require.Equal(t, "organisations", report.Tables[0].Name)
	require.Equal(t, 3, report.Tables[0].Rows)
	require.Contains(t, restored(t, target, file, "-o", "yaml", "--dry-run"),
		"- table: organisations\n  restored: 3\n  replaced: 0\n  kept: 0\n  dry_run: true\n")
	require.Contains(t, restored(t, target, file, "-o", "json"), `"table": "apis",
    "restored": 301,`)
}

// definitionsOf returns the indexes, and the constraints, of a database, and which index each name stands for.
func definitionsOf(t *testing.T, conn string) (definitions, identities []string) {
	t.Helper()
	definitions = storetest.Value[[]string](t, conn, `SELECT array_agg(line ORDER BY line) FROM (
		SELECT indexdef AS line FROM pg_indexes WHERE schemaname = current_schema()
		UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || convalidated || pg_get_constraintdef(oid)
		FROM pg_constraint WHERE connamespace = current_schema()::regnamespace) AS lines`)
	return definitions, storetest.Value[[]string](t, conn, `SELECT array_agg(indexrelid::regclass || ' ' || indexrelid
		ORDER BY indexrelid) FROM pg_index WHERE indrelid IN ('policies'::regclass, 'organisations'::regclass)`)
}

// TestRestoreOfManyRows: the indexes of a table that gets many rows are made anew, unless somebody reads it meanwhile.
func TestRestoreOfManyRows(t *testing.T) {
	t.Parallel()
	source := fullDatabase(t)
	storetest.Exec(t, source, `INSERT INTO policies (id, policy_id, org_id, document)
		SELECT 'many' || n, 'many' || n, 'org2', '{}' FROM generate_series(1, 20000) AS n`)
	file := backedUp(t, source)
	want, _ := definitionsOf(t, source)

	target := storetest.Database(t)
	_, before := definitionsOf(t, target)
	restored(t, target, file, "--dry-run")
	broken := rewritten(t, file, func(*backup.Header) {}, func(table string, values [][]byte) [][]byte {
		if table == "policies" && string(values[0]) == "many20000" {
			values[slices.Index(headerOf(t, file).Tables[4].Columns, "org_id")] = []byte("nobody")
		}
		return values
	})
	require.Contains(t, refused(t, target, broken), "unknown organisation (constraint policies_org_id_fkey)")
	_, after := definitionsOf(t, target)
	require.Equal(t, before, after)
	restored(t, target, file)
	got, after := definitionsOf(t, target)
	require.Equal(t, want, got)
	require.NotEqual(t, before, after)
	require.Equal(t, rowsOf(t, source), rowsOf(t, target))

	read := storetest.Database(t)
	_, before = definitionsOf(t, read)
	reader, err := pgx.Connect(t.Context(), read)
	require.NoError(t, err)
	defer reader.Close(t.Context())
	_, err = reader.Exec(t.Context(), `BEGIN; SELECT FROM policies`)
	require.NoError(t, err)
	restored(t, read, file)
	got, after = definitionsOf(t, read)
	require.Equal(t, want, got)
	require.Equal(t, before, after)
	require.Equal(t, rowsOf(t, source), rowsOf(t, read))
}

// TestBackupIsASnapshot backs up while transactions move the number of a document from one table to another.
func TestBackupIsASnapshot(t *testing.T) {
	t.Parallel()
	conn := fullDatabase(t)
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for writer := range 2 {
		writing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", writer, n)
				storetest.Exec(t, conn, `WITH org AS (
						INSERT INTO organisations (id, sso_enabled, document) VALUES ('`+id+`', false, '{}')
					) SELECT 1`)
				storetest.Exec(t, conn, `WITH policy AS (
						INSERT INTO policies (id, policy_id, org_id, document) VALUES ('`+id+`', '`+id+`', '`+id+`', '{}')
					), key AS (INSERT INTO org_keys (org_id, session) VALUES ('`+id+`', '{}'))
					INSERT INTO apis (api_id, id, org_id, active, document) VALUES ('`+id+`', '`+id+`', '`+id+`', true, '{}')`)
			}
		})
	}
	defer writing.Wait()
	defer close(stop)
	for range 10 {
		header := headerOf(t, backedUp(t, conn))
		rows := map[string]int64{}
		for _, table := range header.Tables {
			rows[table.Name] = table.Rows
		}
		require.Equal(t, rows["apis"]-301, rows["policies"]-40)
		require.Equal(t, rows["apis"]-301, rows["org_keys"]-2)
		require.GreaterOrEqual(t, rows["organisations"]-3, rows["apis"]-301)
	}
}

// TestRestoreBesideARunningServer deletes an organisation and restores it. The server on the private Postgres and its
// gateway serve it again, without a restart.
func TestRestoreBesideARunningServer(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, true)
	ok(s.client().CreateOrgKeyWithResponse(t.Context(), json.RawMessage(`{"org_id":"`+s.org+`","rate":7,"per":60}`)))(t)
	before := s.page("/admin/apis")
	file := filepath.Join(t.TempDir(), "gatehouse.backup")
	output, err := s.command("backup", file).CombinedOutput()
	require.NoError(t, err, string(output))
	ok(s.client().DeleteOrgWithResponse(t.Context(), s.org))(t)
	eventually(t, "the gateway serves nothing", func() bool { return len(s.gateway.APIs()) == 0 })
	output, err = s.command("restore", file).CombinedOutput()
	require.NoError(t, err, string(output))
	s.gateway.WaitForAPI(t, "harbour", bound)
	require.Equal(t, before, s.page("/admin/apis"))
	key := ok(s.client().GetOrgKeyWithResponse(t.Context(), s.org))(t)
	require.Contains(t, string(key.Body), `"rate":7`)
}
