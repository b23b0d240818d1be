// Command bench measures gatehouse beside what it is compared with, in one run, alternating, on the same data:
//
//	gatehouse  the server as its users run it
//	bare       net/http and pgx with the same SQL, and nothing checked: the practical limit
//	stock      the plain way to use the same toolchain: what a team would have without effort
//	ogen       the fastest generated Go server, from the same contract, with the same SQL
//	pgbench    the same statement without any server, and psql's \copy of the same bytes: the physical limit
//
//	go -C bench run .                      everything, at full size: takes a while, and 25 GB of the temporary directory
//	go -C bench run . -quick -json FILE    a small run of everything, in a minute or two
//
// It needs Postgres's binaries (initdb, postgres, psql, pgbench) and starts everything itself: a private Postgres with
// the settings of gatehouse's own, and each server as a process of its own, so that memory and CPU are known by server.
// In each round every contender runs once, in an order drawn anew; ratios are taken within a round, and reported as
// minimum, median and maximum over the rounds.
//
// The files, in the order in which they are of interest:
//
//	plan.go      how much of what is measured        small.go, bulk.go, growth.go, start.go   the measurements
//	report.go, targets.go, chart.go   what is said   load.go, transfer.go                     the clients
//	data.go, documents.go             the data       queries.go, bare.go, stock.go, ogen.go   the alternatives
//	postgres.go, process.go           what is run
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program, with its streams and its exit status.
func run(args []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := compare(ctx, args, out, errs); {
	case errors.Is(err, flag.ErrHelp):
		return 2
	case err != nil:
		fmt.Fprintln(errs, "bench:", err)
		return 1
	}
	return 0
}

// files are where results go besides standard output; "" is nowhere.
type files struct{ json, chart string }

func compare(ctx context.Context, args []string, out, errs io.Writer) error {
	p, to, err := parse(args, errs)
	if err != nil {
		return err
	}
	results, err := measure(ctx, p, errs)
	if err != nil {
		return err
	}
	results.print(out)
	return errors.Join(results.writeJSON(to.json), results.drawGrowth(to.chart, p.growth))
}

func parse(args []string, errs io.Writer) (plan, files, error) {
	var to files
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	quick := flags.Bool("quick", false, "a small run of everything")
	flags.StringVar(&to.json, "json", "", "write the results to this `file`, as JSON")
	flags.StringVar(&to.chart, "svg", "", "draw the growth into this `file`, as SVG")
	rounds := flags.Int("rounds", 0, "how many rounds (default 5; 3 with -quick)")
	definitions := flags.Int("definitions", 0, "import no more than this many (default 100000; 1000 with -quick)")
	users := flags.Int("users", 0, "grow to no more than this many (default 10000000; 100000 with -quick)")
	only := flags.String("only", "", "measure only this `part`: "+strings.Join(parts(), ", "))
	if err := flags.Parse(args); err != nil {
		return plan{}, to, err
	}
	if *only != "" && !slices.Contains(parts(), *only) {
		return plan{}, to, fmt.Errorf("-only %s: there are only %s", *only, strings.Join(parts(), ", "))
	}
	p := fullPlan()
	if *quick {
		p = quickPlan()
	}
	p.only = *only
	return p.limited(*rounds, *definitions, *users), to, nil
}

// parts are the parts of a run.
func parts() []string { return []string{"starts", "small", "lists", "bulk", "growth"} }

// measure does all of a plan in a directory of its own, and leaves nothing behind.
func measure(ctx context.Context, p plan, progress io.Writer) (results *report, err error) {
	b, err := open(ctx, p, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	for i, part := range []func(context.Context) error{b.starts, b.small, b.lists, b.bulk, b.grow} {
		if p.only != "" && p.only != parts()[i] {
			continue
		}
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return b.report, nil
}
