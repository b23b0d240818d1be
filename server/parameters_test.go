package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// parameterValues are values of a parameter that no client means: more than one, none, and one that is longer, or has
// other characters, than any that clients use.
var parameterValues = map[string][]string{
	"repeated":          {"EXAMPLE", "EXAMPLE"},
	"repeated, another": {"EXAMPLE", "b"},
	"three times":       {"EXAMPLE", "", "1"},
	"empty":             {""},
	"long":              {strings.Repeat("x", 20_000)},
	"many digits":       {strings.Repeat("9", 400)},
	"a NUL":             {"a\x00b"},
	"not UTF-8":         {"\xff\xfe"},
	"a list":            {"1,2"},
	"a negative number": {"-9223372036854775808"},
	"beyond 64 bits":    {"9223372036854775808"},
	"a page beyond all": {"9223372036854775807"},
	"a float":           {"1.5"},
	"spaces":            {"  "},
	"an object":         {`{"a":1}`},
	"percent signs":     {"%25%00%"},
	"a quote":           {"'; --"},
}

// TestEveryParameterInEveryForm sends every parameter of every operation in every one of these forms: repeated, empty,
// too long and others. The response is one that the contract documents for what the client did; it never is a failure
// of the server.
func TestEveryParameterInEveryForm(t *testing.T) {
	t.Parallel()
	sent, servers := 0, newExampleServers(t)
	for _, op := range operations() {
		parameters := parametersOf(op)
		if len(parameters) == 0 {
			continue
		}
		sent += len(parameters) * len(parameterValues)
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			b := servers.lend(t)
			for _, p := range parameters {
				for form, values := range parameterValues {
					got := b.sendParameter(op, p, values)
					if noGateway, ok := op.examples()["no_gateway"]; !ok || !strings.Contains(got.body, fmt.Sprint(noGateway.value["Message"])) {
						require.Less(t, got.status, 500, "%s %s: %s", p.Name, form, got.body)
					}
					if p.In == openapi3.ParameterInQuery && len(values) > 1 {
						require.Equal(t, op.examples()["bad_parameter"].status, got.status, "%s %s: %s", p.Name, form, got.body)
						require.Contains(t, got.body, `"path":"/`+p.Name+`"`, "the parameter is named")
					}
				}
			}
			require.NotContains(t, b.log.String(), "panic")
			require.NotContains(t, b.log.String(), "request failed")
		})
	}
	require.Greater(t, sent, 500)
}

// parametersOf returns the parameters of an operation, those of its path, too.
func parametersOf(op operation) (all []*openapi3.Parameter) {
	for _, spec := range contractSpecs() {
		if item := spec.Paths.Value(op.path); item != nil {
			for _, p := range append(item.Parameters, op.declared.Parameters...) {
				all = append(all, p.Value)
			}
		}
	}
	return all
}

// sendParameter sends an operation's example with these values of a parameter.
func (b *bundle) sendParameter(op operation, p *openapi3.Parameter, values []string) reply {
	b.t.Helper()
	sent := make([]string, len(values))
	for i, value := range values {
		sent[i] = strings.ReplaceAll(value, "EXAMPLE", fmt.Sprint(p.Example))
	}
	var change []with
	target := op.target(map[string]string{p.Name: absent})
	switch p.In {
	case openapi3.ParameterInPath:
		if sent[0] == "" {
			return reply{t: b.t, status: http.StatusNotFound} // another path
		}
		target = op.target(map[string]string{p.Name: strings.Join(sent, ",")})
	case openapi3.ParameterInQuery:
		path, query, _ := strings.Cut(target, "?")
		all, err := url.ParseQuery(query)
		require.NoError(b.t, err)
		all[p.Name] = sent
		target = path + "?" + all.Encode()
	case openapi3.ParameterInHeader:
		if strings.ContainsAny(strings.Join(sent, ""), "\x00") {
			return reply{t: b.t} // net/http refuses it
		}
		change = append(change, func(r *http.Request) { r.Header[http.CanonicalHeaderKey(p.Name)] = sent })
	}
	return b.do(op.method, target, op.requestBody(b.t), append(change, credential(op))...)
}
