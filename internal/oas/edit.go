package oas

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"

	"github.com/tidwall/gjson"

	"gatehouse/internal/jsondoc"
)

// edit replaces bytes of a document.
type edit struct {
	start, end int
	with       []byte
}

// applyEdits returns a document with edits made, which must not overlap.
func applyEdits(doc []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	out := make([]byte, 0, len(doc))
	copied := 0
	for _, e := range edits {
		out = append(append(out, doc[copied:e.start]...), e.with...)
		copied = e.end
	}
	return append(out, doc[copied:]...)
}

// span is the place of a value in a document.
type span struct{ start, end int }

// memberSpan returns the place of a member's value in the object at a span. ok is false if there is none. Of members
// with the same name, the last one counts.
func memberSpan(doc []byte, object span, name string) (value span, ok bool) {
	for each, at := range memberSpans(doc, object) {
		if each == name {
			value, ok = at, true
		}
	}
	return value, ok
}

// memberSpans yields the names and the places of the values in the object at a span, and none if there is no object.
func memberSpans(doc []byte, object span) iter.Seq2[string, span] {
	return func(yield func(string, span) bool) {
		for name, value := range membersOf(gjson.ParseBytes(doc[object.start:object.end])) {
			start := object.start + value.Index
			if !yield(name, span{start, start + len(value.Raw)}) {
				return
			}
		}
	}
}

// whole returns the place of a document's value, without the white space around it.
func whole(doc []byte) span {
	start := len(doc) - len(bytes.TrimLeft(doc, " \t\r\n"))
	return span{start, len(bytes.TrimRight(doc, " \t\r\n"))}
}

// setMember returns an object whose member has a value. If it has none of the name, the member is its first.
func setMember(object []byte, name string, value json.RawMessage) []byte {
	all := span{0, len(object)}
	if at, ok := memberSpan(object, all, name); ok {
		if sameText(object[at.start:at.end], value) {
			return object
		}
		return applyEdits(object, []edit{{at.start, at.end, value}})
	}
	member := append(append(jsondoc.Quote(name), ':'), value...)
	if len(bytes.TrimSpace(object[1:len(object)-1])) > 0 {
		member = append(member, ',')
	}
	return applyEdits(object, []edit{{1, 1, member}})
}

// sameText reports whether two values are the same string, however it is escaped, or are written alike.
func sameText(a, b []byte) bool {
	x, y := gjson.ParseBytes(a), gjson.ParseBytes(b)
	return bytes.Equal(a, b) || x.Type == gjson.String && y.Type == gjson.String && textOf(x) == textOf(y)
}

// removeMember returns the edits that remove a member of the object at a span, each time that it is there.
func removeMember(doc []byte, object span, name string) []edit {
	type member struct {
		span
		remove bool
	}
	var members []member
	gjson.ParseBytes(doc[object.start:object.end]).ForEach(func(k, v gjson.Result) bool {
		at := span{object.start + k.Index, object.start + v.Index + len(v.Raw)}
		members = append(members, member{at, textOf(k) == name})
		return true
	})
	var edits []edit
	kept := false // a member before
	for i, m := range members {
		switch {
		case !m.remove:
			kept = true
		case kept: // with the comma before it
			edits = append(edits, edit{members[i-1].end, m.end, nil})
		case i+1 < len(members): // with the comma behind it
			edits = append(edits, edit{m.start, members[i+1].start, nil})
		default:
			edits = append(edits, edit{m.start, m.end, nil})
		}
	}
	return edits
}
