package conformance_test

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"gatehouse/conformance"
	"gatehouse/contract"
)

// proxied is a proxy in front of a server.
type proxied struct {
	t     *testing.T
	proxy *conformance.Proxy
	url   string

	log      lockedBuffer // of the server that the proxy is in
	mu       sync.Mutex   // guards departed, for the time of one append
	departed []*conformance.Result
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// proxyLimit is how much of a body the proxies of tests validate.
const proxyLimit = 64 << 10

// startProxy starts a proxy in front of a server, or of what is at another address.
func startProxy(t *testing.T, upstream http.Handler, address ...string) *proxied {
	t.Helper()
	spec, contracts := readFerries(t)
	return startProxyOf(t, upstream, documents{spec, contracts}, address...)
}

// documents are a contract in the forms that a proxy needs.
type documents struct {
	spec      *conformance.Spec
	contracts []*contract.Contract
}

// startProxyOf is startProxy for another contract.
func startProxyOf(t *testing.T, upstream http.Handler, of documents, address ...string) *proxied {
	t.Helper()
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	at, err := url.Parse(cmp.Or(strings.Join(address, ""), server.URL))
	require.NoError(t, err)
	p := &proxied{t: t}
	p.proxy = conformance.NewProxy(conformance.ProxyConfig{
		Spec: of.spec, Contracts: of.contracts, Upstream: at, MaxBody: proxyLimit, Now: time.Now,
		Log: slog.New(slog.DiscardHandler),
		Departed: func(result *conformance.Result) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.departed = append(p.departed, result)
		},
	})
	front := httptest.NewUnstartedServer(p.proxy)
	front.Config.ErrorLog = log.New(&p.log, "", 0)
	front.Start()
	t.Cleanup(front.Close)
	p.url = front.URL
	return p
}

// departures waits until the proxy has recorded the requests, and returns the departures as text.
func (p *proxied) departures(want int) (texts []string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return len(p.proxy.Report().Failures()) >= want }, time.Minute, time.Millisecond)
	for _, result := range p.proxy.Report().Failures() {
		parts := []string{result.Scenario.Operation.ID, result.Scenario.Outcome.Outcome + ":"}
		for _, d := range result.Differences {
			parts = append(parts, d.String())
		}
		texts = append(texts, strings.Join(parts, " "))
	}
	return texts
}

