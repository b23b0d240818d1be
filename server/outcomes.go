package server

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/httpbody"
	"gatehouse/internal/authlimit"
	"gatehouse/internal/importer"
	"gatehouse/internal/jsonlist"
	"gatehouse/internal/spool"
	"gatehouse/store"
)

// The outcomes that the middleware produces, by the names of their examples in the contracts. contractRules has New
// check that each operation documents those that it can have. Handlers do not name outcomes: they return replies, which
// are generated for each operation.
const (
	outcomeFailed           contract.Outcome = "failed" // a fault of the server or the database
	outcomeUnauthorised     contract.Outcome = "unauthorised"
	outcomeNoKey            contract.Outcome = "no_key"
	outcomeTooManyAttempts  contract.Outcome = "too_many_attempts"
	outcomeAccessDenied     contract.Outcome = "access_denied"
	outcomeEmptyBody        contract.Outcome = "empty_body"
	outcomeMalformed        contract.Outcome = "malformed"
	outcomeTooLarge         contract.Outcome = "too_large"
	outcomeTooSlow          contract.Outcome = "too_slow"
	outcomeBadParameter     contract.Outcome = "bad_parameter"
	outcomeMissingParameter contract.Outcome = "missing_parameter"
)

// Errors of the middleware.
var (
	errUnauthorised = errors.New("the credential is not valid")
	errNoKey        = errors.New("the request has no access key")
	errAccessDenied = errors.New("the caller lacks the permission")
)

// errWrongPassword is counted by the limiter of passwords.
var errWrongPassword = errors.New("the current password is another one")

// malformedError reports a body with values that are wrong. problems are for the client, cause is for the log.
type malformedError struct {
	problems []contract.Problem
	cause    error
}

// malformedAt returns the error for a body in which the value at a JSON pointer is wrong.
func malformedAt(path, reason string, cause error) error {
	return &malformedError{problems: []contract.Problem{{Path: path, Reason: reason}}, cause: cause}
}

// Error implements error.
func (e *malformedError) Error() string {
	if e.cause != nil {
		return "the body is malformed: " + e.cause.Error()
	}
	return "the body is malformed"
}

// Unwrap returns the cause.
func (e *malformedError) Unwrap() error { return e.cause }

// Problems lists what is wrong.
func (e *malformedError) Problems() []contract.Problem { return e.problems }

// middlewareOutcomes are the outcomes of errors that end a request before its handler. The first match wins.
var middlewareOutcomes = []struct {
	matches func(error) bool
	outcome contract.Outcome
}{
	{is(errUnauthorised), outcomeUnauthorised},
	{is(errNoKey), outcomeNoKey},
	{isTooManyAttempts, outcomeTooManyAttempts},
	{is(errAccessDenied), outcomeAccessDenied},
	{is(contract.ErrMissingParameter), outcomeMissingParameter},
	{isBadParameter, outcomeBadParameter},
	{isEmptyBody, outcomeEmptyBody},
	{isTooLarge, outcomeTooLarge},
	{isTooSlow, outcomeTooSlow},
	{isMalformed, outcomeMalformed},
}

// outcomeOf returns the outcome of an error of the middleware; outcomeFailed for any other error.
func outcomeOf(err error) contract.Outcome {
	for _, known := range middlewareOutcomes {
		if known.matches(err) {
			return known.outcome
		}
	}
	return outcomeFailed
}

// What errors of several packages have in common.
var (
	isEmptyBody = is(httpbody.ErrEmpty, jsonlist.ErrEmpty)
	isTooLarge  = is(httpbody.ErrTooLarge, jsonlist.ErrTooLarge, spool.ErrTooLarge, spool.ErrNoFile)
	isTooSlow   = is(httpbody.ErrTooSlow)

	isTooManyAttempts = isA[*authlimit.TooManyError]
)

func isMalformed(err error) bool {
	return isA[*malformedError](err) || isA[*httpbody.MalformedError](err) || isA[*importer.MalformedError](err) ||
		errors.Is(err, contract.ErrBody) || errors.Is(err, store.ErrMalformed)
}

func isBadParameter(err error) bool {
	return errors.Is(err, contract.ErrBadParameter) || isRejected(err)
}

// isRejected reports whether the generated code could not decode a parameter that the contract allows: it is sent
// twice, or is too large for its type.
func isRejected(err error) bool {
	rejected, ok := errors.AsType[*echo.HTTPError](err)
	return ok && rejected.Code == http.StatusBadRequest
}

// is returns a function that reports whether an error is one of the targets.
func is(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
