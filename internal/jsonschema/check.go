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
	// Problem is nil if the document matches the schema.
	Problem *Problem
}

// Check checks a document and appends its compact form to dst. The error wraps ErrSyntax.
func (s *Schema) Check(dst, doc []byte) (Result, error) {
	if !utf8.Valid(doc) {
		return Result{}, ErrSyntax
	}
	decoder, _ := s.decoders.Get().(*jsontext.Decoder)
	defer s.decoders.Put(decoder)
	// A name may occur twice, and an escape may be half of a surrogate pair: Go's decoder accepts both.
	decoder.Reset(bytes.NewBuffer(doc), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	c := checker{in: decoder, out: dst, nulls: s.nulls, integers: s.integers, maxDepth: s.depth}
	if s.captures > 0 {
		c.captured = make([]span, s.captures)
	}
	if err := c.value(s.root); err != nil {
		return Result{}, err
	}
	if _, err := decoder.ReadToken(); err != io.EOF { //nolint:errorlint // jsontext returns io.EOF itself
		return Result{}, ErrSyntax
	}
	r := Result{Document: c.out[len(dst):], Problem: c.problem}
	for _, value := range c.captured {
		if value.end == 0 {
			r.Captured = append(r.Captured, nil)
		} else {
			r.Captured = append(r.Captured, c.out[value.start:value.end])
		}
	}
	return r, nil
}

// checker walks through a document, token by token, and copies it to out.
type checker struct {
	in       *jsontext.Decoder
	out      []byte
	depth    int
	path     []step
	problem  *Problem
	captured []span
	nulls    bool
	integers bool
	maxDepth int
}

// span is a part of checker.out.
type span struct{ start, end int }

// step is an element of a JSON pointer: the name of a member as written, with its quotes, or an index.
type step struct {
	name  []byte
	index int
}

// value checks the next value against n.
func (c *checker) value(n *node) error {
	start := len(c.out)
	var err error
	switch c.in.PeekKind() {
	case jsontext.KindBeginObject:
		err = c.object(c.narrow(n, object))
	case jsontext.KindBeginArray:
		err = c.array(c.narrow(n, array))
	case jsontext.KindString:
		err = c.text(c.narrow(n, text))
	case jsontext.KindNumber:
		err = c.number(c.narrow(n, number|integer))
	case jsontext.KindTrue, jsontext.KindFalse:
		c.narrow(n, boolean)
		_, err = c.scalar()
	case jsontext.KindNull:
		c.null(n)
		_, err = c.scalar()
	default:
		err = ErrSyntax
	}
	if n != nil && n.capture > 0 {
		c.captured[n.capture-1] = span{start, len(c.out)}
	}
	return err
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
	if n == nil || c.nulls && !n.duration {
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

// report records the first problem.
func (c *checker) report(reason string) {
	if c.problem == nil {
		c.problem = &Problem{Pointer: c.pointer(), Reason: reason}
	}
}

func (c *checker) pointer() string {
	var out strings.Builder
	for _, s := range c.path {
		name := strconv.Itoa(s.index)
		if s.name != nil {
			name = unquote(s.name)
		}
		out.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return out.String()
}

// scalar copies a string, a number or a literal, and returns its text. The text is valid until the next token is read.
func (c *checker) scalar() ([]byte, error) {
	raw, err := c.in.ReadValue()
	if err != nil {
		return nil, ErrSyntax
	}
	c.out = append(c.out, raw...)
	return raw, nil
}

// enter copies the start of an object or an array.
func (c *checker) enter(start byte) error {
	if c.depth++; c.depth > c.maxDepth {
		return syntaxError("nested deeper than " + strconv.Itoa(c.maxDepth))
	}
	if _, err := c.in.ReadToken(); err != nil {
		return ErrSyntax
	}
	c.out = append(c.out, start)
	return nil
}

// leave copies the end of an object or an array and returns true if that is the next token.
func (c *checker) leave(end jsontext.Kind) bool {
	if c.in.PeekKind() != end {
		return false
	}
	if _, err := c.in.ReadToken(); err != nil {
		return false
	}
	c.out = append(c.out, byte(end))
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
			c.out = append(c.out, ',')
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
	start := len(c.out)
	if _, err := c.scalar(); err != nil {
		return err
	}
	name := c.out[start:]
	c.out = append(c.out, ':')
	c.path = append(c.path, step{name: name})
	err := c.value(c.child(n, name, seen))
	c.path = c.path[:len(c.path)-1]
	return err
}

// child returns the node of a member of an object, nil if n does not describe it.
func (c *checker) child(n *node, raw []byte, seen *uint64) *node {
	if n == nil {
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
	if len(n.properties) > 0 {
		if child, ok := n.folded[fold(string(name))]; ok {
			if child.capture > 0 {
				c.report("differs from a known name in case only")
			}
			return child
		}
	}
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
			c.out = append(c.out, ',')
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
	escaped, value := hasEscape(raw), string(raw[1:len(raw)-1])
	if escaped {
		value = unquote(raw)
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
	c.out = append(c.out, raw...)
	switch {
	case !fitsFloat(raw): // even where any value is allowed: the gateway decodes it as a float64
		c.report("number is out of range")
	case n != nil:
		if reason := n.numberProblem(raw, whole); reason != "" {
			c.report(reason)
		}
	}
	return nil
}
