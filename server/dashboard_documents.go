package server

import (
	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// GetApis implements dashboard.ServerInterface.
func (s *Server) GetApis(c echo.Context, params dashboard.GetApisParams) error {
	return s.sendAPIs(c, store.Filter{OrgID: scopeOf(c), Page: s.page(params.P, firstPage)})
}

// GetApi implements dashboard.ServerInterface.
func (s *Server) GetApi(c echo.Context, apiID admin.APIID) error {
	row, err := s.Store.API(c.Request().Context(), apiID, scopeOf(c))
	if err != nil {
		return err
	}
	return bare(c, row.Document)
}

// GetPolicies implements dashboard.ServerInterface.
func (s *Server) GetPolicies(c echo.Context, params dashboard.GetPoliciesParams) error {
	return s.sendPolicies(c, store.Filter{OrgID: scopeOf(c), Page: s.page(params.P, firstPage)})
}

// GetPolicy implements dashboard.ServerInterface.
func (s *Server) GetPolicy(c echo.Context, policyID admin.PolicyID) error {
	row, err := s.Store.Policy(c.Request().Context(), policyID, scopeOf(c))
	if err != nil {
		return err
	}
	return bare(c, row.Document)
}
