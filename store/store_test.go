package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/migrations"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func config(connString string) store.Config {
	return store.Config{ConnString: connString, Now: time.Now, IDs: store.NewIDs(time.Now)}
}

func TestManyServersMigrateAtOnce(t *testing.T) {
	t.Parallel()
	conn := storetest.EmptyDatabase(t)
	var starting sync.WaitGroup
	for range 8 {
		starting.Go(func() {
			s, err := store.Open(t.Context(), config(conn))
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	starting.Wait()
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	storetest.Exec(t, conn, `UPDATE gatehouse_schema_version SET version = version + 1`)
	_, err := store.Open(t.Context(), config(conn))
	require.ErrorIs(t, err, store.ErrNewerDatabase)
	name := storetest.Value[string](t, conn, `SELECT current_database()`)
	version := storetest.Value[int](t, conn, `SELECT version FROM gatehouse_schema_version`)
	require.ErrorContains(t, err, fmt.Sprintf("database %q has schema version %d, this program has %d", name, version, version-1))
}

// TestBrokenMigrationChangesNothing has two migrations of which the second fails, on a database that has some already
// and on an empty one: the first is not applied either.
func TestBrokenMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	for name, conn := range map[string]string{
		"upgrade": storetest.DatabaseAtVersion(t, 2), "empty": storetest.EmptyDatabase(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := fstest.MapFS{}
			paths, err := fs.Glob(migrations.Files, "*.sql")
			require.NoError(t, err)
			for _, path := range paths {
				text, err := migrations.Files.ReadFile(path)
				require.NoError(t, err)
				files[path] = &fstest.MapFile{Data: text}
			}
			broken := fmt.Sprintf("%03d_broken.sql", len(paths)+2)
			files[fmt.Sprintf("%03d_added.sql", len(paths)+1)] = &fstest.MapFile{Data: []byte(`CREATE TABLE added (a int);`)}
			files[broken] = &fstest.MapFile{Data: []byte(`CREATE TABLE other (a int); SELECT 1 / 0;`)}
			const objects = `SELECT coalesce(string_agg(oid || relname, ' ' ORDER BY oid), '') FROM pg_class
				WHERE relnamespace = 'public'::regnamespace`
			before := storetest.Value[string](t, conn, objects)
			migrating := connect(t, conn)
			err = store.Migrate(t.Context(), migrating, files)
			require.ErrorContains(t, err, "migration failed")
			require.ErrorContains(t, err, broken)
			require.Equal(t, before, storetest.Value[string](t, conn, objects))
			if name == "upgrade" {
				require.Equal(t, 2, storetest.Value[int](t, conn, `SELECT version FROM gatehouse_schema_version`))
			}
			require.NoError(t, migrating.Close(t.Context())) // releases the lock
			storetest.Open(t, conn).Close()
		})
	}
}

func organisation(t *testing.T, s *store.Store) string {
	t.Helper()
	id, err := s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	return id
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	org := organisation(t, s)
	ctx := t.Context()
	_, err := s.CreateOrganisation(ctx, store.Organisation{CName: "a.example", Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	_, err = s.CreateOrganisation(ctx, store.Organisation{CName: "A.example", Document: json.RawMessage(`{}`)})
	require.ErrorIs(t, err, store.ErrConflict)
	require.NotContains(t, err.Error(), "a.example", "the driver's text quotes the value")
	_, err = s.Organisation(ctx, "none")
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = s.User(ctx, "\x00")
	require.ErrorIs(t, err, store.ErrMalformed)
	nowhere := "none"
	_, err = s.CreateUser(ctx, store.UserParams{OrgID: &nowhere, EmailAddress: "a@b.example"})
	require.ErrorIs(t, err, store.ErrUnknownOrganisation)
	a, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: "a@b.example"})
	require.NoError(t, err)
	b, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: "b@b.example"})
	require.NoError(t, err)
	_, err = s.UpdateUser(ctx, b.ID, store.UserParams{EmailAddress: "b@b.example", AccessKey: a.AccessKey})
	require.ErrorIs(t, err, store.ErrAccessKeyTaken)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.User(cancelled, a.ID)
	require.ErrorIs(t, err, context.Canceled)
}

