package lint

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// extension is what is known of an x- key. openapi/README.md explains each.
type extension struct {
	// on is the name of the shape that the extension belongs to.
	on string
	// valid reports whether the extension has this value; value describes such a value.
	valid func(*yaml.Node) bool
	value string
}

// extensions are the x- keys that something reads.
var extensions = map[string]extension{
	"x-duration":       {"schema", isTrue, "true"},
	"x-each":           {"schema", isTrue, "true"},
	"x-gatehouse":      {"operation", isTrue, "true"},
	"x-go-type":        {"schema", isText, "the name of a Go type"},
	"x-ignore-case":    {"schema", isTrue, "true"},
	"x-max-body":       {"operation", isInteger, "a number of bytes"},
	"x-null-is-absent": {"schema", isTrue, "true"},
	"x-object-id":      {"schema", isTrue, "true"},
	"x-optional":       {"schema", isTrue, "true"},
	"x-optional-body":  {"operation", isTrue, "true"},
	"x-order":          {"schema", isInteger, "an integer"},
	"x-outcome":        {"response", isText, "the name of an outcome"},
	"x-permission":     {"operation", isPermission, "{object: NAME, level: read or write, self: true or absent}"},
	"x-varies":         {"example", isText, "a part of the example's Message"},
}

// Extensions returns the x- keys that a document may use, each with the kind of object that it belongs to.
func Extensions() map[string]string {
	kinds := map[string]string{}
	for name, known := range extensions {
		kinds[name] = known.on
	}
	return kinds
}

func (l *linter) checkExtension(doc *document, key, value *yaml.Node, s *shape) {
	known, ok := extensions[key.Value]
	switch {
	case !ok:
		l.beyond(ruleExtension).reportf(doc, key, "nothing reads %q%s (README.md lists the x- keys)",
			key.Value, suggestion(key.Value, slices.Sorted(maps.Keys(extensions))))
	case known.on != s.name:
		l.beyond(ruleExtension).reportf(doc, key, "%s is an extension of: %s, not of: %s", key.Value, known.on, s.name)
	case !known.valid(value):
		l.beyond(ruleExtension).reportf(doc, value, "%s has to be %s", key.Value, known.value)
	}
}

func isTrue(v *yaml.Node) bool    { return v.ShortTag() == "!!bool" && v.Value == "true" }
func isText(v *yaml.Node) bool    { return v.ShortTag() == "!!str" && v.Value != "" }
func isInteger(v *yaml.Node) bool { return v.ShortTag() == "!!int" }

func isPermission(v *yaml.Node) bool {
	for key, value := range pairs(v) {
		if !slices.Contains([]string{"object", "level", "self"}, key.Value) || (key.Value == "self" && !isTrue(value)) {
			return false
		}
	}
	level := text(v, "level")
	return text(v, "object") != "" && (level == "read" || level == "write")
}

// checkExamples reports an x-varies that is not a part of the example's Message: nothing would be replaced.
func (l *linter) checkExamples(doc *document) {
	for _, example := range pairs(member(member(doc.root, "components"), "examples")) {
		varies := member(example, "x-varies")
		if varies != nil && !strings.Contains(text(member(example, "value"), "Message"), varies.Value) {
			l.beyond(ruleVariesExample).reportf(doc, varies, "x-varies %q is not a part of the example's Message: "+
				"copy the part that varies", varies.Value)
		}
	}
}
