package lint

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// checkRules reports what breaks the rules of openapi/README.md, which are stricter than OpenAPI: descriptions, tags,
// named examples that live in components.
func (l *linter) checkRules(doc *document) {
	components := member(doc.root, "components")
	for name, schema := range pairs(member(components, "schemas")) {
		if text(schema, "description") == "" {
			l.reportf(doc, name, "schema %s has no description: say in a sentence what it is", name.Value)
		}
		l.checkProperties(doc, schema)
	}
	for _, parameter := range pairs(member(components, "parameters")) {
		l.checkParameter(doc, parameter)
	}
	for _, response := range pairs(member(components, "responses")) {
		l.checkResponse(doc, response)
	}
	for _, example := range pairs(member(components, "examples")) {
		l.checkVaries(doc, example)
	}
	l.checkSchemes(doc, member(doc.root, "security"))
	used := map[string]bool{}
	for path, item := range pairs(member(doc.root, "paths")) {
		if strings.HasSuffix(path.Value, "/") && path.Value != "/" {
			l.reportf(doc, path, "declare the path without the slash at its end: every path is served with and without one")
		}
		for method, operation := range pairs(item) {
			if slices.Contains(methods, method.Value) {
				l.checkOperation(doc, method, operation)
				for _, tag := range elements(member(operation, "tags")) {
					used[tag.Value] = true
				}
			}
		}
	}
	for _, tag := range elements(member(doc.root, "tags")) {
		if !used[text(tag, "name")] {
			l.reportf(doc, tag, "no operation has the tag %q: remove it", text(tag, "name"))
		}
		if text(tag, "description") == "" {
			l.reportf(doc, tag, "tag %q has no description", text(tag, "name"))
		}
	}
}

func elements(list *yaml.Node) []*yaml.Node {
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	return list.Content
}

// checkProperties reports the properties of a schema, and of those inside it, that are not described.
func (l *linter) checkProperties(doc *document, schema *yaml.Node) {
	if schema == nil || reference(schema) != nil {
		return
	}
	for key, property := range pairs(member(schema, "properties")) {
		if reference(property) == nil && text(property, "description") == "" {
			l.reportf(doc, key, "property %s has no description: say in a sentence what it holds", key.Value)
		}
		l.checkProperties(doc, property)
	}
	for _, keyword := range []string{"items", "additionalProperties", "not"} {
		l.checkProperties(doc, member(schema, keyword))
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		for _, element := range elements(member(schema, keyword)) {
			l.checkProperties(doc, element)
		}
	}
}

func (l *linter) checkOperation(doc *document, method, operation *yaml.Node) {
	l.checkOperationID(doc, method, operation)
	if summary := text(operation, "summary"); summary == "" || strings.HasSuffix(summary, ".") {
		l.reportf(doc, method, "the operation needs a summary: a title without a full stop")
	}
	if !strings.HasSuffix(text(operation, "description"), ".") {
		l.reportf(doc, method, "the operation needs a description: a sentence or more")
	}
	l.checkTags(doc, method, operation)
	l.checkSchemes(doc, member(operation, "security"))
	for _, parameter := range elements(member(operation, "parameters")) {
		l.checkParameter(doc, parameter)
	}
	if body := member(operation, "requestBody"); body != nil {
		l.checkContent(doc, body)
		for key, content := range pairs(member(body, "content")) {
			if examples := member(content, "examples"); examples != nil && member(examples, successful) == nil {
				l.reportf(doc, key, "the request needs an example named %s: one that succeeds", successful)
			}
		}
	}
	responses := member(operation, "responses")
	if secured(doc, operation) && member(responses, "401") == nil && member(responses, "403") == nil {
		l.reportf(doc, method, "the operation needs a secret, but has no response for a wrong one (401, or 403 for gateways)")
	}
	for _, response := range pairs(responses) {
		l.checkResponse(doc, response)
	}
}

// successful is the name of a response example that is no failure, and of a request example that leads to one.
const successful = "ok"

// checkOperationID reports an operation without an ID, or with that of another, in any of the documents.
func (l *linter) checkOperationID(doc *document, method, operation *yaml.Node) {
	id := member(operation, "operationId")
	if id == nil || id.Value == "" {
		l.reportf(doc, method, "the operation has no operationId")
		return
	}
	if first, taken := l.operations[id.Value]; taken {
		l.reportf(doc, id, "operationId %q is already used at %s:%d:%d: choose another",
			id.Value, first.File, first.Line, first.Column)
		return
	}
	l.operations[id.Value] = problemAt(doc, id, "")
}

func (l *linter) checkTags(doc *document, method, operation *yaml.Node) {
	tags := elements(member(operation, "tags"))
	if len(tags) != 1 {
		l.reportf(doc, method, "the operation needs one tag")
	}
	var declared []string
	for _, tag := range elements(member(doc.root, "tags")) {
		declared = append(declared, text(tag, "name"))
	}
	for _, tag := range tags {
		if !slices.Contains(declared, tag.Value) {
			l.reportf(doc, tag, "the document declares no tag %q%s", tag.Value, suggestion(tag.Value, declared))
		}
	}
}

// checkSchemes reports security requirements that name no declared scheme.
func (l *linter) checkSchemes(doc *document, security *yaml.Node) {
	declared := names(member(member(doc.root, "components"), "securitySchemes"))
	for _, requirement := range elements(security) {
		for scheme := range pairs(requirement) {
			if !slices.Contains(declared, scheme.Value) {
				l.reportf(doc, scheme, "the document declares no security scheme %q%s",
					scheme.Value, suggestion(scheme.Value, declared))
			}
		}
	}
}

// secured reports whether the operation requires a secret.
func secured(doc *document, operation *yaml.Node) bool {
	security := member(operation, "security")
	if security == nil {
		security = member(doc.root, "security")
	}
	return len(elements(security)) > 0
}

func (l *linter) checkParameter(doc *document, parameter *yaml.Node) {
	if reference(parameter) != nil {
		return
	}
	if text(parameter, "description") == "" {
		l.reportf(doc, parameter, "parameter %s has no description", text(parameter, "name"))
	}
	if member(parameter, "example") == nil {
		l.reportf(doc, parameter, "parameter %s has no example", text(parameter, "name"))
	}
}

func (l *linter) checkResponse(doc *document, response *yaml.Node) {
	if reference(response) != nil {
		return
	}
	if text(response, "description") == "" {
		l.reportf(doc, response, "the response has no description: say in a sentence when it comes")
	}
	l.checkContent(doc, response)
}

// checkContent reports bodies without named examples, and examples that are not in components.
func (l *linter) checkContent(doc *document, body *yaml.Node) {
	if reference(body) != nil {
		return
	}
	content := member(body, "content")
	if content == nil {
		l.reportf(doc, body, "there is no content, and so no named example")
	}
	for mediaType, entry := range pairs(content) {
		examples := member(entry, "examples")
		if len(names(examples)) == 0 {
			l.reportf(doc, mediaType, "%s has no examples: name at least one", mediaType.Value)
		}
		if member(entry, "example") != nil {
			l.reportf(doc, mediaType, "use examples, with a name, instead of example")
		}
		for name, example := range pairs(examples) {
			if reference(example) == nil {
				l.reportf(doc, name, "move the example %s to components/examples, and refer to it with $ref", name.Value)
			}
		}
	}
}
