package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"gatehouse/contract"
)

// ProxyConfig configures a Proxy.
type ProxyConfig struct {
	Spec *Spec
	// Contracts are the documents of Spec, compiled.
	Contracts []*contract.Contract
	Upstream  *url.URL
	// MaxBody is how many bytes of a body are validated. Larger bodies are passed on as well.
	MaxBody int64
	Now     func() time.Time
	// Departed is called when a departure is seen for the first time, one call at a time; nil is allowed.
	Departed func(*Result)
	// Log has the requests that the upstream did not answer.
	Log *slog.Logger
}

// Proxy passes requests on to a server, and compares both requests and responses with a contract. It changes nothing
// but Accept-Encoding, so that responses can be read. Bodies are passed on as they come. Of a response, the memory of
// one value is held, of a request body at most MaxBody.
//
// What it reports has neither values nor credentials: real traffic has secrets in bodies and paths.
type Proxy struct {
	cfg     ProxyConfig
	reverse *httputil.ReverseProxy
	traffic *traffic
}

// NewProxy returns a proxy.
func NewProxy(cfg ProxyConfig) *Proxy {
	p := &Proxy{cfg: cfg, traffic: newTraffic(cfg)}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: maxIdleUpstream, IdleConnTimeout: idleUpstream,
		DisableCompression: true,
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(cfg.Upstream)
			r.SetXForwarded()
			r.Out.Header.Del("Accept-Encoding")
		},
		Transport: transport, FlushInterval: -1, ModifyResponse: observeResponse, ErrorHandler: p.unanswered,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}
	return p
}

// Connections to the upstream that are kept for the next request.
const (
	maxIdleUpstream = 64
	idleUpstream    = 30 * time.Second
)

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, err := findCalled(p.cfg.Contracts, p.cfg.Spec, r)
	if err != nil { // the path of the upstream may be a part of the contract's
		op, err = findCalled(p.cfg.Contracts, p.cfg.Spec, withTarget(r, r.Method, p.cfg.Upstream.JoinPath(r.URL.Path).Path))
	}
	if err != nil {
		p.traffic.unknown(r)
		p.reverse.ServeHTTP(w, r)
		return
	}
	x := &exchanged{proxy: p, op: op, request: r}
	r = r.WithContext(context.WithValue(r.Context(), exchangedKey{}, x))
	if r.Body != nil && r.Body != http.NoBody {
		x.body = &capturedBody{ReadCloser: r.Body, limit: p.cfg.MaxBody}
		x.client = http.NewResponseController(w)
		r.Body = x.body
		// Without it, net/http waits for the rest of the body before it sends a response, such as one that refuses a body
		// for its size. HTTP/2 does not need it, and returns an error.
		_ = x.client.EnableFullDuplex()
	}
	p.reverse.ServeHTTP(w, r)
}

// Report returns what was seen so far: each documented outcome that the traffic has, and each departure once.
func (p *Proxy) Report() *Report { return p.traffic.report() }

// Counts returns how much was seen so far.
func (p *Proxy) Counts() TrafficCounts { return p.traffic.total() }

// unanswered answers a request that the upstream did not answer.
func (p *Proxy) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, context.Canceled) { // the client has left
		p.cfg.Log.Warn("the server does not answer", "method", r.Method, "err", err)
	}
	x, known := r.Context().Value(exchangedKey{}).(*exchanged)
	if known {
		x.endConnection(w.Header())
	}
	w.WriteHeader(http.StatusBadGateway)
	if known {
		x.leaveBody()
	}
}

// exchangedKey is the key of an *exchanged in the context of a request.
type exchangedKey struct{}

// exchanged is a request and its response.
type exchanged struct {
	proxy   *Proxy
	op      *calledOperation
	request *http.Request
	body    *capturedBody // nil without a request body
	client  *http.ResponseController
	left    bool // the server did not wait for body
}

// endConnection makes a response the last of its connection if the server did not wait for the request body. What is
// left of the body stands before the next request, and with EnableFullDuplex, net/http may panic when it reads that one
// (https://go.dev/issue/68560).
func (x *exchanged) endConnection(header http.Header) {
	if x.body != nil && !x.body.isComplete() {
		x.left = true
		header.Set("Connection", "close")
	}
}

// lingering is how long the rest of a request body is read that the server did not wait for. A client that is still
// sending it when the connection is closed may lose the response.
const lingering = time.Second

