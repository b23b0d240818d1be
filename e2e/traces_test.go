package e2e_test

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"gatehouse/client"
)

// traceCollector receives spans by OTLP.
type traceCollector struct {
	collector.UnimplementedTraceServiceServer

	mu       sync.Mutex // guards what follows, for the time of a copy
	received []*trace.ResourceSpans
	headers  []string // the value of authorization of each export
}

// startHTTP returns the URL of the collector, by HTTP.
func (c *traceCollector) startHTTP(t *testing.T) string {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		raw, err := io.ReadAll(body)
		var sent collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(raw, &sent) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.add(&sent, r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(web.Close)
	return web.URL
}

// startGRPC returns the URL of the collector, by gRPC.
func (c *traceCollector) startGRPC(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return "http://" + listener.Addr().String()
}

// Export implements collector.TraceServiceServer.
func (c *traceCollector) Export(
	ctx context.Context, sent *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	values, _ := metadata.FromIncomingContext(ctx)
	c.add(sent, strings.Join(values.Get("authorization"), ","))
	return &collector.ExportTraceServiceResponse{}, nil
}

func (c *traceCollector) add(sent *collector.ExportTraceServiceRequest, authorization string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received, c.headers = append(c.received, sent.GetResourceSpans()...), append(c.headers, authorization)
}

// spans returns the spans that were received.
func (c *traceCollector) spans() (all []*trace.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range c.received {
		for _, scope := range resource.GetScopeSpans() {
			all = append(all, scope.GetSpans()...)
		}
	}
	return all
}

// named returns the spans that have a name.
func (c *traceCollector) named(name string) []*trace.Span {
	return slices.DeleteFunc(c.spans(), func(span *trace.Span) bool { return span.GetName() != name })
}

// text returns all that was received.
func (c *traceCollector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var text strings.Builder
	for _, resource := range c.received {
		text.WriteString(resource.String())
	}
	return text.String()
}

// attributes returns the attributes of a span as text.
func attributes(span *trace.Span) map[string]string {
	all := map[string]string{}
	for _, attribute := range span.GetAttributes() {
		value := attribute.GetValue()
		all[attribute.GetKey()] = value.GetStringValue()
		if number, ok := value.GetValue().(*common.AnyValue_IntValue); ok {
			all[attribute.GetKey()] = strconv.FormatInt(number.IntValue, 10)
		}
	}
	return all
}

func TestTraces(t *testing.T) {
	t.Parallel()
	for protocol, start := range map[string]func(*traceCollector, *testing.T) string{
		"http/protobuf": (*traceCollector).startHTTP, "grpc": (*traceCollector).startGRPC,
	} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			testTraces(t, protocol, start)
		})
	}
}

func testTraces(t *testing.T, protocol string, start func(*traceCollector, *testing.T) string) {
	t.Helper()
	received := &traceCollector{}
	s := startServer(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+start(received, t), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20token", "OTEL_SERVICE_NAME=admin-api",
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test", "OTEL_BSP_SCHEDULE_DELAY=100")
	const (
		traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
		parent  = "00f067aa0ba902b7"
		address = "somebody@example.org"
	)
	org := s.newOrganisation()
	traced := s.client(client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Traceparent", "00-"+traceID+"-"+parent+"-01")
		return nil
	}))
	user := ok(traced.CreateUserWithResponse(t.Context(), client.UserRequest{OrgId: &org, EmailAddress: new(address)}))(t)
	again, err := traced.CreateUserWithResponse(t.Context(), client.UserRequest{OrgId: &org, EmailAddress: new(address)})
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, again.StatusCode(), string(again.Body))
	key := "a-key-that-nobody-has"
	s.get("/api/keys/"+key, "Authorization", user.JSON200.Message)
	const last = "getKeyDetail" // the request after those that are looked at
	eventually(t, "all spans are received", func() bool {
		// A span ends after its response.
		return len(received.named(last)) == 1 && len(received.named("createUser")) == 2
	})
	require.Len(t, received.named("INSERT users"), 2)
	request, statement := received.named("createUser")[0], received.named("INSERT users")[0]
	require.Equal(t, traceID, hex.EncodeToString(request.GetTraceId()))
	require.Equal(t, parent, hex.EncodeToString(request.GetParentSpanId()))
	require.Equal(t, request.GetSpanId(), statement.GetParentSpanId())
	require.Equal(t, map[string]string{
		"http.request.method": "POST", "http.route": "/admin/users", "http.response.status_code": "200",
	}, attributes(request))
	require.Contains(t, attributes(statement)["db.query.text"], "INSERT INTO users (")
	require.Equal(t, trace.Status_STATUS_CODE_ERROR, received.named("INSERT users")[1].GetStatus().GetCode())
	require.Equal(t, "23505", attributes(received.named("INSERT users")[1])["db.response.status_code"])
	text := received.text()
	for _, value := range []string{"admin-api", `"deployment.environment.name"`} {
		require.Contains(t, text, value)
	}
	for _, value := range []string{address, org, key, user.JSON200.Message, s.adminSecret()} {
		require.NotContains(t, text, value)
	}
	require.Regexp(t, `msg=request .* route=/admin/users .* trace_id=`+traceID+" span_id=[0-9a-f]{16}\n", s.log.String())
	require.Regexp(t, `msg=audit .* action=createUser .* trace_id=`+traceID+" span_id=[0-9a-f]{16}\n", s.log.String())
	received.mu.Lock()
	defer received.mu.Unlock()
	require.Equal(t, []string{"Bearer token"}, slices.Compact(slices.Clone(received.headers)))
}

