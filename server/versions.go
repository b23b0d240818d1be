package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"gatehouse/apiserver"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
	"gatehouse/store"
)

// Errors of versions of APIs.
var (
	errNoVersionName     = errors.New("the new version has no name")
	errNoBaseVersionName = errors.New("the base API has no name as a version")
)

// unknownBaseError is returned for an API that the organisation of a new version does not have.
type unknownBaseError struct{ id, orgID string }

// Error implements error.
func (*unknownBaseError) Error() string { return "the organisation has no such base API" }

// The settings that gateways assume for an API with versions: the place of the version's name in a request, and the API
// itself as the version that serves requests without one.
const (
	versionLocation = "header"
	versionKey      = "x-api-version"
	versionSelf     = "self"
)

// versionLink is how a new API becomes a version of another one, its base.
type versionLink struct {
	// base is an ID of the base; "" makes the new API no version.
	base string
	// baseName is the name of the version that the base itself is; "" keeps the one that it has.
	baseName string
	// name is the name of the new version.
	name string
	// isDefault makes the new version serve requests that name none.
	isDefault bool
	// hasTemplate reports whether the API is made of a template, too.
	hasTemplate bool
}

// newVersionLink returns the versionLink of an operation's parameters.
func newVersionLink(base, baseName, name *string, isDefault *bool) versionLink {
	return versionLink{
		base: valueOf(base), baseName: valueOf(baseName), name: valueOf(name), isDefault: valueOf(isDefault),
	}
}

// storeVersion stores a new API, as a version of its base if link names one. It returns errNoVersionName,
// errNoBaseVersionName, or an *unknownBaseError.
func (s *Server) storeVersion(ctx context.Context, link versionLink, api store.API) error {
	switch {
	case link.base == "":
		return s.store.CreateAPI(ctx, s.checks.Name, api)
	case link.name == "":
		return errNoVersionName
	}
	err := s.store.CreateVersion(ctx, s.checks.Name, store.NewVersion{
		API: api, Base: store.Ref{ID: link.base, OrgID: &api.OrgID},
		Link: func(base store.API) (store.API, error) { return s.linked(base, link, api.APIID) },
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrMalformed) {
		return &unknownBaseError{id: link.base, orgID: api.OrgID}
	}
	return err
}

// linked returns a base with a link to a new version.
func (s *Server) linked(base store.API, link versionLink, apiID string) (store.API, error) {
	if isOAS(base.Document) {
		document, _ := jsondoc.Get(base.Document, "oas")
		extension, _ := jsondoc.Get(document, oas.Extension)
		info, _ := jsondoc.Get(extension, "info")
		versioning := objectAt(info, "versioning")
		versioning, err := link.addTo(versioning, withVersion(versioning, link.name, apiID))
		if err != nil {
			return base, err
		}
		extension = jsondoc.Set(extension, "info", jsondoc.Set(info, "versioning", versioning))
		return s.checkedOAS(jsondoc.Set(document, oas.Extension, extension), s.replaced(base, base.Document), base)
	}
	definition, _ := jsondoc.Get(base.Document, "api_definition")
	versioning := objectAt(definition, "definition")
	versions := jsondoc.Members(jsondoc.Without(objectAt(versioning, "versions"), link.name))
	versions = append(versions, jsondoc.NewQuotedMember(link.name, jsondoc.Quote(apiID)))
	versioning, err := link.addTo(versioning, jsondoc.Object(versions))
	if err != nil {
		return base, err
	}
	definition = jsondoc.Set(definition, "definition", versioning)
	return s.checkedAPI(jsondoc.Set(s.replaced(base, base.Document), "api_definition", definition), base)
}

// objectAt returns a member that is an object, an empty one if there is none.
func objectAt(doc json.RawMessage, name string) json.RawMessage {
	if value, _ := jsondoc.Get(doc, name); bytes.HasPrefix(value, []byte("{")) {
		return value
	}
	return json.RawMessage(`{}`)
}

// withVersion returns the versions of an OAS API, which are a list, with one more, which replaces one of the same
// name.
func withVersion(versioning json.RawMessage, name, apiID string) json.RawMessage {
	raw, _ := jsondoc.Get(versioning, "versions")
	var versions []json.RawMessage
	_ = json.Unmarshal(raw, &versions) // anything but a list has no elements
	versions = slices.DeleteFunc(versions, func(v json.RawMessage) bool { return jsondoc.String(v, "name") == name })
	versions = append(versions, jsondoc.Object([]jsondoc.Member{
		jsondoc.NewMember("name", jsondoc.Quote(name)), jsondoc.NewMember("id", jsondoc.Quote(apiID)),
	}))
	list := []byte("[")
	for i, version := range versions {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, version...)
	}
	return append(list, ']')
}

// addTo returns the versioning settings of a base with the new version. Settings that the base has are kept; those that
// it lacks become what gateways assume. isDefault replaces the default version.
func (l versionLink) addTo(versioning, versions json.RawMessage) (json.RawMessage, error) {
	versioning = jsondoc.Set(versioning, "enabled", json.RawMessage(`true`))
	if l.baseName != "" {
		versioning = jsondoc.Set(versioning, "name", jsondoc.Quote(l.baseName))
	}
	if jsondoc.String(versioning, "name") == "" {
		return nil, errNoBaseVersionName
	}
	for _, assumed := range []struct{ name, value string }{
		{"default", versionSelf}, {"location", versionLocation}, {"key", versionKey},
	} {
		if jsondoc.String(versioning, assumed.name) == "" {
			versioning = jsondoc.Set(versioning, assumed.name, jsondoc.Quote(assumed.value))
		}
	}
	if l.isDefault {
		versioning = jsondoc.Set(versioning, "default", jsondoc.Quote(l.name))
	}
	return jsondoc.Set(versioning, "versions", versions), nil
}

// namelessVersion are the replies where a name of a version is missing.
func namelessVersion[R any](replies interface {
	NoVersionName(cause error) R
	NoBaseVersionName(baseID string, cause error) R
}, link versionLink,
) []apiserver.ErrorReply[R] {
	return []apiserver.ErrorReply[R]{
		apiserver.On(replies.NoVersionName, errNoVersionName),
		apiserver.On(func(cause error) R {
			return replies.NoBaseVersionName(apiserver.LoggedText(link.base), cause)
		}, errNoBaseVersionName),
	}
}

// notMade are the replies where an OAS API cannot become a version of the base, or have the template, that a request
// names.
func notMade[R any](replies interface {
	NoVersionName(cause error) R
	NoBaseVersionName(baseID string, cause error) R
	UnknownBase(base string, cause error) R
	NoTemplateRights(cause error) R
	UnknownTemplate(cause error) R
}, link versionLink,
) []apiserver.ErrorReply[R] {
	return append(namelessVersion(replies, link),
		apiserver.When(isA[*unknownBaseError], func(cause error) R {
			unknown, _ := errors.AsType[*unknownBaseError](cause)
			return replies.UnknownBase(apiserver.LoggedText(unknown.id)+" in org "+apiserver.LoggedText(unknown.orgID), cause)
		}),
		apiserver.On(replies.NoTemplateRights, errNoTemplateRights),
		apiserver.On(replies.UnknownTemplate, errUnknownTemplate))
}