func TestListReleasesItsConnectionWhenItsReaderStops(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for range 5 {
		organisation(t, s)
	}
	for range 100 { // more than there are connections
		for row, err := range s.Organisations(t.Context(), store.OrganisationFilter{}) {
			require.NoError(t, err)
			require.NotEmpty(t, row.ID)
			break
		}
	}
}

func TestImportThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	org := organisation(t, s)
	before := storetest.Dump(t, conn)
	broken := errors.New("unexpected EOF")
	for range 3 {
		_, err := s.ImportAPIs(t.Context(), "check", func(yield func(store.API, error) bool) {
			for _, id := range []string{"a", "b"} {
				if !yield(store.API{APIID: id, ID: id, OrgID: org, Document: json.RawMessage(`{}`)}, nil) {
					return
				}
			}
			yield(store.API{}, broken)
		})
		require.ErrorIs(t, err, broken)
		require.Equal(t, before, storetest.Dump(t, conn))
	}
}

// TestImportsLookIDsUp requires that imports use indexes also with a plan that Postgres has made for a nearly empty
// table, and keeps while the table fills.
func TestImportsLookIDsUp(t *testing.T) {
	t.Parallel()
	const many, few = 8_000, 3 // documents
	const perDocument = 6      // rows that are fetched, for two imports; read from end to end, the table is dozens
	type importer func(t *testing.T, s *store.Store, org string, n int, doc string)
	for table, imported := range map[string]importer{"apis": importAPIs, "policies": importPolicies} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			s := storetest.Open(t, conn)
			org := organisation(t, s)
			storetest.Exec(t, conn, fmt.Sprintf(`INSERT INTO organisations (id, sso_enabled, document)
				SELECT 'other-' || n, false, '{}' FROM generate_series(1, %d) AS n`, many))
			imported(t, s, org, few, `{}`)
			storetest.Exec(t, conn, `VACUUM ANALYZE `+table)
			for i := range 10 { // after five, Postgres may settle for a plan
				imported(t, s, org, few, fmt.Sprintf(`{"n":%d}`, i))
			}
			imported(t, s, org, many, `{}`)
			imported(t, s, org, many, `{"changed":true}`)
			s.Close() // a session reports its counts to the statistics at the latest when it ends
			inserted, updated, fetched := accesses(t, conn, table, many)
			require.Equal(t, many, inserted)
			require.GreaterOrEqual(t, updated, many)
			require.Less(t, fetched, perDocument*many)
			require.Less(t, storetest.Value[int](t, conn, `SELECT (seq_tup_read + idx_tup_fetch)::int FROM pg_stat_user_tables
				WHERE relname = 'organisations'`), perDocument*many)
		})
	}
}

// TestImportsThatWaitHoldNoConnection: the client of an import is slow, so that others wait for the import.
func TestImportsThatWaitHoldNoConnection(t *testing.T) {
	t.Parallel()
	const connections, others, manyDocuments = 3, 5, 10_000 // more documents than a batch has
	s := storetest.Open(t, storetest.Database(t)+" pool_max_conns="+strconv.Itoa(connections))
	t.Cleanup(s.Close)
	org, err := s.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	document := func(n int) store.API {
		id := fmt.Sprintf("%024x", n)
		return store.API{APIID: id, ID: id, OrgID: org, Document: json.RawMessage(`{}`)}
	}
	var imports sync.WaitGroup
	defer imports.Wait()
	begun, finish := make(chan struct{}), make(chan struct{})
	defer close(finish)
	importDocuments := func(documents iter.Seq2[store.API, error]) {
		imports.Go(func() {
			if _, err := s.ImportAPIs(t.Context(), "check", documents); err != nil {
				t.Error(err)
			}
		})
	}
	importDocuments(func(yield func(store.API, error) bool) {
		for n := range manyDocuments {
			if !yield(document(n), nil) {
				return
			}
		}
		close(begun)
		<-finish
	})
	<-begun
	var read sync.WaitGroup
	for n := range others {
		read.Add(1)
		importDocuments(func(yield func(store.API, error) bool) {
			yield(document(manyDocuments+n), nil)
			read.Done()
		})
	}
	read.Wait()

	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		require.NoError(t, s.Ping(ctx))
		cancel()
	}
}

