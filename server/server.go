// Package server is the HTTP side, and the only room that knows Echo. A request walks one way:
//
//	route → authenticate → authorise → validate → one handler → one store function → reply
//
// Everything that can be said of an operation before it runs, and every answer it may give, comes from the
// contracts in openapi/ (contract.go): a response example's name is what happened, its status and Message are what the
// caller is told. There is one file of handlers per tag of the contracts.
package server

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/gateway"
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
	Store *store.Store
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
	// BodyTimeout is how long a client may take for the next 64 KiB of its body, or of the answer.
	BodyTimeout time.Duration
}

// Server answers the contracts. It is an http.Handler; Run does what has to be done between requests.
type Server struct {
	Config
	echo      *echo.Echo
	handler   http.Handler
	contract  contract
	passwords *password.Hasher
	loadable  *loadable
	gateways  *gateways
	reloads   reloads
}

// New makes a server. It fails if the configuration lacks something, or if contracts, code and routes do not agree:
// every operation must have its validation, its authentication and its answers.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	known, err := loadContract()
	if err != nil {
		return nil, err
	}
	checks, err := newLoadable(known)
	if err != nil {
		return nil, err
	}
	s := &Server{Config: cfg, contract: known, passwords: password.NewHasher(), loadable: checks, gateways: newGateways(cfg)}
	s.echo = echo.New()
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.handleError
	s.echo.Pre(s.observe, middleware.RecoverWithConfig(middleware.RecoverConfig{
		LogErrorFunc: s.logPanic,
	}), middleware.RemoveTrailingSlash(), refuseOptions)
	admin.RegisterHandlersWithOptions(s.echo, s, admin.RegisterHandlersOptions{OperationMiddlewares: s.steps()})
	dashboard.RegisterHandlersWithOptions(s.echo, s, dashboard.RegisterHandlersOptions{OperationMiddlewares: s.steps()})
	node.RegisterHandlersWithOptions(s.echo, s, node.RegisterHandlersOptions{OperationMiddlewares: s.steps()})
	if err := known.checkRoutes(s.echo.Routes()); err != nil {
		return nil, err
	}
	s.serveProfiles()
	s.handler = s.compressed()
	return s, nil
}

func (cfg Config) check() error {
	var missing []error
	for name, ok := range map[string]bool{
		"Store": cfg.Store != nil, "Log": cfg.Log != nil, "Now": cfg.Now != nil,
		"AdminSecret": cfg.AdminSecret != "", "NodeSecret": cfg.NodeSecret != "", "PageSize": cfg.PageSize > 0,
		"Limits": cfg.Limits.Import > 0 && cfg.Limits.Document > 0 && cfg.Limits.BodyTimeout > 0,
	} {
		if !ok {
			missing = append(missing, errors.New("server: no "+name))
		}
	}
	return errors.Join(missing...)
}

// ServeHTTP implements http.Handler. HEAD is answered as GET is: net/http knows that the request was HEAD, and sends no
// body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		get := *r // not r itself: net/http reads r.Method when it answers
		get.Method = http.MethodGet
		r = &get
	}
	s.handler.ServeHTTP(w, r)
}

// refuseOptions has OPTIONS be a method like any other that no contract knows; Echo would answer it.
func refuseOptions(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Method == http.MethodOptions {
			return echo.ErrNotFound
		}
		return next(c)
	}
}

// steps is what a request goes through before its handler, by operation.
func (s *Server) steps() map[string][]echo.MiddlewareFunc {
	steps := map[string][]echo.MiddlewareFunc{}
	for id, op := range s.contract {
		steps[id] = []echo.MiddlewareFunc{op.enter, s.authenticate(op), authorise(op), s.validate(op)}
	}
	return steps
}

// observe gives each request an id, its client's if it sends one, and writes one line about it. It names the route, not the
// path: a path or a query may hold a secret.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began, r, w := time.Now(), c.Request(), c.Response()
		id := r.Header.Get(echo.HeaderXRequestID)
		if id == "" {
			id = rand.Text()
		}
		w.Header().Set(echo.HeaderXRequestID, id)
		if err := next(c); err != nil {
			c.Error(err) // the status is known only then
		}
		s.Log.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("id", id), slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int("status", w.Status),
			slog.Duration("took", time.Since(began)), slog.Int64("bytes", w.Size), slog.String("from", c.RealIP()))
		return nil
	}
}

func (s *Server) logPanic(c echo.Context, err error, stack []byte) error {
	s.Log.Error("panic", "route", c.Path(), "err", err, "stack", string(stack))
	return err
}
