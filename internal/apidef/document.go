package apidef

import (
	"encoding/json"
	"strings"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonschema"
)

// Document is a valid API definition or policy. It shares memory with the buffer that it was checked into.
type Document struct {
	// JSON is the document without insignificant whitespace, and otherwise as the client wrote it.
	JSON json.RawMessage

	captured [][]byte
	idAt     int // index in captured
}

func newDocument(result jsonschema.Result, idAt int) Document {
	return Document{JSON: result.Document, captured: result.Captured, idAt: idAt}
}

// ID returns the ID that the document states: api_id or _id. It is "" if the document states none.
func (d Document) ID() string { return d.text(d.idAt) }

// text returns a captured value as text; "" for anything but a string, or an ID that is written as {"$oid": "…"}.
func (d Document) text(captured int) (s string) {
	if len(d.captured) == 0 {
		return ""
	}
	switch raw := d.captured[captured]; {
	case len(raw) == 0:
	case raw[0] == '"':
		_ = json.Unmarshal(raw, &s) // the document is valid JSON
	case raw[0] == '{':
		s = jsondoc.String(raw, "$oid")
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
	apiName
	apiCategories
	apiCreatedAt
	apiUpdatedAt
	apiInternal
	apiProtocol
	apiGraphQL
	apiGraphQLMode
	apiKeyless
	apiStandardAuth
	apiBasicAuth
	apiHMAC
	apiJWT
	apiOAuth
	apiExternalOAuth
	apiOpenID
	apiMutualTLS
	apiCoprocess
	apiGoPlugin
	apiCustomPlugin
	apiListenPath
	apiDomain
	apiDomainDisabled
	apiIsOAS
)

var apiPaths = [][]string{
	apiDefinition: {"api_definition"},
	apiID:         {"api_definition", "api_id"},
	apiDatabaseID: {"api_definition", "id"},
	apiOrgID:      {"api_definition", "org_id"},
	apiActive:     {"api_definition", "active"},

	// What Search is made of.
	apiName:          {"api_definition", "name"},
	apiCategories:    {"categories"},
	apiCreatedAt:     {"created_at"},
	apiUpdatedAt:     {"updated_at"},
	apiInternal:      {"api_definition", "internal"},
	apiProtocol:      {"api_definition", "protocol"},
	apiGraphQL:       {"api_definition", "graphql", "enabled"},
	apiGraphQLMode:   {"api_definition", "graphql", "execution_mode"},
	apiKeyless:       {"api_definition", "use_keyless"},
	apiStandardAuth:  {"api_definition", "use_standard_auth"},
	apiBasicAuth:     {"api_definition", "use_basic_auth"},
	apiHMAC:          {"api_definition", "enable_signature_checking"},
	apiJWT:           {"api_definition", "enable_jwt"},
	apiOAuth:         {"api_definition", "use_oauth2"},
	apiExternalOAuth: {"api_definition", "external_oauth", "enabled"},
	apiOpenID:        {"api_definition", "use_openid"},
	apiMutualTLS:     {"api_definition", "use_mutual_tls_auth"},
	apiCoprocess:     {"api_definition", "enable_coprocess_auth"},
	apiGoPlugin:      {"api_definition", "use_go_plugin_auth"},
	apiCustomPlugin:  {"api_definition", "custom_plugin_auth_enabled"},

	apiListenPath:     {"api_definition", "proxy", "listen_path"},
	apiDomain:         {"api_definition", "domain"},
	apiDomainDisabled: {"api_definition", "domain_disabled"},

	apiIsOAS: {"api_definition", "is_oas"},
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
	if d.text(apiID) == id && strings.EqualFold(d.text(apiDatabaseID), databaseID) {
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
	policyActive
	policyInactive
	policyRights
	policyRightsArray
	policyMetaData
)

var policyPaths = [][]string{
	policyDatabaseID: {"_id"},
	policyID:         {"id"},
	policyOrgID:      {"org_id"},
	policyActive:     {"active"},
	policyInactive:   {"is_inactive"},

	policyRights:      {accessRights},
	policyRightsArray: {accessRightsArray},
	policyMetaData:    {"meta_data"},
}

// Policy is what a policy is searched by. Its IDs are "" if the document does not state them.
type Policy struct {
	ID         string // _id
	ExplicitID string // id, which a user may choose
	OrgID      string
	Active     bool
}

// Policy returns what a policy is searched by.
func (d Document) Policy() Policy {
	return Policy{
		ID: d.text(policyDatabaseID), ExplicitID: d.text(policyID), OrgID: d.text(policyOrgID),
		Active: string(d.captured[policyActive]) != "false" && !d.flag(policyInactive),
	}
}

// WithPolicyID returns a policy with this _id. One that states it already stays as it is.
func (d Document) WithPolicyID(id string) json.RawMessage { return WithPolicyID(d.JSON, id) }

// WithPolicyID returns a policy with this _id.
func WithPolicyID(policy json.RawMessage, id string) json.RawMessage {
	return withID(policy, "_id", id)
}

// withID sets an ID that a document lacks. Gateways decode the digits of an ID, whatever their case.
func withID(doc json.RawMessage, name, id string) json.RawMessage {
	if strings.EqualFold(jsondoc.String(doc, name), id) || strings.EqualFold(jsondoc.String(doc, name, "$oid"), id) {
		return doc
	}
	return jsondoc.Set(doc, name, jsondoc.Quote(id))
}
