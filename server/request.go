package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/contract"
	"gatehouse/internal/fairqueue"
	"gatehouse/store"
)

// request is a request of an operation, with what the middleware has found out about it. It is what handlers get: they
// return a reply, and have nothing to write a response with.
type request struct {
	echo      echo.Context    // for middleware, and for those who stream a body
	ctx       context.Context // that of the HTTP request, with the party of the caller
	admitter  admitter
	operation *contract.Operation
	caller    caller
	secret    secretNumber // of the secret that the request has, 0 if the operation requires none
	admitted  time.Time    // when the credential and the permission were last checked
	body      body
	memory    *fairqueue.Reservation // of the body, nil if it is small
	response  *checkedResponse       // nil unless responses are checked
	audited   bool                   // whether the audit log has a line of it
	// objectKind is the kind of the document that the operation stores, unless its path identifies it, and made the ID of
	// the one that its handler has stored.
	objectKind, made string
	// renamed is the new ID of the object that the path identifies, "" if it keeps its own.
	renamed string
	// base is the API that gets a new version, and deleted the APIs that were deleted with versions, for the audit log.
	base    string
	deleted []string
	// databaseTimes sums up how long the request uses the database.
	databaseTimes store.Times
}

// Context returns the context of the request, which ends when the client is gone.
func (r *request) Context() context.Context { return (*requestContext)(r) }

// admissionTime is how long a request is admitted for while its client sends the body or reads the response, and while
// it waits for others.
const admissionTime = time.Second

// admitter authenticates and authorises a request. It is the Server.
type admitter interface{ admitCaller(r *request) error }

// admitAgain admits a request once more that was admitted long ago: the client may have lost its credential or its
// permission meanwhile. Its error is a *lapsedError.
func (r *request) admitAgain() error {
	if time.Since(r.admitted) < admissionTime {
		return nil
	}
	if err := r.admitter.admitCaller(r); err != nil {
		return &lapsedError{err}
	}
	return nil
}

// lapsedError is returned for a request that has waited, and is not admitted any more.
type lapsedError struct{ cause error }

// Error implements error.
func (e *lapsedError) Error() string { return "admit the request again: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *lapsedError) Unwrap() error { return e.cause }

// admissionKey is the key of the request in its context.
type admissionKey struct{}

// admitWaiting admits a request again that has waited for others, by its context.
func admitWaiting(ctx context.Context) error {
	if r, ok := ctx.Value(admissionKey{}).(*request); ok {
		return r.admitAgain()
	}
	return nil
}

// requestContext is the context of a request. Its value for admissionKey is the request, and for store.TimesKey what
// gets the times of its statements.
type requestContext request

// Deadline implements context.Context.
func (c *requestContext) Deadline() (deadline time.Time, ok bool) { return c.ctx.Deadline() }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} { return c.ctx.Done() }

// Err implements context.Context.
func (c *requestContext) Err() error { return c.ctx.Err() }

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	switch key.(type) {
	case admissionKey:
		return (*request)(c)
	case store.TimesKey:
		return &c.databaseTimes
	}
	return c.ctx.Value(key)
}

// setParty has the request wait, where requests wait for one another, in turn with those of other organisations, and
// use its organisation's part of the connections to the database. It is called once: the context of a request must not
// change while others read it. Super users, and clients that know a secret, are
// parties of their own, and have all connections.
func (r *request) setParty() {
	if r.operation.Scheme == adminScheme {
		return // the party of requests without one
	}
	ctx := r.echo.Request().Context()
	party := cmp.Or(r.operation.Scheme, "unauthenticated")
	if user := r.caller.user; user != nil {
		party = cmp.Or(user.OrgID, user.ID)
		if user.OrgID != "" {
			ctx = store.WithOrganisation(ctx, user.OrgID)
		}
	}
	r.ctx = fairqueue.WithParty(ctx, party)
}

// releaseBody ends what the body reserves of memory.
func (r *request) releaseBody() {
	if r.memory != nil {
		r.memory.Release()
	}
}

// header returns a header of the request, "" if it is absent.
func (r *request) header(name string) string { return r.echo.Request().Header.Get(name) }

// sent reports whether a part of the response was sent, so that it cannot be replaced by another one.
func (r *request) sent() bool { return r.echo.Response().Committed }

// pathParam returns a parameter of the path as its handler gets it. Echo leaves it as the client has escaped it, and
// the generated code unescapes it.
func pathParam(c echo.Context, i int) string {
	value := c.ParamValues()[i]
	if unescaped, err := url.PathUnescape(value); err == nil {
		return unescaped
	}
	return value
}

// headKey is the key, in the context of a request, of whether it is a HEAD request.
type headKey struct{}

// isHead reports whether the request is a HEAD request, which has the response of a GET without its body.
func (r *request) isHead() bool { return r.Context().Value(headKey{}) != nil }

// body is a request body after validation.
type body struct {
	json json.RawMessage // compact, otherwise as the client wrote it
	form url.Values      // of a form, in place of json
	file []byte          // of a form with a file, in place of json
}

// requestKey is where an echo.Context holds the *request.
const requestKey = "request"

// requestOf returns nil for a request that matches no operation.
func requestOf(c echo.Context) *request {
	r, _ := c.Get(requestKey).(*request)
	return r
}

// errNoCaller is a fault of the code: a handler asked for the caller of an operation that does not authenticate users.
var errNoCaller = errors.New("the operation does not authenticate a user")

// callerOf returns the user who sent a request. It fails for an operation that does not authenticate users by their
// access key, such as all of /admin.
func callerOf(r *request) (caller, error) {
	if r.caller.authenticated() {
		return r.caller, nil
	}
	return caller{}, errNoCaller
}

// reasonNotInteger is wrong with a number that is an integer to the contract, but not to Go: it has 20 digits, or is
// written as 1.0 or 1e3.
const reasonNotInteger = "must be a whole number of 64 bits, and written as one"

// decode returns the validated body as a T. Names are matched exactly: encoding/json would accept "EMAIL_ADDRESS",
// which the contract does not declare and nothing has validated.
func decode[T any](r *request) (T, error) {
	var v T
	if _, err := fastjson.Parse(r.body.json, &v, fastjson.DontMatchCaseInsensitiveStructFields); err != nil {
		path := ""
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
			path = contract.Pointer(strings.Split(mismatch.Field, ".")...)
		}
		return v, malformedAt(path, reasonNotInteger, err)
	}
	return v, nil
}

// valueOf returns what p points to, or the zero value.
func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
