package store_test

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// auditEvents returns n events of an organisation, a second apart, the last one at a time.
func auditEvents(orgID string, n int, last time.Time) []store.AuditEvent {
	events := make([]store.AuditEvent, n)
	for i := range events {
		events[i] = store.AuditEvent{
			At: last.Add(time.Duration(i-n+1) * time.Second), OrgID: orgID, Who: "user", ReqID: strconv.Itoa(i),
			Details: json.RawMessage(`{}`),
		}
	}
	return events
}

// auditCounts returns the number of events of each organisation, with the oldest and the newest one.
func auditCounts(t *testing.T, conn string) map[string]string {
	t.Helper()
	counts := map[string]string{}
	text := storetest.Value[string](t, conn, `SELECT coalesce(json_object_agg(org_id, line), '{}')::text FROM (
		SELECT org_id, count(*) || ': ' || min(req_id::integer) || '-' || max(req_id::integer) AS line
		FROM audit_events GROUP BY org_id) AS counts`)
	require.NoError(t, json.Unmarshal([]byte(text), &counts))
	return counts
}

// TestAuditEventsAreBounded writes more events than are kept: the oldest of the organisation that has most are deleted,
// and no others. Then the others expire.
func TestAuditEventsAreBounded(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	ctx, now := t.Context(), time.Now()
	for orgID, events := range map[string][]store.AuditEvent{
		"quiet": auditEvents("quiet", 10, now.Add(-time.Hour)), "noisy": auditEvents("noisy", 3000, now),
		"lively": auditEvents("lively", 500, now.Add(-2*time.Hour)),
	} {
		require.NoError(t, s.WriteAuditEvents(ctx, events), orgID)
	}
	long := now.AddDate(-1, 0, 0)
	require.NoError(t, store.DeleteAuditEventsOver(ctx, s, long, 3510))
	require.Equal(t, map[string]string{"quiet": "10: 0-9", "noisy": "3000: 0-2999", "lively": "500: 0-499"}, auditCounts(t, conn))
	require.NoError(t, store.DeleteAuditEventsOver(ctx, s, long, 1000))
	require.Equal(t, map[string]string{"quiet": "10: 0-9", "noisy": "490: 2510-2999", "lively": "500: 0-499"}, auditCounts(t, conn))
	require.NoError(t, s.DeleteAuditEvents(ctx, now.Add(-90*time.Minute)))
	require.Equal(t, map[string]string{"quiet": "10: 0-9", "noisy": "490: 2510-2999"}, auditCounts(t, conn))
	require.NoError(t, s.DeleteAuditEvents(ctx, now.Add(time.Second)))
	require.Empty(t, auditCounts(t, conn))
}

// TestServersDeleteAuditEventsTogether has several servers delete the same events: each event is deleted once, and none
// that is to stay.
func TestServersDeleteAuditEventsTogether(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	now := time.Now()
	stores := make([]*store.Store, 3)
	for i := range stores {
		stores[i] = storetest.Open(t, conn)
		t.Cleanup(stores[i].Close)
	}
	require.NoError(t, stores[0].WriteAuditEvents(t.Context(), auditEvents("a", 5000, now.Add(-time.Hour))))
	require.NoError(t, stores[0].WriteAuditEvents(t.Context(), auditEvents("b", 20, now)))
	errs := make([]error, len(stores))
	var deleting sync.WaitGroup
	for i, s := range stores {
		deleting.Go(func() { errs[i] = s.DeleteAuditEvents(context.WithoutCancel(t.Context()), now.Add(-time.Minute)) })
	}
	deleting.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, stores[0].DeleteAuditEvents(t.Context(), now.Add(-time.Minute))) // what another had locked
	require.Equal(t, map[string]string{"b": "20: 0-19"}, auditCounts(t, conn))
}

