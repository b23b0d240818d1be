package jsonschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest unless Options say otherwise. API definitions nest some twenty deep, the
// schemas in an OpenAPI document perhaps a hundred; Postgres and Go's decoders give up at some thousands.
const MaxDepth = 1000

// ErrSyntax is what Check returns for bytes that are not one JSON value in UTF-8, or nest too deep.
var ErrSyntax = errors.New("not one JSON value in UTF-8")

type syntaxError string

func (e syntaxError) Error() string      { return string(e) }
func (syntaxError) Is(target error) bool { return target == ErrSyntax }

// Problem is the first thing in a document that does not fit. It never quotes a value.
type Problem struct {
	Pointer string // RFC 6901
	Reason  string
}

// Result is what Check found out about a document.
type Result struct {
	// Document is the document without insignificant whitespace, and else as it was, token for token (but see
	// Options.Integers).
	Document []byte
	// Captured are the values of the paths to capture, as they stand in Document; nil for what is not there.
	Captured [][]byte
	// Problem is nil for a document that fits.
	Problem *Problem
}

// Check checks a document, and appends its compact form to dst. The error is an ErrSyntax.
func (s *Schema) Check(dst, doc []byte) (Result, error) {
	if !utf8.Valid(doc) {
		return Result{}, ErrSyntax
	}
	p := parser{in: doc, out: dst, nulls: s.nulls, integers: s.integers, maxDepth: s.depth}
	if s.captures > 0 {
		p.captured = make([]span, s.captures)
	}
	p.space()
	if err := p.value(s.root); err != nil {
		return Result{}, err
	}
	if p.space(); p.at < len(p.in) {
		return Result{}, ErrSyntax
	}
	r := Result{Document: p.out[len(dst):], Problem: p.problem}
	for _, c := range p.captured {
		if c.end == 0 {
			r.Captured = append(r.Captured, nil)
		} else {
			r.Captured = append(r.Captured, p.out[c.start:c.end])
		}
	}
	return r, nil
}

// parser walks through a document.
type parser struct {
	in       []byte
	at       int
	out      []byte
	depth    int
	path     []step
	problem  *Problem
	captured []span
	nulls    bool
	integers bool
	maxDepth int
}

type span struct{ start, end int }

// step is one element of a JSON pointer: a member's name as written, with its quotes, or an index.
type step struct {
	name  []byte
	index int
}

