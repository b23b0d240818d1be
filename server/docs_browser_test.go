package server_test

import (
	"context"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

// browser is a tab of a headless Chromium.
type browser struct {
	t      *testing.T
	ctx    context.Context
	phrase string // in the search field

	mu sync.Mutex // guards the next two, for the time of an append
	// complaints are violations of the page's policy, uncaught exceptions, and what the browser logs.
	complaints []string
	hosts      map[string]bool // that the tab sent requests to
}

// newBrowser starts a Chromium, which ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program := testprogram.Need(t, "chromium-headless-shell", "chromium", "google-chrome")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with it
	}
	allocated, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(allocated)
	t.Cleanup(closeTab)
	b := &browser{t: t, ctx: ctx, hosts: map[string]bool{}}
	require.NoError(t, chromedp.Listen(ctx, b.record))
	for _, command := range []cdp.Command[cdp.Empty, cdp.Empty]{audits.Enable, log.Enable, runtime.Enable} {
		_, err := chromedp.Call(ctx, command, cdp.Empty{})
		require.NoError(t, err)
	}
	return b
}

// record records what a page must not do.
func (b *browser) record(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch event := event.(type) {
	case *audits.EventIssueAdded:
		if event.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			details := event.Issue.Details.ContentSecurityPolicyIssueDetails
			b.complaints = append(b.complaints, "policy: "+details.ViolatedDirective+" "+details.BlockedURL)
		}
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, string(event.Entry.Source)+": "+event.Entry.Text)
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+event.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		if target, err := url.Parse(event.Request.URL); err == nil && target.Scheme != "data" {
			b.hosts[target.Host] = true
		}
	}
}

// do runs actions one after another.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, soon)
	defer cancel()
	for i, action := range actions {
		if err := chromedp.Do(ctx, action); err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			require.NoError(b.t, err, "action %d; the browser's complaints: %q", i, b.complaints)
		}
	}
}

// press clicks what is visible and matches a selector. It does so in the page, in one step: between finding an element
// and a click of the mouse, the page may have replaced it.
func (b *browser) press(selectors ...string) {
	b.t.Helper()
	for _, selector := range selectors {
		b.do(chromedp.WaitVisible(chromedp.CSS(selector)))
		_, err := chromedp.Run(b.ctx, chromedp.Evaluate[any]("document.querySelector(`"+selector+"`).click()"))
		require.NoError(b.t, err, selector)
	}
}

// eventually waits until an expression in the page has a value.
func eventually[T any](b *browser, want T, expression string) {
	b.t.Helper()
	require.EventuallyWithT(b.t, func(c *assert.CollectT) {
		got, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
		if assert.NoError(c, err) {
			assert.Equal(c, want, got)
		}
	}, soon, pollEvery)
}

// shownOperations are the operations that are visible, as METHOD PATH.
const shownOperations = `[...document.querySelectorAll('.opblock-summary')].filter((e) => e.checkVisibility()).map((e) =>
	e.querySelector('.opblock-summary-method').innerText + ' ' + e.querySelector('.opblock-summary-path').dataset.path)`

// countTags counts the tags that are shown.
const countTags = `document.querySelectorAll('.opblock-tag').length`

// search types a phrase into the search field, and waits until the operations that it finds are shown.
func (b *browser) search(phrase string, want ...string) {
	b.t.Helper()
	const field = chromedp.CSS(`.operation-filter-input`)
	erase := kb.End + strings.Repeat(kb.Backspace, len(b.phrase))
	b.do(chromedp.WaitVisible(field), chromedp.SendKeys(field, erase+phrase))
	b.phrase = phrase
	eventually(b, want, shownOperations)
}

// open opens the only operation that is shown.
func (b *browser) open() {
	b.t.Helper()
	b.press(`.opblock-summary-control`)
	b.do(chromedp.WaitVisible(chromedp.CSS(`.opblock.is-open .model-example`))) // once its references are resolved
}

// execute sends the request of the operation that is open, and waits for a response that contains a text.
func (b *browser) execute(text string) {
	b.t.Helper()
	b.press(`.opblock.is-open .execute`)
	eventually(b, true, `(document.querySelector('.live-responses-table tbody')?.innerText ?? '').includes('`+text+`')`)
}

// TestDocsInABrowser reads the documentation as a user does. Nothing may violate the page's policy, and nothing may be
// requested from another server.
func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	b := setup(t, withDocs)
	tab := newBrowser(t)
	tab.do(chromedp.Navigate(b.url + "/docs"))
	specs := contractSpecs()
	eventually(tab, len(tagsOf(specs[:len(specs)-1])), countTags)

	tab.search("reset allow",
		"PUT /admin/users/{userId}/actions/allow_reset_passwords", "PUT /admin/users/{userId}/actions/disallow_reset_passwords")
	tab.search("POST  RESET", "POST /api/users/{userId}/actions/reset")
	tab.open()
	eventually(tab, true, `document.querySelector('.opblock.is-open').innerText.includes('new_password')`)

	tab.search("adminHello", "GET /admin/hello")
	tab.open()
	tab.execute("Not authorised")
	tab.press(`.scheme-container .authorize`)
	eventually(tab, true, `document.activeElement.matches('.auth-container input')`) // which the dialog focuses itself
	tab.do(chromedp.SendKeys(chromedp.CSS(`.auth-container input`), secret))         // the first scheme is the admin secret
	tab.press(`.auth-container .authorize`, `.auth-container .btn-done`)
	tab.execute(`"Status": "OK"`)
	require.Equal(t, 1, strings.Count(b.log.String(), "route=/admin/hello status=200"))

	tab.press(`nav [href="/docs?contract=node"]`)
	eventually(tab, len(tagsOf(specs[len(specs)-1:])), countTags)

	tab.mu.Lock()
	defer tab.mu.Unlock()
	// The browser logs each response that is an error. One was asked for.
	refused := "network: Failed to load resource: the server responded with a status of 401 (Unauthorized)"
	require.Equal(t, []string{refused}, tab.complaints)
	require.Equal(t, map[string]bool{strings.TrimPrefix(b.url, "http://"): true}, tab.hosts)
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
