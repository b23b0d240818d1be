package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"gatehouse/internal/testprogram"
	"gatehouse/store/storetest"
)

// The secrets of what doctor looks at. None of them may be in its output.
const (
	doctorAdminSecret = "hidden-admin-secret"
	doctorNodeSecret  = "hidden-node-secret"
)

// finding is a line of doctor.
type finding struct{ Check, Status, Found, Advice string }

// doctorRun is a run of doctor.
type doctorRun struct {
	t        *testing.T
	status   int
	findings []finding
	printed  string // on standard output and standard error
}

// examine runs doctor with settings, for a server that does not run, unless they say otherwise.
func examine(t *testing.T, settings ...string) doctorRun {
	t.Helper()
	return examineBy(t, doctorCommand(t), settings...)
}

func doctorCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), program(t), append([]string{"doctor", "-o", "json"}, args...)...)
}

func examineBy(t *testing.T, cmd *exec.Cmd, settings ...string) doctorRun {
	t.Helper()
	cmd.Env = append(environment(
		"GATEHOUSE_LISTEN=127.0.0.1:1", "GATEHOUSE_DATA_DIR="+filepath.Join(t.TempDir(), "none"),
		"TYK_DB_ADMINSECRET="+doctorAdminSecret, "TYK_DB_NODESECRET="+doctorNodeSecret), settings...)
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	_ = cmd.Run() // the status has the error
	run := doctorRun{t: t, status: cmd.ProcessState.ExitCode(), printed: out.String() + log.String()}
	require.NoError(t, json.Unmarshal([]byte(out.String()), &run.findings), run.printed)
	require.NotContains(t, run.printed, "hidden")
	run.checkStatus(log.String())
	return run
}

// checkStatus compares the exit status with the findings, and requires advice with all that are not ok.
func (r doctorRun) checkStatus(log string) {
	r.t.Helper()
	faults := 0
	for _, each := range r.findings {
		require.Contains(r.t, []string{"ok", "note", "warning", "fault"}, each.Status)
		require.Equal(r.t, each.Status == "ok", each.Advice == "", "%+v", each)
		require.NotEmpty(r.t, each.Found, each.Check)
		if each.Status == "fault" {
			faults++
		}
	}
	if faults == 0 {
		require.Zero(r.t, r.status, r.printed)
		require.Empty(r.t, log)
		return
	}
	require.Equal(r.t, 1, r.status, r.printed)
	require.Equal(r.t, fmt.Sprintf("gatehouse: faults found: %d\n", faults), log)
}

// has requires a finding of a check, with a status and a text that a pattern matches.
func (r doctorRun) has(check, status, pattern string) {
	r.t.Helper()
	for _, each := range r.findings {
		if each.Check == check && each.Status == status && regexp.MustCompile(pattern).MatchString(each.Found) {
			return
		}
	}
	r.t.Fatalf("there is no %s of %q with %q:\n%s", status, check, pattern, r.printed)
}

// only requires that nothing but these checks has warnings and faults. The latency is that of a busy machine.
func (r doctorRun) only(checks ...string) {
	r.t.Helper()
	for _, each := range r.findings {
		if (each.Status == "warning" || each.Status == "fault") && each.Check != "database latency" {
			require.Contains(r.t, checks, each.Check, "%+v", each)
		}
	}
}

