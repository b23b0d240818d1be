package server

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatehouse/gen/admin"
)

// serveDiagnostics serves metrics and Go's profiles at the paths that their tools expect, to clients with the admin
// secret. They describe this program and are not a part of the contracts. /debug/pprof/cmdline is left out: a command
// line may contain secrets.
func (s *Server) serveDiagnostics() {
	get := func(path string, h http.Handler) { s.echo.GET(path, echo.WrapHandler(h), s.requireAdmin) }
	uncompressed := promhttp.HandlerOpts{DisableCompression: true} // the middleware compresses
	get("/metrics", promhttp.HandlerFor(s.metrics.registry, uncompressed))
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		get("/debug/pprof/"+name, pprof.Handler(name))
	}
	get("/debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	get("/debug/pprof/trace", http.HandlerFunc(pprof.Trace))
}

// requireAdmin requires the admin secret, as GET /admin/hello does.
func (s *Server) requireAdmin(next echo.HandlerFunc) echo.HandlerFunc {
	hello := s.contract.Operation("adminHello")
	return func(c echo.Context) error {
		if checkSecret(c.Request().Header.Get(headerAdminAuth), s.adminDigest) != nil {
			response := hello.Responses[outcomeUnauthorised]
			return writeJSON(c, response.Status, envelope(admin.ApiErrorStatusError, response.Message, nil))
		}
		return next(c)
	}
}
