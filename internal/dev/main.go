// Command dev is `make dev`: it watches the repository, and after each change generates code from the contracts, builds
// the server and starts it anew. Until that succeeds, it lists what is left to do, with file and line, and the server
// before the change keeps running.
//
// Its flags are those of `gatehouse serve`. A private Postgres is started once, and outlives the restarts.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/spf13/pflag"

	"gatehouse/internal/config"
	"gatehouse/internal/logging"
	"gatehouse/postgres"
)

func main() {
	readFilesAgain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(1)
	}
}

// readFilesAgain has kin-openapi read a file each time: by default it keeps the content of the first time.
func readFilesAgain() { openapi3.DefaultReadFromURI = openapi3.ReadFromFile }

const usage = `make dev runs the server, and watches the repository. After each change it
generates code from the contracts, builds the server and starts it anew. Until
that succeeds, it lists what is left to do. Ctrl-C stops it.

Usage: make dev ARGS='--listen :8080'

ARGS are flags of gatehouse serve:

%s`

// helpWidth is the number of columns of the help.
const helpWidth = 100

// postgresStopTimeout limits the shutdown of the private Postgres, as in `gatehouse serve`.
const postgresStopTimeout = 6 * time.Second

// run works in the root of the repository, until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var cfg config.Config
	flags := pflag.NewFlagSet("dev", pflag.ContinueOnError)
	settings := config.Bind(flags, &cfg)
	flags.Usage = func() { fmt.Fprintf(out, usage, flags.FlagUsagesWrapped(helpWidth)) }
	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp): // Parse has printed it
		return nil
	case err != nil:
		return err
	}
	if err := load(settings, &cfg); err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil && err == nil {
			fmt.Fprintln(out, "Stopped.")
		}
	}()
	private, err := startPostgres(ctx, &cfg)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // Ctrl-C meanwhile
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, private.stop(ctx)) }()
	watched, err := watch(ctx, ".")
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp("", "gatehouse-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	running := &server{args: args, environment: private.environment, database: private.description, out: out}
	defer running.stop()
	steps := project{root: ".", program: filepath.Join(temporary, "gatehouse")}
	checks := &rules{project: steps}
	defer checks.close()
	developer{project: steps, rules: checks, server: running, out: out}.loop(ctx, watched)
	return nil
}

// load reads the settings that no flag sets, as the server does.
func load(settings config.Settings, cfg *config.Config) error {
	if err := settings.Load("environment", os.LookupEnv); err != nil {
		return err
	}
	file, err := config.FindFile(cfg.File.Path)
	if err != nil {
		return err
	}
	return errors.Join(settings.LoadFile(file), settings.ReadFiles(), cfg.Resolve())
}

// privatePostgres is the private Postgres, or nothing if another is configured.
type privatePostgres struct {
	environment []string // of the server that uses it
	description string   // of where the data is; empty if the server has the right one
	cluster     *postgres.Cluster
}

func startPostgres(ctx context.Context, cfg *config.Config) (*privatePostgres, error) {
	p := &privatePostgres{environment: os.Environ()}
	if cfg.Database.URL != "" {
		return p, nil
	}
	dir := cfg.Server.DataDir
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	var err error
	p.cluster, err = postgres.Start(ctx, postgres.Config{
		DataDir: dir, BinDir: cfg.Database.PostgresBin, Log: logging.New(os.Stderr, cfg.Log.Format),
	})
	if err != nil {
		return nil, err
	}
	p.environment = append(p.environment, "DATABASE_URL="+p.cluster.ConnString())
	p.description = fmt.Sprintf("%s (Postgres %s from %s)", dir, p.cluster.Version(), p.cluster.BinDir())
	return p, nil
}

// stop stops it, also after the end of ctx.
func (p *privatePostgres) stop(ctx context.Context) error {
	if p.cluster == nil {
		return nil
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresStopTimeout)
	defer cancel()
	return p.cluster.Stop(stopCtx)
}

