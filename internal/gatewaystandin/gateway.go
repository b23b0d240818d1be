// Package gatewaystandin implements a stand-in for a Tyk Gateway 5.11 or 5.14, for tests and for trying gatehouse
// without one.
//
// The stand-in registers with its dashboard, sends heartbeats, loads policies and APIs, receives notices over Redis,
// serves a control API, and answers on the listen paths of the APIs that it loaded, with their keys and limits. It has
// the weaknesses of a real gateway, too: what deadlocks, crashes or starves a gateway (docs/behaviour.md#gateways) does
// so to the stand-in. It does not proxy: it answers requests itself.
package gatewaystandin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// subscribeTimeout is how long Start waits for the subscription on Redis. A notice published before it is lost.
const subscribeTimeout = 30 * time.Second

// ErrNoNodeSecret is returned by Start without a node secret: a gateway does not start without one.
var ErrNoNodeSecret = errors.New("the node secret is not set")

// ErrUnknownVersion is returned by Start for a version that is not one of Versions.
var ErrUnknownVersion = errors.New("unknown version of the gateway")

// ErrStopped is returned by Stop for a gateway that does not run.
var ErrStopped = errors.New("the gateway does not run")

// Gateway is a stand-in gateway. Its counters and its state are those of the current process: Restart begins a new one.
type Gateway struct {
	ctx   context.Context // the longest life of the gateway
	cfg   Config
	keys  *keyStore
	fault *controlFault

	mu      sync.Mutex // guards the fields below
	address string     // the same after a restart
	current *process
}

// Start starts a stand-in gateway, whose life is that of ctx, at most. It returns when the gateway listens, and has
// subscribed if there is a Redis, but not when it has registered: a gateway serves /hello before that, and waits for
// its dashboard without limit. Call Close to release it.
func Start(ctx context.Context, cfg Config) (*Gateway, error) {
	if cfg.NodeSecret == "" {
		return nil, ErrNoNodeSecret
	}
	cfg = cfg.withDefaults()
	if !slices.Contains(Versions(), cfg.Version) {
		return nil, fmt.Errorf("%w: %q is not one of %q", ErrUnknownVersion, cfg.Version, Versions())
	}
	g := &Gateway{ctx: ctx, cfg: cfg, keys: newKeyStore(cfg), fault: &controlFault{}, address: cfg.Listen}
	if err := g.launch(); err != nil {
		g.keys.close()
		return nil, err
	}
	return g, nil
}

// launch starts a process on the gateway's address; the first one may choose the port.
func (g *Gateway) launch() error {
	p := newProcess(g.ctx, g.cfg, g.keys, g.fault)
	g.mu.Lock()
	address, timeout := g.address, reopenTimeout
	if g.current == nil {
		timeout = 0 // the port is another program's
	}
	g.mu.Unlock()
	address, err := p.listener.open(p.ctx, address, timeout)
	if err != nil {
		p.end()
		return err
	}
	g.mu.Lock()
	g.address, g.current = address, p
	g.mu.Unlock()
	p.begin()
	// A gateway starts without its Redis, too.
	if g.keys.redis != nil && g.keys.reachable(p.ctx) {
		poll(p.ctx, subscribeTimeout, g.Subscribed)
	}
	return nil
}

// Close kills the gateway and closes its connection to Redis.
func (g *Gateway) Close() {
	g.Kill()
	g.keys.close()
}

func (g *Gateway) process() *process {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current
}

func (g *Gateway) state() *state { return g.process().state }

// Stop ends the gateway as SIGTERM does: it deregisters (DELETE /system/node) and ends, without the two seconds in
// which a real gateway drains. The error is that of deregistering.
func (g *Gateway) Stop() error {
	p := g.process()
	if p.ctx.Err() != nil {
		return ErrStopped
	}
	ctx, cancel := context.WithTimeout(p.ctx, dashboardTimeout)
	defer cancel()
	err := p.node.deregister(ctx)
	p.end()
	return err
}

// Kill ends the gateway as SIGKILL does: it does not deregister, connections break, and the port refuses new ones.
func (g *Gateway) Kill() { g.process().end() }

// Restart kills the gateway if it runs, and starts a new process on the same port: with a new session ID, and without
// node ID, configuration and caches. Keys stay.
func (g *Gateway) Restart() error {
	g.Kill()
	return g.launch()
}

// SetControlError makes the control API answer every request with this status and message in its envelope. Status 0
// ends that. /hello, /ready and the served APIs are not affected.
func (g *Gateway) SetControlError(status int, message string) { g.fault.set(status, message) }

