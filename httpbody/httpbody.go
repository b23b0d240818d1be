// Package httpbody reads request bodies: it decodes them, bounds their size and the memory that decoding takes, and
// requires clients to send at a minimum rate.
package httpbody

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The errors of a body, besides *MalformedError. All are the client's.
var (
	// ErrEmpty is returned for a body of whitespace only.
	ErrEmpty = errors.New("the body is empty")
	// ErrTooLarge is returned for a body that is larger, after decoding, than Limits.Bytes.
	ErrTooLarge = errors.New("the body is too large")
	// ErrTooSlow is returned when the client sends slower than Limits.Timeout allows.
	ErrTooSlow = errors.New("the client sends the body too slowly")
)

// MalformedError is returned for a body that cannot be decoded, and for one that ends early.
type MalformedError struct {
	Reason string // for the client
	Cause  error  // for the log; nil if there is none
}

// Error implements error.
func (e *MalformedError) Error() string {
	if e.Cause == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *MalformedError) Unwrap() error { return e.Cause }

const (
	// bytesPerTimeout is how much of a body a client must send within Limits.Timeout.
	bytesPerTimeout = 64 << 10
	// maxZstdWindow bounds the memory of a zstd decoder. RFC 8878 recommends that decoders support 8 MiB.
	maxZstdWindow = 8 << 20
)

// Limits bound a body.
type Limits struct {
	// Bytes is the maximum size after decoding.
	Bytes int64
	// Timeout is how long the client may take for each 64 KiB.
	Timeout time.Duration
}

// Open returns the body of r as it was before the client encoded it, without a byte order mark; gzip and zstd are
// supported. Open and the reader return the errors of this package only, and io.EOF. The caller must close the reader.
func Open(w http.ResponseWriter, r *http.Request, limits Limits) (io.ReadCloser, error) {
	return Decode(Encoded(w, r, limits), EncodingOf(r), limits)
}

// Encoded returns the body of r as the client sends it, at most Limits.Bytes. The reader returns the errors of this
// package only, and io.EOF.
func Encoded(w http.ResponseWriter, r *http.Request, limits Limits) io.Reader {
	return &reader{decoder: io.NopCloser(paced(w, r, limits)), remaining: limits.Bytes}
}

// AcceptsGzip reports whether the Accept-Encoding of r names gzip, with a weight other than 0.
func AcceptsGzip(r *http.Request) bool {
	for encoding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(encoding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(weight, " q=0.") != "" || weight == ""
		}
	}
	return false
}

// EncodingOf returns the content encoding of r in lower case, "" for a body that is sent as it is.
func EncodingOf(r *http.Request) string {
	encoding := strings.ToLower(r.Header.Get("Content-Encoding"))
	if encoding == identity {
		return ""
	}
	return encoding
}

// Decode returns what Encoded returned as Open would return it.
func Decode(encoded io.Reader, encoding string, limits Limits) (io.ReadCloser, error) {
	decoder, err := decode(encoded, encoding)
	if err != nil {
		return nil, err
	}
	return newTextReader(&reader{decoder: decoder, remaining: limits.Bytes})
}

func paced(w http.ResponseWriter, r *http.Request, limits Limits) io.Reader {
	return &pacedReader{source: r.Body, control: http.NewResponseController(w), timeout: limits.Timeout}
}

// Receive returns the whole body of r as the client encoded it. It returns ErrTooLarge for one of more than
// Limits.Bytes, and ErrEmpty for one without a byte. While the client sends, only what it has sent is held: decode the
// body when it is there.
func Receive(w http.ResponseWriter, r *http.Request, limits Limits) (Received, error) {
	if r.ContentLength > limits.Bytes {
		return Received{}, ErrTooLarge
	}
	raw, err := readAll(Encoded(w, r, limits), r.ContentLength)
	if err == nil && len(raw) == 0 {
		err = ErrEmpty
	}
	return Received{raw: raw, encoding: EncodingOf(r), limit: limits.Bytes}, err
}

// announcedMemory is how much memory a body takes in bytes before it is there, because its client says that it will
// send so much. Clients may say so and send nothing.
const announcedMemory = 16 << 10

// readAll reads to the end. length is the expected length, -1 if it is unknown.
func readAll(source io.Reader, length int64) ([]byte, error) {
	var all bytes.Buffer
	if length > 0 {
		all.Grow(int(min(length, announcedMemory)) + bytes.MinRead) // which ReadFrom requires to be free at the end
	}
	_, err := all.ReadFrom(source)
	return all.Bytes(), err
}

// Received is a body that the client has sent completely.
type Received struct {
	raw      []byte
	encoding string
	limit    int64 // of the decoded body
}

