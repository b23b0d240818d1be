package server

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatehouse/gen/admin"
)

// serveDiagnostics serves metrics and Go's profiles where their tools expect them, to who has the admin secret. They are about
// this program and no part of the contracts. The command line is left out of the profiles: it may hold secrets.
func (s *Server) serveDiagnostics() {
	get := func(path string, h http.Handler) { s.echo.GET(path, echo.WrapHandler(h), s.administratorsOnly) }
	get("/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{DisableCompression: true})) // compressed() does it
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		get("/debug/pprof/"+name, pprof.Handler(name))
	}
	get("/debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	get("/debug/pprof/trace", http.HandlerFunc(pprof.Trace))
}

func (s *Server) administratorsOnly(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.authenticateAdmin(c) != nil {
			told := s.contract.Operation("adminHello").Responses[unauthorised]
			return writeJSON(c, told.Status, envelope(admin.ApiErrorStatusError, told.Message, nil))
		}
		return next(c)
	}
}
