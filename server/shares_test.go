package server_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// lock locks rows or a table by a statement, until free is called.
func lock(t *testing.T, conn, statement string) (free func()) {
	t.Helper()
	holder := connectTo(t, conn)
	_, err := holder.Exec(t.Context(), `BEGIN; `+statement)
	require.NoError(t, err)
	return func() {
		t.Helper()
		_, err := holder.Exec(t.Context(), `ROLLBACK`)
		require.NoError(t, err)
	}
}

// TestConnectionsOfOneOrganisation: however many requests of an organisation wait for rows in the database, users of
// others, gateways and probes have theirs answered.
func TestConnectionsOfOneOrganisation(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn+" pool_max_conns=8")
	org, other := b.org(), b.org()
	own := asUser(b.user(org, "a@example.org", map[string]string{"apis": "write", "portal": "write"}).AccessKey)
	theirs := asUser(b.user(other, "v@example.org", map[string]string{"apis": "write", "users": "read"}).AccessKey)
	b.do("POST", "/api/apis", classic("locked", ""), own).is(200)
	b.do("POST", "/api/apis", classic("free", ""), theirs).is(200)
	b.do("POST", "/api/portal/catalogue", `{}`, own).is(200)
	free := lock(t, conn, `SELECT FROM apis WHERE api_id = 'locked' FOR UPDATE; SELECT FROM objects FOR UPDATE`)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer free()
	for range 16 {
		waiting.Go(func() { b.do("PUT", "/api/apis/locked", classic("locked", ""), own) })
		waiting.Go(func() { b.do("POST", "/api/portal/catalogue", `{}`, own) })
	}
	require.Eventually(t, func() bool { return b.store.Connections().InUse >= 4 }, time.Minute, time.Millisecond)
	for range 20 {
		b.do("GET", "/api/users", nil, theirs).is(200)
		b.do("PUT", "/api/apis/free", classic("free", ""), theirs).is(200)
		b.do("GET", "/ready", nil).is(200)
	}
	b.register(session("s-1"))
	require.LessOrEqual(t, b.store.Connections().InUse, 4+1, "one may not have been returned yet")
}

// TestMemoryOfBodiesThatWait: bodies whose requests wait are in memory as they were decoded. One organisation has some
// of that memory only, and those that wait for it too long are refused.
func TestMemoryOfBodiesThatWait(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn)
	org, other := b.org(), b.org()
	own := asUser(b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	theirs := asUser(b.user(other, "v@example.org", map[string]string{"apis": "write"}).AccessKey)
	b.do("POST", "/api/apis/oas", oasWith("locked", "", "", ""), own).is(200)
	free := lock(t, conn, `SELECT FROM apis WHERE api_id = 'locked' FOR UPDATE`)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer free()
	large := strings.Replace(oasWith("locked", "", "", ""), `{`, `{"x-pad":"`+strings.Repeat("z", 1_900_000)+`",`, 1)
	zipped := string(compressed(t, "gzip", large))
	for range 40 {
		waiting.Go(func() { b.do("PUT", "/api/apis/oas/locked", zipped, own, header("Content-Encoding", "gzip")) })
	}
	refused := func() bool { return strings.Contains(b.log.String(), "too many large bodies at the same time") }
	require.Eventually(t, refused, longestRequest, 10*time.Millisecond)
	b.do("POST", "/api/apis/oas", strings.ReplaceAll(large, "locked", "theirs"), theirs).is(200)
}

// TestWhatWaitsForARowKeepsLittleBack: while a large API of an organisation waits to be stored, the organisation's
// small ones are stored, also by requests of a few bytes, and what is refused is refused at once.
func TestWhatWaitsForARowKeepsLittleBack(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn)
	own := asUser(b.user(b.org(), "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	for _, id := range []string{"locked", "small"} {
		b.do("POST", "/api/apis/oas", oasWith(id, "", "", ""), own).is(200)
	}
	b.do("POST", "/api/apis", classic("base", ""), own).is(200)
	b.do("POST", "/api/apis", classic("held", ""), own).is(200)
	free := lock(t, conn, `SELECT FROM apis WHERE api_id IN ('locked', 'held') FOR UPDATE`)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer free()
	large := strings.Replace(oasWith("locked", "", "", ""), `{`, `{"x-pad":"`+strings.Repeat("z", 300<<10)+`",`, 1)
	waiting.Go(func() { b.do("PUT", "/api/apis/oas/locked", large, own).is(200) })
	require.Eventually(t, func() bool {
		return storetest.WaitsForLock(t, conn)
	}, time.Minute, 10*time.Millisecond)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.do("PUT", "/api/apis/oas/small/categories", `{"categories":["x"]}`, own).is(200)
		b.do("POST", "/api/apis?base_api_id=base&new_version_name=two&base_api_version_name=one", classic("two", ""), own).is(200)
		b.do("PUT", "/api/apis/held", classic("held", `,"id":"0123456789abcdef01234567"`), own).is(400)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("requests of a few bytes wait for the row of another API")
	}
}
