package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/contract"
)

// maxDepartures bounds how many different departures are reported. More of them say nothing new.
const maxDepartures = 1000

// traffic is what a Proxy has seen.
type traffic struct {
	cfg     ProxyConfig
	started time.Time

	mu sync.Mutex // guards what follows, for the time of one call
	// driven are the documented outcomes that were seen, and partial those of which no body was validated as a whole.
	driven, partial map[*Response]int
	departures      []*Result
	// times is how often a departure was seen.
	times  map[string]int
	counts TrafficCounts
}

// TrafficCounts are numbers of requests.
type TrafficCounts struct {
	// Requests are those of operations of the contract that were answered, Unknown those of no operation.
	Requests, Unknown int
	// UnreadRequests are those whose body was not validated, UnreadResponses those whose response's body was not validated
	// as a whole: it was too large, broken off, or in an unknown Content-Encoding.
	UnreadRequests, UnreadResponses int
}

func (t *traffic) total() TrafficCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}

// sighting is a request with its response.
type sighting struct {
	op     *Operation
	method string
	status int
	// start is the beginning of the response's body.
	start []byte
	// request is what is wrong with the request, response what is wrong with the response.
	request  error
	response []contract.Problem
	// partial reports that the response's body was not validated as a whole, unread the same of the request's.
	partial, unread bool
}

func newTraffic(cfg ProxyConfig) *traffic {
	return &traffic{
		cfg: cfg, started: cfg.Now(), driven: map[*Response]int{}, partial: map[*Response]int{}, times: map[string]int{},
	}
}

// unknown records a request that no operation of the contract has.
func (t *traffic) unknown(r *http.Request) {
	line := r.Method + " " + shownPath(r.URL)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Unknown++
	t.departed(&Operation{ID: line, Method: r.Method, Path: shownPath(r.URL)}, &Response{},
		[]Difference{{"", "no operation of the contract has this method and path"}})
}

// saw records a request and its response. A request that does not match the contract is a departure only if the server
// accepted it: to refuse it is what the contract asks for.
func (t *traffic) saw(s sighting) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Requests++
	if s.unread {
		t.counts.UnreadRequests++
	}
	if s.partial {
		t.counts.UnreadResponses++
	}
	outcome := outcomeOf(s.op, s.status, s.start)
	departures := differencesOf("response", s.response)
	if !hasMessageOf(outcome, s.start) {
		departures = append(departures, Difference{"/Message", "response: no example of this status has this message"})
	}
	switch {
	case departures != nil:
		t.departed(s.op, outcome, departures)
	case s.partial:
		t.partial[outcome]++
	default:
		t.driven[outcome]++
	}
	if s.request != nil && s.status < http.StatusBadRequest {
		var problems []contract.Problem
		if invalid := (*contract.RequestError)(nil); errors.As(s.request, &invalid) {
			problems = invalid.Problems()
		}
		if problems == nil {
			problems = []contract.Problem{{Reason: kindOfError(s.request)}}
		}
		t.departed(s.op, outcome, differencesOf("request", problems))
	}
}

// kindOfError describes an error without what it quotes.
func kindOfError(err error) string {
	for _, kind := range []error{contract.ErrMissingParameter, contract.ErrBadParameter, contract.ErrBody} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "the body cannot be decoded"
}

func differencesOf(side string, problems []contract.Problem) []Difference {
	var all []Difference
	for _, p := range problems {
		all = append(all, Difference{Pointer: p.Path, Reason: side + ": " + p.Reason})
	}
	return all
}

// departed records a departure, and reports it if it is new.
func (t *traffic) departed(op *Operation, outcome *Response, differences []Difference) {
	parts := []string{op.ID, strconv.Itoa(outcome.Status)}
	for _, d := range differences {
		parts = append(parts, indexes(d.Pointer), d.Reason)
	}
	key := strings.Join(parts, "\n")
	t.times[key]++
	if t.times[key] > 1 {
		return
	}
	if len(t.departures) == maxDepartures {
		delete(t.times, key)
		return
	}
	result := &Result{
		Scenario: &Scenario{Operation: op, Outcome: outcome},
		Status:   StatusFailed, Differences: differences, Started: t.cfg.Now(),
	}
	if outcome.Outcome != "" { // there may be several departures of one outcome
		result.Scenario.Name = strconv.Itoa(len(t.departures) + 1)
	}
	t.departures = append(t.departures, result)
	if t.cfg.Departed != nil {
		t.cfg.Departed(result)
	}
}

