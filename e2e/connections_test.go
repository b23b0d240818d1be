package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialFrom connects to the server from an address of the loopback network, all of which Linux has.
func (s *server) dialFrom(ctx context.Context, from string) net.Conn {
	s.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(ctx, "tcp", s.address)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// status sends a request and returns the line of its response with the status, "" if the connection is closed.
func status(t *testing.T, conn net.Conn, headers string) string {
	t.Helper()
	if _, err := io.WriteString(conn, "GET /hello HTTP/1.1\r\nHost: gatehouse\r\n"+headers+"\r\n"); err != nil {
		return ""
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return ""
	}
	return line
}

// pipeline sends many requests at once, and reads their responses.
func pipeline(t *testing.T, conn net.Conn, requests int) {
	t.Helper()
	_, err := io.WriteString(conn, strings.Repeat("GET /hello HTTP/1.1\r\nHost: gatehouse\r\n\r\n", requests))
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	for range requests {
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
	}
}

// TestConnectionsAreLimited has a client open connections: idle ones, and ones on which it never sends all headers of a
// request.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	s := startServer(t, "GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS=20", "GATEHOUSE_TRUSTED_PROXIES=127.0.0.8/31")
	var idle []net.Conn
	for range 20 {
		conn := s.dialFrom(t.Context(), "127.0.0.3")
		require.Contains(t, status(t, conn, ""), "200")
		idle = append(idle, conn)
	}
	require.Empty(t, status(t, s.dialFrom(t.Context(), "127.0.0.3"), ""), "it has too many")
	require.Contains(t, status(t, s.dialFrom(t.Context(), "127.0.0.4"), ""), "200", "others are not affected")
	for range 30 {
		require.Contains(t, status(t, s.dialFrom(t.Context(), "127.0.0.9"), ""), "200", "a proxy has no limit")
	}
	for _, conn := range idle {
		require.NoError(t, conn.Close())
	}
	for range 60 {
		conn := s.dialFrom(t.Context(), "127.0.0.3")
		_, _ = io.WriteString(conn, "GET /hello HTTP/1.1\r\nX-Unfinished: "+strings.Repeat("x", 8<<10))
	}
	eventually(t, "the headers' time-out", func() bool {
		return strings.Contains(status(t, s.dialFrom(t.Context(), "127.0.0.3"), ""), "200")
	})
	require.Zero(t, s.stop()) // the log is complete then
	require.Contains(t, s.log.String(), `msg="connections refused, a client has too many" from=127.0.0.3/32 limit=20`)
}

var scriptPath = regexp.MustCompile(`/docs/swagger-ui-[0-9a-f]+\.js`)

// unread requests the largest file that everybody may have, and reads nothing of it.
func (s *server) unread(t *testing.T, from, path string) net.Conn {
	t.Helper()
	conn := s.dialFrom(t.Context(), from)
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: gatehouse\r\n\r\n")
	require.NoError(t, err)
	return conn
}

// slowImport is an import whose client has sent a part of the body.
type slowImport struct {
	body   *io.PipeWriter
	status chan int // 0 for a request without a response
}

