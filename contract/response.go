package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// declaredResponse is what a document declares for a status.
type declaredResponse struct {
	declared *openapi3.Response
	// json are the schemas of the media types that are JSON, as the document writes them.
	json map[*openapi3.MediaType]*schema
	// only is the media type if there is one, and it is JSON, and onlySchema its schema.
	only       string
	onlySchema *schema
}

// anyStatus is the key of the default response, and of a range of statuses its first digit: 4 is 4XX.
const anyStatus = 0

// readDeclared compiles the responses of an operation, by status.
func (s *schemas) readDeclared(declared *openapi3.Operation) (map[int]*declaredResponse, error) {
	all := map[int]*declaredResponse{}
	for code, response := range declared.Responses.Map() {
		status, err := statusOf(code)
		if err != nil {
			return nil, err
		}
		if all[status], err = s.readResponse(response.Value); err != nil {
			return nil, fmt.Errorf("response %s: %w", code, err)
		}
	}
	return all, nil
}

func statusOf(code string) (int, error) {
	const maxRange, maxStatus = 5, 599
	if code == "default" {
		return anyStatus, nil
	}
	digits, isRange := strings.CutSuffix(strings.ToUpper(code), "XX")
	status, err := strconv.Atoi(digits)
	switch {
	case err != nil, isRange && (status < 1 || status > maxRange),
		!isRange && (status < http.StatusContinue || status > maxStatus):
		return 0, fmt.Errorf("response %s is not a status", code)
	}
	return status, nil
}

func (s *schemas) readResponse(declared *openapi3.Response) (*declaredResponse, error) {
	r := &declaredResponse{declared: declared, json: map[*openapi3.MediaType]*schema{}}
	for name, content := range declared.Content {
		if !isJSON(name) || content.Schema == nil {
			continue
		}
		compiled, err := s.compile(content.Schema.Value)
		if err != nil {
			return nil, err
		}
		r.json[content] = compiled
		if len(declared.Content) == 1 {
			r.only, r.onlySchema = name, compiled
		}
	}
	return r, nil
}

const mediaJSON = "application/json"

func isJSON(mediaType string) bool {
	name, _, _ := strings.Cut(mediaType, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	return name == mediaJSON || strings.HasSuffix(name, "+json")
}

// declares returns the declared response for a status, nil if there is none.
func (op *Operation) declares(status int) *declaredResponse {
	const hundred = 100
	for _, key := range []int{status, status / hundred, anyStatus} {
		if r := op.declared[key]; r != nil {
			return r
		}
	}
	return nil
}

// CheckResponse returns how a response departs from what its operation declares, at most MaxProblems; nil if it does
// not. A Problem's Path is a JSON pointer into the body, in which "*" stands for a name that the contract does not
// name; it is empty for the status, a header, and the body as a whole. The response to a HEAD request has no body to
// check.
func (op *Operation) CheckResponse(status int, header http.Header, body []byte) []Problem {
	if status == http.StatusNotModified { // of the protocol: it has neither a body nor its headers
		return nil
	}
	r := op.declares(status)
	if r == nil {
		return []Problem{undeclaredStatus(status)}
	}
	problems := r.checkHeaders(op, status, header)
	checked, problem := r.content(header)
	switch {
	case problem != nil && (len(body) > 0 || len(r.declared.Content) > 0):
		problems = append(problems, *problem)
	case problem != nil: // neither declared nor sent
	case checked != nil:
		problems = append(problems, checked.check(body)...)
	default:
		problems = append(problems, r.filter(op, sentResponse{status, header, body})...)
	}
	return problems[:min(len(problems), MaxProblems)]
}

func undeclaredStatus(status int) Problem {
	return Problem{Reason: "status " + strconv.Itoa(status) + " is not declared"}
}

// content returns the schema of a body with these headers, nil if it is not JSON or has no schema, or the problem that
// its media type is not declared.
func (r *declaredResponse) content(header http.Header) (*schema, *Problem) {
	contentType := header.Get("Content-Type")
	if r.onlySchema != nil && contentType == r.only {
		return r.onlySchema, nil
	}
	if len(r.declared.Content) == 0 {
		return nil, &Problem{Reason: "has a body, but no content is declared"}
	}
	declared := r.declared.Content.Get(contentType)
	if declared == nil {
		return nil, &Problem{Reason: undeclaredMedia(contentType)}
	}
	return r.json[declared], nil
}

// undeclaredMedia names a media type without its parameters, and only if it is one.
func undeclaredMedia(contentType string) string {
	if contentType == "" {
		return "has no Content-Type"
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "has an invalid Content-Type"
	}
	return "content type " + mediaType + " is not declared"
}

func (r *declaredResponse) checkHeaders(op *Operation, status int, header http.Header) []Problem {
	if len(r.declared.Headers) == 0 {
		return nil
	}
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(r.declared.Headers)) {
		one := openapi3.Response{Headers: openapi3.Headers{name: r.declared.Headers[name]}}
		err := op.validateResponse(&one, sentResponse{status: status, header: header})
		switch {
		case err == nil:
		case len(header.Values(name)) == 0:
			problems = append(problems, Problem{Reason: "header " + name + " is missing"})
		default:
			problems = append(problems, Problem{Reason: "header " + name + " does not match the contract"})
		}
	}
	return problems
}

// Readable reports whether bodies of a media type can be compared with a schema. Of others, such as HTML and pictures,
// only the media type is checked.
func Readable(contentType string) bool {
	name, _, _ := mime.ParseMediaType(contentType)
	return isJSON(name) || openapi3filter.RegisteredBodyDecoder(name) != nil
}

// filter checks a body that is not JSON.
func (r *declaredResponse) filter(op *Operation, sent sentResponse) []Problem {
	if !Readable(sent.header.Get("Content-Type")) {
		return nil
	}
	err := op.validateResponse(&openapi3.Response{Content: r.declared.Content}, sent)
	if err == nil {
		return nil
	}
	if failed, ok := errors.AsType[*openapi3filter.ResponseError](err); ok && failed.Err != nil {
		err = failed.Err
	}
	return problemsOf(err)
}

// sentResponse is a response to check.
type sentResponse struct {
	status int
	header http.Header
	body   []byte
}

// validateResponse validates a response with kin-openapi.
func (op *Operation) validateResponse(declared *openapi3.Response, sent sentResponse) error {
	responses := openapi3.NewResponsesWithCapacity(1)
	responses.Set(strconv.Itoa(sent.status), &openapi3.ResponseRef{Value: declared})
	r := &http.Request{Method: op.Method}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Route: &routers.Route{Spec: op.route.Spec, Operation: &openapi3.Operation{Responses: responses}},
		},
		Status: sent.status, Header: sent.header, Body: io.NopCloser(bytes.NewReader(sent.body)),
		Options: &openapi3filter.Options{MultiError: true, SchemaValidationOptions: schemaOptions},
	})
}
