package conformance

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/contract"
)

// outcomeOK is the outcome of success, and the name of the request example that succeeds.
const outcomeOK = "ok"

// Spec is what scenarios refer to in OpenAPI documents: operations, their named examples and their credentials.
type Spec struct {
	// Operations are the operations of all documents, in the order of the documents and their paths.
	Operations []*Operation

	byID map[string]*Operation
}

// Operation is one operation of a document.
type Operation struct {
	ID     string // METHOD /path if the document has no operationId
	Method string
	Path   string // as in the document: /admin/users/{userId}
	Tag    string
	// Scheme is the first security scheme, "" for an operation that everybody may call.
	Scheme string
	// CredentialHeader is the header of the security scheme.
	CredentialHeader string
	// Own reports whether the published contract does not have the operation (x-gatehouse).
	Own        bool
	Parameters []Parameter
	// Request is nil if the operation has no body.
	Request *Request
	// Responses are the named response examples, by status and name.
	Responses []*Response

	declared *openapi3.Operation
	item     *openapi3.PathItem
	document *openapi3.T
}

// Parameter is a parameter of an operation with its example.
type Parameter struct {
	Name, In string
	Example  string
}

// Request is the body of an operation.
type Request struct {
	MediaType string
	// Example is the example named ok.
	Example any
}

// Response is a named response example: the documented response of an outcome.
type Response struct {
	Outcome string
	Status  int
	// Example is the body, nil if the response has no content.
	Example any
	// Varies is the part of the example's Message that stands for any text (x-varies).
	Varies string
	// Position is where the example is, if the document was read from a file.
	Position Position
}

// Position is a place in a file.
type Position struct {
	File string
	Line int
}

// String formats the position as compilers do.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Operation returns the operation with this operationId, or nil.
func (s *Spec) Operation(id string) *Operation { return s.byID[id] }

// Outcomes returns the number of named response examples.
func (s *Spec) Outcomes() int {
	n := 0
	for _, op := range s.Operations {
		n += len(op.Responses)
	}
	return n
}

// Unnamed returns the number of operations without a named response example: they have no outcomes.
func (s *Spec) Unnamed() int {
	n := 0
	for _, op := range s.Operations {
		if len(op.Responses) == 0 {
			n++
		}
	}
	return n
}

// Response returns the response of an outcome, or nil.
func (op *Operation) Response(outcome string) *Response {
	for _, r := range op.Responses {
		if r.Outcome == outcome {
			return r
		}
	}
	return nil
}

// hasMessage reports whether a message is that of the example, but for the part that varies.
func (r *Response) hasMessage(example, actual string) bool {
	before, after, varies := strings.Cut(example, r.Varies)
	if r.Varies == "" || !varies {
		return actual == example
	}
	return len(actual) >= len(before)+len(after) && strings.HasPrefix(actual, before) && strings.HasSuffix(actual, after)
}

// parameter returns the parameter with this name, or nil.
func (op *Operation) parameter(in, name string) *Parameter {
	for i := range op.Parameters {
		if op.Parameters[i].In == in && op.Parameters[i].Name == name {
			return &op.Parameters[i]
		}
	}
	return nil
}

