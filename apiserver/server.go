package apiserver

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// Server serves a contract. It is an http.Handler; its methods are safe for concurrent use.
type Server struct {
	contract  *contract.Contract
	admission admission
	bodies    *bodyReader
	responses *responseChecks // nil if responses are not checked
	limits    Limits
	hooks     hooks
	basePath  string

	log          *slog.Logger
	samples      samples // chooses the requests that have a line
	publicParams []string

	echo    *echo.Echo
	handler http.Handler // echo, and what is around it
}

// Routes is what Config.Routes registers the routes of a contract with. For each package that is generated from a
// document of the contract, it calls
//
//	api.RegisterHandlersWithOptions(routes.Echo, api.Serve(handlers, apiserver.RequestOf[*request], routes.Send),
//		api.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
type Routes struct {
	Echo *echo.Echo
	// Send sends a reply.
	Send func(echo.Context, contract.Reply) error
	// Middlewares admit the requests of each operation, by its ID, and read and validate their bodies.
	Middlewares map[string][]echo.MiddlewareFunc

	extra map[string]bool
}

// Extra adds a route, for GET, that is not an operation of the contract.
func (r *Routes) Extra(path string, handler echo.HandlerFunc) {
	r.extra[path] = true
	r.Echo.GET(path, handler)
}

// New returns a server. It fails if the configuration is incomplete, or if contract, configuration and routes disagree:
// each operation must have a route, and a security scheme that is implemented. The type of the application's request
// follows from the configuration:
//
//	server, err := apiserver.New(apiserver.Config[*request]{…})
func New[R any, P interface {
	*R
	AnyRequest
}](cfg Config[P]) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		contract: cfg.Contract, admission: admissionOf(cfg), bodies: newBodyReader(cfg.Limits, cfg.Conversions),
		responses: newResponseChecks(cfg.CheckResponses, cfg.Log, cfg.Hooks.Departed),
		limits:    cfg.Limits, hooks: hooksOf(cfg), basePath: cfg.BasePath,
		log: cfg.Log, samples: samples{share: 1 - cfg.UnloggedRequests}, publicParams: cfg.PublicParams,
		echo: echo.New(),
	}
	if err := s.admission.check(cfg.Contract); err != nil {
		return nil, err
	}
	if err := s.addRoutes(cfg.Routes); err != nil {
		return nil, err
	}
	compressed, err := compress(s.echo, cfg.Compress)
	s.handler = limitUnreadBodies(uncached(normalPaths(headAsGET(compressed), s.basePath)))
	return s, err
}

// addRoutes adds the routes of the contract, and others.
func (s *Server) addRoutes(register func(*Routes)) error {
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.handleError
	routes := &Routes{
		Echo: s.echo, Send: s.Send, Middlewares: map[string][]echo.MiddlewareFunc{}, extra: map[string]bool{},
	}
	for op := range s.contract.Operations() {
		routes.Middlewares[op.ID] = []echo.MiddlewareFunc{s.admitRequests(op)}
	}
	register(routes)
	s.echo.Pre(s.logRequest)
	return s.checkRoutes(routes.extra)
}

var echoParams = strings.NewReplacer("{", ":", "}", "")

// checkRoutes fails if an operation has no route, or a route, other than the extra ones, no operation. It fails as well
// if the base path would be taken off the path of a route.
func (s *Server) checkRoutes(extra map[string]bool) error {
	contractPath := map[string]string{} // by the path as Echo writes it: /notes/:noteID
	for op := range s.contract.Operations() {
		contractPath[echoParams.Replace(op.Path)] = op.Path
	}
	for path := range extra {
		if contractPath[path] != "" {
			return fmt.Errorf("contract: the path %s is not free: the server has a route of its own there", path)
		}
	}
	var routes []contract.Route
	for _, r := range s.echo.Routes() {
		if normalPath(r.Path, s.basePath) != r.Path {
			return fmt.Errorf("the base path %s is not free: the path %s begins with it", s.basePath, r.Path)
		}
		if extra[r.Path] {
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

// outcomeOf returns the outcome of an error that ends a request before its handler.
func (s *Server) outcomeOf(err error) contract.Outcome {
	if s.hooks.outcome != nil {
		if outcome := s.hooks.outcome(err); outcome != "" {
			return outcome
		}
	}
	return OutcomeOf(err)
}
