package oas

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"gatehouse/internal/jsondoc"
)

// Convert returns the API of a Tyk OAS document in JSON. The error is an *Error if the document is at fault.
//
// Convert checks the extension, and what it needs of the rest of the document. Whether a gateway decodes the document
// is checked by package apidef, together with the definition.
func Convert(document []byte, identity Identity, options Options) (API, error) {
	if err := requireDocument(document, options); err != nil {
		return API{}, err
	}
	document = writeIdentity(document, identity)
	e := newExtraction(document, options)
	if err := e.extract(extensionRules()); err != nil {
		return API{}, err
	}
	extension := get(e.document.Result, Extension)
	if err := e.authenticate(get(extension, "server", "authentication")); err != nil {
		return API{}, err
	}
	if err := e.endpoints(get(extension, "middleware", "operations")); err != nil {
		return API{}, err
	}
	definition, err := encodeWithin(e.definition, MaxSize(len(document)))
	if err != nil {
		return API{}, err
	}
	return API{Document: document, Classic: definition, Unknown: e.unknown}, nil
}

// requireDocument returns an error if a document is no OpenAPI document with the extension.
func requireDocument(raw []byte, options Options) error {
	if !json.Valid(raw) {
		return &Error{Message: "the document is not JSON"}
	}
	doc := gjson.ParseBytes(raw)
	if !doc.IsObject() {
		return &Error{Message: must[object]}
	}
	if err := requireVersion(doc, options); err != nil {
		return err
	}
	extension := get(doc, Extension)
	if !extension.Exists() {
		return ErrNoExtension
	}
	for _, path := range requiredObjects {
		value := get(doc, path...)
		switch {
		case !value.Exists():
			return &Error{Pointer: pointerTo(path...), Message: "is missing"}
		case !value.IsObject():
			return &Error{Pointer: pointerTo(path...), Message: must[object]}
		}
	}
	return checkNames(doc, readNames)
}

// requiredObjects are the objects that a document has to have, as the gateway's schema says.
var requiredObjects = [][]string{
	{Extension}, {Extension, "info"}, {Extension, "upstream"}, {Extension, "server"}, {Extension, "server", "listenPath"},
}

// requireVersion returns an error if gateways do not decode a document of this version of OpenAPI.
//
// Gateways decode 3.0. They decode 3.1 since 5.12: an older one would fail to decode the whole list of APIs if, for
// example, a schema had a number in exclusiveMinimum. A server does not know the versions of all its gateways, so that
// 3.1 has to be allowed, as settings that are not known have.
func requireVersion(doc gjson.Result, options Options) error {
	pointer := pointerTo("openapi")
	switch version := get(doc, "openapi"); {
	case get(doc, "swagger").Exists() && !version.Exists():
		return &Error{Pointer: pointerTo("swagger"), Message: fmt.Sprintf(
			"OpenAPI %s is not supported: use 3.0.x", get(doc, "swagger").String())}
	case version.Type != gjson.String:
		return &Error{Pointer: pointer, Message: "must be the version of OpenAPI, 3.0.x"}
	case oneOf(textOf(version), "3.0"):
		return nil
	case oneOf(textOf(version), "3.1") && options.AllowUnknown:
		return nil
	case oneOf(textOf(version), "3.1"):
		return &Error{Pointer: pointer, Message: fmt.Sprintf(
			"OpenAPI %s is not supported by gateways before 5.12: use 3.0.x", textOf(version))}
	default:
		return &Error{Pointer: pointer, Message: fmt.Sprintf(
			"OpenAPI %s is not supported: use 3.0.x", textOf(version))}
	}
}

// oneOf reports whether a version is a minor version, or a patch of it.
func oneOf(version, minor string) bool {
	return version == minor || strings.HasPrefix(version, minor+".")
}

// writeIdentity returns a document whose extension states the identity of the API, its name, and whether it is active.
func writeIdentity(raw []byte, identity Identity) []byte {
	extension, _ := memberSpan(raw, whole(raw), Extension)
	at, _ := memberSpan(raw, extension, "info")
	info := raw[at.start:at.end]
	stated := gjson.ParseBytes(info)
	if !get(stated, "state").Exists() {
		info = setMember(info, "state", json.RawMessage(`{"active":false}`)) // as the definition says
	}
	if !get(stated, "name").Exists() {
		info = setMember(info, "name", jsondoc.Quote(textOf(get(gjson.ParseBytes(raw), "info", "title"))))
	}
	for _, id := range []struct{ name, value string }{
		{"orgId", identity.OrgID}, {"dbId", identity.DBID}, {"id", identity.ID},
	} {
		if id.value != "" {
			info = setMember(info, id.name, jsondoc.Quote(id.value))
		}
	}
	return applyEdits(raw, []edit{{at.start, at.end, info}})
}
