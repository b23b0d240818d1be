package console_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPermissionsAreThoseOfTheContract: the table of permissions has each object that an operation asks for.
func TestPermissionsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	known, err := loadedContract()
	require.NoError(t, err)
	var wanted, shown []string
	for op := range known.Operations() {
		if op.Permission != nil && !slices.Contains(wanted, op.Permission.Object) {
			wanted = append(wanted, op.Permission.Object)
		}
	}
	source, err := os.ReadFile("lib/permissions.js")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`\{ name: '(\w+)', title: `).FindAllSubmatch(source, -1) {
		shown = append(shown, string(m[1]))
	}
	require.ElementsMatch(t, wanted, shown)
}
