package schema_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/internal/schema"
)

// documents are the schemas that documents are checked by, with the contract's examples of them.
func documents(t testing.TB) map[string]document {
	t.Helper()
	spec, err := admin.GetSpec()
	require.NoError(t, err)
	all := map[string]document{}
	for name, list := range map[string]string{"ApiDefinition": "apis", "DBPolicy": "Data"} {
		d := document{reference: spec.Components.Schemas[name].Value}
		d.compiled, err = schema.Compile(d.reference, schema.Options{})
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
	compiled  *schema.Schema
	examples  [][]byte
	hasOAS    bool // an OpenAPI document may be a member
}

// accepted is kin-openapi's opinion.
func (d document) accepted(doc []byte) bool {
	var value any
	return json.Unmarshal(doc, &value) == nil && d.reference.VisitJSON(value) == nil
}

// agree checks what must hold for any bytes: what is accepted is JSON and accepted by kin-openapi, an OpenAPI document in it
// can be decoded into kin-openapi's types, and the compact form is encoding/json's.
func (d document) agree(t *testing.T, doc []byte) {
	t.Helper()
	got, err := d.compiled.Check(nil, doc)
	if err != nil {
		require.ErrorIs(t, err, schema.ErrSyntax)
		if json.Valid(doc) && bytes.Count(doc, []byte("{"))+bytes.Count(doc, []byte("[")) <= schema.MaxDepth {
			require.False(t, bytes.Equal(doc, bytes.ToValidUTF8(doc, nil)), "%q is JSON", doc)
		}
		return
	}
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, doc))
	require.Equal(t, compact.String(), string(got.Document))
	if got.Problem == nil {
		require.True(t, d.accepted(doc), "kin-openapi refuses %s", doc)
		if d.hasOAS {
			require.NoError(t, decodes(doc), "%s", doc)
		}
	}
}

// decodes tells whether the OpenAPI document of an API is one for kin-openapi, by which a gateway decodes it.
func decodes(doc []byte) error {
	var members struct {
		OAS json.RawMessage `json:"oas"`
	}
	if json.Unmarshal(doc, &members) != nil || len(members.OAS) == 0 || members.OAS[0] != '{' {
		return nil //nolint:nilerr // no object, and so none with an OpenAPI document
	}
	return json.Unmarshal(members.OAS, new(openapi3.T))
}

func TestExamplesFit(t *testing.T) {
	t.Parallel()
	for name, d := range documents(t) {
		for _, example := range d.examples {
			got, err := d.compiled.Check([]byte("before"), example)
			require.NoError(t, err)
			require.Nil(t, got.Problem, "%s: %s", name, example)
			require.Equal(t, string(example), string(got.Document))
		}
	}
}

func compile(t *testing.T, yaml string, o schema.Options) *schema.Schema {
	t.Helper()
	var s openapi3.Schema
	require.NoError(t, s.UnmarshalJSON([]byte(yaml)))
	compiled, err := schema.Compile(&s, o)
	require.NoError(t, err)
	return compiled
}

