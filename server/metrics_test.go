package server_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// metric returns the value of a series on /metrics, 0 if there is none.
func (b *bundle) metric(series string) float64 {
	b.t.Helper()
	_, after, found := strings.Cut("\n"+b.admin("GET", "/metrics", nil).is(200).body, "\n"+series+" ")
	if !found {
		return 0
	}
	value, err := strconv.ParseFloat(after[:strings.IndexByte(after, '\n')], 64)
	require.NoError(b.t, err)
	return value
}

// withoutTrail has no events of the audit trail stored: a second after a change, that takes a connection of the pool.
func withoutTrail(cfg *server.Config) { cfg.Audit.Retention = 0 }

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t, withoutTrail)
	b.org()
	b.admin("GET", "/admin/organisations/unknown", nil).is(404)
	b.do("GET", "/admin/organisations", nil).is(401)
	b.admin("GET", "/made/up/"+secret, nil).is(404)
	got := b.admin("GET", "/metrics", nil).is(200).body
	for _, line := range []string{
		`gatehouse_request_duration_seconds_count{operation="createOrg",status="200"} 1`,
		`gatehouse_request_duration_seconds_count{operation="getOrg",status="404"} 1`,
		`gatehouse_request_duration_seconds_count{operation="getOrgs",status="401"} 1`,
		`gatehouse_request_duration_seconds_count{operation="none",status="404"} 1`,
		`gatehouse_postgres_connections{state="in_use"} 0`,
	} {
		require.Contains(t, got, line+"\n")
	}
	require.Contains(t, got, "go_goroutines ")
	require.NotContains(t, got, secret)
	require.Equal(t, `{"Status":"Error","Message":"Not authorised","Meta":null}`, b.do("GET", "/metrics", nil).is(401).body)
}

// TestDatabaseMetrics: a request that waits for a row shows in the time of its operation, and one that waits for a
// connection is counted.
func TestDatabaseMetrics(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn+" pool_max_conns=1", withoutTrail)
	org := b.org()
	b.admin("GET", "/admin/hello", nil).is(200)
	const seconds = `gatehouse_request_database_seconds_`
	require.InDelta(t, 1, b.metric(seconds+`count{operation="createOrg"}`), 0)
	require.Zero(t, b.metric(seconds+`count{operation="adminHello"}`), "it needs no connection")
	require.Zero(t, b.metric("gatehouse_postgres_waiting"))

	free := lock(t, conn, `SELECT FROM organisations FOR UPDATE`)
	var waiting sync.WaitGroup
	start := time.Now()
	for range 3 {
		waiting.Go(func() { b.admin("PUT", "/admin/organisations/"+org, `{"owner_name":"Rivermouth"}`).is(200) })
	}
	gatewaytest.Eventually(t, soon, "two wait for the connection", func() bool {
		return b.metric("gatehouse_postgres_waiting") == 2
	})
	waited := time.Since(start)
	time.Sleep(waited) // all three are in the database or wait for it, longer than for anything else
	free()
	waiting.Wait()
	sum := b.metric(seconds + `sum{operation="updateOrg"}`)
	require.Greater(t, sum, waited.Seconds(), "of each, since all had begun")
	require.LessOrEqual(t, sum, b.metric(`gatehouse_request_duration_seconds_sum{operation="updateOrg",status="200"}`))
	require.InDelta(t, 3, b.metric(seconds+`count{operation="updateOrg"}`), 0)
	require.Zero(t, b.metric("gatehouse_postgres_waiting"))
}

// TestSharedLookUpsCountForEach: users that are looked up in one batch, because no connection is free, count for each
// of their requests.
func TestSharedLookUpsCountForEach(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b := setupOn(t, conn+" pool_max_conns=1", withoutTrail)
	org := b.org()
	user := b.user(org, "u@example.org", nil)
	free := lock(t, conn, `SELECT FROM organisations FOR UPDATE`)
	var waiting sync.WaitGroup
	waiting.Go(func() { b.admin("PUT", "/admin/organisations/"+org, `{"owner_name":"Rivermouth"}`).is(200) })
	gatewaytest.Eventually(t, soon, "the connection is in use", func() bool { return b.store.Connections().InUse == 1 })
	const clients = 4
	for range clients {
		waiting.Go(func() { b.admin("GET", "/admin/users/"+user.Id, nil).is(200) })
	}
	gatewaytest.Eventually(t, soon, "the batch waits for it", func() bool { return b.store.Connections().Waiting == 1 })
	free()
	waiting.Wait()
	require.InDelta(t, clients, b.metric(`gatehouse_request_database_seconds_count{operation="getUserDetail"}`), 0)
}

func TestImportMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := `{"apis":[` + apiOf(b.org(), "one") + `,` + apiOf(b.org(), "two") + `,` + apiOf("unknown", "three") + `]}`
	b.admin("POST", "/admin/apis/import", body).is(200)
	const documents = `gatehouse_import_documents_total{operation="importAPIs",result=`
	require.InDelta(t, 2, b.metric(documents+`"imported"}`), 0)
	require.InDelta(t, 1, b.metric(documents+`"refused"}`), 0)
	require.InDelta(t, len(body), b.metric(`gatehouse_import_bytes_total{operation="importAPIs"}`), 0)
	zipped := string(compressed(t, "gzip", body))
	b.admin("POST", "/admin/apis/import", zipped, header("Content-Encoding", "gzip")).is(200)
	require.InDelta(t, len(body)+len(zipped), b.metric(`gatehouse_import_bytes_total{operation="importAPIs"}`), 0)
}

func TestRefusedChangesAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("POST", "/admin/organisations", `{}`).is(401)
	b.do("GET", "/admin/organisations", nil).is(401)
	b.admin("PUT", "/admin/organisations/unknown", `{}`).is(404)
	b.org()
	require.InDelta(t, 1, b.metric(`gatehouse_refused_changes_total{operation="createOrg",outcome="unauthorised"}`), 0)
	require.InDelta(t, 1, b.metric(`gatehouse_refused_changes_total{operation="updateOrg",outcome="not_found"}`), 0)
	require.NotContains(t, b.admin("GET", "/metrics", nil).body, `gatehouse_refused_changes_total{operation="getOrgs"`)
}

func TestNoticesAndNodesAreCounted(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{noNotices: true})
	settledReloads(t, e)
	const notices = `gatehouse_notices_total{by="control_api",result=`
	require.Positive(t, e.metric(notices+`"sent"}`))
	require.InDelta(t, 1, e.metric("gatehouse_nodes_registered"), 0)
	e.gateway.SetControlDown(true)
	e.importAPIs(apiOf(e.org(), "harbour")).is(200)
	gatewaytest.Eventually(t, soon, "a notice fails", func() bool { return e.metric(notices+`"failed"}`) > 0 })
	e.gateway.SetControlDown(false)
	e.gateway.WaitForAPI(t, "harbour", soon)
}
