package conformance_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
)

// ferries is the contract of another server: a server with a path, a file that it refers to, operations without an
// operationId, examples without a name, responses without examples.
var ferries = map[string]string{
	"ferries.yaml": `
openapi: 3.0.3
info: {title: Ferries, version: '1'}
servers: [{url: 'https://ferries.example/v2'}]
security: [{bearer: []}, {key: []}]
paths:
  /ferries:
    get:
      parameters:
        - {name: page, in: query, schema: {type: integer}}
        - {name: tide, in: query, required: true, schema: {type: string, enum: [low, high]}}
      responses:
        '200':
          description: Ferries.
          headers: {X-Total: {schema: {type: integer, example: 3}}}
          content:
            application/json: {schema: {type: array, items: {$ref: 'ferry.yaml#/Ferry'}}}
            text/csv: {schema: {type: string}, example: "name\nMarina\n"}
        '422':
          description: Invalid.
          content: {application/problem+json: {schema: {type: object}, example: {title: Invalid}}}
    post:
      operationId: addFerry
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: 'ferry.yaml#/Ferry'}}}
      responses:
        '201':
          description: Added.
          content:
            application/json:
              schema: {$ref: 'ferry.yaml#/Ferry'}
              examples:
                small: {value: {name: Puffin, berths: 4}}
                ok: {value: {berths: 12, name: Marina}}
        '400':
          description: Invalid.
          content: {application/json: {schema: {type: object}, examples: {broken: {value: {error: broken}}}}}
        4XX:
          description: Refused.
          content: {application/json: {schema: {type: object}, example: {error: refused}}}
  /ferries/{name}:
    parameters: [{name: name, in: path, required: true, schema: {type: string}}]
    delete:
      security: []
      responses:
        '204': {description: Removed.}
        default: {description: Failed.}
components:
  securitySchemes:
    bearer: {type: http, scheme: bearer}
    key: {type: apiKey, in: query, name: key}
`,
	"ferry.yaml": `
Ferry:
  type: object
  required: [name]
  properties:
    name: {type: string, minLength: 3, x-order: 1}
    berths: {type: integer, minimum: 2, x-order: 2}
    built: {type: string, format: date}
    sister: {$ref: '#/Ferry'}
`,
}

// readFerries writes and reads the contract.
func readFerries(t *testing.T) (*conformance.Spec, []*contract.Contract) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range ferries {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	path := filepath.Join(dir, "ferries.yaml")
	spec, err := conformance.ReadSpec(path)
	require.NoError(t, err)
	compiled, err := contract.LoadFile(contract.Rules{}, path)
	require.NoError(t, err)
	return spec, []*contract.Contract{compiled}
}

// gatehouseContracts returns the contracts of gatehouse.
func gatehouseContracts(t *testing.T) (*conformance.Spec, []*contract.Contract) {
	t.Helper()
	var documents [][]byte
	for _, get := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON, node.GetSpecJSON} {
		document, err := get()
		require.NoError(t, err)
		documents = append(documents, document)
	}
	spec, err := conformance.ParseSpec(documents...)
	require.NoError(t, err)
	compiled, err := contract.Load(contract.Rules{}, documents...)
	require.NoError(t, err)
	return spec, []*contract.Contract{compiled}
}

// mock is a running mock.
type mock struct {
	t       *testing.T
	server  *httptest.Server
	mu      sync.Mutex // guards answers, for the time of one append
	answers []conformance.MockAnswer
}

func startMock(t *testing.T, spec *conformance.Spec, contracts []*contract.Contract) *mock {
	t.Helper()
	m := &mock{t: t}
	handler, err := conformance.NewMock(conformance.MockConfig{
		Spec: spec, Contracts: contracts, MaxBody: 1 << 20,
		Rejections: conformance.Rejections{
			NoCredential: "unauthorised", EmptyBody: "empty_body", MalformedBody: "malformed", TooLarge: "too_large",
			MissingParameter: "missing_parameter", BadParameter: "bad_parameter",
		},
		Answered: func(answer conformance.MockAnswer) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.answers = append(m.answers, answer)
		},
	})
	require.NoError(t, err)
	m.server = httptest.NewServer(handler)
	t.Cleanup(m.server.Close)
	return m
}

// ask sends a request, "METHOD /path", and returns the response with its body.
func (m *mock) ask(line, body string, headers ...string) (*http.Response, string) {
	m.t.Helper()
	method, path, _ := strings.Cut(line, " ")
	return ask(m.t, m.server.URL, method, path, strings.NewReader(body), headers...)
}

func ask(t *testing.T, url, method, path string, body io.Reader, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url+path, body)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(text)
}

