package apiserver

import (
	"io"
	"net/http"
	"slices"
	"time"
)

// pieceSize is how many bytes of a response that is streamed are sent at a time.
const pieceSize = 64 << 10

// pacedWriter enforces a minimum download rate: a response that is streamed occupies memory and a connection of its
// client while it is sent.
type pacedWriter struct {
	response io.Writer
	control  *http.ResponseController
	timeout  time.Duration // for each piece
}

func newPacedWriter(response http.ResponseWriter, timeout time.Duration) *pacedWriter {
	return &pacedWriter{response, http.NewResponseController(response), timeout}
}

// extend gives the client the whole time for the next write. The time in which the handler waits is not the client's.
func (p *pacedWriter) extend() {
	if p != nil {
		// Ignore the error: not every ResponseWriter supports deadlines.
		_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	}
}

// Write implements io.Writer.
func (p *pacedWriter) Write(buf []byte) (n int, err error) {
	for piece := range slices.Chunk(buf, pieceSize) {
		p.extend()
		written, err := p.response.Write(piece)
		n += written
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
