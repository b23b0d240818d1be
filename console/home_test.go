package console_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

// importAPI imports an API that gateways serve at a path.
func (s *site) importAPI(orgID, name, path string) {
	s.t.Helper()
	s.admin("POST", "/admin/apis/import", map[string]any{"apis": []any{map[string]any{"api_definition": map[string]any{
		"api_id": name, "org_id": orgID, "name": name, "use_keyless": true, "active": true,
		"proxy":        map[string]any{"listen_path": path, "target_url": "http://upstream.example"},
		"version_data": map[string]any{"not_versioned": true, "versions": map[string]any{"Default": map[string]any{"name": "Default"}}},
	}}}}, nil)
}

// TestHomeOfAnInstallation: an operator begins with the first organisation, and sees what there is and what is wrong.
func TestHomeOfAnInstallation(t *testing.T) {
	t.Parallel()
	s := start(t)
	tab := s.openAsOperator("")
	tab.See("Installation", "Create the first organisation", "curl -sS "+s.url+"/admin/organisations", "Nothing is wrong")
	org := s.org("Rivermouth Foods")
	s.importAPI(org, "tides", "/tides/")
	s.user(org, "ines@rivermouth.example", administrator)
	s.send(http.Header{"Authorization": {"the-node-secret"}}, "POST", "/system/key/quota_trigger",
		map[string]any{"org_id": org, "trigger_limit": 75, "usage_percentage": 80}, nil)
	tab = s.openAsOperator("#/home")
	tab.See("No gateway has registered: the APIs are served nowhere.", "Start a gateway with the URL", "A key has used 80% of its quota")
	tab.See("1 active, 0 inactive; 1 classic, 0 OAS", "Requests to this server", "requests in the last hour")
	tab.SeeNot("Create the first organisation")
	require.Equal(t, []string{"Organisations 1", "APIs 1", "Policies 0", "Users 1", "Gateways 0"},
		browsertest.Eval[[]string](tab, `[...document.querySelectorAll('.tile:has(strong)')].map((e) =>
			e.querySelector('dt').innerText + ' ' + e.querySelector('strong').innerText)`))
	require.Positive(t, browsertest.Eval[int](tab, `document.querySelectorAll('svg.traffic rect.good').length`))
	tab.Press("Open the organisation")
	tab.See("Rivermouth Foods", "Settings")
}

// TestHomeOfAnOrganisation: a user sees what belongs to the organisation, and what their permissions allow.
func TestHomeOfAnOrganisation(t *testing.T) {
	t.Parallel()
	s := start(t)
	org, other := s.org("Rivermouth Foods"), s.org("Harbour Mills")
	s.importAPI(other, "theirs", "/theirs/")
	tab := s.openAs(s.user(org, "ines@rivermouth.example", administrator), "#/home")
	tab.See("Rivermouth Foods", "Import the first API", "Users", "Gateways")
	tab.SeeNot("Organisations")
	tab = s.openAs(s.user(org, "policies@rivermouth.example", map[string]string{"policies": "read"}), "#/home")
	tab.See("Policies", "Nothing is wrong")
	tab.SeeNot("Gateways")
	tab.SeeNot("Requests to this server")
	tab.SeeNot("Users")
}

// TestHomeRefreshesItself: what changes is shown without a press, as long as somebody looks.
func TestHomeRefreshesItself(t *testing.T) {
	t.Parallel()
	s := start(t)
	var fail atomic.Bool
	s.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if fail.Load() && r.URL.Path == "/api/overview" {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	}
	tab := s.openAsOperator("#/home")
	tab.See("Create the first organisation")
	s.org("Rivermouth Foods")
	tab.SeeNot("Create the first organisation")
	tab.Allow("ERR_EMPTY_RESPONSE")
	fail.Store(true)
	tab.See("The server did not answer", "Organisations")
	fail.Store(false)
	tab.Press("Try again")
	tab.SeeNot("The server did not answer")
	assert.NotEmpty(t, tab.Requests())
}
