package server

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/node"
	"gatehouse/internal/apidef"
	"gatehouse/internal/importer"
	"gatehouse/store"
)

const (
	// sessionHeader names the gateway's process; the lists do not depend on it.
	sessionHeader = "X-Tyk-Session-Id"
	// maxHeaderValue bounds what is kept of a header. Ids are UUIDs, and a host's name has 253 characters at most.
	maxHeaderValue = 255
	// brokenList ends a list that cannot be finished, so that it does not decode. An answer that ends early would be taken
	// for a lost dashboard, upon which a gateway registers within its reload and hangs (facts gateway §0.2); of one that
	// does not decode it only keeps what it has.
	brokenList = "\n!"
)

// headerText is a header as it can be kept: text in UTF-8, of a reasonable length.
func headerText(v *string) string {
	return strings.ToValidUTF8(value(v)[:min(len(value(v)), maxHeaderValue)], "?")
}

// heard answers a node, with a nonce that nobody will ask for (facts gateway §0.3).
func (s *Server) heard(c echo.Context, message map[string]string) error {
	return bare(c, node.NodeResponse{Status: node.OK, Message: message, Nonce: s.Store.NewNodeNonce()})
}

// RegisterNode implements node.ServerInterface.
func (s *Server) RegisterNode(c echo.Context, params node.RegisterNodeParams) error {
	id, err := s.Store.RegisterNode(c.Request().Context(), headerText(params.XTykSessionId), headerText(params.XTykHostname))
	if err != nil {
		return err
	}
	s.sync.NodeRegistered()
	return s.heard(c, map[string]string{"NodeID": id})
}

// PingNode implements node.ServerInterface.
func (s *Server) PingNode(c echo.Context, params node.PingNodeParams) error {
	if err := s.Store.RecordHeartbeat(c.Request().Context(), headerText(params.XTykNodeid)); err != nil {
		return err
	}
	return s.heard(c, map[string]string{})
}

// RemoveNode implements node.ServerInterface.
func (s *Server) RemoveNode(c echo.Context, params node.RemoveNodeParams) error {
	err := s.Store.DeleteNode(c.Request().Context(), headerText(params.XTykNodeid))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.heard(c, map[string]string{})
}

// TriggerQuota implements node.ServerInterface.
func (s *Server) TriggerQuota(c echo.Context) error {
	sent, err := decode[node.QuotaTrigger](c)
	if err != nil {
		return err
	}
	s.Log.LogAttrs(c.Request().Context(), slog.LevelInfo, "a key reached a share of its quota", // not which: it is a secret
		slog.String("org_id", value(sent.OrgId)), slog.Int("limit_percent", value(sent.TriggerLimit)),
		slog.Int("used_percent", value(sent.UsagePercentage)))
	return s.heard(c, map[string]string{})
}

// GetNodeClientIDPs implements node.ServerInterface.
func (s *Server) GetNodeClientIDPs(c echo.Context) error {
	return bare(c, node.NodeClientIDPs{Message: []map[string]any{}, Nonce: s.Store.NewNodeNonce()})
}

// GetNodePolicies implements node.ServerInterface.
func (s *Server) GetNodePolicies(c echo.Context) error {
	s.sync.PoliciesSent(c.Request().Header.Get(sessionHeader))
	ctx, check := c.Request().Context(), s.checks
	return s.sendLoadable(c, s.Store.NodePolicies(ctx, check.Name), check.Policies, func(ctx context.Context, found []store.CheckResult) error {
		return s.Store.SavePolicyChecks(ctx, check.Name, found)
	})
}

// GetNodeAPIs implements node.ServerInterface.
func (s *Server) GetNodeAPIs(c echo.Context) error {
	defer s.sync.APIsSent(c.Request().Header.Get(sessionHeader))
	ctx, check := c.Request().Context(), s.checks
	return s.sendLoadable(c, s.Store.NodeAPIs(ctx, check.Name), check.APIs, func(ctx context.Context, found []store.CheckResult) error {
		return s.Store.SaveAPIChecks(ctx, check.Name, found)
	})
}

// sendLoadable sends a gateway its list, row by row as the database gives it. A document of which nobody knows whether a
// gateway can decode it is checked first, and left out and logged if not; what was found is kept, so that it is found once.
func (s *Server) sendLoadable(c echo.Context, list iter.Seq2[store.NodeDocument, error], check *apidef.Check,
	keep func(context.Context, []store.CheckResult) error,
) error {
	out := s.newStream(c)
	separator := `{"Message":[`
	var found []store.CheckResult
	for doc, err := range list {
		if err != nil {
			return s.endBroken(c, out, err)
		}
		if doc.Unchecked {
			verdict := store.CheckResult{Document: doc, Loadable: s.check(c, check, doc)}
			verdict.Document.Document = nil // they would add up to the whole list
			if found = append(found, verdict); !verdict.Loadable {
				continue
			}
		}
		if err := out.write(separator, doc.Document); err != nil {
			return err
		}
		separator = ","
	}
	if separator == "," {
		separator = ""
	}
	if err := out.end(separator + `],"Nonce":"` + s.Store.NewNodeNonce() + `"}`); err != nil || len(found) == 0 {
		return err
	}
	return keep(c.Request().Context(), found)
}

// check tells whether a gateway can decode a document, and logs if not.
func (s *Server) check(c echo.Context, check *apidef.Check, doc store.NodeDocument) bool {
	problems := check.Stored(doc.Document)
	if problems != nil {
		s.Log.Error("left out: a gateway could not decode it", "operation", operationOf(c).ID, "id", doc.ID, "why", importer.Reasons(problems))
	}
	return problems == nil
}

// endBroken ends a list when the database fails: as any other error if nothing has been sent, else so that the gateway
// keeps what it has.
func (s *Server) endBroken(c echo.Context, out *stream, err error) error {
	if !c.Response().Committed {
		return err
	}
	s.Log.Error("list broken off", "operation", operationOf(c).ID, "err", err)
	return out.end(brokenList)
}

// ListNodes implements admin.ServerInterface.
func (s *Server) ListNodes(c echo.Context) error {
	known, err := s.Store.Nodes(c.Request().Context())
	if err != nil {
		return err
	}
	shown := admin.Nodes{Nodes: make([]admin.Node, 0, len(known))}
	for _, n := range known {
		shown.Nodes = append(shown.Nodes, admin.Node{
			Id: n.ID, SessionId: n.SessionID, Hostname: n.Hostname, FirstSeen: n.FirstSeen.UTC(), LastSeen: n.LastSeen.UTC(),
		})
	}
	return bare(c, shown)
}
