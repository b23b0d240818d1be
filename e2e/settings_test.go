package e2e_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/store/storetest"
)

// dashboardFile is a settings file as installations of Tyk Dashboard have it, on a database.
func dashboardFile(database string) string {
	return `{
  "tyk_api_config": {"Host": "http://127.0.0.1", "Port": "1", "Secret": "352d20ee67be67f6340b4c0605b044b7"},
  "page_size": 1,
  "admin_secret": "hidden-of-the-file",
  "shared_node_secret": "352d20ee67be67f6340b4c0605b044b7",
  "redis_hosts": null, "hash_keys": true, "license_key": "hidden-license",
  "host_config": {"enable_host_names": false, "override_hostname": "gateway.example:8080"},
  "http_server_options": {"use_ssl": false, "certificates": [], "min_version": 0},
  "ui": {"languages": {"English": "en"}, "hide_help": true},
  "audit": {"enabled": true, "format": "", "detailed_recording": true},
  "storage": {"main": {"type": "postgres", "connection_string": "` + database + `"}},
  "gatehouse": {"max_connections": 0}
}`
}

func TestSettingsFile(t *testing.T) {
	t.Parallel()
	for name, named := range map[string]bool{"named": true, "in the working directory": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, filepath.Join(newDir(t), "tyk_analytics.conf"), dashboardFile(storetest.EmptyDatabase(t)))
			s := newServer(t, "TYK_DB_HASHKEYS=true")
			cmd := s.command("serve", "--page-size", "2", "--console=false")
			if named {
				cmd.Args = append(cmd.Args, "--conf", path)
			} else {
				cmd.Dir = filepath.Dir(path)
			}
			s.launchAs(cmd)
			s.waitStarted()
			require.Equal(t, []string{"data is in the configured Postgres", "admin secret: as configured"}, s.stdout.lines()[1:3])
			c, err := client.New("http://"+s.address, client.WithAdminSecret("hidden-of-the-file"))
			require.NoError(t, err)
			for range 3 {
				ok(c.CreateOrgWithResponse(t.Context(), json.RawMessage(`{"owner_name":"Rivermouth Foods"}`)))(t)
			}
			page := ok(c.GetOrgsWithResponse(t.Context(), &client.GetOrgsParams{P: new(client.Page(1))}))(t)
			require.Contains(t, string(page.Body), `"pages":2`, "the flag precedes the file")
			require.NotContains(t, s.stdout.String(), "console", "there is none")
			require.Contains(t, s.log.String(), `msg="settings file read" path=`)
			require.Equal(t, 1, strings.Count(s.log.String(), "settings without effect"))
			require.Contains(t, s.log.String(),
				`variables=[TYK_DB_HASHKEYS] members="[hash_keys host_config license_key ui]"`)
			require.NotContains(t, s.log.String(), "hidden")
		})
	}
	t.Run("what it cannot honour stops the start, with its place", func(t *testing.T) {
		t.Parallel()
		path := writeFile(t, filepath.Join(newDir(t), "a.conf"), "{\n  \"private_key_path\": \"/etc/hidden.pem\"}")
		printed := failure(t, []string{"GATEHOUSE_CONF=" + path}, "serve")
		require.Equal(t, "gatehouse: "+path+":2: private_key_path is not supported: "+
			"gatehouse signs notices to gateways with the node secret, not with a private key", printed)
	})
}

// TestLogSettings are the level of the log, the share of requests in it, and its file.
func TestLogSettings(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.EmptyDatabase(t)
	requests := func(log string) int { return strings.Count(log, "msg=request ") }
	t.Run("a level leaves the audit log alone", func(t *testing.T) {
		t.Parallel()
		s := startServer(t, database, "TYK_DB_LOGLEVEL=debug", "TYK_LOGLEVEL=warn", "TYK_DB_ADMINSECRET=12345", "TYK_LOGFORMAT=default")
		s.newOrganisation()
		require.Zero(t, s.stop())
		require.NotContains(t, s.log.String(), "level=INFO msg=request")
		require.Contains(t, s.log.String(), "level=INFO msg=audit ")
		require.Contains(t, s.log.String(), "level=WARN msg=\"secret is short")
	})
	t.Run("a share of requests", func(t *testing.T) {
		t.Parallel()
		for share, want := range map[string]int{"0.25": 5, "0": 0, "1": 20} {
			s := startServer(t, database, "GATEHOUSE_LOG_REQUESTS="+share)
			for range 20 {
				ok(s.client().AdminHelloWithResponse(t.Context()))(t)
			}
			require.Zero(t, s.stop())
			require.Equal(t, want, requests(s.log.String()), share)
		}
	})
	t.Run("a file, which is opened again", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(newDir(t), "gatehouse.log")
		s := startServer(t, database, "GATEHOUSE_LOG_FILE="+path, "GATEHOUSE_LOG_FORMAT=text")
		s.newOrganisation()
		require.NoError(t, os.Rename(path, path+".1"))
		s.newOrganisation()
		eventually(t, "both requests are logged", func() bool { // a line is written after its response
			content, err := os.ReadFile(path + ".1")
			return err == nil && requests(string(content)) == 2
		})
		s.signal(syscall.SIGHUP)
		eventually(t, "the file is there again", func() bool {
			content, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(content), "msg=reloaded")
		})
		s.newOrganisation()
		require.Zero(t, s.stop())
		require.Empty(t, s.log.String(), "nothing on standard error")
		require.Equal(t, 2, requests(readFile(t, path+".1")))
		require.Equal(t, 1, requests(readFile(t, path)))
		require.Contains(t, readFile(t, path), "msg=audit ")
	})
}

