package lint

// shape is what OpenAPI 3.0 says of one place in a document.
type shape struct {
	// name is the name of the place in messages.
	name string
	// tag is the YAML type of a scalar; "" for an object or a list.
	tag string
	// values are the values that a scalar may have; nil for any.
	values []string
	// fields are the keywords of an object; nil for an object whose keys are free.
	fields map[string]*shape
	// each describes the values of an object whose keys are free, or the elements of a list.
	each *shape
	// list is set for a list.
	list bool
	// section is where references to it have to lead, below components; "" if it cannot be a reference.
	section string
	// extensible objects may have extensions (x- keys).
	extensible bool
	// free is set where everything is allowed, as in the value of an example.
	free bool
}

// The shapes of scalars, and of what is not checked.
var (
	word   = &shape{tag: "!!str"}
	flag   = &shape{tag: "!!bool"}
	count  = &shape{tag: "!!int"}
	number = &shape{tag: "!!float"}
	free   = &shape{free: true}
)

type fields = map[string]*shape

func object(name string, f fields) *shape   { return &shape{name: name, fields: f, extensible: true} }
func mapOf(name string, each *shape) *shape { return &shape{name: name, each: each} }
func listOf(each *shape) *shape             { return &shape{list: true, each: each} }
func oneOf(name string, values ...string) *shape {
	return &shape{name: name, tag: "!!str", values: values}
}

func component(section, name string, f fields) *shape {
	return &shape{name: name, fields: f, extensible: true, section: section}
}

// root is the shape of a whole document, as https://spec.openapis.org/oas/v3.0.4 defines it. Objects that no contract
// uses are missing: callbacks, links, discriminators, XML, encodings.
var root = func() *shape {
	schema := schemaShape()
	examples := mapOf("examples", component("examples", "example", fields{
		"summary": word, "description": word, "value": free, "externalValue": word,
	}))
	// A media type has no example: each one needs a name, that of its outcome.
	content := mapOf("content", object("media type", fields{"schema": schema, "examples": examples}))
	header := component("headers", "header", fields{
		"description": word, "required": flag, "deprecated": flag, "schema": schema, "example": free, "examples": examples,
		"content": content,
	})
	parameter := component("parameters", "parameter", fields{
		"name": word, "in": oneOf("place", "cookie", "header", "path", "query"), "description": word, "required": flag,
		"deprecated": flag, "allowEmptyValue": flag, "style": word, "explode": flag, "allowReserved": flag, "schema": schema,
		"example": free, "examples": examples, "content": content,
	})
	body := component("requestBodies", "request body", fields{"description": word, "content": content, "required": flag})
	response := component("responses", "response", fields{
		"description": word, "headers": mapOf("headers", header), "content": content,
	})
	return documentShape(parameter, body, response, fields{
		"schemas": mapOf("schemas", schema), "responses": mapOf("responses", response), "examples": examples,
		"parameters": mapOf("parameters", parameter), "requestBodies": mapOf("requestBodies", body),
		"headers": mapOf("headers", header),
		"securitySchemes": mapOf("securitySchemes", object("security scheme", fields{
			"type": oneOf("type", "apiKey", "http", "oauth2", "openIdConnect"), "description": word, "name": word,
			"in": oneOf("place", "cookie", "header", "query"), "scheme": word, "bearerFormat": word, "openIdConnectUrl": word,
			"flows": free,
		})),
	})
}()

// formats are the values of format that the generator and the server read.
var formats = []string{"binary", "date", "date-time", "double", "float", "int32", "int64"}

func schemaShape() *shape {
	schema := component("schemas", "schema", nil)
	schema.fields = fields{
		"type":  oneOf("type", "array", "boolean", "integer", "number", "object", "string"),
		"title": word, "description": word, "format": oneOf("format", formats...), "pattern": word,
		"nullable": flag, "deprecated": flag, "readOnly": flag, "writeOnly": flag, "default": free, "example": free,
		"enum":    listOf(free),
		"minimum": number, "maximum": number, "exclusiveMinimum": flag, "exclusiveMaximum": flag, "multipleOf": number,
		"minLength": count, "maxLength": count, "minItems": count, "maxItems": count, "uniqueItems": flag,
		"minProperties": count, "maxProperties": count, "required": listOf(word), "properties": mapOf("properties", schema),
		"additionalProperties": schema, "items": schema, "not": schema,
		"allOf": listOf(schema), "anyOf": listOf(schema), "oneOf": listOf(schema),
	}
	return schema
}

func documentShape(parameter, body, response *shape, components fields) *shape {
	external := object("external documentation", fields{"description": word, "url": word})
	servers := listOf(object("server", fields{"url": word, "description": word}))
	security := listOf(mapOf("security requirement", listOf(word)))
	operation := object("operation", fields{
		"tags": listOf(word), "summary": word, "description": word, "externalDocs": external, "operationId": word,
		"parameters": listOf(parameter), "requestBody": body, "responses": mapOf("responses", response), "deprecated": flag,
		"security": security, "servers": servers,
	})
	path := object("path", fields{
		"summary": word, "description": word, "servers": servers, "parameters": listOf(parameter),
	})
	for _, method := range methods {
		path.fields[method] = operation
	}
	return object("document", fields{
		"openapi": word,
		"info": object("info", fields{
			"title": word, "version": word, "description": word, "termsOfService": word,
			"contact": object("contact", fields{"name": word, "url": word, "email": word}),
			"license": object("license", fields{"name": word, "url": word}),
		}),
		"servers": servers, "security": security, "externalDocs": external,
		"tags":       listOf(object("tag", fields{"name": word, "description": word, "externalDocs": external})),
		"paths":      mapOf("paths", path),
		"components": object("components", components),
	})
}

// methods are the HTTP methods of a path.
var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
