package server_test

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
)

// TestListsOfGatewaysTakeTurns: however many lists of gateways an organisation requests, another one gets its own.
func TestListsOfGatewaysTakeTurns(t *testing.T) {
	t.Parallel()
	answer, blocked := make(chan struct{}), ""
	control, withControl := startControlAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tyk/keys" && r.URL.Query().Get("filter") == blocked {
			<-answer
		}
		fmt.Fprint(w, `{"keys":[]}`)
	})
	b := setup(t, withControl)
	org, other := b.org(), b.org()
	blocked = org
	own := asUser(b.user(org, "a@example.org", map[string]string{"keys": "read"}).AccessKey)
	theirs := asUser(b.user(other, "v@example.org", map[string]string{"keys": "read"}).AccessKey)
	var lists sync.WaitGroup
	for range 8 {
		lists.Go(func() { b.do("GET", "/api/apis/keys?p=-1", nil, own) })
	}
	gatewaytest.Eventually(t, soon, "the gateway is busy with lists of one organisation", func() bool { return control.mostAtOnce() >= 2 })
	b.do("GET", "/api/apis/keys?p=-1", nil, theirs).is(200)
	close(answer)
	lists.Wait()
	require.LessOrEqual(t, control.mostAtOnce(), int64(3))
}

// TestListsOfOneOrganisationAreBounded: clients that do not read hold the memory of their lists, and so of as many as
// their organisation may have at the same time.
func TestListsOfOneOrganisationAreBounded(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped, func(cfg *server.Config) { cfg.Limits.BodyTimeout = time.Hour })
	org, other := b.org(), b.org()
	b.fill(org, manyDocuments)
	own := b.user(org, "a@example.org", map[string]string{"apis": "read"}).AccessKey
	theirs := asUser(b.user(other, "v@example.org", map[string]string{"apis": "read"}).AccessKey)
	var slow []net.Conn
	for range 32 {
		conn, _ := b.slowConnection("/api/apis?p=-1", own)
		slow = append(slow, conn)
	}
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		b.do("GET", "/api/apis?p=1", nil, asUser(own))
	}()
	for range 50 { // in which the list would be sent
		b.do("GET", "/api/apis?p=1", nil, theirs).is(200)
		b.do("GET", "/api/apis/many-1", nil, asUser(own)).is(200)
	}
	select {
	case <-listed:
		t.Error("the organisation has one more list than it may have")
	default:
	}
	require.NoError(t, slow[0].Close())
	<-listed
}

// TestVersionsAreNotReadWhole: a list of versions does not bring the documents of all versions into memory.
//
//nolint:paralleltest // it measures what the process allocates
func TestVersionsAreNotReadWhole(t *testing.T) {
	b := setup(t)
	org := b.org()
	own := asUser(b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	const versions = 12
	var named []string
	for n := range versions {
		id := fmt.Sprintf("version-%d", n)
		b.do("POST", "/api/apis", classic(id, `,"internal":true,"expiration":"2030-01-02 03:04","config_data":{"x":"`+strings.Repeat("x", 900<<10)+`"}`), own).is(200)
		named = append(named, fmt.Sprintf(`{"name":"v%02d","id":%q}`, n, id))
	}
	b.do("POST", "/api/apis/oas", oasWith("base", "", "", `,"versioning":{"enabled":true,"name":"v","default":"self","location":"header","key":"x","versions":[`+strings.Join(named, ",")+`]}`), own).is(200)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	listed := b.do("GET", "/api/apis/oas/base/versions", nil, own).is(200).body
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(versions/2*900<<10))
	require.Contains(t, listed, `"name":"N version-3","versionName":"v03","internal":true,"expirationDate":"2030-01-02 03:04"`)
}