// TestAdminListen serves metrics and profiles at an address of their own, and only there.
func TestAdminListen(t *testing.T) {
	t.Parallel()
	s := startServer(t, "DATABASE_URL="+storetest.EmptyDatabase(t), "GATEHOUSE_ADMIN_LISTEN=127.0.0.1:0")
	announced := regexp.MustCompile(`(?m)^metrics and profiles are on http://(\S+)$`)
	eventually(t, "the address is announced", func() bool { return announced.MatchString(s.stdout.String()) })
	diagnostics := &server{t: t, address: announced.FindStringSubmatch(s.stdout.String())[1]}
	for path, diagnostic := range map[string]bool{
		"/metrics": true, "/metrics/": true, "//metrics": true, "/debug/pprof/heap": true, "/admin/organisations": false,
		"/hello": false, "/openapi.yaml": false,
	} {
		want := map[bool]int{diagnostic: http.StatusOK, !diagnostic: http.StatusNotFound}
		status, _ := diagnostics.get(path, "Admin-Auth", s.adminSecret())
		require.Equal(t, want[true], status, path)
		status, _ = s.get(path, "Admin-Auth", s.adminSecret())
		require.Equal(t, want[false], status, path)
	}
	status, _ := diagnostics.get("/metrics", "Admin-Auth", "wrong")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Zero(t, s.stop())
	require.Contains(t, failure(t, []string{"GATEHOUSE_ADMIN_LISTEN=here"}, "serve"),
		`--admin-listen (GATEHOUSE_ADMIN_LISTEN): "here" is not host:port`)
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	check := func(s *server, args ...string) (status int, printed string) {
		cmd := s.command(append([]string{"healthcheck"}, args...)...)
		output, _ := cmd.CombinedOutput() // the status has the error
		return cmd.ProcessState.ExitCode(), string(output)
	}
	proxy := newPostgresProxy(t, storetest.URL(t, storetest.EmptyDatabase(t)))
	s := startServer(t, "DATABASE_URL="+proxy.url)
	status, printed := check(s)
	require.Zero(t, status, printed)
	require.Equal(t, "the server is ready\n", printed)
	_, port, err := net.SplitHostPort(s.address)
	require.NoError(t, err)
	for _, all := range []string{"0.0.0.0:" + port, ":" + port} {
		status, printed = check(s, "--listen", all, "--timeout", "1m", "--admin-secret-file", "/nowhere")
		require.Zero(t, status, printed)
	}
	proxy.close()
	status, printed = check(s, "--timeout", "1m")
	require.Equal(t, 1, status)
	require.Contains(t, printed, "gatehouse: the server is not ready: 503 Service Unavailable: {")
	require.Zero(t, s.stop())
	status, printed = check(s)
	require.Equal(t, 1, status)
	require.Contains(t, printed, "gatehouse: the server does not answer: ")
	status, _ = check(s, "--listen", "127.0.0.1:0")
	require.Equal(t, 1, status)
	status, _ = check(s, "--nothing")
	require.Equal(t, 2, status)

	files := newAuthority(t).newPair("one.example")
	encrypted := startServer(t, "DATABASE_URL="+storetest.EmptyDatabase(t), "TYK_DB_HTTPSERVEROPTIONS_USESSL=true",
		"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES="+files.cert+","+files.key)
	status, printed = check(encrypted)
	require.Zero(t, status, printed)
}
