package conformance

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/klauspost/compress/zstd"

	"gatehouse/contract"
)

// This file is what Mock and Proxy share: which operation a request calls, and whether it matches the contract.

// calledOperation is the operation of a request.
type calledOperation struct {
	*contract.Operation

	params map[string]string
	// declared is the same operation with its examples.
	declared *Operation
}

// findCalled returns the operation of a request, or contract.ErrNoOperation. As on many servers, a path may end in a
// slash, and HEAD stands for GET, unless the contract says otherwise. The path of the contract's server may be left
// out.
func findCalled(contracts []*contract.Contract, spec *Spec, r *http.Request) (*calledOperation, error) {
	methods := []string{r.Method}
	if r.Method == http.MethodHead {
		methods = append(methods, http.MethodGet)
	}
	for _, c := range contracts {
		for _, path := range pathsOf(spec, r.URL.Path) {
			for _, method := range methods {
				found, params, err := c.Find(withTarget(r, method, path))
				if err == nil {
					return &calledOperation{found, params, spec.Operation(found.ID)}, nil
				}
				if !errors.Is(err, contract.ErrNoOperation) {
					return nil, err
				}
			}
		}
	}
	return nil, contract.ErrNoOperation
}

// pathsOf returns the paths under which the contract may have the path of a request.
func pathsOf(spec *Spec, path string) []string {
	paths := []string{path}
	if trimmed := strings.TrimRight(path, "/"); trimmed != path && trimmed != "" {
		paths = append(paths, trimmed)
	}
	for _, path := range slices.Clone(paths) {
		for _, base := range spec.basePaths() {
			paths = append(paths, base+path)
		}
	}
	return paths
}

// basePaths returns the paths of the servers that the documents name.
func (s *Spec) basePaths() (paths []string) {
	var last *openapi3.T
	for _, op := range s.Operations {
		if op.document == last {
			continue
		}
		last = op.document
		for _, server := range op.document.Servers {
			if base := contract.ServerPath(server); base != "" && !slices.Contains(paths, base) {
				paths = append(paths, base)
			}
		}
	}
	return paths
}

// withTarget returns a request with another method and path.
func withTarget(r *http.Request, method, path string) *http.Request {
	other := r.WithContext(r.Context())
	other.Method = method
	if path != r.URL.Path {
		u := *r.URL
		u.Path, u.RawPath = path, strings.TrimRight(r.URL.RawPath, "/")
		other.URL = &u
	}
	return other
}

// validate compares a request with its operation. A body of nil is not looked at.
func (op *calledOperation) validate(r *http.Request, body []byte) error {
	switch {
	case op.Body == nil:
		body = nil
	case op.Body.Optional && body != nil && len(bytes.TrimSpace(body)) == 0:
		body = []byte(`{}`)
	}
	if body != nil {
		body = op.Body.CanonicalNames(body)
	}
	return op.Validate(contract.Request{
		HTTP: r, PathParams: op.params, Query: r.URL.Query(), Header: op.header(r), Body: body,
	})
}

// header returns the header of a request as it is compared with the contract. Many clients send JSON without a
// Content-Type, or as the form that it is not, as curl does.
func (op *calledOperation) header(r *http.Request) http.Header {
	header := r.Header.Clone()
	sent := header.Get("Content-Type")
	if op.Body != nil && (sent == "" || strings.HasPrefix(sent, "application/x-www-form-urlencoded")) {
		header.Set("Content-Type", op.Body.MediaType)
	}
	return header
}

// errEncoding is returned for a Content-Encoding that cannot be decoded.
var errEncoding = errors.New("unknown Content-Encoding")

// errBodyTooLarge is returned for a body that is larger than what is validated of one.
var errBodyTooLarge = errors.New("the body is too large")

// decodeContent returns a body without its Content-Encoding.
func decodeContent(encoding string, body []byte, limit int64) ([]byte, error) {
	var in io.Reader
	switch strings.ToLower(encoding) {
	case "", "identity":
		return body, nil
	case "gzip":
		unzip, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("decode the body: %w", err)
		}
		in = unzip
	case "zstd":
		decoder, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("decode the body: %w", err)
		}
		defer decoder.Close()
		in = decoder
	default:
		return nil, errEncoding
	}
	decoded, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decode the body: %w", err)
	case int64(len(decoded)) > limit:
		return nil, errBodyTooLarge
	}
	return decoded, nil
}

// shownPath returns the path of a request that no operation has, without what may be an ID or a secret.
func shownPath(u *url.URL) string {
	const longest = 24 // longer segments are no words
	segments := strings.Split(u.Path, "/")
	for i, segment := range segments {
		if len(segment) > longest || strings.ContainsAny(segment, "0123456789@=") {
			segments[i] = "…"
		}
	}
	return strings.Join(segments, "/")
}
