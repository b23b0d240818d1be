package store_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// Statements of the release before migrations.Contract: those of its transactions that write documents, and one of
// another program.
const (
	olderUpdatesAPI = `BEGIN; SELECT set_config('gatehouse.checked', 'on', true);
		UPDATE apis SET document = '%s', loadable = true, checked_by = 'older', digest = sha256('%[1]s'), search = '{"by":"older"}'
		WHERE api_id = 'api'; COMMIT`
	olderUpdatesPolicy = `BEGIN; SELECT set_config('gatehouse.checked', 'on', true);
		UPDATE policies SET document = '%s', loadable = true, checked_by = 'older', digest = sha256('%[1]s'), served = '{"by":"older"}'
		WHERE id = 'policy'; COMMIT`
	programUpdatesAPI = `UPDATE apis SET document = '%s' WHERE api_id = 'api'`
)

// listed returns the document of a list for gateways that has one at most, and whether it has been checked.
func listed(t *testing.T, s *store.Store, apis bool) (document string, unchecked store.NodeDocument) {
	t.Helper()
	list := s.NodePolicies(t.Context(), "newer")
	if apis {
		list = s.NodeAPIs(t.Context(), "newer")
	}
	for d, err := range list {
		require.NoError(t, err)
		document = string(d.Document)
		if d.Unchecked {
			unchecked = d
		}
	}
	return document, unchecked
}

// column returns a column of the only row of a table, as text; "" is NULL.
func column(t *testing.T, conn, table, name string) (value string) {
	t.Helper()
	row := connect(t, conn).QueryRow(t.Context(), `SELECT coalesce(`+name+`::text, '') FROM `+table)
	require.NoError(t, row.Scan(&value))
	return value
}

