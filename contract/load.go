package contract

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
)

const mediaJSON = "application/json"

// Rules are what the caller of Load relies on. A document that breaks one of them is refused at startup instead of
// failing the first request that meets the gap. The zero value requires nothing.
type Rules struct {
	// Schemes are the security schemes that the caller implements. nil allows any.
	Schemes []string
	// Authenticated are the outcomes that each operation with a security scheme must document.
	Authenticated []Outcome
	// Authorised are the outcomes that each operation with a permission must document.
	Authorised []Outcome
	// Body are the outcomes that each operation with a request body must document.
	Body []Outcome
}

// Load compiles OpenAPI documents in JSON. It fails if a document is invalid, breaks a rule, or declares an operationId
// that another one has. Compiling large documents takes tens of milliseconds each; they are compiled one after another,
// so that a program can do this in the background without occupying all cores.
func Load(rules Rules, specs ...[]byte) (*Contract, error) {
	loaded := &Contract{operations: map[string]*Operation{}}
	for _, spec := range specs {
		operations, err := parse(rules, spec)
		if err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
		for _, op := range operations {
			if loaded.operations[op.ID] != nil {
				return nil, fmt.Errorf("contract: operation %s is declared twice", op.ID)
			}
			loaded.operations[op.ID] = op
		}
	}
	return loaded, nil
}

// parse decodes the document as JSON. The generated GetSpec functions would decode it as YAML, which takes three times
// as long.
func parse(rules Rules, document []byte) ([]*Operation, error) {
	spec := &openapi3.T{}
	if err := json.Unmarshal(document, spec); err != nil {
		return nil, err
	}
	if err := openapi3.NewLoader().ResolveRefsIn(spec, nil); err != nil {
		return nil, err
	}
	defaultSecurity := spec.Security
	// The filter must neither authenticate, which the caller does before it reads the body, nor compare hosts.
	spec.Security, spec.Servers = nil, nil
	digest := sha256.Sum256(document)
	var operations []*Operation
	for path, item := range spec.Paths.Map() {
		for method, declared := range item.Operations() {
			op := &Operation{ID: declared.OperationID, Method: method, Path: path, SpecDigest: digest}
			op.Scheme = schemeOf(declared, defaultSecurity)
			err := op.compile(spec, item, declared)
			if err == nil {
				err = rules.check(op)
			}
			if err != nil {
				return nil, fmt.Errorf("%q: %s %s: %w", spec.Info.Title, method, path, err)
			}
			operations = append(operations, op)
		}
	}
	return operations, nil
}

func schemeOf(declared *openapi3.Operation, defaultSecurity openapi3.SecurityRequirements) (scheme string) {
	security := defaultSecurity
	if declared.Security != nil {
		security = *declared.Security
	}
	for _, requirement := range security {
		for name := range requirement {
			scheme = name
		}
	}
	return scheme
}

func (op *Operation) compile(spec *openapi3.T, item *openapi3.PathItem, declared *openapi3.Operation) error {
	// The route keeps only what validation reads: the rest of a document is megabytes that the garbage collector would
	// scan.
	op.route = &routers.Route{
		Spec: &openapi3.T{OpenAPI: spec.OpenAPI}, Path: op.Path, Method: op.Method,
		PathItem:  &openapi3.PathItem{Parameters: item.Parameters},
		Operation: &openapi3.Operation{Parameters: declared.Parameters, RequestBody: declared.RequestBody},
	}
	var err error
	if op.Permission, err = readPermission(declared); err != nil {
		return err
	}
	if op.Responses, err = readResponses(declared); err != nil {
		return err
	}
	op.Body = readBody(declared)
	op.plain = op.Body == nil && !slices.ContainsFunc(slices.Concat(item.Parameters, declared.Parameters), canBeInvalid)
	return nil
}

// canBeInvalid reports whether a parameter can be invalid in a request without a query: not a path parameter that is
// any string, and not an optional query parameter.
func canBeInvalid(p *openapi3.ParameterRef) bool {
	if p.Value.In != openapi3.ParameterInPath {
		return p.Value.Required || p.Value.In != openapi3.ParameterInQuery
	}
	schema := p.Value.Schema.Value
	return !schema.Type.Is(openapi3.TypeString) || schema.Pattern != "" || schema.Format != "" || schema.Enum != nil ||
		schema.MinLength > 0 || schema.MaxLength != nil
}

