package server

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/openapi/lint"
)

// TestExtensionsOfLintAndServer: the server must start with each x- key that the checker of the contracts allows, and
// the checker must know each one that the server reads.
func TestExtensionsOfLintAndServer(t *testing.T) {
	t.Parallel()
	require.Equal(t, lint.Extensions(), contractRules.KnownExtensions())
}