// TestServersOfTwoReleases: on a database that was upgraded, each server checks what the other has written.
func TestServersOfTwoReleases(t *testing.T) {
	t.Parallel()
	ctx, conn := t.Context(), storetest.UpgradedDatabase(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	org := organisation(t, s)
	api := store.API{APIID: "api", ID: "id", OrgID: org, Active: true, Document: json.RawMessage(`{"a":1}`), Search: json.RawMessage(`{}`)}
	policy := store.PolicyParams{CheckedBy: "newer", Policy: store.Policy{
		ID: "policy", OrgID: org, Active: true, Document: json.RawMessage(`{"p":1}`), Served: json.RawMessage(`{"served":1}`),
	}}
	require.NoError(t, s.CreateAPI(ctx, "newer", api))
	require.NoError(t, s.CreatePolicy(ctx, policy))

	t.Run("a newer server keeps what it has found out, and an older one checks again", func(t *testing.T) {
		edit := func(p store.Policy) (store.PolicyParams, error) {
			p.Document, p.Served = json.RawMessage(`{"p":2}`), json.RawMessage(`{"served":2}`)
			return store.PolicyParams{Policy: p, CheckedBy: "newer"}, nil
		}
		require.NoError(t, s.EditPolicy(ctx, store.Ref{ID: "policy"}, edit))
		require.NoError(t, s.EditAPI(ctx, store.Ref{ID: "api"}, "newer", func(a store.API) (store.API, error) {
			a.Document, a.Search = json.RawMessage(`{"a":2}`), json.RawMessage(`{"found": 2}`)
			return a, nil
		}))
		document, unchecked := listed(t, s, false)
		require.JSONEq(t, `{"served":2}`, document)
		require.Empty(t, unchecked)
		document, unchecked = listed(t, s, true)
		require.JSONEq(t, `{"a":2}`, document)
		require.Empty(t, unchecked)
		require.JSONEq(t, `{"found": 2}`, column(t, conn, "apis", "search"))
		for _, table := range []string{"apis", "policies"} {
			require.Empty(t, column(t, conn, table, "checked_by"))
			require.Empty(t, column(t, conn, table, "digest"))
		}
	})
	t.Run("a newer server checks what an older one has written", func(t *testing.T) {
		storetest.Exec(t, conn, fmt.Sprintf(olderUpdatesAPI, `{"a":3}`))
		storetest.Exec(t, conn, fmt.Sprintf(olderUpdatesPolicy, `{"p":3}`))
		require.Equal(t, "older", column(t, conn, "apis", "checked_by"), "the older one need not")
		require.JSONEq(t, `{"by":"older"}`, column(t, conn, "apis", "search"))
		document, unchecked := listed(t, s, true)
		require.JSONEq(t, `{"a":3}`, document)
		require.NotEmpty(t, unchecked)
		require.NoError(t, s.SaveAPIChecks(ctx, "newer", []store.CheckResult{{Document: unchecked}}))
		document, unchecked = listed(t, s, true)
		require.Empty(t, document, "it was refused")
		require.Empty(t, unchecked)
		document, unchecked = listed(t, s, false)
		require.JSONEq(t, `{"p":3}`, document)
		require.NotEmpty(t, unchecked)

		storetest.Exec(t, conn, fmt.Sprintf(olderUpdatesAPI, `{"a":4}`))
		document, unchecked = listed(t, s, true)
		require.JSONEq(t, `{"a":4}`, document, "the document that was refused has been replaced")
		require.NotEmpty(t, unchecked)
	})
	t.Run("both check what another program has written", func(t *testing.T) {
		storetest.Exec(t, conn, fmt.Sprintf(programUpdatesAPI, `{"a":5}`))
		for _, name := range []string{"checked", "checked_by", "digest", "search"} {
			require.Empty(t, column(t, conn, "apis", name))
		}
	})
	t.Run("a check of a document that was replaced meanwhile is dropped", func(t *testing.T) {
		_, unchecked := listed(t, s, true)
		storetest.Exec(t, conn, fmt.Sprintf(olderUpdatesAPI, `{"a":6}`))
		require.NoError(t, s.SaveAPIChecks(ctx, "newer", []store.CheckResult{{Document: unchecked}}))
		document, unchecked := listed(t, s, true)
		require.JSONEq(t, `{"a":6}`, document)
		require.NotEmpty(t, unchecked)
	})
	t.Run("changes of both are announced once", func(t *testing.T) {
		events := recordEvents(t, s, conn)
		storetest.Exec(t, conn, fmt.Sprintf(olderUpdatesAPI, `{"a":7}`))
		require.Equal(t, []store.Event{store.EventChange}, events.settle(t))
		require.NoError(t, s.EditAPI(ctx, store.Ref{ID: "api"}, "newer", sameAPI))
		require.Equal(t, []store.Event{store.EventChange}, events.settle(t))
		require.NoError(t, s.WriteOrgKey(ctx, store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: org, Session: json.RawMessage(`{}`)}}))
		require.Equal(t, []store.Event{store.EventOrgKey}, events.settle(t))
		storetest.Exec(t, conn, `DELETE FROM org_keys`)
		require.Equal(t, []store.Event{store.EventOrgKey}, events.settle(t))
		require.NoError(t, s.DeleteOrganisation(ctx, org))
		require.Equal(t, []store.Event{store.EventChange}, events.settle(t))
	})
}

