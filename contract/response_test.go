package contract_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/contract"
)

// foreign is a contract as others write it: without operationId and examples, with a server's path, ranges of
// statuses, a default, headers, other media types, and keywords that the compiled schemas leave to kin-openapi.
const foreign = `
openapi: 3.0.3
info: {title: any, version: '1'}
servers: [{url: 'https://api.example/v1'}]
x-anything: {goes: here}
paths:
  /things/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get:
      responses:
        '200':
          description: d
          headers:
            X-Total: {required: true, schema: {type: integer}}
            X-Optional: {schema: {type: integer}}
          content:
            application/json: {schema: {$ref: '#/components/schemas/Thing'}}
            application/problem+json: {schema: {type: object, required: [title]}}
            text/plain: {schema: {type: string, maxLength: 3}}
        '204': {description: d}
        4XX: {description: d, content: {application/json: {schema: {type: object, required: [error]}}}}
        default: {description: d, content: {application/json: {schema: {type: array}}}}
    put:
      operationId: putThing
      parameters: [{name: X-Kind, in: header, required: true, schema: {type: string, enum: [a]}}]
      requestBody:
        content:
          text/plain: {schema: {type: string}}
          application/json: {schema: {$ref: '#/components/schemas/Thing'}}
      responses: {'200': {description: d, content: {application/json: {}}}}
components:
  schemas:
    Thing:
      type: object
      required: [id]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, pattern: '^[a-z]+$'}
        tags: {type: object, additionalProperties: {allOf: [{type: string}, {minLength: 2}]}}
        parts: {type: array, items: {$ref: '#/components/schemas/Thing'}}
`

func loadForeign(t *testing.T) *contract.Contract {
	t.Helper()
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	require.NoError(t, os.WriteFile(file, []byte(foreign), 0o600))
	loaded, err := contract.LoadFile(contract.Rules{}, file)
	require.NoError(t, err)
	return loaded
}

func TestResponsesOfForeignContract(t *testing.T) {
	t.Parallel()
	op := loadForeign(t).Operation("GET /things/{id}")
	require.NotNil(t, op)
	const appJSON = "application/json"
	for name, c := range map[string]struct {
		status   int
		header   http.Header
		body     string
		problems []contract.Problem
	}{
		"valid":              {200, with(appJSON, "X-Total", "5"), `{"id":1,"name":"a","tags":{"x":"ab"}}`, nil},
		"charset":            {200, with(appJSON+"; charset=utf-8", "X-Total", "5"), `{"id":1}`, nil},
		"range":              {404, with(appJSON), `{"error":1}`, nil},
		"range, another":     {404, with(appJSON), `{}`, []contract.Problem{{Path: "/error", Reason: `property "error" is missing`}}},
		"default":            {500, with(appJSON), `{}`, []contract.Problem{{Reason: "value must be an array"}}},
		"not modified":       {304, http.Header{}, ``, nil},
		"no content":         {204, http.Header{}, ``, nil},
		"unexpected content": {204, with(appJSON), `{}`, []contract.Problem{{Reason: "has a body, but no content is declared"}}},
		"another type":       {404, with("text/html; a=b"), `<p>`, []contract.Problem{{Reason: "content type text/html is not declared"}}},
		"no type":            {404, http.Header{}, `{}`, []contract.Problem{{Reason: "has no Content-Type"}}},
		"not a type":         {404, with("secret value"), `{}`, []contract.Problem{{Reason: "has an invalid Content-Type"}}},
		"problem":            {200, with("application/problem+json", "X-Total", "5"), `{}`, []contract.Problem{{Path: "/title", Reason: `property "title" is missing`}}},
		"text":               {200, with("text/plain", "X-Total", "5"), `abc`, nil},
		"long text":          {200, with("text/plain", "X-Total", "5"), `abcd`, []contract.Problem{{Reason: "maximum string length is 3"}}},
		"header missing":     {200, with(appJSON), `{"id":1}`, []contract.Problem{{Reason: "header X-Total is missing"}}},
		"header wrong":       {200, with(appJSON, "X-Total", "secret"), `{"id":1}`, []contract.Problem{{Reason: "header X-Total does not match the contract"}}},
		"two headers":        {200, with(appJSON, "X-Optional", "secret"), `{"id":1}`, []contract.Problem{{Reason: "header X-Optional does not match the contract"}, {Reason: "header X-Total is missing"}}},
		"empty":              {404, with(appJSON), ``, []contract.Problem{{Reason: "is not one JSON value"}}},
		"not JSON":           {404, with(appJSON), `{"error":1}}`, []contract.Problem{{Reason: "is not one JSON value"}}},
		"all problems": {200, with(appJSON, "X-Total", "5"), `{"name":"SECRET","tags":{"secret":"x","other":5},"parts":[{"id":1.5}]}`, []contract.Problem{
			{Path: "/name", Reason: "does not meet the contract's pattern"},
			{Path: "/parts/0/id", Reason: "value must be an integer"},
			{Path: "/tags/*", Reason: "value must be a string"},
			{Path: "/tags/*", Reason: "minimum string length is 2"},
			{Path: "/id", Reason: `property "id" is missing`},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problems := op.CheckResponse(c.status, c.header, []byte(c.body))
			require.Equal(t, c.problems, problems)

			stream := op.StreamResponse(c.status, c.header, 0)
			defer stream.Close()
			half := len(c.body) / 2
			_ = stream.Write([]byte(c.body[:half]))
			_ = stream.Write([]byte(c.body[half:]))
			streamed, _ := stream.End()
			if strings.HasPrefix(c.header.Get("Content-Type"), "text/plain") {
				return // of other bodies, only the media type is checked
			}
			require.Equal(t, problems == nil, streamed == nil, "%v", streamed)
		})
	}
}

