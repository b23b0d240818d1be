package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"gatehouse/contract"
)

// validateResponse compares a response with the schemas that its operation declares for its status: body, headers and
// media type. A status that is not declared is a difference.
func validateResponse(op *Operation, got *exchangeResponse) []Difference {
	if op.declared.Responses.Status(got.status) == nil && op.declared.Responses.Default() == nil {
		return []Difference{{"status", fmt.Sprintf("the operation declares no status %d", got.status)}}
	}
	unreadable := !contract.Readable(got.header.Get("Content-Type")) && declaresMedia(op, got)
	err := filterResponse(op, got, openapi3filter.Options{ExcludeResponseBody: unreadable})
	if err != nil && extensionsAllow(op, got) {
		err = filterResponse(op, got, openapi3filter.Options{ExcludeResponseBody: true})
	}
	if err == nil {
		return nil
	}
	if mismatch, ok := errors.AsType[*openapi3filter.ResponseError](err); ok && mismatch.Err != nil {
		err = mismatch.Err
	}
	return []Difference{{"schema", shortened(err.Error(), maxShown)}}
}

// declaresMedia reports whether an operation declares the media type of a response.
func declaresMedia(op *Operation, got *exchangeResponse) bool {
	declared := op.declared.Responses.Status(got.status)
	if declared == nil {
		declared = op.declared.Responses.Default()
	}
	return declared != nil && declared.Value.Content.Get(got.header.Get("Content-Type")) != nil
}

// extensionsAllow reports whether a body in JSON matches its schema, in which extensions allow more than kin-openapi
// knows.
func extensionsAllow(op *Operation, got *exchangeResponse) bool {
	declared := op.declared.Responses.Status(got.status)
	mediaType, _, _ := mime.ParseMediaType(got.header.Get("Content-Type"))
	if declared == nil || mediaType != mediaJSON || got.json == nil {
		return false
	}
	content := declared.Value.Content.Get(mediaJSON)
	return content != nil && content.Schema != nil && contract.CheckValue(content.Schema.Value, got.json) == nil
}

const mediaJSON = "application/json"

// filterResponse returns what kin-openapi finds wrong with a response.
func filterResponse(op *Operation, got *exchangeResponse, options openapi3filter.Options) error {
	options.IncludeResponseStatus, options.MultiError = true, true
	options.WithCustomSchemaErrorFunc(func(mismatch *openapi3.SchemaError) string {
		return strings.TrimPrefix(contract.Pointer(mismatch.JSONPointer()...)+": "+mismatch.Reason, ": ")
	})
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: &http.Request{Method: op.Method},
			Route: &routers.Route{
				Spec: op.document, Path: op.Path, PathItem: op.item, Method: op.Method, Operation: op.declared,
			},
		},
		Status: got.status, Header: got.header, Body: io.NopCloser(bytes.NewReader(got.body)),
		Options: &options,
	})
}
