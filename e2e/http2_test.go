package e2e_test

import (
	"bytes"
	"crypto/tls"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"gatehouse/store/storetest"
)

// http2Conn is a connection of HTTP/2 of which a test sends each frame.
type http2Conn struct {
	t      *testing.T
	conn   *tls.Conn
	framer *http2.Framer
	// settings are those of the server.
	settings map[http2.SettingID]uint32
	// statuses are those of the responses, by stream, and ended are the streams that the server has ended.
	statuses map[uint32]string
	ended    map[uint32]bool
	last     uint32
}

// dialHTTP2 connects to a server, and receives no body of a response.
func dialHTTP2(t *testing.T, s *server, ca *authority) *http2Conn {
	t.Helper()
	cfg := ca.config()
	cfg.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", s.address, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(bound)))
	c := &http2Conn{
		t: t, conn: conn, framer: http2.NewFramer(conn, conn), settings: map[http2.SettingID]uint32{},
		statuses: map[uint32]string{}, ended: map[uint32]bool{},
	}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = conn.Write([]byte(http2.ClientPreface))
	require.NoError(t, err)
	require.NoError(t, c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	return c
}

// request sends the headers of a request, which ends with them or goes on.
func (c *http2Conn) request(path string, ends bool) {
	c.t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "one.example"}, {":path", path}} {
		require.NoError(c.t, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
	}
	c.last += 2
	require.NoError(c.t, c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: c.last - 1, BlockFragment: block.Bytes(), EndStream: ends, EndHeaders: true,
	}))
}

// readUntil reads frames until the condition holds.
func (c *http2Conn) readUntil(condition func(http2.Frame) bool) {
	c.t.Helper()
	for {
		frame, err := c.framer.ReadFrame()
		require.NoError(c.t, err)
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			require.NoError(c.t, f.ForeachSetting(func(s http2.Setting) error { c.settings[s.ID] = s.Val; return nil }))
			if !f.IsAck() {
				require.NoError(c.t, c.framer.WriteSettingsAck())
			}
		case *http2.MetaHeadersFrame:
			c.statuses[f.StreamID] = f.PseudoValue("status")
			c.ended[f.StreamID] = f.StreamEnded()
		case *http2.DataFrame:
			c.ended[f.StreamID] = f.StreamEnded()
		}
		if condition(frame) {
			return
		}
	}
}

// count returns the number of responses with a status.
func (c *http2Conn) count(status string) int {
	all := slices.Collect(maps.Values(c.statuses))
	return len(slices.DeleteFunc(all, func(each string) bool { return each != status }))
}

// startHTTP2 starts a server with TLS.
func startHTTP2(t *testing.T, settings ...string) (*server, *authority) {
	t.Helper()
	ca := newAuthority(t)
	files := ca.newPair("one.example")
	return startServer(t, append(settings, "DATABASE_URL="+storetest.EmptyDatabase(t), "TYK_DB_HTTPSERVEROPTIONS_USESSL=true",
		"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES="+files.cert+","+files.key)...), ca
}

// TestMemoryOfHTTP2Connections has the limits that a server announces: a client without a credential can make it hold
// as much on each connection.
func TestMemoryOfHTTP2Connections(t *testing.T) {
	t.Parallel()
	s, ca := startHTTP2(t)
	c := dialHTTP2(t, s, ca)
	const initial = 65535 // of every connection
	window := uint32(initial)
	c.request("/hello", true)
	c.readUntil(func(frame http2.Frame) bool {
		if update, ok := frame.(*http2.WindowUpdateFrame); ok && update.StreamID == 0 {
			window += update.Increment
		}
		return c.statuses[1] != ""
	})
	require.Equal(t, "200", c.statuses[1])
	require.LessOrEqual(t, window, uint32(128<<10))
	require.LessOrEqual(t, c.settings[http2.SettingInitialWindowSize], uint32(128<<10))
	require.LessOrEqual(t, c.settings[http2.SettingMaxFrameSize], uint32(16<<10))
	require.LessOrEqual(t, c.settings[http2.SettingMaxConcurrentStreams], uint32(100))
}

