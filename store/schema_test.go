package store_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// connect connects to a database, past the store.
func connect(t *testing.T, connString string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), connString)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(t.Context()) })
	return conn
}

// constraint is a constraint of the schema, or an index that holds a rule or finds rows.
type constraint struct {
	Table, Name string
	// Kind is the kind of pg_constraint: p (primary key), u (unique), f (foreign key), c (check), x (exclusion); i is
	// an index that is not unique.
	Kind string
}

func constraints(t *testing.T, connString string) []constraint {
	t.Helper()
	rows, _ := connect(t, connString).Query(t.Context(), `
		SELECT conrelid::regclass::text AS "table", conname AS name, contype::text AS kind FROM pg_constraint
		WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'u', 'f', 'c', 'x')
			AND conrelid <> 0 AND conrelid NOT IN ($1::regclass, $2::regclass)
		UNION
		SELECT indrelid::regclass::text, relname, CASE WHEN indisunique THEN 'u' ELSE 'i' END
		FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
		WHERE relnamespace = current_schema()::regnamespace AND indrelid NOT IN ($1::regclass, $2::regclass)
			AND NOT indisprimary
		ORDER BY 1, 2`, store.VersionTable, store.ContractVersionTable)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[constraint])
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

func TestEveryConstraintHasItsError(t *testing.T) {
	t.Parallel()
	unused := store.ConstraintErrors()
	for _, c := range constraints(t, storetest.Database(t)) {
		if c.Kind != "i" && store.ConstraintError(c.Name) == nil {
			t.Errorf("the constraint %s has no error: add one to constraintErrors (store/errors.go)", c.Name)
		}
		delete(unused, c.Name)
	}
	for name := range unused {
		t.Errorf("constraintErrors (store/errors.go) has %s, which is no constraint of migrations/: remove or rename it", name)
	}
}

// TestConstraintErrors has the error of each constraint that a request can violate.
func TestConstraintErrors(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{
		"organisations_cname_key": store.ErrConflict, "organisations_id_check": store.ErrMalformed,
		"users_email_key": store.ErrConflict, "users_access_key_key": store.ErrAccessKeyTaken,
		"users_org_id_fkey": store.ErrUnknownOrganisation,
		"apis_pkey":         store.ErrConflict, "apis_id_key": store.ErrConflict,
		"apis_org_id_fkey":  store.ErrUnknownOrganisation,
		"apis_api_id_check": store.ErrMalformed, "apis_id_check": store.ErrMalformed,
		"policies_pkey": store.ErrConflict, "policies_policy_id_key": store.ErrConflict,
		"policies_org_id_fkey": store.ErrUnknownOrganisation,
		"policies_id_check":    store.ErrMalformed, "policies_policy_id_check": store.ErrMalformed,
		"org_keys_org_id_fkey":   store.ErrUnknownOrganisation,
		"sso_nonces_org_id_fkey": store.ErrUnknownOrganisation,
	} {
		require.ErrorIs(t, store.ConstraintError(name), want, name)
	}
	for _, name := range []string{"users_pkey", "users_position_key", "users_email_key_check", "nodes_session_id_key"} {
		err := store.ConstraintError(name)
		require.Error(t, err, name)
		for _, caused := range []error{
			store.ErrConflict, store.ErrAccessKeyTaken, store.ErrUnknownOrganisation, store.ErrMalformed, store.ErrNotFound,
		} {
			require.NotErrorIs(t, err, caused, name)
		}
	}
}

func TestConstraintsAreNamedAfterTheirKind(t *testing.T) {
	t.Parallel()
	suffix := map[string]string{"p": "_pkey", "u": "_key", "f": "_fkey", "c": "_check", "x": "_excl", "i": "_idx"}
	for _, c := range constraints(t, storetest.Database(t)) {
		require.Regexp(t, `^`+regexp.QuoteMeta(c.Table)+`_.*`+suffix[c.Kind]+`$|^`+c.Table+`_pkey$`, c.Name)
	}
}

// TestRulesOfColumnsDoNotKeepTheServerFromStarting: rows that were written before a rule, past the store, may break it.
func TestRulesOfColumnsDoNotKeepTheServerFromStarting(t *testing.T) {
	t.Parallel()
	connString := storetest.DatabaseAtVersion(t, 4)
	storetest.Exec(t, connString, `INSERT INTO organisations (id, cname_key, sso_enabled, document) VALUES
		('1', 'Not.Lower.Example', false, '{}'), ('2', 'lower.example', false, '{}')`)
	storetest.Exec(t, connString, `INSERT INTO users (id, email_address, email_key, first_name, last_name, active,
		access_key, user_permissions, group_id, password_max_days, created_at) VALUES
		('3', 'a', 'a', '', '', true, 'k', '{}', '', 0, now())`)
	s := storetest.Open(t, connString)
	t.Cleanup(s.Close)
	_, err := s.Organisation(t.Context(), "1")
	require.NoError(t, err)
	_, err = s.User(t.Context(), "3")
	require.NoError(t, err)
	rows, _ := connect(t, connString).Query(t.Context(), `SELECT conname FROM pg_constraint WHERE NOT convalidated`)
	unvalidated, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"organisations_cname_key_check"}, unvalidated)
}

