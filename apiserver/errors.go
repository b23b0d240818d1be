package apiserver

import (
	"errors"

	"gatehouse/contract"
	"gatehouse/httpbody"
)

// ErrorReply is the reply to an error that a handler expects. R is the type of the operation's replies.
type ErrorReply[R any] struct {
	matches func(error) bool
	reply   func(cause error) R
}

// When is the reply to an error that matches.
func When[R any](matches func(error) bool, reply func(cause error) R) ErrorReply[R] {
	return ErrorReply[R]{matches, reply}
}

// On is the reply to an error that is one of the targets, by errors.Is:
//
//	return apiserver.ReplyError(reply, err, apiserver.On(reply.NotFound, store.ErrNotFound))
func On[R any](reply func(cause error) R, targets ...error) ErrorReply[R] {
	return ErrorReply[R]{is(targets...), reply}
}

// OnMalformed is the reply to a body that does not match the contract, such as an error of Decode.
func OnMalformed[R any](replies interface{ Malformed(cause error) R }) ErrorReply[R] {
	return ErrorReply[R]{IsMalformed, replies.Malformed}
}

// OnBody are the replies to the errors of a body that its handler reads, such as those of Elements.
func OnBody[R any](replies interface {
	EmptyBody(cause error) R
	Malformed(cause error) R
	TooLarge(cause error) R
	TooSlow(cause error) R
},
) []ErrorReply[R] {
	return []ErrorReply[R]{
		On(replies.EmptyBody, httpbody.ErrEmpty), On(replies.TooLarge, httpbody.ErrTooLarge),
		On(replies.TooSlow, httpbody.ErrTooSlow), OnMalformed(replies),
	}
}

// ReplyError returns the reply to an error: that of the first expected error that matches, else that of a failed
// operation.
func ReplyError[R any](replies interface{ Failed(cause error) R }, err error, expected ...ErrorReply[R]) R {
	for _, e := range expected {
		if e.matches(err) {
			return e.reply(err)
		}
	}
	return replies.Failed(err)
}

// Unlogged returns an error that is not logged if it is the cause of a failure.
func Unlogged(err error) error { return unloggedError{err} }

type unloggedError struct{ error }

// Unwrap returns the error.
func (e unloggedError) Unwrap() error { return e.error }

// problemsOf returns the problems that an error lists for the client.
func problemsOf(err error) []contract.Problem {
	var lister interface{ Problems() []contract.Problem }
	if errors.As(err, &lister) {
		return lister.Problems()
	}
	if malformed, ok := errors.AsType[*httpbody.MalformedError](err); ok {
		return []contract.Problem{{Reason: malformed.Reason}}
	}
	if isRejected(err) {
		return []contract.Problem{{Reason: "a parameter is sent more than once, or out of the range of its type"}}
	}
	return nil
}
