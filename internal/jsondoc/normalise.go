package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotJSON is what a *SyntaxError wraps.
var ErrNotJSON = errors.New("not one JSON value in UTF-8")

// SyntaxError is returned for anything but one JSON value in UTF-8 that Go, Python and jq can read, and for a value
// beyond its Limits. Clients receive its text, which quotes nothing of the document.
type SyntaxError struct {
	Reason string
	// Offset is the number of bytes before the place of the error. Line and Column are that place for an editor: both
	// count from 1, and a column is a byte.
	Offset       int64
	Line, Column int
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s: at byte %d, line %d, column %d", e.Reason, e.Offset, e.Line, e.Column)
}

// Unwrap returns ErrNotJSON.
func (*SyntaxError) Unwrap() error { return ErrNotJSON }

// newSyntaxError returns the error for a place in a document, with its line and column.
func newSyntaxError(doc []byte, offset int64, reason string) *SyntaxError {
	before := doc[:min(offset, int64(len(doc)))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return &SyntaxError{
		Reason: reason, Offset: int64(len(before)), Line: 1 + bytes.Count(before, []byte("\n")),
		Column: 1 + len(line),
	}
}

// The reasons of syntax errors.
const (
	reasonNotJSON    = "not one JSON value in UTF-8"
	reasonEnds       = "ends before its JSON value is complete"
	reasonNotUTF8    = "not UTF-8"
	reasonHalfPair   = "half of a surrogate pair"
	reasonMore       = "more than one JSON value"
	reasonOutOfRange = "number is out of the range of a 64-bit float"
)

// Limits bound a document. 0 is the default.
type Limits struct {
	// Depth is the maximum nesting of objects and lists; the default is defaultDepth.
	Depth int
	// Values is the maximum number of values, those within objects and lists included; the default is no limit.
	Values int
}

// defaultDepth is what Go's decoder reads: 10,000 levels, some of which are those of a list of documents.
const defaultDepth = 9_000

// Compact is Normalise with the default limits.
func Compact(raw []byte) (json.RawMessage, error) { return Normalise(raw, Limits{}) }

// Normalise returns a document without insignificant whitespace. Of members with the same name only the last is left,
// at every level, so that all decoders agree about the document. Everything else stays as it was. The error is a
// *SyntaxError.
//
// It refuses what some decoders do not read: numbers that are out of the range of a float64 (Go), half of a surrogate
// pair (jq), and what nests deeper than limits.
func Normalise(raw []byte, limits Limits) (json.RawMessage, error) {
	if limits.Depth == 0 {
		limits.Depth = defaultDepth
	}
	n, _ := normalisers.Get().(*normaliser)
	defer n.release()
	n.limits = limits
	out, err := n.run(raw, false)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		out, err = n.run(raw, true)
	}
	if err != nil {
		return nil, n.describe(raw, err)
	}
	return out, nil
}

// normaliser reads a document token by token.
type normaliser struct {
	in     *jsontext.Decoder
	buffer bytes.Buffer
	limits Limits
	values int
	depth  int
	// repeats says whether a name may occur twice in an object. Otherwise run fails for it: looking for repeated names
	// takes a copy of each object.
	repeats bool
}

var normalisers = sync.Pool{New: func() any { return &normaliser{in: jsontext.NewDecoder(bytes.NewReader(nil))} }}

// release puts a normaliser back into the pool. It must not retain the document.
func (n *normaliser) release() {
	n.buffer = bytes.Buffer{}
	normalisers.Put(n)
}

// limitError is the error for what is valid JSON, but refused.
type limitError struct {
	reason string
	at     int64 // where it is read up to: the place of the error, but for separators
}

// Error implements error.
func (e *limitError) Error() string { return e.reason }

// limit returns the error for the next value.
func (n *normaliser) limit(reason string) error { return &limitError{reason, n.in.InputOffset()} }

func (n *normaliser) run(raw []byte, repeats bool) (json.RawMessage, error) {
	n.buffer = *bytes.NewBuffer(raw)
	n.in.Reset(&n.buffer, jsontext.AllowDuplicateNames(repeats), jsontext.AllowInvalidUTF8(false))
	n.values, n.depth, n.repeats = 0, 0, repeats
	out, err := n.value(make(json.RawMessage, 0, len(raw)))
	if err != nil {
		return nil, err
	}
	switch kind := n.in.PeekKind(); kind {
	case jsontext.KindInvalid:
		if _, err := n.in.ReadToken(); err != io.EOF { //nolint:errorlint // jsontext returns io.EOF itself
			return nil, err
		}
		return out, nil
	default:
		return nil, n.limit(reasonMore)
	}
}

