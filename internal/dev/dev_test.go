package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/openapi/lint"
	"gatehouse/store/storetest"
)

func TestMain(m *testing.M) {
	readFilesAgain()
	os.Exit(storetest.Main(m))
}

// repository is the root of the repository, seen from this directory.
const repository = "../.."

// copied are the files and folders of the repository that the server is built from.
var copied = []string{
	"apiserver", "client", "conformance", "console", "contract", "gen", "generate.go", "go.mod", "go.sum", "httpbody", "internal", "main.go", "migrations",
	"openapi", "pgmigrate", "pgtest", "postgres", "server", "store",
}

// copyRepository returns a copy of the repository that a test may change.
func copyRepository(t *testing.T) project {
	t.Helper()
	root := t.TempDir()
	for _, name := range copied {
		source := filepath.Join(repository, name)
		require.NoError(t, filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
			require.NoError(t, err)
			below, err := filepath.Rel(repository, path)
			require.NoError(t, err)
			target := filepath.Join(root, below)
			switch {
			case entry.Name() == "node_modules":
				original, err := filepath.Abs(path)
				require.NoError(t, err)
				require.NoError(t, os.Symlink(original, target))
				return filepath.SkipDir
			case entry.IsDir():
				require.NoError(t, os.Mkdir(target, 0o700))
			default:
				content, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(target, content, 0o600))
			}
			return nil
		}))
	}
	return project{root: root, program: filepath.Join(root, "gatehouse")}
}

// change makes an edit until the test ends.
func (p project) change(t *testing.T, edit edit) {
	t.Helper()
	path := filepath.Join(p.root, edit.file)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(before), edit.from)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(before), edit.from, edit.to, 1)), 0o600))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(path, before, 0o600)) })
}

// line returns FILE:LINE of the first occurrence of a text in a file.
func (p project) line(t *testing.T, file, text string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.root, file))
	require.NoError(t, err)
	before, _, found := strings.Cut(string(content), text)
	require.True(t, found, text)
	return file + ":" + strconv.Itoa(strings.Count(before, "\n")+1)
}

// edit replaces a text in a file of the repository.
type edit struct{ file, from, to string }

const newOperation = `
paths:
  /admin/widgets:
    post:
      operationId: createWidget
      tags: [Users]
      summary: Create a widget
      description: Creates a widget.
      responses:
        '200':
          description: It exists.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/ApiError'}
              examples:
                ok: {$ref: '#/components/examples/Hello'}
        '401': {$ref: '#/components/responses/Unauthorised'}
`

