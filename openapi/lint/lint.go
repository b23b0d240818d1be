// Package lint finds faults in OpenAPI 3.0 documents, and reports each with its file, line and column.
//
// Check is the first step of go generate, and needs no program beside Go: syntax, structure, x- keys, and what spans
// documents. The generator accepts such faults: it ignores a misspelt keyword, and an operationId that occurs twice.
// RunSpectral enforces the rules of openapi/.spectral.yaml on descriptions, tags, examples and outcomes.
// openapi/README.md lists which step enforces which rule; no rule is in both. CheckAll compares the examples, too, for
// contracts without those rules.
//
// Check knows no operation, schema or outcome by name.
package lint

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Check returns the problems of the documents at paths, ordered by file and position. Documents may refer to one
// another, and to others, of which only what they refer to is checked. The error is that of a path that cannot be read.
//
// Unused components are reported only if there is no other fault, such as a misspelt reference to them.
func Check(paths ...string) ([]Problem, error) {
	l := &linter{
		documents: map[string]*document{}, operations: map[string]Problem{}, referred: map[string]bool{},
		responses: map[*yaml.Node]bool{}, resolved: map[string]resolution{}, checked: map[string]bool{},
		shaped: map[*yaml.Node]bool{},
	}
	for _, path := range paths {
		l.checked[filepath.Clean(path)] = true
	}
	for _, path := range paths {
		doc, err := l.load(path)
		if err != nil {
			return nil, err
		}
		if doc.root != nil && l.checkVersion(doc) {
			l.checkStructure(doc)
			l.checkOperations(doc)
			l.checkExamples(doc)
		}
	}
	if !slices.ContainsFunc(l.problems, Problem.IsFault) {
		for _, path := range paths {
			l.checkUnused(l.documents[filepath.Clean(path)])
		}
	}
	return sorted(l.problems), nil
}

// checkVersion reports a document of another version of OpenAPI, in which everything else would be a fault, too.
func (l *linter) checkVersion(doc *document) bool {
	version, swagger := member(doc.root, "openapi"), member(doc.root, "swagger")
	switch {
	case swagger != nil:
		l.reportf(doc, swagger, "this is Swagger %s: convert the document to OpenAPI 3.0", swagger.Value)
	case version != nil && !strings.HasPrefix(version.Value, "3.0"):
		l.reportf(doc, version, "this is OpenAPI %s, of which nothing is checked: only 3.0 is known here", version.Value)
	default:
		return true
	}
	return false
}

// sorted returns problems ordered by file and position, each once.
func sorted(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}
