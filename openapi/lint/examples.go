package lint

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/contract"
)

// CheckAll returns what Check does. It also compares the examples with their schemas, as Spectral does for gatehouse's
// own contracts, and reports what else keeps a document from being used.
func CheckAll(paths ...string) ([]Problem, error) {
	problems, err := Check(paths...)
	if err != nil {
		return nil, err
	}
	faulty := slices.ContainsFunc(problems, Problem.IsFault)
	for _, path := range paths {
		spec, err := contract.ReadFile(path, true)
		switch {
		case err != nil && faulty:
			continue // for one of the faults
		case err != nil:
			problems = append(problems, Problem{File: path, Line: 1, Column: 1, Message: innermost(err).Error()})
			continue
		}
		e := examples{file: path, seen: map[*openapi3.MediaType]bool{}}
		e.check(spec)
		problems = append(problems, e.problems...)
	}
	return sorted(problems), nil
}

// innermost returns an error without the name of the file that ReadFile puts before it.
func innermost(err error) error { return cmp.Or(errors.Unwrap(err), err) }

// visitOption says whether a value is that of a request or of a response.
type visitOption = openapi3.SchemaValidationOption

// examples compares the examples of a document with their schemas.
type examples struct {
	file     string
	seen     map[*openapi3.MediaType]bool
	problems []Problem
}

func (e *examples) check(spec *openapi3.T) {
	for _, path := range slices.Sorted(maps.Keys(spec.Paths.Map())) {
		operations := spec.Paths.Value(path).Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			op := operations[method]
			if op.RequestBody != nil {
				e.checkContent(op.RequestBody.Value.Content, openapi3.VisitAsRequest())
			}
			for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
				e.checkContent(op.Responses.Value(status).Value.Content, openapi3.VisitAsResponse())
			}
		}
	}
}

func (e *examples) checkContent(content openapi3.Content, direction visitOption) {
	for _, name := range slices.Sorted(maps.Keys(content)) {
		media := content[name]
		if media.Schema == nil || !isJSON(name) || e.seen[media] {
			continue
		}
		e.seen[media] = true
		if media.Example != nil {
			e.checkValue(media.Example, media.Schema.Value, media.Origin, direction)
		}
		for _, name := range slices.Sorted(maps.Keys(media.Examples)) {
			example := media.Examples[name].Value
			if example.Value != nil {
				e.checkValue(example.Value, media.Schema.Value, cmp.Or(example.Origin, media.Origin), direction)
			}
		}
	}
}

// checkValue reports an example that does not match its schema, at its place. A library may refuse to compare them.
func (e *examples) checkValue(value any, schema *openapi3.Schema, at *openapi3.Origin, direction visitOption) {
	found := contract.CheckValue(schema, value, direction)
	if len(found) == 0 {
		return
	}
	problem := Problem{
		File: e.file, Line: 1, Column: 1, Rule: ruleExampleValue,
		Message: "the example does not match its schema: " + strings.TrimPrefix(found[0].Path+": "+found[0].Reason, ": "),
	}
	if more := len(found) - 1; more > 0 {
		problem.Message += fmt.Sprintf(", and %d more", more)
	}
	if at != nil && at.Key != nil {
		problem.File, problem.Line, problem.Column = cmp.Or(at.Key.File, e.file), at.Key.Line, at.Key.Column
	}
	e.problems = append(e.problems, problem)
}

// isJSON reports whether a media type is JSON.
func isJSON(mediaType string) bool {
	name, _, _ := strings.Cut(mediaType, ";")
	return name == "application/json" || strings.HasSuffix(name, "+json")
}
