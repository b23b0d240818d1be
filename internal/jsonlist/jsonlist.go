// Package jsonlist reads a list of documents from a JSON object of any length, in the memory of one document:
//
//	{"apis":[{…}, {…}],"pages":0}
//
// It finds where documents begin and end. Whether a document is valid JSON is left to its user.
package jsonlist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The errors of a Reader, besides those of its source.
var (
	// ErrSyntax is returned if the text around the documents is not JSON, or the source ends early.
	ErrSyntax = errors.New("not one JSON value")
	// ErrEmpty is returned if the source has only whitespace.
	ErrEmpty = errors.New("empty")
	// ErrTooLarge is returned if a document, or the text around the list, is larger than its limit.
	ErrTooLarge = errors.New("too large")
)

const (
	// initialBuffer is the initial size of the buffer in bytes. It grows to fit a document.
	initialBuffer = 64 << 10
	// largeBuffer is the size of a buffer in bytes that nearly all documents fit into.
	largeBuffer = 256 << 10
	// maxRest is the maximum size in bytes of the text around the list, which has a few numbers.
	maxRest = 1 << 20
)

// Reader reads one object.
type Reader struct {
	// OnLarge, if it is not nil, is called once, before a document takes more memory than largeBuffer. Next returns its
	// error.
	OnLarge func() error

	src   io.Reader
	err   error  // of src
	list  string // the name of the list
	limit int    // maximum size of a document in bytes

	buf      []byte // buf[at:end] has been read from src, but not been used
	at       int
	end      int
	position Position // of buf[counted] in src: of the last document, if it is still in buf
	counted  int

	state  state
	listed bool   // the list has been read, or is being read
	read   int    // documents
	rest   []byte // the text around the documents
}

type state int

const (
	atStart state = iota
	inObject
	inList
	atEnd
)

// NewReader returns a reader of the object in src. list is the name of the list, which may be written in any case, and
// limit the maximum size of a document in bytes.
func NewReader(src io.Reader, list string, limit int) *Reader {
	return &Reader{src: src, list: list, limit: limit, buf: make([]byte, initialBuffer)}
}

