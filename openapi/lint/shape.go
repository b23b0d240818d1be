package lint

import "regexp"

// shape is what OpenAPI 3.0 says of one place in a document.
type shape struct {
	// name is the name of the place in messages.
	name string
	// tag is the YAML type of a scalar; "" for an object or a list.
	tag string
	// values are the values that a scalar may have; nil for any.
	values []string
	// valuesRule is the rule that allows no other values; "" if OpenAPI does not.
	valuesRule string
	// fields are the keywords of an object; nil for an object whose keys are free.
	fields map[string]*shape
	// further are the keywords of OpenAPI that no contract of gatehouse uses. A rule forbids them.
	further map[string]*shape
	// needs are the keywords that an object must have.
	needs []string
	// keys matches the keys of an object whose keys are free, and keysAre describes them; nil for any keys.
	keys    *regexp.Regexp
	keysAre string
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

// needing returns the shape with the keywords that it needs.
func (s *shape) needing(keywords ...string) *shape {
	s.needs = keywords
	return s
}

// withFurther returns the shape with keywords that no contract of gatehouse uses.
func (s *shape) withFurther(f fields) *shape {
	s.further = f
	return s
}

// withKeys returns the shape of an object whose keys are restricted. It may have extensions.
func (s *shape) withKeys(keys, are string) *shape {
	s.keys, s.keysAre, s.extensible = regexp.MustCompile(keys), are, true
	return s
}

// root is the shape of a whole document, as https://spec.openapis.org/oas/v3.0.4 defines it.
var root = func() *shape {
	schema := schemaShape()
	examples := mapOf("examples", component("examples", "example", fields{
		"summary": word, "description": word, "value": free, "externalValue": word,
	}))
	// A media type has no example: each one needs a name, that of its outcome.
	media := object("media type", fields{"schema": schema, "examples": examples})
	content := mapOf("content", media)
	header := component("headers", "header", fields{
		"description": word, "required": flag, "deprecated": flag, "schema": schema, "example": free, "examples": examples,
		"content": content,
	}).withFurther(fields{"style": word, "explode": flag, "allowEmptyValue": flag, "allowReserved": flag})
	headers := mapOf("headers", header)
	media.withFurther(fields{"example": free, "encoding": mapOf("encodings", object("encoding", fields{
		"contentType": word, "headers": headers, "style": word, "explode": flag, "allowReserved": flag,
	}))})
	parameter := component("parameters", "parameter", fields{
		"name": word, "in": oneOf("place", "cookie", "header", "path", "query"), "description": word, "required": flag,
		"deprecated": flag, "allowEmptyValue": flag, "style": word, "explode": flag, "allowReserved": flag, "schema": schema,
		"example": free, "examples": examples, "content": content,
	}).needing("name", "in")
	body := component("requestBodies", "request body",
		fields{"description": word, "content": content, "required": flag}).needing("content")
	link := component("links", "link", fields{
		"operationRef": word, "operationId": word, "parameters": free, "requestBody": free, "description": word,
		"server": object("server", fields{"url": word, "description": word, "variables": free}),
	})
	response := component("responses", "response", fields{
		"description": word, "headers": headers, "content": content,
	}).needing("description").withFurther(fields{"links": mapOf("links", link)})
	security := component("securitySchemes", "security scheme", fields{
		"type": oneOf("type", "apiKey", "http", "oauth2", "openIdConnect"), "description": word, "name": word,
		"in": oneOf("place", "cookie", "header", "query"), "scheme": word, "bearerFormat": word, "openIdConnectUrl": word,
		"flows": free,
	}).needing("type")
	components := object("components", fields{
		"schemas": mapOf("schemas", schema), "responses": mapOf("responses", response), "examples": examples,
		"parameters": mapOf("parameters", parameter), "requestBodies": mapOf("requestBodies", body), "headers": headers,
		"securitySchemes": mapOf("securitySchemes", security),
	}).withFurther(fields{"links": mapOf("links", link), "callbacks": free})
	return documentShape(parameter, body, response, components)
}()

// formats are the values of format that the generator and the server read.
var formats = []string{"binary", "date", "date-time", "double", "float", "int32", "int64"}

func schemaShape() *shape {
	format := oneOf("format", formats...)
	format.valuesRule = ruleFormat
	schema := component("schemas", "schema", nil).withFurther(fields{
		"discriminator": object("discriminator", fields{"propertyName": word, "mapping": mapOf("mapping", word)}).
			needing("propertyName"),
		"xml": object("XML", fields{
			"name": word, "namespace": word, "prefix": word, "attribute": flag, "wrapped": flag,
		}),
		"externalDocs": externalDocs,
	})
	schema.fields = fields{
		"type":  oneOf("type", "array", "boolean", "integer", "number", "object", "string"),
		"title": word, "description": word, "format": format, "pattern": word,
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

// externalDocs is the shape of a link to other documentation.
var externalDocs = object("external documentation", fields{"description": word, "url": word}).needing("url")

func documentShape(parameter, body, response, components *shape) *shape {
	variable := object("server variable", fields{"enum": listOf(word), "default": word, "description": word})
	servers := listOf(object("server", fields{"url": word, "description": word}).needing("url").
		withFurther(fields{"variables": mapOf("variables", variable.needing("default"))}))
	security := listOf(mapOf("security requirement", listOf(word)))
	operation := object("operation", fields{
		"tags": listOf(word), "summary": word, "description": word, "externalDocs": externalDocs, "operationId": word,
		"parameters": listOf(parameter), "requestBody": body, "deprecated": flag, "security": security,
		"servers": servers, "responses": mapOf("responses", response).withKeys(`^([1-5](XX|[0-9][0-9])|default)$`,
			"a status, a range such as 4XX, or default"),
	}).needing("responses").withFurther(fields{"callbacks": free})
	path := object("path", fields{
		"summary": word, "description": word, "servers": servers, "parameters": listOf(parameter),
	}).withFurther(fields{"$ref": word})
	for _, method := range methods {
		path.fields[method] = operation
	}
	return object("document", fields{
		"openapi": word,
		"info": object("info", fields{
			"title": word, "version": word, "description": word, "termsOfService": word,
			"contact": object("contact", fields{"name": word, "url": word, "email": word}),
			"license": object("license", fields{"name": word, "url": word}).needing("name"),
		}).needing("title", "version"),
		"servers": servers, "security": security, "externalDocs": externalDocs,
		"tags": listOf(object("tag", fields{"name": word, "description": word, "externalDocs": externalDocs}).
			needing("name")),
		"paths": mapOf("paths", path).withKeys(`^/([^{}]|\{[^{}/]+\})*$`,
			"a path: it begins with a slash, and has the names of its parameters in braces"),
		"components": components,
	}).needing("openapi", "info", "paths")
}

// methods are the HTTP methods of a path.
var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
