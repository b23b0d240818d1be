package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// What a RequestError is about.
var (
	ErrMissingParameter = errors.New("a required parameter is missing")
	ErrBadParameter     = errors.New("a parameter does not match the contract")
	ErrBody             = errors.New("the body does not match the contract")
)

// RequestError reports how a request does not match its operation. errors.Is tells ErrMissingParameter, ErrBadParameter
// and ErrBody apart.
type RequestError struct {
	err      error
	problems []Problem
	cause    error
}

// Error implements error.
func (e *RequestError) Error() string {
	if e.cause == nil {
		return e.err.Error()
	}
	return e.err.Error() + ": " + e.cause.Error()
}

// Unwrap returns one of this package's errors, and kin-openapi's for a parameter. For a body, kin-openapi's would quote
// it.
func (e *RequestError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.err}
	}
	return []error{e.err, e.cause}
}

// Problems lists what is wrong, at most MaxProblems. They may be shown to the client.
func (e *RequestError) Problems() []Problem { return e.problems }

// Request is what Validate looks at.
type Request struct {
	HTTP       *http.Request // its header and body are not looked at
	PathParams map[string]string
	Query      url.Values
	// Header has the header parameters and the Content-Type. With nil, the header parameters are those of HTTP, and the
	// body is validated in the media type of the operation, without decoding it if that is JSON.
	Header http.Header
	// Body is the body. nil skips its validation.
	Body []byte
}

// Plain reports whether a request without a query and a body cannot be invalid, so that Validate need not be called.
func (op *Operation) Plain() bool { return op.plain && op.Body == nil }

// Validate returns a *RequestError if the parameters or the body do not match the operation.
func (op *Operation) Validate(r Request) error {
	valid := r.Body == nil || op.acceptsBody(r)
	if content := op.vendorFormat(r.Header.Get("Content-Type")); !valid && content != nil {
		return cmp.Or(op.validate(r, true), jsonError(content, r.Body))
	}
	if !valid && r.Header == nil && op.checksBody(r) {
		// kin-openapi would describe it better, but decode it, which takes many times its size in memory.
		return cmp.Or(op.validate(r, true), op.bodyError(r.Body))
	}
	return op.validate(r, valid)
}

// ValidateBody returns a *RequestError if a body in JSON does not match the operation, for a program that checks a body
// without a request. It accepts a body that the compiled schema does not decide about.
func (op *Operation) ValidateBody(body []byte) error {
	sent := Request{Body: body}
	if !op.checksBody(sent) || op.acceptsBody(sent) {
		return nil
	}
	return op.bodyError(body)
}

// Opaque reports whether nothing but its name describes the media type of a body, and the body is no JSON either.
// Validate accepts such a body.
func (op *Operation) Opaque(contentType string, body []byte) bool {
	return op.vendorFormat(contentType) != nil && !json.Valid(body)
}

// vendorFormat returns what the operation declares for a media type that kin-openapi has no decoder for, or nil.
func (op *Operation) vendorFormat(contentType string) *openapi3.MediaType {
	name, _, _ := mime.ParseMediaType(contentType)
	if op.Body == nil || isJSON(name) || openapi3filter.RegisteredBodyDecoder(name) != nil {
		return nil
	}
	return op.route.Operation.RequestBody.Value.Content[name]
}

// jsonError returns how a body does not match its schema if it is JSON.
func jsonError(content *openapi3.MediaType, body []byte) error {
	if content.Schema == nil || !json.Valid(body) {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return &RequestError{err: ErrBody, cause: err}
	}
	if problems := CheckValue(content.Schema.Value, value); problems != nil {
		return &RequestError{err: ErrBody, problems: problems}
	}
	return nil
}

// bodyError lists what the compiled schema finds wrong with a body that it does not accept.
func (op *Operation) bodyError(body []byte) error {
	problems := op.Body.json.listed(body)
	return &RequestError{err: ErrBody, problems: problems}
}

