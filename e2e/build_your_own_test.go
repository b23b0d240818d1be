package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testport"
	"gatehouse/internal/testprogram"
)

// newModuleFolder returns an empty folder for new modules, which the account of a private Postgres can pass through.
func newModuleFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-") //nolint:usetesting // the account of Postgres has to reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}

// serveInGuide is what a guide shows for `make serve` in another terminal, and serveInTest is what its test does
// instead: it stops the server that runs, if one does, and waits until the new one listens.
var serveInGuide = regexp.MustCompile("(?m)^```console\n\\$ make serve\n(?:.*\n)*?```$")

const serveInTest = "```sh\n" + `[ -z "$server" ] || { kill $server; wait $server; }
: >../log
make build
bin/shelf >../log 2>&1 &
server=$!
until grep -q msg=listening ../log; do kill -0 $server || { cat ../log; exit 1; }; sleep 0.1; done` + "\n```"

// guideTime limits the walk through the guide, which compiles ten times; it takes a minute on two busy cores.
const guideTime = 10 * time.Minute

// TestBuildYourOwnGuide follows docs/build-your-own.md from an empty folder on.
func TestBuildYourOwnGuide(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	guide := readFile(t, filepath.Join(repository, "docs", "build-your-own.md"))
	require.Len(t, serveInGuide.FindAllString(guide, -1), 2)
	steps := stepsOf(serveInGuide.ReplaceAllLiteralString(guide, serveInTest))
	require.NotEmpty(t, steps)
	address, err := testport.Address()
	require.NoError(t, err)
	for i := range steps {
		steps[i].commands = strings.ReplaceAll(steps[i].commands, "127.0.0.1:8080", address)
	}
	// Commands may fail, as tests of an unfinished change do: what each prints is compared.
	setup := strings.NewReplacer("@bin", filepath.Dir(program(t)), "@dir", newModuleFolder(t), "@address", address).Replace(`
cd @dir || exit
unset DATABASE_URL DATA_DIR BIN MAKEFLAGS MAKELEVEL
export LISTEN=@address PATH=@bin:$PATH
server=
trap '[ -z "$server" ] || { kill $server; wait $server || cat @dir/log; }' EXIT
`)
	outputs, rest, err := runStepsWithin(t, guideTime, setup, steps)
	for i, output := range outputs {
		if !guidePattern(steps[i].output).MatchString(output) {
			t.Errorf("the guide shows:\n%s\n\nfor the commands:\n%s\nwhich print:\n%s", steps[i].output, steps[i].commands, output)
		}
	}
	require.Len(t, outputs, len(steps), rest)
	require.NoError(t, err, rest)
	require.Empty(t, rest, "the server stops without an error")
}

// guidePattern matches an output in which … stands for any text. Spaces are not compared: the tables of go test have
// tabs.
func guidePattern(output string) *regexp.Regexp {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(output), "…", `.+`)
	return regexp.MustCompile(`(?s)^\s*` + strings.Join(strings.Fields(pattern), `\s+`) + `\s*$`)
}

// TestNewModule makes a module with a path of several parts, and a relative path to the repository. Its go.mod is tidy,
// and it passes its own checks.
func TestNewModule(t *testing.T) {
	t.Parallel()
	address, err := testport.Address()
	require.NoError(t, err)
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	dir := newModuleFolder(t)
	toRoot, err := filepath.Rel(dir, root)
	require.NoError(t, err)
	script := fmt.Sprintf(`set -eu
unset DATABASE_URL
"%s" contract new services/shop --module example.com/shop/v2 --gatehouse "%s"
cd services/shop
go mod tidy -diff
test -z "$(gofmt -l .)"
"$OLDPWD/program" contract lint --strict openapi/api.yaml
.ci/run`, program(t), toRoot)
	require.NoError(t, os.Symlink(program(t), filepath.Join(dir, "program")))
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LISTEN="+address)
	printed, err := cmd.CombinedOutput()
	require.NoError(t, err, string(printed))
	require.Contains(t, string(printed), "20 as documented, 0 not")
	require.Contains(t, string(printed), "20 of 27 outcomes driven, 5 need a fault")
	require.Contains(t, readFile(t, filepath.Join(dir, "services/shop/go.mod")), "replace gatehouse => ../../"+toRoot+"\n")
}
