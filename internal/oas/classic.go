package oas

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"

	"gatehouse/internal/jsondoc"
)

// classic is an object of the classic definition.
type classic map[string]any

// set writes a value to the place at, and makes the objects on the way. No value removes the one that is there.
func (c classic) set(at []string, value any) {
	last := len(at) - 1
	for _, name := range at[:last] {
		c = c.child(name)
	}
	if value == nil {
		delete(c, at[last])
	} else {
		c[at[last]] = value
	}
}

// child returns the object at a member, which it makes if there is none.
func (c classic) child(name string) classic {
	child, ok := c[name].(classic)
	if !ok {
		child = classic{}
		c[name] = child
	}
	return child
}

// classicJSON has the classic definition that a gateway of version 5.14.0 makes of an extension without any setting,
// and what it has for an authentication mode. Members that are null there are left out.
//
//go:embed classic.json
var classicJSON []byte

// templates are the parts of a classic definition. They must not be changed.
var templates = sync.OnceValue(func() (t struct {
	Definition classic `json:"definition"`
	AuthConfig classic `json:"auth_config"`
},
) {
	decoder := json.NewDecoder(bytes.NewReader(classicJSON))
	decoder.UseNumber()
	if err := decoder.Decode(&t); err != nil {
		panic(err) // the file is embedded, and a test decodes it
	}
	return t
})

// clone returns a copy of a template.
func clone(template map[string]any) classic {
	copied := make(classic, len(template))
	for name, value := range template {
		if object, ok := value.(map[string]any); ok {
			value = clone(object)
		}
		copied[name] = value
	}
	return copied
}

// equalLeaves reports whether two objects have the same values, apart from those that are objects.
func equalLeaves(a, b classic) bool {
	for name, value := range a {
		if _, isObject := value.(classic); !isObject && value != b[name] {
			return false
		}
	}
	return len(a) == len(b)
}

// encode returns a value as JSON, without the escapes that only HTML needs.
func encode(value any) (json.RawMessage, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// What Convert and Extend make of a document is several times its size: the classic definition has a path for each
// setting of an operation, and a target as often as its weight says. Without a limit, a few bytes could become more
// than the server has memory for, and more than gateways load in time.
const (
	minSize = 256 << 10 // enough for 5,000 targets
	growth  = 16        // operations whose settings are written in the fewest bytes grow to ten times their size
	maxSize = 4 << 20   // twice the size of a document that clients may send
)

// MaxSize returns the maximum size in bytes of what Convert and Extend make of a document of this size.
func MaxSize(document int) int { return min(minSize+growth*document, max(maxSize, 2*document)) }

// errTooLarge is the error of a document of which too much would be made.
var errTooLarge = &Error{Message: "the definition that gateways serve the API by would be too large"}

// definitionSize is the size of most definitions, in bytes.
const definitionSize = 8 << 10

// encodeWithin returns the object as JSON, with its members sorted, or errTooLarge. It is three times as fast as
// encode, which has to find out the type of each value.
func encodeWithin(definition classic, limit int) ([]byte, error) {
	e := encoder{make([]byte, 0, definitionSize), limit}
	err := e.object(definition)
	return e.out, err
}

// encoder appends JSON, up to a limit that the value which reaches it may exceed.
type encoder struct {
	out   []byte
	limit int
}

func (e *encoder) object(c classic) error {
	names := slices.AppendSeq(make([]string, 0, len(c)), maps.Keys(c))
	slices.Sort(names)
	e.out = append(e.out, '{')
	for i, name := range names {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		e.out = append(appendText(e.out, name), ':')
		if err := e.value(c[name]); err != nil {
			return err
		}
	}
	e.out = append(e.out, '}')
	return nil
}

func (e *encoder) value(value any) error {
	if len(e.out) > e.limit {
		return errTooLarge
	}
	switch v := value.(type) {
	case classic:
		return e.object(v)
	case []classic:
		return appendList(e, v)
	case []any:
		return appendList(e, v)
	case []string:
		return appendList(e, v)
	case bool:
		e.out = strconv.AppendBool(e.out, v)
	case string:
		e.out = appendText(e.out, v)
	case int:
		e.out = strconv.AppendInt(e.out, int64(v), 10)
	case json.Number:
		e.out = append(e.out, v...)
	case json.RawMessage:
		e.out = append(e.out, v...)
	default:
		encoded, err := encode(value)
		e.out = append(e.out, encoded...)
		return err
	}
	return nil
}

func appendList[V any](e *encoder, list []V) error {
	if list == nil {
		e.out = append(e.out, "null"...)
		return nil
	}
	e.out = append(e.out, '[')
	for i, value := range list {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		if err := e.value(value); err != nil {
			return err
		}
	}
	e.out = append(e.out, ']')
	return nil
}

func appendText(out []byte, s string) []byte {
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' || r > '~' {
			return append(out, jsondoc.Quote(s)...)
		}
	}
	return append(append(append(out, '"'), s...), '"')
}
