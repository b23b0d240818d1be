package apiserver_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"gatehouse/apiserver"
	"gatehouse/apiserver/internal/boats"
	"gatehouse/contract"
)

type config = apiserver.Config[*request]

// faulty is a harbour whose lists are as a test wants them.
type faulty struct {
	*harbour

	rows   func() iter.Seq2[boats.Boat, error]           // nil: those of the harbour
	encode func(row boats.Boat) (json.RawMessage, error) // nil: as they are
}

// ListBoats implements boats.Handlers.
func (f *faulty) ListBoats(r *request, params boats.ListBoatsParams) boats.ListBoatsReply {
	rows := f.all(params.MinLength)
	if f.rows != nil {
		rows = f.rows()
	}
	return apiserver.ReplyList(r, boats.ListBoatsReplies{}, apiserver.List[boats.Boat]{
		Name: "boats", Rows: rows, Encode: f.encode,
	})
}

// newServer returns a server of a harbour.
func (f *faulty) newServer(change ...func(*config)) (*apiserver.Server, error) {
	cfg, err := f.config()
	if err != nil {
		return nil, err
	}
	cfg.Routes = func(routes *apiserver.Routes) {
		boats.RegisterHandlersWithOptions(routes.Echo, boats.Serve(f, apiserver.RequestOf[*request], routes.Send),
			boats.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
	}
	for _, c := range change {
		c(&cfg)
	}
	return apiserver.New(cfg)
}

// running is a server of a harbour.
type running struct {
	t    *testing.T
	url  string
	boat *faulty
	log  *logBuffer
}

// logBuffer is a log that tests read.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start starts a server with a master, a sailor, and a boat.
func start(t *testing.T, change ...func(*faulty, *config)) running {
	t.Helper()
	h := &faulty{harbour: &harbour{tokens: map[string]string{"t-1": "master", "t-2": "sailor"}}}
	h.boats = []boats.Boat{{Id: "boat-1", Name: "Albatross", Length: 12}}
	log := &logBuffer{}
	server, err := h.newServer(func(cfg *config) {
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
		for _, c := range change {
			c(h, cfg)
		}
	})
	require.NoError(t, err)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return running{t, listening.URL, h, log}
}

// send returns the status and the body of a response, and its header.
func (s running) send(method, path, body string, header ...string) (int, string, http.Header) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "bearer t-1")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(s.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response.StatusCode, string(text), response.Header
}

const listed = `{"boats":[{"id":"boat-1","length":12,"name":"Albatross"}]}`

// TestBodies: each fault of a body has its outcome, and is described.
func TestBodies(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, c := range map[string]struct {
		body, encoding string
		status         int
		says           string
	}{
		"empty":         {" ", "", 400, "The body is empty"},
		"not JSON":      {`{"name":`, "", 400, "The body is malformed"},
		"a wrong value": {`{"name":"","length":1}`, "", 400, `"path":"/name"`},
		"not for Go":    {`{"name":"Cod","length":1.0}`, "", 400, `"path":"/length","reason":"must be a whole number`},
		"too large":     {`{"name":"` + strings.Repeat("x", 256<<10) + `","length":1}`, "", 413, "The body is too large"},
		"too deep": {
			`{"name":"Gar","length":1,"x":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`, "", 400, "malformed",
		},
		"a name in another case": {`{"name":"Hake","length":1,"NAME":"Albatross"}`, "", 200, "Boat registered"},
		"a bomb":                 {zipped(t, strings.Repeat(" ", 1<<20)), "gzip", 413, "The body is too large"},
		"not compressed":         {`{"name":"Cod","length":1}`, "gzip", 400, "the body is not gzip"},
		"compressed":             {zipped(t, `{"name":"Dory","length":1}`), "gzip", 200, "Boat registered"},
		"valid":                  {`{"name":"Cod","length":1}`, "", 200, "Boat registered"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, _ := s.send("POST", "/boats", c.body, "Content-Encoding", c.encoding)
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.says)
		})
	}
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.String()
}

// TestSlowBody: a client that does not send its body gets a reply.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *faulty, cfg *config) { cfg.Limits.BodyTimeout = 50 * time.Millisecond })
	for _, method := range []string{"POST", "PUT"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "%s /boats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t-1\r\nContent-Length: 99\r\n\r\n{", method)
		require.NoError(t, err)
		reply := make([]byte, 12)
		_, err = io.ReadFull(conn, reply)
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 408", string(reply), method)
	}
}

