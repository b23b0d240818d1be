package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/testprogram"
	"gatehouse/store/storetest"
)

// inNamespace returns a command that runs a shell script in a mount namespace of its own, which ends with it. The
// script gets the arguments. The test ends as testprogram.Missing says where that is not allowed.
func inNamespace(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	if runtime.GOOS != "linux" {
		testprogram.Missing(t, "Linux, which has mount namespaces")
	}
	unshare := []string{testprogram.Need(t, "unshare"), "--mount"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	if output, err := exec.Command(unshare[0], append(unshare[1:], "mount", "-t", "tmpfs", "none", "/mnt")...).CombinedOutput(); err != nil {
		testprogram.Missing(t, fmt.Sprintf("the right to mount in a namespace of its own (%s)", output))
	}
	return exec.Command(unshare[0], append(append(unshare[1:], "sh", "-ec", script, "sh"), args...)...)
}

var goMemoryLimit = regexp.MustCompile(`(?m)^go_gc_gomemlimit_bytes (\S+)$`)

// TestMemoryLimitOfAContainer starts the server in control groups that are made up: four fifths of their memory become
// GOMEMLIMIT, at least 64 MiB, unless that is set.
func TestMemoryLimitOfAContainer(t *testing.T) {
	t.Parallel()
	v2 := map[string]string{
		"cgroup":    "0::/app\n",
		"mountinfo": "41 31 0:38 / {dir} rw,relatime - cgroup2 none rw\n",
	}
	v1 := map[string]string{
		"cgroup":    "4:memory:/app\n0::/\n",
		"mountinfo": "35 31 0:32 / {dir} rw,relatime - cgroup none rw,memory\n",
	}
	for name, c := range map[string]struct {
		files       map[string]string
		limitFile   string
		limit       string
		environment []string
		want        float64
	}{
		"version 2":           {v2, "memory.max", "536870912\n", nil, 0.8 * (512 << 20)},
		"version 1":           {v1, "memory.limit_in_bytes", "1073741824\n", nil, 0.8 * (1 << 30)},
		"little memory":       {v2, "memory.max", "33554432\n", nil, 64 << 20},
		"GOMEMLIMIT is set":   {v2, "memory.max", "536870912\n", []string{"GOMEMLIMIT=100MiB"}, 100 << 20},
		"no limit":            {v2, "memory.max", "max\n", nil, 160 << 20},
		"what cannot be read": {v2, "memory.max", "much\n", nil, 160 << 20},
		"no control groups":   {map[string]string{"cgroup": "", "mountinfo": ""}, "memory.max", "1", nil, 160 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newDir(t)
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "app"), 0o755))
			for file, content := range c.files {
				content = regexp.MustCompile(`\{dir\}`).ReplaceAllLiteralString(content, dir)
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644))
			}
			for _, file := range []string{c.limitFile, filepath.Join("app", c.limitFile)} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(c.limit), 0o644))
			}
			s := newServer(t, append(c.environment, "DATABASE_URL="+storetest.EmptyDatabase(t))...)
			serve := s.command("serve")
			contained := inNamespace(t, `
				for file in cgroup mountinfo; do mount --bind "$1/$file" /proc/$$/$file; done
				shift; exec "$@"`, append([]string{dir}, serve.Args...)...)
			contained.Env = serve.Env
			s.launchAs(contained)
			s.waitStarted()
			require.InEpsilon(t, c.want, s.memoryLimit(), 1e-6)
		})
	}
}

// memoryLimit returns GOMEMLIMIT of the server, in bytes.
func (s *server) memoryLimit() float64 {
	s.t.Helper()
	found := goMemoryLimit.FindStringSubmatch(s.page("/metrics"))
	require.NotNil(s.t, found)
	limit, err := strconv.ParseFloat(found[1], 64)
	require.NoError(s.t, err)
	return limit
}

// TestMemoryLimitFollowsConnections: without a container's limit, GOMEMLIMIT has room for what each open connection
// holds, so that many gateways do not have the server collect garbage all the time.
func TestMemoryLimitFollowsConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t, "DATABASE_URL="+storetest.EmptyDatabase(t))
	s.start()
	const step = 256 // connections, after which the limit follows
	atRest := s.memoryLimit()
	var open []net.Conn
	for range step + step/2 {
		conn := s.dialFrom(t.Context(), "127.0.0.1")
		require.Contains(t, status(t, conn, ""), "200") // else the server would close it after the time for headers
		open = append(open, conn)
	}
	gatewaytest.Eventually(t, bound, "the limit follows new connections", func() bool {
		return s.memoryLimit() == atRest+step*(56<<10)
	})
	for _, conn := range open {
		require.NoError(t, conn.Close())
	}
	gatewaytest.Eventually(t, bound, "the limit follows closed connections", func() bool {
		return s.memoryLimit() == atRest
	})
}

