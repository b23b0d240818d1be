package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
)

// contract is every operation of every contract, by operation id.
type contract map[string]*operation

// operation is one operation, with what the server needs of its contract.
type operation struct {
	id, method, path string
	route            *routers.Route
	// scheme names the security scheme; "" is none.
	scheme     string
	permission *permission
	// answers are the documented answers, by what happened.
	answers map[event]answer
	body    *bodyRules
	// plain: nothing can be wrong with a request that has neither a query nor a body.
	plain bool
}

// event is what happened to a request, by the name that the contracts' response examples give it.
type event string

// answer is what the caller is told of an event.
type answer struct {
	status  int
	message string
	// varies is the part of message that stands for a value of the request (`x-varies`).
	varies string
}

// permission is what a user needs for an operation (`x-permission`).
type permission struct {
	object, level string
	// self: a user needs nothing for what they do to themselves.
	self bool
}

// bodyRules say how a request's body is read.
type bodyRules struct {
	mediaType string
	schema    *openapi3.Schema
	// each names the list whose elements are checked one by one (`x-each`); "" is none.
	each    string
	element *openapi3.Schema
	// names are the properties whose names are matched in any case (`x-ignore-case`).
	names []string
}

// contracts are the embedded contracts. To read one is slow (tens of milliseconds), and is done once in a process; nothing
// changes a contract after it.
var contracts = []func() (contract, error){
	sync.OnceValues(reader(admin.GetSpecJSON)), sync.OnceValues(reader(dashboard.GetSpecJSON)), sync.OnceValues(reader(node.GetSpecJSON)),
}

// loadContract gives the operations of all contracts.
func loadContract() (contract, error) {
	parts := make([]contract, len(contracts))
	var reading errgroup.Group
	for i, read := range contracts {
		reading.Go(func() (err error) {
			parts[i], err = read()
			return err
		})
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	known := contract{}
	for _, part := range parts {
		for id, op := range part {
			if _, twice := known[id]; twice {
				return nil, fmt.Errorf("operation %s is there twice", id)
			}
			known[id] = op
		}
	}
	return known, nil
}

// Prepare begins what New needs and takes long, for a program that has something else to wait for. It leaves the other
// cores alone: who waits for a database needs one at each of its answers.
func Prepare() {
	go func() {
		for _, read := range contracts {
			_, _ = read() // New has its error
		}
	}()
}

// reader reads a contract as the JSON that it is. The generated GetSpec has kin-openapi take it for YAML, which takes three
// times as long.
func reader(text func() ([]byte, error)) func() (contract, error) {
	return func() (contract, error) {
		document, err := text()
		if err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
		spec := &openapi3.T{}
		if err := json.Unmarshal(document, spec); err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
		if err := openapi3.NewLoader().ResolveRefsIn(spec, nil); err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
		return newContract(spec)
	}
}

func newContract(spec *openapi3.T) (contract, error) {
	known := contract{}
	defaultSecurity := spec.Security
	// Authentication is done before a body is read (auth.go); servers would have the filter compare hosts.
	spec.Security, spec.Servers = nil, nil
	for path, item := range spec.Paths.Map() {
		for method, declared := range item.Operations() {
			op, err := newOperation(spec, path, method, item, declared, defaultSecurity)
			if err != nil {
				return nil, fmt.Errorf("contract %q: %s %s: %w", spec.Info.Title, method, path, err)
			}
			known[op.id] = op
		}
	}
	return known, nil
}

func newOperation(spec *openapi3.T, path, method string, item *openapi3.PathItem, declared *openapi3.Operation,
	defaultSecurity openapi3.SecurityRequirements,
) (*operation, error) {
	security := defaultSecurity
	if declared.Security != nil {
		security = *declared.Security
	}
	declared.Security = nil
	op := &operation{
		id: declared.OperationID, method: method, path: path,
		// Only what requests are checked by: the rest of a contract is megabytes that the garbage collector would walk through.
		route: &routers.Route{
			Spec: &openapi3.T{OpenAPI: spec.OpenAPI}, Path: path, PathItem: &openapi3.PathItem{Parameters: item.Parameters}, Method: method,
			Operation: &openapi3.Operation{Parameters: declared.Parameters, RequestBody: declared.RequestBody},
		},
	}
	for _, requirement := range security {
		for scheme := range requirement {
			op.scheme = scheme
		}
	}
	var err error
	if op.permission, err = readPermission(declared); err != nil {
		return nil, err
	}
	if op.answers, err = readAnswers(declared); err != nil {
		return nil, err
	}
	op.body = readBodyRules(declared)
	op.plain = op.body == nil && !slices.ContainsFunc(slices.Concat(item.Parameters, declared.Parameters), checked)
	return op, op.check()
}

// checked tells whether there is something to check of a parameter when the request has no query: a path's that is any text
// cannot be wrong, and another that is not required need not be there.
func checked(p *openapi3.ParameterRef) bool {
	if p.Value.In != openapi3.ParameterInPath {
		return p.Value.Required || p.Value.In != openapi3.ParameterInQuery
	}
	schema := p.Value.Schema.Value
	return !schema.Type.Is(openapi3.TypeString) || schema.Pattern != "" || schema.Format != "" || schema.Enum != nil ||
		schema.MinLength > 0 || schema.MaxLength != nil
}

// check finds what would otherwise be noticed only when a request comes.
func (op *operation) check() error {
	_, authenticated := authenticators[op.scheme]
	switch {
	case !authenticated:
		return fmt.Errorf("nobody authenticates by %q", op.scheme)
	case op.scheme != noScheme && op.answers[unauthorised].status == 0:
		return errors.New("no answer named unauthorised")
	case op.permission != nil && op.answers[accessDenied].status == 0:
		return errors.New("x-permission, but no answer named access_denied")
	case op.body != nil && !op.has(emptyBody, malformed, tooLarge, tooSlow):
		return errors.New("a body, but no answers named empty_body, malformed, too_large, too_slow")
	}
	return nil
}

// has tells whether the contract says what each of these events is answered with.
func (op *operation) has(events ...event) bool {
	return !slices.ContainsFunc(events, func(e event) bool { return op.answers[e].status == 0 })
}

func readPermission(declared *openapi3.Operation) (*permission, error) {
	raw, ok := declared.Extensions["x-permission"]
	if !ok {
		return nil, nil
	}
	fields, ok := raw.(map[string]any)
	if !ok {
		return nil, errors.New("x-permission is not an object")
	}
	p := &permission{}
	p.object, _ = fields["object"].(string)
	p.level, _ = fields["level"].(string)
	p.self, _ = fields["self"].(bool)
	if p.object == "" || (p.level != levelRead && p.level != levelWrite) {
		return nil, errors.New("x-permission needs an object and a level, read or write")
	}
	return p, nil
}

// readAnswers takes the answers from the examples of an operation's responses.
func readAnswers(declared *openapi3.Operation) (map[event]answer, error) {
	answers := map[event]answer{}
	for code, response := range declared.Responses.Map() {
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, fmt.Errorf("response %s is not a status", code)
		}
		content := response.Value.Content.Get(echo.MIMEApplicationJSON)
		if content == nil || len(content.Examples) == 0 {
			return nil, fmt.Errorf("response %s has no named example", code)
		}
		for name, example := range content.Examples {
			value, _ := example.Value.Value.(map[string]any)
			text, _ := value["Message"].(string)
			varies, _ := example.Value.Extensions["x-varies"].(string)
			if !strings.Contains(text, varies) {
				return nil, fmt.Errorf("example %s: x-varies is no part of its Message", name)
			}
			answers[event(name)] = answer{status: status, message: text, varies: varies}
		}
	}
	return answers, nil
}

