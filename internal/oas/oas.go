// Package oas makes Tyk OAS APIs ready for gateways. A Tyk OAS API is an OpenAPI document with an extension,
// x-tyk-api-gateway, that says how a gateway serves it. A gateway serves such an API by the classic API definition
// beside the document, and never derives one from the other: the server that stores the document has to.
//
// The document is the user's. It is stored as it was sent, apart from the identity of the API in its extension.
package oas

import (
	"encoding/json"
	"strings"
)

// Extension is the member of an OpenAPI document that says how a gateway serves it.
const Extension = "x-tyk-api-gateway"

// Identity is what a server and the document of an API both state. Empty members leave the document's.
type Identity struct {
	ID    string // api_id, and info.id of the extension
	DBID  string // id in the classic definition, and info.dbId of the extension
	OrgID string // org_id, and info.orgId of the extension
}

// Options are the options of Convert.
type Options struct {
	// AllowUnknown accepts settings of the extension that Convert does not know. The API is then served without them.
	AllowUnknown bool
}

// API is a Tyk OAS API that is ready to be stored.
type API struct {
	// Document is the document with its identity. The rest of its bytes are as the client sent them.
	Document json.RawMessage
	// Classic is the classic API definition that gateways serve the API by.
	Classic json.RawMessage
	// Unknown are the JSON pointers of the settings that Document has and Classic lacks, because Convert does not know
	// them. It is nil without Options.AllowUnknown.
	Unknown []string
}

// Error is a fault of a document that its author can mend.
type Error struct {
	// Pointer is the JSON pointer of the faulty value. It is "" if the fault is the document's.
	Pointer string
	// Message says what is wrong with the value.
	Message string
}

// Error returns the pointer and the message.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Message
	}
	return e.Pointer + ": " + e.Message
}

// ErrNoExtension is the error of a document without the extension.
var ErrNoExtension = &Error{Message: "The payload should contain x-tyk-api-gateway."}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// pointerTo returns the JSON pointer of a value: the names on the way to it.
func pointerTo(path ...string) string {
	var pointer strings.Builder
	for _, name := range path {
		pointer.WriteString("/" + escapePointer.Replace(name))
	}
	return pointer.String()
}
