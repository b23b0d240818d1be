package apiserver

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// logFailure logs the cause of a failure, unless the request is not listed. A request that failed because its client is
// gone is no fault of the server.
func (s *Server) logFailure(c echo.Context, cause error) {
	if !s.isListed(c) || isA[unloggedError](cause) {
		return
	}
	if isAbandoned(c, cause) {
		s.log.InfoContext(c.Request().Context(), "request abandoned by its client", "route", c.Path(), "err", cause)
		return
	}
	s.logError(c, "request failed", cause)
}

// isAbandoned reports whether an error comes of the client being gone.
func isAbandoned(c echo.Context, cause error) bool {
	return errors.Is(cause, context.Canceled) && c.Request().Context().Err() != nil
}

// LogBroken logs why a response ends too early whose body is streamed.
func (r *Request) LogBroken(cause error) {
	c, s := r.Echo, r.server
	if isAbandoned(c, cause) {
		s.log.InfoContext(c.Request().Context(), "list broken off, its client is gone", "route", c.Path(), "err", cause)
		return
	}
	if isA[*lapsedError](cause) && s.outcomeOf(cause) != OutcomeFailed {
		s.log.InfoContext(c.Request().Context(), "list broken off, its client is not admitted any more",
			"route", c.Path(), "err", cause)
		return
	}
	s.logError(c, "list broken off", cause)
}

// LogError logs an error with the operation and the ID of the request.
func (r *Request) LogError(message string, err error) { r.server.logError(r.Echo, message, err) }

// logError logs an error with its operation and request ID.
func (s *Server) logError(c echo.Context, message string, err error) {
	operation, object := "", ""
	if r := baseOf(c); r != nil {
		operation, object = r.Operation.ID, r.LoggedObject()
	}
	id := c.Response().Header().Get(echo.HeaderXRequestID)
	s.log.ErrorContext(c.Request().Context(), message,
		"operation", operation, "route", c.Path(), "object", object, "request", id, "err", err)
}

// LoggedObject returns, as it is logged, the first parameter of the path that is no secret (Config.PublicParams).
func (r *Request) LoggedObject() string {
	for i, name := range r.Echo.ParamNames() {
		if slices.Contains(r.server.publicParams, name) {
			return LoggedText(PathParam(r.Echo, i))
		}
	}
	return ""
}

// maxLoggedText is the maximum length of a value from a request, in bytes. IDs have 24 to 36 characters; email
// addresses are rarely longer.
const maxLoggedText = 128

// LoggedText returns a value from a request as it is logged: valid UTF-8, of at most 128 bytes.
func LoggedText(value string) string {
	return strings.ToValidUTF8(value[:min(len(value), maxLoggedText)], "?")
}

// LoggedMethod returns the method of a request for the log. Clients may send any word, of any length.
func LoggedMethod(method string) string { return method[:min(len(method), maxLoggedMethod)] }

// maxLoggedMethod is longer than any method that is in use.
const maxLoggedMethod = 20
