package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"gatehouse/server"
)

// compressed returns a compressed text.
func compressed(t testing.TB, encoding, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if encoding == "zstd" {
		var err error
		w, err = zstd.NewWriter(&out)
		require.NoError(t, err)
	}
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func decompressed(t testing.TB, encoding, text string) string {
	t.Helper()
	var r io.Reader
	var err error
	if encoding == "zstd" {
		r, err = zstd.NewReader(strings.NewReader(text))
	} else {
		r, err = gzip.NewReader(strings.NewReader(text))
	}
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(plain)
}

func TestCompression(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	for _, encoding := range []string{"gzip", "zstd"} {
		t.Run(encoding, func(t *testing.T) {
			sent := compressed(t, encoding, `{"apis":[`+apiOf(org, encoding, `"name":"`+strings.Repeat("tide ", 1000)+`"`)+`]}`)
			b.admin("POST", "/admin/apis/import", string(sent), header("Content-Encoding", encoding)).message(200, "APIs imported")
			plain := b.admin("GET", "/admin/apis", nil).is(200)
			require.Contains(t, plain.body, `"api_id":"`+encoding+`"`)

			b.getEncoded(t, "/admin/apis", "").is(200)
			got := b.getEncoded(t, "/admin/apis", encoding).is(200)
			require.Equal(t, encoding, got.header.Get("Content-Encoding"))
			require.Less(t, len(got.body), len(plain.body)/4)
			require.Equal(t, plain.body, decompressed(t, encoding, got.body))

			user := compressed(t, encoding, `{"email_address":"`+encoding+`@example.org","active":true}`)
			b.admin("POST", "/admin/users", string(user), header("Content-Encoding", encoding)).is(200)
			small := b.getEncoded(t, "/admin/hello", encoding).is(200)
			require.Empty(t, small.header.Get("Content-Encoding"), "a small response is not compressed")
		})
	}
	t.Run("lists for gateways have gzip only", func(t *testing.T) {
		got := b.getEncoded(t, "/system/apis", "gzip", header("Authorization", nodeSecret)).is(200)
		require.Equal(t, "gzip", got.header.Get("Content-Encoding"))
		require.Contains(t, decompressed(t, "gzip", got.body), `"name":"tide `)
		got = b.getEncoded(t, "/system/apis", "zstd", header("Authorization", nodeSecret)).is(200)
		require.Empty(t, got.header.Get("Content-Encoding"))
		require.Contains(t, got.body, `"name":"tide `)
	})
}

// getEncoded requests a path as a client that accepts an encoding, and does not decode the response.
func (b *bundle) getEncoded(t *testing.T, path, encoding string, change ...with) reply {
	t.Helper()
	return b.admin("GET", path, nil, append(change, func(r *http.Request) {
		r.Header.Set("Accept-Encoding", encoding) // Go's client decodes only what it asked for itself
		if encoding == "" {
			r.Header["Accept-Encoding"] = nil
		}
	})...)
}

// TestHeadIsNotCompressed: its body would be compressed and left out.
func TestHeadIsNotCompressed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 30 {
		b.org()
	}
	list := b.getEncoded(t, "/admin/organisations", "gzip").is(200)
	require.Equal(t, "gzip", list.header.Get("Content-Encoding"))
	head := b.admin("HEAD", "/admin/organisations", nil, header("Accept-Encoding", "gzip")).is(200)
	require.Empty(t, head.header.Get("Content-Encoding"))
}

// TestBodiesThatNobodyReads announces bodies and does not send them: each request has its response, and the connection
// ends.
func TestBodiesThatNobodyReads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	address := strings.TrimPrefix(b.url, "http://")
	for request, status := range map[string]int{
		"POST /admin/users HTTP/1.1\r\nContent-Length: 1000":             401,
		"POST /admin/users HTTP/1.1\r\nTransfer-Encoding: chunked":       401,
		"POST /admin/apis/import HTTP/1.1\r\nContent-Length: 4000000000": 401,
		"POST /nothing HTTP/1.1\r\nContent-Length: 1000":                 404,
		"GET /hello HTTP/1.1\r\nContent-Length: 1000":                    200,
		"GET /hello HTTP/1.1\r\nTransfer-Encoding: chunked":              200,
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(soon)))
			_, err = fmt.Fprintf(conn, "%s\r\nHost: gatehouse\r\n\r\n", request)
			require.NoError(t, err)
			in := bufio.NewReader(conn)
			response, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, status, response.StatusCode)
			_, err = io.Copy(io.Discard, response.Body)
			require.NoError(t, err)
			_, err = in.ReadByte()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

// TestRefusalOfALargeBodyArrives: a client that sends all of its body before it reads has the response nevertheless.
func TestRefusalOfALargeBodyArrives(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped)
	const size = 16 << 20 // more than the buffers of a connection
	for key, status := range map[string]int{"guessed": 401, secret: 413} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = fmt.Fprintf(conn, "POST /admin/users HTTP/1.1\r\nHost: x\r\nAdmin-Auth: %s\r\nContent-Length: %d\r\n\r\n%s",
			key, size, strings.Repeat(" ", size))
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, status, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}
}

// TestClientThatDoesNotRead checks that a client cannot occupy a connection to the database by not reading a list.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped, func(cfg *server.Config) { cfg.Limits.BodyTimeout = time.Second })
	b.fill(b.org(), manyDocuments)
	for i, path := range []string{"/admin/apis", "/system/apis"} {
		body := b.getSlowly(path, nodeSecret)
		require.Eventually(t, func() bool { return strings.Count(b.log.String(), "i/o timeout") > i }, soon, pollEvery)
		_, err := io.Copy(io.Discard, body)
		require.Error(t, err, "the client can tell that the list is incomplete")
	}
}
