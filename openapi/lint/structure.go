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
		switch {
		case s.extensible && strings.HasPrefix(key.Value, "x-") && s.fields[key.Value] == nil:
			l.checkExtension(doc, key, value, s)
		case s.fields == nil:
			l.checkKey(doc, key, s)
			l.checkShape(doc, value, s.each)
		default:
			l.checkMember(doc, key, value, s)
		}
	}
	for _, needed := range s.needs {
		if member(node, needed) == nil && !misspells(node, needed, s) {
			l.reportf(doc, node, "%s: it needs %s", s.name, needed)
		}
	}
	switch s.name {
	case "schema":
		l.checkRequired(doc, node)
		l.checkNullable(doc, node)
		l.checkPattern(doc, node)
		l.checkComposition(doc, node)
	case "parameter":
		l.checkParameter(doc, node)
	}
}

// checkMember checks a member of an object whose keywords are those of a shape.
func (l *linter) checkMember(doc *document, key, value *yaml.Node, s *shape) {
	if field, known := s.fields[key.Value]; known {
		l.checkShape(doc, value, field)
		return
	}
	further, supported := s.further[key.Value]
	rule := "" // a fault
	switch {
	case supported && key.Value == "example":
		rule = ruleExampleName
	case supported:
		rule = ruleKeyword
	}
	l.beyond(rule).reportf(doc, key, "unknown keyword %q (%s)%s", key.Value, s.name, hintFor(key.Value, s))
	if supported {
		l.checkShape(doc, value, further)
	}
}

// misspells reports whether an object has an unknown keyword that is nearly the one that it needs.
func misspells(node *yaml.Node, needed string, s *shape) bool {
	return slices.ContainsFunc(names(node), func(name string) bool {
		return s.fields[name] == nil && s.further[name] == nil && suggestion(name, []string{needed}) != ""
	})
}

// hintFor says what an unknown keyword may have been meant to be.
func hintFor(keyword string, s *shape) string {
	if strings.Contains(keyword, " ") {
		return ": is it a part of the text before it? A text with a comma between braces has to be in quotes"
	}
	return suggestion(keyword, slices.Sorted(maps.Keys(s.fields)))
}

// checkKey reports a key that is not one of those that an object may have.
func (l *linter) checkKey(doc *document, key *yaml.Node, s *shape) {
	if s.keys != nil && !s.keys.MatchString(key.Value) {
		l.reportf(doc, key, "%q is not %s", key.Value, s.keysAre)
	}
}

func (l *linter) checkScalar(doc *document, node *yaml.Node, s *shape) {
	if !l.isKind(doc, node, yaml.ScalarNode, kindNames[s.tag]) {
		return
	}
	tag := node.ShortTag()
	if s.tag == "!!float" && tag == "!!int" || s.tag == "!!str" && tag == "!!timestamp" {
		tag = s.tag
	}
	switch {
	case tag != s.tag:
		l.reportf(doc, node, "this has to be %s", kindNames[s.tag])
	case s.values != nil && !slices.Contains(s.values, node.Value):
		l.beyond(s.valuesRule).reportf(doc, node, "unknown value %q%s (one of %s)", node.Value,
			suggestion(node.Value, s.values), strings.Join(s.values, ", "))
	}
}

var kindNames = map[string]string{
	"!!str": "a text (in quotes if it looks like something else)", "!!bool": "true or false", "!!int": "an integer",
	"!!float": "a number",
}

// isComponent reports whether a pointer leads to a component: not to a part of one.
func isComponent(pointer string) bool {
	const parts = 3 // components, schemas, the name
	return strings.HasPrefix(pointer, "/components/") && strings.Count(pointer, "/") == parts
}

