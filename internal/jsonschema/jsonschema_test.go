package jsonschema_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/internal/jsonschema"
)

// documents are the schemas that documents are checked by, with the contract's examples of them.
func documents(t testing.TB) map[string]document {
	t.Helper()
	spec, err := admin.GetSpec()
	require.NoError(t, err)
	withoutExtensions(spec)
	all := map[string]document{}
	for name, list := range map[string]string{"ApiDefinition": "apis", "DBPolicy": "Data"} {
		d := document{reference: spec.Components.Schemas[name].Value}
		d.compiled, err = jsonschema.Compile(d.reference, jsonschema.Options{})
		require.NoError(t, err)
		for _, path := range []string{"/admin/apis", "/admin/policies"} {
			for _, example := range spec.Paths.Value(path).Get.Responses.Value("200").Value.Content["application/json"].Examples {
				examples, _ := example.Value.Value.(map[string]any)[list].([]any)
				for _, each := range examples {
					raw, err := json.Marshal(each)
					require.NoError(t, err)
					d.examples = append(d.examples, raw)
				}
			}
		}
		if name == "ApiDefinition" {
			d.hasOAS = true
			raw, err := os.ReadFile("testdata/openapi.json")
			require.NoError(t, err)
			var compact bytes.Buffer
			require.NoError(t, json.Compact(&compact, raw))
			d.examples = append(d.examples, compact.Bytes())
		}
		require.NotEmpty(t, d.examples)
		all[name] = d
	}
	return all
}

type document struct {
	reference *openapi3.Schema
	compiled  *jsonschema.Schema
	examples  [][]byte
	hasOAS    bool // an OpenAPI document may be a member
}

// accepted is kin-openapi's opinion.
func (d document) accepted(doc []byte) bool {
	var value any
	return json.Unmarshal(doc, &value) == nil && d.reference.VisitJSON(value) == nil
}

// agree checks what must hold for any bytes: what is accepted is JSON and accepted by kin-openapi, an OpenAPI document
// in it can be decoded into kin-openapi's types, and the compact form is encoding/json's.
func (d document) agree(t *testing.T, doc []byte) {
	t.Helper()
	got, err := d.compiled.Check(nil, doc)
	if err != nil {
		require.ErrorIs(t, err, jsonschema.ErrSyntax)
		if json.Valid(doc) && bytes.Count(doc, []byte("{"))+bytes.Count(doc, []byte("[")) <= jsonschema.MaxDepth {
			require.False(t, bytes.Equal(doc, bytes.ToValidUTF8(doc, nil)), "%q is JSON", doc)
		}
		return
	}
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, doc))
	require.Equal(t, compact.String(), string(got.Document))
	if got.Problems == nil {
		require.True(t, d.accepted(doc), "kin-openapi refuses %s", doc)
		if d.hasOAS {
			require.NoError(t, decodes(doc), "%s", doc)
		}
	}
}

// decodes tells whether the OpenAPI document of an API is one for kin-openapi, by which a gateway decodes it.
func decodes(doc []byte) error {
	var members struct {
		OAS any `json:"oas"`
	}
	if json.Unmarshal(doc, &members) != nil || members.OAS == nil {
		return nil //nolint:nilerr // no object, and so none with an OpenAPI document
	}
	withoutNewer(members.OAS)
	raw, err := json.Marshal(members.OAS)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, new(openapi3.T))
}

