package server

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/internal/connlimit"
)

// headAsGET answers HEAD as GET; net/http omits the body. request.isHead reads headKey.
func headAsGET(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.WithContext(context.WithValue(r.Context(), headKey{}, true)) // a copy: net/http still needs r.Method
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// compress compresses responses with zstd or gzip for clients that accept it, with three exceptions. Lists of gateways
// are sent as fast as the database returns them, over a short distance, and Go's HTTP client accepts gzip without being
// asked to. A response to HEAD has no body. And the files of package docspage are compressed already: everybody may
// request them, however often.
func compress(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, err
	}
	compressed := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if r.Header.Get(echo.HeaderAcceptEncoding) == "" || r.Context().Value(headKey{}) != nil ||
			strings.HasPrefix(path, "/system/") || strings.HasPrefix(path, "/docs") || strings.HasPrefix(path, "/openapi") {
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

// logRequest assigns a request ID (the client's, if it has at most maxRequestID characters), records metrics and logs
// one line, unless the request is left out of the sample, or summed up with others of the client. The line has the
// route instead of the path, which may contain a secret.
func (s *Server) logRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start, w := time.Now(), c.Response()
		if span := s.startSpan(c); span != nil {
			defer endSpan(c, span)
		}
		r := c.Request()
		id := r.Header.Get(echo.HeaderXRequestID)
		if id == "" || len(id) > maxRequestID {
			id = rand.Text()
		}
		w.Header().Set(echo.HeaderXRequestID, id)
		if s.stopping.Load() {
			w.Header().Set(echo.HeaderConnection, "close") // in HTTP/2, net/http sends GOAWAY
		}
		endResponse(c, s.handle(c, next)) // now: the status is logged
		end := time.Now()
		duration := end.Sub(start)
		s.metrics.observe(c, duration)
		var err error
		if s.samples.has(w.Status) && s.isListed(c) && s.log.Enabled(r.Context(), slog.LevelInfo) {
			record := slog.NewRecord(end, slog.LevelInfo, "request", 0)
			record.AddAttrs(slog.String("id", id), slog.String("method", loggedMethod(r.Method)),
				slog.String("route", c.Path()), slog.Int("status", w.Status), slog.Duration("took", duration),
				slog.Int64("bytes", w.Size), slog.String("from", c.RealIP()))
			err = s.log.Handler().Handle(r.Context(), record)
		}
		if requestOf(c).breaksOff() {
			panic(http.ErrAbortHandler)
		}
		return err
	}
}

// handle routes a request. It returns a panic as an error, except the one that breaks off a list, which net/http
// handles.
func (s *Server) handle(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			requestOf(c).checkedResponse().close()
			panic(cause)
		default:
			err = fmt.Errorf("panic: %v", cause)
			s.log.ErrorContext(c.Request().Context(), "panic", "route", c.Path(), "err", err, "stack", string(debug.Stack()))
		}
	}()
	if c.Request().Method == http.MethodOptions { // no contract has it, but Echo would answer it
		return echo.ErrNotFound
	}
	if s.isElsewhere(c.Request()) { // here, because a middleware of its own would be an allocation for each request
		return echo.ErrNotFound
	}
	return next(c)
}

// diagnosticsKey is the key, in the context of a request, of a value that requests of Diagnostics have.
type diagnosticsKey struct{}

// isElsewhere reports whether a request asks for metrics or profiles, which only requests of Diagnostics find, or for
// something else, which those do not find, if they are separate.
func (s *Server) isElsewhere(r *http.Request) bool {
	if s.diagnosticPaths == nil {
		return false
	}
	isDiagnostic := r.Context().Value(diagnosticsKey{}) != nil
	return s.diagnosticPaths[r.URL.Path] != isDiagnostic
}

// endResponse replies to a request that failed, and in place of a response that is refused because it departs from the
// contract.
func endResponse(c echo.Context, err error) {
	response := requestOf(c).checkedResponse()
	if err != nil && !response.unsent() {
		c.Error(err)
	}
	response.end()
	if response.unsent() {
		c.Response().Writer = response.ResponseWriter // the failure is sent, whatever the contract says of it
		c.Error(errDeparture)
	}
	if response.brokenOff() && response.operation.Scheme == nodeScheme {
		_, _ = response.ResponseWriter.Write([]byte(brokenTail)) // as a list that the database did not complete
	}
}

// breaksOff reports whether the connection has to be closed, so that the client does not mistake a part of a response
// for all of it. Gateways must not see that (brokenTail).
func (r *request) breaksOff() bool {
	return r.checkedResponse().brokenOff() && r.operation.Scheme != nodeScheme
}

// checkedResponse returns nil if the response is not checked, or the request matches no operation.
func (r *request) checkedResponse() *checkedResponse {
	if r == nil {
		return nil
	}
	return r.response
}

// admit authenticates and authorises a request before its body is read, and validates it before its handler runs.
func (s *Server) admit(op *contract.Operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := &request{admitter: s, echo: c, ctx: c.Request().Context(), operation: op, objectKind: s.kindStored[op.ID]}
			c.Set(requestKey, r)
			r.response = s.responses.check(op, c.Response())
			if err := s.admitCaller(r); err != nil {
				return err
			}
			r.setParty()
			if op.Scheme != "" {
				connlimit.Keep(c.Request().Context())
			}
			defer r.releaseBody()
			if err := s.readAndValidate(c, r); err != nil {
				return err
			}
			if err := r.admitAgain(); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// admitCaller authenticates and authorises a request.
func (s *Server) admitCaller(r *request) error {
	r.admitted = time.Now()
	if err := s.authenticate(r.echo, r); err != nil {
		return err
	}
	return authorise(r.caller, r.operation.Permission, userInPath(r.echo))
}

// userInPath returns the ID of the user whom a path names, "" if it names none.
func userInPath(c echo.Context) string {
	if i := slices.Index(c.ParamNames(), "userId"); i >= 0 {
		return pathParam(c, i)
	}
	return ""
}

// readAndValidate reads the body, unless it is an import, whose documents are validated while they are read.
func (s *Server) readAndValidate(c echo.Context, r *request) (err error) {
	if rules := r.operation.Body; rules != nil && rules.List == "" {
		check := func(body []byte) error { return validate(c, r.operation, body) }
		r.body, err = s.bodies.read(c, rules, check)
		if rules.Optional && isEmptyBody(err) {
			r.body = body{json: json.RawMessage(`{}`)}
			err = check(r.body.json)
		}
		return err
	}
	if r.operation.Plain() && c.Request().URL.RawQuery == "" {
		return nil
	}
	return validate(c, r.operation, nil)
}
