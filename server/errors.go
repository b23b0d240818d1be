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

// outcomes are the outcomes of errors of other packages. The first match wins.
var outcomes = []struct {
	matches func(error) bool
	outcome contract.Outcome
}{
	{is(store.ErrNotFound), outcomeNotFound},
	{is(store.ErrConflict), outcomeConflict},
	{is(store.ErrAccessKeyTaken), outcomeKeyConflict},
	{is(store.ErrUnknownOrganisation), outcomeUnknownOrganisation},
	{is(store.ErrMalformed), outcomeMalformed},
	{is(gateway.ErrNotConfigured), outcomeNoGateway},
	{is(contract.ErrMissingParameter), outcomeMissingParameter},
	{is(contract.ErrBadParameter), outcomeBadParameter},
	{is(contract.ErrBody), outcomeMalformed},
	{is(httpbody.ErrEmpty), outcomeEmptyBody},
	{is(httpbody.ErrTooLarge), outcomeTooLarge},
	{is(httpbody.ErrTooSlow), outcomeTooSlow},
	{isA[*httpbody.MalformedError], outcomeMalformed},
	{is(jsonlist.ErrEmpty), outcomeEmptyBody},
	{is(jsonlist.ErrTooLarge), outcomeTooLarge},
	{isA[*importer.MalformedError], outcomeMalformed},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// outcomeOf returns err as an apiError. The outcome of an unknown error is outcomeFailed.
func outcomeOf(err error) apiError {
	if known, ok := errors.AsType[apiError](err); ok {
		return known
	}
	if rejected, ok := errors.AsType[*echo.HTTPError](err); ok && rejected.Code == http.StatusBadRequest {
		return apiError{outcome: outcomeBadParameter, cause: err} // by the generated code: a header is sent twice
	}
	for _, known := range outcomes {
		if known.matches(err) {
			return apiError{outcome: known.outcome, problems: problemsOf(err), cause: err}
		}
	}
	return apiError{outcome: outcomeFailed, cause: err}
}

// problemsOf returns the problems that an error lists for the client.
func problemsOf(err error) []contract.Problem {
	var lister interface{ Problems() []contract.Problem }
	if errors.As(err, &lister) {
		return lister.Problems()
	}
	if malformed, ok := errors.AsType[*httpbody.MalformedError](err); ok {
		return []contract.Problem{{Reason: malformed.Reason}}
	}
	return nil
}

// withOrgID adds the ID to an error whose message names the unknown organisation.
func withOrgID(orgID string, err error) error {
	if errors.Is(err, store.ErrUnknownOrganisation) {
		return apiError{outcome: outcomeUnknownOrganisation, value: orgID, cause: err}
	}
	return err
}

// handleError is Echo's error handler, and the only place where an error becomes a response.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		s.log.Error("response broken off", "route", c.Path(), "err", err)
		return
	}
	op := operationOf(c)
	if op == nil {
		s.replyUnknown(c, err)
		return
	}
	e := outcomeOf(err)
	response, ok := responseFor(op, &e.outcome)
	if e.outcome == outcomeFailed {
		requestID := c.Response().Header().Get(echo.HeaderXRequestID)
		s.log.Error("request failed", "operation", op.ID, "request", requestID, "err", err)
	}
	if !ok { // an operation that documents no failure, but failed
		s.replyUnknown(c, err)
		return
	}
	if e.outcome == outcomeMalformed && e.problems == nil {
		e.problems = nulProblems(bodyOf(c).json)
	}
	var meta any
	if len(e.problems) > 0 {
		meta = map[string][]contract.Problem{"errors": e.problems}
	}
	s.writeOrLog(c, response.Status, envelope(admin.ApiErrorStatusError, response.Text(e.value), meta))
}

// responseFor returns what the contract documents for an outcome, or for the closest that it documents, which it stores
// in outcome.
func responseFor(op *contract.Operation, outcome *contract.Outcome) (contract.Response, bool) {
	candidates := []contract.Outcome{*outcome, outcomeFailed}
	if *outcome == outcomeMalformed { // a value of a path or query that Postgres cannot store: no row has it
		candidates = []contract.Outcome{outcomeMalformed, outcomeBadParameter, outcomeNotFound, outcomeFailed}
	}
	for _, *outcome = range candidates {
		if response, ok := op.Responses[*outcome]; ok {
			return response, true
		}
	}
	return contract.Response{}, false
}

// replyUnknown replies to a request that matches no operation. An unknown method is 404, too, as on the original
// (docs/behaviour.md#errors).
func (s *Server) replyUnknown(c echo.Context, err error) {
	status := http.StatusNotFound
	if known, ok := errors.AsType[*echo.HTTPError](err); !ok || known.Code >= http.StatusInternalServerError {
		s.log.Error("request failed", "route", c.Path(), "err", err)
		status = http.StatusInternalServerError
	}
	c.Response().Header().Del(echo.HeaderAllow) // Echo sets it with its 405
	s.writeOrLog(c, status, envelope(admin.ApiErrorStatusError, http.StatusText(status), nil))
}

func (s *Server) writeOrLog(c echo.Context, status int, body any) {
	if err := writeJSON(c, status, body); err != nil {
		s.log.Info("response not delivered", "route", c.Path(), "err", err)
	}
}
