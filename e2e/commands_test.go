package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/cli"
	"gatehouse/internal/testprogram"
	"gatehouse/store/storetest"
)

// notRun are the examples that TestCommandExamples does not run, and why.
var notRun = map[string]string{
	"gatehouse serve --listen :8080 --database-url postgres://gatehouse@db.example/gatehouse":       "there is no such database",
	"gatehouse keys sync --gateway-host 127.0.0.1 --gateway-port 8080 --gateway-secret-file secret": "TestKeysSync does, with a gateway",
	`gatehouse finish-upgrade --database-url postgres://gatehouse@db.example/gatehouse`:             "TestFinishUpgrade does, with a database",
	"gatehouse config check --conf /opt/tyk-dashboard/tyk_analytics.conf":                           "there is no such file; TestConfigCheck of internal/cli has others",
	"gatehouse doctor":                                                                                  "TestDoctor does, on a machine of which it knows the state",
	"gatehouse doctor -o json":                                                                          "TestDoctor does",
	"gatehouse healthcheck":                                                                             "TestHealthcheck does, with a server",
	"gatehouse healthcheck --listen :8080 --timeout 3s":                                                 "TestHealthcheck does, with a server",
	"gatehouse backup gatehouse.backup":                                                                 "TestBackup… does, with a database",
	"gatehouse backup --org 5e9d9544a1dcd60001d0ed20 one.backup":                                        "TestBackupOfOneOrganisation does",
	"gatehouse backup - | ssh backup.example 'cat > gatehouse.backup'":                                  "TestBackupThroughPipes does, without ssh",
	"gatehouse restore gatehouse.backup":                                                                "TestBackupRoundTrip does",
	"gatehouse restore --replace --dry-run gatehouse.backup":                                            "TestRestoreIntoFilledDatabase does",
	"gatehouse postgres upgrade":                                                                        "TestPostgresUpgrade does, with data",
	"gatehouse postgres upgrade --old-bin /usr/lib/postgresql/15/bin":                                   "TestPostgresUpgradeToTheSameVersion does, with other programs",
	"gatehouse contract diff HEAD:openapi/admin.yaml openapi/admin.yaml":                                "TestContractDiff of internal/cli does, with other files",
	"gatehouse contract generate":                                                                       "TestContractGenerate of internal/cli does, in another module",
	"gatehouse contract generate openapi":                                                               "TestContractGenerate of internal/cli does",
	"gatehouse contract new bookings":                                                                   "TestBuildYourOwnGuide does, with another name",
	"gatehouse contract new bookings --module example.com/bookings --gatehouse ../gatehouse":            "TestNewModule does, in another folder",
	"gatehouse contract proxy --upstream https://api.example/v2 --contract api.yaml":                    "there is no such server",
	"gatehouse users set-password " + exampleUser:                                                       "it asks on a terminal; TestConfirmations does",
	"gatehouse completion fish | source":                                                                "needs fish",
	"gatehouse completion powershell | Out-String | Invoke-Expression":                                  "needs PowerShell",
	"source <(gatehouse completion zsh)":                                                                "needs zsh",
	"gatehouse copy --from http://tyk:3000 --from-secret-file old --to http://new --to-secret-file new": "TestMovingGuide does, from a stand-in",
	"gatehouse export organisations/":                                                                   "TestMovingGuide does",
	"gatehouse export --org 5e9d9544a1dcd60001d0ed20 organisations/":                                    "TestExportOfOneOrganisation does",
	"gatehouse diff -f organisations/":                                                                  "TestMovingGuide does",
	"gatehouse diff -f organisations/ --prune apis,policies -o json":                                    "TestApplyChanges does",
	"gatehouse apply -f organisations/":                                                                 "TestMovingGuide does",
	"gatehouse apply -f organisations/ --prune apis,policies --access-keys new-users.jsonl":             "TestApplyChanges does",
}

// untilInterrupted matches the examples that run until Ctrl-C.
var untilInterrupted = regexp.MustCompile(`^gatehouse (serve|contract (mock|proxy))\b`)

// The IDs of the help texts that the server makes.
const (
	exampleUser = "5e9d9544a1dcd60001d0ed21"
	exampleNode = "f1a8ab29-4d8e-4b4c-8b1f-7c5c0e5b6a10"
)

// aboutObjects matches the examples that need a database with the objects of newHarbour, or a running server.
var aboutObjects = regexp.MustCompile(`^gatehouse (orgs|users|apis|policies|nodes|migrate|secrets)\b`)

