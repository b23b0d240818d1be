package e2e_test

import (
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

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

func TestBootstrapSurvivesKill(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	secret := s.adminSecret()
	require.Regexp(t, "(?m)^data is in "+regexp.QuoteMeta(s.dir)+` \(Postgres \d+\S* from /\S+\)$`,
		strings.Join(s.stdout.lines(), "\n"))
	require.Contains(t, s.stdout.lines(), "admin secret: "+secret+" (stored in "+s.dir+"/admin-secret; not printed again)")

	org := metaOf(t, s.ask("POST", "/admin/organisations", `{"owner_name":"Rivermouth Foods"}`, "admin-auth", secret))
	made := s.ask("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"ines@rivermouth.example","active":true}`, "admin-auth", secret)
	var user struct {
		Message string
		Meta    struct{ ID string }
	}
	require.NoError(t, json.Unmarshal([]byte(made), &user))
	reset := "/api/users/" + user.Meta.ID + "/actions/reset"
	s.ask("POST", reset, `{"new_password":"supersekret"}`, "Authorization", user.Message)
	document := `{"api_definition":{"api_id":"tides","org_id":"` + org + `","name":"Tide tables"}}`
	s.ask("POST", "/admin/apis/import", `{"apis":[`+document+`]}`, "admin-auth", secret)

	s.kill()
	s.start()
	require.Contains(t, s.stdout.lines(), "admin secret: stored in "+s.dir+"/admin-secret", "it is printed once")
	require.Contains(t, s.ask("GET", "/admin/organisations/"+org, "", "admin-auth", secret), "Rivermouth Foods")
	require.Contains(t, s.ask("GET", "/api/apis", "", "Authorization", user.Message), `"name":"Tide tables"`)
	status, _ := s.request("POST", reset, `{"new_password":"another1"}`, "Authorization", user.Message)
	require.NotEqual(t, http.StatusOK, status, "the password is set")
	s.ask("POST", reset, `{"new_password":"another1","current_password":"supersekret"}`, "Authorization", user.Message)

	t.Run("secrets are their owner's, and in no log", func(t *testing.T) {
		for _, name := range []string{"admin-secret", "node-secret"} {
			info, err := os.Stat(filepath.Join(s.dir, name))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		}
		for _, hidden := range []string{secret, user.Message, "supersekret", "another1"} {
			require.NotContains(t, s.log.String(), hidden)
		}
	})
	t.Run("it stops on SIGTERM, with its Postgres, and says so", func(t *testing.T) {
		require.Zero(t, s.stop())
		require.Zero(t, s.postmasterPID())
		require.Contains(t, s.stdout.lines(), "gatehouse stopped")
	})
}

func TestGracefulStop(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	body, client := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, "http://"+s.address+"/admin/organisations", body)
	require.NoError(t, err)
	r.Header.Set("Admin-Auth", s.adminSecret())
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
	_, err = io.WriteString(client, `{"owner_name":`) // the request is in progress
	require.NoError(t, err)
	eventually(t, "a request behind it is answered", func() bool {
		status, _ := s.request("GET", "/hello", "")
		return status == http.StatusOK
	})
	s.signal(syscall.SIGTERM)
	eventually(t, "no new connection is accepted", func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	_, err = io.WriteString(client, `"late"}`)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.Equal(t, outcome{status: http.StatusOK}, <-answered, "the request is finished")
	require.Zero(t, s.waitExit())
}

// fails runs the program, which must end with a status that is not 0, and returns what it prints.
func fails(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Env = environment(env...)
	printed, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "it does not end: %s", printed)
	require.Error(t, err, "it exits with status 0: %s", printed)
	return strings.TrimSpace(string(printed))
}

// dataDir returns the path of a data directory that does not exist yet.
func dataDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(newDir(t), "data")
}

