// Command chaos checks that gatehouse loses nothing, whatever ends or breaks around it.
//
//	go run ./e2e/chaos -rounds 200
//
// It runs two servers on a primary of Postgres with a synchronous standby, two stand-in gateways, a Redis, and proxies
// between all of them, on loopback. In each round, clients send every kind of write with the generated client, while
// random actions kill servers, Postgres, its backends, the standby, Redis or a gateway, or all at once; cut, drop, slow
// and freeze connections; and promote the standby. Then everything is repaired and restarted, and checked:
//
//   - each acknowledged write is there, and each object is in a state that its last writes allow;
//   - of an import, all documents are there or none;
//   - no nonce is redeemed twice, and each acknowledged one can be;
//   - of requests at the same time for a unique value, at most one succeeds, and no table has duplicates;
//   - gateways have the stored APIs, policies and organisation keys;
//   - pg_amcheck finds nothing;
//   - servers recover, migrate after a kill, and end within 20 seconds of SIGTERM.
//
// A check that fails prints the round, the seed, the actions and what was expected. The same seed repeats the actions
// and the writes, as far as the machine's timing lets it.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	cfg := config{out: os.Stdout}
	flag.IntVar(&cfg.rounds, "rounds", 20, "number of rounds; 0: until -time is over")
	flag.DurationVar(&cfg.time, "time", 0, "no round begins after this time; 0: no limit")
	flag.Uint64Var(&cfg.seed, "seed", rand.Uint64(), "repeats the run that has printed it")
	flag.IntVar(&cfg.only, "round", -1, "run only this round")
	flag.StringVar(&cfg.actions, "actions", "", "only actions whose name has one of these texts, separated by commas")
	flag.StringVar(&cfg.program, "program", "", "the gatehouse to test; default: that of this repository")
	flag.BoolVar(&cfg.race, "race", false, "build gatehouse with the race detector")
	flag.BoolVar(&cfg.keep, "keep", false, "keep the logs, as after a failure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	_, err := run(ctx, cfg)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}
