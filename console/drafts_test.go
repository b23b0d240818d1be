package console_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
	"gatehouse/server"
	"gatehouse/store"
)

// fillPolicy types what a policy has into the form of a new one.
func fillPolicy(tab *browsertest.Tab) {
	tab.Fill("Name", "Gold")
	tab.Fill("Search APIs", "tide")
	tab.Press("Add Tides")
	tab.Fill("Requests", "250")
	tab.Fill("Tags", "gold, pilot")
}

// requirePolicyForm checks that the form has what fillPolicy has typed.
func requirePolicyForm(t *testing.T, tab *browsertest.Tab) {
	t.Helper()
	tab.See("Tides", "Tags")
	require.Equal(t, "Gold", tab.Value("Name"))
	require.Equal(t, "250", tab.Value("Requests"))
	require.Equal(t, "gold, pilot", tab.Value("Tags"))
	require.Equal(t, 1, browsertest.Eval[int](tab, `document.querySelectorAll('.chosen li').length`))
}

// requireOnePolicy checks that the form was saved, and once.
func requireOnePolicy(t *testing.T, s *site, as user, tab *browsertest.Tab) {
	t.Helper()
	tab.See("The policy is created", "Duplicate")
	var stored struct {
		Data []struct {
			Name string
			Rate float64
			Tags []string
		}
	}
	s.as(as, "GET", "/api/portal/policies", nil, &stored)
	require.Len(t, stored.Data, 1)
	require.Equal(t, "Gold", stored.Data[0].Name)
	require.InDelta(t, 250, stored.Data[0].Rate, 0)
	require.Equal(t, []string{"gold", "pilot"}, stored.Data[0].Tags)
	require.False(t, browsertest.Eval[bool](tab, `Object.keys(sessionStorage).some((name) => name.startsWith('draft '))`),
		"a draft is left")
}

// TestDraftSurvivesReload loads the page again in the middle of a form.
func TestDraftSurvivesReload(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	s.servedAPI(admin, "Tides")
	tab := s.openAs(admin, "#/policies/new")
	fillPolicy(tab)
	tab.Do(chromedp.Reload())
	tab.See("This is what you typed earlier, which was not saved.")
	requirePolicyForm(t, tab)
	tab.Press("Discard it")
	tab.SeeNot("This is what you typed earlier")
	require.Empty(t, tab.Value("Name"))
	fillPolicy(tab)
	tab.Press("Policies")
	tab.See("There is no policy yet")
	tab.Press("New policy")
	requirePolicyForm(t, tab)
	tab.Press("Create")
	requireOnePolicy(t, s, admin, tab)
}

// TestSessionEndsInForm ends the session in the middle of a form: the request is repeated once somebody has signed in
// again above the page.
func TestSessionEndsInForm(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	s.servedAPI(admin, "Tides")
	tab := s.openAs(admin, "#/policies/new")
	fillPolicy(tab)
	browsertest.Eval[int](tab, `fetch('../api/session', {method: 'DELETE'}).then((r) => r.status)`)
	tab.Press("Create")
	tab.See("Sign in again", "What you have typed is still here")
	signIn(tab, admin.email, userPassword)
	requireOnePolicy(t, s, admin, tab)
	tab.SeeNot("Sign in again")
}

// TestServerRestartsInForm stops the server in the middle of a form, and starts another one at the same address.
func TestServerRestartsInForm(t *testing.T) {
	t.Parallel()
	var db *store.Store
	first := start(t, func(cfg *server.Config) { db = cfg.Store })
	second := start(t, func(cfg *server.Config) { cfg.Store = db })
	admin := first.user(first.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	first.servedAPI(admin, "Tides")
	address := newFront(t)
	address.start(first)
	tab := (&site{t: t, url: "http://" + address.address}).openAs(admin, "#/policies/new")
	tab.Allow("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
	fillPolicy(tab)
	address.stop()
	tab.Press("Create")
	tab.See("The server did not answer")
	requirePolicyForm(t, tab)
	address.start(second)
	tab.Press("Create")
	requireOnePolicy(t, second, admin, tab)
}

// TestNetworkIsLostInForm loses the network in the middle of a form.
func TestNetworkIsLostInForm(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	s.servedAPI(admin, "Tides")
	tab := s.openAs(admin, "#/policies/new")
	tab.Allow("ERR_INTERNET_DISCONNECTED")
	fillPolicy(tab)
	tab.Offline(true)
	tab.Press("Create")
	tab.See("The server did not answer")
	requirePolicyForm(t, tab)
	tab.Offline(false)
	tab.Press("Create")
	requireOnePolicy(t, s, admin, tab)
}

// TestDraftOfKeySurvives has the network fail in the middle of the form of a key, and the page loaded again.
func TestDraftOfKeySurvives(t *testing.T) {
	t.Parallel()
	s, gateway := startWithGateway(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	tides := s.servedAPI(admin, "Tides")
	gateway.WaitForAPI(t, tides, patience)
	s.as(admin, "POST", "/api/keys", `{"alias":"Harbour app","access_rights":{"`+tides+`":{"api_id":"`+tides+`","api_name":"Tides","versions":["Default"]}}}`, nil)
	tab := s.openAs(admin, "#/keys")
	tab.Allow("ERR_INTERNET_DISCONNECTED")
	tab.Press("Harbour app")
	tab.Fill("Name", "Pier app")
	tab.Offline(true)
	tab.Press("Save")
	tab.See("The server did not answer")
	tab.Offline(false)
	tab.Do(chromedp.Reload())
	tab.See("This is what you typed earlier")
	require.Equal(t, "Pier app", tab.Value("Name"))
	tab.Press("Save")
	tab.See("The key is saved", "Pier app")
}

// TestTextDraftSurvivesReload loads the page again while the text of a policy is edited.
func TestTextDraftSurvivesReload(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	id := s.policy(admin, `{"name":"Gold","active":true,"x-big":9007199254740993}`)
	tab := s.openAs(admin, "#/policies/"+id+"?view=text")
	tab.See("9007199254740993")
	browsertest.Eval[bool](tab, `(document.querySelector('.cm-content').focus(), true)`)
	tab.Keys(" \n")
	tab.See("Not saved yet.")
	tab.Do(chromedp.Reload())
	tab.See("This is what you typed earlier", "Not saved yet.")
	tab.Press("Save the text")
	tab.See("The text is saved", "Nothing is changed.")
	require.Contains(t, s.storedPolicy(admin, id), "9007199254740993")
}
