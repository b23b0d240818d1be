package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// mutationDepth is how deep in a schema properties are broken.
const mutationDepth = 4

// jsonBody returns the schema of an operation's JSON body, nil if it has none.
func (op operation) jsonBody() *openapi3.Schema {
	if op.declared.RequestBody == nil {
		return nil
	}
	content := op.declared.RequestBody.Value.Content["application/json"]
	if content == nil {
		return nil
	}
	return content.Schema.Value
}

// mutation is a body that does not match its schema, and the name of what is wrong with it.
type mutation struct{ name, body string }

// mutations returns an operation's example, broken in every way that its schema forbids.
func mutations(t testing.TB, op operation) []mutation {
	t.Helper()
	var all []mutation
	breakAt(op.jsonBody(), nil, mutationDepth, func(path []any, wrong any, how string) {
		var body any
		require.NoError(t, json.Unmarshal([]byte(op.requestBody(t)), &body))
		raw, err := json.Marshal(put(body, path, wrong))
		require.NoError(t, err)
		all = append(all, mutation{fmt.Sprint(path, " ", how), string(raw)})
	})
	return all
}

// missing is the value of a member to remove.
type missing struct{}

// breakAt calls wrong for each way to break the value at path.
func breakAt(s *openapi3.Schema, path []any, depth int, wrong func(path []any, value any, how string)) {
	if s.Type != nil {
		wrong(path, map[string]any{"string": 5, "integer": "text", "number": "text", "boolean": "yes", "object": []any{1}, "array": map[string]any{"x": 1}}[s.Type.Slice()[0]], "another type")
	}
	if len(s.Enum) > 0 {
		wrong(path, "none of them", "not in the enum")
	}
	if s.MaxLength != nil {
		wrong(path, strings.Repeat("x", int(*s.MaxLength)+1), "too long")
	}
	if s.MinLength > 0 {
		wrong(path, strings.Repeat("x", int(s.MinLength)-1), "too short")
	}
	if s.Format == "date-time" {
		wrong(path, "yesterday", "not a date")
	}
	if depth == 0 {
		return
	}
	for _, name := range s.Required {
		wrong(append(slices.Clone(path), name), missing{}, "missing")
		wrong(append(slices.Clone(path), name), nil, "null") // which is absent
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		breakAt(s.Properties[name].Value, append(slices.Clone(path), name), depth-1, wrong)
	}
	if s.Items != nil {
		breakAt(s.Items.Value, append(slices.Clone(path), 0), depth-1, wrong)
	}
	if rest := s.AdditionalProperties.Schema; rest != nil {
		breakAt(rest.Value, append(slices.Clone(path), "any"), depth-1, wrong)
	}
}

// put sets the value at path, and creates the objects and lists around it.
func put(in any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	if index, ok := path[0].(int); ok {
		list, _ := in.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[index] = put(list[index], path[1:], value)
		return list
	}
	object, _ := in.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	name, _ := path[0].(string)
	if _, gone := value.(missing); gone && len(path) == 1 {
		delete(object, name)
		return object
	}
	object[name] = put(object[name], path[1:], value)
	return object
}

// notJSON returns bodies that are invalid for every operation.
func notJSON(example string) []mutation {
	return []mutation{
		{"cut off", example[:len(example)-1]},
		{"trailing data", example + "{}"},
		{"trailing junk", example + " junk"},
		{"two byte order marks", "\ufeff\ufeff" + example},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split(example, ""), "\x00") + "\x00"},
		{"not UTF-8", strings.Replace(example, `":`, "\xff\":", 1)},
		{"a control character", strings.Replace(example, `":`, "\x01\":", 1)},
		{"a number", "5"},
		{"a list", "[]"},
		{"null", "null"},
		{"a text", `"text"`},
		{"deeply nested", strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)},
		{"deeply nested lists", strings.Repeat("[", 100_000)},
		{"single quotes", strings.ReplaceAll(example, `"`, "'")},
		{"a form", "owner_name=x&email_address=y"},
	}
}

// TestBrokenBodies sends each operation all of its broken bodies: each is refused as documented, and nothing is stored.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	sent, servers := 0, newExampleServers(t)
	for _, op := range operations() {
		if op.jsonBody() == nil {
			continue
		}
		all := append(mutations(t, op), notJSON(op.requestBody(t))...)
		sent += len(all)
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			b := servers.lend(t)
			before := storetest.Dump(t, b.conn)
			for _, m := range all {
				got := b.do(op.method, op.target(nil), m.body, credential(op))
				require.GreaterOrEqual(t, got.status, 400, "%s: %s was accepted: %s", m.name, m.body[:min(len(m.body), 2000)], got.body)
				require.Less(t, got.status, 500, "%s: %s", m.name, got.body)
			}
			require.Equal(t, before, storetest.Dump(t, b.conn))
			require.NotContains(t, b.log.String(), "panic")
		})
	}
	require.Greater(t, sent, 500)
}

// FuzzRequestBodies sends any bytes to any operation with a body: it never panics, each response is documented, and an
// error leaves the database unchanged.
func FuzzRequestBodies(f *testing.F) {
	var targets []operation
	for _, op := range operations() {
		if op.declared.RequestBody != nil {
			targets = append(targets, op)
		}
	}
	for i, op := range targets {
		example := op.requestBody(f)
		f.Add(uint8(i), []byte(example))
		for _, m := range notJSON(example) {
			if len(m.body) < 1000 {
				f.Add(uint8(i), []byte(m.body))
			}
		}
		for _, seed := range []string{
			`{"email_address":"a@b.example","first_name":"\u0000"}`, `{"owner_name":"\ud800"}`, `{"EMAIL_ADDRESS":"x@y.example"}`,
			`{"email_address":"a@b.example","password_max_days":12345678901234567890}`, `{"email_address":"a@b.example","password_max_days":1.0}`,
			`{"apis":[{"api_definition":{"org_id":"` + exampleOrg + `","api_id":"\u0000"}}]}`, `{"Data":[{"org_id":"` + exampleOrg + `","_id":null}]}`,
		} {
			f.Add(uint8(i), []byte(seed))
		}
	}
	b := setup(f)
	b.admin("POST", "/admin/organisations/import", `{"id":"`+exampleOrg+`"}`).is(200)
	storetest.Exec(f, b.conn, `INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key, user_permissions,
		group_id, password_max_days, created_at) VALUES ($1, $2, 'o@example.org', 'o@example.org', '', '', true, $3, '{"IsAdmin":"admin"}', '', 0, now())`,
		exampleUser, exampleOrg, exampleKey)
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		b.t = t
		b.log.reset() // of other requests
		op := targets[int(which)%len(targets)]
		before := storetest.Dump(t, b.conn)
		got := b.do(op.method, op.target(nil), string(body), credential(op))
		if got.status < http.StatusMultipleChoices {
			return
		}
		require.Equal(t, before, storetest.Dump(t, b.conn), got.body)
		if got.status >= 500 {
			expected := []string{"empty_body", "invalid", "no_gateway", "unknown_policy"} // documented as errors of the client
			documented := slices.ContainsFunc(expected, func(outcome string) bool {
				e, ok := op.examples()[outcome]
				return ok && e.status == got.status && e.value["Message"] == got.envelope().Message
			})
			require.True(t, documented, "%s: %d: %s\n%s", op.id, got.status, got.body, b.log)
		}
		require.NotContains(t, b.log.String(), "panic")
	})
}