// newer are the members of OpenAPI 3.1 and 3.2 that kin-openapi decodes and the contract leaves alone: gateways read
// OpenAPI 3.0 and keep what is none of it, whatever it is.
var newer = []string{
	"oas/components/schemas/*/examples", "oas/components/schemas/*/prefixItems", "oas/components/schemas/*/contains",
	"oas/components/schemas/*/minContains", "oas/components/schemas/*/maxContains", "oas/components/schemas/*/patternProperties",
	"oas/components/schemas/*/dependentSchemas", "oas/components/schemas/*/propertyNames", "oas/components/schemas/*/unevaluatedItems",
	"oas/components/schemas/*/unevaluatedProperties", "oas/components/schemas/*/if", "oas/components/schemas/*/then",
	"oas/components/schemas/*/else", "oas/components/schemas/*/dependentRequired", "oas/components/schemas/*/$defs",
	"oas/components/schemas/*/$schema", "oas/components/schemas/*/$comment", "oas/components/schemas/*/$id",
	"oas/components/schemas/*/$anchor", "oas/components/schemas/*/$dynamicRef", "oas/components/schemas/*/$dynamicAnchor",
	"oas/components/schemas/*/contentMediaType", "oas/components/schemas/*/contentEncoding", "oas/components/schemas/*/contentSchema",
	"oas/components/parameters/*/content/*/itemSchema", "oas/components/callbacks/*/*/query",
	"oas/components/callbacks/*/*/additionalOperations", "oas/info/summary", "oas/info/license/identifier", "oas/webhooks",
	"oas/jsonSchemaDialect",
}

// withoutNewer takes them out of a document, wherever one of their names stands.
func withoutNewer(value any) {
	switch v := value.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(name string, _ any) bool {
			return slices.ContainsFunc(newer, func(member string) bool { return strings.EqualFold(path.Base(member), name) })
		})
		for _, each := range v {
			withoutNewer(each)
		}
	case []any:
		for _, each := range v {
			withoutNewer(each)
		}
	}
}

// TestOpenAPIIsDescribed holds the contract to name every other member that kin-openapi decodes: one that it does not
// name could hold anything, and a gateway fail on it.
func TestOpenAPIIsDescribed(t *testing.T) {
	t.Parallel()
	u := undescribed{seen: map[reflect.Type]bool{}}
	u.find("oas", reflect.TypeFor[openapi3.T](), documents(t)["ApiDefinition"].reference.Properties["oas"].Value)
	require.Greater(t, len(u.seen), 15, "types of kin-openapi")
	require.ElementsMatch(t, newer, u.members)
}

// undescribed are members that kin-openapi decodes and the contract does not name.
type undescribed struct {
	members []string
	seen    map[reflect.Type]bool
}

func (u *undescribed) find(at string, decoded reflect.Type, s *openapi3.Schema) {
	switch decoded = written(decoded); decoded.Kind() {
	case reflect.Slice:
		if s.Items != nil {
			u.find(at+"/0", decoded.Elem(), s.Items.Value)
		}
	case reflect.Map:
		if s.AdditionalProperties.Schema != nil {
			u.find(at+"/*", decoded.Elem(), s.AdditionalProperties.Schema.Value)
		} else if decoded.Elem().Kind() != reflect.Interface {
			u.members = append(u.members, at+"/*")
		}
	case reflect.Struct:
		u.findIn(at, decoded, s)
	default: // a schema says of what type it is
	}
}

func (u *undescribed) findIn(at string, decoded reflect.Type, s *openapi3.Schema) {
	if u.seen[decoded] {
		return
	}
	u.seen[decoded] = true
	for field := range decoded.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch property := s.Properties[name]; {
		case name == "" || name == "-" || field.Type.Kind() == reflect.Interface: // not decoded, or never in vain
		case property == nil:
			u.members = append(u.members, at+"/"+name)
		default:
			u.find(at+"/"+name, field.Type, property.Value)
		}
	}
}

// written is the type by which kin-openapi decodes what is written for a value of a type: what a reference is to, the
// map in a map with extensions.
func written(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return written(t.Elem())
	}
	if entries, ok := reflect.PointerTo(t).MethodByName("Map"); ok {
		return entries.Type.Out(0)
	}
	if t.Kind() == reflect.Struct {
		_, isRef := t.FieldByName("Ref")
		if value, ok := t.FieldByName("Value"); ok && isRef {
			return written(value.Type)
		}
	}
	return t
}

func TestExamplesFit(t *testing.T) {
	t.Parallel()
	for name, d := range documents(t) {
		for _, example := range d.examples {
			got, err := d.compiled.Check([]byte("before"), example)
			require.NoError(t, err)
			require.Nil(t, got.Problems, "%s: %s", name, example)
			require.Equal(t, string(example), string(got.Document))
		}
	}
}

