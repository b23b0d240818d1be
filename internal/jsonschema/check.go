package jsonschema

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the maximum nesting of objects and arrays unless Options set another. API definitions nest about 20
// levels, the schemas in an OpenAPI document perhaps 100; Postgres and Go's decoders fail at some thousands.
const MaxDepth = 1000

// ErrSyntax is returned by Check for bytes that are not one JSON value in UTF-8, or that nest too deeply.
var ErrSyntax = errors.New("not one JSON value in UTF-8")

type syntaxError string

func (e syntaxError) Error() string      { return string(e) }
func (syntaxError) Is(target error) bool { return target == ErrSyntax }

// Problem is the first part of a document that does not match the schema. It never quotes a value.
type Problem struct {
	Pointer string // RFC 6901
	Reason  string
}

// Result is the result of Check.
type Result struct {
	// Document is the document without insignificant whitespace. Every token is as it was, but see Options.Integers.
	Document []byte
	// Captured are the values at Options.Capture, as slices of Document; nil for a path that the document does not have.
	Captured [][]byte
	// Problems are what does not match the schema, at most MaxProblems; nil if the document matches.
	Problems []Problem
	// Repeated says that the document has a captured value more than once. Captured has the last.
	Repeated bool
}

// Check checks a document and appends its compact form to dst. The error wraps ErrSyntax.
func (s *Schema) Check(dst, doc []byte) (Result, error) {
	if !utf8.Valid(doc) {
		return Result{}, ErrSyntax
	}
	c := s.checker()
	defer s.release(c)
	c.out, c.copies = slices.Grow(dst, len(doc)), true // at once: growing takes several times the memory
	if s.captures > 0 {
		c.captured = make([]span, s.captures)
	}
	if err := c.document(c.buffered(doc)); err != nil {
		return Result{}, err
	}
	r := Result{Document: c.out[len(dst):], Problems: c.problems, Repeated: c.repeated}
	for _, value := range c.captured {
		if value.end == 0 {
			r.Captured = append(r.Captured, nil)
		} else {
			r.Captured = append(r.Captured, c.out[value.start:value.end])
		}
	}
	return r, nil
}

// Validate returns the first problem of a document, nil if it has none. It copies nothing. The error wraps ErrSyntax.
func (s *Schema) Validate(doc []byte) (*Problem, error) {
	c := s.checker()
	defer s.release(c)
	c.maxProblems = 1
	if err := c.document(c.buffered(doc)); err != nil {
		return nil, err
	}
	return c.first(), nil
}

// Problems returns what does not match the schema in a document, at most MaxProblems; nil if it matches. The error
// wraps ErrSyntax.
func (s *Schema) Problems(doc []byte) ([]Problem, error) {
	c := s.checker()
	defer s.release(c)
	if err := c.document(c.buffered(doc)); err != nil {
		return nil, err
	}
	return c.problems, nil
}

// MaxProblems is how many problems of a document are listed.
const MaxProblems = 20

// checker walks through a document, token by token.
type checker struct {
	*Schema

	in *jsontext.Decoder
	// out is the compact form of the document. Unless copies is set, it is only that of the member names above the
	// current value, which path refers to.
	out    []byte
	copies bool
	depth  int
	path   []step
	// problems are those that were found, at most maxProblems.
	problems    []Problem
	maxProblems int
	captured    []span
	repeated    bool
	buffer      bytes.Buffer // of a document in memory
}

// checker returns a checker that is ready to be used once.
func (s *Schema) checker() *checker {
	c, _ := s.checkers.Get().(*checker)
	c.Schema, c.maxProblems = s, MaxProblems
	return c
}

// maxScratch bounds the memory that a checker keeps for its next use, in bytes.
const maxScratch = 64 << 10

func (s *Schema) release(c *checker) {
	scratch := c.out[:0]
	if c.copies || cap(scratch) > maxScratch {
		scratch = nil
	}
	*c = checker{in: c.in, path: c.path[:0], out: scratch}
	s.checkers.Put(c)
}

func (c *checker) buffered(doc []byte) *bytes.Buffer {
	c.buffer = *bytes.NewBuffer(doc)
	return &c.buffer
}

// document checks the one document that in holds.
func (c *checker) document(in io.Reader) error {
	// A name may occur twice, and an escape may be half of a surrogate pair: Go's decoder accepts both.
	c.in.Reset(in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(!c.pairs))
	if err := c.value(c.root); err != nil {
		return err
	}
	if _, err := c.in.ReadToken(); err != io.EOF { //nolint:errorlint // jsontext returns io.EOF itself
		return ErrSyntax
	}
	return nil
}

// span is a part of checker.out.
type span struct{ start, end int }

// step is an element of a JSON pointer: the name of a member as written, with its quotes, or an index.
type step struct {
	name  span // of checker.out; empty for an index
	index int
	// unnamed members are not named by the schema: their names are data.
	unnamed bool
}

