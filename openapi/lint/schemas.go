package main

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	types    = []string{"array", "boolean", "integer", "number", "object", "string"}
	keywords = []string{
		"additionalProperties", "allOf", "anyOf", "default", "deprecated", "description", "discriminator", "enum", "example",
		"exclusiveMaximum", "exclusiveMinimum", "externalDocs", "format", "items", "maxItems", "maxLength", "maxProperties",
		"maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "not", "nullable", "oneOf", "pattern",
		"properties", "readOnly", "required", "title", "type", "uniqueItems", "writeOnly", "xml",
	}
)

// namedSchema checks a schema that needs a description: one of components/schemas, or a property.
func (l *linter) namedSchema(name, schema *yaml.Node) {
	if get(schema, "$ref") == nil && get(schema, "description") == nil {
		l.reportf(name, "%s has no description", name.Value)
	}
	l.schema(schema)
}

// schema checks a schema and those within it.
func (l *linter) schema(s *yaml.Node) {
	if s == nil || get(s, "$ref") != nil {
		return
	}
	each(s, func(key, value *yaml.Node) {
		switch key.Value {
		case "type":
			if !slices.Contains(types, value.Value) {
				l.reportf(value, "unknown type %s; known are %s", value.Value, strings.Join(types, ", "))
			}
		case "properties":
			each(value, l.namedSchema)
		case "items", "not", "additionalProperties":
			l.schema(value)
		case "allOf", "anyOf", "oneOf":
			for _, alternative := range value.Content {
				l.schema(alternative)
			}
		case "required":
			l.required(s, value)
		default:
			if !slices.Contains(keywords, key.Value) && !strings.HasPrefix(key.Value, "x-") {
				l.reportf(key, "unknown keyword %s of a schema", key.Value)
			}
		}
	})
}

func (l *linter) required(s, names *yaml.Node) {
	for _, name := range names.Content {
		if get(get(s, "properties"), name.Value) == nil {
			l.reportf(name, "required property %s is not one of the properties", name.Value)
		}
	}
}