func compile(t *testing.T, yaml string, o jsonschema.Options) *jsonschema.Schema {
	t.Helper()
	var s openapi3.Schema
	require.NoError(t, s.UnmarshalJSON([]byte(yaml)))
	compiled, err := jsonschema.Compile(&s, o)
	require.NoError(t, err)
	return compiled
}

func TestProblems(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","required":["id"],"properties":{
		"id":{"type":"string","x-object-id":true},"n":{"type":"integer","format":"int64"},"f":{"type":"number"},
		"at":{"type":"string","format":"date-time","nullable":true},"word":{"type":"string","enum":["a","b"]},
		"short":{"type":"string","minLength":2,"maxLength":3},"least":{"type":"integer","minimum":0},
		"byte":{"type":"integer","minimum":0,"maximum":255},"share":{"type":"number","minimum":0,"maximum":1},
		"list":{"type":"array","items":{"type":"boolean"}},"map":{"type":"object","additionalProperties":{"type":"integer"}},
		"closed":{"type":"object","additionalProperties":false,"properties":{"x":{}}}}}`, jsonschema.Options{})
	for _, c := range []struct{ doc, pointer, reason string }{
		{`{"id":""}`, "", ""},
		{`{"id":"5FA2db834e07444f760b7ceb","other":{"n":"text"}}`, "", ""},
		{`{}`, "", `property "id" is missing`},
		{`{"id":"zz"}`, "/id", "must be 24 hexadecimal digits"},
		{`{"id":5}`, "/id", "value must be a string"},
		{`{"id":null}`, "/id", "Value is not nullable"},
		{`{"id":"","n":-9223372036854775808}`, "", ""},
		{`{"id":"","n":9223372036854775808}`, "/n", "integer is out of range"},
		{`{"id":"","n":1.0}`, "/n", "value must be an integer, written as one"},
		{`{"id":"","n":1e3}`, "/n", "value must be an integer, written as one"},
		{`{"id":"","N":"text"}`, "/N", "value must be an integer"},
		{`{"id":"","n":"text","n":1}`, "/n", "value must be an integer"},
		{`{"id":"","f":1e400}`, "/f", "number is out of range"},
		{`{"id":"","f":1.5}`, "", ""},
		{`{"id":"","other":[1e400]}`, "/other/0", "number is out of range"},
		{`{"id":"","other":` + strings.Repeat("9", 310) + `}`, "/other", "number is out of range"},
		{`{"id":"","other":1e-400}`, "", ""},
		{`{"id":"","at":null}`, "", ""},
		{`{"id":"","at":"2026-11-24T10:00:00Z"}`, "", ""},
		{`{"id":"","at":"yesterday"}`, "/at", "does not meet the contract's format"},
		{`{"id":"","at":"2026-12-31T23:59:60Z"}`, "/at", "does not meet the contract's format"},
		{`{"id":"","word":"\u0061"}`, "", ""},
		{`{"id":"","word":"c"}`, "/word", "is not one of the values that the contract allows"},
		{`{"id":"","short":"é"}`, "/short", "minimum string length is 2"},
		{`{"id":"","short":"abcd"}`, "/short", "maximum string length is 3"},
		{`{"id":"","least":-1}`, "/least", "number is less than the contract's minimum"},
		{`{"id":"","least":-0}`, "/least", "number is less than the contract's minimum"},
		{`{"id":"","byte":255,"share":1.0}`, "", ""},
		{`{"id":"","byte":256}`, "/byte", "number is more than the contract's maximum"},
		{`{"id":"","share":-0.5}`, "/share", "number is less than the contract's minimum"},
		{`{"id":"","share":1.5}`, "/share", "number is more than the contract's maximum"},
		{`{"id":"","list":[true,1]}`, "/list/1", "value must be a boolean"},
		{`{"id":"","map":{"a/b~":"x"}}`, "/map/a~1b~0", "value must be an integer"},
		{`{"id":"","closed":{"y":1}}`, "/closed/y", "property is unsupported"},
		{`[]`, "", "value must be an object"},
	} {
		got, err := s.Check(nil, []byte(c.doc))
		require.NoError(t, err, c.doc)
		if c.reason == "" {
			require.Nil(t, got.Problems, c.doc)
			continue
		}
		require.Equal(t, []jsonschema.Problem{{Pointer: c.pointer, Reason: c.reason}}, got.Problems, c.doc)
	}
}

func TestSyntax(t *testing.T) {
	t.Parallel()
	s := compile(t, `{}`, jsonschema.Options{})
	for _, doc := range []string{
		``, ` `, `{`, `[`, `"`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[1 2]`, `{"a":1 "b":2}`, `{1:2}`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `tru`, `nul`,
		`"\x"`, `"\u12"`, "\"\x01\"", "\"\xff\"", `{}{}`, `1 1`, `'a'`, `{"a":1}}`, "\xef\xbb\xbf{}", `NaN`,
	} {
		_, err := s.Check(nil, []byte(doc))
		require.ErrorIs(t, err, jsonschema.ErrSyntax, "%q", doc)
		require.False(t, json.Valid([]byte(doc)) && doc != "\"\xff\"", "%q", doc)
	}
	_, err := s.Check(nil, []byte(strings.Repeat("[", jsonschema.MaxDepth)+strings.Repeat("]", jsonschema.MaxDepth)))
	require.NoError(t, err)
	_, err = s.Check(nil, []byte(strings.Repeat("[", jsonschema.MaxDepth+1)+strings.Repeat("]", jsonschema.MaxDepth+1)))
	require.EqualError(t, err, "nested deeper than 1000")
}

