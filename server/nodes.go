package server

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/node"
	"gatehouse/store"
)

// maxHeaderValue bounds what is stored of a header, in bytes. IDs are UUIDs, and a host name has 253 characters at
// most.
const maxHeaderValue = 255

// headerText returns a header as Postgres can store it: valid UTF-8, not too long.
func headerText(header *string) string {
	value := valueOf(header)
	return strings.ToValidUTF8(value[:min(len(value), maxHeaderValue)], "?")
}

// nodeResponse returns the response to a gateway. Its nonce is new each time, and nothing checks it later
// (docs/behaviour.md#gateways).
func (s *Server) nodeResponse(message map[string]string) node.NodeResponse {
	return node.NodeResponse{Status: node.NodeResponseStatusOK, Message: message, Nonce: s.store.NewNodeNonce()}
}

// RegisterNode implements node.Handlers. HEAD registers nothing: its response has no body, so that no node gets an ID.
func (s *Server) RegisterNode(r *request, params node.RegisterNodeParams) node.RegisterNodeReply {
	var reply node.RegisterNodeReplies
	if r.IsHead() {
		return reply.OK(s.nodeResponse(map[string]string{"NodeID": ""}))
	}
	id, err := s.store.RegisterNode(r.Context(), headerText(params.XTykSessionId), headerText(params.XTykHostname))
	if err != nil {
		return apiserver.ReplyError(reply, err, registered(reply))
	}
	s.sync.NodeRegistered()
	return reply.OK(s.nodeResponse(map[string]string{"NodeID": id}))
}

// PingNode implements node.Handlers.
func (s *Server) PingNode(r *request, params node.PingNodeParams) node.PingNodeReply {
	var reply node.PingNodeReplies
	if err := s.recordHeartbeat(r, headerText(params.XTykNodeid)); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK(s.nodeResponse(map[string]string{}))
}

// recordHeartbeat keeps a node registered, unless the request is HEAD. It returns store.ErrNotFound for an unknown
// node.
func (s *Server) recordHeartbeat(r *request, id string) error {
	if !r.IsHead() {
		return s.store.RecordHeartbeat(r.Context(), id)
	}
	registered, err := s.store.IsRegistered(r.Context(), id)
	if err == nil && !registered {
		err = store.ErrNotFound
	}
	return err
}

// logNodesFailure returns a function that logs the first of several errors of the store in a row.
func (s *Server) logNodesFailure() func(error) {
	failing := false
	return func(err error) {
		if err != nil && !failing {
			s.log.Warn("write heartbeats of gateways failed, retrying", "err", err)
		}
		failing = err != nil
	}
}

// RemoveNode implements node.Handlers.
func (s *Server) RemoveNode(r *request, params node.RemoveNodeParams) node.RemoveNodeReply {
	var reply node.RemoveNodeReplies
	err := s.store.DeleteNode(r.Context(), headerText(params.XTykNodeid))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return reply.Failed(err)
	}
	return reply.OK(s.nodeResponse(map[string]string{}))
}

// TriggerQuota implements node.Handlers. It logs the event without the key, which is a secret.
func (s *Server) TriggerQuota(r *request) node.TriggerQuotaReply {
	var reply node.TriggerQuotaReplies
	sent, err := apiserver.Decode[node.QuotaTrigger](r)
	if err != nil {
		return reply.Malformed(err)
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "a key has used a part of its quota",
		slog.String("org_id", apiserver.LoggedText(valueOf(sent.OrgId))),
		slog.Int("limit_percent", valueOf(sent.TriggerLimit)),
		slog.Int("used_percent", valueOf(sent.UsagePercentage)))
	s.quotaReports.add(quotaReport{
		orgID: apiserver.LoggedText(valueOf(sent.OrgId)), limit: valueOf(sent.TriggerLimit),
		used: valueOf(sent.UsagePercentage),
	})
	return reply.OK(s.nodeResponse(map[string]string{}))
}

// toNode returns a node as the API shows it.
func toNode(n store.Node) admin.Node {
	return admin.Node{
		Id: n.ID, SessionId: n.SessionID, Hostname: n.Hostname,
		FirstSeen: n.FirstSeen.UTC(), LastSeen: n.LastSeen.UTC(),
		PoliciesFetched: utc(n.PoliciesFetched), ApisFetched: utc(n.APIsFetched), Behind: n.Behind,
	}
}

// utc returns the time in UTC, or nil.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	in := t.UTC()
	return &in
}

// ListNodes implements admin.Handlers.
func (s *Server) ListNodes(r *request) admin.ListNodesReply {
	var reply admin.ListNodesReplies
	nodes, err := s.store.Nodes(r.Context())
	if err != nil {
		return reply.Failed(err)
	}
	shown := admin.Nodes{Nodes: make([]admin.Node, 0, len(nodes))}
	for _, n := range nodes {
		shown.Nodes = append(shown.Nodes, toNode(n))
	}
	return reply.OK(shown)
}
