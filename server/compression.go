package server

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// compressed has answers compressed with zstd or gzip for those who accept it, but for gateways: what they load comes as
// fast as the database gives it, over a short way, and Go's HTTP client asks for gzip unasked.
func (s *Server) compressed() http.Handler {
	wrap, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		panic(err) // these options are valid
	}
	squeezed := wrap(s.echo)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(echo.HeaderAcceptEncoding) == "" || strings.HasPrefix(r.URL.Path, "/system/") {
			s.echo.ServeHTTP(w, r)
			return
		}
		squeezed.ServeHTTP(w, r)
	})
}

// maxWindow is how much memory a client may have a zstd decoder take: what RFC 8878 asks every decoder to allow.
const maxWindow = 8 << 20

// decoded is a body as its client had it before it compressed it.
func decoded(c echo.Context, body io.Reader) (io.ReadCloser, error) {
	switch encoding := strings.ToLower(c.Request().Header.Get(echo.HeaderContentEncoding)); encoding {
	case "", "identity":
		return io.NopCloser(body), nil
	case "gzip":
		reader, err := gzip.NewReader(body)
		return reader, notGzip(err)
	case "zstd":
		reader, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err // of the options; what the body is shows when it is read
		}
		return reader.IOReadCloser(), nil
	}
	return nil, failure{event: malformed, problems: []contract.Problem{{Reason: "Content-Encoding is neither gzip nor zstd"}}}
}

// notGzip says what a body is that does not begin as gzip does.
func notGzip(err error) error {
	var known failure
	switch {
	case err == nil, errors.As(err, &known): // of the body's own
		return err
	case errors.Is(err, io.EOF):
		return failure{event: emptyBody}
	}
	return failure{event: malformed, problems: []contract.Problem{{Reason: "the body is not gzip"}}, cause: err}
}