// validate validates a request with kin-openapi, the parameters alone if the body is valid.
func (op *Operation) validate(r Request, valid bool) error {
	if err := op.queryError(r); err != nil {
		return err
	}
	if valid && op.plain && len(r.Query) == 0 && r.Header == nil {
		return nil
	}
	// A copy, for two reasons: the filter replaces the body, and it would reject a body by its Content-Type, which many
	// clients do not send or send wrong.
	checked := r.HTTP.WithContext(r.HTTP.Context())
	checked.Header = http.Header{}
	for _, name := range op.headers {
		if values := r.HTTP.Header.Values(name); values != nil {
			checked.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if r.Header != nil {
		checked.Header = r.Header
	}
	if !valid {
		if r.Header == nil {
			checked.Header.Set("Content-Type", op.Body.MediaType)
		}
		checked.Body, checked.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
	}
	err := openapi3filter.ValidateRequest(checked.Context(), &openapi3filter.RequestValidationInput{
		Request: checked, PathParams: r.PathParams, QueryParams: r.Query, Route: op.route,
		Options: &openapi3filter.Options{
			MultiError: true, SkipSettingDefaults: true, ExcludeRequestBody: valid,
			SchemaValidationOptions: schemaOptions,
		},
	})
	if err != nil {
		return newRequestError(err)
	}
	return nil
}

// longQuery is the length in bytes of a query that may have more parameters than net/http decodes, which are thousands.
const longQuery = 1000

// queryError returns what kin-openapi does not see of a query: it looks at the first value of a parameter only, and its
// strings may be any bytes.
func (op *Operation) queryError(r Request) error {
	// net/http leaves out what it cannot decode, and all of a query with too many parameters: a list would be answered
	// without its filter.
	if query := r.HTTP.URL.RawQuery; op.queried != nil && (len(query) > longQuery || strings.ContainsAny(query, "%;")) {
		if _, err := url.ParseQuery(query); err != nil {
			return &RequestError{err: ErrBadParameter, problems: []Problem{{Reason: "the query cannot be decoded"}}, cause: err}
		}
	}
	for _, name := range op.queried {
		var reason string
		switch values := r.Query[name]; {
		case len(values) > 1 && slices.Contains(op.single, name):
			reason = "is sent more than once"
		case slices.ContainsFunc(values, func(value string) bool { return !utf8.ValidString(value) }):
			reason = "is not UTF-8"
		default:
			continue
		}
		return &RequestError{err: ErrBadParameter, problems: []Problem{{Path: Pointer(name), Reason: reason}}}
	}
	return nil
}

// acceptsBody reports whether the compiled schema accepts a body, so that kin-openapi need not decode it.
func (op *Operation) acceptsBody(r Request) bool {
	return op.checksBody(r) && op.Body.json.accepts(r.Body)
}

// checksBody reports whether the compiled schema decides about a body. kin-openapi decides about those that are not
// JSON.
func (op *Operation) checksBody(r Request) bool {
	return op.Body != nil && op.Body.json != nil &&
		(r.Header == nil || r.Header.Get("Content-Type") == op.Body.MediaType)
}

// newRequestError converts kin-openapi's error. A parameter is reported before the body, and alone. What is wrong with
// it may be several errors itself: flatten would lose the parameter.
func newRequestError(err error) *RequestError {
	all, _ := errors.AsType[openapi3.MultiError](err)
	for _, each := range all {
		mismatch, ok := errors.AsType[*openapi3filter.RequestError](each)
		if !ok || mismatch.Parameter == nil {
			continue
		}
		if errors.Is(each, openapi3filter.ErrInvalidRequired) {
			return &RequestError{err: ErrMissingParameter, cause: err}
		}
		problem := Problem{Path: "/" + mismatch.Parameter.Name, Reason: problemsOf(mismatch.Err)[0].Reason}
		return &RequestError{err: ErrBadParameter, problems: []Problem{problem}, cause: err}
	}
	return &RequestError{err: ErrBody, problems: problemsOf(err)}
}
