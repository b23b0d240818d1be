package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/config"
	"gatehouse/internal/testprogram"
)

func readme(t *testing.T) string {
	t.Helper()
	return readFile(t, filepath.Join(repository, "README.md"))
}

// readmeWalk returns the README's steps after the server has been started, and what has to precede them: the README's
// first step with the address and the admin secret of this run.
func readmeWalk(t *testing.T, address, secret string) (setup string, steps []step) {
	t.Helper()
	steps = stepsOf(readme(t))
	require.Equal(t, []step{{commands: "make serve\n"}, {commands: "make test\n"}}, steps[:2])
	settings, functions, found := strings.Cut(steps[2].commands, "ADMIN=what-was-printed\n")
	require.True(t, found)
	require.Equal(t, "GATEHOUSE=http://127.0.0.1:3000\n", settings)
	for _, each := range steps[3:] {
		require.NotEmpty(t, each.output, "the README does not show the output of: %s", each.commands)
	}
	return "set -u\nGATEHOUSE=http://" + address + "\nADMIN=" + secret + "\n" + functions, steps[3:]
}

// TestReadmeWalk runs what the README says, in its order and word for word: `make serve`, the walk twice on one
// database, and Ctrl-C.
func TestReadmeWalk(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	s := newServer(t)
	serve := exec.Command("sh", "-c", stepsOf(readme(t))[0].commands)
	serve.Dir, serve.Env = repository, s.command().Env
	s.launchAs(serve)
	s.waitStarted()
	setup, steps := readmeWalk(t, s.address, s.adminSecret())
	isDelete := func(each step) bool { return strings.Contains(each.commands, "-X DELETE") }
	require.True(t, slices.ContainsFunc(steps, isDelete))

	t.Run("first without the deletion, as if it had been broken off", func(t *testing.T) {
		unfinished := slices.DeleteFunc(slices.Clone(steps), isDelete)
		outputs, rest, err := runSteps(t, setup, unfinished)
		require.NoError(t, err, rest)
		requireOutputs(t, unfinished, outputs)
	})
	t.Run("then in full", func(t *testing.T) {
		outputs, rest, err := runSteps(t, setup, steps)
		require.NoError(t, err, rest)
		requireOutputs(t, steps, outputs)
	})
	t.Run("Ctrl-C stops the server and is no error", func(t *testing.T) {
		s.signal(syscall.SIGINT)
		s.waitExit()
		require.Contains(t, s.stdout.lines(), "gatehouse stopped")
		require.NotContains(t, s.log.String(), "Error")
		require.Zero(t, postmasterPID(t, s.dir))
	})
}

// TestReadmeWalkStopsAtAFailure lets each step fail from whose response a later one needs a value. The step shows the
// response, and the later one sends nothing.
func TestReadmeWalkStopsAtAFailure(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	_, steps := readmeWalk(t, "", "")
	assignment := regexp.MustCompile(`(?m)^([A-Z]+)=\$\(value `)
	var variables []string
	for i, each := range steps {
		match := assignment.FindStringSubmatch(each.commands)
		if match == nil {
			continue
		}
		variables = append(variables, match[1])
		t.Run(match[1], func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			setup, steps := readmeWalk(t, s.address, s.adminSecret())
			steps[i].commands = strings.ReplaceAll(steps[i].commands, "Admin-Auth: $ADMIN", "Admin-Auth: another")
			outputs, rest, err := runSteps(t, setup, steps)
			require.Error(t, err, "a shell that is not interactive ends at the first parameter that is not set")
			require.Regexp(t, `\b[A-Z_]+: parameter .*not set`, rest)
			outputs = append(outputs, rest)
			require.Contains(t, outputs[i], `{"Status":"Error","Message":"Not authorised","Meta":null}`+"\n")
			require.NotContains(t, strings.Join(outputs[i+1:], ""), `"Status"`)
			requests := func() int { return strings.Count(s.log.String(), " msg=request ") }
			eventually(t, "all requests are in the log", func() bool { return requests() >= i+1 })
			require.Equal(t, i+1, requests(), "no step after the failed one sends a request")
		})
	}
	require.Equal(t, []string{"ORG", "KEY", "NONCE"}, variables)
}

// TestReadmeOperations compares the tables of docs/operations.md, one for each tag, with the contracts, both ways. The
// README's table has a row for each tag.
func TestReadmeOperations(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{} // tag: operation
	row := regexp.MustCompile("(?m)^\\| `((?:GET|PUT|POST|PATCH|DELETE) [^`]+)`( \\+)? \\|")
	overview := readme(t)
	sections := strings.Split(readFile(t, filepath.Join(repository, "docs", "operations.md")), "\n## ")[1:]
	for _, section := range sections {
		tag, table, _ := strings.Cut(section, "\n")
		anchor := strings.ReplaceAll(strings.ToLower(tag), " ", "-")
		require.Contains(t, overview, "\n| ["+tag+"](docs/operations.md#"+anchor+") |")
		for _, m := range row.FindAllStringSubmatch(table, -1) {
			listed[tag+": "+m[1]+m[2]] = true
		}
	}
	require.Equal(t, len(sections), strings.Count(overview, "](docs/operations.md#"))
	for _, get := range []func() (*openapi3.T, error){admin.GetSpec, dashboard.GetSpec, node.GetSpec} {
		spec, err := get()
		require.NoError(t, err)
		for path, item := range spec.Paths.Map() {
			for method, op := range item.Operations() {
				name := op.Tags[0] + ": " + method + " " + path
				if op.Extensions["x-gatehouse"] == true {
					name += " +"
				}
				if !listed[name] {
					t.Errorf("docs/operations.md lacks %s", name)
				}
				delete(listed, name)
			}
		}
	}
	require.Empty(t, listed, "in no contract")
}

// settings returns the settings of the server.
func settings() config.Settings {
	return config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &config.Config{})
}

// TestReadmeConfiguration compares the README's tables of settings with the configuration.
func TestReadmeConfiguration(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	group := ""
	for _, each := range settings() {
		if each.Group != group {
			group = each.Group
			fmt.Fprintf(&want, "\n### %s\n\n| flag | environment | default | description |\n|---|---|---|---|\n", group)
		}
		def := ""
		if each.Default != "" {
			def = "`" + each.Default + "` "
		}
		fmt.Fprintf(&want, "| `--%s` | `%s` | %s| %s |\n", each.Flag.Name, strings.Join(each.Variables, "`, `"), def, each.Help)
	}
	require.Contains(t, readme(t), want.String())
}
