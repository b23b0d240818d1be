package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// Defaults returns an object of the defaults of a schema's properties, in the order of their x-order. It fails for a
// property without a default, unless it is one of except. Where the default is {}, it is completed with the defaults of
// the property's own properties; those may lack one.
func Defaults(schema *openapi3.Schema, except ...string) (json.RawMessage, error) {
	for name, property := range schema.Properties {
		if property.Value.Default == nil && !slices.Contains(except, name) {
			return nil, fmt.Errorf("the property %s has no default", name)
		}
	}
	return defaultsOf(schema, except...)
}

func defaultsOf(schema *openapi3.Schema, except ...string) (json.RawMessage, error) {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(schema.Properties)), func(name string) bool {
		return schema.Properties[name].Value.Default == nil || slices.Contains(except, name)
	})
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(orderOf(schema.Properties[a]), orderOf(schema.Properties[b])), cmp.Compare(a, b))
	})
	object := json.RawMessage("{")
	for i, name := range names {
		if i > 0 {
			object = append(object, ',')
		}
		value, err := defaultOf(schema.Properties[name].Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		object = append(append(append(object, key...), ':'), value...)
	}
	return append(object, '}'), nil
}

func defaultOf(property *openapi3.Schema) (json.RawMessage, error) {
	if problems := CheckValue(property, property.Default); problems != nil {
		return nil, fmt.Errorf("its default does not match its schema: %s", problems[0].Reason)
	}
	if members, ok := property.Default.(map[string]any); ok && len(members) == 0 {
		return defaultsOf(property)
	}
	return json.Marshal(property.Default)
}

// orderOf returns the x-order of a property, which may stand beside a reference, too. A property without one is last.
func orderOf(property *openapi3.SchemaRef) float64 {
	for _, extensions := range []map[string]any{property.Extensions, property.Value.Extensions} {
		if order, ok := extensions[extOrder].(float64); ok {
			return order
		}
	}
	return math.MaxFloat64
}
