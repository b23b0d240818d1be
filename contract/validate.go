package contract

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"

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
func (e *RequestError) Unwrap() []error { return []error{e.err, e.cause} }

// Problems lists what is wrong, at most MaxProblems. They may be shown to the client.
func (e *RequestError) Problems() []Problem { return e.problems }

// Request is what Validate looks at.
type Request struct {
	HTTP       *http.Request // its header and body are not looked at
	PathParams map[string]string
	Query      url.Values
	// Body is the body in the media type of the operation. nil skips its validation.
	Body []byte
}

// Plain reports whether a request without a query and a body cannot be invalid, so that Validate need not be called.
func (op *Operation) Plain() bool { return op.plain }

// Validate returns a *RequestError if the parameters or the body do not match the operation.
func (op *Operation) Validate(r Request) error {
	// A copy, for two reasons: the filter replaces the body, and it would reject a body by its Content-Type, which many
	// clients do not send or send wrong.
	checked := r.HTTP.WithContext(r.HTTP.Context())
	checked.Header = http.Header{}
	if r.Body != nil {
		checked.Header.Set("Content-Type", op.Body.MediaType)
		checked.Body, checked.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
	}
	err := openapi3filter.ValidateRequest(checked.Context(), &openapi3filter.RequestValidationInput{
		Request: checked, PathParams: r.PathParams, QueryParams: r.Query, Route: op.route,
		Options: &openapi3filter.Options{
			MultiError: true, SkipSettingDefaults: true, ExcludeRequestBody: r.Body == nil,
			SchemaValidationOptions: schemaOptions,
		},
	})
	if err != nil {
		return newRequestError(err)
	}
	return nil
}

// newRequestError converts kin-openapi's error. A parameter is reported before the body, and alone.
func newRequestError(err error) *RequestError {
	for _, each := range flatten(err) {
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
