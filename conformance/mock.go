package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gatehouse/contract"
)

// MockConfig configures a Mock.
type MockConfig struct {
	Spec *Spec
	// Contracts are the documents of Spec, compiled.
	Contracts []*contract.Contract
	// Rejections name the outcomes of requests that are not valid, for contracts that tell them apart.
	Rejections Rejections
	// MaxBody is how many bytes of a request body are read.
	MaxBody int64
	// Answered is called after each response; nil is allowed. It is called by several goroutines at the same time.
	Answered func(MockAnswer)
}

// Rejections are outcomes of requests that are not valid. An operation without the outcome has its first response with
// the usual status instead, such as 400.
type Rejections struct {
	NoCredential, EmptyBody, MalformedBody, TooLarge, MissingParameter, BadParameter string
}

// MockAnswer is what a Mock did with a request.
type MockAnswer struct {
	Method string
	// Path is that of the operation, as in the contract.
	Path   string
	Status int
	// Outcome is the name of the example, "" if the contract does not name it.
	Outcome string
	// Reason says what is wrong with the request, "" if it is valid. It quotes no value.
	Reason string
}

// Mock answers requests with the examples of a contract. It validates requests, and takes any credential. The header
// Prefer chooses an example by name (Prefer: example=not_found) or by status (Prefer: code=404); then the request need
// not be valid.
type Mock struct {
	cfg     MockConfig
	answers map[*Operation][]*answer
}

// NewMock returns a mock of a contract. It fails if the contract has an example that cannot be sent.
func NewMock(cfg MockConfig) (*Mock, error) {
	m := &Mock{cfg: cfg, answers: map[*Operation][]*answer{}}
	for _, op := range cfg.Spec.Operations {
		answers, err := answersOf(op)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.ID, err)
		}
		m.answers[op] = answers
	}
	return m, nil
}

// ServeHTTP implements http.Handler.
func (m *Mock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report := MockAnswer{Method: r.Method, Path: shownPath(r.URL)}
	op, err := findCalled(m.cfg.Contracts, m.cfg.Spec, r)
	var chosen choice
	if err != nil {
		chosen = choice{status: http.StatusNotFound, reason: "no operation of the contract has this method and path"}
	} else {
		report.Path = op.declared.Path
		chosen = m.choose(op, r)
	}
	report.Status, report.Reason = chosen.status, chosen.reason
	if chosen.answer == nil {
		writeProblem(w, chosen)
	} else {
		report.Outcome = chosen.answer.outcome
		if err := chosen.write(w); err != nil {
			chosen.status, chosen.reason = http.StatusInternalServerError, "the contract's response cannot be sent: "+err.Error()
			report.Status, report.Reason = chosen.status, chosen.reason
			writeProblem(w, chosen)
		}
	}
	if m.cfg.Answered != nil {
		m.cfg.Answered(report)
	}
}

// choice is a response to a request.
type choice struct {
	// answer is nil if the contract has no response for what happened.
	answer *answer
	status int
	// reason says what is wrong with the request.
	reason string
	// preferred is what the client's Prefer chose, as in "example=not_found".
	preferred string
}

func (m *Mock) choose(op *calledOperation, r *http.Request) choice {
	answers := m.answers[op.declared]
	if wanted := preferenceOf(r.Header); wanted != (preference{}) {
		return wanted.choose(answers, r)
	}
	if !hasCredential(op.declared, r) {
		return reject(answers, r, rejection{
			m.cfg.Rejections.NoCredential, []int{http.StatusUnauthorized}, "has no credential",
		})
	}
	body, err := m.readBody(r)
	if err != nil {
		return reject(answers, r, m.rejectionOf(err, body))
	}
	if err := op.validate(r, body); err != nil {
		return reject(answers, r, m.rejectionOf(err, body))
	}
	for _, each := range answers {
		if each.succeeds() {
			return choice{answer: negotiate(answers, each, r), status: each.status}
		}
	}
	return choice{status: http.StatusNotImplemented, reason: "the contract has no response of success"}
}

// readBody returns the decoded body of a request, which is not nil.
func (m *Mock) readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, m.cfg.MaxBody+1))
	if err != nil {
		return body, fmt.Errorf("read the body: %w", err)
	}
	if int64(len(body)) > m.cfg.MaxBody {
		return body, errBodyTooLarge
	}
	body, err = decodeContent(r.Header.Get("Content-Encoding"), body, m.cfg.MaxBody)
	if body == nil {
		body = []byte{}
	}
	return body, err
}

// rejection is why a request is not answered with success.
type rejection struct {
	outcome string
	// statuses are the usual ones, the most usual first.
	statuses []int
	reason   string
}

func (m *Mock) rejectionOf(err error, body []byte) rejection {
	invalid := []int{http.StatusBadRequest, http.StatusUnprocessableEntity}
	known := m.cfg.Rejections
	reason := err.Error()
	if request := (*contract.RequestError)(nil); errors.As(err, &request) {
		reason = describeProblems(request)
	}
	switch {
	case errors.Is(err, errBodyTooLarge):
		return rejection{known.TooLarge, []int{http.StatusRequestEntityTooLarge}, reason}
	case errors.Is(err, contract.ErrMissingParameter):
		return rejection{known.MissingParameter, invalid, reason}
	case errors.Is(err, contract.ErrBadParameter):
		return rejection{known.BadParameter, invalid, reason}
	case len(bytes.TrimSpace(body)) == 0:
		return rejection{known.EmptyBody, invalid, "the body is empty"}
	}
	return rejection{known.MalformedBody, invalid, reason}
}

