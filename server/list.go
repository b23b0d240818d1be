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

	"gatehouse/store"
)

// The page of a list whose parameter p is absent (docs/behaviour.md#paging).
const (
	everything = 0 // of /admin
	firstPage  = 1 // of /api
)

// page returns the page that the parameter p of a list asks for.
func (s *Server) page(p *int, absent int) store.Page {
	if p != nil {
		absent = *p
	}
	return store.Page{Number: absent, Size: s.pageSize}
}

// list is a page of a list of rows.
type list[T any] struct {
	// name and pages are the names of the list and of the number of pages.
	name, pages string
	page        store.Page
	rows        iter.Seq2[T, error]
	count       func() (int, error)
	// encode returns a row in JSON, which is used until the next call.
	encode func(T) (json.RawMessage, error)
}

// stored returns the document of a row.
func stored(row store.Row) (json.RawMessage, error) { return row.Document, nil }

// replyList replies with a list, row by row as the database returns it, in the memory of one row. An error before
// anything was sent is replied like any other; a later one breaks off the connection, so that the client cannot mistake
// half of the list for all of it.
func replyList[T any](s *Server, c echo.Context, l list[T]) error {
	pages := 0
	if l.page.Number > 0 {
		total, err := l.count()
		if err != nil {
			return err
		}
		pages = l.page.Pages(total)
	}
	out := s.newListWriter(c, `{"`+l.name+`":[`)
	for row, err := range l.rows {
		var element json.RawMessage
		if err == nil {
			element, err = l.encode(row)
		}
		if err != nil {
			return s.breakOff(c, err)
		}
		if err := out.write(element); err != nil {
			return err
		}
	}
	return out.end(`],"` + l.pages + `":` + strconv.Itoa(pages) + `}`)
}

// breakOff returns err if it can still be replied. Else it closes the connection.
func (s *Server) breakOff(c echo.Context, err error) error {
	if !c.Response().Committed {
		return err
	}
	s.log.Error("list broken off", "operation", operationOf(c).ID, "err", err)
	panic(http.ErrAbortHandler)
}

// listBuffer is how many bytes of a list are sent at a time.
const listBuffer = 64 << 10

// listWriter writes a response with a list, or an object, of any length. Nothing is sent until the first listBuffer
// bytes are full: until then, another response can be sent instead.
type listWriter struct {
	out      *bufio.Writer
	elements bool // there are some
}

// newListWriter begins a response with head.
func (s *Server) newListWriter(c echo.Context, head string) *listWriter {
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	paced := &pacedWriter{
		response: c.Response(), control: http.NewResponseController(c.Response()), timeout: s.limits.BodyTimeout,
	}
	out := bufio.NewWriterSize(paced, listBuffer)
	_, _ = out.WriteString(head) // a bufio.Writer returns its first error from each later call
	return &listWriter{out: out}
}

// write adds an element.
func (l *listWriter) write(element []byte) error {
	if l.elements {
		_ = l.out.WriteByte(',')
	}
	l.elements = true
	if _, err := l.out.Write(element); err != nil {
		return fmt.Errorf("send a list: %w", err)
	}
	return nil
}

// end completes the response with tail.
func (l *listWriter) end(tail string) error {
	_, _ = l.out.WriteString(tail)
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("send a list: %w", err)
	}
	return nil
}

// pacedWriter enforces a minimum download rate: a list occupies a connection to the database while it is sent.
type pacedWriter struct {
	response io.Writer
	control  *http.ResponseController
	timeout  time.Duration // for each write
}

// Write implements io.Writer.
func (p *pacedWriter) Write(buf []byte) (int, error) {
	// Ignore the error: not every ResponseWriter supports deadlines.
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.response.Write(buf)
}
