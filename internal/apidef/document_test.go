package apidef

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/contract"
	"gatehouse/internal/jsonschema"
)

func imported(t *testing.T, check *Check, raw string) Document {
	t.Helper()
	doc, problems, err := check.Import(nil, []byte(raw))
	require.NoError(t, err)
	require.Empty(t, problems)
	return doc
}

func TestDocumentsStateWhatTheyAreSearchedBy(t *testing.T) {
	t.Parallel()
	checks, err := NewChecks(loadContract(t), jsonschema.MaxDepth)
	require.NoError(t, err)

	doc := imported(t, checks.APIs, `{ "api_definition": {"api_id":"a","id":"5ea6b3e1d1a7f6000183b5c4","org_id":"o","active":false} }`)
	require.Equal(t, API{APIID: "a", ID: "5ea6b3e1d1a7f6000183b5c4", OrgID: "o"}, doc.API())
	require.Equal(t, "a", doc.ID())
	require.JSONEq(t, string(doc.JSON), string(doc.WithAPIIDs("a", "5ea6b3e1d1a7f6000183b5c4")))

	doc = imported(t, checks.APIs, `{"more":1,"api_definition":{"name":"n"}}`)
	require.Equal(t, API{Active: true}, doc.API(), "active defaults to true")
	require.Equal(t, `{"more":1,"api_definition":{"api_id":"a","id":"d","name":"n"}}`, string(doc.WithAPIIDs("a", "d")))

	doc = imported(t, checks.Policies, `{"_id":"61df10078f11dd00097cb55f","id":"gold","org_id":"o"}`)
	require.Equal(t, Policy{ID: "61df10078f11dd00097cb55f", ExplicitID: "gold", OrgID: "o", Active: true}, doc.Policy())
	require.Equal(t, "61df10078f11dd00097cb55f", doc.ID())
	doc = imported(t, checks.Policies, `{"id":"gold"}`)
	require.Equal(t, `{"_id":"61df10078f11dd00097cb55f","id":"gold"}`, string(doc.WithPolicyID("61df10078f11dd00097cb55f")))
}

func TestStoredDocumentsThatGatewaysCannotDecode(t *testing.T) {
	t.Parallel()
	checks, err := NewChecks(loadContract(t), jsonschema.MaxDepth)
	require.NoError(t, err)
	for raw, want := range map[string][]Problem{
		`{"api_definition":{"slug":null}}`: nil,
		`{"api_definition":{"slug":5}}`:    {{Path: "/api_definition/slug", Reason: "value must be a string"}},
		`{"api_definition":null}`:          {{Path: "/api_definition", Reason: "is missing"}},
		`null`:                             {{Reason: "is null"}},
		`{`:                                {{Reason: "not one JSON value in UTF-8"}},
	} {
		_, problems := checks.APIs.Stored([]byte(raw))
		require.Equal(t, want, problems, raw)
	}
}

func TestChecksNeedTheImports(t *testing.T) {
	t.Parallel()
	empty, err := contract.Load(contract.Rules{})
	require.NoError(t, err)
	_, err = NewChecks(empty, 1)
	require.Error(t, err)
}
