package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
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

func TestDataSurvivesKill(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	secret := s.adminSecret()
	announced := s.stdout.lines()
	require.Regexp(t, "^data is in "+regexp.QuoteMeta(s.dir)+` \(Postgres \d+\S* from /\S+\)$`, announced[1])
	require.Contains(t, announced, "admin secret: "+secret+" (stored in "+s.dir+"/admin-secret; not printed again)")

	org := s.newOrganisation()
	created := s.admin("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"ines@rivermouth.example","active":true}`)
	var user struct {
		Message string
		Meta    struct{ ID string }
	}
	require.NoError(t, json.Unmarshal([]byte(created), &user))
	reset := "/api/users/" + user.Meta.ID + "/actions/reset"
	s.ask("POST", reset, `{"new_password":"supersekret"}`, "Authorization", user.Message)
	definition := `{"api_definition":{"api_id":"tides","org_id":"` + org + `","name":"Tide tables"}}`
	s.admin("POST", "/admin/apis/import", `{"apis":[`+definition+`]}`)

	s.kill()
	s.start()
	require.Contains(t, s.stdout.lines(), "admin secret: stored in "+s.dir+"/admin-secret", "the secret is printed once")
	require.NotContains(t, s.stdout.String(), secret)
	require.Contains(t, s.admin("GET", "/admin/organisations/"+org, ""), "Rivermouth Foods")
	require.Contains(t, s.ask("GET", "/api/apis", "", "Authorization", user.Message), `"name":"Tide tables"`)
	status, _ := s.request("POST", reset, `{"new_password":"another1"}`, "Authorization", user.Message)
	require.NotEqual(t, http.StatusOK, status, "the user has a password, which must be given")
	s.ask("POST", reset, `{"new_password":"another1","current_password":"supersekret"}`, "Authorization", user.Message)

	t.Run("only the owner can read the secrets, and no log has them", func(t *testing.T) {
		for _, name := range []string{"admin-secret", "node-secret"} {
			info, err := os.Stat(filepath.Join(s.dir, name))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		}
		for _, hidden := range []string{secret, user.Message, "supersekret", "another1"} {
			require.NotContains(t, s.log.String(), hidden)
		}
	})
	t.Run("a stopped server has stopped its Postgres", func(t *testing.T) {
		require.Zero(t, s.stop())
		require.Zero(t, postmasterPID(t, s.dir))
	})
}

func TestStopLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	body, client := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/admin/organisations", body)
	require.NoError(t, err)
	r.Header.Set("Admin-Auth", s.adminSecret())
	type result struct {
		status int
		err    error
	}
	finished := make(chan result, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			finished <- result{err: err}
			return
		}
		_ = resp.Body.Close()
		finished <- result{status: resp.StatusCode}
	}()
	_, err = io.WriteString(client, `{"owner_name":`) // returns when the transport sends the request
	require.NoError(t, err)
	eventually(t, "the server accepts requests that were sent later", func() bool {
		status, _ := s.request("GET", "/hello", "")
		return status == http.StatusOK
	})
	s.signal(syscall.SIGTERM)
	eventually(t, "the server refuses connections", func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	_, err = io.WriteString(client, `"late"}`)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.Equal(t, result{status: http.StatusOK}, <-finished)
	require.Zero(t, s.waitExit())
}

// TestStopSucceeds sends the signals of Ctrl-C and of supervisors to a server that runs and to servers that start.
func TestStopSucceeds(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		stops := func(t *testing.T, s *server) {
			t.Helper()
			s.signal(signal)
			require.Zero(t, s.waitExit(), s.log.String())
			require.Contains(t, s.stdout.lines(), "gatehouse stopped")
			require.NotContains(t, s.log.String(), "gatehouse: ")
		}
		t.Run(name+" while it runs", func(t *testing.T) {
			t.Parallel()
			stops(t, startServer(t))
		})
		t.Run(name+" while it starts a private Postgres", func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.launch()
			eventually(t, "the server begins to make a cluster", func() bool {
				_, err := os.Stat(filepath.Join(s.dir, "postgres.lock"))
				return err == nil
			})
			stops(t, s)
			require.Zero(t, postmasterPID(t, s.dir))
			s.start() // what was left half-made does no harm
		})
		t.Run(name+" while it connects to a database that does not answer", func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { _ = listener.Close() })
			s := newServer(t, "DATABASE_URL=postgres://nobody@"+listener.Addr().String()+"/none")
			s.launch()
			conn, err := listener.Accept()
			require.NoError(t, err)
			defer conn.Close()
			stops(t, s)
		})
	}
}

