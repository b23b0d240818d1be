// Package jsonschema checks JSON documents against the schemas of a contract straight from their bytes, in one pass and without
// decoding them. It is made for many large documents; kin-openapi is the reference for what a schema means: what is accepted
// here, kin-openapi accepts.
//
// It is stricter in one respect. The documents are decoded by a Tyk Gateway into Go's types, and one that does not decode
// keeps the gateway from all others (facts gateway §0.5). So an integer must be written as one ("5", not "5.0") and fit 64
// bits, one that is not negative has no sign ("-0"), every number must fit a float64, a time must be one to package time, a
// member whose name differs from a known one only in case is held to the known one's schema, as encoding/json would decode
// it, and every occurrence of a name that is there twice is checked.
package jsonschema

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
)

// ObjectID is the extension that marks a string which a gateway decodes as an id of MongoDB: 24 hexadecimal digits, or
// nothing (facts gateway §3).
const ObjectID = "x-object-id"

// Duration is the extension that marks a string which a gateway decodes as a duration, by a reading of its own: it takes no null.
const Duration = "x-duration"

// Schema is a compiled schema. It is safe for use by many goroutines.
type Schema struct {
	root     *node
	captures int
	nulls    bool
	integers bool
	depth    int
}

// node is a schema, compiled. A nil node lets everything through.
type node struct {
	types      kind
	properties map[string]*node
	folded     map[string]*node // by folded name
	required   []string
	rest       *node // what the schema says of other members
	closed     bool  // there must be no others
	items      *node
	oneOf      []*node // of different types; nothing else is said then
	enum       []string
	minLength  uint64
	maxLength  *uint64
	format     func(string) error // of strings
	instant    bool               // the format is that of times
	min, max   *float64
	objectID   bool
	duration   bool
	capture    int // from 1; 0 is none
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
	anything = object | array | text | number | boolean // null must be allowed, as in OpenAPI 3.0
)

// Options change how a schema is compiled.
type Options struct {
	// Capture are paths of member names. Their values are handed out by Check.
	Capture [][]string
	// Nulls lets null stand for anything, as it does for encoding/json.
	Nulls bool
	// Depth is how deep objects and arrays may nest; 0 is MaxDepth.
	Depth int
	// Integers writes a whole number as an integer where there must be one: 1.7e9 is 1700000000 in Check's Document. Numbers
	// from 2^53 on, which a float64 may round, stay as they are.
	Integers bool
}

// Compile compiles a schema. It fails for a keyword that it does not know, so that no part of a contract goes unchecked.
func Compile(s *openapi3.Schema, o Options) (*Schema, error) {
	c := compiler{done: map[*openapi3.Schema]*node{}}
	root, err := c.compile(s)
	if err != nil {
		return nil, err
	}
	compiled := &Schema{root: root, captures: len(o.Capture), nulls: o.Nulls, integers: o.Integers, depth: cmp.Or(o.Depth, MaxDepth)}
	for i, path := range o.Capture {
		if compiled.root, err = capturing(compiled.root, path, i+1); err != nil {
			return nil, err
		}
	}
	return compiled, nil
}

// capturing is a copy of n whose value at path is handed out. Only the nodes on the path are copied: others may stand in
// several places.
func capturing(n *node, path []string, capture int) (*node, error) {
	if n == nil {
		return nil, errors.New("jsonschema: nothing is said of a path to capture")
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
	done map[*openapi3.Schema]*node // schemas may refer to themselves
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
	if rest := s.AdditionalProperties.Schema; rest != nil {
		if n.rest, err = c.compile(rest.Value); err != nil {
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

// oneOf compiles alternatives, of which the type of a value tells which one is meant.
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

// read takes over what a schema says of a value itself.
func (n *node) read(s *openapi3.Schema) error {
	if err := known(s); err != nil {
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

// maxRequired is how many required members an object may have: one bit each.
const maxRequired = 64

func (n *node) readFormat(format string) error {
	switch {
	case format == "" || n.types&(integer|number) != 0 && slices.Contains([]string{"int32", "int64", "float", "double"}, format):
		return nil // stricter here than any of these, but for int32, of which there is none
	case n.types&text != 0 && openapi3.SchemaStringFormats[format] != nil:
		n.format = openapi3.SchemaStringFormats[format].Validate
		if format == "date-time" {
			n.format, n.instant = instant(n.format), true
		}
		return nil
	}
	return fmt.Errorf("jsonschema: format %s is not known", format)
}

// instant is a format of times that Go can decode, too: it has no leap seconds.
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

// known fails for what compile would leave out.
func known(s *openapi3.Schema) error {
	for keyword, there := range map[string]bool{
		"anyOf": len(s.AnyOf) > 0, "allOf": len(s.AllOf) > 0, "not": s.Not != nil,
		"pattern": s.Pattern != "", "multipleOf": s.MultipleOf != nil, "uniqueItems": s.UniqueItems,
		"minItems": s.MinItems != 0, "maxItems": s.MaxItems != nil, "minProperties": s.MinProps != 0, "maxProperties": s.MaxProps != nil,
		"exclusiveMinimum": s.ExclusiveMin.IsSet(), "exclusiveMaximum": s.ExclusiveMax.IsSet(), "const": s.Const != nil,
		"discriminator": s.Discriminator != nil, "readOnly": s.ReadOnly, "writeOnly": s.WriteOnly,
	} {
		if there {
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

// fold is a name as encoding/json compares it: the smallest of the runes that differ in case only.
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