func TestCaptured(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string"},"c":{"type":"boolean"}}}}}`,
		jsonschema.Options{Capture: [][]string{{"a", "b"}, {"a", "c"}, {"a"}}})
	got, err := s.Check([]byte("xyz"), []byte(` { "a" : { "b" : "one", "b" : "two" } } `))
	require.NoError(t, err)
	require.Nil(t, got.Problems)
	require.Equal(t, `{"a":{"b":"one","b":"two"}}`, string(got.Document))
	require.Equal(t, [][]byte{[]byte(`"two"`), nil, []byte(`{"b":"one","b":"two"}`)}, got.Captured)
	require.True(t, got.Repeated)
	got, err = s.Check(nil, []byte(`{"a":{"b":"one","x":1,"x":2}}`))
	require.NoError(t, err)
	require.False(t, got.Repeated, "only captured values are looked at")

	got, err = s.Check(nil, []byte(`{"a":{"B":"one"}}`))
	require.NoError(t, err)
	require.Equal(t, []jsonschema.Problem{{Pointer: "/a/B", Reason: "differs from a known name in case only"}}, got.Problems)
}

func TestNullsAsEncodingJSONTakesThem(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"a":{"type":"integer"}}}`, jsonschema.Options{Nulls: true})
	got, err := s.Check(nil, []byte(`{"a":null}`))
	require.NoError(t, err)
	require.Nil(t, got.Problems)
}

func TestNullIsAbsent(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","properties":{"plain":{"type":"string"},"doc":{"type":"object","x-null-is-absent":true,"required":["must"],
		"properties":{"must":{"type":"string"},"n":{"type":"integer"},"d":{"type":"string","x-duration":true},"o":{"type":"object","properties":{"s":{"type":"string"}}},
			"l":{"type":"array","items":{"type":"boolean"}},"m":{"type":"object","additionalProperties":{"type":"string"}}}}}}`
	for doc, want := range map[string][]jsonschema.Problem{
		`{"doc":{"must":"","n":null,"o":null,"l":null,"m":null}}`:                    nil,
		`{"doc":{"must":"","o":{"s":null},"l":[null,true],"m":{"x":null},"y":null}}`: nil,
		`{"doc":null}`:                {{Pointer: "/doc", Reason: "Value is not nullable"}},
		`{"plain":null}`:              {{Pointer: "/plain", Reason: "Value is not nullable"}},
		`{"doc":{"must":null}}`:       {{Pointer: "/doc", Reason: `property "must" is missing`}},
		`{"doc":{"must":"","n":"x"}}`: {{Pointer: "/doc/n", Reason: "value must be an integer"}},
	} {
		got, err := compile(t, schema, jsonschema.Options{Lenient: true}).Problems([]byte(doc))
		require.NoError(t, err)
		require.Equal(t, want, got, doc)
	}
	strict, err := compile(t, schema, jsonschema.Options{}).Problems([]byte(`{"doc":{"must":"","d":null}}`))
	require.NoError(t, err)
	require.Equal(t, []jsonschema.Problem{{Pointer: "/doc/d", Reason: "Value is not nullable"}}, strict, "a gateway does not decode it")
}

