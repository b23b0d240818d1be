package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse/internal/coalesce"
	"gatehouse/internal/gateway"
)

const (
	// probeAge is how old a state may be that is shown, so that pages which refresh themselves do not load a gateway.
	probeAge = 10 * time.Second
	// probeTimeout bounds a probe. Requests that need a new one wait for it, without a connection of the database.
	probeTimeout = 2 * time.Second
	// unusedAPI is an ID that no API has: a gateway that accepts the secret answers that it is not found.
	unusedAPI = "gatehouse-overview"
)

// gatewayProbe asks the gateway and the Redis for their state. All requests share a probe.
type gatewayProbe struct {
	gateway *gateway.Client // may be nil
	redis   *gateway.Redis  // may be nil
	now     func() time.Time

	calls coalesce.Group[gatewayState]
	mu    sync.Mutex // guards last; nothing waits while it is held
	last  gatewayState
}

// gatewayState is what a probe has found.
type gatewayState struct {
	at time.Time
	// version of the gateway; "" if it does not say so.
	version string
	// controlErr and redisErr are why the control API and the Redis cannot be used; gateway.ErrNotConfigured without one.
	controlErr, redisErr error
	// redisFails reports whether the gateway says that it does not reach its Redis.
	redisFails bool
	// listeners is how many gateways listen on the Redis, if counted.
	listeners int64
	counted   bool
}

// state returns a state that is at most probeAge old, or the error of ctx.
func (p *gatewayProbe) state(ctx context.Context) (gatewayState, error) {
	if last, fresh := p.fresh(); fresh {
		return last, nil
	}
	return p.calls.Do(ctx, func(ctx context.Context) (gatewayState, error) {
		if last, fresh := p.fresh(); fresh {
			return last, nil
		}
		found := p.ask(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last = found
		return found, nil
	})
}

func (p *gatewayProbe) fresh() (last gatewayState, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, !p.last.at.IsZero() && p.now().Sub(p.last.at) < probeAge
}

// ask asks both at once.
func (p *gatewayProbe) ask(ctx context.Context) (found gatewayState) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var asking sync.WaitGroup
	asking.Go(func() {
		var hello gateway.Hello
		if _, found.controlErr = p.gateway.HasAPI(ctx, unusedAPI); found.controlErr != nil {
			return
		}
		if answer, err := p.gateway.Hello(ctx); err == nil { // a gateway may have no such endpoint
			hello = answer
		}
		found.version, found.redisFails = hello.Version, hello.Details["redis"].Fails()
	})
	asking.Go(func() { found.listeners, found.counted, found.redisErr = p.redis.Listeners(ctx) })
	asking.Wait()
	found.at = p.now()
	return found
}

// reachable returns the value of the API for a server that a probe has got this error from.
func reachable[T ~string](err error) T {
	switch {
	case err == nil:
		return "reachable"
	case errors.Is(err, gateway.ErrNotConfigured):
		return "not_configured"
	}
	return "unreachable"
}
