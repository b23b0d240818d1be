// Package gatewaysync does what a server does for Tyk Gateways between requests: it listens for changes on the
// database, elects the server that notifies gateways of them, keeps organisation keys in gateways as they are in
// Postgres, and lets gateways finish their reloads before the server stops.
//
// sync.go is its interface, and puts the parts together: the announcer, which notifies gateways, and the watch for
// those that have missed a notice (behind.go); changes of organisation keys (change.go), the reconciler that repairs
// what they left behind, and the search for keys that the gateways' Redis has lost; and the reloads that gateways have
// begun.
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
	// Noticed is called after each attempt to notify gateways, by the control API ("control_api") or the Redis
	// ("redis"). It may be nil.
	Noticed func(by string, err error)
}

// Sync is the background work of one server. Its methods are safe for concurrent use.
type Sync struct {
	cfg       Config
	announcer *announcer
	behind    *behindWatch
	reloads   *reloads
	keys      *orgKeys
	// leadsUntil is until when this server, of all on the database, notifies gateways of changes; nil: it does not.
	leadsUntil atomic.Pointer[time.Time]
	// reloaded is when this server last reloaded; nil if it has not since its start.
	reloaded atomic.Pointer[time.Time]
	// deafSince is since when this server receives no events; nil if it does, or does not run.
	deafSince atomic.Pointer[time.Time]
}

// deafAfter is how long a server may receive no events before it counts as deaf. It is longer than it takes to notice
// that a connection has broken and to reconnect, also to another server after a failover.
const deafAfter = 3 * time.Second

// New returns a Sync that does nothing until Run.
func New(cfg Config) *Sync {
	behind := newBehindWatch(cfg.Store, cfg.Log, cfg.Now)
	announcer := newAnnouncer(cfg.Log, cfg.Now, behind.announcing)
	notify := func(by string, send func(context.Context) error) func(context.Context) error {
		if cfg.Noticed == nil {
			return send
		}
		return func(ctx context.Context) error {
			err := send(ctx)
			cfg.Noticed(by, err)
			return err
		}
	}
	behind.repeat = announcer.repeat
	if cfg.Gateway != nil {
		announcer.add("control API", notify("control_api", cfg.Gateway.ReloadGroup))
	}
	if cfg.Redis != nil {
		announcer.add("redis", notify("redis", cfg.Redis.Reload))
	}
	s := &Sync{cfg: cfg, announcer: announcer, behind: behind, reloads: newReloads(announcer.lastNotice)}
	behind.leads = s.leads
	s.keys = newOrgKeys(orgKeysConfig{
		store: cfg.Store, gateway: cfg.Gateway, redis: cfg.Redis, session: cfg.Session, log: cfg.Log, now: cfg.Now,
		leads: s.leads,
	})
	return s
}

// Run listens, notifies and reconciles until ctx ends. It returns when all of that has stopped.
func (s *Sync) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.listen(ctx) })
	running.Go(func() { s.announcer.run(ctx) })
	running.Go(func() { s.behind.run(ctx) })
	running.Go(func() { newReconciler(s.keys).run(ctx) })
	running.Go(func() { s.keys.searchLostKeys(ctx) })
	running.Wait()
}

// ChangeOrgKey changes an organisation's key in the gateway and in Postgres. The gateway is called first: if it
// refuses the change or cannot be reached, the stored key stays as it is. Changes of one key happen one after
// another. Without a gateway the key is only stored.
//
// It returns store.ErrNotFound or store.ErrUnknownOrganisation if the change does not apply, a *gateway.Refused if
// the gateway refuses it, and gateway.ErrUnreachable if the gateway does not answer in time.
func (s *Sync) ChangeOrgKey(ctx context.Context, change store.OrgKeyChange) error {
	return s.keys.change(ctx, change)
}

// SyncOrgKeys sends every stored organisation key to the gateway, also if Run does not run, and returns the number of
// keys that the gateway keeps. A key that fails does not stop the others; the error joins all failures. SyncOrgKeys
// returns gateway.ErrNotConfigured without a gateway.
func (s *Sync) SyncOrgKeys(ctx context.Context) (int, error) {
	if s.cfg.Gateway == nil {
		return 0, gateway.ErrNotConfigured
	}
	return newReconciler(s.keys).sendAll(ctx)
}

