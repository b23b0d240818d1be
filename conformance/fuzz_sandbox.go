package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2" //nolint:depguard // a seed repeats the requests; nothing here is secret
	"net/http"
	"slices"
	"strings"
)

// Sandbox is a group of parties on a server, and generates requests in which they act on what they and the others have,
// with credentials that are valid for it and with such that are not. It is not safe for concurrent use: what a party
// does changes what the next request meets.
type Sandbox struct {
	runner  *Runner
	target  Target
	targets []*Scenario
	parties []*party
}

// Party is a user of the server in a Sandbox, with its credential.
type Party struct {
	// Fixtures are the names of the fixtures that are made for the party, with values of its own. The party's credential
	// has to be among them.
	Fixtures []string
	// Refused means that the party's credential is valid for nothing, such as that of an inactive user.
	Refused bool
	// Unbounded means that the party may see what others have.
	Unbounded bool
}

// party is a party whose fixtures exist.
type party struct {
	Party
	*run

	// changed means that another party or an administrator has changed objects of the party, and maybe its permissions.
	changed bool
	// stored holds the secret values of other parties that accepted writes of the party contained. A value stays in it:
	// what was made of the document, such as a revision, may have the value after the document was changed or deleted.
	stored map[string]bool
}

// Received is a response as a client received it, with its whole body.
type Received struct {
	Status int
	Header http.Header
	Body   []byte
}

// GeneratedRequest is a request of a Sandbox.
type GeneratedRequest struct {
	Operation *Operation
	// What says how the request was made.
	What   string
	Method string
	Target string // path and query
	Header http.Header
	Body   []byte
	// Refused means that the credential is not valid for the operation.
	Refused bool

	call   *Call
	story  *story
	sent   *request
	caller *party // whose credential is sent, nil for none and for a secret
	owner  *party // whose values are sent
}

// NewSandbox makes the fixtures of the parties. After an error, it has removed what it made.
func NewSandbox(ctx context.Context, runner *Runner, target Target, parties ...Party) (*Sandbox, error) {
	s := &Sandbox{runner: runner, target: target}
	for _, scenario := range runner.cfg.Suite.Scenarios {
		if scenario.Outcome.Outcome == outcomeOK && scenario.Name == "" {
			s.targets = append(s.targets, scenario)
		}
	}
	for _, each := range parties {
		made := &party{Party: each, run: runner.newRun(target), stored: map[string]bool{}}
		s.parties = append(s.parties, made)
		var steps []step
		for _, name := range each.Fixtures {
			if runner.cfg.Suite.fixtures[name] == nil {
				return nil, fmt.Errorf("unknown fixture %q", name)
			}
			steps = append(steps, step{fixture: name})
		}
		if err := made.prepare(ctx, steps); err != nil {
			s.Close(ctx)
			return nil, fmt.Errorf("make %s: %s", strings.Join(each.Fixtures, ", "), redact(err.Error(), made.secrets()))
		}
	}
	return s, nil
}

// Close removes what the parties have, and what the generated requests have made. It returns what it could not remove,
// which requests may have removed before. It also works after ctx has ended.
func (s *Sandbox) Close(ctx context.Context) (leftovers []string) {
	for _, p := range s.parties {
		p.cleanUp(ctx)
		leftovers = append(leftovers, p.result.Leftovers...)
	}
	return leftovers
}

// Generate returns a request to any operation that has a scenario of success. The same source of randomness, on parties
// with the same values, makes the same requests.
func (s *Sandbox) Generate(random *rand.Rand) (*GeneratedRequest, error) {
	g := &fuzzer{runner: s.runner, target: s.target, generator: generator{random}}
	scenario := s.targets[g.IntN(len(s.targets))]
	generated := &GeneratedRequest{Operation: scenario.Operation, owner: s.parties[g.IntN(len(s.parties))]}
	content := fuzzRequest{what: "as in the contract", body: scenario.call.template()}
	if g.IntN(4) > 0 {
		content = g.request(scenario)
	}
	generated.What = content.what
	generated.call = content.call(scenario)
	generated.story = newStory(s.runner.cfg.Suite, s.runner.cfg.Run, s.runner.cfg.Random)
	generated.story.bound = maps.Clone(generated.owner.story.bound)
	swap := s.setCredential(g, generated)
	sent, err := generated.story.newRequest(s.target, generated.call, nil)
	if err != nil {
		return nil, err
	}
	if swap != nil {
		swap(sent)
		swap(sent.shown)
	}
	generated.sent = sent
	generated.Method, generated.Target, generated.Header, generated.Body = sent.method, sent.target, sent.header, sent.body
	return generated, nil
}

// Send sends a generated request by the client of the runner.
func (s *Sandbox) Send(ctx context.Context, generated *GeneratedRequest) (Received, error) {
	got, err := exchange(ctx, s.runner.cfg.Client, generated.sent)
	if err != nil {
		return Received{}, err
	}
	return Received{Status: got.status, Header: got.header, Body: got.body}, nil
}

