package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// retryTimeout is how long a call with retry is repeated. A change may arrive elsewhere
	// seconds later.
	retryTimeout = 15 * time.Second
	// retryInterval is the time between its attempts.
	retryInterval = 200 * time.Millisecond
)

// RunnerConfig configures a Runner.
type RunnerConfig struct {
	Suite *Suite
	// Client sends the requests. It must not follow redirects, and its timeout has to be longer than the server's for
	// slow bodies.
	Client *http.Client
	// Run identifies the run in the names of what it makes: lower-case letters and digits.
	Run string
	// Random is the source of fresh values, such as crypto/rand.Reader. It is read by all scenarios at the same time.
	Random io.Reader
	Now    func() time.Time
	// CleanupTimeout limits the removal of what one scenario made. It also runs after ctx has ended.
	CleanupTimeout time.Duration
	// Keep leaves what a scenario made.
	Keep bool
	// Published restricts what is expected to what a published contract has; nil expects everything.
	Published *Published
}

// Runner runs scenarios. It is safe for concurrent use.
type Runner struct{ cfg RunnerConfig }

// NewRunner returns a runner.
func NewRunner(cfg RunnerConfig) *Runner { return &Runner{cfg} }

// run is one run of one scenario.
type run struct {
	*Runner
	target Target
	story  *story
	result *Result
	done   map[string]bool // fixtures
	undo   []undo
	sent   []*request
	// issued are the credentials that responses have, with the names of their variables. They are hidden in the result.
	issued map[string]string
}

// undo removes what a call made.
type undo struct {
	calls    []*Call // alternatives
	by       *Call   // what is undone
	response any     // to it
}

// Run runs a scenario on a server that has what the scenario needs, and removes what it made, also after ctx has ended.
func (r *Runner) Run(ctx context.Context, s *Scenario, target Target) *Result {
	one := r.newRun(target)
	one.result.Scenario = s
	err := one.prepare(ctx, s.given)
	if err == nil {
		err = one.drive(ctx, s)
	}
	return one.end(ctx, err)
}

func (r *Runner) newRun(target Target) *run {
	return &run{
		Runner: r, target: target, done: map[string]bool{}, issued: map[string]string{},
		story:  newStory(r.cfg.Suite, r.cfg.Run, r.cfg.Random),
		result: &Result{Status: StatusDriven, Started: r.cfg.Now()},
	}
}

// runSteps runs steps without a scenario, and removes what they made.
func (r *Runner) runSteps(ctx context.Context, target Target, steps []step) *Result {
	one := r.newRun(target)
	return one.end(ctx, one.prepare(ctx, steps))
}

// probe reports whether the outcome of a call is one of those by which a need is met. The result has failed if the
// response says neither yes nor no.
func (r *Runner) probe(ctx context.Context, target Target, p *probe) (met bool, result *Result) {
	one := r.newRun(target)
	err := one.prepare(ctx, p.given)
	var got *exchangeResponse
	if err == nil {
		got, err = one.sendOnce(ctx, p.call, nil)
	}
	if err == nil {
		switch {
		case p.call.Operation.isOneOf(p.holds, got):
			met = true
		case !p.call.Operation.isOneOf(p.fails, got):
			err = fmt.Errorf("%s: unexpected response %d: %s", p.call.Operation.ID, got.status, got.body)
		}
	}
	return met, one.end(ctx, err)
}

// isOneOf reports whether a response is that of one of the outcomes, by status and Message.
func (op *Operation) isOneOf(outcomes []string, got *exchangeResponse) bool {
	return slices.ContainsFunc(outcomes, func(outcome string) bool {
		expected := op.Response(outcome)
		if expected == nil || expected.Status != got.status {
			return false
		}
		message, has := valueAt(expected.Example, "/Message")
		if !has || expected.Varies != "" {
			return true
		}
		_, isText := message.(string)
		return !isText || message == textAt(got.json, "/Message")
	})
}

