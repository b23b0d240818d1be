package contract

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// ErrNoOperation is returned by Find for a request that matches no operation.
var ErrNoOperation = errors.New("no operation of the contract matches the request")

// Find returns the operation of a request, by its method and path, with the values of the path's parameters. Hosts are
// not compared; the paths of a document's servers are.
func (c *Contract) Find(r *http.Request) (*Operation, map[string]string, error) {
	f, err := c.find()
	if err != nil {
		return nil, nil, err
	}
	for _, router := range f.routers {
		if route, params, err := router.FindRoute(r); err == nil {
			return f.operations[route.Operation], params, nil
		}
	}
	return nil, nil, ErrNoOperation
}

// finder finds operations.
type finder struct {
	routers    []routers.Router
	operations map[*openapi3.Operation]*Operation
}

func newFinder(c *Contract) (*finder, error) {
	f := &finder{operations: map[*openapi3.Operation]*Operation{}}
	// By the paths of their servers, and the method: a router refuses a method that the first path that matches does not
	// have, also if another one that matches has it, such as /users/{id} and /users/{name}.
	documents := map[string]*openapi3.T{}
	for op := range c.Operations() {
		f.operations[op.route.Operation] = op
		key := op.Method + " " + strings.Join(op.servers, " ")
		d := documents[key]
		if d == nil {
			d = &openapi3.T{OpenAPI: op.route.Spec.OpenAPI, Paths: openapi3.NewPaths()}
			for _, path := range op.servers {
				d.Servers = append(d.Servers, &openapi3.Server{URL: path})
			}
			documents[key] = d
		}
		d.AddOperation(op.Path, op.Method, op.route.Operation)
	}
	for _, d := range documents {
		router, err := gorillamux.NewRouter(d)
		if err != nil {
			return nil, err
		}
		f.routers = append(f.routers, router)
	}
	return f, nil
}

// basePaths returns the paths of servers, without duplicates; none for servers without a path.
func basePaths(servers openapi3.Servers) []string {
	var paths []string
	for _, server := range servers {
		path := ServerPath(server)
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	if slices.Equal(paths, []string{""}) {
		return nil
	}
	slices.Sort(paths)
	return paths
}

// ServerPath returns the path of a server, with the defaults of its variables and without a slash at its end. It is ""
// for a server without a path, or with an invalid URL.
func ServerPath(server *openapi3.Server) string {
	address := server.URL
	for name, variable := range server.Variables {
		if variable != nil {
			address = strings.ReplaceAll(address, "{"+name+"}", variable.Default)
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	path := strings.TrimRight(u.Path, "/")
	if path != "" && !strings.HasPrefix(path, "/") { // relative to where the document is
		path = "/" + path
	}
	return path
}
