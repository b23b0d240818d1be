package apiserver

import (
	"fmt"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

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
