package server

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"gatehouse/internal/document"
	"gatehouse/internal/jsonstream"
	"gatehouse/internal/schema"
)

const (
	// pace is how much of a body a client must send within Limits.BodyTimeout.
	pace = 64 << 10
	// inFlight bounds the bytes of an import that are in memory: read, but not yet the database's. A single document that
	// is larger goes alone.
	inFlight = 4 << 20
	// ahead bounds the documents that are in memory.
	ahead = 256
)

// pacedBody is a request's body whose client must keep up a pace: whoever waits for it holds a connection, and may hold the
// database's.
type pacedBody struct {
	body    io.Reader
	control *http.ResponseController
	timeout time.Duration
	left    int // bytes until the deadline is set anew
	done    atomic.Bool
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
		p.done.Store(true)
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// giveUp ends a Read that waits, and returns when reading has ended.
func (p *pacedBody) giveUp(reading *sync.WaitGroup) {
	if !p.done.Load() {
		_ = p.control.SetReadDeadline(time.Now())
	}
	reading.Wait()
	if !p.done.Load() {
		// net/http takes a little more of the body, so that the client gets to read the answer.
		_ = p.control.SetReadDeadline(time.Now().Add(p.timeout))
	}
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
	raw      []byte // as it came; reused
	buffer   []byte // of the result; reused
	result   schema.Result
	problems []problem // how it does not fit
	err      error     // it is not JSON, or the body ends here
	checked  chan struct{}
}

// intake reads an import: one goroutine takes documents out of the body, others check them, and they are handed over in
// their order. What is in memory is bounded, whatever the size of the body.
type intake struct {
	op     *operation
	check  *documentCheck
	body   *pacedBody
	reader *jsonstream.Reader

	room    *semaphore.Weighted
	order   chan *arrival // as they came
	waiting chan *arrival // to be checked
	free    sync.Pool
}

// arrivals are the documents of the request's body. What is handed over is good until the next one is asked for. An error
// is the last.
func (s *Server) arrivals(c echo.Context, check *documentCheck) iter.Seq2[*arrival, error] {
	return func(yield func(*arrival, error) bool) {
		op := operationOf(c)
		if c.Request().ContentLength > s.Limits.Import {
			yield(nil, failure{event: tooLarge})
			return
		}
		in := &intake{
			op: op, check: check, body: newPacedBody(c, s.Limits.BodyTimeout), room: semaphore.NewWeighted(inFlight),
			order: make(chan *arrival, ahead), waiting: make(chan *arrival, ahead),
			free: sync.Pool{New: func() any { return &arrival{checked: make(chan struct{}, 1)} }},
		}
		in.reader = jsonstream.NewReader(&limited{body: in.body, left: s.Limits.Import}, op.body.each, s.Limits.Document)
		// Not the request's: that ends with a read that fails, whose error is to be handed over.
		ctx, stop := context.WithCancel(context.WithoutCancel(c.Request().Context()))
		var working sync.WaitGroup
		working.Go(func() { in.read(ctx) })
		for range runtime.GOMAXPROCS(0) {
			working.Go(in.checkAll)
		}
		defer in.body.giveUp(&working) // nobody may read the body once the handler has returned
		defer stop()
		in.handOver(c, yield)
	}
}

// read takes the documents out of the body.
func (in *intake) read(ctx context.Context) {
	defer close(in.waiting)
	defer close(in.order)
	for {
		a := in.free.Get().(*arrival) //nolint:forcetypeassert // see New
		doc, err := in.reader.Next()
		a.raw, a.err = append(a.raw[:0], doc...), err
		if in.room.Acquire(ctx, a.size()) != nil {
			return
		}
		select {
		case in.order <- a:
		case <-ctx.Done():
			return
		}
		if err != nil {
			a.checked <- struct{}{}
			return
		}
		in.waiting <- a // never blocks for good: those who check take all
	}
}

// size is what the document takes of inFlight.
func (a *arrival) size() int64 { return min(int64(len(a.raw)), inFlight) }

func (in *intake) checkAll() {
	for a := range in.waiting {
		a.buffer = a.buffer[:0]
		a.result, a.problems, a.err = in.check.arriving(a.buffer, a.raw)
		a.buffer = a.result.Document
		a.checked <- struct{}{}
	}
}

// handOver hands the documents over, and at last makes sure of what is around them.
func (in *intake) handOver(c echo.Context, yield func(*arrival, error) bool) {
	for a := range in.order {
		<-a.checked
		switch {
		case errors.Is(a.err, io.EOF):
			if err := in.envelope(c); err != nil {
				yield(nil, err)
			}
			return
		case a.err != nil:
			yield(nil, in.failure(a.err))
			return
		case !yield(a, nil):
			return
		}
		in.room.Release(a.size())
		in.free.Put(a)
	}
}

// envelope checks what is around the documents.
func (in *intake) envelope(c echo.Context) error {
	rest, err := document.Compact(in.reader.Rest())
	if err != nil {
		return failure{event: malformed, problems: []problem{{Reason: err.Error()}}, cause: err}
	}
	return in.op.filter(c, &body{raw: rest})
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
		return failure{event: malformed, problems: []problem{{Reason: err.Error() + ", before byte " + strconv.FormatInt(in.reader.Offset()+1, 10)}}, cause: err}
	}
	return failure{event: malformed, problems: []problem{{Reason: "the body broke off"}}, cause: err}
}
