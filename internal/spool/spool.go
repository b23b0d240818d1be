// Package spool holds a sequence of records until all of them have arrived: in memory while they are few, otherwise in
// a file, which has no name, so that nothing is left of it when its program ends.
package spool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// The errors of a Spool, besides those of its file.
var (
	// ErrTooLarge is returned when the records are larger than Config.Max.
	ErrTooLarge = errors.New("more than the spool may hold")
	// ErrNoFile is returned when the records need a file, and none can be created.
	ErrNoFile = errors.New("cannot create a file")
)

// Config configures a Spool.
type Config struct {
	// Dir is the directory of the file.
	Dir string
	// Memory is how many bytes are held in memory. With more, they are written to the file.
	Memory int
	// Max is the maximum size of all records in bytes.
	Max int64
}

// Spool holds records. First all are added, then they are read. It is not safe for concurrent use, and must be closed.
type Spool struct {
	cfg     Config
	file    *os.File // nil while all records are in memory
	tail    []byte   // the records that the file does not have
	written int64    // bytes of the file
}

// New returns an empty spool.
func New(cfg Config) *Spool { return &Spool{cfg: cfg} }

// Add adds a record, which consists of fields.
func (s *Spool) Add(fields ...[]byte) error {
	s.tail = binary.AppendUvarint(s.tail, uint64(len(fields)))
	for _, field := range fields {
		s.tail = append(binary.AppendUvarint(s.tail, uint64(len(field))), field...)
	}
	if s.written+int64(len(s.tail)) > s.cfg.Max {
		return ErrTooLarge
	}
	if len(s.tail) < s.cfg.Memory {
		return nil
	}
	return s.flush()
}

// flush moves what is in memory to the file.
func (s *Spool) flush() error {
	if s.file == nil {
		if err := s.create(); err != nil {
			return fmt.Errorf("spool: %w in %s: %w", ErrNoFile, s.cfg.Dir, err)
		}
	}
	if _, err := s.file.Write(s.tail); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.written += int64(len(s.tail))
	s.tail = s.tail[:0]
	return nil
}

// create creates the file, and removes its name.
func (s *Spool) create() error {
	file, err := os.CreateTemp(s.cfg.Dir, "gatehouse-import-*")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file = file
	return nil
}

// Records returns the records in the order in which they were added. A record is valid until the next one is requested.
// An error is the last that is yielded.
func (s *Spool) Records() iter.Seq2[[][]byte, error] {
	return func(yield func([][]byte, error) bool) {
		var source io.Reader = bytes.NewReader(s.tail)
		if s.file != nil {
			source = io.MultiReader(io.NewSectionReader(s.file, 0, s.written), source)
		}
		r := reader{source: bufio.NewReaderSize(source, readBuffer)}
		for {
			record, err := r.next()
			if err == io.EOF { //nolint:errorlint // the end of the records
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("spool: %w", err))
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

// Close releases the memory and the file.
func (s *Spool) Close() error {
	s.tail = nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// readBuffer is how many bytes of the file are read at a time.
const readBuffer = 64 << 10

// reader reads records.
type reader struct {
	source *bufio.Reader
	text   []byte // of all fields, one after another
	fields [][]byte
}

// next returns the next record. It returns io.EOF if there are no more.
func (r *reader) next() ([][]byte, error) {
	count, err := binary.ReadUvarint(r.source)
	if err != nil {
		return nil, err
	}
	r.text, r.fields = r.text[:0], r.fields[:0]
	for range count {
		size, err := binary.ReadUvarint(r.source)
		if err != nil {
			return nil, err
		}
		start := len(r.text)
		// If text grows, earlier fields keep the memory that they are in.
		r.text = slices.Grow(r.text, int(size))[:start+int(size)]
		if _, err := io.ReadFull(r.source, r.text[start:]); err != nil {
			return nil, err
		}
		r.fields = append(r.fields, r.text[start:len(r.text):len(r.text)])
	}
	return r.fields, nil
}