// TestDocumentsThatPostgresCannotRead: Postgres has no text with NUL. What is derived of documents for indexes must not
// keep another program from storing one, nor a server from upgrading a database that has one.
func TestDocumentsThatPostgresCannotRead(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	storetest.Exec(t, conn, `INSERT INTO organisations (id, sso_enabled, document) VALUES ('org', false, '{}')`)
	for i, member := range []string{`"name":"\u0000"`, `"proxy":{"listen_path":"\u0000"}`, `"domain":"\u0000"`, `"active":"\u0000"`} {
		storetest.Exec(t, conn, `INSERT INTO apis (api_id, id, org_id, active, document) VALUES ($1, $1, 'org', true, $2)`,
			strconv.Itoa(i), `{"api_definition":{`+member+`}}`)
	}
	require.Equal(t, 4, storetest.Value[int](t, conn, `SELECT count(*) FROM apis`))
}

// TestIndexesOfManyDocuments: Postgres makes the indexes of a large table with parallel workers, which cannot begin the
// subtransactions of functions that catch errors. So do upgrades, pg_restore and REINDEX.
func TestIndexesOfManyDocuments(t *testing.T) {
	t.Parallel()
	connString := storetest.DatabaseAtVersion(t, 14)
	storetest.Exec(t, connString, `INSERT INTO organisations (id, sso_enabled, document) VALUES ('org', false, '{}')`)
	storetest.Exec(t, connString, `INSERT INTO apis (api_id, id, org_id, active, document)
		SELECT 'api' || n, 'id' || n, 'org', true, '{"api_definition":{"name":"a","proxy":{"listen_path":"/a"}}}'
		FROM generate_series(1, 1000) AS n`)
	name := storetest.Value[string](t, connString, `SELECT current_database()::text`)
	storetest.Exec(t, connString, `ALTER DATABASE `+name+` SET min_parallel_table_scan_size = 0`)
	storetest.Exec(t, connString, `ALTER DATABASE `+name+` SET parallel_setup_cost = 0`)
	storetest.Exec(t, connString, `ALTER DATABASE `+name+` SET parallel_tuple_cost = 0`)
	s := storetest.Open(t, connString)
	t.Cleanup(s.Close)
	storetest.Exec(t, connString, `UPDATE apis SET search = NULL; REINDEX TABLE apis`)
	n, err := s.CountAPIs(t.Context(), store.APIFilter{Text: "a"})
	require.NoError(t, err)
	require.Equal(t, 1000, n)
}

// TestExistingRowsAreInLowerCase: addresses that were stored before they were stored in lower case are changed, and
// cnames that are no host names give up their key.
func TestExistingRowsAreInLowerCase(t *testing.T) {
	t.Parallel()
	connString := storetest.DatabaseAtVersion(t, 5)
	storetest.Exec(t, connString, `INSERT INTO organisations (id, cname_key, sso_enabled, document) VALUES
		('1', '<no value>', false, '{"cname":"<no value>"}'), ('2', 'portal_1.example:3000', false, '{}'), ('3', 'bücher.example', false, '{}'),
		('4', NULL, false, '{}'), ('5', 'http://x.example/', false, '{}')`)
	storetest.Exec(t, connString, `INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active,
		access_key, user_permissions, group_id, password_max_days, created_at) VALUES
		('6', '1', 'Ada@Example.org', 'ada@example.org', '', '', true, 'k6', '{}', '', 0, now()),
		('7', '2', 'ADA@example.org', 'ada@example.org', '', '', true, 'k7', '{}', '', 0, now()),
		('8', NULL, 'Other@example.org', 'not its key', '', '', true, 'k8', '{}', '', 0, now())`)
	s := storetest.Open(t, connString)
	t.Cleanup(s.Close)
	for id, want := range map[string]string{"6": "ada@example.org", "7": "ada@example.org", "8": "Other@example.org"} {
		user, err := s.User(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, user.EmailAddress)
	}
	rows, _ := connect(t, connString).Query(t.Context(), `SELECT coalesce(cname_key, '') FROM organisations ORDER BY position`)
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"", "portal_1.example:3000", "bücher.example", "", ""}, keys)
}
