package openapi_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oasdiff/oasdiff/load"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/contractdiff"
	"gatehouse/internal/testprogram"
)

// TestBreaksNoEarlierVersion compares each contract with itself at the merge base with main and at the last tag. What
// breaks clients has to be in breaking-allowed.txt.
func TestBreaksNoEarlierVersion(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "git")
	found, err := earlierRevisions(t.Context(), ".")
	if err != nil {
		testprogram.Missing(t, err.Error())
	}
	t.Logf("compared with %+v", found)
	allowed := readAllowance(t, "breaking-allowed.txt")
	for _, revision := range found.commits() {
		for _, file := range contracts {
			unexplained := allowed.unexplained(breaksSince(t, revision, file))
			assert.Empty(t, unexplained, "%s does not explain these changes since %s", allowed.path, revision)
		}
	}
	if found.tag != "" {
		assert.Empty(t, allowed.unused(), "%s has lines that match no change since %s", allowed.path, found.tag)
	}
}

// breaksSince lists the breaking changes of a contract since a revision, each after the name of the file. A contract
// that the revision does not have has none.
func breaksSince(t *testing.T, revision, file string) []string {
	t.Helper()
	before, err := contractdiff.Load(revision + ":openapi/" + file)
	if errors.Is(err, load.ErrPathNotInRef) {
		return nil
	}
	require.NoError(t, err)
	var lines []string
	for _, change := range breaking(t, before, loadContract(t, file)) {
		lines = append(lines, file+" "+change)
	}
	return lines
}

// revisions are what a working tree is compared with. Either is empty if there is none.
type revisions struct {
	// base is where the branch left main. For main itself, it is the commit before.
	base string
	// tag is the last release before the commit that is checked out.
	tag string
}

func (r revisions) commits() []string {
	var commits []string
	for _, commit := range []string{r.base, r.tag} {
		if commit != "" {
			commits = append(commits, commit)
		}
	}
	return commits
}

// earlierRevisions returns the revisions to compare the repository in dir with. The error says what is missing in order
// to find them.
func earlierRevisions(ctx context.Context, dir string) (revisions, error) {
	shallow, err := git(ctx, dir, "rev-parse", "--is-shallow-repository")
	switch {
	case err != nil:
		return revisions{}, fmt.Errorf("a clone of the Git repository (%w)", err)
	case shallow == "true":
		return revisions{}, errors.New("the history: this clone is shallow, run git fetch --unshallow --tags")
	}
	parent, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "HEAD^")
	if err != nil {
		return revisions{}, nil //nolint:nilerr // the first commit has nothing before it
	}
	mainBranch, err := firstRevision(ctx, dir, "origin/main", "main")
	if err != nil {
		return revisions{}, err
	}
	found := revisions{}
	if found.base, err = git(ctx, dir, "merge-base", "HEAD", mainBranch); err != nil {
		return revisions{}, fmt.Errorf("a history in common with %s (%w)", mainBranch, err)
	}
	if head, err := git(ctx, dir, "rev-parse", "HEAD"); err == nil && found.base == head {
		found.base = parent
	}
	found.tag, _ = git(ctx, dir, "describe", "--tags", "--abbrev=0", parent) // an error says that there is none
	return found, nil
}

func firstRevision(ctx context.Context, dir string, names ...string) (string, error) {
	for _, name := range names {
		if _, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", name+"^{commit}"); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("one of the branches %s", strings.Join(names, ", "))
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	output, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	text := strings.TrimSpace(string(output))
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, text)
	}
	return text, nil
}

func TestEarlierRevisions(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "git")
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		output, err := git(t.Context(), dir, append([]string{"-c", "user.name=n", "-c", "user.email=e"}, args...)...)
		require.NoError(t, err)
		return output
	}
	commit := func() string {
		t.Helper()
		run("commit", "--quiet", "--allow-empty", "--message", "m")
		return run("rev-parse", "HEAD")
	}
	expect := func(expected revisions) {
		t.Helper()
		found, err := earlierRevisions(t.Context(), dir)
		require.NoError(t, err)
		require.Equal(t, expected, found)
	}
	_, err := earlierRevisions(t.Context(), dir)
	require.ErrorContains(t, err, "a clone of the Git repository")

	run("init", "--quiet", "--initial-branch", "main")
	first := commit()
	expect(revisions{})
	second := commit()
	expect(revisions{base: first})
	run("tag", "v1")
	expect(revisions{base: first}) // the release itself is compared with what was before
	third := commit()
	expect(revisions{base: second, tag: "v1"})
	run("switch", "--quiet", "--create", "feature")
	commit()
	commit()
	expect(revisions{base: third, tag: "v1"})
	run("branch", "--quiet", "--delete", "--force", "main")
	_, err = earlierRevisions(t.Context(), dir)
	require.EqualError(t, err, "one of the branches origin/main, main")

	clone := filepath.Join(t.TempDir(), "clone")
	run("clone", "--quiet", "--depth", "1", "file://"+dir, clone)
	_, err = earlierRevisions(t.Context(), clone)
	require.ErrorContains(t, err, "this clone is shallow")
}
