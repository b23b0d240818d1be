// Package server is the HTTP side, and the only room that knows Echo. A request walks one way:
//
//	route → authenticate → authorise → validate → one handler → one store function → reply
//
// Everything that can be said of an operation before it runs, and every answer it may give, comes from the
// contracts in openapi/ (contract.go): a response example's name is what happened, its status and Message are what the
// caller is told. There is one file of handlers per tag of the contracts.
package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/apidef"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaysync"
	"gatehouse/internal/password"
	"gatehouse/store"
)

// The contracts, operation by operation: one that is added to the YAML stops the build here until it is written.
var (
	_ admin.ServerInterface     = (*Server)(nil)
	_ dashboard.ServerInterface = (*Server)(nil)
	_ node.ServerInterface      = (*Server)(nil)
)

// Config is what a Server needs.
type Config struct {
	// Contract is what LoadContract returns. nil has New load it.
	Contract *contract.Contract
	Store    *store.Store
	// Gateway may be nil: then organisation keys are a record only, and nothing can be purged.
	Gateway *gateway.Client
	// Redis may be nil: then gateways hear of changes by the control API only.
	Redis *gateway.Redis
	Log   *slog.Logger
	Now   func() time.Time
	// AdminSecret is what Admin-Auth must be. It must not be empty.
	AdminSecret string
	// NodeSecret is what a gateway's Authorization must be. It must not be empty.
	NodeSecret string
	// PageSize is how many things a page of a list holds, 1 or more.
	PageSize int
	Limits   Limits
	Version  string
}

// Limits bound what a request may take. All must be more than 0.
type Limits struct {
	// Import is the largest body of an import of APIs or policies, in bytes.
	Import int64
	// Document is the largest document of an import, in bytes.
	Document int
	// Depth is how deep a document of an import may nest.
	Depth int
	// BodyTimeout is how long a client may take for the next 64 KiB of its body, or of the answer.
	BodyTimeout time.Duration
}

// Server answers the contracts. It is an http.Handler; Run does what has to be done between requests.
type Server struct {
	Config
	echo      *echo.Echo
	handler   http.Handler
	contract  *contract.Contract
	passwords *password.Hasher
	checks    *apidef.Checks
	sessions  func(json.RawMessage) json.RawMessage // see GatewaySessions
	sync      *gatewaysync.Sync
	metrics   *metrics

	adminDigest, nodeDigest digest
}

// New makes a server. It fails if the configuration lacks something, or if contracts, code and routes do not agree:
// every operation must have its validation, its authentication and its answers.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	known := cfg.Contract
	if known == nil {
		var err error
		if known, err = LoadContract(); err != nil {
			return nil, err
		}
	}
	checks, err := apidef.NewChecks(known, cfg.Limits.Depth)
	if err != nil {
		return nil, err
	}
	sessions, err := gatewaySessions(known)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Config: cfg, contract: known, passwords: password.NewHasher(), checks: checks, sessions: sessions,
		metrics: newMetrics(cfg.Store),
	}
	s.sync = gatewaysync.New(gatewaysync.Config{
		Store: cfg.Store, Gateway: cfg.Gateway, Redis: cfg.Redis, Session: sessions, Log: cfg.Log, Now: cfg.Now,
	})
	s.adminDigest, s.nodeDigest = sha256.Sum256([]byte(cfg.AdminSecret)), sha256.Sum256([]byte(cfg.NodeSecret))
	s.echo = echo.New()
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.handleError
	s.echo.Pre(s.observe)
	admin.RegisterHandlersWithOptions(s.echo, s, admin.RegisterHandlersOptions{OperationMiddlewares: s.steps()})
	dashboard.RegisterHandlersWithOptions(s.echo, s, dashboard.RegisterHandlersOptions{OperationMiddlewares: s.steps()})
	node.RegisterHandlersWithOptions(s.echo, s, node.RegisterHandlersOptions{OperationMiddlewares: s.steps()})
	if err := checkRoutes(known, s.echo); err != nil {
		return nil, err
	}
	s.serveDiagnostics()
	s.handler = s.compressed()
	return s, nil
}

