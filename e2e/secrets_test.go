package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/store/storetest"
)

// writeFile writes a file that only its owner can read, and returns its path.
func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// hangup sends SIGHUP and waits until the log has another line that contains the text.
func (s *server) hangup(logs string) {
	s.t.Helper()
	before := strings.Count(s.log.String(), logs)
	s.signal(syscall.SIGHUP)
	eventually(s.t, logs, func() bool {
		require.False(s.t, s.hasExited(), "SIGHUP ended the server: %s", s.log)
		return strings.Count(s.log.String(), logs) > before
	})
}

// TestSecretsAreReloaded changes secrets in all places that are read again on SIGHUP, in the order of a rotation.
func TestSecretsAreReloaded(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	file := func(name, content string) string { return writeFile(t, filepath.Join(dir, name), content) }
	s := startServer(t,
		"TYK_DB_ADMINSECRET_FILE="+file("admin", "first-admin-secret\n"),
		"GATEHOUSE_SECOND_ADMIN_SECRET_FILE="+file("second", "other-admin-secret\n"),
		"DATABASE_URL_FILE="+file("database", storetest.EmptyDatabase(t)+"\n"))
	hello := func(secret string) int {
		status, _ := s.get("/admin/hello", "Admin-Auth", secret)
		return status
	}
	node := func(secret string) int {
		status, _ := s.get("/system/policies", "Authorization", secret)
		return status
	}
	stored, err := os.ReadFile(filepath.Join(s.dir, "node-secret"))
	require.NoError(t, err)
	generated := strings.TrimSpace(string(stored))
	require.Contains(t, s.stdout.String(), "admin secret: as configured")
	require.Contains(t, s.stdout.String(), "node secret: "+generated)
	for _, valid := range []string{"first-admin-secret", "other-admin-secret"} {
		require.Equal(t, http.StatusOK, hello(valid))
	}
	require.Equal(t, http.StatusOK, node(generated))

	file("admin", "other-admin-secret\n")
	file("second", "third-admin-secret")
	writeFile(t, filepath.Join(s.dir, "node-secret"), "another-node-secret\n")
	require.Equal(t, http.StatusOK, hello("first-admin-secret"), "not read before SIGHUP")
	s.hangup("msg=reloaded")
	require.Equal(t, http.StatusUnauthorized, hello("first-admin-secret"))
	require.Equal(t, http.StatusOK, hello("other-admin-secret"))
	require.Equal(t, http.StatusOK, hello("third-admin-secret"))
	require.Equal(t, http.StatusForbidden, node(generated))
	require.Equal(t, http.StatusOK, node("another-node-secret"))

	t.Run("a reload that fails changes nothing", func(t *testing.T) {
		for name, breakIt := range map[string]func(){
			"an empty file":        func() { file("second", "\n") },
			"no file":              func() { require.NoError(t, os.Remove(filepath.Join(dir, "second"))) },
			"no header can":        func() { file("second", " blank") },
			"an invalid database":  func() { file("database", "postgres://user:hidden-password@host:port/db") },
			"no generated secret":  func() { require.NoError(t, os.Remove(filepath.Join(s.dir, "node-secret"))) },
			"a file for everybody": func() { require.NoError(t, os.Chmod(filepath.Join(s.dir, "node-secret"), 0o644)) },
		} {
			database, err := os.ReadFile(filepath.Join(dir, "database"))
			require.NoError(t, err)
			file("admin", "fourth-admin-secret")
			breakIt()
			s.hangup("reload secrets failed")
			require.Equal(t, http.StatusOK, hello("other-admin-secret"), name)
			require.Equal(t, http.StatusOK, hello("third-admin-secret"), name)
			require.Equal(t, http.StatusUnauthorized, hello("fourth-admin-secret"), name)
			require.Equal(t, http.StatusOK, node("another-node-secret"), name)
			file("admin", "other-admin-secret")
			file("second", "third-admin-secret")
			file("database", string(database))
			_ = os.Remove(filepath.Join(s.dir, "node-secret"))
			writeFile(t, filepath.Join(s.dir, "node-secret"), "another-node-secret")
			s.hangup("msg=reloaded")
		}
	})
	for _, hidden := range []string{"admin-secret\n", "first-admin", "other-admin", "third-admin", "another-node", generated, "hidden-password"} {
		require.NotContains(t, s.log.String(), hidden)
	}
	require.Zero(t, s.stop())
}

