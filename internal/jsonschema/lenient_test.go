package jsonschema_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/jsonschema"
)

// body is the schema of a request body or a response, with the contract's examples of it.
type body struct {
	name      string
	declared  *openapi3.Schema
	compiled  *jsonschema.Schema
	direction openapi3.SchemaValidationOption
	examples  []any
}

// bodies returns the body of every request and every response of the contracts.
func bodies(t testing.TB) (all []body) {
	t.Helper()
	type direction = openapi3.SchemaValidationOption
	for _, get := range []func() (*openapi3.T, error){admin.GetSpec, dashboard.GetSpec, node.GetSpec} {
		spec, err := get()
		require.NoError(t, err)
		withoutExtensions(spec)
		requests := jsonschema.NewCompiler(jsonschema.Options{Lenient: true})
		responses := jsonschema.NewCompiler(jsonschema.Options{Lenient: true})
		add := func(name string, content openapi3.Content, compiler *jsonschema.Compiler, as direction) {
			declared := content.Get("application/json")
			if declared == nil {
				return // the form of a portal
			}
			b := body{name: name, declared: declared.Schema.Value, direction: as}
			var err error
			b.compiled, err = compiler.Compile(b.declared)
			require.NoError(t, err, name)
			for _, example := range slices.Sorted(maps.Keys(declared.Examples)) {
				b.examples = append(b.examples, declared.Examples[example].Value.Value)
			}
			require.NotEmpty(t, b.examples, name)
			all = append(all, b)
		}
		for _, item := range spec.Paths.Map() {
			for _, op := range item.Operations() {
				if op.RequestBody != nil {
					add(op.OperationID, op.RequestBody.Value.Content, requests, openapi3.VisitAsRequest())
				}
				for status, response := range op.Responses.Map() {
					add(op.OperationID+" "+status, response.Value.Content, responses, openapi3.VisitAsResponse())
				}
			}
		}
	}
	require.Greater(t, len(all), 200)
	slices.SortStableFunc(all, func(a, b body) int { return strings.Compare(a.name, b.name) })
	return all
}

// withoutExtensions removes the extension that allows more than kin-openapi does.
func withoutExtensions(spec *openapi3.T) {
	for _, s := range spec.Components.Schemas {
		delete(s.Value.Extensions, jsonschema.NullIsAbsent)
	}
}

// accepted is kin-openapi's opinion.
func (b body) accepted(raw []byte) bool {
	var value any
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber()
	return in.Decode(&value) == nil && !in.More() && b.declared.VisitJSON(value, b.direction) == nil
}

// agree reports whether a body is valid, about which both must agree, also piece by piece.
func (b body) agree(t *testing.T, raw []byte) bool {
	t.Helper()
	problem, err := b.compiled.Validate(raw)
	valid := problem == nil && err == nil
	require.Equal(t, b.accepted(raw), valid, "%s: %s: %v %v", b.name, raw, problem, err)

	stream := b.compiled.Stream()
	defer stream.Close()
	half := len(raw) / 2
	_, _ = stream.Write(raw[:half])
	_, _ = stream.Write(raw[half:])
	streamed, streamErr := stream.End()
	require.Equal(t, problem, streamed, "%s: %s", b.name, raw)
	if problem == nil {
		require.Equal(t, err, streamErr, "%s: %s", b.name, raw)
	}
	return valid
}

// edges are values that are easily taken for something else.
var edges = []any{
	nil, true, false, "", "text", "é\u2028\x00", "5fa2db834e07444f760b7ceb", "2026-11-24T10:00:00Z", "2026-12-31T23:59:60Z", "2026-02-30T10:00:00Z",
	"2026-11-24T10:00:00.123456789+01:30", "2026-11-24t10:00:00z", "2026-11-24T1:00:00Z", "0000-01-01T00:00:00Z", "2026-11-24T10:00:00.Z", "2026-11-24T10:00:00,5Z", "2026-11-24T24:00:00Z", "2026-11-24T10:00:00+24:00",
	json.Number("0"), json.Number("-0"), json.Number("-1"), json.Number("5.0"), json.Number("1e3"), json.Number("1.5"), json.Number("1e-3"), json.Number("1e30"),
	json.Number("1e400"), json.Number("9223372036854775807"), json.Number("9223372036854775808"), json.Number("9223372036854777856"), json.Number("-9223372036854775809"),
	json.Number("2147483648"), json.Number("12345678901234567890123"), json.Number("65536"),
	[]any{},
	[]any{nil},
	[]any{"a", "b"},
	map[string]any{},
	map[string]any{"x": nil},
	map[string]any{"a/b~": []any{json.Number("1e400")}},
}

