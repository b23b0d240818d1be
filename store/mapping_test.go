package store_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// mappings has a test for each table: it stores a struct in which no field is zero, and compares each field with the
// row, and what is read with the row. A field that is not written or read, and a column that no field has, turn it red
// by name.
var mappings = map[string]func(*testing.T, *mappingTest){
	"users":         testMappingOfUsers,
	"organisations": testMappingOfOrganisations,
	"apis":          testMappingOfAPIs,
	"policies":      testMappingOfPolicies,
	"org_keys":      testMappingOfOrgKeys,
	"org_key_sync":  func(*testing.T, *mappingTest) {}, // a reconciler's state: internal/gatewaysync tests it
	"sso_nonces":    testMappingOfNonces,
	"nodes":         testMappingOfNodes,
}

func TestEveryTableIsMapped(t *testing.T) {
	t.Parallel()
	tables := tablesOf(t, storetest.Database(t))
	assert.ElementsMatch(t, tables, slices.Collect(maps.Keys(mappings)),
		"mappings (store/mapping_test.go) against migrations/")
	for table, test := range mappings {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			s := storetest.Open(t, conn)
			t.Cleanup(s.Close)
			test(t, &mappingTest{Store: s, conn: conn, table: table})
		})
	}
}

// tablesOf lists the tables of the schema but that of the migrations.
func tablesOf(t *testing.T, connString string) []string {
	t.Helper()
	rows, _ := connect(t, connString).Query(t.Context(), `
		SELECT relname FROM pg_class
		WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace AND relname <> $1`,
		store.VersionTable)
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
		case name == "OrgID" && m.table != "organisations":
			org := organisation(t, m.Store)
			if field.Kind() == reflect.Pointer {
				field.Set(reflect.ValueOf(&org))
			} else {
				field.SetString(org)
			}
		case field.Type() == reflect.TypeFor[json.RawMessage]():
			field.SetBytes(fmt.Appendf(nil, `{"%s":%d}`, name, n))
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

func testMappingOfUsers(t *testing.T, m *mappingTest) {
	ctx := t.Context()
	made := []string{"id", "position", "email_key", "password_updated", "last_login_date", "created_at"}
	params := fill[store.UserParams](t, m, 1)
	user, err := m.CreateUser(ctx, params)
	require.NoError(t, err)
	storetest.Exec(t, m.conn, `UPDATE users SET last_login_date = now() - interval '1 day'`) // no function does
	params.AccessKey = user.AccessKey                                                        // a new one
	requireMapped(t, m.row(t), fields(t, params), made...)

	params = fill[store.UserParams](t, m, 2)
	_, err = m.UpdateUser(ctx, user.ID, params)
	require.NoError(t, err)
	row := m.row(t)
	requireMapped(t, row, fields(t, params), made...)

	kept := params
	kept.OrgID, kept.UserPermissions, kept.AccessKey, kept.PasswordHash = nil, nil, "", ""
	_, err = m.UpdateUser(ctx, user.ID, kept)
	require.NoError(t, err)
	require.Equal(t, row, m.row(t), "what is optional keeps its value")

	reads := map[string]func() (store.User, error){
		"User":             func() (store.User, error) { return m.User(ctx, user.ID) },
		"UserByAccessKey":  func() (store.User, error) { return m.UserByAccessKey(ctx, params.AccessKey) },
		"UpdateUser":       func() (store.User, error) { return m.UpdateUser(ctx, user.ID, kept) },
		"SetResetPassword": func() (store.User, error) { return m.SetResetPassword(ctx, user.ID, true) },
		"Users": func() (u store.User, err error) {
			for u, err = range m.Users(ctx, store.UserFilter{}) {
				require.NoError(t, err)
			}
			return u, err
		},
	}
	for name, read := range reads {
		u, err := read()
		require.NoError(t, err, name)
		requireMapped(t, m.row(t), fields(t, u), "position", "email_key", "password_hash")
	}
}

func testMappingOfOrganisations(t *testing.T, m *mappingTest) {
	org := fill[store.Organisation](t, m, 1)
	id, err := m.CreateOrganisation(t.Context(), org)
	require.NoError(t, err)
	org.ID = id
	requireMapped(t, m.row(t), fields(t, org, "CName", "cname_key"), "position")

	writes := map[string]func(store.Organisation) error{
		"ReplaceOrganisation": func(o store.Organisation) error { return m.ReplaceOrganisation(t.Context(), o) },
		"EditOrganisation": func(o store.Organisation) error {
			return m.EditOrganisation(t.Context(), id, func(store.Row) store.Organisation { return o })
		},
		"ImportOrganisation": func(o store.Organisation) error {
			_, err := m.ImportOrganisation(t.Context(), o)
			return err
		},
	}
	n := 1
	for name, write := range writes {
		n++
		org := fill[store.Organisation](t, m, n)
		org.ID = id
		require.NoError(t, write(org), name)
		requireMapped(t, m.row(t), fields(t, org, "CName", "cname_key"), "position")
	}
}

func testMappingOfAPIs(t *testing.T, m *mappingTest) {
	api := fill[store.API](t, m, 1)
	for n := range 2 {
		api.ID, api.Document = fmt.Sprintf("id-%d", n), fmt.Appendf(nil, `{"n":%d}`, n)
		refused, err := m.ImportAPIs(t.Context(), "check", func(yield func(store.API, error) bool) { yield(api, nil) })
		require.NoError(t, err)
		require.Empty(t, refused)
		requireMapped(t, m.row(t), fields(t, api, "APIID", "api_id"), "position", "loadable", "checked_by", "digest")
	}
}

func testMappingOfPolicies(t *testing.T, m *mappingTest) {
	policy := fill[store.Policy](t, m, 1)
	for n := range 2 {
		policy.ExplicitID, policy.Document = fmt.Sprintf("id-%d", n), fmt.Appendf(nil, `{"n":%d}`, n)
		refused, err := m.ImportPolicies(t.Context(), "check", func(yield func(store.Policy, error) bool) {
			yield(policy, nil)
		})
		require.NoError(t, err)
		require.Empty(t, refused)
		stored := fields(t, policy, "ExplicitID", "policy_id")
		requireMapped(t, m.row(t), stored, "position", "loadable", "checked_by", "digest")
	}
}

func testMappingOfOrgKeys(t *testing.T, m *mappingTest) {
	key := fill[store.OrgKey](t, m, 1)
	require.NoError(t, m.WriteOrgKey(t.Context(), store.OrgKeyChange{OrgKey: key}))
	requireMapped(t, m.row(t), fields(t, key))
	key.Session = json.RawMessage(`{"n":2}`)
	require.NoError(t, m.WriteOrgKey(t.Context(), store.OrgKeyChange{OrgKey: key}))
	read, err := m.OrgKey(t.Context(), key.OrgID)
	require.NoError(t, err)
	requireMapped(t, m.row(t), fields(t, read))
}

func testMappingOfNonces(t *testing.T, m *mappingTest) {
	on := fill[store.SignOn](t, m, 1)
	_, err := m.CreateNonce(t.Context(), on)
	require.NoError(t, err)
	requireMapped(t, m.row(t), fields(t, on, "Email", "email_key"), "nonce_hash", "expires_at")
}

func testMappingOfNodes(t *testing.T, m *mappingTest) {
	for _, host := range []string{"host", "another host"} {
		id, err := m.RegisterNode(t.Context(), "session", host)
		require.NoError(t, err)
		nodes, err := m.Nodes(t.Context())
		require.NoError(t, err)
		require.Len(t, nodes, 1)
		require.Equal(t, []string{id, "session", host}, []string{nodes[0].ID, nodes[0].SessionID, nodes[0].Hostname})
		requireMapped(t, m.row(t), fields(t, nodes[0]))
	}
}
