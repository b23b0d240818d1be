// Package gatewaysync does what a server does for Tyk Gateways between requests: it listens for changes on the database,
// elects the server that notifies gateways of them, keeps organisation keys in gateways as they are in Postgres, and lets
// gateways finish their reloads before the server stops.
package gatewaysync

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// Config holds what New needs. Without a Gateway and a Redis there are no gateways to keep in step.
type Config struct {
	Store   *store.Store
	Gateway *gateway.Client // nil: organisation keys are only stored
	Redis   *gateway.Redis  // nil: gateways are notified through Gateway only
	// Session converts a stored session into the form that gateways decode.
	Session func(json.RawMessage) json.RawMessage
	Log     *slog.Logger
	Now     func() time.Time
}

// Sync is the background work of one server. Its methods are safe for concurrent use.
type Sync struct {
	cfg       Config
	announcer *Announcer
	reloads   *reloads
	// leads reports whether this server, of all on the database, notifies gateways of changes.
	leads atomic.Bool
	keys  orgKeyQueue
	// changes has an element for each change of an organisation key in progress.
	changes chan struct{}
	// reloaded is when this server last reloaded; nil if it has not since its start.
	reloaded atomic.Pointer[time.Time]
}

// New returns a Sync that does nothing until Run.
func New(cfg Config) *Sync {
	announcer := NewAnnouncer(cfg.Gateway, cfg.Redis, cfg.Log, cfg.Now)
	return &Sync{
		cfg: cfg, announcer: announcer, reloads: newReloads(announcer.LastNotice), keys: newOrgKeyQueue(),
		changes: make(chan struct{}, maxChanges),
	}
}

// Run listens, notifies and reconciles until ctx ends. It returns when all of that has stopped.
func (s *Sync) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.listen(ctx) })
	running.Go(func() { s.announcer.Run(ctx) })
	running.Go(func() { s.reconcileOrgKeys(ctx) })
	running.Go(func() { s.watchLostOrgKeys(ctx) })
	running.Wait()
}

// LastReload returns when this server last reloaded; ok is false if it has not since its start.
func (s *Sync) LastReload() (at time.Time, ok bool) {
	if last := s.reloaded.Load(); last != nil {
		return *last, true
	}
	return time.Time{}, false
}

// listen reconnects, with growing pauses, until ctx ends. Events are lost meanwhile: a new connection counts as a reload.
func (s *Sync) listen(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	listener := store.Listener{Ready: func() { s.handleEvent(store.EventReload); pause.Reset() }, HandleEvent: s.handleEvent}
	if s.announcer.HasGateways() {
		listener.Lead = s.lead
	}
	for ctx.Err() == nil {
		err := s.cfg.Store.Listen(ctx, listener)
		s.leads.Store(false)
		if ctx.Err() != nil {
			return
		}
		s.cfg.Log.Warn("listen failed, reconnecting", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// lead makes this server the one that notifies gateways and reconciles organisation keys. What happened while there was no
// leader is unknown, so that all of it is due.
func (s *Sync) lead() {
	s.leads.Store(true)
	s.announcer.Changed()
	wake(s.keys.due)
	wake(s.keys.registered)
}

// handleEvent does the leader's work. A server itself has no state to reload: it reads routes and organisations from the
// database with every request.
func (s *Sync) handleEvent(event store.Event) {
	if event == store.EventReload {
		now := s.cfg.Now()
		s.reloaded.Store(&now)
	}
	switch {
	case !s.leads.Load():
	case event == store.EventOrgKey:
		wake(s.keys.due)
	default:
		s.announcer.Changed()
	}
}
