package e2e_test

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMapOfTheRepository compares the list of directories in the package comment of main.go with the repository.
func TestMapOfTheRepository(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repository, "main.go"), nil, parser.ParseComments)
	require.NoError(t, err)
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\t( *)([a-z0-9]+)/? `).FindAllStringSubmatch(file.Doc.Text(), -1) {
		if m[1] == "" {
			listed = append(listed, m[2])
		} else {
			listed = append(listed, "internal/"+m[2])
		}
	}
	slices.Sort(listed)

	var want []string
	for _, parent := range []string{"", "internal"} {
		entries, err := os.ReadDir(filepath.Join(repository, parent))
		require.NoError(t, err)
		for _, entry := range entries {
			if name := entry.Name(); entry.IsDir() && !strings.HasPrefix(name, ".") && name != "bin" {
				want = append(want, filepath.Join(parent, name))
			}
		}
	}
	slices.Sort(want)
	require.Equal(t, want, listed)
}

// TestGoFilesInTheRoot keeps the root readable: code lives in the directories.
func TestGoFilesInTheRoot(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, "*.go"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(repository, "generate.go"), filepath.Join(repository, "main.go")}, files)
}
