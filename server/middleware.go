package server

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// headKey is the key, in the context of a request, of whether it is a HEAD request.
type headKey struct{}

// headAsGET answers HEAD as GET; net/http omits the body. Handlers recognise HEAD by headKey.
func headAsGET(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.WithContext(context.WithValue(r.Context(), headKey{}, true)) // a copy: net/http still needs r.Method
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

func isHead(c echo.Context) bool { return c.Request().Context().Value(headKey{}) != nil }

// compress compresses responses with zstd or gzip for clients that accept it, except for gateways: their lists are sent
// as fast as the database returns them, over a short distance, and Go's HTTP client accepts gzip without being asked
// to.
func compress(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, err
	}
	compressed := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(echo.HeaderAcceptEncoding) == "" || strings.HasPrefix(r.URL.Path, "/system/") {
			next.ServeHTTP(w, r)
			return
		}
		compressed.ServeHTTP(w, r)
	}), nil
}

// maxRequestID is the maximum length of a request ID of a client: a UUID or a trace ID, but not a page of the log.
const maxRequestID = 128

// logRequest assigns a request ID (the client's, if valid), records metrics and logs one line. The line has the route
// instead of the path, which may contain a secret.
func (s *Server) logRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start, r, w := time.Now(), c.Request(), c.Response()
		id := r.Header.Get(echo.HeaderXRequestID)
		if id == "" || len(id) > maxRequestID {
			id = rand.Text()
		}
		w.Header().Set(echo.HeaderXRequestID, id)
		if err := s.handle(c, next); err != nil {
			c.Error(err) // now: the status is logged
		}
		record := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
		duration := record.Time.Sub(start)
		s.metrics.observe(c, duration)
		record.AddAttrs(slog.String("id", id), slog.String("method", r.Method), slog.String("route", c.Path()),
			slog.Int("status", w.Status), slog.Duration("took", duration), slog.Int64("bytes", w.Size),
			slog.String("from", c.RealIP()))
		return s.log.Handler().Handle(r.Context(), record)
	}
}

// handle routes a request. It returns a panic as an error, except the one that breaks off a list, which net/http
// handles.
func (s *Server) handle(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			panic(cause)
		default:
			err = fmt.Errorf("panic: %v", cause)
			s.log.Error("panic", "route", c.Path(), "err", err, "stack", string(debug.Stack()))
		}
	}()
	r := c.Request()
	if r.Method == http.MethodOptions { // no contract has it, but Echo would answer it
		return echo.ErrNotFound
	}
	r.URL = withoutSlash(r.URL)
	return next(c)
}

// withoutSlash removes a trailing slash: both paths are answered, without a redirect, after which curl would repeat a
// POST as GET.
func withoutSlash(u *url.URL) *url.URL {
	if len(u.Path) < 2 || !strings.HasSuffix(u.Path, "/") {
		return u
	}
	trimmed := *u
	trimmed.Path, trimmed.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return &trimmed
}

// admit authenticates and authorises a request before its body is read, and validates it before its handler runs.
func (s *Server) admit(op *contract.Operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := &request{operation: op}
			c.Set(requestKey, r)
			if err := s.authenticate(c, r); err != nil {
				return err
			}
			if err := authorise(r.caller, op.Permission, c.Param("userId")); err != nil {
				return err
			}
			if err := s.readAndValidate(c, r); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// readAndValidate reads the body, unless it is an import, whose documents are validated while they are read.
func (s *Server) readAndValidate(c echo.Context, r *request) error {
	if rules := r.operation.Body; rules != nil && rules.List == "" {
		var err error
		if r.body, err = readBody(c, rules, s.limits.BodyTimeout); err != nil {
			return err
		}
	}
	if r.operation.Plain() && c.Request().URL.RawQuery == "" {
		return nil
	}
	return validate(c, r.operation, r.body.json)
}
