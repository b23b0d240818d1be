package server_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/server"
)

func withDocs(cfg *server.Config) { cfg.Docs, cfg.Version = true, "v1.2.3" }

// contractFiles are the bundles by their paths without extension, and the contracts that each contains.
var contractFiles = map[string][]func() (*openapi3.T, error){
	"/openapi":      {admin.GetSpec, dashboard.GetSpec},
	"/openapi-node": {node.GetSpec},
}

func TestContractsAreServed(t *testing.T) {
	t.Parallel()
	b := setup(t, withDocs)
	for path, contracts := range contractFiles {
		t.Run(path, func(t *testing.T) {
			text := b.do("GET", path+".yaml", nil).is(200)
			require.Equal(t, "application/yaml", text.header.Get("Content-Type"))
			require.NotRegexp(t, `\$ref: ['"]?[^#'"{ ]`, text.body, "a reference to another file")
			var fromYAML, fromJSON map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(text.body), &fromYAML))
			converted := b.do("GET", path+".json", nil).is(200)
			require.Equal(t, "application/json", converted.header.Get("Content-Type"))
			converted.json(&fromJSON)
			asJSON, err := json.Marshal(fromYAML)
			require.NoError(t, err)
			require.JSONEq(t, string(asJSON), converted.body)

			spec, err := openapi3.NewLoader().LoadFromData([]byte(text.body))
			require.NoError(t, err)
			require.NoError(t, spec.Validate(t.Context(), openapi3.EnableExamplesValidation()))
			require.Equal(t, "v1.2.3", spec.Info.Extensions["x-gatehouse-version"])
			require.Len(t, spec.Servers, 1)
			require.Equal(t, "/", spec.Servers[0].URL)
			requireOperationsOf(t, spec, contracts)
		})
	}
}

// requireOperationsOf checks that a bundle has the operations of contracts, and that each may be called as its contract
// says.
func requireOperationsOf(t *testing.T, spec *openapi3.T, contracts []func() (*openapi3.T, error)) {
	t.Helper()
	bundled := operationsOf(spec)
	for _, get := range contracts {
		contract, err := get()
		require.NoError(t, err)
		for id, op := range operationsOf(contract) {
			require.Contains(t, bundled, id)
			security := op.Security
			if security == nil {
				security = &contract.Security
			}
			require.Equal(t, security, bundled[id].Security, id)
			for scheme := range maps.Keys(securityOf(*security)) {
				require.Contains(t, spec.Components.SecuritySchemes, scheme)
			}
			require.Equal(t, op.Extensions, bundled[id].Extensions, id)
			require.Len(t, bundled[id].Responses.Map(), op.Responses.Len(), id)
			for status, response := range op.Responses.Map() {
				if len(response.Value.Content) == 0 {
					require.Empty(t, bundled[id].Responses.Value(status).Value.Content, id)
					continue
				}
				want, got := response.Value.Content["application/json"].Examples, bundled[id].Responses.Value(status).Value.Content["application/json"].Examples
				require.Len(t, got, len(want), id)
				for name, example := range want {
					require.Equal(t, example.Value.Value, got[name].Value.Value, "%s, %s: another component of the same name?", id, name)
				}
			}
			delete(bundled, id)
		}
	}
	require.Empty(t, bundled, "in no contract")
}

func operationsOf(spec *openapi3.T) map[string]*openapi3.Operation {
	byID := map[string]*openapi3.Operation{}
	for _, item := range spec.Paths.Map() {
		for _, op := range item.Operations() {
			byID[op.OperationID] = op
		}
	}
	return byID
}

func securityOf(requirements openapi3.SecurityRequirements) map[string][]string {
	all := map[string][]string{}
	for _, requirement := range requirements {
		maps.Copy(all, requirement)
	}
	return all
}

// docsPaths returns what the page loads, and the page itself.
func docsPaths(t *testing.T, b *bundle) []string {
	t.Helper()
	page := b.do("GET", "/docs", nil).is(200)
	paths := []string{"/docs"}
	for _, match := range regexp.MustCompile(`(?:src|href)="(/docs/[^"]+)"`).FindAllStringSubmatch(page.body, -1) {
		paths = append(paths, match[1])
	}
	require.Len(t, paths, 5)
	return paths
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	b := setup(t, withDocs)
	page := b.do("GET", "/docs/", nil).is(200)
	require.Equal(t, "text/html; charset=utf-8", page.header.Get("Content-Type"))
	policy := page.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; ")
	require.NotContains(t, policy, "unsafe")
	for _, path := range docsPaths(t, b)[1:] {
		require.Equal(t, "public, max-age=31536000, immutable", b.do("GET", path, nil).is(200).header.Get("Cache-Control"))
	}
	for _, path := range []string{"/docs/swagger-ui.js", "/docs/page-0000000000000000.js", "/docs/..%2fpage.js", "/openapi"} {
		b.do("GET", path, nil).message(404, "Not Found")
	}
	b.do("POST", "/docs", nil).message(404, "Not Found")
	require.Contains(t, b.log.String(), " route=/docs status=200 ")
}

// TestFilesAreServedInEveryEncoding checks that all clients get the same file, and that they get it once.
func TestFilesAreServedInEveryEncoding(t *testing.T) {
	t.Parallel()
	b := setup(t, withDocs)
	paths := docsPaths(t, b)
	for contract := range contractFiles {
		paths = append(paths, contract+".yaml", contract+".json")
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			plain := b.getEncoded(t, path, "").is(200)
			require.Empty(t, plain.header.Get("Content-Encoding"))
			tag := plain.header.Get("ETag")
			require.Equal(t, "Accept-Encoding", plain.header.Get("Vary"))
			require.Equal(t, plain.body[1:3], b.getEncoded(t, path, "", header("Range", "bytes=1-2")).is(206).body)
			// A file is embedded or made in two encodings. No request compresses it in another one.
			require.Empty(t, b.getEncoded(t, path, "zstd").is(200).header.Get("Content-Encoding"))
			require.Equal(t, "gzip", b.getEncoded(t, path, "zstd, GZIP").is(200).header.Get("Content-Encoding"))
			for _, accept := range []string{"gzip", "zstd, gzip;q=0", "br;q=1.0, gzip;q=0.5", "identity"} {
				got := b.getEncoded(t, path, accept).is(200)
				require.Equal(t, tag, got.header.Get("ETag"))
				body := got.body
				if encoding := got.header.Get("Content-Encoding"); encoding != "" {
					require.Contains(t, accept, encoding)
					require.NotContains(t, accept, encoding+";q=0,")
					body = decompressed(t, encoding, body)
				}
				require.Equal(t, plain.body, body, accept)

				fresh := b.getEncoded(t, path, accept, header("If-None-Match", tag)).is(304)
				require.Empty(t, fresh.body)
				b.getEncoded(t, path, accept, header("If-None-Match", `W/"another"`)).is(200)
			}
			head := b.do("HEAD", path, nil).is(200)
			require.Empty(t, head.body)
			require.Equal(t, tag, head.header.Get("ETag"))
		})
	}
}

func TestDocsCanBeOff(t *testing.T) {
	t.Parallel()
	b := setup(t, withDocs)
	paths := docsPaths(t, b)
	off := setup(t)
	for _, path := range append(paths, "/openapi.yaml", "/openapi.json", "/openapi-node.yaml", "/openapi-node.json") {
		off.do(http.MethodGet, path, nil).message(404, "Not Found")
	}
	require.NotContains(t, off.log.String(), "status=500")
}
