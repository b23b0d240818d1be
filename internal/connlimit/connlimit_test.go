package connlimit_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/connlimit"
	"gatehouse/internal/remoteaddr"
)

// log is a log that may be read while it is written.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// serve starts a server with limits, and returns its port.
func serve(t *testing.T, total, perClient int) (port string, lines *log) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	lines = &log{}
	limited := connlimit.NewListener(inner, connlimit.Config{
		Total: total, PerClient: perClient, Opened: func(int) {},
		Now: time.Now, Log: slog.New(slog.NewTextHandler(lines, nil)),
		Client: func(remote net.Addr) (netip.Prefix, bool) {
			address := remoteaddr.OfConn(remote)
			return remoteaddr.Network(address), address == netip.MustParseAddr("127.0.0.9")
		},
	})
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/keep":
			connlimit.Keep(r.Context())
			fallthrough
		case "/wait":
			_, _ = io.WriteString(lines, "in progress\n")
			<-r.Context().Done()
		}
	}))
	_ = web.Listener.Close()
	web.Listener, web.Config.ConnState, web.Config.ConnContext = limited, limited.ConnState, limited.ConnContext
	web.Start()
	t.Cleanup(web.Close)
	_, port, err = net.SplitHostPort(inner.Addr().String())
	require.NoError(t, err)
	return port, lines
}

// connect opens a connection from an address of the loopback network, all of which Linux has.
func connect(t *testing.T, from, port string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("connect from %s: %v", from, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answers sends a request, and reports whether there is a response.
func answers(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "HTTP/1.1 200")
}

// TestClientsHaveALimitEach has one client open more connections than it may: it is refused, and others are not.
func TestClientsHaveALimitEach(t *testing.T) {
	t.Parallel()
	port, lines := serve(t, 0, 3)
	var open []net.Conn
	for range 3 {
		conn := connect(t, "127.0.0.1", port)
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nX-Never: end")
		require.NoError(t, err)
		open = append(open, conn)
	}
	for range 5 {
		require.False(t, answers(t, connect(t, "127.0.0.1", port)))
	}
	require.Equal(t, 1, strings.Count(lines.String(), "connections refused"), "not a line each")
	require.Contains(t, lines.String(), "from=127.0.0.1/32 limit=3")
	require.True(t, answers(t, connect(t, "127.0.0.2", port)))
	for range 6 {
		require.True(t, answers(t, connect(t, "127.0.0.9", port)), "a proxy")
	}
	require.NoError(t, open[0].Close())
	require.Eventually(t, func() bool { return answers(t, connect(t, "127.0.0.1", port)) }, time.Minute, 10*time.Millisecond)
}

// inProgress waits until n requests that do not end have arrived.
func inProgress(t *testing.T, lines *log, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Count(lines.String(), "in progress\n") == n }, time.Minute, time.Millisecond)
}