// TestRequestsOfHTTP2CountAsConnections has clients that send requests and do not receive the responses: large ones,
// and small ones of requests without a credential, which the handler has ended.
func TestRequestsOfHTTP2CountAsConnections(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ path, status, limit string }{
		"large responses": {"/openapi.json", "200", "GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS=8"},
		"no credential":   {"/admin/organisations", "401", "GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS=8"},
		"all clients":     {"/openapi.json", "200", "GATEHOUSE_MAX_CONNECTIONS=8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, status := c.path, c.status
			s, ca := startHTTP2(t, c.limit)
			first, second := dialHTTP2(t, s, ca), dialHTTP2(t, s, ca)
			for _, c := range []*http2Conn{first, second} {
				for range 10 {
					c.request(path, true)
				}
				c.readUntil(func(http2.Frame) bool { return len(c.statuses) == 10 })
			}
			// Two connections, and six requests after the first of each.
			require.Equal(t, 8, first.count(status)+second.count(status))
			require.Equal(t, 12, first.count("503")+second.count("503"))

			// When the client has received the responses, it may send other requests.
			for _, c := range []*http2Conn{first, second} {
				require.NoError(t, c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24}))
				require.NoError(t, c.framer.WriteWindowUpdate(0, 1<<24))
			}
			for _, c := range []*http2Conn{first, second} {
				c.readUntil(func(http2.Frame) bool {
					for stream := range c.statuses {
						if !c.ended[stream] {
							return false
						}
					}
					return true
				})
			}
			eventually(t, "there is room for more", func() bool {
				c := dialHTTP2(t, s, ca)
				defer c.conn.Close()
				for range 6 {
					c.request("/openapi.json", true)
				}
				c.readUntil(func(http2.Frame) bool { return len(c.statuses) == 6 })
				return c.count("200") == 6
			})
			require.Contains(t, s.log.String(), `msg="requests refused, there are too many at the same time"`)
		})
	}
}

// TestLogOfHTTP2 floods the log by frames: with errors that net/http logs, and with bytes that it quotes.
func TestLogOfHTTP2(t *testing.T) {
	t.Parallel()
	s, ca := startHTTP2(t)
	began := time.Now()
	c := dialHTTP2(t, s, ca)
	c.request("/openapi.json", true) // which goes on, because the client does not receive it
	c.readUntil(func(http2.Frame) bool { return c.statuses[1] != "" })
	for range 1000 {
		require.NoError(t, c.framer.WriteGoAway(0, http2.ErrCodeInternal, bytes.Repeat([]byte("x"), 1000)))
	}
	require.NoError(t, c.framer.WritePing(false, [8]byte{1}))
	c.readUntil(func(frame http2.Frame) bool {
		ping, ok := frame.(*http2.PingFrame)
		return ok && ping.IsAck()
	})
	for range 300 {
		cfg := ca.config()
		cfg.NextProtos = []string{"h2"}
		conn, err := tls.Dial("tcp", s.address, cfg)
		require.NoError(t, err)
		_, err = conn.Write([]byte("no preface of HTTP/2, but as many bytes as one has"))
		require.NoError(t, err)
		_ = conn.Close()
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: ca.config()}}
	response, err := client.Get("https://" + s.address + "/hello")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Zero(t, s.stop())
	lines := s.log.matching(regexp.MustCompile(`(?m)^.*msg="http2: .*$`))
	require.NotEmpty(t, lines)
	allowed := 120 + int(2*time.Since(began).Seconds()) // 120 a minute
	require.LessOrEqual(t, len(lines), 2*allowed, "of the address, and of what names none")
	require.Less(t, len(slices.MaxFunc(lines, func(a, b string) int { return len(a) - len(b) })), 500)
	require.Contains(t, s.log.String(), `msg="requests not listed, a client has sent too many without a valid credential" from=others`)
	require.Contains(t, s.log.String(), "received GOAWAY")
}