// Check returns how the response to a generated request is against the contract: the operation does not declare it, it
// is the outcome of a fault that the server does not have, it accepts an invalid request or a credential that is not
// valid, or it has what belongs to another party. Check also notes what Close has to remove. altered means that the
// request was sent otherwise than it was generated, so that nothing is known of its body.
func (s *Sandbox) Check(generated *GeneratedRequest, received Received, altered bool) []Difference {
	got := &exchangeResponse{status: received.Status, header: received.Header, body: received.Body}
	if json.Unmarshal(got.body, &got.json) != nil {
		got.json = nil
	}
	s.note(generated, got)
	sent := *generated.sent
	if altered {
		sent.value = nil
	}
	differences := (&fuzzer{runner: s.runner}).differences(generated.Operation, &sent, got)
	if generated.Refused && got.status < http.StatusBadRequest {
		differences = append(differences, Difference{"credential", "is not valid here, but was accepted"})
	}
	if !altered {
		differences = append(differences, s.disclosed(generated, got)...)
	}
	return differences
}

// CheckUnknown returns how a response is against the contract, if the request was altered so that it may be one to any
// operation: one of them has to declare the response, and, unless the credential is valid, one that needs none if the
// request was accepted.
func (s *Sandbox) CheckUnknown(generated *GeneratedRequest, received Received) []Difference {
	got := &exchangeResponse{status: received.Status, header: received.Header, body: received.Body}
	if json.Unmarshal(got.body, &got.json) != nil {
		got.json = nil
	}
	s.note(generated, got)
	onlyOpen := generated.Refused && got.status < http.StatusBadRequest
	f := &fuzzer{runner: s.runner}
	for _, op := range s.runner.cfg.Suite.Spec.Operations {
		if onlyOpen && op.Scheme != "" || op.declared.Responses.Status(got.status) == nil {
			continue
		}
		if f.differences(op, &request{}, got) == nil {
			return nil
		}
	}
	return []Difference{{"response", fmt.Sprintf("is that of no operation: %d", got.status)}}
}

// note notes what a response says about the parties.
func (s *Sandbox) note(generated *GeneratedRequest, got *exchangeResponse) {
	if got.status >= http.StatusMultipleChoices {
		return
	}
	by := generated.caller
	if by == nil {
		by = generated.owner
	}
	byAdmin := generated.caller == nil && generated.Method == http.MethodPut
	if byAdmin || by.Unbounded && generated.Method != http.MethodGet {
		// An administrator, or a user who may see what all have, may have moved the owner to where more can be seen, made
		// the owner's credential valid, or given the owner a document with what others have.
		generated.owner.changed = true
	}
	if generated.Method != http.MethodGet {
		for _, value := range s.secretsOfOthers(by) {
			if generated.has(value) {
				by.stored[value] = true
			}
		}
	}
	if call := s.runner.cfg.Suite.undo[generated.Operation.ID]; call != nil {
		by.undo = append(by.undo, undo{call, generated.call, got.json})
	}
}

// isSecret reports whether no other party may see a value of a party. No two parties have the same: it is random, or a
// response has set it.
func (s *Suite) isSecret(name string) bool {
	fresh := s.values[name].fresh
	return !s.values[name].shared && (fresh == "" || strings.Contains(fresh, "{hex:") || strings.Contains(fresh, "{uuid}"))
}

// secretsOfOthers yields the values of the other parties that a party must not see, with their names.
func (s *Sandbox) secretsOfOthers(p *party) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, other := range s.parties {
			if other == p {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(other.story.bound)) {
				if s.runner.cfg.Suite.isSecret(name) && !yield(name, other.story.bound[name]) {
					return
				}
			}
		}
	}
}

// disclosed reports a secret value of another party in a response, unless the caller has sent the value itself: in this
// request, or in an earlier one that was accepted and may have stored it.
func (s *Sandbox) disclosed(generated *GeneratedRequest, got *exchangeResponse) []Difference {
	caller := generated.caller
	if caller == nil || caller.Unbounded || caller.changed {
		return nil
	}
	for name, value := range s.secretsOfOthers(caller) {
		if bytes.Contains(got.body, []byte(value)) && !generated.has(value) && !caller.stored[value] {
			return []Difference{{"response", "has the " + name + " of another party"}}
		}
	}
	return nil
}

// has reports whether the target or the body of a request has a value.
func (g *GeneratedRequest) has(value string) bool {
	return strings.Contains(g.Target, value) || bytes.Contains(g.Body, []byte(value))
}

// Curl returns a command line that repeats the request; secrets are variables in it.
func (g *GeneratedRequest) Curl() string { return curl(g.sent) }
