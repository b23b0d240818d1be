package server

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/httpbody"
	"gatehouse/internal/gateway"
	"gatehouse/internal/oas"
	"gatehouse/internal/spool"
	"gatehouse/store"
)

// Errors of handlers that several operations reply to.
var (
	errInvalid  = errors.New("the object is not valid")
	errNotOwned = errors.New("the session refers to what belongs to another organisation")
	// errForeignKey is replied to as an unknown key is.
	errForeignKey = errors.New("the key belongs to another organisation")
)

// unrestrictedError is returned for a session that would open every API.
type unrestrictedError struct{ problem contract.Problem }

// Error implements error.
func (*unrestrictedError) Error() string { return "the session would open every API" }

// Problems returns what the session lacks.
func (e *unrestrictedError) Problems() []contract.Problem { return []contract.Problem{e.problem} }

// errorReply is the reply to an error that a handler expects. R is the type of the operation's replies.
type errorReply[R any] struct {
	matches func(error) bool
	reply   func(cause error) R
}

// replyError returns the reply to an error: that of the first expected error that matches, else that of a failed
// operation.
func replyError[R any](replies interface{ Failed(cause error) R }, err error, expected ...errorReply[R]) R {
	for _, e := range expected {
		if e.matches(err) {
			return e.reply(err)
		}
	}
	return replies.Failed(err)
}

// The functions below say, once for all operations, which outcome an error has. They do not compile for an operation
// whose contract does not declare the outcome.

// notFound is the reply where there is no such row. A value that Postgres cannot store is the value of no row, too.
func notFound[R any](replies interface{ NotFound(cause error) R }) errorReply[R] {
	return errorReply[R]{is(store.ErrNotFound, store.ErrMalformed), replies.NotFound}
}

func conflict[R any](replies interface{ Conflict(cause error) R }) errorReply[R] {
	return errorReply[R]{is(store.ErrConflict), replies.Conflict}
}

// registered is the reply to a gateway that registers although it is registered.
func registered[R any](replies interface{ Registered(cause error) R }) errorReply[R] {
	return errorReply[R]{is(store.ErrNodeRegistered), replies.Registered}
}

func keyConflict[R any](replies interface{ KeyConflict(cause error) R }) errorReply[R] {
	return errorReply[R]{is(store.ErrAccessKeyTaken), replies.KeyConflict}
}

// unknownOrganisation is the reply for an organisation that does not exist; its message has the ID.
func unknownOrganisation[R any](
	replies interface {
		UnknownOrganisation(orgID string, cause error) R
	}, orgID string,
) errorReply[R] {
	return errorReply[R]{is(store.ErrUnknownOrganisation), func(cause error) R {
		return replies.UnknownOrganisation(orgID, cause)
	}}
}

// malformed is the reply to a body that does not match the contract, or has a value that Postgres cannot store.
func malformed[R any](replies interface{ Malformed(cause error) R }) errorReply[R] {
	return errorReply[R]{isMalformed, replies.Malformed}
}

// badParameter is the reply to a parameter that Postgres cannot store.
func badParameter[R any](replies interface{ BadParameter(cause error) R }) errorReply[R] {
	return errorReply[R]{is(store.ErrMalformed), replies.BadParameter}
}

func invalid[R any](replies interface{ Invalid(cause error) R }) errorReply[R] {
	return errorReply[R]{is(errInvalid), replies.Invalid}
}

func notOwned[R any](replies interface{ NotOwned(cause error) R }) errorReply[R] {
	return errorReply[R]{is(errNotOwned), replies.NotOwned}
}

// unrestricted is the reply to a session that would open every API; it says what the session lacks.
func unrestricted[R any](replies interface{ Unrestricted(cause error) R }) errorReply[R] {
	return errorReply[R]{isA[*unrestrictedError], replies.Unrestricted}
}

// tooManyAttempts is the reply to a password that was not checked, because too many wrong ones were.
func tooManyAttempts[R any](replies interface{ TooManyAttempts(cause error) R }) errorReply[R] {
	return errorReply[R]{isTooManyAttempts, replies.TooManyAttempts}
}