// Decode returns the body as it was before the client encoded it, without a byte order mark. It returns ErrTooLarge for
// one of more than Limits.Bytes, and ErrEmpty for one of whitespace only.
func (r Received) Decode() ([]byte, error) {
	text := r.raw
	if r.encoded() {
		decoder, err := decode(bytes.NewReader(r.raw), r.encoding)
		if err != nil {
			return nil, err
		}
		body := &reader{decoder: decoder, remaining: r.limit}
		defer body.Close()
		if text, err = readAll(body, -1); err != nil {
			return nil, err
		}
	}
	if isUTF16(text) {
		return nil, errUTF16()
	}
	text = bytes.TrimPrefix(text, []byte(utf8BOM))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, ErrEmpty
	}
	return text, nil
}

// encoded reports whether the client has encoded the body.
func (r Received) encoded() bool { return r.encoding != "" }

// MaxSize returns an upper bound of the size of the decoded body in bytes.
func (r Received) MaxSize() int64 {
	if r.encoded() {
		return r.limit
	}
	return int64(len(r.raw))
}

// Memory returns an upper bound of the memory that Decode takes, in bytes. It decodes a body into a buffer that grows.
func (r Received) Memory() int64 {
	const growth = 3 // the buffer, and one of up to twice its size that replaces it
	switch {
	case !r.encoded():
		return 0
	case r.encoding == "zstd":
		return growth*r.limit + maxZstdWindow
	}
	return growth * r.limit
}

// identity is the content encoding of a body that is sent as it is.
const identity = "identity"

// decode returns a reader of what source holds in a content encoding, in lower case.
func decode(source io.Reader, encoding string) (io.ReadCloser, error) {
	switch encoding {
	case "":
		return io.NopCloser(source), nil
	case "gzip":
		decoder, err := gzip.NewReader(source)
		switch {
		case err == nil:
			return decoder, nil
		case errors.Is(err, ErrTooSlow):
			return nil, ErrTooSlow
		case errors.Is(err, io.EOF):
			return nil, ErrEmpty
		}
		return nil, &MalformedError{Reason: "the body is not gzip", Cause: err}
	case "zstd":
		decoder, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, err // of the options: the body is read later
		}
		return decoder.IOReadCloser(), nil
	}
	return nil, &MalformedError{Reason: "Content-Encoding is neither gzip nor zstd"}
}

// reader bounds what a decoder returns, and translates its errors.
type reader struct {
	decoder   io.ReadCloser
	remaining int64 // bytes until the limit
}

// Read implements io.Reader.
func (r *reader) Read(buf []byte) (int, error) {
	if r.remaining <= 0 {
		// One more byte tells a body that ends at the limit from one that is larger.
		if n, err := r.decoder.Read(buf[:1]); n == 0 {
			return 0, translate(err)
		}
		return 0, ErrTooLarge
	}
	n, err := r.decoder.Read(buf[:min(int64(len(buf)), r.remaining)])
	r.remaining -= int64(n)
	return n, translate(err)
}

// Close implements io.Closer. It leaves the request's own body open, which net/http closes.
func (r *reader) Close() error { return r.decoder.Close() }

func translate(err error) error {
	switch {
	case err == nil, err == io.EOF: //nolint:errorlint // io.Reader requires io.EOF itself; a wrapped one is not the end
		return err
	case errors.Is(err, ErrTooSlow):
		return ErrTooSlow
	case errors.Is(err, ErrTooLarge):
		return ErrTooLarge
	}
	return &MalformedError{Reason: "the body broke off", Cause: err}
}

// pacedReader enforces a minimum upload rate, so that a slow client cannot occupy a connection, or the lock of an
// import.
type pacedReader struct {
	source  io.Reader
	control *http.ResponseController
	timeout time.Duration
	left    int           // bytes until the client has the whole timeout again
	rest    time.Duration // how long the client may still take for them
}

// Read implements io.Reader. It returns ErrTooSlow when the client has taken too long. Time that passes between two
// reads is not the client's: the server may be busy with what it has read.
func (p *pacedReader) Read(buf []byte) (int, error) {
	if p.left <= 0 {
		p.left, p.rest = bytesPerTimeout, p.timeout
	}
	started := time.Now()
	// Ignore the error: not every ResponseWriter supports deadlines.
	_ = p.control.SetReadDeadline(started.Add(p.rest))
	n, err := p.source.Read(buf)
	p.left, p.rest = p.left-n, p.rest-time.Since(started)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, ErrTooSlow
	}
	if err != nil {
		// Remove the deadline: net/http goes on reading for the end of the connection, and would cancel the request.
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