// TestListsLeaveConnections: the clients of many lists are slow.
func TestListsLeaveConnections(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.Database(t)+" pool_max_conns=5")
	t.Cleanup(s.Close)
	_, err := s.CreateUser(t.Context(), store.UserParams{OrgID: new(string), EmailAddress: "a@example.org"})
	require.NoError(t, err)
	var lists sync.WaitGroup
	defer lists.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan struct{}, 10)
	for range cap(begun) {
		lists.Go(func() {
			for _, err := range s.Users(ctx, store.UserFilter{}) {
				if err == nil {
					begun <- struct{}{}
					<-ctx.Done()
				}
			}
		})
	}
	for range cap(begun) { // more than there are connections
		<-begun
	}

	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		require.NoError(t, s.Ping(ctx))
		for _, err := range s.Users(ctx, store.UserFilter{Page: store.Page{Number: 1, Size: 10}}) {
			require.NoError(t, err, "a page")
		}
		cancel()
	}
}

func importAPIs(t *testing.T, s *store.Store, org string, n int, doc string) {
	t.Helper()
	refused, err := s.ImportAPIs(t.Context(), "check", func(yield func(store.API, error) bool) {
		for i := range n {
			id := fmt.Sprintf("%024x", i)
			if !yield(store.API{APIID: "api" + id, ID: id, OrgID: org, Document: json.RawMessage(doc)}, nil) {
				return
			}
		}
	})
	require.NoError(t, err)
	require.Empty(t, refused)
}

func importPolicies(t *testing.T, s *store.Store, org string, n int, doc string) {
	t.Helper()
	refused, err := s.ImportPolicies(t.Context(), "check", func(yield func(store.Policy, error) bool) {
		for i := range n {
			if !yield(store.Policy{ID: fmt.Sprintf("%024x", i), OrgID: org, Document: json.RawMessage(doc)}, nil) {
				return
			}
		}
	})
	require.NoError(t, err)
	require.Empty(t, refused)
}

// accesses returns how many rows of a table were inserted, updated, and read. It waits until the statistics of Postgres
// have so many insertions and updates, which several sessions report.
func accesses(t *testing.T, connString, table string, each int) (inserted, updated, fetched int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), connString)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.Eventually(t, func() bool {
		err := conn.QueryRow(t.Context(), `
			SELECT n_tup_ins, n_tup_upd, seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = $1`,
			table).Scan(&inserted, &updated, &fetched)
		require.NoError(t, err)
		return inserted >= each && updated >= each
	}, time.Minute, 100*time.Millisecond)
	return inserted, updated, fetched
}

func TestIDs(t *testing.T) {
	t.Parallel()
	at := time.Unix(0x5fa2db83, 0)
	ids := store.NewIDs(func() time.Time { return at })
	seen, random := map[string]bool{}, map[string]bool{}
	for range 1000 {
		id := ids.Object()
		require.Regexp(t, `^5fa2db83[0-9a-f]{16}$`, id)
		require.False(t, seen[id])
		seen[id] = true
		random[id[8:16]] = true
	}
	require.Greater(t, len(random), 990, "an ID does not tell others of the server")
	require.Regexp(t, `^[0-9a-f]{32}$`, ids.Key())
}

