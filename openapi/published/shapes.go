package published

import "slices"

// openAPI says what a skeleton keeps of a document, as https://spec.openapis.org/oas/v3.0.4 defines it.
var openAPI = documentShape()

var value = &shape{}

func eachOf(each *shape) *shape { return &shape{each: each} }

// keep returns fields that are kept as they are.
func keep(names ...string) []field { return fieldsOf(value, names) }

// drop returns fields that are left out.
func drop(names ...string) []field { return fieldsOf(nil, names) }

func fieldsOf(s *shape, names []string) []field {
	fields := make([]field, len(names))
	for i, name := range names {
		fields[i] = field{name, s}
	}
	return fields
}

func documentShape() *shape {
	schema := schemaShape()
	schemas, content := eachOf(schema), eachOf(&shape{fields: []field{
		{"schema", schema}, {"example", nil}, {"examples", nil}, {"encoding", value},
	}})
	// What a parameter and a header have in common.
	format := slices.Concat(keep("required", "deprecated", "allowEmptyValue", "style", "explode", "allowReserved"),
		[]field{{"schema", schema}, {"content", content}}, drop("description", "example", "examples"))
	header := &shape{fields: format}
	parameter := &shape{fields: slices.Concat(keep("name", "in"), format)}
	body := &shape{fields: []field{{"required", value}, {"content", content}, {"description", nil}}}
	response := &shape{fields: []field{
		{"description", &shape{stub: true}}, {"headers", eachOf(header)}, {"content", content}, {"links", nil},
	}}
	operation := &shape{fields: slices.Concat(
		keep("operationId", "deprecated", "security"),
		[]field{{"parameters", eachOf(parameter)}, {"requestBody", body}, {"responses", eachOf(response)}},
		drop("tags", "summary", "description", "externalDocs", "callbacks", "servers"))}
	path := []field{{"parameters", eachOf(parameter)}}
	for _, method := range []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"} {
		path = append(path, field{method, operation})
	}
	path = append(path, drop("summary", "description", "servers")...)
	scheme := &shape{fields: slices.Concat(
		keep("type", "name", "in", "scheme", "bearerFormat", "flows", "openIdConnectUrl"), drop("description"))}
	components := &shape{fields: []field{
		{"schemas", schemas},
		{"responses", eachOf(response)},
		{"parameters", eachOf(parameter)},
		{"requestBodies", eachOf(body)},
		{"headers", eachOf(header)},
		{"securitySchemes", eachOf(scheme)},
		{"examples", nil},
		{"links", nil},
		{"callbacks", nil},
	}}
	info := &shape{fields: slices.Concat([]field{{"title", &shape{stub: true, text: "Skeleton"}}}, keep("version"),
		drop("description", "termsOfService", "contact", "license"))}
	return &shape{fields: []field{
		{"openapi", value},
		{"info", info},
		{"security", value},
		{"paths", eachOf(&shape{fields: path})},
		{"components", components},
		{"servers", nil},
		{"tags", nil},
		{"externalDocs", nil},
	}}
}

// schemaShape returns the shape of a schema, which refers to itself.
func schemaShape() *shape {
	schema := &shape{}
	several := eachOf(schema)
	schema.fields = slices.Concat(
		keep("type", "format", "nullable", "readOnly", "writeOnly", "deprecated", "enum", "default", "pattern",
			"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
			"minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "discriminator", "required"),
		[]field{
			{"properties", several},
			{"items", schema},
			{"additionalProperties", schema},
			{"allOf", several},
			{"anyOf", several},
			{"oneOf", several},
			{"not", schema},
		},
		drop("title", "description", "example", "externalDocs", "xml"))
	return schema
}
