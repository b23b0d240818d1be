package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
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
func NewAnnouncer(control *Client, notices *Redis, log *slog.Logger, now func() time.Time) *Announcer {
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.due:
		}
		t.waitForQuiet(ctx)
		pause := backoff.NewExponentialBackOff()
		pause.InitialInterval, pause.MaxInterval = firstPause, longestPause
		_, _ = backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, t.tell(ctx) }, // fails only when ctx ends
			backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0),
			backoff.WithNotify(func(err error, again time.Duration) {
				log.Warn("gateways not told of a change; trying again", "by", t.name, "in", again, "err", err)
			}))
	}
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
