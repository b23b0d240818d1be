package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

var webhookKind = objectKind{
	name: "webhook", create: "createWebhook", id: "id", check: checkWebhook,
	prepare: func(s *Server, draft *objectDraft, stored store.Object) {
		draft.PublicID = jsondoc.String(draft.Document, "webhook_id")
		if draft.PublicID == "" && stored.ID == "" {
			draft.PublicID = s.store.NewPublicID()
		}
		draft.set("webhook_id", draft.PublicID)
	},
}

// checkWebhook returns errInvalid for a webhook that cannot be called.
func checkWebhook(doc json.RawMessage) error {
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	method := strings.ToUpper(jsondoc.String(doc, "method")) // gateways take any case
	if jsondoc.String(doc, "target_path") == "" || !slices.Contains(methods, method) {
		return errInvalid
	}
	return nil
}

// webhookConflict is the reply to a webhook whose webhook_id another one has.
func webhookConflict[R any](replies interface{ Conflict(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(func(cause error) R {
		return replies.Conflict(memberConflict(cause, "webhook_id", "webhook"))
	}, store.ErrConflict)
}

// GetWebhookList implements dashboard.Handlers.
func (s *Server) GetWebhookList(
	r *request, params dashboard.GetWebhookListParams,
) dashboard.GetWebhookListReply {
	var reply dashboard.GetWebhookListReplies
	hooks, err := s.objectList(r, store.ObjectFilter{Kind: webhookKind.name, Page: s.page(params.P, firstPage)})
	if err != nil {
		return reply.Failed(err)
	}
	hooks.name, hooks.pages = "hooks", "pages"
	return replyList(s, r, reply, hooks)
}

// CreateWebhook implements dashboard.Handlers.
func (s *Server) CreateWebhook(r *request) dashboard.CreateWebhookReply {
	var reply dashboard.CreateWebhookReplies
	if _, err := s.createObject(r, webhookKind); err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), invalid(reply), webhookConflict(reply))
	}
	return reply.OK()
}

// GetWebhookDetail implements dashboard.Handlers.
func (s *Server) GetWebhookDetail(r *request, hookID dashboard.HookID) dashboard.GetWebhookDetailReply {
	return replyObject(s, r, dashboard.GetWebhookDetailReplies{}, webhookKind.at(hookID))
}

// UpdateWebhook implements dashboard.Handlers.
func (s *Server) UpdateWebhook(r *request, hookID dashboard.HookID) dashboard.UpdateWebhookReply {
	var reply dashboard.UpdateWebhookReplies
	_, err := s.replaceObject(r, webhookKind.at(hookID))
	return replyReplaced(reply, err, invalid(reply), webhookConflict(reply))
}

// DeleteWebhook implements dashboard.Handlers.
func (s *Server) DeleteWebhook(r *request, hookID dashboard.HookID) dashboard.DeleteWebhookReply {
	return replyDeleted(dashboard.DeleteWebhookReplies{}, s.deleteObject(r, webhookKind.at(hookID)))
}
