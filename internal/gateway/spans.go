package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// routeElements is the number of elements at the start of a path that name the resource, such as tyk/keys. Those that
// follow may be keys.
const routeElements = 2

// startSpan begins the span of a call that belongs to a trace, with the method and the route as its name, and returns
// what ends it with the error of the call.
func (c *Client) startSpan(ctx context.Context, r request) (context.Context, func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(error) {}
	}
	route := "/" + strings.Join(r.path[:min(len(r.path), routeElements)], "/")
	tracer := parent.TracerProvider().Tracer("gatehouse")
	ctx, span := tracer.Start(ctx, r.method+" "+route, //nolint:spancheck // the caller ends it
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(r.method), semconv.ServerAddress(c.base.Hostname())))
	return ctx, func(err error) { //nolint:spancheck // see above
		if err != nil {
			span.SetStatus(codes.Error, "")
		}
		if refused, ok := errors.AsType[*Refused](err); ok {
			span.SetAttributes(semconv.HTTPResponseStatusCode(refused.Status))
		}
		span.End()
	}
}

// sendTrace adds the trace to the headers of a request, so that the gateway's spans belong to it.
func sendTrace(ctx context.Context, header http.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
}
