// Package jsondoc reads and edits a user's JSON document as text. What it does not edit stays byte for byte as it was:
// the order of members, the text of numbers, escapes. Of members with the same name the last one counts, as in
// encoding/json and in a Tyk Gateway.
//
// All functions expect valid JSON without insignificant whitespace, which Compact returns.
package jsondoc

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

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
		members = append(members, Member{Name: unescaped(name), raw: name.Raw, Value: json.RawMessage(value.Raw)})
		return true
	})
	return members
}

// unescaped returns a name as encoding/json decodes it, and with it a Tyk Gateway: gjson decodes half of a surrogate
// pair, and what follows it, in another way.
func unescaped(name gjson.Result) (text string) {
	if !strings.Contains(name.Raw, `\u`) || json.Unmarshal([]byte(name.Raw), &text) != nil {
		return name.String()
	}
	return text
}

// All yields the names of an object's members with the texts of their values. Unlike Members, it takes no memory for
// each.
func All(doc json.RawMessage) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		if parsed := gjson.ParseBytes(doc); parsed.IsObject() {
			parsed.ForEach(func(name, value gjson.Result) bool { return yield(unescaped(name), value.Raw) })
		}
	}
}

// Get returns the value at a path of member names. ok is false if there is none.
func Get(doc json.RawMessage, path ...string) (value json.RawMessage, ok bool) {
	for _, name := range path {
		found := ""
		for each, text := range All(doc) {
			if each == name {
				found = text
			}
		}
		if found == "" {
			return nil, false
		}
		doc = json.RawMessage(found)
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
	return SetAll(doc, []Member{NewMember(name, value)})
}

// SetAll does what Set does, for several members at once. Those that doc lacks come first, in their order. The names of
// the members must differ.
func SetAll(doc json.RawMessage, changes []Member) json.RawMessage {
	values := make(map[string]json.RawMessage, len(changes))
	for _, change := range changes {
		values[change.Name] = change.Value
	}
	members := Members(doc)
	found := map[string]bool{}
	for i := range members {
		if value, ok := values[members[i].Name]; ok {
			members[i].Value, found[members[i].Name] = value, true
		}
	}
	added := slices.DeleteFunc(slices.Clone(changes), func(m Member) bool { return found[m.Name] })
	return Object(append(added, members...))
}

// Without returns doc without the members of a name.
func Without(doc json.RawMessage, name string) json.RawMessage {
	return WithoutAny(doc, func(each string) bool { return each == name })
}

// WithoutAny returns doc without the members whose names are in a set.
func WithoutAny(doc json.RawMessage, in func(name string) bool) json.RawMessage {
	members := Members(doc)
	kept := members[:0]
	for _, m := range members {
		if !in(m.Name) {
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

// NewQuotedMember returns a member of any name.
func NewQuotedMember(name string, value json.RawMessage) Member {
	return Member{Name: name, Value: value, raw: string(Quote(name))}
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
