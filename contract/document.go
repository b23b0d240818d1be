package contract

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// ReadLocal is a ReadFromURIFunc that reads files, and fetches nothing from other servers: they may not answer.
func ReadLocal(loader *openapi3.Loader, location *url.URL) ([]byte, error) {
	text, err := openapi3.ReadFromFile(loader, location)
	if errors.Is(err, openapi3.ErrURINotSupported) {
		return nil, fmt.Errorf("%s is on another server: save it in a file", location)
	}
	return text, err
}

// ReadFile reads an OpenAPI document, which is YAML or JSON, with the files that it refers to. With origins, the
// document notes where its parts are. ReadFile fails for a document that has no paths, refers to nothing, or cannot be
// used for another reason that CheckDocument finds.
func ReadFile(path string, origins bool) (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed, loader.IncludeOrigin = true, origins
	loader.ReadFromURIFunc = ReadLocal
	spec, err := loader.LoadFromFile(path)
	if err == nil {
		err = CheckDocument(spec)
	}
	if err == nil && spec.Paths == nil {
		err = errNoPaths
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

// CheckDocument returns an error that names each part of a document, whose references are resolved, that nothing can be
// done with: a reference that leads to itself only, a member without a value, a schema that is composed of itself, a
// path that matches nothing, and a response for what is no status.
func CheckDocument(spec *openapi3.T) error {
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(spec.Paths.Map())) {
		if !validPath.MatchString(path) {
			errs = append(errs, within(title(spec), fmt.Errorf("path %s: %w", path, errPath)))
		}
	}
	return errors.Join(append(errs, checkObjects(spec))...)
}

// validPath matches a path, whose parameters are in braces.
var validPath = regexp.MustCompile(`^/(?:[^{}]|\{[^{}/]+\})*$`)

var errPath = errors.New("does not begin with a slash, or has a brace without the other one")

// checkObjects checks each object of a document.
func checkObjects(spec *openapi3.T) error {
	composed := composition{}
	check := func(w *documentWalk, v reflect.Value, l *layout) {
		if v.CanAddr() {
			switch object := v.Addr().Interface().(type) {
			case *openapi3.Schema:
				if composed.leadsBack(object) {
					w.reportf("the schema is composed of itself, or of one that is")
				}
			case *openapi3.Responses:
				for _, code := range slices.Sorted(maps.Keys(object.Map())) {
					if _, err := statusOf(code); err != nil {
						w.reportf("%w", err)
					}
				}
			}
		}
		if l.ref < 0 || v.Field(l.ref).String() == "" {
			return
		}
		_, isMapping := reflect.TypeAssert[openapi3.MappingRef](v) // which is the name of a schema, too
		if target := v.FieldByName("Value"); !isMapping && target.IsValid() && target.IsNil() {
			w.reportf("the reference %s leads to itself, maybe through other files", v.Field(l.ref).String())
		}
	}
	return (&documentWalk{check: check, complete: true}).run(spec)
}

// composition finds schemas that are composed of themselves: no value could be compared with one in finite time.
type composition map[*openapi3.Schema]compositionState

// compositionState is what is known of a schema.
type compositionState int

const (
	unvisited compositionState = iota
	visiting
	finite
	endless
)

// leadsBack reports whether the schema is composed of itself, or of such a schema.
func (c composition) leadsBack(s *openapi3.Schema) bool {
	switch c[s] {
	case visiting, endless:
		return true
	case finite:
		return false
	case unvisited:
	}
	c[s] = visiting
	state := finite
	parts := openapi3.SchemaRefs{cmp.Or(s.Not, &openapi3.SchemaRef{})}
	for _, part := range append(append(append(parts, s.AllOf...), s.AnyOf...), s.OneOf...) {
		if part.Value != nil && c.leadsBack(part.Value) {
			state = endless
		}
	}
	c[s] = state
	return state == endless
}

// errNoPaths is returned for a document without operations, such as one that others refer to.
var errNoPaths = errors.New("has no paths")
