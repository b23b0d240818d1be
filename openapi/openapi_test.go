// Package openapi_test holds the contracts to rules that neither the generator nor the validator knows.
package openapi_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// load reads a contract.
func load(t *testing.T, path string) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	spec, err := loader.LoadFromFile(path)
	require.NoError(t, err)
	return spec
}

// operation is an operation with where it is.
type operation struct {
	*openapi3.Operation
	method, path string
	secured      bool
}

func (op operation) String() string { return op.method + " " + op.path }

// operations lists a contract's operations, in the order of their paths and methods.
func operations(spec *openapi3.T) []operation {
	var all []operation
	for path, item := range spec.Paths.Map() {
		for method, declared := range item.Operations() {
			secured := len(spec.Security) > 0
			if declared.Security != nil {
				secured = len(*declared.Security) > 0
			}
			all = append(all, operation{declared, method, path, secured})
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// complaints are the rules that an operation breaks.
func (op operation) complaints(tags openapi3.Tags) []string {
	all := op.textComplaints(tags)
	for _, p := range op.Parameters {
		if p.Value.Description == "" || p.Value.Example == nil {
			all = append(all, "parameter "+p.Value.Name+" lacks a description or an example")
		}
	}
	if op.RequestBody != nil {
		for mediaType, content := range op.RequestBody.Value.Content {
			if content.Example == nil {
				all = append(all, "request body "+mediaType+" lacks an example")
			}
		}
	}
	for status, response := range op.Responses.Map() {
		if *response.Value.Description == "" {
			all = append(all, status+" lacks a description")
		}
		for mediaType, content := range response.Value.Content {
			if len(content.Examples) == 0 || content.Example != nil {
				all = append(all, status+" "+mediaType+" lacks examples with names")
			}
		}
	}
	return all
}

func (op operation) textComplaints(tags openapi3.Tags) []string {
	var all []string
	if op.OperationID == "" {
		all = append(all, "no operationId")
	}
	if op.Summary == "" || strings.HasSuffix(op.Summary, ".") {
		all = append(all, "the summary is no title")
	}
	if !strings.HasSuffix(op.Description, ".") {
		all = append(all, "the description is no sentence")
	}
	if len(op.Tags) != 1 || tags.Get(op.Tags[0]) == nil || tags.Get(op.Tags[0]).Description == "" {
		all = append(all, "not under one tag that is described")
	}
	if op.secured && op.Responses.Value("401") == nil && op.Responses.Value("403") == nil { // gateways are answered 403
		all = append(all, "secured, and no 401 or 403")
	}
	if strings.HasSuffix(op.path, "/") && op.path != "/" {
		all = append(all, "every path answers with a slash at its end: it is declared without")
	}
	return all
}

// complaints are the rules that a contract breaks.
func complaints(spec *openapi3.T) []string {
	var all []string
	ids, tags := map[string]bool{}, map[string]bool{}
	for _, op := range operations(spec) {
		for _, complaint := range op.complaints(spec.Tags) {
			all = append(all, fmt.Sprintf("%s: %s", op, complaint))
		}
		if ids[op.OperationID] {
			all = append(all, fmt.Sprintf("%s: %s is another's operationId", op, op.OperationID))
		}
		ids[op.OperationID] = true
		for _, tag := range op.Tags {
			tags[tag] = true
		}
	}
	for _, tag := range spec.Tags {
		if !tags[tag.Name] {
			all = append(all, "nothing is under the tag "+tag.Name)
		}
	}
	return all
}

func TestContracts(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"admin.yaml", "dashboard.yaml", "node.yaml"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, complaints(load(t, path)))
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, strings.ToLower(string(text)), "organiz", "organisation is written with an s")
		})
	}
}

// TestComplaints breaks each rule once.
func TestComplaints(t *testing.T) {
	t.Parallel()
	for complaint, breakIt := range map[string]func(spec *openapi3.T, op *openapi3.Operation){
		"no operationId":                  func(_ *openapi3.T, op *openapi3.Operation) { op.OperationID = "" },
		"another's operationId":           func(_ *openapi3.T, op *openapi3.Operation) { op.OperationID = "createUser" },
		"the summary is no title":         func(_ *openapi3.T, op *openapi3.Operation) { op.Summary = "" },
		"the description is no sentence":  func(_ *openapi3.T, op *openapi3.Operation) { op.Description = "" },
		"not under one tag":               func(_ *openapi3.T, op *openapi3.Operation) { op.Tags = []string{"Nothing"} },
		"secured, and no 401 or 403": func(_ *openapi3.T, op *openapi3.Operation) {
			op.Responses.Delete("401")
			op.Responses.Delete("403")
		},
		"nothing is under the tag Import": func(spec *openapi3.T, _ *openapi3.Operation) { deletePaths(spec, "import") },
		"parameter userId lacks":          func(_ *openapi3.T, op *openapi3.Operation) { op.Parameters[0].Value.Example = nil },
		"request body application/json": func(_ *openapi3.T, op *openapi3.Operation) {
			op.RequestBody.Value.Content["application/json"].Example = nil
		},
		"404 application/json lacks": func(_ *openapi3.T, op *openapi3.Operation) { mediaType(op, "404").Examples = nil },
		"200 application/json lacks": func(_ *openapi3.T, op *openapi3.Operation) { mediaType(op, "200").Example = "unnamed" },
		"404 lacks a description":    func(_ *openapi3.T, op *openapi3.Operation) { *op.Responses.Value("404").Value.Description = "" },
		"it is declared without": func(spec *openapi3.T, _ *openapi3.Operation) {
			spec.Paths.Set("/admin/x/", spec.Paths.Value("/admin/hello"))
		},
	} {
		t.Run(complaint, func(t *testing.T) {
			t.Parallel()
			spec := load(t, "admin.yaml")
			breakIt(spec, spec.Paths.Value("/admin/users/{userId}").Put)
			require.Contains(t, strings.Join(complaints(spec), "\n"), complaint)
		})
	}
}

func mediaType(op *openapi3.Operation, status string) *openapi3.MediaType {
	return op.Responses.Value(status).Value.Content.Get("application/json")
}

func deletePaths(spec *openapi3.T, containing string) {
	for path := range spec.Paths.Map() {
		if strings.Contains(path, containing) {
			spec.Paths.Delete(path)
		}
	}
}
