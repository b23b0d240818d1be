package server

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
	"gatehouse/store"
)

// oasReplies are the replies of operations that create an OAS API.
type oasReplies[R any] interface {
	OK(meta any, id string) R
	Malformed(cause error) R
	Invalid(value string, cause error) R
	UnknownOrganisation(value string, cause error) R
	Failed(cause error) R
}

// createOAS replies to a request that creates an OAS API, as create does for the caller.
func createOAS[R any](
	r *request, replies oasReplies[R], create func(caller) (store.API, error), more ...apiserver.ErrorReply[R],
) R {
	caller, err := callerOf(r)
	if err != nil {
		return replies.Failed(err)
	}
	api, err := create(caller)
	if err != nil {
		return apiserver.ReplyError(replies, err, append(more, invalidOAS(replies), malformed(replies),
			unknownOrganisation(replies, api.OrgID))...)
	}
	return replies.OK(api.ID, api.APIID)
}

// sizeOfOAS returns the size in bytes that an OAS API with a document of a size has at most, with its classic
// definition.
func sizeOfOAS(document int) int { return document + oas.MaxSize(document) }

// CreateApiOAS implements dashboard.Handlers.
func (s *Server) CreateApiOAS(r *request, params dashboard.CreateApiOASParams) dashboard.CreateApiOASReply {
	var reply dashboard.CreateApiOASReplies
	link := newVersionLink(params.BaseApiId, params.BaseApiVersionName, params.NewVersionName, params.SetDefault)
	create := func(caller caller) (store.API, error) {
		template, err := s.template(r, caller, oasInfo(r.Body.JSON, "orgId"), valueOf(params.TemplateID))
		if err != nil {
			return store.API{}, err
		}
		link.hasTemplate = template != nil
		newAPI := func() (store.API, error) { return s.newOAS(caller, withTemplate(r.Body.JSON, template)) }
		return s.createAPI(r, sizeOfOAS(len(r.Body.JSON)+len(template)), link, newAPI)
	}
	return createOAS(r, reply, create,
		append(notMade(reply, link), noExtension(reply), conflict(reply))...)
}

// CreateStreamsApi implements dashboard.Handlers.
func (s *Server) CreateStreamsApi(r *request) dashboard.CreateStreamsApiReply {
	var reply dashboard.CreateStreamsApiReplies
	isStreams := jsondoc.NewMember("is_streams", json.RawMessage(`true`))
	create := func(caller caller) (store.API, error) {
		toAPI := func() (store.API, error) { return s.newOAS(caller, r.Body.JSON, isStreams) }
		return s.createAPI(r, sizeOfOAS(len(r.Body.JSON)), versionLink{}, toAPI)
	}
	return createOAS(r, reply, create, noExtension(reply), conflict(reply))
}

// ImportOAS implements dashboard.Handlers.
func (s *Server) ImportOAS(r *request, params dashboard.ImportOASParams) dashboard.ImportOASReply {
	var reply dashboard.ImportOASReplies
	link := newVersionLink(params.BaseApiId, params.BaseApiVersionName, params.NewVersionName, params.SetDefault)
	create := func(caller caller) (store.API, error) {
		template, err := s.template(r, caller, "", valueOf(params.TemplateID)) // a super user can name no organisation
		if err != nil {
			return store.API{}, err
		}
		link.hasTemplate = template != nil
		options := toImportOptions(params)
		newAPI := func() (store.API, error) { return s.importedOAS(caller, openAPIImport{r.Body.JSON, template, options}) }
		return s.createAPI(r, 2*oas.MaxSize(len(r.Body.JSON)+len(template)), link, newAPI)
	}
	return createOAS(r, reply, create,
		append(notMade(reply, link), apiserver.On(reply.HasExtension, errHasExtension))...)
}

// invalidOAS is the reply to a document that gateways could not serve; its message has the place and the reason.
func invalidOAS[R any](replies interface {
	Invalid(value string, cause error) R
},
) apiserver.ErrorReply[R] {
	return apiserver.When(isA[*oas.Error], func(cause error) R {
		fault, _ := errors.AsType[*oas.Error](cause)
		return replies.Invalid(fault.Error(), cause)
	})
}