// TestDoctor runs doctor beside a server with a private Postgres, and after it, in all formats.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	doctor := func(format string) (printed string, status int) {
		cmd := s.command("doctor", "-o", format)
		output, _ := cmd.CombinedOutput()
		return string(output), cmd.ProcessState.ExitCode()
	}
	printed, status := doctor("table")
	require.Zero(t, status, printed)
	for _, pattern := range []string{
		`(?m)^CHECK +STATUS +RESULT$`, `(?m)^settings +ok +the server accepts them$`, `(?m)^server +ok +ready at 127`,
		`(?m)^private postgres +ok +runs in `, `(?m)^database +ok +answers, and can be written$`,
		`(?m)^database version +ok +Postgres \d\d`, `(?m)^database schema +ok +version \d+, as this program has it$`,
		`(?m)^database privileges +ok `, `(?m)^database compression +(ok|note) `, `(?m)^database pooler +ok +none`,
		`(?m)^database replication +ok +no standby`, `(?m)^database latency +\S+ +[0-9.]+[mµ]?s for`,
		`(?m)^database connections +ok `, `(?m)^database clock +ok `, `(?m)^gateway +note +none.* — `,
		`(?m)^redis +note +none.* — `, `(?m)^secrets +ok `, `(?m)^certificates +ok +none`, `(?m)^disk data +\S+ +\d+ MiB free`,
		`(?m)^disk spool +\S+ +\d+ MiB free`, `(?m)^limit of files +`, `(?m)^limit of memory +`,
	} {
		require.Regexp(t, pattern, printed)
	}
	require.NotContains(t, printed, s.adminSecret())
	order := func(findings []finding) (checks []string) {
		for _, each := range findings {
			checks = append(checks, each.Check)
		}
		return checks
	}
	var ofJSON, ofYAML []finding
	printed, status = doctor("json")
	require.Zero(t, status)
	require.NoError(t, json.Unmarshal([]byte(printed), &ofJSON))
	printed, _ = doctor("yaml")
	require.NoError(t, yaml.Unmarshal([]byte(printed), &ofYAML))
	require.Equal(t, order(ofJSON), order(ofYAML), "the order is fixed")

	require.Zero(t, s.stop())
	printed, status = doctor("table")
	require.Zero(t, status, printed)
	require.Regexp(t, `(?m)^server +note +none runs`, printed)
	require.Regexp(t, `(?m)^private postgres +note +the private Postgres does not run: .* — start the server`, printed)
	require.Zero(t, postmasterPID(t, s.dir), "doctor starts nothing")
}

func TestDoctorChangesNoFiles(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	run := examine(t, "GATEHOUSE_DATA_DIR="+filepath.Join(dir, "data"), "GATEHOUSE_SPOOL_DIR="+dir,
		"TYK_DB_ADMINSECRET=", "TYK_DB_NODESECRET=")
	run.has("private postgres", "note", "there is no database yet")
	run.has("secrets", "note", "--admin-secret is not set yet")
	run.has("secrets", "note", "--node-secret is not set yet")
	run.only()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), program(t), "doctor", "--nothing")
	require.Error(t, cmd.Run())
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
}

func TestDoctorSettings(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.Database(t)
	for name, c := range map[string]struct {
		setting, status, found string
	}{
		"a value":                   {"TYK_DB_PAGESIZE=1001", "fault", "1001 is not between 1 and 1000"},
		"a value of another type":   {"TYK_DB_PAGESIZE=many", "fault", "must be an integer"},
		"a file of a secret":        {"TYK_DB_REDISPASSWORD_FILE=/nowhere", "fault", "/nowhere: no such file"},
		"a file":                    {"TYK_DB_AUDIT_PATH=/nowhere/audit.log", "fault", "/nowhere: no such file"},
		"what protects":             {"TYK_DB_SECURITY_OPENPOLICY_ENABLED=true", "fault", "OPENPOLICY"},
		"a name":                    {"TYK_DB_HASHKEYS=true", "warning", "TYK_DB_HASHKEYS has no effect"},
		"a settings file":           {"GATEHOUSE_CONF=/nowhere", "fault", "/nowhere: no such file"},
		"a gateway without address": {"TYK_DB_TYKAPI_HOST=http://", "gateway fault", "is not an address"},
		"authorities of no gateway": {"GATEHOUSE_REDIS_CA_FILE=/nowhere", "warning", "GATEHOUSE_REDIS_CA_FILE has no effect"},
		"authorities of the Redis":  {"TYK_DB_REDISCAFILE=/nowhere", "fault", "is set without --redis-tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, database, c.setting)
			if status, isGateway := strings.CutPrefix(c.status, "gateway "); isGateway {
				run.has("gateway", status, c.found)
				run.only("gateway")
				return
			}
			run.has("settings", c.status, c.found)
			run.only("settings")
		})
	}
}

