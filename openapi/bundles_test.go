package openapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/openapi/lint"
)

// externalRules are Spectral's own rules for OpenAPI. Two of them take schemas that describe OpenAPI documents, which
// have properties named $ref and value, for references and examples.
const externalRules = `
extends: [[spectral:oas, recommended]]
rules: {info-contact: off, no-$ref-siblings: off, oas3-valid-media-example: off}
`

// TestBundlesInOtherPrograms loads the bundles as users do, with programs that know nothing of this repository.
func TestBundlesInOtherPrograms(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../gen/bundle/*.yaml")
	require.NoError(t, err)
	require.Len(t, paths, 2)
	for _, path := range paths {
		spec, err := openapi3.NewLoader().LoadFromFile(path) // which refuses references to other files
		require.NoError(t, err)
		require.NoError(t, spec.Validate(t.Context(), openapi3.EnableExamplesValidation()))
	}
	spectral := testprogram.Need(t, lint.Spectral)
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(rules, []byte(externalRules), 0o600))
	args := append([]string{"lint", "--ruleset", rules, "--fail-severity", "warn"}, paths...)
	output, err := exec.CommandContext(t.Context(), spectral, args...).CombinedOutput()
	require.NoError(t, err, "%s", output)
}
