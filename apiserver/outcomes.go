package apiserver

import (
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/httpbody"
)

// The outcomes that this package produces before a handler runs, by the names of their examples in a contract. Rules
// has contract.Load check that each operation documents those that it can have.
const (
	OutcomeFailed           contract.Outcome = "failed" // a fault of the server
	OutcomeUnauthorised     contract.Outcome = "unauthorised"
	OutcomeTooManyAttempts  contract.Outcome = "too_many_attempts"
	OutcomeAccessDenied     contract.Outcome = "access_denied"
	OutcomeEmptyBody        contract.Outcome = "empty_body"
	OutcomeMalformed        contract.Outcome = "malformed"
	OutcomeTooLarge         contract.Outcome = "too_large"
	OutcomeTooSlow          contract.Outcome = "too_slow"
	OutcomeBadParameter     contract.Outcome = "bad_parameter"
	OutcomeMissingParameter contract.Outcome = "missing_parameter"
)

// Rules returns the rules for contracts that this package serves: which outcomes an operation must document, by what it
// requires of a request. schemes are the names of the security schemes that the application implements; an operation
// that requires one must have the outcome unauthorised. The caller may add to the rules, such as an outcome of a scheme
// or the x- keys that it reads itself, before it loads the contract.
func Rules(schemes ...string) contract.Rules {
	rules := contract.Rules{
		Schemes:            map[string][]contract.Outcome{},
		Authorised:         []contract.Outcome{OutcomeAccessDenied},
		Body:               []contract.Outcome{OutcomeMalformed, OutcomeTooLarge, OutcomeTooSlow},
		RequiredBody:       []contract.Outcome{OutcomeEmptyBody},
		Parameters:         []contract.Outcome{OutcomeBadParameter},
		RequiredParameters: []contract.Outcome{OutcomeMissingParameter},
		Outcomes:           true,
		// Other keys are read by package contract. These are read by the generator and the checker of contracts.
		Extensions: map[string]string{"x-go-type": "schema", "x-optional": "schema"},
	}
	for _, scheme := range schemes {
		rules.Schemes[scheme] = []contract.Outcome{OutcomeUnauthorised}
	}
	return rules
}

// Errors of Config.Schemes and Config.Authorise.
var (
	// ErrUnauthorised is returned for a request without a valid credential. Its outcome is OutcomeUnauthorised.
	ErrUnauthorised = errors.New("the credential is not valid")
	// ErrAccessDenied is returned for a caller without the permission. Its outcome is OutcomeAccessDenied.
	ErrAccessDenied = errors.New("the caller lacks the permission")
)

// TooManyAttemptsError is returned for a request whose credential is not checked, because its client has sent too many
// wrong ones. Its outcome is OutcomeTooManyAttempts. Any error with a method RetryAfterSeconds is treated alike.
type TooManyAttemptsError struct {
	// RetryAfter is when the client may try again; the response has it as Retry-After.
	RetryAfter time.Duration
}

// Error implements error.
func (e *TooManyAttemptsError) Error() string { return "too many wrong credentials" }

// RetryAfterSeconds returns RetryAfter in seconds, rounded up.
func (e *TooManyAttemptsError) RetryAfterSeconds() int { return int(math.Ceil(e.RetryAfter.Seconds())) }

// MalformedError reports a body with values that are wrong. Its outcome is OutcomeMalformed.
type MalformedError struct {
	problems []contract.Problem // for the client
	cause    error              // for the log
}

// Malformed returns a *MalformedError for a body with problems, which are sent to the client. cause is logged, and may
// be nil.
func Malformed(cause error, problems ...contract.Problem) error {
	return &MalformedError{problems: problems, cause: cause}
}

// MalformedAt returns a *MalformedError for a body in which the value at a JSON pointer is wrong. reason is sent to the
// client; cause is logged, and may be nil.
func MalformedAt(pointer, reason string, cause error) error {
	return Malformed(cause, contract.Problem{Path: pointer, Reason: reason})
}

// Error implements error.
func (e *MalformedError) Error() string {
	if e.cause != nil {
		return "the body is malformed: " + e.cause.Error()
	}
	return "the body is malformed"
}

// Unwrap returns the cause.
func (e *MalformedError) Unwrap() error { return e.cause }

// Problems lists what is wrong.
func (e *MalformedError) Problems() []contract.Problem { return e.problems }

// retryLater is an error of a client that may try again later.
type retryLater interface {
	error
	RetryAfterSeconds() int
}

// outcomes are the outcomes of errors that end a request before its handler. The first match wins.
var outcomes = []struct {
	matches func(error) bool
	outcome contract.Outcome
}{
	{is(ErrUnauthorised), OutcomeUnauthorised},
	{isA[retryLater], OutcomeTooManyAttempts},
	{is(ErrAccessDenied), OutcomeAccessDenied},
	{is(contract.ErrMissingParameter), OutcomeMissingParameter},
	{isBadParameter, OutcomeBadParameter},
	{is(httpbody.ErrEmpty), OutcomeEmptyBody},
	{is(httpbody.ErrTooLarge), OutcomeTooLarge},
	{is(httpbody.ErrTooSlow), OutcomeTooSlow},
	{IsMalformed, OutcomeMalformed},
}

// OutcomeOf returns the outcome of an error that ends a request before its handler: of this package, httpbody and
// contract. It is OutcomeFailed for any other error.
func OutcomeOf(err error) contract.Outcome {
	for _, known := range outcomes {
		if known.matches(err) {
			return known.outcome
		}
	}
	return OutcomeFailed
}

// IsMalformed reports whether an error says that a body does not match the contract.
func IsMalformed(err error) bool {
	return isA[*MalformedError](err) || isA[*httpbody.MalformedError](err) || errors.Is(err, contract.ErrBody)
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
