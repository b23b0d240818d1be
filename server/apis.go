package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/apidef"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
	"gatehouse/store"
)

// ExportAPIs implements admin.Handlers.
func (s *Server) ExportAPIs(r *request, params admin.ExportAPIsParams) admin.ExportAPIsReply {
	filter := store.APIFilter{OrgID: params.OrgId, Page: s.page(params.P, everything)}
	return replyList(s, r, admin.ExportAPIsReplies{}, s.apiList(r, filter))
}

// RemoveAPI implements admin.Handlers.
func (s *Server) RemoveAPI(r *request, apiID admin.APIID) admin.RemoveAPIReply {
	var reply admin.RemoveAPIReplies
	if err := s.store.DeleteAPI(r.Context(), store.Ref{ID: apiID}); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK()
}

// GetApis implements dashboard.Handlers.
func (s *Server) GetApis(r *request, params dashboard.GetApisParams) dashboard.GetApisReply {
	var reply dashboard.GetApisReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	filter, err := toAPIFilter(params)
	if err != nil {
		return reply.BadParameter(err)
	}
	filter.OrgID, filter.Page = caller.scope(), s.page(params.P, firstPage)
	return replyList(s, r, reply, s.apiList(r, filter))
}

// maxFilterValues is how many values a filter may have: Postgres compares each of them with each API.
const maxFilterValues = 32

// toAPIFilter returns what the query of a list of APIs selects. Its error is an apiserver.MalformedError.
func toAPIFilter(params dashboard.GetApisParams) (store.APIFilter, error) {
	by, descending := strings.CutPrefix(string(valueOf(params.Sort)), "-")
	filter := store.APIFilter{
		Text: valueOf(params.Q), Active: params.Active, Type: string(valueOf(params.ApiType)),
		Sort: store.APISort{By: by, Descending: descending},
	}
	if params.AuthType != nil {
		filter.Auth = strings.Split(*params.AuthType, ",")
	}
	for category := range strings.SplitSeq(valueOf(params.Category), ",") {
		if category = strings.TrimSpace(category); category != "" {
			filter.Categories = append(filter.Categories, category)
		}
	}
	isUnknown := func(auth string) bool { return !apidef.IsAuthType(auth) }
	switch {
	case slices.ContainsFunc(filter.Auth, isUnknown):
		return filter, apiserver.MalformedAt("/auth_type", "is not one of the values that the contract allows", nil)
	case len(filter.Auth) > maxFilterValues:
		return filter, apiserver.MalformedAt("/auth_type", reasonTooManyValues, nil)
	case len(filter.Categories) > maxFilterValues:
		return filter, apiserver.MalformedAt("/category", reasonTooManyValues, nil)
	}
	return filter, nil
}

var reasonTooManyValues = fmt.Sprintf("has more than %d values", maxFilterValues)

// GetApi implements dashboard.Handlers.
func (s *Server) GetApi(r *request, apiID admin.APIID) dashboard.GetApiReply {
	var reply dashboard.GetApiReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	row, err := s.store.API(r.Context(), caller.ref(apiID))
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	r.setETag(row.Document)
	return reply.OK(row.Document)
}

// PostApis implements dashboard.Handlers.
func (s *Server) PostApis(r *request, params dashboard.PostApisParams) dashboard.PostApisReply {
	var reply dashboard.PostApisReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	link := newVersionLink(params.BaseApiId, params.BaseApiVersionName, params.NewVersionName, params.SetDefault)
	api, err := s.createAPI(r, len(r.Body.JSON), link, func() (store.API, error) { return s.newAPI(caller, r.Body.JSON) })
	if err != nil {
		unknownBase := func(cause error) dashboard.PostApisReply {
			return reply.UnknownBase(apiserver.LoggedText(link.base), cause)
		}
		return apiserver.ReplyError(reply, err, append(namelessVersion(reply, link), malformed(reply), notClassic(reply),
			conflict(reply), unknownOrganisation(reply, api.OrgID), apiserver.When(isA[*unknownBaseError], unknownBase),
			apiserver.When(isA[*oas.Error], reply.Malformed))...) // the base is an OAS API that could not be stored now
	}
	return reply.OK(api.ID, api.APIID)
}

// createAPI stores the API that toAPI returns, of a size in bytes at most, as a version of another one if link names
// one. It returns the API's IDs and organisation, the latter also if there is an error.
func (s *Server) createAPI(
	r *request, size int, link versionLink, toAPI func() (store.API, error),
) (made store.API, err error) {
	r.base = link.base
	if link.base != "" {
		base, err := s.sizeOfAPI(r, link.base)
		if err != nil {
			return made, err
		}
		size += base
	}
	err = s.documents.store(r.Context(), size, func() error {
		api, err := toAPI()
		made = api
		made.Document, made.Search = nil, nil
		document, _ := jsondoc.Get(api.Document, "oas")
		switch {
		case err != nil:
			return err
		case link.hasTemplate && int64(len(document)) > r.Operation.Body.MaxBytes:
			return errTooLarge
		}
		return orMalformedReference(s.storeVersion(r.Context(), link, api))
	})
	return made, err
}

// PutApi implements dashboard.Handlers.
func (s *Server) PutApi(
	r *request, apiID admin.APIID, params dashboard.PutApiParams,
) dashboard.PutApiReply {
	var reply dashboard.PutApiReplies
	edit := func(stored store.API) (store.API, error) {
		api, err := s.replacedAPI(stored, r.Body.JSON)
		r.noteID(stored.APIID, api.APIID)
		return api, err
	}
	err := s.editAPI(r, apiID, len(r.Body.JSON), ifMatching(params.IfMatch, edit))
	if err != nil {
		return apiserver.ReplyError(reply, err, changed(reply),
			malformed(reply), notClassic(reply), wrongID(reply), notFound(reply), conflict(reply))
	}
	return reply.OK()
}

// sizeOfAPI returns the size in bytes of an API of the caller's, 0 if there is none.
func (s *Server) sizeOfAPI(r *request, apiID string) (int, error) {
	size, err := s.store.APISize(r.Context(), r.caller.ref(apiID))
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrMalformed) {
		return 0, nil
	}
	return size, err
}

// editAPI replaces an API of the caller's by what edit returns for it, of which the request brings a size in bytes.
func (s *Server) editAPI(r *request, apiID string, size int, edit func(store.API) (store.API, error)) error {
	caller, err := callerOf(r)
	if err != nil {
		return err
	}
	stored, err := s.sizeOfAPI(r, apiID)
	if err != nil {
		return err
	}
	return s.documents.store(r.Context(), stored+size, func() error {
		return orMalformedReference(s.store.EditAPI(r.Context(), caller.ref(apiID), s.checks.Name, edit))
	})
}

// DeleteApi implements dashboard.Handlers.
func (s *Server) DeleteApi(r *request, apiID admin.APIID) dashboard.DeleteApiReply {
	var reply dashboard.DeleteApiReplies
	caller, err := callerOf(r)
	if err == nil {
		err = s.store.DeleteAPI(r.Context(), caller.ref(apiID))
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK()
}

func notClassic[R any](replies interface{ NotClassic(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotClassic, errNotClassic)
}

func wrongID[R any](replies interface{ WrongId(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.WrongId, errWrongID)
}

func (s *Server) apiList(r *request, filter store.APIFilter) list[store.Row] {
	ctx := r.Context()
	return list[store.Row]{
		name: "apis", pages: "pages", page: filter.Page, encode: stored, rows: s.store.APIs(ctx, filter),
		count: func() (int, error) { return s.store.CountAPIs(ctx, filter) },
	}
}
