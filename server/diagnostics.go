package server

import (
	"context"
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/connlimit"
)

// diagnostics are metrics and Go's profiles at the paths that their tools expect, for clients with the admin secret.
// They describe this program and are not a part of the contracts. /debug/pprof/cmdline is left out: a command line may
// contain secrets.
func (s *Server) diagnostics() []extraRoute {
	var routes []extraRoute
	get := func(path string, h http.Handler) {
		routes = append(routes, extraRoute{path, s.requireAdmin(echo.WrapHandler(h))})
	}
	uncompressed := promhttp.HandlerOpts{DisableCompression: true} // the middleware compresses
	collected := promhttp.HandlerFor(s.metrics.registry, uncompressed)
	get("/metrics", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.countNodes(r.Context())
		collected.ServeHTTP(w, r)
	}))
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		get("/debug/pprof/"+name, pprof.Handler(name))
	}
	get("/debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	get("/debug/pprof/trace", http.HandlerFunc(pprof.Trace))
	return routes
}

// Diagnostics returns the handler for metrics and profiles, for a server with Config.SeparateDiagnostics. It requires
// the admin secret, as the server does.
func (s *Server) Diagnostics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), diagnosticsKey{}, true)))
	})
}

// leaveDiagnostics sets the paths that are left to Diagnostics, if they are separate.
func (s *Server) leaveDiagnostics(separate bool) {
	if !separate {
		return
	}
	s.diagnosticPaths = map[string]bool{}
	for _, route := range s.diagnostics() {
		s.diagnosticPaths[route.path] = true
	}
}

// requireAdmin requires the admin secret, as GET /admin/hello does.
func (s *Server) requireAdmin(next echo.HandlerFunc) echo.HandlerFunc {
	hello := s.contract.Operation("adminHello")
	return func(c echo.Context) error {
		if _, err := s.authenticateAdmin(c); err != nil {
			outcome := apiserver.OutcomeOf(err)
			return s.api.Send(c, contract.Reply{Outcome: outcome, Response: hello.Responses[outcome], Cause: err})
		}
		c.Set(contextAuthenticated, true)
		connlimit.Keep(c.Request().Context())
		return next(c)
	}
}
