package contract

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/internal/jsonschema"
)

// The x- keys that this package reads.
const (
	extPermission = "x-permission"
	extVaries     = "x-varies"
	extOutcome    = "x-outcome"
	extEach       = "x-each"
	extIgnoreCase = "x-ignore-case"
	extOrder      = "x-order"
	extMaxBody    = "x-max-body"
	extOptional   = "x-optional-body"
)

// The kinds of objects that x- keys belong to, as Rules.Extensions names them.
const (
	onOperation = "operation"
	onSchema    = "schema"
	onExample   = "example"
	onResponse  = "response"
)

// extensions are the x- keys that this package and jsonschema read, with the kinds of objects they belong to.
var extensions = map[string]string{
	extPermission: onOperation, extVaries: onExample, extOutcome: onResponse, extOrder: onSchema,
	extEach: onSchema, extIgnoreCase: onSchema, extMaxBody: onOperation, extOptional: onOperation,
	jsonschema.ObjectID: onSchema, jsonschema.Duration: onSchema, jsonschema.NullIsAbsent: onSchema,
}

// KnownExtensions returns the x- keys that a document may have, each with the kind of object that it belongs to: those
// that this package reads, and Extensions.
func (rules Rules) KnownExtensions() map[string]string {
	known := maps.Clone(extensions)
	maps.Copy(known, rules.Extensions)
	return known
}

// flags are the x- keys whose only value is true: "x-each: false" would have the effect of true.
var flags = []string{
	extEach, extIgnoreCase, extOptional, jsonschema.ObjectID, jsonschema.Duration, jsonschema.NullIsAbsent,
}

// checkExtensions returns an error for each x- key of a document that nothing reads: a permission must not be lost by a
// typing error.
func (rules Rules) checkExtensions(spec *openapi3.T) error {
	if rules.Extensions == nil {
		return nil
	}
	w := extensionWalk{known: rules.KnownExtensions(), layout: map[reflect.Type]*layout{}}
	w.visit(reflect.ValueOf(spec))
	if len(w.errs) == 0 {
		return nil
	}
	return within(title(spec), errors.Join(w.errs...))
}

// unread is a schema with an x-each or x-ignore-case that is on no request body.
type unread struct {
	component string
	err       error
}

// unread returns the components with such a schema, and the names of those where all is read.
func (c compiler) unread() (unreadAll []unread, read []string) {
	if c.rules.Extensions == nil || c.spec.Components == nil {
		return nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.spec.Components.Schemas)) {
		s := c.spec.Components.Schemas[name].Value
		places := map[string]*openapi3.Schema{"components/schemas/" + name: s}
		for property, p := range s.Properties {
			if p.Ref == "" {
				places["components/schemas/"+name+"/properties/"+property] = p.Value
			}
		}
		for _, place := range slices.Sorted(maps.Keys(places)) {
			for _, key := range []string{extEach, extIgnoreCase} {
				switch _, has := places[place].Extensions[key]; {
				case has && c.readExtensions[places[place]]:
					read = append(read, name)
				case has:
					err := fmt.Errorf("%s: %s: %s belongs to the schema of a request body", title(c.spec), place, key)
					unreadAll = append(unreadAll, unread{name, err})
				}
			}
		}
	}
	return unreadAll, read
}

// checkUnread returns an error for each unread extension, but for a copy of a schema that another document reads: the
// copy's name ends with that of the schema.
func checkUnread(all []unread, read []string) error {
	var errs []error
	for _, u := range all {
		if !slices.ContainsFunc(read, func(name string) bool { return strings.HasSuffix("_"+u.component, "_"+name) }) {
			errs = append(errs, u.err)
		}
	}
	return errors.Join(errs...)
}

// extensionWalk walks through a document. It follows no reference, so that it meets each object where it is written.
type extensionWalk struct {
	known  map[string]string
	layout map[reflect.Type]*layout
	path   []string
	errs   []error
}

// layout is what the walk visits of the objects of a Go type.
type layout struct {
	// kind is that of the object: SchemaRef and Schema are "schema", RequestBody is "request body".
	kind string
	// extensions is the field with x- keys, ref that with a reference, -1 if there is none.
	extensions, ref int
	// fields hold objects.
	fields []layoutField
}

