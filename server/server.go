// Package server is the HTTP API. A request walks one way:
//
//	route → authenticate → authorise → validate → one handler → one store function → reply
//
// The contracts in openapi/ declare what is checked of a request before its handler runs, and every response that an
// operation may have. The name of a response example is an outcome, and its status and Message are the response.
// Handlers return replies, whose types and functions are generated for each operation and outcome: an outcome that the
// contract does not declare does not compile. There is one file of handlers per tag of the contracts.
//
// New wires everything, middleware.go has the steps of a request in their order, errors.go has the outcomes of errors,
// and reply.go sends replies.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/apidef"
	"gatehouse/internal/gatewaysync"
	"gatehouse/internal/password"
	"gatehouse/internal/remoteaddr"
)

// The interfaces that are generated from the contracts: an operation that is added there breaks the build here until it
// has a handler.
var (
	_ admin.Handlers[*request]     = (*Server)(nil)
	_ dashboard.Handlers[*request] = (*Server)(nil)
	_ node.Handlers[*request]      = (*Server)(nil)
	_ http.Handler                 = (*Server)(nil)
)

// New returns a server that does not listen yet. It fails if the configuration is incomplete, or if contracts, code and
// routes disagree: each operation must have a route, a security scheme that is implemented, and the responses that the
// middleware sends.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Contract == nil {
		var err error
		if cfg.Contract, err = LoadContract(); err != nil {
			return nil, err
		}
	}
	checks, err := apidef.NewChecks(cfg.Contract, cfg.Limits.Depth)
	if err != nil {
		return nil, err
	}
	session, err := apidef.GatewaySession(cfg.Contract)
	if err != nil {
		return nil, err
	}
	fields, err := organisationFields(cfg.Contract)
	if err != nil {
		return nil, err
	}
	groupFields, err := userGroupFields(cfg.Contract)
	if err != nil {
		return nil, err
	}
	documents, err := objectFields(cfg.Contract)
	if err != nil {
		return nil, err
	}
	background, recorded := newBackground(cfg, session)
	s := &Server{
		sync: background, metrics: recorded, tracer: cfg.Tracer,
		contract: cfg.Contract, store: cfg.Store, gateway: cfg.Gateway, redis: cfg.Redis, log: cfg.Log, now: cfg.Now,
		gatewayLists: newGatewayLists(), sentLists: newSentLists(),
		pageSize: cfg.PageSize, limits: cfg.Limits, bodies: newBodyReader(cfg.Limits), spoolDir: cfg.SpoolDir,
		largeImports: semaphore.NewWeighted(largeImports),
		version:      cfg.Version, servesDocs: cfg.Docs,
		allowUnknownOAS: cfg.AllowUnknownOAS, allowSharedPaths: cfg.AllowSharedPaths,
		gatewayDomains: cfg.GatewayDomains,
		passwords:      password.NewHasher(cmp.Or(cfg.PasswordCost, password.Recommended())),
		checks:         checks, gatewaySession: session, organisationFields: fields,
		userGroupFields: groupFields, objectFields: documents, kindStored: kindStored(),
		echo: echo.New(), security: cfg.Security, auditLog: cfg.Audit,
		proxies: cfg.TrustedProxies, basePath: cfg.BasePath, samples: samples{share: 1 - cfg.UnloggedRequests},
	}
	s.leaveDiagnostics(cfg.SeparateDiagnostics)
	s.newNodeLists(cfg.Limits.NodeCache)
	s.SetSecrets(Secrets{cfg.AdminSecret, cfg.SecondAdminSecret, cfg.NodeSecret, cfg.SecondNodeSecret})
	s.responses = newResponseChecks(cfg.CheckResponses, cfg.Log, s.metrics.departures)
	if err := errors.Join(s.newLimiters(), s.newLines()); err != nil {
		return nil, err
	}
	if err := s.addRoutes(); err != nil {
		return nil, err
	}
	compressed, err := compress(s.echo)
	s.handler = limitUnreadBodies(uncached(normalPaths(headAsGET(compressed), s.basePath)))
	return s, err
}

