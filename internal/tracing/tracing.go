// Package tracing sends OpenTelemetry traces to a collector. The standard variables configure it: it is on if
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and otherwise there is nothing to send, and
// nothing that takes time.
//
// The spans themselves are made by the packages server and store. otelhttp and otelpgx would make them, but a path may
// be the key of an API and an error of Postgres may have a value, and both packages put these into spans.
package tracing

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

const (
	// flushTimeout bounds how long the last spans are sent when the program stops. It is well below the time that the
	// private Postgres may need to stop, during which they are sent.
	flushTimeout = 3 * time.Second
	// failureInterval is the minimum time between two lines of the log about a collector that does not answer.
	failureInterval = time.Minute
)

// name is the default name of the service, and that of what makes the spans.
const name = "gatehouse"

// The protocols that a collector may be sent spans by.
const (
	protocolHTTP = "http/protobuf"
	protocolGRPC = "grpc"
)

// Traces sends spans. Its methods may be called on nil, if there are no traces.
type Traces struct {
	provider *sdktrace.TracerProvider
	flushing sync.WaitGroup
	begin    sync.Once
}

// Start returns nil if the environment names no collector, or turns traces off. It connects to nothing yet: spans are
// sent in the background, and dropped while the collector does not take them. The log gets failures to send them, at
// most one a minute. Start returns an error for a setting that it cannot use.
func Start(ctx context.Context, version string, log *slog.Logger) (*Traces, error) {
	if !isOn() {
		return nil, nil //nolint:nilnil // no traces are no error
	}
	if err := checkEndpoints(); err != nil {
		return nil, err
	}
	limited := rate.Sometimes{Interval: failureInterval}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		limited.Do(func() { log.Warn("send traces failed, they are dropped", "err", err) })
	}))
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	exporter, err := newExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(name), semconv.ServiceVersion(version)),
		resource.WithFromEnv()) // last: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The provider reads OTEL_TRACES_SAMPLER, OTEL_BSP_… and OTEL_SPAN_….
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return &Traces{provider: provider}, nil
}

// variable returns the variable of traces, or else that of all signals, and its value.
func variable(suffix string) (name, value string) {
	own, all := "OTEL_EXPORTER_OTLP_TRACES_"+suffix, "OTEL_EXPORTER_OTLP_"+suffix
	if value = os.Getenv(own); value != "" {
		return own, value
	}
	return all, os.Getenv(all)
}

func isOn() bool {
	_, endpoint := variable("ENDPOINT")
	disabled := strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")
	return endpoint != "" && !disabled && os.Getenv("OTEL_TRACES_EXPORTER") != "none"
}

// checkEndpoints returns an error for an endpoint in place of which the exporter would use its default. The error does
// not have the value, which may contain a password.
func checkEndpoints() error {
	name, endpoint := variable("ENDPOINT")
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return fmt.Errorf("%s is not a URL such as http://collector.example:4318", name)
	}
	return nil
}

func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	switch name, protocol := variable("PROTOCOL"); cmp.Or(protocol, protocolHTTP) {
	case protocolHTTP:
		return otlptracehttp.New(ctx)
	case protocolGRPC:
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("%s: %q is neither %s nor %s", name, protocol, protocolHTTP, protocolGRPC)
	}
}

// Tracer returns what makes spans; nil if there are no traces.
//
//nolint:ireturn // it is what the API of OpenTelemetry has
func (t *Traces) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer(name)
}

// BeginFlush begins to send the spans that are left, for at most flushTimeout, also if ctx has ended. Spans that are
// made later are dropped.
func (t *Traces) BeginFlush(ctx context.Context) {
	if t == nil {
		return
	}
	t.begin.Do(func() {
		t.flushing.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer cancel()
			if err := t.provider.Shutdown(ctx); err != nil {
				otel.Handle(fmt.Errorf("at the stop: %w", err))
			}
		})
	})
}

// Close waits until the spans that are left are sent, or flushTimeout is over.
func (t *Traces) Close(ctx context.Context) {
	if t == nil {
		return
	}
	t.BeginFlush(ctx)
	t.flushing.Wait()
}

// WithIDs returns a log whose lines about a request have the IDs of its trace and span.
func (t *Traces) WithIDs(log *slog.Logger) *slog.Logger {
	if t == nil || log == nil {
		return log
	}
	return slog.New(withIDs{log.Handler()})
}

// withIDs is a handler that adds the IDs of the span in a record's context.
type withIDs struct{ slog.Handler }

// Handle implements slog.Handler.
func (h withIDs) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record = record.Clone()
		record.AddAttrs(
			slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h withIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withIDs{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h withIDs) WithGroup(name string) slog.Handler { return withIDs{h.Handler.WithGroup(name)} }
