package apiserver

import (
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// admissionTime is how long a request is admitted for while its client sends the body or reads the response, and while
// it waits for others.
const admissionTime = time.Second

// admission authenticates and authorises requests, by the functions of Config.
type admission struct {
	schemes   map[string]func(*Request) error
	authorise func(*Request, *contract.Permission) error // nil: no operation requires a permission
}

// admit authenticates and authorises a request.
func (a *admission) admit(r *Request) error {
	r.admitted = time.Now()
	if r.scheme = r.Operation.SchemeOf(r.Echo.Request()); r.scheme != "" {
		if err := a.schemes[r.scheme](r); err != nil {
			return err
		}
	}
	if r.Operation.Permission == nil {
		return nil
	}
	return a.authorise(r, r.Operation.Permission)
}

// AdmitAgain authenticates and authorises a request once more if that was done more than a second ago: the client may
// have lost its credential or its permission meanwhile. This package calls it when the body was received, and before
// each row of a list; handlers call it after they have waited. A reply Failed with its error is sent as the reply to a
// request that was not admitted.
func (r *Request) AdmitAgain() error {
	if time.Since(r.admitted) < admissionTime {
		return nil
	}
	if err := r.server.admission.admit(r); err != nil {
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

// admitRequests authenticates and authorises a request before its body is read, and validates it before its handler
// runs.
func (s *Server) admitRequests(op *contract.Operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := s.hooks.newRequest()
			r.Echo, r.ctx, r.Operation, r.server = c, c.Request().Context(), op, s
			c.Set(requestKey, r)
			r.response = s.responses.check(op, c.Response())
			if err := s.admission.admit(r); err != nil {
				return err
			}
			if s.hooks.admitted != nil {
				r.ctx = s.hooks.admitted(r.ctx, r)
			}
			defer r.releaseBody()
			if err := r.readAndValidate(); err != nil {
				return err
			}
			if err := r.AdmitAgain(); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// readAndValidate reads the body, unless the handler reads it, because its elements are validated one by one (x-each).
func (r *Request) readAndValidate() (err error) {
	if rules := r.Operation.Body; rules != nil && rules.List == "" {
		r.Body, r.memory, err = r.server.bodies.read(r.Context(), r.Echo, rules, r.validate)
		if rules.Optional && OutcomeOf(err) == OutcomeEmptyBody {
			r.Body = Body{JSON: []byte(`{}`)}
			err = r.validate(r.Body.JSON)
		}
		return err
	}
	if r.Operation.Plain() && r.Echo.Request().URL.RawQuery == "" {
		return nil
	}
	return r.validate(nil)
}

// validate validates the parameters of a request, and its body unless that is nil.
func (r *Request) validate(body []byte) error {
	c := r.Echo
	checked := contract.Request{HTTP: c.Request(), PathParams: map[string]string{}, Query: c.QueryParams(), Body: body}
	for i, name := range c.ParamNames() {
		checked.PathParams[name] = PathParam(c, i)
	}
	return r.Operation.Validate(checked)
}

// ValidateBody validates a body that its handler has read (x-each), with an empty list in place of the elements.
func (r *Request) ValidateBody(body []byte) error { return r.validate(body) }

// MaxBody returns the maximum size in bytes of the body of the request's operation, which must have one.
func (r *Request) MaxBody() int64 { return maxBytesOf(r.Operation.Body) }
