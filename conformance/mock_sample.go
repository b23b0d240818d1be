package conformance

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/contract"
)

const (
	// maxSampleDepth is how deep a sample is nested before optional properties are left out, as schemas may refer to
	// themselves.
	maxSampleDepth = 6
	// maxSampleValues is the number of values from which on optional properties are left out: some schemas branch so much
	// that a sample with all of them would have millions of values.
	maxSampleValues = 2000
)

// sampleOf returns a value that a schema describes, for a response without an example: its example or default, or else
// one made of its type. It is nil for a schema that allows anything, and may be nil for one that nothing matches.
func sampleOf(schema *openapi3.Schema) any {
	value, _ := new(sampler).sample(schema, 0)
	return value
}

// sampler makes one sample.
type sampler struct{ values int }

// maxAlternatives is how many alternatives of a schema are tried.
const maxAlternatives = 8

// sample returns a value that a schema describes. ok is false if there is none that is small enough.
func (s *sampler) sample(schema *openapi3.Schema, depth int) (value any, ok bool) {
	s.values++
	if schema == nil {
		return nil, true
	}
	for _, stated := range []any{schema.Example, schema.Default} {
		if stated != nil && contract.CheckValue(schema, stated) == nil {
			return stated, true
		}
	}
	switch {
	case depth > 2*maxSampleDepth:
		return nil, schema.Nullable
	case len(schema.Enum) > 0:
		return schema.Enum[0], true
	}
	alternatives := max(1, len(schema.OneOf), len(schema.AnyOf))
	for i := range min(alternatives, maxAlternatives) {
		tried, made := s.sampleOfType(flatten(schema, i), depth)
		if made && (alternatives == 1 || contract.CheckValue(schema, tried) == nil) {
			return tried, true
		}
		if made && !ok { // better than nothing
			value, ok = tried, true
		}
	}
	return value, ok || schema.Nullable
}

func (s *sampler) sampleOfType(schema *openapi3.Schema, depth int) (value any, ok bool) {
	switch {
	case len(schema.Enum) > 0: // of a part of the schema
		return schema.Enum[0], true
	case schema.Type.Is(openapi3.TypeArray):
		return s.sampleArray(schema, depth)
	case schema.Type.Is(openapi3.TypeObject) || len(schema.Properties) > 0:
		return s.sampleObject(schema, depth)
	case schema.Type.Is(openapi3.TypeString):
		return sampleString(schema), true
	case schema.Type.Is(openapi3.TypeBoolean):
		return true, true
	case schema.Type.Is(openapi3.TypeInteger) || schema.Type.Is(openapi3.TypeNumber):
		return sampleNumber(schema), true
	}
	return map[string]any{}, true // null needs a type that allows it
}

// flatten returns a schema with what it is composed of in one: all of allOf, and an alternative of oneOf and anyOf.
func flatten(schema *openapi3.Schema, alternative int) *openapi3.Schema {
	parts := slices.Clone(schema.AllOf)
	for _, alternatives := range []openapi3.SchemaRefs{schema.OneOf, schema.AnyOf} {
		if len(alternatives) > 0 {
			parts = append(parts, alternatives[min(alternative, len(alternatives)-1)])
		}
	}
	if len(parts) == 0 {
		return schema
	}
	flat := *schema
	flat.Properties, flat.Required = maps.Clone(schema.Properties), slices.Clone(schema.Required)
	if flat.Properties == nil {
		flat.Properties = openapi3.Schemas{}
	}
	for _, ref := range parts {
		part := flatten(ref.Value, 0)
		if flat.Type == nil {
			bounds := *part
			bounds.Properties, bounds.Required = flat.Properties, flat.Required
			flat = bounds
		}
		for name, property := range part.Properties {
			if flat.Properties[name] == nil {
				flat.Properties[name] = property
			}
		}
		flat.Required = append(flat.Required, part.Required...)
		if flat.Items == nil {
			flat.Items = part.Items
		}
		if len(flat.Enum) == 0 {
			flat.Enum = part.Enum
		}
		discriminate(&flat, schema.Discriminator, ref.Ref)
	}
	return &flat
}

// discriminate gives the property that tells alternatives apart the value that stands for one of them.
func discriminate(flat *openapi3.Schema, by *openapi3.Discriminator, chosen string) {
	if by == nil || chosen == "" {
		return
	}
	value := chosen[strings.LastIndexByte(chosen, '/')+1:]
	for _, name := range slices.Sorted(maps.Keys(by.Mapping)) {
		if ref := by.Mapping[name].Ref; ref == chosen || ref == value {
			value = name
			break
		}
	}
	flat.Properties[by.PropertyName] = openapi3.NewSchemaRef("", openapi3.NewStringSchema().WithEnum(value))
	flat.Required = append(flat.Required, by.PropertyName)
}