// newBackground returns what a server does between requests, and the server's metrics, of which that sets some.
func newBackground(cfg Config, session func(json.RawMessage) json.RawMessage) (*gatewaysync.Sync, *metrics) {
	recorded := newMetrics(cfg.Store)
	background := gatewaysync.New(gatewaysync.Config{
		Store: cfg.Store, Gateway: cfg.Gateway, Redis: cfg.Redis, Session: session, Log: cfg.Log, Now: cfg.Now,
		Noticed: recorded.noticed,
	})
	recorded.addNodesBehind(background.NodesBehind)
	recorded.addNotices(cfg)
	return background, recorded
}

// addRoutes adds the routes of the contracts, and extraRoutes.
func (s *Server) addRoutes() error {
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.handleError
	s.echo.IPExtractor = func(r *http.Request) string { return remoteaddr.Text(s.proxies.OfRequest(r)) }
	s.echo.Pre(s.logRequest)
	admit := map[string][]echo.MiddlewareFunc{}
	for op := range s.contract.Operations() {
		if op.Permission != nil && op.Scheme != accessKeyScheme {
			return fmt.Errorf("contract: %s has x-permission, but does not authenticate a user", op.ID)
		}
		admit[op.ID] = []echo.MiddlewareFunc{s.admit(op)}
	}
	admin.RegisterHandlersWithOptions(s.echo, admin.Serve(s, requestOf, s.send),
		admin.RegisterHandlersOptions{OperationMiddlewares: admit})
	dashboard.RegisterHandlersWithOptions(s.echo, dashboard.Serve(s, requestOf, s.send),
		dashboard.RegisterHandlersOptions{OperationMiddlewares: admit})
	node.RegisterHandlersWithOptions(s.echo, node.Serve(s, requestOf, s.send),
		node.RegisterHandlersOptions{OperationMiddlewares: admit})
	extra := s.extraRoutes()
	for _, route := range extra {
		s.echo.GET(route.path, route.handler)
	}
	return s.checkRoutes(extra)
}

// extraRoute is a route, for GET, that is not an operation of a contract.
type extraRoute struct {
	path    string
	handler echo.HandlerFunc
}

// extraRoutes returns all routes that no contract has.
func (s *Server) extraRoutes() []extraRoute { return slices.Concat(s.diagnostics(), s.docs()) }

var echoParams = strings.NewReplacer("{", ":", "}", "")

// checkRoutes fails if an operation has no route, or a route, other than the extra ones, no operation. It fails as well
// if the base path would be taken off the path of a route.
func (s *Server) checkRoutes(extra []extraRoute) error {
	contractPath := map[string]string{} // by the path as Echo writes it: /admin/users/:userId
	for op := range s.contract.Operations() {
		contractPath[echoParams.Replace(op.Path)] = op.Path
	}
	isExtra := map[string]bool{}
	for _, route := range extra {
		if contractPath[route.path] != "" {
			return fmt.Errorf("contract: the path %s is not free: the server has a route of its own there", route.path)
		}
		isExtra[route.path] = true
	}
	var routes []contract.Route
	for _, r := range s.echo.Routes() {
		if normalPath(r.Path, s.basePath) != r.Path {
			return fmt.Errorf("the base path %s is not free: the path %s begins with it", s.basePath, r.Path)
		}
		if isExtra[r.Path] {
			continue
		}
		path, ok := contractPath[r.Path]
		if !ok {
			path = r.Path
		}
		routes = append(routes, contract.Route{Method: r.Method, Path: path})
	}
	return s.contract.CheckRoutes(routes)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run does what has to be done between requests until ctx ends: it keeps gateways in step, writes their heartbeats,
// deletes expired nonces, and sums up requests that were not logged.
func (s *Server) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.sync.Run(ctx) })
	running.Go(func() { s.store.WriteNodes(ctx, s.logNodesFailure()) })
	running.Go(func() { s.deleteExpiredNonces(ctx) })
	running.Go(func() { s.summariseLines(ctx) })
	running.Wait()
}

// SetSecrets replaces the secrets, for requests that are received from then on.
func (s *Server) SetSecrets(secrets Secrets) { s.secrets.Store(knownOf(secrets)) }

// Drain waits, before the server stops, until gateways have finished their reloads.
func (s *Server) Drain(ctx context.Context) { s.sync.Drain(ctx) }
