package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
	"gatehouse/store"
)

// Errors of OAS APIs.
var (
	// errNotOAS is returned for a classic API where a Tyk OAS API is expected.
	errNotOAS = errors.New("the API is a classic API")
	// errHasExtension is returned for an import that is a Tyk OAS API already.
	errHasExtension = errors.New("the document has " + oas.Extension)
)

// oasInfo returns a text of the `info` of a document's extension; "" if there is none.
func oasInfo(document json.RawMessage, name string) string {
	return jsondoc.String(document, oas.Extension, "info", name)
}

// newOAS returns the row of an OAS API that a user creates. It has the API's organisation also if there is an error,
// which is an *oas.Error or an apiserver.MalformedError.
func (s *Server) newOAS(caller caller, document json.RawMessage, beside ...jsondoc.Member) (store.API, error) {
	stored := store.API{OrgID: organisationOf(caller, oasInfo(document, "orgId"))}
	stored.APIID, stored.ID = s.store.NewAPIIDs("", "")
	if given := oasInfo(document, "id"); given != "" {
		stored.APIID = given
	}
	now := apiTime(s.now())
	beside = append(beside, jsondoc.NewMember("created_at", now), jsondoc.NewMember("updated_at", now))
	return s.checkedOAS(document, jsondoc.Object(beside), stored)
}

// openAPIImport is an ordinary OpenAPI document that an API is made of. template is nil if none is to be applied.
type openAPIImport struct {
	document, template json.RawMessage
	options            oas.ImportOptions
}

// importedOAS returns the row of an OAS API that is made of an ordinary OpenAPI document, as newOAS does.
func (s *Server) importedOAS(caller caller, of openAPIImport) (store.API, error) {
	if extension, has := jsondoc.Get(of.document, oas.Extension); has && string(extension) != "null" {
		return store.API{}, errHasExtension
	}
	extended, err := oas.Extend(jsondoc.Without(of.document, oas.Extension), of.options)
	if err != nil {
		return store.API{}, err
	}
	if of.template != nil {
		extended = oas.ApplyToImport(of.template, extended, of.options)
	}
	return s.newOAS(caller, extended)
}

// errTooLarge is returned for a document that is too large together with its template.
var errTooLarge = &oas.Error{Message: "is too large together with the template"}

// withTemplate returns a document with what a template has besides; nil is no template. A document without the
// extension gets none: it is no Tyk OAS API.
func withTemplate(document, template json.RawMessage) json.RawMessage {
	if extension, has := jsondoc.Get(document, oas.Extension); template == nil || !has || string(extension) == "null" {
		return document
	}
	return oas.Apply(template, document)
}

// toImportOptions returns what the query of an import says.
func toImportOptions(params dashboard.ImportOASParams) oas.ImportOptions {
	return oas.ImportOptions{
		UpstreamURL: valueOf(params.UpstreamURL), ListenPath: valueOf(params.ListenPath),
		CustomDomain: valueOf(params.CustomDomain), AllowList: params.AllowList, ValidateRequest: params.ValidateRequest,
		MockResponse: params.MockResponse, Authentication: params.Authentication,
	}
}

// replacedOAS returns the row of an OAS API that a user replaces. What is stored beside the document stays. Its error
// is errNotOAS, errWrongID, an *oas.Error or an apiserver.MalformedError.
func (s *Server) replacedOAS(stored store.API, document json.RawMessage) (store.API, error) {
	if !isOAS(stored.Document) {
		return stored, errNotOAS
	}
	if given := oasInfo(document, "id"); given != "" && given != stored.APIID {
		return stored, errWrongID
	}
	return s.checkedOAS(document, s.replaced(stored, stored.Document), stored)
}

