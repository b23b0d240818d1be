package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"gatehouse/internal/postgrespair"
	"gatehouse/internal/testport"
)

// action is a named disturbance of the world. What it does not repair itself, world.heal does.
type action struct {
	name string
	do   func(ctx context.Context, w *world, random *rand.Rand) error
}

// The longest pauses within an action.
const (
	shortPause = 300 * time.Millisecond
	longPause  = 2 * time.Second
)

// pause sleeps for a random time.
func pause(random *rand.Rand, most time.Duration) {
	time.Sleep(time.Duration(random.Int64N(int64(most))))
}

// actions returns all actions.
func actions() []action {
	return slices.Concat(serverActions(), primaryActions(), pairActions(), gatewayActions(), networkActions())
}

func serverActions() []action {
	return []action{
		{"kill a server", func(_ context.Context, w *world, random *rand.Rand) error {
			w.servers[random.IntN(2)].kill(time.Duration(random.Int64N(int64(time.Second))))
			return nil
		}},
		{"kill both servers", func(_ context.Context, w *world, random *rand.Rand) error {
			w.servers[0].kill(0)
			pause(random, shortPause)
			w.servers[1].kill(0)
			return nil
		}},
		{"kill a server during its start", killDuringStart},
		{"stop a server", func(_ context.Context, w *world, random *rand.Rand) error {
			w.servers[random.IntN(2)].terminate() // heal waits for its end
			return nil
		}},
		{"kill a server while it migrates", killDuringMigration},
		{"kill everything", killEverything},
	}
}

func primaryActions() []action {
	return []action{
		{"kill the primary", killPrimary},
		{"kill the primary while it recovers", func(ctx context.Context, w *world, random *rand.Rand) error {
			primary := w.pair.Primary()
			primary.Kill()
			starting, cancel := context.WithTimeout(ctx, time.Duration(1+random.Int64N(int64(shortPause))))
			_ = primary.Start(starting) // the context ends it
			cancel()
			primary.Kill()
			return primary.Start(ctx)
		}},
		{"kill a backend", func(_ context.Context, w *world, random *rand.Rand) error {
			// The postmaster ends all other backends, and recovers.
			pids := w.pair.Primary().Backends()
			if len(pids) == 0 {
				return nil
			}
			return w.pair.Primary().EndBackends(syscall.SIGKILL, pids[random.IntN(len(pids))])
		}},
		{"terminate backends", func(_ context.Context, w *world, random *rand.Rand) error {
			share := 1 + random.IntN(3)
			spared := func(pid int) bool { return pid%share != 0 }
			pids := slices.DeleteFunc(w.pair.Primary().Backends(), spared)
			return w.pair.Primary().EndBackends(syscall.SIGTERM, pids...) // as pg_terminate_backend does
		}},
		{"freeze the primary", func(_ context.Context, w *world, random *rand.Rand) error {
			primary := w.pair.Primary()
			err := primary.Freeze()
			pause(random, longPause)
			return errors.Join(err, primary.Thaw())
		}},
	}
}

func pairActions() []action {
	return []action{
		{"kill the standby", func(ctx context.Context, w *world, random *rand.Rand) error {
			w.pair.Standby().Kill()
			pause(random, longPause)
			return w.pair.Standby().Start(ctx)
		}},
		{"kill the standby and then the primary", func(ctx context.Context, w *world, random *rand.Rand) error {
			w.pair.Standby().Kill()
			pause(random, shortPause)
			return errors.Join(killPrimary(ctx, w, random), w.pair.Standby().Start(ctx))
		}},
		{"promote the standby", promote},
		{"promote the standby after it was away", func(ctx context.Context, w *world, random *rand.Rand) error {
			w.pair.Standby().Kill() // commits wait, and none may be acknowledged
			pause(random, longPause)
			w.pair.Primary().Kill()
			if err := w.pair.Standby().Start(ctx); err != nil {
				return err
			}
			return promote(ctx, w, random)
		}},
		{"cut the replication", cutReplication},
	}
}

func gatewayActions() []action {
	return []action{
		{"kill Redis", func(_ context.Context, w *world, random *rand.Rand) error {
			w.redis.kill(time.Duration(random.Int64N(int64(time.Second))))
			return nil
		}},
		{"kill a gateway", func(_ context.Context, w *world, random *rand.Rand) error {
			gateway := w.gateways[random.IntN(2)]
			gateway.Kill()
			pause(random, shortPause)
			return gateway.Restart()
		}},
		{"cut connections of a gateway", func(_ context.Context, w *world, random *rand.Rand) error {
			each := w.dashboards[random.IntN(2)]
			each.cut()
			pause(random, shortPause)
			each.cut()
			return nil
		}},
	}
}

func networkActions() []action {
	return []action{
		{"cut connections to the database", onDatabase((*proxy).cut)},
		{"drop connections to the database", onDatabase((*proxy).drop)},
		{"refuse connections to the database", onDatabase(func(p *proxy) { p.refuse(); p.cut() })},
		{"slow connections to the database", onDatabase(func(p *proxy) { p.slow(50 * time.Millisecond) })},
		{"freeze connections to the database", onDatabase((*proxy).freeze)},
		{"cut connections of clients", func(_ context.Context, w *world, random *rand.Rand) error {
			for range 5 {
				w.servers[random.IntN(2)].front.cut()
				pause(random, shortPause)
			}
			return nil
		}},
		{"freeze connections of clients", func(_ context.Context, w *world, random *rand.Rand) error {
			front := w.servers[random.IntN(2)].front
			front.freeze()
			pause(random, longPause)
			front.heal()
			return nil
		}},
		{"cut connections to Redis", func(_ context.Context, w *world, random *rand.Rand) error {
			each := w.redises[random.IntN(2)]
			each.refuse()
			each.cut()
			pause(random, longPause)
			each.heal()
			return nil
		}},
		{"drop connections to Redis", func(_ context.Context, w *world, random *rand.Rand) error {
			w.redises[random.IntN(2)].drop()
			return nil
		}},
	}
}