// withObjects returns an example with the IDs of objects, and the server that has them.
func withObjects(t *testing.T, line string) (string, *server) {
	t.Helper()
	h := newHarbour(t, startServer(t, "DATABASE_URL="+storetest.Database(t)))
	h.importAPI(h.org, "tide-tables")
	writeFile(t, filepath.Join(h.dir, "password-file"), "correct-horse\n")
	if strings.Contains(line, "users create") {
		ok(h.client().RemoveUserWithResponse(t.Context(), h.user))(t) // who has the address
	}
	return strings.NewReplacer(exampleUser, h.user, exampleNode, h.node).Replace(line), h.server
}

// here returns an example with the addresses of this test, and with the repository's files.
func here(t *testing.T, line string, s *server) string {
	t.Helper()
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	if strings.Contains(line, "http://127.0.0.1:3000") { // of a running server
		s.start()
	}
	if untilInterrupted.MatchString(line) && !strings.Contains(line, " serve") {
		line = strings.Replace(line, "--listen 127.0.0.1:4011", "", 1) + " --listen 127.0.0.1:0"
	}
	return strings.NewReplacer("127.0.0.1:3000", s.address, "openapi/", root+"/openapi/").Replace(line)
}

// announced is the line by which a command says that it serves.
var announced = regexp.MustCompile(`(?m)^\w+ listens on http://`)

// commandExamples returns the examples of a command and those of its subcommands.
func commandExamples(cmd *cobra.Command) (lines []string) {
	for line := range strings.Lines(cmd.Example) {
		lines = append(lines, strings.TrimSpace(line))
	}
	for _, sub := range cmd.Commands() {
		lines = append(lines, commandExamples(sub)...)
	}
	return lines
}

// TestContractGuide runs the steps of docs/contract.md.
func TestContractGuide(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	steps := stepsOf(readFile(t, filepath.Join(repository, "docs", "contract.md")))
	require.NotEmpty(t, steps)
	for i := range steps {
		steps[i].commands = strings.ReplaceAll(steps[i].commands, "127.0.0.1:3000", s.address)
	}
	setup := "set -e\nPATH=" + filepath.Dir(program(t)) + ":$PATH\ncp " + s.dir + "/*-secret .\n"
	outputs, rest, err := runSteps(t, setup, steps)
	require.NoError(t, err, rest)
	requireOutputs(t, steps, outputs)
}

// TestCommandsGuide runs the steps of docs/commands.md.
func TestCommandsGuide(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "jq")
	s := startServer(t)
	org := s.newOrganisation()
	s.importAPI(org, "tide-tables")
	steps := stepsOf(readFile(t, filepath.Join(repository, "docs", "commands.md")))
	require.NotEmpty(t, steps)
	setup := "set -e\nPATH=" + filepath.Dir(program(t)) + ":$PATH\nORG=" + org + "\nexport GATEHOUSE_DATA_DIR=" + s.dir +
		" GATEHOUSE_LISTEN=" + s.address + "\n"
	outputs, rest, err := runSteps(t, setup, steps)
	require.NoError(t, err, rest)
	requireOutputs(t, steps, outputs)
}

// TestCommandExamples runs the examples in the help texts.
func TestCommandExamples(t *testing.T) {
	t.Parallel()
	bash := testprogram.Need(t, "bash")
	unused := map[string]bool{}
	for line := range notRun {
		unused[line] = true
	}
	for _, line := range commandExamples(cli.New(cli.Streams{})) {
		delete(unused, line)
		if notRun[line] != "" {
			continue
		}
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			if aboutObjects.MatchString(line) {
				line, s = withObjects(t, line)
			}
			command := exec.CommandContext(t.Context(), bash, "-ec", here(t, line, s))
			command.Env = slices.Concat(s.command().Env, []string{"PATH=" + filepath.Dir(program(t)) + ":" + os.Getenv("PATH")})
			if s.process != nil {
				command.Dir = s.dir // which has the secret
			}
			if !untilInterrupted.MatchString(line) {
				printed, err := command.CombinedOutput()
				require.NoError(t, err, string(printed))
				return
			}
			one := &server{t: t, dir: s.dir, log: &output{}}
			one.launchAs(command)
			t.Cleanup(func() { one.signal(syscall.SIGKILL) })
			eventually(t, "the command serves", func() bool {
				require.False(t, one.hasExited(), one.log)
				return announced.MatchString(one.stdout.String())
			})
			one.signal(syscall.SIGINT)
			require.Zero(t, one.waitExit(), one.log)
		})
	}
	require.Empty(t, unused, "no command has these examples")
}
