package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// startingGateways is how many gateways register and load at the same time.
	startingGateways = 32
	// readers is how many gateways of a fleet decode what they load.
	readers = 4
	// fleetPoll is the interval between two checks of whether all gateways have a change. Gateways record themselves when
	// they have it.
	fleetPoll = 50 * time.Millisecond
)

// fleet is a number of simulated gateways of one server. Its methods but notify are called by one goroutine.
type fleet struct {
	cfg    fleetConfig
	ctx    context.Context // the life of the gateways
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu       sync.Mutex // guards gateways, for notify
	gateways []*simulatedGateway
}

func newFleet(ctx context.Context, cfg fleetConfig) *fleet {
	f := &fleet{cfg: cfg}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// grow starts gateways until there are n, and waits until all have loaded, for limit at most. It returns
// context.DeadlineExceeded after that.
func (f *fleet) grow(n int, limit time.Duration) error {
	var added []*simulatedGateway
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	starting, ctx := errgroup.WithContext(ctx)
	starting.SetLimit(startingGateways)
	for number := len(f.gateways); number < n; number++ {
		g := newSimulatedGateway(f.cfg, number, number < readers)
		added = append(added, g)
		starting.Go(func() error {
			if err := g.start(ctx); err != nil {
				return fmt.Errorf("start a simulated gateway: %w", err)
			}
			f.tasks.Go(func() { g.heartbeat(f.ctx) })
			f.tasks.Go(func() { g.reloads(f.ctx) })
			return nil
		})
	}
	if err := starting.Wait(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gateways = append(f.gateways, added...)
	return nil
}

// notify gives all gateways a notice.
func (f *fleet) notify(at time.Time) {
	f.mu.Lock()
	gateways := f.gateways
	f.mu.Unlock()
	for _, g := range gateways {
		g.notify(at)
	}
}

// stop ends all gateways, as SIGKILL does.
func (f *fleet) stop() {
	f.cancel()
	f.tasks.Wait()
	for _, g := range f.gateways {
		g.client.CloseIdleConnections()
	}
}

// forgetLoads makes arrival look only at loads from now on.
func (f *fleet) forgetLoads() {
	for _, g := range f.gateways {
		g.forgetLoads()
	}
}

// arrival says when a change arrived at the gateways of a fleet.
type arrival struct {
	// have is how many gateways have the change.
	have int
	// last is how long it took until the last of them had it, and median until half of them.
	last, median time.Duration
	// lastNet is last without the time that a gateway waits between a notice and its reload.
	lastNet time.Duration
}

// await waits until all gateways have a change that was committed at a time, for limit at most.
func (f *fleet) await(change int, committed time.Time, limit time.Duration) (arrival, error) {
	lacking, loads := slices.Clone(f.gateways), []gatewayLoad(nil)
	for deadline := time.Now().Add(limit); ; {
		lacking = slices.DeleteFunc(lacking, func(g *simulatedGateway) bool {
			with, found := g.firstWith(change)
			if found {
				loads = append(loads, with)
			}
			return found
		})
		if len(lacking) == 0 || time.Now().After(deadline) || !sleep(f.ctx, fleetPoll) {
			break
		}
	}
	if err := errors.Join(f.cfg.apis.wait(), f.cfg.policies.wait(), f.ctx.Err()); err != nil {
		return arrival{}, err
	}
	return arrivalOf(loads, committed), nil
}

func arrivalOf(loads []gatewayLoad, committed time.Time) arrival {
	a := arrival{have: len(loads)}
	if a.have == 0 {
		return a
	}
	slices.SortFunc(loads, func(x, y gatewayLoad) int { return x.ended.Compare(y.ended) })
	for _, each := range loads {
		waited := each.began.Sub(each.noticed)
		if each.noticed.Before(committed) { // of something else
			waited = max(0, each.began.Sub(committed))
		}
		a.lastNet = max(a.lastNet, each.ended.Sub(committed)-waited)
	}
	a.last, a.median = loads[a.have-1].ended.Sub(committed), loads[a.have/2].ended.Sub(committed)
	return a
}
