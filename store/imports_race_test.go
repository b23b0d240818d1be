package store_test

import (
	"context"
	"encoding/json"
	"iter"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestImportLosesARace: a request stores a document with one of the IDs of an import, after the import has looked for
// them and before it writes. The import waits for it, and then replaces or refuses that document; the others are
// imported.
func TestImportLosesARace(t *testing.T) {
	t.Parallel()
	document := json.RawMessage(`{}`)
	const insertAPI = `INSERT INTO apis (api_id, id, org_id, active, document) VALUES ($1, $2, $3, true, '{}')`
	const insertPolicy = `INSERT INTO policies (id, policy_id, org_id, document) VALUES ($1, $2, $3, '{}')`
	apis := func(ctx context.Context, s *store.Store, org string) (map[string]store.Refusal, error) {
		return s.ImportAPIs(ctx, "check", all(
			store.API{APIID: "raced", ID: "a", OrgID: org, Document: document},
			store.API{APIID: "other", ID: "b", OrgID: org, Document: document}))
	}
	policies := func(ctx context.Context, s *store.Store, org string) (map[string]store.Refusal, error) {
		return s.ImportPolicies(ctx, "check", all(
			store.Policy{ID: "raced", ExplicitID: "a", OrgID: org, Document: document},
			store.Policy{ID: "other", ExplicitID: "b", OrgID: org, Document: document}))
	}
	for name, race := range map[string]struct {
		insert, id, otherID string
		foreign             bool // the request is one of another organisation
		run                 func(context.Context, *store.Store, string) (map[string]store.Refusal, error)
		refused             store.Refusal
		stored              string // counts what is stored
	}{
		"an API of the organisation":       {insertAPI, "raced", "z", false, apis, "", `apis WHERE api_id IN ('raced', 'other') AND checked LIKE 'check:%'`},
		"an API of another organisation":   {insertAPI, "raced", "z", true, apis, store.RefusedOwner, `apis WHERE api_id IN ('raced', 'other')`},
		"the ID of another API":            {insertAPI, "first", "a", false, apis, store.RefusedID, `apis WHERE api_id IN ('first', 'other')`},
		"a policy of the organisation":     {insertPolicy, "raced", "z", false, policies, "", `policies WHERE id IN ('raced', 'other') AND checked LIKE 'check:%'`},
		"the ID of another policy":         {insertPolicy, "first", "a", false, policies, store.RefusedID, `policies WHERE id IN ('first', 'other')`},
		"a policy of another organisation": {insertPolicy, "raced", "z", true, policies, store.RefusedOwner, `policies WHERE id IN ('raced', 'other')`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			s := storetest.Open(t, conn)
			org := organisation(t, s)
			owner := org
			if race.foreign {
				owner = organisation(t, s)
			}
			db, err := pgx.Connect(t.Context(), conn)
			require.NoError(t, err)
			defer db.Close(context.WithoutCancel(t.Context()))
			tx, err := db.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), race.insert, race.id, race.otherID, owner)
			require.NoError(t, err)
			var refused map[string]store.Refusal
			done := make(chan error, 1)
			go func() {
				var err error
				refused, err = race.run(t.Context(), s, org)
				done <- err
			}()
			require.Eventually(t, func() bool {
				return storetest.WaitsForLock(t, conn)
			}, time.Minute, time.Millisecond, "the import waits for the request")
			require.NoError(t, tx.Commit(t.Context()))
			require.NoError(t, <-done)
			if race.refused == "" {
				require.Empty(t, refused)
			} else {
				require.Contains(t, string(refused["raced"]), string(race.refused))
				require.Len(t, refused, 1)
			}
			var n int
			require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM `+race.stored).Scan(&n))
			require.Equal(t, 2, n)
		})
	}
}

// all returns a sequence of items without an error.
func all[T any](items ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}
