package apiserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// Config is what New needs. P is the application's request, such as *request. Contract, Routes, Limits and Log are
// required.
type Config[P AnyRequest] struct {
	// Contract was loaded with the rules that Rules returns.
	Contract *contract.Contract
	// Routes registers the routes of the contract.
	Routes func(*Routes)
	// Schemes authenticate a request, by the security scheme of its operation, before its body is read. Each returns an
	// error that is ErrUnauthorised for a request without a valid credential. It stores in the request who has sent it. It
	// is called again if the request takes long (Request.AdmitAgain).
	Schemes map[string]func(P) error
	// Authorise returns an error that is ErrAccessDenied if the authenticated caller lacks the permission that the
	// operation requires (x-permission). It may be nil if no operation requires one.
	Authorise func(P, *contract.Permission) error
	// Outcome returns the outcome of an error that ends a request before its handler, "" for that of OutcomeOf. It may be
	// nil.
	Outcome func(error) contract.Outcome
	// Problems returns what is wrong with a request whose reply is an error, for the client. It is called for errors that
	// have no method Problems, and may be nil.
	Problems func(P, contract.Reply) []contract.Problem
	// ErrorBody returns the body of an error that ends a request before its handler, where the contract declares an object
	// of its own for the outcome. problems are what is wrong with the request, if that is known. It is called for errors
	// that no contract declares, too: a path that is none, whose outcome is "", and the failure of an operation that
	// declares no failure. nil sends an envelope.
	ErrorBody func(reply contract.Reply, problems []contract.Problem) any
	// Conversions convert bodies of other media types, which the contract declares besides JSON.
	Conversions map[string]Conversion
	Limits      Limits
	// CheckResponses says whether responses are checked against the contract; "" is ResponsesUnchecked.
	CheckResponses ResponseCheck
	// BasePath is a path, such as /v2, below which every path is served, too. "" is none.
	BasePath string
	// Compress reports whether the response to a request may be compressed, for a client that accepts it. nil compresses
	// none.
	Compress func(*http.Request) bool

	Log *slog.Logger
	// UnloggedRequests is the share of requests that have no line in the log, of those with a status below 500. 0 is none.
	UnloggedRequests float64
	// PublicParams are the path parameters that are no secrets. The log line about a failure has the first of them as
	// "object".
	PublicParams []string

	Hooks Hooks[P]
}

// Hooks observe and complete what the server does with a request. All may be nil.
type Hooks[P AnyRequest] struct {
	// Begin is called before the request is routed. Its error is the reply, such as echo.ErrNotFound.
	Begin func(echo.Context) error
	// Admitted is called once, when the request was authenticated and authorised. It returns the context of the request,
	// which may be ctx or derived from it, as by WithParty.
	Admitted func(context.Context, P) context.Context
	// Reply is called before a reply of an operation is sent, such as to write an audit log.
	Reply func(P, contract.Reply)
	// Departed is called for a response that departs from the contract.
	Departed func(op *contract.Operation, status int)
	// BreakOff ends a response of which a part was sent when it was found to depart from the contract, and is refused. It
	// returns what is sent at the end. "" closes the connection, so that the client does not mistake the part for all.
	BreakOff func(P) string
	// Listed reports whether the log has lines about the request of a client: false for one that causes too many.
	Listed func(echo.Context) bool
	// Done is called when the response was sent, before the request is logged.
	Done func(c echo.Context, took time.Duration)
}

// check returns an error that names all required fields that are missing.
func (cfg *Config[P]) check() error {
	var missing []error
	for _, field := range []struct {
		name string
		ok   bool
	}{
		{"Contract", cfg.Contract != nil},
		{"Routes", cfg.Routes != nil},
		{"Log", cfg.Log != nil},
		{"Limits", cfg.Limits.valid()},
		{"CheckResponses", cfg.CheckResponses.valid()},
		{"UnloggedRequests", cfg.UnloggedRequests >= 0 && cfg.UnloggedRequests <= 1},
	} {
		if !field.ok {
			missing = append(missing, errors.New("apiserver: no valid Config."+field.name))
		}
	}
	return errors.Join(missing...)
}

// typed returns the application's request. New has made it, so that it is a P.
func typed[P AnyRequest](r *Request) P { return r.outer.(P) } //nolint:forcetypeassert // see above

// hooksOf returns the hooks of a configuration.
func hooksOf[R any, P interface {
	*R
	AnyRequest
}](cfg Config[P]) hooks {
	h := hooks{
		outcome: cfg.Outcome, errorBody: cfg.ErrorBody,
		begin: cfg.Hooks.Begin, listed: cfg.Hooks.Listed, done: cfg.Hooks.Done,
	}
	h.newRequest = func() *Request {
		outer := P(new(R))
		r := outer.base()
		r.outer = outer
		return r
	}
	if f := cfg.Problems; f != nil {
		h.problems = func(r *Request, reply contract.Reply) []contract.Problem { return f(typed[P](r), reply) }
	}
	if f := cfg.Hooks.Admitted; f != nil {
		h.admitted = func(ctx context.Context, r *Request) context.Context { return f(ctx, typed[P](r)) }
	}
	if f := cfg.Hooks.Reply; f != nil {
		h.reply = func(r *Request, reply contract.Reply) { f(typed[P](r), reply) }
	}
	if f := cfg.Hooks.BreakOff; f != nil {
		h.breakOff = func(r *Request) string { return f(typed[P](r)) }
	}
	return h
}

// admissionOf returns the functions of a configuration that admit requests.
func admissionOf[P AnyRequest](cfg Config[P]) admission {
	a := admission{schemes: map[string]func(*Request) error{}}
	for name, authenticate := range cfg.Schemes {
		a.schemes[name] = func(r *Request) error { return authenticate(typed[P](r)) }
	}
	if authorise := cfg.Authorise; authorise != nil {
		a.authorise = func(r *Request, permission *contract.Permission) error {
			return authorise(typed[P](r), permission)
		}
	}
	return a
}
