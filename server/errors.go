package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// What can happen to a request. Each is the name of a response example in the contracts, which say for every operation
// what its status and message are.
const (
	succeeded           event = "ok"
	failed              event = "failed" // a fault of ours; the log has the cause
	unauthorised        event = "unauthorised"
	noKey               event = "no_key"
	accessDenied        event = "access_denied"
	emptyBody           event = "empty_body"
	malformed           event = "malformed"
	tooLarge            event = "too_large"
	tooSlow             event = "too_slow"
	badParameter        event = "bad_parameter"
	missingParameter    event = "missing_parameter"
	notFound            event = "not_found"
	conflict            event = "conflict"
	keyConflict         event = "key_conflict"
	unknownOrganisation event = "unknown_organisation"
	invalid             event = "invalid"
	gatewayRefused      event = "gateway"
	noGateway           event = "no_gateway"
	notOwned            event = "not_owned"
	notAdmin            event = "not_admin"
	notAllowed          event = "not_allowed"
	wrongPassword       event = "wrong_password"
	notRegistered       event = "not_registered"
	ssoDisabled         event = "sso_disabled"
)

// failure is an error that the caller is to be told of. Its event, value and problems are for the caller; cause is for
// the log.
type failure struct {
	event event
	// value takes the place of what varies in the contract's message.
	value    string
	problems []problem
	cause    error
}

// problem is one thing that is wrong with a request. It never quotes a value: that may be a password.
type problem struct {
	Path   string `json:"path"` // a JSON pointer into the body; for a parameter, its name
	Reason string `json:"reason"`
}

func (f failure) Error() string {
	if f.cause != nil {
		return string(f.event) + ": " + f.cause.Error()
	}
	return string(f.event)
}

func (f failure) Unwrap() error { return f.cause }

// byError says what an error of another room means. The first that fits counts.
var byError = []struct {
	is    error
	event event
}{
	{store.ErrNotFound, notFound},
	{store.ErrConflict, conflict},
	{store.ErrAccessKeyTaken, keyConflict},
	{store.ErrUnknownOrganisation, unknownOrganisation},
	{store.ErrMalformed, malformed},
	{gateway.ErrNotConfigured, noGateway},
}

// explain finds out what an error means for the caller.
func explain(err error) failure {
	if f, ok := errors.AsType[failure](err); ok {
		return f
	}
	if wrong, ok := errors.AsType[*echo.HTTPError](err); ok && wrong.Code == http.StatusBadRequest {
		return failure{event: badParameter, cause: err} // a header that is there twice
	}
	for _, known := range byError {
		if errors.Is(err, known.is) {
			return failure{event: known.event, cause: err}
		}
	}
	return failure{event: failed, cause: err}
}

// naming adds the value that a message names to an error, if it comes to that message.
func naming(value string, err error) error {
	if errors.Is(err, store.ErrUnknownOrganisation) {
		return failure{event: unknownOrganisation, value: value, cause: err}
	}
	return err
}

// handleError is the one place where an error becomes an answer.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		s.Log.Error("answer broken off", "route", c.Path(), "err", err)
		return
	}
	op := operationOf(c)
	if op == nil {
		s.answerUnknown(c, err)
		return
	}
	f := explain(err)
	told, ok := op.answer(&f.event)
	if f.event == failed {
		s.Log.Error("request failed", "operation", op.id, "request", c.Response().Header().Get(echo.HeaderXRequestID), "err", err)
	}
	if !ok { // an operation that cannot fail, but did
		s.answerUnknown(c, err)
		return
	}
	if f.event == malformed && f.problems == nil {
		f.problems = unkeepable(bodyOf(c))
	}
	var meta any
	if len(f.problems) > 0 {
		meta = map[string][]problem{"errors": f.problems}
	}
	s.writeOrLog(c, told.status, envelope(admin.ApiErrorStatusError, told.text(f.value), meta))
}

// answer is what the contract has for an event; what it has nothing for becomes what comes nearest to it, at last a fault
// of ours.
func (op *operation) answer(e *event) (answer, bool) {
	nearest := []event{*e, failed}
	if *e == malformed { // a value that cannot be kept, in a path or a query: nothing has it
		nearest = []event{malformed, badParameter, notFound, failed}
	}
	for _, *e = range nearest {
		if told, ok := op.answers[*e]; ok {
			return told, true
		}
	}
	return answer{}, false
}

// text is the answer's message, about value.
func (a answer) text(value string) string {
	if a.varies == "" {
		return a.message
	}
	return strings.Replace(a.message, a.varies, value, 1)
}

// answerUnknown answers what no contract knows: 404 for a path, and for a method, as the original does (facts §2.2).
func (s *Server) answerUnknown(c echo.Context, err error) {
	status := http.StatusNotFound
	if known, ok := errors.AsType[*echo.HTTPError](err); !ok || known.Code >= http.StatusInternalServerError {
		s.Log.Error("request failed", "route", c.Path(), "err", err)
		status = http.StatusInternalServerError
	}
	c.Response().Header().Del(echo.HeaderAllow) // Echo's, for a 405
	s.writeOrLog(c, status, envelope(admin.ApiErrorStatusError, http.StatusText(status), nil))
}

func (s *Server) writeOrLog(c echo.Context, status int, body any) {
	if err := writeJSON(c, status, body); err != nil {
		s.Log.Info("answer not delivered", "route", c.Path(), "err", err)
	}
}