// TestFullDisk fills the disk of the private Postgres: changes are refused with the failure that their operations
// document, reads go on, and when there is space again, so do changes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		testprogram.Missing(t, "root, for a file system that a private Postgres can use")
	}
	s := newServer(t, "TYK_DB_ADMINSECRET=the-admin-secret")
	dir := filepath.Dir(s.dir)
	serve := s.command("serve")
	contained := inNamespace(t, `mount -t tmpfs -o size=192m,mode=0755 none "$1"; shift; exec "$@"`,
		append([]string{dir}, serve.Args...)...)
	contained.Env = serve.Env
	s.launchAs(contained)
	t.Cleanup(func() { s.stop() }) // else its Postgres would be left, in a directory that the test does not see
	s.waitStarted()
	org := s.newOrganisation()
	user := ok(s.client().CreateUserWithResponse(t.Context(), client.UserRequest{
		OrgId: &org, EmailAddress: new("ines@rivermouth.example"), Active: new(true),
	}))(t).JSON200

	filler := fill(t, fmt.Sprintf("/proc/%d/root%s/filler", s.process.Process.Pid, dir))
	large := json.RawMessage(`{"owner_name":"Rivermouth Foods","org_options_meta":{"noise":` + noise(100_000) + `}}`)
	apis := `{"apis":[{"api_definition":{"api_id":"noise","name":"noise","org_id":"` + org + `",` +
		`"proxy":{"listen_path":"/noise/"},"config_data":{"noise":` + noise(100_000) + `}}}]}`
	changes := map[string]func() (status int, body []byte){
		"a new organisation": func() (int, []byte) {
			got, err := s.client().CreateOrgWithResponse(t.Context(), large)
			require.NoError(t, err)
			return got.StatusCode(), got.Body
		},
		"an import": func() (int, []byte) {
			got, err := s.client().ImportAPIsWithBodyWithResponse(t.Context(), "application/json", strings.NewReader(apis))
			require.NoError(t, err)
			return got.StatusCode(), got.Body
		},
	}
	for name, change := range changes {
		for range 20 {
			status, body := change()
			require.Equal(t, http.StatusInternalServerError, status, "%s: %s", name, body)
			require.NotContains(t, string(body), "space")
		}
	}
	for range 20 {
		ok(s.client().GetOrgWithResponse(t.Context(), org))(t)
		ok(s.client(client.WithAccessKey(user.Message)).GetUserWithResponse(t.Context(), user.Meta.Id))(t)
		ready, err := s.client().GetReadyWithResponse(t.Context())
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, ready.StatusCode())
		require.Contains(t, string(ready.Body), "the disk of the database is full")
	}
	require.Contains(t, s.log.String(), "No space left on device")
	require.False(t, s.hasExited())

	require.NoError(t, os.Remove(filler))
	for name, change := range changes {
		eventually(t, name, func() bool {
			status, _ := change()
			return status == http.StatusOK
		})
	}
	eventually(t, "the server is ready", func() bool {
		ready, err := s.client().GetReadyWithResponse(t.Context())
		return err == nil && ready.StatusCode() == http.StatusOK
	})
	require.Zero(t, s.stop())
}

// fill writes a file until its disk is full.
func fill(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	return path
}

// TestWithoutWritableDirectory starts the server where everything is read-only, and the account has no home: with a
// Postgres and both secrets configured, it needs neither. Only a large import does, and says so.
func TestWithoutWritableDirectory(t *testing.T) {
	t.Parallel()
	s := newServer(t, append(fixedSecrets(), "DATABASE_URL="+storetest.Database(t), "TMPDIR=/nonexistent")...)
	serve := s.command("serve")
	contained := inNamespace(t, `
		for each in $(cut -d' ' -f5 /proc/self/mountinfo); do mount -o remount,bind,ro "$each" 2>/dev/null || true; done
		if (echo >"$1/file") 2>/dev/null; then echo 'the file system is still writable' >&2; exit 1; fi
		shift; exec "$@"`, append([]string{newDir(t)}, serve.Args...)...)
	homeless := regexp.MustCompile(`^(HOME|XDG_\w+|GATEHOUSE_DATA_DIR)=`)
	contained.Env = slices.DeleteFunc(serve.Env, homeless.MatchString)
	s.launchAs(contained)
	s.waitStarted()
	org := s.newOrganisation()
	s.importAPI(org, "harbour")

	large := `{"Data":[{"_id":"61df10078f11dd00097cb55f","org_id":"` + org + `","name":"` + strings.Repeat("tide ", 1<<18) + `"}]}`
	refused, err := s.client().ImportPoliciesWithBodyWithResponse(t.Context(), "application/json", strings.NewReader(large))
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, refused.StatusCode(), "%s", refused.Body)
	require.Contains(t, string(refused.Body), "--spool-dir")
	require.Zero(t, s.stop(), s.log.String())
}

// TestVariablesOfLibpq starts the server with its private Postgres and with variables that are about another one.
func TestVariablesOfLibpq(t *testing.T) {
	t.Parallel()
	s := startServer(t, "PGHOST=db.invalid", "PGPORT=1", "PGUSER=nobody", "PGDATABASE=other", "PGPASSWORD=wrong",
		"PGSERVICE=nowhere", "PGSERVICEFILE=/nonexistent", "PGPASSFILE=/nonexistent", "PGSSLMODE=verify-full",
		"PGSSLROOTCERT=/nonexistent", "PGSSLCERT=/nonexistent", "PGSSLKEY=/nonexistent", "PGTARGETSESSIONATTRS=standby",
		"PGOPTIONS=-c default_transaction_read_only=on", "PGTZ=Mars/Utopia", "PGCONNECT_TIMEOUT=never",
		"PGAPPNAME=other", "PGREQUIREAUTH=scram-sha-256", "PGCHANNELBINDING=require")
	s.newOrganisation()
}
