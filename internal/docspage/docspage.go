// Package docspage serves the contracts as files that stand alone, and a page that shows them: Swagger UI, in which
// readers search operations and send requests with their own secrets. Everything that the page loads is embedded; its
// Content-Security-Policy lets it run no other script, and connect to no other server.
//
// The renderer has been chosen among those that were maintained in 2026, for the policy that they work under:
//
//	renderer               licence     gzip    what it lacks   what a policy without 'unsafe-…' breaks
//	Swagger UI 5.35        Apache-2.0  0.5 MB  –               –
//	Scalar 1.72            MIT         1.2 MB  –               all styles; it also calls eval
//	Stoplight Elements 9   Apache-2.0  0.7 MB  search          one style element
//	openapi-explorer 2.4   Apache-2.0  0.2 MB  –               colours and layout
//	Redoc 2.5              MIT         0.3 MB  requests        the whole page
//
// RapiDoc has had no release since 2025.
package docspage

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse/gen/bundle"
	"gatehouse/internal/webfile"
)

// Swagger UI as swagger-ui/update.sh has copied it, compressed with gzip.
//
//go:embed swagger-ui/swagger-ui-bundle.js.gz
var swaggerScript []byte

//go:embed swagger-ui/swagger-ui.css.gz
var swaggerStyle []byte

//go:embed page/page.html
var pageHTML string

//go:embed page/page.js
var pageScript []byte

//go:embed page/page.css
var pageStyle []byte

// policy is the Content-Security-Policy of the page. The style sheet of Swagger UI has its icons in data URLs. The
// console shows the page in a frame; pages of other origins cannot.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// Server is the server that serves the files: what they say of it.
type Server struct {
	Version string
	// BasePath is a path below which the files are served, too, such as /tyk: clients may reach no other. "" is none.
	BasePath string
}

// Files returns the contracts, and the page with what it loads.
func Files(server Server) []*webfile.File {
	openAPI, node := server.name(bundle.OpenAPI), server.name(bundle.Node)
	contracts := []*webfile.File{
		contractYAML("/openapi.yaml", openAPI), contractJSON("/openapi.json", openAPI),
		contractYAML("/openapi-node.yaml", node), contractJSON("/openapi-node.json", node),
	}
	assets := []asset{
		{"swagger-ui.js", swaggerScript, true},
		{"swagger-ui.css", swaggerStyle, true},
		{"page.js", pageScript, false},
		{"page.css", pageStyle, false},
	}
	files := []*webfile.File{page(assets, server.BasePath)}
	for _, each := range assets {
		files = append(files, each.file())
	}
	return append(contracts, files...)
}

// contractYAML returns a contract as YAML.
func contractYAML(path string, text func() ([]byte, error)) *webfile.File {
	return &webfile.File{
		Path: path, MediaType: "application/yaml", CacheControl: webfile.Revalidate, Content: webfile.Plain(text),
	}
}

// contractJSON returns a contract as JSON. It is converted when it is requested first, which takes some 20 ms.
func contractJSON(path string, text func() ([]byte, error)) *webfile.File {
	return &webfile.File{
		Path: path, MediaType: "application/json", CacheControl: webfile.Revalidate,
		Content: webfile.Plain(func() ([]byte, error) {
			text, err := text()
			if err != nil {
				return nil, err
			}
			return toJSON(text)
		}),
	}
}

// name returns a function that puts the version and the URL of the server into a contract. A string of JSON is one of
// YAML, too.
func (s Server) name(text []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		version, err := json.Marshal(s.Version)
		if err != nil {
			return nil, fmt.Errorf("encode version: %w", err)
		}
		text := bytes.Replace(text, []byte(bundle.VersionPlaceholder), version, 1)
		if s.BasePath == "" {
			return text, nil
		}
		return bytes.Replace(text, []byte("\n- url: /\n"), []byte("\n- url: "+s.BasePath+"\n"), 1), nil
	}
}

// asset is a file that the page loads, embedded as it is or compressed with gzip.
type asset struct {
	name       string
	embedded   []byte
	compressed bool
}

// path contains the hash of what is embedded.
func (a asset) path() string {
	base, extension, _ := strings.Cut(a.name, ".")
	return "/docs/" + base + "-" + webfile.Hash(a.embedded) + "." + extension
}

func (a asset) file() *webfile.File {
	content := webfile.Bytes(a.embedded)
	if a.compressed {
		content = webfile.Gzipped(a.embedded)
	}
	return &webfile.File{
		Path: a.path(), MediaType: webfile.MediaType(a.name), CacheControl: webfile.Forever, Content: content,
	}
}

// page returns the page, in which the names of assets are replaced by their paths. All paths begin with basePath.
func page(assets []asset, basePath string) *webfile.File {
	html := pageHTML
	for _, each := range assets {
		html = strings.Replace(html, `"`+each.name+`"`, `"`+each.path()+`"`, 1)
	}
	html = strings.NewReplacer(`href="/`, `href="`+basePath+`/`, `src="/`, `src="`+basePath+`/`).Replace(html)
	return &webfile.File{
		Path: "/docs", MediaType: webfile.MediaType("page.html"), CacheControl: webfile.Revalidate, Policy: policy,
		Content: webfile.Bytes([]byte(html)),
	}
}
