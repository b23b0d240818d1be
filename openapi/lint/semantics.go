package lint

import (
	"context"
	"errors"
	"reflect"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v4"
)

// checkSemantics has kin-openapi load and validate a document. Examples are checked apart from the rest, because
// kin-openapi reports only the first example that does not match its schema.
func (l *linter) checkSemantics(doc *document) {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed, loader.IncludeOrigin = true, true
	spec, err := loader.LoadFromFile(doc.path)
	if err != nil {
		l.reportError(doc, err)
		return
	}
	before := len(l.problems) // those of other documents do not hide this one's
	l.validate(doc, spec, openapi3.DisableExamplesValidation())
	if len(l.problems) > before {
		return
	}
	for _, path := range spec.Paths.Map() {
		for _, operation := range path.Operations() {
			if operation.RequestBody != nil {
				l.checkExamples(doc, operation.RequestBody.Value.Content)
			}
			for _, response := range operation.Responses.Map() {
				l.checkExamples(doc, response.Value.Content)
			}
		}
	}
	if len(l.problems) == before {
		l.validate(doc, spec) // examples of parameters and schemas
	}
}

func (l *linter) validate(doc *document, spec *openapi3.T, options ...openapi3.ValidationOption) {
	err := spec.Validate(context.Background(), append(options, openapi3.EnableMultiError())...)
	if all := openapi3.MultiError(nil); errors.As(err, &all) {
		for _, err := range all {
			l.reportError(doc, err)
		}
	} else if err != nil {
		l.reportError(doc, err)
	}
}

// checkExamples reports the values in examples that do not match their schema.
func (l *linter) checkExamples(doc *document, content openapi3.Content) {
	for _, mediaType := range content {
		if mediaType.Schema == nil {
			continue
		}
		for name, example := range mediaType.Examples {
			err := mediaType.Schema.Value.VisitJSON(example.Value.Value, openapi3.MultiErrors(),
				openapi3.DisableSchemaErrorDetails())
			for _, mismatch := range schemaErrors(err) {
				file, node := l.exampleNode(doc, example)
				pointer := mismatch.JSONPointer()
				for _, part := range pointer {
					if below := descend(node, part); below != nil {
						node = below
					}
				}
				l.reportf(file, node, "example %s does not match its schema at /%s: %s",
					name, strings.Join(pointer, "/"), mismatch.Reason)
			}
		}
	}
}

// schemaErrors returns all mismatches in the error of a validation.
func schemaErrors(err error) []*openapi3.SchemaError {
	if all, ok := err.(openapi3.MultiError); ok { //nolint:errorlint // a list of errors, which are looked at one by one
		var flat []*openapi3.SchemaError
		for _, err := range all {
			flat = append(flat, schemaErrors(err)...)
		}
		return flat
	}
	if mismatch := (*openapi3.SchemaError)(nil); errors.As(err, &mismatch) {
		return []*openapi3.SchemaError{mismatch}
	}
	return nil
}

// exampleNode returns where the value of an example is. kin-openapi rewrites references between files, so the origin of
// the example tells its file.
func (l *linter) exampleNode(doc *document, example *openapi3.ExampleRef) (*document, *yaml.Node) {
	at := &yaml.Node{Line: 1, Column: 1}
	if origin := example.Value.Origin; origin != nil && origin.Key != nil {
		if file, ok := l.documents[origin.Key.File]; ok {
			doc = file
		}
		at = &yaml.Node{Line: origin.Key.Line, Column: origin.Key.Column}
		for key, value := range pairs(member(member(doc.root, "components"), "examples")) {
			if key.Line == at.Line && key.Column == at.Column {
				return doc, member(value, "value")
			}
		}
	}
	return doc, at
}

// reportError reports an error of kin-openapi at the innermost origin that it has.
func (l *linter) reportError(doc *document, err error) {
	at := &yaml.Node{Line: 1, Column: 1}
	if load := (*yaml.LoadError)(nil); errors.As(err, &load) {
		at = &yaml.Node{Line: load.Mark.Line, Column: load.Mark.Column}
	}
	innermost := err
	for e := err; e != nil; e = errors.Unwrap(e) {
		if origin := originOf(e); origin != nil && origin.Key != nil {
			at, innermost = &yaml.Node{Line: origin.Key.Line, Column: origin.Key.Column}, e
			if file, ok := l.documents[origin.Key.File]; ok {
				doc = file
			}
		}
	}
	l.reportf(doc, at, "%s", innermost)
}

// originOf returns the field Origin of an error of kin-openapi; nil if it has none.
func originOf(err error) *openapi3.Origin {
	value := reflect.ValueOf(err)
	if value.Kind() != reflect.Pointer || value.Elem().Kind() != reflect.Struct {
		return nil
	}
	if field := value.Elem().FieldByName("Origin"); field.IsValid() {
		origin, _ := reflect.TypeAssert[*openapi3.Origin](field)
		return origin
	}
	return nil
}