// beginImport returns when the server has authenticated the request and reads the body.
func (s *server) beginImport(t *testing.T) *slowImport {
	t.Helper()
	received, body := io.Pipe()
	i := &slowImport{body: body, status: make(chan int, 1)}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/admin/apis/import", received)
	require.NoError(t, err)
	request.Header.Set("Admin-Auth", s.adminSecret())
	request.Header.Set("Expect", "100-continue") // the client sends nothing of the body before
	go func() {
		response, err := (&http.Transport{ExpectContinueTimeout: bound, DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			_ = received.CloseWithError(err)
			i.status <- 0
			return
		}
		_ = response.Body.Close()
		i.status <- response.StatusCode
	}()
	_, err = io.WriteString(body, `{"apis":[`)
	require.NoError(t, err)
	return i
}

// end sends the rest of the body, and returns the status of the response.
func (i *slowImport) end(t *testing.T) int {
	t.Helper()
	_, err := io.WriteString(i.body, `]}`)
	require.NoError(t, err)
	require.NoError(t, i.body.Close())
	return <-i.status
}

// TestConnectionsOfSomeClients has eight addresses hold as many connections as the server allows: some with headers
// that do not end, some that do not read the response. Another client is served, and so are they. Requests with the
// admin secret go on.
func TestConnectionsOfSomeClients(t *testing.T) {
	t.Parallel()
	s := startServer(t, "GATEHOUSE_MAX_CONNECTIONS=40", "GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS=6",
		"GATEHOUSE_BODY_TIMEOUT=10m") // the imports wait for all of the rest
	// From another address than the imports: the server may count the connection for a while after it is closed.
	docs := s.dialFrom(t.Context(), "127.0.0.5")
	_, err := io.WriteString(docs, "GET /docs HTTP/1.0\r\nAccept: text/html\r\n\r\n")
	require.NoError(t, err)
	page, err := io.ReadAll(docs)
	require.NoError(t, err)
	script := string(scriptPath.Find(page))
	require.NotEmpty(t, script)

	var imports []*slowImport
	for range 6 { // more connections than each of the others has
		imports = append(imports, s.beginImport(t))
	}
	flood := func() {
		for client := range 8 {
			for i := range 5 {
				from := fmt.Sprintf("127.0.1.%d", client)
				if i%2 == 0 {
					s.unread(t, from, script)
					continue
				}
				conn := s.dialFrom(t.Context(), from)
				_, err := io.WriteString(conn, "GET /hello HTTP/1.1\r\nX-Unfinished: ")
				require.NoError(t, err)
			}
		}
	}
	flood()
	kept := s.dialFrom(t.Context(), "127.0.0.3")
	for i := range 50 {
		require.Contains(t, status(t, kept, ""), "200")
		require.Contains(t, status(t, s.dialFrom(t.Context(), "127.0.0.4"), "Connection: close\r\n"), "200")
		if i == 20 {
			flood()
		}
	}
	require.Contains(t, status(t, s.dialFrom(t.Context(), "127.0.1.1"), "Connection: close\r\n"), "200")
	pipeline(t, kept, 300) // faster than two a second, which the log would list
	for _, each := range imports {
		require.Equal(t, http.StatusOK, each.end(t))
	}
	require.Zero(t, s.stop(), "it does not wait for strangers") // the log is complete then
	require.Regexp(t, `msg="requests not listed, [^"]*" from=127.0.0.3/32 `, s.log.String())
	require.Regexp(t, `msg="connections closed, there are too many" from=127.0.1.\d/32 limit=40`, s.log.String())
}

// TestClientsThatDoNotReadTheDocumentation: they are let go, as others are that read too slowly.
func TestClientsThatDoNotReadTheDocumentation(t *testing.T) {
	t.Parallel()
	s := startServer(t, "GATEHOUSE_BODY_TIMEOUT=1s")
	_, page := s.get("/docs", "Accept", "text/html")
	s.unread(t, "127.0.0.1", scriptPath.FindString(page))
	eventually(t, "the request has ended", func() bool {
		return strings.Contains(s.log.String(), "route="+scriptPath.FindString(page)+" status=200")
	})
}

// TestOptionsOfTheServer: OPTIONS * is no operation, and is logged.
func TestOptionsOfTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	conn := s.dialFrom(t.Context(), "127.0.0.1")
	_, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: gatehouse\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "404")
	eventually(t, "the request is logged", func() bool { return strings.Contains(s.log.String(), "method=OPTIONS") })
}

// TestHeadersAreLimited sends more headers than a server reads, and fewer.
func TestHeadersAreLimited(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	header := "X-Large: " + strings.Repeat("x", 1000) + "\r\n"
	conn := s.dialFrom(t.Context(), "127.0.0.1")
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	require.Contains(t, status(t, conn, strings.Repeat(header, 15)), "200")
	require.Contains(t, status(t, s.dialFrom(t.Context(), "127.0.0.1"), strings.Repeat(header, 24)), "431")
}
