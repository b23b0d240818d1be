package server

import (
	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// ExportAPIs implements admin.ServerInterface.
func (s *Server) ExportAPIs(c echo.Context, params admin.ExportAPIsParams) error {
	return s.replyAPIs(c, store.Filter{OrgID: params.OrgId, Page: s.page(params.P, everything)})
}

// RemoveAPI implements admin.ServerInterface.
func (s *Server) RemoveAPI(c echo.Context, apiID admin.APIID) error {
	if err := s.store.DeleteAPI(c.Request().Context(), apiID); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// GetApis implements dashboard.ServerInterface.
func (s *Server) GetApis(c echo.Context, params dashboard.GetApisParams) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	return s.replyAPIs(c, store.Filter{OrgID: caller.scope(), Page: s.page(params.P, firstPage)})
}

// GetApi implements dashboard.ServerInterface.
func (s *Server) GetApi(c echo.Context, apiID admin.APIID) error {
	caller, err := callerOf(c)
	if err != nil {
		return err
	}
	row, err := s.store.API(c.Request().Context(), apiID, caller.scope())
	if err != nil {
		return err
	}
	return replyObject(c, row.Document)
}

func (s *Server) replyAPIs(c echo.Context, filter store.Filter) error {
	ctx := c.Request().Context()
	return replyList(s, c, list[store.Row]{
		name: "apis", pages: "pages", page: filter.Page, encode: stored, rows: s.store.APIs(ctx, filter),
		count: func() (int, error) { return s.store.CountAPIs(ctx, filter) },
	})
}
