package contract

import (
	"maps"
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// SecurityScheme is a security scheme that an operation accepts.
type SecurityScheme struct {
	// Name is its name in the document.
	Name string
	// In is where a request has the credential: openapi3.ParameterInHeader, ParameterInQuery or ParameterInCookie; "" if
	// the document does not say so, as for OAuth 2.
	In string
	// Parameter is the name of the header, the query parameter or the cookie.
	Parameter string
}

// IsIn reports whether a request has a credential of the scheme, valid or not. It is false if In is "".
func (s SecurityScheme) IsIn(r *http.Request) bool {
	switch s.In {
	case openapi3.ParameterInHeader:
		return r.Header.Get(s.Parameter) != ""
	case openapi3.ParameterInCookie:
		_, err := r.Cookie(s.Parameter)
		return err == nil
	case openapi3.ParameterInQuery:
		return r.URL.Query().Get(s.Parameter) != ""
	}
	return false
}

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

// schemesOf returns the security schemes of an operation. Of a requirement of several schemes, the first by name
// counts.
func (c compiler) schemesOf(declared *openapi3.Operation) (schemes []SecurityScheme) {
	security := c.defaultSecurity
	if declared.Security != nil {
		security = *declared.Security
	}
	for _, requirement := range security {
		for _, name := range slices.Sorted(maps.Keys(requirement))[:min(1, len(requirement))] {
			schemes = append(schemes, schemeOf(c.spec, name))
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
