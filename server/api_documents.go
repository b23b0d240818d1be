package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/apiserver"
	"gatehouse/internal/apidef"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// Errors of documents that users store.
var (
	// errNotClassic is returned for a Tyk OAS API where a classic API is expected.
	errNotClassic = errors.New("the API is a Tyk OAS API")
	// errWrongID is returned for an API whose ID in the database is another one.
	errWrongID = errors.New("the API has another ID in the database")
)

// Members that clients expect of every API and policy in a list, with their defaults. An API or policy that a user
// stores is completed with those that it lacks; those of imports stay as they came.
var (
	definitionMembers = []jsondoc.Member{
		jsondoc.NewMember("tags", json.RawMessage(`[]`)),
		jsondoc.NewMember("config_data", json.RawMessage(`{}`)),
	}
	apiMembers = []jsondoc.Member{
		jsondoc.NewMember("api_model", json.RawMessage(`{}`)),
		jsondoc.NewMember("api_definition", nil), // there is one
		jsondoc.NewMember("hook_references", json.RawMessage(`[]`)),
		jsondoc.NewMember("is_site", json.RawMessage(`false`)),
		jsondoc.NewMember("sort_by", json.RawMessage(`0`)),
		jsondoc.NewMember("user_group_owners", json.RawMessage(`[]`)),
		jsondoc.NewMember("user_owners", json.RawMessage(`[]`)),
	}
	policyMembers = []jsondoc.Member{
		jsondoc.NewMember("access_rights", json.RawMessage(`{}`)),
		jsondoc.NewMember("access_rights_array", json.RawMessage(`[]`)),
		jsondoc.NewMember("tags", json.RawMessage(`[]`)),
	}
)

// withMembers returns a document with those of the members that it lacks, or has as null.
func withMembers(doc json.RawMessage, members []jsondoc.Member) json.RawMessage {
	for _, m := range members {
		if value, ok := jsondoc.Get(doc, m.Name); ok && string(value) == "null" {
			doc = jsondoc.Without(doc, m.Name)
		}
	}
	return jsondoc.Fill(doc, members, members[0].Value)
}

// apiTime returns a time as APIs state it.
func apiTime(at time.Time) json.RawMessage {
	return jsondoc.Quote(at.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano))
}

// organisationOf returns the organisation of what a caller stores: the caller's, whatever the document says. A super
// user has none, and has to name one.
func organisationOf(caller caller, named string) string {
	if scope := caller.scope(); scope != nil {
		return *scope
	}
	return named
}

// namedOrganisation returns the organisation that a document names.
func namedOrganisation(doc json.RawMessage) string {
	if id := jsondoc.String(doc, "org_id"); id != "" {
		return id
	}
	return jsondoc.String(doc, "org_id", "$oid")
}

// classicDefinition returns the definition of a classic API. Its error is an apiserver.MalformedError, or
// errNotClassic.
func classicDefinition(api json.RawMessage) (json.RawMessage, error) {
	definition, _ := jsondoc.Get(api, "api_definition")
	switch {
	case !bytes.HasPrefix(definition, []byte("{")):
		return nil, apiserver.MalformedAt("/api_definition", "is missing", nil)
	case statesOAS(definition):
		return nil, errNotClassic
	}
	return definition, nil
}

// statesOAS reports whether gateways decode a definition as that of an OAS API. Their decoder ignores the case of
// names.
func statesOAS(definition json.RawMessage) bool {
	return slices.ContainsFunc(jsondoc.Members(definition), func(m jsondoc.Member) bool {
		return strings.EqualFold(m.Name, "is_oas") && jsondoc.Bool(m.Value, false)
	})
}

// checkedAPI returns the row of an API that a user stores, after the strict check of what gateways can decode, and of
// what it refers to. stored has its IDs and its organisation, which are written into the definition, and the document
// that it replaces, if any. Its error is an apiserver.MalformedError.
func (s *Server) checkedAPI(api json.RawMessage, stored store.API) (store.API, error) {
	definition, _ := jsondoc.Get(api, "api_definition")
	for _, id := range []struct{ name, value string }{
		{"org_id", stored.OrgID}, {"id", stored.ID}, {"api_id", stored.APIID},
	} {
		if jsondoc.String(definition, id.name) != id.value {
			definition = jsondoc.Set(definition, id.name, jsondoc.Quote(id.value))
		}
	}
	api = jsondoc.Set(api, "api_definition", withMembers(definition, definitionMembers))
	doc, err := checkedDocument(s.checks.APIs, withMembers(api, apiMembers))
	if err != nil {
		return stored, err
	}
	if problems := append(s.checks.APIs.MisspeltNames(doc.JSON), apidef.MisspeltSettings(doc.JSON)...); problems != nil {
		return stored, apiserver.Malformed(nil, problems...)
	}
	replaced, wasActive := stored.Document, stored.Active
	stored.Document, stored.Active, stored.Search = doc.JSON, doc.API().Active, searchOf(doc)
	return stored, s.checkReferences(&stored, replaced, wasActive)
}

// checkedDocument checks whether gateways can decode a document. Its error is an apiserver.MalformedError.
func checkedDocument(check *apidef.Check, document json.RawMessage) (apidef.Document, error) {
	doc, problems, err := check.Import(nil, document)
	switch {
	case err != nil:
		return doc, apiserver.MalformedAt("", err.Error(), err)
	case problems != nil:
		return doc, apiserver.Malformed(nil, problems...)
	}
	return doc, nil
}

