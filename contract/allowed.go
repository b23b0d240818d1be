package contract

import (
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/internal/jsonschema"
)

// withoutAllowed returns the problems that kin-openapi found in a value, without those that the extensions of a schema
// allow: null below x-null-is-absent, and an x-object-id that is an object.
func withoutAllowed(s *openapi3.Schema, value any, problems []Problem) []Problem {
	allowed := func(p Problem) bool { return p.Path != "" && allows(s, value, strings.Split(p.Path, "/")[1:]) }
	if problems = slices.DeleteFunc(problems, allowed); len(problems) == 0 {
		return nil
	}
	return problems
}

// allows reports whether the extensions of a schema allow the value at a path of escaped names and indexes.
func allows(s *openapi3.Schema, value any, path []string) bool {
	within, absent := []*openapi3.Schema{s}, false
	for _, step := range path {
		absent = absent || hasExtension(within, jsonschema.NullIsAbsent)
		step = pointerUnescaper.Replace(step)
		within, _ = below(within, step)
		switch container := value.(type) {
		case map[string]any:
			value = container[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(container) {
				return false
			}
			value = container[i]
		default:
			return false
		}
	}
	if value == nil {
		return absent
	}
	id, isObject := value.(map[string]any)
	return isObject && len(id) == 1 && isText(id["$oid"]) && hasExtension(within, jsonschema.ObjectID)
}

// isText reports whether a value is a string, or null in place of one.
func isText(value any) bool {
	_, ok := value.(string)
	return ok || value == nil
}

func hasExtension(all []*openapi3.Schema, name string) bool {
	return slices.ContainsFunc(all, func(s *openapi3.Schema) bool { return s.Extensions[name] != nil })
}
