package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"gatehouse/internal/config"
)

// settingsFile writes a settings file and returns its path.
func settingsFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestConfig(t *testing.T) {
	t.Parallel()
	path := settingsFile(t, `{"admin_secret": "hidden", "page_size": 20,
		"tyk_api_config": {"Host": "http://user:hidden@gateway"}, "redis_addrs": ["a:1", "b:2"], "hash_keys": true}`)
	args := []string{
		"config", "--conf", path, "--page-size", "30", "--database-url", "postgres://user:hidden@host/db",
		"--data-dir", t.TempDir(),
	}
	status, out, log := run(t, args...)
	require.Zero(t, status, log)
	for _, want := range []string{
		`(?m)^SETTING +VALUE +SOURCE$`, `(?m)^conf +` + path + ` +flag$`, `(?m)^page-size +30 +flag$`,
		`(?m)^admin-secret +\[redacted\] +file ` + path + `:1: admin_secret$`, `(?m)^database-url +\[redacted\] +flag$`,
		`(?m)^gateway-host +http://\[redacted\]@gateway +file ` + path + `:2: tyk_api_config.Host$`,
		`(?m)^redis-addrs +a:1,b:2 +file `, `(?m)^redis-port +6379 +default$`,
	} {
		require.Regexp(t, want, out)
	}
	require.NotContains(t, out+log, "hidden")

	var printed []struct {
		Setting, Value, Source, Place string
		Variables                     []string
	}
	_, out, _ = run(t, append(args, "-o", "json")...)
	require.NoError(t, json.Unmarshal([]byte(out), &printed), out)
	require.NotContains(t, out, "hidden")
	all := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &config.Config{})
	require.Len(t, printed, len(all))
	for i, setting := range all {
		require.Equal(t, setting.Flag.Name, printed[i].Setting)
		require.Equal(t, setting.Variables, printed[i].Variables)
	}
	ofJSON := printed
	printed = nil
	_, out, _ = run(t, append(args, "-o", "yaml")...)
	require.NoError(t, yaml.Unmarshal([]byte(out), &printed), out)
	require.Equal(t, ofJSON, printed)
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, content string, args ...string) (status int, out, log string) {
		t.Helper()
		return run(t, append([]string{
			"config", "check", "--data-dir", t.TempDir(), "--database-url", "postgres://host/db", "--conf", settingsFile(t, content),
		}, args...)...)
	}
	status, out, log := check(t, `{"hash_keys": true, "audit": {"path": "`+t.TempDir()+`/audit.log"}}`)
	require.Zero(t, status, log)
	require.Equal(t, "hash_keys has no effect: gatehouse does not have this setting\n"+
		"the server would start with these settings\n", out)

	unreadable := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(unreadable, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(unreadable, "node-secret"), []byte("x"), 0o644))
	for name, c := range map[string]struct {
		content string
		args    []string
		want    []string
	}{
		"values":              {`{"page_size": 1001, "redis_port": 70000}`, nil, []string{"1001 is not between 1 and 1000", "70000 is not a port"}},
		"a value of no type":  {`{"page_size": "many"}`, nil, []string{`page_size): invalid value "many"`}},
		"no JSON":             {`{`, nil, []string{"settings.json:1:"}},
		"what protects":       {`{"private_key_path": "x"}`, nil, []string{"private_key_path is not supported"}},
		"files":               {`{"audit": {"path": "/nowhere/a.log"}}`, []string{"--password-schema", "/nowhere"}, []string{"--audit-path (", "stat /nowhere: no such file", "--password-schema"}},
		"a connection string": {`{}`, []string{"--database-url", "postgres://%zz", "--direct-database-url", "nothing"}, []string{"connection string: is not a URL", "direct connection string"}},
		"a gateway":           {`{"tyk_api_config": {"Host": "http://"}}`, nil, []string{"is not an address"}},
		"stored secrets":      {`{}`, []string{"--data-dir", unreadable}, []string{"run chmod 600"}},
		"a secret twice":      {`{}`, []string{"--database-url-file", "/dev/null"}, []string{"are both set"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, out, log := check(t, c.content, c.args...)
			require.Equal(t, 1, status)
			require.Empty(t, out)
			for _, want := range c.want {
				require.Contains(t, log, want)
			}
		})
	}
	t.Run("no programs of Postgres", func(t *testing.T) {
		t.Parallel()
		status, _, log := run(t, "config", "check", "--data-dir", t.TempDir(), "--postgres-bin", "/nowhere")
		require.Equal(t, 1, status)
		require.True(t, strings.HasPrefix(log, "gatehouse: "), log)
		require.Contains(t, log, "/nowhere")
	})
	status, _, _ = run(t, "config", "check", "--nothing")
	require.Equal(t, 2, status)
}
