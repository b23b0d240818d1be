package server

import (
	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// ExportPolicies implements admin.ServerInterface.
func (s *Server) ExportPolicies(c echo.Context, params admin.ExportPoliciesParams) error {
	return s.replyPolicies(c, store.Filter{OrgID: params.OrgId, Page: s.page(params.P, everything)})
}

// RemovePolicy implements admin.ServerInterface.
func (s *Server) RemovePolicy(c echo.Context, policyID admin.PolicyID) error {
	if err := s.store.DeletePolicy(c.Request().Context(), policyID); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// GetPolicies implements dashboard.ServerInterface.
func (s *Server) GetPolicies(c echo.Context, params dashboard.GetPoliciesParams) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	return s.replyPolicies(c, store.Filter{OrgID: caller.scope(), Page: s.page(params.P, firstPage)})
}

// GetPolicy implements dashboard.ServerInterface.
func (s *Server) GetPolicy(c echo.Context, policyID admin.PolicyID) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	row, err := s.store.Policy(c.Request().Context(), policyID, caller.scope())
	if err != nil {
		return err
	}
	return replyObject(c, row.Document)
}

func (s *Server) replyPolicies(c echo.Context, filter store.Filter) error {
	ctx := c.Request().Context()
	return replyList(s, c, list[store.Row]{
		name: "Data", pages: "Pages", page: filter.Page, encode: stored, rows: s.store.Policies(ctx, filter),
		count: func() (int, error) { return s.store.CountPolicies(ctx, filter) },
	})
}