// newAPI returns the row of a classic API that a user creates. It has the API's organisation also if there is an error,
// which is an apiserver.MalformedError or errNotClassic.
func (s *Server) newAPI(caller caller, sent json.RawMessage) (store.API, error) {
	definition, err := classicDefinition(sent)
	if err != nil {
		return store.API{}, err
	}
	stored := store.API{OrgID: organisationOf(caller, namedOrganisation(definition))}
	stored.APIID, stored.ID = s.store.NewAPIIDs("", "")
	if given := jsondoc.String(definition, "api_id"); given != "" {
		stored.APIID = given
	}
	now := apiTime(s.now())
	sent = withMembers(sent, []jsondoc.Member{
		jsondoc.NewMember("created_at", now), jsondoc.NewMember("updated_at", now),
	})
	return s.checkedAPI(sent, stored)
}

// replacedAPI returns the row of a classic API that a user replaces. It keeps what a user cannot change. Its error is a
// apiserver.MalformedError, errNotClassic or errWrongID.
func (s *Server) replacedAPI(stored store.API, sent json.RawMessage) (store.API, error) {
	if isOAS(stored.Document) {
		return stored, errNotClassic
	}
	definition, err := classicDefinition(sent)
	if err != nil {
		return stored, err
	}
	if id := jsondoc.String(definition, "id"); id != "" && !strings.EqualFold(id, stored.ID) {
		return stored, errWrongID
	}
	if given := jsondoc.String(definition, "api_id"); given != "" {
		stored.APIID = given
	}
	return s.checkedAPI(s.replaced(stored, sent), stored)
}

// replaced returns an API with the time when the stored one was created, and the current time.
func (s *Server) replaced(stored store.API, api json.RawMessage) json.RawMessage {
	if created, ok := jsondoc.Get(stored.Document, "created_at"); ok {
		api = jsondoc.Set(api, "created_at", created)
	}
	return jsondoc.Set(api, "updated_at", apiTime(s.now()))
}

// isOAS reports whether an API is a Tyk OAS API.
func isOAS(api json.RawMessage) bool {
	document, _ := jsondoc.Get(api, "oas")
	return bytes.HasPrefix(document, []byte("{")) && jsondoc.Bool(api, false, "api_definition", "is_oas")
}

// newPolicy returns a policy that a user creates. It has the policy's organisation also if there is an error, which is
// an apiserver.MalformedError.
func (s *Server) newPolicy(caller caller, sent json.RawMessage) (store.PolicyParams, error) {
	stored := store.Policy{
		ID: sentPolicyID(sent), ExplicitID: jsondoc.String(sent, "id"),
		OrgID: organisationOf(caller, namedOrganisation(sent)),
	}
	if stored.ID == "" {
		stored.ID = s.store.NewPolicyID()
	}
	return s.checkedPolicy(sent, stored)
}

// sentPolicyID returns the `_id` in a policy that a user sends, "" if there is none, as gateways write it: two that
// differ in case only are one policy to them.
func sentPolicyID(sent json.RawMessage) string {
	return strings.ToLower(cmp.Or(jsondoc.String(sent, "_id", "$oid"), jsondoc.String(sent, "_id")))
}

// replacedPolicy returns a policy that a user replaces. It keeps what a user cannot change. Its error is a
// apiserver.MalformedError.
func (s *Server) replacedPolicy(stored store.Policy, sent json.RawMessage) (store.PolicyParams, error) {
	explicit, _ := jsondoc.Get(stored.Document, "id")
	stored.ExplicitID = jsondoc.String(sent, "id")
	if stored.ExplicitID == "" && len(explicit) > 0 {
		stored.ExplicitID = jsondoc.String(stored.Document, "id")
		sent = jsondoc.Set(sent, "id", explicit)
	}
	return s.checkedPolicy(sent, stored)
}

// checkedPolicy returns a policy that a user stores, after the strict check of what gateways can decode. stored has its
// IDs and its organisation. Its error is an apiserver.MalformedError.
func (s *Server) checkedPolicy(policy json.RawMessage, stored store.Policy) (store.PolicyParams, error) {
	params := store.PolicyParams{Policy: stored, CheckedBy: s.checks.Name}
	if jsondoc.String(policy, "org_id") != stored.OrgID {
		policy = jsondoc.Set(policy, "org_id", jsondoc.Quote(stored.OrgID))
	}
	if jsondoc.String(policy, "_id") != stored.ID {
		policy = jsondoc.Set(policy, "_id", jsondoc.Quote(stored.ID))
	}
	now := s.now().UTC()
	policy = withMembers(apidef.WithAccessRights(policy), slices.Concat(policyMembers, []jsondoc.Member{
		jsondoc.NewMember("date_created", jsondoc.Quote(now.Format(time.RFC3339))),
		jsondoc.NewMember("last_updated", jsondoc.Quote(strconv.FormatInt(now.Unix(), 10))),
	}))
	doc, err := checkedDocument(s.checks.Policies, policy)
	if err != nil {
		return params, err
	}
	params.Document, params.Active, params.APIIDs = doc.JSON, doc.Policy().Active, apidef.GrantedAPIs(doc.JSON)
	return params, nil
}