func noGateway[R any](replies interface{ NoGateway(cause error) R }) errorReply[R] {
	return errorReply[R]{is(gateway.ErrNotConfigured), replies.NoGateway}
}

// refused is the reply to what the gateway refused; its message has the gateway's.
func refused[R any](replies interface {
	Gateway(message string, cause error) R
},
) errorReply[R] {
	return errorReply[R]{isA[*gateway.Refused], func(cause error) R {
		refusal, _ := errors.AsType[*gateway.Refused](cause)
		return replies.Gateway(refusal.Message, cause)
	}}
}

// unreachable is the reply of an operation that tells its client when the gateway did not answer.
func unreachable[R any](replies interface {
	Gateway(message string, cause error) R
},
) errorReply[R] {
	return errorReply[R]{is(gateway.ErrUnreachable), func(cause error) R {
		return replies.Gateway(gateway.ErrUnreachable.Error(), cause)
	}}
}

// gatewayFailed is the reply, without the reason, where the gateway refused the request or did not answer.
func gatewayFailed[R any](replies interface{ Gateway(cause error) R }) errorReply[R] {
	return errorReply[R]{
		func(err error) bool { return isA[*gateway.Refused](err) || errors.Is(err, gateway.ErrUnreachable) }, replies.Gateway,
	}
}

// unknownKey is the reply where the gateway does not have the key, or has it for another organisation, so
// that the response does not disclose that it exists.
func unknownKey[R any](replies interface{ NotFound(cause error) R }) errorReply[R] {
	return errorReply[R]{
		func(err error) bool { return isUnknownKey(err) || errors.Is(err, errForeignKey) }, replies.NotFound,
	}
}

func isUnknownKey(err error) bool {
	refusal, ok := errors.AsType[*gateway.Refused](err)
	return ok && refusal.Status == http.StatusNotFound
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
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		return []contract.Problem{{
			Path: contract.Pointer(conflict.Member), Reason: "belongs to " + conflict.Owner + " " + conflict.ID,
		}}
	}
	if fault, ok := errors.AsType[*oas.Error](err); ok {
		return []contract.Problem{{Path: fault.Pointer, Reason: fault.Message}}
	}
	if errors.Is(err, spool.ErrNoFile) {
		return []contract.Problem{{Reason: "the server has no directory for an import of this size (--spool-dir)"}}
	}
	if isRejected(err) {
		return []contract.Problem{{Reason: "a parameter is sent more than once, or out of the range of its type"}}
	}
	return nil
}

// handleError is Echo's error handler. It replies to errors of the middleware, of routing, and to panics; handlers
// return replies instead of errors.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		s.logError(c, "response broken off", err)
		return
	}
	r := requestOf(c)
	if r == nil {
		s.replyUnknown(c, err)
		return
	}
	outcome := outcomeOf(err)
	response, ok := r.operation.Responses[outcome]
	if !ok { // an operation that documents no failure, but failed
		s.replyUnknown(c, err)
		return
	}
	if response.Form == contract.Object { // which only the handler can fill in
		response.Form, response.Message = contract.Envelope, http.StatusText(response.Status)
	}
	if err := s.send(c, contract.Reply{Outcome: outcome, Response: response, Cause: err}); err != nil && s.isListed(c) {
		s.log.Info("response not delivered", "route", c.Path(), "err", err)
	}
}

// replyUnknown replies to a request that matches no operation, and where an operation declares no reply. An unknown
// method is 404, too, as on the original (docs/behaviour.md#errors).
func (s *Server) replyUnknown(c echo.Context, err error) {
	status := http.StatusNotFound
	if known, ok := errors.AsType[*echo.HTTPError](err); !ok || known.Code >= http.StatusInternalServerError {
		s.logError(c, "request failed", err)
		status = http.StatusInternalServerError
	}
	c.Response().Header().Del(echo.HeaderAllow) // Echo sets it with its 405
	err = writeJSON(c, status, envelope{Status: statusError, Message: http.StatusText(status)})
	if err != nil && s.isListed(c) {
		s.log.Info("response not delivered", "route", c.Path(), "err", err)
	}
}
