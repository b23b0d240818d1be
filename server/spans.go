package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"gatehouse/apiserver"
)

// trace makes a span of each request, in the trace of its client if the request names one (traceparent).
func (s *Server) trace(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		method := apiserver.LoggedMethod(r.Method)
		ctx, span := s.tracer.Start(ctx, method, //nolint:spancheck // endSpan ends it
			trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(semconv.HTTPRequestMethodKey.String(method)))
		defer endSpan(c, span)
		c.SetRequest(r.WithContext(ctx))
		return next(c) //nolint:spancheck // endSpan ends it
	}
}

// endSpan ends the span of a request, which gets the ID of the operation as its name. It has the route instead of the
// path, which may contain a secret.
func endSpan(c echo.Context, span trace.Span) {
	status := c.Response().Status
	span.SetAttributes(semconv.HTTPRoute(c.Path()), semconv.HTTPResponseStatusCode(status))
	if r := requestOf(c); r != nil {
		span.SetName(r.Operation.ID)
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
