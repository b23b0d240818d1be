package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// spans makes a span of each statement that belongs to a trace. It has the name and the text of the statement, which
// has no values. Of an error it has the SQLSTATE: its message may have values.
type spans struct{ tracer trace.Tracer }

// start begins a span, unless the call belongs to no trace: what a server does between requests has none.
func (s spans) start(ctx context.Context, sql string) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	ctx, span := s.tracer.Start(ctx, nameOf(sql), //nolint:spancheck // end ends it
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			semconv.DBSystemNamePostgreSQL, semconv.DBQueryText(textOf(sql))))
	return context.WithValue(ctx, spanKey{}, span) //nolint:spancheck // end ends it
}

// spanKey is the key of the span of a statement in its context, which is not that of its caller.
type spanKey struct{}

// end ends the span of a statement.
func (spans) end(ctx context.Context, err error) {
	span, ok := ctx.Value(spanKey{}).(trace.Span)
	if !ok {
		return
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		span.SetStatus(codes.Error, "")
		if state := sqlState(err); state != "" {
			span.SetAttributes(semconv.DBResponseStatusCode(state))
		}
	}
	span.End()
}

// TraceQueryStart implements pgx.QueryTracer.
func (s spans) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return s.start(ctx, data.SQL)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (s spans) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	s.end(ctx, data.Err)
}

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (s spans) TraceCopyFromStart(
	ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromStartData,
) context.Context {
	return s.start(ctx, copyText(data))
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (s spans) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromEndData) {
	s.end(ctx, data.Err)
}
