package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/cli"
)

// ferryKey is the secret of the servers of these tests.
const ferryKey = "the-ferry-key"

// ferryFiles are a contract that has nothing to do with gatehouse's, its scenarios, and the secret.
var ferryFiles = map[string]string{
	"ferries.yaml": `
openapi: 3.0.3
info: {title: Ferries, version: '1'}
paths:
  /ferries/{name}:
    get:
      operationId: getFerry
      tags: [Ferries]
      security: [{ferry_key: []}]
      parameters: [{name: name, in: path, required: true, schema: {type: string}, example: Marina}]
      responses:
        '200':
          description: The ferry.
          content:
            application/json: {schema: {$ref: '#/components/schemas/Ferry'}, examples: {ok: {value: {name: Marina}}}}
        '401':
          description: The key is wrong.
          content: {application/json: {schema: {type: object}, examples: {unauthorised: {value: {error: not yours}}}}}
        '404':
          description: There is none.
          content: {application/json: {schema: {type: object}, examples: {not_found: {value: {error: no such ferry}}}}}
components:
  securitySchemes: {ferry_key: {type: apiKey, in: header, name: Ferry-Key}}
  schemas: {Ferry: {type: object, required: [name], properties: {name: {type: string}}}}
`,
	"scenarios/common.yaml":  "credentials: {ferry_key: {variable: FERRY_KEY}}\nkinds: {ok: {}, unauthorised: {credential: wrong}}\n",
	"scenarios/ferries.yaml": "getFerry: {not_found: {path: {name: Unknown}}}\n",
	"incomplete/common.yaml": "credentials: {ferry_key: {variable: FERRY_KEY}}\nkinds: {ok: {}}\n",
	"key":                    ferryKey + "\n",
}

// ferries are the files of a test, and a server that they describe.
type ferries struct {
	t        *testing.T
	dir, url string
	requests atomic.Int32
	// departs lets the server depart from the contract.
	departs atomic.Bool
	// brittle lets the server fail for names that no scenario sends.
	brittle atomic.Bool
	// held is closed to let requests continue.
	held chan struct{}
}

