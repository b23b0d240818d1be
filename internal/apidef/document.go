package apidef

import (
	"encoding/json"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonschema"
)

// Document is a valid API definition or policy. It shares memory with the buffer that it was checked into.
type Document struct {
	// JSON is the document without insignificant whitespace, and else as the client wrote it.
	JSON json.RawMessage

	captured [][]byte
	idAt     int // index in captured
}

func newDocument(result jsonschema.Result, idAt int) Document {
	return Document{JSON: result.Document, captured: result.Captured, idAt: idAt}
}

// ID returns the ID that the document states: api_id or _id. It is "" if the document states none.
func (d Document) ID() string { return d.text(d.idAt) }

// text returns a captured value as text; "" for anything but a string.
func (d Document) text(captured int) (s string) {
	if len(d.captured) == 0 {
		return ""
	}
	if raw := d.captured[captured]; len(raw) > 0 && raw[0] == '"' {
		_ = json.Unmarshal(raw, &s) // the document is valid JSON
	}
	return s
}

// The values that are captured of an API definition.
const (
	apiDefinition = iota
	apiID
	apiDatabaseID
	apiOrgID
	apiActive
)

var apiPaths = [][]string{
	apiDefinition: {"api_definition"},
	apiID:         {"api_definition", "api_id"},
	apiDatabaseID: {"api_definition", "id"},
	apiOrgID:      {"api_definition", "org_id"},
	apiActive:     {"api_definition", "active"},
}

// API is what an API definition is searched by. Its IDs are "" if the document does not state them.
type API struct {
	APIID  string
	ID     string // the ID in Tyk's database
	OrgID  string
	Active bool
}

// API returns what an API definition is searched by.
func (d Document) API() API {
	return API{
		APIID: d.text(apiID), ID: d.text(apiDatabaseID), OrgID: d.text(apiOrgID),
		Active: string(d.captured[apiActive]) != "false", // active defaults to true
	}
}

// WithAPIIDs returns an API definition with these IDs. One that states them already stays as it is.
func (d Document) WithAPIIDs(id, databaseID string) json.RawMessage {
	if d.text(apiID) == id && d.text(apiDatabaseID) == databaseID {
		return d.JSON
	}
	definition := withID(d.captured[apiDefinition], "id", databaseID)
	return jsondoc.Set(d.JSON, "api_definition", withID(definition, "api_id", id))
}

// The values that are captured of a policy.
const (
	policyDatabaseID = iota
	policyID
	policyOrgID
)

var policyPaths = [][]string{
	policyDatabaseID: {"_id"},
	policyID:         {"id"},
	policyOrgID:      {"org_id"},
}

// Policy is what a policy is searched by. Its IDs are "" if the document does not state them.
type Policy struct {
	ID         string // _id
	ExplicitID string // id, which a user may choose
	OrgID      string
}

// Policy returns what a policy is searched by.
func (d Document) Policy() Policy {
	return Policy{ID: d.text(policyDatabaseID), ExplicitID: d.text(policyID), OrgID: d.text(policyOrgID)}
}

// WithPolicyID returns a policy with this _id. One that states it already stays as it is.
func (d Document) WithPolicyID(id string) json.RawMessage { return withID(d.JSON, "_id", id) }

// withID sets an ID that a document lacks.
func withID(doc json.RawMessage, name, id string) json.RawMessage {
	if jsondoc.String(doc, name) == id {
		return doc
	}
	return jsondoc.Set(doc, name, jsondoc.Quote(id))
}
