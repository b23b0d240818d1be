// Package jsonschema checks JSON documents against the schemas of a contract, token by token and without decoding them.
// It is made for many large documents. What it accepts, kin-openapi accepts.
//
// It is stricter in one respect. A Tyk Gateway decodes the documents into Go types, and one that fails to decode keeps
// the gateway from loading all others (docs/behaviour.md#documents-a-gateway-cannot-decode). So:
//
//   - an integer must be written as one ("5", not "5.0") and fit 64 bits; one with a minimum of 0 or more has no sign ("-0");
//   - every number must fit a float64;
//   - a date-time must be one that package time parses;
//   - a member whose name differs from a known name only in case is checked as the known one, because encoding/json
//     decodes it into the same field;
//   - if a name occurs twice, each occurrence is checked.
package jsonschema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"
)

// ObjectID is the extension of a string that a gateway decodes as an ID of MongoDB: 24 hexadecimal digits, or empty.
const ObjectID = "x-object-id"

// Duration is the extension of a string that a gateway decodes as a duration. It must not be null, which the gateway's
// own decoder of durations does not accept.
const Duration = "x-duration"

// Schema is a compiled schema. It is safe for use by many goroutines.
type Schema struct {
	root     *node
	captures int
	nulls    bool
	integers bool
	depth    int
	decoders sync.Pool // of *jsontext.Decoder
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
	format     func(string) error // of a string
	instant    bool               // format is that of a date-time
	min, max   *float64
	objectID   bool
	duration   bool
	capture    int // 1 + the index in Options.Capture; 0 is none
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
	// Depth is the maximum nesting of objects and arrays; 0 is MaxDepth.
	Depth int
	// Integers converts a whole number to an integer where the schema requires one: 1.7e9 becomes 1700000000 in
	// Result.Document. Numbers from 2^53 on, which a float64 may round, stay as they are.
	Integers bool
}

