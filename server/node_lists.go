package server

import (
	"context"
	"iter"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/node"
	"gatehouse/internal/apidef"
	"gatehouse/internal/importer"
	"gatehouse/store"
)

// headerSession has the ID of the gateway's process. The lists are the same for all.
const headerSession = "X-Tyk-Session-Id"

// brokenTail ends a list that cannot be completed, so that it is not JSON. A gateway keeps its configuration then. It
// would take a response that ends early for a lost dashboard, register within its reload, and hang
// (docs/behaviour.md#lists).
const brokenTail = "\n!"

// nodeList is a list for gateways.
type nodeList struct {
	rows  iter.Seq2[store.NodeDocument, error]
	check *apidef.Check
	// saveChecks stores the results of the documents that were checked, so that each is checked once.
	saveChecks func(ctx context.Context, checkedBy string, results []store.CheckResult) error
}

// GetNodePolicies implements node.ServerInterface.
func (s *Server) GetNodePolicies(c echo.Context) error {
	s.sync.PoliciesSent(c.Request().Header.Get(headerSession))
	return s.replyNodeList(c, nodeList{
		rows: s.store.NodePolicies(c.Request().Context(), s.checks.Name), check: s.checks.Policies,
		saveChecks: s.store.SavePolicyChecks,
	})
}

// GetNodeAPIs implements node.ServerInterface.
func (s *Server) GetNodeAPIs(c echo.Context) error {
	defer s.sync.APIsSent(c.Request().Header.Get(headerSession))
	return s.replyNodeList(c, nodeList{
		rows: s.store.NodeAPIs(c.Request().Context(), s.checks.Name), check: s.checks.APIs,
		saveChecks: s.store.SaveAPIChecks,
	})
}

// GetNodeClientIDPs implements node.ServerInterface.
func (s *Server) GetNodeClientIDPs(c echo.Context) error {
	return replyObject(c, node.NodeClientIDPs{Message: []map[string]any{}, Nonce: s.store.NewNodeNonce()})
}

// replyNodeList sends a list row by row as the database returns it. Documents that these checks have not seen yet are
// checked first. One that gateways cannot decode is left out and logged.
func (s *Server) replyNodeList(c echo.Context, l nodeList) error {
	out := s.newListWriter(c, `{"Message":[`)
	var results []store.CheckResult
	for row, err := range l.rows {
		if err != nil {
			return s.breakOffNodeList(c, out, err)
		}
		if row.Unchecked {
			result := store.CheckResult{Document: row, Loadable: s.loadable(c, l.check, row)}
			result.Document.Document = nil // the results are kept until the end of the list
			if results = append(results, result); !result.Loadable {
				continue
			}
		}
		if err := out.write(row.Document); err != nil {
			return err
		}
	}
	if err := out.end(`],"Nonce":"` + s.store.NewNodeNonce() + `"}`); err != nil || len(results) == 0 {
		return err
	}
	return l.saveChecks(c.Request().Context(), s.checks.Name, results)
}

// loadable reports whether gateways can decode a stored document, and logs why not.
func (s *Server) loadable(c echo.Context, check *apidef.Check, row store.NodeDocument) bool {
	problems := check.Stored(row.Document)
	if problems != nil {
		s.log.Error("document left out: gateways cannot decode it", "operation", operationOf(c).ID, "id", row.ID,
			"problems", importer.Reasons(problems))
	}
	return problems == nil
}

// breakOffNodeList returns err if it can still be replied. Else it ends the list so that gateways discard it.
func (s *Server) breakOffNodeList(c echo.Context, out *listWriter, err error) error {
	if !c.Response().Committed {
		return err
	}
	s.log.Error("list broken off", "operation", operationOf(c).ID, "err", err)
	return out.end(brokenTail)
}
