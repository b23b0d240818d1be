package server

import (
	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
)

// DeleteOAuthTokens implements admin.ServerInterface. The only scope there is has been validated.
func (s *Server) DeleteOAuthTokens(c echo.Context, _ admin.DeleteOAuthTokensParams) error {
	if err := s.Gateway.PurgeLapsedTokens(c.Request().Context()); err != nil {
		return err
	}
	return done(c, nil)
}