func TestUndeclaredStatus(t *testing.T) {
	t.Parallel()
	known, err := load(t, rules, whole)
	require.NoError(t, err)
	want := []contract.Problem{{Reason: "status 409 is not declared"}}
	require.Equal(t, want, known.Operation("x").CheckResponse(409, http.Header{}, nil))
	stream := known.Operation("x").StreamResponse(409, http.Header{}, 0)
	defer stream.Close()
	require.Equal(t, want, stream.Write([]byte("{}")))
}

func TestStreamIsCheckedUpToItsLimit(t *testing.T) {
	t.Parallel()
	op := loadForeign(t).Operation("GET /things/{id}")
	stream := op.StreamResponse(500, with("application/json"), 100)
	defer stream.Close()
	require.Nil(t, stream.Write([]byte(`[`)))
	for range 20 {
		require.Nil(t, stream.Write([]byte(`"0123456789",`)))
	}
	require.Nil(t, stream.Write([]byte(`}`)), "it is not JSON")
	problems, checked := stream.End()
	require.Nil(t, problems)
	require.Equal(t, int64(100), checked)
}

func TestRequestsOfForeignContract(t *testing.T) {
	t.Parallel()
	known := loadForeign(t)
	r, err := http.NewRequest(http.MethodPut, "http://anywhere/v1/things/5", nil)
	require.NoError(t, err)
	op, params, err := known.Find(r)
	require.NoError(t, err)
	require.Equal(t, "putThing", op.ID)
	require.Equal(t, map[string]string{"id": "5"}, params)
	validate := func(header http.Header, body string) error {
		return op.Validate(contract.Request{HTTP: r, PathParams: params, Header: header, Body: []byte(body)})
	}
	require.NoError(t, validate(with("application/json", "X-Kind", "a"), `{"name":"a"}`), "id is for responses")
	require.NoError(t, validate(with("application/json; charset=utf-8", "X-Kind", "a"), `{}`))
	require.NoError(t, validate(with("text/plain", "X-Kind", "a"), `{`))
	require.ErrorIs(t, validate(with("application/json", "X-Kind", "a"), `{"id":1}`), contract.ErrBody)
	require.ErrorIs(t, validate(with("text/html", "X-Kind", "a"), `{}`), contract.ErrBody)
	require.ErrorIs(t, validate(with("application/json"), `{}`), contract.ErrMissingParameter)
	require.ErrorIs(t, validate(with("application/json", "X-Kind", "b"), `{}`), contract.ErrBadParameter)

	for _, unknown := range []string{"http://anywhere/things/5", "http://anywhere/v1/other"} {
		r.URL, err = r.URL.Parse(unknown)
		require.NoError(t, err)
		_, _, err = known.Find(r)
		require.ErrorIs(t, err, contract.ErrNoOperation)
	}
}

// with returns the headers of a response.
func with(contentType string, others ...string) http.Header {
	h := http.Header{"Content-Type": {contentType}}
	for i := 0; i < len(others); i += 2 {
		h.Set(others[i], others[i+1])
	}
	return h
}