// TestAdmission: a request is refused before its body is read.
func TestAdmission(t *testing.T) {
	t.Parallel()
	s := start(t, func(h *faulty, cfg *config) {
		cfg.Schemes["token"] = func(r *request) error {
			if r.Bearer() == "guess" {
				return &apiserver.TooManyAttemptsError{RetryAfter: 1500 * time.Millisecond}
			}
			return h.authenticate(r)
		}
	})
	status, body, _ := s.send("POST", "/boats", "not JSON", "Authorization", "Bearer t-9")
	require.Equal(t, 401, status, body)
	status, body, _ = s.send("POST", "/boats", "not JSON", "Authorization", "t-1")
	require.Equal(t, 401, status, body)
	status, body, header := s.send("POST", "/boats", "not JSON", "Authorization", "Bearer guess")
	require.Equal(t, 401, status, body)
	require.Contains(t, body, "Try again later")
	require.Equal(t, "2", header.Get("Retry-After"))
	status, body, _ = s.send("POST", "/boats", "not JSON", "Authorization", "Bearer t-2")
	require.Equal(t, 403, status, body)
}

// TestAdmittedAgain: a token that is revoked while its client sends the body is refused.
func TestAdmittedAgain(t *testing.T) {
	t.Parallel()
	authenticated := make(chan struct{}, 2)
	s := start(t, func(h *faulty, cfg *config) {
		cfg.Schemes["token"] = func(r *request) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			authenticated <- struct{}{}
			return h.authenticate(r)
		}
	})
	for _, method := range []string{"POST", "PUT"} {
		s.boat.setToken("t-1", "master")
		body, send := io.Pipe()
		go func() {
			<-authenticated
			s.boat.setToken("t-1", "")
			time.Sleep(1100 * time.Millisecond) // longer than a request is admitted for
			_, _ = io.WriteString(send, `{"name":"Cod","length":8,"boats":[]}`)
			_ = send.Close()
		}()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/boats", body)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer t-1")
		response, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		_ = response.Body.Close()
		require.Equal(t, 401, response.StatusCode, method)
		<-authenticated
	}
	require.Len(t, s.boat.boats, 1)
}

func (h *harbour) setToken(token, role string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[token] = role
}

// TestUploads: an upload is validated element by element, and as a whole.
func TestUploads(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *faulty, cfg *config) { cfg.Limits.Upload, cfg.Limits.Element = 2<<20, 1000 })
	var long strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&long, `{"name":"Boat %d","length":%d},`, i, i%20)
	}
	many := `{"boats":[` + strings.TrimSuffix(long.String(), ",") + `]}`
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"empty":             {"", 400, "The body is empty"},
		"no list":           {`{"ships":[]}`, 400, `property \"boats\" is missing`},
		"not a list":        {`{"boats":7}`, 400, `"path":"/boats"`},
		"an element is not": {`{"boats":[{"name":}]}`, 400, "an element is not JSON"},
		"ends early":        {`{"boats":[{"name":"Cod","length":8}`, 400, "The body is malformed"},
		"a large element":   {`{"boats":[{"name":"` + strings.Repeat("x", 1000) + `","length":1}]}`, 413, "The body is too large"},
		"too large":         {`{"boats":[` + strings.Repeat(" ", 2<<20) + `]}`, 413, "The body is too large"},
		"wrong elements":    {`{"boats":[{"name":"Eel"},{"name":"Fin","length":7}]}`, 200, `"registered":1`},
		"too long for Go":   {`{"boats":[{"name":"Eel","length":123456789012345678901}]}`, 200, `"path":"/boats/0/length"`},
		"none":              {`{"boats":[]}`, 200, `"registered":0`},
		"many":              {many, 200, `"registered":19000`},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, _ := s.send("PUT", "/boats", c.body)
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.says)
		})
	}
}

// TestRefusalOfALargeBodyArrives: a client that sends all of its body before it reads has the response nevertheless.
func TestRefusalOfALargeBodyArrives(t *testing.T) {
	t.Parallel()
	s := start(t)
	const size = 16 << 20 // more than the buffers of a connection
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /boats HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat(" ", size))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 401, response.StatusCode)
}

// TestLists: a list that fails before something was sent is a failure, and later a broken connection.
func TestLists(t *testing.T) {
	t.Parallel()
	unchecked := func(_ *faulty, cfg *config) { cfg.CheckResponses = apiserver.ResponsesUnchecked }
	s := start(t, unchecked) // checks would break it off, too
	status, body, header := s.send("GET", "/boats", "")
	require.Equal(t, 200, status)
	require.Equal(t, listed, body)
	require.Equal(t, "no-store", header.Get("Cache-Control"))

	status, body, header = s.send("HEAD", "/boats", "")
	require.Equal(t, 200, status)
	require.Empty(t, body)
	require.Equal(t, "application/json", header.Get("Content-Type"))

	s.boat.failAfter(0)
	status, body, _ = s.send("GET", "/boats", "")
	require.Equal(t, 500, status, body)
	require.JSONEq(t, `{"Status":"Error","Message":"The server has failed","Meta":null}`, body)
	require.Contains(t, s.log.String(), "msg=\"request failed\" operation=listBoats")
	require.NotContains(t, body, errBrokenList.Error())

	s.boat.failAfter(5000)
	response, err := http.Get(s.url + "/boats")
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 200, response.StatusCode)
	_, err = io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Contains(t, s.log.String(), `msg="list broken off" operation=listBoats`)
}

