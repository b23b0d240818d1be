package lint

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Problem is a fault of a document, with what to do about it.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Rule is the name of the rule of Rules that the document breaks; "" if it breaks OpenAPI 3.0 itself.
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
}

// String formats the problem as compilers do, so that editors can jump to it.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// IsFault reports whether the document breaks OpenAPI 3.0 itself.
func (p Problem) IsFault() bool { return p.Rule == "" }

// linter collects the problems of several documents.
type linter struct {
	problems  []Problem
	documents map[string]*document // by path
	// operations maps an operationId to where it was declared first.
	operations map[string]Problem
	// checked are the paths of the documents that are checked, and shaped what they refer to in others.
	checked map[string]bool
	shaped  map[*yaml.Node]bool
	// resolved are the targets of references, by the path of the document and the reference.
	resolved map[string]resolution
	// referred are the targets of all references, as FILE#POINTER.
	referred map[string]bool
	// responses are the schemas of responses that are checked.
	responses map[*yaml.Node]bool
}
