package openapi_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAbsentOperationsAreListed compares docs/behaviour.md with the published contracts: each operation of /api that
// dashboard.yaml lacks is in the list, with a reason, and no other is.
func TestAbsentOperationsAreListed(t *testing.T) {
	t.Parallel()
	name := func(op operation) string {
		return strings.ToUpper(op.method) + " " + pathParameter.ReplaceAllString(op.path, "{}")
	}
	present := map[string]bool{}
	for _, op := range operations(loadContract(t, "dashboard.yaml")) {
		present[name(op)] = true
	}
	listed := absentOperations(t)
	published := map[string]bool{}
	for _, version := range []string{"5.11", "5.13"} {
		for _, op := range operations(loadPublished(t, "dashboard", version)) {
			id := name(op)
			published[id] = true
			if !present[id] && !listed[id] {
				t.Errorf("docs/behaviour.md does not say why %s is not there", op)
			}
		}
	}
	for id := range listed {
		assert.True(t, published[id], "docs/behaviour.md lists %s, which no contract has", id)
		assert.False(t, present[id], "docs/behaviour.md lists %s, which is there", id)
	}
}

// absentOperations returns the operations that docs/behaviour.md lists as not there. Each row of its table has a
// reason.
func absentOperations(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/behaviour.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Operations that are not there\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| (`[A-Z]+ /[^|]*) \\| ([^|]+) \\|$")
	operation := regexp.MustCompile("`([A-Z]+) ([^`]+)`")
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		require.NotEmpty(t, strings.TrimSpace(m[2]))
		for _, op := range operation.FindAllStringSubmatch(m[1], -1) {
			id := op[1] + " " + pathParameter.ReplaceAllString(op[2], "{}")
			require.False(t, listed[id], "%s is listed twice", id)
			listed[id] = true
		}
	}
	require.NotEmpty(t, listed)
	return listed
}