var errBrokenList = errors.New("the database is gone")

// failAfter has lists fail after some boats.
func (f *faulty) failAfter(n int) {
	f.rows = func() iter.Seq2[boats.Boat, error] {
		return func(yield func(boats.Boat, error) bool) {
			for i := range n {
				if !yield(boats.Boat{Id: strconv.Itoa(i), Name: "Boat", Length: 1}, nil) {
					return
				}
			}
			yield(boats.Boat{}, errBrokenList)
		}
	}
}

// TestPaths: a path is served with superfluous slashes, and below the base path; any other is not.
func TestPaths(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *faulty, cfg *config) {
		cfg.BasePath = "/harbour"
		routes := cfg.Routes
		cfg.Routes = func(r *apiserver.Routes) {
			routes(r)
			r.Extra("/hello", func(c echo.Context) error { return c.NoContent(http.StatusTeapot) })
		}
	})
	for _, path := range []string{"/boats", "/boats/", "//boats", "/harbour/boats", "/harbour//boats/?min_length=1"} {
		status, body, _ := s.send("GET", path, "")
		require.Equal(t, 200, status, path)
		require.Equal(t, listed, body, path)
	}
	for _, path := range []string{"/", "/boat", "/harbour", "/harbours/boats", "/boats/boat-1"} {
		status, body, _ := s.send("GET", path, "")
		require.Equal(t, 404, status, path)
		require.JSONEq(t, `{"Status":"Error","Message":"Not Found","Meta":null}`, body)
	}
	for _, method := range []string{"DELETE", "OPTIONS", "BREW"} {
		status, _, header := s.send(method, "/boats", "")
		require.Equal(t, 404, status, method)
		require.Empty(t, header.Get("Allow"))
	}
	status, _, _ := s.send("GET", "/hello", "")
	require.Equal(t, http.StatusTeapot, status)
}

// TestLog: a request has an ID and one line; a panic is a failure.
func TestLog(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, _, header := s.send("GET", "/boats?min_length=1", "", "X-Request-Id", "mine")
	require.Equal(t, "mine", header.Get("X-Request-Id"))
	require.Eventually(t, func() bool {
		return strings.Contains(s.log.String(), `msg=request id=mine method=GET route=/boats status=200`)
	}, 10*time.Second, time.Millisecond)
	require.NotContains(t, s.log.String(), "min_length")
	_, _, header = s.send("GET", "/boats", "", "X-Request-Id", strings.Repeat("x", 129))
	require.Len(t, header.Get("X-Request-Id"), 26)

	s.boat.rows = func() iter.Seq2[boats.Boat, error] { panic("at sea") }
	status, body, _ := s.send("GET", "/boats", "")
	require.Equal(t, 500, status, body)
	require.NotContains(t, body, "at sea")
	require.Contains(t, s.log.String(), `err="panic: at sea"`)
}

// TestUnlogged: a share of the requests has no line, but those that fail have.
func TestUnlogged(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *faulty, cfg *config) { cfg.UnloggedRequests = 0.75 })
	for range 8 {
		s.send("GET", "/boats", "")
	}
	s.boat.failAfter(0)
	s.send("GET", "/boats", "")
	require.Eventually(t, func() bool { return strings.Contains(s.log.String(), "status=500") }, 10*time.Second, time.Millisecond)
	require.Equal(t, 2, strings.Count(s.log.String(), "status=200"))
}

// TestResponsesAreChecked: a response that departs from the contract is reported, or refused.
func TestResponsesAreChecked(t *testing.T) {
	t.Parallel()
	for check, want := range map[apiserver.ResponseCheck]struct{ status, departures int }{
		"": {200, 0}, apiserver.DeparturesReported: {200, 1}, apiserver.DeparturesRefused: {500, 1},
	} {
		departures := make(chan int, 2)
		s := start(t, func(h *faulty, cfg *config) {
			cfg.CheckResponses = check
			cfg.Hooks.Departed = func(op *contract.Operation, status int) { departures <- status }
			h.boats = append(h.boats, boats.Boat{})
			h.encode = func(boats.Boat) (json.RawMessage, error) { return json.RawMessage(`{"id":7}`), nil }
		})
		status, body, _ := s.send("GET", "/boats", "")
		require.Equal(t, want.status, status, "%s: %s", check, body)
		require.Len(t, departures, want.departures, check)
	}
}