func (rules Rules) check(op *Operation) error {
	switch {
	case op.Scheme != "" && rules.Schemes != nil && !slices.Contains(rules.Schemes, op.Scheme):
		return fmt.Errorf("security scheme %q is not implemented", op.Scheme)
	case op.Scheme != "" && !op.HasResponses(rules.Authenticated...):
		return fmt.Errorf("requires %q, but lacks one of the response examples %v", op.Scheme, rules.Authenticated)
	case op.Permission != nil && !op.HasResponses(rules.Authorised...):
		return fmt.Errorf("has x-permission, but lacks one of the response examples %v", rules.Authorised)
	case op.Body != nil && !op.HasResponses(rules.Body...):
		return fmt.Errorf("has a request body, but lacks one of the response examples %v", rules.Body)
	}
	return nil
}

func readPermission(declared *openapi3.Operation) (*Permission, error) {
	raw, ok := declared.Extensions["x-permission"]
	if !ok {
		return nil, nil
	}
	fields, ok := raw.(map[string]any)
	if !ok {
		return nil, errors.New("x-permission is not an object")
	}
	p := &Permission{}
	p.Object, _ = fields["object"].(string)
	p.Level, _ = fields["level"].(string)
	p.Self, _ = fields["self"].(bool)
	if p.Object == "" || (p.Level != LevelRead && p.Level != LevelWrite) {
		return nil, errors.New("x-permission needs an object and a level, read or write")
	}
	return p, nil
}

// readResponses reads the responses from the examples of the operation's responses.
func readResponses(declared *openapi3.Operation) (map[Outcome]Response, error) {
	responses := map[Outcome]Response{}
	for code, response := range declared.Responses.Map() {
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, fmt.Errorf("response %s is not a status", code)
		}
		content := response.Value.Content.Get(mediaJSON)
		if content == nil || len(content.Examples) == 0 {
			return nil, fmt.Errorf("response %s has no named example", code)
		}
		for name, example := range content.Examples {
			value, _ := example.Value.Value.(map[string]any)
			message, _ := value["Message"].(string)
			varies, _ := example.Value.Extensions["x-varies"].(string)
			if !strings.Contains(message, varies) {
				return nil, fmt.Errorf("example %s: x-varies is not a part of its Message", name)
			}
			responses[Outcome(name)] = Response{Status: status, Message: message, Varies: varies}
		}
	}
	return responses, nil
}

// readBody reads how the body is validated. It removes the element schema of an x-each list from the schema of the
// body, because those elements are validated one by one.
func readBody(declared *openapi3.Operation) *Body {
	if declared.RequestBody == nil {
		return nil
	}
	body := &Body{}
	for mediaType, content := range declared.RequestBody.Value.Content {
		schema := content.Schema.Value
		body.MediaType, body.Schema = mediaType, schema
		if _, ok := schema.Extensions["x-ignore-case"]; ok {
			body.AnyCaseNames = slices.Sorted(maps.Keys(schema.Properties))
		}
		for name, property := range schema.Properties {
			if _, ok := property.Value.Extensions["x-each"]; !ok {
				continue
			}
			body.List, body.Element = name, property.Value.Items.Value
			content.Schema = openapi3.NewSchemaRef("", withAnyElements(schema, name))
		}
	}
	return body
}

// withAnyElements returns a copy of schema whose list called name holds any objects. The schema itself is shared with
// responses and stays as it is.
func withAnyElements(schema *openapi3.Schema, name string) *openapi3.Schema {
	list := *schema.Properties[name].Value
	list.Items = openapi3.NewSchemaRef("", openapi3.NewObjectSchema())
	envelope := *schema
	envelope.Properties = maps.Clone(schema.Properties)
	envelope.Properties[name] = openapi3.NewSchemaRef("", &list)
	return &envelope
}

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
