package apidef

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonschema"
)

// anywhere are values of every JSON type, among them those that some of Go's types decode and others do not.
var anywhere = []string{
	`null`, `true`, `0`, `-0`, `-1`, `1.0`, `1.5`, `1e3`, `1e400`, `65536`, `9223372036854775808`, `18446744073709551616`,
	`""`, `"x"`, `"\u0000"`, `"5fa2db834e07444f760b7ceb"`, `"5fa2db834e07444f760b7ce"`, `"2026-11-24T10:00:00Z"`,
	`"2026-02-31T10:00:00Z"`, `"2026-12-31T23:59:60Z"`, `"2026-11-24T10:00:00"`, `"2026-11-24t10:00:00z"`, `"2026-11-24T10:00:00+25:00"`,
	`[]`, `[null]`, `[1]`, `["x"]`, `[{}]`, `[[]]`, `{}`, `{"k":null}`, `{"k":1}`, `{"k":1e400}`, `{"k":"x"}`, `{"k":[]}`, `{"k":{}}`,
	`{"$oid":"5fa2db834e07444f760b7ceb"}`, `{"$oid":null}`, `{"$oid":""}`, `{"$oid":1}`, `{"$oid":"5fa2db834e07444f760b7ceb","x":1}`,
	`{"x-k":1}`, `{"$ref":""}`, `{"$ref":1}`, `{"$ref":"#/x"}`,
}

// loadContract compiles the contract of the admin API.
func loadContract(t *testing.T) *contract.Contract {
	t.Helper()
	spec, err := admin.GetSpecJSON()
	require.NoError(t, err)
	known, err := contract.Load(contract.Rules{}, spec)
	require.NoError(t, err)
	return known
}

// TestImportedDocumentsDecode puts each value of anywhere into each place that the contract's schemas or a gateway's
// types describe: a document that can be imported must decode in a gateway.
func TestImportedDocumentsDecode(t *testing.T) {
	t.Parallel()
	known := loadContract(t)
	checks, err := NewChecks(known, jsonschema.MaxDepth)
	require.NoError(t, err)
	for name, kind := range map[string]struct {
		check   *Check
		schema  *openapi3.Schema
		decoded reflect.Type
		least   string
	}{
		"APIs":     {checks.APIs, known.Operation("importAPIs").Body.Element, gatewaytest.APIType(), `{"api_definition":{}}`},
		"policies": {checks.Policies, known.Operation("importPolicies").Body.Element, gatewaytest.PolicyType(), `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := places{seen: map[string]bool{}, schemas: map[*openapi3.Schema]int{}}
			p.ofSchema(kind.schema, nil)
			p.ofType(kind.decoded, nil)
			valid := 0
			for place := range p.seen {
				for _, value := range anywhere {
					doc := with(kind.least, strings.Split(place, "/"), value)
					result, err := kind.check.imported.Check(nil, []byte(doc))
					require.NoError(t, err, doc)
					if result.Problems == nil && len(kind.check.extra(newDocument(result, kind.check.idAt))) == 0 {
						valid++
						require.NoError(t, json.Unmarshal([]byte(doc), reflect.New(kind.decoded).Interface()), doc)
					}
				}
			}
			require.Greater(t, valid, len(p.seen), "at each place, some value is valid")
		})
	}
}

// places are paths of members in a document; [] is an element of a list, and {} a member with any name.
type places struct {
	seen    map[string]bool
	schemas map[*openapi3.Schema]int
}

// maxVisits bounds how often the places below a schema are listed: the schema of an OpenAPI schema contains itself.
const maxVisits = 3

func (p *places) ofSchema(s *openapi3.Schema, path []string) {
	if p.schemas[s]++; p.schemas[s] > maxVisits {
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

// ofType adds the places of a type. It skips types of other packages: jsonschema has a test of OpenAPI documents.
func (p *places) ofType(t reflect.Type, path []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	p.add(path)
	if t.PkgPath() != "" && t.PkgPath() != gatewaytest.APIType().PkgPath() {
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
	default: // scalars contain no places
	}
}

func (p *places) add(path []string) {
	if len(path) > 0 {
		p.seen[strings.Join(path, "/")] = true
	}
}

func below(path []string, name string) []string { return append(slices.Clone(path), name) }

// with returns doc with a value at a place.
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
		return string(jsondoc.Set(json.RawMessage(doc), path[0], json.RawMessage(inner)))
	}
}
