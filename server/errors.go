package server

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/gateway"
	"gatehouse/internal/httpbody"
	"gatehouse/internal/importer"
	"gatehouse/internal/jsonlist"
	"gatehouse/store"
)

// What can happen to a request. Each is the name of a response example in the contracts, which say for every operation
// what its status and message are.
const (
	succeeded           contract.Outcome = "ok"
	failed              contract.Outcome = "failed" // a fault of ours; the log has the cause
	unauthorised        contract.Outcome = "unauthorised"
	noKey               contract.Outcome = "no_key"
	accessDenied        contract.Outcome = "access_denied"
	emptyBody           contract.Outcome = "empty_body"
	malformed           contract.Outcome = "malformed"
	tooLarge            contract.Outcome = "too_large"
	tooSlow             contract.Outcome = "too_slow"
	badParameter        contract.Outcome = "bad_parameter"
	missingParameter    contract.Outcome = "missing_parameter"
	notFound            contract.Outcome = "not_found"
	conflict            contract.Outcome = "conflict"
	keyConflict         contract.Outcome = "key_conflict"
	unknownOrganisation contract.Outcome = "unknown_organisation"
	invalid             contract.Outcome = "invalid"
	gatewayRefused      contract.Outcome = "gateway"
	noGateway           contract.Outcome = "no_gateway"
	notOwned            contract.Outcome = "not_owned"
	notAdmin            contract.Outcome = "not_admin"
	notAllowed          contract.Outcome = "not_allowed"
	wrongPassword       contract.Outcome = "wrong_password"
	notRegistered       contract.Outcome = "not_registered"
	ssoDisabled         contract.Outcome = "sso_disabled"
)

// failure is an error that the caller is to be told of. Its event, value and problems are for the caller; cause is for
// the log.
type failure struct {
	event contract.Outcome
	// value takes the place of what varies in the contract's message.
	value    string
	problems []contract.Problem
	cause    error
}

func (f failure) Error() string {
	if f.cause != nil {
		return string(f.event) + ": " + f.cause.Error()
	}
	return string(f.event)
}

func (f failure) Unwrap() error { return f.cause }

// outcomes are what errors of other packages mean. The first match wins.
var outcomes = []struct {
	matches func(error) bool
	outcome contract.Outcome
}{
	{is(store.ErrNotFound), notFound},
	{is(store.ErrConflict), conflict},
	{is(store.ErrAccessKeyTaken), keyConflict},
	{is(store.ErrUnknownOrganisation), unknownOrganisation},
	{is(store.ErrMalformed), malformed},
	{is(gateway.ErrNotConfigured), noGateway},
	{is(contract.ErrMissingParameter), missingParameter},
	{is(contract.ErrBadParameter), badParameter},
	{is(contract.ErrBody), malformed},
	{is(httpbody.ErrEmpty), emptyBody},
	{is(httpbody.ErrTooLarge), tooLarge},
	{is(httpbody.ErrTooSlow), tooSlow},
	{isA[*httpbody.MalformedError], malformed},
	{is(jsonlist.ErrEmpty), emptyBody},
	{is(jsonlist.ErrTooLarge), tooLarge},
	{isA[*importer.MalformedError], malformed},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// explain finds out what an error means for the caller.
func explain(err error) failure {
	if f, ok := errors.AsType[failure](err); ok {
		return f
	}
	if wrong, ok := errors.AsType[*echo.HTTPError](err); ok && wrong.Code == http.StatusBadRequest {
		return failure{event: badParameter, cause: err} // a header that is there twice
	}
	for _, known := range outcomes {
		if known.matches(err) {
			return failure{event: known.outcome, problems: problemsIn(err), cause: err}
		}
	}
	return failure{event: failed, cause: err}
}

// problemsIn lists the problems that an error has for the client.
func problemsIn(err error) []contract.Problem {
	var listed interface{ Problems() []contract.Problem }
	if errors.As(err, &listed) {
		return listed.Problems()
	}
	if malformed, ok := errors.AsType[*httpbody.MalformedError](err); ok {
		return []contract.Problem{{Reason: malformed.Reason}}
	}
	return nil
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
	told, ok := nearest(op, &f.event)
	if f.event == failed {
		s.Log.Error("request failed", "operation", op.ID, "request", c.Response().Header().Get(echo.HeaderXRequestID), "err", err)
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
		meta = map[string][]contract.Problem{"errors": f.problems}
	}
	s.writeOrLog(c, told.Status, envelope(admin.ApiErrorStatusError, told.Text(f.value), meta))
}

// nearest is what the contract has for an event; what it has nothing for becomes what comes nearest to it, at last a fault
// of ours.
func nearest(op *contract.Operation, e *contract.Outcome) (contract.Response, bool) {
	tried := []contract.Outcome{*e, failed}
	if *e == malformed { // a value that cannot be kept, in a path or a query: nothing has it
		tried = []contract.Outcome{malformed, badParameter, notFound, failed}
	}
	for _, *e = range tried {
		if told, ok := op.Responses[*e]; ok {
			return told, true
		}
	}
	return contract.Response{}, false
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
