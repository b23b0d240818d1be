package gatewaytest

import (
	"context"
	"slices"
	"testing"
	"time"
)

// pollEvery is how often a condition is asked for.
const pollEvery = 5 * time.Millisecond

// Eventually waits until the condition holds and fails the test if it does not within the time.
func Eventually(t testing.TB, within time.Duration, what string, condition func() bool) {
	t.Helper()
	// A cleanup may wait too, when the test's context has ended.
	if !poll(context.WithoutCancel(t.Context()), within, condition) {
		t.Fatalf("not within %s: %s", within, what)
	}
}

// WaitForAPI waits until the gateway serves the API.
func (g *Gateway) WaitForAPI(t testing.TB, apiID string, within time.Duration) {
	t.Helper()
	Eventually(t, within, "the gateway serves "+apiID, func() bool { return slices.Contains(g.APIs(), apiID) })
}

// WaitReady waits until the gateway is up as it is after a start (facts §2.3): registered, and both of the reloads of
// a start done, so that the next one counted is the test's own.
func (g *Gateway) WaitReady(t testing.TB, within time.Duration) {
	t.Helper()
	Eventually(t, within, "the gateway has registered and done its two first reloads", func() bool {
		return g.Registrations() > 0 && g.process().started.Load()
	})
}

// WaitReloads waits until n reloads have succeeded since the process started.
func (g *Gateway) WaitReloads(t testing.TB, n int, within time.Duration) {
	t.Helper()
	Eventually(t, within, "reloads of the gateway", func() bool { return g.Reloads() >= n })
}

// WaitSubscribed waits until the gateway hears notices, as after a Redis came back.
func (g *Gateway) WaitSubscribed(t testing.TB, within time.Duration) {
	t.Helper()
	Eventually(t, within, "the gateway listens on Redis", g.Subscribed)
}

// poll asks until the condition holds, the time is over or the context ends.
func poll(ctx context.Context, within time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) || !pause(ctx, pollEvery) {
			return false
		}
	}
	return true
}

// pause sleeps; false says that the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