// TestAuditFilters: each filter finds the event that differs from the others in what it is about.
func TestAuditFilters(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	base := store.AuditEvent{
		At: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), ReqID: "base", IP: "192.0.2.1", Who: "user", Actor: "ines@example.org",
		UserID: "u", OrgID: "org", Action: "putApi", Object: "api", ObjectID: "a", Outcome: "ok", Status: 200, Method: "PUT",
		URL: "/api/apis/a", Details: json.RawMessage(`{}`),
	}
	org, none := "other", ""
	var events []store.AuditEvent
	filters := map[string]store.AuditFilter{}
	add := func(name string, change func(*store.AuditEvent), f store.AuditFilter) {
		event := base
		event.ReqID = name
		change(&event)
		events, filters[name] = append(events, event), f
	}
	add("organisation", func(e *store.AuditEvent) { e.OrgID = org }, store.AuditFilter{OrgID: &org})
	add("no organisation", func(e *store.AuditEvent) { e.OrgID = "" }, store.AuditFilter{OrgID: &none})
	add("actor", func(e *store.AuditEvent) { e.Actor = "Odo@example.org" }, store.AuditFilter{Actor: "oDo@example.org"})
	add("action", func(e *store.AuditEvent) { e.Action = "deleteApi" }, store.AuditFilter{Action: "deleteApi"})
	add("ip", func(e *store.AuditEvent) { e.IP = "192.0.2.2" }, store.AuditFilter{IP: "192.0.2.2"})
	add("method", func(e *store.AuditEvent) { e.Method = "POST" }, store.AuditFilter{Method: "post"})
	add("url", func(e *store.AuditEvent) { e.URL = "/api/apis/a%_" }, store.AuditFilter{URL: "a%_"})
	add("object", func(e *store.AuditEvent) { e.Object = "policy" }, store.AuditFilter{Object: "policy"})
	add("object ID", func(e *store.AuditEvent) { e.ObjectID = "b" }, store.AuditFilter{ObjectID: "b"})
	add("outcome", func(e *store.AuditEvent) { e.Outcome = "conflict" }, store.AuditFilter{Outcome: "conflict"})
	add("status", func(e *store.AuditEvent) { e.Status = 403 }, store.AuditFilter{Status: 403})
	add("before", func(e *store.AuditEvent) { e.At = e.At.Add(-time.Hour) }, store.AuditFilter{Before: base.At})
	add("from", func(e *store.AuditEvent) { e.At = e.At.Add(time.Hour) }, store.AuditFilter{From: base.At.Add(time.Second)})
	require.NoError(t, s.WriteAuditEvents(t.Context(), append(events, base)))
	found := func(f store.AuditFilter) (names []string) {
		for event, err := range s.AuditEvents(t.Context(), f) {
			require.NoError(t, err)
			names = append(names, event.ReqID)
		}
		n, err := s.CountAuditEvents(t.Context(), f)
		require.NoError(t, err)
		require.Len(t, names, n)
		return names
	}
	for name, f := range filters {
		require.Equal(t, []string{name}, found(f))
	}
	require.Len(t, found(store.AuditFilter{}), len(events)+1)
}

// TestAuditEventsArePaged: the pages are newest first, have each event once, and end.
func TestAuditEventsArePaged(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	require.NoError(t, s.WriteAuditEvents(t.Context(), auditEvents("a", 25, time.Now())))
	require.NoError(t, s.WriteAuditEvents(t.Context(), auditEvents("b", 25, time.Now())))
	org := "a"
	var listed []string
	for page := 1; page <= 4; page++ {
		f := store.AuditFilter{OrgID: &org, Page: store.Page{Number: page, Size: 10}}
		for event, err := range s.AuditEvents(t.Context(), f) {
			require.NoError(t, err)
			listed = append(listed, event.ReqID)
		}
	}
	var want []string
	for i := range 25 {
		want = append(want, strconv.Itoa(24-i))
	}
	require.Equal(t, want, listed)
}

// TestAuditEventsAreCountedAhead: there are pages as long as there are events, and far behind a page none is counted.
func TestAuditEventsAreCountedAhead(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for range 11 {
		require.NoError(t, s.WriteAuditEvents(t.Context(), auditEvents("a", 1000, time.Now())))
	}
	pages := func(number int) int {
		page := store.Page{Number: number, Size: 10}
		n, err := s.CountAuditEvents(t.Context(), store.AuditFilter{Page: page})
		require.NoError(t, err)
		return page.Pages(n)
	}
	require.Equal(t, 1001, pages(1))
	require.Equal(t, 1051, pages(51))
	require.Equal(t, 1100, pages(150))
	require.Equal(t, 1100, pages(1100))
	all, err := s.CountAuditEvents(t.Context(), store.AuditFilter{})
	require.NoError(t, err)
	require.Equal(t, 11_000, all)
}
