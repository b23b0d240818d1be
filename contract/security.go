package contract

import (
	"maps"
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// SchemeOf returns the name of the first scheme whose credential a request has, or of the operation's first scheme if
// the request has none; "" for an operation that everybody may call.
func (op *Operation) SchemeOf(r *http.Request) string {
	if len(op.Schemes) > 1 {
		for _, scheme := range op.Schemes {
			if scheme.IsIn(r) {
				return scheme.Name
			}
		}
	}
	return op.Scheme
}

// schemesOf returns the security schemes of an operation; security is the default of its document. Of a requirement of
// several schemes, the first by name counts.
func schemesOf(
	spec *openapi3.T, security openapi3.SecurityRequirements, declared *openapi3.Operation,
) (schemes []SecurityScheme) {
	if declared.Security != nil {
		security = *declared.Security
	}
	for _, requirement := range security {
		for _, name := range slices.Sorted(maps.Keys(requirement))[:min(1, len(requirement))] {
			schemes = append(schemes, schemeOf(spec, name))
		}
	}
	return schemes
}

func schemeOf(spec *openapi3.T, name string) SecurityScheme {
	scheme := SecurityScheme{Name: name}
	if spec.Components == nil || spec.Components.SecuritySchemes[name] == nil {
		return scheme
	}
	switch declared := spec.Components.SecuritySchemes[name].Value; declared.Type {
	case "apiKey":
		scheme.In, scheme.Parameter = declared.In, declared.Name
	case "http":
		scheme.In, scheme.Parameter = openapi3.ParameterInHeader, "Authorization"
	}
	return scheme
}
