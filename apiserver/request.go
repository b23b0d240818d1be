package apiserver

import (
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
)

// Request is a request of an operation. Applications embed it in a type of their own, which their handlers are called
// with.
type Request struct {
	// Echo is for middleware, and for handlers that stream a body.
	Echo echo.Context
	// Operation is the operation of the contract.
	Operation *contract.Operation
	// Body is the validated body. It is empty for an operation without one, and for one whose handler reads it (x-each).
	Body Body

	server   *Server
	scheme   string                 // that the request was authenticated by
	outer    AnyRequest             // what embeds the Request
	ctx      context.Context        // that of the HTTP request, or what Hooks.Admitted returned
	admitted time.Time              // when the credential and the permission were last checked
	memory   *fairqueue.Reservation // of the body, nil if it is small
	response *checkedResponse       // nil unless responses are checked
	paced    *pacedWriter           // nil unless the body of the response is streamed
}

// AnyRequest is a *Request, or a pointer to a struct that embeds Request.
type AnyRequest interface{ base() *Request }

func (r *Request) base() *Request { return r }

// Scheme returns the name of the security scheme that the request was authenticated by, or that its operation has first
// if it has no credential; "" for an operation that everybody may call.
func (r *Request) Scheme() string { return r.scheme }

// requestKey is where an echo.Context holds the *Request.
const requestKey = "request"

// baseOf returns nil for a request that matches no operation.
func baseOf(c echo.Context) *Request {
	r, _ := c.Get(requestKey).(*Request)
	return r
}

// RequestOf returns the application's request, such as *request, of a request of Echo. It is nil for a request that
// matches no operation.
func RequestOf[P AnyRequest](c echo.Context) P {
	var none P
	if r := baseOf(c); r != nil {
		return r.outer.(P) //nolint:forcetypeassert // New has made it
	}
	return none
}

// Context returns the context of the request, which ends when the client is gone.
func (r *Request) Context() context.Context { return (*requestContext)(r) }

// parent returns the context that Context extends: of a Request that a test has made, that of the HTTP request.
func (r *Request) parent() context.Context {
	if r.ctx == nil {
		return r.Echo.Request().Context()
	}
	return r.ctx
}

// requestContext is the context of a request. Its value for admissionKey is the request.
type requestContext Request

// Deadline implements context.Context.
func (c *requestContext) Deadline() (deadline time.Time, ok bool) {
	return (*Request)(c).parent().Deadline()
}

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} { return (*Request)(c).parent().Done() }

// Err implements context.Context.
func (c *requestContext) Err() error { return (*Request)(c).parent().Err() }

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	if _, ok := key.(admissionKey); ok {
		return (*Request)(c)
	}
	return (*Request)(c).parent().Value(key)
}

// Header returns a header of the request, "" if it is absent.
func (r *Request) Header(name string) string { return r.Echo.Request().Header.Get(name) }

// Bearer returns the token in the header Authorization after the word Bearer, in any case; "" if there is none.
func (r *Request) Bearer() string {
	scheme, token, _ := strings.Cut(r.Header(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// PathParam returns a parameter of the path, unescaped; "" if the path does not have it.
func (r *Request) PathParam(name string) string {
	for i, each := range r.Echo.ParamNames() {
		if each == name {
			return PathParam(r.Echo, i)
		}
	}
	return ""
}

// PathParam returns the i-th parameter of the path as its handler gets it. Echo leaves it as the client has escaped it,
// and the generated code unescapes it.
func PathParam(c echo.Context, i int) string {
	value := c.ParamValues()[i]
	if unescaped, err := url.PathUnescape(value); err == nil {
		return unescaped
	}
	return value
}

// Sent reports whether a part of the response was sent, so that it cannot be replaced by another one.
func (r *Request) Sent() bool { return r.Echo.Response().Committed }

// headKey is the key, in the context of a request, of whether it is a HEAD request.
type headKey struct{}

// IsHead reports whether the request is a HEAD request, which has the response of a GET without its body.
func (r *Request) IsHead() bool { return IsHead(r.parent()) }

// IsHead reports whether the context is that of a HEAD request, whose method is GET for handlers.
func IsHead(ctx context.Context) bool { return ctx.Value(headKey{}) != nil }

// Unchecked has the response not checked against the contract (Config.CheckResponses): it consists of what was checked
// before.
func (r *Request) Unchecked() { r.response.skip() }

// checkedResponse returns nil if the response is not checked, or the request matches no operation.
func (r *Request) checkedResponse() *checkedResponse {
	if r == nil {
		return nil
	}
	return r.response
}

// releaseBody ends what the body reserves of memory.
func (r *Request) releaseBody() {
	if r.memory != nil {
		r.memory.Release()
	}
}

// ReasonNotInteger is what is wrong with a number that is an integer to the contract, but not to Go: it has 20 digits,
// or is written as 1.0 or 1e3.
const ReasonNotInteger = "must be a whole number of 64 bits, and written as one"

// Decode returns the validated body as a T. Names are matched exactly: encoding/json would accept "EMAIL_ADDRESS",
// which the contract does not declare and nothing has validated. The error is a *MalformedError: the contract cannot
// state each limit of Go's types.
func Decode[T any](r AnyRequest) (T, error) { return decode[T](r.base().Body.JSON) }

func decode[T any](text json.RawMessage) (T, error) {
	var v T
	if _, err := fastjson.Parse(text, &v, fastjson.DontMatchCaseInsensitiveStructFields); err != nil {
		path := ""
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
			path = contract.Pointer(strings.Split(mismatch.Field, ".")...)
		}
		return v, MalformedAt(path, ReasonNotInteger, err)
	}
	return v, nil
}
