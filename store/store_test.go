package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	require.Error(t, err)
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
		for row, err := range s.Organisations(t.Context(), store.Page{}) {
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
			imported(t, s, org, few, `{}`)
			storetest.Exec(t, conn, `VACUUM ANALYZE `+table)
			for i := range 10 { // after five, Postgres may settle for a plan
				imported(t, s, org, few, fmt.Sprintf(`{"n":%d}`, i))
			}
			imported(t, s, org, many, `{}`)
			imported(t, s, org, many, `{"changed":true}`)
			s.Close() // what a session has counted is told at the latest when it ends
			inserted, updated, fetched := accesses(t, conn, table, many)
			require.Equal(t, many, inserted)
			require.GreaterOrEqual(t, updated, many)
			require.Less(t, fetched, perDocument*many)
		})
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
// have so many insertions.
func accesses(t *testing.T, connString, table string, insertions int) (inserted, updated, fetched int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), connString)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.Eventually(t, func() bool {
		err := conn.QueryRow(t.Context(), `
			SELECT n_tup_ins, n_tup_upd, seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = $1`,
			table).Scan(&inserted, &updated, &fetched)
		require.NoError(t, err)
		return inserted >= insertions
	}, time.Minute, 100*time.Millisecond)
	return inserted, updated, fetched
}

func TestIDs(t *testing.T) {
	t.Parallel()
	at := time.Unix(0x5fa2db83, 0)
	ids := store.NewIDs(func() time.Time { return at })
	seen := map[string]bool{}
	for range 1000 {
		id := ids.Object()
		require.Regexp(t, `^5fa2db83[0-9a-f]{16}$`, id)
		require.False(t, seen[id])
		seen[id] = true
	}
	require.Regexp(t, `^[0-9a-f]{32}$`, ids.Key())
}

func TestLockedRowDelaysOnlyItsOwnCallers(t *testing.T) {
	t.Parallel()
	ctx, conn := t.Context(), storetest.Database(t)
	s := storetest.Open(t, conn)
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
