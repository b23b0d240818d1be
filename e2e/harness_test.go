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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	if err := os.RemoveAll(built.dir); err != nil {
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

// program returns the path of the program.
func program(t *testing.T) string {
	t.Helper()
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
	mu   sync.Mutex // guards text, for the time of one Write or String
	text bytes.Buffer
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

// lines returns the complete lines that were written.
func (o *output) lines() []string {
	lines := strings.Split(o.String(), "\n")
	return lines[:len(lines)-1]
}

// environment returns the environment of this process without what configures a server, and with settings.
func environment(settings ...string) []string {
	var env []string
	for _, each := range os.Environ() {
		if !strings.HasPrefix(each, "GATEHOUSE_") && !strings.HasPrefix(each, "TYK_DB_") && !strings.HasPrefix(each, "DATABASE_URL=") {
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
	address  string   // host:port; chosen by the first start
	log      *output  // standard error of all starts

	// Of the last start:
	process *exec.Cmd
	stdout  *output
	exited  chan struct{}
}

// newServer returns a server with a data directory of its own that has not been started. It is killed with the test.
func newServer(t *testing.T, settings ...string) *server {
	t.Helper()
	s := &server{t: t, dir: newDataDir(t), settings: settings, address: "127.0.0.1:0", log: &output{}}
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

var listens = regexp.MustCompile(`(?m)^gatehouse listens on http://(\S+)$`)

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

// request sends a request and returns the status and the body of the response; headers are names and values. The status
// is 0 if there is no response.
func (s *server) request(method, path, body string, headers ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address+path, strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	response, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(response)
}

// ask sends a request and returns the body of the response, whose status must be 200.
func (s *server) ask(method, path, body string, headers ...string) string {
	s.t.Helper()
	status, response := s.request(method, path, body, headers...)
	require.Equal(s.t, http.StatusOK, status, "%s %s: %s", method, path, response)
	return response
}

// admin sends a request with the admin secret and returns the body of the response, whose status must be 200.
func (s *server) admin(method, path, body string) string {
	s.t.Helper()
	return s.ask(method, path, body, "Admin-Auth", s.adminSecret())
}

// newOrganisation returns the ID of a new organisation.
func (s *server) newOrganisation() string {
	s.t.Helper()
	return metaOf(s.t, s.admin("POST", "/admin/organisations", `{"owner_name":"Rivermouth Foods"}`))
}

// metaOf returns the Meta of a response, which must be a string.
func metaOf(t *testing.T, response string) string {
	t.Helper()
	var envelope struct{ Meta string }
	require.NoError(t, json.Unmarshal([]byte(response), &envelope), response)
	return envelope.Meta
}
