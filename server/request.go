package server

import (
	"context"
	"errors"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/internal/connlimit"
	"gatehouse/store"
)

// request is a request of an operation, with what the server has found out about it. It is what handlers get: they
// return a reply, and have nothing to write a response with.
type request struct {
	apiserver.Request

	caller caller
	secret secretNumber // of the secret that the request has, 0 if the operation requires none
	// operator reports whether the request has the session of an operator.
	operator bool
	// session is that of the request, nil without one.
	session *store.Session
	audited bool // whether the audit log has a line of it
	// made is the ID of the document that the handler has stored, if its path does not identify it.
	made string
	// renamed is the new ID of the object that the path identifies, "" if it keeps its own.
	renamed string
	// base is the API that gets a new version, and deleted the APIs that were deleted with versions, for the audit log.
	base    string
	deleted []string
	// databaseTimes sums up how long the request uses the database.
	databaseTimes store.Times
}

// requestOf returns nil for a request that matches no operation.
func requestOf(c echo.Context) *request { return apiserver.RequestOf[*request](c) }

// Context returns the context of the request, which ends when the client is gone.
func (r *request) Context() context.Context { return (*requestContext)(r) }

// requestContext is the context of a request. Its value for store.TimesKey is what gets the times of its statements.
type requestContext request

// Deadline implements context.Context.
func (c *requestContext) Deadline() (deadline time.Time, ok bool) {
	return c.Request.Context().Deadline()
}

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} { return c.Request.Context().Done() }

// Err implements context.Context.
func (c *requestContext) Err() error { return c.Request.Context().Err() }

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	if _, ok := key.(store.TimesKey); ok {
		return &c.databaseTimes
	}
	return c.Request.Context().Value(key)
}

// admitted has the connection of an authenticated client kept, and the request wait, where requests wait for one
// another, in turn with those of other organisations, and use its organisation's part of the connections to the
// database. Super users, and clients that know a secret, are parties of their own, and have all connections.
func admitted(ctx context.Context, r *request) context.Context {
	scheme := r.Scheme()
	if scheme != "" {
		connlimit.Keep(ctx)
	}
	switch user := r.caller.user; {
	case scheme == adminScheme, scheme == operatorScheme:
		return ctx // the party of requests without one
	case scheme == "":
		return apiserver.WithParty(ctx, "unauthenticated")
	case user == nil:
		return apiserver.WithParty(ctx, scheme)
	case user.OrgID == "":
		return apiserver.WithParty(ctx, user.ID)
	default:
		return apiserver.WithParty(store.WithOrganisation(ctx, user.OrgID), user.OrgID)
	}
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

// valueOf returns what p points to, or the zero value.
func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
