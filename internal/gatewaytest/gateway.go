// Package gatewaytest is what a test needs in place of the outside world: a stand-in Tyk Gateway and a Redis.
//
// The stand-in speaks both sides of the real thing as the facts about gateway v5.11.1 say (facts §0 to §6): it
// registers with the dashboard under test, sends heartbeats, loads policies and APIs, listens for notices on Redis,
// serves a control API and answers on the listen paths of what it loaded. It has the real one's weaknesses too: a
// dashboard that would deadlock, crash or starve a real gateway does that to the stand-in, and a test can ask for it
// (Deadlocked, Crashed, ReloadErrors). What it does not do is proxy: a served API answers for itself.
//
// It listens on loopback only, and all of it ends with the test.
package gatewaytest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// The real gateway's timing (facts §2, §5, §0.2), used where Config says nothing.
const (
	defaultPingInterval   = 2 * time.Second
	defaultReloadInterval = time.Second
	defaultRetryInterval  = 5 * time.Second
	defaultRecoveryWindow = 10 * time.Second
	defaultRedisPause     = 10 * time.Second
)

// subscribeWithin is how long Start waits for the subscription on Redis: a notice published before it is lost.
const subscribeWithin = 5 * time.Second

// Config is how a stand-in gateway is set up. A zero duration means the real gateway's; tests want shorter ones.
type Config struct {
	DashboardURL  string // paths are appended as they are: no trailing slash (facts §1)
	NodeSecret    string // must not be empty: a real gateway does not start without (facts §1)
	ControlSecret string // what x-tyk-authorization must hold
	Redis         *Redis // nil: no notices, keys in memory
	Hostname      string // x-tyk-hostname; empty means "gatewaytest"

	PingInterval   time.Duration // heartbeat; the health check's own ping goes out every fifth of them. 2 s
	ReloadInterval time.Duration // at most one queued reload in it. 1 s
	RetryInterval  time.Duration // between two attempts to register. 5 s
	RecoveryWindow time.Duration // how long a reload waits for the dashboard to come back. 10 s
	RedisPause     time.Duration // before it listens again on a Redis that was gone: what is said meanwhile is lost. 10 s

	Segmented        bool     // node_is_segmented: only APIs with one of Tags
	Tags             []string // the node's segment tags
	EnforceOrgQuotas bool     // enforce_org_quotas: org keys count
	HashKeys         bool     // hash_keys: key_hash is answered, ?hashed= is understood
	ListHashedKeys   bool     // enable_hashed_keys_listing; without it a hashing gateway lists no keys
}

// Gateway is a stand-in gateway. Its counters and its state are those of the current process: Restart begins new ones.
type Gateway struct {
	t     testing.TB
	cfg   Config
	store *store

	mu      sync.Mutex
	address string // kept over restarts, as listen_port is
	current *process
	faults  *faults
}

// Start starts a stand-in gateway. It returns when the gateway listens (on Redis too, if there is one), not when it
// has registered: a real gateway serves /hello before that, and waits for its dashboard for ever (facts §2.3).
// The gateway is killed at the end of the test, unless it was stopped before.
func Start(t testing.TB, cfg Config) *Gateway {
	t.Helper()
	if cfg.NodeSecret == "" {
		t.Fatal("gatewaytest: node secret is not set, a gateway does not start without (facts §1)")
	}
	g := &Gateway{t: t, cfg: withDefaults(cfg), address: "127.0.0.1:0", faults: &faults{}}
	g.store = newStore(cfg.Redis)
	t.Cleanup(g.end)
	g.launch()
	return g
}

func withDefaults(cfg Config) Config {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&cfg.PingInterval, defaultPingInterval},
		{&cfg.ReloadInterval, defaultReloadInterval},
		{&cfg.RetryInterval, defaultRetryInterval},
		{&cfg.RecoveryWindow, defaultRecoveryWindow},
		{&cfg.RedisPause, defaultRedisPause},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if cfg.Hostname == "" {
		cfg.Hostname = "gatewaytest"
	}
	return cfg
}