// TestTracesAreFlushed: the spans that are left at the stop are sent, and the sampler is that of the environment.
func TestTracesAreFlushed(t *testing.T) {
	t.Parallel()
	for sampler, want := range map[string]int{"": 1, "always_off": 0} {
		t.Run(sampler, func(t *testing.T) {
			t.Parallel()
			received := &traceCollector{}
			s := startServer(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+received.startHTTP(t)+"/v1/traces",
				"OTEL_TRACES_SAMPLER="+sampler, "OTEL_BSP_SCHEDULE_DELAY=3600000")
			s.newOrganisation()
			require.Empty(t, received.spans())
			require.Zero(t, s.stop())
			require.Len(t, received.named("createOrg"), want)
		})
	}
}

// TestCollectorThatDoesNotAnswer: requests are served, and the server stops, as if there were no traces.
func TestCollectorThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // which accepts connections, and never reads
	require.NoError(t, err)
	defer listener.Close()
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			s := startServer(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+listener.Addr().String(),
				"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=8",
				"OTEL_BSP_MAX_EXPORT_BATCH_SIZE=8")
			for range 40 {
				s.newOrganisation()
			}
			begin := time.Now()
			require.Zero(t, s.stop())
			require.Less(t, time.Since(begin), 25*time.Second, "before a supervisor kills it, on a slow machine too")
			require.Contains(t, s.log.String(), `msg="send traces failed, they are dropped"`)
		})
	}
}

// TestSettingsOfTraces: what cannot be used stops the start, without its value, and what turns traces off does.
func TestSettingsOfTraces(t *testing.T) {
	t.Parallel()
	for want, settings := range map[string][]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT is not a URL such as http://collector.example:4318": {"OTEL_EXPORTER_OTLP_ENDPOINT=sesame:4318"},
		`OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/json" is neither http/protobuf nor grpc`: {
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json",
		},
	} {
		printed := failure(t, append(settings, "GATEHOUSE_DATA_DIR="+newDataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0"), "serve")
		require.Contains(t, printed, want)
		require.NotContains(t, printed, "sesame")
	}
	received := &traceCollector{}
	url := "OTEL_EXPORTER_OTLP_ENDPOINT=" + received.startHTTP(t)
	for _, off := range []string{"OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"} {
		s := startServer(t, url, off)
		s.newOrganisation()
		require.NotContains(t, s.log.String(), "trace_id=")
		require.Zero(t, s.stop())
	}
	require.Empty(t, received.spans())
}

// TestTracesOfGatewayCalls: a call of the gateway's control API is a span of the request, without the key in its path,
// and the gateway's own spans belong to it.
func TestTracesOfGatewayCalls(t *testing.T) {
	t.Parallel()
	const key = "a-key-that-nobody-has"
	received, parents := &traceCollector{}, make(chan string, 1)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/tyk/keys/") {
			select {
			case parents <- r.Header.Get("Traceparent"):
			default:
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(gateway.Close)
	s := startServer(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+received.startHTTP(t), "OTEL_BSP_SCHEDULE_DELAY=100",
		"TYK_DB_TYKAPI_HOST="+gateway.URL, "TYK_DB_TYKAPI_SECRET=control")
	org := s.newOrganisation()
	user := ok(s.client().CreateUserWithResponse(t.Context(),
		client.UserRequest{OrgId: &org, EmailAddress: new("somebody@example.org"), Active: new(true)}))(t)
	s.get("/api/keys/"+key, "Authorization", user.JSON200.Message)
	eventually(t, "the spans are received", func() bool { return len(received.named("getKeyDetail")) == 1 })
	calls := received.named("GET /tyk/keys")
	require.Len(t, calls, 1)
	require.Equal(t, received.named("getKeyDetail")[0].GetSpanId(), calls[0].GetParentSpanId())
	require.Equal(t, map[string]string{
		"http.request.method": "GET", "http.response.status_code": "404", "server.address": "127.0.0.1",
	}, attributes(calls[0]))
	require.Equal(t, trace.Status_STATUS_CODE_ERROR, calls[0].GetStatus().GetCode())
	require.Equal(t, "00-"+hex.EncodeToString(calls[0].GetTraceId())+"-"+hex.EncodeToString(calls[0].GetSpanId())+"-01",
		<-parents)
	require.NotContains(t, received.text(), key)
}
