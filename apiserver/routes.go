package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
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
	// Middlewares admit the requests of each operation, by its ID, and read and validate their bodies. New fails if a
	// route was registered without. The application may add others.
	Middlewares map[string][]echo.MiddlewareFunc

	extra map[string]bool
	// admitted are the routes that were registered with one of Middlewares.
	admitted map[contract.Route]bool
	code     uintptr // of Middlewares
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
	s.echo.IPExtractor = echo.ExtractIPDirect() // Echo's default believes any client what its address is
	routes := &Routes{
		Echo: s.echo, Send: s.Send, Middlewares: map[string][]echo.MiddlewareFunc{}, extra: map[string]bool{},
		admitted: map[contract.Route]bool{},
	}
	s.echo.OnAddRouteHandler = routes.added
	for op := range s.contract.Operations() {
		admits := s.admitRequests(op)
		routes.Middlewares[op.ID], routes.code = []echo.MiddlewareFunc{admits}, codeOf(admits)
	}
	register(routes)
	s.echo.Pre(s.logRequest)
	return s.checkRoutes(routes)
}

func codeOf(m echo.MiddlewareFunc) uintptr { return reflect.ValueOf(m).Pointer() }

// added notes whether a route has one of Middlewares. Functions cannot be compared, but all of them have the same code.
func (r *Routes) added(_ string, route echo.Route, _ echo.HandlerFunc, middlewares []echo.MiddlewareFunc) {
	r.admitted[contract.Route{Method: route.Method, Path: route.Path}] = slices.ContainsFunc(middlewares,
		func(m echo.MiddlewareFunc) bool { return codeOf(m) == r.code })
}

var echoParams = strings.NewReplacer("{", ":", "}", "")

// checkRoutes fails if an operation has no route, or a route, other than the extra ones, no operation. It fails as well
// if the base path would be taken off the path of a route, and if an operation has a route that admits every request.
func (s *Server) checkRoutes(registered *Routes) error {
	contractPath := map[string]string{} // by the path as Echo writes it: /notes/:noteID
	for op := range s.contract.Operations() {
		contractPath[echoParams.Replace(op.Path)] = op.Path
	}
	for path := range registered.extra {
		if contractPath[path] != "" {
			return fmt.Errorf("contract: the path %s is not free: the server has a route of its own there", path)
		}
	}
	var (
		routes     []contract.Route
		unadmitted []error
	)
	for _, r := range s.echo.Routes() {
		if normalPath(r.Path, s.basePath) != r.Path {
			return fmt.Errorf("the base path %s is not free: the path %s begins with it", s.basePath, r.Path)
		}
		if registered.extra[r.Path] && r.Method == http.MethodGet {
			continue
		}
		path, ok := contractPath[r.Path]
		switch {
		case !ok:
			path = r.Path
		case !registered.admitted[contract.Route{Method: r.Method, Path: r.Path}]:
			unadmitted = append(unadmitted, fmt.Errorf("contract: %s %s was registered without Routes.Middlewares, which "+
				"authenticate its requests and check them", r.Method, path))
		}
		routes = append(routes, contract.Route{Method: r.Method, Path: path})
	}
	return errors.Join(append(unadmitted, s.contract.CheckRoutes(routes))...)
}
