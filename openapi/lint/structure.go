package lint

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// checkStructure reports what the document's shape does not allow: keywords and types that do not exist, references to
// nothing, required properties that are not declared, unknown extensions.
func (l *linter) checkStructure(doc *document) {
	l.checkShape(doc, doc.root, root)
}

func (l *linter) checkShape(doc *document, node *yaml.Node, s *shape) {
	switch {
	case s.free:
	case s.section != "" && reference(node) != nil:
		l.checkReference(doc, node, s)
	case s.name == "schema" && node.Kind == yaml.ScalarNode && node.ShortTag() == "!!bool": // additionalProperties: true
	case s.tag != "":
		l.checkScalar(doc, node, s)
	case s.list:
		if l.isKind(doc, node, yaml.SequenceNode, "a list") {
			for _, element := range node.Content {
				l.checkShape(doc, element, s.each)
			}
		}
	case l.isKind(doc, node, yaml.MappingNode, "an object"):
		l.checkObject(doc, node, s)
	}
}

func (l *linter) isKind(doc *document, node *yaml.Node, kind yaml.Kind, name string) bool {
	if node.Kind != kind {
		l.reportf(doc, node, "this has to be %s", name)
	}
	return node.Kind == kind
}

func (l *linter) checkObject(doc *document, node *yaml.Node, s *shape) {
	for key, value := range pairs(node) {
		field, known := s.fields[key.Value]
		switch {
		case s.fields == nil:
			l.checkShape(doc, value, s.each)
		case known:
			l.checkShape(doc, value, field)
		case s.extensible && strings.HasPrefix(key.Value, "x-"):
			l.checkExtension(doc, key, value, s)
		default:
			hint := suggestion(key.Value, slices.Sorted(maps.Keys(s.fields)))
			if strings.Contains(key.Value, " ") {
				hint = ": is it a part of the text before it? A text with a comma between braces has to be in quotes"
			}
			l.reportf(doc, key, "unknown keyword %q (%s)%s", key.Value, s.name, hint)
		}
	}
	if s.name == "schema" {
		l.checkRequired(doc, node)
		l.checkNullable(doc, node)
		l.checkPattern(doc, node)
	}
}

func (l *linter) checkScalar(doc *document, node *yaml.Node, s *shape) {
	if !l.isKind(doc, node, yaml.ScalarNode, kindNames[s.tag]) {
		return
	}
	tag := node.ShortTag()
	if s.tag == "!!float" && tag == "!!int" {
		tag = s.tag
	}
	switch {
	case tag != s.tag:
		l.reportf(doc, node, "this has to be %s", kindNames[s.tag])
	case s.values != nil && !slices.Contains(s.values, node.Value):
		l.reportf(doc, node, "unknown value %q%s (one of %s)", node.Value, suggestion(node.Value, s.values),
			strings.Join(s.values, ", "))
	}
}

var kindNames = map[string]string{
	"!!str": "a text (in quotes if it looks like something else)", "!!bool": "true or false", "!!int": "an integer",
	"!!float": "a number",
}

// checkReference reports a reference that leads nowhere or to another kind of component, and what stands beside it.
func (l *linter) checkReference(doc *document, node *yaml.Node, s *shape) {
	ref := reference(node)
	_, pointer, _ := strings.Cut(ref.Value, "#")
	target, err := l.resolve(doc, ref.Value)
	switch {
	case err != nil:
		l.reportf(doc, ref, "$ref %q refers to nothing: %s", ref.Value, err)
	case !strings.HasPrefix(pointer, "/components/"+s.section+"/"):
		l.reportf(doc, ref, "$ref %q does not refer to what belongs here, components/%s", ref.Value, s.section)
	}
	l.referred[target.name] = true
	for key, value := range pairs(node) {
		switch {
		case key.Value == "$ref":
		case strings.HasPrefix(key.Value, "x-"):
			l.checkExtension(doc, key, value, s)
		default:
			l.reportf(doc, key, "OpenAPI 3.0 ignores %q beside a $ref: move it to what is referred to", key.Value)
		}
	}
}

// checkRequired reports names in required that are not among the properties.
func (l *linter) checkRequired(doc *document, schema *yaml.Node) {
	required := member(schema, "required")
	if required == nil || required.Kind != yaml.SequenceNode {
		return
	}
	properties := member(schema, "properties")
	for _, name := range required.Content {
		if member(properties, name.Value) == nil {
			l.reportf(doc, name, "required names %q, which is not a property%s: declare it, or remove it here", name.Value,
				strings.TrimSuffix(suggestion(name.Value, names(properties)), "?"))
		}
	}
}

// checkNullable reports a nullable without a type. OpenAPI 3.0 ignores it, and linters report it again for each example
// of the schema.
func (l *linter) checkNullable(doc *document, schema *yaml.Node) {
	for key := range pairs(schema) {
		if key.Value == "nullable" && member(schema, "type") == nil {
			l.reportf(doc, key, "nullable has no effect without a type: add the type, or refer to a schema for any value")
		}
	}
}

// checkPattern reports a pattern that the server could not compile.
func (l *linter) checkPattern(doc *document, schema *yaml.Node) {
	pattern := member(schema, "pattern")
	if pattern == nil {
		return
	}
	if _, err := regexp.Compile(pattern.Value); err != nil {
		l.reportf(doc, pattern, "the pattern is not a regular expression of Go: %s", err)
	}
}

// checkUnused reports the components that nothing refers to.
func (l *linter) checkUnused(doc *document) {
	for section, components := range pairs(member(doc.root, "components")) {
		for name := range pairs(components) {
			if section.Value != "securitySchemes" && !l.referred[doc.path+"#/components/"+section.Value+"/"+name.Value] {
				l.reportf(doc, name, "nothing refers to components/%s/%s: remove it", section.Value, name.Value)
			}
		}
	}
}
