package desired

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/located"
	"gatehouse/internal/remote"
)

// Difference is a member that differs. It has no values, because documents contain secrets.
type Difference struct {
	// Change is "+" for a member that only the file has, "-" for one that only the server has, and "~" for one with
	// different values.
	Change string `json:"change"`
	// Path is the JSON pointer to the member.
	Path string `json:"path"`
}

// String returns the difference as one word, such as "~/name".
func (d Difference) String() string { return d.Change + d.Path }

// rules define which differences a comparison ignores.
type rules struct {
	// ignored are the pointers to members that the server sets, regardless of the file.
	ignored []string
	// completed are the pointers to members that the server adds if the file lacks them.
	completed []string
	// zeroes ignores empty members that only the server has: it completes documents with them.
	zeroes bool
}

// rulesOf returns the rules for the documents of a kind.
func rulesOf(kind remote.Kind) rules {
	switch kind {
	case remote.Organisation:
		return rules{ignored: []string{"/developer_count"}, zeroes: true}
	case remote.API:
		return rules{
			ignored:   []string{"/api_model", "/created_at", "/updated_at", "/api_definition/graphql/last_schema_update"},
			completed: []string{"/api_definition/id", "/oas/x-tyk-api-gateway/info/dbId"},
		}
	case remote.Policy:
		return rules{ignored: []string{"/date_created", "/last_updated"}, completed: []string{"/_id"}}
	case remote.Key:
		return rules{
			ignored:   []string{"/quota_remaining", "/quota_renews", "/last_updated"},
			completed: []string{"/org_id"},
		}
	default:
		return rules{}
	}
}

// differences returns the differences between the document of a file and that of the server, as JSON values. Both are
// valid JSON.
func differences(kind remote.Kind, wanted, stored json.RawMessage) []Difference {
	switch kind {
	case remote.User:
		wanted, stored = settable(wanted), onlyMembers(settable(stored), wanted)
		if key := jsondoc.String(wanted, accessKey); key == "" {
			wanted, stored = jsondoc.Without(wanted, accessKey), jsondoc.Without(stored, accessKey)
		}
		if address := jsondoc.String(wanted, "email_address"); address != "" { // servers store it in lower case
			wanted = jsondoc.Set(wanted, "email_address", jsondoc.Quote(strings.ToLower(address)))
			stored = jsondoc.Set(stored, "email_address",
				jsondoc.Quote(strings.ToLower(jsondoc.String(stored, "email_address"))))
		}
	case remote.Key:
		wanted, _ = jsondoc.Get(wanted, "data")
	default:
	}
	c := comparison{rules: rulesOf(kind)}
	c.compare("", decoded(wanted), decoded(stored))
	return c.found
}

// decoded returns a JSON value with numbers as their texts.
func decoded(raw json.RawMessage) (value any) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	_ = decoder.Decode(&value) // it is valid JSON
	return value
}

// comparison compares two JSON values.
type comparison struct {
	rules

	found []Difference
}

func (c *comparison) add(change, at string) { c.found = append(c.found, Difference{change, at}) }

func (c *comparison) compare(at string, wanted, stored any) {
	if slices.Contains(c.ignored, at) {
		return
	}
	switch wanted := wanted.(type) {
	case map[string]any:
		if stored, ok := stored.(map[string]any); ok {
			c.compareObjects(at, wanted, stored)
			return
		}
	case []any:
		if stored, ok := stored.([]any); ok {
			c.compareLists(at, wanted, stored)
			return
		}
	case json.Number:
		if stored, ok := stored.(json.Number); ok && sameNumber(wanted, stored) {
			return
		}
	default:
		if wanted == stored {
			return
		}
	}
	c.add("~", at)
}

func (c *comparison) compareObjects(at string, wanted, stored map[string]any) {
	var names []string
	for name := range wanted {
		names = append(names, name)
	}
	for name := range stored {
		if _, both := wanted[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		pointer := located.PointerTo(at, name)
		want, wants := wanted[name]
		have, has := stored[name]
		switch {
		case wants && has:
			c.compare(pointer, want, have)
		case slices.Contains(c.ignored, pointer):
		case wants:
			c.add("+", pointer)
		case slices.Contains(c.completed, pointer), c.zeroes && isEmpty(have):
		default:
			c.add("-", pointer)
		}
	}
}

func (c *comparison) compareLists(at string, wanted, stored []any) {
	for n := range max(len(wanted), len(stored)) {
		pointer := located.PointerTo(at, strconv.Itoa(n))
		switch {
		case n >= len(stored):
			c.add("+", pointer)
		case n >= len(wanted):
			c.add("-", pointer)
		default:
			c.compare(pointer, wanted[n], stored[n])
		}
	}
}

// sameNumber reports whether two numbers are equal: as 64-bit floats if one is written as such, else exactly.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	if !strings.ContainsAny(string(a)+string(b), ".eE") {
		return false
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	return errX == nil && errY == nil && x == y
}

// isEmpty reports whether a value is zero, as those are that a server completes documents with: null, false, 0, "",
// an empty list, or an object of such values.
func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case bool:
		return !value
	case string:
		return value == ""
	case json.Number:
		return sameNumber(value, "0.0")
	case []any:
		return len(value) == 0
	case map[string]any:
		for _, member := range value {
			if !isEmpty(member) {
				return false
			}
		}
		return true
	}
	return false
}
