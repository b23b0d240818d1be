package httpbody_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/httpbody"
)

func encode(t *testing.T, encoding, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		encoder, err := zstd.NewWriter(&out)
		require.NoError(t, err)
		w = encoder
	default:
		return []byte(text)
	}
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// readAll reads a body of at most 100 bytes.
func readAll(encoding string, body io.Reader) (string, error) {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.Header.Set("Content-Encoding", encoding)
	raw, err := httpbody.ReadAll(httptest.NewRecorder(), r, httpbody.Limits{Bytes: 100, Timeout: time.Minute})
	return string(raw), err
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("x", 100)
	for _, encoding := range []string{"", "identity", "gzip", "zstd", "GZIP"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			body := func(text string) io.Reader { return bytes.NewReader(encode(t, strings.ToLower(encoding), text)) }
			got, err := readAll(encoding, body(whole))
			require.NoError(t, err)
			require.Equal(t, whole, got, "a body of the maximum size")
			_, err = readAll(encoding, body(whole+"x"))
			require.ErrorIs(t, err, httpbody.ErrTooLarge)
			_, err = readAll(encoding, body(strings.Repeat(" ", 1<<20)))
			require.ErrorIs(t, err, httpbody.ErrTooLarge, "a small body that decodes to a large one")
			_, err = readAll(encoding, body(" \n"))
			require.ErrorIs(t, err, httpbody.ErrEmpty)
			_, err = readAll(encoding, strings.NewReader(""))
			require.ErrorIs(t, err, httpbody.ErrEmpty)
		})
	}
}

func TestMalformedBodies(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		encoding, reason string
		body             io.Reader
	}{
		"unknown encoding":  {"br", "Content-Encoding is neither gzip nor zstd", strings.NewReader("x")},
		"not gzip":          {"gzip", "the body is not gzip", strings.NewReader("not gzip at all")},
		"not zstd":          {"zstd", "the body broke off", strings.NewReader("not zstd at all")},
		"gzip cut off":      {"gzip", "the body broke off", bytes.NewReader(encode(t, "gzip", "some text")[:15])},
		"zstd cut off":      {"zstd", "the body broke off", bytes.NewReader(encode(t, "zstd", "some text")[:10])},
		"a lost connection": {"", "the body broke off", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readAll(c.encoding, c.body)
			malformed, ok := errors.AsType[*httpbody.MalformedError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.reason, malformed.Reason)
		})
	}
}

// TestSlowClients sends bodies that stall, over a connection that supports deadlines.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"", "gzip", "zstd"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			read := make(chan error, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := httpbody.ReadAll(w, r, httpbody.Limits{Bytes: 100, Timeout: 50 * time.Millisecond})
				read <- err
			}))
			t.Cleanup(server.Close)
			stalled, unblock := io.Pipe()
			t.Cleanup(func() { _ = unblock.Close() })
			sent := io.MultiReader(bytes.NewReader(encode(t, encoding, "some text")[:3]), stalled)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, sent)
			require.NoError(t, err)
			r.Header.Set("Content-Encoding", encoding)
			go func() {
				if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
					_ = resp.Body.Close()
				}
			}()
			require.ErrorIs(t, <-read, httpbody.ErrTooSlow)
		})
	}
}
