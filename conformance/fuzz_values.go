package conformance

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2" //nolint:depguard // a seed repeats the requests; nothing here is secret
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

const (
	// maxDepth is how deep in a schema values are changed.
	maxDepth = 4
	// longText is the length of a text at the edge of a schema without a maximum.
	longText = 2000
)

// generator generates values from schemas.
type generator struct{ *rand.Rand }

// requestSchema returns the schema of a JSON body, or nil.
func (op *Operation) requestSchema() *openapi3.Schema {
	if op.Request == nil || op.Request.MediaType != "application/json" {
		return nil
	}
	content := op.declared.RequestBody.Value.Content.Get(op.Request.MediaType)
	if content == nil || content.Schema == nil {
		return nil
	}
	return content.Schema.Value
}

// place is a place in a body with its schema.
type place struct {
	path   []string
	schema *openapi3.Schema
}

// change returns a body that is changed in one place: to another valid value, to one at the edge, or to an invalid one.
func (g generator) change(schema *openapi3.Schema, body any) (changed any, what string) {
	places := placesOf(schema, nil, body, maxDepth)
	at := places[g.IntN(len(places))]
	var value any
	var how string
	switch g.IntN(3) {
	case 0:
		value, how = g.value(at.schema, maxDepth), "another value"
	case 1:
		value, how = g.edge(at.schema), "an edge"
	default:
		value, how = g.invalid(at.schema)
	}
	pointer := ""
	for _, name := range at.path {
		pointer = below(pointer, name)
	}
	return edited(body, at.path, value), strings.TrimSpace(pointer + " " + how)
}

// placesOf lists the places of a body: those of the schema, and in lists those that the body has.
func placesOf(schema *openapi3.Schema, path []string, body any, depth int) []place {
	places := []place{}
	if len(path) > 0 {
		places = append(places, place{path, schema})
	}
	if depth == 0 {
		return places
	}
	members, _ := body.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		places = append(places, placesOf(schema.Properties[name].Value, child(path, name), members[name], depth-1)...)
	}
	if elements, ok := body.([]any); ok && schema.Items != nil {
		for i, element := range elements {
			places = append(places, placesOf(schema.Items.Value, child(path, strconv.Itoa(i)), element, depth-1)...)
		}
	}
	if len(places) == 0 {
		places = append(places, place{path, schema})
	}
	return places
}

func child(path []string, name string) []string { return append(slices.Clone(path), name) }

func typeIs(schema *openapi3.Schema, name string) bool {
	return schema.Type != nil && schema.Type.Is(name)
}

// value returns a random valid value.
func (g generator) value(schema *openapi3.Schema, depth int) any {
	switch {
	case len(schema.Enum) > 0:
		return schema.Enum[g.IntN(len(schema.Enum))]
	case schema.Nullable && g.IntN(4) == 0:
		return nil
	case typeIs(schema, "string"):
		return g.textOf(schema)
	case typeIs(schema, "boolean"):
		return g.IntN(2) == 0
	case typeIs(schema, "integer"):
		return float64(g.IntN(1000))
	case typeIs(schema, "number"):
		return float64(g.IntN(1000)) / 8
	case typeIs(schema, "array"):
		list := []any{}
		for range g.IntN(3) {
			if schema.Items != nil && depth > 0 {
				list = append(list, g.value(schema.Items.Value, depth-1))
			}
		}
		return list
	}
	object := map[string]any{}
	for name, property := range g.someOf(schema) {
		if depth > 0 {
			object[name] = g.value(property, depth-1)
		}
	}
	return object
}

// someOf yields the required properties of a schema and some of the others, in the order of their names.
func (g generator) someOf(schema *openapi3.Schema) iter.Seq2[string, *openapi3.Schema] {
	return func(yield func(string, *openapi3.Schema) bool) {
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			if !slices.Contains(schema.Required, name) && g.IntN(3) > 0 {
				continue
			}
			if !yield(name, schema.Properties[name].Value) {
				return
			}
		}
	}
}

// textOf returns a text of the length and the format that a schema asks for.
func (g generator) textOf(schema *openapi3.Schema) string {
	switch schema.Format {
	case "date-time":
		return fmt.Sprintf("20%02d-01-02T03:04:05Z", g.IntN(100))
	case "date":
		return "2027-01-02"
	}
	text := strings.Repeat("x", int(schema.MinLength)) + g.edgeText()
	if schema.MaxLength != nil && len([]rune(text)) > int(*schema.MaxLength) {
		text = string([]rune(text)[:*schema.MaxLength])
	}
	return text
}

