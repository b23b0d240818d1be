package server

import (
	"errors"
	"io"
	"iter"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/internal/document"
	"gatehouse/internal/jsonstream"
	"gatehouse/internal/schema"
)

// pace is how much of a body a client must send within Limits.BodyTimeout.
const pace = 64 << 10

// pacedBody is a request's body whose client must keep up a pace: whoever waits for it holds a connection, and may hold the
// database's.
type pacedBody struct {
	body    io.Reader
	control *http.ResponseController
	timeout time.Duration
	left    int // bytes until the deadline is set anew
}

func newPacedBody(c echo.Context, timeout time.Duration) *pacedBody {
	return &pacedBody{body: c.Request().Body, control: http.NewResponseController(c.Response()), timeout: timeout}
}

// Read implements io.Reader. A client that is too slow is a failure.
func (p *pacedBody) Read(buf []byte) (int, error) {
	if p.left <= 0 {
		p.left = pace
		// A connection that has no deadlines has none to miss.
		_ = p.control.SetReadDeadline(time.Now().Add(p.timeout))
	}
	n, err := p.body.Read(buf)
	p.left -= n
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, failure{event: tooSlow, cause: err}
	}
	if err != nil {
		// The body is done. A deadline that passed later would end the request, which net/http listens for.
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// limited is a body that fails when it is larger than it may be.
type limited struct {
	body io.Reader
	left int64
}

// Read implements io.Reader.
func (l *limited) Read(buf []byte) (int, error) {
	if l.left <= 0 {
		// One more byte tells a body that ends here from one that goes on.
		if n, err := l.body.Read(buf[:1]); n == 0 {
			return 0, err
		}
		return 0, failure{event: tooLarge}
	}
	n, err := l.body.Read(buf[:min(int64(len(buf)), l.left)])
	l.left -= int64(n)
	return n, err
}

// arrival is a document of an import on its way in.
type arrival struct {
	result   schema.Result
	problems []contract.Problem // how it does not fit
}

// intake reads an import, document by document. What is in memory is one document, whatever the size of the body.
type intake struct {
	op     *contract.Operation
	reader *jsonstream.Reader
}

// arrivals are the documents of the request's body, checked. What is handed over is good until the next one is asked for.
// An error is the last.
func (s *Server) arrivals(c echo.Context, check *documentCheck) iter.Seq2[*arrival, error] {
	return func(yield func(*arrival, error) bool) {
		op := operationOf(c)
		if c.Request().ContentLength > s.Limits.Import {
			yield(nil, failure{event: tooLarge})
			return
		}
		sent, err := decoded(c, newPacedBody(c, s.Limits.BodyTimeout))
		if err != nil {
			yield(nil, err)
			return
		}
		defer sent.Close()
		in := &intake{op: op, reader: jsonstream.NewReader(&limited{body: sent, left: s.Limits.Import}, op.Body.List, s.Limits.Document)}
		a := &arrival{}
		for {
			doc, err := in.reader.Next()
			if err == nil {
				a.result, a.problems, err = check.arriving(a.result.Document[:0], doc)
			}
			switch {
			case err == nil:
				if !yield(a, nil) {
					return
				}
				continue
			case !errors.Is(err, io.EOF):
				yield(nil, in.failure(err))
			default:
				if err := in.envelope(c); err != nil {
					yield(nil, err)
				}
			}
			return
		}
	}
}

// envelope checks what is around the documents.
func (in *intake) envelope(c echo.Context) error {
	rest, err := document.Compact(in.reader.Rest())
	if err != nil {
		return failure{event: malformed, problems: []contract.Problem{{Reason: err.Error()}}, cause: err}
	}
	return filter(c, in.op, &body{raw: rest})
}

// failure says what is wrong with a body that cannot be read on.
func (in *intake) failure(err error) error {
	var known failure
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, jsonstream.ErrEmpty):
		return failure{event: emptyBody}
	case errors.Is(err, jsonstream.ErrTooLarge):
		return failure{event: tooLarge, cause: err}
	case errors.Is(err, jsonstream.ErrSyntax), errors.Is(err, schema.ErrSyntax):
		return failure{event: malformed, problems: []contract.Problem{{Reason: err.Error() + ", before byte " + strconv.FormatInt(in.reader.Offset()+1, 10)}}, cause: err}
	}
	return failure{event: malformed, problems: []contract.Problem{{Reason: "the body broke off"}}, cause: err}
}