func TestDoctorServer(t *testing.T) {
	t.Parallel()
	proxy := newPostgresProxy(t, storetest.URL(t, storetest.EmptyDatabase(t)))
	s := startServer(t, "DATABASE_URL="+proxy.url)
	settings := []string{"GATEHOUSE_LISTEN=" + s.address, "DATABASE_URL=" + proxy.url}
	run := examine(t, settings...)
	run.has("server", "ok", "ready at")
	run.only()
	examine(t, append(settings, "GATEHOUSE_LISTEN=127.0.0.1:0")...).has("server", "note", "which one is not known")

	ca := newAuthority(t).newPair("one.example")
	run = examine(t, append(settings, "TYK_DB_HTTPSERVEROPTIONS_USESSL=true",
		"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES="+ca.cert+","+ca.key)...)
	run.has("server", "warning", "does not answer")

	proxy.close()
	run = examine(t, settings...)
	run.has("server", "fault", "the server is not ready: ")
	run.has("database", "fault", "connection refused")

	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	run = examine(t, "DATABASE_URL="+storetest.Database(t), "GATEHOUSE_LISTEN="+other.Listener.Addr().String())
	run.has("server", "fault", "another program listens at")
	run.only("server")
}

func TestDoctorSecrets(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.Database(t)
	dir := newDir(t)
	open := writeFile(t, filepath.Join(dir, "open"), doctorAdminSecret)
	require.NoError(t, os.Chmod(open, 0o644))
	stored := newDir(t)
	writeFile(t, filepath.Join(stored, "admin-secret"), doctorAdminSecret)
	require.NoError(t, os.Chmod(filepath.Join(stored, "admin-secret"), 0o644))
	shared := newDir(t)
	require.NoError(t, os.Chmod(shared, 0o777))
	conf := writeFile(t, filepath.Join(dir, "conf"), `{"admin_secret": "`+doctorAdminSecret+`"}`)
	require.NoError(t, os.Chmod(conf, 0o644))
	for name, c := range map[string]struct {
		settings      []string
		status, found string
	}{
		"short":                    {[]string{"TYK_DB_ADMINSECRET=hidden"}, "warning", "--admin-secret has fewer than 16 characters"},
		"short, the second":        {[]string{"GATEHOUSE_SECOND_NODE_SECRET=hidden"}, "warning", "--second-node-secret has fewer"},
		"one for all":              {[]string{"TYK_DB_NODESECRET=" + doctorAdminSecret}, "warning", "every gateway knows it"},
		"a file that is open":      {[]string{"TYK_DB_ADMINSECRET=", "TYK_DB_ADMINSECRET_FILE=" + open}, "warning", `--admin-secret: every account has access to .* \(mode 0644\)`},
		"a password that is open":  {[]string{"TYK_DB_REDISPASSWORD_FILE=" + open}, "warning", "--redis-password: every account"},
		"a stored one, open":       {[]string{"TYK_DB_ADMINSECRET=", "GATEHOUSE_DATA_DIR=" + stored}, "fault", "every account has access"},
		"a directory that is open": {[]string{"GATEHOUSE_DATA_DIR=" + shared}, "warning", `can replace the files in .* \(mode 0777\)`},
		"a settings file, open":    {[]string{"TYK_DB_ADMINSECRET=", "GATEHOUSE_CONF=" + conf}, "warning", "settings file: every account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, append(c.settings, database)...)
			run.has("secrets", c.status, c.found)
			run.only("secrets")
		})
	}
	t.Run("an argument", func(t *testing.T) {
		t.Parallel()
		examineBy(t, doctorCommand(t, "--node-secret", doctorNodeSecret), database).has("secrets", "warning", "--node-secret is an argument of the program")
	})
	t.Run("the file of another account", func(t *testing.T) {
		t.Parallel()
		file := writeFile(t, filepath.Join(newDir(t), "secret"), doctorAdminSecret)
		if err := os.Chown(file, 12345, -1); err != nil {
			testprogram.Missing(t, "root, to give a file to another account")
		}
		run := examine(t, database, "TYK_DB_ADMINSECRET=", "TYK_DB_ADMINSECRET_FILE="+file)
		run.has("secrets", "warning", `belongs to another account \(uid 12345\)`)
	})
}