// value checks the next value against n.
func (c *checker) value(n *node) error {
	start := len(c.out)
	var err error
	switch kind := c.in.PeekKind(); {
	case n != nil && n.fallback != nil:
		err = c.fallBack(n)
	case c.ignores(n) && kind != jsontext.KindNull:
		err = c.skip()
	case kind == jsontext.KindBeginObject && n != nil && n.wrappedID:
		err = c.wrappedID(n)
	case kind == jsontext.KindBeginObject:
		err = c.object(c.narrow(n, object))
	case kind == jsontext.KindBeginArray:
		err = c.array(c.narrow(n, array))
	case kind == jsontext.KindString:
		err = c.text(c.narrow(n, text))
	case kind == jsontext.KindNumber:
		err = c.number(c.narrow(n, number|integer))
	case kind == jsontext.KindTrue, kind == jsontext.KindFalse:
		c.narrow(n, boolean)
		_, err = c.scalar()
	case kind == jsontext.KindNull:
		c.null(n)
		_, err = c.scalar()
	default:
		err = ErrSyntax
	}
	switch {
	case !c.copies:
		c.out = c.out[:start]
	case n != nil && n.capture > 0:
		c.repeated = c.repeated || c.captured[n.capture-1].end > 0
		c.captured[n.capture-1] = span{start, len(c.out)}
	}
	return err
}

// wrappedID checks an ID that is written as an object.
func (c *checker) wrappedID(n *node) error {
	read, err := c.in.ReadValue()
	if err != nil {
		return ErrSyntax
	}
	raw := read.Clone() // Compact changes it
	if err := raw.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return ErrSyntax
	}
	if c.copies {
		c.out = append(c.out, raw...)
	}
	id, found := bytes.CutPrefix(raw, []byte(`{"$oid":`))
	id = bytes.TrimSuffix(id, []byte(`}`))
	switch {
	case found && string(id) == "null": // no ID
	case !found || !isPlainString(id):
		c.report("value must be a string, or an object that has one as its $oid")
	default:
		if reason := n.textProblem(id[1 : len(id)-1]); reason != "" {
			c.report(reason)
		}
	}
	return nil
}

// ignores reports whether every value but null matches n, and need not be copied.
func (c *checker) ignores(n *node) bool { return c.lenient && !c.copies && (n == nil || n.empty) }

// skip reads the next value at once, which takes half as long as token by token. The value is then in memory.
func (c *checker) skip() error {
	if _, err := c.in.ReadValue(); err != nil {
		return ErrSyntax
	}
	return nil
}

// fallBack checks the next value as a whole, in memory.
func (c *checker) fallBack(n *node) error {
	raw, err := c.in.ReadValue()
	if err != nil {
		return ErrSyntax
	}
	if c.copies {
		c.out = append(c.out, raw...)
	}
	if n.nulls && len(raw) > 0 && raw.Kind() == jsontext.KindNull {
		return nil
	}
	if p := n.fallback(raw); p != nil && len(c.problems) < c.maxProblems {
		c.problems = append(c.problems, Problem{Pointer: c.pointer() + p.Pointer, Reason: p.Reason})
	}
	return nil
}

// narrow returns the node that describes a value of one of the kinds: n itself, or its alternative of that kind. If
// there is none, it reports a problem and returns nil, so that no more is checked of the value.
func (c *checker) narrow(n *node, kinds kind) *node {
	if n == nil {
		return nil
	}
	for _, alternative := range n.oneOf {
		if alternative.types&kinds != 0 {
			return alternative
		}
	}
	if n.oneOf != nil {
		c.report("value doesn't match any schema from \"oneOf\"")
		return nil
	}
	if n.types&kinds != 0 {
		return n
	}
	c.report("value must be " + n.types.String())
	return nil
}

func (c *checker) null(n *node) {
	if n == nil || (c.nulls || n.nulls) && !n.duration {
		return
	}
	allowed := n.types
	if n.oneOf != nil {
		allowed = 0
	}
	for _, alternative := range n.oneOf {
		allowed |= alternative.types
	}
	if allowed&null == 0 {
		c.report("Value is not nullable")
	}
}

// report records a problem.
func (c *checker) report(reason string) {
	if len(c.problems) < c.maxProblems {
		c.problems = append(c.problems, Problem{Pointer: c.pointer(), Reason: reason})
	}
}

// first returns the first problem, nil if there is none.
func (c *checker) first() *Problem {
	if len(c.problems) == 0 {
		return nil
	}
	return &c.problems[0]
}

// AnyName stands in the pointer of a lenient schema's Problem for a name that the schema does not name.
const AnyName = "*"

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

func (c *checker) pointer() string {
	var out strings.Builder
	for _, s := range c.path {
		name := strconv.Itoa(s.index)
		switch {
		case c.masks && s.unnamed:
			name = AnyName
		case s.name.end > 0:
			name = unquote(c.out[s.name.start:s.name.end])
		}
		out.WriteString("/" + pointerEscaper.Replace(name))
	}
	return out.String()
}

// scalar reads a string, a number or a literal, and returns its text. The text is valid until the next token is read.
func (c *checker) scalar() ([]byte, error) {
	raw, err := c.in.ReadValue()
	if err != nil {
		return nil, ErrSyntax
	}
	if c.copies {
		c.out = append(c.out, raw...)
	}
	return raw, nil
}

