// Package contract compiles OpenAPI documents into what is needed of them at run time: the operations, the responses
// that they document, the permissions that they require, and the validation of requests.
//
// The package knows no operation, security scheme or outcome by name. The caller passes the names that it relies on as
// Rules, and Load fails for a document that does not keep them.
package contract

import (
	"crypto/sha256"
	"iter"
	"maps"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"gatehouse/internal/jsonschema"
)

// Contract holds the operations of all loaded documents. It is immutable and safe for concurrent use.
type Contract struct {
	operations map[string]*Operation
	find       func() (*finder, error) // made when it is needed
}

// Operation returns the operation with this operationId, or nil.
func (c *Contract) Operation(id string) *Operation { return c.operations[id] }

// Operations returns all operations in no particular order.
func (c *Contract) Operations() iter.Seq[*Operation] { return maps.Values(c.operations) }

// Operation is one operation of a document.
type Operation struct {
	ID     string // METHOD /path if the document has no operationId
	Method string
	Path   string // as in the document: /admin/users/{userId}
	// Scheme is the name of the operation's first security scheme, "" for an operation that everybody may call.
	Scheme string
	// Schemes are the security schemes of which a request has to satisfy one, in the order of the document.
	Schemes []SecurityScheme
	// Permission is nil if the operation requires none.
	Permission *Permission
	// Responses are the documented responses by outcome.
	Responses map[Outcome]Response
	// Body is nil if the operation has no request body.
	Body *Body
	// SpecDigest is the SHA-256 of the document that declares the operation.
	SpecDigest [sha256.Size]byte

	route *routers.Route
	// plain operations have no parameter that could be invalid in a request without a query.
	plain bool
	// single are the query parameters that have one value, sorted.
	single []string
	// queried are all query parameters, and headers the header parameters that cannot be any string, or are required,
	// sorted.
	queried, headers []string
	// declared are the responses by status.
	declared map[int]*declaredResponse
	// servers are the paths of the document's servers.
	servers []string
}

// Outcome names what happened to a request, such as "ok" or "not_found". It is the name of a response example, or the
// x-outcome of a response without content.
type Outcome string

// Response is the documented response of an outcome.
type Response struct {
	Status int
	Form   Form
	// Message is the Message of an Envelope.
	Message string
	// Success is the Status of an Envelope that reports a success with another word than "OK".
	Success string
	// Varies is the part of Message that stands for a value of the request (x-varies), "" if there is none.
	Varies string
}

// Text returns the response's message about value, which replaces what varies.
func (r Response) Text(value string) string {
	if r.Varies == "" {
		return r.Message
	}
	return strings.Replace(r.Message, r.Varies, value, 1)
}

// The levels of a Permission. LevelWrite includes LevelRead.
const (
	LevelRead  = "read"
	LevelWrite = "write"
)

// Permission is what a user needs for an operation (x-permission).
type Permission struct {
	Object string
	Level  string
	// Self allows users to do to themselves what they may not do to others.
	Self bool
}

// GrantedBy reports whether a user with these permissions, a level by object, may call the operation. A Permission with
// another level than LevelRead and LevelWrite is granted by none.
func (p *Permission) GrantedBy(permissions map[string]string) bool {
	switch level := permissions[p.Object]; p.Level {
	case LevelRead:
		return level == LevelRead || level == LevelWrite
	case LevelWrite:
		return level == LevelWrite
	default:
		return false
	}
}

// Body says how a request body is read and validated.
type Body struct {
	MediaType string
	// Alternatives are the other media types that the body may have, sorted.
	Alternatives []string
	// List is the member whose elements are validated one by one while the body is read (x-each), "" if there is none.
	List string
	// Schema is the schema of the whole body.
	Schema *openapi3.Schema
	// Element is the schema of the elements of List.
	Element *openapi3.Schema
	// MaxBytes is the maximum size of the body in bytes (x-max-body), 0 if the operation does not state one.
	MaxBytes int64
	// Optional reports whether a request without a body has an empty object as its body (x-optional-body).
	Optional bool
	// AnyCaseNames are the members whose names clients may write in any case (x-ignore-case), sorted.
	AnyCaseNames []string

	// json is the compiled form of Schema, and element that of Element; nil for a body that is not JSON.
	json, element *schema
	// strict compiles what Strict returns.
	strict func() (*jsonschema.Schema, error)
}

// Strict returns the schema of the elements of List, or of the whole body if there is no list, as a gateway decodes it.
// It is compiled by the first call. Schema must not be nil.
func (b *Body) Strict() (*jsonschema.Schema, error) { return b.strict() }

// CheckElement returns how an element of List does not match its schema, at most MaxProblems; nil if it matches.
func (b *Body) CheckElement(element []byte) []Problem {
	if b.element == nil || b.element.accepts(element) {
		return nil
	}
	return b.element.listed(element)
}

// missing returns those of the outcomes that the operation does not document.
func (op *Operation) missing(outcomes []Outcome) (missing []Outcome) {
	for _, outcome := range outcomes {
		if _, ok := op.Responses[outcome]; !ok {
			missing = append(missing, outcome)
		}
	}
	return missing
}

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
