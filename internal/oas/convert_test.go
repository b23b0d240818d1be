package oas

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/apidef"
	"gatehouse/internal/jsonschema"
)

// withExtension returns a document with the extension that every API needs, and with these members of it.
func withExtension(members string) string {
	return `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"x-tyk-api-gateway":{` + members +
		`"info":{"name":"N","state":{"active":true}},"server":{"listenPath":{"value":"/t/"}},"upstream":{"url":"http://u"}}}`
}

// requireFault requires that a document is refused at a pointer, for a reason.
func requireFault(t testing.TB, document, pointer, reason string) {
	t.Helper()
	_, err := Convert([]byte(document), Identity{}, Options{})
	var fault *Error
	require.ErrorAs(t, err, &fault, "%s", document)
	require.Equal(t, pointer, fault.Pointer, "%s", document)
	require.Contains(t, fault.Message, reason, "%s", document)
}

func TestIdentityIsWritten(t *testing.T) {
	t.Parallel()
	identity := Identity{ID: "ähm/\"x", DBID: "5fa2db834e07444f760b7ceb", OrgID: "53ac07777cbb8c2d53000002"}
	ids := `"id":"ähm/\"x","dbId":"5fa2db834e07444f760b7ceb","orgId":"53ac07777cbb8c2d53000002"`
	const rest = `,"server":{"listenPath":{"value":"\u002ft\/"}},"upstream":{"url":"<&>\ud83d\ude00"}}`
	for name, test := range map[string]struct{ before, after string }{
		"missing": {
			`{ "x" : 1.50, "openapi":"3.0.3","x-tyk-api-gateway" : {"info" : {"name":"N","state":{"active":true} }` + rest + ` }`,
			`{ "x" : 1.50, "openapi":"3.0.3","x-tyk-api-gateway" : {"info" : {` + ids + `,"name":"N","state":{"active":true} }` + rest + ` }`,
		},
		"other": {
			"\n" + `{"openapi":"3.0.3","x-tyk-api-gateway":{"info":{"dbId":7,"name":"N","id":null, "state":{"active":true},` + "\t" + `"orgId" : "1"}` + rest + "}\n",
			"\n" + `{"openapi":"3.0.3","x-tyk-api-gateway":{"info":{"dbId":"5fa2db834e07444f760b7ceb","name":"N","id":"ähm/\"x", "state":{"active":true},` + "\t" + `"orgId" : "53ac07777cbb8c2d53000002"}` + rest + "}\n",
		},
		"the same, escaped": {
			`{"openapi":"3.0.3","x-tyk-api-gateway":{"info":{"id":"\u00e4hm\/\"x","dbId":"5fa2db834e07444f760b7ceb","orgId":"53ac07777cbb8c2d53000002","name":"N","state":{}}` + rest + `}`,
			`{"openapi":"3.0.3","x-tyk-api-gateway":{"info":{"id":"\u00e4hm\/\"x","dbId":"5fa2db834e07444f760b7ceb","orgId":"53ac07777cbb8c2d53000002","name":"N","state":{}}` + rest + `}`,
		},
		"no name and no state": {
			`{"openapi":"3.0.3","info":{"title":"A \"title\""},"x-tyk-api-gateway":{"info":{}` + rest + `}`,
			`{"openapi":"3.0.3","info":{"title":"A \"title\""},"x-tyk-api-gateway":{"info":{` + ids + `,"name":"A \"title\"","state":{"active":false}}` + rest + `}`,
		},
		"the last of several": {
			`{"openapi":"3.0.3","x-tyk-api-gateway":1,"x-tyk-api-gateway":{"info":7,"info":{"id":"a","id":"b","name":"N","state":{}}` + rest + `}`,
			`{"openapi":"3.0.3","x-tyk-api-gateway":1,"x-tyk-api-gateway":{"info":7,"info":{"dbId":"5fa2db834e07444f760b7ceb","orgId":"53ac07777cbb8c2d53000002","id":"a","id":"ähm/\"x","name":"N","state":{}}` + rest + `}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document := []byte(test.before)
			api, err := Convert(document, identity, Options{})
			if name == "the last of several" {
				require.Error(t, err, "the first of them are checked, too")
				require.Equal(t, test.after, string(writeIdentity(document, identity)))
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.after, string(api.Document))
			require.Equal(t, test.before, string(document), "the caller's bytes stay")
			for member, want := range map[string]string{"api_id": identity.ID, "id": identity.DBID, "org_id": identity.OrgID} {
				require.Equal(t, want, gjson.GetBytes(api.Classic, member).Str)
			}
			require.Equal(t, "<&>😀", gjson.GetBytes(api.Classic, "proxy.target_url").Str)
			again, err := Convert(api.Document, identity, Options{})
			require.NoError(t, err)
			require.Equal(t, api, again, "a document with its identity stays as it is")
		})
	}
}

func TestNoIdentityKeepsTheDocuments(t *testing.T) {
	t.Parallel()
	base, _ := readSettings(t)
	doc, err := json.Marshal(base.Document)
	require.NoError(t, err)
	api, err := Convert(doc, Identity{}, Options{})
	require.NoError(t, err)
	require.Equal(t, string(doc), string(api.Document))
	require.Equal(t, "0f3a", gjson.GetBytes(api.Classic, "api_id").Str)
}

func TestRefusedDocuments(t *testing.T) {
	t.Parallel()
	const ext = "/x-tyk-api-gateway"
	valid := withExtension("")
	_, err := Convert([]byte(valid), Identity{}, Options{})
	require.NoError(t, err)
	without := func(member string) string { return strings.Replace(valid, member, `"x":{}`, 1) }
	for _, test := range []struct{ document, pointer, reason string }{
		{`{`, "", "is not JSON"},
		{``, "", "is not JSON"},
		{`[]`, "", "must be an object"},
		{`null`, "", "must be an object"},
		{`{}`, "/openapi", "3.0.x"},
		{`{"openapi":3}`, "/openapi", "3.0.x"},
		{`{"swagger":"2.0"}`, "/swagger", "OpenAPI 2.0 is not supported"},
		{`{"openapi":"3.1.0"}`, "/openapi", "OpenAPI 3.1.0 is not supported by gateways before 5.12"},
		{`{"openapi":"3.2.0"}`, "/openapi", "OpenAPI 3.2.0 is not supported"},
		{`{"openapi":"3.01"}`, "/openapi", "OpenAPI 3.01 is not supported"},
		{`{"openapi":"3.0.3"}`, "", ErrNoExtension.Message},
		{`{"openapi":"3.0.3","x-tyk-api-gateway":null}`, "", ErrNoExtension.Message},
		{`{"openapi":"3.0.3","x-tyk-api-gateway":[]}`, ext, "must be an object"},
		{without(`"info":{"name":"N","state":{"active":true}}`), ext + "/info", "is missing"},
		{without(`"upstream":{"url":"http://u"}`), ext + "/upstream", "is missing"},
		{without(`"server":{"listenPath":{"value":"/t/"}}`), ext + "/server", "is missing"},
		{without(`"listenPath":{"value":"/t/"}`), ext + "/server/listenPath", "is missing"},
		{strings.Replace(valid, `{"value":"/t/"}`, `"/t/"`, 1), ext + "/server/listenPath", "must be an object"},

		{withExtension(`"foo":1,`), ext + "/foo", "not a known setting"},
		{withExtension(`"Middleware":{},`), ext + "/Middleware", "not a known setting"},
		{withExtension(`"middleware":{"a/b~":{}},`), ext + "/middleware/a~1b~0", "not a known setting"},
		{withExtension(`"middleware":{"operations":{"x":{"alow":{"enabled":true}}}},`), ext + "/middleware/operations/x/alow", "not a known setting"},
		{withExtension(`"middleware":{"operations":{"x":{"urlRewrite":{"triggers":[{},{"rules":[{"inn":""}]}]}}}},`), ext + "/middleware/operations/x/urlRewrite/triggers/1/rules/0/inn", "not a known setting"},
		{withExtension(`"middleware":{"mcpTools":{}},`), ext + "/middleware/mcpTools", "MCP is not supported"},
		{withExtension(`"middleware":{"mcpResources":{}},`), ext + "/middleware/mcpResources", "MCP is not supported"},
		{withExtension(`"middleware":{"mcpPrompts":{"x":{}}},`), ext + "/middleware/mcpPrompts", "MCP is not supported"},
		{withExtension(`"middleware":{"global":{"skipQuota":"yes"}},`), ext + "/middleware/global/skipQuota", "must be true or false"},
		{withExtension(`"middleware":{"global":{"cache":{"timeout":1.0}}},`), ext + "/middleware/global/cache/timeout", "must be an integer"},
		{withExtension(`"middleware":{"global":{"cache":{"timeout":9223372036854775808}}},`), ext + "/middleware/global/cache/timeout", "must be an integer"},
		{withExtension(`"middleware":{"global":{"cache":{"cacheResponseCodes":[200,null]}}},`), ext + "/middleware/global/cache/cacheResponseCodes/1", "must be an integer"},
		{withExtension(`"middleware":{"operations":{"x":{"rateLimit":{"per":60}}}},`), ext + "/middleware/operations/x/rateLimit/per", `"1m30s"`},
		{withExtension(`"middleware":{"operations":{"x":[]}},`), ext + "/middleware/operations/x", "must be an object"},
		{withExtension(`"middleware":{"operations":{"x":{"circuitBreaker":{"threshold":1e400}}}},`), ext + "/middleware/operations/x/circuitBreaker/threshold", "must be a number"},
	} {
		requireFault(t, test.document, test.pointer, test.reason)
	}
}

// TestNullIsAbsent converts a document with null in place of each object and value as one without.
func TestNullIsAbsent(t *testing.T) {
	t.Parallel()
	without, err := Convert([]byte(withExtension("")), Identity{}, Options{})
	require.NoError(t, err)
	with, err := Convert([]byte(withExtension(
		`"foo":null,"errorOverrides":null,"middleware":{"mcpTools":null,"global":{"cors":null,"skipQuota":null},"operations":{"x":{"allow":null}}},`,
	)), Identity{}, Options{})
	require.NoError(t, err)
	require.JSONEq(t, string(without.Classic), string(with.Classic))
}

// TestWrongSettings misspells each setting, and gives it a value of each wrong type.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	base, lines := readSettings(t)
	seen := map[string]bool{}
	for _, line := range lines {
		for path, value := range leaves(line.Extension, nil) {
			pointer := pointerTo(path...)
			key := pointer + fmt.Sprintf(" %T %v", value, line.Scheme)
			if seen[key] || !hasType(path, value) {
				continue
			}
			seen[key] = true
			for _, wrong := range wrongValues(value) {
				bad := line
				bad.Extension = replaced(line.Extension, path, path[len(path)-1], wrong).(map[string]any)
				requireFault(t, string(bad.document(t, base)), "/"+Extension+pointer, "must be ")
			}
			if _, err := strconv.Atoi(path[len(path)-1]); err == nil || slices.Contains(anyName, path[len(path)-2]) {
				continue // an element of a list, or of an object with any names
			}
			bad := line
			name := path[len(path)-1] + "s"
			bad.Extension = replaced(line.Extension, path, name, value).(map[string]any)
			at := pointerTo(append([]string{Extension}, append(slices.Clone(path[:len(path)-1]), name)...)...)
			requireFault(t, string(bad.document(t, base)), at, "is not a known setting")

			api, err := Convert(bad.document(t, base), Identity{}, Options{AllowUnknown: true})
			if !slices.Contains(requiredMembers, path[len(path)-1]) {
				require.NoError(t, err)
				require.Equal(t, []string{at}, api.Unknown)
				require.JSONEq(t, string(bad.document(t, base)), string(api.Document), "it is kept")
			}
		}
	}
	require.Greater(t, len(seen), 500)
}

// anyName are the objects that may have members of any name.
var anyName = []string{"headers", "customParams", "value"}

// requiredMembers are written, or required, if they are missing.
var requiredMembers = []string{"name"}

// hasType reports whether a gateway decodes a setting into a value of one type.
func hasType(path []string, value any) bool {
	of := strings.Join(path, "/")
	return value != nil && !strings.Contains(of, "customClaimValidation") && !strings.HasSuffix(of, "jwksURIs") &&
		!strings.Contains(of, "pluginConfig/data/value") && len(path) > 1
}

// leaves yields what is no object with members, and no list with elements, with its path.
func leaves(value any, path []string) func(yield func([]string, any) bool) {
	return func(yield func([]string, any) bool) {
		members := map[string]any{}
		switch v := value.(type) {
		case map[string]any:
			members = v
		case []any:
			for i, element := range v {
				members[strconv.Itoa(i)] = element
			}
		}
		if len(members) == 0 {
			yield(path, value)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			for at, leaf := range leaves(members[name], append(slices.Clone(path), name)) {
				if !yield(at, leaf) {
					return
				}
			}
		}
	}
}

// wrongValues returns a value of each type but that of a value.
func wrongValues(value any) (wrong []any) {
	for _, each := range []any{"x", 7.0, true, map[string]any{}, []any{}} {
		if fmt.Sprintf("%T", each) != fmt.Sprintf("%T", value) {
			wrong = append(wrong, each)
		}
	}
	return wrong
}

// replaced returns a value with another value at a path, under another name.
func replaced(in any, path []string, name string, value any) any {
	switch v := in.(type) {
	case map[string]any:
		copied := maps.Clone(v)
		if len(path) == 1 {
			delete(copied, path[0])
			copied[name] = value
		} else {
			copied[path[0]] = replaced(v[path[0]], path[1:], name, value)
		}
		return copied
	case []any:
		copied := slices.Clone(v)
		i, _ := strconv.Atoi(path[0])
		if len(path) == 1 {
			copied[i] = value
		} else {
			copied[i] = replaced(v[i], path[1:], name, value)
		}
		return copied
	}
	return in
}

func TestUnknownSettings(t *testing.T) {
	t.Parallel()
	document := withExtension(
		`"foo":{"a":[1]},"middleware":{"global":{"bar":true},"operations":{"x":{"baz":1,"allow":{"qux":0,"enabled":true}}}},`)
	document = strings.Replace(document, `"paths":{}`, `"paths":{"/x":{"get":{"operationId":"x"},"post":{"operationId":"x"}}}`, 1)
	api, err := Convert([]byte(document), Identity{ID: "i"}, Options{AllowUnknown: true})
	require.NoError(t, err)
	require.Equal(t, []string{
		"/x-tyk-api-gateway/foo", "/x-tyk-api-gateway/middleware/global/bar",
		"/x-tyk-api-gateway/middleware/operations/x/baz", "/x-tyk-api-gateway/middleware/operations/x/allow/qux",
	}, api.Unknown)
	require.Equal(t, strings.Replace(document, `"info":{"name"`, `"info":{"id":"i","name"`, 1), string(api.Document))
	require.JSONEq(t, `[{"disabled":false,"ignore_case":false,"method":"GET","path":"/x"},{"disabled":false,"ignore_case":false,"method":"POST","path":"/x"}]`,
		gjson.GetBytes(api.Classic, `version_data.versions..extended_paths.white_list`).Raw)

	for _, refused := range []string{
		withExtension(`"middleware":{"mcpTools":{}},`), withExtension(`"middleware":{"global":{"skipQuota":1}},`),
	} {
		_, err := Convert([]byte(refused), Identity{}, Options{AllowUnknown: true})
		require.Error(t, err, refused)
	}
	newer := strings.Replace(withExtension(""), "3.0.3", "3.1.1", 1)
	_, err = Convert([]byte(newer), Identity{}, Options{AllowUnknown: true})
	require.NoError(t, err)
}

// TestGatewaysDecode checks each document with its definition as an imported API is checked: a gateway decodes it.
func TestGatewaysDecode(t *testing.T) {
	t.Parallel()
	spec, err := admin.GetSpecJSON()
	require.NoError(t, err)
	known, err := contract.Load(contract.Rules{}, spec)
	require.NoError(t, err)
	checks, err := apidef.NewChecks(known, jsonschema.MaxDepth)
	require.NoError(t, err)
	base, lines := readSettings(t)
	identity := Identity{ID: "0f3b", DBID: "5fa2db834e07444f760b7cec", OrgID: "53ac07777cbb8c2d53000003"}
	for _, line := range lines {
		api, err := Convert(line.document(t, base), identity, Options{})
		require.NoError(t, err)
		element := []byte(`{"api_definition":` + string(api.Classic) + `,"oas":` + string(api.Document) + `}`)
		_, problems, err := checks.APIs.Import(nil, element)
		require.NoError(t, err)
		require.Empty(t, problems, "%s\n%s", line.Setting, element)
	}
}

// TestSizesAreLimited has documents of which much more could be made.
func TestSizesAreLimited(t *testing.T) {
	t.Parallel()
	repeat := func(n int, each func(i int) string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = each(i)
		}
		return strings.Join(parts, ",")
	}
	document := func(paths, extension string) []byte {
		return []byte(strings.Replace(withExtension(extension), `"paths":{}`, `"paths":{`+paths+`}`, 1))
	}
	long := strings.Repeat("y", 50_000)
	for name, test := range map[string][]byte{
		"settings of several operations with one ID": document(
			repeat(1000, func(i int) string { return fmt.Sprintf(`"/%d":{"get":{"operationId":"o"}}`, i) }),
			`"middleware":{"operations":{"o":{"urlRewrite":{"enabled":true,"rewriteTo":"`+long+`"}}}},`),
		"many operations with one ID": document(
			repeat(30_000, func(i int) string { return fmt.Sprintf(`"/%d":{"get":{"operationId":"o"}}`, i) }),
			`"middleware":{"operations":{"o":{"allow":{},"block":{},"cache":{},"internal":{},"urlRewrite":{}}}},`),
		"a long path": document(
			`"/`+long+`":{`+repeat(len(methods), func(i int) string { return `"` + methods[i] + `":{"operationId":"o"}` })+`}`,
			`"middleware":{"operations":{"o":{"allow":{},"block":{},"cache":{},"internal":{},"urlRewrite":{}}}},`),
		"targets": document("",
			`"upstream":{"url":"http://u","loadBalancing":{"enabled":true,"targets":[{"url":"`+long+`","weight":10000}]}},`),
	} {
		_, err := Convert(test, Identity{}, Options{})
		require.ErrorIs(t, err, errTooLarge, name)
	}
	schemes := strings.TrimSuffix(strings.Repeat(`{"a":[]},`, 101), ",")
	requireFault(t, strings.Replace(withExtension(""), `"paths":{}`,
		`"paths":{},"components":{"securitySchemes":{"a":{"type":"apiKey"}}},"security":[`+schemes+`]`, 1), "/security", "at most 100")
}