func cutReplication(_ context.Context, w *world, random *rand.Rand) error {
	for _, each := range w.replication {
		each.freeze()
	}
	pause(random, longPause)
	for _, each := range w.replication {
		each.heal()
		each.cut()
	}
	return nil
}

// onDatabase disturbs the connections of a server, or of both, to the database for a while.
func onDatabase(disturb func(*proxy)) func(context.Context, *world, *rand.Rand) error {
	return func(_ context.Context, w *world, random *rand.Rand) error {
		first := random.IntN(2)
		servers := w.databases[first : first+1]
		if random.IntN(2) == 0 {
			servers = w.databases[:]
		}
		for _, proxies := range servers {
			for _, each := range proxies {
				disturb(each)
			}
		}
		pause(random, longPause)
		for _, proxies := range servers {
			for _, each := range proxies {
				each.heal()
			}
		}
		return nil
	}
}

func killDuringStart(_ context.Context, w *world, random *rand.Rand) error {
	s := w.servers[random.IntN(2)]
	for range 1 + random.IntN(3) {
		s.kill(0)
		pause(random, shortPause+restartPause)
	}
	s.kill(0)
	return nil
}

func killPrimary(ctx context.Context, w *world, random *rand.Rand) error {
	primary := w.pair.Primary()
	primary.Kill()
	pause(random, time.Second)
	return primary.Start(ctx)
}

// promote ends the primary, by one of several ways, and has the standby take over.
func promote(ctx context.Context, w *world, random *rand.Rand) error {
	old := w.pair.Primary()
	if random.IntN(2) == 0 {
		if err := old.Stop(); err != nil {
			return err
		}
	}
	old.Kill()
	if err := w.pair.Promote(ctx); err != nil {
		return err
	}
	w.report.count("promotions", 1)
	pause(random, shortPause)
	return w.pair.Rejoin(ctx)
}

func killEverything(ctx context.Context, w *world, random *rand.Rand) error {
	w.redis.kill(0)
	for _, each := range []func(){
		w.gateways[0].Kill, w.gateways[1].Kill, w.pair.Primary().Kill, w.pair.Standby().Kill,
		func() { w.servers[0].kill(time.Second) }, func() { w.servers[1].kill(time.Second) },
	} {
		each()
	}
	pause(random, shortPause)
	return errors.Join(w.pair.Primary().Start(ctx), w.pair.Standby().Start(ctx),
		w.gateways[0].Restart(), w.gateways[1].Restart())
}

// killDuringMigration starts a server on an empty database, and kills it several times while it migrates. Then it must
// start, and its schema must be that of the other servers.
func killDuringMigration(ctx context.Context, w *world, random *rand.Rand) error {
	const name = "migrated"
	primary := w.pair.Primary()
	recovering, stop := context.WithTimeout(ctx, maxRecovery) // the action before may have killed a backend
	defer stop()
	err := waitFor(recovering, func() error {
		return primary.SQL(recovering, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	if err != nil {
		return err
	}
	if err := primary.SQL(ctx, "postgres", "CREATE DATABASE "+name); err != nil {
		return err
	}
	s, err := w.newMigrator(primary, name)
	if err != nil {
		return err
	}
	defer s.destroy()
	for range 1 + random.IntN(4) {
		pause(random, shortPause+restartPause)
		s.kill(0)
	}
	ctx, cancel := context.WithTimeout(ctx, maxRecovery)
	defer cancel()
	if err := waitFor(ctx, func() error { return s.ready(ctx) }); err != nil {
		w.report.failf("a server that was killed while it migrated does not start again: %v\n%s",
			err, tail(s.log.Name(), 1000))
		return nil
	}
	if err := s.stop(); err != nil {
		w.report.failf("%v", err)
	}
	got, err := schemaOf(ctx, primary, name)
	if err != nil {
		return err
	}
	if want, err := schemaOf(ctx, primary, database); err != nil || got != want {
		w.report.failf("the schema of a migration that was killed: expected\n%s\nhas (%v)\n%s", want, err, got)
	}
	w.report.count("migrations that were killed", 1)
	return primary.SQL(ctx, "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
}

// newMigrator starts a server on another database of the primary.
func (w *world) newMigrator(primary *postgrespair.Node, name string) (*server, error) {
	s := &server{name: "of the migration"}
	var err error
	if s.address, err = testport.Address(); err != nil {
		return nil, err
	}
	s.supervised, err = supervise("server "+s.name, w.path("server-migration.log"), w.report, func() *exec.Cmd {
		cmd := exec.Command(w.program(0), "serve")
		cmd.Env = append(environment(), "DATABASE_URL="+primary.URL(name), "GATEHOUSE_LISTEN="+s.address,
			"GATEHOUSE_DATA_DIR="+w.path("data-migration"),
			"TYK_DB_ADMINSECRET="+adminSecret, "TYK_DB_NODESECRET="+nodeSecret)
		return cmd
	})
	return s, err
}
