package lint

import (
	"regexp"
	"slices"

	"go.yaml.in/yaml/v4"
)

// checkOperations reports what would make the generator write wrong code for an operation.
func (l *linter) checkOperations(doc *document) {
	for path, item := range pairs(member(doc.root, "paths")) {
		for method, operation := range pairs(item) {
			if slices.Contains(methods, method.Value) {
				l.checkOperationID(doc, method, operation)
				l.checkPathParameters(doc, path, elements(member(item, "parameters")), elements(member(operation, "parameters")))
				l.checkResponseSchemas(doc, member(operation, "responses"))
				l.checkOutcomes(doc, member(operation, "responses"))
				l.checkSecurity(doc, member(operation, "security"))
			}
		}
	}
	l.checkSecurity(doc, member(doc.root, "security"))
	l.checkPaths(doc)
}

// checkSecurity reports a security scheme that is not declared.
func (l *linter) checkSecurity(doc *document, security *yaml.Node) {
	declared := member(member(doc.root, "components"), "securitySchemes")
	for _, requirement := range elements(security) {
		for scheme := range pairs(requirement) {
			if member(declared, scheme.Value) == nil {
				l.reportf(doc, scheme, "the security scheme %q is not declared%s", scheme.Value,
					suggestion(scheme.Value, names(declared)))
			}
		}
	}
}

// checkPaths reports paths that differ in nothing but the names of their parameters.
func (l *linter) checkPaths(doc *document) {
	first := map[string]*yaml.Node{} // by path, without names, and method
	for path, item := range pairs(member(doc.root, "paths")) {
		for method := range pairs(item) {
			if !slices.Contains(methods, method.Value) {
				continue
			}
			key := method.Value + " " + placeholder.ReplaceAllString(path.Value, "{}")
			if before := first[key]; before != nil {
				l.reportf(doc, path, "the path matches the same requests (%s) as %s on line %d: remove one of them",
					method.Value, before.Value, before.Line)
				break
			}
			first[key] = path
		}
	}
}

// checkOperationID reports an operation without an ID, or with that of another in any of the documents: the generator
// would make up a name, or use one twice.
func (l *linter) checkOperationID(doc *document, method, operation *yaml.Node) {
	id := member(operation, "operationId")
	if id == nil || id.Value == "" {
		l.beyond(ruleOperationID).reportf(doc, method, "the operation has no operationId: add one")
		return
	}
	if first, taken := l.operations[id.Value]; taken {
		l.reportf(doc, id, "operationId %q is already used at %s:%d:%d: choose another",
			id.Value, first.File, first.Line, first.Column)
		return
	}
	l.operations[id.Value] = problemAt(doc, id, "")
}

// checkPathParameters reports a path whose names in braces are not the path parameters of an operation there.
func (l *linter) checkPathParameters(doc *document, path *yaml.Node, parameters ...[]*yaml.Node) {
	var declared, named []string
	for _, parameter := range slices.Concat(parameters...) {
		if _, parameter = l.follow(doc, parameter); parameter == nil {
			return // a reference to nothing, which checkStructure reports
		}
		if text(parameter, "in") == "path" {
			declared = append(declared, text(parameter, "name"))
		}
	}
	for _, match := range placeholder.FindAllStringSubmatch(path.Value, -1) {
		named = append(named, match[1])
	}
	slices.Sort(declared)
	declared = slices.Compact(declared) // an operation may declare a parameter of its path again
	slices.Sort(named)
	if !slices.Equal(declared, named) {
		l.reportf(doc, path, "the path has the parameters %q, and an operation declares %q: make them equal", named, declared)
	}
}

// placeholder matches a parameter in a path.
var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)