// end completes the result of a run: it removes what the run made, and describes what was sent.
func (r *run) end(ctx context.Context, err error) *Result {
	result := r.result
	switch {
	case ctx.Err() != nil:
		result.Status, result.Reason = StatusNotDriven, "interrupted"
	case err != nil:
		result.Status, result.Reason = StatusFailed, err.Error()
	case result.Differences != nil:
		result.Status = StatusFailed
	}
	if !r.cfg.Keep {
		r.cleanUp(ctx)
	}
	r.describe()
	result.Duration = r.cfg.Now().Sub(result.Started)
	return result
}

// prepare runs the steps before a scenario. A fixture runs once.
func (r *run) prepare(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if s.call != nil {
			if err := r.prepareBy(ctx, s.call); err != nil {
				return err
			}
			continue
		}
		if r.done[s.fixture] {
			continue
		}
		r.done[s.fixture] = true
		if err := r.prepare(ctx, r.cfg.Suite.fixtures[s.fixture]); err != nil {
			return err
		}
	}
	return nil
}

// prepareBy sends a call until it has the outcome that it has to have.
func (r *run) prepareBy(ctx context.Context, call *Call) error {
	expected := call.expected()
	got, err := r.send(ctx, call, expected.Status)
	if err != nil {
		return err
	}
	if got.status != expected.Status {
		return fmt.Errorf("preparing by %s: expected %d %s, got %d: %s", call.Operation.ID, expected.Status,
			expected.Outcome, got.status, shortened(string(got.body), maxShown))
	}
	binding := comparison{story: r.story, as: call.as, exchange: len(r.result.Exchanges) - 1}
	binding.compare("", expected.Example, got.json)
	return nil
}

// expected returns the response that a preparing call expects.
func (c *Call) expected() *Response {
	if response := c.Operation.Response(c.Outcome); response != nil {
		return response
	}
	if response := c.Operation.Response(outcomeOK); response != nil {
		return response
	}
	return &Response{Outcome: outcomeOK, Status: http.StatusOK}
}

// drive sends the scenario's own request and compares the response.
func (r *run) drive(ctx context.Context, s *Scenario) error {
	got, err := r.send(ctx, s.call, s.Outcome.Status)
	if err != nil {
		return err
	}
	result := r.result
	if got.status != s.Outcome.Status {
		result.Differences = append(result.Differences, Difference{
			"status", fmt.Sprintf("expected %d (%s), got %d", s.Outcome.Status, s.Outcome.Outcome, got.status),
		})
	}
	if r.cfg.Published == nil {
		result.Differences = append(result.Differences, validateResponse(s.Operation, got)...)
	}
	if got.status != s.Outcome.Status {
		return nil
	}
	if s.Outcome.Example == nil && len(got.body) > 0 {
		result.Differences = append(result.Differences, Difference{"", "the response is documented without a body"})
		return nil
	}
	if got.json == nil && s.Outcome.Example != nil {
		result.Differences = append(result.Differences, Difference{"", "the body is not JSON"})
		return nil
	}
	c := comparison{
		story: r.story, as: s.call.as, varies: s.Outcome.Varies, exchange: len(result.Exchanges) - 1, scenario: s,
	}
	example := s.Outcome.Example
	if r.cfg.Published != nil {
		c.lenient, example = true, r.cfg.Published.Expected(s.Operation, s.Outcome)
	}
	c.compare("", example, got.json)
	result.Differences = append(result.Differences, c.differences...)
	return nil
}

// send sends a call, again and again if it retries and has another status than expected.
func (r *run) send(ctx context.Context, call *Call, expected int) (*exchangeResponse, error) {
	deadline := r.cfg.Now().Add(retryTimeout)
	for {
		got, err := r.sendOnce(ctx, call, nil)
		if err != nil {
			return nil, err
		}
		if got.status == expected || !call.retry || r.cfg.Now().After(deadline) {
			return got, nil
		}
		r.forget()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(retryInterval):
		}
	}
}

// forget removes the last exchange, which is repeated.
func (r *run) forget() {
	r.result.Exchanges = r.result.Exchanges[:len(r.result.Exchanges)-1]
	r.sent = r.sent[:len(r.sent)-1]
}

