package conformance

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2" //nolint:depguard // a seed repeats the requests; nothing here is secret
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/contract"
)

// FuzzOptions select what Fuzz sends.
type FuzzOptions struct {
	Options

	// Seed selects the requests: the same seed sends the same ones in the same order, if Parallel is 1.
	Seed uint64
	// Duration is how long requests are sent.
	Duration time.Duration
	// Requests ends the run after so many requests; 0 is no limit.
	Requests int
}

// FuzzReport is the result of Fuzz.
type FuzzReport struct {
	Seed     uint64
	Requests int
	// Unprepared is how many of the requests were not sent, because what has to be there before could not be made.
	Unprepared int
	Duration   time.Duration
	// Failures are the smallest requests found that have a response against the contract, at most one for each operation
	// and reason.
	Failures []*Result
	// Leftovers name what could not be removed.
	Leftovers []string
}

// maxShrinks bounds the requests that make a failing one smaller.
const maxShrinks = 200

// Fuzz sends requests that are generated from the schemas of the contract to the operations that a check would drive:
// valid ones, ones at the edges of what is valid, and ones that are invalid in one place. A response fails if its
// operation does not declare it, if it is the outcome of a fault that the server does not have, or if it accepts an
// invalid request. Fuzz leaves nothing, but what it makes meanwhile can disturb others who use the server.
func Fuzz(ctx context.Context, runner *Runner, options FuzzOptions) (*FuzzReport, error) {
	c := &checker{runner: runner, options: options.Options, suite: runner.cfg.Suite, has: map[string]error{}}
	if err := c.preflight(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCannotRun, err)
	}
	targets := c.fuzzTargets(ctx)
	report, started := &FuzzReport{Seed: options.Seed, Leftovers: c.leftovers}, runner.cfg.Now()
	f := &fuzzer{
		runner: runner, target: options.Target,
		generator: generator{rand.New(rand.NewPCG(options.Seed, 0))}, //nolint:gosec // see the import
		report:    report,
	}
	seen := map[string]bool{}
	for len(targets) > 0 && ctx.Err() == nil && runner.cfg.Now().Sub(started) < options.Duration &&
		(options.Requests == 0 || report.Requests < options.Requests) {
		s := targets[f.IntN(len(targets))]
		request := f.request(s)
		report.Requests++
		result := f.try(ctx, s, request)
		if result.Status == StatusNotDriven && ctx.Err() == nil {
			report.Unprepared++
		}
		if result.Status != StatusFailed || seen[failureKey(result)] {
			continue
		}
		seen[failureKey(result)] = true
		report.Failures = append(report.Failures, f.shrink(ctx, s, request, result))
	}
	report.Duration = runner.cfg.Now().Sub(started)
	return report, nil
}

// failureKey identifies what failed: the same fault is reported once.
func failureKey(result *Result) string {
	reason, _, _ := strings.Cut(result.Differences[0].Reason, ":")
	return result.Scenario.Operation.ID + " " + result.Differences[0].Pointer + " " + reason
}

// fuzzTargets returns the scenarios of success that a check would drive.
func (c *checker) fuzzTargets(ctx context.Context) []*Scenario {
	var targets []*Scenario
	for _, s := range c.suite.Scenarios {
		if s.Outcome.Outcome == outcomeOK && s.Name == "" && c.excluded(s) == nil {
			targets = append(targets, s)
		}
	}
	c.probe(ctx, targets)
	return slices.DeleteFunc(targets, func(s *Scenario) bool {
		return c.unmet(s) != nil || s.Operation.Request == nil && len(s.Operation.Parameters) == 0
	})
}

// fuzzer sends generated requests.
type fuzzer struct {
	generator

	runner *Runner
	target Target
	report *FuzzReport
}

// fuzzRequest is what differs from the request of a scenario.
type fuzzRequest struct {
	// what says how the request was made.
	what string
	// body is nil if the operation has no JSON body.
	body any
	// in and parameter name a parameter with another value; "" for none.
	in, parameter, value string
}

// request generates a request to the operation of a scenario.
func (f *fuzzer) request(s *Scenario) fuzzRequest {
	body, schema := s.call.template(), s.Operation.requestSchema()
	isHeader := func(p Parameter) bool { return p.In == "header" }
	parameters := slices.DeleteFunc(slices.Clone(s.Operation.Parameters), isHeader)
	if schema == nil || len(parameters) > 0 && f.IntN(4) == 0 { // one of four is about a parameter
		if len(parameters) == 0 {
			return fuzzRequest{what: "as in the contract", body: body}
		}
		p := parameters[f.IntN(len(parameters))]
		value := f.edgeText()
		if p.In == "path" && strings.Trim(value, ".") == "" {
			value = "0" // a path with an empty element, or with dots, is another path
		}
		return fuzzRequest{what: "parameter " + p.Name, body: body, in: p.In, parameter: p.Name, value: value}
	}
	changed, what := f.change(schema, body)
	return fuzzRequest{what: what, body: changed}
}

// call returns the scenario's call with the request.
func (r fuzzRequest) call(s *Scenario) *Call {
	call := *s.call
	call.retry = false
	if s.Operation.requestSchema() != nil {
		call.body, call.set, call.without = &payload{value: r.body}, nil, nil
	}
	switch r.in {
	case "path":
		call.path = map[string]string{r.parameter: r.value}
	case "query":
		call.query = map[string][]string{r.parameter: {r.value}}
	}
	return &call
}