func TestStartsThatFailSayWhy(t *testing.T) {
	t.Parallel()
	p := startServer(t)
	for name, c := range map[string]struct {
		env  []string
		says string
	}{
		"the data directory is in use": {[]string{"GATEHOUSE_DATA_DIR=" + p.dir, "GATEHOUSE_LISTEN=127.0.0.1:0"}, "is in use by another server"},
		"the port is taken":            {[]string{"GATEHOUSE_DATA_DIR=" + dataDir(t), "GATEHOUSE_LISTEN=" + p.address}, "address already in use"},
		"no address":                   {[]string{"GATEHOUSE_LISTEN=here"}, `--listen (GATEHOUSE_LISTEN): "here" is not host:port`},
		"no port":                      {[]string{"TYK_DB_LISTENPORT=70000"}, "port 70000 is not between 0 and 65535"},
		"not a number":                 {[]string{"TYK_DB_PAGESIZE=many"}, "page-size"},
		"no page":                      {[]string{"TYK_DB_PAGESIZE=0"}, "--page-size (TYK_DB_PAGESIZE): 0 is not between 1 and 1000"},
		"another storage":              {[]string{"TYK_DB_STORAGE_MAIN_TYPE=mongo"}, `"mongo" is not supported, only postgres is`},
		"a port without a host":        {[]string{"TYK_DB_TYKAPI_PORT=8080"}, "is set without --gateway-host"},
		"no gateway's address":         {[]string{"TYK_DB_TYKAPI_HOST=http://", "GATEHOUSE_DATA_DIR=" + dataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0"}, "is not an address"},
		"a secret with a blank":        {[]string{"TYK_DB_ADMINSECRET= x"}, "begins or ends with white space"},
		"an unknown log format":        {[]string{"GATEHOUSE_LOG_FORMAT=xml"}, `"xml" is neither text nor json`},
		"no Redis port":                {[]string{"TYK_DB_REDISPORT=0"}, "0 is not a port"},
		"no limit":                     {[]string{"GATEHOUSE_MAX_IMPORT=0"}, "0 is less than 1"},
		"a depth beyond the limit":     {[]string{"GATEHOUSE_MAX_DEPTH=5001"}, "5001 is not between 1 and 5000"},
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
			p := startServer(t, connection, "TYK_DB_ADMINSECRET=12345", "TYK_DB_PAGESIZE=1")
			require.Equal(t, []string{"data is in the configured Postgres", "admin secret: as configured"}, p.stdout.lines()[1:3])
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
	replicas := make([]*server, 4)
	for i := range replicas { // all start at once
		replicas[i] = newServer(t, database, "TYK_DB_ADMINSECRET=12345")
		replicas[i].launch()
	}
	for _, each := range replicas {
		each.waitStarted()
	}
	before := map[*server]string{}
	for _, p := range replicas {
		before[p] = reloaded(t, p)
	}
	require.Equal(t, `{"status":"ok"}`, replicas[0].ask("GET", "/admin/system/reload", "", "admin-auth", "12345"))
	for _, p := range replicas {
		eventually(t, "every replica reloads", func() bool { return reloaded(t, p) != before[p] })
	}
	replicas[0].ask("POST", "/admin/organisations/import", `{"id":"5e9d9544a1dcd60001d0ed20"}`, "admin-auth", "12345")
	replicas[3].ask("GET", "/admin/organisations/5e9d9544a1dcd60001d0ed20", "", "admin-auth", "12345")
}

// reloaded returns when a server last reloaded.
func reloaded(t *testing.T, p *server) string {
	t.Helper()
	var health struct {
		Details map[string]struct{ Time string }
	}
	eventually(t, "the server has reloaded", func() bool {
		return json.Unmarshal([]byte(p.ask("GET", "/hello", "")), &health) == nil && health.Details["reload"].Time != ""
	})
	return health.Details["reload"].Time
}

func TestPostgresThatCrashesComesBack(t *testing.T) {
	t.Parallel()
	p := startServer(t)
	p.ask("GET", "/ready", "")
	require.NoError(t, syscall.Kill(p.postmasterPID(), syscall.SIGKILL))
	eventually(t, "an organisation can be created again", func() bool {
		hello, _ := p.request("GET", "/hello", "")
		require.Equal(t, http.StatusOK, hello, "the process runs on")
		status, _ := p.request("POST", "/admin/organisations", `{"owner_name":"x"}`, "admin-auth", p.adminSecret())
		return status == http.StatusOK
	})
	require.Zero(t, p.stop())
}

func TestReadyTellsThatPostgresIsGone(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t)
	p := startServer(t, "DATABASE_URL="+proxy.url(storetest.URL(t, storetest.EmptyDatabase(t))))
	p.ask("GET", "/ready", "")
	proxy.close()
	status, answer := p.request("GET", "/ready", "")
	require.Equal(t, http.StatusServiceUnavailable, status, answer)
	p.ask("GET", "/hello", "")
	head, err := http.Head("http://" + p.address + "/health")
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
