package server

import (
	"compress/gzip"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
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
