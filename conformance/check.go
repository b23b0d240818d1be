package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Options select what Check drives, and how.
type Options struct {
	Target Target
	// Parallel is how many scenarios run at the same time.
	Parallel int
	// Only are glob patterns; a scenario is driven if one matches its ID (operation/outcome), its operation, its outcome
	// or its tag. None is all.
	Only []string
	// ReadOnly drives only scenarios that change nothing: they send nothing but GET, to operations that only read.
	ReadOnly bool
	// Provides are needs that the caller knows the server to meet. The others are found out, where a call tells.
	Provides map[string]bool
	// SecretHint says how the caller is given the secret of a security scheme, for the reasons in reports; nil is allowed.
	SecretHint func(scheme string) string
	// Progress is called after each scenario, one call at a time; nil is allowed.
	Progress func(Progress)
}

// Progress is the state of a run after a scenario.
type Progress struct {
	Result      *Result
	Done, Total int
}

// ErrCannotRun is returned when the server cannot be checked at all: it cannot be reached, or refuses the credentials.
var ErrCannotRun = errors.New("the server cannot be checked")

// Check drives the scenarios of the runner's suite on a server of which nothing is known but its URL. It returns a
// report of every scenario, also if ctx ends: the scenarios that did not run are then not driven. The error is
// ErrCannotRun, with its cause.
func Check(ctx context.Context, runner *Runner, options Options) (*Report, error) {
	c := &checker{runner: runner, options: options, suite: runner.cfg.Suite, has: map[string]error{}}
	if err := c.checkPatterns(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotRun, err)
	}
	if err := c.preflight(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotRun, err)
	}
	report := &Report{URL: options.Target.URL, Started: runner.cfg.Now(), Outcomes: c.suite.Spec.Outcomes()}
	var driven []*Scenario
	for _, s := range c.suite.Scenarios {
		if reason := c.excluded(s); reason != nil {
			report.Results = append(report.Results, &Result{
				Scenario: s, Status: StatusNotDriven, Reason: reason.text, Fault: reason.fault, Started: report.Started,
			})
		} else {
			driven = append(driven, s)
		}
	}
	c.probe(ctx, driven)
	report.Results = append(report.Results, c.drive(ctx, driven)...)
	order := map[*Scenario]int{}
	for i, s := range c.suite.Scenarios {
		order[s] = i
	}
	slices.SortFunc(report.Results, func(a, b *Result) int { return cmp.Compare(order[a.Scenario], order[b.Scenario]) })
	report.leftovers = c.leftovers
	report.Duration = runner.cfg.Now().Sub(report.Started)
	return report, nil
}

// checker is one run of Check.
type checker struct {
	runner  *Runner
	suite   *Suite
	options Options
	// has are the results of probes: nil for a need that the server meets.
	has map[string]error
	// leftovers are what probes could not remove.
	leftovers []string
}

// preflight sends calls that succeed on every server of the contract, with each of the given secrets. Without any, it
// fails.
func (c *checker) preflight(ctx context.Context) error {
	calls := c.suite.preflight
	if published := c.runner.cfg.Published; published != nil {
		calls = slices.DeleteFunc(slices.Clone(calls), func(call *Call) bool { return !published.has(call.Operation) })
	}
	authenticated := slices.DeleteFunc(slices.Clone(calls), func(call *Call) bool { return c.missingSecret(call) != "" })
	if len(authenticated) == 0 {
		authenticated = calls
	}
	for _, call := range authenticated {
		result := c.runner.runSteps(ctx, c.options.Target, []step{{call: call}})
		if result.Status != StatusFailed {
			continue
		}
		if missing := c.missingSecret(call); missing != "" {
			return fmt.Errorf("%s: it %s", result.Reason, missing)
		}
		return errors.New(result.Reason)
	}
	return nil
}

// exclusion is why a scenario is not driven.
type exclusion struct {
	text  string
	fault bool
}

// excluded returns why a scenario is not driven, as far as that is known without asking the server.
func (c *checker) excluded(s *Scenario) *exclusion {
	if !c.selected(s) {
		return &exclusion{text: "not selected"}
	}
	if p := c.runner.cfg.Published; p != nil {
		if s.Operation.Own || !p.Has(s.Operation, s.Outcome.Status) {
			return &exclusion{text: "not in the published contract"}
		}
	}
	for _, name := range s.Needs {
		need := c.suite.needs[name]
		if need.probe == nil && !c.options.Provides[name] {
			return &exclusion{text: "needs " + need.Description, fault: need.Fault}
		}
	}
	calls := c.suite.calls(s)
	for _, call := range calls {
		if missing := c.missingSecret(call); missing != "" {
			return &exclusion{text: missing}
		}
	}
	if c.options.ReadOnly && (s.writes || slices.ContainsFunc(calls, c.suite.writes)) {
		return &exclusion{text: "changes something on the server"}
	}
	return nil
}

