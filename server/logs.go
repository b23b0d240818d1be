package server

import (
	"context"
	"errors"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/store"
)

// logFailure logs the cause of a failure, unless the request is not listed. A request that failed because its client is
// gone is no fault of the server.
func (s *Server) logFailure(c echo.Context, cause error) {
	if !s.isListed(c) || errors.Is(cause, errStopping) { // that it stops is in the log
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

// logBrokenList logs why the rows of a list end too early.
func (s *Server) logBrokenList(c echo.Context, cause error) {
	if isAbandoned(c, cause) {
		s.log.InfoContext(c.Request().Context(), "list broken off, its client is gone", "route", c.Path(), "err", cause)
		return
	}
	if isA[*lapsedError](cause) && outcomeOf(cause) != outcomeFailed {
		s.log.InfoContext(c.Request().Context(), "list broken off, its client is not admitted any more",
			"route", c.Path(), "err", cause)
		return
	}
	s.logError(c, "list broken off", cause)
}

// logError logs an error with its operation and request ID.
func (s *Server) logError(c echo.Context, message string, err error) {
	operation := ""
	if r := requestOf(c); r != nil {
		operation = r.operation.ID
	}
	id := c.Response().Header().Get(echo.HeaderXRequestID)
	s.log.ErrorContext(c.Request().Context(), message,
		"operation", operation, "route", c.Path(), "object", idInPath(c), "request", id, "err", err)
}

// logConflict logs which object has the value that a request wanted for another one.
func (s *Server) logConflict(c echo.Context, conflict *store.ConflictError) {
	s.log.InfoContext(c.Request().Context(), "request refused: conflict",
		"operation", requestOf(c).operation.ID, "object", idInPath(c), "member", conflict.Member,
		conflict.Owner, conflict.ID, "request", c.Response().Header().Get(echo.HeaderXRequestID))
}

// idInPath returns the ID of the object that a request is about, as far as its path has it and it is no secret, as keys
// and nonces are.
func idInPath(c echo.Context) string {
	for i, name := range c.ParamNames() {
		if objectsInPaths[name] != "" {
			return loggedText(pathParam(c, i))
		}
	}
	return ""
}

// objectsInPaths are the kinds of objects that the parameters of paths identify. A parameter that is not listed is
// logged as a fingerprint, because it may be a secret, as keyId of /api is.
var objectsInPaths = map[string]string{
	"orgID": "organisation", "userId": "user", "apiId": "api", "policyId": "policy", "clientId": "oauth_client",
	"certId":  "certificate",
	"groupId": "user_group", "nodeId": "node", "hostname": "host",
	"assetID": "asset", "hookId": "webhook", "pageId": "portal_page", "documentationId": "portal_documentation",
	"developerId": "portal_developer", "requestId": "portal_request",
}

// maxLoggedText is the maximum length of a value from a request, in bytes. IDs have 24 to 36 characters; email
// addresses are rarely longer.
const maxLoggedText = 128

// loggedText returns a value from a request as it is logged.
func loggedText(value string) string {
	return strings.ToValidUTF8(value[:min(len(value), maxLoggedText)], "?")
}

// loggedMethod returns the method of a request for the log. Clients may send any word, of any length.
func loggedMethod(method string) string { return method[:min(len(method), maxLoggedMethod)] }

// maxLoggedMethod is longer than any method that is in use.
const maxLoggedMethod = 20