// ReadSpec reads OpenAPI files in YAML or JSON, which may refer to one another. Errors of scenarios then have the
// positions of their examples.
func ReadSpec(paths ...string) (*Spec, error) {
	spec := &Spec{byID: map[string]*Operation{}}
	for _, path := range paths {
		document, err := contract.ReadFile(path, true)
		if err != nil {
			return nil, err
		}
		if err := spec.add(document); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return spec, nil
}

// NewSpec returns what the documents declare. Their references have to be resolved. Errors of scenarios have positions
// if the loader of the documents has noted origins.
func NewSpec(documents ...*openapi3.T) (*Spec, error) {
	spec := &Spec{byID: map[string]*Operation{}}
	for _, document := range documents {
		if err := spec.add(document); err != nil {
			return nil, err
		}
	}
	return spec, nil
}

// ParseSpec reads OpenAPI documents in JSON, such as those that a program embeds.
func ParseSpec(documents ...[]byte) (*Spec, error) {
	spec := &Spec{byID: map[string]*Operation{}}
	for _, text := range documents {
		document := &openapi3.T{}
		err := json.Unmarshal(text, document)
		if err == nil {
			err = openapi3.NewLoader().ResolveRefsIn(document, nil)
		}
		if err == nil {
			err = spec.add(document)
		}
		if err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
	}
	return spec, nil
}

func (s *Spec) add(document *openapi3.T) error {
	if document.Paths == nil {
		return errors.New("declares no paths")
	}
	paths := document.Paths.Map()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		operations := paths[path].Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			op := &Operation{
				ID: cmp.Or(operations[method].OperationID, method+" "+path), Method: method, Path: path,
				declared: operations[method], item: paths[path], document: document,
			}
			if err := op.read(); err != nil {
				return fmt.Errorf("%s %s: %w", method, path, err)
			}
			if s.byID[op.ID] != nil {
				return fmt.Errorf("%s %s: operation %s is declared twice", method, path, op.ID)
			}
			s.byID[op.ID] = op
			s.Operations = append(s.Operations, op)
		}
	}
	return nil
}

func (op *Operation) read() error {
	if len(op.declared.Tags) > 0 {
		op.Tag = op.declared.Tags[0]
	}
	_, op.Own = op.declared.Extensions["x-gatehouse"]
	op.readSecurity()
	for _, p := range slices.Concat(op.item.Parameters, op.declared.Parameters) {
		parameter := Parameter{Name: p.Value.Name, In: p.Value.In}
		if p.Value.Example != nil {
			parameter.Example = fmt.Sprint(p.Value.Example)
		}
		op.Parameters = append(op.Parameters, parameter)
	}
	if body := op.declared.RequestBody; body != nil {
		content := body.Value.Content
		mediaTypes := slices.Sorted(maps.Keys(content))
		if len(mediaTypes) > 0 {
			mediaType := mediaTypes[max(slices.IndexFunc(mediaTypes, isJSON), 0)]
			op.Request = &Request{MediaType: mediaType}
			if ok := content[mediaType].Examples[outcomeOK]; ok != nil {
				op.Request.Example = ok.Value.Value
			}
		}
	}
	return op.readResponses()
}

// isJSON reports whether a media type is JSON.
func isJSON(mediaType string) bool {
	name, _, _ := strings.Cut(mediaType, ";")
	return name == "application/json" || strings.HasSuffix(name, "+json")
}

func (op *Operation) readSecurity() {
	security := op.document.Security
	if op.declared.Security != nil {
		security = *op.declared.Security
	}
	if len(security) > 0 { // of several schemes, the first is used
		for name := range security[0] {
			op.Scheme = name
		}
	}
	if op.Scheme == "" || op.document.Components == nil {
		return
	}
	if scheme := op.document.Components.SecuritySchemes[op.Scheme]; scheme != nil && scheme.Value.In == "header" {
		op.CredentialHeader = scheme.Value.Name
	}
}

// outcomeKey names the outcome of a response without content.
const outcomeKey = "x-outcome"

func (op *Operation) readResponses() error {
	responses := op.declared.Responses.Map()
	for _, code := range slices.Sorted(maps.Keys(responses)) {
		status, err := strconv.Atoi(code)
		if err != nil {
			continue // a range of statuses, or the default: no outcome
		}
		content := responses[code].Value.Content.Get("application/json")
		if content == nil {
			if name, ok := responses[code].Value.Extensions[outcomeKey].(string); ok {
				op.Responses = append(op.Responses, &Response{Outcome: name, Status: status})
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(content.Examples)) {
			example := content.Examples[name].Value
			response := &Response{Outcome: name, Status: status, Example: example.Value}
			response.Varies, _ = example.Extensions["x-varies"].(string)
			if origin := content.Origin; origin != nil && origin.Key != nil {
				response.Position = Position{File: origin.Key.File, Line: origin.Key.Line}
			}
			op.Responses = append(op.Responses, response)
		}
	}
	return nil
}
