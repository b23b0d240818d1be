package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// goModule is a version of a Go module that has contracts of others, with its checksum.
type goModule struct{ path, version, sum string }

var (
	ogenModule    = goModule{"github.com/ogen-go/ogen", "v1.24.0", "h1:NehBG/8s0JeM6jYHPJeFJntBG3cE/xQgZd1q8BchPNM="}
	kinModule     = goModule{"github.com/getkin/kin-openapi", "v0.153.0", "h1:Qo4qWW+Pj8o90LUTE6MDyG5TJAtWnfvrcWOBcWg7eBw="}
	oasdiffModule = goModule{"github.com/oasdiff/oasdiff", "v1.37.0", "h1:4/KuuhVDHF7ltTYNPRvdn9IIbcPRvGRTdJxBErbD5pQ="}
)

// dir returns the directory of the module, which it downloads if necessary.
func (m goModule) dir(t *testing.T) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", m.path+"@"+m.version)
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GONOSUMDB="+m.path) // the checksum is compared here
	printed, err := command.Output()
	require.NoError(t, err, string(printed))
	var downloaded struct{ Dir, Sum string }
	require.NoError(t, json.Unmarshal(printed, &downloaded))
	require.Equal(t, m.sum, downloaded.Sum, "%s %s is another than before", m.path, m.version)
	return downloaded.Dir
}

// publicContract is a contract that nobody here wrote, with what the commands find in it. docs/contract.md has a table
// of them.
type publicContract struct {
	module goModule
	file   string
	// operations and faults are numbers, and fault is a part of the first fault.
	operations, faults int
	fault              string
	// next is another version of the contract. Without one, it is the same contract without its first path.
	next string
	// breaking is the number of breaking changes.
	breaking int
	// refused is the number of the requests that the mock refuses, or has no response to: the contract's examples do not
	// match its schemas, or there is no response of success.
	refused int
	// departures is the number of the departures that the proxy sees then: examples that do not match their schemas, and
	// the mock's refusals where the contract declares none.
	departures int
}

var publicContracts = map[string]publicContract{
	"GitHub": {
		module: ogenModule, file: "_testdata/examples/api.github.com.json", operations: 767, breaking: 1, refused: 3, departures: 7,
	},
	"OpenAI": {
		module: ogenModule, file: "_testdata/examples/openai-1.2.0.openapi.yaml", operations: 28, breaking: 37, refused: 1, departures: 1,
		next: "_testdata/examples/openai-2.3.0.openapi.yaml",
	},
	"Superset": {
		module: ogenModule, file: "_testdata/examples/superset.json", operations: 140, breaking: 1, refused: 1, faults: 1,
		fault: "superset.json:13751:5: the path has the parameters [\"pk\" \"table_name\"], and an operation declares",
	},
	"Telegram":          {module: ogenModule, file: "_testdata/examples/telegram_bot_api.json", operations: 82, breaking: 1, departures: 2},
	"Firecracker":       {module: ogenModule, file: "_testdata/examples/firecracker.json", operations: 26, breaking: 1},
	"petstore-expanded": {module: ogenModule, file: "_testdata/examples/petstore-expanded.yml", operations: 4, breaking: 2},
	"lxkns":             {module: kinModule, file: "openapi3/testdata/lxkns.yaml", operations: 3, breaking: 1},
	"home-iot":          {module: oasdiffModule, file: "data/home-iot-api-1.yaml", operations: 15, breaking: 1, refused: 3, departures: 3},
}

// TestPublicContracts lints, mocks, compares and proxies contracts that nobody here wrote.
func TestPublicContracts(t *testing.T) {
	t.Parallel()
	for name, c := range publicContracts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := c.module.dir(t)
			file := filepath.Join(dir, c.file)
			c.lint(t, file)
			next := filepath.Join(dir, c.next)
			if c.next == "" {
				next = withoutFirstPath(t, file)
			}
			c.diff(t, file, next)
			c.serve(t, file)
		})
	}
}

// contractCommand runs a command below contract to its end.
func contractCommand(t *testing.T, args ...string) (status int, printed string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program(t), append([]string{"contract"}, args...)...)
	command.Dir = t.TempDir()
	output, err := command.CombinedOutput()
	if err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError), string(output))
	}
	require.NotContains(t, string(output), "goroutine ", "it panics")
	return command.ProcessState.ExitCode(), string(output)
}

func (c publicContract) lint(t *testing.T, file string) {
	t.Helper()
	status, printed := contractCommand(t, "lint", file)
	require.Equal(t, c.faults > 0, status == 1, printed)
	counts := regexp.MustCompile(`(?m)^(\d+) faults?, \d+ places? beyond OpenAPI\.$`).FindStringSubmatch(printed)
	require.NotNil(t, counts, printed)
	require.Equal(t, strconv.Itoa(c.faults), counts[1], printed)
	require.Contains(t, printed, c.fault)
	require.Contains(t, printed, "\n  outcome: ", "what is beyond OpenAPI is said")
}

