package openapi_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/contractdiff"
)

// publishedVersions are those of which published/ has skeletons.
var publishedVersions = []string{"5.8", "5.11", "5.13"}

// loadPublished loads the skeleton of a published contract: dashboard-admin is /admin, dashboard is /api.
func loadPublished(t *testing.T, name, version string) *openapi3.T {
	t.Helper()
	return loadContract(t, fmt.Sprintf("published/%s-%s.yml", name, version))
}

func loadContract(t *testing.T, source string) *openapi3.T {
	t.Helper()
	spec, err := contractdiff.Load(source)
	require.NoError(t, err)
	return spec
}

// breaking lists the breaking changes from one contract to another.
func breaking(t *testing.T, before, after *openapi3.T) []string {
	t.Helper()
	changes, err := contractdiff.Compare(before, after)
	require.NoError(t, err)
	var lines []string
	for _, change := range changes {
		if change.Breaking {
			lines = append(lines, change.String())
		}
	}
	return lines
}

// TestAdminIsSuperset checks that clients of each published contract of /admin work with admin.yaml, except for the
// differences that published/admin-differences.txt explains.
func TestAdminIsSuperset(t *testing.T) {
	t.Parallel()
	admin := loadContract(t, "admin.yaml")
	allowed := readAllowance(t, "published/admin-differences.txt")
	for _, version := range publishedVersions {
		unexplained := allowed.unexplained(breaking(t, loadPublished(t, "dashboard-admin", version), admin))
		assert.Empty(t, unexplained, "%s does not explain these differences from %s", allowed.path, version)
	}
	assert.Empty(t, allowed.unused(), "%s has lines that match no difference", allowed.path)
}

// TestDashboardKeepsPublished checks the same of the operations of /api that dashboard.yaml has.
func TestDashboardKeepsPublished(t *testing.T) {
	t.Parallel()
	dashboard := loadContract(t, "dashboard.yaml")
	allowed := readAllowance(t, "published/dashboard-differences.txt")
	for _, version := range publishedVersions {
		base := loadPublished(t, "dashboard", version)
		require.NotZero(t, keepOperations(base, dashboard))
		unexplained := allowed.unexplained(breaking(t, base, dashboard))
		assert.Empty(t, unexplained, "%s does not explain these differences from %s", allowed.path, version)
	}
	assert.Empty(t, allowed.unused(), "%s has lines that match no difference", allowed.path)
}

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// keepOperations removes the operations from spec that other does not have, whatever their path parameters are called,
// and returns the number of operations that are left.
func keepOperations(spec, other *openapi3.T) int {
	key := func(op operation) string { return op.method + pathParameter.ReplaceAllString(op.path, "{}") }
	wanted := map[string]bool{}
	for _, op := range operations(other) {
		wanted[key(op)] = true
	}
	left := 0
	for _, op := range operations(spec) {
		if wanted[key(op)] {
			left++
			continue
		}
		item := spec.Paths.Value(op.path)
		item.SetOperation(op.method, nil)
		if len(item.Operations()) == 0 {
			spec.Paths.Delete(op.path)
		}
	}
	return left
}

// TestOwnOperationsAreMarked checks that exactly the operations that are in no published contract have x-gatehouse.
func TestOwnOperationsAreMarked(t *testing.T) {
	t.Parallel()
	isPublished := map[string]bool{}
	for _, version := range publishedVersions {
		for _, op := range operations(loadPublished(t, "dashboard-admin", version)) {
			isPublished[op.String()] = true
		}
	}
	for _, op := range operations(loadContract(t, "admin.yaml")) {
		require.Equal(t, !isPublished[op.String()], op.Extensions["x-gatehouse"] == true, "x-gatehouse of %s", op)
	}
}

// TestSupersetNotices removes parts of the published contract from admin.yaml, each of which has to be reported.
func TestSupersetNotices(t *testing.T) {
	t.Parallel()
	base := loadPublished(t, "dashboard-admin", "5.11")
	before := breaking(t, base, loadContract(t, "admin.yaml"))
	for report, breakIt := range map[string]func(*openapi3.T){
		"api-path-removed": func(spec *openapi3.T) { spec.Paths.Delete("/admin/system/reload") },
		"api-removed":      func(spec *openapi3.T) { spec.Paths.Value("/admin/organisations").Post = nil },
		"api-operation-id-removed PUT /admin/users/{userId}": func(spec *openapi3.T) {
			spec.Paths.Value("/admin/users/{userId}").Put.OperationID = "changeUser"
		},
		"request-parameter-removed DELETE /admin/oauth/tokens": func(spec *openapi3.T) {
			spec.Paths.Value("/admin/oauth/tokens").Delete.Parameters = nil
		},
		"response-success-status-removed GET /admin/organisations": func(spec *openapi3.T) {
			spec.Paths.Value("/admin/organisations").Get.Responses.Delete("200")
		},
		"response-non-success-status-removed PUT /admin/users/{userId}": func(spec *openapi3.T) {
			spec.Paths.Value("/admin/users/{userId}").Put.Responses.Delete("404")
		},
		"response-optional-property-removed GET /admin/users/{userId}": func(spec *openapi3.T) {
			delete(spec.Components.Schemas["User"].Value.Properties, "first_name")
		},
		"removed the request property `password_max_days`": func(spec *openapi3.T) {
			delete(spec.Components.Schemas["UserRequest"].Value.Properties, "password_max_days")
		},
		"request-property-type-changed PUT /admin/users/{userId}": func(spec *openapi3.T) {
			spec.Components.Schemas["UserRequest"].Value.Properties["active"].Value.Type = &openapi3.Types{"string"}
		},
		"new-required-request-property": func(spec *openapi3.T) {
			spec.Components.Schemas["SSOAccessData"].Value.Required = []string{"Realm"}
			spec.Components.Schemas["SSOAccessData"].Value.Properties["Realm"] = openapi3.NewSchemaRef("", openapi3.NewStringSchema())
		},
	} {
		t.Run(report, func(t *testing.T) {
			t.Parallel()
			reported := func(change string) bool { return strings.Contains(change, report) }
			require.False(t, slices.ContainsFunc(before, reported), "reported although nothing was removed")
			spec := loadContract(t, "admin.yaml")
			breakIt(spec)
			require.True(t, slices.ContainsFunc(breaking(t, base, spec), reported), "not reported")
		})
	}
}