// Compile compiles a schema. It returns an error for a keyword that it does not support, so that no part of a contract
// goes unchecked.
func Compile(s *openapi3.Schema, o Options) (*Schema, error) {
	c := compiler{done: map[*openapi3.Schema]*node{}}
	root, err := c.compile(s)
	if err != nil {
		return nil, err
	}
	compiled := &Schema{
		root: root, captures: len(o.Capture), nulls: o.Nulls, integers: o.Integers, depth: cmp.Or(o.Depth, MaxDepth),
		decoders: sync.Pool{New: func() any { return jsontext.NewDecoder(bytes.NewReader(nil)) }},
	}
	for i, path := range o.Capture {
		if compiled.root, err = capturing(compiled.root, path, i+1); err != nil {
			return nil, err
		}
	}
	return compiled, nil
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

type compiler struct {
	done map[*openapi3.Schema]*node // a schema may refer to itself
}

func (c compiler) compile(s *openapi3.Schema) (*node, error) {
	if n, ok := c.done[s]; ok {
		return n, nil
	}
	n := &node{}
	c.done[s] = n
	if err := n.read(s); err != nil {
		return nil, err
	}
	for name, property := range s.Properties {
		child, err := c.compile(property.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if n.properties == nil {
			n.properties = make(map[string]*node, len(s.Properties))
		}
		n.properties[name] = child
	}
	n.fold()
	var err error
	if n.oneOf, err = c.oneOf(s); err != nil {
		return nil, err
	}
	if additional := s.AdditionalProperties.Schema; additional != nil {
		if n.additional, err = c.compile(additional.Value); err != nil {
			return nil, err
		}
	}
	if s.Items != nil {
		if n.items, err = c.compile(s.Items.Value); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// oneOf compiles alternatives. They must be of different types, so that the type of a value selects one.
func (c compiler) oneOf(s *openapi3.Schema) ([]*node, error) {
	if len(s.OneOf) == 0 {
		return nil, nil
	}
	if s.Type != nil || s.Nullable || len(s.Properties) > 0 || len(s.Required) > 0 {
		return nil, errors.New("jsonschema: oneOf beside other keywords")
	}
	var alternatives []*node
	var taken kind
	for _, alternative := range s.OneOf {
		n, err := c.compile(alternative.Value)
		if err != nil {
			return nil, err
		}
		if taken&n.types != 0 {
			return nil, errors.New("jsonschema: oneOf of the same types")
		}
		taken |= n.types
		alternatives = append(alternatives, n)
	}
	return alternatives, nil
}

// read sets the fields that restrict a value itself, not its members or items.
func (n *node) read(s *openapi3.Schema) error {
	if err := checkKeywords(s); err != nil {
		return err
	}
	n.types = typesOf(s)
	n.required, n.minLength, n.maxLength, n.min, n.max = s.Required, s.MinLength, s.MaxLength, s.Min, s.Max
	n.closed = s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has
	_, n.objectID = s.Extensions[ObjectID]
	_, n.duration = s.Extensions[Duration]
	for _, v := range s.Enum {
		word, ok := v.(string)
		if !ok {
			return errors.New("jsonschema: enum of something else than strings")
		}
		n.enum = append(n.enum, word)
	}
	if len(n.required) > maxRequired {
		return fmt.Errorf("jsonschema: more than %d required members", maxRequired)
	}
	return n.readFormat(s.Format)
}

// maxRequired is the maximum number of required members of an object: checker.object has one bit for each.
const maxRequired = 64

func (n *node) readFormat(format string) error {
	switch {
	case format == "" || n.types&(integer|number) != 0 && slices.Contains([]string{"int32", "int64", "float", "double"}, format):
		return nil // numberProblem is stricter than each of these but int32, which the contracts do not use
	case n.types&text != 0 && openapi3.SchemaStringFormats[format] != nil:
		n.format = openapi3.SchemaStringFormats[format].Validate
		if format == "date-time" {
			n.format, n.instant = instant(n.format), true
		}
		return nil
	}
	return fmt.Errorf("jsonschema: format %s is not known", format)
}

// instant restricts a format to times that Go decodes: it has no leap seconds.
func instant(format func(string) error) func(string) error {
	return func(value string) error {
		return errors.Join(format(value), new(time.Time).UnmarshalText([]byte(value)))
	}
}

func typesOf(s *openapi3.Schema) kind {
	types := anything
	if s.Type != nil {
		types = 0
		for name, k := range map[string]kind{
			openapi3.TypeObject: object, openapi3.TypeArray: array, openapi3.TypeString: text, openapi3.TypeNumber: number,
			openapi3.TypeInteger: integer, openapi3.TypeBoolean: boolean, openapi3.TypeNull: null,
		} {
			if s.Type.Includes(name) {
				types |= k
			}
		}
	}
	if s.Nullable {
		types |= null
	}
	return types
}

// checkKeywords returns an error for a keyword that compile does not support.
func checkKeywords(s *openapi3.Schema) error {
	for keyword, present := range map[string]bool{
		"anyOf": len(s.AnyOf) > 0, "allOf": len(s.AllOf) > 0, "not": s.Not != nil,
		"pattern": s.Pattern != "", "multipleOf": s.MultipleOf != nil, "uniqueItems": s.UniqueItems,
		"minItems": s.MinItems != 0, "maxItems": s.MaxItems != nil, "minProperties": s.MinProps != 0, "maxProperties": s.MaxProps != nil,
		"exclusiveMinimum": s.ExclusiveMin.IsSet(), "exclusiveMaximum": s.ExclusiveMax.IsSet(), "const": s.Const != nil,
		"discriminator": s.Discriminator != nil, "readOnly": s.ReadOnly, "writeOnly": s.WriteOnly,
	} {
		if present {
			return fmt.Errorf("jsonschema: keyword %s is not known", keyword)
		}
	}
	return nil
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
