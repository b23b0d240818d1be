// Package server is the HTTP API, on package apiserver. A request walks one way:
//
//	route → authenticate → authorise → validate → one handler → one store function → reply
//
// The contracts in openapi/ declare what is checked of a request before its handler runs, and every response that an
// operation may have. The name of a response example is an outcome, and its status and Message are the response.
// Handlers return replies, whose types and functions are generated for each operation and outcome: an outcome that the
// contract does not declare does not compile. There is one file of handlers per tag of the contracts.
//
// New wires everything, routes.go has what the server adds to package apiserver, and errors.go has the outcomes of
// errors.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"golang.org/x/sync/semaphore"

	"gatehouse/apiserver"
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
	if err := requireUsers(cfg.Contract); err != nil {
		return nil, err
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
		sync: background, metrics: recorded, tracer: cfg.Tracer, quotaReports: &quotaReports{now: cfg.Now},
		probe:    &gatewayProbe{gateway: cfg.Gateway, redis: cfg.Redis, now: cfg.Now},
		contract: cfg.Contract, store: cfg.Store, gateway: cfg.Gateway, redis: cfg.Redis, log: cfg.Log, now: cfg.Now,
		gatewayLists: newGatewayLists(), sentLists: newSentLists(),
		pageSize: cfg.PageSize, limits: cfg.Limits, documents: newDocumentLimits(), spoolDir: cfg.SpoolDir,
		largeImports: semaphore.NewWeighted(largeImports),
		version:      cfg.Version, servesDocs: cfg.Docs, servesConsole: cfg.Console,
		crossOrigin:     http.NewCrossOriginProtection(),
		allowUnknownOAS: cfg.AllowUnknownOAS, allowSharedPaths: cfg.AllowSharedPaths,
		gatewayDomains: cfg.GatewayDomains,
		passwords:      password.NewHasher(cmp.Or(cfg.PasswordCost, password.Recommended())),
		checks:         checks, gatewaySession: session, organisationFields: fields,
		userGroupFields: groupFields, objectFields: documents, kindStored: kindStored(),
		security: cfg.Security, auditLog: cfg.Audit, trail: newAuditTrail(cfg.Store, cfg.Log, recorded.auditEvents),
		proxies: cfg.TrustedProxies, basePath: cfg.BasePath,
	}
	s.leaveDiagnostics(cfg.SeparateDiagnostics)
	s.newNodeLists(cfg.Limits.NodeCache)
	s.SetSecrets(Secrets{cfg.AdminSecret, cfg.SecondAdminSecret, cfg.NodeSecret, cfg.SecondNodeSecret})
	if err := errors.Join(s.newLimiters(), s.newLines()); err != nil {
		return nil, err
	}
	s.api, err = apiserver.New(s.apiConfig(cfg))
	return s, err
}

// newBackground returns what a server does between requests, and the server's metrics, of which that sets some.
func newBackground(cfg Config, session func(json.RawMessage) json.RawMessage) (*gatewaysync.Sync, *metrics) {
	recorded := newMetrics(cfg.Store, cfg.Now)
	background := gatewaysync.New(gatewaysync.Config{
		Store: cfg.Store, Gateway: cfg.Gateway, Redis: cfg.Redis, Session: session, Log: cfg.Log, Now: cfg.Now,
		Noticed: recorded.noticed,
	})
	recorded.addNodesBehind(background.NodesBehind)
	recorded.addNotices(cfg)
	return background, recorded
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.api.ServeHTTP(w, r) }

// Run does what has to be done between requests until ctx ends: it keeps gateways in step, writes their heartbeats,
// deletes expired nonces, sessions and audit events, writes audit events, and sums up requests that were not logged.
func (s *Server) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.sync.Run(ctx) })
	running.Go(func() { s.store.WriteNodes(ctx, s.logNodesFailure()) })
	running.Go(func() { s.deleteExpired(ctx) })
	running.Go(func() { s.summariseLines(ctx) })
	running.Go(func() { s.trail.run(ctx) })
	running.Go(func() { s.deleteAuditEvents(ctx) })
	running.Wait()
}

// SetSecrets replaces the secrets, for requests that are received from then on.
func (s *Server) SetSecrets(secrets Secrets) { s.secrets.Store(knownOf(secrets)) }

// Drain waits, before the server stops, until gateways have finished their reloads.
func (s *Server) Drain(ctx context.Context) { s.sync.Drain(ctx) }