// changesOfADeveloper are changes with what is then left to do: a text in the changed file, on whose line the problem
// is, and a part of the problem. Without them, nothing is left.
var changesOfADeveloper = []struct {
	name     string
	edit     edit
	at, want string
	rules    bool     // whether it is found by rules
	linted   []string // the contracts that Spectral checks
}{
	{
		name: "a new field", edit: edit{
			"openapi/dashboard.yaml", "        componentId:",
			"        region: {type: string, x-order: 7, x-optional: true, description: Where it is.}\n        componentId:",
		},
	},
	{
		name: "a new operation", edit: edit{"openapi/admin.yaml", "\npaths:\n", newOperation},
		at:   "post:\n      operationId: createWidget",
		want: "createWidget has no handler: write the method CreateWidget of Server in server/",
	},
	{
		name: "a handler that is gone", edit: edit{"server/users.go", "(s *Server) GetUserDetail(", "(s *Server) getUserDetail("},
		want: "getUserDetail has no handler: write the method GetUserDetail of Server in server/users.go",
	},
	{
		name: "an outcome that the operation does not have", edit: edit{"server/users.go", "return reply.OK(", "return reply.Perhaps("},
		at: "reply.Perhaps(", want: "has no outcome perhaps: add a response example of that name, or reply with another",
	},
	{
		name: "an outcome of the store that the operation does not have", edit: edit{
			"openapi/admin.yaml", "                not_found: {$ref: '#/components/examples/CouldNotRetrieveOrgDetail'}", "                gone: {$ref: '#/components/examples/CouldNotRetrieveOrgDetail'}",
		},
		want: "the operation of GetOrg has no outcome not_found: add a response example of that name, or reply with another",
	},
	{
		name: "a build that fails", edit: edit{"server/users.go", "\nfunc ", "\nvar surplus int = `text`\n\nfunc "},
		at:   "surplus",
		want: ": cannot use `text` (untyped string constant",
	},
	{
		name: "a reference to nothing", edit: edit{"openapi/node.yaml", "#/components/responses/BadHeader", "#/components/responses/BadHaeder"},
		at:   "BadHaeder",
		want: `refers to nothing: there is no "BadHaeder": did you mean "BadHeader"?`,
	},
	{
		name: "an operationId of two operations", edit: edit{"openapi/node.yaml", "operationId: pingNode", "operationId: registerNode"},
		at:   "operationId: registerNode\n      tags: [Nodes]\n      summary: Send",
		want: `operationId "registerNode" is already used at `,
	},
	{
		name: "a missing example", edit: edit{
			"openapi/admin.yaml", "              examples:\n                not_found: {$ref: '#/components/examples/CouldNotRetrieveOrgDetail'}\n", "",
		},
		want: "the response has no named example: add one below examples",
	},
	{
		name: "an example of the wrong type", edit: edit{"openapi/node.yaml", "Status: OK", "Status: 5"},
		at: "Status: 5", want: "the example does not match its schema", rules: true, linted: []string{"node"},
	},
	{
		name: "a missing outcome", edit: edit{"openapi/node.yaml", "        '403': {$ref: '#/components/responses/Unauthorised'}\n", ""},
		at: "get:", want: "the operation needs a secret, but has no outcome unauthorised: add a 401", rules: true, linted: []string{"node"},
	},
	{
		name: "an outcome without a scenario", edit: edit{
			"openapi/scenarios/users.yaml", "updateUser:\n  ok: {given: [user]}\n  invalid: {given: [user], body: {email_address: ''}}\n",
			"updateUser:\n  ok: {given: [user]}\n",
		},
		want: "has no scenario for invalid: add one below updateUser in openapi/scenarios/users.yaml", rules: true,
	},
	{
		name: "an unknown format", edit: edit{"openapi/dashboard.yaml", "format: date-time", "format: date-tme"},
		at: "date-tme", want: `unknown value "date-tme": did you mean "date-time"?`,
	},
}

// TestDev works on a copy of the repository: it makes the changes that a developer makes, one after another, and reads
// what is left to do.
func TestDev(t *testing.T) {
	t.Parallel()
	p := copyRepository(t)
	require.Empty(t, p.generate(t.Context(), everything()))
	require.Empty(t, p.build(t.Context()))
	checks := &rules{project: p}
	t.Cleanup(checks.close)
	for _, test := range changesOfADeveloper {
		t.Run(test.name, func(t *testing.T) {
			if test.linted != nil {
				testprogram.Need(t, filepath.Join(repository, "openapi", lint.Spectral))
			}
			p.change(t, test.edit)
			problems := p.generate(t.Context(), everything())
			if test.rules {
				require.Empty(t, problems, "the rules have to find it")
				if problems = checks.lint(t.Context(), test.linted); len(problems) == 0 {
					problems = p.scenarios()
				}
			} else if len(problems) == 0 {
				problems = p.build(t.Context())
			}
			if test.want == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1, "%q", problems)
			problem := strings.ReplaceAll(problems[0], p.root+"/", "")
			if test.at != "" {
				require.Contains(t, problem, p.line(t, test.edit.file, test.at)+":")
			}
			require.Contains(t, problem, test.want)
		})
	}
	t.Run("a renamed operation", func(t *testing.T) {
		p.change(t, edit{"openapi/admin.yaml", "operationId: getUserDetail", "operationId: getUserAccount"})
		require.Empty(t, p.generate(t.Context(), everything()))
		problems := p.build(t.Context())
		require.Len(t, problems, 2, "%q", problems)
		require.Contains(t, problems[0], "getUserAccount has no handler: write the method GetUserAccount of Server in server/users.go")
		require.Contains(t, problems[1], "no operation needs the handler GetUserDetail: delete it, or rename it as its operation was")
		problems = p.scenarios()
		require.Len(t, problems, 1, "%q", problems)
		require.Contains(t, problems[0], `the contract has no operation "getUserDetail": did you mean "getUserAccount"?`)
	})
	t.Run("the server follows the contract", func(t *testing.T) { testLoop(t, p) })
}

