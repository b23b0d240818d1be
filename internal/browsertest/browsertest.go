// Package browsertest has tests use pages as people do, in a headless Chromium: one for all tests of a package, in
// which each tab has cookies and storage of its own. A test fails if a page violates its Content-Security-Policy,
// throws, logs an error, or sends a request to another server.
package browsertest

import (
	"context"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

const (
	// patience is how long a page may take, on a machine that does other work.
	patience                    = time.Minute
	pollEvery                   = 50 * time.Millisecond
	defaultWidth, defaultHeight = 1440, 900
)

// browser is the Chromium of the package's tests, started by the first that needs it.
var browser struct {
	sync.Mutex

	ctx  context.Context
	stop context.CancelFunc
}

// Main runs the tests of a package, by run, and ends the Chromium that they started. It returns the exit status.
func Main(run func() int) int {
	defer func() {
		browser.Lock()
		defer browser.Unlock()
		if browser.stop != nil {
			browser.stop()
		}
	}()
	return run()
}

// started returns the context of the Chromium, which it starts if none runs.
func started(t testing.TB) context.Context {
	t.Helper()
	program := testprogram.Need(t, "chromium-headless-shell", "chromium", "google-chrome")
	browser.Lock()
	defer browser.Unlock()
	if browser.ctx != nil {
		return browser.ctx
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program),
		chromedp.WindowSize(defaultWidth, defaultHeight), chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with it
	}
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocated)
	err := chromedp.Do(ctx)
	if err != nil {
		stop()
	}
	require.NoError(t, err)
	browser.ctx = ctx //nolint:fatcontext // it is that of the process
	browser.stop = func() {
		closeBrowser()
		stop() // waits until the process has ended, and removes its directory
	}
	return ctx
}

// Tab is a tab of the Chromium.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu sync.Mutex // guards the rest
	// complaints are violations of the page's policy, uncaught exceptions, and what the browser logs.
	complaints []string
	allowed    []string
	allowsAll  bool
	hosts      map[string]bool // that the tab sent requests to
	requests   []string
	received   int
}

// Open opens a tab, at 1440 × 900 pixels. At the end of the test, it is closed, and checked as the package says.
func Open(t testing.TB) *Tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(started(t), chromedp.WithNewBrowserContext())
	tab := &Tab{t: t, ctx: ctx, hosts: map[string]bool{}}
	t.Cleanup(func() {
		tab.check()
		closeTab()
	})
	require.NoError(t, chromedp.Listen(ctx, tab.record))
	for _, command := range []cdp.Command[cdp.Empty, cdp.Empty]{audits.Enable, log.Enable, runtime.Enable} {
		_, err := chromedp.Call(ctx, command, cdp.Empty{})
		require.NoError(t, err)
	}
	tab.Size(defaultWidth, defaultHeight)
	return tab
}

// record records what a page does, and must not do.
func (tab *Tab) record(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch event := event.(type) {
	case *audits.EventIssueAdded:
		if event.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			details := event.Issue.Details.ContentSecurityPolicyIssueDetails
			tab.complaints = append(tab.complaints, "policy: "+details.ViolatedDirective+" "+details.BlockedURL)
		}
	case *log.EventEntryAdded:
		tab.complaints = append(tab.complaints, string(event.Entry.Source)+": "+event.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		if event.Type == runtime.ConsoleAPICalledTypeError {
			tab.complaints = append(tab.complaints, "console: "+texts(event.Args))
		}
	case *runtime.EventExceptionThrown:
		tab.complaints = append(tab.complaints, "exception: "+exception(event.ExceptionDetails))
	case *network.EventRequestWillBeSent:
		if target, err := url.Parse(event.Request.URL); err == nil && target.Scheme != "data" {
			tab.hosts[target.Host] = true
			tab.requests = append(tab.requests, event.Request.Method+" "+target.Path)
		}
	case *network.EventLoadingFinished:
		tab.received += int(event.EncodedDataLength)
	}
}

func texts(args []*runtime.RemoteObject) string {
	var all []string
	for _, arg := range args {
		all = append(all, arg.Description+string(arg.Value))
	}
	return strings.Join(all, " ")
}

func exception(details *runtime.ExceptionDetails) string {
	if details.Exception != nil {
		return details.Text + " " + details.Exception.Description
	}
	return details.Text
}

// check fails the test for what the pages did and must not do.
func (tab *Tab) check() {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	if tab.allowsAll {
		return
	}
	for _, complaint := range tab.complaints {
		if !slices.ContainsFunc(tab.allowed, func(allowed string) bool { return strings.Contains(complaint, allowed) }) {
			tab.t.Errorf("the browser complains: %s", complaint)
		}
	}
	if len(tab.hosts) > 1 {
		tab.t.Errorf("requests were sent to several servers: %v", tab.hosts)
	}
}

// Allow has the test not fail for a complaint that contains a text: the browser logs each response that is an error,
// as "status of 401".
func (tab *Tab) Allow(texts ...string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.allowed = append(tab.allowed, texts...)
}

// AllowAll has the test fail for no complaint, and for no request to another server: it attacks.
func (tab *Tab) AllowAll() {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.allowsAll = true
}

// Complaints returns the complaints until now.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.complaints)
}

// Requests returns the requests until now, as METHOD PATH.
func (tab *Tab) Requests() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.requests)
}

// Received returns how many bytes have been received, with headers and as they were compressed.
func (tab *Tab) Received() int {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return tab.received
}

// Do runs actions of chromedp one after another.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	for i, action := range actions {
		if err := chromedp.Do(ctx, action); err != nil {
			require.NoError(tab.t, err, "action %d; the browser's complaints: %q; the page:\n%s",
				i, tab.Complaints(), tab.text())
		}
	}
}

// Go opens a URL.
func (tab *Tab) Go(address string) {
	tab.t.Helper()
	tab.Do(chromedp.Navigate(address))
}

// Size changes the size of the window.
func (tab *Tab) Size(width, height int64) {
	tab.t.Helper()
	tab.Do(chromedp.EmulateViewport(width, height))
}

// Colours has pages shown light or dark, as the system is.
func (tab *Tab) Colours(scheme string) {
	tab.t.Helper()
	_, err := chromedp.Call(tab.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
	require.NoError(tab.t, err)
}

// Offline has requests fail, or not any more.
func (tab *Tab) Offline(offline bool) {
	tab.t.Helper()
	const unlimited = -1
	_, err := chromedp.Call(tab.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{
			{Offline: offline, DownloadThroughput: unlimited, UploadThroughput: unlimited},
		},
	})
	require.NoError(tab.t, err)
}

// Picture returns a picture of the whole page, as PNG.
func (tab *Tab) Picture() []byte {
	tab.t.Helper()
	const lossless = 100
	picture, err := chromedp.Run(tab.ctx, chromedp.FullScreenshot(lossless))
	require.NoError(tab.t, err)
	return picture
}

// text is what the page shows, for messages of failed tests.
func (tab *Tab) text() string {
	text, _ := chromedp.Run(tab.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return text
}

// Eval returns the value of an expression in the page, or what its promise resolves to.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(tab.t, err, expression)
	return value
}

// Eventually waits until an expression in the page has a value.
func Eventually[T any](tab *Tab, want T, expression string) {
	tab.t.Helper()
	require.EventuallyWithT(tab.t, func(c *assert.CollectT) {
		got, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](expression))
		if assert.NoError(c, err) {
			assert.Equal(c, want, got)
		}
	}, patience, pollEvery, expression)
}