func TestMockOfForeignContract(t *testing.T) {
	t.Parallel()
	spec, contracts := readFerries(t)
	m := startMock(t, spec, contracts)
	const ferry = `{"name":"Marina"}`
	type headers = []string
	token := headers{"Authorization", "Bearer anything"}
	for name, c := range map[string]struct {
		line, body string
		headers    headers
		status     int
		want       string
		reason     string
	}{
		"a success is the example ok, in the contract's order":               {"POST /v2/ferries", ferry, token, 201, `{"name":"Marina","berths":12}`, ""},
		"without a Content-Type a body is of the type that the contract has": {"POST /v2/ferries", ferry, headers{"Authorization", "x", "Content-Type", "application/x-www-form-urlencoded"}, 201, `{"name":"Marina","berths":12}`, ""},
		"a body in another type is invalid":                                  {"POST /v2/ferries", ferry, headers{"Authorization", "x", "Content-Type", "text/plain"}, 400, `{"error":"broken"}`, "the body does not match the contract: does not have the form that the contract asks for"},
		"any credential is taken, in any scheme":                             {"POST /v2/ferries?key=x", ferry, nil, 201, `{"name":"Marina","berths":12}`, ""},
		"a request without one is refused":                                   {"POST /v2/ferries", ferry, nil, 401, `{"error":"refused"}`, "has no credential"},
		"an invalid body is refused":                                         {"POST /v2/ferries", `{"name":"x","berths":1}`, token, 400, `{"error":"broken"}`, `the body does not match the contract: /berths: number must be at least 2; /name: minimum string length is 3`},
		"a body that is not JSON is refused":                                 {"POST /v2/ferries", `{`, token, 400, `{"error":"broken"}`, "the body does not match the contract: does not have the form that the contract asks for"},
		"an empty body is refused":                                           {"POST /v2/ferries", ``, token, 400, `{"error":"broken"}`, "the body is empty"},
		"a missing parameter is refused":                                     {"GET /v2/ferries", ``, token, 422, `{"title":"Invalid"}`, "a required parameter is missing"},
		"an invalid parameter is refused":                                    {"GET /v2/ferries?tide=neap", ``, token, 422, `{"title":"Invalid"}`, "a parameter does not match the contract: /tide: is not one of the values that the contract allows"},
		"a status of a range":                                                {"POST /v2/ferries", ``, headers{"Prefer", "code=418"}, 418, `{"error":"refused"}`, ""},
		"a named example":                                                    {"POST /v2/ferries", ``, headers{"Prefer", "example=small"}, 201, `{"name":"Puffin","berths":4}`, ""},
		"a named example of a status":                                        {"POST /v2/ferries", ``, headers{"Prefer", "respond-async, code=201; example=\"small\""}, 201, `{"name":"Puffin","berths":4}`, ""},
		"an example that there is not":                                       {"POST /v2/ferries", ``, headers{"Prefer", "example=large"}, 400, `{"title":"Bad Request","status":400,"detail":"Prefer: example=large: the operation has no such response, but 201 ok, 201 small, 400 broken, 4XX"}`, "Prefer: example=large: the operation has no such response, but 201 ok, 201 small, 400 broken, 4XX"},
		"a status that there is not":                                         {"GET /v2/ferries", ``, headers{"Prefer", "code=500"}, 400, `{"title":"Bad Request","status":400,"detail":"Prefer: code=500: the operation has no such response, but 200, 422"}`, "Prefer: code=500: the operation has no such response, but 200, 422"},
		"a response without content":                                         {"DELETE /v2/ferries/Marina", ``, nil, 204, ``, ""},
		"the default response":                                               {"DELETE /v2/ferries/Marina", ``, headers{"Prefer", "code=503"}, 503, ``, ""},
		"another media type":                                                 {"GET /v2/ferries?tide=low", ``, headers{"Authorization", "x", "Accept", "image/png, text/*;q=0.5"}, 200, "name\nMarina\n", ""},
		"a path that the contract does not have":                             {"GET /v2/boats", ``, nil, 404, `{"title":"Not Found","status":404,"detail":"no operation of the contract has this method and path"}`, "no operation of the contract has this method and path"},
		"HEAD is GET without a body":                                         {"HEAD /v2/ferries?tide=low", ``, token, 200, ``, ""},
		"a slash at the end":                                                 {"DELETE /v2/ferries/Marina/", ``, nil, 204, ``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := m.ask(c.line, c.body, c.headers...)
			require.Equal(t, c.status, response.StatusCode, body)
			require.Equal(t, c.want, body)
			require.Equal(t, c.reason, response.Header.Get("Mock-Reason"))
		})
	}
	t.Run("a response without an example is made of its schema, and valid", func(t *testing.T) {
		t.Parallel()
		response, body := m.ask("GET /v2/ferries?tide=high", "", token...)
		require.Equal(t, "3", response.Header.Get("X-Total"))
		require.Contains(t, body, `[{"name":"string","berths":2,"built":"2024-02-29","sister":{"name":`)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/ferries", nil)
		require.NoError(t, err)
		op, _, err := contracts[0].Find(r)
		require.NoError(t, err)
		require.Empty(t, op.CheckResponse(response.StatusCode, response.Header, []byte(body)))
	})
	t.Run("what was chosen is in the response", func(t *testing.T) {
		t.Parallel()
		response, _ := m.ask("POST /v2/ferries", "", "Prefer", "example=small")
		require.Equal(t, "example=small", response.Header.Get("Preference-Applied"))
	})
	t.Run("a body that is too large", func(t *testing.T) {
		t.Parallel()
		response, body := m.ask("POST /v2/ferries", strings.Repeat(" ", 1<<20)+ferry, token...)
		require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode, body)
		require.Equal(t, `{"error":"refused"}`, body)
	})
	t.Run("a compressed body", func(t *testing.T) {
		t.Parallel()
		var zipped bytes.Buffer
		zip := gzip.NewWriter(&zipped)
		_, _ = zip.Write([]byte(ferry))
		require.NoError(t, zip.Close())
		response, body := m.ask("POST /v2/ferries", zipped.String(), append(token, "Content-Encoding", "gzip")...)
		require.Equal(t, http.StatusCreated, response.StatusCode, body)
	})
}