// generated returns a value for a schema: mostly a valid one.
func generated(r *rand.Rand, s *openapi3.Schema, depth int) any {
	const odds = 12 // of an edge in place of the value
	if r.IntN(odds) == 0 || depth == 0 {
		return edges[r.IntN(len(edges))]
	}
	for _, alternatives := range []openapi3.SchemaRefs{s.OneOf, s.AnyOf, s.AllOf} {
		if len(alternatives) > 0 {
			return generated(r, alternatives[r.IntN(len(alternatives))].Value, depth)
		}
	}
	switch {
	case len(s.Enum) > 0:
		return s.Enum[r.IntN(len(s.Enum))]
	case s.Type.Is("object") || len(s.Properties) > 0:
		return generatedObject(r, s, depth)
	case s.Type.Is("array"):
		list := []any{}
		for range r.IntN(3) {
			list = append(list, generated(r, s.Items.Value, depth-1))
		}
		return list
	case s.Type.Is("string"):
		return strings.Repeat("é", int(s.MinLength)+r.IntN(3))
	case s.Type.Is("integer"):
		return r.IntN(100)
	case s.Type.Is("number"):
		return r.Float64()
	case s.Type.Is("boolean"):
		return r.IntN(2) == 0
	}
	return edges[r.IntN(len(edges))]
}

func generatedObject(r *rand.Rand, s *openapi3.Schema, depth int) any {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		if slices.Contains(s.Required, name) && r.IntN(40) > 0 || r.IntN(3) == 0 {
			object[name] = generated(r, property.Value, depth-1)
		} else if r.IntN(20) == 0 {
			object[strings.ToUpper(name)] = edges[r.IntN(len(edges))]
		}
	}
	if additional := s.AdditionalProperties.Schema; additional != nil {
		object["any name"] = generated(r, additional.Value, depth-1)
	} else if r.IntN(6) == 0 {
		object["unknown"] = edges[r.IntN(len(edges))]
	}
	return object
}

// TestLenientAgreesWithKin compares the opinions about generated bodies and about examples that are changed in one
// place, for every body of the contracts.
func TestLenientAgreesWithKin(t *testing.T) {
	t.Parallel()
	const depth = 9
	const rounds = 40
	valid, invalid := 0, 0
	for i, b := range bodies(t) {
		r := rand.New(rand.NewPCG(7, uint64(i)))
		check := func(value any) {
			raw, err := json.Marshal(value)
			require.NoError(t, err)
			if b.agree(t, raw) {
				valid++
			} else {
				invalid++
			}
		}
		for range rounds {
			check(generated(r, b.declared, depth))
			var example any
			raw, err := json.Marshal(b.examples[r.IntN(len(b.examples))])
			require.NoError(t, err)
			require.True(t, b.agree(t, raw), "%s: %s", b.name, raw)
			require.NoError(t, json.Unmarshal(raw, &example))
			check(mutate(r, example))
		}
	}
	t.Logf("%d valid and %d invalid bodies", valid, invalid)
	require.Greater(t, valid, 2000)
	require.Greater(t, invalid, 2000)
}

// FuzzLenientAgreesWithKin compares the opinions about any bytes.
func FuzzLenientAgreesWithKin(f *testing.F) {
	all := bodies(f)
	for i, b := range all {
		raw, err := json.Marshal(b.examples[0])
		require.NoError(f, err)
		f.Add(i, raw)
	}
	f.Fuzz(func(t *testing.T, i int, raw []byte) {
		if !json.Valid(raw) || hasDuplicates(raw) || bytes.Count(raw, []byte("{"))+bytes.Count(raw, []byte("[")) > jsonschema.MaxDepth {
			return
		}
		all[((i%len(all))+len(all))%len(all)].agree(t, raw)
	})
}

// hasDuplicates reports whether an object has a name twice: kin-openapi sees the last, a lenient schema each.
func hasDuplicates(raw []byte) bool {
	var value any
	_ = json.Unmarshal(raw, &value)
	again, _ := json.Marshal(value)
	return bytes.Count(raw, []byte(`:`)) != bytes.Count(again, []byte(`:`))
}

