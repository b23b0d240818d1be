package console_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
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

// TestPictures writes a picture of every view to the folder PICTURES, as make pictures says, and of the first view
// without one.
func TestPictures(t *testing.T) {
	t.Parallel()
	folder, all := os.Getenv("PICTURES"), views(t)
	if folder == "" {
		folder, all = t.TempDir(), all[:1]
	}
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for _, view := range all {
		t.Run(view.name, func(t *testing.T) {
			t.Parallel()
			tab := view.open(t)
			const height = 800
			limit := math.MaxInt
			write := func(suffix string) {
				require.NoError(t, os.WriteFile(filepath.Join(folder, view.name+suffix+".png"), small(t, tab.Picture(), limit), 0o600))
			}
			tab.Size(1280, height)
			if browsertest.Eval[bool](tab, `!!document.querySelector('dialog[open]')`) {
				limit = height // what is below the window is not darkened
			}
			tab.Colours("light")
			write("")
			if view.dark {
				tab.Colours("dark")
				write("-dark")
			}
		})
	}
}

// small returns the upper part of a picture with the 256 colours that it has most of, which makes it smaller by half:
// pages have few colours, and the edges of letters the others.
func small(t *testing.T, picture []byte, height int) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	bounds := decoded.Bounds()
	bounds.Max.Y = min(bounds.Max.Y, height)
	count := map[color.Color]int{}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			count[decoded.At(x, y)]++
		}
	}
	const colours = 256
	byCount := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] })
	palette := color.Palette(byCount[:min(colours, len(byCount))])
	nearest := map[color.Color]uint8{}
	for c := range count {
		nearest[c] = uint8(palette.Index(c)) // of 256
	}
	reduced := image.NewPaletted(bounds, palette)
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			reduced.SetColorIndex(x, y, nearest[decoded.At(x, y)])
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	require.NoError(t, encoder.Encode(&out, reduced))
	return out.Bytes()
}
