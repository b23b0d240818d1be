package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

const (
	// restoreWithin is how long a gateway that has registered may take to load its first APIs: before, it does not tell
	// which organisation keys it has.
	restoreWithin = time.Minute
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
	// registered has an element when a gateway has registered.
	registered chan struct{}

	mu sync.Mutex
	// loading is when the gateways of these sessions were given their policies; the APIs are next.
	loading map[string]time.Time
}

func newGateways(cfg Config) *gateways {
	return &gateways{
		Announcer:  gateway.NewAnnouncer(cfg.Gateway, cfg.Redis, cfg.Log, cfg.Now),
		registered: make(chan struct{}, 1), loading: map[string]time.Time{},
	}
}

// Run does what has to be done between requests, until ctx ends: it hears what other servers on the database and the
// database itself announce, tells gateways of changes, and puts back the organisation keys that gateways have lost.
func (s *Server) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.listen(ctx) })
	running.Go(func() { s.gateways.Run(ctx) })
	running.Go(func() { s.restoreOrgKeys(ctx) })
	running.Wait()
}

// listen connects again, ever more slowly, for as long as it takes; what was announced meanwhile counts as a reload.
func (s *Server) listen(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	listener := store.Listener{Ready: func() { s.hear(store.Reload); pause.Reset() }, Heard: s.hear}
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
	if event == store.Reload {
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

// hasRegistered has the organisation keys looked after.
func (g *gateways) hasRegistered() {
	select {
	case g.registered <- struct{}{}:
	default: // they will be
	}
}

// restoreOrgKeys puts back, when a gateway registers, the organisation keys that its Redis has lost.
func (s *Server) restoreOrgKeys(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.gateways.registered:
		}
		if s.Gateway == nil {
			continue
		}
		restored, err := backoff.Retry(ctx, func() (int, error) { return s.restoreMissing(ctx) },
			backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(restoreWithin))
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("organisation keys not looked after", "err", err)
		case restored > 0:
			s.Log.Info("organisation keys restored in the gateways' Redis", "keys", restored)
		}
	}
}

func (s *Server) restoreMissing(ctx context.Context) (int, error) {
	recorded, err := s.Store.OrgKeyIDs(ctx)
	if err != nil || len(recorded) == 0 {
		return 0, err
	}
	missing, err := s.missingOrgKeys(ctx, recorded)
	if err != nil {
		return 0, err
	}
	told, err := s.repeatOrgKeys(ctx, missing)
	for _, id := range missing[:told] {
		s.gateways.KeyChanged(id)
	}
	return told, err
}

// missingOrgKeys asks the Redis itself, if there is one: a gateway without APIs does not tell, and when it has some there
// may be requests that should have been limited.
func (s *Server) missingOrgKeys(ctx context.Context, recorded []string) ([]string, error) {
	if s.Redis == nil {
		present, err := s.Gateway.OrgKeys(ctx)
		return slices.DeleteFunc(recorded, func(id string) bool { return slices.Contains(present, id) }), err
	}
	var missing []string
	for _, id := range recorded {
		there, err := s.Redis.HasOrgKey(ctx, id)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// repeatOrgKeys tells the gateway these keys again, as they are in the record, and returns how many.
func (s *Server) repeatOrgKeys(ctx context.Context, ids []string) (told int, err error) {
	for _, id := range ids {
		err := s.Store.RepeatOrgKey(ctx, id, func(ctx context.Context, key store.OrgKey) error {
			return s.Gateway.SetOrgKey(ctx, key.OrgID, key.Session)
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) { // one that was deleted meanwhile is as it should be
			return told, err
		}
		told++
	}
	return told, nil
}

// SyncOrgKeys tells the gateway every organisation key of the record, and returns how many there are.
func (s *Server) SyncOrgKeys(ctx context.Context) (int, error) {
	if s.Gateway == nil {
		return 0, gateway.ErrNotConfigured
	}
	ids, err := s.Store.OrgKeyIDs(ctx)
	if err != nil {
		return 0, err
	}
	told, err := s.repeatOrgKeys(ctx, ids)
	if s.Redis != nil && told > 0 {
		err = errors.Join(err, s.Redis.DropSessions(ctx, ids[:told]))
	}
	return told, err
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
	return now.Sub(g.LastReload()) <= reloadGap
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
