package apiserver

import (
	"cmp"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// headAsGET answers HEAD as GET; net/http omits the body. IsHead reads headKey.
func headAsGET(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.WithContext(context.WithValue(r.Context(), headKey{}, true)) // a copy: net/http still needs r.Method
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// compress compresses responses with zstd or gzip for clients that accept it, if the function allows it. A response to
// HEAD has no body.
func compress(next http.Handler, allowed func(*http.Request) bool) (http.Handler, error) {
	if allowed == nil {
		return next, nil
	}
	wrap, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, err
	}
	compressed := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(echo.HeaderAcceptEncoding) == "" || IsHead(r.Context()) || !allowed(r) {
			next.ServeHTTP(w, r)
			return
		}
		compressed.ServeHTTP(w, r)
	}), nil
}

// unreadBodyTimeout is how long a client may take to send what its handler does not read of a body, such as that of a
// request that is refused.
const unreadBodyTimeout = 5 * time.Second

// maxUnreadBody is how many bytes of a body that its handler does not read are received after the response.
const maxUnreadBody = 64 << 20

// limitUnreadBodies bounds how long a request body holds its connection that its handler does not read to the end. A
// handler that reads it has time-outs of its own (package httpbody).
//
// The response is sent after the next 256 KiB, which net/http discards, and before the rest is received and discarded.
// A client that is still sending when the connection is closed may lose the response.
func limitUnreadBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		// Ignore the errors: not every ResponseWriter supports deadlines and flushing, and the body is discarded.
		_ = control.SetReadDeadline(time.Now().Add(unreadBodyTimeout))
		next.ServeHTTP(w, r)
		_ = control.SetReadDeadline(time.Now().Add(unreadBodyTimeout))
		_ = control.Flush()
		_, _ = io.CopyN(io.Discard, r.Body, maxUnreadBody)
	})
}

// maxRequestID is the maximum length of a request ID of a client: a UUID or a trace ID, but not a page of the log.
const maxRequestID = 128

// logRequest assigns a request ID (the client's, if it has at most maxRequestID characters) and logs one line, unless
// the request is left out of the sample, or not listed. The line has the route instead of the path, which may contain a
// secret.
func (s *Server) logRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start, w, r := time.Now(), c.Response(), c.Request()
		id := r.Header.Get(echo.HeaderXRequestID)
		if id == "" || len(id) > maxRequestID {
			id = rand.Text()
		}
		w.Header().Set(echo.HeaderXRequestID, id)
		failure := s.handle(c, next)
		broken := w.Committed && isA[panicError](failure)
		s.endResponse(c, failure) // now: the status is logged
		end := time.Now()
		duration := end.Sub(start)
		if s.hooks.done != nil {
			s.hooks.done(c, duration)
		}
		var err error
		if s.samples.has(w.Status) && s.isListed(c) && s.log.Enabled(r.Context(), slog.LevelInfo) {
			record := slog.NewRecord(end, slog.LevelInfo, "request", 0)
			record.AddAttrs(slog.String("id", id), slog.String("method", LoggedMethod(r.Method)),
				slog.String("route", c.Path()), slog.Int("status", w.Status), slog.Duration("took", duration),
				slog.Int64("bytes", w.Size), slog.String("from", c.RealIP()))
			err = s.log.Handler().Handle(r.Context(), record)
		}
		base := baseOf(c)
		if broken || base.checkedResponse().brokenOff() && s.tail(base) == "" {
			panic(http.ErrAbortHandler)
		}
		if base != nil {
			base.paced.extend() // net/http sends the end of the body after this
		}
		return err
	}
}

// panicError is a panic of a handler. Its response, if a part of it was sent, is broken off, so that the client does
// not mistake the part for all.
type panicError struct{ cause any }

// Error implements error.
func (e panicError) Error() string { return fmt.Sprintf("panic: %v", e.cause) }

// handle routes a request. It returns a panic as a panicError, except the one that breaks off a list, which net/http
// handles.
func (s *Server) handle(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			baseOf(c).checkedResponse().close()
			panic(cause)
		default:
			err = panicError{cause}
			s.log.ErrorContext(c.Request().Context(), "panic", "route", c.Path(), "err", err, "stack", string(debug.Stack()))
		}
	}()
	if s.hooks.begin != nil {
		if err := s.hooks.begin(c); err != nil {
			return err
		}
	}
	if c.Request().Method == http.MethodOptions { // no contract has it, but Echo would answer it
		return echo.ErrNotFound
	}
	return next(c)
}

// endResponse replies to a request that failed, and in place of a response that is refused because it departs from the
// contract.
func (s *Server) endResponse(c echo.Context, err error) {
	r := baseOf(c)
	response := r.checkedResponse()
	if err != nil && !response.unsent() {
		c.Error(err)
	}
	response.end()
	if response.unsent() {
		c.Response().Writer = response.ResponseWriter // the failure is sent, whatever the contract says of it
		c.Error(ErrDeparture)
	}
	if response.brokenOff() {
		if tail := s.tail(r); tail != "" {
			_, _ = io.WriteString(response.ResponseWriter, tail)
		}
	}
}

// tail returns what ends a response that is broken off, "" if its connection has to be closed.
func (s *Server) tail(r *Request) string {
	if s.hooks.breakOff == nil {
		return ""
	}
	return s.hooks.breakOff(r)
}

// handleError is Echo's error handler. It replies to errors of the middleware, of routing, and to panics; handlers
// return replies instead of errors.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		s.logError(c, "response broken off", err)
		return
	}
	r := baseOf(c)
	if r == nil {
		s.replyUnknown(c, err)
		return
	}
	outcome := s.outcomeOf(err)
	response, ok := r.Operation.Responses[outcome]
	if !ok { // an operation that documents no failure, but failed
		s.replyUnknown(c, err)
		return
	}
	reply := contract.Reply{Outcome: outcome, Response: response, Cause: err}
	switch {
	case response.Form != contract.Object:
	case s.hooks.errorBody != nil:
		reply.Body = s.hooks.errorBody(reply, s.problemsOf(r, reply))
	default: // only the handler can fill in the object
		reply.Response.Form, reply.Response.Message = contract.Envelope, http.StatusText(response.Status)
	}
	if err := s.Send(c, reply); err != nil && s.isListed(c) {
		s.log.Info("response not delivered", "route", c.Path(), "err", err)
	}
}

// replyUnknown replies to a request that matches no operation, and where an operation declares no reply. An unknown
// method is 404, too.
func (s *Server) replyUnknown(c echo.Context, err error) {
	status, outcome := http.StatusNotFound, contract.Outcome("")
	if known, ok := errors.AsType[*echo.HTTPError](err); !ok || known.Code >= http.StatusInternalServerError {
		s.logError(c, "request failed", err)
		status, outcome = http.StatusInternalServerError, OutcomeFailed
	}
	c.Response().Header().Del(echo.HeaderAllow) // Echo sets it with its 405
	var body any = envelope{Status: StatusError, Message: http.StatusText(status)}
	if s.hooks.errorBody != nil {
		response := contract.Response{Status: status, Form: contract.Object, Message: http.StatusText(status)}
		body = cmp.Or(s.hooks.errorBody(contract.Reply{Outcome: outcome, Response: response, Cause: err}, nil), body)
	}
	err = writeJSON(c, status, body)
	if err != nil && s.isListed(c) {
		s.log.Info("response not delivered", "route", c.Path(), "err", err)
	}
}
