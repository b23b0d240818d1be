// Package httpbody reads request bodies: it decodes them, bounds their size, and requires clients to send at a minimum
// rate.
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

// Open returns the body of r as it was before the client encoded it; gzip and zstd are supported. Open and the reader
// return the errors of this package only, and io.EOF. The caller must close the reader.
func Open(w http.ResponseWriter, r *http.Request, limits Limits) (io.ReadCloser, error) {
	paced := &pacedReader{source: r.Body, control: http.NewResponseController(w), timeout: limits.Timeout}
	decoder, err := decode(paced, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	return &reader{decoder: decoder, remaining: limits.Bytes}, nil
}

// ReadAll returns the whole body of r, decoded as by Open. It returns ErrEmpty if there is only whitespace.
func ReadAll(w http.ResponseWriter, r *http.Request, limits Limits) ([]byte, error) {
	body, err := Open(w, r, limits)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err == nil && len(bytes.TrimSpace(raw)) == 0 {
		err = ErrEmpty
	}
	return raw, err
}

// decode returns a reader of what source holds in a content encoding.
func decode(source io.Reader, encoding string) (io.ReadCloser, error) {
	switch strings.ToLower(encoding) {
	case "", "identity":
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
	}
	return &MalformedError{Reason: "the body broke off", Cause: err}
}

// pacedReader enforces a minimum upload rate, so that a slow client cannot occupy a connection, or the lock of an
// import.
type pacedReader struct {
	source  io.Reader
	control *http.ResponseController
	timeout time.Duration
	left    int // bytes until the deadline is extended
}

// Read implements io.Reader. It returns ErrTooSlow when the deadline passes.
func (p *pacedReader) Read(buf []byte) (int, error) {
	if p.left <= 0 {
		p.left = bytesPerTimeout
		// Ignore the error: not every ResponseWriter supports deadlines.
		_ = p.control.SetReadDeadline(time.Now().Add(p.timeout))
	}
	n, err := p.source.Read(buf)
	p.left -= n
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, ErrTooSlow
	}
	if err != nil {
		// Remove the deadline: net/http goes on reading for the end of the connection, and would cancel the request.
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