// space skips insignificant whitespace.
func (p *parser) space() {
	for p.at < len(p.in) {
		switch p.in[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// value reads one value, which n says something of.
func (p *parser) value(n *node) error {
	if p.at >= len(p.in) {
		return ErrSyntax
	}
	start := len(p.out)
	var err error
	switch c := p.in[p.at]; c {
	case '{':
		err = p.object(p.only(n, object))
	case '[':
		err = p.array(p.only(n, array))
	case '"':
		err = p.text(p.only(n, text))
	case 't':
		p.only(n, boolean)
		err = p.literal("true")
	case 'f':
		p.only(n, boolean)
		err = p.literal("false")
	case 'n':
		p.null(n)
		err = p.literal("null")
	default:
		err = p.number(p.only(n, number|integer))
	}
	if n != nil && n.capture > 0 {
		p.captured[n.capture-1] = span{start, len(p.out)}
	}
	return err
}

// only is n if it allows one of the kinds; else the value is wrong, and nothing more is said of it.
func (p *parser) only(n *node, kinds kind) *node {
	if n == nil {
		return nil
	}
	for _, each := range n.oneOf {
		if each.types&kinds != 0 {
			return each
		}
	}
	if n.oneOf != nil {
		p.wrong("value doesn't match any schema from \"oneOf\"")
		return nil
	}
	if n.types&kinds != 0 {
		return n
	}
	p.wrong("value must be " + n.types.String())
	return nil
}

func (p *parser) null(n *node) {
	if n == nil || p.nulls && !n.duration {
		return
	}
	allowed := n.types
	if n.oneOf != nil {
		allowed = 0
	}
	for _, each := range n.oneOf {
		allowed |= each.types
	}
	if allowed&null == 0 {
		p.wrong("Value is not nullable")
	}
}

// String is the first type of the set, with its article.
func (k kind) String() string {
	for _, each := range []struct {
		kind kind
		name string
	}{
		{object, "an object"}, {array, "an array"}, {text, "a string"}, {integer, "an integer"}, {number, "a number"}, {boolean, "a boolean"},
	} {
		if k&each.kind != 0 {
			return each.name
		}
	}
	return "null"
}

// wrong notes the first problem.
func (p *parser) wrong(reason string) {
	if p.problem == nil {
		p.problem = &Problem{Pointer: p.pointer(), Reason: reason}
	}
}

func (p *parser) pointer() string {
	var out strings.Builder
	for _, s := range p.path {
		name := strconv.Itoa(s.index)
		if s.name != nil {
			name = unquote(s.name)
		}
		out.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return out.String()
}

func (p *parser) enter() error {
	if p.depth++; p.depth > p.maxDepth {
		return syntaxError("nested deeper than " + strconv.Itoa(p.maxDepth))
	}
	p.out = append(p.out, p.in[p.at])
	p.at++
	p.space()
	return nil
}

// leave ends an object or an array if it is at its end.
func (p *parser) leave(end byte) bool {
	if p.at >= len(p.in) || p.in[p.at] != end {
		return false
	}
	p.out = append(p.out, end)
	p.at++
	p.depth--
	return true
}

// separator reads what stands between values, and space behind it.
func (p *parser) separator(c byte) error {
	if p.space(); p.at >= len(p.in) || p.in[p.at] != c {
		return ErrSyntax
	}
	p.out = append(p.out, c)
	p.at++
	p.space()
	return nil
}

func (p *parser) object(n *node) error {
	if err := p.enter(); err != nil {
		return err
	}
	var seen uint64
	for first := true; !p.leave('}'); first = false {
		if !first {
			if err := p.separator(','); err != nil {
				return err
			}
		}
		if err := p.member(n, &seen); err != nil {
			return err
		}
		p.space()
	}
	if n != nil {
		for i, name := range n.required {
			if seen&(1<<i) == 0 {
				p.wrong(`property "` + name + `" is missing`)
			}
		}
	}
	return nil
}

func (p *parser) member(n *node, seen *uint64) error {
	start := p.at
	if p.at >= len(p.in) || p.in[p.at] != '"' {
		return ErrSyntax
	}
	escaped, err := p.quoted()
	if err != nil {
		return err
	}
	raw := p.in[start:p.at]
	if err := p.separator(':'); err != nil {
		return err
	}
	p.path = append(p.path, step{name: raw})
	err = p.value(p.child(n, raw, escaped, seen))
	p.path = p.path[:len(p.path)-1]
	return err
}

// child finds what n says of a member.
func (p *parser) child(n *node, raw []byte, escaped bool, seen *uint64) *node {
	if n == nil {
		return nil
	}
	name := raw[1 : len(raw)-1]
	if escaped {
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
				p.wrong("differs from a known name in case only")
			}
			return child
		}
	}
	if n.closed {
		p.wrong("property is unsupported")
	}
	return n.rest
}

func (p *parser) array(n *node) error {
	if err := p.enter(); err != nil {
		return err
	}
	var items *node
	if n != nil {
		items = n.items
	}
	for i := 0; !p.leave(']'); i++ {
		if i > 0 {
			if err := p.separator(','); err != nil {
				return err
			}
		}
		p.path = append(p.path, step{index: i})
		if err := p.value(items); err != nil {
			return err
		}
		p.path = p.path[:len(p.path)-1]
		p.space()
	}
	return nil
}

func (p *parser) literal(word string) error {
	if end := p.at + len(word); end > len(p.in) || string(p.in[p.at:end]) != word {
		return ErrSyntax
	}
	p.out = append(p.out, word...)
	p.at += len(word)
	return nil
}

func (p *parser) text(n *node) error {
	start := p.at
	escaped, err := p.quoted()
	if err != nil || n == nil || !n.limitsText() {
		return err
	}
	raw := p.in[start:p.at]
	value := string(raw[1 : len(raw)-1])
	if escaped {
		value = unquote(raw)
	}
	switch wrong := n.textProblem(value); {
	case wrong != "":
		p.wrong(wrong)
	case escaped && n.verbatim():
		p.wrong("must be written without escapes")
	}
	return nil
}

// verbatim: a gateway reads the string as it is written.
func (n *node) verbatim() bool { return n.objectID || n.duration || n.instant }

func (n *node) limitsText() bool {
	return n.enum != nil || n.minLength > 0 || n.maxLength != nil || n.format != nil || n.verbatim()
}

func (n *node) textProblem(value string) string {
	length := uint64(utf8.RuneCountInString(value))
	switch {
	case n.enum != nil && !slices.Contains(n.enum, value):
		return "is not one of the values that the contract allows"
	case length < n.minLength:
		return "minimum string length is " + strconv.FormatUint(n.minLength, 10)
	case n.maxLength != nil && length > *n.maxLength:
		return "maximum string length is " + strconv.FormatUint(*n.maxLength, 10)
	case n.format != nil && n.format(value) != nil:
		return "does not meet the contract's format"
	case n.objectID && value != "" && !isObjectID(value):
		return "must be 24 hexadecimal digits"
	}
	return ""
}

func isObjectID(value string) bool {
	const length = 24
	for _, c := range []byte(value) {
		if !isHex(c) {
			return false
		}
	}
	return len(value) == length
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// plain are the bytes of a string that stand for themselves.
var plain = func() (table [256]bool) {
	for c := 0x20; c < len(table); c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// quoted reads a string, and says whether there are escapes in it.
func (p *parser) quoted() (escaped bool, err error) {
	in, at := p.in, p.at+1
	for at < len(in) {
		c := in[at]
		if plain[c] {
			at++
			continue
		}
		switch {
		case c == '"':
			at++
			p.out = append(p.out, in[p.at:at]...)
			p.at = at
			return escaped, nil
		case c != '\\':
			return false, ErrSyntax // a control character
		}
		escaped = true
		length := escapeLength(in[at:])
		if length == 0 {
			return false, ErrSyntax
		}
		at += length
	}
	return false, ErrSyntax
}

// escapeLength is how long the escape at the start of in is; 0 for none that JSON knows.
func escapeLength(in []byte) int {
	const short, long = 2, 6
	if len(in) < short {
		return 0
	}
	switch in[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return short
	case 'u':
		if len(in) < long {
			return 0
		}
		for _, c := range in[short:long] {
			if !isHex(c) {
				return 0
			}
		}
		return long
	}
	return 0
}

// unquote is the text of a string that is known to be well-formed.
func unquote(raw []byte) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

func (p *parser) number(n *node) error {
	length, whole := scanNumber(p.in[p.at:])
	if length == 0 {
		return ErrSyntax
	}
	raw := p.in[p.at : p.at+length]
	p.at += length
	if p.integers && !whole && n != nil && n.types&number == 0 {
		raw, whole = asInteger(raw)
	}
	p.out = append(p.out, raw...)
	switch {
	case !fitsFloat(raw): // of a value that may be anything, too: it is decoded as a float64
		p.wrong("number is out of range")
	case n != nil:
		if wrong := n.numberProblem(raw, whole); wrong != "" {
			p.wrong(wrong)
		}
	}
	return nil
}

// asInteger is a whole number written as an integer; any other stays as it is.
func asInteger(raw []byte) (number []byte, whole bool) {
	const exact = 1 << 53
	if v, err := strconv.ParseFloat(string(raw), 64); err == nil && v == math.Trunc(v) && math.Abs(v) < exact {
		return strconv.AppendInt(nil, int64(v), 10), true
	}
	return raw, false
}

// fitsFloat tells whether a number is in the range of a float64.
func fitsFloat(raw []byte) bool {
	const short = 300 // digits that, without an exponent, no float64 can fail at
	if len(raw) < short && !bytes.ContainsAny(raw, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(string(raw), 64)
	return err == nil
}

func (n *node) numberProblem(raw []byte, whole bool) string {
	if n.types&number == 0 {
		if !whole {
			return "value must be an integer, written as one"
		}
		if _, err := strconv.ParseInt(string(raw), 10, 64); err != nil {
			return "integer is out of range"
		}
		if n.min != nil && *n.min >= 0 && raw[0] == '-' { // -0 is no unsigned integer to Go
			return tooSmall
		}
	}
	if n.min == nil && n.max == nil {
		return ""
	}
	switch v, _ := strconv.ParseFloat(string(raw), 64); { // it is in range
	case n.min != nil && v < *n.min:
		return tooSmall
	case n.max != nil && v > *n.max:
		return "number is more than the contract's maximum"
	}
	return ""
}

const tooSmall = "number is less than the contract's minimum"

// scanNumber is how long the number at the start of in is, 0 for none, and whether it is written without a fraction and
// an exponent.
func scanNumber(in []byte) (length int, whole bool) {
	digits := func(at int) int {
		for at < len(in) && in[at] >= '0' && in[at] <= '9' {
			at++
		}
		return at
	}
	at := 0
	if at < len(in) && in[at] == '-' {
		at++
	}
	start := at
	switch at = digits(at); {
	case at == start, in[start] == '0' && at > start+1:
		return 0, false
	}
	whole = true
	if at < len(in) && in[at] == '.' {
		whole = false
		if start, at = at+1, digits(at+1); at == start {
			return 0, false
		}
	}
	if at < len(in) && (in[at] == 'e' || in[at] == 'E') {
		whole = false
		if at++; at < len(in) && (in[at] == '+' || in[at] == '-') {
			at++
		}
		if start, at = at, digits(at); at == start {
			return 0, false
		}
	}
	return at, whole
}
