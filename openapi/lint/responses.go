package lint

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// checkResponseSchemas reports the properties of responses that the server would send in a place that nothing
// determines, or not in every response, although nothing says so. The schemas are those that a response refers to,
// through any number of others. A schema with x-go-type is a document of a user, which the server sends as it is.
func (l *linter) checkResponseSchemas(doc *document, responses *yaml.Node) {
	for _, response := range pairs(responses) {
		file, response := l.follow(doc, response)
		for _, content := range pairs(member(response, "content")) {
			l.checkResponseSchema(file, member(content, "schema"))
		}
	}
}

// checkOutcomes reports the responses that have no name, and so are no outcomes: those in JSON without a named example,
// and those without content and x-outcome. Each is reported once, also if operations share it.
func (l *linter) checkOutcomes(doc *document, responses *yaml.Node) {
	for status, declared := range pairs(responses) {
		file, response := l.follow(doc, declared)
		if response == nil || response.Kind != yaml.MappingNode || l.responses[response] ||
			strings.HasPrefix(status.Value, "x-") {
			continue
		}
		l.responses[response] = true
		at := status
		if response != declared {
			at = response
		}
		content := member(response, "content")
		json := member(content, "application/json")
		switch {
		case len(names(content)) == 0 && member(response, "x-outcome") == nil:
			l.beyond(ruleOutcome).reportf(file, at, "the response has no content: name its outcome with x-outcome")
		case json != nil && len(names(member(json, "examples"))) == 0:
			l.beyond(ruleOutcome).reportf(file, at, "the response has no named example: add one below examples")
		}
	}
}

// checkResponseSchema checks a schema, and those inside it, once.
func (l *linter) checkResponseSchema(doc *document, schema *yaml.Node) {
	doc, schema = l.follow(doc, schema)
	if schema == nil || l.responses[schema] || member(schema, "x-go-type") != nil {
		return
	}
	l.responses[schema] = true
	l.checkOrder(doc, schema)
	l.checkOptional(doc, schema)
	for _, property := range pairs(member(schema, "properties")) {
		l.checkResponseSchema(doc, property)
	}
	for _, keyword := range []string{"items", "additionalProperties"} {
		l.checkResponseSchema(doc, member(schema, keyword))
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		for _, element := range elements(member(schema, keyword)) {
			l.checkResponseSchema(doc, element)
		}
	}
}

// checkOrder reports the properties of a response without x-order, and those that have that of another.
func (l *linter) checkOrder(doc *document, schema *yaml.Node) {
	properties := member(schema, "properties")
	taken, last := map[string]string{}, len(names(properties))
	for name, property := range pairs(properties) {
		order := text(property, "x-order")
		switch other, ok := taken[order]; {
		case order == "":
			l.beyond(ruleOrder).reportf(doc, name, "property %s is part of a response and has no x-order: "+
				"give it its place in the JSON, such as x-order: %d for the last", name.Value, last)
		case ok:
			l.beyond(ruleOrder).reportf(doc, name, "property %s has the x-order %s of %s: give it another",
				name.Value, order, other)
		}
		taken[order] = name.Value
	}
}

// checkOptional reports the properties of a response that are not required beside others that are, unless they are
// marked, and those that are marked but required.
func (l *linter) checkOptional(doc *document, schema *yaml.Node) {
	required := map[string]bool{}
	for _, name := range elements(member(schema, "required")) {
		required[name.Value] = true
	}
	if len(required) == 0 {
		return
	}
	for name, property := range pairs(member(schema, "properties")) {
		optional := member(property, "x-optional") != nil
		switch {
		case optional && required[name.Value]:
			l.beyond(ruleOptional).reportf(doc, name, "property %s is in required and has x-optional: "+
				"remove one of them", name.Value)
		case !optional && !required[name.Value]:
			l.beyond(ruleOptional).reportf(doc, name, "property %s is part of a response and not in required: add it there, "+
				"or add x-optional: true if some responses lack it", name.Value)
		}
	}
}