// indexes returns a pointer in which all indexes are the same: one departure in each element of a list is one.
func indexes(pointer string) string {
	steps := strings.Split(pointer, "/")
	for i, step := range steps {
		if step != "" && strings.Trim(step, "0123456789") == "" {
			steps[i] = "0"
		}
	}
	return strings.Join(steps, "/")
}

// outcomeOf returns the documented outcome that a response corresponds to: of those with its status and, if there is
// one, its message, the one whose example has most members in common with it. A status without an example is an outcome
// of its own.
func outcomeOf(op *Operation, status int, body []byte) *Response {
	var found *Response
	best := -1
	var members map[string]any
	_ = json.Unmarshal(body, &members) // a body that is no object has no members
	for _, documented := range op.Responses {
		if documented.Status != status {
			continue
		}
		example, _ := documented.Example.(map[string]any)
		common := 0
		if hasMessageOf(documented, body) {
			common = len(members) + 1 // more than others can have
		}
		for name, value := range example {
			if sent, ok := members[name]; ok && reflect.DeepEqual(sent, value) {
				common++
			}
		}
		if common > best {
			found, best = documented, common
		}
	}
	if found == nil {
		return &Response{Outcome: strconv.Itoa(status), Status: status}
	}
	return found
}

// hasMessageOf reports whether a response has the Message of an example, but for the part that varies. An example
// without a Message allows any, and a body that was not read as a whole has none.
func hasMessageOf(documented *Response, body []byte) bool {
	var sent map[string]any
	expected, has := valueAt(documented.Example, "/Message")
	fixed, isText := expected.(string)
	if !has || !isText || json.Unmarshal(body, &sent) != nil {
		return true
	}
	message, isText := sent["Message"].(string)
	return !isText || documented.hasMessage(fixed, message) // the schema tells whether it has to be a text
}

// report returns the results in the order of the contract, and then those of unknown operations.
func (t *traffic) report() *Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Now()
	report := &Report{
		URL: t.cfg.Upstream.Redacted(), Started: t.started, Duration: now.Sub(t.started), Outcomes: t.cfg.Spec.Outcomes(),
	}
	reported := map[*Result]bool{}
	departures := func(op *Operation, matches func(*Response) bool) (found bool) {
		for _, result := range t.departures {
			if result.Scenario.Operation == op && matches(result.Scenario.Outcome) && !reported[result] {
				report.Results = append(report.Results, result)
				reported[result], found = true, true
			}
		}
		return found
	}
	for _, op := range t.cfg.Spec.Operations {
		for _, documented := range op.Responses {
			if !departures(op, func(r *Response) bool { return r == documented }) {
				report.Results = append(report.Results, t.result(op, documented))
			}
		}
		departures(op, func(r *Response) bool { return !slices.Contains(op.Responses, r) })
	}
	for _, result := range t.departures {
		if !reported[result] {
			report.Results = append(report.Results, result)
		}
	}
	return report
}

// result returns the result of a documented outcome from which nothing departed.
func (t *traffic) result(op *Operation, documented *Response) *Result {
	result := &Result{
		Scenario: &Scenario{Operation: op, Outcome: documented}, Status: StatusDriven, Started: t.started,
	}
	switch {
	case t.driven[documented] > 0:
	case t.partial[documented] > 0:
		result.Status = StatusNotDriven
		result.Reason = fmt.Sprintf("seen, but no body was validated as a whole (%d responses)", t.partial[documented])
	default:
		result.Status, result.Reason = StatusNotDriven, "not seen"
	}
	return result
}
