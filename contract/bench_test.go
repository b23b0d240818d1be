package contract_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"

	"gatehouse/contract"
	"gatehouse/gen/admin"
)

// adminOperation returns an operation of the admin contract, compiled and for kin-openapi.
func adminOperation(b *testing.B, path, method string) (*contract.Operation, *routers.Route) {
	b.Helper()
	raw, err := admin.GetSpecJSON()
	require.NoError(b, err)
	known, err := contract.Load(contract.Rules{}, raw)
	require.NoError(b, err)
	spec, err := admin.GetSpec()
	require.NoError(b, err)
	spec.Security = nil
	item := spec.Paths.Value(path)
	declared := item.GetOperation(method)
	route := &routers.Route{Spec: spec, Path: path, PathItem: item, Method: method, Operation: declared}
	return known.Operation(declared.OperationID), route
}

// example returns an example as JSON.
func example(b *testing.B, content openapi3.Content) []byte {
	b.Helper()
	raw, err := json.Marshal(content.Get("application/json").Examples["ok"].Value.Value)
	require.NoError(b, err)
	return raw
}

func BenchmarkValidate(b *testing.B) {
	op, route := adminOperation(b, "/admin/sso", http.MethodPost)
	body := example(b, route.Operation.RequestBody.Value.Content)
	r, err := http.NewRequest(http.MethodPost, "http://localhost/admin/sso", nil)
	require.NoError(b, err)
	b.Run("contract", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := op.Validate(contract.Request{HTTP: r, Body: body}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kin-openapi", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sent := r.Clone(b.Context())
			sent.Header.Set("Content-Type", "application/json")
			sent.Body, sent.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			if err := openapi3filter.ValidateRequest(b.Context(), &openapi3filter.RequestValidationInput{
				Request: sent, Route: route, Options: &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true},
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCheckResponse(b *testing.B) {
	for name, at := range map[string][2]string{
		"GET user": {"/admin/users/{userId}", http.MethodGet}, "GET APIs": {"/admin/apis", http.MethodGet},
	} {
		op, route := adminOperation(b, at[0], at[1])
		body := example(b, route.Operation.Responses.Status(http.StatusOK).Value.Content)
		header := http.Header{"Content-Type": {"application/json"}}
		b.Run(name+"/contract", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if problems := op.CheckResponse(http.StatusOK, header, body); problems != nil {
					b.Fatal(problems)
				}
			}
		})
		b.Run(name+"/kin-openapi", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			r := &http.Request{Method: at[1]}
			for b.Loop() {
				if err := openapi3filter.ValidateResponse(b.Context(), &openapi3filter.ResponseValidationInput{
					RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
					Status:                 http.StatusOK, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
					Options: &openapi3filter.Options{IncludeResponseStatus: true},
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