func TestHangupWhileItStarts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.launch()
	eventually(t, "the server begins to make a cluster", func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "postgres.lock"))
		return err == nil
	})
	s.signal(syscall.SIGHUP)
	s.waitStarted()
	eventually(t, "it reloads when it has started", func() bool { return strings.Contains(s.log.String(), "msg=reloaded") })
	ok(s.client().GetReadyWithResponse(t.Context()))(t)
	require.Zero(t, s.stop())
}

func TestAuditFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(newDir(t), "audit.log")
	s := startServer(t, "TYK_DB_AUDIT_PATH="+path, "TYK_DB_AUDIT_FORMAT=json")
	s.newOrganisation()
	lines := func(path string) (lines []map[string]any) {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			var fields map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
			lines = append(lines, fields)
		}
		return lines
	}
	first := lines(path)
	require.Len(t, first, 1)
	for name, want := range map[string]any{
		"msg": "audit", "who": "admin_secret", "action": "createOrg", "object": "organisation", "outcome": "ok",
		"status": 200.0, "ip": "127.0.0.1",
	} {
		require.Equal(t, want, first[0][name], name)
	}
	require.NotContains(t, s.log.String(), "msg=audit", "it has a file of its own")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o007, "not for every account")

	rotated := path + ".1"
	require.NoError(t, os.Rename(path, rotated))
	s.newOrganisation()
	require.Len(t, lines(rotated), 2, "the renamed file is in use until SIGHUP")
	s.hangup("msg=reloaded")
	s.newOrganisation()
	require.Len(t, lines(path), 1)
	require.Len(t, lines(rotated), 2)

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	s.hangup("reopen log file failed")
	s.newOrganisation() // to the file that has been removed
	s.kill()
	for _, line := range append(lines(rotated), first...) {
		require.NotContains(t, line, s.adminSecret())
	}
}

func TestAuditIsPartOfTheLog(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.EmptyDatabase(t)
	s := startServer(t, database)
	s.newOrganisation()
	require.Zero(t, s.stop()) // the log is complete then
	require.Regexp(t, `(?m)^time=\S+ level=INFO msg=audit req_id=\S+ ip=127.0.0.1 who=admin_secret action=createOrg object=organisation object_id=[0-9a-f]{24} outcome=ok status=200$`, s.log.String())
	off := startServer(t, database, "TYK_DB_AUDIT_ENABLED=false")
	off.newOrganisation()
	require.Zero(t, off.stop())
	require.NotContains(t, off.log.String(), "msg=audit")
}

// TestAuditIsStored: what the audit log has when a server ends, the database has, too, and so it is with a command that
// needs no server.
func TestAuditIsStored(t *testing.T) {
	t.Parallel()
	conn := storetest.EmptyDatabase(t)
	actions := func() string {
		return storetest.Value[string](t, conn, `SELECT string_agg(actor || ' ' || action, ', ' ORDER BY position) FROM audit_events`)
	}
	s := startServer(t, "DATABASE_URL="+conn)
	org := s.newOrganisation()
	require.Zero(t, s.stop())
	require.Equal(t, "admin_secret createOrg", actions())
	o := operator{server: s}
	status, _, log := o.try("", "orgs", "delete", "--yes", "--local", org)
	require.Zero(t, status, log)
	require.Equal(t, "admin_secret createOrg, admin_secret deleteOrg", actions())
}