// describe returns the error for the client.
func (n *normaliser) describe(raw []byte, err error) error {
	if limit, ok := errors.AsType[*limitError](err); ok {
		at := limit.at
		for at < int64(len(raw)) && strings.IndexByte(" \t\r\n,:", raw[at]) >= 0 {
			at++
		}
		return newSyntaxError(raw, at, limit.reason)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return newSyntaxError(raw, int64(len(raw)), reasonEnds)
	}
	var at int64
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = syntax.ByteOffset
	}
	return newSyntaxError(raw, at, reasonAt(raw[min(at, int64(len(raw))):]))
}

// reasonAt returns what is wrong with the text at the place of an error.
func reasonAt(text []byte) string {
	switch r, size := utf8.DecodeRune(text); {
	case r == utf8.RuneError && size == 1:
		return reasonNotUTF8
	case halfPair.Match(text):
		return reasonHalfPair
	}
	return reasonNotJSON
}

// halfPair matches an escape of one half of a surrogate pair.
var halfPair = regexp.MustCompile(`^\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)

// value appends the next value.
func (n *normaliser) value(out json.RawMessage) (json.RawMessage, error) {
	if n.values++; n.limits.Values > 0 && n.values > n.limits.Values {
		return nil, n.limit("more than " + strconv.Itoa(n.limits.Values) + " values")
	}
	switch kind := n.in.PeekKind(); kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return n.container(out, kind)
	case jsontext.KindNumber:
		raw, err := n.scalar()
		if err == nil && !fitsFloat(raw) {
			err = &limitError{reasonOutOfRange, n.in.InputOffset() - int64(len(raw))}
		}
		return append(out, raw...), err
	default:
		raw, err := n.scalar()
		return append(out, raw...), err
	}
}

// scalar reads a string, a number or a literal. It is valid until the next token is read.
func (n *normaliser) scalar() ([]byte, error) { return n.in.ReadValue() }

// container appends an object or a list.
func (n *normaliser) container(out json.RawMessage, kind jsontext.Kind) (json.RawMessage, error) {
	if n.depth++; n.depth > n.limits.Depth {
		return nil, n.limit("nested deeper than " + strconv.Itoa(n.limits.Depth))
	}
	if _, err := n.in.ReadToken(); err != nil {
		return nil, err
	}
	object, end := kind == jsontext.KindBeginObject, jsontext.KindEndArray
	if object {
		end = jsontext.KindEndObject
	}
	out = append(out, byte(kind))
	var members []member
	for first := true; n.in.PeekKind() != end; first = false {
		if !first {
			out = append(out, ',')
		}
		start := len(out)
		if object {
			name, err := n.scalar()
			if err != nil {
				return nil, err
			}
			out = append(append(out, name...), ':')
		}
		nameEnd := len(out) - len(":")
		var err error
		if out, err = n.value(out); err != nil {
			return nil, err
		}
		if object && n.repeats {
			members = append(members, member{unquote(out[start:nameEnd]), start, len(out)})
		}
	}
	if _, err := n.in.ReadToken(); err != nil {
		return nil, err
	}
	n.depth--
	return append(withoutRepeated(out, members), byte(end)), nil
}

// member is a member of an object at the end of a text.
type member struct {
	name       string
	start, end int
}

// withoutRepeated removes each member from the end of a text that a later one has the name of.
func withoutRepeated(text json.RawMessage, members []member) json.RawMessage {
	last := map[string]int{}
	for i, m := range members {
		last[m.name] = i
	}
	if len(last) == len(members) {
		return text
	}
	kept := text[:members[0].start] // written in place: a member is never moved to the right
	for i, m := range members {
		if last[m.name] != i {
			continue
		}
		if len(kept) > members[0].start {
			kept = append(kept, ',')
		}
		kept = append(kept, text[m.start:m.end]...)
	}
	return kept
}

// unquote returns the text of a valid JSON string.
func unquote(raw []byte) (s string) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	_ = json.Unmarshal(raw, &s)
	return s
}

// fitsFloat reports whether a number is in the range of a float64.
func fitsFloat(number []byte) bool {
	const short = 300 // digits: without an exponent, a number this short is in range
	if len(number) < short && !bytes.ContainsAny(number, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(string(number), 64)
	return err == nil
}
