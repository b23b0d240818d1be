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
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse/gen/bundle"
	"gatehouse/httpbody"
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

// policy is the Content-Security-Policy of the page. The style sheet of Swagger UI has its icons in data URLs.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const (
	// forever is for files whose names change with their content.
	forever = "public, max-age=31536000, immutable"
	// revalidate is for files that change with the server. Their ETag makes it cheap to ask.
	revalidate = "no-cache"
)

// Server is the server that serves the files: what they say of it.
type Server struct {
	Version string
	// BasePath is a path below which the files are served, too, such as /tyk: clients may reach no other. "" is none.
	BasePath string
}

// Files returns the contracts, and the page with what it loads.
func Files(server Server) []*File {
	openAPI, node := server.name(bundle.OpenAPI), server.name(bundle.Node)
	contracts := []*File{
		contractYAML("/openapi.yaml", openAPI), contractJSON("/openapi.json", openAPI),
		contractYAML("/openapi-node.yaml", node), contractJSON("/openapi-node.json", node),
	}
	assets := []*File{
		asset("swagger-ui.js", swaggerScript, true), asset("swagger-ui.css", swaggerStyle, true),
		asset("page.js", pageScript, false), asset("page.css", pageStyle, false),
	}
	return append(append(contracts, assets...), page(assets, server.BasePath))
}

// File is a file that is served at one path. Its methods are safe for concurrent use.
type File struct {
	Path string

	name, mediaType, cacheControl, policy string
	content                               func() (content, error) // makes it once
}

// content is the content of a file in both encodings, so that no request compresses or decompresses it, and the hash
// that its ETag is made of.
type content struct {
	plain, gzipped []byte
	hash           string
}

// newContent returns a content, and what has failed before.
func newContent(plain []byte, err error) (content, error) {
	if err != nil {
		return content{}, err
	}
	var gzipped bytes.Buffer
	writer := gzip.NewWriter(&gzipped)
	_, err = writer.Write(plain)
	if err == nil {
		err = writer.Close()
	}
	return content{plain, gzipped.Bytes(), hashOf(plain)}, err
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// contractYAML returns a contract as YAML.
func contractYAML(path string, text func() ([]byte, error)) *File {
	return &File{
		Path: path, mediaType: "application/yaml", cacheControl: revalidate,
		content: sync.OnceValues(func() (content, error) { return newContent(text()) }),
	}
}

// contractJSON returns a contract as JSON. It is converted when it is requested first, which takes some 20 ms.
func contractJSON(path string, text func() ([]byte, error)) *File {
	return &File{
		Path: path, mediaType: "application/json", cacheControl: revalidate,
		content: sync.OnceValues(func() (content, error) {
			text, err := text()
			if err != nil {
				return content{}, err
			}
			return newContent(toJSON(text))
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

// asset returns a file that the page loads, embedded as it is or compressed with gzip. Its path contains the hash of
// what is embedded.
func asset(name string, b []byte, compressed bool) *File {
	hash := hashOf(b)
	base, extension, _ := strings.Cut(name, ".")
	mediaType := "text/javascript; charset=utf-8"
	if extension == "css" {
		mediaType = "text/css; charset=utf-8"
	}
	return &File{
		Path: "/docs/" + base + "-" + hash + "." + extension, name: name, mediaType: mediaType, cacheControl: forever,
		content: sync.OnceValues(func() (content, error) {
			if !compressed {
				return newContent(b, nil)
			}
			plain, err := decompress(b)
			return content{plain, b, hash}, err
		}),
	}
}

// page returns the page, in which the names of assets are replaced by their paths. All paths begin with basePath.
func page(assets []*File, basePath string) *File {
	html := pageHTML
	for _, each := range assets {
		html = strings.Replace(html, `"`+each.name+`"`, `"`+each.Path+`"`, 1)
	}
	html = strings.NewReplacer(`href="/`, `href="`+basePath+`/`, `src="/`, `src="`+basePath+`/`).Replace(html)
	return &File{
		Path: "/docs", mediaType: "text/html; charset=utf-8", cacheControl: revalidate, policy: policy,
		content: sync.OnceValues(func() (content, error) { return newContent([]byte(html), nil) }),
	}
}

// Serve sends the file, or 304 to a client that has it.
func (f *File) Serve(w http.ResponseWriter, r *http.Request) error {
	loaded, err := f.content()
	if err != nil {
		return fmt.Errorf("serve %s: %w", f.Path, err)
	}
	body, encoding := loaded.plain, ""
	if httpbody.AcceptsGzip(r) {
		body, encoding = loaded.gzipped, "gzip"
	}
	header := w.Header()
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Content-Type", f.mediaType)
	set("Content-Encoding", encoding)
	set("Vary", "Accept-Encoding")
	set("Cache-Control", f.cacheControl)
	set("ETag", `W/"`+loaded.hash+`"`) // weak: the same for every encoding
	set("X-Content-Type-Options", "nosniff")
	set("Referrer-Policy", "no-referrer")
	set("Content-Security-Policy", f.policy)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// decompress returns what is in a file of gzip.
func decompress(b []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}