func (c publicContract) diff(t *testing.T, file, next string) {
	t.Helper()
	status, printed := contractCommand(t, "diff", file, file)
	require.Zero(t, status, printed)
	require.Equal(t, "0 breaking changes, 0 other changes.\n", printed)
	status, printed = contractCommand(t, "diff", file, next)
	require.Equal(t, 1, status, printed)
	breaking := regexp.MustCompile(`(?m)^(\d+) breaking changes?, \d+ other changes?\.$`).FindStringSubmatch(printed)
	require.NotNil(t, breaking, printed)
	require.Equal(t, strconv.Itoa(c.breaking), breaking[1], printed)
}

// withoutFirstPath writes a contract without its first path to a file.
func withoutFirstPath(t *testing.T, file string) string {
	t.Helper()
	document := loadPublic(t, file)
	document.Paths.Delete(document.Paths.InMatchingOrder()[0])
	text, err := json.Marshal(document)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "next.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

func loadPublic(t *testing.T, file string) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	document, err := loader.LoadFromFile(file)
	require.NoError(t, err)
	return document
}

// contractServer is a running mock or proxy.
type contractServer struct {
	*server

	url string
}

// startContractServer starts contract mock or contract proxy on a port that the system chooses.
func startContractServer(t *testing.T, args ...string) contractServer {
	t.Helper()
	s := contractServer{server: &server{t: t, log: &output{}}}
	command := exec.CommandContext(t.Context(), program(t), append([]string{"contract"}, args...)...)
	command.Args = append(command.Args, "--listen", "127.0.0.1:0")
	command.Dir = t.TempDir()
	s.launchAs(command)
	t.Cleanup(func() { s.signal(syscall.SIGKILL) })
	listening := regexp.MustCompile(`(?m)^\w+ listens on (http://\S+)$`)
	eventually(t, "the command serves", func() bool {
		require.False(t, s.hasExited(), s.log)
		return listening.MatchString(s.stdout.String())
	})
	s.url = listening.FindStringSubmatch(s.stdout.String())[1]
	return s
}

// end interrupts the command, and returns its exit status and what it has printed.
func (s contractServer) end() (status int, printed string) {
	s.t.Helper()
	s.signal(syscall.SIGINT)
	status = s.waitExit()
	require.NotContains(s.t, s.log.String(), "panic", "a request crashes")
	return status, s.stdout.String()
}

// serve starts a mock of the contract and a proxy before it, and sends requests to every operation through both.
func (c publicContract) serve(t *testing.T, file string) {
	t.Helper()
	document := loadPublic(t, file)
	mock := startContractServer(t, "mock", "--quiet", "--contract", file)
	proxy := startContractServer(t, "proxy", "--contract", file, "--upstream", mock.url)
	operations := requestsOf(document)
	require.Len(t, operations, c.operations)
	var refused []string
	for _, one := range operations {
		status, reason := one.send(t, proxy.url)
		require.NotEqual(t, http.StatusBadGateway, status, "%s: %s", one.name, proxy.log)
		if reason != "" {
			refused = append(refused, fmt.Sprintf("%s: %d %s", one.name, status, reason))
		}
	}
	require.Len(t, refused, c.refused, strings.Join(refused, "\n"))

	unknown := publicRequest{name: "unknown", method: http.MethodPut, target: "/no/such/path"}
	status, reason := unknown.send(t, proxy.url)
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, "no operation of the contract has this method and path", reason)

	status, printed := proxy.end()
	require.Equal(t, 1, status, "of the unknown path")
	require.Contains(t, printed, "DEPARTED PUT /no/such/path: no operation of the contract has this method and path\n")
	require.Equal(t, c.departures+1, strings.Count(printed, "DEPARTED "), printed)
	require.Contains(t, printed, fmt.Sprintf("\n%d requests; ", c.operations))
	require.Contains(t, printed, " operations have no named response example, and so no outcomes: ")
	status, _ = mock.end()
	require.Zero(t, status)
	c.serveWrong(t, file, operations)
}

// serveWrong starts a proxy before a server whose responses are none of the contract.
func (c publicContract) serveWrong(t *testing.T, file string, operations []publicRequest) {
	t.Helper()
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-wrong")
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("wrong"))
	}))
	t.Cleanup(wrong.Close)
	proxy := startContractServer(t, "proxy", "--contract", file, "--upstream", wrong.URL)
	for _, one := range operations {
		status, _ := one.send(t, proxy.url)
		require.Equal(t, http.StatusTeapot, status, "it is passed on")
	}
	status, printed := proxy.end()
	require.Equal(t, 1, status, printed)
	const mostReported = 1000
	require.Equal(t, min(c.operations, mostReported), strings.Count(printed, "DEPARTED "), printed)
}

// publicRequest is a request to an operation.
type publicRequest struct {
	name, method, target string
	header               http.Header
	body                 []byte
}

// send sends the request, and returns the status and why the mock refused it.
func (r *publicRequest) send(t *testing.T, url string) (status int, reason string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), r.method, url+r.target, bytes.NewReader(r.body))
	require.NoError(t, err)
	if r.header != nil {
		request.Header = r.header.Clone()
	}
	response, err := publicClient().Do(request)
	require.NoError(t, err, r.name)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err, r.name)
	return response.StatusCode, response.Header.Get("Mock-Reason")
}

// publicClient returns a client that follows no redirection of an example.
var publicClient = sync.OnceValue(func() *http.Client {
	return &http.Client{
		Timeout:       bound,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
})
