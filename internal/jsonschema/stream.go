package jsonschema

import (
	"errors"
	"io"
	"iter"
)

// Stream validates a document that is written to it piece by piece, in the memory of its largest string, or of its
// largest value that the schema does not describe. It must be closed.
type Stream struct {
	checker *checker
	schema  *Schema
	// resume runs the checker until it needs the next piece; it returns false when the checker has returned.
	resume func() (struct{}, bool)
	stop   func()
	piece  []byte // not read yet
	ended  bool   // there is no next piece
	done   bool   // the checker has returned
	err    error
}

// errStopped ends a checker that nobody waits for.
var errStopped = errors.New("stopped")

// Stream returns a Stream for one document.
func (s *Schema) Stream() *Stream {
	stream := &Stream{schema: s, checker: s.checker()}
	// A coroutine: it runs only within resume and stop.
	stream.resume, stream.stop = iter.Pull(func(pause func(struct{}) bool) {
		stream.err = stream.checker.document(pieceReader{stream, pause})
	})
	return stream
}

// Write validates the next piece of the document. It returns the first problem so far, nil if there is none. The error
// wraps ErrSyntax. After a problem or an error, further pieces are ignored.
func (s *Stream) Write(piece []byte) (*Problem, error) {
	if s.piece = piece; len(piece) > 0 {
		s.run()
	}
	s.piece = nil
	return s.result()
}

// End is called after the last piece. It returns like Write.
func (s *Stream) End() (*Problem, error) {
	s.ended = true
	s.run()
	return s.result()
}

// Close releases the stream. Its other methods must not be called any more.
func (s *Stream) Close() {
	s.stop()
	if s.checker != nil {
		s.schema.release(s.checker)
		s.checker = nil
	}
}

func (s *Stream) run() {
	if s.done || s.checker.problems != nil {
		return
	}
	_, more := s.resume()
	s.done = !more
}

func (s *Stream) result() (*Problem, error) {
	if first := s.checker.first(); first != nil {
		return first, nil
	}
	return nil, s.err
}

// pieceReader reads the pieces of a stream, and pauses the checker between them.
type pieceReader struct {
	*Stream
	pause func(struct{}) bool
}

// Read implements io.Reader.
func (r pieceReader) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if !r.pause(struct{}{}) {
			return 0, errStopped
		}
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}