// try sends a request as the last of its scenario. The result has failed if the response is against the contract.
func (f *fuzzer) try(ctx context.Context, s *Scenario, request fuzzRequest) *Result {
	one := f.runner.newRun(f.target)
	call := request.call(s)
	one.result.Scenario = &Scenario{
		Operation: s.Operation, Outcome: &Response{Outcome: "generated"}, Name: request.what, Position: s.Position,
		call: call,
	}
	prepared := one.prepare(ctx, s.given)
	err := prepared
	if prepared == nil {
		err = f.send(ctx, one, call)
	}
	result := one.end(ctx, err)
	f.report.Leftovers = append(f.report.Leftovers, result.Leftovers...)
	if prepared != nil { // which is no fault of the generated request
		result.Status = StatusNotDriven
	}
	return result
}

// send sends a generated request, and notes how the response is against the contract.
func (f *fuzzer) send(ctx context.Context, one *run, call *Call) error {
	got, err := one.sendOnce(ctx, call, nil)
	if err != nil {
		one.result.Differences = []Difference{{"response", "expected one, got none"}}
		return err
	}
	one.result.Differences = f.differences(call.Operation, one.sent[len(one.sent)-1], got)
	return nil
}

// differences returns how a response is against the contract.
func (f *fuzzer) differences(op *Operation, sent *request, got *exchangeResponse) []Difference {
	if differences := validateResponse(op, got); differences != nil {
		return differences
	}
	suite := f.runner.cfg.Suite
	possible, faults := []string{}, []string{}
	for _, r := range op.Responses {
		if !r.matches(got) {
			continue
		}
		if suite.needsFault(op, r) {
			faults = append(faults, r.Outcome)
		} else {
			possible = append(possible, r.Outcome)
		}
	}
	switch {
	case len(possible) == 0 && len(faults) > 0:
		return []Difference{{"outcome", "is that of a fault: " + strings.Join(faults, ", ")}}
	case len(possible) == 0:
		return []Difference{{"outcome", fmt.Sprintf("no example of %d has this Message: %s", got.status,
			textAt(got.json, "/Message"))}}
	}
	schema := op.requestSchema()
	if schema == nil || sent.value == nil || got.status >= http.StatusMultipleChoices {
		return nil
	}
	for _, p := range contract.CheckValue(schema, sent.value) {
		if !mayBeAccepted(schema, sent.value, p.Path) {
			return []Difference{{p.Path, "is invalid, but was accepted: " + p.Reason}}
		}
	}
	return nil
}

// mayBeAccepted reports whether a value that is invalid at a pointer may be accepted: in a list whose elements are
// accepted or refused one by one (x-each), with valid elements beside it.
func mayBeAccepted(schema *openapi3.Schema, value any, pointer string) bool {
	path := splitPointer(pointer)
	if len(path) < 2 {
		return false
	}
	list := schema.Properties[path[0]]
	if list == nil || list.Value.Extensions["x-each"] == nil {
		return false
	}
	members, _ := value.(map[string]any)
	elements, _ := members[path[0]].([]any)
	return len(elements) > 1
}

// matches reports whether a response can be that of an example, by its status and, if the example has one that does not
// vary, its Message.
func (r *Response) matches(got *exchangeResponse) bool {
	if r.Status != got.status {
		return false
	}
	message, _ := valueAt(r.Example, "/Message")
	text, isText := message.(string)
	if !isText || got.status < http.StatusMultipleChoices {
		return true
	}
	return r.hasMessage(text, textAt(got.json, "/Message"))
}

// needsFault reports whether an outcome needs a fault, or a server without something.
func (s *Suite) needsFault(op *Operation, r *Response) bool {
	return slices.ContainsFunc(s.Scenarios, func(scenario *Scenario) bool {
		isFault := func(name string) bool { return s.needs[name].Fault }
		return scenario.Operation == op && scenario.Outcome == r && slices.ContainsFunc(scenario.Needs, isFault)
	})
}

// shrink returns the result of the smallest request that fails as the given one does.
func (f *fuzzer) shrink(ctx context.Context, s *Scenario, failing fuzzRequest, result *Result) *Result {
	if failing.body == nil {
		return result
	}
	attempts := 0
	for smaller := true; smaller; {
		smaller = false
		for body := range reductions(failing.body) {
			if attempts++; attempts > maxShrinks || ctx.Err() != nil {
				return result
			}
			request := failing
			request.body = body
			if got := f.try(ctx, s, request); got.Status == StatusFailed && failureKey(got) == failureKey(result) {
				failing, result, smaller = request, got, true
				break
			}
		}
	}
	return result
}

// WriteText writes what failed, and how many requests were sent.
func (r *FuzzReport) WriteText(w io.Writer) error {
	out := &writer{w: w}
	for _, result := range r.Failures {
		out.printf("FAILED %s\n", result.Text())
	}
	out.printf("%s\n", r.Summary())
	return out.err
}

// Summary says how many requests were sent, and how many failed.
func (r *FuzzReport) Summary() string {
	summary := fmt.Sprintf("%d generated requests in %s (seed %d), %d failed",
		r.Requests, r.Duration.Round(time.Millisecond), r.Seed, len(r.Failures))
	if r.Unprepared > 0 {
		summary += fmt.Sprintf(", %d could not be prepared and were not sent", r.Unprepared)
	}
	return summary
}
