package httpbody_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"gatehouse/httpbody"
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
	received, err := httpbody.Receive(httptest.NewRecorder(), r, httpbody.Limits{Bytes: 100, Timeout: time.Minute})
	if err != nil {
		return "", err
	}
	raw, err := received.Decode()
	return string(raw), err
}

// openAll reads the same body as an import does, as a stream.
func openAll(encoding string, body io.Reader) (string, error) {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.Header.Set("Content-Encoding", encoding)
	opened, err := httpbody.Open(httptest.NewRecorder(), r, httpbody.Limits{Bytes: 100, Timeout: time.Minute})
	if err != nil {
		return "", err
	}
	defer opened.Close()
	raw, err := io.ReadAll(opened)
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

func TestTextEncodings(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(string, io.Reader) (string, error){"whole": readAll, "streamed": openAll} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, encoding := range []string{"", "gzip", "zstd"} {
				for text, want := range map[string]string{"\ufeff{}": "{}", "{}": "{}", "1": "1", "[ 1]": "[ 1]", "\ufeff\ufeff": "\ufeff"} {
					got, err := read(encoding, bytes.NewReader(encode(t, encoding, text)))
					require.NoError(t, err, "%q", text)
					require.Equal(t, want, got)
				}
				for _, text := range []string{"\xff\xfe{\x00}\x00", "\xfe\xff\x00{\x00}", "{\x00}\x00", "\x00{\x00}"} {
					_, err := read(encoding, bytes.NewReader(encode(t, encoding, text)))
					require.EqualError(t, err, "the body is in UTF-16: send it in UTF-8", "%q", text)
				}
			}
		})
	}
}

// TestReceivedBodies checks that a body is refused by what the client announces, and that its memory is bounded by the
// limit, not by what it decodes to.
func TestReceivedBodies(t *testing.T) { //nolint:paralleltest // it measures what the process allocates
	bomb := encode(t, "gzip", strings.Repeat(" ", 10<<20))
	r := httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(errors.New("is not read")))
	r.ContentLength = 1001
	_, err := httpbody.Receive(httptest.NewRecorder(), r, httpbody.Limits{Bytes: 1000, Timeout: time.Minute})
	require.ErrorIs(t, err, httpbody.ErrTooLarge)

	limit := int64(len(bomb))
	r = httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bomb))
	r.Header.Set("Content-Encoding", "gzip")
	received, err := httpbody.Receive(httptest.NewRecorder(), r, httpbody.Limits{Bytes: limit, Timeout: time.Minute})
	require.NoError(t, err)
	require.LessOrEqual(t, received.Memory(), 3*limit)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = received.Decode()
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, httpbody.ErrTooLarge)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "the body decodes to 10 MiB")
}

// TestSlowClients sends bodies that stall, over a connection that supports deadlines.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"", "gzip", "zstd"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			read := make(chan error, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := httpbody.Receive(w, r, httpbody.Limits{Bytes: 100, Timeout: 50 * time.Millisecond})
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

// TestSlowServers reads a body slower than its client sends it: that is not the client's fault.
func TestSlowServers(t *testing.T) {
	t.Parallel()
	read := make(chan error, 1)
	const timeout = 500 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := httpbody.Open(w, r, httpbody.Limits{Bytes: 1 << 20, Timeout: timeout})
		for buf := make([]byte, 32<<10); err == nil; {
			time.Sleep(timeout + timeout/2)
			_, err = body.Read(buf)
		}
		read <- err
	}))
	t.Cleanup(server.Close)
	resp, err := http.Post(server.URL, "", strings.NewReader(strings.Repeat("x", 100<<10)))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.ErrorIs(t, <-read, io.EOF)
}

// TestAnnouncedBodyTakesNoMemory: clients may announce a large body, and send nothing of it.
func TestAnnouncedBodyTakesNoMemory(t *testing.T) { //nolint:paralleltest // it would count the memory of other tests
	const size, bodies = 64 << 20, 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range bodies {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{"))
		r.ContentLength = size
		_, err := httpbody.Receive(httptest.NewRecorder(), r, httpbody.Limits{Bytes: size, Timeout: time.Minute})
		require.NoError(t, err)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size))
}