func TestProblems(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","required":["id"],"properties":{
		"id":{"type":"string","x-object-id":true},"n":{"type":"integer","format":"int64"},"f":{"type":"number"},
		"at":{"type":"string","format":"date-time","nullable":true},"word":{"type":"string","enum":["a","b"]},
		"short":{"type":"string","minLength":2,"maxLength":3},"least":{"type":"integer","minimum":0},
		"list":{"type":"array","items":{"type":"boolean"}},"map":{"type":"object","additionalProperties":{"type":"integer"}},
		"closed":{"type":"object","additionalProperties":false,"properties":{"x":{}}}}}`, schema.Options{})
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
		{`{"id":"","at":null}`, "", ""},
		{`{"id":"","at":"2026-11-24T10:00:00Z"}`, "", ""},
		{`{"id":"","at":"yesterday"}`, "/at", "does not meet the contract's format"},
		{`{"id":"","word":"\u0061"}`, "", ""},
		{`{"id":"","word":"c"}`, "/word", "is not one of the values that the contract allows"},
		{`{"id":"","short":"é"}`, "/short", "minimum string length is 2"},
		{`{"id":"","short":"abcd"}`, "/short", "maximum string length is 3"},
		{`{"id":"","least":-1}`, "/least", "number is less than the contract's minimum"},
		{`{"id":"","list":[true,1]}`, "/list/1", "value must be a boolean"},
		{`{"id":"","map":{"a/b~":"x"}}`, "/map/a~1b~0", "value must be an integer"},
		{`{"id":"","closed":{"y":1}}`, "/closed/y", "property is unsupported"},
		{`[]`, "", "value must be an object"},
	} {
		got, err := s.Check(nil, []byte(c.doc))
		require.NoError(t, err, c.doc)
		if c.reason == "" {
			require.Nil(t, got.Problem, c.doc)
			continue
		}
		require.Equal(t, &schema.Problem{Pointer: c.pointer, Reason: c.reason}, got.Problem, c.doc)
	}
}

func TestSyntax(t *testing.T) {
	t.Parallel()
	s := compile(t, `{}`, schema.Options{})
	for _, doc := range []string{
		``, ` `, `{`, `[`, `"`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[1 2]`, `{"a":1 "b":2}`, `{1:2}`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `tru`, `nul`,
		`"\x"`, `"\u12"`, "\"\x01\"", "\"\xff\"", `{}{}`, `1 1`, `'a'`, `{"a":1}}`, "\xef\xbb\xbf{}", `NaN`,
	} {
		_, err := s.Check(nil, []byte(doc))
		require.ErrorIs(t, err, schema.ErrSyntax, "%q", doc)
		require.False(t, json.Valid([]byte(doc)) && doc != "\"\xff\"", "%q", doc)
	}
	_, err := s.Check(nil, []byte(strings.Repeat("[", schema.MaxDepth)+strings.Repeat("]", schema.MaxDepth)))
	require.NoError(t, err)
	_, err = s.Check(nil, []byte(strings.Repeat("[", schema.MaxDepth+1)+strings.Repeat("]", schema.MaxDepth+1)))
	require.EqualError(t, err, "nested deeper than 1000")
}

func TestCaptured(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string"},"c":{"type":"boolean"}}}}}`,
		schema.Options{Capture: [][]string{{"a", "b"}, {"a", "c"}, {"a"}}})
	got, err := s.Check([]byte("xyz"), []byte(` { "a" : { "b" : "one", "b" : "two" } } `))
	require.NoError(t, err)
	require.Nil(t, got.Problem)
	require.Equal(t, `{"a":{"b":"one","b":"two"}}`, string(got.Document))
	require.Equal(t, [][]byte{[]byte(`"two"`), nil, []byte(`{"b":"one","b":"two"}`)}, got.Captured)

	got, err = s.Check(nil, []byte(`{"a":{"B":"one"}}`))
	require.NoError(t, err)
	require.Equal(t, &schema.Problem{Pointer: "/a/B", Reason: "differs from a known name in case only"}, got.Problem)
}

func TestNullsAsEncodingJSONTakesThem(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"a":{"type":"integer"}}}`, schema.Options{Nulls: true})
	got, err := s.Check(nil, []byte(`{"a":null}`))
	require.NoError(t, err)
	require.Nil(t, got.Problem)
}

func TestUnknownKeywordsDoNotCompile(t *testing.T) {
	t.Parallel()
	for _, unknown := range []string{
		`{"pattern":"x"}`, `{"oneOf":[{},{"type":"string"}]}`, `{"type":"object","oneOf":[{"type":"string"}]}`, `{"type":"string","format":"colour"}`, `{"properties":{"a":{"items":{"allOf":[{}]}}}}`, `{"enum":[1]}`,
	} {
		var s openapi3.Schema
		require.NoError(t, s.UnmarshalJSON([]byte(unknown)))
		_, err := schema.Compile(&s, schema.Options{})
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
			if got.Problem != nil {
				refused++
				// encoding/json writes integers as integers: only what the strictness is about may differ.
				if d.accepted(raw) {
					require.Contains(t, []string{
						"must be 24 hexadecimal digits", "integer is out of range", "value must be an integer, written as one",
					}, got.Problem.Reason, string(raw))
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
