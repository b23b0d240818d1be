package server

import (
	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
)

// DeleteOAuthTokens implements admin.ServerInterface. The contract allows one scope only.
func (s *Server) DeleteOAuthTokens(c echo.Context, _ admin.DeleteOAuthTokensParams) error {
	if err := s.gateway.PurgeLapsedTokens(c.Request().Context()); err != nil {
		return err
	}
	return replyOK(c, nil)
}
