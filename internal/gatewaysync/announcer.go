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
	// quiet ends a burst of changes: gateways are told once nothing has changed for so long.
	quiet = 150 * time.Millisecond
	// patience is how long a burst may go on before gateways are told of it. With the second that a gateway itself gathers
	// notices for (facts gateway §5), a change counts within two.
	patience = 600 * time.Millisecond
	// firstPause and longestPause are how long a gateway or Redis that does not answer is left alone.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	// missed is longer than a gateway that has lost its Redis takes to look for it again, which is 10 s. What is said meanwhile
	// is lost: so long is somebody waited for who listens, and so long are those reminded whom the first try did not reach.
	missed   = 15 * time.Second
	reminder = 3 * time.Second // between two of them
)

// Announcer tells gateways that APIs or policies have changed, in the background and until they are told: a gateway or a
// Redis that is down holds nobody up. What happens while it is down becomes one notice.
type Announcer struct {
	log     *slog.Logger
	now     func() time.Time
	targets []*target
	told    atomic.Int64 // Unix milliseconds of the last notice
}

// target is one way to tell gateways.
type target struct {
	name string
	tell func(context.Context) error
	due  chan struct{}
}

// NewAnnouncer makes an Announcer that uses what there is of a control API and a Redis.
func NewAnnouncer(control *gateway.Client, notices *gateway.Redis, log *slog.Logger, now func() time.Time) *Announcer {
	a := &Announcer{log: log, now: now}
	if control != nil {
		a.targets = append(a.targets, a.newTarget("control API", control.ReloadGroup))
	}
	if notices != nil {
		a.targets = append(a.targets, a.newTarget("redis", notices.Reload))
	}
	return a
}

func (a *Announcer) newTarget(name string, tell func(context.Context) error) *target {
	return &target{name: name, due: make(chan struct{}, 1), tell: func(ctx context.Context) error {
		err := tell(ctx)
		if err == nil {
			a.told.Store(a.now().UnixMilli())
		}
		return err
	}}
}

// HasGateways says whether there is anybody to tell.
func (a *Announcer) HasGateways() bool { return len(a.targets) > 0 }

// Changed has the gateways told.
func (a *Announcer) Changed() {
	for _, t := range a.targets {
		t.wake()
	}
}

// LastNotice is when gateways were last told; the zero time if never.
func (a *Announcer) LastNotice() time.Time {
	if told := a.told.Load(); told != 0 {
		return time.UnixMilli(told)
	}
	return time.Time{}
}

// Run tells until ctx ends.
func (a *Announcer) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, t := range a.targets {
		running.Go(func() { t.run(ctx, a.log) })
	}
	running.Wait()
}

func (t *target) wake() {
	select {
	case t.due <- struct{}{}:
	default: // it is due already
	}
}

func (t *target) run(ctx context.Context, log *slog.Logger) {
	next := schedule{pause: backoff.NewExponentialBackOff()}
	next.pause.InitialInterval, next.pause.MaxInterval = firstPause, longestPause
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.due: // also in a pause: who was not there may be by now
			t.waitForQuiet(ctx)
		case <-again:
		}
		err := t.tell(ctx)
		again = nil
		if pause, more := next.after(err); more {
			again = time.After(pause)
		}
		if err != nil && !errors.Is(err, gateway.ErrNoListeners) && ctx.Err() == nil {
			log.Warn("gateways not told of a change; trying again", "by", t.name, "err", err)
		}
	}
}

// schedule says when gateways are told again.
type schedule struct {
	pause   *backoff.ExponentialBackOff
	failing bool
	unheard time.Time // since when nobody listens
	remind  time.Time // until when who may have missed it is reminded
}

// after says how long to wait after a try that ended with err, and whether there is another before the next change.
func (s *schedule) after(err error) (pause time.Duration, more bool) {
	now := time.Now()
	if err == nil {
		if s.failing {
			s.remind = now.Add(missed)
		}
		s.rest()
		return reminder, now.Before(s.remind)
	}
	s.failing = true
	switch {
	case !errors.Is(err, gateway.ErrNoListeners):
		s.unheard = time.Time{}
	case s.unheard.IsZero():
		s.unheard = now
	case now.Sub(s.unheard) > missed: // there is nobody, and who comes loads what there is
		s.rest()
		return 0, false
	}
	return s.pause.NextBackOff(), true
}

func (s *schedule) rest() {
	s.failing, s.unheard = false, time.Time{}
	s.pause.Reset()
}

// waitForQuiet waits until a burst of changes is over, or patience is.
func (t *target) waitForQuiet(ctx context.Context) {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		select {
		case <-t.due:
		case <-time.After(quiet):
			return
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
