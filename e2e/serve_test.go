package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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

// soon bounds what is bound to happen and is never waited for in full.
const soon = 30 * time.Second

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gatehouse-binary-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "the program does not build:", err)
		os.Exit(1)
	}
	status := storetest.Main(m)
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// program is a server that runs as its users run it.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	said []string // on standard output
	log  *lines
	gone chan struct{}
}

// lines keeps what a program writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var listens = regexp.MustCompile(`^gatehouse listens on (http://\S+)$`)

// start starts a server on a data directory and a free port, and waits until it has said everything.
func start(t *testing.T, dir string, env ...string) *program {
	t.Helper()
	p := &program{t: t, log: &lines{}, gone: make(chan struct{})}
	p.cmd = exec.Command(binary, "serve")
	p.cmd.Env = append(environment(), append([]string{"GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_DATA_DIR=" + dir}, env...)...)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of the server:\n%s", p.log)
		}
	})
	said := bufio.NewScanner(out)
	for said.Scan() {
		p.said = append(p.said, said.Text())
		if m := listens.FindStringSubmatch(said.Text()); m != nil {
			p.url = m[1]
		}
		if strings.HasPrefix(said.Text(), "admin secret: ") {
			break
		}
	}
	go func() { // what else it says, and its end
		for said.Scan() {
			_, _ = io.WriteString(p.log, said.Text()+"\n")
		}
		_ = p.cmd.Wait()
		close(p.gone)
	}()
	require.NotEmpty(t, p.url, "the server did not start: %s", p.log)
	return p
}

// environment is this process's, without what configures a server.
func environment() (kept []string) {
	for _, each := range os.Environ() {
		if !strings.HasPrefix(each, "GATEHOUSE_") && !strings.HasPrefix(each, "TYK_DB_") && !strings.HasPrefix(each, "DATABASE_URL=") {
			kept = append(kept, each)
		}
	}
	return kept
}

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the server as kill -9 does.
func (p *program) kill() {
	p.signal(syscall.SIGKILL)
	<-p.gone
}

// stop ends the server as a supervisor does, and returns its exit status.
func (p *program) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(soon):
		p.t.Fatalf("the server did not stop: %s", p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// secret is the admin secret, as the data directory keeps it.
func secretIn(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "admin-secret"))
	require.NoError(t, err)
	return strings.TrimSpace(string(raw))
}

// ask sends a request and checks that the answer's status is 200.
func (p *program) ask(method, path, body string, headers ...string) string {
	p.t.Helper()
	status, answer := p.try(method, path, body, headers...)
	require.Equal(p.t, http.StatusOK, status, "%s %s: %s", method, path, answer)
	return answer
}

// try sends a request; headers are names and values. A status of 0 is no answer.
func (p *program) try(method, path, body string, headers ...string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, p.url+path, strings.NewReader(body))
	require.NoError(p.t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// dataDir is a new data directory, which Postgres's account can reach.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-data-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}

func meta(t *testing.T, answer string) string {
	t.Helper()
	var envelope struct{ Meta string }
	require.NoError(t, json.Unmarshal([]byte(answer), &envelope), answer)
	return envelope.Meta
}

func TestBootstrapSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := start(t, dir)
	secret := secretIn(t, dir)
	require.Len(t, p.said, 3)
	require.Equal(t, "data is in "+dir+" (a private Postgres)", p.said[1])
	require.Equal(t, "admin secret: "+secret+" (kept in "+dir+"/admin-secret; not printed again)", p.said[2])

	org := meta(t, p.ask("POST", "/admin/organisations", `{"owner_name":"Rivermouth Foods"}`, "admin-auth", secret))
	made := p.ask("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"ines@rivermouth.example","active":true}`, "admin-auth", secret)
	var user struct {
		Message string
		Meta    struct{ ID string }
	}
	require.NoError(t, json.Unmarshal([]byte(made), &user))
	reset := "/api/users/" + user.Meta.ID + "/actions/reset"
	p.ask("POST", reset, `{"new_password":"supersekret"}`, "Authorization", user.Message)
	document := `{"api_definition":{"api_id":"tides","org_id":"` + org + `","name":"Tide tables"}}`
	p.ask("POST", "/admin/apis/import", `{"apis":[`+document+`]}`, "admin-auth", secret)

	p.kill()
	again := start(t, dir)
	require.Equal(t, "admin secret: kept in "+dir+"/admin-secret", again.said[2], "it is printed once")
	require.Contains(t, again.ask("GET", "/admin/organisations/"+org, "", "admin-auth", secret), "Rivermouth Foods")
	require.Contains(t, again.ask("GET", "/api/apis", "", "Authorization", user.Message), `"name":"Tide tables"`)
	status, _ := again.try("POST", reset, `{"new_password":"another1"}`, "Authorization", user.Message)
	require.NotEqual(t, http.StatusOK, status, "the password is set")
	again.ask("POST", reset, `{"new_password":"another1","current_password":"supersekret"}`, "Authorization", user.Message)

	t.Run("secrets are their owner's, and in no log", func(t *testing.T) {
		for _, name := range []string{"admin-secret", "node-secret"} {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		}
		for _, hidden := range []string{secret, user.Message, "supersekret", "another1"} {
			require.NotContains(t, p.log.String()+again.log.String(), hidden)
		}
	})
	t.Run("it stops when it is told to, with its Postgres", func(t *testing.T) {
		require.Zero(t, again.stop())
		_, err := os.Stat(filepath.Join(dir, "postgres", "postmaster.pid"))
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestGracefulStop(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := start(t, dir)
	body, client := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, p.url+"/admin/organisations", body)
	require.NoError(t, err)
	r.Header.Set("Admin-Auth", secretIn(t, dir))
	type outcome struct {
		status int
		err    error
	}
	answered := make(chan outcome, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			answered <- outcome{err: err}
			return
		}
		_ = resp.Body.Close()
		answered <- outcome{status: resp.StatusCode}
	}()
	_, err = io.WriteString(client, `{"owner_name":`) // the request is under way
	require.NoError(t, err)
	require.Eventually(t, func() bool { // and has reached its handler: a second one is answered behind it
		status, _ := p.try("GET", "/hello", "")
		return status == http.StatusOK
	}, soon, 10*time.Millisecond)
	p.signal(syscall.SIGTERM)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, soon, 10*time.Millisecond, "no new connection is taken")
	_, err = io.WriteString(client, `"late"}`)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.Equal(t, outcome{status: http.StatusOK}, <-answered, "the request comes to its end")
	<-p.gone
	require.Zero(t, p.cmd.ProcessState.ExitCode())
}

// fails runs the program until it ends, which it must soon, with a status that is not 0, and returns what it says.
func fails(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(environment(), env...)
	said, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "it runs on: %s", said)
	require.Error(t, err, "it ended well: %s", said)
	return strings.TrimSpace(string(said))
}

