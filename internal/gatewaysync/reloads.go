package gatewaysync

import (
	"context"
	"sync"
	"time"
)

const (
	// reloadGap is how long after a notice, or after it was sent its policies, a gateway may still request what it
	// loads next: it gathers notices for one second.
	reloadGap = 2 * time.Second
	// drainPoll is the interval between two checks of whether gateways have finished their reloads.
	drainPoll = 50 * time.Millisecond
)

// reloads tracks which gateways are between the two requests of a reload: policies first, then APIs.
type reloads struct {
	lastNotice func() time.Time

	mu sync.Mutex // guards loading, for the length of a map operation
	// loading holds when the gateway of a session was sent its policies; its request for the APIs is next.
	loading map[string]time.Time
}

func newReloads(lastNotice func() time.Time) *reloads {
	return &reloads{lastNotice: lastNotice, loading: map[string]time.Time{}}
}

func (r *reloads) begin(session string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, since := range r.loading { // reloads that were never finished
		if at.Sub(since) > reloadGap {
			delete(r.loading, other)
		}
	}
	r.loading[session] = at
}

func (r *reloads) end(session string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.loading, session)
}

// busy reports whether a gateway may be about to request its policies or APIs.
func (r *reloads) busy(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, since := range r.loading {
		if now.Sub(since) <= reloadGap {
			return true
		}
	}
	return now.Sub(r.lastNotice()) <= reloadGap
}

// drain waits until no gateway is busy, a few seconds at most and not past ctx.
func (r *reloads) drain(ctx context.Context, now func() time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 2*reloadGap)
	defer cancel()
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for r.busy(now()) {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