// checkReference reports a reference that leads nowhere or to another kind of component, and what stands beside it.
func (l *linter) checkReference(doc *document, node *yaml.Node, s *shape) {
	ref := reference(node)
	_, pointer, hasPointer := strings.Cut(ref.Value, "#")
	target, err := l.resolve(doc, ref.Value)
	switch {
	case err != nil:
		l.reportf(doc, ref, "$ref %q refers to nothing: %s", ref.Value, err)
	case l.loops(doc, ref):
		l.reportf(doc, ref, "$ref %q leads to itself", ref.Value)
	case !hasPointer:
		l.beyond(ruleReference).reportf(doc, ref, "$ref %q refers to a whole file: "+
			"add the part after #, such as #/components/schemas/Name", ref.Value)
	case strings.HasPrefix(pointer, "/components/"+s.section+"/"):
	case isComponent(pointer):
		l.reportf(doc, ref, "$ref %q does not refer to what belongs here, components/%s", ref.Value, s.section)
	default:
		l.beyond(ruleReference).reportf(doc, ref, "$ref %q does not refer to what belongs here, components/%s",
			ref.Value, s.section)
	}
	l.referred[target.name] = true
	if err == nil && target.node != nil && !l.checked[target.doc.path] && !l.shaped[target.node] {
		l.shaped[target.node] = true
		l.checkShape(target.doc, target.node, s) // nobody else would
	}
	for key, value := range pairs(node) {
		switch {
		case key.Value == "$ref":
		case strings.HasPrefix(key.Value, "x-"):
			l.checkExtension(doc, key, value, s)
		default:
			l.beyond(ruleSibling).reportf(doc, key, "OpenAPI 3.0 ignores %q beside a $ref: "+
				"move it to what is referred to", key.Value)
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
			l.beyond(ruleRequired).reportf(doc, name, "required names %q, which is not a property%s: "+
				"declare it, or remove it here", name.Value, strings.TrimSuffix(suggestion(name.Value, names(properties)), "?"))
		}
	}
}

// checkNullable reports a nullable without a type. OpenAPI 3.0 ignores it, and linters report it again for each example
// of the schema.
func (l *linter) checkNullable(doc *document, schema *yaml.Node) {
	for key := range pairs(schema) {
		if key.Value == "nullable" && member(schema, "type") == nil {
			l.beyond(ruleNullable).reportf(doc, key, "nullable has no effect without a type: "+
				"add the type, or refer to a schema for any value")
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
		l.beyond(rulePattern).reportf(doc, pattern, "the pattern is not a regular expression of Go: %s", err)
	}
}

// compositions are the keywords that make a schema of others, for the same value.
var compositions = []string{"allOf", "anyOf", "oneOf"}

// partsOf returns the schemas that a schema is composed of.
func partsOf(schema *yaml.Node) []*yaml.Node {
	parts := []*yaml.Node{}
	for _, keyword := range compositions {
		parts = append(parts, elements(member(schema, keyword))...)
	}
	if not := member(schema, "not"); not != nil {
		parts = append(parts, not)
	}
	return parts
}

// checkComposition reports a schema that is composed of itself: no value can be compared with it.
func (l *linter) checkComposition(doc *document, schema *yaml.Node) {
	visited := map[*yaml.Node]bool{}
	var leadsBack func(doc *document, part *yaml.Node) bool
	leadsBack = func(doc *document, part *yaml.Node) bool {
		doc, part = l.follow(doc, part)
		if part == nil || visited[part] {
			return part == schema
		}
		visited[part] = true
		return slices.ContainsFunc(partsOf(part), func(next *yaml.Node) bool { return leadsBack(doc, next) })
	}
	visited[schema] = true
	for _, part := range partsOf(schema) {
		if leadsBack(doc, part) {
			l.reportf(doc, part, "the schema is composed of itself: no value could be compared with it")
			return
		}
	}
}

// checkParameter reports a parameter without a schema, or that is in a path and not required.
func (l *linter) checkParameter(doc *document, parameter *yaml.Node) {
	schema, content := member(parameter, "schema"), member(parameter, "content")
	if (schema == nil) == (content == nil) {
		l.reportf(doc, parameter, "parameter: it needs either a schema or a content")
	}
	if text(parameter, "in") == "path" && text(parameter, "required") != "true" {
		l.reportf(doc, parameter, "a parameter in a path needs required: true")
	}
}

// checkUnused reports the components that nothing refers to.
func (l *linter) checkUnused(doc *document) {
	for section, components := range pairs(member(doc.root, "components")) {
		for name := range pairs(components) {
			if section.Value != "securitySchemes" && !l.referred[doc.path+"#/components/"+section.Value+"/"+name.Value] {
				l.beyond(ruleUnused).reportf(doc, name, "nothing refers to components/%s/%s: remove it", section.Value, name.Value)
			}
		}
	}
}
