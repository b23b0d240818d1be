package apiserver

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// ResponseCheck says whether responses are checked against the contract before they are sent, and what happens to one
// that departs from it. The zero value is ResponsesUnchecked.
type ResponseCheck string

const (
	ResponsesUnchecked ResponseCheck = "off"
	// DeparturesReported logs a departure, and sends the response.
	DeparturesReported ResponseCheck = "report"
	// DeparturesRefused sends the documented failure of the operation instead. A response of which a part was sent is
	// broken off.
	DeparturesRefused ResponseCheck = "enforce"
)

// valid reports whether c is one of the constants or the zero value.
func (c ResponseCheck) valid() bool {
	return c == "" || slices.Contains([]ResponseCheck{ResponsesUnchecked, DeparturesReported, DeparturesRefused}, c)
}

// maxReported is how much of a response is checked if departures are only reported, in bytes: all of an object or a
// page of users, and the first elements of a list of documents. To check a list takes twice as long as to send it.
const maxReported = 16 << 10

// ErrDeparture is returned by CheckBody, and by writes of a response that departs from the contract and is refused.
var ErrDeparture = errors.New("the response departs from the contract")

// responseChecks check the responses of a server.
type responseChecks struct {
	refuse   bool // DeparturesRefused
	log      *slog.Logger
	departed func(op *contract.Operation, status int) // may be nil
}

// newResponseChecks returns nil if responses are not to be checked.
func newResponseChecks(
	mode ResponseCheck, log *slog.Logger, departed func(*contract.Operation, int),
) *responseChecks {
	if mode != DeparturesReported && mode != DeparturesRefused {
		return nil
	}
	return &responseChecks{refuse: mode == DeparturesRefused, log: log, departed: departed}
}

// checkedResponse checks the response to one request before it passes it on. The status waits for the first write:
// until then, another response can be sent instead. Its methods may be called on nil, for a response that is not
// checked.
type checkedResponse struct {
	http.ResponseWriter

	checks    *responseChecks
	operation *contract.Operation
	out       *echo.Response // writes to this
	status    int
	stream    *contract.ResponseStream // nil unless the body is written in several pieces
	// checked: the check has begun; sent: the status was passed on; departed: the response departs from the contract.
	checked, sent, departed bool
}

// limit returns how much of a response is checked, in bytes; 0 is all of it.
func (r *responseChecks) limit() int {
	if r.refuse {
		return 0
	}
	return maxReported
}

// check has the response to a request checked. It returns nil if responses are not checked.
func (r *responseChecks) check(op *contract.Operation, out *echo.Response) *checkedResponse {
	if r == nil {
		return nil
	}
	w := &checkedResponse{ResponseWriter: out.Writer, checks: r, operation: op, out: out}
	out.Writer = w
	return w
}

// Unwrap returns the connection to an http.ResponseController.
func (w *checkedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *checkedResponse) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter. It returns ErrDeparture for a response that is refused.
func (w *checkedResponse) Write(p []byte) (int, error) {
	if problems := w.problems(p); problems != nil {
		w.depart(problems)
	}
	if w.refused() {
		return 0, ErrDeparture
	}
	w.send()
	return w.ResponseWriter.Write(p)
}

// FlushError implements what http.ResponseController calls.
func (w *checkedResponse) FlushError() error {
	if w.refused() {
		return ErrDeparture
	}
	w.send()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// problems checks the next piece of the response.
func (w *checkedResponse) problems(p []byte) []contract.Problem {
	switch {
	case w.departed:
		return nil
	case w.checked && w.stream != nil:
		return w.stream.Write(p)
	case w.checked:
		return nil
	}
	w.checked = true
	limit := w.checks.limit()
	length, err := strconv.Atoi(w.Header().Get(echo.HeaderContentLength))
	if err == nil && length == len(p) && (limit == 0 || length <= limit) { // the whole body, as usual
		return w.operation.CheckResponse(w.status, w.Header(), p)
	}
	w.stream = w.operation.StreamResponse(w.status, w.Header(), int64(limit))
	return w.stream.Write(p)
}

// skip has the response not checked: it consists of what was checked before.
func (w *checkedResponse) skip() {
	if w != nil {
		w.checked = true
	}
}

// send passes the status on.
func (w *checkedResponse) send() {
	if !w.sent && w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	w.sent = true
}

// depart reports and logs a departure. If the response is refused and nothing was sent, another can be sent.
func (w *checkedResponse) depart(problems []contract.Problem) {
	w.departed = true
	if w.checks.departed != nil {
		w.checks.departed(w.operation, w.out.Status)
	}
	w.checks.log.Error("response departs from the contract", "operation", w.operation.ID, "status", w.out.Status,
		"pointer", problems[0].Path, "reason", problems[0].Reason, "problems", len(problems),
		"request", w.Header().Get(echo.HeaderXRequestID))
	if w.unsent() {
		w.Header().Del(echo.HeaderContentLength)
		w.out.Committed, w.out.Size = false, 0
	}
}

// refused reports whether the response must not be sent, or not be continued.
func (w *checkedResponse) refused() bool { return w != nil && w.departed && w.checks.refuse }

// unsent reports whether another response has to be sent instead of one that is refused.
func (w *checkedResponse) unsent() bool { return w.refused() && !w.sent }

// brokenOff reports whether a response is refused of which a part was sent.
func (w *checkedResponse) brokenOff() bool { return w.refused() && w.sent }

// end checks the end of the response.
func (w *checkedResponse) end() {
	if w == nil {
		return
	}
	var problems []contract.Problem
	switch {
	case w.departed:
	case w.stream != nil:
		problems, _ = w.stream.End()
	case !w.checked: // it has no body
		problems = w.operation.CheckResponse(w.out.Status, w.Header(), nil)
	}
	if problems != nil {
		w.depart(problems)
	}
	w.close()
	if !w.refused() {
		w.send()
	}
}

// close releases what the check holds.
func (w *checkedResponse) close() {
	if w != nil && w.stream != nil {
		w.stream.Close()
		w.stream = nil
	}
}

// checkBody checks a body of JSON that consists of pieces.
func (r *responseChecks) checkBody(op *contract.Operation, pieces [][]byte) error {
	if r == nil {
		return nil
	}
	header := http.Header{echo.HeaderContentType: {echo.MIMEApplicationJSON}}
	stream := op.StreamResponse(http.StatusOK, header, int64(r.limit()))
	defer stream.Close()
	for _, piece := range pieces {
		if problems := stream.Write(piece); problems != nil {
			return ErrDeparture
		}
	}
	if problems, _ := stream.End(); problems != nil {
		return ErrDeparture
	}
	return nil
}