// noExtension is the reply to a document that is no Tyk OAS API.
func noExtension[R any](replies interface{ NoExtension(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(func(error) R { return replies.NoExtension(nil) }, oas.ErrNoExtension)
}

// notOAS is the reply where the API is a classic one.
func notOAS[R any](replies interface{ NotOas(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotOas, errNotOAS)
}

// UpdateApiOAS implements dashboard.Handlers.
func (s *Server) UpdateApiOAS(
	r *request, apiID admin.APIID, params dashboard.UpdateApiOASParams,
) dashboard.UpdateApiOASReply {
	var reply dashboard.UpdateApiOASReplies
	edit := func(stored store.API) (store.API, error) { return s.replacedOAS(stored, r.Body.JSON) }
	err := s.editAPI(r, apiID, sizeOfOAS(len(r.Body.JSON)), ifMatching(params.IfMatch, edit))
	if err != nil {
		return apiserver.ReplyError(reply, err, changed(reply), noExtension(reply), invalidOAS(reply),
			malformed(reply), wrongID(reply), notOAS(reply), notFound(reply))
	}
	return reply.OK()
}

// oasAPI returns an OAS API of the caller's. It returns errNotOAS for a classic one.
func (s *Server) oasAPI(r *request, apiID string) (json.RawMessage, error) {
	caller, err := callerOf(r)
	if err != nil {
		return nil, err
	}
	row, err := s.store.API(r.Context(), caller.ref(apiID))
	if err == nil && !isOAS(row.Document) {
		err = errNotOAS
	}
	return row.Document, err
}

// GetOASAPIDetails implements dashboard.Handlers.
func (s *Server) GetOASAPIDetails(r *request, apiID admin.APIID) dashboard.GetOASAPIDetailsReply {
	var reply dashboard.GetOASAPIDetailsReplies
	api, err := s.oasAPI(r, apiID)
	if err != nil {
		return apiserver.ReplyError(reply, err, notOAS(reply), notFound(reply))
	}
	document, _ := jsondoc.Get(api, "oas")
	r.setETag(api)
	if !asksForYAML(r.Header("Accept")) {
		return reply.OK(document)
	}
	ok := reply.StreamOK()
	if r.IsHead() {
		r.SendHeadAs(ok, mediaYAML)
		return ok
	}
	text, err := s.toYAML(r.Context(), document)
	if err != nil {
		return reply.Failed(err)
	}
	r.SendAs(ok, mediaYAML, text)
	return ok
}

// DownloadApiOASPublic implements dashboard.Handlers.
func (s *Server) DownloadApiOASPublic(
	r *request, apiID admin.APIID, params dashboard.DownloadApiOASPublicParams,
) dashboard.DownloadApiOASPublicReply {
	var reply dashboard.DownloadApiOASPublicReplies
	api, err := s.oasAPI(r, apiID)
	if err != nil {
		return apiserver.ReplyError(reply, err, notOAS(reply), notFound(reply))
	}
	ok, toYAML := reply.StreamOK(), asksForYAML(r.Header("Content-Type"))
	if toYAML && r.IsHead() {
		r.SendHeadAs(ok, echo.MIMEOctetStream)
		return ok
	}
	file, err := exported(api, valueOf(params.Mode) == "public")
	if err == nil && toYAML {
		file, err = s.toYAML(r.Context(), file)
	}
	switch {
	case err != nil:
		return reply.Failed(err)
	case strings.HasPrefix(r.Header("Accept"), "application/json"):
		return reply.OK(file)
	}
	r.SendAs(ok, echo.MIMEOctetStream, file)
	return ok
}

// exported returns the document of an OAS API, without its extension if it is for the public.
func exported(api json.RawMessage, public bool) ([]byte, error) {
	file, _ := jsondoc.Get(api, "oas")
	if !public {
		return file, nil
	}
	return oas.Public(file)
}

// toYAML converts a document to YAML. Conversions wait for one another if they would take too much memory at once.
func (s *Server) toYAML(ctx context.Context, document json.RawMessage) (text []byte, err error) {
	err = s.documents.converting.Do(ctx, int64(oas.YAMLMemory(len(document))), func() (err error) {
		text, err = oas.ToYAML(document)
		return err
	})
	return text, err
}

// DeleteOASApi implements dashboard.Handlers.
func (s *Server) DeleteOASApi(
	r *request, apiID admin.APIID, params dashboard.DeleteOASApiParams,
) dashboard.DeleteOASApiReply {
	var reply dashboard.DeleteOASApiReplies
	api, err := s.oasAPI(r, apiID)
	switch {
	case err != nil:
	case valueOf(params.Purge):
		versions := slices.Collect(maps.Values(versioningOf(api).Versions))
		r.deleted, err = s.store.DeleteAPIAndVersions(r.Context(), r.caller.ref(apiID), versions)
	default:
		err = s.store.DeleteAPI(r.Context(), r.caller.ref(apiID))
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, notOAS(reply), notFound(reply))
	}
	return reply.OK()
}

// noSuchOAS is the reply of operations that say of a classic API that there is none.
func noSuchOAS[R any](replies interface{ NotFound(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotFound, errNotOAS, store.ErrNotFound, store.ErrMalformed)
}

// GetApiCategories implements dashboard.Handlers.
func (s *Server) GetApiCategories(r *request, apiID admin.APIID) dashboard.GetApiCategoriesReply {
	var reply dashboard.GetApiCategoriesReplies
	api, err := s.oasAPI(r, apiID)
	if err != nil {
		return apiserver.ReplyError(reply, err, noSuchOAS(reply))
	}
	categories := []string{}
	if raw, ok := jsondoc.Get(api, "categories"); ok && string(raw) != "null" {
		if err := json.Unmarshal(raw, &categories); err != nil {
			return reply.Failed(err)
		}
	}
	return reply.OK(dashboard.CategoriesPayload{Categories: &categories})
}

// UpdateApiCategories implements dashboard.Handlers.
func (s *Server) UpdateApiCategories(r *request, apiID admin.APIID) dashboard.UpdateApiCategoriesReply {
	var reply dashboard.UpdateApiCategoriesReplies
	categories, _ := jsondoc.Get(r.Body.JSON, "categories")
	if !strings.HasPrefix(string(categories), "[") {
		categories = json.RawMessage(`[]`)
	}
	edit := func(stored store.API) (store.API, error) {
		if !isOAS(stored.Document) {
			return stored, errNotOAS
		}
		return s.checkedAPI(jsondoc.Set(s.replaced(stored, stored.Document), "categories", categories), stored)
	}
	if err := s.editAPI(r, apiID, len(r.Body.JSON), edit); err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), noSuchOAS(reply))
	}
	return reply.OK()
}

