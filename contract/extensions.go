package contract

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
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
	known := rules.KnownExtensions()
	return walk(spec, func(w *documentWalk, v reflect.Value, l *layout) {
		if l.extensions < 0 || v.Field(l.extensions).Len() == 0 {
			return
		}
		values, _ := reflect.TypeAssert[map[string]any](v.Field(l.extensions))
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if strings.HasPrefix(key, "x-") {
				w.checkKey(known, key, l.kind, values[key])
			}
		}
	})
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

// checkKey reports an x- key that nothing reads, or not in its place.
func (w *documentWalk) checkKey(known map[string]string, key, kind string, value any) {
	belongsTo, read := known[key]
	switch {
	case !read:
		w.reportf("nothing reads %s%s", key, suggestion(key, slices.Collect(maps.Keys(known))))
	case belongsTo != kind:
		w.reportf("%s belongs to: %s, not to: %s", key, belongsTo, kind)
	case slices.Contains(flags, key) && value != true:
		w.reportf("%s can only be true", key)
	}
}