// leaveBody ends the reading of a request body that the server did not wait for. Otherwise the handler would not end
// before the client sends the rest, and the client may wait for the end of the response.
func (x *exchanged) leaveBody() {
	if !x.left {
		return
	}
	_ = x.client.Flush()
	_ = x.client.SetReadDeadline(x.proxy.cfg.Now().Add(lingering))
	_, _ = io.Copy(io.Discard, x.body.ReadCloser)
}

// observeResponse begins to validate a response.
func observeResponse(response *http.Response) error {
	x, ok := response.Request.Context().Value(exchangedKey{}).(*exchanged)
	if !ok || response.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	x.endConnection(response.Header)
	observed := &observedBody{ReadCloser: response.Body, x: x, status: response.StatusCode}
	if response.Header.Get("Content-Encoding") == "" {
		observed.stream = x.op.StreamResponse(response.StatusCode, response.Header.Clone(), x.proxy.cfg.MaxBody)
	}
	response.Body = observed
	return nil
}

// capturedBody is a request body that is kept while it is sent, up to a limit.
type capturedBody struct {
	io.ReadCloser

	limit int64

	mu       sync.Mutex // guards what follows, for the time of one Read
	kept     []byte
	complete bool // the end was read
	tooLarge bool
}

// Read implements io.Reader.
func (b *capturedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.tooLarge:
	case int64(len(b.kept)+n) > b.limit:
		b.tooLarge, b.kept = true, nil
	default:
		b.kept = append(b.kept, p[:n]...)
	}
	b.complete = b.complete || errors.Is(err, io.EOF)
	return n, err
}

func (b *capturedBody) isComplete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complete
}

// take returns the body, or nil if it is not complete.
func (b *capturedBody) take() (body []byte, complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.complete || b.tooLarge {
		return nil, false
	}
	return append([]byte{}, b.kept...), true
}

// maxOutcomeBody is how much of a response is kept to tell which of several examples it corresponds to.
const maxOutcomeBody = 64 << 10

// observedBody is a response body that is validated while it is passed on.
type observedBody struct {
	io.ReadCloser

	x        *exchanged
	status   int
	stream   *contract.ResponseStream // nil for a body that cannot be read
	size     int64
	start    bytes.Buffer
	complete bool
	closed   bool
}

// Read implements io.Reader.
func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.size += int64(n)
	if b.start.Len() < maxOutcomeBody {
		b.start.Write(p[:n])
	}
	if b.stream != nil {
		b.stream.Write(p[:n])
	}
	b.complete = b.complete || errors.Is(err, io.EOF)
	return n, err
}

// Close implements io.Closer. ReverseProxy calls it when the response was passed on.
func (b *observedBody) Close() error {
	if !b.closed {
		b.closed = true
		b.x.leaveBody()
		b.x.end(b)
	}
	return b.ReadCloser.Close()
}

// end records what became of a request.
func (x *exchanged) end(response *observedBody) {
	seen := sighting{op: x.op.declared, method: x.request.Method, status: response.status, start: response.start.Bytes()}
	if stream := response.stream; stream != nil {
		defer stream.Close()
		var checked int64
		if response.complete && x.request.Method != http.MethodHead {
			seen.response, checked = stream.End()
		} else {
			seen.response = stream.Write(nil) // what is wrong with the status and the headers
		}
		seen.partial = checked < response.size && seen.response == nil
	}
	seen.partial = seen.partial || response.stream == nil || !response.complete
	seen.unread, seen.request = x.requestProblems()
	x.proxy.traffic.saw(seen)
}

// requestProblems returns whether the body of the request was not validated, and what is wrong with the request.
func (x *exchanged) requestProblems() (unread bool, err error) {
	body := []byte{}
	if x.body != nil {
		var complete bool
		if body, complete = x.body.take(); !complete {
			return true, x.op.validate(x.request, nil)
		}
	}
	decoded, err := decodeContent(x.request.Header.Get("Content-Encoding"), body, x.proxy.cfg.MaxBody)
	if errors.Is(err, errEncoding) || errors.Is(err, errBodyTooLarge) {
		return true, x.op.validate(x.request, nil)
	}
	if err != nil {
		return false, err
	}
	return x.op.Opaque(x.request.Header.Get("Content-Type"), decoded), x.op.validate(x.request, decoded)
}
