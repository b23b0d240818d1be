package console_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
	"gatehouse/store/storetest"
)

// view is a page of the console in a state, with example data: axe-core looks at each, and make pictures makes one of
// each.
type view struct {
	name string
	open func(t *testing.T) *browsertest.Tab // returns when all of it is shown
	dark bool                                // there is a dark picture, too
}

// views returns all views, on one server. Each page of the console adds its own here.
func views(t *testing.T) []view {
	t.Helper()
	s := start(t)
	org, empty := s.org("Rivermouth Foods"), s.org("Harbour Mills")
	admin := s.policies(org, 23)
	s.refused(s.user(org, "reader@rivermouth.example", map[string]string{"apis": "read"}), "DELETE", "/api/portal/policies/gold", http.StatusForbidden)
	s.load(s.gateway("harbour-1"))
	s.gateway("harbour-2")
	storetest.Exec(t, s.conn, `UPDATE nodes SET last_seen = now() + interval '1 hour'`) // it is forgotten after a minute
	noGateway := start(t)
	// view returns a view of an operator.
	operator := func(name, address, text string) view {
		return view{name: name, open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAsOperator(address)
			tab.See(text)
			return tab
		}}
	}
	author := s.author()
	s.makeAPI(author, "tides", "Tide tables", `,"use_keyless":true,"tags":["harbour","river"]`)
	s.makeAPI(author, "ferries", "Ferries #harbour", `,"enable_jwt":true,"active":false`)
	s.as(author, "POST", "/api/apis/oas", oasAPI("piers", "Piers"), nil)
	views := []view{
		{name: "sign-in", dark: true, open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).open("")
			tab.See("E-mail address")
			return tab
		}},
		{name: "policies", dark: true, open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAs(admin, "#/policies")
			tab.See("Policy 010")
			return tab
		}},
		{name: "audit", dark: true, open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAs(admin, "#/audit?action=postPolicies")
			tab.See("Page 1 of", "Address of the client")
			return tab
		}},
		{name: "audit-request", open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAs(admin, "#/audit?outcome=access_denied")
			tab.PressCSS("tbody a")
			tab.See("ID in the log of the server")
			return tab
		}},
		operator("audit-empty", "#/org/"+empty+"/audit", "Nothing has been changed yet"),
		operator("gateways", "#/gateways", "harbour-2"),
		{name: "gateways-empty", open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := noGateway.in(t).openAsOperator("#/gateways")
			tab.See("No gateway has registered")
			return tab
		}},
		{name: "contract", open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAs(admin, "#/contract")
			browsertest.Eventually(tab, true, `!!document.querySelector('iframe')?.contentDocument?.body?.innerText.includes('User Groups')`)
			return tab
		}},
		operator("organisation-choice", "#/policies", "Harbour Mills"),
		operator("policies-empty", "#/org/"+empty+"/policies", "There is no policy yet"),
		operator("apis-empty", "#/org/"+empty+"/apis", "There is no API yet"),
	}
	views = append(views, viewsOfAPIs(s, author)...)
	views = append(views, managementViews(t, s, org, operator)...)
	return append(views, viewsOfPoliciesAndKeys(t)...)
}

// TestPictures writes docs/pictures/*.png, if PICTURES is the folder: make pictures.
func TestPictures(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("PICTURES")
	if folder == "" {
		t.Skip("make pictures runs this")
	}
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for _, view := range views(t) {
		t.Run(view.name, func(t *testing.T) {
			t.Parallel()
			tab := view.open(t)
			write := func(suffix string) {
				require.NoError(t, os.WriteFile(filepath.Join(folder, view.name+suffix+".png"), tab.Picture(), 0o600))
			}
			tab.Size(1280, 800)
			tab.Colours("light")
			write("")
			if view.dark {
				tab.Colours("dark")
				write("-dark")
			}
		})
	}
}
