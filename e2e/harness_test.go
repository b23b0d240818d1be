// Package e2e_test tests the program as its users run it: built, started as a process with a directory of its own,
// asked over HTTP, stopped by signals and killed. It also runs the commands in README.md and in the README of the
// example.
package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/testport"
	"gatehouse/store/storetest"
)

const (
	// repository is the root of the repository, seen from this directory.
	repository = ".."
	// bound limits waits for what is certain to happen. It is reached only when something is broken, and is long enough
	// for a machine that is busy with other things.
	bound = 2 * time.Minute
	// pollInterval is how often a wait looks for the state it waits for.
	pollInterval = 10 * time.Millisecond
)

func TestMain(m *testing.M) {
	status := storetest.Main(m)
	if err := errors.Join(os.RemoveAll(built.dir), removeSharedPostgres()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// built is the program under test, which the first test that needs it builds.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// givenProgram is an environment variable with the path of a program to test, such as that of a release, instead of one
// that is built.
const givenProgram = "GATEHOUSE_TEST_PROGRAM"

// program returns the path of the program.
func program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(givenProgram); path != "" {
		return path
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "e2e-"); built.err != nil { //nolint:usetesting // all tests share it
			return
		}
		if built.err = readSources(); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", built.dir, repository)
		if output, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, output)
		}
	})
	require.NoError(t, built.err)
	return filepath.Join(built.dir, "gatehouse")
}

// readSources reads the directories of the repository. go test remembers what a test reads, and does not present an old
// result as "(cached)" when a source file has changed since.
func readSources() error {
	return filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.Name() == ".git" {
			return filepath.SkipDir
		}
		return err
	})
}

// newDir returns a directory that is removed with the test. Unlike that of t.TempDir, the account of the private
// Postgres can reach it, and its path is short enough for a Unix socket.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// newDataDir returns the path of a data directory that does not exist yet.
func newDataDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(newDir(t), "data")
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); !condition(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", bound, what)
		}
	}
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex // guards text and what follows, for the time of one call
	text bytes.Buffer
	// discarded matches lines that are not kept; nil keeps all. The text is looked through when it has grown to checkAt.
	discarded *regexp.Regexp
	checkAt   int
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if o.discarded != nil && o.text.Len() > o.checkAt {
		o.compact()
	}
	return n, err
}

// discard does not keep the complete lines that match from now on, in a run whose log would be long.
func (o *output) discard(lines *regexp.Regexp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.discarded = lines
	o.compact()
}

// compact removes the lines that are not kept.
func (o *output) compact() {
	const step = 1 << 20
	var kept bytes.Buffer
	for line := range bytes.Lines(o.text.Bytes()) {
		if !bytes.HasSuffix(line, []byte("\n")) || !o.discarded.Match(line) {
			kept.Write(line)
		}
	}
	o.text = kept
	o.checkAt = kept.Len() + step
}

// matching returns what matches in what was kept.
func (o *output) matching(what *regexp.Regexp) []string { return what.FindAllString(o.String(), -1) }

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// lines returns the complete lines that were written.
func (o *output) lines() []string {
	lines := strings.Split(o.String(), "\n")
	return lines[:len(lines)-1]
}

// environment returns the environment of this process without what configures a server, and with settings.
func environment(settings ...string) []string {
	var env []string
	for _, each := range os.Environ() {
		isSetting := func(prefix string) bool { return strings.HasPrefix(each, prefix) }
		if !slices.ContainsFunc([]string{"GATEHOUSE_", "TYK_DB_", "DATABASE_URL=", "OTEL_"}, isSetting) {
			env = append(env, each)
		}
	}
	return append(env, settings...)
}

// server is `gatehouse serve` on a data directory and an address that stay the same through any number of starts.
type server struct {
	t        *testing.T
	dir      string   // the data directory
	settings []string // environment variables
	address  string   // host:port
	log      *output  // standard error of all starts

	// Of the last start:
	process *exec.Cmd
	stdout  *output
	exited  chan struct{}
}

// newServer returns a server with a data directory of its own that has not been started. It is killed with the test.
func newServer(t *testing.T, settings ...string) *server {
	t.Helper()
	address, err := testport.Address() // nothing else gets it while the server is started again
	require.NoError(t, err)
	s := &server{t: t, dir: newDataDir(t), settings: settings, address: address, log: &output{}}
	t.Cleanup(func() {
		if s.process != nil {
			s.kill()
			s.stopPostgres()
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.log)
		}
	})
	return s
}

// startServer returns a running server with a data directory of its own.
func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	s := newServer(t, settings...)
	s.start()
	return s
}

// command returns a command of the program with the settings of the server.
func (s *server) command(args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(program(s.t), args...)
	cmd.Env = environment(append([]string{"GATEHOUSE_DATA_DIR=" + s.dir, "GATEHOUSE_LISTEN=" + s.address}, s.settings...)...)
	return cmd
}

