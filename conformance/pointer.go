package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// splitPointer returns the names of a JSON pointer (RFC 6901).
func splitPointer(pointer string) []string {
	if pointer == "" {
		return nil
	}
	names := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range names {
		names[i] = pointerUnescaper.Replace(names[i])
	}
	return names
}

// below returns the pointer to a member.
func below(pointer, name string) string { return pointer + "/" + pointerEscaper.Replace(name) }

// valueAt returns the value at a pointer.
func valueAt(v any, pointer string) (any, bool) {
	for _, name := range splitPointer(pointer) {
		switch in := v.(type) {
		case map[string]any:
			member, ok := in[name]
			if !ok {
				return nil, false
			}
			v = member
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// textAt returns the text at a pointer, "" if there is none.
func textAt(v any, pointer string) string {
	found, ok := valueAt(v, pointer)
	if !ok || found == nil {
		return ""
	}
	return fmt.Sprint(found)
}

// removed is the value that edited removes a member with.
type removed struct{}

// edited returns a copy of v with another value at a path. It creates the objects on the way.
func edited(v any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if list, ok := v.([]any); ok {
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(list) {
			return v
		}
		list = slices.Clone(list)
		if _, remove := value.(removed); remove && len(path) == 1 {
			return slices.Delete(list, i, i+1)
		}
		list[i] = edited(list[i], path[1:], value)
		return list
	}
	object := map[string]any{}
	if members, ok := v.(map[string]any); ok {
		maps.Copy(object, members)
	}
	if _, remove := value.(removed); remove && len(path) == 1 {
		delete(object, path[0])
		return object
	}
	object[path[0]] = edited(object[path[0]], path[1:], value)
	return object
}

// pointerMatches reports whether a pointer matches a pattern, in which * stands for any name.
func pointerMatches(pattern, pointer string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == pointer
	}
	want, got := splitPointer(pattern), splitPointer(pointer)
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == "*" || w == g })
}

func anyPointerMatches(patterns []string, pointer string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return pointerMatches(pattern, pointer) })
}