func TestIDsThatAreObjects(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","properties":{"id":{"type":"string","x-object-id":true}}}`
	for doc, want := range map[string][]string{
		`{"id":{"$oid":"5fa2db834e07444f760b7ceb"}}`:       nil,
		`{"id": { "$oid" : "5FA2DB834E07444F760B7CEB" } }`: nil,
		`{"id":{"$oid":""}}`:                               nil,
		`{"id":{"$oid":null}}`:                             nil,
		`{"id":{"$oid":"x"}}`:                              {"must be 24 hexadecimal digits"},
		`{"id":{}}`:                                        {"value must be a string, or an object that has one as its $oid"},
		`{"id":{"$oid":5}}`:                                {"value must be a string, or an object that has one as its $oid"},
		`{"id":{"$oid":{"$oid":""}}}`:                      {"value must be a string, or an object that has one as its $oid"},
		`{"id":{"$oid":"5fa2db834e07444f760b7ceb","x":1}}`: {"value must be a string, or an object that has one as its $oid"},
		`{"id":{"$OID":"5fa2db834e07444f760b7ceb"}}`:       {"value must be a string, or an object that has one as its $oid"},
		`{"id":{"$oid":"5fa2db834e07444f760b7ce\u0062"}}`:  {"value must be a string, or an object that has one as its $oid"},
		`{"id":["5fa2db834e07444f760b7ceb"]}`:              {"value must be a string"},
	} {
		got, err := compile(t, schema, jsonschema.Options{}).Problems([]byte(doc))
		require.NoError(t, err)
		var reasons []string
		for _, p := range got {
			require.Equal(t, "/id", p.Pointer)
			reasons = append(reasons, p.Reason)
		}
		require.Equal(t, want, reasons, doc)
	}
	lenient, err := compile(t, schema, jsonschema.Options{Lenient: true}).Check(nil, []byte(`{"id": {"$oid": "x"}}`))
	require.NoError(t, err)
	require.Nil(t, lenient.Problems)
	require.Equal(t, `{"id":{"$oid":"x"}}`, string(lenient.Document))
}

func TestAllProblemsAreListed(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"l":{"type":"array","items":{"type":"string"}}}}`, jsonschema.Options{})
	got, err := s.Problems([]byte(`{"a":"x","b":5,"c":1}`))
	require.NoError(t, err)
	require.Equal(t, []jsonschema.Problem{{Pointer: "/a", Reason: "value must be an integer"}, {Pointer: "/b", Reason: "value must be a string"}}, got)
	got, err = s.Problems([]byte(`{"l":[` + strings.Repeat("1,", 1000) + `1]}`))
	require.NoError(t, err)
	require.Len(t, got, jsonschema.MaxProblems)
}

func TestHalfPairs(t *testing.T) {
	t.Parallel()
	for pairs, want := range map[bool]error{false: nil, true: jsonschema.ErrSyntax} {
		_, err := compile(t, `{}`, jsonschema.Options{Pairs: pairs}).Check(nil, []byte(`{"a":"\ud800"}`))
		require.ErrorIs(t, err, want)
		_, err = compile(t, `{}`, jsonschema.Options{Pairs: pairs}).Check(nil, []byte(`{"a":"\ud83d\ude00"}`))
		require.NoError(t, err)
	}
}

func TestIntegersAreWrittenAsSuch(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"n":{"type":"integer"},"f":{"type":"number"}}}`, jsonschema.Options{Integers: true})
	for number, want := range map[string]string{
		"1.718439136e+09": "1718439136", "5.0": "5", "-2e1": "-20", "7": "7", "-0.0": "0", "1.5": "1.5", "1e15": "1000000000000000",
		"9007199254740992.0": "9007199254740992.0", "1e400": "1e400",
	} {
		got, err := s.Check(nil, []byte(`{"n":`+number+`,"f":5.0,"other":5.0}`))
		require.NoError(t, err)
		require.Equal(t, `{"n":`+want+`,"f":5.0,"other":5.0}`, string(got.Document))
	}
}

