// Command bench compares gatehouse with other servers, and with Postgres's own programs, on the same data:
//
//	gatehouse  the server as its users run it
//	bare       net/http and pgx with the same SQL, without validation: the practical limit
//	stock      the usual way to use the same libraries
//	ogen       the server that ogen generates from the same contract, with the same SQL
//	pgbench    the same statement without a server, and psql's \copy of the same bytes: the physical limit
//
//	go -C bench run .                      everything at full size; needs 25 GB in the temporary directory
//	go -C bench run . -quick -json FILE    everything at a small size, in a minute or two
//
// It needs Postgres's binaries (initdb, postgres, psql, pgbench). It starts a private Postgres, with the settings that
// gatehouse uses, and each server as a process of its own, so that memory and CPU can be measured for each server. In
// each round every contender runs once, in random order. Ratios are computed within a round. The results are minimum,
// median and maximum over the rounds; docs/performance.md explains them.
//
// The files:
//
//	plan.go                                     sizes and rounds
//	small.go, bodies.go, bulk.go, growth.go, start.go  the measurements
//	fleet.go, answers.go                        … of fleets of gateways
//	fleet_*.go                                  the simulated gateways
//	load.go, transfer.go, prober                the clients
//	data.go, documents.go, queries.go           the data, and the statements of pgbench
//	build.go, postgres.go, process.go, nginx.go building and starting servers and Postgres
//	report.go, targets.go, chart.go             the results
//	bare, stock, _ogen, alternative             the servers to compare with, and their common code
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
	"strconv"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run runs the program and returns its exit status.
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

// outputs are the paths of files for the results besides standard output; "" is none.
type outputs struct{ json, chart string }

// compare runs the benchmark and writes its results.
func compare(ctx context.Context, args []string, out, errs io.Writer) error {
	p, files, err := parseArgs(args, errs)
	if err != nil {
		return err
	}
	results, err := measure(ctx, p, errs)
	if err != nil {
		return err
	}
	results.print(out)
	return errors.Join(results.writeJSON(files.json), results.drawGrowth(files.chart, p.growth))
}

// parseArgs returns the plan and the outputs that the command line asks for.
func parseArgs(args []string, errs io.Writer) (plan, outputs, error) {
	var files outputs
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	quick := flags.Bool("quick", false, "run everything at a small size, in a minute or two")
	flags.StringVar(&files.json, "json", "", "write the results to this `file`, as JSON")
	flags.StringVar(&files.chart, "svg", "", "write a chart of the growth to this `file`, as SVG")
	rounds := flags.Int("rounds", 0, "number of rounds (default 5; 3 with -quick)")
	definitions := flags.Int("definitions", 0,
		"maximum number of documents in an import (default 100000; 1000 with -quick)")
	users := flags.Int("users", 0, "maximum number of users of the growth (default 10000000; 100000 with -quick)")
	apis := flags.String("fleet-apis", "", "numbers of APIs of a fleet, such as 100,1000 (default 2000; 500 with -quick)")
	gateways := flags.String("fleet-gateways", "",
		"numbers of simulated gateways of a fleet (default 1000,10000; 100 with -quick)")
	only := flags.String("only", "", "measure only this `part`: "+strings.Join(parts(), ", "))
	if err := flags.Parse(args); err != nil {
		return plan{}, files, err
	}
	if *only != "" && !slices.Contains(parts(), *only) {
		return plan{}, files, fmt.Errorf("-only %s: unknown part; the parts are %s", *only, strings.Join(parts(), ", "))
	}
	p := fullPlan()
	if *quick {
		p = quickPlan()
	}
	p.only = *only
	err := errors.Join(setSizes(&p.fleet.apis, *apis), setSizes(&p.fleet.gateways, *gateways))
	return p.withLimits(*rounds, *definitions, *users), files, err
}

// setSizes sets sizes to those of a flag, unless it is empty.
func setSizes(sizes *[]int, flagged string) error {
	if flagged == "" {
		return nil
	}
	*sizes = nil
	for text := range strings.SplitSeq(flagged, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxFleetSize {
			return fmt.Errorf("%q is no number from 1 to %d", text, maxFleetSize)
		}
		*sizes = append(*sizes, n)
	}
	slices.Sort(*sizes)
	return nil
}

// parts returns the names of the parts of a run, in order.
func parts() []string {
	return []string{"starts", "small", "bodies", "lists", "bulk", "growth", "fleet"}
}

// measure runs a plan in a temporary directory, which it removes.
func measure(ctx context.Context, p plan, progress io.Writer) (results *report, err error) {
	b, err := open(ctx, p, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	measurements := []func(context.Context) error{
		b.measureStarts, b.measureSmall, b.measureBodies, b.measureLists, b.measureBulk, b.measureGrowth,
		b.measureFleets,
	}
	for i, measurement := range measurements {
		if p.only != "" && p.only != parts()[i] {
			continue
		}
		if err := measurement(ctx); err != nil {
			return nil, err
		}
	}
	return b.report, nil
}
