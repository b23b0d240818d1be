package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// oasTemplate is the only kind of assets.
const oasTemplate = "oas-template"

var assetKind = objectKind{
	name: "asset", create: "addAsset", id: "_id", check: checkAsset,
	prepare: func(s *Server, draft *objectDraft, stored store.Object) {
		draft.PublicID = cmp.Or(jsondoc.String(draft.Document, "id"), stored.PublicID, draft.ID)
		draft.set("id", draft.PublicID)
		draft.set("kind", oasTemplate)
		draft.setTime("last_updated", s.now())
	},
}

// unsupportedKindError is the error for an asset that is no template.
type unsupportedKindError struct{ kind string }

// Error implements error.
func (e *unsupportedKindError) Error() string { return "the kind of the asset is not supported" }

// checkAsset returns an *unsupportedKindError for an asset that is no template.
func checkAsset(doc json.RawMessage) error {
	if kind := jsondoc.String(doc, "kind"); kind != "" && kind != oasTemplate {
		return &unsupportedKindError{kind}
	}
	return nil
}

// unsupportedKind is the reply to an asset that is no template.
func unsupportedKind[R any](replies interface {
	UnsupportedKind(kind string, cause error) R
},
) apiserver.ErrorReply[R] {
	return apiserver.When(isA[*unsupportedKindError], func(cause error) R {
		unsupported, _ := errors.AsType[*unsupportedKindError](cause)
		return replies.UnsupportedKind(apiserver.LoggedText(unsupported.kind), cause)
	})
}

// Errors of templates that are to be applied.
var (
	errNoTemplateRights = errors.New("the caller may not read templates")
	errUnknownTemplate  = errors.New("the organisation has no such template, or it is no object")
)

// readsAssets is what a user needs to apply a template.
var readsAssets = contract.Permission{Object: "api_assets", Level: contract.LevelRead}

// template returns what a template of an organisation has for a new API of it, nil if there is no ID. orgID is what a
// super user names: other users have the templates of their own. It returns errNoTemplateRights or errUnknownTemplate.
func (s *Server) template(r *request, caller caller, orgID, id string) (json.RawMessage, error) {
	if id == "" {
		return nil, nil
	}
	if !caller.has(&readsAssets) {
		return nil, errNoTemplateRights
	}
	asset, err := s.object(r, objectRef{kind: assetKind, id: id, orgID: &orgID})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrMalformed) {
		return nil, errUnknownTemplate
	}
	data, _ := jsondoc.Get(asset.Document, "data")
	if err == nil && !bytes.HasPrefix(data, []byte("{")) {
		err = errUnknownTemplate
	}
	return data, err
}

// assetConflict is the reply to an asset whose ID another one has.
func assetConflict[R any](r *request, replies interface {
	Conflict(id string, cause error) R
},
) apiserver.ErrorReply[R] {
	return apiserver.On(func(cause error) R {
		return replies.Conflict(apiserver.LoggedText(jsondoc.String(r.Body.JSON, "id")), memberConflict(cause, "id", "asset"))
	}, store.ErrConflict)
}

// ListAssets implements dashboard.Handlers.
func (s *Server) ListAssets(r *request, params dashboard.ListAssetsParams) dashboard.ListAssetsReply {
	var reply dashboard.ListAssetsReplies
	if kind := valueOf(params.Kind); kind != "" && kind != oasTemplate {
		return reply.UnsupportedKind(apiserver.LoggedText(kind), nil)
	}
	assets, err := s.objectList(r, store.ObjectFilter{Kind: assetKind.name})
	if err != nil {
		return reply.Failed(err)
	}
	assets.name = ""
	return replyList(s, r, reply, assets)
}

// AddAsset implements dashboard.Handlers.
func (s *Server) AddAsset(r *request) dashboard.AddAssetReply {
	var reply dashboard.AddAssetReplies
	created, err := s.createObject(r, assetKind)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), unsupportedKind(reply), assetConflict(r, reply))
	}
	return reply.OK(created.ID, created.PublicID)
}

// GetAsset implements dashboard.Handlers.
func (s *Server) GetAsset(r *request, assetID dashboard.AssetID) dashboard.GetAssetReply {
	return replyObject(s, r, dashboard.GetAssetReplies{}, assetKind.at(assetID))
}

// UpdateAsset implements dashboard.Handlers.
func (s *Server) UpdateAsset(r *request, assetID dashboard.AssetID) dashboard.UpdateAssetReply {
	var reply dashboard.UpdateAssetReplies
	edited, err := s.replaceObject(r, assetKind.at(assetID))
	if err != nil {
		return apiserver.ReplyError(reply, err,
			malformed(reply), notFound(reply), unsupportedKind(reply), assetConflict(r, reply))
	}
	return reply.OK(edited.ID, edited.PublicID)
}

// DeleteAsset implements dashboard.Handlers.
func (s *Server) DeleteAsset(r *request, assetID dashboard.AssetID) dashboard.DeleteAssetReply {
	return replyDeleted(dashboard.DeleteAssetReplies{}, s.deleteObject(r, assetKind.at(assetID)))
}