// readBodyRules reads how the body is to be treated, and takes a list of single elements out of the schema: those are
// checked by themselves.
func readBodyRules(declared *openapi3.Operation) *bodyRules {
	if declared.RequestBody == nil {
		return nil
	}
	rules := &bodyRules{}
	for mediaType, content := range declared.RequestBody.Value.Content {
		schema := content.Schema.Value
		rules.mediaType, rules.schema = mediaType, schema
		if _, ok := schema.Extensions["x-ignore-case"]; ok {
			rules.names = slices.Sorted(maps.Keys(schema.Properties))
		}
		for name, property := range schema.Properties {
			if _, ok := property.Value.Extensions["x-each"]; !ok {
				continue
			}
			rules.each, rules.element = name, property.Value.Items.Value
			content.Schema = openapi3.NewSchemaRef("", withAnyObjects(schema, name))
		}
	}
	return rules
}

// withAnyObjects is schema with the list called name holding any objects. The schema itself, which responses share,
// stays as it is.
func withAnyObjects(schema *openapi3.Schema, name string) *openapi3.Schema {
	list := *schema.Properties[name].Value
	list.Items = openapi3.NewSchemaRef("", openapi3.NewObjectSchema())
	envelope := *schema
	envelope.Properties = maps.Clone(schema.Properties)
	envelope.Properties[name] = openapi3.NewSchemaRef("", &list)
	return &envelope
}

// checkRoutes compares the routes with the contracts, both ways.
func (known contract) checkRoutes(routes []*echo.Route) error {
	var wrong []error
	served := map[string]bool{}
	for _, r := range routes {
		served[r.Method+" "+r.Path] = true
	}
	for _, op := range known {
		key := op.method + " " + echoPath(op.path)
		if !served[key] {
			wrong = append(wrong, fmt.Errorf("operation %s has no route %s", op.id, key))
		}
		delete(served, key)
	}
	for key := range served {
		wrong = append(wrong, fmt.Errorf("route %s is in no contract", key))
	}
	return errors.Join(wrong...)
}

// echoPath writes a path of a contract as Echo does: {x} is :x.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// The names under which a request's context holds what its steps have found.
const (
	operationKey = "operation"
	callerKey    = "caller"
	bodyKey      = "body"
)

// operationOf is the request's operation; nil for a request that no contract knows.
func operationOf(c echo.Context) *operation {
	op, _ := c.Get(operationKey).(*operation)
	return op
}
