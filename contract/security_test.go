package contract_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/contract"
)

const alternatives = `
openapi: 3.0.3
info: {title: Alternatives, version: '1'}
security: [{key: []}, {session: []}, {query: []}, {basic: []}, {oauth: []}]
paths:
  /all: {get: {operationId: all, responses: {'200': {description: ok}}}}
  /one: {get: {operationId: one, security: [{session: []}], responses: {'200': {description: ok}}}}
  /none: {get: {operationId: none, security: [], responses: {'200': {description: ok}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
    session: {type: apiKey, in: cookie, name: sid}
    query: {type: apiKey, in: query, name: token}
    basic: {type: http, scheme: basic}
    oauth: {type: oauth2, flows: {}}
`

// TestSchemeOf: the scheme of a request is the first one whose credential it has.
func TestSchemeOf(t *testing.T) {
	t.Parallel()
	known, err := loadText(t, alternatives)
	require.NoError(t, err)
	for what, test := range map[string]struct {
		target, header, value, want string
	}{
		"nothing": {want: "key"}, "a header": {header: "X-Key", value: "k", want: "key"},
		"an empty header":   {header: "X-Key", want: "key"},
		"a cookie":          {header: "Cookie", value: "other=1; sid=s", want: "session"},
		"another cookie":    {header: "Cookie", value: "other=1", want: "key"},
		"a query parameter": {target: "?token=t", want: "query"},
		"authorization":     {header: "Authorization", value: "Basic x", want: "basic"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/all"+test.target, nil)
			require.NoError(t, err)
			if test.header != "" {
				r.Header.Set(test.header, test.value)
			}
			require.Equal(t, test.want, known.Operation("all").SchemeOf(r))
			require.Equal(t, "session", known.Operation("one").SchemeOf(r))
			require.Empty(t, known.Operation("none").SchemeOf(r))
		})
	}
	t.Run("the first of two that a request has", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/all?token=t", nil)
		require.NoError(t, err)
		r.AddCookie(&http.Cookie{Name: "sid", Value: "s"})
		require.Equal(t, "session", known.Operation("all").SchemeOf(r))
	})
}

// TestEveryAlternativeIsChecked: each scheme has to be implemented, and the operation has to have its outcomes.
func TestEveryAlternativeIsChecked(t *testing.T) {
	t.Parallel()
	schemes := map[string][]contract.Outcome{"key": nil, "session": {"lapsed"}, "query": nil, "basic": nil}
	_, err := load(t, contract.Rules{Schemes: schemes}, alternatives)
	require.ErrorContains(t, err, `security scheme "oauth" is not implemented`)
	require.ErrorContains(t, err, `requires "session", but has no outcome [lapsed]`)
}
