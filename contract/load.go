package contract

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"gatehouse/internal/jsonschema"
)

// Load compiles OpenAPI documents in JSON. It fails if a document is invalid, breaks a rule, or declares an operationId
// that another one has; the error names every fault. Compiling large documents takes tens of milliseconds each; they
// are compiled one after another, so that a program can do this in the background without occupying all cores.
func Load(rules Rules, specs ...[]byte) (*Contract, error) {
	var documents []document
	for _, spec := range specs {
		d, err := decode(rules, spec)
		if err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
		documents = append(documents, d)
	}
	return compile(rules, documents...)
}

// LoadFile compiles the OpenAPI document in a file, which is YAML or JSON and may refer to other files.
func LoadFile(rules Rules, path string) (*Contract, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	spec, err := ReadFile(path, false)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return compile(rules, document{spec: spec, digest: sha256.Sum256(raw), err: rules.checkExtensions(spec)})
}

// document is a decoded OpenAPI document.
type document struct {
	spec   *openapi3.T
	digest [sha256.Size]byte
	err    error // faults of its extensions
}

// title names a document in errors.
func title(spec *openapi3.T) string {
	if spec.Info == nil {
		return "contract"
	}
	return strconv.Quote(spec.Info.Title)
}

// decode decodes the document as JSON. The generated GetSpec functions would decode it as YAML, which takes three times
// as long.
func decode(rules Rules, raw []byte) (document, error) {
	d := document{spec: &openapi3.T{}, digest: sha256.Sum256(raw)}
	if err := json.Unmarshal(raw, d.spec); err != nil {
		return d, err
	}
	d.err = rules.checkExtensions(d.spec)
	if err := openapi3.NewLoader().ResolveRefsIn(d.spec, nil); err != nil {
		return d, err
	}
	return d, CheckDocument(d.spec)
}

func compile(rules Rules, documents ...document) (*Contract, error) {
	c := &Contract{operations: map[string]*Operation{}}
	var errs []error
	var unread []unread
	var read []string
	for _, d := range documents {
		one := newCompiler(rules, d)
		operations, err := one.operations()
		errs = append(errs, d.err, err)
		unreadHere, readHere := one.unread()
		unread, read = append(unread, unreadHere...), append(read, readHere...)
		for _, op := range operations {
			if c.operations[op.ID] != nil {
				errs = append(errs, fmt.Errorf("operation %s is declared twice", op.ID))
			}
			c.operations[op.ID] = op
		}
	}
	errs = append(errs, checkUnread(unread, read))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	c.find = sync.OnceValues(func() (*finder, error) { return newFinder(c) })
	return c, nil
}

// compiler compiles one document.
type compiler struct {
	document

	rules               Rules
	servers             []string
	defaultSecurity     openapi3.SecurityRequirements
	requests, responses *schemas
	// readExtensions are the schemas whose x-each or x-ignore-case was read.
	readExtensions map[*openapi3.Schema]bool
}

func newCompiler(rules Rules, d document) compiler {
	c := compiler{
		document: d, rules: rules, servers: basePaths(d.spec.Servers), defaultSecurity: d.spec.Security,
		requests:       requestSchemas(d.spec),
		responses:      responseSchemas(d.spec),
		readExtensions: map[*openapi3.Schema]bool{},
	}
	// The filter must neither authenticate, which the caller does before it reads the body, nor compare hosts.
	d.spec.Security, d.spec.Servers = nil, nil
	return c
}

// operations returns the operations of the document, sorted by path.
func (c compiler) operations() ([]*Operation, error) {
	var operations []*Operation
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(c.spec.Paths.Map())) {
		item := c.spec.Paths.Value(path)
		for _, method := range slices.Sorted(maps.Keys(item.Operations())) {
			declared := item.GetOperation(method)
			parameters := slices.Concat(item.Parameters, declared.Parameters)
			op := &Operation{
				ID: cmp.Or(declared.OperationID, method+" "+path), Method: method, Path: path,
				Schemes: schemesOf(c.spec, c.defaultSecurity, declared), SpecDigest: c.digest, servers: c.servers,
			}
			if len(op.Schemes) > 0 {
				op.Scheme = op.Schemes[0].Name
			}
			if err := errors.Join(c.compile(op, item, declared), c.rules.check(op, parameters)); err != nil {
				errs = append(errs, within(title(c.spec)+": "+method+" "+path, err))
			}
			operations = append(operations, op)
		}
	}
	return operations, errors.Join(errs...)
}

