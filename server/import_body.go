package server

import (
	"io"
	"iter"
	"runtime"

	"gatehouse/httpbody"
	"gatehouse/internal/spool"
)

// largeImports is how many imports may take much memory at the same time. One takes up to 150 MiB: six times
// Limits.Document, and what a zstd decoder remembers. Only one import writes into a table at a time, so that more would
// gain little.
const largeImports = 1

// settledMemory is how much of a body that has settled is held in memory, in bytes: many may wait for their turn.
const settledMemory = 128 << 10

// importBody is the body of an import. Most of them are decoded while the client sends. One that may take much memory,
// because it is compressed or has a large document, is received first, and then waits until it is its turn: so no
// import waits for the client of another one, and the memory of many imports at once is bounded.
type importBody struct {
	server  *Server
	request *request

	source io.Reader // what the client sends, or has sent
	// Of a body that has settled:
	received *spool.Spool
	stop     func()
	turn     bool // it holds one of largeImports
}

// open returns the decoded body.
func (b *importBody) open() (io.ReadCloser, error) {
	sent, limits := b.request.Echo.Request(), b.server.limits
	if sent.ContentLength > limits.Import {
		return nil, httpbody.ErrTooLarge
	}
	body := httpbody.Limits{Bytes: limits.Import, Timeout: limits.BodyTimeout}
	b.source = meteredReader{
		httpbody.Encoded(b.request.Echo.Response(), sent, body),
		b.server.metrics.importedBytes.WithLabelValues(b.request.Operation.ID),
	}
	encoding := httpbody.EncodingOf(sent)
	if encoding != "" {
		if err := b.settle(); err != nil {
			return nil, err
		}
	}
	return httpbody.Decode(b, encoding, body)
}

// Read implements io.Reader: it reads the body as it was sent.
func (b *importBody) Read(p []byte) (int, error) { return b.source.Read(p) }

// settle receives the rest of the body, and waits until it may take much memory.
func (b *importBody) settle() error {
	if b.received != nil {
		return nil
	}
	const piece, overhead = 64 << 10, 16 // of a record, in bytes
	limit := b.server.limits.Import
	b.received = spool.New(spool.Config{
		Dir: b.server.spoolDir, Memory: settledMemory, Max: limit + (limit/piece+1)*overhead,
	})
	buf := make([]byte, piece)
	for {
		n, err := io.ReadFull(b.source, buf)
		if err := b.received.Add(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF { // the end; other errors may wrap them
			break
		}
		if err != nil {
			return err
		}
	}
	if err := b.server.largeImports.Acquire(b.request.Context(), 1); err != nil {
		return err
	}
	b.turn = true
	records := &recordReader{}
	records.next, b.stop = iter.Pull2(b.received.Records())
	b.source = records
	return nil
}

// Close releases what the body holds. It must be called when the import takes no memory any more.
func (b *importBody) Close() error {
	if b.turn {
		b.stop()
		runtime.GC() // before the next one needs as much: the collector would wait until there is more than twice as much
		b.server.largeImports.Release(1)
	}
	if b.received != nil {
		return b.received.Close()
	}
	return nil
}

// recordReader reads the records of a spool, one after another.
type recordReader struct {
	next func() ([][]byte, error, bool)
	rest []byte // of the current record
}

// Read implements io.Reader.
func (r *recordReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		fields, err, more := r.next()
		switch {
		case !more:
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
		r.rest = fields[0]
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