func TestUnknownKeywordsDoNotCompile(t *testing.T) {
	t.Parallel()
	for _, unknown := range []string{
		`{"pattern":"x"}`, `{"oneOf":[{},{"type":"string"}]}`, `{"type":"object","oneOf":[{"type":"string"}]}`, `{"type":"string","format":"colour"}`, `{"properties":{"a":{"items":{"allOf":[{}]}}}}`, `{"enum":[1]}`,
	} {
		var s openapi3.Schema
		require.NoError(t, s.UnmarshalJSON([]byte(unknown)))
		_, err := jsonschema.Compile(&s, jsonschema.Options{})
		require.Error(t, err, unknown)
	}
}

// TestMutationsAgreeWithKin changes the examples at random and compares the opinions.
func TestMutationsAgreeWithKin(t *testing.T) {
	t.Parallel()
	for name, d := range documents(t) {
		r := rand.New(rand.NewPCG(1, 2))
		refused := 0
		for range 10_000 {
			var value any
			require.NoError(t, json.Unmarshal(d.examples[r.IntN(len(d.examples))], &value))
			raw, err := json.Marshal(mutate(r, value))
			require.NoError(t, err)
			d.agree(t, raw)
			got, err := d.compiled.Check(nil, raw)
			require.NoError(t, err)
			if got.Problems != nil {
				refused++
				// encoding/json writes integers as integers: only what the strictness is about may differ.
				if d.accepted(raw) {
					require.Contains(t, []string{
						"must be 24 hexadecimal digits", "integer is out of range", "value must be an integer, written as one",
					}, got.Problems[0].Reason, string(raw))
				}
			}
		}
		require.Greater(t, refused, 1000, name)
	}
}

// mutate changes one place of a document.
func mutate(r *rand.Rand, value any) any {
	others := []any{nil, true, "text", 5.0, 1.5, 1e30, map[string]any{"x": 1.0}, []any{"y"}, "2026-11-24T10:00:00Z", ""}
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if r.IntN(len(v)) == 0 || len(v) == 1 {
				if r.IntN(6) == 0 {
					delete(v, name)
				} else {
					v[name] = mutate(r, v[name])
				}
				return v
			}
		}
	case []any:
		if len(v) > 0 && r.IntN(3) > 0 {
			v[r.IntN(len(v))] = mutate(r, v[0])
			return v
		}
	}
	return others[r.IntN(len(others))]
}

func FuzzAgreesWithKin(f *testing.F) {
	all := documents(f)
	for _, d := range all {
		for _, example := range d.examples {
			f.Add(example)
			f.Add(bytes.ReplaceAll(example, []byte(","), []byte(" ,\n\t")))
		}
	}
	for _, seed := range []string{
		`{"api_definition":{"slug":5}}`, `{"_id":"\u0000"}`, `[1e400]`, `{"a":{"a":{}}}`, `{"quota_max":1500.0}`, `{"oas":{"paths":{"/a":{"get":""}}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, d := range all {
			d.agree(t, doc)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	d := documents(b)["ApiDefinition"]
	doc := d.examples[0]
	for len(doc) < 13<<10 { // the median of real ones
		doc = append(append(append([]byte(`{"copy":`), doc...), `,"api_definition":`...), append(d.examples[0][len(`{"api_definition":`):], '}')...)
		doc = doc[:len(doc)-1]
		if !json.Valid(doc) {
			b.Fatal("not JSON")
		}
	}
	b.Run("schema", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		out := make([]byte, 0, len(doc))
		for b.Loop() {
			if _, err := d.compiled.Check(out, doc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode and kin-openapi", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			var value any
			_ = json.Unmarshal(doc, &value)
			_ = d.reference.VisitJSON(value)
		}
	})
	b.Run("json.Valid", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			json.Valid(doc)
		}
	})
}
