package contract

import (
	"errors"
	"fmt"
)

// Route is a method and a path of a server, with parameters in braces: /admin/users/{userId}.
type Route struct{ Method, Path string }

// CheckRoutes returns an error that names each operation without a route, and each route without an operation.
func (c *Contract) CheckRoutes(routes []Route) error {
	var errs []error
	served := map[Route]bool{}
	for _, r := range routes {
		served[r] = true
	}
	for op := range c.Operations() {
		route := Route{op.Method, op.Path}
		if !served[route] {
			errs = append(errs, fmt.Errorf("operation %s has no route %s %s", op.ID, op.Method, op.Path))
		}
		delete(served, route)
	}
	for route := range served {
		errs = append(errs, fmt.Errorf("route %s %s is in no contract", route.Method, route.Path))
	}
	return errors.Join(errs...)
}