// testLoop changes files of a project while the loop runs.
func testLoop(t *testing.T, p project) {
	t.Helper()
	testprogram.Need(t, filepath.Join(repository, "openapi", lint.Spectral))
	var out output
	running := &server{
		args:        []string{"--listen=127.0.0.1:0", "--data-dir=" + t.TempDir(), "--admin-secret=secret", "--node-secret=secret"},
		environment: append(os.Environ(), "DATABASE_URL="+storetest.Database(t)), out: &out,
	}
	running.database = "a Postgres of this test"
	checks := &rules{project: p}
	ctx, cancel := context.WithCancel(t.Context())
	watched, err := watch(ctx, p.root)
	require.NoError(t, err)
	var loop sync.WaitGroup
	loop.Go(func() { developer{project: p, rules: checks, server: running, out: &out}.loop(ctx, watched) })
	t.Cleanup(func() { cancel(); loop.Wait(); running.stop(); checks.close() })

	out.await(t, "== generating and building …")
	out.await(t, "data is in a Postgres of this test\nadmin secret: ")
	out.await(t, "== built and started")
	served := func() string {
		t.Helper()
		address := regexp.MustCompile(`gatehouse listens on (\S+)\n`).FindAllStringSubmatch(out.String(), -1)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address[len(address)-1][1]+"/openapi.yaml", nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(text)
	}
	require.NotContains(t, served(), "Quay")

	p.change(t, edit{"openapi/node.yaml", "operationId: pingNode", "operationId: registerNode"})
	out.await(t, "== not generated; the server from before is still running, 1 left to do")
	require.NotContains(t, served(), "Quay")

	p.change(t, edit{"openapi/node.yaml", "registerNode\n      tags: [Nodes]\n      summary: Send", "pingNode\n      tags: [Nodes]\n      summary: Send"})
	out.await(t, "== built and started")
	p.change(t, edit{"openapi/admin.yaml", "summary: List organisations", "summary: List Quays"})
	out.await(t, "== built and started")
	out.await(t, nextStep)
	require.Contains(t, served(), "summary: List Quays")

	// One fault is one problem, although the server does not start without the outcome.
	for result, missing := range map[string]edit{
		"== not built; ": {"server/organisations.go", "return reply.OK()", "return reply.Okay()"},
		"== not generated; ": {
			"openapi/admin.yaml", "              examples:\n                not_found: {$ref: '#/components/examples/CouldNotRetrieveOrgDetail'}\n", "",
		},
		"== built, but does not start; ": {
			"openapi/admin.yaml", "                ok: {$ref: '#/components/examples/Organisation'}\n        '401': {$ref: '#/components/responses/Unauthorised'}\n",
			"                ok: {$ref: '#/components/examples/Organisation'}\n",
		},
	} {
		t.Run(result, func(t *testing.T) {
			p.change(t, missing)
			out.await(t, result+"the server from before is still running, 1 left to do")
		})
		out.await(t, "== built and started (")
	}
	p.change(t, edit{"openapi/.spectral.yaml", "operation-singular-tag: error", "operation-singular-tag: wrong"})
	out.await(t, "lint "+p.contract("admin")+" with Spectral: ")
	p.change(t, edit{"openapi/.spectral.yaml", "operation-singular-tag: wrong", "operation-singular-tag: error"})
	out.await(t, "== built and started (")

	// A program that builds and does not start.
	p.change(t, edit{"internal/config/config.go", "func (c *Config) Resolve() error {", "func (c *Config) Resolve() error {\n\tif true {\n\t\treturn fmt.Errorf(`no quay`)\n\t}"})
	out.await(t, "== built, but does not start; the server from before is still running")
	require.Contains(t, out.String(), "no quay")
	require.Contains(t, served(), "summary: List Quays")
}