// within adds the place to each of an error's faults.
func within(place string, err error) error {
	var errs []error
	for _, each := range faults(err) {
		errs = append(errs, fmt.Errorf("%s: %w", place, each))
	}
	return errors.Join(errs...)
}

func faults(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, each := range joined.Unwrap() {
		all = append(all, faults(each)...)
	}
	return all
}

// compile sets what an operation declares.
func (c compiler) compile(op *Operation, item *openapi3.PathItem, declared *openapi3.Operation) error {
	// The route keeps only what validation reads: the rest of a document is megabytes that the garbage collector would
	// scan.
	op.route = &routers.Route{
		Spec: &openapi3.T{OpenAPI: c.spec.OpenAPI}, Path: op.Path, Method: op.Method,
		PathItem:  &openapi3.PathItem{Parameters: item.Parameters},
		Operation: &openapi3.Operation{Parameters: declared.Parameters, RequestBody: declared.RequestBody},
	}
	parameters := slices.Concat(item.Parameters, declared.Parameters)
	op.plain, op.single = !slices.ContainsFunc(parameters, canBeInvalid), singleValued(parameters)
	op.queried = namesOf(parameters, openapi3.ParameterInQuery, func(*openapi3.ParameterRef) bool { return true })
	op.headers = namesOf(parameters, openapi3.ParameterInHeader, func(p *openapi3.ParameterRef) bool {
		return p.Value.Required || isConstrained(p)
	})
	var errs [4]error
	op.Permission, errs[0] = readPermission(declared)
	op.Responses, errs[1] = c.rules.readResponses(declared)
	op.declared, errs[2] = c.responses.readDeclared(declared)
	op.Body, errs[3] = c.readBody(declared)
	return errors.Join(errs[:]...)
}

func readPermission(declared *openapi3.Operation) (*Permission, error) {
	raw, ok := declared.Extensions[extPermission]
	if !ok {
		return nil, nil
	}
	fields, ok := raw.(map[string]any)
	if !ok {
		return nil, errors.New("x-permission is not an object")
	}
	p := &Permission{}
	known := map[string]any{"object": &p.Object, "level": &p.Level, "self": &p.Self}
	for name, value := range fields {
		switch field := known[name].(type) {
		case *string:
			*field, ok = value.(string)
		case *bool:
			*field, ok = value.(bool)
		default:
			names := slices.Collect(maps.Keys(known))
			return nil, fmt.Errorf("x-permission has an unknown member %q%s", name, suggestion(name, names))
		}
		if !ok {
			return nil, fmt.Errorf("x-permission: %s has the wrong type", name)
		}
	}
	if p.Object == "" || (p.Level != LevelRead && p.Level != LevelWrite) {
		return nil, errors.New("x-permission needs an object and a level, read or write")
	}
	return p, nil
}

// readResponses reads the responses by outcome: the names of examples, and x-outcome of a response without content.
func (rules Rules) readResponses(declared *openapi3.Operation) (map[Outcome]Response, error) {
	responses := map[Outcome]Response{}
	var errs []error
	for _, code := range slices.Sorted(maps.Keys(declared.Responses.Map())) {
		status, err := statusOf(code)
		if err != nil || status < http.StatusContinue { // a range, or the default
			if rules.Outcomes {
				errs = append(errs, fmt.Errorf("response %s is not a status", code))
			}
			continue
		}
		named, err := readOutcomes(declared.Responses.Value(code).Value)
		if err != nil && rules.Outcomes {
			errs = append(errs, within("response "+code, err))
		}
		for _, outcome := range slices.Sorted(maps.Keys(named)) {
			if twice, ok := responses[outcome]; ok && rules.Outcomes {
				errs = append(errs, fmt.Errorf("the outcome %s has two responses, %d and %d", outcome, twice.Status, status))
				continue
			}
			read := named[outcome]
			read.Status = status
			responses[outcome] = read
		}
	}
	return responses, errors.Join(errs...)
}

