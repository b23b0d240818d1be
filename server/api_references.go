package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/apidef"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// Gateways share names between organisations: api_ids, names of APIs, IDs of certificates, files. What a user's API
// refers to by such names has to be the organisation's own (docs/behaviour.md#what-an-api-refers-to). Imports are the
// operator's, and what they have stored may stay as it is.

// maxVersions is how many versions a user's API may have: each is in a list as a whole.
const maxVersions = 1000

// maxName is how many characters the name of a user's API may have. Lists are sorted by it.
const maxName = 255

// checkReferences returns an apiserver.MalformedError unless an API that a user stores refers to what belongs to its
// organisation. It adds to the row what the store has to compare with the APIs of others. stored is the API that it
// replaces, if any.
func (s *Server) checkReferences(row *store.API, stored json.RawMessage, wasActive bool) error {
	all := apidef.ReadDefinitionReferences(row.Document)
	row.AllCalls = all.APINames()
	refs := all.Without(apidef.ReadDefinitionReferences(stored))
	problems := append(nameProblems(row, stored), refs.Problems(row.OrgID)...)
	versions, before := len(versioningOf(row.Document).Versions), len(versioningOf(stored).Versions)
	if versions > maxVersions && versions > before {
		problems = append(problems, contract.Problem{
			Path: "/api_definition/definition/versions", Reason: fmt.Sprintf("has more than %d versions", maxVersions),
		})
	}
	if compiled := apidef.CompiledProblems(row.Document); compiled != nil && apidef.CompiledProblems(stored) == nil {
		problems = append(problems, compiled...)
	}
	if problems != nil {
		return apiserver.Malformed(nil, problems...)
	}
	row.Calls = refs.APINames()
	for _, host := range refs.Hosts {
		row.Hosts = append(row.Hosts, host.Value)
	}
	if row.Active && !s.allowSharedPaths {
		row.Serving = s.servingOf(row, stored, wasActive)
	}
	return nil
}

// servingOf returns where gateways serve an active API, for the store to compare with those of other organisations. It
// is nil if they have served it there before.
func (s *Server) servingOf(row *store.API, stored json.RawMessage, wasActive bool) *store.Serving {
	now := apidef.ReadServing(row.Document)
	sameID := row.APIID == jsondoc.String(stored, "api_definition", "api_id")
	if wasActive && sameID && now.Equal(apidef.ReadServing(stored)) {
		return nil
	}
	serving := &store.Serving{Prefixes: now.Patterns, Domains: now.Domains, AnyDomain: now.AnyDomain}
	if !wasActive || !sameID {
		serving.Routes = append(serving.Routes, "/"+row.APIID) // each API is served there, too, and below
		serving.Prefixes = append(serving.Prefixes, "/"+row.APIID+"/")
	}
	if now.IsFirst(s.gatewayDomains) {
		serving.Prefixes = append(serving.Prefixes, now.Paths...)
	}
	for _, route := range now.Routes {
		if route == "/" { // imports of OpenAPI documents are served there, unless they say otherwise
			continue
		}
		serving.Routes = append(serving.Routes, apidef.Above(route)...)
		serving.APIID, _, _ = strings.Cut(strings.TrimPrefix(route, "/"), "/")
	}
	return serving
}

// nameProblems returns what is wrong with the api_id and the name that a user gives to an API, and sets the name that
// the store compares. Those that the API has already may stay.
func nameProblems(row *store.API, stored json.RawMessage) (problems []contract.Problem) {
	if row.APIID != jsondoc.String(stored, "api_definition", "api_id") {
		if reason := apidef.APIIDProblem(row.APIID); reason != "" {
			problems = append(problems, contract.Problem{Path: "/api_definition/api_id", Reason: reason})
		}
	}
	name := jsondoc.String(row.Document, "api_definition", "name")
	if name == jsondoc.String(stored, "api_definition", "name") {
		return problems
	}
	row.LoopName = apidef.LoopName(name)
	if utf8.RuneCountInString(name) > maxName {
		problems = append(problems, contract.Problem{
			Path: "/api_definition/name", Reason: fmt.Sprintf("has more than %d characters", maxName),
		})
	}
	if strings.HasPrefix(name, "#") {
		// A gateway fails each request for which it compares the names of APIs.
		problems = append(problems, contract.Problem{Path: "/api_definition/name", Reason: "must not begin with a category"})
	}
	return problems
}

// orMalformedReference returns an apiserver.MalformedError in place of the errors of the store for what checkReferences
// has added.
func orMalformedReference(err error) error {
	switch {
	case errors.Is(err, store.ErrForeign):
		return apiserver.MalformedAt(
			"/api_definition", "calls an API of another organisation, with tyk:// or as a version", err)
	case errors.Is(err, store.ErrForeignName):
		return apiserver.MalformedAt("/api_definition/name", "is the api_id of an API of another organisation", err)
	case errors.Is(err, store.ErrServed):
		return apiserver.MalformedAt("/api_definition/proxy/listen_path",
			"with this domain, api_id and listen path, the API would get requests for one of another organisation", err)
	}
	return orOverQuota(err)
}

// orOverQuota returns an apiserver.MalformedError for a document that is one too many, or too large, for its
// organisation.
func orOverQuota(err error) error {
	if errors.Is(err, store.ErrQuota) {
		return apiserver.MalformedAt("", "the organisation stores as many documents as it may, or as many bytes: "+
			"see --max-organisation-documents and --max-organisation-bytes", err)
	}
	return err
}
