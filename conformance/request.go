package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Target is a server under test.
type Target struct {
	// URL is the base URL, without a slash at its end.
	URL string
	// Prepare is the base URL for the requests that prepare a scenario and clean up after it, for a server that has a
	// fault which these must not meet; "" is URL.
	Prepare string
	// Secrets are the credentials of security schemes that are not values of the story, such as the admin secret.
	Secrets map[string]string
}

// wrongCredential is sent wherever a wrong credential is needed: always the same one, so that a server that limits
// failed attempts by their value counts one.
const wrongCredential = "gatehouse-check-wrong-credential"

// request is a request with the values of a run.
type request struct {
	call         *Call
	method       string
	base, target string // URL of the server; path and query
	header       http.Header
	body         []byte
	value        any // that body encodes; nil for raw text
	// secret is the credential as it was sent, and variable its name in curl lines.
	secret, variable string
	// shown is the request with marked variables, for its curl line.
	shown *request
}

// newRequest builds the request of a call. response is that of the call that this one undoes.
func (s *story) newRequest(target Target, call *Call, response any) (*request, error) {
	r := &request{call: call, method: call.Operation.Method, base: target.URL, header: http.Header{}}
	r.target = s.targetOf(call, response)
	s.setHeaders(r, response)
	if err := s.setCredential(target, r, response); err != nil {
		return nil, err
	}
	if err := s.setBody(r, response); err != nil || s.marking {
		return r, err
	}
	s.marking = true
	defer func() { s.marking = false }()
	var err error
	r.shown, err = s.newRequest(target, call, response)
	return r, err
}

func (s *story) targetOf(call *Call, response any) string {
	path, query := call.Operation.Path, url.Values{}
	for _, p := range call.Operation.Parameters {
		switch p.In {
		case "path":
			value, stated := call.path[p.Name]
			if !stated {
				value = p.Example
			}
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(s.text(value, call.as, response)))
		case "query":
			for _, value := range valuesOf(call.query, p) {
				query.Add(p.Name, s.text(value, call.as, response))
			}
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

// valuesOf returns the values of a parameter: those that are stated, or the contract's example.
func valuesOf(stated map[string][]string, p Parameter) []string {
	if values, ok := stated[p.Name]; ok {
		return values
	}
	return []string{p.Example}
}

func (s *story) setHeaders(r *request, response any) {
	for _, p := range r.call.Operation.Parameters {
		if p.In != "header" {
			continue
		}
		for _, value := range valuesOf(r.call.header, p) {
			r.header.Add(p.Name, s.text(value, r.call.as, response))
		}
	}
}

// setCredential sets the header of the operation's security scheme.
func (s *story) setCredential(target Target, r *request, response any) error {
	op, name := r.call.Operation, r.call.credential
	if op.Scheme == "" || name == credentialNone {
		return nil
	}
	defined := s.suite.credentials[op.Scheme]
	if defined == nil || op.CredentialHeader == "" {
		return fmt.Errorf("common.yaml has no credential for the security scheme %q", op.Scheme)
	}
	switch {
	case name == credentialWrong:
		r.secret = wrongCredential
	case isResponseReference(name):
		r.secret = s.text(name, nil, response)
	case name != "":
		r.secret, r.variable = s.credential(name), strings.ToUpper(name)
	case defined.value != "":
		name = defined.value
		if renamed, ok := r.call.as[name]; ok {
			name = renamed
		}
		r.secret, r.variable = s.credential(name), strings.ToUpper(name)
	default:
		r.secret, r.variable = target.Secrets[op.Scheme], defined.variable
	}
	value := r.secret
	if s.marking && r.variable != "" {
		value = marked(r.variable)
	}
	r.header.Set(op.CredentialHeader, value)
	return nil
}

// credential returns a value that authenticates requests; its example if it is not bound.
func (s *story) credential(name string) string {
	if text, ok := s.lookup(name); ok {
		return text
	}
	return s.suite.values[name].example
}

func (s *story) setBody(r *request, response any) error {
	request := r.call.Operation.Request
	if request == nil {
		return nil
	}
	r.header.Set("Content-Type", contentTypeOf(request.MediaType))
	if stated := r.call.body; stated != nil && stated.raw != nil {
		r.body = []byte(s.text(*stated.raw, r.call.as, response))
		return nil
	}
	body := s.value(r.call.template(), r.call.as, response)
	r.value = body
	if members, ok := body.(map[string]any); ok && request.MediaType == mediaForm {
		form := url.Values{}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			form.Set(name, fmt.Sprint(members[name]))
		}
		r.body = []byte(form.Encode())
		return nil
	} else if ok && request.MediaType == mediaFiles {
		r.body = formOfFiles(members)
		return nil
	} else if plain, ok := body.(string); ok && request.MediaType == mediaText {
		r.body = []byte(plain)
		return nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return fmt.Errorf("encode the body of %s: %w", r.call.Operation.ID, err)
	}
	r.body = bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	return nil
}

// Forms, a form of files, and a text, which is sent as it is.
const (
	mediaForm  = "application/x-www-form-urlencoded"
	mediaFiles = "multipart/form-data"
	mediaText  = "text/plain"
	// filesBoundary separates the files of a form. No file of the examples has it.
	filesBoundary = "gatehouse-check-boundary"
)

// contentTypeOf returns the Content-Type of a body.
func contentTypeOf(mediaType string) string {
	if mediaType == mediaFiles {
		return mediaFiles + "; boundary=" + filesBoundary
	}
	return mediaType
}

// formOfFiles returns a form that has each member as a file.
func formOfFiles(members map[string]any) []byte {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(members)) {
		fmt.Fprintf(&out, "--%s\r\nContent-Disposition: form-data; name=%q; filename=%q\r\n"+
			"Content-Type: application/octet-stream\r\n\r\n%v\r\n", filesBoundary, name, name, members[name])
	}
	out.WriteString("--" + filesBoundary + "--\r\n")
	return []byte(out.String())
}

// template returns the body of a call before its values are replaced.
func (c *Call) template() any {
	if c.Operation.Request == nil {
		return nil
	}
	body := c.Operation.Request.Example
	if c.body != nil {
		body = c.body.value
	}
	for _, e := range c.set {
		body = edited(body, splitPointer(e.pointer), e.value)
	}
	for _, pointer := range c.without {
		body = edited(body, splitPointer(pointer), removed{})
	}
	return body
}

// http returns the request for a server. release ends a body that stalls.
func (r *request) http(ctx context.Context, base string) (req *http.Request, release func(), err error) {
	var body io.Reader = bytes.NewReader(r.body)
	length, release := int64(len(r.body)), func() {}
	transfer := r.call.transfer
	if transfer.repeat > 0 {
		repeated := bytes.Repeat(r.body, transfer.repeat)
		body, length = bytes.NewReader(repeated), int64(len(repeated))
	}
	if transfer.stall || transfer.announce > 0 {
		stalled, end := io.Pipe()
		release = func() { _ = end.Close() }
		length = -1
		if transfer.announce > 0 {
			length = transfer.announce
		}
		body = struct { // the client closes the body when it has the response
			io.Reader
			io.Closer
		}{io.MultiReader(body, stalled), stalled}
	}
	req, err = http.NewRequestWithContext(ctx, r.method, base+r.target, body)
	if err != nil {
		release()
		return nil, nil, err
	}
	req.Header, req.ContentLength = r.header, length
	if length == 0 {
		req.Body = http.NoBody
	}
	return req, release, nil
}