func TestMockOfGatehouse(t *testing.T) {
	t.Parallel()
	spec, contracts := gatehouseContracts(t)
	m := startMock(t, spec, contracts)
	const admin = "Admin-Auth"

	t.Run("every documented outcome can be chosen, and matches the contract", func(t *testing.T) {
		t.Parallel()
		total := 0
		for _, op := range spec.Operations {
			for _, documented := range op.Responses {
				total++
				path := op.Path
				for _, parameter := range op.Parameters {
					path = strings.ReplaceAll(path, "{"+parameter.Name+"}", "x")
				}
				response, body := m.ask(op.Method+" "+path, "", "Prefer", "example="+documented.Outcome)
				require.Equal(t, documented.Status, response.StatusCode, "%s %s: %s", op.ID, documented.Outcome, body)
				require.Empty(t, contracts[0].Operation(op.ID).CheckResponse(response.StatusCode, response.Header, []byte(body)),
					"%s %s: %s", op.ID, documented.Outcome, body)
			}
		}
		require.Equal(t, spec.Outcomes(), total)
	})
	for name, c := range map[string]struct {
		line, body string
		status     int
		message    string
	}{
		"success":                  {"POST /admin/organisations", `{"owner_name":"x"}`, 200, `{"Status":"OK","Message":"Org created","Meta":`},
		"an empty body":            {"POST /admin/organisations", ` `, 500, `{"Status":"Error","Message":"Failed to read response body, body empty"`},
		"a malformed body":         {"POST /admin/users", `{"org_id":1}`, 403, `{"Status":"Error","Message":"Request body malformed","Meta":`},
		"a body that is too large": {"POST /admin/organisations", strings.Repeat(" ", 1<<20+1), 413, `{"Status":"Error","Message":`},
		"names in any case":        {"POST /admin/sso", `{"forsection":"dashboard","ORGID":"x"}`, 200, `{"Status":"OK","Message":"SSO Nonce created"`},
		"elements of an import are validated one by one": {"POST /admin/apis/import", `{"apis":[{"api_definition":{"api_id":1}}]}`, 200, `{"Status":"OK","Message":"APIs imported"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := m.ask(c.line, c.body, admin, "any")
			require.Equal(t, c.status, response.StatusCode, "%s %s", body, response.Header.Get("Mock-Reason"))
			require.True(t, strings.HasPrefix(body, c.message), body)
		})
	}
	t.Run("without an optional body", func(t *testing.T) {
		t.Parallel()
		response, body := m.ask("POST /api/portal/configuration", "", "Authorization", "any")
		require.Equal(t, http.StatusOK, response.StatusCode, "%s %s", body, response.Header.Get("Mock-Reason"))
	})
	t.Run("without a secret", func(t *testing.T) {
		t.Parallel()
		response, body := m.ask("GET /admin/organisations", "")
		require.Equal(t, `{"Status":"Error","Message":"Not authorised","Meta":null}`, body)
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	})
	t.Run("what is reported has no values", func(t *testing.T) {
		t.Parallel()
		other := startMock(t, spec, contracts)
		other.ask("PUT /api/keys/sekret?a=sekret", `{"sekret":"sekret"}`, "Authorization", "sekret")
		other.ask("GET /nowhere/sekret1", "")
		require.Len(t, other.answers, 2)
		require.Equal(t, "/api/keys/{keyId}", other.answers[0].Path)
		require.NotContains(t, fmt.Sprint(other.answers), "sekret")
		require.Equal(t, conformance.MockAnswer{
			Method: "GET", Path: "/nowhere/…", Status: 404, Reason: "no operation of the contract has this method and path",
		}, other.answers[1])
	})
}
