// Package jsonschema checks JSON documents against the schemas of a contract, token by token and without decoding them.
// It is made for many large documents. What it accepts, kin-openapi accepts.
//
// It is stricter in one respect. A Tyk Gateway decodes the documents into Go types, and one that fails to decode keeps
// the gateway from loading all others (docs/behaviour.md#documents-a-gateway-cannot-decode). So:
//
//   - an integer must be written as one ("5", not "5.0") and fit 64 bits; one with a minimum of 0 or more has no sign
//     ("-0");
//   - every number must fit a float64;
//   - a date-time must be one that package time parses;
//   - a member whose name differs from a known name only in case is checked as the known one, because encoding/json
//     decodes it into the same field;
//   - if a name occurs twice, each occurrence is checked.
//
// Options.Lenient leaves the strictness out, for bodies that no gateway decodes. Then what kin-openapi accepts is
// accepted, too, with two exceptions: each occurrence of a name is checked, and bytes after the document are an error.
package jsonschema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"
)

// ObjectID is the extension of a string that a gateway decodes as an ID of MongoDB: 24 hexadecimal digits, or empty.
// Such an ID may also be written as an object, {"$oid": "…"}, MongoDB's own form in JSON.
const ObjectID = "x-object-id"

// NullIsAbsent is the extension of an object below which null is allowed in place of any value: the member is then
// absent, as in encoding/json.
const NullIsAbsent = "x-null-is-absent"

// Duration is the extension of a string that a gateway decodes as a duration. It must not be null, which the gateway's
// own decoder of durations does not accept.
const Duration = "x-duration"

// Schema is a compiled schema. It is safe for use by many goroutines.
type Schema struct {
	root     *node
	captures int
	nulls    bool
	pairs    bool
	integers bool
	exact    bool // names that differ from a known one in case only are refused
	lenient  bool
	masks    bool // hides names that are data
	maxDepth int
	checkers sync.Pool // of *checker
}

// node is a compiled schema. A nil node allows every value.
type node struct {
	types      kind
	properties map[string]*node
	folded     map[string]*node // by folded name
	required   []string
	additional *node // of members that are not in properties
	closed     bool  // there must be no such members
	items      *node
	oneOf      []*node // of different types; the other fields are then unset
	enum       []string
	minLength  uint64
	maxLength  *uint64
	format     func([]byte) error // of a string
	instant    bool               // format is that of a date-time
	min, max   *float64
	objectID   bool
	wrappedID  bool // may be {"$oid": "…"}
	duration   bool
	nulls      bool // null is allowed, and means that the value is absent
	capture    int  // 1 + the index in Options.Capture; 0 is none
	// fallback checks values in place of the other fields.
	fallback func(value []byte) *Problem
	// Of a lenient schema: it restricts nothing, and an integer must be in the range of its format.
	empty      bool
	leastInt   float64
	largestInt float64
}

// kind is a set of JSON's types.
type kind uint8

const (
	object kind = 1 << iota
	array
	text
	number
	integer
	boolean
	null
	anything = object | array | text | number | boolean // in OpenAPI 3.0, null must be allowed explicitly
)

// Options change how a schema is compiled.
type Options struct {
	// Capture are paths of member names. Check returns the values at them.
	Capture [][]string
	// Nulls allows null in place of any value, as encoding/json does.
	Nulls bool
	// Pairs refuses half of a surrogate pair, which jq does not read.
	Pairs bool
	// Depth is the maximum nesting of objects and arrays; 0 is MaxDepth.
	Depth int
	// Lenient checks as kin-openapi does, without what a gateway needs: 5.0 is an integer, names that differ in case are
	// different, ObjectID and Duration have no effect. Pointers of problems hide the names of members that the schema
	// does not name, which are data.
	Lenient bool
	// Names keeps those names in the pointers of a lenient schema, for errors that are returned to the client that sent
	// the document.
	Names bool
	// Fallback returns what checks the values of a schema with keywords that this package does not support; a Problem's
	// Pointer is then relative to the value. Without Fallback, such a schema does not compile.
	Fallback func(*openapi3.Schema) func(value []byte) *Problem
	// ExactNames refuses names that differ from a known one in case only. encoding/json takes both for the same member,
	// and merges their values.
	ExactNames bool
	// Integers converts a whole number to an integer where the schema requires one: 1.7e9 becomes 1700000000 in
	// Result.Document. Numbers from 2^53 on, which a float64 may round, stay as they are.
	Integers bool
}