func (cfg Config) check() error {
	var missing []error
	for name, ok := range map[string]bool{
		"Store": cfg.Store != nil, "Log": cfg.Log != nil, "Now": cfg.Now != nil,
		"AdminSecret": cfg.AdminSecret != "", "NodeSecret": cfg.NodeSecret != "", "PageSize": cfg.PageSize > 0,
		"Limits": cfg.Limits.Import > 0 && cfg.Limits.Document > 0 && cfg.Limits.Depth > 0 && cfg.Limits.BodyTimeout > 0,
	} {
		if !ok {
			missing = append(missing, errors.New("server: no "+name))
		}
	}
	return errors.Join(missing...)
}

// Run does what has to be done between requests until ctx ends: see gatewaysync, and the deletion of expired nonces.
func (s *Server) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.sync.Run(ctx) })
	running.Go(func() { s.sweepNonces(ctx) })
	running.Wait()
}

// Drain waits, before the server stops, until gateways have finished their reloads.
func (s *Server) Drain(ctx context.Context) { s.sync.Drain(ctx) }

// ServeHTTP implements http.Handler. HEAD is answered as GET is: net/http knows that the request was HEAD, and sends no
// body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		r = r.WithContext(context.WithValue(r.Context(), onlyLooking{}, true)) // a copy: net/http reads r.Method when it answers
		r.Method = http.MethodGet
	}
	s.handler.ServeHTTP(w, r)
}

// onlyLooking is the key, in a request's context, of whether it was HEAD.
type onlyLooking struct{}

// steps is what a request goes through before its handler, by operation.
func (s *Server) steps() map[string][]echo.MiddlewareFunc {
	steps := map[string][]echo.MiddlewareFunc{}
	for op := range s.contract.Operations() {
		steps[op.ID] = []echo.MiddlewareFunc{s.admit(op)}
	}
	return steps
}

// admit lets a request come to its handler. Nothing of the body is read before it is known who sends it.
func (s *Server) admit(op *contract.Operation) echo.MiddlewareFunc {
	authenticate := authenticators[op.Scheme]
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Set(operationKey, op)
			if err := authenticate(s, c); err != nil {
				return err
			}
			if err := authorise(c, op); err != nil {
				return err
			}
			if err := s.validate(c, op); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// maxRequestID is the longest id that a client may give its request: a UUID or a trace's id, and no page of the log.
const maxRequestID = 128

// observe gives each request an id, its client's if it sends one, counts it, and writes one line about it. It names the route,
// not the path: a path or a query may hold a secret.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began, r, w := time.Now(), c.Request(), c.Response()
		id := r.Header.Get(echo.HeaderXRequestID)
		if id == "" || len(id) > maxRequestID {
			id = rand.Text()
		}
		w.Header().Set(echo.HeaderXRequestID, id)
		if err := s.serve(c, next); err != nil {
			c.Error(err) // the status is known only then
		}
		line := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
		took := line.Time.Sub(began)
		s.metrics.observe(c, took)
		line.AddAttrs(slog.String("id", id), slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int("status", w.Status),
			slog.Duration("took", took), slog.Int64("bytes", w.Size), slog.String("from", c.RealIP()))
		return s.Log.Handler().Handle(r.Context(), line)
	}
}

// serve has the request answered; a panic is an error like any other.
func (s *Server) serve(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler: // a list that is broken off: net/http closes the connection
			panic(cause)
		default:
			err = fmt.Errorf("panic: %v", cause)
			s.Log.Error("panic", "route", c.Path(), "err", err, "stack", string(debug.Stack()))
		}
	}()
	r := c.Request()
	if r.Method == http.MethodOptions { // a method like any other that no contract knows; Echo would answer it
		return echo.ErrNotFound
	}
	if path := r.URL.Path; len(path) > 1 && strings.HasSuffix(path, "/") { // trailing slashes answer without redirect
		at := *r.URL
		at.Path, at.RawPath = strings.TrimSuffix(path, "/"), strings.TrimSuffix(at.RawPath, "/")
		r.URL = &at
	}
	return next(c)
}
