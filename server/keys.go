package server

import (
	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// toOrgKeyData returns an organisation's key as the API shows it.
func toOrgKeyData(key store.OrgKey) admin.KeyData {
	return toKeyData(gateway.Key{ID: key.OrgID}, key.Session)
}

// toKeys returns the IDs of keys as the API shows them: on one page.
func toKeys(ids []string) admin.Keys {
	pages := 1
	return admin.Keys{Data: &admin.AllKeys{Keys: &ids}, Pages: &pages}
}

// GetAllKeys implements admin.Handlers.
func (s *Server) GetAllKeys(r *request) admin.GetAllKeysReply {
	var reply admin.GetAllKeysReplies
	ids, err := s.store.OrgKeyIDs(r.Context())
	if err != nil {
		return reply.Failed(err)
	}
	return reply.OK(toKeys(ids))
}

// CreateOrgKey implements admin.Handlers.
func (s *Server) CreateOrgKey(r *request) admin.CreateOrgKeyReply {
	var reply admin.CreateOrgKeyReplies
	key := store.OrgKey{OrgID: jsondoc.String(r.Body.JSON, "org_id"), Session: r.Body.JSON}
	if err := s.sync.ChangeOrgKey(r.Context(), store.OrgKeyChange{OrgKey: key}); err != nil {
		return apiserver.ReplyError(reply, err,
			unknownOrganisation(reply, key.OrgID), malformed(reply), refused(reply), unreachable(reply))
	}
	return reply.OK(toOrgKeyData(key))
}

// GetOrgKey implements admin.Handlers.
func (s *Server) GetOrgKey(r *request, keyID admin.KeyID) admin.GetOrgKeyReply {
	var reply admin.GetOrgKeyReplies
	key, err := s.store.OrgKey(r.Context(), keyID)
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK(toOrgKeyData(key))
}

// UpdateOrgKey implements admin.Handlers.
func (s *Server) UpdateOrgKey(r *request, keyID admin.KeyID) admin.UpdateOrgKeyReply {
	var reply admin.UpdateOrgKeyReplies
	key := store.OrgKey{OrgID: keyID, Session: r.Body.JSON}
	if named := jsondoc.String(key.Session, "org_id"); named != "" && named != keyID {
		if _, err := s.store.OrgKey(r.Context(), keyID); err != nil {
			return apiserver.ReplyError(reply, err, malformed(reply), notFound(reply)) // reported before the other organisation
		}
		return reply.Invalid(nil)
	}
	if err := s.sync.ChangeOrgKey(r.Context(), store.OrgKeyChange{OrgKey: key, MustExist: true}); err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notFound(reply), gatewayFailed(reply))
	}
	return reply.OK()
}

// DeleteOrgKey implements admin.Handlers.
func (s *Server) DeleteOrgKey(r *request, keyID admin.KeyID) admin.DeleteOrgKeyReply {
	var reply admin.DeleteOrgKeyReplies
	change := store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: keyID}, MustExist: true}
	if err := s.sync.ChangeOrgKey(r.Context(), change); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply), gatewayFailed(reply))
	}
	return reply.OK()
}