// sendOnce sends a call. undone is the response to the call that this one undoes.
func (r *run) sendOnce(ctx context.Context, call *Call, undone any) (*exchangeResponse, error) {
	request, err := r.story.newRequest(r.target, call, undone)
	if err != nil {
		return nil, err
	}
	if r.target.Prepare != "" && (r.result.Scenario == nil || call != r.result.Scenario.call) {
		request.base = r.target.Prepare
	}
	undoing := r.cfg.Suite.undo[call.Operation.ID]
	if undoing != nil && !call.transfer.stall {
		// An interrupted request may have made something of which no response tells.
		ctx = context.WithoutCancel(ctx)
	}
	started := r.cfg.Now()
	got, err := exchange(ctx, r.cfg.Client, request)
	sent := Exchange{
		Operation: call.Operation.ID, Request: request.method + " " + request.target, Duration: r.cfg.Now().Sub(started),
	}
	if err == nil {
		sent.Status, sent.Response = got.status, string(got.body)
	}
	r.result.Exchanges = append(r.result.Exchanges, sent)
	r.sent = append(r.sent, request)
	if err != nil {
		if undoing != nil {
			r.result.Leftovers = append(r.result.Leftovers, sent.Request+": what it may have made: no response")
		}
		return nil, fmt.Errorf("%s: %w", call.Operation.ID, err)
	}
	r.noteCredentials(call.Operation, got.json)
	if undoing != nil && got.status < http.StatusMultipleChoices {
		r.undo = append(r.undo, undo{undoing, call, got.json})
	}
	return got, nil
}

// cleanUp removes what the scenario made, the newest first. It does not stop at an error, nor when ctx has ended.
func (r *run) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.CleanupTimeout)
	defer cancel()
	exchanges, sent := len(r.result.Exchanges), len(r.sent)
	for _, u := range slices.Backward(r.undo) {
		if err := r.remove(ctx, u); err != nil {
			r.result.Leftovers = append(r.result.Leftovers, err.Error())
		}
	}
	// The calls of the clean-up are no part of the scenario.
	r.result.Exchanges, r.sent = r.result.Exchanges[:exchanges], r.sent[:sent]
}

// remove removes what one call made, by the first of the alternatives. With a published contract, it tries those first
// that this contract has, and then the others: the server may have them nevertheless.
func (r *run) remove(ctx context.Context, u undo) error {
	if r.cfg.Published == nil {
		status, answer := r.undoBy(ctx, u, u.calls[0])
		if !u.calls[0].removed(status) {
			return errors.New(answer)
		}
		return nil
	}
	gone, answers := false, []string{}
	for _, published := range []bool{true, false} {
		for _, call := range u.calls {
			if r.cfg.Published.has(call.Operation) != published {
				continue
			}
			status, answer := r.undoBy(ctx, u, call)
			if status == call.expected().Status {
				return nil
			}
			// A server that lacks an operation answers, too, that there is nothing.
			gone = gone || published && call.removed(status)
			answers = append(answers, answer)
		}
	}
	if gone {
		return nil
	}
	return errors.New(strings.Join(answers, "; "))
}

// undoBy sends a call that removes what another one made. It returns the status of the response, 0 without one, and
// both request and response as text.
func (r *run) undoBy(ctx context.Context, u undo, by *Call) (status int, answer string) {
	call := *by
	if call.credential == "" && u.by.Operation.Scheme == call.Operation.Scheme {
		call.credential, call.as = u.by.credential, u.by.as
	}
	got, err := r.sendOnce(ctx, &call, u.response)
	if err != nil {
		return 0, fmt.Sprintf("undo %s: %v", u.by.Operation.ID, err)
	}
	last := r.result.Exchanges[len(r.result.Exchanges)-1]
	return got.status, fmt.Sprintf("%s: %d: %s", last.Request, got.status,
		strings.TrimSpace(shortened(string(got.body), maxShown)))
}

// removed reports whether a status means that what the call undoes is gone.
func (c *Call) removed(status int) bool {
	return status == c.expected().Status || slices.ContainsFunc(c.gone, func(outcome string) bool {
		return c.Operation.Response(outcome).Status == status
	})
}
