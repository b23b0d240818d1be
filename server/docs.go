package server

import (
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/connlimit"
	"gatehouse/internal/docspage"
	"gatehouse/internal/webfile"
)

// docsSendBuffer is how much of a file of the documentation the system may hold for a client that does not read it. A
// client that is 100 ms away gets the largest file within two seconds.
const docsSendBuffer = 32 << 10

// docsPiece is how many bytes a client may take the timeout of a body for.
const docsPiece = 64 << 10

// docs are the contracts as files, and the page that shows them. They need no secret.
func (s *Server) docs() []extraRoute {
	if !s.servesDocs {
		return nil
	}
	var routes []extraRoute
	for _, file := range docspage.Files(docspage.Server{Version: s.version, BasePath: s.basePath}) {
		routes = append(routes, extraRoute{file.Path, s.serveFile(file)})
	}
	return routes
}

// serveFile returns a handler that serves a file to a client without a credential.
func (s *Server) serveFile(file *webfile.File) echo.HandlerFunc {
	return func(c echo.Context) error {
		connlimit.BoundSendBuffer(c.Request().Context(), docsSendBuffer)
		return file.Serve(&pacedResponse{c.Response(), s.limits.BodyTimeout}, c.Request())
	}
}

// pacedResponse is a response to a client without a credential. It enforces a minimum download rate, as pacedWriter
// does, and takes little memory meanwhile.
type pacedResponse struct {
	http.ResponseWriter

	timeout time.Duration // for each docsPiece bytes
}

// ReadFrom implements io.ReaderFrom, for io.Copy, which would hold a buffer of 32 KiB for as long as the client reads.
func (p *pacedResponse) ReadFrom(content io.Reader) (sent int64, err error) {
	const bufferSize = 4 << 10
	buf := make([]byte, bufferSize)
	out := struct{ io.Writer }{p.ResponseWriter}
	for {
		// Ignore the error: not every ResponseWriter supports deadlines.
		_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(p.timeout))
		n, err := io.CopyBuffer(out, io.LimitReader(content, docsPiece), buf)
		sent += n
		if err != nil || n < docsPiece {
			return sent, err
		}
	}
}
