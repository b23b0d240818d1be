package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// workersPerServer is the number of clients that write at the same time, for each server.
	workersPerServer = 3
	// maxActions is the maximum number of actions in a round.
	maxActions = 3
	// keptRounds is the number of earlier rounds whose objects are checked again.
	keptRounds = 1
	// beforeAction and afterActions are the longest times that clients write before each action, and after the last one.
	beforeAction, afterActions = 800 * time.Millisecond, 500 * time.Millisecond
)

// config configures a run.
type config struct {
	rounds  int           // 0: as many as fit into duration
	time    time.Duration // 0: no limit
	seed    uint64
	only    int    // the only round, or -1
	actions string // the names of the actions contain one of these, separated by commas
	program string // the server; "": it is built
	race    bool   // build it with the race detector
	keep    bool   // keep the logs
	out     io.Writer
}

// chaos is a run.
type chaos struct {
	config

	dir       string
	report    *report
	contracts *contracts
	world     *world
	kept      [][]*worker // of earlier rounds
	// plain are callers with the admin secret, one for each server.
	plain []*caller
}

// run performs a run. It returns an error if a check failed, or if the run could not be completed.
func run(ctx context.Context, cfg config) (*report, error) {
	c, err := begin(ctx, cfg)
	if err == nil {
		err = c.play(ctx)
	}
	return c.report, c.end(err)
}

// begin builds the program and starts the world. The caller must call end, also after an error.
func begin(ctx context.Context, cfg config) (c *chaos, err error) {
	c = &chaos{config: cfg, report: newReport(cfg.out, cfg.seed)}
	if c.contracts, err = loadContracts(); err != nil {
		return c, err
	}
	if c.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
		return c, err
	}
	if err := os.Chmod(c.dir, 0o711); err != nil { // the account of Postgres has to pass
		return c, err
	}
	if c.program == "" {
		c.program = filepath.Join(c.dir, "gatehouse")
		if err := build(ctx, buildConfig{path: c.program, race: cfg.race}); err != nil {
			return c, err
		}
	}
	if c.world, err = newWorld(ctx, c.dir, c.program, c.report); err != nil {
		return c, err
	}
	for _, s := range c.world.servers {
		cfg := callerConfig{server: s.name, address: s.address, adminSecret: adminSecret}
		caller, err := newCaller(cfg, c.contracts, c.report)
		if err != nil {
			return c, err
		}
		c.plain = append(c.plain, caller)
	}
	c.world.checkGateways(ctx) // a gateway may hang if its server ends before its first heartbeat
	return c, nil
}

// end stops everything and prints the summary. It returns err, or else an error if a check failed.
func (c *chaos) end(err error) error {
	if err == nil {
		if err := c.world.stop(); err != nil {
			c.report.failf("%v", err)
		}
	}
	if c.world != nil {
		c.world.close()
	}
	c.report.summary()
	if n := c.report.failed(); n > 0 && err == nil {
		err = fmt.Errorf("%d checks failed", n)
	}
	if c.keep || err != nil {
		fmt.Fprintf(c.out, "logs are in %s\n", c.dir)
		return err
	}
	return os.RemoveAll(c.dir)
}

// buildConfig configures build.
type buildConfig struct {
	path   string // of the program
	source string // of the repository; "": this one
	race   bool
}

// build builds the server.
func build(ctx context.Context, cfg buildConfig) error {
	args := []string{"build", "-o", cfg.path, "-buildvcs=false"}
	if cfg.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "gatehouse")...)
	cmd.Dir = cfg.source
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	return nil
}

// play runs round 0, the rehearsal, and the other rounds.
func (c *chaos) play(ctx context.Context) error {
	chosen, err := choose(c.actions)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(c.time)
	for round := range c.numbers() {
		if c.time > 0 && time.Now().After(deadline) {
			break
		}
		if err := c.round(ctx, round, chosen); err != nil {
			return fmt.Errorf("round %d (seed %d): %w", round, c.seed, err)
		}
		c.report.count("rounds", 1)
	}
	return nil
}

// numbers yields the numbers of the rounds to run: the rehearsal first.
func (c *chaos) numbers() iter.Seq[int] {
	return func(yield func(int) bool) {
		if !yield(0) {
			return
		}
		if c.only >= 0 {
			yield(c.only)
			return
		}
		for n := 1; c.rounds == 0 || n <= c.rounds; n++ {
			if !yield(n) {
				return
			}
		}
	}
}

