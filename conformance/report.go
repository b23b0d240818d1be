package conformance

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is the result of Check.
type Report struct {
	URL      string
	Started  time.Time
	Duration time.Duration
	// Outcomes is the number of outcomes of the contract.
	Outcomes int
	// Results are in the order of the operations and their outcomes.
	Results []*Result
	// Fuzz is the result of generated requests, nil if none were sent.
	Fuzz *FuzzReport

	// leftovers are what could not be removed of what was made to find out what the server has.
	leftovers []string
}

// Counts are the numbers of outcomes by what became of them. An outcome with several scenarios is driven if all of them
// are.
type Counts struct {
	Driven, Failed, NotDriven int
	// Faults is how many of NotDriven need a fault that only a test in process can provide.
	Faults int
}

// Counts counts outcomes.
func (r *Report) Counts() Counts {
	var c Counts
	for _, o := range r.outcomes() {
		switch o.status {
		case StatusDriven:
			c.Driven++
		case StatusFailed:
			c.Failed++
		default:
			c.NotDriven++
			if slices.ContainsFunc(o.results, func(r *Result) bool { return r.Fault }) {
				c.Faults++
			}
		}
	}
	return c
}

// Held reports whether no scenario and no generated request failed.
func (r *Report) Held() bool { return len(r.Failures()) == 0 }

// Failures are the results of the scenarios, and then those of the generated requests, that failed.
func (r *Report) Failures() []*Result {
	failures := slices.DeleteFunc(slices.Clone(r.Results), func(r *Result) bool { return r.Status != StatusFailed })
	if r.Fuzz != nil {
		failures = append(failures, r.Fuzz.Failures...)
	}
	return failures
}

// Leftovers name what could not be removed.
func (r *Report) Leftovers() []string {
	all := slices.Clone(r.leftovers)
	for _, result := range r.Results {
		all = append(all, result.Leftovers...)
	}
	if r.Fuzz != nil {
		all = append(all, r.Fuzz.Leftovers...)
	}
	return all
}

// Summary is the last line of a report: how many outcomes were driven.
func (r *Report) Summary() string {
	driven := 0
	for _, o := range r.outcomes() {
		// A departure may also be of a status or a path that is not documented.
		if o.status != StatusNotDriven && slices.Contains(o.op.Responses, o.response) {
			driven++
		}
	}
	return fmt.Sprintf("%d of %d outcomes driven, %d need a fault", driven, r.Outcomes, r.Counts().Faults)
}

// outcome is what became of one outcome of an operation.
type outcome struct {
	response *Response
	op       *Operation
	status   Status
	results  []*Result
}

// outcomes groups the results by outcome.
func (r *Report) outcomes() []*outcome {
	var all []*outcome
	for _, result := range r.Results {
		var last *outcome
		if len(all) > 0 {
			last = all[len(all)-1]
		}
		if last == nil || last.response != result.Scenario.Outcome || last.op != result.Scenario.Operation {
			last = &outcome{response: result.Scenario.Outcome, op: result.Scenario.Operation, status: StatusDriven}
			all = append(all, last)
		}
		last.results = append(last.results, result)
		if worse(result.Status, last.status) {
			last.status = result.Status
		}
	}
	return all
}

// worse reports whether a is worse than b: failed is worse than not driven, which is worse than driven.
func worse(a, b Status) bool {
	order := []Status{StatusDriven, StatusNotDriven, StatusFailed}
	return slices.Index(order, a) > slices.Index(order, b)
}

// reason is why outcomes were not driven.
type reason struct {
	Text     string
	Outcomes int
}

// reasons counts the outcomes that were not driven by their first reason, the most frequent first.
func (r *Report) reasons() []reason {
	var all []reason
	for _, o := range r.outcomes() {
		if o.status != StatusNotDriven {
			continue
		}
		undriven := slices.IndexFunc(o.results, func(r *Result) bool { return r.Status == StatusNotDriven })
		text := o.results[undriven].Reason
		at := slices.IndexFunc(all, func(r reason) bool { return r.Text == text })
		if at < 0 {
			at, all = len(all), append(all, reason{Text: text})
		}
		all[at].Outcomes++
	}
	slices.SortStableFunc(all, func(a, b reason) int { return cmp.Compare(b.Outcomes, a.Outcomes) })
	return all
}

// WriteText writes what failed, and a summary.
func (r *Report) WriteText(w io.Writer) error {
	out := &writer{w: w}
	for _, result := range r.Failures() {
		out.printf("FAILED %s\n", result.Text())
	}
	reasons := r.reasons()
	if len(reasons) > 0 {
		out.printf("Not driven:\n")
	}
	for _, reason := range reasons {
		out.printf("  %4d  %s\n", reason.Outcomes, reason.Text)
	}
	times := map[string]int{}
	for _, left := range r.Leftovers() {
		times[left]++
	}
	for _, left := range slices.Sorted(maps.Keys(times)) {
		out.printf("Not removed (%d): %s\n", times[left], left)
	}
	if r.Fuzz != nil {
		out.printf("%s\n", r.Fuzz.Summary())
	}
	c := r.Counts()
	out.printf("%d as documented, %d not, in %s\n", c.Driven, c.Failed, r.Duration.Round(time.Millisecond))
	out.printf("%s\n", r.Summary())
	return out.err
}

// Text describes a result that failed: what differs, and the command line of its own request.
func (r *Result) Text() string {
	text := r.Description()
	if len(r.Exchanges) > 0 {
		text += "  " + r.Exchanges[len(r.Exchanges)-1].Curl + "\n"
	}
	return text
}

// Description describes a result that failed without a command line: what differs, and the response. Script has the
// commands that repeat it.
func (r *Result) Description() string {
	var text strings.Builder
	text.WriteString(r.Scenario.ID() + "\n")
	if r.Reason != "" {
		text.WriteString("  " + r.Reason + "\n")
	}
	for _, d := range r.Differences {
		text.WriteString("  " + d.String() + "\n")
	}
	if len(r.Exchanges) > 0 {
		last := r.Exchanges[len(r.Exchanges)-1]
		response := strings.TrimSpace(shortened(last.Response, maxResponse))
		fmt.Fprintf(&text, "  response: %d %s\n", last.Status, response)
	}
	return text.String()
}

// maxResponse is how many bytes of a response a text shows.
const maxResponse = 2000

// writer keeps the first error.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}