// failure runs the program until it ends with a status other than 0, and returns what it printed.
func failure(t *testing.T, settings []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Env = environment(settings...)
	printed, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "it does not end: %s", printed)
	require.Error(t, err, "it ended with status 0: %s", printed)
	return strings.TrimSpace(string(printed))
}

func TestStartsThatFailSayWhy(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	// elsewhere has settings for a start that gets as far as its database.
	elsewhere := func(settings ...string) []string {
		return append(settings, "GATEHOUSE_DATA_DIR="+newDataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0")
	}
	for name, c := range map[string]struct {
		settings []string
		prints   string
	}{
		"the data directory is in use":  {[]string{"GATEHOUSE_DATA_DIR=" + s.dir, "GATEHOUSE_LISTEN=127.0.0.1:0"}, "is in use by another server"},
		"the port is in use":            {elsewhere("TYK_DB_LISTENPORT=" + s.address[strings.LastIndex(s.address, ":")+1:]), "address already in use"},
		"an address without a port":     {[]string{"GATEHOUSE_LISTEN=here"}, `--listen (GATEHOUSE_LISTEN): "here" is not host:port`},
		"a port that does not exist":    {[]string{"TYK_DB_LISTENPORT=70000"}, "port 70000 is not between 0 and 65535"},
		"not a number":                  {[]string{"TYK_DB_PAGESIZE=many"}, "page-size"},
		"an empty page":                 {[]string{"TYK_DB_PAGESIZE=0"}, "--page-size (TYK_DB_PAGESIZE): 0 is not between 1 and 1000"},
		"another storage":               {[]string{"TYK_DB_STORAGE_MAIN_TYPE=mongo"}, `--storage-type (TYK_DB_STORAGE_MAIN_TYPE): "mongo" is not supported, only postgres is`},
		"a gateway's port without host": {[]string{"TYK_DB_TYKAPI_PORT=8080"}, "is set without --gateway-host"},
		"a gateway's host that is none": {elsewhere("TYK_DB_TYKAPI_HOST=http://"), "is not an address"},
		"a secret with a blank":         {[]string{"TYK_DB_ADMINSECRET= x"}, "begins or ends with white space"},
		"an unknown log format":         {[]string{"GATEHOUSE_LOG_FORMAT=xml"}, `"xml" is neither text nor json`},
		"a Redis port that is none":     {[]string{"TYK_DB_REDISPORT=0"}, "0 is not a port"},
		"a limit of 0":                  {[]string{"GATEHOUSE_MAX_IMPORT=0"}, "0 is less than 1"},
		"a limit that is too high":      {[]string{"GATEHOUSE_MAX_DEPTH=5001"}, "5001 is not between 1 and 5000"},
		"no Postgres at the address":    {elsewhere("DATABASE_URL=postgres://nobody@127.0.0.1:1/none"), "connect to the database"},
		"an invalid connection string":  {elsewhere("DATABASE_URL=postgres://%zz"), "connection string"},
		"no programs of Postgres":       {elsewhere("GATEHOUSE_POSTGRES_BIN=/nowhere"), "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			printed := failure(t, c.settings, "serve")
			require.Contains(t, printed, c.prints)
			require.Regexp(t, `(?m)^gatehouse: `, printed)
		})
	}
	t.Run("an unknown command", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, failure(t, nil, "fly"), "unexpected argument fly")
	})
	t.Run("all invalid settings are named", func(t *testing.T) {
		t.Parallel()
		printed := failure(t, []string{"TYK_DB_PAGESIZE=0", "TYK_DB_REDISPORT=0", "GATEHOUSE_LOG_FORMAT=xml"}, "serve")
		for _, flag := range []string{"--page-size", "--redis-port", "--log-format"} {
			require.Contains(t, printed, flag)
		}
	})
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	printed := func(args ...string) string {
		t.Helper()
		output, err := exec.CommandContext(t.Context(), program(t), args...).Output()
		require.NoError(t, err, args)
		return string(output)
	}
	require.NotEmpty(t, printed("version"))
	require.Equal(t, printed("version"), printed("--version"))
	require.Equal(t, printed("version"), printed("serve", "--version"))
	require.Regexp(t, `(?s)\nServer:\n.*\nDatabase:\n.*\nGateway and Redis:\n.*\nLimits:\n.*\nLog:\n`, printed("serve", "--help"))
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
			s := startServer(t, connection, "TYK_DB_ADMINSECRET=12345", "TYK_DB_PAGESIZE=1")
			require.Equal(t, []string{"data is in the configured Postgres", "admin secret: as configured"}, s.stdout.lines()[1:3])
			for range 2 {
				s.admin("POST", "/admin/organisations/", `{"owner_name":"x"}`)
			}
			require.Contains(t, s.admin("GET", "/admin/organisations?p=1", ""), `"pages":2`)
		})
	}
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.URL(t, storetest.EmptyDatabase(t))
	replicas := make([]*server, 4)
	for i := range replicas {
		replicas[i] = newServer(t, database, "TYK_DB_ADMINSECRET=12345")
		replicas[i].launch() // all at once, so that they compete for the migrations
	}
	for _, s := range replicas {
		s.waitStarted()
	}
	before := map[*server]string{}
	for _, s := range replicas {
		before[s] = lastReload(s)
	}
	require.Equal(t, `{"status":"ok"}`, replicas[0].admin("GET", "/admin/system/reload", ""))
	for _, s := range replicas {
		eventually(t, "every replica reloads", func() bool { return lastReload(s) != before[s] })
	}
	replicas[0].admin("POST", "/admin/organisations/import", `{"id":"5e9d9544a1dcd60001d0ed20"}`)
	replicas[3].admin("GET", "/admin/organisations/5e9d9544a1dcd60001d0ed20", "")
}

