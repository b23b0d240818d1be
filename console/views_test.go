package console_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
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
	s.api(author, "tides", "Tide tables", `,"use_keyless":true,"tags":["harbour","river"]`)
	s.api(author, "ferries", "Ferries #harbour", `,"enable_jwt":true,"active":false`)
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
		operator("organisation-choice", "#/policies", "Harbour Mills"),
		operator("policies-empty", "#/org/"+empty+"/policies", "There is no policy yet"),
		operator("apis-empty", "#/org/"+empty+"/apis", "There is no API yet"),
	}
	views = append(views, viewsOfAPIs(s, author)...)
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
