package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/postgres"
	"gatehouse/store"
)

// previousProgram builds the program of the release before, from the history of the repository.
func previousProgram(t *testing.T) string {
	t.Helper()
	dir := newDir(t)
	archive := filepath.Join(dir, "source.tar")
	require.NoError(t, os.WriteFile(archive, []byte(git(t, "archive", previousCommit(t))), 0o600))
	source := filepath.Join(dir, "source")
	require.NoError(t, os.Mkdir(source, 0o700))
	output, err := exec.CommandContext(t.Context(), "tar", "-x", "-C", source, "-f", archive).CombinedOutput()
	require.NoError(t, err, "%s", output)
	path := filepath.Join(dir, "gatehouse")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".")
	build.Dir = source
	output, err = build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return path
}

// upgradeGuide is docs/upgrading.md, and the installation that its reader has.
type upgradeGuide struct {
	t        *testing.T
	sections map[string][]step
	// bin has the installed program, as gatehouse.
	bin string
	dir string // working directory of the reader
}

func newUpgradeGuide(t *testing.T) *upgradeGuide {
	t.Helper()
	g := &upgradeGuide{t: t, sections: map[string][]step{}, bin: newDir(t), dir: newDir(t)}
	text := readFile(t, filepath.Join(repository, "docs", "upgrading.md"))
	for _, part := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		g.sections[title] = stepsOf(body)
	}
	return g
}

// install makes a program the one that is installed.
func (g *upgradeGuide) install(program string) {
	g.t.Helper()
	link := filepath.Join(g.bin, "gatehouse")
	require.NoError(g.t, os.RemoveAll(link))
	require.NoError(g.t, os.Symlink(program, link))
}

// serve starts the installed server.
func (g *upgradeGuide) serve(s *server) {
	g.t.Helper()
	cmd := exec.Command(filepath.Join(g.bin, "gatehouse"), "serve")
	cmd.Env = s.command().Env
	s.launchAs(cmd)
	s.waitStarted()
}

// walk runs the steps of a section, with the settings of the server.
func (g *upgradeGuide) walk(s *server, section string) {
	g.t.Helper()
	steps := g.sections[section]
	require.NotEmpty(g.t, steps, section)
	setup := fmt.Sprintf("set -eu\ncd %s\nexport PATH=%s:$PATH GATEHOUSE_DATA_DIR=%s GATEHOUSE_LISTEN=%s\n",
		g.dir, g.bin, s.dir, s.address)
	outputs, rest, err := runSteps(g.t, setup, steps)
	require.NoError(g.t, err, "%s%s", outputs, rest)
	requireOutputs(g.t, steps, outputs)
}

// TestUpgradeGuide follows docs/upgrading.md: the release before makes a data directory, this one takes it over, and
// the release before gets its data back after an upgrade by a release with another schema.
func TestUpgradeGuide(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	g := newUpgradeGuide(t)
	previous := previousProgram(t)
	s := newServer(t)
	g.install(previous)
	g.serve(s)
	setup, walk := readmeWalk(t, s.address, s.adminSecret())
	walk = slices.DeleteFunc(walk, func(each step) bool { return strings.Contains(each.commands, "-X DELETE") })
	// The examples are of this release: that of the one before may answer in other words.
	outputs, rest, err := runSteps(t, setup, walk)
	require.NoError(t, err, "%s%s", outputs, rest)
	written := s.stored()
	require.Contains(t, written, "Tide tables")
	g.walk(s, "Back up")
	require.Zero(t, s.stop(), s.log.String())

	g.install(program(t))
	g.serve(s)
	require.Equal(t, written, s.stored(), "this release serves what the release before has stored")
	g.walk(s, "Check")
	s.newOrganisation() // and writes

	pretendNewerSchema(t, s.dir)
	require.Zero(t, s.stop(), s.log.String())
	g.install(previous)
	refused := exec.CommandContext(t.Context(), filepath.Join(g.bin, "gatehouse"), "serve")
	refused.Env = s.command().Env
	message, err := refused.CombinedOutput()
	require.Error(t, err)
	require.Regexp(t, "the database is of a newer version of (gatehouse|this program): ", string(message))
	require.Contains(t, string(message), "start a newer version of it")

	g.walk(s, "Go back")
	g.serve(s) // with the same secrets
	require.Equal(t, written, s.stored(), "the backup has what the release before has stored")
	require.Zero(t, s.stop(), s.log.String())
}

// stored returns the organisations, APIs and policies that a server has, as it exports them.
func (s *server) stored() string {
	s.t.Helper()
	var text strings.Builder
	for _, path := range []string{"/admin/organisations", "/admin/apis", "/admin/policies", "/admin/users"} {
		status, body := s.get(path, "Admin-Auth", s.adminSecret())
		require.Equal(s.t, 200, status, "%s: %s", path, body)
		text.WriteString(body + "\n")
	}
	return text.String()
}

// pretendNewerSchema makes the private Postgres of a running server one that a release with more migrations has used.
func pretendNewerSchema(t *testing.T, dataDir string) {
	t.Helper()
	connString, err := postgres.Attach(dataDir)
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), connString)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	tag, err := conn.Exec(t.Context(), `UPDATE `+store.VersionTable+` SET version = version + 1000`)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
}
