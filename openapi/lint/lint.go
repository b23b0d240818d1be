// Package lint finds faults in OpenAPI 3.0 documents, and reports each with its file, line and column.
//
// Check is the first step of go generate, and needs no program beside Go: syntax, structure, x- keys, and what spans
// documents. The generator accepts such faults: it ignores a misspelt keyword, and an operationId that occurs twice.
// RunSpectral enforces the rules of openapi/.spectral.yaml on descriptions, tags, examples and outcomes.
// openapi/README.md lists which step enforces which rule; no rule is in both.
//
// Check knows no operation, schema or outcome by name.
package lint

import (
	"cmp"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Check returns the problems of the documents at paths, ordered by file and position. Documents may refer to one
// another, and to documents that are not checked. The error is that of a path that cannot be read.
//
// Unused components are reported only if there is no other fault, such as a misspelt reference to them.
func Check(paths ...string) ([]Problem, error) {
	l := &linter{
		documents: map[string]*document{}, operations: map[string]Problem{}, referred: map[string]bool{},
		responses: map[*yaml.Node]bool{}, ordered: map[*document]bool{},
	}
	for _, path := range paths {
		doc, err := l.load(path)
		if err != nil {
			return nil, err
		}
		if doc.root != nil {
			l.checkStructure(doc)
			l.checkOperations(doc)
			l.checkExamples(doc)
		}
	}
	if len(l.problems) == 0 {
		for _, path := range paths {
			l.checkUnused(l.documents[filepath.Clean(path)])
		}
	}
	return sorted(l.problems), nil
}

// sorted returns problems ordered by file and position, each once.
func sorted(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}