// launch starts a process on the gateway's address; the first one chooses the port.
func (g *Gateway) launch() {
	g.t.Helper()
	// Cleanup runs after the test's context has ended, so that DELETE /system/node needs a context of its own.
	ctx, cancel := context.WithCancel(context.WithoutCancel(g.t.Context()))
	p := newProcess(ctx, cancel, g.cfg, g.store, g.faults)
	g.mu.Lock()
	address := g.address
	g.mu.Unlock()
	address, err := p.front.open(ctx, address)
	if err != nil {
		cancel()
		g.t.Fatalf("gatewaytest: cannot listen on %s: %v", address, err)
	}
	g.mu.Lock()
	g.address, g.current = address, p
	g.mu.Unlock()
	p.begin()
	// A Redis that is down does not keep a gateway from starting, nor a test from trying that.
	if g.cfg.Redis != nil && g.store.alive(ctx) {
		_ = poll(ctx, subscribeWithin, g.Subscribed)
	}
}

// end is the cleanup: it leaves no goroutine and no connection, and shows the log of a test that failed.
func (g *Gateway) end() {
	g.Kill()
	g.store.close()
	if g.t.Failed() {
		g.t.Logf("log of the stand-in gateway %s:\n%s", g.URL(), &g.process().log)
	}
}

func (g *Gateway) process() *process {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current
}

// Stop ends the gateway as SIGTERM does: it takes leave of the dashboard (DELETE /system/node) and ends. The two
// seconds that a real gateway drains before that are left out. The error is the dashboard's answer to the leave.
func (g *Gateway) Stop() error {
	p := g.process()
	if p.ctx.Err() != nil {
		return errors.New("gatewaytest: the gateway does not run")
	}
	ctx, cancel := context.WithTimeout(p.ctx, connectionTimeout)
	defer cancel()
	err := p.deregister(ctx)
	p.end()
	return err
}

// Kill ends the gateway as SIGKILL does: the dashboard is not told, connections break, the port refuses.
func (g *Gateway) Kill() { g.process().end() }

// Restart kills the gateway if it runs and starts a new process on the same port: new session id, no node id, no
// configuration, no caches. Keys stay, as they do in Redis.
func (g *Gateway) Restart() {
	g.t.Helper()
	g.Kill()
	g.launch()
}

// URL is the base of the control API and of the served APIs, without trailing slash.
func (g *Gateway) URL() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return "http://" + g.address
}

// NodeID is what the dashboard named the node; solo-<uuid> before it did (facts §2).
func (g *Gateway) NodeID() string { return g.process().node.identity().nodeID }

// SessionID is the process's own id, new with every start.
func (g *Gateway) SessionID() string { return g.process().node.session }

// Registrations is how often the dashboard gave the node an id.
func (g *Gateway) Registrations() int { return int(g.process().registrations.Load()) }

// Reloads is how many reloads succeeded: policies and APIs fetched, decoded and in use.
func (g *Gateway) Reloads() int { return int(g.process().reloads.Load()) }

// ReloadErrors are the reloads that failed, in order, with the reason. The old configuration was kept each time.
func (g *Gateway) ReloadErrors() []string { return g.process().reloadErrors.list() }

// Deadlocked says that a reload waits for the reload lock that it holds itself (facts §0.1, §0.2): what was loaded is
// still served, but nothing will ever be loaded again until Restart.
func (g *Gateway) Deadlocked() bool { return g.process().deadlocked.Load() }

// Crashed is the panic that ended the process (facts §0.4); nil if none did.
func (g *Gateway) Crashed() error { return g.process().crashed() }

// Calls are the requests that the gateway sent to the dashboard, in the order in which they went out.
func (g *Gateway) Calls() []Call { return g.process().calls.list() }

// Notices are the messages that came over Redis, in order.
func (g *Gateway) Notices() []Notice { return g.process().notices.list() }

// Subscribed says whether the gateway hears notices now.
func (g *Gateway) Subscribed() bool { return g.process().subscribed.Load() }

// APIs are the ids of the APIs that are served, sorted: loaded and reachable on a listen path.
func (g *Gateway) APIs() []string { return g.process().config().served() }

// Policies are the effective ids of the policies loaded, sorted (facts §4: `id`, else hex of `_id`).
func (g *Gateway) Policies() []string { return g.process().policyIDs() }

// Purges is how often lapsed OAuth tokens were purged, by the control API or by a notice.
func (g *Gateway) Purges() int { return int(g.process().purges.Load()) }

// QuotaTrigger tells the dashboard that a key reached a share of its quota, in percent, as the monitor does
// (facts §6, quota_trigger).
func (g *Gateway) QuotaTrigger(orgID, key string, percent int) error {
	p := g.process()
	return p.quotaTrigger(p.ctx, orgID, key, percent)
}
