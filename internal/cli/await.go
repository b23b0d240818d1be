package cli

import (
	"bytes"
	"context"
	"io"
)

// await calls a function that may block for as long as another program likes, such as one that opens or reads a pipe.
// It returns the result, or the error of ctx if that ends first. The function then still runs, until the program ends:
// a system call that waits for another program cannot be interrupted.
func await[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// patientReader reads from another program until ctx ends.
type patientReader struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader.
func (r patientReader) Read(p []byte) (int, error) {
	buffer := make([]byte, len(p)) // of its own: the caller may use p after ctx has ended
	n, err := await(r.ctx, func() (int, error) { return r.from.Read(buffer) })
	return copy(p, buffer[:n]), err
}

// patientWriter writes to another program until ctx ends.
type patientWriter struct {
	ctx context.Context
	to  io.Writer
}

// Write implements io.Writer.
func (w patientWriter) Write(p []byte) (int, error) {
	own := bytes.Clone(p)
	return await(w.ctx, func() (int, error) { return w.to.Write(own) })
}
