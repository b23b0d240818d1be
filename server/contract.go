package server

import (
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
)

// contractRules are what the middleware relies on: authentication, authorisation, and reading a body can end in these ways.
var contractRules = contract.Rules{
	Schemes:       []string{adminScheme, accessKeyScheme, nodeScheme},
	Authenticated: []contract.Outcome{unauthorised},
	Authorised:    []contract.Outcome{accessDenied},
	Body:          []contract.Outcome{emptyBody, malformed, tooLarge, tooSlow},
}

// LoadContract compiles the embedded contracts, which takes tens of milliseconds.
func LoadContract() (*contract.Contract, error) {
	var specs [][]byte
	for _, get := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON, node.GetSpecJSON} {
		spec, err := get()
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return contract.Load(contractRules, specs...)
}

// Prepare loads the contract in the background, while a program waits for something else. The function that it returns waits
// for the result, and must be called.
func Prepare() func() (*contract.Contract, error) {
	var loaded *contract.Contract
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		loaded, err = LoadContract()
	}()
	return func() (*contract.Contract, error) {
		<-done
		return loaded, err
	}
}

var echoParams = strings.NewReplacer("{", ":", "}", "")

// checkRoutes fails if Echo has no route for an operation, or a route for none.
func checkRoutes(known *contract.Contract, e *echo.Echo) error {
	pathOf := map[string]string{} // as in the contract, by path as in Echo
	for op := range known.Operations() {
		pathOf[echoParams.Replace(op.Path)] = op.Path
	}
	var routes []contract.Route
	for _, r := range e.Routes() {
		path, ok := pathOf[r.Path]
		if !ok {
			path = r.Path
		}
		routes = append(routes, contract.Route{Method: r.Method, Path: path})
	}
	return known.CheckRoutes(routes)
}

// The names under which a request's context holds what its steps have found.
const (
	operationKey = "operation"
	callerKey    = "caller"
	bodyKey      = "body"
)

// operationOf is the request's operation; nil for a request that no contract knows.
func operationOf(c echo.Context) *contract.Operation {
	op, _ := c.Get(operationKey).(*contract.Operation)
	return op
}
