package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
)

const (
	houseAdminSecret   = "the-admin-secret"
	houseNodeSecret    = "the-node-secret"
	houseControlSecret = "the-control-secret"
	// bound is for what is bound to happen and is never waited for in full; promised is for a change to reach a gateway.
	bound    = 30 * time.Second
	promised = 2 * time.Second
)

// builtHouse is the program, built once.
var builtHouse = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gatehouse-built-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gatehouse")
	said, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w: %s", err, said)
	}
	return path, err
})

// house is gatehouse as its users run it, with a private Postgres, through any number of starts.
type house struct {
	t       *testing.T
	dir     string
	env     []string
	address string // where it listens: the first start chooses
	cmd     *exec.Cmd
	log     *logFile
	gone    chan struct{}
}

// logFile is what a process has said.
type logFile struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newHouse starts a server on a data directory of its own.
func newHouse(t *testing.T, env ...string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-house-") //nolint:usetesting // Postgres's account has to pass through
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &house{t: t, dir: filepath.Join(dir, "data"), address: "127.0.0.1:0", log: &logFile{}}
	h.env = append([]string{"TYK_DB_ADMINSECRET=" + houseAdminSecret, "TYK_DB_NODESECRET=" + houseNodeSecret}, env...)
	t.Cleanup(func() {
		if h.cmd != nil {
			h.end(syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("log of gatehouse:\n%s", h.log)
		}
	})
	h.start()
	return h
}

// command is the program with arguments, on the house's data directory.
func (h *house) command(args ...string) *exec.Cmd {
	h.t.Helper()
	path, err := builtHouse()
	require.NoError(h.t, err)
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GATEHOUSE_DATA_DIR=" + h.dir, "GATEHOUSE_LISTEN=" + h.address}
	cmd.Env = append(cmd.Env, h.env...)
	return cmd
}

var houseListens = regexp.MustCompile(`^gatehouse listens on http://(\S+)$`)

// start starts the server, the second time on the port of the first.
func (h *house) start() {
	h.t.Helper()
	h.cmd, h.gone = h.command("serve"), make(chan struct{})
	h.cmd.Stderr = h.log
	out, err := h.cmd.StdoutPipe()
	require.NoError(h.t, err)
	require.NoError(h.t, h.cmd.Start())
	said, listens := bufio.NewScanner(out), false
	for !listens && said.Scan() {
		if m := houseListens.FindStringSubmatch(said.Text()); m != nil {
			h.address, listens = m[1], true
		}
	}
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		close(gone)
	}(h.cmd, h.gone)
	require.True(h.t, listens, "gatehouse did not start: %s", h.log)
}

// end sends a signal, after which the server is to end.
func (h *house) end(signal syscall.Signal) {
	h.t.Helper()
	_ = h.cmd.Process.Signal(signal)
	h.waitGone()
}

func (h *house) waitGone() {
	h.t.Helper()
	select {
	case <-h.gone:
	case <-time.After(bound):
		h.t.Fatalf("gatehouse does not end: %s", h.log)
	}
}

// ask sends an administrator's request, which must succeed, and returns Meta.
func (h *house) ask(method, path, body string) (meta json.RawMessage) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, "http://"+h.address+path, strings.NewReader(body))
	require.NoError(h.t, err)
	r.Header.Set("Admin-Auth", houseAdminSecret)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(h.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(h.t, err)
	require.Equal(h.t, 200, resp.StatusCode, "%s %s: %s", method, path, answer)
	var envelope struct{ Meta json.RawMessage }
	require.NoError(h.t, json.Unmarshal(answer, &envelope), string(answer))
	return envelope.Meta
}

func (h *house) newOrg() (id string) {
	h.t.Helper()
	require.NoError(h.t, json.Unmarshal(h.ask("POST", "/admin/organisations", `{"owner_name":"Rivermouth"}`), &id))
	return id
}

