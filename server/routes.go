package server

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/remoteaddr"
	"gatehouse/store"
)

// apiConfig returns what the server adds to package apiserver.
func (s *Server) apiConfig(cfg Config) apiserver.Config[*request] {
	return apiserver.Config[*request]{
		Contract: cfg.Contract, Routes: s.addRoutes,
		Schemes: map[string]func(*request) error{
			adminScheme: s.authenticateClient, nodeScheme: s.authenticateNode, accessKeyScheme: s.authenticateUser,
			sessionScheme: s.authenticateSession, operatorScheme: s.authenticateOperator,
		},
		Authorise: func(r *request, permission *contract.Permission) error {
			return authorise(r.caller, permission, r.PathParam("userId"))
		},
		Outcome: outcomeOf, Problems: problemsOf,
		Conversions: map[string]apiserver.Conversion{mediaYAML: fromYAML},
		Limits: apiserver.Limits{
			Depth: cfg.Limits.Depth, BodyTimeout: cfg.Limits.BodyTimeout,
			Upload: cfg.Limits.Import, Element: cfg.Limits.Document,
		},
		CheckResponses: cfg.CheckResponses, BasePath: cfg.BasePath, Compress: isCompressed,
		Log: cfg.Log, UnloggedRequests: cfg.UnloggedRequests, PublicParams: slices.Collect(maps.Keys(objectsInPaths)),
		Hooks: apiserver.Hooks[*request]{
			Begin: s.begin, Admitted: admitted, Reply: s.beforeReply, Departed: s.metrics.departed, BreakOff: breakOff,
			Listed: s.isListed, Done: s.metrics.observe,
		},
	}
}

// requireUsers returns an error for a permission that only a user can have, of an operation that authenticates none.
func requireUsers(known *contract.Contract) error {
	for op := range known.Operations() {
		if op.Permission != nil && op.Scheme != accessKeyScheme {
			return fmt.Errorf("contract: %s has x-permission, but does not authenticate a user", op.ID)
		}
	}
	return nil
}

// addRoutes adds the routes of the contracts, and extraRoutes.
func (s *Server) addRoutes(routes *apiserver.Routes) {
	routes.Echo.IPExtractor = func(r *http.Request) string { return remoteaddr.Text(s.proxies.OfRequest(r)) }
	if s.tracer != nil {
		routes.Echo.Pre(s.trace)
	}
	admin.RegisterHandlersWithOptions(routes.Echo, admin.Serve(s, requestOf, routes.Send),
		admin.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
	dashboard.RegisterHandlersWithOptions(routes.Echo, dashboard.Serve(s, requestOf, routes.Send),
		dashboard.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
	node.RegisterHandlersWithOptions(routes.Echo, node.Serve(s, requestOf, routes.Send),
		node.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
	for _, route := range s.extraRoutes() {
		routes.Extra(route.path, route.handler)
	}
}

// extraRoutes returns all routes that no contract has.
func (s *Server) extraRoutes() []extraRoute {
	return slices.Concat(s.diagnostics(), s.docs(), s.console())
}

// isCompressed reports whether the response to a request may be compressed, with three exceptions. Lists of gateways
// are sent as fast as the database returns them, over a short distance, and Go's HTTP client accepts gzip without being
// asked to. And the files of packages docspage and console are compressed already: everybody may request them, however
// often.
func isCompressed(r *http.Request) bool {
	path := r.URL.Path
	return !strings.HasPrefix(path, "/system/") && !strings.HasPrefix(path, "/docs") &&
		!strings.HasPrefix(path, "/openapi") && !strings.HasPrefix(path, "/console")
}

// begin has the response end its connection if the server is stopping, and refuses requests for what is elsewhere.
func (s *Server) begin(c echo.Context) error {
	if s.stopping.Load() {
		c.Response().Header().Set(echo.HeaderConnection, "close") // in HTTP/2, net/http sends GOAWAY
	}
	if s.isElsewhere(c.Request()) {
		return echo.ErrNotFound
	}
	return nil
}

// diagnosticsKey is the key, in the context of a request, of a value that requests of Diagnostics have.
type diagnosticsKey struct{}

// isElsewhere reports whether a request asks for metrics or profiles, which only requests of Diagnostics find, or for
// something else, which those do not find, if they are separate.
func (s *Server) isElsewhere(r *http.Request) bool {
	if s.diagnosticPaths == nil {
		return false
	}
	isDiagnostic := r.Context().Value(diagnosticsKey{}) != nil
	return s.diagnosticPaths[r.URL.Path] != isDiagnostic
}

// beforeReply writes a reply to the audit log.
func (s *Server) beforeReply(r *request, reply contract.Reply) {
	s.audit(r, reply)
	if conflict, ok := errors.AsType[*store.ConflictError](reply.Cause); ok {
		s.logConflict(r, conflict)
	}
}

// breakOff returns what ends a response that is broken off: of a gateway's, as a list that the database did not
// complete.
func breakOff(r *request) string {
	if r.Operation.Scheme == nodeScheme {
		return brokenTail
	}
	return ""
}

// departed counts a response that departs from the contract.
func (m *metrics) departed(op *contract.Operation, status int) {
	m.departures.WithLabelValues(op.ID, strconv.Itoa(status)).Inc()
}