// readOutcomes reads the outcomes of one response. Their Status is not set.
func readOutcomes(response *openapi3.Response) (map[Outcome]Response, error) {
	named, _ := response.Extensions[extOutcome].(string)
	content := response.Content.Get(mediaJSON)
	switch {
	case len(response.Content) == 0 && named != "":
		return map[Outcome]Response{Outcome(named): {Form: Empty}}, nil
	case named != "":
		return nil, errors.New("x-outcome names a response without content, but this one has content")
	case content == nil || len(content.Examples) == 0:
		return nil, errors.New("it has neither a named example nor, without content, an x-outcome")
	}
	outcomes := map[Outcome]Response{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(content.Examples)) {
		example := content.Examples[name].Value
		value, _ := example.Value.(map[string]any)
		message, enveloped := value["Message"].(string)
		varies, _ := example.Extensions[extVaries].(string)
		if !strings.Contains(message, varies) {
			errs = append(errs, fmt.Errorf("example %s: x-varies is not a part of its Message", name))
		}
		read := Response{Message: message, Varies: varies}
		if enveloped {
			read.Form = Envelope
		}
		if word, _ := value["Status"].(string); enveloped && word != "OK" && word != "Error" {
			read.Success = word
		}
		outcomes[Outcome(name)] = read
	}
	return outcomes, errors.Join(errs...)
}

// readBody reads how the body is validated. It removes the element schema of an x-each list from the schema of the
// body, because those elements are validated one by one.
func (c compiler) readBody(declared *openapi3.Operation) (*Body, error) {
	maxBytes, err := readMaxBody(declared)
	if err != nil || declared.RequestBody == nil || len(declared.RequestBody.Value.Content) == 0 {
		return nil, err
	}
	content := declared.RequestBody.Value.Content
	mediaTypes := slices.Sorted(maps.Keys(content))
	body := &Body{MediaType: mediaTypes[0], MaxBytes: maxBytes, Optional: declared.Extensions[extOptional] == true}
	if i := slices.IndexFunc(mediaTypes, isJSON); i >= 0 {
		body.MediaType = mediaTypes[i]
	}
	body.Alternatives = slices.DeleteFunc(mediaTypes, func(name string) bool { return name == body.MediaType })
	if content[body.MediaType].Schema == nil {
		return body, nil
	}
	body.Schema = content[body.MediaType].Schema.Value
	if err := c.readBodyExtensions(body); err != nil {
		return nil, err
	}
	content[body.MediaType].Schema = openapi3.NewSchemaRef("", body.Schema)
	body.strict = sync.OnceValues(func() (*jsonschema.Schema, error) {
		return jsonschema.Compile(cmp.Or(body.Element, body.Schema), jsonschema.Options{})
	})
	if isJSON(body.MediaType) {
		body.json, err = c.requests.compile(body.Schema)
	}
	if err == nil && body.Element != nil {
		body.element, err = c.requests.compile(body.Element)
	}
	return body, err
}

// readMaxBody reads x-max-body. Without it, it returns 0.
func readMaxBody(declared *openapi3.Operation) (int64, error) {
	value, ok := declared.Extensions[extMaxBody]
	if !ok {
		return 0, nil
	}
	size, ok := value.(float64)
	if !ok || size < 1 || size != math.Trunc(size) {
		return 0, errors.New("x-max-body is not a number of bytes")
	}
	if declared.RequestBody == nil {
		return 0, errors.New("has x-max-body, but no request body")
	}
	return int64(size), nil
}

// readBodyExtensions reads x-ignore-case and x-each.
func (c compiler) readBodyExtensions(body *Body) error {
	declared := body.Schema
	if _, ok := declared.Extensions[extIgnoreCase]; ok {
		body.AnyCaseNames = slices.Sorted(maps.Keys(declared.Properties))
		c.readExtensions[declared] = true
	}
	for name, property := range declared.Properties {
		if _, ok := property.Value.Extensions[extEach]; !ok || property.Value.Items == nil {
			continue
		}
		if body.List != "" {
			return fmt.Errorf("the body has two lists with x-each, %s and %s", min(body.List, name), max(body.List, name))
		}
		c.readExtensions[property.Value] = true
		body.List, body.Element = name, property.Value.Items.Value
		body.Schema = withAnyElements(declared, name)
	}
	return nil
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
