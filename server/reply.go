package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/gen/admin"
	"gatehouse/store"
)

// envelope is the answer of every operation that does not give out a bare object: Status, Message, Meta, in this order.
func envelope(status admin.ApiErrorStatus, message string, meta any) admin.ApiError {
	return admin.ApiError{Status: status, Message: message, Meta: meta}
}

// done answers that the operation succeeded, in the contract's words.
func done(c echo.Context, meta any) error {
	op := operationOf(c)
	return writeJSON(c, op.Responses[succeeded].Status, envelope(admin.ApiErrorStatusOK, op.Responses[succeeded].Message, meta))
}

// say answers that the operation succeeded, with a message of its own.
func say(c echo.Context, message string, meta any) error {
	return writeJSON(c, http.StatusOK, envelope(admin.ApiErrorStatusOK, message, meta))
}

// bare answers with an object without an envelope.
func bare(c echo.Context, object any) error { return writeJSON(c, http.StatusOK, object) }

// writeJSON writes compact JSON without a newline at its end. It goes out at once: who asked need not wait until the request is
// counted and logged.
func writeJSON(c echo.Context, status int, v any) error {
	text, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if text, err = appendJSON(make([]byte, 0, smallAnswer), v); err != nil {
			return err
		}
	}
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(text)))
	if err := c.Blob(status, echo.MIMEApplicationJSON, text); err != nil {
		return err
	}
	_ = http.NewResponseController(c.Response()).Flush() // what cannot is no connection
	return nil
}

// smallAnswer is room for most answers, in bytes: a user takes some 500.
const smallAnswer = 512

// appendJSON leaves `<`, `>` and `&` alone: json.Marshal and Echo would rewrite them, in a user's document too.
func appendJSON(buf []byte, v any) ([]byte, error) {
	text, err := fastjson.Append(buf, v, fastjson.SortMapKeys)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return text, nil
}

// listing is a list of what is stored on its way out.
type listing[T any] struct {
	// list and pages are the names of the list and of the number of pages.
	list, pages string
	page        store.Page
	rows        iter.Seq2[T, error]
	count       func() (int, error)
	// show makes of a row what the caller sees. It may use buf, which is empty, for it.
	show func(buf []byte, row T) ([]byte, error)
}

// asStored shows a document as it is stored.
func asStored(_ []byte, row store.Row) ([]byte, error) { return row.Document, nil }

// send sends the list row by row as the database gives it, in the memory of one row. An error before anything was sent is
// answered as any other; after it, the connection is broken off, so that half a list is not taken for a whole.
func send[T any](s *Server, c echo.Context, l listing[T]) error {
	pages := 0
	if l.page.Number > 0 {
		total, err := l.count()
		if err != nil {
			return err
		}
		pages = l.page.Pages(total)
	}
	out := s.newStream(c)
	separator := `{"` + l.list + `":[`
	var buf []byte
	for row, err := range l.rows {
		if err == nil {
			buf, err = l.show(buf[:0], row)
		}
		if err != nil {
			return s.breakOff(c, err)
		}
		if err := out.write(separator, buf); err != nil {
			return err
		}
		separator = ","
	}
	if separator == "," {
		separator = ""
	}
	return out.end(separator + `],"` + l.pages + `":` + strconv.Itoa(pages) + `}`)
}

func (s *Server) breakOff(c echo.Context, err error) error {
	if !c.Response().Committed {
		return err
	}
	s.Log.Error("list broken off", "operation", operationOf(c).ID, "err", err)
	panic(http.ErrAbortHandler)
}

// streamBuffer is how much of a long answer is gathered before it is sent: what a socket takes at once.
const streamBuffer = 64 << 10

// stream is a long answer on its way out. Until its first streamBuffer bytes are full nothing is sent, and another answer
// can be given in its place.
type stream struct {
	out *bufio.Writer
}

func (s *Server) newStream(c echo.Context) *stream {
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	paced := &pacedAnswer{answer: c.Response(), control: http.NewResponseController(c.Response()), timeout: s.Limits.BodyTimeout}
	return &stream{out: bufio.NewWriterSize(paced, streamBuffer)}
}

// pacedAnswer is an answer whose client must keep up a pace: while it is sent, it holds a connection of the database.
type pacedAnswer struct {
	answer  io.Writer
	control *http.ResponseController
	timeout time.Duration
}

// Write implements io.Writer.
func (p *pacedAnswer) Write(buf []byte) (int, error) {
	// A connection that has no deadlines has none to miss.
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.answer.Write(buf)
}

// write adds a text and a document. After an error it does nothing but return it.
func (s *stream) write(text string, document json.RawMessage) error {
	_, _ = s.out.WriteString(text) // bufio keeps its first error
	if _, err := s.out.Write(document); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// end adds the last text and sends what is left.
func (s *stream) end(text string) error {
	_, _ = s.out.WriteString(text)
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// page is the page that a list's `p` asks for; absent is what p means when it is not there.
func (s *Server) page(p *int, absent int) store.Page {
	if p != nil {
		absent = *p
	}
	return store.Page{Number: absent, Size: s.PageSize}
}

// What a list's page is when `p` is absent: everything for /admin, the first page for /api (facts §2.3).
const (
	everything = 0
	firstPage  = 1
)