// TestFirstStartsAtOnce starts servers on one new data directory: they agree on the secrets that they generate.
func TestFirstStartsAtOnce(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.EmptyDatabase(t)
	servers := make([]*server, 4)
	for i := range servers {
		servers[i] = newServer(t, database)
		servers[i].dir = servers[0].dir
	}
	for _, s := range servers {
		s.launch()
	}
	announced := 0
	for _, s := range servers {
		s.waitStarted()
		announced += strings.Count(s.stdout.String(), "not printed again")
	}
	require.Equal(t, 2, announced, "each secret is generated, and printed, once")
	for _, s := range servers {
		ok(s.client().AdminHelloWithResponse(t.Context()))(t)
	}
}

func TestSettingsThatDoNothingAreNamed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "DATABASE_URL=", "TYK_DB_STORAGE_MAIN_CONNECTIONSTRING="+storetest.EmptyDatabase(t)+"\n",
		"TYK_DB_ADMINSECRET=12345", "GATEHOUSE_SECOND_ADMIN_SECRET=known-to-gateways", "TYK_DB_NODESECRET=known-to-gateways",
		"TYK_DB_LICENSEKEY=hidden-license", "TYK_DB_MONGOURL=mongodb://hidden", "TYK_DB_PAGESIZ=hidden", "GATEHOUSE_BOOTSTRAP=true")
	require.Contains(t, s.stdout.String(), "data is in the configured Postgres", "a variable that is empty is not set")
	eventually(t, "all is logged", func() bool {
		log := s.log.String()
		return strings.Contains(log, "settings without effect") && strings.Contains(log, "every gateway knows")
	})
	require.Equal(t, 1, strings.Count(s.log.String(), "settings without effect"))
	require.Contains(t, s.log.String(), `variables="[TYK_DB_LICENSEKEY TYK_DB_MONGOURL TYK_DB_PAGESIZ]"`)
	require.Contains(t, s.log.String(), "level=WARN msg=\"secret is short enough to be guessed\" setting=--admin-secret minimum_characters=16")
	require.Equal(t, 1, strings.Count(s.log.String(), "short enough"))
	require.Contains(t, s.log.String(), `level=WARN msg="every gateway knows an admin secret`)
	require.Contains(t, s.log.String(), `level=WARN msg="POST /bootstrap is switched on`)
	require.NotContains(t, s.log.String(), "hidden")
	require.NotContains(t, s.log.String(), "12345")
	require.NotContains(t, s.log.String(), "known-to-gateways")
	ok(s.client().AdminHelloWithResponse(t.Context()))(t)
}

// TestLoginFailureSettings sets limits of failed log-ins by both forms of their names.
func TestLoginFailureSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings []string
		refused  int
	}{
		"of users": {[]string{
			"TYK_DB_SECURITY_LOGINFAILUREUSERNAMELIMIT=1", "TYK_DB_SECURITY_LOGINFAILUREEXPIRATION=5",
		}, http.StatusTooManyRequests},
		"of addresses, hidden": {[]string{
			"TYK_DB_SECURITY_LOGIN_FAILURE_IP_LIMIT=1", "TYK_DB_SECURITY_LOGIN_FAILURE_EXPIRATION=5",
			"TYK_DB_SECURITY_HIDELOGINFAILURELIMITERROR=true",
		}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, append(c.settings, "DATABASE_URL="+storetest.EmptyDatabase(t))...)
			user := ok(s.client().CreateUserWithResponse(t.Context(), client.UserRequest{
				OrgId: new(s.newOrganisation()), EmailAddress: new("ines@rivermouth.example"), Active: new(true),
			}))(t).JSON200
			own := s.client(client.WithAccessKey(user.Message))
			set := func(current string) int {
				got, err := own.SetUserPasswordWithResponse(t.Context(), user.Meta.Id,
					client.UserPassword{CurrentPassword: &current, NewPassword: "correct horse"})
				require.NoError(t, err)
				return got.StatusCode()
			}
			require.Equal(t, http.StatusOK, set(""))
			require.Equal(t, http.StatusForbidden, set("guess"))
			require.Equal(t, c.refused, set("correct horse"))
			eventually(t, "the limit has expired", func() bool { return set("correct horse") == http.StatusOK })
		})
	}
}
