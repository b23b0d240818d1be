// Package document reads and edits a user's JSON document as text. What it does not touch stays as it came,
// token for token: key order, the text of numbers, escapes. A member named twice counts by its last value, as
// it does for encoding/json and for a Tyk Gateway.
//
// Every function expects valid, compact JSON; Compact makes it so.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// ErrNotJSON is what Compact returns for anything but one valid JSON value in UTF-8.
var ErrNotJSON = errors.New("not one JSON value in UTF-8")

// Compact returns raw without insignificant whitespace. Unlike json.Marshal it leaves `<`, `>` and `&` alone.
func Compact(raw []byte) (json.RawMessage, error) {
	if !utf8.Valid(raw) { // encoding/json would replace the bytes, and Postgres refuse them
		return nil, ErrNotJSON
	}
	var out bytes.Buffer
	out.Grow(len(raw))
	if err := json.Compact(&out, raw); err != nil {
		return nil, ErrNotJSON
	}
	return out.Bytes(), nil
}

// Member is one member of an object, as it was written.
type Member struct {
	Name  string // unescaped
	name  string // as written, with its quotes
	Value json.RawMessage
}

// Members returns the members of an object in their order; none if doc is not an object.
func Members(doc json.RawMessage) []Member {
	var members []Member
	parsed := gjson.ParseBytes(doc)
	if !parsed.IsObject() {
		return nil
	}
	parsed.ForEach(func(name, value gjson.Result) bool {
		members = append(members, Member{Name: name.String(), name: name.Raw, Value: json.RawMessage(value.Raw)})
		return true
	})
	return members
}

// Elements returns the elements of an array; none if doc is not an array.
func Elements(doc json.RawMessage) []json.RawMessage {
	var elements []json.RawMessage
	parsed := gjson.ParseBytes(doc)
	if !parsed.IsArray() {
		return nil
	}
	parsed.ForEach(func(_, value gjson.Result) bool {
		elements = append(elements, json.RawMessage(value.Raw))
		return true
	})
	return elements
}

// Get returns the value at a path of member names, and whether there is one.
func Get(doc json.RawMessage, path ...string) (json.RawMessage, bool) {
	for _, name := range path {
		var found json.RawMessage
		for _, m := range Members(doc) {
			if m.Name == name {
				found = m.Value
			}
		}
		if found == nil {
			return nil, false
		}
		doc = found
	}
	return doc, true
}

// String returns the string at a path; "" for anything else.
func String(doc json.RawMessage, path ...string) string {
	var s string
	if raw, ok := Get(doc, path...); ok {
		_ = json.Unmarshal(raw, &s) // another type leaves s empty, which is the answer
	}
	return s
}

// Bool returns the boolean at a path; missing where there is none.
func Bool(doc json.RawMessage, missing bool, path ...string) bool {
	if raw, ok := Get(doc, path...); ok {
		_ = json.Unmarshal(raw, &missing)
	}
	return missing
}

// Set returns doc with the member called name set to value: in its place if it is there, else in front.
func Set(doc json.RawMessage, name string, value json.RawMessage) json.RawMessage {
	members := Members(doc)
	found := false
	for i := range members {
		if members[i].Name == name {
			members[i].Value, found = value, true
		}
	}
	if !found {
		members = append([]Member{NewMember(name, value)}, members...)
	}
	return Object(members)
}

// Without returns doc without the member called name.
func Without(doc json.RawMessage, name string) json.RawMessage {
	members := Members(doc)
	kept := members[:0]
	for _, m := range members {
		if m.Name != name {
			kept = append(kept, m)
		}
	}
	if len(kept) == len(members) {
		return doc
	}
	return Object(kept)
}

// NewMember makes a member whose name needs no escaping.
func NewMember(name string, value json.RawMessage) Member {
	return Member{Name: name, name: `"` + name + `"`, Value: value}
}

// Object writes members as an object.
func Object(members []Member) json.RawMessage {
	size := 2
	for _, m := range members {
		size += len(m.name) + len(m.Value) + 2
	}
	out := append(make(json.RawMessage, 0, size), '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, m.name...), ':'), m.Value...)
	}
	return append(out, '}')
}

// Quote writes s as a JSON string, without the escapes that are only for HTML.
func Quote(s string) json.RawMessage {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return bytes.TrimRight(out.Bytes(), "\n")
}

// Fill returns an object with the fields that it lacks: each behind the one that is before it in fields, the first ones in
// front. first is the value of the first field, for its own is the same for all. An object that lacks none stays as it is.
func Fill(doc json.RawMessage, fields []Member, first json.RawMessage) json.RawMessage {
	ends := memberEnds(doc, fields)
	var lacking []insertion
	at, size := len("{"), len(doc)
	for i, field := range fields {
		if ends[i] > 0 {
			at = ends[i]
			continue
		}
		if i == 0 {
			field.Value = first
		}
		lacking = append(lacking, insertion{at, field})
		size += len(field.name) + len(field.Value) + len(":,")
	}
	if lacking == nil {
		return doc
	}
	slices.SortStableFunc(lacking, func(a, b insertion) int { return a.at - b.at })
	return insertAll(doc, lacking, make(json.RawMessage, 0, size))
}

// insertion is a member that is to stand at a place of an object.
type insertion struct {
	at int
	Member
}

// memberEnds is where in an object its members of these names end, the last of each name; 0 for none.
func memberEnds(doc json.RawMessage, fields []Member) []int {
	ends, next := make([]int, len(fields)), 0 // next is where a name is if doc is in the fields' order
	gjson.ParseBytes(doc).ForEach(func(name, value gjson.Result) bool {
		for range fields {
			at := next % len(fields)
			next++
			if fields[at].Name == name.Str {
				ends[at] = value.Index + len(value.Raw)
				return true
			}
		}
		return true // another member
	})
	return ends
}

// insertAll appends an object to out, with members inserted, in the order of their places.
func insertAll(doc json.RawMessage, members []insertion, out json.RawMessage) json.RawMessage {
	out = append(out, '{')
	join := func(piece []byte) {
		if len(piece) > 0 && len(out) > len("{") {
			out = append(out, ',')
		}
		out = append(out, piece...)
	}
	copied := len("{")
	for _, m := range members {
		join(bytes.TrimPrefix(doc[copied:m.at], []byte(",")))
		join([]byte(m.name))
		out = append(append(out, ':'), m.Value...)
		copied = m.at
	}
	join(bytes.TrimPrefix(doc[copied:len(doc)-len("}")], []byte(",")))
	return append(out, '}')
}