// respond returns a handler that sends a response.
func respond(status int, mediaType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if mediaType != "" {
			w.Header().Set("Content-Type", mediaType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestProxyFindsDepartures(t *testing.T) {
	t.Parallel()
	const ferry = `{"name":"Marina","berths":12}`
	post, get := "POST /ferries", "GET /v2/ferries?tide=low"
	for name, c := range map[string]struct {
		upstream   http.HandlerFunc
		line, body string
		want       []string
	}{
		"what is documented":                        {respond(201, "application/json", ferry), post, ferry, nil},
		"a list":                                    {respond(200, "application/json", "["+ferry+"]"), get, "", nil},
		"no content":                                {respond(204, "", ""), "DELETE /v2/ferries/Marina", "", nil},
		"a default response":                        {respond(503, "", ""), "DELETE /v2/ferries/Marina", "", nil},
		"an invalid request that is refused":        {respond(400, "application/json", `{"error":"broken"}`), post, `{}`, nil},
		"a status that is not documented":           {respond(202, "application/json", ferry), post, ferry, []string{"addFerry 202: response: status 202 is not declared"}},
		"a member of another type":                  {respond(201, "application/json", `{"name":"Marina","berths":"12"}`), post, ferry, []string{"addFerry ok: /berths: response: value must be an integer"}},
		"a member that is missing, in each element": {respond(200, "application/json", `[{"berths":2},{"berths":2}]`), get, "", []string{`GET /ferries 200: /0: response: property "name" is missing`}},
		"another media type":                        {respond(201, "text/html", "<p>"), post, ferry, []string{"addFerry ok: response: content type text/html is not declared"}},
		"a body where none is documented":           {respond(404, "application/json", "{}"), "DELETE /v2/ferries/Marina", "", []string{"DELETE /ferries/{name} 404: response: has a body, but no content is declared"}},
		"JSON that ends early":                      {respond(201, "application/json", `{"name":`), post, ferry, []string{"addFerry ok: response: is not one JSON value"}},
		"an invalid request that is accepted":       {respond(201, "application/json", ferry), post, `{"name":"s"}`, []string{"addFerry ok: /name: request: minimum string length is 3"}},
		"a parameter that is missing":               {respond(200, "application/json", "[]"), "GET /ferries", "", []string{"GET /ferries 200: request: a required parameter is missing"}},
		"an operation that the contract lacks":      {respond(200, "application/json", "{}"), "PATCH /boats/5", "", []string{"PATCH /boats/… : no operation of the contract has this method and path"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, c.upstream)
			method, path, _ := strings.Cut(c.line, " ")
			for range 3 { // a departure is reported once
				ask(t, p.url, method, path, strings.NewReader(c.body))
			}
			require.Equal(t, c.want, p.departures(len(c.want)))
			require.Len(t, p.departed, len(c.want))
			require.Equal(t, c.want == nil, p.proxy.Report().Held())
		})
	}
}

// withMessages is a contract whose responses have messages.
const withMessages = `
openapi: 3.0.3
info: {title: Berths, version: '1'}
paths:
  /berths:
    get:
      operationId: getBerths
      responses:
        '200':
          description: d
          content:
            application/json:
              schema: {type: object}
              examples: {ok: {value: {Message: Berths, n: 1}}, free: {value: {n: 2}}}
        '404':
          description: d
          content:
            application/json:
              schema: {type: object, properties: {Message: {type: string}}}
              examples:
                none: {value: {Message: No berth, Meta: null}}
                no_ship: {x-varies: Marina, value: {Message: 'No ship (Marina)', Meta: null}}
        '409':
          description: d
          content: {application/json: {schema: {type: object}, examples: {busy: {value: {Message: Busy}}}}}
`

// TestProxyComparesMessages: a message is that of a named example of the status, but for the part that varies.
func TestProxyComparesMessages(t *testing.T) {
	t.Parallel()
	const departs = "/Message: response: no example of this status has this message"
	path := filepath.Join(t.TempDir(), "berths.yaml")
	require.NoError(t, os.WriteFile(path, []byte(withMessages), 0o600))
	for name, c := range map[string]struct {
		status   int
		response string
		want     []string
		driven   string
	}{
		"a fixed message":                        {409, `{"Message":"Busy"}`, nil, "getBerths/busy"},
		"one of several":                         {404, `{"Message":"No berth","Meta":null}`, nil, "getBerths/none"},
		"one with a part that varies":            {404, `{"Message":"No ship (Puffin)","Meta":null}`, nil, "getBerths/no_ship"},
		"one whose part that varies is empty":    {404, `{"Message":"No ship ()"}`, nil, "getBerths/no_ship"},
		"an example without one allows any":      {200, `{"Message":"Anything","n":2}`, nil, "getBerths/free"},
		"no message":                             {409, `{}`, nil, "getBerths/busy"},
		"a body that is no object":               {409, `[]`, []string{"getBerths busy: response: value must be an object"}, ""},
		"another message":                        {409, `{"Message":"sekret"}`, []string{"getBerths busy: " + departs}, ""},
		"a message of another status":            {409, `{"Message":"No berth"}`, []string{"getBerths busy: " + departs}, ""},
		"a message that only begins like one":    {404, `{"Message":"No ship (Puffin) today","Meta":null}`, []string{"getBerths no_ship: " + departs}, ""},
		"a message in another case is another":   {409, `{"Message":"busy"}`, []string{"getBerths busy: " + departs}, ""},
		"a schema and a message that both break": {404, `{"Message":5}`, []string{"getBerths no_ship: /Message: response: value must be a string"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, err := conformance.ReadSpec(path)
			require.NoError(t, err)
			compiled, err := contract.LoadFile(contract.Rules{}, path)
			require.NoError(t, err)
			p := startProxyOf(t, respond(c.status, "application/json", c.response), documents{spec, []*contract.Contract{compiled}})
			for range 2 {
				ask(t, p.url, "GET", "/berths", nil)
			}
			require.Equal(t, c.want, p.departures(len(c.want)))
			if c.driven == "" {
				require.NotContains(t, fmt.Sprintf("%+v", p.departed), "sekret")
				return
			}
			require.Eventually(t, func() bool {
				return slices.ContainsFunc(p.proxy.Report().Results, func(r *conformance.Result) bool {
					return r.Scenario.ID() == c.driven && r.Status == conformance.StatusDriven
				})
			}, time.Minute, time.Millisecond)
		})
	}
}

func TestProxyReportsWhatWasSeen(t *testing.T) {
	t.Parallel()
	p := startProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tide") != "" {
			respond(200, "application/json", `[{"name":"Marina"}]`)(w, r)
			return
		}
		respond(201, "application/json", `{"name":"Puffin","berths":4}`)(w, r)
	}))
	ask(t, p.url, "POST", "/ferries", strings.NewReader(`{"name":"Marina"}`))
	ask(t, p.url, "HEAD", "/ferries?tide=low", nil)
	statuses := map[string]conformance.Status{}
	require.Eventually(t, func() bool {
		for _, result := range p.proxy.Report().Results {
			statuses[result.Scenario.ID()] = result.Status
		}
		return statuses["addFerry/small"] == conformance.StatusDriven
	}, time.Minute, time.Millisecond)
	require.Equal(t, map[string]conformance.Status{
		"addFerry/small": conformance.StatusDriven, "addFerry/ok": conformance.StatusNotDriven,
		"addFerry/broken": conformance.StatusNotDriven,
	}, statuses)
	var text strings.Builder
	require.NoError(t, p.proxy.Report().WriteText(&text))
	require.Contains(t, text.String(), "1 of 3 outcomes driven")
}

