package oas

import (
	"encoding/json"
	"iter"
	"strings"

	"github.com/tidwall/gjson"
)

// membersOf yields the members of an object, and none of any other value.
func membersOf(v gjson.Result) iter.Seq2[string, gjson.Result] {
	return func(yield func(string, gjson.Result) bool) {
		if v.IsObject() {
			v.ForEach(func(name, value gjson.Result) bool { return yield(textOf(name), value) })
		}
	}
}

// elements yields the elements of a list, and none of any other value.
func elements(v gjson.Result) iter.Seq2[int, gjson.Result] {
	return func(yield func(int, gjson.Result) bool) {
		if !v.IsArray() {
			return
		}
		i := 0
		v.ForEach(func(_, value gjson.Result) bool {
			i++
			return yield(i-1, value)
		})
	}
}

// get returns the value at a path of member names; of members of the same name the last one counts. The value does not
// exist if there is none, or if it is null.
func get(v gjson.Result, path ...string) gjson.Result {
	for _, name := range path {
		found := gjson.Result{}
		for each, value := range membersOf(v) {
			if each == name {
				found = value
			}
		}
		v = found
	}
	if v.Type == gjson.Null {
		return gjson.Result{}
	}
	return v
}

// textOf returns the string that a value is, as encoding/json decodes it, and "" for any other value.
func textOf(v gjson.Result) (s string) {
	if v.Type != gjson.String {
		return ""
	}
	if strings.Contains(v.Raw, `\u`) && json.Unmarshal([]byte(v.Raw), &s) == nil {
		return s // gjson decodes half of a surrogate pair in another way
	}
	return v.Str
}
