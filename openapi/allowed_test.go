package openapi_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowance is a file that explains breaking changes: each line that is not a comment is a regular expression.
type allowance struct {
	path  string
	lines []*allowedLine
}

type allowedLine struct {
	text    string
	matches *regexp.Regexp
	used    bool
}

func readAllowance(t *testing.T, path string) *allowance {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	a := &allowance{path: path}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			a.lines = append(a.lines, &allowedLine{text: line, matches: regexp.MustCompile("^" + line)})
		}
	}
	return a
}

// unexplained returns the changes that no line matches.
func (a *allowance) unexplained(changes []string) []string {
	return slices.DeleteFunc(slices.Clone(changes), func(change string) bool {
		explained := false
		for _, line := range a.lines {
			if line.matches.MatchString(change) {
				line.used, explained = true, true
			}
		}
		return explained
	})
}

// unused returns the lines that have matched no change.
func (a *allowance) unused() []string {
	var unused []string
	for _, line := range a.lines {
		if !line.used {
			unused = append(unused, line.text)
		}
	}
	return unused
}
