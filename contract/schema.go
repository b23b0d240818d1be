package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/internal/jsonschema"
)

// schemas compiles the schemas of one document's request bodies, or of its responses.
type schemas struct {
	options  []openapi3.SchemaValidationOption
	compiler *jsonschema.Compiler // nil leaves all to kin-openapi
}

// requestSchemas returns a compiler of the schemas of request bodies.
func requestSchemas(spec *openapi3.T) *schemas {
	return newSchemas(spec, openapi3.VisitAsRequest(), jsonschema.Options{Lenient: true, Names: true})
}

// responseSchemas returns a compiler of the schemas of responses.
func responseSchemas(spec *openapi3.T) *schemas {
	return newSchemas(spec, openapi3.VisitAsResponse(), jsonschema.Options{Lenient: true})
}

// newSchemas returns a compiler of schemas. Package jsonschema knows the schemas of OpenAPI 3.0 only: the bodies of a
// newer document are left to kin-openapi.
func newSchemas(spec *openapi3.T, direction openapi3.SchemaValidationOption, options jsonschema.Options) *schemas {
	s := &schemas{options: append([]openapi3.SchemaValidationOption{direction}, schemaOptions...)}
	if spec.IsOpenAPI31OrLater() {
		s.options = append(s.options, openapi3.EnableJSONSchema2020())
		return s
	}
	options.Fallback = s.fallback
	s.compiler = jsonschema.NewCompiler(options)
	return s
}

// schema is the schema of a JSON body. The compiled form decides about requests, in about a tenth of the time of
// kin-openapi and without decoding them, and about nearly every response; kin-openapi describes what is wrong with the
// other responses, and is right where the two disagree.
type schema struct {
	compiled *jsonschema.Schema
	declared *openapi3.Schema
	options  []openapi3.SchemaValidationOption
}

func (s *schemas) compile(declared *openapi3.Schema) (*schema, error) {
	if s.compiler == nil {
		return &schema{compiled: jsonschema.New(s.fallback(declared)), declared: declared, options: s.options}, nil
	}
	compiled, err := s.compiler.Compile(declared)
	if err != nil {
		return nil, err
	}
	return &schema{compiled: compiled, declared: declared, options: s.options}, nil
}

// fallback checks values with kin-openapi, for schemas that package jsonschema does not support.
func (s *schemas) fallback(declared *openapi3.Schema) func([]byte) *jsonschema.Problem {
	fallen := &schema{declared: declared, options: s.options}
	return func(value []byte) *jsonschema.Problem {
		problems := fallen.problems(value)
		if problems == nil {
			return nil
		}
		return &jsonschema.Problem{Pointer: problems[0].Path, Reason: problems[0].Reason}
	}
}

// accepts reports whether the compiled schema accepts a body. If it does, kin-openapi does, too.
func (s *schema) accepts(body []byte) bool {
	problem, err := s.compiled.Validate(body)
	return problem == nil && err == nil
}

// check returns how a body does not match the schema, nil if it matches.
func (s *schema) check(body []byte) []Problem {
	if s.accepts(body) {
		return nil
	}
	return s.problems(body)
}

// listed returns what the compiled schema finds wrong with a body.
func (s *schema) listed(body []byte) []Problem {
	found, err := s.compiled.Problems(body)
	if err != nil {
		return []Problem{{Reason: reasonNotJSON}}
	}
	problems := make([]Problem, len(found))
	for i, p := range found {
		problems[i] = Problem{Path: p.Pointer, Reason: p.Reason}
	}
	return problems
}

// problems returns what kin-openapi finds wrong with a body.
func (s *schema) problems(body []byte) []Problem {
	value, err := decodeJSON(body)
	if err != nil {
		return []Problem{{Reason: reasonNotJSON}}
	}
	err = s.declared.VisitJSON(value, s.options...)
	if err == nil {
		return nil
	}
	problems := withoutAllowed(s.declared, value, problemsOf(err))
	for i, p := range problems {
		problems[i].Path = maskPointer(s.declared, p.Path)
	}
	return problems
}

const reasonNotJSON = "is not one JSON value"

// decodeJSON decodes a body as kin-openapi does.
func decodeJSON(body []byte) (value any, err error) {
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	if err := in.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return value, nil
}

// maskPointer replaces the names in a pointer that the schema does not name, because they are data.
func maskPointer(s *openapi3.Schema, pointer string) string {
	if pointer == "" {
		return ""
	}
	steps := strings.Split(pointer, "/")[1:]
	within := []*openapi3.Schema{s}
	for i, step := range steps {
		var named bool
		if within, named = below(within, pointerUnescaper.Replace(step)); !named {
			steps[i] = jsonschema.AnyName
		}
	}
	return "/" + strings.Join(steps, "/")
}

// below returns the schemas that describe a member or an item of a value, and whether they name it. An index is no
// name, but no data either.
func below(all []*openapi3.Schema, step string) (next []*openapi3.Schema, named bool) {
	for _, s := range alternatives(all) {
		named = named || slices.Contains(s.Required, step)
		switch {
		case s.Properties[step] != nil:
			next, named = append(next, s.Properties[step].Value), true
		case s.Items != nil && isIndex(step):
			next, named = append(next, s.Items.Value), true
		case s.AdditionalProperties.Schema != nil:
			next = append(next, s.AdditionalProperties.Schema.Value)
		}
	}
	return next, named
}

// alternatives returns schemas with all schemas that they are composed of.
func alternatives(all []*openapi3.Schema) []*openapi3.Schema {
	seen := map[*openapi3.Schema]bool{}
	var found []*openapi3.Schema
	var add func(*openapi3.Schema)
	add = func(s *openapi3.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		found = append(found, s)
		for _, parts := range []openapi3.SchemaRefs{s.OneOf, s.AnyOf, s.AllOf} {
			for _, part := range parts {
				add(part.Value)
			}
		}
	}
	for _, s := range all {
		add(s)
	}
	return found
}

func isIndex(step string) bool { return step != "" && strings.Trim(step, "0123456789") == "" }
