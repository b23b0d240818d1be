package server

import (
	"gatehouse/apiserver"
	"gatehouse/gen/admin"
)

// DeleteOAuthTokens implements admin.Handlers. The contract allows one scope only.
func (s *Server) DeleteOAuthTokens(r *request, _ admin.DeleteOAuthTokensParams) admin.DeleteOAuthTokensReply {
	var reply admin.DeleteOAuthTokensReplies
	if err := s.gateway.PurgeLapsedTokens(r.Context()); err != nil {
		return apiserver.ReplyError(reply, err, noGateway(reply))
	}
	return reply.OK()
}