var listens = regexp.MustCompile(`(?m)^gatehouse listens on https?://(\S+)$`)

// launch starts the server without waiting for anything.
func (s *server) launch() {
	s.t.Helper()
	s.launchAs(s.command("serve"))
}

// launchAs starts the server by a command that may start other processes.
func (s *server) launchAs(cmd *exec.Cmd) {
	s.t.Helper()
	s.process, s.stdout, s.exited = cmd, &output{}, make(chan struct{})
	s.process.Stdout, s.process.Stderr = s.stdout, s.log
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signal reaches all processes of the command
	require.NoError(s.t, s.process.Start())
	go func(process *exec.Cmd, exited chan struct{}) {
		_ = process.Wait() // ProcessState has the exit status
		close(exited)
	}(s.process, s.exited)
}

// start starts the server and waits until it has announced its address and its secrets.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.waitStarted()
}

// waitStarted waits until the server has announced its address and its secrets.
func (s *server) waitStarted() {
	s.t.Helper()
	eventually(s.t, "the server announces its secrets", func() bool {
		require.False(s.t, s.hasExited(), "the server did not start: %s", s.log)
		return strings.Contains(s.stdout.String(), "\nadmin secret: ")
	})
	s.address = listens.FindStringSubmatch(s.stdout.String())[1]
}

func (s *server) hasExited() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// signal sends a signal to the processes of the server, as a terminal does for Ctrl-C. Postgres is not one of them. It
// does nothing after the server has exited: the number of its process group may then be that of other processes.
func (s *server) signal(signal syscall.Signal) {
	if !s.hasExited() {
		_ = syscall.Kill(-s.process.Process.Pid, signal)
	}
}

// waitExit returns the exit status of the server.
func (s *server) waitExit() int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(bound):
		s.t.Fatalf("the server does not end: %s", s.log)
	}
	return s.process.ProcessState.ExitCode()
}

// stop ends the server as a supervisor does, and returns its exit status.
func (s *server) stop() int {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	return s.waitExit()
}

// kill ends the server as kill -9 does.
func (s *server) kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	s.waitExit()
}

// postmasterPID returns the process ID of the private Postgres in a data directory, or 0 if none runs.
func postmasterPID(t *testing.T, dir string) (pid int) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	require.NoError(t, err)
	_, _ = fmt.Sscan(string(content), &pid) // the file is empty for a moment
	return pid
}

// stopPostgres ends the private Postgres that a killed server leaves behind: it would go on writing to its directory.
func (s *server) stopPostgres() {
	s.t.Helper()
	eventually(s.t, "Postgres ends", func() bool {
		pid := postmasterPID(s.t, s.dir)
		return pid == 0 || syscall.Kill(pid, syscall.SIGINT) != nil
	})
}

// adminSecret returns the admin secret: the configured one or the one in the data directory.
func (s *server) adminSecret() string {
	s.t.Helper()
	for _, setting := range s.settings {
		if secret, found := strings.CutPrefix(setting, "TYK_DB_ADMINSECRET="); found {
			return secret
		}
	}
	return storedSecret(s.t, s.dir)
}

// storedSecret returns the admin secret in a data directory.
func storedSecret(t *testing.T, dir string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "admin-secret"))
	require.NoError(t, err)
	return strings.TrimSpace(string(content))
}

// response is a response of any operation.
type response interface {
	StatusCode() int
	Status() string
	GetBody() []byte
}

// ok returns the response to a call of a client. The function that it returns fails the test unless the status is 200.
func ok[R response](got R, err error) func(t *testing.T) R {
	return func(t *testing.T) R {
		t.Helper()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, got.StatusCode(), "%s: %s", got.Status(), got.GetBody())
		return got
	}
}

// client returns a client of the server with the admin secret.
func (s *server) client(options ...client.ClientOption) *client.ClientWithResponses {
	s.t.Helper()
	options = append([]client.ClientOption{client.WithAdminSecret(s.adminSecret())}, options...)
	c, err := client.New("http://"+s.address, options...)
	require.NoError(s.t, err)
	return c
}

// get sends a request that package client has no method for, and returns the response.
func (s *server) get(path, header, value string) (status int, body string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.address+path, nil)
	require.NoError(s.t, err)
	request.Header.Set(header, value)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response.StatusCode, string(raw)
}

// page returns a page for administrators that is no operation of a contract, such as /metrics.
func (s *server) page(path string) string {
	s.t.Helper()
	status, body := s.get(path, "Admin-Auth", s.adminSecret())
	require.Equal(s.t, http.StatusOK, status, body)
	return body
}

// newOrganisation returns the ID of a new organisation.
func (s *server) newOrganisation() string {
	s.t.Helper()
	organisation := json.RawMessage(`{"owner_name":"Rivermouth Foods"}`)
	return ok(s.client().CreateOrgWithResponse(s.t.Context(), organisation))(s.t).JSON200.Meta
}
