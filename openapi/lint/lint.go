// Package lint finds faults in OpenAPI 3.0 documents before code is generated from them, and reports each with its
// file, line and column.
//
// The generator accepts faulty documents: it ignores a misspelt keyword, and an operationId that occurs twice. Check
// examines the YAML for keywords, types, references, names, descriptions and extensions (structure.go, rules.go). It
// leaves the rest to kin-openapi, the library that the server validates requests with: whether examples match their
// schemas, and the other requirements of OpenAPI (semantics.go).
//
// The rules are those of openapi/README.md. They know no operation, schema or outcome by name.
package lint

import (
	"cmp"
	"path/filepath"
	"slices"
)

// Check returns the problems of the documents at paths, ordered by file and position. Documents may refer to one
// another, and to documents that are not checked. The error is that of a path that cannot be read.
//
// Unused components, examples and the semantics of a document are checked only if there is no other fault.
func Check(paths ...string) ([]Problem, error) {
	l := &linter{documents: map[string]*document{}, operations: map[string]Problem{}, referred: map[string]bool{}}
	for _, path := range paths {
		doc, err := l.load(path)
		if err != nil {
			return nil, err
		}
		if doc.root != nil {
			l.checkStructure(doc)
			l.checkRules(doc)
		}
	}
	if len(l.problems) == 0 {
		for _, path := range paths {
			l.checkSemantics(l.documents[filepath.Clean(path)])
		}
		for _, path := range paths {
			l.checkUnused(l.documents[filepath.Clean(path)])
		}
	}
	slices.SortFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(l.problems), nil
}