// checkedOAS returns the row of an OAS API that a user stores. beside is what is stored beside its document. stored has
// its IDs and its organisation, which are written into the document. Its error is an *oas.Error or an
// apiserver.MalformedError.
func (s *Server) checkedOAS(document, beside json.RawMessage, stored store.API) (store.API, error) {
	identity := oas.Identity{ID: stored.APIID, DBID: stored.ID, OrgID: stored.OrgID}
	converted, err := oas.Convert(document, identity, oas.Options{AllowUnknown: s.allowUnknownOAS})
	if err == nil {
		err = requireParts(document)
	}
	if err != nil {
		return stored, err
	}
	api := jsondoc.Set(jsondoc.Set(beside, "oas", converted.Document), "api_definition", converted.Classic)
	checked, err := s.checkedAPI(api, stored)
	if err != nil {
		return checked, inDocument(err)
	}
	if converted.Unknown != nil {
		s.log.Warn("OAS API has settings that are not known, gateways serve it without them",
			"api_id", apiserver.LoggedText(stored.APIID), "org_id", stored.OrgID,
			"settings", apiserver.LoggedText(strings.Join(converted.Unknown, " ")))
	}
	return checked, nil
}

// requireParts returns an *oas.Error for an OpenAPI document without what gateways need besides the extension: they
// skip the API (docs/behaviour.md#lists).
func requireParts(document json.RawMessage) error {
	for _, part := range []string{"info", "paths"} {
		if value, _ := jsondoc.Get(document, part); !bytes.HasPrefix(value, []byte("{")) {
			return &oas.Error{Pointer: contract.Pointer(part), Message: "is missing"}
		}
	}
	return nil
}

// inDocument returns an apiserver.MalformedError of an API with the places in its document that the client has sent.
func inDocument(err error) error {
	malformed, ok := errors.AsType[*apiserver.MalformedError](err)
	if !ok {
		return err
	}
	problems := slices.Clone(malformed.Problems())
	for i, p := range problems {
		problems[i] = contract.Problem{Path: strings.TrimPrefix(p.Path, "/oas"), Reason: p.Reason}
	}
	return apiserver.Malformed(malformed.Unwrap(), problems...)
}

// versionOf returns what a list of versions says about an API. name is that of the version.
func versionOf(api json.RawMessage, name string, isDefault bool) dashboard.VersionMeta {
	definition, _ := jsondoc.Get(api, "api_definition")
	return dashboard.VersionMeta{
		Id: jsondoc.String(definition, "api_id"), Name: jsondoc.String(definition, "name"), VersionName: name,
		Internal:       jsondoc.Bool(definition, false, "internal"),
		ExpirationDate: jsondoc.String(definition, "expiration"), IsDefaultVersion: isDefault,
	}
}

// versionOfSummary is versionOf for an API whose document was not read.
func versionOfSummary(api store.APISummary, name string, isDefault bool) dashboard.VersionMeta {
	var expiration string
	_ = json.Unmarshal([]byte(api.Expiration), &expiration) // anything but a text is none
	return dashboard.VersionMeta{
		Id: api.APIID, Name: api.Name, VersionName: name, Internal: api.Internal, ExpirationDate: expiration,
		IsDefaultVersion: isDefault,
	}
}

// versioning is what the definition of an API says about its versions.
type versioning struct {
	Enabled  bool              `json:"enabled"`
	Name     string            `json:"name"`     // of the API itself
	Default  string            `json:"default"`  // the name of a version, or "self"
	Versions map[string]string `json:"versions"` // api_ids by name
}

// versioningOf returns what an API says about its versions. One that has none is its own default.
func versioningOf(api json.RawMessage) (v versioning) {
	if raw, ok := jsondoc.Get(api, "api_definition", "definition"); ok {
		_ = json.Unmarshal(raw, &v) // the definition is valid
	}
	if !v.Enabled {
		return versioning{}
	}
	return v
}

// isDefault reports whether the version with a name is the default; self is the API itself.
func (v versioning) isDefault(name string, self bool) bool {
	return v.Default == name || self && (v.Default == "" || v.Default == "self")
}
