package oas_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/oas"
)

func TestApply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ template, document, want string }{
		"members are added at every level, behind those of the document": {
			`{"openapi":"3.0.0","paths":{"/a":{"get":{"x":1}},"/b":{"get":{}}},"tags":[{"name":"t"}]}`,
			`{"paths":{"/a":{"post":{},"get":{"x":1.50}}},"openapi":"3.0.3"}`,
			`{"paths":{"/a":{"post":{},"get":{"x":1.50}},"/b":{"get":{}}},"openapi":"3.0.3","tags":[{"name":"t"}]}`,
		},
		"lists of the document replace those of the template": {
			`{"servers":[{"url":"a"}]}`, `{"servers":[]}`, `{"servers":[]}`,
		},
		"null is absent": {
			`{"x-tyk-api-gateway":{"server":{"authentication":{"enabled":true}}}}`,
			`{"x-tyk-api-gateway":{"server":{"authentication":null}}}`,
			`{"x-tyk-api-gateway":{"server":{"authentication":{"enabled":true}}}}`,
		},
		"the identity of another API is not applied": {
			`{"x-tyk-api-gateway":{"info":{"id":"a","dbId":"b","orgId":"c","name":"n","state":{"active":true}}}}`,
			`{"x-tyk-api-gateway":{"info":{"name":"mine"}}}`,
			`{"x-tyk-api-gateway":{"info":{"name":"mine","state":{"active":true}}}}`,
		},
		"values of other types stay":   {`{"a":{"b":1}}`, `{"a":5}`, `{"a":5}`},
		"names with escapes":           {`{"paths":{"/\"\u00e9":{}}}`, `{"paths":{}}`, `{"paths":{"/\"\u00e9":{}}}`},
		"a template that is no object": {`"text"`, `{"a":1}`, `{"a":1}`},
	} {
		require.Equal(t, c.want, string(oas.Apply([]byte(c.template), []byte(c.document))), name)
	}
}

// TestApplyToImport: what Extend assumes of a document is what the template says, unless an option says it.
func TestApplyToImport(t *testing.T) {
	t.Parallel()
	const document = `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"servers":[{"url":"http://a/"}]}`
	const template = `{"x-tyk-api-gateway":{"info":{"state":{"active":false}},"server":{"listenPath":{"value":"/template/"}},
		"upstream":{"url":"http://template/","rateLimit":{"enabled":true}},
		"middleware":{"global":{"cache":{"enabled":true},"trafficLogs":{"enabled":false}}}}}`
	for _, c := range []struct {
		options oas.ImportOptions
		path    string
	}{{oas.ImportOptions{}, "/template/"}, {oas.ImportOptions{ListenPath: "/option/"}, "/option/"}} {
		extended, err := oas.Extend([]byte(document), c.options)
		require.NoError(t, err)
		require.JSONEq(t, `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"servers":[{"url":"http://a/"}],"x-tyk-api-gateway":{
			"info":{"name":"T","state":{"active":false,"internal":false}},"server":{"listenPath":{"value":"`+c.path+`","strip":true}},
			"upstream":{"url":"http://a/","rateLimit":{"enabled":true}},
			"middleware":{"global":{"cache":{"enabled":true},"trafficLogs":{"enabled":false},"contextVariables":{"enabled":true}}}}}`,
			string(oas.ApplyToImport([]byte(template), extended, c.options)))
	}
}
