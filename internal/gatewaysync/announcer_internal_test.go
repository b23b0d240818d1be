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

// ear is who is told.
type ear struct {
	mu    sync.Mutex
	err   error
	tries []time.Time
}

func (e *ear) tell(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tries = append(e.tries, time.Now())
	return e.err
}

// answer sets what it answers from now on.
func (e *ear) answer(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// since lists the tries that were made after a time.
func (e *ear) since(then time.Time) []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := slices.IndexFunc(e.tries, func(try time.Time) bool { return try.After(then) })
	if first < 0 {
		return nil
	}
	return slices.Clone(e.tries[first:])
}

// last is how long after a time the last try was made.
func (e *ear) last(then time.Time) time.Duration {
	tries := e.since(then)
	if len(tries) == 0 {
		return 0
	}
	return tries[len(tries)-1].Sub(then)
}

// telling runs an announcer with one ear, in time that passes only where the test waits.
func telling(t *testing.T, test func(t *testing.T, a *Announcer, e *ear)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &ear{}
		a := NewAnnouncer(nil, nil, slog.New(slog.DiscardHandler), time.Now)
		a.targets = append(a.targets, a.newTarget("ear", e.tell))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { a.Run(ctx); close(done) }()
		test(t, a, e)
		stop()
		<-done
	})
}

func TestOneChangeIsOneNotice(t *testing.T) {
	t.Parallel()
	telling(t, func(t *testing.T, a *Announcer, e *ear) {
		t.Helper()
		start := time.Now()
		a.Changed()
		time.Sleep(time.Hour)
		require.Len(t, e.since(start), 1)
	})
}

func TestWhoMayHaveMissedItIsReminded(t *testing.T) {
	t.Parallel()
	telling(t, func(t *testing.T, a *Announcer, e *ear) {
		t.Helper()
		e.answer(errors.New("refused"))
		a.Changed()
		time.Sleep(time.Minute)
		e.answer(nil)
		back := time.Now()
		time.Sleep(2 * longestPause)
		require.NotEmpty(t, e.since(back), "it is not told when it is there again")
		require.GreaterOrEqual(t, a.LastNotice(), back)
		time.Sleep(time.Hour)
		require.Greater(t, e.last(back), 10*time.Second, "whoever looks for its Redis only after 10 s is not reminded")
		require.Less(t, e.last(back), time.Minute, "it is reminded for ever")
	})
}

func TestNobodyIsWaitedForForALittle(t *testing.T) {
	t.Parallel()
	telling(t, func(t *testing.T, a *Announcer, e *ear) {
		t.Helper()
		e.answer(gateway.ErrNoListeners)
		start := time.Now()
		a.Changed()
		time.Sleep(time.Hour)
		require.Greater(t, e.last(start), 10*time.Second, "whoever looks for its Redis only after 10 s is not told")
		require.Less(t, e.last(start), time.Minute, "it is told for ever")
		e.answer(nil)
		again := time.Now()
		a.Changed()
		time.Sleep(time.Hour)
		require.Len(t, e.since(again), 1)
	})
}

// TestAChangeEndsAPause: a gateway that was not there hears of a change as soon as any.
func TestAChangeEndsAPause(t *testing.T) {
	t.Parallel()
	telling(t, func(t *testing.T, a *Announcer, e *ear) {
		t.Helper()
		e.answer(errors.New("refused"))
		a.Changed()
		time.Sleep(time.Minute)
		for range 20 { // a pause may end of itself just then
			before := time.Now()
			a.Changed()
			time.Sleep(2 * quiet)
			require.NotEmpty(t, e.since(before))
		}
	})
}