// Compile compiles a schema. It returns an error for a keyword that it does not support, so that no part of a contract
// goes unchecked.
func Compile(s *openapi3.Schema, o Options) (*Schema, error) { return NewCompiler(o).Compile(s) }

// Compiler compiles the schemas of one document. They share what they have in common.
type Compiler struct {
	options Options
	done    map[place]*node // a schema may refer to itself
}

// place is a schema, and whether it is below one with NullIsAbsent.
type place struct {
	schema *openapi3.Schema
	nulls  bool
}

// NewCompiler returns a compiler. It must not be used concurrently.
func NewCompiler(o Options) *Compiler {
	return &Compiler{options: o, done: map[place]*node{}}
}

// Compile is like the function Compile.
func (c *Compiler) Compile(s *openapi3.Schema) (*Schema, error) {
	root, err := c.compile(place{s, false})
	if err != nil {
		return nil, err
	}
	return capturingSchema(root, c.options)
}

// With returns a schema that has other options and shares what s has compiled. Lenient, Names and Fallback stay as they
// are. s must not have Options.Capture.
func (s *Schema) With(o Options) (*Schema, error) {
	o.Lenient, o.Names = s.lenient, !s.masks
	return capturingSchema(s.root, o)
}

func capturingSchema(root *node, o Options) (*Schema, error) {
	compiled := newSchema(root, o)
	for i, path := range o.Capture {
		var err error
		if compiled.root, err = capturing(compiled.root, path, i+1); err != nil {
			return nil, err
		}
	}
	return compiled, nil
}

func newSchema(root *node, o Options) *Schema {
	return &Schema{
		root: root, captures: len(o.Capture), nulls: o.Nulls, pairs: o.Pairs, integers: o.Integers,
		exact: o.ExactNames, lenient: o.Lenient,
		masks:    o.Lenient && !o.Names,
		maxDepth: cmp.Or(o.Depth, MaxDepth),
		checkers: sync.Pool{New: func() any { return &checker{in: jsontext.NewDecoder(bytes.NewReader(nil))} }},
	}
}

// New returns a lenient schema that checks whole documents with a function.
func New(check func(document []byte) *Problem) *Schema {
	return newSchema(&node{fallback: check}, Options{Lenient: true})
}

// capturing returns a copy of n that captures the value at path. Only the nodes on the path are copied, because a node
// may be shared by several places of the schema.
func capturing(n *node, path []string, capture int) (*node, error) {
	if n == nil {
		return nil, errors.New("jsonschema: a path to capture is not in the schema")
	}
	clone := *n
	if len(path) == 0 {
		clone.capture = capture
		return &clone, nil
	}
	child, err := capturing(n.properties[path[0]], path[1:], capture)
	if err != nil {
		return nil, err
	}
	clone.properties = make(map[string]*node, len(n.properties))
	maps.Copy(clone.properties, n.properties)
	clone.properties[path[0]] = child
	clone.fold()
	return &clone, nil
}

func (c *Compiler) compile(at place) (*node, error) {
	if n, ok := c.done[at]; ok {
		return n, nil
	}
	n := &node{nulls: at.nulls}
	c.done[at] = n
	err := c.read(n, at)
	if err != nil && c.options.Fallback != nil {
		*n = node{nulls: at.nulls, fallback: c.options.Fallback(at.schema)}
		return n, nil
	}
	return n, err
}

