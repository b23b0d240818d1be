package server_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

// docsTab is a tab with the documentation.
type docsTab struct {
	*browsertest.Tab
	phrase string // in the search field
}

// shownOperations are the operations that are visible, as METHOD PATH.
const shownOperations = `[...document.querySelectorAll('.opblock-summary')].filter((e) => e.checkVisibility()).map((e) =>
	e.querySelector('.opblock-summary-method').innerText + ' ' + e.querySelector('.opblock-summary-path').dataset.path)`

// countTags counts the tags that are shown.
const countTags = `document.querySelectorAll('.opblock-tag').length`

// search types a phrase into the search field, and waits until the operations that it finds are shown.
func (b *docsTab) search(phrase string, want ...string) {
	const field = chromedp.CSS(`.operation-filter-input`)
	erase := kb.End + strings.Repeat(kb.Backspace, len(b.phrase))
	b.Do(chromedp.WaitVisible(field), chromedp.SendKeys(field, erase+phrase))
	b.phrase = phrase
	browsertest.Eventually(b.Tab, want, shownOperations)
}

// open opens the only operation that is shown.
func (b *docsTab) open() {
	b.PressCSS(`.opblock-summary-control`)
	b.Do(chromedp.WaitVisible(chromedp.CSS(`.opblock.is-open .model-example`))) // once its references are resolved
}

// execute sends the request of the operation that is open, and waits for a response that contains a text.
func (b *docsTab) execute(text string) {
	b.PressCSS(`.opblock.is-open .execute`)
	browsertest.Eventually(b.Tab, true, `(document.querySelector('.live-responses-table tbody')?.innerText ?? '').includes('`+text+`')`)
}

// TestDocsInABrowser reads the documentation as a user does. Nothing may violate the page's policy, and nothing may be
// requested from another server.
func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	b := setup(t, withDocs)
	tab := &docsTab{Tab: browsertest.Open(t)}
	tab.Allow("status of 401") // once, below
	tab.Go(b.url + "/docs")
	specs := contractSpecs()
	browsertest.Eventually(tab.Tab, len(tagsOf(specs[:len(specs)-1])), countTags)

	tab.search("reset allow",
		"PUT /admin/users/{userId}/actions/allow_reset_passwords", "PUT /admin/users/{userId}/actions/disallow_reset_passwords")
	tab.search("POST  RESET", "POST /api/users/{userId}/actions/reset")
	tab.open()
	browsertest.Eventually(tab.Tab, true, `document.querySelector('.opblock.is-open').innerText.includes('new_password')`)

	tab.search("adminHello", "GET /admin/hello")
	tab.open()
	tab.execute("Not authorised")
	tab.PressCSS(`.scheme-container .authorize`)
	browsertest.Eventually(tab.Tab, true, `document.activeElement.matches('.auth-container input')`) // which the dialog focuses itself
	tab.Do(chromedp.SendKeys(chromedp.CSS(`.auth-container input`), secret))                         // the first scheme is the admin secret
	tab.PressCSS(`.auth-container .authorize`)
	tab.PressCSS(`.auth-container .btn-done`)
	tab.execute(`"Status": "OK"`)
	require.Equal(t, 1, strings.Count(b.log.String(), "route=/admin/hello status=200"))

	tab.PressCSS(`nav [href="/docs?contract=node"]`)
	browsertest.Eventually(tab.Tab, len(tagsOf(specs[len(specs)-1:])), countTags)

	// The browser logs each response that is an error. One was asked for.
	refused := "network: Failed to load resource: the server responded with a status of 401 (Unauthorized)"
	require.Equal(t, []string{refused}, tab.Complaints())
}

// tagsOf returns the tags of contracts, each once.
func tagsOf(specs []*openapi3.T) map[string]bool {
	tags := map[string]bool{}
	for _, spec := range specs {
		for _, tag := range spec.Tags {
			tags[tag.Name] = true
		}
	}
	return tags
}
