package docspage_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

// TestSwaggerUIIsThatOfItsPackage compares the embedded files with those of the npm package that
// package-lock.json pins. server/docs_test.go tests how they are served.
func TestSwaggerUIIsThatOfItsPackage(t *testing.T) {
	t.Parallel()
	npm := testprogram.Need(t, "npm")
	const committed = "swagger-ui"
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), read(t, filepath.Join(committed, name)), 0o600))
	}
	install := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	output, err := install.CombinedOutput()
	require.NoError(t, err, "%s", output)
	original := func(name string) []byte { return read(t, filepath.Join(dir, "node_modules/swagger-ui-dist", name)) }
	for _, name := range []string{"swagger-ui-bundle.js", "swagger-ui.css"} {
		unzipped, err := gzip.NewReader(bytes.NewReader(read(t, filepath.Join(committed, name+".gz"))))
		require.NoError(t, err)
		content, err := io.ReadAll(unzipped)
		require.NoError(t, err)
		require.True(t, bytes.Equal(original(name), content), "%s differs: run swagger-ui/update.sh", name)
	}
	for _, name := range []string{"LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"} {
		require.Equal(t, string(original(name)), string(read(t, filepath.Join(committed, name))), "run swagger-ui/update.sh")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}
