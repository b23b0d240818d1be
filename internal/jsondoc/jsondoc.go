// Package jsondoc reads and edits a user's JSON document as text. What it does not edit stays byte for byte as it was:
// the order of members, the text of numbers, escapes. Of members with the same name the last one counts, as in
// encoding/json and in a Tyk Gateway.
//
// All functions expect valid JSON without insignificant whitespace, which Compact returns.
package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// ErrNotJSON is returned by Compact for anything but one valid JSON value in UTF-8. Clients receive its text.
var ErrNotJSON = errors.New("not one JSON value in UTF-8")

// Compact returns raw without insignificant whitespace. Unlike json.Marshal it leaves `<`, `>` and `&` alone.
func Compact(raw []byte) (json.RawMessage, error) {
	if !utf8.Valid(raw) { // encoding/json would replace the bytes, and Postgres would refuse them
		return nil, ErrNotJSON
	}
	var out bytes.Buffer
	out.Grow(len(raw))
	if err := json.Compact(&out, raw); err != nil {
		return nil, ErrNotJSON
	}
	return out.Bytes(), nil
}

// Member is one member of an object.
type Member struct {
	Name  string          // unescaped
	Value json.RawMessage // as in the document
	raw   string          // the name as in the document, with its quotes
}

// Members returns the members of an object in their order, and nil if doc is not an object.
func Members(doc json.RawMessage) []Member {
	var members []Member
	parsed := gjson.ParseBytes(doc)
	if !parsed.IsObject() {
		return nil
	}
	parsed.ForEach(func(name, value gjson.Result) bool {
		members = append(members, Member{Name: name.String(), raw: name.Raw, Value: json.RawMessage(value.Raw)})
		return true
	})
	return members
}

// Get returns the value at a path of member names. ok is false if there is none.
func Get(doc json.RawMessage, path ...string) (value json.RawMessage, ok bool) {
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

// String returns the string at a path, and "" if there is none.
func String(doc json.RawMessage, path ...string) string {
	var s string
	if raw, ok := Get(doc, path...); ok {
		_ = json.Unmarshal(raw, &s) // a value of another type leaves s empty
	}
	return s
}

// Bool returns the boolean at a path, and missing if there is none.
func Bool(doc json.RawMessage, missing bool, path ...string) bool {
	if raw, ok := Get(doc, path...); ok {
		_ = json.Unmarshal(raw, &missing)
	}
	return missing
}

// Set returns doc with the value of a member replaced, or with the member as its first if it has none of this name.
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

// Without returns doc without the members of a name.
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

// NewMember returns a member. Its name must not need escaping.
func NewMember(name string, value json.RawMessage) Member {
	return Member{Name: name, Value: value, raw: `"` + name + `"`}
}

// Object returns an object with these members.
func Object(members []Member) json.RawMessage {
	size := 2
	for _, m := range members {
		size += len(m.raw) + len(m.Value) + 2
	}
	out := append(make(json.RawMessage, 0, size), '{')
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, m.raw...), ':'), m.Value...)
	}
	return append(out, '}')
}

// Quote returns s as a JSON string, without the escapes that only HTML needs.
func Quote(s string) json.RawMessage {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return bytes.TrimRight(out.Bytes(), "\n")
}

// Fill returns doc with the fields that it lacks, each inserted behind its predecessor in fields. The first field is
// inserted with the value first instead of its own.
func Fill(doc json.RawMessage, fields []Member, first json.RawMessage) json.RawMessage {
	ends := memberEnds(doc, fields)
	var missing []insertion
	at, size := len("{"), len(doc)
	for i, field := range fields {
		if ends[i] > 0 {
			at = ends[i]
			continue
		}
		if i == 0 {
			field.Value = first
		}
		missing = append(missing, insertion{at, field})
		size += len(field.raw) + len(field.Value) + len(":,")
	}
	if missing == nil {
		return doc
	}
	slices.SortStableFunc(missing, func(a, b insertion) int { return a.at - b.at })
	return insertAll(doc, missing, make(json.RawMessage, 0, size))
}

// insertion is a member to insert at an offset of a document.
type insertion struct {
	at int
	Member
}

// memberEnds returns the offset in doc behind the last member of each field's name, 0 if there is none.
func memberEnds(doc json.RawMessage, fields []Member) []int {
	ends, next := make([]int, len(fields)), 0 // next is the index of the next name if doc is in the order of fields
	gjson.ParseBytes(doc).ForEach(func(name, value gjson.Result) bool {
		for range fields {
			at := next % len(fields)
			next++
			if fields[at].Name == name.Str {
				ends[at] = value.Index + len(value.Raw)
				return true
			}
		}
		return true // not a field
	})
	return ends
}

// insertAll appends doc to out, with members inserted, which must be sorted by their offsets.
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
		join([]byte(m.raw))
		out = append(append(out, ':'), m.Value...)
		copied = m.at
	}
	join(bytes.TrimPrefix(doc[copied:len(doc)-len("}")], []byte(",")))
	return append(out, '}')
}