// TestKeptConnectionsMakeRoom: if all connections are kept, the client with most pays for a new one, and for its own.
func TestKeptConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	port, lines := serve(t, 6, 0)
	keep := func(from string) net.Conn {
		conn := connect(t, from, port)
		require.True(t, answers(t, conn), from)
		_, err := io.WriteString(conn, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		return conn
	}
	safe := []net.Conn{keep("127.0.0.9"), keep("127.0.0.9"), keep("127.0.0.9"), keep("127.0.0.1")}
	most := []net.Conn{keep("127.0.0.2"), keep("127.0.0.2")}
	inProgress(t, lines, 6)
	last := connect(t, "127.0.0.3", port)
	require.True(t, answers(t, last))
	require.NotEqual(t, isClosed(t, most[0]), isClosed(t, most[1]))
	for range 10 {
		answers(t, connect(t, "127.0.0.2", port))
	}
	for _, conn := range safe {
		require.False(t, isClosed(t, conn))
	}
	require.NoError(t, last.SetReadDeadline(time.Time{}))
	_, err := io.WriteString(last, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
}

// TestTotalIsLimited: connections beyond the total wait until one ends, if all are kept and no client has several.
func TestTotalIsLimited(t *testing.T) {
	t.Parallel()
	port, lines := serve(t, 2, 0)
	var busy []net.Conn
	for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
		conn := connect(t, from, port)
		require.True(t, answers(t, conn))
		_, err := io.WriteString(conn, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		busy = append(busy, conn)
	}
	inProgress(t, lines, 2)
	waiting := connect(t, "127.0.0.3", port)
	require.NoError(t, waiting.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	require.False(t, answers(t, waiting))
	require.NoError(t, waiting.SetReadDeadline(time.Time{}))
	require.NoError(t, busy[0].Close())
	line, err := bufio.NewReader(waiting).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "200")
}

// isClosed reports whether the server closes a connection.
func isClosed(t *testing.T, conn net.Conn) bool {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := io.Copy(io.Discard, conn)
	timeout, ok := errors.AsType[net.Error](err)
	return !ok || !timeout.Timeout()
}

// TestConnectionsMakeRoom: a connection beyond the total costs the client with most connections the one whose state has
// not changed for longest, whether it has a request in progress or not, unless it is kept.
func TestConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	port, lines := serve(t, 8, 0)
	open := func(from string, n int, request string) (conns []net.Conn) {
		for range n {
			conn := connect(t, from, port)
			require.True(t, answers(t, conn), from)
			_, err := io.WriteString(conn, request)
			require.NoError(t, err)
			conns = append(conns, conn)
		}
		return conns
	}
	proxy := open("127.0.0.9", 2, "")
	kept := open("127.0.0.1", 1, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n")
	first := open("127.0.0.1", 1, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")[0]
	inProgress(t, lines, 2)
	most := open("127.0.0.1", 2, "GET / HTTP/1.1\r\nX-Never: end")
	few := open("127.0.0.2", 2, "")
	closed := func(conns []net.Conn) (n int) {
		for _, conn := range conns {
			if isClosed(t, conn) {
				n++
			}
		}
		return n
	}

	fourth := open("127.0.0.3", 1, "")
	require.True(t, isClosed(t, first))
	require.Zero(t, closed(append(most, few...)))
	fifth := open("127.0.0.4", 1, "")
	require.Equal(t, 1, closed(append(most, few...)), "of those that have most")
	require.Zero(t, closed(kept))
	for _, conn := range append(append(proxy, fourth...), fifth...) {
		require.False(t, isClosed(t, conn))
		require.NoError(t, conn.SetReadDeadline(time.Time{}))
		require.True(t, answers(t, conn))
	}
	require.Equal(t, 1, strings.Count(lines.String(), "connections closed"), "not a line each")
	require.Contains(t, lines.String(), "from=127.0.0.1/32 limit=8 count=1")

	// A client that has most pays for its own.
	for range 20 {
		answers(t, connect(t, "127.0.0.5", port))
	}
	for _, conn := range append(append(proxy, fourth...), fifth...) {
		require.NoError(t, conn.SetReadDeadline(time.Time{}))
		require.True(t, answers(t, conn))
	}
}

// TestCloseWhileFull: a listener that waits for room ends with its server.
func TestCloseWhileFull(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	limited := connlimit.NewListener(inner, connlimit.Config{
		Total: 1, Opened: func(int) {}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Client: func(remote net.Addr) (netip.Prefix, bool) {
			return remoteaddr.Network(remoteaddr.OfConn(remote)), false
		},
	})
	_, port, err := net.SplitHostPort(inner.Addr().String())
	require.NoError(t, err)
	connect(t, "127.0.0.1", port)
	first, err := limited.Accept()
	require.NoError(t, err)
	defer first.Close()
	connlimit.Keep(limited.ConnContext(t.Context(), first))
	connect(t, "127.0.0.2", port)
	accepted := make(chan error)
	go func() { _, err := limited.Accept(); accepted <- err }()
	require.NoError(t, limited.Close())
	require.ErrorIs(t, <-accepted, net.ErrClosed)
}
