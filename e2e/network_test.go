package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// postgresProxy forwards connections to a Postgres until it is closed.
type postgresProxy struct {
	url      string // where to connect
	listener net.Listener
	socket   string // of the Postgres

	mu    sync.Mutex // guards conns, for the time of one append
	conns []net.Conn
}

// newPostgresProxy returns a proxy for a postgres:// URL with the directory of a Unix socket.
func newPostgresProxy(t *testing.T, target string) *postgresProxy {
	t.Helper()
	to, err := url.Parse(target)
	require.NoError(t, err)
	query := to.Query()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &postgresProxy{
		url:      fmt.Sprintf("postgres://%s@%s%s?sslmode=disable", query.Get("user"), listener.Addr(), to.Path),
		listener: listener,
		socket:   filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port")),
	}
	t.Cleanup(p.close)
	go p.accept()
	return p
}

func (p *postgresProxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("unix", p.socket)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		go func() { _, _ = io.Copy(in, out) }()
		go func() { _, _ = io.Copy(out, in) }()
	}
}

// close breaks all connections and refuses new ones.
func (p *postgresProxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

// link is what gateways know as the URL of their dashboard. It forwards requests to the server that it is connected to,
// and breaks connections while there is none.
type link struct {
	url    string
	target atomic.Pointer[url.URL]
	next   atomic.Pointer[heldRequest]
}

// heldRequest is a request that a link holds back before it forwards it.
type heldRequest struct {
	path    string
	arrived chan struct{} // closed when the request has arrived
	release chan struct{} // to be closed when it may go on
}

func newLink(t *testing.T) *link {
	t.Helper()
	l := &link{}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Transport:    transport,
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(l.target.Load()) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if held := l.next.Load(); held != nil && held.path == r.URL.Path && l.next.CompareAndSwap(held, nil) {
			close(held.arrived)
			select {
			case <-held.release:
			case <-t.Context().Done(): // the test has failed
			}
		}
		if l.target.Load() == nil {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		web.Close()
		transport.CloseIdleConnections()
	})
	l.url = web.URL
	return l
}

// connect leads the link to a server.
func (l *link) connect(s *server) { l.target.Store(&url.URL{Scheme: "http", Host: s.address}) }

// hold holds back the next request to path.
func (l *link) hold(path string) *heldRequest {
	held := &heldRequest{path: path, arrived: make(chan struct{}), release: make(chan struct{})}
	l.next.Store(held)
	return held
}