func (s *sampler) sampleArray(schema *openapi3.Schema, depth int) (value any, ok bool) {
	count := max(1, schema.MinItems)
	if schema.Items == nil || schema.MinItems == 0 && s.isLarge(depth) {
		count = schema.MinItems
	}
	items := []any{}
	for range min(count, maxSampleValues) {
		var item any = map[string]any{}
		if schema.Items != nil {
			if item, ok = s.sample(schema.Items.Value, depth+1); !ok {
				break
			}
		}
		items = append(items, item)
	}
	return items, uint64(len(items)) >= schema.MinItems
}

// isLarge reports whether what a schema does not require is left out.
func (s *sampler) isLarge(depth int) bool {
	return depth > maxSampleDepth || s.values > maxSampleValues
}

func (s *sampler) sampleObject(schema *openapi3.Schema, depth int) (value any, ok bool) {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property, required := schema.Properties[name].Value, slices.Contains(schema.Required, name)
		if property.WriteOnly || !required && s.isLarge(depth) {
			continue
		}
		switch sampled, ok := s.sample(property, depth+1); {
		case ok:
			object[name] = sampled
		case required:
			return nil, false
		}
	}
	var more *openapi3.Schema
	if schema.AdditionalProperties.Schema != nil {
		more = schema.AdditionalProperties.Schema.Value
	}
	for _, name := range schema.Required {
		if schema.Properties[name] == nil { // it is one of the additional properties
			object[name], _ = s.sample(cmp.Or(more, openapi3.NewStringSchema()), depth+1)
		}
	}
	for i := uint64(len(object)); i < min(schema.MinProps, maxSampleValues); i++ {
		object["property"+strconv.FormatUint(i+1, 10)], _ = s.sample(cmp.Or(more, openapi3.NewStringSchema()), depth+1)
	}
	return object, true
}

// sampleFormats are strings of the formats that OpenAPI and JSON Schema know.
var sampleFormats = map[string]string{
	"byte": "c2FtcGxl", "date": "2024-02-29", "date-time": "2024-02-29T12:00:00Z", "duration": "PT5M",
	"email": "ines@rivermouth.example", "hostname": "rivermouth.example", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"time": "12:00:00Z", "uri": "https://rivermouth.example/", "url": "https://rivermouth.example/",
	"uuid": "7d0c1a6e-3d9b-4c39-9a53-0c2b8f6e4f10",
}

func sampleString(schema *openapi3.Schema) string {
	shortest := int(min(schema.MinLength, maxSampleLength))
	sample := sampleFormats[schema.Format]
	if schema.Pattern != "" && (sample == "" || contract.CheckValue(schema, sample) != nil) {
		if matching, ok := sampleOfPattern(schema.Pattern, shortest); ok {
			return matching
		}
	}
	if sample == "" {
		sample = "string"
	}
	if missing := shortest - len(sample); missing > 0 {
		sample += strings.Repeat("x", missing)
	}
	if schema.MaxLength != nil && uint64(len(sample)) > *schema.MaxLength {
		sample = sample[:*schema.MaxLength]
	}
	return sample
}

// maxSampleLength bounds the texts of samples.
const maxSampleLength = 1 << 16

func sampleNumber(schema *openapi3.Schema) any {
	step := 1.0
	if schema.MultipleOf != nil && *schema.MultipleOf > 0 {
		step = *schema.MultipleOf
	}
	number := step
	if schema.Min != nil {
		number = max(number, multipleBeyond(*schema.Min, step, schema.ExclusiveMin))
	}
	if schema.Max != nil {
		number = min(number, -multipleBeyond(-*schema.Max, step, schema.ExclusiveMax))
	}
	if schema.Min != nil && schema.Max != nil && number < *schema.Min { // no multiple is between them
		number = (*schema.Min + *schema.Max) / 2
	}
	return number
}

// multipleBeyond returns the least multiple of step that is not less than a bound, or greater if that is exclusive.
func multipleBeyond(bound, step float64, exclusive openapi3.ExclusiveBound) float64 {
	number := math.Ceil(bound/step) * step
	if number == bound && exclusive.Bool != nil && *exclusive.Bool {
		number += step
	}
	return number
}
