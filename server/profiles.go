package server

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
)

// serveProfiles serves Go's profiles where its tools expect them, to who has the admin secret. They are about this program
// and no part of the contracts. The command line is left out: it may hold secrets.
func (s *Server) serveProfiles() {
	profiles := s.echo.Group("/debug/pprof", func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if s.authenticateAdmin(c) != nil {
				told := s.contract["adminHello"].answers[unauthorised]
				return writeJSON(c, told.status, envelope(admin.ApiErrorStatusError, told.message, nil))
			}
			return next(c)
		}
	})
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		profiles.GET("/"+name, echo.WrapHandler(pprof.Handler(name)))
	}
	profiles.GET("/profile", echo.WrapHandler(http.HandlerFunc(pprof.Profile)))
	profiles.GET("/trace", echo.WrapHandler(http.HandlerFunc(pprof.Trace)))
}
