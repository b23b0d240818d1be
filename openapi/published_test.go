package openapi_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// alsoBreaking lists checks that oasdiff does not consider breaking, but after which admin.yaml would no longer be a
// superset of the published contract. The format is that of oasdiff's --severity-levels.
const alsoBreaking = `api-operation-id-removed err
response-non-success-status-removed err
response-optional-property-removed err
`

// published returns the path of the published contract of the admin API, which is not part of this repository. Without
// it, the test is skipped, or fails in CI.
func published(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PUBLISHED_CONTRACT")
	if path == "" {
		const reason = "needs the published contract (PUBLISHED_CONTRACT)"
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip("SKIPPED: " + reason)
	}
	return path
}

// TestSuperset checks that clients of the published contract work with admin.yaml, except for the differences that
// breaking-allowed.txt explains.
func TestSuperset(t *testing.T) {
	t.Parallel()
	unneeded := allowed(t)
	var unexplained []string
	for _, change := range breaking(t, published(t), "admin.yaml") {
		explained := false
		for line, is := range allowed(t) {
			if is.MatchString(change) {
				explained = true
				delete(unneeded, line)
			}
		}
		if !explained {
			unexplained = append(unexplained, change)
		}
	}
	require.Empty(t, unexplained, "these changes break the published contract; breaking-allowed.txt does not explain them")
	require.Empty(t, slices.Collect(maps.Keys(unneeded)), "breaking-allowed.txt has lines that no change needs")
}

// breaking lists the breaking changes between two contracts that oasdiff reports, in the format of
// breaking-allowed.txt.
func breaking(t *testing.T, from, to string) []string {
	t.Helper()
	levels := filepath.Join(t.TempDir(), "levels")
	require.NoError(t, os.WriteFile(levels, []byte(alsoBreaking), 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "tool", "oasdiff", "breaking", "--format", "json",
		"--severity-levels", levels, from, to)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var changes []struct{ ID, Operation, Path, Text string }
	require.NoError(t, json.Unmarshal(out, &changes), "%s", out)
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = strings.Join([]string{c.ID, c.Operation, c.Path, c.Text}, " ")
	}
	return all
}

// allowed returns the lines of breaking-allowed.txt, each with its regular expression.
func allowed(t *testing.T) map[string]*regexp.Regexp {
	t.Helper()
	text, err := os.ReadFile("breaking-allowed.txt")
	require.NoError(t, err)
	lines := map[string]*regexp.Regexp{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines[line] = regexp.MustCompile("^" + line)
		}
	}
	return lines
}

// TestOwnOperationsAreMarked checks that exactly the operations that are not in the published contract have
// x-gatehouse.
func TestOwnOperationsAreMarked(t *testing.T) {
	t.Parallel()
	original := load(t, published(t))
	for _, op := range operations(load(t, "admin.yaml")) {
		item := original.Paths.Value(op.path)
		own := item == nil || item.GetOperation(op.method) == nil
		require.Equal(t, own, op.Extensions["x-gatehouse"] == true, "x-gatehouse of %s", op)
	}
}

// TestSupersetNotices removes parts of the published contract from admin.yaml, each of which has to be reported.
func TestSupersetNotices(t *testing.T) {
	t.Parallel()
	base := published(t)
	before := breaking(t, base, "admin.yaml")
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
			spec := load(t, "admin.yaml")
			breakIt(spec)
			text, err := spec.MarshalJSON()
			require.NoError(t, err)
			less := filepath.Join(t.TempDir(), "less.json")
			require.NoError(t, os.WriteFile(less, text, 0o600))
			require.True(t, slices.ContainsFunc(breaking(t, base, less), reported), "not reported")
		})
	}
}
