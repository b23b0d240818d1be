package server

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/labstack/echo/v4"

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

// replyNode replies to a gateway. The nonce is new each time, and nothing checks it later (docs/behaviour.md#gateways).
func (s *Server) replyNode(c echo.Context, message map[string]string) error {
	return replyObject(c, node.NodeResponse{Status: node.OK, Message: message, Nonce: s.store.NewNodeNonce()})
}

// RegisterNode implements node.ServerInterface.
func (s *Server) RegisterNode(c echo.Context, params node.RegisterNodeParams) error {
	ctx := c.Request().Context()
	id, err := s.store.RegisterNode(ctx, headerText(params.XTykSessionId), headerText(params.XTykHostname))
	if err != nil {
		return err
	}
	s.sync.NodeRegistered()
	return s.replyNode(c, map[string]string{"NodeID": id})
}

// PingNode implements node.ServerInterface.
func (s *Server) PingNode(c echo.Context, params node.PingNodeParams) error {
	if err := s.store.RecordHeartbeat(c.Request().Context(), headerText(params.XTykNodeid)); err != nil {
		return err
	}
	return s.replyNode(c, map[string]string{})
}

// RemoveNode implements node.ServerInterface.
func (s *Server) RemoveNode(c echo.Context, params node.RemoveNodeParams) error {
	err := s.store.DeleteNode(c.Request().Context(), headerText(params.XTykNodeid))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.replyNode(c, map[string]string{})
}

// TriggerQuota implements node.ServerInterface. It logs the event without the key, which is a secret.
func (s *Server) TriggerQuota(c echo.Context) error {
	sent, err := decode[node.QuotaTrigger](c)
	if err != nil {
		return err
	}
	s.log.LogAttrs(c.Request().Context(), slog.LevelInfo, "a key has used a part of its quota",
		slog.String("org_id", valueOf(sent.OrgId)), slog.Int("limit_percent", valueOf(sent.TriggerLimit)),
		slog.Int("used_percent", valueOf(sent.UsagePercentage)))
	return s.replyNode(c, map[string]string{})
}

// toNode returns a node as the API shows it.
func toNode(n store.Node) admin.Node {
	return admin.Node{
		Id: n.ID, SessionId: n.SessionID, Hostname: n.Hostname,
		FirstSeen: n.FirstSeen.UTC(), LastSeen: n.LastSeen.UTC(),
	}
}

// ListNodes implements admin.ServerInterface.
func (s *Server) ListNodes(c echo.Context) error {
	nodes, err := s.store.Nodes(c.Request().Context())
	if err != nil {
		return err
	}
	shown := admin.Nodes{Nodes: make([]admin.Node, 0, len(nodes))}
	for _, n := range nodes {
		shown.Nodes = append(shown.Nodes, toNode(n))
	}
	return replyObject(c, shown)
}