// writeCertificate writes a certificate that is valid for a time, and its key.
func writeCertificate(t *testing.T, from, until time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "one.example"}, NotBefore: from, NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := newDir(t)
	return pair{
		writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))),
	}
}

func TestDoctorCertificates(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.Database(t)
	const day = 24 * time.Hour
	now := time.Now()
	good := writeCertificate(t, now.Add(-day), now.Add(100*day))
	open := writeCertificate(t, now.Add(-day), now.Add(100*day))
	require.NoError(t, os.Chmod(open.key, 0o644))
	for name, c := range map[string]struct {
		files         pair
		status, found string
	}{
		"good":          {good, "ok", `cert.pem \(CN=one.example\) is valid until \d{4}-`},
		"expired":       {writeCertificate(t, now.Add(-2*day), now.Add(-day)), "fault", "has expired"},
		"expires soon":  {writeCertificate(t, now.Add(-2*day), now.Add(3*day)), "warning", "expires soon"},
		"not valid yet": {writeCertificate(t, now.Add(day), now.Add(3*day)), "fault", "is not valid before"},
		"another key":   {pair{good.cert, open.key}, "fault", "private key does not match public key"},
		"no file":       {pair{"/nowhere", good.key}, "fault", "/nowhere: no such file"},
		"no PEM":        {pair{"/dev/null", good.key}, "fault", "failed to find any PEM data"},
		"an open key":   {open, "warning", "every account has access to the key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := examine(t, database, "TYK_DB_HTTPSERVEROPTIONS_USESSL=true",
				"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES="+c.files.cert+","+c.files.key)
			run.has("certificates", c.status, c.found)
			run.only("certificates")
		})
	}
	t.Run("that of a client", func(t *testing.T) {
		t.Parallel()
		expired := writeCertificate(t, now.Add(-2*day), now.Add(-day))
		run := examine(t, database, "TYK_DB_TYKAPI_HOST=https://127.0.0.1", "TYK_DB_TYKAPI_PORT=1",
			"GATEHOUSE_GATEWAY_CERT_FILE="+expired.cert, "GATEHOUSE_GATEWAY_KEY_FILE="+expired.key)
		run.has("certificates", "fault", "has expired")
	})
}

func TestDoctorDisk(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.Database(t)
	run := examine(t, database, "GATEHOUSE_SPOOL_DIR=/nowhere")
	run.has("disk spool", "fault", "cannot create a file in /nowhere")
	run.only("disk spool")

	examine(t, database, "GATEHOUSE_MAX_IMPORT=4611686018427387904").has("disk spool", "note", "MiB free in")

	mount := func(size string) string {
		dir := newDir(t)
		if os.Geteuid() != 0 || exec.Command("mount", "-t", "tmpfs", "-o", "mode=711,size="+size, "tmpfs", dir).Run() != nil {
			testprogram.Missing(t, "root, to mount a small file system")
		}
		t.Cleanup(func() { require.NoError(t, exec.Command("umount", dir).Run()) })
		return dir
	}
	run = examine(t, "GATEHOUSE_DATA_DIR="+mount("200m"), "GATEHOUSE_SPOOL_DIR="+mount("32m"))
	run.has("disk data", "warning", "(200|199) MiB free in")
	run.has("disk spool", "fault", "(32|31) MiB free in")
	files := mount("2g,nr_inodes=2")
	writeFile(t, filepath.Join(files, "last"), "")
	examine(t, "GATEHOUSE_DATA_DIR="+files).has("disk data", "fault", "no more files")
}

func TestDoctorLimits(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + storetest.Database(t)
	bash := testprogram.Need(t, "bash")
	cmd := exec.CommandContext(t.Context(), bash, "-c", "ulimit -n 512; exec "+program(t)+" doctor -o json")
	run := examineBy(t, cmd, database)
	run.has("limit of files", "warning", `may open 512 files, and --max-connections \(4096\) needs 42`)
	run.only("limit of files")
	examine(t, database, "GATEHOUSE_MAX_CONNECTIONS=0").has("limit of files", "note", "no limit")
	run = examine(t, database, "GOMEMLIMIT=32MiB")
	run.has("limit of memory", "warning", "GOMEMLIMIT is 32 MiB")
	run.only("limit of memory")
}