// missingSecret says which secret a call needs that the caller has not given; "" if there is none.
func (c *checker) missingSecret(call *Call) string {
	scheme := call.Operation.Scheme
	known := c.suite.credentials[scheme]
	if known == nil || known.value != "" || call.credential != "" || c.options.Target.Secrets[scheme] != "" {
		return ""
	}
	text := "needs the secret " + known.variable
	if c.options.SecretHint != nil {
		text += " (" + c.options.SecretHint(scheme) + ")"
	}
	return text
}

// writes reports whether a call may change something: it is no GET, or has to be undone.
func (s *Suite) writes(call *Call) bool {
	return call.Operation.Method != http.MethodGet || s.undo[call.Operation.ID] != nil
}

// checkPatterns returns an error if a pattern of Only selects nothing: after a typing error, the contract would seem to
// hold.
func (c *checker) checkPatterns() error {
	for _, pattern := range c.options.Only {
		if !slices.ContainsFunc(c.suite.Scenarios, func(s *Scenario) bool { return s.matches(pattern) }) {
			return fmt.Errorf("nothing in the contract matches %q", pattern)
		}
	}
	return nil
}

func (c *checker) selected(s *Scenario) bool {
	return len(c.options.Only) == 0 || slices.ContainsFunc(c.options.Only, s.matches)
}

// matches reports whether a pattern of Options.Only selects the scenario.
func (s *Scenario) matches(pattern string) bool {
	names := []string{s.ID(), s.Operation.ID, s.Outcome.Outcome, s.Operation.Tag}
	return slices.ContainsFunc(names, func(name string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

// calls returns the scenario's call and all that prepare it.
func (s *Suite) calls(scenario *Scenario) []*Call {
	return append(s.callsOf(scenario.given, map[string]bool{}), scenario.call)
}

func (s *Suite) callsOf(steps []step, seen map[string]bool) []*Call {
	var calls []*Call
	for _, each := range steps {
		switch {
		case each.call != nil:
			calls = append(calls, each.call)
		case !seen[each.fixture]:
			seen[each.fixture] = true
			calls = append(calls, s.callsOf(s.fixtures[each.fixture], seen)...)
		}
	}
	return calls
}

// probe finds out which needs of the scenarios the server meets.
func (c *checker) probe(ctx context.Context, scenarios []*Scenario) {
	for _, s := range scenarios {
		for _, name := range s.Needs {
			need := c.suite.needs[name]
			if _, known := c.has[name]; known || c.options.Provides[name] {
				continue
			}
			met, result := c.runner.probe(ctx, c.options.Target, need.probe)
			switch {
			case result.Status == StatusFailed: // a departure, which must not hide all others
				c.has[name] = &probeError{need.Description, result}
			case met:
				c.has[name] = nil
			default:
				c.has[name] = errors.New("needs " + need.Description)
			}
			c.leftovers = append(c.leftovers, result.Leftovers...)
		}
	}
}

// probeError is a response to a probe, or to what prepares it, that says neither yes nor no.
type probeError struct {
	need   string
	result *Result
}

func (e *probeError) Error() string {
	return fmt.Sprintf("find out whether the server has %s: %s", e.need, e.result.Reason)
}

// unmet returns the first need of a scenario that the server does not meet.
func (c *checker) unmet(s *Scenario) error {
	for _, name := range s.Needs {
		if err := c.has[name]; err != nil {
			return err
		}
	}
	return nil
}

// drive runs scenarios at the same time, and returns when all have ended and cleaned up.
func (c *checker) drive(ctx context.Context, scenarios []*Scenario) []*Result {
	results := make([]*Result, len(scenarios))
	var progress sync.Mutex // guards done, and is held for a call of Progress
	done := 0
	var workers, waiting errgroup.Group
	workers.SetLimit(max(c.options.Parallel, 1))
	for i, s := range scenarios {
		group := &workers
		if s.call.transfer.stall {
			group = &waiting // for the server's time-out, which costs the server nothing
		}
		group.Go(func() error {
			result := &Result{Scenario: s, Status: StatusNotDriven, Started: c.runner.cfg.Now()}
			if err := cmp.Or(ctx.Err(), c.unmet(s)); err != nil {
				result.Reason = strings.Replace(err.Error(), context.Canceled.Error(), "interrupted", 1)
				if failed := (*probeError)(nil); ctx.Err() == nil && errors.As(err, &failed) {
					result.Status, result.Exchanges = StatusFailed, failed.result.Exchanges
				}
			} else {
				result = c.runner.Run(ctx, s, c.options.Target)
			}
			results[i] = result
			progress.Lock()
			defer progress.Unlock()
			done++
			if c.options.Progress != nil {
				c.options.Progress(Progress{Result: result, Done: done, Total: len(scenarios)})
			}
			return nil
		})
	}
	_, _ = workers.Wait(), waiting.Wait() // no worker returns an error
	return results
}