// TestFinishUpgrade: what is left is the schema of a database that was empty.
func TestFinishUpgrade(t *testing.T) {
	t.Parallel()
	ctx, conn := t.Context(), storetest.UpgradedDatabase(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	org := organisation(t, s)
	importAPIs(t, s, org, 3, `{}`)
	require.NotEqual(t, schema(t, storetest.Database(t)), schema(t, conn))

	before, locked := schema(t, conn), connect(t, conn)
	_, err := locked.Exec(ctx, `BEGIN; LOCK TABLE policies IN SHARE MODE`)
	require.NoError(t, err)
	require.Error(t, s.FinishUpgrade(ctx), "it does not have requests wait behind it")
	_, err = locked.Exec(ctx, `ROLLBACK`)
	require.NoError(t, err)
	require.Equal(t, before, schema(t, conn))

	require.NoError(t, s.FinishUpgrade(ctx))
	require.NoError(t, s.FinishUpgrade(ctx), "again")
	require.Equal(t, schema(t, storetest.Database(t)), schema(t, conn))
	reopened := storetest.Open(t, conn)
	t.Cleanup(reopened.Close)
	require.False(t, reopened.UpgradePending())

	events := recordEvents(t, reopened, conn)
	importAPIs(t, s, org, 3, `{}`) // a server that was running meanwhile
	require.Empty(t, events.settle(t), "they are still the same")
	importAPIs(t, s, org, 3, `{"changed":true}`)
	require.Equal(t, []store.Event{store.EventChange}, events.settle(t))
	require.NoError(t, s.DeleteOrganisation(ctx, org))
}

func TestNewDatabaseNeedsNoTriggers(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	require.False(t, s.UpgradePending())
	for _, line := range schema(t, conn) {
		require.NotContains(t, line, "trigger")
	}
}

// schema returns the columns, constraints, indexes, functions and triggers of a database.
func schema(t *testing.T, conn string) (lines []string) {
	t.Helper()
	rows, _ := connect(t, conn).Query(t.Context(), `
		SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
		FROM information_schema.columns WHERE table_schema = current_schema()
		UNION SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
		FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
		UNION SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = current_schema()
		UNION SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
		UNION SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
		ORDER BY 1`)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return lines
}

// TestAnnouncementOfAnotherProgram: SELECT gatehouse_changed() notifies servers, and has exactly those documents
// checked that are not the ones that were.
func TestAnnouncementOfAnotherProgram(t *testing.T) {
	t.Parallel()
	ctx, conn := t.Context(), storetest.Database(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	org := organisation(t, s)
	importAPIs(t, s, org, 3, `{"a":1}`)
	importPolicies(t, s, org, 3, `{"p":1}`)
	events := recordEvents(t, s, conn)
	storetest.Exec(t, conn, `
		BEGIN;
		UPDATE apis SET document = '{"a":2}' WHERE position = (SELECT min(position) FROM apis);
		UPDATE policies SET document = '{"p":2}' WHERE position = (SELECT min(position) FROM policies);
		SELECT gatehouse_changed();
		COMMIT`)
	require.Equal(t, []store.Event{store.EventChange}, events.settle(t))
	for _, list := range []struct{ table, derived string }{{"apis", "search"}, {"policies", "active"}} {
		require.Equal(t, "1", count(t, conn, list.table, "checked IS NULL AND "+list.derived+" IS NULL"), list.table)
		require.Equal(t, "2", count(t, conn, list.table, "checked IS NOT NULL"), list.table)
	}
	document, unchecked := "", 0
	for d, err := range s.NodePolicies(ctx, "check") {
		require.NoError(t, err)
		if d.Unchecked {
			document, unchecked = string(d.Document), unchecked+1
		}
	}
	require.Equal(t, 1, unchecked)
	require.JSONEq(t, `{"p":2}`, document)
	storetest.Announce(t, conn)
	require.Equal(t, []store.Event{store.EventChange}, events.settle(t), "the announcement after the change")
}

func count(t *testing.T, conn, table, where string) (n string) {
	t.Helper()
	row := connect(t, conn).QueryRow(t.Context(), `SELECT count(*)::text FROM `+table+` WHERE `+where)
	require.NoError(t, row.Scan(&n))
	return n
}

// TestKeyOfADeletedOrganisationIsDeletedInGateways: whatever is written at the same time, a key that is gone is known
// to be gone.
func TestKeyOfADeletedOrganisationIsDeletedInGateways(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for range 20 {
		org := organisation(t, s)
		written := make(chan error, 1)
		go func() {
			written <- s.WriteOrgKey(t.Context(), store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: org, Session: json.RawMessage(`{}`)}})
		}()
		require.NoError(t, s.DeleteOrganisation(t.Context(), org))
		key, err := s.UnsyncedOrgKey(t.Context(), org)
		if failed := <-written; failed != nil {
			require.ErrorIs(t, failed, store.ErrUnknownOrganisation)
			continue
		}
		require.NoError(t, err)
		require.False(t, key.Sent)
		require.Nil(t, key.Session)
	}
}