// output is what the loop and its servers print.
type output struct {
	mu   sync.Mutex // guards what follows, for the time of an append or a search
	text strings.Builder
	read int // up to where await has found something
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the loop prints a text, after what the last call waited for.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		printed := o.String()
		if at := strings.Index(printed[o.read:], text); at >= 0 {
			o.read += at + len(text)
			return
		}
		require.True(t, time.Now().Before(deadline), "no %q in:\n%s", text, printed)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var out output
	require.NoError(t, run(t.Context(), []string{"--help"}, &out))
	require.Contains(t, out.String(), "Usage: make dev ARGS='--listen :8080'")
	require.Contains(t, out.String(), "--database-url")
	require.NotContains(t, out.String(), "Stopped.")
}

// TestStopBeforeTheServerRuns ends the program while it starts its Postgres, and while it builds.
func TestStopBeforeTheServerRuns(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--database-url=" + storetest.Database(t)}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out output
		require.NoError(t, run(ctx, append(args, "--data-dir="+t.TempDir()), &out))
		require.True(t, strings.HasSuffix(out.String(), "Stopped.\n"), out.String())
	}
}

// TestWithoutSpectral expects a hint that is not counted as something left to do.
func TestWithoutSpectral(t *testing.T) {
	t.Parallel()
	var out output
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := project{root: t.TempDir()}
	developer{project: p, rules: &rules{project: p}, server: &server{}, out: &out}.loop(ctx, nil)
	require.Contains(t, out.String(), "because Spectral is not installed: `make lint-contract` installs it\n")
	require.Empty(t, (&rules{project: p}).lint(t.Context(), contractNames))
}

func TestWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"openapi/lint/functions", "openapi/scenarios", "server", "gen", "node_modules"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
	}
	existing := filepath.Join(dir, "openapi/node.yaml")
	require.NoError(t, os.WriteFile(existing, nil, 0o600))
	watched, err := watch(t.Context(), dir)
	require.NoError(t, err)
	write := func(name string) {
		t.Helper()
		made := filepath.Join(dir, "gen", "made") // which is not watched: a file that is moved from there is one event
		require.NoError(t, os.WriteFile(made, []byte(name), 0o600))
		require.NoError(t, os.Rename(made, filepath.Join(dir, name)))
	}
	expect := func(want changes) {
		t.Helper()
		select {
		case got := <-watched:
			require.Equal(t, want, got)
		case <-time.After(time.Minute):
			t.Fatalf("no change, expected %v", want)
		}
	}
	file, err := os.OpenFile(existing, os.O_WRONLY, 0) // written in place, by one write
	require.NoError(t, err)
	_, err = file.WriteString("changed")
	require.NoError(t, errors.Join(err, file.Close()))
	expect(changes{contracts: []string{"node"}})

	// As editors write a file: into another one, which replaces it.
	write("openapi/.admin.yaml.swp")
	write("openapi/.#admin.yaml")
	write("openapi/admin.yaml~")
	require.NoError(t, os.Rename(filepath.Join(dir, "openapi/admin.yaml~"), filepath.Join(dir, "openapi/admin.yaml")))
	expect(changes{contracts: []string{"admin"}})
	write("openapi/.spectral.yaml")
	expect(changes{rules: true})

	write("openapi/lint/functions/tags.js")
	expect(changes{rules: true})
	write("openapi/bundles.codegen.yaml")
	expect(changes{contracts: contractNames})
	write("openapi/scenarios/users.yaml")
	expect(changes{code: true})

	// Several files at once are one change; folders may be new; what is generated or of no interest is ignored.
	require.NoError(t, os.Mkdir(filepath.Join(dir, "server/new"), 0o700))
	write("gen/generated.go")
	write("node_modules/module.js")
	write("server/users_test.go")
	write("server/client.gen.go")
	write("server/notes.txt")
	write("openapi/dashboard.yaml")
	write("server/users.go")
	expect(changes{contracts: []string{"dashboard"}, code: true})
	write("server/new/file.go")
	expect(changes{code: true})
	select {
	case got := <-watched:
		t.Fatalf("one change too many: %v", got)
	case <-time.After(3 * debounce):
	}
}