// TestCompression: responses are compressed where it is allowed.
func TestCompression(t *testing.T) {
	t.Parallel()
	s := start(t, func(h *faulty, cfg *config) {
		cfg.Compress = func(r *http.Request) bool { return r.URL.Query().Get("min_length") == "" }
		for range 100 {
			h.boats = append(h.boats, h.boats[0])
		}
	})
	_, _, header := s.send("GET", "/boats", "", "Accept-Encoding", "gzip")
	require.Equal(t, "gzip", header.Get("Content-Encoding"))
	_, _, header = s.send("GET", "/boats?min_length=1", "", "Accept-Encoding", "gzip")
	require.Empty(t, header.Get("Content-Encoding"))
}

// TestHooks: hooks see each request and reply, with the application's request.
func TestHooks(t *testing.T) {
	t.Parallel()
	type key struct{}
	var seen logBuffer
	s := start(t, func(h *faulty, cfg *config) {
		cfg.Hooks = apiserver.Hooks[*request]{
			Begin: func(c echo.Context) error {
				if c.Request().Header.Get("X-Closed") != "" {
					return echo.ErrNotFound
				}
				return nil
			},
			Admitted: func(ctx context.Context, r *request) context.Context {
				return apiserver.WithParty(context.WithValue(ctx, key{}, r.role), r.role)
			},
			Reply: func(r *request, reply contract.Reply) {
				role, _ := r.Context().Value(key{}).(string)
				fmt.Fprintf(&seen, "%s by %q %s;", r.Operation.ID, role, reply.Outcome)
			},
			Done: func(c echo.Context, _ time.Duration) { fmt.Fprintf(&seen, "%d;", c.Response().Status) },
		}
	})
	s.send("POST", "/boats", `{"name":"Cod","length":8}`)
	s.send("POST", "/boats", `{"name":"Cod","length":8}`, "Authorization", "Bearer t-9")
	s.send("GET", "/boats", "", "X-Closed", "1")
	want := `registerBoat by "master" ok;200;registerBoat by "" unauthorised;401;404;`
	require.Eventually(t, func() bool { return seen.String() == want }, 10*time.Second, time.Millisecond, "%s", &seen)
}

// TestDisagreements: New fails if contract, configuration and routes disagree.
func TestDisagreements(t *testing.T) {
	t.Parallel()
	for message, change := range map[string]func(*config){
		"no valid Config.Log":                                func(cfg *config) { cfg.Log = nil },
		"no valid Config.Limits":                             func(cfg *config) { cfg.Limits.Depth = 0 },
		"no valid Config.CheckResponses":                     func(cfg *config) { cfg.CheckResponses = "sometimes" },
		`requires "token", which Config.Schemes lacks`:       func(cfg *config) { delete(cfg.Schemes, "token") },
		"has x-permission, but there is no Config.Authorise": func(cfg *config) { cfg.Authorise = nil },
		"operation listBoats has no route GET /boats":        func(cfg *config) { cfg.Routes = func(*apiserver.Routes) {} },
		"the path /boats is not free":                        extra("/boats"),
		"the base path /boats is not free":                   func(cfg *config) { cfg.BasePath = "/boats" },
		"route DELETE /boats is in no contract":              func(cfg *config) { also(cfg, func(r *apiserver.Routes) { r.Echo.DELETE("/boats", nil) }) },
		"route POST /hello is in no contract": func(cfg *config) {
			extra("/hello")(cfg)
			also(cfg, func(r *apiserver.Routes) { r.Echo.POST("/hello", nil) })
		},
		"x-permission, but does not authenticate a user":           func(cfg *config) { cfg.Contract.Operation("registerBoat").Scheme = "" },
		"no valid Config.Contract\napiserver: no valid Config.Log": func(cfg *config) { cfg.Contract, cfg.Log = nil, nil },
	} {
		_, err := (&faulty{harbour: &harbour{}}).newServer(change)
		require.ErrorContains(t, err, message)
	}
}

func also(cfg *config, register func(*apiserver.Routes)) {
	routes := cfg.Routes
	cfg.Routes = func(r *apiserver.Routes) {
		routes(r)
		register(r)
	}
}

func extra(path string) func(*config) {
	return func(cfg *config) {
		also(cfg, func(r *apiserver.Routes) { r.Extra(path, func(echo.Context) error { return nil }) })
	}
}
