package store_test

import (
	"regexp"
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
			AND conrelid <> 0 AND conrelid <> $1::regclass
		UNION
		SELECT indrelid::regclass::text, relname, CASE WHEN indisunique THEN 'u' ELSE 'i' END
		FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
		WHERE relnamespace = current_schema()::regnamespace AND indrelid <> $1::regclass AND NOT indisprimary
		ORDER BY 1, 2`, store.VersionTable)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[constraint])
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

func TestEveryConstraintHasItsError(t *testing.T) {
	t.Parallel()
	missing, unused := []string{}, store.ConstraintErrors()
	for _, c := range constraints(t, storetest.Database(t)) {
		if _, ok := unused[c.Name]; !ok && c.Kind != "i" {
			missing = append(missing, c.Name)
		}
		delete(unused, c.Name)
	}
	require.Empty(t, missing, "byConstraint in store/errors.go lacks constraints of migrations/")
	require.Empty(t, unused, "byConstraint in store/errors.go has constraints that do not exist")
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