// ListOASApiVersions implements dashboard.Handlers.
func (s *Server) ListOASApiVersions(
	r *request, apiID admin.APIID, params dashboard.ListOASApiVersionsParams,
) dashboard.ListOASApiVersionsReply {
	var reply dashboard.ListOASApiVersionsReplies
	api, err := s.oasAPI(r, apiID)
	if err != nil {
		return apiserver.ReplyError(reply, err, notOAS(reply), notFound(reply))
	}
	versions, err := s.versionsOf(r.Context(), r.caller, api)
	if err != nil {
		return reply.Failed(err)
	}
	versions = slices.DeleteFunc(versions, func(v dashboard.VersionMeta) bool { return !wanted(v, params) })
	return reply.OK(dashboard.VersionMetas{Apis: versions, Pages: 1})
}

// wanted reports whether a version is one that the query of a list asks for.
func wanted(v dashboard.VersionMeta, params dashboard.ListOASApiVersionsParams) bool {
	text := strings.ToLower(valueOf(params.SearchText))
	access := valueOf(params.AccessType)
	found := strings.Contains(strings.ToLower(v.Name), text) || strings.Contains(strings.ToLower(v.VersionName), text)
	return found && (access == "" || v.Internal == (access == dashboard.ListOASApiVersionsParamsAccessTypeInternal))
}

// versionsOf returns an API and its versions, sorted by name.
func (s *Server) versionsOf(ctx context.Context, caller caller, api json.RawMessage) ([]dashboard.VersionMeta, error) {
	v := versioningOf(api)
	versions := []dashboard.VersionMeta{versionOf(api, v.Name, v.isDefault(v.Name, true))}
	rows, err := s.store.APISummaries(ctx, caller.scope(), slices.Collect(maps.Values(v.Versions)))
	if err != nil {
		return nil, err
	}
	summaries := map[string]store.APISummary{}
	for _, row := range rows {
		summaries[row.APIID] = row
	}
	for _, name := range slices.Sorted(maps.Keys(v.Versions)) {
		if api, ok := summaries[v.Versions[name]]; ok {
			versions = append(versions, versionOfSummary(api, name, v.isDefault(name, false)))
		}
	}
	return versions, nil
}
