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
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
)

// Contract holds the operations of all loaded documents. It is immutable and safe for concurrent use.
type Contract struct {
	operations map[string]*Operation
}

// Operation returns the operation with this operationId, or nil.
func (c *Contract) Operation(id string) *Operation { return c.operations[id] }

// Operations returns all operations in no particular order.
func (c *Contract) Operations() iter.Seq[*Operation] { return maps.Values(c.operations) }

// Operation is one operation of a document.
type Operation struct {
	ID     string
	Method string
	Path   string // as in the document: /admin/users/{userId}
	// Scheme is the name of the operation's security scheme, "" for an operation that everybody may call.
	Scheme string
	// Permission is nil if the operation requires none.
	Permission *Permission
	// Responses are the documented responses by outcome.
	Responses map[Outcome]Response
	// Body is nil if the operation has no request body.
	Body *Body
	// SpecDigest is the SHA-256 of the document that declares the operation.
	SpecDigest [sha256.Size]byte

	route *routers.Route
	// plain operations have no parameter or body that could be invalid in a request without a query.
	plain bool
}

// Outcome names what happened to a request, such as "ok" or "not_found". It is the name of a response example.
type Outcome string

// Response is the documented response of an outcome.
type Response struct {
	Status int
	// Message is the Message of the response example, "" if it has none.
	Message string
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

// GrantedBy reports whether a user with these permissions, a level by object, may call the operation.
func (p *Permission) GrantedBy(permissions map[string]string) bool {
	level := permissions[p.Object]
	return level == p.Level || level == LevelWrite
}

// Body says how a request body is read and validated.
type Body struct {
	MediaType string
	// List is the member whose elements are validated one by one while the body is read (x-each), "" if there is none.
	List string
	// Schema is the schema of the whole body.
	Schema *openapi3.Schema
	// Element is the schema of the elements of List.
	Element *openapi3.Schema
	// AnyCaseNames are the members whose names clients may write in any case (x-ignore-case), sorted.
	AnyCaseNames []string
}

// HasResponses reports whether the operation documents a response for each of these outcomes.
func (op *Operation) HasResponses(outcomes ...Outcome) bool {
	return !slices.ContainsFunc(outcomes, func(o Outcome) bool { return op.Responses[o].Status == 0 })
}
