package gatewaysync

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
)

// fakeTarget records attempts to notify gateways.
type fakeTarget struct {
	mu       sync.Mutex
	err      error
	attempts []time.Time
}

func (f *fakeTarget) notify(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, time.Now())
	return f.err
}

// failWith sets the result of attempts from now on.
func (f *fakeTarget) failWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// since lists the attempts that were made after a time.
func (f *fakeTarget) since(then time.Time) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := slices.IndexFunc(f.attempts, func(attempt time.Time) bool { return attempt.After(then) })
	if first < 0 {
		return nil
	}
	return slices.Clone(f.attempts[first:])
}

// last is how long after a time the last attempt was made.
func (f *fakeTarget) last(then time.Time) time.Duration {
	attempts := f.since(then)
	if len(attempts) == 0 {
		return 0
	}
	return attempts[len(attempts)-1].Sub(then)
}

// withAnnouncer runs an announcer with one target, in time that passes only where the test waits.
func withAnnouncer(t *testing.T, test func(t *testing.T, a *announcer, f *fakeTarget)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeTarget{}
		a := newAnnouncer(slog.New(slog.DiscardHandler), time.Now, func(context.Context) {})
		a.add("fake", f.notify)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { a.run(ctx); close(done) }()
		test(t, a, f)
		stop()
		<-done
	})
}

func TestOneChangeIsOneNotice(t *testing.T) {
	t.Parallel()
	withAnnouncer(t, func(t *testing.T, a *announcer, f *fakeTarget) {
		t.Helper()
		start := time.Now()
		a.changed()
		time.Sleep(time.Hour)
		require.Len(t, f.since(start), 1)
	})
}

func TestBurstIsOneNotice(t *testing.T) {
	t.Parallel()
	withAnnouncer(t, func(t *testing.T, a *announcer, f *fakeTarget) {
		t.Helper()
		start := time.Now()
		for range 20 {
			a.changed()
			time.Sleep(maxDebounce / 24)
		}
		time.Sleep(time.Hour)
		require.Len(t, f.since(start), 1)
	})
}

// TestChangesWithoutAPause: gateways are notified every maxDebounce while changes follow each other.
func TestChangesWithoutAPause(t *testing.T) {
	t.Parallel()
	withAnnouncer(t, func(t *testing.T, a *announcer, f *fakeTarget) {
		t.Helper()
		start := time.Now()
		for time.Since(start) < 10*maxDebounce {
			a.changed()
			time.Sleep(debounce / 2)
		}
		require.InDelta(t, 10, len(f.since(start)), 1)
	})
}

// TestNoticeIsRepeatedAfterAFailure: gateways that lost the same Redis may reconnect later than this server.
func TestNoticeIsRepeatedAfterAFailure(t *testing.T) {
	t.Parallel()
	withAnnouncer(t, func(t *testing.T, a *announcer, f *fakeTarget) {
		t.Helper()
		f.failWith(errors.New("refused"))
		a.changed()
		time.Sleep(time.Minute)
		f.failWith(nil)
		back := time.Now()
		time.Sleep(2 * maxPause)
		require.NotEmpty(t, f.since(back), "no notice is sent when the target is back")
		require.GreaterOrEqual(t, a.lastNotice(), back)
		time.Sleep(time.Hour)
		require.Greater(t, f.last(back), 10*time.Second, "no notice reaches a gateway that reconnects after 10 s")
		require.Less(t, f.last(back), time.Minute, "the notice is repeated without end")
	})
}

func TestAttemptsEndIfNoGatewayListens(t *testing.T) {
	t.Parallel()
	withAnnouncer(t, func(t *testing.T, a *announcer, f *fakeTarget) {
		t.Helper()
		f.failWith(gateway.ErrNoListeners)
		start := time.Now()
		a.changed()
		time.Sleep(time.Hour)
		require.Greater(t, f.last(start), 10*time.Second, "no notice reaches a gateway that reconnects after 10 s")
		require.Less(t, f.last(start), time.Minute, "attempts do not end")
		f.failWith(nil)
		again := time.Now()
		a.changed()
		time.Sleep(time.Hour)
		require.Len(t, f.since(again), 1)
	})
}

// TestAChangeEndsAPause: a change is an occasion to look whether the target is back.
func TestAChangeEndsAPause(t *testing.T) {
	t.Parallel()
	withAnnouncer(t, func(t *testing.T, a *announcer, f *fakeTarget) {
		t.Helper()
		f.failWith(errors.New("refused"))
		a.changed()
		time.Sleep(time.Minute)
		for range 20 { // a pause may end by itself at that moment
			before := time.Now()
			a.changed()
			time.Sleep(2 * debounce)
			require.NotEmpty(t, f.since(before))
		}
	})
}