// TestProxyPassesBodiesOn sends bodies beyond the limit in both directions, piece by piece: each piece arrives before
// the next is sent.
func TestProxyPassesBodiesOn(t *testing.T) {
	t.Parallel()
	const pieces = 2 * proxyLimit / 1024
	received, replied := make(chan int, pieces), make(chan struct{})
	p := startProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 1024)
		for range pieces {
			n, _ := io.ReadFull(r.Body, piece)
			received <- n
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"name":"`)
		for range pieces {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1024))
			_ = http.NewResponseController(w).Flush()
			<-replied
		}
		_, _ = io.WriteString(w, `","berths":1}`) // which would be too few, but is beyond the limit
	}))
	body, client := io.Pipe()
	go func() {
		for range pieces {
			_, _ = client.Write(bytes.Repeat([]byte(" "), 1024))
			<-received
		}
		_ = client.CloseWithError(nil)
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/ferries", body)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	piece := make([]byte, 1024)
	_, err = io.ReadFull(response.Body, piece[:9])
	require.NoError(t, err)
	for range pieces {
		_, err := io.ReadFull(response.Body, piece)
		require.NoError(t, err)
		replied <- struct{}{}
	}
	rest, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, `","berths":1}`, string(rest))
	require.Empty(t, p.departures(0))
	require.Eventually(t, func() bool {
		return p.proxy.Counts() == conformance.TrafficCounts{Requests: 1, UnreadRequests: 1, UnreadResponses: 1}
	}, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool {
		var text strings.Builder
		_ = p.proxy.Report().WriteText(&text)
		return strings.Contains(text.String(), "seen, but no body was validated as a whole (1 responses)")
	}, time.Minute, time.Millisecond)
}

