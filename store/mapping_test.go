package store_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestEveryTableIsMapped runs the mapping of each table (tables_test.go). It stores a struct in which no field is zero,
// and compares each field with the row, and what is read with the row. A field that is not written or read, and a
// column that no field has, turn it red by name.
func TestEveryTableIsMapped(t *testing.T) {
	t.Parallel()
	described := map[string]bool{}
	for _, table := range tables {
		described[table.name] = true
	}
	for _, name := range tablesOf(t, storetest.Database(t)) {
		if !described[name] {
			t.Errorf("the table %s has no entry in tables (store/tables_test.go): add its mapping, calls and rows", name)
		}
		delete(described, name)
	}
	for name := range described {
		t.Errorf("tables (store/tables_test.go) has %s, which is no table of migrations/: remove or rename it", name)
	}
	for _, table := range tables {
		t.Run(table.name, func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			s := storetest.Open(t, conn)
			t.Cleanup(s.Close)
			table.mapping(t, &mappingTest{Store: s, conn: conn, table: table.name})
		})
	}
}

// tablesOf lists the tables of the schema but those of the migrations.
func tablesOf(t *testing.T, connString string) []string {
	t.Helper()
	rows, _ := connect(t, connString).Query(t.Context(), `
		SELECT relname FROM pg_class
		WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
			AND relname NOT IN ($1, $2)`, store.VersionTable, store.ContractVersionTable)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return tables
}

type mappingTest struct {
	*store.Store

	conn, table string
}

// values are the values of a row by column, or those of the fields of a struct, as JSON.
type values map[string]any

// mapped has the values of a struct's fields by column, and the name of the struct.
type mapped struct {
	structure string
	values    values
}

// row returns the only row of the table.
func (m *mappingTest) row(t *testing.T) values {
	t.Helper()
	rows, _ := connect(t, m.conn).Query(t.Context(), `SELECT to_jsonb(t) FROM `+m.table+` AS t`)
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[map[string]any])
	require.NoError(t, err)
	return normalized(row)
}

// fields returns the values of a struct's fields. The column of a field has the name of the field in snake case, or
// another one: renamed has pairs of a field and its column.
func fields(t *testing.T, structure any, renamed ...string) mapped {
	t.Helper()
	names := map[string]string{}
	for pair := range slices.Chunk(renamed, 2) {
		names[pair[0]] = pair[1]
	}
	found := values{}
	v := reflect.ValueOf(structure)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Type().Field(i).Tag.Get("db") == "-" { // is not stored
			continue
		}
		require.False(t, v.Field(i).IsZero(), "%T.%s is zero", structure, name)
		column, ok := names[name]
		if !ok {
			column = snake(name)
		}
		raw, err := json.Marshal(v.Field(i).Interface())
		require.NoError(t, err)
		var value any
		require.NoError(t, json.Unmarshal(raw, &value))
		found[column] = value
	}
	return mapped{v.Type().String(), normalized(found)}
}

// normalized has times in UTC.
func normalized(v values) values {
	for name, value := range v {
		if text, ok := value.(string); ok {
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				v[name] = at.UTC().Format(time.RFC3339Nano)
			}
		}
	}
	return v
}

var wordStart = regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)

// snake returns the name of the column of a field: OrgID is org_id, SSOEnabled is sso_enabled.
func snake(field string) string {
	return strings.ToLower(wordStart.ReplaceAllString(field, "${1}${3}_${2}${4}"))
}

// requireMapped requires that each field of a struct is in its column, and each column has a field or is one of the
// others.
func requireMapped(t *testing.T, row values, fields mapped, others ...string) {
	t.Helper()
	for column, value := range fields.values {
		require.Contains(t, row, column, "a field of %s has no column", fields.structure)
		require.Equal(t, value, row[column], "the field of %s for the column %s is not stored or not read",
			fields.structure, column)
	}
	for column, value := range row {
		_, ok := fields.values[column]
		require.True(t, ok || slices.Contains(others, column),
			"%s has no field for the column %s. Add it, or list the column in this test.", fields.structure, column)
		require.NotNil(t, value, "the column %s is not written", column)
	}
}

// fill returns a T whose fields have values that are not zero, and are different for different n.
func fill[T any](t *testing.T, m *mappingTest, n int) (v T) {
	t.Helper()
	structure := reflect.ValueOf(&v).Elem()
	for i := range structure.NumField() {
		field, name := structure.Field(i), structure.Type().Field(i).Name
		switch {
		case structure.Type().Field(i).Tag.Get("db") == "-": // is not stored
		case name == "OrgID" && m.table != "organisations":
			org := organisation(t, m.Store)
			if field.Kind() == reflect.Pointer {
				field.Set(reflect.ValueOf(&org))
			} else {
				field.SetString(org)
			}
		case field.Type() == reflect.TypeFor[json.RawMessage]():
			field.SetBytes(fmt.Appendf(nil, `{"%s":%d}`, name, n))
		case field.Type() == reflect.TypeFor[time.Time]():
			field.Set(reflect.ValueOf(time.Unix(int64(n), 0)))
		case field.Kind() == reflect.String:
			field.SetString(fmt.Sprintf("%s-%d", strings.ToLower(name), n))
		case field.Kind() == reflect.Bool:
			field.SetBool(true)
		case field.CanInt():
			field.SetInt(int64(1000*n + i))
		case field.Type() == reflect.TypeFor[map[string]string]():
			field.Set(reflect.ValueOf(map[string]string{name: strconv.Itoa(n)}))
		default:
			require.Failf(t, "fill does not know the type", "%s %s", name, field.Type())
		}
	}
	return v
}
