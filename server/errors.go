package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
	"gatehouse/internal/spool"
	"gatehouse/store"
)

// Errors of handlers that several operations reply to.
var (
	errInvalid = errors.New("the object is not valid")
	// errChanged is returned for a document that is not the one of If-Match any more.
	errChanged  = errors.New("the stored document has been changed since it was read")
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

// The functions below say, once for all operations, which outcome an error has. They do not compile for an operation
// whose contract does not declare the outcome.

// notFound is the reply where there is no such row. A value that Postgres cannot store is the value of no row, too.
func notFound[R any](replies interface{ NotFound(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotFound, store.ErrNotFound, store.ErrMalformed)
}

func conflict[R any](replies interface{ Conflict(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.Conflict, store.ErrConflict)
}

// registered is the reply to a gateway that registers although it is registered.
func registered[R any](replies interface{ Registered(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.Registered, store.ErrNodeRegistered)
}

// changed is the reply where the stored document is not the one of If-Match any more.
func changed[R any](replies interface{ Changed(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.Changed, errChanged)
}

func keyConflict[R any](replies interface{ KeyConflict(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.KeyConflict, store.ErrAccessKeyTaken)
}

// unknownOrganisation is the reply for an organisation that does not exist; its message has the ID.
func unknownOrganisation[R any](
	replies interface {
		UnknownOrganisation(orgID string, cause error) R
	}, orgID string,
) apiserver.ErrorReply[R] {
	return apiserver.On(func(cause error) R {
		return replies.UnknownOrganisation(orgID, cause)
	}, store.ErrUnknownOrganisation)
}

// malformed is the reply to a body that does not match the contract, or has a value that Postgres cannot store.
func malformed[R any](replies interface{ Malformed(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.When(isMalformed, replies.Malformed)
}

// badParameter is the reply to a parameter that Postgres cannot store.
func badParameter[R any](replies interface{ BadParameter(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.BadParameter, store.ErrMalformed)
}

func invalid[R any](replies interface{ Invalid(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.Invalid, errInvalid)
}

func notOwned[R any](replies interface{ NotOwned(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotOwned, errNotOwned)
}

// unrestricted is the reply to a session that would open every API; it says what the session lacks.
func unrestricted[R any](replies interface{ Unrestricted(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.When(isA[*unrestrictedError], replies.Unrestricted)
}

// tooManyAttempts is the reply to a password that was not checked, because too many wrong ones were.
func tooManyAttempts[R any](replies interface{ TooManyAttempts(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.When(isTooManyAttempts, replies.TooManyAttempts)
}

func noGateway[R any](replies interface{ NoGateway(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NoGateway, gateway.ErrNotConfigured)
}

// refused is the reply to what the gateway refused; its message has the gateway's.
func refused[R any](replies interface {
	Gateway(message string, cause error) R
},
) apiserver.ErrorReply[R] {
	return apiserver.When(isA[*gateway.Refused], func(cause error) R {
		refusal, _ := errors.AsType[*gateway.Refused](cause)
		return replies.Gateway(refusal.Message, cause)
	})
}

// unreachable is the reply of an operation that tells its client when the gateway did not answer.
func unreachable[R any](replies interface {
	Gateway(message string, cause error) R
},
) apiserver.ErrorReply[R] {
	return apiserver.On(func(cause error) R {
		return replies.Gateway(gateway.ErrUnreachable.Error(), cause)
	}, gateway.ErrUnreachable)
}

// gatewayFailed is the reply, without the reason, where the gateway refused the request or did not answer.
func gatewayFailed[R any](replies interface{ Gateway(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.When(func(err error) bool {
		return isA[*gateway.Refused](err) || errors.Is(err, gateway.ErrUnreachable)
	}, replies.Gateway)
}

// unknownKey is the reply where the gateway does not have the key, or has it for another organisation, so
// that the response does not disclose that it exists.
func unknownKey[R any](replies interface{ NotFound(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.When(func(err error) bool {
		return isUnknownKey(err) || errors.Is(err, errForeignKey)
	}, replies.NotFound)
}

func isUnknownKey(err error) bool {
	refusal, ok := errors.AsType[*gateway.Refused](err)
	return ok && refusal.Status == http.StatusNotFound
}

// problemsOf returns what is wrong with a request whose reply is an error that does not list it itself.
func problemsOf(r *request, reply contract.Reply) []contract.Problem {
	err := reply.Cause
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
	if reply.Outcome == apiserver.OutcomeMalformed {
		return nulProblems(r.Body.JSON)
	}
	return nil
}

// nulProblems lists where a body that Postgres refused has a NUL character, which it cannot store.
func nulProblems(raw json.RawMessage) []contract.Problem {
	var problems []contract.Problem
	for _, m := range jsondoc.Members(raw) {
		if bytes.Contains(m.Value, []byte(`\u0000`)) {
			problems = append(problems, contract.Problem{Path: contract.Pointer(m.Name), Reason: "has a NUL"})
		}
	}
	if problems == nil {
		problems = []contract.Problem{{Reason: "has a value that cannot be stored"}}
	}
	return problems[:min(len(problems), contract.MaxProblems)]
}
