package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxFailures bounds the failures that are printed. The first ones tell most.
const maxFailures = 20

// report collects and prints the results of a run. It is safe for concurrent use.
type report struct {
	out  io.Writer
	seed uint64

	mu         sync.Mutex // guards what follows, for the time of one update
	round      int
	actions    []string
	failures   int
	counts     map[string]int // the numbers of the summary, by their text
	operations map[string]int // acknowledged requests, by operation
	recoveries []recovery
}

// recovery is the time from the end of a round's actions until all servers worked.
type recovery struct {
	took    time.Duration
	round   int
	actions []string
}

func newReport(out io.Writer, seed uint64) *report {
	return &report{out: out, seed: seed, counts: map[string]int{}, operations: map[string]int{}}
}

// begin sets the round of the following failures and actions.
func (r *report) begin(round int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round, r.actions = round, nil
}

// act records an action of the round.
func (r *report) act(action string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.actions = append(r.actions, action)
	r.counts["actions"]++
}

// count adds to a number of the summary.
func (r *report) count(what string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what] += n
}

// acknowledge counts an acknowledged request of an operation.
func (r *report) acknowledge(operation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations[operation]++
}

// recovered records the time of a recovery.
func (r *report) recovered(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recoveries = append(r.recoveries, recovery{took, r.round, r.actions})
}

// failf prints a failed check, with the expectation and the result.
func (r *report) failf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures++; r.failures > maxFailures {
		return
	}
	fmt.Fprintf(r.out, "FAILED in round %d (go run ./e2e/chaos -seed %d; -round %d runs only this one) after %v:\n\t%s\n",
		r.round, r.seed, r.round, r.actions, fmt.Sprintf(format, args...))
}

// failed returns the number of failed checks.
func (r *report) failed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures
}

// line prints the summary of a round.
func (r *report) line(took, checks time.Duration, writes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "round %d: %d writes acknowledged, %s, checks %s, %v\n",
		r.round, writes, took.Round(time.Millisecond), checks.Round(time.Millisecond), r.actions)
}

// summary prints the numbers of the run.
func (r *report) summary() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Fprintf(r.out, "%8d %s\n", r.counts[what], what)
	}
	slices.SortFunc(r.recoveries, func(a, b recovery) int { return int(a.took - b.took) })
	if n := len(r.recoveries); n > 0 {
		longest := r.recoveries[n-1]
		fmt.Fprintf(r.out, "everything worked again after %s (median), %s at most (round %d, %v)\n",
			r.recoveries[n/2].took.Round(time.Millisecond), longest.took.Round(time.Millisecond), longest.round, longest.actions)
	}
	fmt.Fprintf(r.out, "%d failed checks, seed %d\n", r.failures, r.seed)
}