// SetControlDown closes the listener, so that connections are refused, or opens it again on the same port. The gateway
// keeps its node ID, heartbeats and configuration. The served APIs share the listener.
func (g *Gateway) SetControlDown(down bool) error {
	p := g.process()
	if down {
		p.listener.close()
		return nil
	}
	_, err := p.listener.open(p.ctx, p.listener.address(), reopenTimeout)
	return err
}

// SetNoticesDown cuts the gateway off the notices of its Redis, which it goes on using for keys, or ends that. What is
// published meanwhile is lost. A restart ends it, too.
func (g *Gateway) SetNoticesDown(down bool) { g.process().notifier.setDown(down) }

// URL returns the base URL of the control API and of the served APIs, without a trailing slash.
func (g *Gateway) URL() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return "http://" + g.address
}

// NodeID returns the ID that the dashboard assigned, or solo-<uuid>.
func (g *Gateway) NodeID() string { return g.process().dashboard.identity().nodeID }

// SessionID returns the ID of the process, new with every start.
func (g *Gateway) SessionID() string { return g.process().dashboard.session }

// Started reports whether the gateway has registered and finished the two reloads of its start.
func (g *Gateway) Started() bool { return g.Registrations() > 0 && g.state().started.Load() }

// Registrations returns how often the dashboard assigned a node ID.
func (g *Gateway) Registrations() int { return int(g.state().registrations.Load()) }

// Heartbeats returns the number of heartbeats that the dashboard has answered with 200 since it registered the gateway.
func (g *Gateway) Heartbeats() int { return int(g.state().heartbeats.Load()) }

// Reloads returns the number of reloads that succeeded: policies and APIs fetched, decoded and applied.
func (g *Gateway) Reloads() int { return int(g.state().reloads.Load()) }

// Idle reports whether every reload has ended that was requested.
func (g *Gateway) Idle() bool { return g.process().reloader.unfinished.Load() == 0 }

// ReloadErrors returns the errors of the reloads that failed, in order. The old configuration stayed each time.
func (g *Gateway) ReloadErrors() []string { return g.state().reloadErrors.list() }

// Deadlocked reports whether a reload waits for the lock that it holds itself. The gateway serves what it had, and
// loads nothing until it is restarted.
func (g *Gateway) Deadlocked() bool { return g.state().deadlocked.Load() }

// DeadlockedBeforeHeartbeat reports whether a registration deadlocked the gateway that it sent before the dashboard had
// answered a heartbeat since the registration before. A dashboard cannot distinguish it from a gateway that starts
// (docs/behaviour.md#registration).
func (g *Gateway) DeadlockedBeforeHeartbeat() bool {
	return g.Deadlocked() && g.state().beforeHeartbeat.Load()
}

// Done returns a channel that is closed when the current process ends.
func (g *Gateway) Done() <-chan struct{} { return g.process().ctx.Done() }

// Crashed returns the panic that ended the process, or nil.
func (g *Gateway) Crashed() error { return g.state().crashed() }

// Calls returns the requests to the dashboard in the order in which they were sent.
func (g *Gateway) Calls() []Call { return g.state().calls.list() }

// Notices returns the messages received over Redis, in order.
func (g *Gateway) Notices() []Notice { return g.state().notices.list() }

// Subscribed reports whether the gateway receives notices now.
func (g *Gateway) Subscribed() bool { return g.state().subscribed.Load() }

// APIs returns the sorted IDs of the APIs that are served: loaded, and with a route.
func (g *Gateway) APIs() []string { return g.state().config().served() }

// APINames returns the names of the APIs that are served by ID.
func (g *Gateway) APINames() map[string]string { return g.state().config().servedNames() }

// Policies returns the sorted effective IDs of the loaded policies: `id`, or else `_id`.
func (g *Gateway) Policies() []string { return g.state().policyIDs() }

// PolicyNames returns the names of the loaded policies by effective ID.
func (g *Gateway) PolicyNames() map[string]string { return g.state().policyNames() }

// Purges returns how often lapsed OAuth tokens were purged, by the control API or by a notice.
func (g *Gateway) Purges() int { return int(g.state().purges.Load()) }

// AddOAuthToken adds a token to those of its client, as a sign-on by the client does.
func (g *Gateway) AddOAuthToken(ctx context.Context, token OAuthToken) error {
	return g.keys.addOAuthToken(ctx, token)
}

// QuotaTrigger reports to the dashboard that a key has used a percentage of its quota, as the monitor does.
func (g *Gateway) QuotaTrigger(orgID, key string, percent int) error {
	p := g.process()
	return p.node.quotaTrigger(p.ctx, orgID, key, percent)
}