// TestKeywordsOfOthers compares the opinions about keywords that the contracts do not use. Those that a compiled schema
// does not support fall back to kin-openapi.
func TestKeywordsOfOthers(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{}`, `{"nullable":true}`, `{"type":"string","format":"email"}`, `{"type":"string","format":"byte"}`, `{"type":"string","format":"date"}`,
		`{"type":"string","format":"date-time"}`,
		`{"type":"string","pattern":"^a"}`, `{"enum":["text"]}`, `{"enum":[1,"text",null]}`, `{"type":"string","nullable":true,"enum":["text"]}`,
		`{"type":"string","nullable":true,"enum":["text",null]}`, `{"type":"string","enum":["text",null]}`, `{"type":"object","nullable":true,"enum":[null]}`, `{"type":"object","enum":[null]}`,
		`{"type":"integer","format":"int32"}`, `{"type":"number","format":"int32"}`, `{"type":"integer","minimum":0,"maximum":255}`,
		`{"type":"number","minimum":0,"exclusiveMinimum":true}`, `{"type":"number","multipleOf":0.5}`,
		`{"type":"array","items":{},"minItems":1}`, `{"type":"array","items":{"type":"string"},"uniqueItems":true}`, `{"items":{}}`,
		`{"type":"object","minProperties":1}`, `{"type":"object","maxProperties":0}`, `{"type":"object","additionalProperties":false}`, `{"additionalProperties":{}}`,
		`{"oneOf":[{"type":"integer"},{"type":"number"}]}`, `{"oneOf":[{"type":"string"},{"type":"array","items":{}}]}`, `{"oneOf":[{"type":"string"}],"enum":["a"]}`,
		`{"oneOf":[{"type":"string","nullable":true},{"type":"boolean","nullable":true}]}`, `{"oneOf":[{"type":"string","nullable":true},{"type":"boolean"}]}`,
		`{"anyOf":[{"type":"string"},{"type":"number"}]}`, `{"allOf":[{"type":"object"},{"required":["x"]}]}`, `{"not":{"type":"string"}}`,
		`{"type":"object","required":["x"],"properties":{"x":{"type":"string","readOnly":true}}}`,
		`{"type":"object","required":["x"],"properties":{"x":{"nullable":true,"writeOnly":true}}}`,
		`{"type":"object","properties":{"x":{"anyOf":[{"nullable":true}]},"unknown":{"type":"string"}}}`,
	} {
		var s openapi3.Schema
		require.NoError(t, s.UnmarshalJSON([]byte(schema)))
		for _, direction := range []openapi3.SchemaValidationOption{openapi3.VisitAsRequest(), openapi3.VisitAsResponse()} {
			b := body{name: schema, declared: &s, direction: direction}
			fallback := func(s *openapi3.Schema) func([]byte) *jsonschema.Problem {
				fallen := body{declared: s, direction: direction}
				return func(value []byte) *jsonschema.Problem {
					if fallen.accepted(value) {
						return nil
					}
					return &jsonschema.Problem{Reason: "fell back"}
				}
			}
			var err error
			b.compiled, err = jsonschema.Compile(&s, jsonschema.Options{Lenient: true, Fallback: fallback})
			require.NoError(t, err)
			for _, value := range edges {
				for _, wrapped := range []any{value, []any{value}, []any{value, value}, map[string]any{"x": value}, map[string]any{"unknown": value}} {
					raw, err := json.Marshal(wrapped)
					require.NoError(t, err)
					b.agree(t, raw)
				}
			}
		}
	}
}

func TestPointersHideData(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"keys":{"type":"object","additionalProperties":{"type":"array","items":{"type":"integer"}}}}}`,
		jsonschema.Options{Lenient: true})
	problem, err := s.Validate([]byte(`{"keys":{"a-secret":[1,"x"]}}`))
	require.NoError(t, err)
	require.Equal(t, &jsonschema.Problem{Pointer: "/keys/*/1", Reason: "value must be an integer"}, problem)
}

func TestStreamsKeepNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	s := compile(t, `{"type":"object","properties":{"list":{"type":"array","items":{"type":"object","properties":{"a":{"type":"integer"}}}},"end":{"type":"boolean"}}}`,
		jsonschema.Options{Lenient: true})
	stream := s.Stream()
	defer stream.Close()
	write := func(piece string) (*jsonschema.Problem, error) { return stream.Write([]byte(piece)) }
	_, err := write(`{"list":[{"a":1}`)
	require.NoError(t, err)
	piece := strings.Repeat(`,{"a":1,"text":"`+strings.Repeat("x", 1000)+`"}`, 100)
	writes := testing.AllocsPerRun(100, func() {
		problem, err := write(piece)
		require.Nil(t, problem)
		require.NoError(t, err)
	})
	require.Less(t, writes, 10.0)
	problem, err := write(`],"en`)
	require.NoError(t, err)
	require.Nil(t, problem)
	problem, err = write(`d":1,`)
	require.NoError(t, err)
	require.Equal(t, &jsonschema.Problem{Pointer: "/end", Reason: "value must be a boolean"}, problem)
}

func TestStreamsThatEndEarly(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"array"}`, jsonschema.Options{Lenient: true})
	for _, doc := range []string{``, `[`, `[1`, `[1,`, `["a`, `[] x`, `[]]`} {
		stream := s.Stream()
		for i := range doc {
			_, _ = stream.Write([]byte(doc[i : i+1]))
		}
		_, err := stream.End()
		require.ErrorIs(t, err, jsonschema.ErrSyntax, doc)
		stream.Close()
	}
	abandoned := s.Stream()
	_, err := abandoned.Write([]byte(`[1,`))
	require.NoError(t, err)
	abandoned.Close()
}

func BenchmarkLenient(b *testing.B) {
	for _, each := range bodies(b) {
		if each.name != "getUserDetail 200" && each.name != "generateAuthToken" && each.name != "exportAPIs 200" {
			continue
		}
		raw, err := json.Marshal(each.examples[0])
		require.NoError(b, err)
		b.Run(each.name+"/compiled", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if problem, err := each.compiled.Validate(raw); problem != nil || err != nil {
					b.Fatal(problem, err)
				}
			}
		})
		b.Run(each.name+"/stream", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				stream := each.compiled.Stream()
				_, _ = stream.Write(raw)
				_, _ = stream.End()
				stream.Close()
			}
		})
		b.Run(each.name+"/kin-openapi", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				each.accepted(raw)
			}
		})
	}
}