// developer does what a change needs, one change after another.
type developer struct {
	project project
	rules   *rules
	server  *server
	out     io.Writer
}

// loop makes a round at the start and after each change, until ctx ends. A change during a round ends it, and begins
// another.
func (d developer) loop(ctx context.Context, watched <-chan changes) {
	fmt.Fprintln(d.out, "== the first build takes about a minute")
	if !d.rules.installed() {
		fmt.Fprintln(d.out, "== the rules in openapi/.spectral.yaml are not checked, because Spectral is not installed: "+
			"`make lint-contract` installs it")
	}
	todo := everything()
	for ctx.Err() == nil {
		round, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.round(round, todo)
		}()
		var next changes
		select {
		case <-ctx.Done():
		case next = <-watched: // the round is out of date
			next = next.with(todo) // what it has not finished
		case <-done:
			select {
			case <-ctx.Done():
			case next = <-watched:
			}
		}
		cancel()
		<-done
		todo = next
	}
}

// nextStep names what a build does not see: properties that are not mapped, scenarios that fail, rows of tables.
const nextStep = "== next: `make test-contract` names what tests miss, such as a property that is not stored"

// round generates, builds and restarts, and prints what is left to do as soon as it is known. Spectral checks the
// contracts that have changed meanwhile, and the others, which may refer to them, afterwards.
func (d developer) round(ctx context.Context, todo changes) {
	start := time.Now()
	fmt.Fprintf(d.out, "== %s …\n", todo.steps())
	if todo.rules {
		d.rules.close()
		todo.contracts = contractNames
	}
	found := d.print(d.project.generate(ctx, todo))
	result := "not generated" + d.server.note()
	if found == 0 {
		found, result = d.buildAndCheck(ctx, todo)
	}
	if ctx.Err() != nil {
		return
	}
	if found > 0 {
		fmt.Fprintf(d.out, "== %s, %d left to do (%s)\n", result, found, since(start))
		return
	}
	fmt.Fprintf(d.out, "== %s (%s)\n", result, since(start))
	if len(todo.contracts) == 0 || todo.rules { // at the start, too
		return
	}
	if found = d.print(d.rules.lint(ctx, others(todo.contracts))); found > 0 {
		fmt.Fprintf(d.out, "== %d left to do in the other contracts\n", found)
		return
	}
	fmt.Fprintln(d.out, nextStep)
}

// buildAndCheck builds and starts the server while the rules are checked. It prints what is left to do, and returns how
// much it is. Without a fault of the rules, it checks the scenarios, too: the cause of both may be the same.
func (d developer) buildAndCheck(ctx context.Context, todo changes) (found int, result string) {
	var faults, lacking int
	var checking sync.WaitGroup
	checking.Go(func() {
		if faults = d.print(d.rules.lint(ctx, todo.contracts)); faults == 0 {
			lacking = d.print(d.project.scenarios())
		}
	})
	problems, result := d.buildAndStart(ctx)
	checking.Wait()
	if faults > 0 {
		problems = withoutConsequences(problems)
	}
	return d.print(problems) + faults + lacking, result
}

func (d developer) buildAndStart(ctx context.Context) (problems []string, result string) {
	if problems = d.project.build(ctx); len(problems) > 0 {
		return problems, "not built" + d.server.note()
	}
	if err := d.server.replace(ctx, d.project.program); err != nil {
		return []string{err.Error()}, "built, but does not start" + d.server.note()
	}
	return nil, "built and started"
}

// print prints problems, and returns how many they are.
func (d developer) print(problems []string) int {
	for _, problem := range problems {
		fmt.Fprintln(d.out, problem)
	}
	return len(problems)
}

// others returns the contracts that are not in names.
func others(names []string) []string {
	return slices.DeleteFunc(slices.Clone(contractNames), func(name string) bool { return slices.Contains(names, name) })
}

func since(start time.Time) time.Duration {
	const precision = 100 * time.Millisecond
	return time.Since(start).Round(precision)
}
