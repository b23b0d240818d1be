package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// fixture is a database with all servers on it.
type fixture struct {
	connString string
	conn       *pgx.Conn
	servers    servers
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	needClientPrograms(t)
	b, err := open(t.Context(), tinyPlan(t), io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.close(t.Context())) })
	f := &fixture{}
	f.connString, err = b.database(t.Context(), "alternatives")
	require.NoError(t, err)
	require.NoError(t, fill(t.Context(), f.connString, owners, owners*len(contenders())))
	f.servers, err = b.startAll(t.Context(), f.connString, contenders()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.servers.stop(t.Context())) })
	f.conn, err = pgx.Connect(t.Context(), f.connString)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.conn.Close(t.Context())) })
	return f
}

// send sends a small request and returns the response, which must be a 200.
func (f *fixture) send(t *testing.T, server string, r request, number int) map[string]any {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.servers[server].address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(r(nil, number))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", server, text)
	var body map[string]any
	require.NoError(t, json.Unmarshal(text, &body), "%s: %s", server, text)
	return body
}

// storedRow returns a row of a table, which has a value in a column, with all its columns except
// some.
func (f *fixture) storedRow(t *testing.T, table, column, value string, except ...string) map[string]any {
	t.Helper()
	sql := fmt.Sprintf(`SELECT to_jsonb(stored) - $2::text[] FROM %s AS stored WHERE %s = $1`, table, column)
	var row map[string]any
	require.NoError(t, f.conn.QueryRow(t.Context(), sql, value, except).Scan(&row))
	return row
}

// requireSubset requires that every member of got has the same value in want. Members in ignored
// may differ.
func requireSubset(t *testing.T, want, got any, ignored ...string) {
	t.Helper()
	gotObject, ok := got.(map[string]any)
	if !ok {
		require.Equal(t, want, got)
		return
	}
	wantObject, ok := want.(map[string]any)
	require.True(t, ok, "an object in place of %v", want)
	skip := map[string]bool{}
	for _, name := range ignored {
		skip[name] = true
	}
	for name, value := range gotObject {
		require.Contains(t, wantObject, name)
		if !skip[name] {
			requireSubset(t, wantObject[name], value, ignored...)
		}
	}
}

// TestAlternativesMatchGatehouse compares the other servers with gatehouse, so that the benchmark's
// copy of the SQL cannot drift from what gatehouse runs: responses may lack members of gatehouse's,
// but must not differ, and stored rows must be the same in every column.
func TestAlternativesMatchGatehouse(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	// number returns a number for each server whose user belongs to the same organisation.
	number := func(server int) int { return server * owners }

	t.Run("reads", func(t *testing.T) {
		for name, r := range map[string]request{"user": getUser, "organisation": getOrganisation} {
			want := f.send(t, gatehouse, r, 1)
			for _, server := range contenders()[1:] {
				t.Run(server+" "+name, func(t *testing.T) { requireSubset(t, want, f.send(t, server, r, 1)) })
			}
		}
	})
	t.Run("allow_reset", func(t *testing.T) {
		identity := []string{"id", "position", "access_key", "email_address", "email_key", "created_at"}
		want := f.send(t, gatehouse, allowReset, number(0))
		wantRow := f.storedRow(t, "users", "id", userID(number(0)), identity...)
		require.Contains(t, wantRow["user_permissions"], "ResetPassword")
		for i, server := range contenders() {
			t.Run(server, func(t *testing.T) {
				requireSubset(t, want, f.send(t, server, allowReset, number(i)), identity...)
				require.Equal(t, wantRow, f.storedRow(t, "users", "id", userID(number(i)), identity...))
			})
		}
	})
	t.Run("create_user", func(t *testing.T) {
		identity := []string{"id", "position", "access_key", "email_address", "email_key", "created_at", "Message"}
		create := func(t *testing.T, server, number int) (response, row map[string]any) {
			t.Helper()
			response = f.send(t, contenders()[server], createUser, number)
			address := response["Meta"].(map[string]any)["email_address"].(string)
			return response, f.storedRow(t, "users", "email_key", address, identity...)
		}
		want, wantRow := create(t, 0, number(0))
		for i, server := range contenders()[1:] {
			t.Run(server, func(t *testing.T) {
				got, row := create(t, i+1, number(i+1))
				requireSubset(t, want, got, identity...)
				require.Equal(t, wantRow, row)
			})
		}
	})
	t.Run("sso", func(t *testing.T) {
		identity := []string{"nonce_hash", "email_key", "document", "expires_at", "Meta"}
		// requireExpiry requires that the nonces of a server and of gatehouse, which was sent its request
		// just before, expire at about the same time.
		requireExpiry := func(t *testing.T, server int) {
			t.Helper()
			const precision = 20 // seconds
			var difference float64
			require.NoError(t, f.conn.QueryRow(t.Context(), `
				SELECT extract(epoch FROM server.expires_at - gatehouse.expires_at)
				FROM sso_nonces AS server, sso_nonces AS gatehouse
				WHERE server.email_key = $1 AND gatehouse.email_key = $2`,
				email(number(server)), email(number(0))).Scan(&difference))
			require.InDelta(t, 0, difference, precision)
		}
		create := func(t *testing.T, server int) (response, row map[string]any) {
			t.Helper()
			response = f.send(t, contenders()[server], signOn, number(server))
			return response, f.storedRow(t, "sso_nonces", "email_key", email(number(server)), identity...)
		}
		want, wantRow := create(t, 0)
		for i, server := range contenders()[1:] {
			t.Run(server, func(t *testing.T) {
				got, row := create(t, i+1)
				requireSubset(t, want, got, identity...)
				require.Equal(t, wantRow, row)
				requireExpiry(t, i+1)
			})
		}
	})
	for _, k := range []kind{apis(), policies()} {
		t.Run("import of "+k.table, func(t *testing.T) { f.compareImports(t, k) })
	}
}

// compareImports compares the columns and documents that the servers store in gatehouse's tables.
// stock has tables of its own, and ogen loses what the contract does not name.
func (f *fixture) compareImports(t *testing.T, k kind) {
	t.Helper()
	const documents = 10
	corpus, err := k.write(t.TempDir(), documents)
	require.NoError(t, err)
	importWith := func(t *testing.T, server, columns string) (rows []string) {
		t.Helper()
		_, err := f.conn.Exec(t.Context(), "TRUNCATE "+k.table)
		require.NoError(t, err)
		sent, err := upload(t.Context(), f.servers[server], k.path+"/import", corpus.body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, sent.status, sent.body)
		sql := fmt.Sprintf(`SELECT to_jsonb(stored)::text FROM (SELECT %s FROM %s ORDER BY position) AS stored`,
			columns, k.table)
		found, _ := f.conn.Query(t.Context(), sql) // CollectRows returns the error of Query
		rows, err = pgx.CollectRows(found, pgx.RowTo[string])
		require.NoError(t, err)
		require.Len(t, rows, documents)
		return rows
	}
	const document = ", document::text"
	require.Equal(t, importWith(t, gatehouse, k.columns+document), importWith(t, bare, k.columns+document))
	if k.prefix == "" {
		require.Equal(t, importWith(t, gatehouse, k.columns), importWith(t, ogen, k.columns))
	}
}
