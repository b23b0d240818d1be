package server

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/document"
	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/schema"
)

// anywhere are values of every type, and those that one of Go's types takes and another does not.
var anywhere = []string{
	`null`, `true`, `0`, `-0`, `-1`, `1.0`, `1.5`, `1e3`, `1e400`, `65536`, `9223372036854775808`, `18446744073709551616`,
	`""`, `"x"`, `"\u0000"`, `"5fa2db834e07444f760b7ceb"`, `"5fa2db834e07444f760b7ce"`, `"2026-11-24T10:00:00Z"`,
	`"2026-02-31T10:00:00Z"`, `"2026-12-31T23:59:60Z"`, `"2026-11-24T10:00:00"`, `"2026-11-24t10:00:00z"`, `"2026-11-24T10:00:00+25:00"`,
	`[]`, `[null]`, `[1]`, `["x"]`, `[{}]`, `[[]]`, `{}`, `{"k":null}`, `{"k":1}`, `{"k":1e400}`, `{"k":"x"}`, `{"k":[]}`, `{"k":{}}`,
	`{"x-k":1}`, `{"$ref":""}`, `{"$ref":1}`, `{"$ref":"#/x"}`,
}

// TestWhatIsImportedLoads puts each of these values wherever the contract says something of a document, or a gateway's types
// do: what an import would take, a gateway must be able to decode (facts gateway §0.5).
func TestWhatIsImportedLoads(t *testing.T) {
	t.Parallel()
	known, err := LoadContract()
	require.NoError(t, err)
	checks, err := newLoadable(known, schema.MaxDepth)
	require.NoError(t, err)
	for name, kind := range map[string]struct {
		check   *documentCheck
		decoded reflect.Type
		least   string
	}{
		"APIs":     {checks.apis, gatewaytest.APIType(), `{"api_definition":{}}`},
		"policies": {checks.policies, gatewaytest.PolicyType(), `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := places{seen: map[string]bool{}, schemas: map[*openapi3.Schema]int{}}
			p.ofSchema(kind.check.reference, nil)
			p.ofType(kind.decoded, nil)
			taken := 0
			for place := range p.seen {
				for _, value := range anywhere {
					doc := with(kind.least, strings.Split(place, "/"), value)
					result, err := kind.check.arrive.Check(nil, []byte(doc))
					require.NoError(t, err, doc)
					if result.Problem == nil && len(kind.check.others(result)) == 0 {
						taken++
						require.NoError(t, json.Unmarshal([]byte(doc), reflect.New(kind.decoded).Interface()), doc)
					}
				}
			}
			require.Greater(t, taken, len(p.seen), "at each place, some value can be taken")
		})
	}
}

// places are paths of members in a document; [] is an element of a list, and {} a member of any name.
type places struct {
	seen    map[string]bool
	schemas map[*openapi3.Schema]int
}

// often is how often the places below a schema are listed that stands in several: a schema of OpenAPI is in itself.
const often = 3

func (p *places) ofSchema(s *openapi3.Schema, path []string) {
	if p.schemas[s]++; p.schemas[s] > often {
		return
	}
	p.add(path)
	for name, property := range s.Properties {
		p.ofSchema(property.Value, below(path, name))
	}
	if s.Items != nil {
		p.ofSchema(s.Items.Value, below(path, "[]"))
	}
	if rest := s.AdditionalProperties.Schema; rest != nil {
		p.ofSchema(rest.Value, below(path, "{}"))
	}
	for _, alternative := range s.OneOf {
		p.ofSchema(alternative.Value, path)
	}
}

// ofType leaves out what a type of another package decodes: an OpenAPI document is internal/schema's to compare.
func (p *places) ofType(t reflect.Type, path []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	p.add(path)
	if t.PkgPath() != "" && t.PkgPath() != reflect.TypeFor[gatewaytest.Gateway]().PkgPath() {
		return
	}
	switch t.Kind() {
	case reflect.Slice:
		p.ofType(t.Elem(), below(path, "[]"))
	case reflect.Map:
		p.ofType(t.Elem(), below(path, "{}"))
	case reflect.Struct:
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				p.ofType(field.Type, path)
			} else {
				p.ofType(field.Type, below(path, name))
			}
		}
	default: // nothing is below it
	}
}

func (p *places) add(path []string) {
	if len(path) > 0 {
		p.seen[strings.Join(path, "/")] = true
	}
}

func below(path []string, name string) []string { return append(slices.Clone(path), name) }

// with is a document with a value at a place.
func with(doc string, path []string, value string) string {
	if len(path) == 0 {
		return value
	}
	switch inner := with(`{}`, path[1:], value); path[0] {
	case "[]":
		return `[` + inner + `]`
	case "{}":
		return `{"k":` + inner + `}`
	default:
		return string(document.Set(json.RawMessage(doc), path[0], json.RawMessage(inner)))
	}
}
