package server

import (
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/console"
	"gatehouse/internal/webfile"
)

// console serves the files of package console, which need no credential.
func (s *Server) console() []extraRoute {
	if !s.servesConsole {
		return nil
	}
	var routes []extraRoute
	for _, file := range console.Files() {
		serve := s.serveFile(file)
		if file.Path == console.Path {
			serve = withSlash(serve)
		}
		routes = append(routes, extraRoute{file.Path, serve})
	}
	return routes
}

// withSlash redirects from a path that does not end with a slash to the one that does: the addresses in the page are
// relative, so that they hold behind every proxy. The slash is in what the client sent; the path is without it.
func withSlash(serve echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path, _, _ := strings.Cut(c.Request().RequestURI, "?")
		if !strings.HasSuffix(path, "/") {
			webfile.Redirect(c.Response(), path[strings.LastIndex(path, "/")+1:]+"/")
			return nil
		}
		return serve(c)
	}
}
