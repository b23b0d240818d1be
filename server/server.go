// Package server is the HTTP API. A request walks one way:
//
//	route → authenticate → authorise → validate → one handler → one store function → reply
//
// The contracts in openapi/ declare what is checked of a request before its handler runs, and every response that an
// operation may have: the name of a response example is an outcome, and its status and Message are the response
// (outcomes.go). There is one file of handlers per tag of the contracts.
//
// New wires everything, middleware.go has the steps of a request in their order, errors.go turns errors into responses.
package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/apidef"
	"gatehouse/internal/gatewaysync"
	"gatehouse/internal/password"
)

// The interfaces that are generated from the contracts: an operation that is added there breaks the build here until it
// has a handler.
var (
	_ admin.ServerInterface     = (*Server)(nil)
	_ dashboard.ServerInterface = (*Server)(nil)
	_ node.ServerInterface      = (*Server)(nil)
	_ http.Handler              = (*Server)(nil)
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
	s := &Server{
		contract: cfg.Contract, store: cfg.Store, gateway: cfg.Gateway, log: cfg.Log, now: cfg.Now,
		pageSize: cfg.PageSize, limits: cfg.Limits, version: cfg.Version,
		passwords: password.NewHasher(), checks: checks, gatewaySession: session,
		metrics: newMetrics(cfg.Store), echo: echo.New(),
		adminDigest: sha256.Sum256([]byte(cfg.AdminSecret)), nodeDigest: sha256.Sum256([]byte(cfg.NodeSecret)),
	}
	s.sync = gatewaysync.New(gatewaysync.Config{
		Store: cfg.Store, Gateway: cfg.Gateway, Redis: cfg.Redis, Session: session, Log: cfg.Log, Now: cfg.Now,
	})
	if err := s.addRoutes(); err != nil {
		return nil, err
	}
	compressed, err := compress(s.echo)
	s.handler = headAsGET(compressed)
	return s, err
}

// addRoutes adds the routes of the contracts and of the diagnostics.
func (s *Server) addRoutes() error {
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.handleError
	s.echo.Pre(s.logRequest)
	admit := map[string][]echo.MiddlewareFunc{}
	for op := range s.contract.Operations() {
		if op.Permission != nil && op.Scheme != accessKeyScheme {
			return fmt.Errorf("contract: %s has x-permission, but does not authenticate a user", op.ID)
		}
		admit[op.ID] = []echo.MiddlewareFunc{s.admit(op)}
	}
	admin.RegisterHandlersWithOptions(s.echo, s, admin.RegisterHandlersOptions{OperationMiddlewares: admit})
	dashboard.RegisterHandlersWithOptions(s.echo, s, dashboard.RegisterHandlersOptions{OperationMiddlewares: admit})
	node.RegisterHandlersWithOptions(s.echo, s, node.RegisterHandlersOptions{OperationMiddlewares: admit})
	if err := s.checkRoutes(); err != nil {
		return err
	}
	s.serveDiagnostics()
	return nil
}

var echoParams = strings.NewReplacer("{", ":", "}", "")

// checkRoutes fails if an operation has no route, or a route no operation.
func (s *Server) checkRoutes() error {
	contractPath := map[string]string{} // by the path as Echo writes it: /admin/users/:userId
	for op := range s.contract.Operations() {
		contractPath[echoParams.Replace(op.Path)] = op.Path
	}
	var routes []contract.Route
	for _, r := range s.echo.Routes() {
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

// Run does what has to be done between requests until ctx ends: it keeps gateways in step, and deletes expired nonces.
func (s *Server) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.sync.Run(ctx) })
	running.Go(func() { s.deleteExpiredNonces(ctx) })
	running.Wait()
}

// Drain waits, before the server stops, until gateways have finished their reloads.
func (s *Server) Drain(ctx context.Context) { s.sync.Drain(ctx) }