// punctuation copies a token of one byte.
func (c *checker) punctuation(token byte) {
	if c.copies {
		c.out = append(c.out, token)
	}
}

// enter reads the start of an object or an array.
func (c *checker) enter(start byte) error {
	if c.depth++; c.depth > c.maxDepth {
		return syntaxError("nested deeper than " + strconv.Itoa(c.maxDepth))
	}
	if _, err := c.in.ReadToken(); err != nil {
		return ErrSyntax
	}
	c.punctuation(start)
	return nil
}

// leave reads the end of an object or an array and returns true if that is the next token.
func (c *checker) leave(end jsontext.Kind) bool {
	if c.in.PeekKind() != end {
		return false
	}
	if _, err := c.in.ReadToken(); err != nil {
		return false
	}
	c.punctuation(byte(end))
	c.depth--
	return true
}

func (c *checker) object(n *node) error {
	if err := c.enter('{'); err != nil {
		return err
	}
	var seen uint64 // a bit for each of n.required
	for first := true; !c.leave(jsontext.KindEndObject); first = false {
		if !first {
			c.punctuation(',')
		}
		if err := c.member(n, &seen); err != nil {
			return err
		}
	}
	if n != nil {
		for i, name := range n.required {
			if seen&(1<<i) == 0 {
				c.report(`property "` + name + `" is missing`)
			}
		}
	}
	return nil
}

func (c *checker) member(n *node, seen *uint64) error {
	name, err := c.in.ReadValue()
	if err != nil {
		return ErrSyntax
	}
	start := len(c.out)
	c.out = append(c.out, name...) // it is valid until the next token is read
	c.path = append(c.path, step{name: span{start, len(c.out)}})
	before := *seen
	child := c.child(n, c.out[start:], seen)
	if c.lenient && child != nil && child.nulls && c.in.PeekKind() == jsontext.KindNull {
		*seen = before // the member is absent
	}
	c.punctuation(':')
	err = c.value(child)
	c.path = c.path[:len(c.path)-1]
	if !c.copies {
		c.out = c.out[:start]
	}
	return err
}

// child returns the node of a member of an object, nil if n does not describe it.
func (c *checker) child(n *node, raw []byte, seen *uint64) *node {
	at := &c.path[len(c.path)-1]
	if n == nil {
		at.unnamed = true
		return nil
	}
	name := raw[1 : len(raw)-1]
	if hasEscape(raw) {
		name = []byte(unquote(raw))
	}
	if len(n.required) > 0 {
		if i := slices.Index(n.required, string(name)); i >= 0 {
			*seen |= 1 << i
		}
	}
	if child, ok := n.properties[string(name)]; ok {
		return child
	}
	if len(n.folded) > 0 {
		if child, ok := n.folded[fold(string(name))]; ok {
			if child.capture > 0 || c.exact {
				c.report("differs from a known name in case only")
			}
			return child
		}
	}
	at.unnamed = true
	if n.closed {
		c.report("property is unsupported")
	}
	return n.additional
}

func (c *checker) array(n *node) error {
	if err := c.enter('['); err != nil {
		return err
	}
	var items *node
	if n != nil {
		items = n.items
	}
	for i := 0; !c.leave(jsontext.KindEndArray); i++ {
		if i > 0 {
			c.punctuation(',')
		}
		c.path = append(c.path, step{index: i})
		if err := c.value(items); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
	return nil
}

func (c *checker) text(n *node) error {
	raw, err := c.scalar()
	if err != nil || n == nil || !n.restrictsText() {
		return err
	}
	escaped, value := hasEscape(raw), raw[1:len(raw)-1]
	if escaped {
		value = []byte(unquote(raw))
	}
	switch reason := n.textProblem(value); {
	case reason != "":
		c.report(reason)
	case escaped && n.verbatim():
		c.report("must be written without escapes")
	}
	return nil
}

func (c *checker) number(n *node) error {
	value, err := c.in.ReadValue()
	if err != nil {
		return ErrSyntax
	}
	raw, whole := []byte(value), !bytes.ContainsAny(value, ".eE")
	if c.integers && !whole && n != nil && n.types&number == 0 {
		raw, whole = asInteger(raw)
	}
	if c.copies {
		c.out = append(c.out, raw...)
	}
	if reason := c.numberProblem(n, raw, whole); reason != "" {
		c.report(reason)
	}
	return nil
}

// numberProblem returns the reason why a number does not match n, "" if it does. whole: it is written as an integer.
func (c *checker) numberProblem(n *node, raw []byte, whole bool) string {
	switch {
	case c.lenient && (n == nil || n.empty):
		return ""
	case !fitsFloat(raw): // even where any value is allowed: the gateway decodes it as a float64
		return "number is out of range"
	case n == nil:
		return ""
	case c.lenient:
		return n.lenientNumberProblem(raw, whole)
	}
	return n.numberProblem(raw, whole)
}