func TestStartsThatFailSayWhy(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := start(t, dir)
	for name, c := range map[string]struct {
		env  []string
		says string
	}{
		"the data directory is in use": {[]string{"GATEHOUSE_DATA_DIR=" + dir, "GATEHOUSE_LISTEN=127.0.0.1:0"}, "is in use by another server"},
		"the port is taken":            {[]string{"GATEHOUSE_DATA_DIR=" + dataDir(t), "GATEHOUSE_LISTEN=" + strings.TrimPrefix(p.url, "http://")}, "address already in use"},
		"no address":                   {[]string{"GATEHOUSE_LISTEN=here"}, `--listen (GATEHOUSE_LISTEN): "here" is not host:port`},
		"no port":                      {[]string{"TYK_DB_LISTENPORT=70000"}, "port 70000 is not between 0 and 65535"},
		"not a number":                 {[]string{"TYK_DB_PAGESIZE=many"}, "page-size"},
		"no page":                      {[]string{"TYK_DB_PAGESIZE=0"}, "--page-size (TYK_DB_PAGESIZE): 0 is not between 1 and 1000"},
		"another storage":              {[]string{"TYK_DB_STORAGE_MAIN_TYPE=mongo"}, `"mongo"; gatehouse keeps its data in postgres only`},
		"a port without a host":        {[]string{"TYK_DB_TYKAPI_PORT=8080"}, "is set without --gateway-host"},
		"no gateway's address":         {[]string{"TYK_DB_TYKAPI_HOST=http://", "GATEHOUSE_DATA_DIR=" + dataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0"}, "is not an address"},
		"a secret with a blank":        {[]string{"TYK_DB_ADMINSECRET= x"}, "begins or ends with white space"},
		"an unknown log format":        {[]string{"GATEHOUSE_LOG_FORMAT=xml"}, `"xml" is neither text nor json`},
		"no Redis port":                {[]string{"TYK_DB_REDISPORT=0"}, "0 is not a port"},
		"no limit":                     {[]string{"GATEHOUSE_MAX_IMPORT=0"}, "0 is less than 1"},
		"deeper than anybody reads":    {[]string{"GATEHOUSE_MAX_DEPTH=5001"}, "5001 is not from 1 to 5000"},
		"no Postgres there":            {[]string{"DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "GATEHOUSE_DATA_DIR=" + dataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0"}, "connect to the database"},
		"no connection string":         {[]string{"DATABASE_URL=postgres://%zz", "GATEHOUSE_DATA_DIR=" + dataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0"}, "connection string"},
		"no binaries":                  {[]string{"GATEHOUSE_POSTGRES_BIN=/nowhere", "GATEHOUSE_DATA_DIR=" + dataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0"}, "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := fails(t, c.env, "serve")
			require.Contains(t, said, c.says)
			require.Regexp(t, `(?m)^gatehouse: `, said)
		})
	}
	t.Run("an unknown command", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, fails(t, nil, "fly"), "unexpected argument fly")
	})
}

func TestConfiguredDatabase(t *testing.T) {
	t.Parallel()
	keywords := storetest.EmptyDatabase(t)
	for name, connection := range map[string]string{
		"libpq's keywords, as Tyk writes them": "TYK_DB_STORAGE_MAIN_CONNECTIONSTRING=" + strings.Replace(storetest.EmptyDatabase(t), "dbname=empty", "database=empty", 1),
		"a URL":                                "DATABASE_URL=" + storetest.URL(t, keywords),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, dataDir(t), connection, "TYK_DB_ADMINSECRET=12345", "TYK_DB_PAGESIZE=1")
			require.Equal(t, []string{"data is in the configured Postgres", "admin secret: as configured"}, p.said[1:])
			for range 2 {
				p.ask("POST", "/admin/organisations/", `{"owner_name":"x"}`, "admin-auth", "12345")
			}
			require.Contains(t, p.ask("GET", "/admin/organisations?p=1", "", "admin-auth", "12345"), `"pages":2`)
		})
	}
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.URL(t, storetest.EmptyDatabase(t))
	replicas := make([]*program, 4)
	var starting sync.WaitGroup
	for i := range replicas {
		dir := dataDir(t)
		starting.Go(func() { replicas[i] = start(t, dir, database, "TYK_DB_ADMINSECRET=12345") })
	}
	starting.Wait()
	before := map[*program]string{}
	for _, p := range replicas {
		before[p] = reloaded(t, p)
	}
	require.Equal(t, `{"status":"ok"}`, replicas[0].ask("GET", "/admin/system/reload", "", "admin-auth", "12345"))
	for _, p := range replicas {
		require.Eventually(t, func() bool { return reloaded(t, p) != before[p] }, soon, 10*time.Millisecond, "every replica reloads")
	}
	replicas[0].ask("POST", "/admin/organisations/import", `{"id":"5e9d9544a1dcd60001d0ed20"}`, "admin-auth", "12345")
	replicas[3].ask("GET", "/admin/organisations/5e9d9544a1dcd60001d0ed20", "", "admin-auth", "12345")
}

