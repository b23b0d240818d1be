package server

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/contract"
)

// request is what the middleware has found out about a request.
type request struct {
	operation *contract.Operation
	caller    caller
	body      body
}

// body is a request body after validation.
type body struct {
	json json.RawMessage // compact, and else as the client wrote it
	form url.Values      // of a form, in place of json
}

// requestKey is where an echo.Context holds the *request.
const requestKey = "request"

// requestOf returns nil for a request that matches no operation.
func requestOf(c echo.Context) *request {
	r, _ := c.Get(requestKey).(*request)
	return r
}

// operationOf returns the operation of a request; nil if it matches none.
func operationOf(c echo.Context) *contract.Operation {
	if r := requestOf(c); r != nil {
		return r.operation
	}
	return nil
}

// bodyOf returns the validated body of a request; the zero value if its operation has none.
func bodyOf(c echo.Context) body {
	if r := requestOf(c); r != nil {
		return r.body
	}
	return body{}
}

// errNoCaller is a fault of the code: a handler asked for the caller of an operation that does not authenticate users.
var errNoCaller = errors.New("the operation does not authenticate a user")

// callerOf returns the user who sent a request. It fails for an operation that does not authenticate users by their
// access key, such as all of /admin.
func callerOf(c echo.Context) (caller, error) {
	if r := requestOf(c); r != nil && r.caller.authenticated() {
		return r.caller, nil
	}
	return caller{}, errNoCaller
}

// reasonNotInteger is wrong with a number that is an integer to the contract, but not to Go: it has 20 digits, or is
// written as 1.0 or 1e3.
const reasonNotInteger = "must be a whole number of 64 bits, and written as one"

// decode returns the validated body as a T. Names are matched exactly: encoding/json would accept "EMAIL_ADDRESS",
// which the contract does not declare and nothing has validated.
func decode[T any](c echo.Context) (T, error) {
	var v T
	if _, err := fastjson.Parse(bodyOf(c).json, &v, fastjson.DontMatchCaseInsensitiveStructFields); err != nil {
		path := ""
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
			path = contract.Pointer(strings.Split(mismatch.Field, ".")...)
		}
		return v, malformed(path, reasonNotInteger, err)
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