// read sets the fields of n. It reads the schema itself before the schemas in it.
func (c *Compiler) read(n *node, at place) error {
	s := at.schema
	if err := c.readValue(n, s); err != nil || n.empty {
		return err
	}
	_, marked := s.Extensions[NullIsAbsent]
	below := func(s *openapi3.Schema) place { return place{s, at.nulls || marked} }
	for name, property := range s.Properties {
		child, err := c.compile(below(property.Value))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if n.properties == nil {
			n.properties = make(map[string]*node, len(s.Properties))
		}
		n.properties[name] = child
	}
	if !c.options.Lenient {
		n.fold()
	}
	var err error
	if n.oneOf, err = c.oneOf(at); err != nil {
		return err
	}
	if additional := s.AdditionalProperties.Schema; additional != nil {
		if n.additional, err = c.compile(below(additional.Value)); err != nil {
			return err
		}
	}
	if s.Items != nil {
		n.items, err = c.compile(below(s.Items.Value))
	}
	return err
}

// oneOf compiles alternatives. They must be of different types, so that the type of a value selects one.
func (c *Compiler) oneOf(at place) ([]*node, error) {
	s := at.schema
	if len(s.OneOf) == 0 {
		return nil, nil
	}
	if beside := *s; !isEmptyBeside(beside) {
		return nil, errors.New("jsonschema: oneOf beside other keywords")
	}
	var alternatives []*node
	var taken kind
	for _, alternative := range s.OneOf {
		n, err := c.compile(place{alternative.Value, at.nulls})
		if err != nil {
			return nil, err
		}
		types := n.types
		if types&(integer|number) != 0 { // every integer is a number
			types |= integer | number
		}
		if types == 0 || taken&types != 0 {
			return nil, errors.New("jsonschema: oneOf of the same types")
		}
		taken |= types
		alternatives = append(alternatives, n)
	}
	return alternatives, nil
}

// isEmptyBeside reports whether a schema restricts nothing but by its oneOf.
func isEmptyBeside(s openapi3.Schema) bool {
	s.OneOf = nil
	return s.IsEmpty()
}

// readValue sets the fields that restrict a value itself, not its members or items.
func (c *Compiler) readValue(n *node, s *openapi3.Schema) error {
	if err := checkKeywords(s); err != nil {
		return err
	}
	n.types = typesOf(s)
	n.required, n.minLength, n.maxLength, n.min, n.max = s.Required, s.MinLength, s.MaxLength, s.Min, s.Max
	n.closed = s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has
	_, n.wrappedID = s.Extensions[ObjectID]
	if !c.options.Lenient {
		n.objectID = n.wrappedID
		_, n.duration = s.Extensions[Duration]
	}
	if err := n.readEnum(s.Enum); err != nil {
		return err
	}
	if len(n.required) > maxRequired {
		return fmt.Errorf("jsonschema: more than %d required members", maxRequired)
	}
	if c.options.Lenient {
		n.empty = n.types == anything && s.IsEmpty()
		n.readLenientFormat(s.Format)
		return nil
	}
	return n.readFormat(s.Format)
}

// readEnum reads an enum of strings, or of null only.
func (n *node) readEnum(values []any) error {
	for _, v := range values {
		switch word, ok := v.(string); {
		case ok:
			n.enum = append(n.enum, word)
		case v != nil:
			return errors.New("jsonschema: enum of something else than strings")
		}
	}
	switch {
	case len(values) > 0 && n.enum == nil:
		n.types &= null
	case n.enum != nil && n.types&^null != text:
		return errors.New("jsonschema: enum of something else than strings")
	}
	return nil
}

// maxRequired is the maximum number of required members of an object: checker.object has one bit for each.
const maxRequired = 64

func (n *node) readFormat(format string) error {
	numeric := n.types&(integer|number) != 0 && slices.Contains([]string{"int32", "int64", "float", "double"}, format)
	switch {
	case format == "" || numeric:
		return nil // numberProblem is stricter than each of these but int32, which the contracts do not use
	case n.types&text != 0 && openapi3.SchemaStringFormats[format] != nil:
		n.format, n.instant = ofText(openapi3.SchemaStringFormats[format]), format == "date-time"
		if n.instant {
			n.format = instant(n.format)
		}
		return nil
	}
	return fmt.Errorf("jsonschema: format %s is not known", format)
}

