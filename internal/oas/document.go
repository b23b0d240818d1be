package oas

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// document is what an extraction needs of an OpenAPI document.
type document struct {
	gjson.Result
	components map[string]map[string]gjson.Result // by kind and name, read when they are needed
}

func newDocument(raw []byte) document {
	return document{gjson.ParseBytes(raw), map[string]map[string]gjson.Result{}}
}

// get returns the value at a path.
func (d document) get(path ...string) gjson.Result { return get(d.Result, path...) }

// named returns the components of a kind, by their names.
func (d document) named(kind string) map[string]gjson.Result {
	if d.components[kind] == nil {
		d.components[kind] = maps.Collect(membersOf(d.get("components", kind)))
	}
	return d.components[kind]
}

// component returns the component of a kind that a value refers to, and the value if it refers to none.
func (d document) component(kind string, value gjson.Result) gjson.Result {
	name, ok := strings.CutPrefix(textOf(get(value, "$ref")), "#/components/"+kind+"/")
	if !ok {
		return value
	}
	return d.named(kind)[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
}

// methods are the HTTP methods that a path may have operations for, in the order of their names.
var methods = []string{"connect", "delete", "get", "head", "options", "patch", "post", "put", "trace"}

// operation is an operation of the document.
type operation struct {
	id      string
	path    string
	literal string // the path without its parameters
	method  string
}

var pathParameter = regexp.MustCompile(`\{[^}]+\}`)

// operations returns the operations with these IDs, in the order in which a gateway lists them: those of longer paths
// first. Several may have the same ID.
func (d document) operations(has func(id string) bool) []operation {
	var found []operation
	for path, item := range membersOf(get(d.Result, "paths")) {
		for _, method := range methods {
			op := get(item, method)
			if id := textOf(get(op, "operationId")); op.IsObject() && has(id) {
				literal := pathParameter.ReplaceAllString(path, "")
				found = append(found, operation{id, path, literal, strings.ToUpper(method)})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b operation) int {
		return cmp.Or(comparePaths(a, b), strings.Compare(a.method, b.method))
	})
	return found
}

// comparePaths orders paths as a gateway matches them: more segments first, then longer ones. Parameters have no
// length, and come behind literals.
func comparePaths(a, b operation) int {
	x, y := a.literal, b.literal
	if x == y {
		x, y = b.path, a.path
	}
	return cmp.Or(
		cmp.Compare(strings.Count(y, "/"), strings.Count(x, "/")),
		cmp.Compare(len(y), len(x)),
		strings.Compare(x, y),
	)
}

// names are the members of an object that an extraction reads. The element for any other name is everyName.
type names map[string]names

const everyName = "*"

// readNames are the members of a document that an extraction reads.
var readNames = func() names {
	operations := names{}
	for _, method := range methods {
		operations[method] = names{"operationId": nil}
	}
	scheme := names{"type": nil, "scheme": nil, "bearerFormat": nil, "in": nil, "name": nil, "$ref": nil}
	return names{
		"paths":      {everyName: operations},
		"components": {"securitySchemes": {everyName: scheme}},
		"security":   nil,
	}
}()

// checkNames returns an error for a member whose name differs from a known one in case only. A gateway's decoder
// ignores case, so that it would serve an operation, for example, whose settings the definition lacks.
func checkNames(value gjson.Result, known names, path ...string) error {
	if len(known) == 0 {
		return nil
	}
	for name, member := range membersOf(value) {
		below, ok := known[name]
		if !ok {
			below, ok = known[everyName]
		}
		if ok {
			if err := checkNames(member, below, append(path, name)...); err != nil {
				return err
			}
			continue
		}
		for other := range known {
			if strings.EqualFold(name, other) {
				message := "differs from " + other + " in case only"
				return &Error{Pointer: pointerTo(append(path, name)...), Message: message}
			}
		}
	}
	return nil
}

// securityScheme returns a security scheme of the components. It does not exist if there is none of the name.
func (d document) securityScheme(name string) gjson.Result {
	const schemes = "securitySchemes"
	return d.component(schemes, d.named(schemes)[name])
}