// Next returns the next document, which is valid until the next call. It returns io.EOF when the source has ended
// behind the object.
func (r *Reader) Next() ([]byte, error) {
	for {
		var err error
		switch r.state {
		case atStart:
			err = r.start()
		case inObject:
			err = r.member()
		case inList:
			doc, more, err := r.element()
			if err != nil || more {
				return doc, err
			}
		case atEnd:
			if _, err = r.peek(); err == nil {
				err = r.syntax()
			}
			if err == io.EOF { //nolint:errorlint // never wrapped here
				return nil, io.EOF
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// Rest returns, after Next has returned io.EOF, the source with an empty list in place of the documents. If the source
// is not an object, it is all of it.
func (r *Reader) Rest() []byte { return r.rest }

// Position is a place in a text.
type Position struct {
	// Offset is the number of bytes before the place.
	Offset int64
	// Line and Column count from 0 here, and a column is a byte. String counts them from 1, as editors do.
	Line   int
	Column int64
}

// String returns the position for a reader.
func (p Position) String() string {
	return fmt.Sprintf("at byte %d, line %d, column %d", p.Offset, p.Line+1, p.Column+1)
}

// Behind returns the position at the end of a text that begins at p.
func (p Position) Behind(text []byte) Position {
	p.Offset += int64(len(text))
	if lines := bytes.Count(text, []byte("\n")); lines > 0 {
		p.Line, p.Column = p.Line+lines, 0
		text = text[bytes.LastIndexByte(text, '\n')+1:]
	}
	p.Column += int64(len(text))
	return p
}

// Position returns the position of the document that Next returned last.
func (r *Reader) Position() Position { return r.position }

// count advances position to a place in buf, which it has not passed.
func (r *Reader) count(to int) { r.position, r.counted = r.position.Behind(r.buf[r.counted:to]), to }

// syntax returns the error for what follows in the source.
func (r *Reader) syntax() error {
	return fmt.Errorf("%w: %s", ErrSyntax, r.position.Behind(r.buf[r.counted:r.at]))
}

// start reads up to the first member. A value that is not an object has no list.
func (r *Reader) start() error {
	c, err := r.peek()
	if err == io.EOF { //nolint:errorlint // never wrapped here
		return ErrEmpty
	}
	if err != nil {
		return err
	}
	if c != '{' {
		r.state = atEnd
		return r.keepValue(maxRest)
	}
	r.at++
	r.rest = append(r.rest, '{')
	r.state = inObject
	return nil
}

// member reads a member, or the end of the object. Of the list it reads the opening bracket only.
func (r *Reader) member() error {
	c, err := r.must()
	if err != nil {
		return err
	}
	first := len(r.rest) == 1
	if c == '}' {
		r.at++
		r.rest = append(r.rest, '}')
		r.state = atEnd
		return nil
	}
	if !first {
		if c != ',' {
			return r.syntax()
		}
		r.at++
		r.rest = append(r.rest, ',')
		if c, err = r.must(); err != nil {
			return err
		}
	}
	if c != '"' {
		return r.syntax()
	}
	nameAt := len(r.rest)
	if err := r.keepValue(maxRest); err != nil {
		return err
	}
	var name string
	_ = json.Unmarshal(r.rest[nameAt:], &name) // a valid string: it begins with a quote
	if c, err = r.must(); err == nil && c != ':' {
		err = r.syntax()
	}
	if err != nil {
		return err
	}
	r.at++
	r.rest = append(r.rest, ':')
	if c, err = r.must(); err != nil {
		return err
	}
	if !strings.EqualFold(name, r.list) || c != '[' {
		return r.keepValue(maxRest)
	}
	if r.listed {
		return fmt.Errorf("%w: %q is there twice", ErrSyntax, r.list)
	}
	r.listed = true
	r.at++
	r.rest = append(r.rest, '[')
	r.state = inList
	return nil
}

// element reads a document, or the end of the list: more is false then.
func (r *Reader) element() (doc []byte, more bool, err error) {
	c, err := r.must()
	switch {
	case err != nil:
		return nil, false, err
	case c == ']':
		r.at++
		r.rest = append(r.rest, ']')
		r.state = inObject
		return nil, false, nil
	case r.read > 0 && c != ',':
		return nil, false, r.syntax()
	case r.read > 0:
		r.at++
		if c, err = r.must(); err == nil && c == ']' {
			err = r.syntax()
		}
		if err != nil {
			return nil, false, err
		}
	}
	r.read++
	doc, err = r.value(r.limit)
	r.count(r.at - len(doc))
	return doc, true, err
}

// keepValue reads a value and adds it to the rest.
func (r *Reader) keepValue(limit int) error {
	raw, err := r.value(limit)
	if err != nil {
		return err
	}
	if len(r.rest)+len(raw) > maxRest {
		return ErrTooLarge
	}
	if !json.Valid(raw) || !utf8.Valid(raw) {
		r.at -= len(raw) // the error is about this value
		return r.syntax()
	}
	r.rest = append(r.rest, raw...)
	return nil
}

// peek skips whitespace and returns the next byte without using it.
func (r *Reader) peek() (byte, error) {
	for {
		for r.at < r.end {
			switch c := r.buf[r.at]; c {
			case ' ', '\t', '\n', '\r':
				r.at++
			default:
				return c, nil
			}
		}
		if err := r.fill(r.limit); err != nil {
			return 0, err
		}
	}
}

// must is peek where the source may not end.
func (r *Reader) must() (byte, error) {
	c, err := r.peek()
	if err == io.EOF { //nolint:errorlint // never wrapped here
		err = r.syntax()
	}
	return c, err
}

// value reads a value, which is valid until the next read.
func (r *Reader) value(limit int) ([]byte, error) {
	s := scanner{}
	for scanned := 0; ; {
		n, done := s.scan(r.buf[r.at+scanned : r.end])
		if scanned += n; scanned > limit {
			return nil, ErrTooLarge
		}
		if done {
			raw := r.buf[r.at : r.at+scanned]
			r.at += scanned
			return raw, checkStart(r, raw)
		}
		err := r.fill(limit)
		if err == io.EOF && s.scalar && scanned > 0 { //nolint:errorlint // never wrapped here
			raw := r.buf[r.at : r.at+scanned]
			r.at += scanned
			return raw, nil
		}
		if err == io.EOF { //nolint:errorlint // never wrapped here
			err = r.syntax()
		}
		if err != nil {
			return nil, err
		}
	}
}

// checkStart returns an error for a missing value, such as the one between two commas.
func checkStart(r *Reader, raw []byte) error {
	if len(raw) == 0 {
		return r.syntax()
	}
	return nil
}

// fill reads more from the source, behind what has not been used.
func (r *Reader) fill(limit int) error {
	if r.err != nil {
		return r.err
	}
	if r.at > 0 {
		r.count(r.at)
		copy(r.buf, r.buf[r.at:r.end])
		r.end, r.at, r.counted = r.end-r.at, 0, 0
	}
	if r.end == len(r.buf) {
		if r.end > limit {
			return ErrTooLarge
		}
		if err := r.enlarge(limit); err != nil {
			return err
		}
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	r.err = err
	if n > 0 {
		return nil
	}
	return err
}

// enlarge doubles the buffer, but not much beyond the limit, which its size has not reached.
func (r *Reader) enlarge(limit int) error {
	if large := r.OnLarge; large != nil && len(r.buf) >= largeBuffer {
		r.OnLarge = nil
		if err := large(); err != nil {
			return err
		}
	}
	r.buf = append(r.buf, make([]byte, min(len(r.buf), limit-len(r.buf)+initialBuffer))...)
	return nil
}

// scanner finds the end of a value that is split into any number of pieces.
type scanner struct {
	depth   int  // of objects and lists
	quoted  bool // in a string
	escaped bool // a string goes on behind a backslash
	scalar  bool // the value is a number or a literal
}

// scan returns how many bytes of piece belong to the value, and whether the value ends there.
func (s *scanner) scan(piece []byte) (n int, done bool) {
	for n < len(piece) {
		if s.quoted {
			n += s.inString(piece[n:])
			if !s.quoted && s.depth == 0 {
				return n, true
			}
			continue
		}
		c := piece[n]
		switch {
		case c == '"' && !s.scalar:
			s.quoted = true
		case (c == '{' || c == '[') && !s.scalar:
			s.depth++
		case (c == '}' || c == ']') && s.depth > 0:
			if s.depth--; s.depth == 0 {
				return n + 1, true
			}
		case s.depth > 0:
		case c == ',' || c == ':' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r':
			return n, true
		default:
			s.scalar = true
		}
		n++
	}
	return n, false
}

// inString returns the length of the rest of a string, or of piece if the string does not end in it.
func (s *scanner) inString(piece []byte) int {
	at := 0
	if s.escaped {
		s.escaped = false
		at++
	}
	for at < len(piece) {
		stop := bytes.IndexByte(piece[at:], '"')
		if stop < 0 {
			stop = len(piece) - at
		}
		if escape := bytes.IndexByte(piece[at:at+stop], '\\'); escape >= 0 {
			if at += escape + 2; at > len(piece) {
				s.escaped = true
				return len(piece)
			}
			continue
		}
		if at += stop; at < len(piece) {
			s.quoted = false
			return at + 1
		}
	}
	return at
}
