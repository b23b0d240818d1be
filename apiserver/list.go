package apiserver

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// List is a response with a list of rows.
type List[T any] struct {
	// Name is the name of the list in the response. Without a name, the list is the whole response.
	Name string
	// Rows are the rows, such as those of a query that is read while they are sent. An error ends the list.
	Rows iter.Seq2[T, error]
	// Encode returns a row in JSON, which is used until the next call. nil encodes the row as it is.
	Encode func(T) (json.RawMessage, error)
	// CountName is the name of the member after the list, such as "pages", and Count its value. Count is called before
	// Rows, unless the request is HEAD. A nil Count is 0. Without a name, there is no such member.
	CountName string
	Count     func() (int, error)
	// File is set for a list that is sent as a file.
	File *ListFile
}

// ListFile is how a list is sent as a file.
type ListFile struct {
	// Name is the name of the file, and MediaType its type, such as application/octet-stream.
	Name, MediaType string
	// Lines is set for a file that is not JSON: Head, and after it what Encode returns for each row.
	Lines bool
	Head  string
}

// ListReplies are the replies of an operation that returns a list.
type ListReplies[R Replier] interface {
	StreamOK() R
	Failed(cause error) R
}

// ReplyList sends a list, row by row as Rows yields it, in the memory of one row. An error before anything was sent is
// replied like any other (ReplyError); a later one breaks off the connection, so that the client cannot mistake half of
// the list for all of it. So does a client that is not admitted any more while it reads.
func ReplyList[R Replier, T any](request AnyRequest, replies ListReplies[R], l List[T], expected ...ErrorReply[R]) R {
	r, count := request.base(), 0
	if l.Count != nil && !r.IsHead() {
		var err error
		if count, err = l.Count(); err != nil {
			return ReplyError(replies, err, expected...)
		}
	}
	ok := replies.StreamOK()
	head, tail := l.around(count)
	encode, out := l.encoder(), r.NewListWriter(ok, head)
	if l.File != nil {
		out.sendAs(l.File)
	}
	for row, err := range l.Rows {
		var element json.RawMessage
		if err == nil {
			err = r.AdmitAgain()
		}
		if err == nil {
			element, err = encode(row)
		}
		switch {
		case err != nil && r.Sent():
			r.LogBroken(err)
			panic(http.ErrAbortHandler)
		case err != nil:
			out.sendAsNoFile()
			return ReplyError(replies, err, expected...)
		}
		if !out.Write(element) {
			break
		}
	}
	out.End(tail)
	return ok
}

// around returns what the response has before and after the rows.
func (l List[T]) around(count int) (head, tail string) {
	switch {
	case l.File != nil && l.File.Lines:
		return l.File.Head, ""
	case l.Name == "":
		return `[`, `]`
	}
	head, tail = `{"`+l.Name+`":[`, `]}`
	if l.CountName != "" {
		tail = `],"` + l.CountName + `":` + strconv.Itoa(count) + `}`
	}
	return head, tail
}

func (l List[T]) encoder() func(T) (json.RawMessage, error) {
	if l.Encode != nil {
		return l.Encode
	}
	var buf []byte
	return func(row T) (_ json.RawMessage, err error) {
		buf, err = AppendJSON(buf[:0], row)
		return buf, err
	}
}

// ListWriter writes a response with a list, or an object, of any length. Nothing is sent until the first 64 KiB are
// full: until then, another response can be sent instead.
type ListWriter struct {
	request  *Request
	out      *bufio.Writer
	elements bool // there are some
	lines    bool // they are not separated by commas
	head     bool // the request is HEAD: only the headers are sent
}

// NewListWriter begins the body of a streamed reply with head.
func (r *Request) NewListWriter(reply Replier, head string) *ListWriter {
	response := r.Echo.Response()
	response.Status = reply.Reply().Response.Status
	response.Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	out := bufio.NewWriterSize(r.NewPacedWriter(), pieceSize)
	_, _ = out.WriteString(head) // a bufio.Writer returns its first error from each later call
	return &ListWriter{request: r, out: out, head: r.IsHead()}
}

// sendAs sends the list as a file.
func (l *ListWriter) sendAs(file *ListFile) {
	header := l.request.Echo.Response().Header()
	header.Set(echo.HeaderContentType, file.MediaType)
	header.Set(echo.HeaderContentDisposition, `attachment; filename="`+file.Name+`"`)
	l.lines = file.Lines
}

// sendAsNoFile has another response sent, which is no file.
func (l *ListWriter) sendAsNoFile() {
	header := l.request.Echo.Response().Header()
	header.Del(echo.HeaderContentType)
	header.Del(echo.HeaderContentDisposition)
}

// Write adds an element, of JSON. It reports whether the client receives more; End returns why not.
func (l *ListWriter) Write(element []byte) bool {
	if l.elements && !l.lines {
		_ = l.out.WriteByte(',')
	}
	l.elements = true
	_, err := l.out.Write(element)
	return err == nil && !l.head
}

// End completes the response with tail. It reports whether the whole response was sent, and logs why not.
func (l *ListWriter) End(tail string) bool {
	err := l.end(tail)
	if err != nil {
		r := l.request
		r.server.log.Info("response broken off by its client", "route", r.Echo.Path(), "err", err)
	}
	return err == nil
}

func (l *ListWriter) end(tail string) error {
	_, _ = l.out.WriteString(tail)
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("send a list: %w", err)
	}
	return nil
}

// NewPacedWriter returns a writer of the response that enforces a minimum download rate: the client may take
// Limits.BodyTimeout for each 64 KiB.
func (r *Request) NewPacedWriter() io.Writer {
	r.paced = newPacedWriter(r.Echo.Response(), r.server.limits.BodyTimeout)
	return r.paced
}

// ListRepliesOf returns the ListReplies of an operation whose failure is an object of its own, so that the generated
// Failed takes it besides the cause:
//
//	apiserver.ReplyList(r, apiserver.ListRepliesOf(reply.StreamOK, func(cause error) api.ListNotesReply {
//		return reply.Failed(api.Problem{Title: "The server has failed"}, cause)
//	}), list)
func ListRepliesOf[R Replier](streamOK func() R, failed func(cause error) R) ListReplies[R] {
	return listReplies[R]{streamOK, failed}
}

type listReplies[R Replier] struct {
	streamOK func() R
	failed   func(error) R
}

// StreamOK implements ListReplies.
func (l listReplies[R]) StreamOK() R { return l.streamOK() }

// Failed implements ListReplies.
func (l listReplies[R]) Failed(cause error) R { return l.failed(cause) }
