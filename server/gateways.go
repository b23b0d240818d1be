package server

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

const (
	// reloadGap is how long after a notice, or after its policies, a gateway may still come for what it loads: it gathers
	// notices for a second (facts gateway §5).
	reloadGap = 2 * time.Second
	// drainPoll is how often it is looked whether gateways have what they came for.
	drainPoll = 50 * time.Millisecond
)

// gateways is what the server knows of gateways, and does for them, between requests.
type gateways struct {
	*gateway.Announcer
	// leads: of all servers on the database, this one tells gateways of changes.
	leads atomic.Bool
	keys  keyWork

	mu sync.Mutex
	// loading is when the gateways of these sessions were given their policies; the APIs are next.
	loading map[string]time.Time
}

func newGateways(cfg Config) *gateways {
	return &gateways{
		Announcer: gateway.NewAnnouncer(cfg.Gateway, cfg.Redis, cfg.Log, cfg.Now),
		keys:      newKeyWork(), loading: map[string]time.Time{},
	}
}

// Run does what has to be done between requests, until ctx ends: it hears what other servers on the database and the
// database itself announce, tells gateways of changes, puts back the organisation keys that gateways have lost, and sweeps
// out nonces that nobody has redeemed.
func (s *Server) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.listen(ctx) })
	running.Go(func() { s.gateways.Run(ctx) })
	running.Go(func() { s.restoreOrgKeys(ctx) })
	running.Go(func() { s.settleOrgKeys(ctx) })
	running.Go(func() { s.sweepNonces(ctx) })
	running.Wait()
}

// listen connects again, ever more slowly, for as long as it takes; what was announced meanwhile counts as a reload.
func (s *Server) listen(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	listener := store.Listener{Ready: func() { s.hear(store.EventReload); pause.Reset() }, HandleEvent: s.hear}
	if s.gateways.HasGateways() {
		listener.Lead = func() { s.gateways.leads.Store(true); s.gateways.Changed() }
	}
	for ctx.Err() == nil {
		err := s.Store.Listen(ctx, listener)
		s.gateways.leads.Store(false)
		if ctx.Err() != nil {
			return
		}
		s.Log.Warn("does not hear of other servers' changes", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// hear does what an event asks for. Routes and organisations are read from the database with every request, so that
// there is nothing here to read again; gateways have to.
func (s *Server) hear(event store.Event) {
	if event == store.EventReload {
		now := s.Now()
		s.reloads.last.Store(&now)
	}
	if s.gateways.leads.Load() {
		s.gateways.Changed()
	}
}

// reloads remembers when this server last reloaded; nil is not since its start.
type reloads struct {
	last atomic.Pointer[time.Time]
}

// givenPolicies and givenAPIs follow a gateway through its reload.
func (g *gateways) givenPolicies(session string, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for other, since := range g.loading { // what was never finished
		if at.Sub(since) > reloadGap {
			delete(g.loading, other)
		}
	}
	g.loading[session] = at
}

func (g *gateways) givenAPIs(session string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.loading, session)
}

// busy tells whether a gateway may be about to come for its policies or APIs.
func (g *gateways) busy(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, since := range g.loading {
		if now.Sub(since) <= reloadGap {
			return true
		}
	}
	return now.Sub(g.LastNotice()) <= reloadGap
}

// Drain waits, before a server stops, for gateways to finish their reloads: one that loses its dashboard between its
// policies and its APIs, and finds it again soon after, waits for itself for ever (facts gateway §0.2). It waits a few
// seconds at most, and not past ctx.
func (s *Server) Drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*reloadGap)
	defer cancel()
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for s.gateways.busy(s.Now()) {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

var _ http.Handler = (*Server)(nil)
