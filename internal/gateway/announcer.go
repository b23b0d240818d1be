package gateway

import (
	"context"
	"log/slog"
	"maps"
	"slices"
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

// Announcer tells gateways of changes, in the background and until they are told: a gateway or a Redis that is down holds
// nobody up. What happens while it is down becomes one notice.
type Announcer struct {
	log     *slog.Logger
	now     func() time.Time
	redis   *Redis
	reloads []*target
	keys    *target

	mu      sync.Mutex
	changed map[string]bool // organisations whose keys have changed
	told    atomic.Int64    // Unix milliseconds of the last reload
}

// target is one way to tell gateways something.
type target struct {
	name   string
	gather bool // wait for a burst to end
	tell   func(context.Context) error
	due    chan struct{}
}

// NewAnnouncer makes an Announcer that uses what there is of a control API and a Redis.
func NewAnnouncer(control *Client, notices *Redis, log *slog.Logger, now func() time.Time) *Announcer {
	a := &Announcer{log: log, now: now, redis: notices, changed: map[string]bool{}}
	if control != nil {
		a.reloads = append(a.reloads, newTarget("control API", true, a.noting(control.ReloadGroup)))
	}
	if notices != nil {
		a.reloads = append(a.reloads, newTarget("redis", true, a.noting(notices.Reload)))
		a.keys = newTarget("redis (keys)", false, a.dropSessions)
	}
	return a
}

func newTarget(name string, gather bool, tell func(context.Context) error) *target {
	return &target{name: name, gather: gather, tell: tell, due: make(chan struct{}, 1)}
}

// HasGateways says whether there is anybody to tell.
func (a *Announcer) HasGateways() bool { return len(a.reloads) > 0 }

// Changed has the gateways told that APIs or policies have changed.
func (a *Announcer) Changed() {
	for _, t := range a.reloads {
		t.wake()
	}
}

// KeyChanged has the gateways told that an organisation's key has changed.
func (a *Announcer) KeyChanged(orgID string) {
	if a.keys == nil {
		return
	}
	a.mu.Lock()
	a.changed[orgID] = true
	a.mu.Unlock()
	a.keys.wake()
}

// LastReload is when gateways were last told to reload; the zero time if never.
func (a *Announcer) LastReload() time.Time {
	if told := a.told.Load(); told != 0 {
		return time.UnixMilli(told)
	}
	return time.Time{}
}

// Run tells until ctx ends.
func (a *Announcer) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, t := range append(slices.Clone(a.reloads), a.keys) {
		if t != nil {
			running.Go(func() { t.run(ctx, a.log) })
		}
	}
	running.Wait()
}

func (a *Announcer) noting(tell func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := tell(ctx)
		if err == nil {
			a.told.Store(a.now().UnixMilli())
		}
		return err
	}
}

// dropSessions tells of all keys that have changed; those that it cannot tell of stay for the next try.
func (a *Announcer) dropSessions(ctx context.Context) error {
	a.mu.Lock()
	ids := slices.Sorted(maps.Keys(a.changed))
	clear(a.changed)
	a.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	err := a.redis.DropSessions(ctx, ids)
	if err != nil {
		a.mu.Lock()
		for _, id := range ids {
			a.changed[id] = true
		}
		a.mu.Unlock()
	}
	return err
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
		if t.gather {
			t.waitForQuiet(ctx)
		}
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