// importAPI imports an API that a gateway serves.
func (h *house) importAPI(orgID, id string) {
	h.t.Helper()
	meta := h.ask("POST", "/admin/apis/import", `{"apis":[{"api_definition":{"api_id":"`+id+`","org_id":"`+orgID+`","name":"`+id+`","use_keyless":true,
		"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},
		"proxy":{"listen_path":"/`+id+`/","target_url":"http://127.0.0.1:1/","strip_listen_path":true}}}]}`)
	require.JSONEq(h.t, `{"`+id+`":true}`, string(meta))
}

// line leads from a gateway to its dashboard. While there is no dashboard, connections break; it can be slow.
type line struct {
	url    string
	target atomic.Pointer[url.URL]
	slow   atomic.Pointer[slowness]
}

// slowness holds one request to a path up, before the dashboard hears of it.
type slowness struct {
	path          string
	came, release chan struct{}
}

func newLine(t *testing.T) *line {
	t.Helper()
	l := &line{}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Transport:    transport,
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(l.target.Load()) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := l.slow.Load(); s != nil && s.path == r.URL.Path && l.slow.CompareAndSwap(s, nil) {
			close(s.came)
			<-s.release
		}
		if l.target.Load() == nil {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { web.Close(); transport.CloseIdleConnections() })
	l.url = web.URL
	return l
}

// leadTo connects the line.
func (l *line) leadTo(h *house) { l.target.Store(&url.URL{Scheme: "http", Host: h.address}) }

// holdUp makes the line slow for the next request to path.
func (l *line) holdUp(t *testing.T, path string) *slowness {
	t.Helper()
	s := &slowness{path: path, came: make(chan struct{}), release: make(chan struct{})}
	l.slow.Store(s)
	return s
}

// served is a house with a gateway that has loaded an API from it, and their Redis.
type served struct {
	*house
	line    *line
	gateway *gatewaytest.Gateway
	redis   *gatewaytest.Redis
	org     string
}

// serveGateway starts all of it. control: gatehouse knows the gateway's control API, too.
func serveGateway(t *testing.T, control bool) *served {
	t.Helper()
	s := &served{redis: gatewaytest.StartRedis(t, gatewaytest.WithPassword("sesame")), line: newLine(t)}
	s.gateway = gatewaytest.Start(t, gatewaytest.Config{
		DashboardURL: s.line.url, NodeSecret: houseNodeSecret, ControlSecret: houseControlSecret, Redis: s.redis, EnforceOrgQuotas: true,
		PingInterval: 100 * time.Millisecond, RetryInterval: 50 * time.Millisecond,
		ReloadInterval: 50 * time.Millisecond, RedisPause: 50 * time.Millisecond,
	})
	host, port := s.redis.Addr()
	env := []string{"TYK_DB_REDISHOST=" + host, fmt.Sprint("TYK_DB_REDISPORT=", port), "TYK_DB_REDISPASSWORD=" + s.redis.Password()}
	if control {
		at, err := url.Parse(s.gateway.URL())
		require.NoError(t, err)
		env = append(env, "TYK_DB_TYKAPI_HOST=http://"+at.Hostname(), "TYK_DB_TYKAPI_PORT="+at.Port(), "TYK_DB_TYKAPI_SECRET="+houseControlSecret)
	}
	s.house = newHouse(t, env...)
	s.line.leadTo(s.house)
	s.gateway.WaitReady(t, bound)
	s.org = s.newOrg()
	s.importAPI(s.org, "harbour")
	s.gateway.WaitForAPI(t, "harbour", bound)
	return s
}

// waitQuiet waits until the gateway has loaded what it was told of: it loads nothing, and nothing is left to be told.
func (s *served) waitQuiet() {
	s.t.Helper()
	const longest = time.Second // more than a burst of changes is gathered for, and than the gateway gathers notices for
	gatewaytest.Eventually(s.t, bound, "the gateway loads nothing", func() bool {
		calls := s.gateway.Calls()
		last := slices.IndexFunc(calls, func(c gatewaytest.Call) bool {
			return strings.HasPrefix(c.Path, "/system/") && time.Since(c.At) < longest
		})
		return last < 0
	})
}

