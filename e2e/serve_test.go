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
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/client"
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
	created := ok(s.client().CreateUserWithResponse(t.Context(), client.UserRequest{
		OrgId: &org, EmailAddress: new("ines@rivermouth.example"), Active: new(true),
	}))(t)
	key, userID := created.JSON200.Message, created.JSON200.Meta.Id
	asUser := func() *client.ClientWithResponses { return s.client(client.WithAccessKey(key)) }
	ok(asUser().SetUserPasswordWithResponse(t.Context(), userID, client.UserPassword{NewPassword: "supersekret"}))(t)
	definition := json.RawMessage(`{"api_definition":{"api_id":"tides","org_id":"` + org + `","name":"Tide tables"}}`)
	imported := ok(s.client().ImportAPIsWithResponse(t.Context(),
		client.ApiDefinitions{Apis: &[]client.ApiDefinition{definition}}))(t)
	require.Equal(t, map[string]bool{"tides": true}, imported.JSON200.Meta)

	s.kill()
	s.start()
	require.Contains(t, s.stdout.lines(), "admin secret: stored in "+s.dir+"/admin-secret", "the secret is printed once")
	eventually(t, "the server announces the console", func() bool {
		return slices.Contains(s.stdout.lines(),
			"the console is on http://"+s.address+"/console; sign in as an operator, with the admin secret")
	})
	require.NotContains(t, s.stdout.String(), secret)
	require.Contains(t, string(ok(s.client().GetOrgWithResponse(t.Context(), org))(t).Body), "Rivermouth Foods")
	require.Contains(t, string(ok(asUser().GetApisWithResponse(t.Context(), nil))(t).Body), `"name":"Tide tables"`)
	password := client.UserPassword{NewPassword: "another1"}
	refused, err := asUser().SetUserPasswordWithResponse(t.Context(), userID, password)
	require.NoError(t, err)
	require.NotEqual(t, http.StatusOK, refused.StatusCode(), "the user has a password, which must be given")
	password.CurrentPassword = new("supersekret")
	ok(asUser().SetUserPasswordWithResponse(t.Context(), userID, password))(t)

	t.Run("only the owner can read the secrets, and no log has them", func(t *testing.T) {
		for _, name := range []string{"admin-secret", "node-secret"} {
			info, err := os.Stat(filepath.Join(s.dir, name))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		}
		for _, hidden := range []string{secret, key, "supersekret", "another1"} {
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
	body, sender := io.Pipe()
	type result struct {
		status int
		err    error
	}
	finished := make(chan result, 1)
	dashboard := s.client()
	go func() {
		created, err := dashboard.CreateOrgWithBodyWithResponse(t.Context(), "application/json", body)
		if err != nil {
			finished <- result{err: err}
			return
		}
		finished <- result{status: created.StatusCode()}
	}()
	_, err := io.WriteString(sender, `{"owner_name":`) // returns when the transport sends the request
	require.NoError(t, err)
	eventually(t, "the server accepts requests that were sent later", func() bool {
		hello, err := s.client().GetHelloWithResponse(t.Context())
		return err == nil && hello.StatusCode() == http.StatusOK
	})
	s.signal(syscall.SIGTERM)
	eventually(t, "the server refuses connections", func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	_, err = io.WriteString(sender, `"late"}`)
	require.NoError(t, err)
	require.NoError(t, sender.Close())
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
			require.NotContains(t, s.log.String(), "err=")
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

// TestCtrlCDuringStart interrupts starts on an empty data directory at different moments.
func TestCtrlCDuringStart(t *testing.T) {
	t.Parallel()
	const starts, apart = 10, 30 * time.Millisecond
	program(t)
	for i := range starts {
		t.Run((time.Duration(i) * apart).String(), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.launch()
			time.Sleep(time.Duration(i) * apart)
			s.signal(syscall.SIGINT)
			status, printed, log := s.waitExit(), s.stdout.String(), s.log.String()
			require.NotContains(t, log, "gatehouse: ")
			require.NotContains(t, log, "err=")
			if printed == "" { // the program did not handle signals yet
				status, _ := s.process.ProcessState.Sys().(syscall.WaitStatus)
				require.Equal(t, syscall.SIGINT, status.Signal(), log)
				return
			}
			require.Zero(t, status, log)
			require.Contains(t, s.stdout.lines(), "gatehouse stopped")
			require.Zero(t, postmasterPID(t, s.dir))
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
		"another check of responses":    {[]string{"GATEHOUSE_CHECK_RESPONSES=on"}, `--check-responses (GATEHOUSE_CHECK_RESPONSES): "on" is not off, report or enforce`},
		"an empty page":                 {[]string{"TYK_DB_PAGESIZE=0"}, "--page-size (TYK_DB_PAGESIZE): 0 is not between 1 and 1000"},
		"another storage":               {[]string{"TYK_DB_STORAGE_MAIN_TYPE=mongo"}, `--storage-type (TYK_DB_STORAGE_MAIN_TYPE): "mongo" is not supported, only postgres is`},
		"a gateway's port without host": {[]string{"TYK_DB_TYKAPI_PORT=8080"}, "is set without --gateway-host"},
		"a gateway's host that is none": {elsewhere("TYK_DB_TYKAPI_HOST=http://"), "is not an address"},
		"a secret with a blank":         {[]string{"TYK_DB_ADMINSECRET= x"}, "--admin-secret (TYK_DB_ADMINSECRET): begins or ends with white space"},
		"an unknown log format":         {[]string{"GATEHOUSE_LOG_FORMAT=xml"}, `"xml" is neither text nor json`},
		"an unknown log level":          {[]string{"TYK_LOGLEVEL=loud"}, `--log-level (TYK_LOGLEVEL): invalid value "loud": must be debug, info, warn or error`},
		"more lines than requests":      {[]string{"GATEHOUSE_LOG_REQUESTS=2"}, `--log-requests (GATEHOUSE_LOG_REQUESTS): 2 is not between 0 and 1`},
		"no file of the log":            {elsewhere("GATEHOUSE_LOG_FILE=/nowhere/gatehouse.log"), "open log file: open /nowhere/gatehouse.log"},
		"a Redis port that is none":     {[]string{"TYK_DB_REDISPORT=0"}, "0 is not a port"},
		"a limit of 0":                  {[]string{"GATEHOUSE_MAX_IMPORT=0"}, "0 is less than 1"},
		"a limit that is too high":      {[]string{"GATEHOUSE_MAX_DEPTH=5001"}, "5001 is not between 1 and 5000"},
		"no Postgres at the address":    {elsewhere("DATABASE_URL=postgres://nobody@127.0.0.1:1/none"), "connect to the database"},
		"an invalid connection string":  {elsewhere("DATABASE_URL=postgres://%zz"), "connection string"},
		"a password with a slash":       {elsewhere("DATABASE_URL=postgres://user:12/345@127.0.0.1/db"), "connection string: is not a URL of a database: percent-encode"},
		"TLS without a certificate":     {[]string{"TYK_DB_HTTPSERVEROPTIONS_USESSL=true"}, "--tls (TYK_DB_HTTPSERVEROPTIONS_USESSL): needs a certificate: set --tls-certificate"},
		"a certificate that is missing": {elsewhere("TYK_DB_HTTPSERVEROPTIONS_USESSL=true", "TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES=/nowhere/a.pem,/nowhere/b.pem"), "--tls-certificate (TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES): read certificate: open /nowhere/a.pem"},
		"a certificate without a key":   {[]string{"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES=a.pem"}, "must be CERT_FILE,KEY_FILE"},
		"half a list of certificates":   {[]string{`TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES=[{"cert_file":"a"}]`}, "an element lacks cert_file or key_file"},
		"an unknown cipher suite":       {[]string{"TYK_DB_HTTPSERVEROPTIONS_CIPHERSUITES=TLS_RSA_WITH_RC4_128_SHA"}, `"TLS_RSA_WITH_RC4_128_SHA" is not the name of a secure cipher suite`},
		"suites without that of HTTP/2": {[]string{"TYK_DB_HTTPSERVEROPTIONS_CIPHERSUITES=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"}, "HTTP/2 requires one of TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
		"an unknown version of TLS":     {[]string{"TYK_DB_HTTPSERVEROPTIONS_MINVERSION=3"}, "must be 1.2 or 1.3, or 771 or 772"},
		"MongoDB alone":                 {[]string{"TYK_DB_MONGOURL=mongodb://x"}, "TYK_DB_MONGOURL is not supported: gatehouse stores its data in Postgres only: set DATABASE_URL"},
		"an empty secret":               {[]string{"TYK_DB_ADMINSECRET_FILE=/dev/null"}, "--admin-secret-file (TYK_DB_ADMINSECRET_FILE, GATEHOUSE_ADMIN_SECRET_FILE): read secret: /dev/null is empty"},
		"a secret twice":                {[]string{"TYK_DB_ADMINSECRET=x", "GATEHOUSE_ADMIN_SECRET_FILE=/dev/null"}, "are both set"},
		"no file of the audit log":      {elsewhere("TYK_DB_AUDIT_PATH=/nowhere/audit.log"), "open log file: open /nowhere/audit.log"},
		"an unknown audit format":       {[]string{"TYK_DB_AUDIT_FORMAT=xml"}, "--audit-format (TYK_DB_AUDIT_FORMAT): \"xml\" is neither text nor json"},
		"no rules for passwords":        {elsewhere("GATEHOUSE_PASSWORD_SCHEMA=/nowhere"), "--password-schema (GATEHOUSE_PASSWORD_SCHEMA): open /nowhere"},
		"too long a history":            {[]string{"TYK_DB_SECURITY_ENFORCEPASSWORDHISTORY=25"}, "25 is not between 0 and 24"},
		"a negative limit":              {[]string{"TYK_DB_SECURITY_LOGINFAILUREIPLIMIT=-1", "TYK_DB_SECURITY_LOGIN_FAILURE_EXPIRATION=-1"}, "--login-failure-ip-limit (TYK_DB_SECURITY_LOGINFAILUREIPLIMIT): -1 is less than 0"},
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
		require.Equal(t, `gatehouse: unknown command "fly"; see gatehouse --help`, failure(t, nil, "fly"))
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
	version := printed("--version")
	require.Regexp(t, `^\S+\n$`, version)
	require.Equal(t, version, printed("serve", "--version"))
	require.True(t, strings.HasPrefix(printed("version"), "gatehouse "+version))
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
				s.newOrganisation()
			}
			page := ok(s.client().GetOrgsWithResponse(t.Context(), &client.GetOrgsParams{P: new(client.Page(1))}))(t)
			require.Contains(t, string(page.Body), `"pages":2`)
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
	before := map[*server]time.Time{}
	for _, s := range replicas {
		before[s] = lastReload(s)
	}
	reloaded := ok(replicas[0].client().ReloadURLsWithResponse(t.Context()))(t)
	require.Equal(t, `{"status":"ok"}`, string(reloaded.Body))
	for _, s := range replicas {
		eventually(t, "every replica reloads", func() bool { return !lastReload(s).Equal(before[s]) })
	}
	const org = "5e9d9544a1dcd60001d0ed20"
	ok(replicas[0].client().ImportOrgsWithResponse(t.Context(), json.RawMessage(`{"id":"`+org+`"}`)))(t)
	ok(replicas[3].client().GetOrgWithResponse(t.Context(), org))(t)
}

// lastReload returns the time of the last reload of a server, which reloads when it starts.
func lastReload(s *server) (at time.Time) {
	s.t.Helper()
	eventually(s.t, "the server tells when it reloaded", func() bool {
		at = ok(s.client().GetHelloWithResponse(s.t.Context()))(s.t).JSON200.Details["reload"].Time
		return !at.IsZero()
	})
	return at
}

func TestKilledPostgresIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ok(s.client().GetReadyWithResponse(t.Context()))(t)
	require.NoError(t, syscall.Kill(postmasterPID(t, s.dir), syscall.SIGKILL))
	eventually(t, "the server writes to Postgres again", func() bool {
		ok(s.client().GetHelloWithResponse(t.Context()))(t) // it runs all the time
		created, err := s.client().CreateOrgWithResponse(t.Context(), json.RawMessage(`{"owner_name":"x"}`))
		return err == nil && created.StatusCode() == http.StatusOK
	})
	require.Zero(t, s.stop())
}

func TestReadyFailsWithoutPostgres(t *testing.T) {
	t.Parallel()
	proxy := newPostgresProxy(t, storetest.URL(t, storetest.EmptyDatabase(t)))
	s := startServer(t, "DATABASE_URL="+proxy.url, "GATEHOUSE_LOG_REQUESTS=0")
	ok(s.client().GetReadyWithResponse(t.Context()))(t)
	proxy.close()
	ready, err := s.client().GetReadyWithResponse(t.Context())
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, ready.StatusCode(), string(ready.Body))
	ok(s.client().GetHelloWithResponse(t.Context()))(t)
	head, err := http.Head("http://" + s.address + "/health") // which is no operation, and so not in the client
	require.NoError(t, err)
	require.NoError(t, head.Body.Close())
	require.Equal(t, http.StatusOK, head.StatusCode)
	eventually(t, "failures have a line", func() bool { // which is written after the response
		return strings.Contains(s.log.String(), "route=/ready status=503")
	})
	require.Equal(t, 1, strings.Count(s.log.String(), "msg=request "))
}

func TestLog(t *testing.T) {
	t.Parallel()
	s := startServer(t, "GATEHOUSE_LOG_FORMAT=json")
	var requests sync.WaitGroup
	dashboard := s.client()
	for range 8 {
		requests.Go(func() {
			_, err := dashboard.GetHelloWithResponse(t.Context())
			assert.NoError(t, err)
		})
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

func TestSlowStatements(t *testing.T) {
	t.Parallel()
	slow := regexp.MustCompile(`.*msg="slow statement".*`)
	all := startServer(t, "GATEHOUSE_LOG_SLOW_STATEMENTS=1ns")
	org := all.newOrganisation()
	const address = "somebody@example.org"
	user := ok(all.client().CreateUserWithResponse(t.Context(), client.UserRequest{
		OrgId: &org, EmailAddress: new(address),
	}))(t)
	definition := json.RawMessage(`{"api_definition":{"api_id":"tides","org_id":"` + org + `","name":"Tide tables"}}`)
	ok(all.client().ImportAPIsWithResponse(t.Context(),
		client.ApiDefinitions{Apis: &[]client.ApiDefinition{definition}}))(t)
	require.Zero(t, all.stop()) // the log is complete
	lines := all.log.matching(slow)
	text := strings.Join(lines, "\n")
	for _, name := range []string{`name="INSERT users"`, `name="INSERT organisations"`, `name=COMMIT`, `name="COPY `} {
		require.Contains(t, text, name)
	}
	require.Regexp(t, `name="INSERT users" took=\S+ statement="INSERT INTO users \([^"]*VALUES \(\$1, `, text)
	for _, value := range []string{address, org, user.JSON200.Message, "tides", all.adminSecret()} {
		require.NotContains(t, text, value)
	}
	none := startServer(t, "GATEHOUSE_LOG_SLOW_STATEMENTS=0")
	none.newOrganisation()
	require.Empty(t, none.log.matching(slow))
}
