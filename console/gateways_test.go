package console_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// gateway registers a gateway, and returns what it sends requests with.
func (s *site) gateway(hostname string) http.Header {
	s.t.Helper()
	header := http.Header{"Authorization": {nodeSecret}, "X-Tyk-Hostname": {hostname}}
	var registered struct{ Message struct{ NodeID string } }
	s.send(header, "GET", "/register/node", nil, &registered)
	header.Set("X-Tyk-Nodeid", registered.Message.NodeID)
	s.send(header, "GET", "/register/ping", nil, nil)
	return header
}

// load has a gateway load its configuration.
func (s *site) load(gateway http.Header) {
	s.t.Helper()
	s.send(gateway, "GET", "/system/policies", nil, nil)
	s.send(gateway, "GET", "/system/apis", nil, nil)
}

func TestGateways(t *testing.T) {
	t.Parallel()
	s := start(t)
	tab := s.openAsOperator("#/gateways")
	tab.See("No gateway has registered", "TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING="+s.url+" ")
	first, second := s.gateway("harbour-1"), s.gateway("<b>harbour-2</b>")
	storetest.Exec(t, s.conn, `UPDATE nodes SET last_seen = now() + interval '1 hour'`) // they are forgotten after a minute
	tab.See("harbour-1", "<b>harbour-2</b>", "2 gateways are registered, and none is behind", "loading")
	tab.SeeNot("up to date")
	s.load(first)
	tab.See("up to date", "loading")
	s.load(second)
	tab.SeeNot("loading")
	tab.Press("Reload now")
	tab.See("The gateways were told to reload")
	storetest.Exec(t, s.conn, `UPDATE nodes SET behind = hostname = 'harbour-1'`)
	tab.See("2 gateways are registered, and 1 is behind")
	browsertest.Eventually(tab, "behind, up to date", `[...document.querySelectorAll('.badge')].map((badge) => badge.innerText).join(', ')`)
	s.send(first, "DELETE", "/system/node", nil, nil)
	tab.See("1 gateway is registered, and none is behind")
}

// TestGatewaysOfAUser: users with the permission see gateways, and cannot reload them.
func TestGatewaysOfAUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	reader := s.user(org, "reader@rivermouth.example", map[string]string{"system": "read"})
	tab := s.openAs(reader, "#/gateways")
	tab.See("No gateway has registered", "Ask the operator")
	s.load(s.gateway("harbour-1"))
	tab.See("harbour-1", "up to date")
	require.False(t, browsertest.Eval[bool](tab, `document.body.innerText.includes('Reload now')`))
	other := s.user(org, "other@rivermouth.example", map[string]string{"policies": "read"})
	tab = s.openAs(other, "#/gateways")
	tab.See("You may not see this page")
}

func TestManyGatewaysAreOnPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	storetest.Exec(t, s.conn, `INSERT INTO nodes (id, session_id, hostname, first_seen, pinged, last_seen)
		SELECT 'node-' || n, 'session-' || n, 'harbour-' || n, now() + n * interval '1 ms', true, now() + interval '1 hour'
		FROM generate_series(101, 220) AS n`)
	tab := s.openAsOperator("#/gateways")
	tab.See("120 gateways are registered", "harbour-101", "harbour-150", "Page 1 of 3")
	tab.SeeNot("harbour-151")
	tab.Press("Next")
	tab.Press("Next")
	tab.See("harbour-220", "Page 3 of 3")
	require.Equal(t, "#/gateways?p=3", browsertest.Eval[string](tab, "location.hash"))
}

// TestContract: the documentation is shown in the frame of the console, and nowhere else.
func TestContract(t *testing.T) {
	t.Parallel()
	s := start(t)
	ines := s.user(s.org("Harbour Mills"), "ines@harbour.example", administrator)
	tab := s.openAs(ines, "#/contract")
	browsertest.Eventually(tab, true, `!!document.querySelector('iframe')?.contentDocument?.body?.innerText.includes('User Groups')`)
	require.Contains(t, get(t, s.url+"/docs/").Header.Get("Content-Security-Policy"), "frame-ancestors 'self'")
	off := start(t, func(cfg *server.Config) { cfg.Docs = false })
	ines = off.user(off.org("Harbour Mills"), "ines@harbour.example", administrator)
	tab = off.openAs(ines, "#/contract")
	tab.Allow("status of 404")
	tab.See("The server does not show its contracts", "--docs=false")
}
