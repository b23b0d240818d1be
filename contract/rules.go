package contract

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// Rules are what the caller of Load relies on. A document that breaks one of them is refused at startup instead of
// failing the first request to the operation. The zero value requires nothing: it is for contracts of other servers.
type Rules struct {
	// Schemes are the security schemes that the caller implements, each with the outcomes that an operation that requires
	// it must document. nil allows any.
	Schemes map[string][]Outcome
	// Authorised are the outcomes that each operation with a permission must document, and no other may.
	Authorised []Outcome
	// Body are the outcomes that each operation with a request body must document.
	Body []Outcome
	// RequiredBody are the outcomes that it must document besides, unless requests may lack the body (x-optional-body).
	RequiredBody []Outcome
	// Parameters are the outcomes that each operation must document whose parameters can be invalid.
	Parameters []Outcome
	// RequiredParameters are the outcomes that each operation with a required parameter outside its path must document.
	RequiredParameters []Outcome
	// Outcomes requires that each response has a status and an outcome, and each outcome one response.
	Outcomes bool
	// Extensions are the x- keys that others than this package read, each with the kind of object that it belongs to, as
	// in "schema". Any other x- key is refused, as is one in the wrong place. nil ignores them.
	Extensions map[string]string
}

// check returns an error that names each rule that the operation breaks.
func (rules Rules) check(op *Operation, parameters openapi3.Parameters) error {
	errs := rules.checkSchemes(op)
	for _, rule := range []struct {
		applies  bool
		what     string
		outcomes []Outcome
	}{
		{op.Permission != nil, "has x-permission", rules.Authorised},
		{op.Body != nil, "has a request body", rules.Body},
		{op.Body != nil && !op.Body.Optional, "requires a request body", rules.RequiredBody},
		{slices.ContainsFunc(parameters, canBeRefused), "has parameters", rules.Parameters},
		{slices.ContainsFunc(parameters, canBeMissing), "has a required parameter", rules.RequiredParameters},
	} {
		if missing := op.missing(rule.outcomes); rule.applies && missing != nil {
			errs = append(errs, fmt.Errorf("%s, but has no outcome %v", rule.what, missing))
		}
	}
	for _, outcome := range rules.Authorised {
		if _, ok := op.Responses[outcome]; ok && op.Permission == nil { // it was lost
			errs = append(errs, fmt.Errorf("has the outcome %s, but no x-permission", outcome))
		}
	}
	return errors.Join(errs...)
}

// checkSchemes returns errors for schemes that are not implemented, and for outcomes of the others that are missing.
func (rules Rules) checkSchemes(op *Operation) (errs []error) {
	for _, scheme := range op.Schemes {
		outcomes, implemented := rules.Schemes[scheme.Name]
		if rules.Schemes != nil && !implemented {
			known := slices.Collect(maps.Keys(rules.Schemes))
			errs = append(errs,
				fmt.Errorf("security scheme %q is not implemented%s", scheme.Name, suggestion(scheme.Name, known)))
		}
		if missing := op.missing(outcomes); missing != nil {
			errs = append(errs, fmt.Errorf("requires %q, but has no outcome %v", scheme.Name, missing))
		}
	}
	return errs
}

// canBeInvalid reports whether a parameter can be invalid in a request without a query: not a path parameter that is
// any string, and not an optional query parameter.
func canBeInvalid(p *openapi3.ParameterRef) bool {
	if p.Value.In != openapi3.ParameterInPath {
		return p.Value.Required || p.Value.In != openapi3.ParameterInQuery
	}
	return isConstrained(p)
}

// isConstrained reports whether a parameter cannot be any string.
func isConstrained(p *openapi3.ParameterRef) bool {
	if p.Value.Schema == nil {
		return true
	}
	schema := p.Value.Schema.Value
	return !schema.Type.Is(openapi3.TypeString) || schema.Pattern != "" || schema.Format != "" || schema.Enum != nil ||
		schema.MinLength > 0 || schema.MaxLength != nil
}

// canBeRefused reports whether some request has an invalid value of a parameter. Every query and header parameter can
// be invalid: it can be sent twice.
func canBeRefused(p *openapi3.ParameterRef) bool {
	return p.Value.In != openapi3.ParameterInPath || canBeInvalid(p)
}

// singleValued returns the names of the query parameters that are neither lists nor objects, sorted.
func singleValued(parameters openapi3.Parameters) (names []string) {
	for _, p := range parameters {
		if p.Value.In != openapi3.ParameterInQuery || p.Value.Schema == nil {
			continue
		}
		if t := p.Value.Schema.Value.Type; t != nil && !t.Includes(openapi3.TypeArray) && !t.Includes(openapi3.TypeObject) {
			names = append(names, p.Value.Name)
		}
	}
	slices.Sort(names)
	return names
}

// namesOf returns the names of the parameters in a part of a request that a function selects, sorted.
func namesOf(parameters openapi3.Parameters, in string, selects func(*openapi3.ParameterRef) bool) (names []string) {
	for _, p := range parameters {
		if p.Value.In == in && selects(p) {
			names = append(names, p.Value.Name)
		}
	}
	slices.Sort(names)
	return names
}

func canBeMissing(p *openapi3.ParameterRef) bool {
	return p.Value.In != openapi3.ParameterInPath && p.Value.Required
}
