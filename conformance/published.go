package conformance

import (
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Published is a published contract, which may lack operations, statuses and members that the Spec has. Its examples
// and texts are not read.
type Published struct {
	documents []*openapi3.T
}

// NewPublished returns a published contract of one or more documents.
func NewPublished(documents ...*openapi3.T) *Published { return &Published{documents} }

// Has reports whether the published contract has an operation with this status.
func (p *Published) Has(op *Operation, status int) bool { return p.response(op, status) != nil }

// has reports whether the published contract has an operation.
func (p *Published) has(op *Operation) bool { return p.operation(op) != nil }

func (p *Published) operation(op *Operation) *openapi3.Operation {
	for _, document := range p.documents {
		for path, item := range document.Paths.Map() {
			if declared := item.GetOperation(op.Method); declared != nil && samePath(path, op.Path) {
				return declared
			}
		}
	}
	return nil
}

func (p *Published) response(op *Operation, status int) *openapi3.Response {
	declared := p.operation(op)
	if declared == nil || declared.Responses == nil {
		return nil
	}
	response := declared.Responses.Value(strconv.Itoa(status))
	if response == nil {
		return nil
	}
	return response.Value
}

// samePath compares paths without the names of their parameters.
func samePath(a, b string) bool {
	as, bs := strings.Split(strings.Trim(a, "/"), "/"), strings.Split(strings.Trim(b, "/"), "/")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		parameters := strings.HasPrefix(as[i], "{") && strings.HasPrefix(bs[i], "{")
		if as[i] != bs[i] && !parameters {
			return false
		}
	}
	return true
}

// Expected returns the example of a response without the members that the published contract lacks.
func (p *Published) Expected(op *Operation, expected *Response) any {
	response := p.response(op, expected.Status)
	if response == nil {
		return expected.Example
	}
	content := response.Content.Get("application/json")
	if content == nil || content.Schema == nil {
		return expected.Example
	}
	return declaredPart(content.Schema.Value, expected.Example)
}

// declaredPart returns the part of a value that a schema declares. A schema without properties declares everything.
func declaredPart(schema *openapi3.Schema, value any) any {
	switch v := value.(type) {
	case map[string]any:
		if schema == nil || len(schema.Properties) == 0 {
			return value
		}
		part := map[string]any{}
		for name, member := range v {
			if property := schema.Properties[name]; property != nil {
				part[name] = declaredPart(property.Value, member)
			}
		}
		return part
	case []any:
		if schema == nil || schema.Items == nil {
			return value
		}
		part := make([]any, len(v))
		for i, element := range v {
			part[i] = declaredPart(schema.Items.Value, element)
		}
		return part
	}
	return value
}