// NodeRegistered starts a search for organisation keys that the gateways' Redis has lost.
func (s *Sync) NodeRegistered() { wake(s.keys.registered) }

// NodesBehind returns the number of gateways that have not loaded the last change in time; 0 if this server does not
// lead.
func (s *Sync) NodesBehind() int { return int(s.behind.count.Load()) }

// PoliciesSent records that the gateway of a session has begun a reload.
func (s *Sync) PoliciesSent(session string) { s.reloads.begin(session, s.cfg.Now()) }

// APIsSent records that the gateway of a session has finished a reload.
func (s *Sync) APIsSent(session string) { s.reloads.end(session) }

// Drain waits, before a server stops, until gateways have finished their reloads: one that loses its dashboard
// between its policies and its APIs, and finds it again soon after, blocks on its own reload lock until it is
// restarted (docs/behaviour.md#drain). Drain waits a few seconds at most, and not past ctx.
func (s *Sync) Drain(ctx context.Context) { s.reloads.drain(ctx, s.cfg.Now) }

// LastReload returns when this server last reloaded; ok is false if it has not since its start.
func (s *Sync) LastReload() (at time.Time, ok bool) {
	if last := s.reloaded.Load(); last != nil {
		return *last, true
	}
	return time.Time{}, false
}

// The pauses before another attempt to listen. Changes of other servers are missed meanwhile: together with an attempt,
// the longest must stay below two seconds.
const (
	minListenPause = 50 * time.Millisecond
	maxListenPause = 500 * time.Millisecond
)

// listen reconnects, with growing pauses, until ctx ends. Events are lost meanwhile: a new connection counts as a
// reload.
func (s *Sync) listen(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = minListenPause, maxListenPause
	var failing bool // logged once
	listener := store.Listener{
		Ready: func() {
			if failing {
				s.cfg.Log.Info("listening again")
			}
			failing = false
			pause.Reset()
			s.deafSince.Store(nil)
			s.handleEvent(store.EventReload)
		},
		HandleEvent: s.handleEvent,
	}
	if s.announcer.hasGateways() {
		listener.Lead = s.lead
	}
	s.setDeaf()
	for ctx.Err() == nil {
		err := s.cfg.Store.Listen(ctx, listener)
		s.setDeaf()
		s.leadsUntil.Store(nil)
		if ctx.Err() != nil {
			return
		}
		if !failing {
			s.cfg.Log.Warn("listen failed, reconnecting", "err", err)
		}
		failing = true
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// setDeaf records that this server receives no events from now on, unless it has not for some time.
func (s *Sync) setDeaf() {
	now := s.cfg.Now()
	s.deafSince.CompareAndSwap(nil, &now)
}

// Deaf reports whether this server does not receive what changes on the database: it may notify gateways too late.
func (s *Sync) Deaf() bool {
	since := s.deafSince.Load()
	return since != nil && s.cfg.Now().Sub(*since) > deafAfter
}

// leads reports whether this server is the leader.
func (s *Sync) leads() bool {
	until := s.leadsUntil.Load()
	return until != nil && time.Now().Before(*until)
}

// lead makes this server, until a time, the one that notifies gateways and reconciles organisation keys. What happened
// while there was no leader is unknown, so that all of it is due.
func (s *Sync) lead(until time.Time) {
	led := s.leads()
	s.leadsUntil.Store(&until)
	if led {
		return
	}
	s.announcer.changed()
	wake(s.keys.due)
	wake(s.keys.registered)
}

// handleEvent does the leader's work. A server itself has no state to reload: it reads routes and organisations from
// the database with every request.
func (s *Sync) handleEvent(event store.Event) {
	if event == store.EventReload {
		now := s.cfg.Now()
		s.reloaded.Store(&now)
	}
	switch {
	case !s.leads():
	case event == store.EventOrgKey:
		wake(s.keys.due)
	default:
		s.announcer.changed()
	}
}
