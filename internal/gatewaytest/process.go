package gatewaytest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// connectionTimeout is db_app_conf_options.connection_timeout of a real gateway (facts §1).
	connectionTimeout = 30 * time.Second
	// healthEvery is how many heartbeats lie between two pings of the health check: 10 s to 2 s (facts §2).
	healthEvery = 5
)

// process is one life of a gateway: everything that a restart loses.
type process struct {
	cfg    Config
	ctx    context.Context // ends with the process
	cancel context.CancelFunc
	store  *store
	faults *faults
	log    logbook
	front  *front
	client *http.Client
	work   sync.WaitGroup

	node       *node
	reloadLock chan struct{} // the mutex around a reload: a token is in it while it is held
	queue      record[chan struct{}]
	sessions   *sessionCache
	limits     *limits

	mu       sync.RWMutex
	loaded   *configuration
	policies map[string]policy
	crash    error

	started, ready, deadlocked, subscribed, dashboardUp atomic.Bool
	registrations, reloads, purges                      atomic.Int64
	reloadErrors                                        record[string]
	calls                                               record[Call]
	notices                                             record[Notice]
	born                                                time.Time
}

func newProcess(ctx context.Context, cancel context.CancelFunc, cfg Config, keys *store, broken *faults) *process {
	p := &process{
		cfg: cfg, ctx: ctx, cancel: cancel, store: keys, faults: broken,
		// A transport of its own: idle connections to the dashboard end with the process.
		client:     &http.Client{Transport: &http.Transport{}, Timeout: connectionTimeout},
		node:       newNode(),
		reloadLock: make(chan struct{}, 1),
		sessions:   newSessionCache(),
		limits:     newLimits(),
		loaded:     &configuration{},
		born:       time.Now(),
	}
	p.front = &front{handler: p.handler()}
	return p
}

// begin does what a gateway does at start, in its order: listeners (the front is open already), then everything that
// needs a dashboard.
func (p *process) begin() {
	if p.store.redis != nil {
		p.spawn(p.listen)
	}
	p.spawn(p.reloadLoop)
	p.spawn(p.attach)
}

// attach registers, which loads the configuration, and then sends the first heartbeat and starts the second reload
// with one and the same nonce (facts §0.3, §2.3). The real gateway races there; the stand-in always loses the race.
func (p *process) attach() {
	if err := p.register(p.ctx); err != nil {
		p.log.printf("registration failed: %v", err)
	}
	same := p.node.identity()
	p.spawn(func() { p.heartbeat(same) })
	p.spawn(p.healthCheck)
	p.doReload(p.ctx, &same)
	p.started.Store(true)
}

func (p *process) spawn(task func()) {
	p.work.Go(task)
}

// end ends the process and waits for what it was doing. A deadlocked reload is let go, as by SIGKILL.
func (p *process) end() {
	p.cancel()
	p.front.end()
	p.work.Wait()
	p.client.CloseIdleConnections()
}

// die is a panic that nobody recovers: the process is gone, the dashboard is not told.
func (p *process) die(reason string) {
	p.mu.Lock()
	p.crash = errors.New(reason)
	p.mu.Unlock()
	p.log.printf("panic: %s", reason)
	p.cancel()
	p.front.end()
}

func (p *process) crashed() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.crash
}

func (p *process) config() *configuration {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.loaded
}

func (p *process) policy(id string) (policy, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	found, ok := p.policies[id]
	return found, ok
}

func (p *process) policyIDs() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	ids := make([]string, 0, len(p.policies))
	for id := range p.policies {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
