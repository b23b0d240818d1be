package lint

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Problem is a fault of a document, with what to do about it.
type Problem struct {
	File         string
	Line, Column int
	Message      string
}

// String formats the problem as compilers do, so that editors can jump to it.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// linter collects the problems of several documents.
type linter struct {
	problems  []Problem
	documents map[string]*document // by path
	// operations maps an operationId to where it was declared first.
	operations map[string]Problem
	// referred are the targets of all references, as FILE#POINTER.
	referred map[string]bool
	// responses are the schemas of responses that are checked.
	responses map[*yaml.Node]bool
	// ordered tells whether a property of a document has x-order.
	ordered map[*document]bool
}