// describeProblems describes what is wrong with a request, without values.
func describeProblems(err *contract.RequestError) string {
	var texts []string
	for _, problem := range err.Problems() {
		texts = append(texts, strings.TrimPrefix(problem.Path+": "+problem.Reason, ": "))
	}
	kind := []error{contract.ErrMissingParameter, contract.ErrBadParameter, contract.ErrBody}
	i := slices.IndexFunc(kind, func(each error) bool { return errors.Is(err, each) })
	if len(texts) == 0 {
		return kind[i].Error()
	}
	return kind[i].Error() + ": " + strings.Join(texts, "; ")
}

// reject returns the response of a rejection: the named outcome or else the first response with a usual status.
func reject(answers []*answer, r *http.Request, why rejection) choice {
	for _, each := range answers {
		if why.outcome != "" && each.outcome == why.outcome {
			return choice{answer: negotiate(answers, each, r), status: each.status, reason: why.reason}
		}
	}
	for _, status := range why.statuses {
		if found := withStatus(answers, status); found != nil {
			return choice{answer: negotiate(answers, found, r), status: status, reason: why.reason}
		}
	}
	return choice{status: why.statuses[0], reason: why.reason}
}

// The headers of a mock's responses.
const (
	headerReason            = "Mock-Reason"
	headerPreferenceApplied = "Preference-Applied" // RFC 7240
)

// write sends the response. After an error, nothing is sent.
func (c choice) write(w http.ResponseWriter) error {
	body := []byte{}
	if c.answer.body != nil {
		var err error
		if body, err = c.answer.body(); err != nil {
			return err
		}
	}
	for name, value := range c.answer.header {
		w.Header().Set(name, value)
	}
	if c.answer.mediaType != "" {
		w.Header().Set("Content-Type", c.answer.mediaType)
	}
	if c.reason != "" {
		w.Header().Set(headerReason, c.reason)
	}
	if c.preferred != "" {
		w.Header().Set(headerPreferenceApplied, c.preferred)
	}
	w.WriteHeader(c.status)
	_, _ = w.Write(body) // a client that has left needs no answer
	return nil
}

// problemDetails is the response to a request for which the contract has none.
type problemDetails struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// writeProblem answers a request for which the contract has no response (RFC 9457).
func writeProblem(w http.ResponseWriter, c choice) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set(headerReason, c.reason)
	w.WriteHeader(c.status)
	body, err := json.Marshal(problemDetails{http.StatusText(c.status), c.status, c.reason})
	if err == nil {
		_, _ = w.Write(body) // see write
	}
}

// hasCredential reports whether a request has a credential for an operation that needs one. Any value will do.
func hasCredential(op *Operation, r *http.Request) bool {
	security := op.document.Security
	if op.declared.Security != nil {
		security = *op.declared.Security
	}
	for _, requirement := range security {
		missing := false
		for name := range requirement {
			missing = missing || !carries(op, r, name)
		}
		if !missing {
			return true
		}
	}
	return len(security) == 0
}

// carries reports whether a request has a value where a security scheme has the credential.
func carries(op *Operation, r *http.Request, scheme string) bool {
	if op.document.Components == nil || op.document.Components.SecuritySchemes[scheme] == nil {
		return true
	}
	declared := op.document.Components.SecuritySchemes[scheme].Value
	switch {
	case declared.Type == "mutualTLS":
		return true
	case declared.Type != "apiKey":
		return r.Header.Get("Authorization") != ""
	case declared.In == "query":
		return r.URL.Query().Get(declared.Name) != ""
	case declared.In == "cookie":
		_, err := r.Cookie(declared.Name)
		return err == nil
	}
	return r.Header.Get(declared.Name) != ""
}

// preference is what the header Prefer chooses (RFC 7240).
type preference struct {
	example string
	code    int
}

func preferenceOf(header http.Header) (p preference) {
	split := func(c rune) bool { return c == ',' || c == ';' }
	for _, each := range strings.FieldsFunc(strings.Join(header.Values("Prefer"), ","), split) {
		name, value, _ := strings.Cut(strings.TrimSpace(each), "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "example":
			p.example = value
		case "code":
			p.code, _ = strconv.Atoi(value) // another value is no preference
		}
	}
	return p
}

// String formats the preference as in the header.
func (p preference) String() string {
	var parts []string
	if p.example != "" {
		parts = append(parts, "example="+p.example)
	}
	if p.code != 0 {
		parts = append(parts, fmt.Sprintf("code=%d", p.code))
	}
	return strings.Join(parts, ", ")
}

// isFinal reports whether a response may have this status, and ends with it.
func isFinal(status int) bool {
	const highest = 599
	return status >= http.StatusOK && status <= highest
}

// choose returns the answer that is preferred.
func (p preference) choose(answers []*answer, r *http.Request) choice {
	for _, each := range answers {
		if p.example != "" && each.outcome == p.example && (p.code == 0 || each.status == p.code) {
			return choice{answer: negotiate(answers, each, r), status: each.status, preferred: p.String()}
		}
	}
	if found := withStatus(answers, p.code); p.example == "" && found != nil && isFinal(p.code) {
		return choice{answer: negotiate(answers, found, r), status: p.code, preferred: p.String()}
	}
	var known []string
	for _, each := range answers {
		known = append(known, strings.TrimSpace(each.code+" "+each.outcome))
	}
	slices.Sort(known)
	return choice{status: http.StatusBadRequest, reason: fmt.Sprintf(
		"Prefer: %s: the operation has no such response, but %s", p, strings.Join(slices.Compact(known), ", "))}
}
