package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/store/storetest"
)

// TestWalkOnADatabase follows the README's walk on a server as containers run it: with a Postgres that is elsewhere and
// both secrets, and no other directory. .ci/nightly runs it with the programs of a release.
func TestWalkOnADatabase(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	database := storetest.NewProxy(t, storetest.Database(t)) // over TCP: a container does not have the socket
	s := newServer(t, append(fixedSecrets(), "DATABASE_URL="+database.ConnString())...)
	s.start()
	setup, steps := readmeWalk(t, s.address, testAdminSecret)
	outputs, rest, err := runSteps(t, setup, steps)
	require.NoError(t, err, rest)
	requireOutputs(t, steps, outputs)

	healthcheck := s.command("healthcheck")
	output, err := healthcheck.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Equal(t, "the server is ready\n", string(output))
	require.Zero(t, s.stop(), s.log.String())
	output, err = s.command("healthcheck").CombinedOutput()
	require.Error(t, err, "%s", output)
}

// TestVersionOfBuild compares what a program of make build says about itself with Git.
func TestVersionOfBuild(t *testing.T) {
	t.Parallel()
	if info, err := os.Stat(filepath.Join(repository, ".git")); err != nil || !info.IsDir() {
		testprogram.Missing(t, "a clone of the repository: Go records no version in a worktree, or outside of Git")
	}
	bin := newDir(t)
	build := exec.CommandContext(t.Context(), "make", "-C", repository, "build", "BIN="+bin)
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	output, err = exec.CommandContext(t.Context(), filepath.Join(bin, "gatehouse"), "version", "-o", "json").Output()
	require.NoError(t, err)
	var version struct {
		Version, Commit, Date string
		Modified              bool
	}
	require.NoError(t, json.Unmarshal(output, &version))
	require.Equal(t, strings.TrimSpace(git(t, "rev-parse", "HEAD")), version.Commit)
	require.Regexp(t, `^v\d+\.\d+\.\d+`, version.Version)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, version.Date)
	require.Equal(t, git(t, "status", "--porcelain") != "", version.Modified)
}

// TestDeployedSettingsAreKnown finds each setting that a file in deploy/ sets among those of the server.
func TestDeployedSettingsAreKnown(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, setting := range settings() {
		for _, variable := range setting.Variables {
			known[variable], known[variable+"_FILE"] = true, known[variable+"_FILE"] || strings.Contains(variable, "SECRET") ||
				strings.Contains(variable, "PASSWORD") || strings.HasSuffix(variable, "DATABASE_URL")
		}
	}
	name := regexp.MustCompile(`\b(?:(?:TYK_DB|GATEHOUSE)_[A-Z_]+[A-Z]|DATABASE_URL(?:_FILE)?)\b`)
	for path, atLeast := range map[string]int{
		"systemd/gatehouse.env": 6, "systemd/gatehouse.service": 1, "compose.yaml": 9,
		"helm/gatehouse/templates/_helpers.tpl": 6, "helm/gatehouse/templates/deployment.yaml": 8,
		"helm/gatehouse/values.yaml": 1, "helm/gatehouse/ci/production-values.yaml": 2,
	} {
		set := name.FindAllString(readFile(t, filepath.Join(repository, "deploy", path)), -1)
		require.GreaterOrEqual(t, len(set), atLeast, path)
		for _, variable := range set {
			// GATEHOUSE_IMAGE is compose.yaml's own.
			require.True(t, known[variable] || variable == "GATEHOUSE_IMAGE", "%s: %s", path, variable)
		}
	}
}

// TestComposeFile starts the server with the settings that it has in deploy/compose.yaml, except for the addresses of
// other containers, where everything but its directory for imports is read-only.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	var compose struct{ Services map[string]composeService }
	require.NoError(t, yaml.Unmarshal([]byte(readFile(t, filepath.Join(repository, "deploy", "compose.yaml"))), &compose))
	byDefault := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)
	here := map[string]string{
		"DATABASE_URL": storetest.Database(t), "GATEHOUSE_LISTEN": "127.0.0.1:0", "GATEHOUSE_SPOOL_DIR": newDir(t),
		"TYK_DB_TYKAPI_HOST": "http://127.0.0.1", "TYK_DB_TYKAPI_PORT": "9", "TYK_DB_REDISHOST": "127.0.0.1",
		"TYK_DB_REDISPORT": "9", // nothing listens there
	}
	var environment []string
	for variable, value := range compose.Services["gatehouse"].Environment {
		if replaced, found := here[variable]; found {
			value = replaced
		}
		delete(here, variable)
		environment = append(environment, variable+"="+byDefault.ReplaceAllString(value, "$1"))
	}
	require.Empty(t, here, "not in compose.yaml")
	s := newServer(t, environment...)
	s.start()
	status, body := s.get("/admin/hello", "Admin-Auth", "example-admin-secret")
	require.Equal(t, 200, status, body)
	s.stop()
}