func startFerries(t *testing.T) *ferries {
	t.Helper()
	f := &ferries{t: t, dir: t.TempDir(), held: make(chan struct{})}
	close(f.held)
	for name, text := range ferryFiles {
		path := filepath.Join(f.dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// ServeHTTP implements http.Handler.
func (f *ferries) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" { // asked before a check, to see whether there is a server
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f.requests.Add(1)
	select {
	case <-f.held:
	case <-r.Context().Done():
	}
	w.Header().Set("Content-Type", "application/json")
	status, body := http.StatusOK, `{"name":"Marina"}`
	switch {
	case r.Header.Get("Ferry-Key") != ferryKey:
		status, body = http.StatusUnauthorized, `{"error":"not yours"}`
	case f.brittle.Load() && r.URL.Path != "/ferries/Marina" && r.URL.Path != "/ferries/Unknown":
		status, body = http.StatusInternalServerError, `{}`
	case r.URL.Path != "/ferries/Marina" && f.departs.Load():
		status, body = http.StatusNotFound, `{"error":"gone"}`
	case r.URL.Path != "/ferries/Marina":
		status, body = http.StatusNotFound, `{"error":"no such ferry"}`
	case f.departs.Load():
		body = `{"name":7}`
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (f *ferries) path(name string) string { return filepath.Join(f.dir, name) }

// check runs contract check on the server.
func (f *ferries) check(args ...string) (status int, out, log string) {
	f.t.Helper()
	return run(f.t, append([]string{
		"contract", "check", "--url", f.url, "--contract", f.path("ferries.yaml"), "--scenarios", f.path("scenarios"),
		"--secret-file", "ferry_key=" + f.path("key"),
	}, args...)...)
}

func TestContractCheck(t *testing.T) {
	t.Parallel()
	reportsOf := func(f *ferries) []string {
		return []string{"--junit", f.path("junit.xml"), "--json", f.path("report.json"), "--html", f.path("coverage.html")}
	}
	t.Run("a server that holds the contract", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		status, out, log := f.check(reportsOf(f)...)
		require.Zero(t, status, log)
		require.Empty(t, log, "there is no progress where there is no terminal")
		require.True(t, strings.HasSuffix(out, "\n3 of 3 outcomes driven, 0 need a fault\n"), out)
	})
	t.Run("a server that departs from it", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		f.departs.Store(true)
		status, out, log := f.check(reportsOf(f)...)
		require.Equal(t, 1, status)
		require.Empty(t, log)
		require.Contains(t, out, "FAILED getFerry/not_found\n")
		require.Contains(t, out, `-H 'Ferry-Key: '"$FERRY_KEY"`)

		var suites struct {
			Failures int `xml:"failures,attr"`
		}
		junit, err := os.ReadFile(f.path("junit.xml"))
		require.NoError(t, err)
		require.NoError(t, xml.Unmarshal(junit, &suites))
		require.Equal(t, 2, suites.Failures)
		var report struct{ Failed, Driven int }
		document, err := os.ReadFile(f.path("report.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(document, &report))
		require.Equal(t, 2, report.Failed)
		page, err := os.ReadFile(f.path("coverage.html"))
		require.NoError(t, err)
		require.Contains(t, string(page), "getFerry")
		for _, text := range []string{out, string(junit), string(document), string(page)} {
			require.NotContains(t, text, ferryKey)
		}
	})
	t.Run("generated requests", func(t *testing.T) {
		t.Parallel()
		status, out, log := startFerries(t).check("--fuzz", "50ms", "--seed", "7")
		require.Zero(t, status, out+log)
		require.Regexp(t, `\ASending generated requests for 50ms \(--seed 7\)\n\d+ generated requests in \S+ \(seed 7\), 0 failed\n3 as documented, `, out)
	})
	t.Run("generated requests that fail are in each report", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		f.brittle.Store(true)
		status, out, log := f.check(append(reportsOf(f), "--fuzz", "2s", "--seed", "7")...)
		require.Equal(t, 1, status, out+log)
		require.Contains(t, out, "3 as documented, 0 not, ", "the scenarios have passed")
		require.Contains(t, out, "FAILED getFerry/generated/parameter name\n  status: the operation declares no status 500\n")
		read := func(name string) string {
			t.Helper()
			text, err := os.ReadFile(f.path(name))
			require.NoError(t, err)
			require.NotContains(t, string(text), ferryKey)
			return string(text)
		}
		var suites struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Suites   []struct {
				Name  string `xml:"name,attr"`
				Cases []struct {
					Failure string `xml:"failure"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		require.NoError(t, xml.Unmarshal([]byte(read("junit.xml")), &suites))
		require.Equal(t, []int{4, 1}, []int{suites.Tests, suites.Failures})
		require.Equal(t, "generated requests", suites.Suites[1].Name)
		require.Equal(t, 1, strings.Count(suites.Suites[1].Cases[0].Failure, "curl "), "the command is there once")
		var report struct {
			Driven, Failed int
			Fuzz           struct {
				Seed, Requests, Failed int
				Failures               []struct{ Operation, Script string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(read("report.json")), &report))
		require.Equal(t, []int{3, 0, 7, 1}, []int{report.Driven, report.Failed, report.Fuzz.Seed, report.Fuzz.Failed})
		require.Equal(t, "getFerry", report.Fuzz.Failures[0].Operation)
		require.Contains(t, report.Fuzz.Failures[0].Script, "curl ")
		page := read("coverage.html")
		require.Contains(t, page, "generated requests in ")
		require.Contains(t, page, "<h3>getFerry/generated/parameter name</h3>")
	})
	t.Run("a part of the contract", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		f.departs.Store(true)
		status, out, log := f.check("--only", "*/unauthorised")
		require.Zero(t, status, out+log)
		require.Contains(t, out, "\n1 of 3 outcomes driven, ")
	})
	t.Run("an interrupted run reports what it has", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		f.held = make(chan struct{})
		ctx, interrupt := context.WithCancel(t.Context())
		go func() {
			for f.requests.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			interrupt()
		}()
		var out, log bytes.Buffer
		status := cli.Run(ctx, []string{
			"contract", "check", "--url", f.url, "--contract", f.path("ferries.yaml"), "--scenarios", f.path("scenarios"),
			"--secret-file", "ferry_key=" + f.path("key"),
		}, cli.Streams{Out: &out, Log: &log})
		require.Equal(t, 2, status)
		require.Contains(t, out.String(), "0 of 3 outcomes driven")
		require.Equal(t, "gatehouse: interrupted\n", log.String())
	})
}

func TestContractCheckCannotRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"without a URL":                     {[]string{"--url", ""}, "gatehouse: --url is required: the URL of the server\n"},
		"with a URL that is none":           {[]string{"--url", "127.0.0.1:3000"}, `--url: "127.0.0.1:3000" is not a URL of an HTTP server, such as http://127.0.0.1:3000`},
		"on another machine":                {[]string{"--url", "http://192.0.2.1:3000"}, "192.0.2.1:3000 is not on this machine: add --yes to check it"},
		"by a name":                         {[]string{"--url", "http://localhost.example"}, "localhost.example is not on this machine"},
		"where no server is":                {[]string{"--url", "http://127.0.0.1:1"}, "the server cannot be checked"},
		"without the secret's file":         {[]string{"--secret-file", "ferry_key=/nowhere"}, "read the secret of ferry_key: open /nowhere"},
		"with a secret that has no scheme":  {[]string{"--secret-file", "/nowhere"}, `--secret-file: "/nowhere" is not SCHEME=FILE`},
		"without scenarios for a contract":  {[]string{"--scenarios", ""}, "--contract needs --scenarios"},
		"with scenarios that lack outcomes": {[]string{"--scenarios", "incomplete"}, "getFerry 401 has no scenario for unauthorised: add one below getFerry in "},
		"with a directory that is none":     {[]string{"--scenarios", "/nowhere"}, "--scenarios: open /nowhere"},
		"with a contract that is none":      {[]string{"--contract", "/nowhere.yaml"}, "/nowhere.yaml"},
		"into a file that cannot be":        {[]string{"--html", "/nowhere/coverage.html"}, "open the report: open /nowhere/coverage.html"},
		"for a version that there is not":   {[]string{"--published=1.2"}, "--published: there is no version 1.2, but 5."},
		"for a version without =":           {[]string{"--published", "5.8"}, `unexpected argument "5.8": a version is written as --published=5.8; see gatehouse contract check --help`},
		"with an argument":                  {[]string{"http://127.0.0.1:3000"}, `unexpected argument "http://127.0.0.1:3000"; see `},
		"with a seed for nothing":           {[]string{"--seed", "7"}, "--seed needs --fuzz: no requests are generated without it\n"},
		"with a time that is none":          {[]string{"--fuzz", "0s"}, "--fuzz: 0s is not a time to send requests for, such as 60s\n"},
		"with a number that is none":        {[]string{"--seed", "x", "--fuzz", "1s"}, `invalid argument "x" for "--seed" flag`},
		"with generated requests of others": {[]string{"--fuzz", "1s", "--published"}, "--fuzz and --published exclude each other"},
		"with no scenario at a time":        {[]string{"--parallel", "0"}, "--parallel: 0 is less than 1\n"},
		"with less than none":               {[]string{"--parallel=-1"}, "--parallel: -1 is less than 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFerries(t)
			if c.args[1:] != nil && c.args[len(c.args)-1] == "incomplete" {
				c.args[1] = f.path("incomplete")
			}
			status, out, log := f.check(c.args...)
			require.Equal(t, 2, status, log)
			require.Contains(t, log, c.want)
			require.True(t, strings.HasPrefix(log, "gatehouse: "), log)
			if !strings.Contains(c.want, "no scenario for") { // which is a line for each
				require.Equal(t, 1, strings.Count(log, "\n"), "one line: %s", log)
			}
			require.Empty(t, out)
			require.Zero(t, f.requests.Load(), "nothing was sent")
		})
	}
}

// serving is a command that runs until it is interrupted.
type serving struct {
	t      *testing.T
	url    string
	stop   func()
	status chan int

	mu       sync.Mutex // guards out and log, for the time of one Write or String
	out, log bytes.Buffer
}

// lockedWriter writes to one of the outputs of a serving command.
type lockedWriter struct {
	s      *serving
	buffer *bytes.Buffer
}

// Write implements io.Writer.
func (w lockedWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.buffer.Write(p)
}

func (s *serving) printed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

var listens = regexp.MustCompile(`(?m)^(?:mock|proxy) listens on (http://\S+)$`)

// serveCommand runs a command, and waits until it listens.
func serveCommand(t *testing.T, args ...string) *serving {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &serving{t: t, stop: stop, status: make(chan int, 1)}
	go func() {
		s.status <- cli.Run(ctx, append(args, "--listen", "127.0.0.1:0"), cli.Streams{
			Out: lockedWriter{s, &s.out}, Log: lockedWriter{s, &s.log},
		})
	}()
	require.Eventually(t, func() bool { return listens.MatchString(s.printed()) }, time.Minute, time.Millisecond, &s.log)
	s.url = listens.FindStringSubmatch(s.printed())[1]
	return s
}

// get requests a path and returns the body of the response.
func (s *serving) get(path string, headers ...string) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	require.NoError(s.t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return string(body)
}

// interrupt ends the command as Ctrl-C does, and returns its exit status and what it printed after its first line.
func (s *serving) interrupt() (status int, out, log string) {
	s.t.Helper()
	s.stop()
	status = <-s.status
	_, out, _ = strings.Cut(s.out.String(), "\n")
	return status, out, s.log.String()
}

func TestContractMock(t *testing.T) {
	t.Parallel()
	t.Run("of gatehouse", func(t *testing.T) {
		t.Parallel()
		s := serveCommand(t, "contract", "mock")
		require.Contains(t, s.get("/admin/hello", "Admin-Auth", "any"), `"Status":"OK"`)
		require.Contains(t, s.get("/admin/users/sekret", "Prefer", "example=not_found"), `"Status":"Error"`)
		status, out, log := s.interrupt()
		require.Zero(t, status, log)
		require.Empty(t, log)
		require.Equal(t, "GET /admin/hello 200 ok\nGET /admin/users/{userId} 404 not_found\n", out)
	})
	t.Run("of another contract, quietly", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		s := serveCommand(t, "contract", "mock", "--contract", f.path("ferries.yaml"), "--quiet")
		require.Equal(t, `{"name":"Marina"}`, s.get("/ferries/any", "Ferry-Key", "any"))
		require.Equal(t, `{"error":"not yours"}`, s.get("/ferries/any"))
		status, out, log := s.interrupt()
		require.Zero(t, status, log)
		require.Empty(t, out)
	})
	t.Run("of no bodies", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{{"mock"}, {"proxy", "--upstream", "http://127.0.0.1:1"}} {
			status, _, log := run(t, append(append([]string{"contract"}, args...), "--max-body", "0")...)
			require.Equal(t, 2, status)
			require.Equal(t, "gatehouse: --max-body: 0 is less than 1\n", log)
		}
	})
	t.Run("of a contract that is none", func(t *testing.T) {
		t.Parallel()
		status, _, log := run(t, "contract", "mock", "--contract", "/nowhere.yaml")
		require.Equal(t, 2, status)
		require.Contains(t, log, "/nowhere.yaml")
	})
	t.Run("on a port in use", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		status, _, log := run(t, "contract", "mock", "--listen", strings.TrimPrefix(f.url, "http://"))
		require.Equal(t, 2, status)
		require.Contains(t, log, "gatehouse: listen: ")
	})
}

func TestContractProxy(t *testing.T) {
	t.Parallel()
	start := func(f *ferries) *serving {
		return serveCommand(f.t, "contract", "proxy", "--upstream", f.url, "--contract", f.path("ferries.yaml"),
			"--json", f.path("report.json"))
	}
	t.Run("traffic that holds the contract", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		s := start(f)
		require.Equal(t, `{"name":"Marina"}`, s.get("/ferries/Marina", "Ferry-Key", ferryKey))
		require.Equal(t, `{"error":"not yours"}`, s.get("/ferries/Marina"))
		status, out, log := s.interrupt()
		require.Zero(t, status, out+log)
		require.Contains(t, out, "\n2 of 3 outcomes driven, 0 need a fault\n2 requests; the bodies of 0 requests and 0 responses were not validated\n")
		require.FileExists(t, f.path("report.json"))
	})
	t.Run("traffic that departs from it", func(t *testing.T) {
		t.Parallel()
		f := startFerries(t)
		f.departs.Store(true)
		s := start(f)
		require.Equal(t, `{"name":7}`, s.get("/ferries/Marina", "Ferry-Key", ferryKey), "it is passed on")
		const departure = "DEPARTED getFerry 200: /name: response: value must be a string\n"
		require.Eventually(t, func() bool { return strings.Contains(s.printed(), departure) }, time.Minute, time.Millisecond,
			"it is printed before the end")
		status, out, log := s.interrupt()
		require.Equal(t, 1, status)
		require.Empty(t, log)
		require.Equal(t, 1, strings.Count(out, "DEPARTED"))
		require.Contains(t, out, "FAILED getFerry/ok")
		require.NotContains(t, out, ferryKey)
	})
	t.Run("a path that the contract does not have", func(t *testing.T) {
		t.Parallel()
		s := start(startFerries(t))
		s.get("/harbours")
		status, out, _ := s.interrupt()
		require.Equal(t, 1, status)
		require.Contains(t, out, "DEPARTED GET /harbours: no operation of the contract has this method and path\n")
		require.Contains(t, out, "\n0 of 3 outcomes driven, 0 need a fault\n0 requests;")
		require.Contains(t, out, "\n1 more requests to methods and paths that the contract does not have\n")
	})
	t.Run("without a server", func(t *testing.T) {
		t.Parallel()
		status, _, log := run(t, "contract", "proxy")
		require.Equal(t, 2, status)
		require.Equal(t, "gatehouse: --upstream is required: the URL of the server\n", log)
	})
}

func TestContractDiff(t *testing.T) {
	t.Parallel()
	const contract = `openapi: 3.0.3
info: {title: Teams, version: 1.0.0}
paths: {/teams: {get: {operationId: listTeams, responses: {'200': {description: The teams.}}}}}
`
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	old := write("old.yaml", contract)
	renamed := write("renamed.yaml", strings.Replace(contract, "/teams", "/groups", 1))
	described := write("described.yaml", strings.Replace(contract, "The teams", "All teams", 1))

	status, out, log := run(t, "contract", "diff", old, described)
	require.Equal(t, "0 breaking changes, 0 other changes.\n", out)
	require.Empty(t, log)
	require.Zero(t, status)

	status, out, log = run(t, "contract", "diff", old, renamed)
	require.Equal(t, `Breaking changes:

  GET /teams (listTeams)
    API path removed without deprecation (`+old+`:3)

Other changes:

  GET /groups (listTeams)
    endpoint added (`+renamed+`:3)

1 breaking change, 1 other change.
`, out)
	require.Empty(t, log)
	require.Equal(t, 1, status)

	status, out, log = run(t, "contract", "diff", old, filepath.Join(dir, "missing.yaml"))
	require.Empty(t, out)
	require.Contains(t, log, "gatehouse: load "+dir+"/missing.yaml: ")
	require.Equal(t, 2, status)
}
