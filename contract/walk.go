package contract

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// walk calls check for each object of a document, and returns what check reports.
func walk(spec *openapi3.T, check func(w *documentWalk, v reflect.Value, l *layout)) error {
	return (&documentWalk{check: check}).run(spec)
}

// run walks through a document.
func (w *documentWalk) run(spec *openapi3.T) error {
	w.layout, w.followed = map[reflect.Type]*layout{}, map[any]bool{}
	w.visit(reflect.ValueOf(spec))
	if len(w.errs) == 0 {
		return nil
	}
	return within(title(spec), errors.Join(w.errs...))
}

// documentWalk walks through a document. It follows no reference, so that it meets each object where it is written; if
// it is complete, it follows those to other files.
type documentWalk struct {
	// check is called for each object, also for one that is a reference.
	check func(w *documentWalk, v reflect.Value, l *layout)
	// complete reports members without a value, and walks through what other files have.
	complete bool
	// followed are the objects of other files.
	followed map[any]bool
	layout   map[reflect.Type]*layout
	path     []string
	errs     []error
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

func (w *documentWalk) layoutOf(t reflect.Type) *layout {
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
func (w *documentWalk) visit(v reflect.Value) {
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
			w.checkMember(key.String(), v.MapIndex(key))
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.within(strconv.Itoa(i), v.Index(i))
		}
	default: // holds no objects
	}
}

// checkMember reports a member of an object whose keys are free, such as a media type, that has no value.
func (w *documentWalk) checkMember(key string, v reflect.Value) {
	if w.complete && v.Kind() == reflect.Pointer && v.IsNil() {
		w.path = append(w.path, key)
		w.reportf("has no value")
		w.path = w.path[:len(w.path)-1]
	}
}

func (w *documentWalk) within(name string, v reflect.Value) {
	w.path = append(w.path, name)
	w.visit(v)
	w.path = w.path[:len(w.path)-1]
}

// visitPointer visits what a pointer points to. The members of some types are not fields.
func (w *documentWalk) visitPointer(v reflect.Value) {
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

func (w *documentWalk) visitStruct(v reflect.Value) {
	l := w.layoutOf(v.Type())
	w.check(w, v, l)
	if l.ref >= 0 && !w.follows(v, l) {
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

// follows reports whether to visit what may be a reference.
func (w *documentWalk) follows(v reflect.Value, l *layout) bool {
	ref := v.Field(l.ref).String()
	if ref == "" {
		return true
	}
	target := v.FieldByName("Value")
	if !w.complete || strings.HasPrefix(ref, "#") || !target.IsValid() || w.followed[target.Interface()] {
		return false
	}
	w.followed[target.Interface()] = true
	return true
}

func (w *documentWalk) reportf(format string, args ...any) {
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
