package contract

import (
	"errors"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// MaxProblems bounds how many problems of one request or response are listed.
const MaxProblems = 20

// Problem is one thing that is wrong with a request or a response. It never quotes a value, which may be a password.
type Problem struct {
	Path   string `json:"path"` // a JSON pointer into the body; for a parameter, / and its name
	Reason string `json:"reason"`
}

var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// Pointer returns the JSON pointer (RFC 6901) of a path of member names and indexes.
func Pointer(path ...string) string {
	var pointer strings.Builder
	for _, name := range path {
		pointer.WriteString("/" + pointerEscaper.Replace(name))
	}
	return pointer.String()
}

// schemaOptions make kin-openapi report all problems, and leave the schema out of their texts.
var schemaOptions = []openapi3.SchemaValidationOption{openapi3.DisableSchemaErrorDetails(), openapi3.MultiErrors()}

// CheckValue returns how a decoded JSON value does not match a schema, at most MaxProblems; nil if it matches. Options
// say whether the value is of a request or of a response, where that matters.
func CheckValue(schema *openapi3.Schema, value any, options ...openapi3.SchemaValidationOption) []Problem {
	if err := schema.VisitJSON(value, append(options, schemaOptions...)...); err != nil {
		return withoutAllowed(schema, value, problemsOf(err))
	}
	return nil
}

// problemsOf describes kin-openapi's errors without the values that their texts would quote.
func problemsOf(err error) []Problem {
	var problems []Problem
	for _, each := range flatten(err) {
		if len(problems) == MaxProblems {
			break
		}
		if mismatch, ok := errors.AsType[*openapi3.SchemaError](each); ok {
			problems = append(problems, Problem{Path: Pointer(mismatch.JSONPointer()...), Reason: reasonOf(mismatch)})
		} else {
			problems = append(problems, Problem{Reason: "does not have the form that the contract asks for"})
		}
	}
	return problems
}

// reasonOf describes a schema error. A few of kin-openapi's own texts quote the value; those are replaced.
func reasonOf(mismatch *openapi3.SchemaError) string {
	switch mismatch.SchemaField {
	case "type", "nullable", "minLength", "maxLength", "required", "minimum", "maximum":
		return mismatch.Reason
	case "enum":
		return "is not one of the values that the contract allows"
	}
	return "does not meet the contract's " + mismatch.SchemaField
}

// flatten lists the errors in a tree of kin-openapi's MultiErrors.
func flatten(err error) []error {
	if many, ok := errors.AsType[openapi3.MultiError](err); ok {
		var all []error
		for _, each := range many {
			all = append(all, flatten(each)...)
		}
		return all
	}
	return []error{err}
}