// edgeText returns a text that is seldom seen.
func (g generator) edgeText() string {
	texts := []string{
		"", " ", "0", "null", "nope", "Ünïcödé", "\u65e5\u672c", "e\u0301", "\U0001F6A2", "\u202Eright to left",
		"a\nb\tc", `"quoted"`, "<b>&amp;</b>", "'; DROP TABLE users; --", "a\u0000b", "..", "%00",
		strings.Repeat("x", longText),
	}
	return texts[g.IntN(len(texts))]
}

// edge returns a valid value at the edge of what is valid.
func (g generator) edge(schema *openapi3.Schema) any {
	var edges []any
	switch {
	case len(schema.Enum) > 0:
		edges = schema.Enum
	case typeIs(schema, "string"):
		edges = []any{g.textOf(schema)}
		if schema.Format == "" {
			edges = append(edges, strings.Repeat("x", int(schema.MinLength)))
		}
		if schema.MaxLength != nil {
			edges = append(edges, strings.Repeat("x", int(*schema.MaxLength)))
		}
	case typeIs(schema, "integer"):
		edges = []any{0.0, -1.0, float64(1 << 31), float64(1<<53 - 1), float64(-1 << 53)}
	case typeIs(schema, "number"):
		edges = []any{0.0, -0.5, 1e-9, 1e15}
	case typeIs(schema, "array"):
		edges = []any{[]any{}}
	default:
		edges = []any{g.value(schema, 1)}
	}
	if schema.Nullable {
		edges = append(edges, nil)
	}
	return edges[g.IntN(len(edges))]
}

// invalid returns a value that a schema forbids, or a valid one if it forbids none.
func (g generator) invalid(schema *openapi3.Schema) (value any, how string) {
	type wrong struct {
		value any
		how   string
	}
	var all []wrong
	if schema.Type != nil {
		other := map[string]any{
			"string": 5.0, "integer": "text", "number": "text", "boolean": "yes", "object": []any{1.0},
			"array": map[string]any{"x": 1.0},
		}
		for _, name := range schema.Type.Slice() {
			all = append(all, wrong{other[name], "another type"})
		}
		if !schema.Nullable {
			all = append(all, wrong{nil, "null"})
		}
	}
	if len(schema.Enum) > 0 {
		all = append(all, wrong{"none of them", "not in the enum"})
	}
	if schema.MaxLength != nil {
		all = append(all, wrong{strings.Repeat("x", int(*schema.MaxLength)+1), "too long"})
	}
	if schema.MinLength > 0 {
		all = append(all, wrong{strings.Repeat("x", int(schema.MinLength)-1), "too short"})
	}
	if schema.Format == "date-time" {
		all = append(all, wrong{"yesterday", "no date"})
	}
	if len(all) == 0 {
		return g.value(schema, 1), "another value"
	}
	chosen := all[g.IntN(len(all))]
	return chosen.value, chosen.how
}

// reductions yields values that are a little smaller: without one member or element, with a shorter text, or with a
// smaller value in one place.
func reductions(v any) iter.Seq[any] {
	return func(yield func(any) bool) {
		switch v := v.(type) {
		case map[string]any:
			reduceObject(v, yield)
		case []any:
			reduceList(v, yield)
		case string:
			if runes := []rune(v); len(runes) > 1 && !yield(string(runes[:len(runes)/2])) {
				return
			}
		}
	}
}

func reduceObject(object map[string]any, yield func(any) bool) {
	names := slices.Sorted(maps.Keys(object))
	for _, name := range names {
		if !yield(edited(object, []string{name}, removed{})) {
			return
		}
	}
	for _, name := range names {
		for smaller := range reductions(object[name]) {
			if !yield(edited(object, []string{name}, smaller)) {
				return
			}
		}
	}
}

func reduceList(list []any, yield func(any) bool) {
	for i := range list {
		if !yield(slices.Delete(slices.Clone(list), i, i+1)) {
			return
		}
	}
	for i := range list {
		for smaller := range reductions(list[i]) {
			reduced := slices.Clone(list)
			reduced[i] = smaller
			if !yield(reduced) {
				return
			}
		}
	}
}
