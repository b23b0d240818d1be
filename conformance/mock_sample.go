package conformance

import (
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxSampleDepth is how deep a sample is nested before optional properties are left out, as schemas may refer to
// themselves.
const maxSampleDepth = 6

// sampleOf returns a value that a schema describes, for a response without an example: its example or default, or else
// one made of its type.
func sampleOf(schema *openapi3.Schema) any { return sampleAt(schema, 0) }

func sampleAt(schema *openapi3.Schema, depth int) any {
	switch {
	case schema == nil || depth > 2*maxSampleDepth:
		return nil
	case schema.Example != nil:
		return schema.Example
	case schema.Default != nil:
		return schema.Default
	case len(schema.Enum) > 0:
		return schema.Enum[0]
	case len(schema.OneOf) > 0:
		return sampleAt(schema.OneOf[0].Value, depth+1)
	case len(schema.AnyOf) > 0:
		return sampleAt(schema.AnyOf[0].Value, depth+1)
	}
	return sampleOfType(schema, depth)
}

func sampleOfType(schema *openapi3.Schema, depth int) any {
	switch {
	case schema.Type.Is(openapi3.TypeArray):
		return sampleArray(schema, depth)
	case schema.Type.Is(openapi3.TypeObject) || len(propertiesOf(schema)) > 0:
		return sampleObject(schema, depth)
	case len(schema.AllOf) > 0:
		return sampleAt(schema.AllOf[0].Value, depth+1)
	case schema.Type.Is(openapi3.TypeString):
		return sampleString(schema)
	case schema.Type.Is(openapi3.TypeBoolean):
		return true
	case schema.Type.Is(openapi3.TypeInteger) || schema.Type.Is(openapi3.TypeNumber):
		return sampleNumber(schema)
	}
	return nil
}

func sampleArray(schema *openapi3.Schema, depth int) any {
	count := max(1, schema.MinItems)
	if depth > maxSampleDepth || schema.Items == nil {
		count = schema.MinItems
	}
	items := make([]any, 0, count)
	for range count {
		items = append(items, sampleAt(schema.Items.Value, depth+1))
	}
	return items
}

func sampleObject(schema *openapi3.Schema, depth int) any {
	object := map[string]any{}
	properties, required := propertiesOf(schema), requiredOf(schema)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property := properties[name].Value
		if property.WriteOnly || depth > maxSampleDepth && !slices.Contains(required, name) {
			continue
		}
		object[name] = sampleAt(property, depth+1)
	}
	return object
}

func requiredOf(schema *openapi3.Schema) []string {
	all := slices.Clone(schema.Required)
	for _, part := range schema.AllOf {
		all = append(all, requiredOf(part.Value)...)
	}
	return all
}

// sampleFormats are strings of the formats that OpenAPI and JSON Schema know.
var sampleFormats = map[string]string{
	"byte": "c2FtcGxl", "date": "2024-02-29", "date-time": "2024-02-29T12:00:00Z", "duration": "PT5M",
	"email": "ines@rivermouth.example", "hostname": "rivermouth.example", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"time": "12:00:00Z", "uri": "https://rivermouth.example/", "url": "https://rivermouth.example/",
	"uuid": "7d0c1a6e-3d9b-4c39-9a53-0c2b8f6e4f10",
}

func sampleString(schema *openapi3.Schema) string {
	sample := sampleFormats[schema.Format]
	if sample == "" {
		sample = "string"
	}
	if missing := int(schema.MinLength) - len(sample); missing > 0 {
		sample += strings.Repeat("x", missing)
	}
	if schema.MaxLength != nil && uint64(len(sample)) > *schema.MaxLength {
		sample = sample[:*schema.MaxLength]
	}
	return sample
}

func sampleNumber(schema *openapi3.Schema) any {
	number := 1.0
	if schema.Min != nil && number < *schema.Min {
		number = *schema.Min + 1
	}
	if schema.Max != nil && number > *schema.Max {
		number = *schema.Max
	}
	return number
}
