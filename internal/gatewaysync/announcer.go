package gatewaysync

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/internal/gateway"
)

const (
	// debounce ends a burst of changes: gateways are notified when nothing has changed for so long.
	debounce = 150 * time.Millisecond
	// maxDebounce is how long a burst may last before gateways are notified of it. A gateway gathers notices for one
	// second more; together, a change takes effect within two.
	maxDebounce = 600 * time.Millisecond
	// minPause and maxPause are the pauses before another attempt to reach a gateway or Redis that does not answer.
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
	// reconnectTime is longer than the 10 s after which a gateway that has lost its Redis reconnects. Notices are
	// lost meanwhile: so long attempts are repeated while no gateway listens, and so long notices are repeated after
	// a failure.
	reconnectTime  = 15 * time.Second
	repeatInterval = 3 * time.Second // between two repeated notices
)

// announcer notifies gateways in the background that APIs or policies have changed, and retries until it succeeds.
// Changes while a gateway or Redis is down become one notice.
type announcer struct {
	log *slog.Logger
	now func() time.Time
	// announcing is called after a burst of changes, before gateways are notified of it.
	announcing func(context.Context)
	targets    []*target
	due        chan struct{} // an element: something has changed
	notified   atomic.Int64  // Unix milliseconds of the last notice; 0: none
}

// target is one way to notify gateways.
type target struct {
	name   string
	notify func(context.Context) error
	due    chan struct{} // an element: gateways have to be notified
}

func newAnnouncer(log *slog.Logger, now func() time.Time, announcing func(context.Context)) *announcer {
	return &announcer{log: log, now: now, announcing: announcing, due: make(chan struct{}, 1)}
}

// add adds a target, before run.
func (a *announcer) add(name string, notify func(context.Context) error) {
	recorded := func(ctx context.Context) error {
		err := notify(ctx)
		if err == nil {
			a.notified.Store(a.now().UnixMilli())
		}
		return err
	}
	a.targets = append(a.targets, &target{name: name, notify: recorded, due: make(chan struct{}, 1)})
}

// hasGateways reports whether there is a target.
func (a *announcer) hasGateways() bool { return len(a.targets) > 0 }

// changed notifies gateways soon of a change.
func (a *announcer) changed() { wake(a.due) }

// repeat notifies gateways again.
func (a *announcer) repeat() {
	for _, t := range a.targets {
		wake(t.due)
	}
}

// lastNotice returns when gateways were last notified, or the zero time.
func (a *announcer) lastNotice() time.Time {
	if notified := a.notified.Load(); notified != 0 {
		return time.UnixMilli(notified)
	}
	return time.Time{}
}

// run notifies until ctx ends.
func (a *announcer) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { a.gather(ctx) })
	for _, t := range a.targets {
		running.Go(func() { t.run(ctx, a.log) })
	}
	running.Wait()
}

// gather makes one notice of each burst of changes.
func (a *announcer) gather(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.due:
		}
		a.debounce(ctx)
		a.announcing(ctx)
		a.repeat()
	}
}

// debounce waits until a burst of changes ends, or has lasted maxDebounce.
func (a *announcer) debounce(ctx context.Context) {
	limit := time.NewTimer(maxDebounce)
	defer limit.Stop()
	for {
		select {
		case <-a.due:
		case <-time.After(debounce):
			return
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (t *target) run(ctx context.Context, log *slog.Logger) {
	next := newSchedule()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.due: // also in a pause: the gateway may be back
		case <-again:
		}
		err := t.notify(ctx)
		again = nil
		if pause, repeat := next.after(err); repeat {
			again = time.After(pause)
		}
		if err != nil && !errors.Is(err, gateway.ErrNoListeners) && ctx.Err() == nil {
			log.Warn("notify gateways of a change failed, retrying", "by", t.name, "err", err)
		}
	}
}

// schedule decides when a notice is sent again.
type schedule struct {
	pause        *backoff.ExponentialBackOff
	failing      bool
	noListeners  time.Time // since when no gateway listens; zero: one does, or that is not known
	repeatsUntil time.Time // until when a notice is repeated for gateways that have not reconnected yet
}

func newSchedule() *schedule {
	s := &schedule{pause: backoff.NewExponentialBackOff()}
	s.pause.InitialInterval, s.pause.MaxInterval = minPause, maxPause
	return s
}

// after returns the pause after an attempt that ended with err, and whether there is another attempt before the next
// change.
func (s *schedule) after(err error) (pause time.Duration, repeat bool) {
	now := time.Now()
	if err == nil {
		if s.failing {
			s.repeatsUntil = now.Add(reconnectTime)
		}
		s.reset()
		return repeatInterval, now.Before(s.repeatsUntil)
	}
	s.failing = true
	switch {
	case !errors.Is(err, gateway.ErrNoListeners):
		s.noListeners = time.Time{}
	case s.noListeners.IsZero():
		s.noListeners = now
	case now.Sub(s.noListeners) > reconnectTime: // there is no gateway; one that starts loads everything
		s.reset()
		return 0, false
	}
	return s.pause.NextBackOff(), true
}

func (s *schedule) reset() {
	s.failing, s.noListeners = false, time.Time{}
	s.pause.Reset()
}