// lastReload returns the time of the last reload of a server, which reloads when it starts.
func lastReload(s *server) string {
	s.t.Helper()
	var health struct {
		Details map[string]struct{ Time string }
	}
	eventually(s.t, "the server tells when it reloaded", func() bool {
		return json.Unmarshal([]byte(s.ask("GET", "/hello", "")), &health) == nil && health.Details["reload"].Time != ""
	})
	return health.Details["reload"].Time
}

func TestKilledPostgresIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.ask("GET", "/ready", "")
	require.NoError(t, syscall.Kill(postmasterPID(t, s.dir), syscall.SIGKILL))
	eventually(t, "the server writes to Postgres again", func() bool {
		s.ask("GET", "/hello", "") // it runs all the time
		status, _ := s.request("POST", "/admin/organisations", `{"owner_name":"x"}`, "Admin-Auth", s.adminSecret())
		return status == http.StatusOK
	})
	require.Zero(t, s.stop())
}

func TestReadyFailsWithoutPostgres(t *testing.T) {
	t.Parallel()
	proxy := newPostgresProxy(t, storetest.URL(t, storetest.EmptyDatabase(t)))
	s := startServer(t, "DATABASE_URL="+proxy.url)
	s.ask("GET", "/ready", "")
	proxy.close()
	status, response := s.request("GET", "/ready", "")
	require.Equal(t, http.StatusServiceUnavailable, status, response)
	s.ask("GET", "/hello", "")
	status, _ = s.request("HEAD", "/health", "")
	require.Equal(t, http.StatusOK, status)
}

func TestLog(t *testing.T) {
	t.Parallel()
	s := startServer(t, "GATEHOUSE_LOG_FORMAT=json")
	var requests sync.WaitGroup
	for range 8 {
		requests.Go(func() { s.request("GET", "/hello", "") })
	}
	requests.Wait()
	eventually(t, "there is a line for each request", func() bool {
		return strings.Count(s.log.String(), `"msg":"request"`) >= 8
	})
	s.kill()
	for _, line := range s.log.lines() {
		require.True(t, json.Valid([]byte(line)), line)
	}
	require.True(t, strings.HasSuffix(s.log.String(), "\n"), "a killed server has written its last line in full")
}