// reloaded is when a server last reloaded.
func reloaded(t *testing.T, p *program) string {
	t.Helper()
	var health struct {
		Details map[string]struct{ Time string }
	}
	require.Eventually(t, func() bool {
		return json.Unmarshal([]byte(p.ask("GET", "/hello", "")), &health) == nil && health.Details["reload"].Time != ""
	}, soon, 10*time.Millisecond)
	return health.Details["reload"].Time
}

func TestPostgresThatCrashesComesBack(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := start(t, dir)
	p.ask("GET", "/ready", "")
	raw, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	require.NoError(t, err)
	var postmaster int
	_, err = fmt.Sscan(string(raw), &postmaster)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(postmaster, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		hello, _ := p.try("GET", "/hello", "")
		require.Equal(t, http.StatusOK, hello, "the process lives")
		status, _ := p.try("POST", "/admin/organisations", `{"owner_name":"x"}`, "admin-auth", secretIn(t, dir))
		return status == http.StatusOK
	}, soon, 20*time.Millisecond)
	require.Zero(t, p.stop())
}

func TestReadyTellsThatPostgresIsGone(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t)
	p := start(t, dataDir(t), "DATABASE_URL="+proxy.url(storetest.URL(t, storetest.EmptyDatabase(t))))
	p.ask("GET", "/ready", "")
	proxy.close()
	status, answer := p.try("GET", "/ready", "")
	require.Equal(t, http.StatusServiceUnavailable, status, answer)
	p.ask("GET", "/hello", "")
	head, err := http.Head(p.url + "/health")
	require.NoError(t, err)
	require.NoError(t, head.Body.Close())
	require.Equal(t, http.StatusOK, head.StatusCode)
}

// proxy is a way to a Postgres that can be closed.
type proxy struct {
	t        *testing.T
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, listener: listener}
	t.Cleanup(p.close)
	return p
}

// url leads to the database of target through the proxy.
func (p *proxy) url(target string) string {
	p.t.Helper()
	at, err := url.Parse(target)
	require.NoError(p.t, err)
	socket := filepath.Join(at.Query().Get("host"), ".s.PGSQL."+at.Query().Get("port"))
	go func() {
		for {
			in, err := p.listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, in, out)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(in, out) }()
			go func() { _, _ = io.Copy(out, in) }()
		}
	}()
	return fmt.Sprintf("postgres://%s@%s%s?sslmode=disable", at.Query().Get("user"), p.listener.Addr(), at.Path)
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.open {
		_ = conn.Close()
	}
}
