// Package gatewaytest provides tests with a Tyk Gateway and a Redis: the stand-in of package gatewaystandin and a
// redis-server. Both listen on loopback only and end with the test.
package gatewaytest

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/gatewaystandin"
	"gatehouse/internal/testport"
)

// pollInterval is the time between two checks of a condition.
const pollInterval = 5 * time.Millisecond

// Config, Call, Notice and OAuthToken are those of gatewaystandin.
type (
	Config     = gatewaystandin.Config
	Call       = gatewaystandin.Call
	Notice     = gatewaystandin.Notice
	OAuthToken = gatewaystandin.OAuthToken
)

// Versions returns the versions that a stand-in gateway can behave as.
func Versions() []gatewaystandin.Version { return gatewaystandin.Versions() }

// APIType returns the type that a gateway decodes an element of its list of APIs into.
func APIType() reflect.Type { return gatewaystandin.APIType() }

// PolicyType returns the type that a gateway decodes an element of its list of policies into.
func PolicyType() reflect.Type { return gatewaystandin.PolicyType() }

// Gateway is a stand-in gateway that fails its test if one of its methods fails.
type Gateway struct {
	*gatewaystandin.Gateway

	t testing.TB
}

// Start starts a stand-in gateway, which is killed at the end of the test. See gatewaystandin.Start. The log of the
// gateway is shown if the test fails.
func Start(t testing.TB, cfg Config) *Gateway {
	t.Helper()
	var log logBuffer
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if cfg.Listen == "" {
		var err error
		if cfg.Listen, err = testport.Address(); err != nil { // nothing else gets it while the gateway is down
			t.Fatalf("find a port for the stand-in gateway: %v", err)
		}
	}
	// The gateway outlives the test's context, which ends before the cleanups: a cleanup may stop the gateway.
	gateway, err := gatewaystandin.Start(context.WithoutCancel(t.Context()), cfg)
	if err != nil {
		t.Fatalf("start stand-in gateway: %v", err)
	}
	t.Cleanup(func() {
		gateway.Close()
		if t.Failed() {
			t.Logf("log of the stand-in gateway %s:\n%s", gateway.URL(), &log)
		}
	})
	return &Gateway{Gateway: gateway, t: t}
}

// Restart kills the gateway if it runs, and starts a new process on the same port.
func (g *Gateway) Restart() {
	g.t.Helper()
	if err := g.Gateway.Restart(); err != nil {
		g.t.Fatalf("restart stand-in gateway: %v", err)
	}
}

// SetControlDown closes the listener, so that connections are refused, or opens it again on the same port.
func (g *Gateway) SetControlDown(down bool) {
	g.t.Helper()
	if err := g.Gateway.SetControlDown(down); err != nil {
		g.t.Fatalf("open listener of the stand-in gateway again: %v", err)
	}
}

// WaitForAPI waits until the gateway serves the API.
func (g *Gateway) WaitForAPI(t testing.TB, apiID string, timeout time.Duration) {
	t.Helper()
	Eventually(t, timeout, "the gateway serves "+apiID, func() bool { return slices.Contains(g.APIs(), apiID) })
}

// WaitReady waits until the gateway has registered and finished the two reloads of its start, so that the next reload
// is the test's own.
func (g *Gateway) WaitReady(t testing.TB, timeout time.Duration) {
	t.Helper()
	Eventually(t, timeout, "the gateway has registered and finished its first two reloads", g.Started)
}

// WaitReloads waits until n reloads have succeeded since the process started.
func (g *Gateway) WaitReloads(t testing.TB, n int, timeout time.Duration) {
	t.Helper()
	Eventually(t, timeout, "reloads of the gateway", func() bool { return g.Reloads() >= n })
}

// WaitSubscribed waits until the gateway receives notices.
func (g *Gateway) WaitSubscribed(t testing.TB, timeout time.Duration) {
	t.Helper()
	Eventually(t, timeout, "the gateway receives notices from Redis", g.Subscribed)
}

// Eventually waits until the condition holds, and fails the test if it does not before the time-out. It also waits in
// cleanups, when the test's context has ended.
func Eventually(t testing.TB, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", timeout, what)
		case <-poll.C:
		}
	}
}

// logBuffer collects a log that goroutines write and the end of the test reads.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written so far.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
