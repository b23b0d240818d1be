package cli_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/cli"
	"gatehouse/internal/testprogram"
)

// run runs a command line and returns what it prints.
func run(t *testing.T, args ...string) (status int, out, log string) {
	t.Helper()
	var outBuffer, logBuffer bytes.Buffer
	status = cli.Run(t.Context(), args, cli.Streams{Out: &outBuffer, Log: &logBuffer})
	return status, outBuffer.String(), logBuffer.String()
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                        "expected a command: apis, apply, backup, completion, config, contract, copy, diff, doctor, export, finish-upgrade, healthcheck, keys, migrate, nodes, orgs, policies, postgres, restore, secrets, serve, users, version; see gatehouse --help",
		"fly":                     `unknown command "fly"; see gatehouse --help`,
		"srve":                    `unknown command "srve", did you mean "serve"?`,
		"config chekc":            `unknown command "chekc", did you mean "check"?`,
		"config -o xml":           `invalid argument "xml" for "-o, --output" flag: must be table, json, yaml; see gatehouse config --help`,
		"help srve":               `unknown command "srve", did you mean "serve"?`,
		"contract diff a.yaml":    "expected two contracts, OLD and NEW; see gatehouse contract diff --help",
		"contract new":            "expected the folder of the new module; see gatehouse contract new --help",
		"contract lint":           "expected the file of a contract, or several; see gatehouse contract lint --help",
		"keys":                    "expected a command: sync; see gatehouse keys --help",
		"postgres":                "expected a command: upgrade; see gatehouse postgres --help",
		"keys snyc":               `unknown command "snyc", did you mean "sync"?`,
		"serve here":              `unexpected argument "here"; see gatehouse serve --help`,
		"version 1":               `unexpected argument "1"; see gatehouse version --help`,
		"serve --lisen :1":        `unknown flag: --lisen, did you mean "--listen"?`,
		"serve --quick":           "unknown flag: --quick; see gatehouse serve --help",
		"serve -x":                "unknown shorthand flag: 'x' in -x; see gatehouse serve --help",
		"serve --listen":          "flag needs an argument: --listen; see gatehouse serve --help",
		"serve --page-size many":  `invalid argument "many" for "--page-size" flag: must be an integer; see gatehouse serve --help`,
		"serve --body-timeout 5":  `invalid argument "5" for "--body-timeout" flag: must be a duration like "30s" or "5m"; see gatehouse serve --help`,
		"keys sync --redis-tls=x": `invalid argument "x" for "--redis-tls" flag: must be true, 1, yes, false, 0 or no; see gatehouse keys sync --help`,
		"completion":              "expected a shell: bash, fish, powershell, zsh; see gatehouse completion --help",
		"completion tcsh":         "expected a shell: bash, fish, powershell, zsh; see gatehouse completion --help",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			status, out, log := run(t, strings.Fields(args)...)
			require.Equal(t, "gatehouse: "+want+"\n", log)
			require.Empty(t, out)
			require.Equal(t, 2, status)
		})
	}
}

func TestInvalidSettingsFail(t *testing.T) {
	t.Parallel()
	status, out, log := run(t, "serve", "--page-size", "0", "--data-dir", t.TempDir())
	require.Equal(t, "gatehouse: --page-size (TYK_DB_PAGESIZE): 0 is not between 1 and 1000\n", log)
	require.Empty(t, out)
	require.Equal(t, 1, status)
}

// commands returns the commands that users see.
func commands(t *testing.T) (all []*cobra.Command) {
	t.Helper()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if !cmd.Hidden {
			all = append(all, cmd)
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(cli.New(cli.Streams{}))
	return all
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(t) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			path := strings.Fields(cmd.CommandPath())[1:]
			status, out, log := run(t, append(path, "--help")...)
			require.Zero(t, status, log)
			require.Empty(t, log)
			require.Regexp(t, `\nExamples:\n(  .*gatehouse .*\n)+\n`, out)
			require.Regexp(t, `^Usage: `+cmd.CommandPath(), out)
			require.Regexp(t, `(?m)^[A-Z].*\.$`, cmd.Short)
			for line := range strings.Lines(out) {
				require.LessOrEqual(t, len([]rune(line)), 101, line)
			}
			status, byHelp, log := run(t, append([]string{"help"}, path...)...)
			require.Zero(t, status, log)
			require.Equal(t, out, byHelp)
		})
	}
}

// TestHelpListsCommandsInGroups finds each command below a heading of its own group, and its summary in one column with
// the others.
func TestHelpListsCommandsInGroups(t *testing.T) {
	t.Parallel()
	status, out, log := run(t, "--help")
	require.Zero(t, status, log)
	require.NotContains(t, out, "\nCommands:\n", "a command is in no group")
	width := len("finish-upgrade")
	for _, cmd := range cli.New(cli.Streams{}).Commands() {
		if !cmd.IsAvailableCommand() {
			continue
		}
		_, group, found := strings.Cut(out, "\n"+cmd.GroupID+":\n")
		require.True(t, found, cmd.Name())
		group, _, _ = strings.Cut(group, "\n\n")
		require.Contains(t, group+"\n", fmt.Sprintf("  %-*s  %s\n", width, cmd.Name(), cmd.Short))
	}
}

// TestCompletion compiles each script with its shell, and asks for what the scripts ask for.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for shell, check := range map[string]string{"bash": "bash -n", "fish": "", "powershell": "", "zsh": ""} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			status, script, log := run(t, "completion", shell)
			require.Zero(t, status, log)
			require.Contains(t, script, "__complete")
			if check == "" {
				return // not everybody has this shell
			}
			program, arguments, _ := strings.Cut(check, " ")
			testprogram.Need(t, program)
			cmd := exec.CommandContext(t.Context(), program, arguments)
			cmd.Stdin = strings.NewReader(script)
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, string(output))
		})
	}
	for typed, want := range map[string]string{
		"se":                  "serve\tStart the server. Ctrl-C stops it.\n:4\n",
		"keys ":               "sync\t",
		"serve --page":        "--page-size\tNumber of items",
		"completion po":       "powershell\n:4\n",
		"serve --log-format ": "",
	} {
		status, out, log := run(t, append([]string{"__complete"}, strings.Split(typed, " ")...)...)
		require.Zero(t, status, log)
		require.Contains(t, out, want, typed)
	}
}