// readLenientFormat ignores an unknown format, as kin-openapi does.
func (n *node) readLenientFormat(format string) {
	n.leastInt, n.largestInt = math.Inf(-1), math.Inf(1)
	switch known := openapi3.SchemaStringFormats[format]; {
	case format == "date-time" && known != nil:
		n.format = timeOr(ofText(known))
	case known != nil:
		n.format = ofText(known)
	case format == "int32":
		n.leastInt, n.largestInt = math.MinInt32, math.MaxInt32
	case format == "int64":
		n.leastInt, n.largestInt = math.MinInt64, math.MaxInt64
	}
}

// timeOr accepts a time in UTC that package time parses without asking format, which takes several times as long.
// Unlike RFC 3339, package time allows a comma, an hour of one digit and, elsewhere than in UTC, an offset of 24 hours.
func timeOr(format func([]byte) error) func([]byte) error {
	const afterHour = len("2006-01-02T15")
	return func(value []byte) error {
		strict := len(value) > afterHour && value[afterHour] == ':' && !bytes.Contains(value, []byte(","))
		if strict && bytes.HasSuffix(value, []byte("Z")) && isTime(value) == nil {
			return nil
		}
		return format(value)
	}
}

func isTime(value []byte) error {
	var t time.Time
	return t.UnmarshalText(value)
}

func ofText(format openapi3.StringFormatValidator) func([]byte) error {
	return func(value []byte) error { return format.Validate(string(value)) }
}

// instant restricts a format to times that Go decodes: it has no leap seconds.
func instant(format func([]byte) error) func([]byte) error {
	return func(value []byte) error { return errors.Join(format(value), isTime(value)) }
}

var kinds = map[string]kind{
	openapi3.TypeObject: object, openapi3.TypeArray: array, openapi3.TypeString: text, openapi3.TypeNumber: number,
	openapi3.TypeInteger: integer, openapi3.TypeBoolean: boolean, openapi3.TypeNull: null,
}

func typesOf(s *openapi3.Schema) kind {
	types := anything
	if s.Type != nil {
		types = 0
		for _, name := range s.Type.Slice() {
			types |= kinds[name]
		}
	}
	if s.Nullable {
		types |= null
	}
	return types
}

// checkKeywords returns an error for a keyword that compile does not support.
func checkKeywords(s *openapi3.Schema) error {
	for _, unsupported := range [...]struct {
		keyword string
		present bool
	}{
		{"anyOf", len(s.AnyOf) > 0},
		{"allOf", len(s.AllOf) > 0},
		{"not", s.Not != nil},
		{"pattern", s.Pattern != ""},
		{"multipleOf", s.MultipleOf != nil},
		{"uniqueItems", s.UniqueItems},
		{"minItems", s.MinItems != 0},
		{"maxItems", s.MaxItems != nil},
		{"minProperties", s.MinProps != 0},
		{"maxProperties", s.MaxProps != nil},
		{"exclusiveMinimum", s.ExclusiveMin.IsSet()},
		{"exclusiveMaximum", s.ExclusiveMax.IsSet()},
		{"const", s.Const != nil},
		{"discriminator", s.Discriminator != nil},
		{"readOnly or writeOnly", hasOneWay(s.Properties)},
		{"boolean schema", s.Always != nil},
	} {
		if unsupported.present {
			return fmt.Errorf("jsonschema: keyword %s is not known", unsupported.keyword)
		}
	}
	return nil
}

// hasOneWay reports whether one of the properties belongs to requests or to responses only.
func hasOneWay(properties openapi3.Schemas) bool {
	for _, p := range properties {
		if p.Value.ReadOnly || p.Value.WriteOnly {
			return true
		}
	}
	return false
}

func (n *node) fold() {
	n.folded = make(map[string]*node, len(n.properties))
	for name, p := range n.properties {
		n.folded[fold(name)] = p
	}
}

// fold returns a name in the form in which encoding/json compares it: each rune is replaced by the smallest rune that
// differs from it only in case.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}
