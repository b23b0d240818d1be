package server

import (
	"errors"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/authlimit"
	"gatehouse/internal/importer"
	"gatehouse/store"
)

// outcomeNoKey is the outcome of a request without an access key. Handlers do not name outcomes: they return replies,
// which are generated for each operation.
const outcomeNoKey contract.Outcome = "no_key"

var errNoKey = errors.New("the request has no access key")

// errWrongPassword is counted by the limiter of passwords.
var errWrongPassword = errors.New("the current password is another one")

// outcomeOf returns the outcome of an error that ends a request before its handler, if package apiserver does not know
// it.
func outcomeOf(err error) contract.Outcome {
	switch {
	case errors.Is(err, errNoKey):
		return outcomeNoKey
	case errors.Is(err, store.ErrMalformed):
		return apiserver.OutcomeMalformed
	}
	return ""
}

var isTooManyAttempts = isA[*authlimit.TooManyError]

func isMalformed(err error) bool {
	return apiserver.IsMalformed(err) || isA[*importer.MalformedError](err) || errors.Is(err, store.ErrMalformed)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