func TestLockedRowDelaysOnlyItsOwnCallers(t *testing.T) {
	t.Parallel()
	ctx, conn := t.Context(), storetest.Database(t)
	cfg := config(conn)
	cfg.StatementTimeout = time.Minute // the rows are locked until the others are served
	s, err := store.Open(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	org, err := s.CreateOrganisation(ctx, store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	free, err := s.CreateOrganisation(ctx, store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	var ids []string
	for i := range 20 {
		u, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: fmt.Sprint(i, "@example.org")})
		require.NoError(t, err)
		ids = append(ids, u.ID)
	}
	other, err := pgx.Connect(ctx, conn)
	require.NoError(t, err)
	defer other.Close(context.WithoutCancel(ctx))
	_, err = other.Exec(ctx, `BEGIN; SELECT FROM users WHERE id = '`+ids[0]+`' FOR UPDATE;
		SELECT FROM organisations WHERE id = '`+org+`' FOR UPDATE`)
	require.NoError(t, err)

	blockedCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var blocked, callers sync.WaitGroup
	blocked.Go(func() {
		_, err := s.SetResetPassword(blockedCtx, ids[0], true)
		assert.ErrorIs(t, err, context.Canceled, "its row is locked")
	})
	blocked.Go(func() {
		_, err := s.CreateNonce(blockedCtx, store.SignOn{OrgID: org, Document: json.RawMessage(`{}`)})
		assert.ErrorIs(t, err, context.Canceled, "its organisation is locked")
	})
	for _, id := range ids[1:] {
		for range 5 {
			callers.Go(func() {
				u, err := s.SetResetPassword(ctx, id, true)
				assert.Equal(t, "admin", u.UserPermissions["ResetPassword"])
				assert.NoError(t, err)
			})
			callers.Go(func() {
				_, err := s.CreateNonce(ctx, store.SignOn{OrgID: free, Document: json.RawMessage(`{}`)})
				assert.NoError(t, err)
			})
			callers.Go(func() {
				_, err := s.CreateNonce(ctx, store.SignOn{OrgID: "none", Document: json.RawMessage(`{}`)})
				assert.ErrorIs(t, err, store.ErrUnknownOrganisation)
			})
		}
	}
	callers.Wait() // while the rows are locked
	cancel()
	blocked.Wait()
	_, err = other.Exec(ctx, `ROLLBACK`)
	require.NoError(t, err)
	_, err = s.SetResetPassword(ctx, ids[0], true)
	require.NoError(t, err)
}

// TestCallersThatHaveGoneDoNotOccupyThePool: a statement that waits for a locked row ends soon after its caller left.
func TestCallersThatHaveGoneDoNotOccupyThePool(t *testing.T) {
	t.Parallel()
	const connections, statementTimeout = 2, 2 * time.Minute
	ctx, conn := t.Context(), storetest.Database(t)
	cfg := config(fmt.Sprint(conn, " pool_max_conns=", connections))
	cfg.StatementTimeout = statementTimeout
	s, err := store.Open(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	org, err := s.CreateOrganisation(ctx, store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	user, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: "a@example.org"})
	require.NoError(t, err)
	other := connect(t, conn)
	_, err = other.Exec(ctx, `BEGIN; SELECT FROM users WHERE id = '`+user.ID+`' FOR UPDATE`)
	require.NoError(t, err)

	leaving, leave := context.WithCancel(ctx)
	var callers sync.WaitGroup
	for range connections {
		callers.Go(func() {
			_, err := s.SetResetPassword(leaving, user.ID, true)
			assert.ErrorIs(t, err, context.Canceled)
		})
	}
	require.Eventually(t, func() bool { return s.Connections().InUse == connections }, failoverBound, time.Millisecond)
	leave()
	left := time.Now()
	_, err = s.CountOrganisations(ctx, store.OrganisationFilter{})
	require.NoError(t, err)
	require.Less(t, time.Since(left), statementTimeout/4)
	callers.Wait()
}

// TestDeadlinesEndWithTheirStatements: a connection that has been idle for longer than a statement may take is used
// again.
func TestDeadlinesEndWithTheirStatements(t *testing.T) {
	t.Parallel()
	ctx, conn := t.Context(), storetest.Database(t)
	cfg := config(conn + " application_name=idle pool_max_conns=1")
	cfg.StatementTimeout = shortTimeout
	s, err := store.Open(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	_, err = s.CreateOrganisation(ctx, store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	backend := func() (pid int) {
		require.Eventually(t, func() bool { // a connection that Open has closed may still be ending
			pid = storetest.Value[int](t, conn, `SELECT CASE count(*) WHEN 1 THEN min(pid) ELSE 0 END
				FROM pg_stat_activity WHERE application_name = 'idle' AND datname = current_database()`)
			return pid != 0
		}, time.Minute, time.Millisecond)
		return pid
	}
	before := backend()
	time.Sleep(cfg.StatementTimeout + 100*time.Millisecond)
	_, err = s.CountOrganisations(ctx, store.OrganisationFilter{})
	require.NoError(t, err)
	require.Equal(t, before, backend(), "the connection was replaced")
}
