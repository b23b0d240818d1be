package e2e_test

import (
	"go/parser"
	"go/token"
	"io/fs"
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
			name := entry.Name()
			built := name == "bin" || name == "dist"
			if entry.IsDir() && !strings.HasPrefix(name, ".") && !built {
				want = append(want, filepath.Join(parent, name))
			}
		}
	}
	slices.Sort(want)
	require.Equal(t, want, listed)
}

// TestNeededProgramsAreInstalled finds each program that a test needs among those that make programs-to-test and
// .ci/run install. CI would fail for others, and elsewhere the test would be skipped for everybody who has no such
// program.
func TestNeededProgramsAreInstalled(t *testing.T) {
	t.Parallel()
	// bash and sh run the scripts, node comes with npm, and unshare is in a package that each Debian has.
	installed := []string{"bash", "go", "node", "sh", "unshare"}
	for file, list := range map[string]string{
		"Makefile": `internal/install\.sh (postgres redis-server [a-z -]+)`, ".ci/run": `for package in ([a-z0-9 -]+); do`,
	} {
		match := regexp.MustCompile(list).FindStringSubmatch(readFile(t, filepath.Join(repository, file)))
		require.NotNil(t, match, file)
		installed = append(installed, strings.Fields(match[1])...)
	}
	installed = append(installed, "npm", "chromium-headless-shell") // in both files, by conditions
	for _, tool := range regexp.MustCompile(`(?m)^\t\S+/(\S+)$`).FindAllStringSubmatch(
		readFile(t, filepath.Join(repository, ".ci", "go.mod")), -1) {
		installed = append(installed, tool[1]) // which .ci/run builds
	}
	needed := regexp.MustCompile(`testprogram\.Need\(\w+, "([^"]+)"`)
	found := 0
	require.NoError(t, filepath.WalkDir(repository, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, match := range needed.FindAllStringSubmatch(readFile(t, path), -1) {
			found++
			require.Contains(t, installed, match[1], path)
		}
		return nil
	}))
	require.Greater(t, found, 10)
}

// TestSkipsAreNamed: a test that needs something says so by testprogram, which fails in CI.
func TestSkipsAreNamed(t *testing.T) {
	t.Parallel()
	skips := regexp.MustCompile(`\b[tbf]\.Skip(f|Now)?\(|testing\.Short\(`)
	require.NoError(t, filepath.WalkDir(repository, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") ||
			strings.HasPrefix(path, filepath.Join(repository, "internal", "testprogram")) {
			return err
		}
		require.Empty(t, skips.FindString(readFile(t, path)), "%s: use testprogram.Missing", path)
		return nil
	}))
}

// TestSecurityGuide: each promise of docs/security.md names the tests of it, which must exist.
func TestSecurityGuide(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	require.NoError(t, filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range declaration.FindAllStringSubmatch(readFile(t, path), -1) {
			declared[m[1]] = true
		}
		return nil
	}))
	guide := readFile(t, filepath.Join(repository, "docs", "security.md"))
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(guide, -1)
	require.Greater(t, len(named), 100)
	for _, m := range named {
		require.True(t, declared[m[1]], "docs/security.md names %s, which does not exist", m[1])
	}
	for _, heading := range []string{"API1:", "API2:", "API3:", "API4:", "API5:", "API6:", "API7:", "API8:", "API9:", "API10:"} {
		require.Contains(t, guide, "\n### "+heading+"2023 ")
	}
}

// TestGoFilesInTheRoot keeps the root readable: code lives in the directories.
func TestGoFilesInTheRoot(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, "*.go"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(repository, "generate.go"), filepath.Join(repository, "main.go")}, files)
}