// TestProxyPassesEarlyResponsesOn sends bodies that never end to a server that responds before it has read them.
func TestProxyPassesEarlyResponsesOn(t *testing.T) {
	t.Parallel()
	p := startProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"error":"refused"}`)
	}))
	for name, length := range map[string]int64{"a length that is not kept": 1 << 30, "chunks": -1} {
		t.Run(name, func(t *testing.T) {
			body, client := io.Pipe()
			defer client.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/ferries", body)
			require.NoError(t, err)
			r.ContentLength = length
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.Equal(t, `{"error":"refused"}`, string(text))
			require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
		})
	}
	require.True(t, p.proxy.Report().Held())
}

// TestProxyEndsConnectionsWithUnreadBodies has a server that responds before it reads the body of a request, and none.
// The rest of the body, which the client may yet send, must not be taken for the next request of the connection.
func TestProxyEndsConnectionsWithUnreadBodies(t *testing.T) {
	t.Parallel()
	const body = `{"name":"Marina"}`
	for name, c := range map[string]struct {
		upstream string // "" for a server that responds
		status   int
	}{
		"a response": {"", http.StatusBadRequest},
		"no server":  {"http://127.0.0.1:1", http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, respondUnread(http.StatusBadRequest, `{"error":"refused"}`), c.upstream)
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
			require.NoError(t, err)
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "POST /ferries HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
				"Content-Length: %d\r\n\r\n%s", len(body), body[:5])
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, c.status, response.StatusCode)
			require.True(t, response.Close, "the client may not send another request: %v", response.Header)
		})
	}
}

// TestProxyOfManyUnreadBodies sends many requests over few connections to a server that reads no body.
func TestProxyOfManyUnreadBodies(t *testing.T) {
	t.Parallel()
	p := startProxy(t, respondUnread(http.StatusBadRequest, `{"error":"refused"}`))
	transport := &http.Transport{MaxConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	const refused = `{"error":"refused"}`
	ask := func() error {
		body := strings.NewReader(`{"name":"Marina"}`)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/ferries", body)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if string(text) != refused {
			return fmt.Errorf("got %q: %w", text, err)
		}
		return nil
	}
	var clients errgroup.Group
	for range 8 {
		clients.Go(func() error {
			for range 100 {
				if err := ask(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, clients.Wait())
	require.NotContains(t, p.log.String(), "panic")
}

// respondUnread returns a handler that sends a response and does not read the request's body.
func respondUnread(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack() // net/http itself would read the body first
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			status, len(body), body)
	}
}

func TestProxyReadsCompressedBodies(t *testing.T) {
	t.Parallel()
	var asked http.Header
	p := startProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Clone()
		respond(201, "application/json", `{"name":"Marina"}`)(w, r)
	}))
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(zip, `{"name":"s"}`)
	require.NoError(t, zip.Close())
	ask(t, p.url, "POST", "/ferries", &zipped, "Content-Encoding", "gzip", "Accept-Encoding", "gzip")
	require.Equal(t, []string{"addFerry ok: /name: request: minimum string length is 3"}, p.departures(1))
	require.Equal(t, "gzip", asked.Get("Content-Encoding"), "the body is passed on as it came")
	require.Empty(t, asked.Get("Accept-Encoding"))
}

func TestProxyReportsNoSecrets(t *testing.T) {
	t.Parallel()
	p := startProxy(t, respond(202, "application/json", `{"sekret":"sekret"}`))
	ask(t, p.url, "POST", "/ferries?key=sekret", strings.NewReader(`{"name":"sekret"}`), "Authorization", "Bearer sekret")
	ask(t, p.url, "PUT", "/ferries/sekret1/sekret2", strings.NewReader(`sekret`))
	p.departures(2)
	report := p.proxy.Report()
	for _, write := range []func(io.Writer) error{report.WriteText} {
		var text strings.Builder
		require.NoError(t, write(&text))
		require.NotContains(t, text.String(), "sekret")
	}
	require.NotContains(t, fmt.Sprintf("%+v", p.departed), "sekret")
}

func TestProxyWithoutAServer(t *testing.T) {
	t.Parallel()
	p := startProxy(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	response, _ := ask(t, p.url, "POST", "/ferries", strings.NewReader(`{"name":"Marina"}`))
	require.Equal(t, http.StatusBadGateway, response.StatusCode)
	require.True(t, p.proxy.Report().Held())
}

// TestProxyOfClientsThatLeave breaks requests and responses off.
func TestProxyOfClientsThatLeave(t *testing.T) {
	t.Parallel()
	p := startProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"name":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/ferries", strings.NewReader(`{"name":"Marina"}`))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	leave()
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, response.Body.Close())
	require.Eventually(t, func() bool {
		var text strings.Builder
		_ = p.proxy.Report().WriteText(&text)
		return strings.Contains(text.String(), "no body was validated as a whole")
	}, time.Minute, time.Millisecond)
	require.True(t, p.proxy.Report().Held())
}

// streamsOf returns a contract that has an operation with a media type that only its name describes, and others.
func streamsOf(t *testing.T, schema, others string) documents {
	t.Helper()
	path := filepath.Join(t.TempDir(), "streams.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{"/streams":
		{"post":{"operationId":"addStream","requestBody":{"content":{"application/vnd.streams.v1":{"schema":`+schema+`}`+others+`}},
		"responses":{"201":{"description":"made"}}}}}}`), 0o600))
	spec, err := conformance.ReadSpec(path)
	require.NoError(t, err)
	compiled, err := contract.LoadFile(contract.Rules{}, path)
	require.NoError(t, err)
	return documents{spec, []*contract.Contract{compiled}}
}

func TestProxyReadsFormatsOfVendors(t *testing.T) {
	t.Parallel()
	const (
		schema = `{"type":"object","required":["name"],"properties":{"name":{"type":"string","minLength":3}}}`
		vendor = "application/vnd.streams.v1"
	)
	for name, others := range map[string]string{"alone": "", "beside JSON": `,"application/json":{"schema":` + schema + `}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxyOf(t, respond(201, "", ""), streamsOf(t, schema, others))
			ask(t, p.url, "POST", "/streams", strings.NewReader(`{"name":"Ferries"}`), "Content-Type", vendor)
			require.Eventually(t, func() bool { return p.proxy.Counts().Requests == 1 }, time.Minute, time.Millisecond)
			require.Empty(t, p.departures(0), "a body in JSON")
			ask(t, p.url, "POST", "/streams", strings.NewReader("name: Ferries"), "Content-Type", vendor+"; charset=utf-8")
			require.Eventually(t, func() bool { return p.proxy.Counts().UnreadRequests == 1 }, time.Minute, time.Millisecond)
			require.Empty(t, p.departures(0), "a body in another form is not looked at")
			ask(t, p.url, "POST", "/streams", strings.NewReader(`{"name":"F"}`), "Content-Type", vendor)
			require.Equal(t, []string{"addStream 201: /name: request: minimum string length is 3"}, p.departures(1))
		})
	}
}