// choose returns the actions whose names contain one of the texts.
func choose(texts string) ([]action, error) {
	var chosen []action
	for _, each := range actions() {
		has := func(text string) bool { return strings.Contains(each.name, text) }
		if slices.ContainsFunc(strings.Split(texts, ","), has) {
			chosen = append(chosen, each)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no action has such a name")
	}
	return chosen, nil
}

// round runs clients and actions at the same time, waits for the recovery, and checks everything.
func (c *chaos) round(ctx context.Context, round int, chosen []action) error {
	began := time.Now()
	random := rand.New(rand.NewPCG(c.seed, uint64(round)))
	c.report.begin(round)
	workers, err := c.newWorkers(ctx, round)
	if err != nil {
		return err
	}
	if round == 0 {
		workers[0].rehearse(ctx)
	} else if err := c.disturb(ctx, workers, random, chosen); err != nil {
		return err
	}
	checking := time.Now()
	c.check(ctx, workers)
	writes := 0
	for _, each := range workers {
		writes += each.acknowledged
	}
	c.report.count("writes acknowledged", writes)
	c.report.line(time.Since(began), time.Since(checking), writes)
	return nil
}

// newWorkers makes the clients of a round with their organisations.
func (c *chaos) newWorkers(ctx context.Context, round int) ([]*worker, error) {
	var workers []*worker
	for n := range workersPerServer * len(c.world.servers) {
		random := rand.New(rand.NewPCG(c.seed, uint64(round)<<16|uint64(n+1)))
		w := &worker{round: round, number: n, random: random, report: c.report, kinds: kinds()}
		var key string
		var err error
		if w.org, key, err = organise(ctx, c.plain[n%2], w.newMarker()); err != nil {
			return nil, err
		}
		w.callerOf = func(server, key string) (*caller, error) { return c.caller(server, key, false) }
		w.nonces = &nonces{}
		for _, s := range c.world.servers {
			own, err := c.caller(s.name, key, false)
			if err != nil {
				return nil, err
			}
			single, err := c.caller(s.name, key, true)
			if err != nil {
				return nil, err
			}
			w.callers, w.nonces.callers = append(w.callers, own), append(w.nonces.callers, single)
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// caller returns a client of a server with an access key, behind the server's proxy.
func (c *chaos) caller(name, key string, oneRequest bool) (*caller, error) {
	for _, s := range c.world.servers {
		if s.name == name {
			return newCaller(callerConfig{
				server: name, address: s.front.address(), adminSecret: adminSecret, userKey: key, oneRequest: oneRequest,
			}, c.contracts, c.report)
		}
	}
	return nil, fmt.Errorf("no server %s", name)
}

// disturb runs the actions, and the workers until everything has recovered.
func (c *chaos) disturb(ctx context.Context, workers []*worker, random *rand.Rand, chosen []action) error {
	writing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, each := range workers {
		running.Go(func() { each.run(writing) })
	}
	for range 1 + random.IntN(maxActions) {
		pause(random, beforeAction)
		next := chosen[random.IntN(len(chosen))]
		c.report.act(next.name)
		if err := next.do(ctx, c.world, random); err != nil {
			return fmt.Errorf("%s: %w", next.name, err)
		}
	}
	if err := c.world.heal(ctx); err != nil {
		return err
	}
	c.recover(ctx)
	pause(random, afterActions)
	return nil
}

// recover waits until both servers are ready, and store something.
func (c *chaos) recover(ctx context.Context) {
	began := time.Now()
	if err := c.world.waitReady(ctx); err != nil {
		c.report.failf("%v, expected it to be within %s", err, maxRecovery)
	}
	ctx, cancel := context.WithTimeout(ctx, maxRecovery)
	defer cancel()
	for _, each := range c.plain {
		err := waitFor(ctx, func() error {
			created := each.do(ctx, withBody((*api).CreateOrgWithBodyWithResponse, `{"owner_name":"recovered"}`), target{})
			if created.verdict != acknowledged {
				return errors.New(created.text)
			}
			removed := each.do(ctx, withID((*api).DeleteOrgWithResponse), target{id: createdID(created.body)})
			if removed.verdict != acknowledged {
				return errors.New(removed.text)
			}
			return nil
		})
		if err != nil {
			c.report.failf("%v, expected a write to succeed within %s", err, maxRecovery)
		}
	}
	c.report.recovered(time.Since(began))
}

// check checks what this round and the kept ones have written.
func (c *chaos) check(ctx context.Context, workers []*worker) {
	for _, each := range workers {
		each.checkNonces(ctx)
	}
	c.kept = append(c.kept, workers)
	for _, round := range c.kept {
		for _, each := range round {
			each.checkObjects(ctx)
		}
	}
	c.world.checkGateways(ctx)
	c.world.checkDatabase(ctx)
	if len(c.kept) > keptRounds {
		for _, each := range c.kept[0] {
			each.leave(ctx)
		}
		c.kept = c.kept[1:]
	}
}
