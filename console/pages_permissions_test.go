package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

// actions are the buttons and links of the pages of policies and keys that change something.
var actions = []string{"New policy", "Create a key", "Duplicate", "Delete", "Save", "Save the text", "New key"}

// TestPermissionsOfPoliciesAndKeys opens the pages as users with each permission: they see the buttons of what they
// may do, and the server refuses the rest.
func TestPermissionsOfPoliciesAndKeys(t *testing.T) {
	t.Parallel()
	s, gateway := startWithGateway(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "admin@rivermouth.example", administrator)
	tides := s.servedAPI(admin, "Tides")
	gateway.WaitForAPI(t, tides, patience)
	rights := `"access_rights":{"` + tides + `":{"api_id":"` + tides + `","api_name":"Tides","versions":["Default"]}}`
	policy := s.policy(admin, `{"name":"Gold","active":true,`+rights+`}`)
	s.as(admin, "POST", "/api/keys", `{"alias":"Harbour app",`+rights+`}`, nil)
	for _, test := range []struct {
		object, level                              string
		list, policy, text, keys, key              string // the buttons of the pages; "-" is a page that is refused
		readPolicies, writePolicies, readK, writeK int    // statuses of the server
	}{
		{"policies", "read", "", "", "", "-", "-", 200, 403, 403, 403},
		{"policies", "write", "New policy", "Duplicate Delete Save", "Duplicate Delete Save_the_text", "-", "-", 200, 200, 403, 403},
		{"keys", "read", "-", "-", "-", "", "", 403, 403, 200, 403},
		{"keys", "write", "-", "-", "-", "New key", "Delete Save", 403, 403, 200, 200},
	} {
		t.Run(test.object+" "+test.level, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			person := s.user(org, fmt.Sprintf("%s-%s@rivermouth.example", test.object, test.level), map[string]string{test.object: test.level})
			tab := s.openAs(person, "#/contract")
			check := func(address, see, want string) {
				t.Helper()
				tab.Go(s.url + "/console/#/" + address)
				if want == "-" {
					tab.See("You may not see this page")
					return
				}
				tab.See(see)
				var shown []string
				for _, name := range browsertest.Eval[[]string](tab, `[...document.querySelectorAll('main a, main button')].map((e) => e.textContent.trim())`) {
					for _, action := range actions {
						if name == action {
							shown = append(shown, strings.ReplaceAll(name, " ", "_"))
						}
					}
				}
				require.Equal(t, strings.ReplaceAll(want, "New ", "New_"), strings.Join(shown, " "), address)
			}
			check("policies", "Gold", test.list)
			check("policies/"+policy, "Rate limit", test.policy)
			check("policies/"+policy+"?view=text", `"Gold"`, test.text)
			check("keys", "Harbour app", test.keys)
			if test.key != "-" {
				tab.Press("Harbour app")
				tab.See("Rate limit")
				check(strings.TrimPrefix(browsertest.Eval[string](tab, "location.hash"), "#/"), "Rate limit", test.key)
			}
			require.Equal(t, test.readPolicies, s.status(person, "GET", "/api/portal/policies", ""))
			require.Equal(t, test.writePolicies, s.status(person, "POST", "/api/portal/policies", `{"name":"`+test.object+`","active":true}`))
			require.Equal(t, test.readK, s.status(person, "GET", "/api/apis/keys", ""))
			require.Equal(t, test.writeK, s.status(person, "POST", "/api/keys", `{`+rights+`}`))
		})
	}
}

// status returns the status of a request with the access key of a user.
func (s *site) status(as user, method, path, body string) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Authorization", as.key)
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	return response.StatusCode
}
