package e2e_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/semver"

	"gatehouse/internal/testprogram"
)

// previousCommit returns the commit of the release before, from e2e/testdata/previous-release.
func previousCommit(t *testing.T) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(readFile(t, filepath.Join("testdata", "previous-release"))), "\n")
	commit := lines[len(lines)-1]
	require.Regexp(t, `^[0-9a-f]{40}$`, commit)
	return commit
}

// git runs git in the repository, whose history has to have the release before.
func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testprogram.Need(t, "git"), args...)
	cmd.Dir = repository
	output, err := cmd.Output()
	if err != nil {
		testprogram.Missing(t, "the history of the repository (git fetch --unshallow): git "+strings.Join(args, " "))
	}
	return string(output)
}

// changelogSection is a release in CHANGELOG.md.
type changelogSection struct{ version, date, text string }

func changelog(t *testing.T) (sections []changelogSection) {
	t.Helper()
	heading := regexp.MustCompile(`^\[([^\]]+)\](?: - (\S+))?$`)
	for _, part := range strings.Split(readFile(t, filepath.Join(repository, "CHANGELOG.md")), "\n## ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		match := heading.FindStringSubmatch(title)
		require.NotNil(t, match, "the heading %q is neither [Unreleased] nor [1.2.3] - 2026-11-26", title)
		sections = append(sections, changelogSection{match[1], match[2], text})
	}
	return sections
}

// TestChangelog checks the form of CHANGELOG.md: that of Keep a Changelog, with a section for each tag.
func TestChangelog(t *testing.T) {
	t.Parallel()
	sections := changelog(t)
	require.NotEmpty(t, sections)
	require.Equal(t, changelogSection{"Unreleased", "", sections[0].text}, sections[0])
	var released []string
	for _, each := range sections[1:] {
		version := "v" + each.version
		require.True(t, semver.IsValid(version), each.version)
		require.Regexp(t, `^\d{4}-\d{2}-\d{2}$`, each.date, each.version)
		if len(released) > 0 {
			require.Negative(t, semver.Compare(version, released[len(released)-1]), "%s is not before the one above", version)
		}
		released = append(released, version)
	}
	for _, each := range sections {
		kinds := strings.Split("\n"+each.text, "\n### ")
		for _, kind := range kinds[1:] {
			name, entries, _ := strings.Cut(kind, "\n")
			require.Contains(t, []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, name, each.version)
			require.Regexp(t, `(?s)^\n- `, entries, "%s, %s has no entry", each.version, name)
		}
	}
	for tag := range strings.FieldsSeq(git(t, "tag", "--list", "v[0-9]*", "--merged", "HEAD")) {
		require.Contains(t, released, tag, "CHANGELOG.md has no section for the tag")
	}
}

// named finds what is promised to users (docs/versioning.md) in a file of the documentation, which other tests compare
// with the program.
var named = map[string]*regexp.Regexp{
	"docs/operations.md": regexp.MustCompile("(?m)^\\| `((?:GET|PUT|POST|PATCH|DELETE) [^`]+)`"),
	"README.md":          regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\|"),
}

// TestChangelogNamesEverything finds each operation, setting, command and migration that has come or gone since the
// release before in the section that is not released yet, or in that of the release itself.
func TestChangelogNamesEverything(t *testing.T) {
	t.Parallel()
	before := previousCommit(t)
	latest := changelog(t)[0].text
	if tag := strings.TrimSpace(git(t, "tag", "--list", "v[0-9]*", "--points-at", "HEAD")); tag != "" {
		latest = changelog(t)[1].text
	}
	for path, pattern := range named {
		then := names(pattern, git(t, "show", before+":"+path))
		now := names(pattern, readFile(t, filepath.Join(repository, path)))
		require.NotEmpty(t, then, path)
		requireNamed(t, latest, then, now)
	}
	command := regexp.MustCompile(`(?m)^docs/reference/(gatehouse[\w-]*)\.md$`)
	migration := regexp.MustCompile(`(?m)^(migrations/(?:contract/)?\d+\w*\.sql)$`)
	for _, pattern := range []*regexp.Regexp{command, migration} {
		then := names(pattern, git(t, "ls-tree", "-r", "--name-only", before))
		require.NotEmpty(t, then, pattern)
		requireNamed(t, latest, then, names(pattern, git(t, "ls-files", "--cached", "--others", "--exclude-standard")))
	}
}

// names returns what a pattern finds in a text, as the changelog writes it.
func names(pattern *regexp.Regexp, text string) (found []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		name := match[1]
		if strings.HasPrefix(name, "gatehouse") {
			name = strings.ReplaceAll(name, "_", " ") // gatehouse_config_check is a command of two words
		}
		found = append(found, name)
	}
	return found
}

func requireNamed(t *testing.T, text string, then, now []string) {
	t.Helper()
	text = strings.Join(strings.Fields(text), " ")
	for _, name := range slices.Concat(then, now) {
		if slices.Contains(then, name) == slices.Contains(now, name) {
			continue
		}
		if words := strings.Fields(name); len(words) > 2 && words[0] == "gatehouse" {
			name = strings.Join(words[:2], " ") // the entry of a command is for those below it, too
		}
		inText := regexp.MustCompile("`" + regexp.QuoteMeta(name) + "[` =]")
		if !inText.MatchString(text) {
			t.Errorf("CHANGELOG.md does not name `%s`, which has come or gone since the release before", name)
		}
	}
}
