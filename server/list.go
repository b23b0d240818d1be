package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/fairqueue"
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

// sentListsOfOne is how many lists are sent to the users of an organisation at the same time; others wait for one to
// end. Two chunks of a list are in memory, of up to two megabytes, also while its client does not read.
const sentListsOfOne = 32

func newSentLists() *fairqueue.Queue { return fairqueue.New(math.MaxInt64, sentListsOfOne) }

// list is a page of a list of rows.
type list[T any] struct {
	// name and pages are the names of the list and of the number of pages. Without a name, the list is the whole response.
	name, pages string
	page        store.Page
	rows        iter.Seq2[T, error]
	count       func() (int, error)
	// encode returns a row in JSON, which is used until the next call.
	encode func(T) (json.RawMessage, error)
}

// stored returns the document of a row.
func stored(row store.Row) (json.RawMessage, error) { return row.Document, nil }

// acquireList waits until the organisation of the caller may have one more list. release must be called once if err is
// nil.
func (s *Server) acquireList(r *request) (release func(), err error) {
	if !r.caller.authenticated() {
		return func() {}, nil
	}
	return s.sentLists.Acquire(r.Context(), 1)
}

// listReplies are the replies of an operation that returns a list.
type listReplies[R replier] interface {
	StreamOK() R
	BadParameter(cause error) R
	Failed(cause error) R
}

// replyList sends a list, row by row as the database returns it, in the memory of one row. An error before anything was
// sent is replied like any other; a later one breaks off the connection, so that the client cannot mistake half of the
// list for all of it. So does a client that is not admitted any more while it reads.
func replyList[R replier, T any](s *Server, r *request, replies listReplies[R], l list[T]) R {
	release, err := s.acquireList(r)
	if err != nil {
		return replies.Failed(err)
	}
	defer release()
	pages := 0
	if l.page.Number > 0 && !r.isHead() {
		total, err := l.count()
		if err != nil {
			return replyError(replies, err, badParameter(replies))
		}
		pages = l.page.Pages(total)
	}
	ok := replies.StreamOK()
	head, tail := `{"`+l.name+`":[`, `],"`+l.pages+`":`+strconv.Itoa(pages)+`}`
	if l.name == "" {
		head, tail = `[`, `]`
	}
	out := s.newListWriter(r, ok, head)
	for row, err := range l.rows {
		var element json.RawMessage
		if err == nil {
			err = r.admitAgain()
		}
		if err == nil {
			element, err = l.encode(row)
		}
		switch {
		case err != nil && r.sent():
			s.logBrokenList(r.echo, err)
			panic(http.ErrAbortHandler)
		case err != nil:
			return replyError(replies, err, badParameter(replies))
		}
		if !out.write(element) {
			break
		}
	}
	s.finish(r, out, tail)
	return ok
}

// finish completes a response with tail. It reports whether the whole response was sent, and logs why not.
func (s *Server) finish(r *request, out *listWriter, tail string) bool {
	err := out.end(tail)
	if err != nil {
		s.log.Info("response broken off by its client", "route", r.echo.Path(), "err", err)
	}
	return err == nil
}

// listBuffer is how many bytes of a list are sent at a time.
const listBuffer = 64 << 10

// listWriter writes a response with a list, or an object, of any length. Nothing is sent until the first listBuffer
// bytes are full: until then, another response can be sent instead.
type listWriter struct {
	out      *bufio.Writer
	elements bool // there are some
	head     bool // the request is HEAD: only the headers are sent
}

// newListWriter begins the body of a reply with head.
func (s *Server) newListWriter(r *request, reply replier, head string) *listWriter {
	response := r.echo.Response()
	response.Status = reply.Reply().Response.Status
	response.Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	out := bufio.NewWriterSize(s.newPacedWriter(response), listBuffer)
	_, _ = out.WriteString(head) // a bufio.Writer returns its first error from each later call
	return &listWriter{out: out, head: r.isHead()}
}

// write adds an element. It reports whether the client receives more; end returns why not.
func (l *listWriter) write(element []byte) bool {
	if l.elements {
		_ = l.out.WriteByte(',')
	}
	l.elements = true
	_, err := l.out.Write(element)
	return err == nil && !l.head
}

// end completes the response with tail.
func (l *listWriter) end(tail string) error {
	_, _ = l.out.WriteString(tail)
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("send a list: %w", err)
	}
	return nil
}

// pacedWriter enforces a minimum download rate: a list occupies memory and a connection of its client while it is sent.
type pacedWriter struct {
	response io.Writer
	control  *http.ResponseController
	timeout  time.Duration // for each write
}

func (s *Server) newPacedWriter(response *echo.Response) *pacedWriter {
	return &pacedWriter{
		response: response, control: http.NewResponseController(response), timeout: s.limits.BodyTimeout,
	}
}

// Write implements io.Writer.
func (p *pacedWriter) Write(buf []byte) (n int, err error) {
	for piece := range slices.Chunk(buf, listBuffer) {
		// Ignore the error: not every ResponseWriter supports deadlines.
		_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
		written, err := p.response.Write(piece)
		n += written
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