// goesOn checks that the gateway is the node it was, and hears of changes.
func (s *served) goesOn(node, change string) {
	s.t.Helper()
	s.importAPI(s.org, change)
	gatewaytest.Eventually(s.t, promised, "the gateway serves "+change, func() bool {
		return slices.Contains(s.gateway.APIs(), change) || s.gateway.Deadlocked()
	})
	require.False(s.t, s.gateway.Deadlocked())
	require.Equal(s.t, node, s.gateway.NodeID(), "it is known over the restart")
	require.Equal(s.t, 1, s.gateway.Registrations())
}

func TestRestartInTheMiddleOfAReload(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, false)
	node := s.gateway.NodeID()
	s.waitQuiet()
	held := s.line.holdUp(t, "/system/apis")
	s.importAPI(s.org, "quay")
	select {
	case <-held.came: // it has its policies
	case <-time.After(bound):
		t.Fatal("the gateway does not reload")
	}
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	const gatewayTakes = 700 * time.Millisecond // to come for its APIs: longer than a server needs that does not wait for it
	left := false
	select {
	case <-s.gone:
		left = true
	case <-time.After(gatewayTakes):
	}
	close(held.release)
	s.waitGone()
	require.True(t, left || s.cmd.ProcessState.Success(), s.log.String())
	s.start()
	s.goesOn(node, "pier")
	require.False(t, left, "it left a gateway that had its policies and not yet its APIs")
	require.Contains(t, s.gateway.APIs(), "quay")
	require.Empty(t, s.gateway.ReloadErrors())
}

func TestServerThatWasKilledComesBackToItsGateways(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, false)
	node := s.gateway.NodeID()
	s.waitQuiet()
	s.end(syscall.SIGKILL)
	before := s.gateway.Reloads()
	calls := len(s.gateway.Calls())
	gatewaytest.Eventually(t, bound, "heartbeats that nobody hears", func() bool { return len(s.gateway.Calls()) >= calls+3 })
	s.start()
	s.gateway.WaitReloads(t, before+1, bound) // it is told to, as something may have changed
	s.goesOn(node, "pier")
	require.Empty(t, s.gateway.ReloadErrors())
}

func TestKeysSync(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, true)
	other := s.newOrg()
	for _, org := range []string{s.org, other} {
		s.ask("POST", "/admin/org/keys", `{"org_id":"`+org+`","rate":2,"per":3600,"quota_max":-1}`)
	}
	restored := func() {
		t.Helper()
		s.redis.Restart()
		var problems bytes.Buffer
		cmd := s.command("keys", "sync")
		cmd.Stderr = &problems
		said, err := cmd.Output()
		require.NoError(t, err, problems.String())
		require.Equal(t, "2 organisation keys told to the gateway\n", string(said))
		for _, org := range []string{s.org, other} {
			require.Equal(t, int64(1), s.redis.Client().Exists(t.Context(), "orgkey."+org).Val(), "the key of %s is back", org)
		}
	}
	t.Run("while the server runs, on its private Postgres", func(t *testing.T) { restored() })
	s.end(syscall.SIGTERM)
	t.Run("and while it does not", func(t *testing.T) { restored() })
	t.Run("not without a gateway", func(t *testing.T) {
		cmd := s.command("keys", "sync")
		cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "TYK_DB_TYKAPI_") })
		var problems bytes.Buffer
		cmd.Stderr = &problems
		said, err := cmd.Output()
		require.ErrorContains(t, err, "exit status 1")
		require.Empty(t, string(said))
		require.Contains(t, problems.String(), "gatehouse: no gateway is configured: --gateway-host (TYK_DB_TYKAPI_HOST) says where it is\n")
	})
}