// layoutField is a field of a Go type, with its name in a document, "" for a field that is no member.
type layoutField struct {
	index int
	name  string
}

func (w *extensionWalk) layoutOf(t reflect.Type) *layout {
	if known := w.layout[t]; known != nil {
		return known
	}
	l := &layout{kind: kindOf(t), extensions: -1, ref: -1}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || field.Name == "Origin":
		case field.Name == "Extensions":
			l.extensions = i
		case field.Name == "Ref":
			l.ref = i
		case holdsObjects(field.Type):
			l.fields = append(l.fields, layoutField{i, strings.TrimPrefix(name, "-")})
		}
	}
	w.layout[t] = l
	return l
}

// holdsObjects reports whether values of a type are objects, or hold some. Examples and defaults are interfaces.
func holdsObjects(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return true
	case reflect.Pointer, reflect.Slice:
		return holdsObjects(t.Elem())
	case reflect.Map:
		return t.Key().Kind() == reflect.String && holdsObjects(t.Elem())
	default:
		return false
	}
}

// visit visits a value of a type that holds objects.
func (w *extensionWalk) visit(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			w.visitPointer(v)
		}
	case reflect.Struct:
		w.visitStruct(v)
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			w.within(key.String(), v.MapIndex(key))
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.within(strconv.Itoa(i), v.Index(i))
		}
	default: // holds no objects
	}
}

func (w *extensionWalk) within(name string, v reflect.Value) {
	w.path = append(w.path, name)
	w.visit(v)
	w.path = w.path[:len(w.path)-1]
}

// visitPointer visits what a pointer points to. The members of some types are not fields.
func (w *extensionWalk) visitPointer(v reflect.Value) {
	var members any
	switch object := v.Interface().(type) {
	case *openapi3.Paths:
		members = object.Map()
	case *openapi3.Responses:
		members = object.Map()
	case *openapi3.Callback:
		members = object.Map()
	default:
		w.visit(v.Elem())
		return
	}
	w.visitStruct(v.Elem())
	w.visit(reflect.ValueOf(members))
}

func (w *extensionWalk) visitStruct(v reflect.Value) {
	l := w.layoutOf(v.Type())
	if l.extensions >= 0 && v.Field(l.extensions).Len() > 0 {
		values, _ := reflect.TypeAssert[map[string]any](v.Field(l.extensions))
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if strings.HasPrefix(key, "x-") {
				w.checkKey(key, values[key], l.kind)
			}
		}
	}
	if l.ref >= 0 && v.Field(l.ref).String() != "" {
		return
	}
	for _, field := range l.fields {
		if field.name == "" {
			w.visit(v.Field(field.index))
		} else {
			w.within(field.name, v.Field(field.index))
		}
	}
}

func (w *extensionWalk) checkKey(key string, value any, kind string) {
	belongsTo, known := w.known[key]
	switch {
	case !known:
		w.reportf("nothing reads %s%s", key, suggestion(key, slices.Collect(maps.Keys(w.known))))
	case belongsTo != kind:
		w.reportf("%s belongs to: %s, not to: %s", key, belongsTo, kind)
	case slices.Contains(flags, key) && value != true:
		w.reportf("%s can only be true", key)
	}
}

func (w *extensionWalk) reportf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if len(w.path) > 0 {
		err = fmt.Errorf("%s: %w", placeOf(w.path), err)
	}
	w.errs = append(w.errs, err)
}

// placeOf names a place: "GET /api/users", "components/schemas/User".
func placeOf(path []string) string {
	const item, operation = 2, 3 // paths, /api/users, get
	switch {
	case len(path) < item || path[0] != "paths":
		return strings.Join(path, "/")
	case len(path) == item:
		return path[1]
	}
	return strings.TrimSpace(strings.ToUpper(path[2]) + " " + path[1] + " " + strings.Join(path[operation:], "/"))
}

func kindOf(t reflect.Type) string {
	if t == reflect.TypeFor[openapi3.T]() {
		return "document"
	}
	var kind strings.Builder
	for i, r := range strings.TrimSuffix(t.Name(), "Ref") {
		if i > 0 && r >= 'A' && r <= 'Z' {
			kind.WriteByte(' ')
		}
		kind.WriteRune(r)
	}
	return strings.ToLower(kind.String())
}
