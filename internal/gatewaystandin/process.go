package gatewaystandin

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// process is one run of a gateway: everything that a restart loses.
type process struct {
	ctx       context.Context // ends with the process
	cancel    context.CancelFunc
	state     *state
	listener  *listener
	dashboard *dashboard
	node      *node
	reloader  *reloader
	notifier  *notifier
	tasks     sync.WaitGroup
}

// newProcess wires a process whose life is that of ctx, at most.
func newProcess(ctx context.Context, cfg Config, keys *keyStore, fault *controlFault) *process {
	ctx, cancel := context.WithCancel(ctx)
	s := newState(cfg)
	p := &process{ctx: ctx, cancel: cancel, state: s, dashboard: newDashboard(s)}
	p.reloader = &reloader{
		state: s, dashboard: p.dashboard, crash: p.crash, ended: ctx.Done(), lock: make(chan struct{}, 1),
		loader: loader{log: cfg.Log, segmented: cfg.Segmented, tags: cfg.Tags},
	}
	p.node = &node{
		state: s, dashboard: p.dashboard, reload: func(ctx context.Context) { p.reloader.reload(ctx, nil) },
	}
	p.reloader.register = p.node.register
	sessions, counters := newSessionCache(), newLimits()
	p.notifier = &notifier{
		state: s, redis: keys.redis, sessions: sessions, requestReload: func() { p.reloader.request() },
	}
	checks := health{state: s, keys: keys}
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", checks.hello)
	mux.HandleFunc("/ready", checks.ready)
	mux.Handle("/tyk/", &controlAPI{
		state: s, keys: keys, limits: counters, notifier: p.notifier, reloader: p.reloader, fault: fault,
	})
	mux.Handle("/", &apiHandler{state: s, keys: keys, sessions: sessions, limits: counters})
	p.listener = &listener{handler: mux}
	return p
}

// begin starts the goroutines, in a gateway's order: the listener is open before the gateway registers.
func (p *process) begin() {
	if p.notifier.redis != nil {
		p.tasks.Go(func() { p.notifier.run(p.ctx) })
	}
	p.tasks.Go(func() { p.reloader.run(p.ctx) })
	p.tasks.Go(p.attach)
}

// attach registers, which loads the configuration. It then sends the first heartbeat and starts the second reload with
// the same nonce. A real gateway has that race, too (docs/behaviour.md#gateways, rule 3); the stand-in always loses it.
func (p *process) attach() {
	if err := p.node.register(p.ctx); err != nil && p.ctx.Err() == nil {
		p.state.cfg.Log.Error("register with dashboard failed", "err", err)
	}
	same := p.dashboard.identity()
	p.tasks.Go(func() { p.node.heartbeat(p.ctx, same) })
	p.tasks.Go(func() { p.node.healthCheck(p.ctx) })
	p.reloader.reload(p.ctx, &same)
	p.state.started.Store(true)
}

// end ends the process and waits for its goroutines. It ends a deadlocked reload, as SIGKILL does.
func (p *process) end() {
	p.cancel()
	p.listener.end()
	p.tasks.Wait()
	p.listener.wait()
	p.dashboard.client.CloseIdleConnections()
}

// crash ends the process as a panic does: it does not deregister.
func (p *process) crash(reason string) {
	p.state.setCrash(errors.New(reason))
	p.state.cfg.Log.Error("panic", "reason", reason)
	p.cancel()
	p.listener.end()
}
