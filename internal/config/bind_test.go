package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/config"
)

// source returns a source of settings with these values.
func source(values map[string]string) func(string) (string, bool) {
	return func(variable string) (string, bool) {
		value, isSet := values[variable]
		return value, isSet
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	var cfg config.Config
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	settings := config.Bind(flags, &cfg)
	require.NoError(t, flags.Parse([]string{"--page-size", "20", "--redis-tls"}))
	require.NoError(t, settings.Load("environment", source(map[string]string{
		"TYK_DB_PAGESIZE":                      "30",
		"GATEHOUSE_ADMIN_SECRET":               "second",
		"TYK_DB_ADMINSECRET":                   "first",
		"TYK_DB_STORAGE_MAIN_CONNECTIONSTRING": "only the second is set",
		"TYK_DB_REDISADDRS":                    "a:1,b:2",
		"TYK_DB_ENABLECLUSTER":                 "Yes",
		"GATEHOUSE_BODY_TIMEOUT":               "2m",
		"TYK_DB_REDISUSERNAME":                 "",
	})))
	require.NoError(t, settings.Load("file", source(map[string]string{
		"TYK_DB_PAGESIZE": "40", "TYK_DB_REDISADDRS": "c:3", "TYK_DB_REDISUSERNAME": "file", "TYK_DB_REDISPORT": "7000",
	})))

	require.Equal(t, 20, cfg.Server.PageSize)
	require.Equal(t, "first", string(cfg.Server.AdminSecret))
	require.Equal(t, "only the second is set", string(cfg.Database.URL))
	require.Equal(t, []string{"a:1", "b:2"}, cfg.Redis.Addrs)
	require.True(t, cfg.Redis.TLS)
	require.True(t, cfg.Redis.Cluster)
	require.False(t, cfg.Redis.InsecureTLS)
	require.Equal(t, 2*time.Minute, cfg.Limits.BodyTimeout)
	require.Equal(t, "file", cfg.Redis.Username, "a variable that is empty is not set")
	require.Equal(t, 7000, cfg.Redis.Port)
	require.Equal(t, int64(4<<30), cfg.Limits.MaxImport)

	sources := map[string]string{}
	for _, setting := range settings {
		sources[setting.Flag.Name] = setting.Source()
		require.NotContains(t, setting.Flag.Value.String(), "first")
	}
	for name, want := range map[string]string{
		"page-size": "flag", "redis-tls": "flag", "admin-secret": "environment", "redis-username": "file",
		"redis-port": "file", "max-import": "default", "node-secret": "default",
	} {
		require.Equal(t, want, sources[name], name)
	}
}

func TestInvalidSettingsAreNamed(t *testing.T) {
	t.Parallel()
	settings := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &config.Config{})
	err := settings.Load("environment", source(map[string]string{
		"TYK_DB_PAGESIZE": "many", "TYK_DB_REDISUSESSL": "ja", "GATEHOUSE_BODY_TIMEOUT": "5", "GATEHOUSE_MAX_IMPORT": "4G",
	}))
	require.ErrorContains(t, err, `--page-size (TYK_DB_PAGESIZE): invalid value "many": `)
	require.ErrorContains(t, err, `--redis-tls (TYK_DB_REDISUSESSL): invalid value "ja": must be true, 1, yes, false, 0 or no`)
	require.ErrorContains(t, err, `--body-timeout (GATEHOUSE_BODY_TIMEOUT): invalid value "5": `)
	require.ErrorContains(t, err, `--max-import (GATEHOUSE_MAX_IMPORT): invalid value "4G": `)
}

// TestEverySettingIsDocumented fails for a field without a help text, a variable or a group.
func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	variables := map[string]string{}
	for _, setting := range config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &config.Config{}) {
		name := setting.Flag.Name
		require.Regexp(t, `^[A-Z].*\.$`, setting.Help, name)
		require.NotEmpty(t, setting.Group, name)
		require.Equal(t, setting.Group, config.GroupOf(setting.Flag), name)
		require.NotEmpty(t, setting.Variables, name)
		for _, variable := range setting.Variables {
			require.Regexp(t, `^(GATEHOUSE_|TYK_DB_)[A-Z_]+$|^DATABASE_URL(_FILE)?$|^TYK_LOG(LEVEL|FORMAT)$`, variable, name)
			require.Empty(t, variables[variable], "%s sets --%s and --%s", variable, name, variables[variable])
			variables[variable] = name
		}
	}
	require.NotEmpty(t, variables)
}

func TestListsWithoutVariablesKeepCommas(t *testing.T) {
	t.Parallel()
	var options struct {
		Files []string `flag:"file" help:"Files."`
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Bind(flags, &options)
	require.NoError(t, flags.Parse([]string{"--file", "a,b", "--file", "c"}))
	require.Equal(t, []string{"a,b", "c"}, options.Files)
}

// TestSecretsInFiles covers the forms of a secret that are files, for each secret.
func TestSecretsInFiles(t *testing.T) {
	t.Parallel()
	file := func(t *testing.T, content string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	load := func(args []string, environment map[string]string) (*config.Config, config.Settings, error) {
		var cfg config.Config
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		settings := config.Bind(flags, &cfg)
		if err := flags.Parse(args); err != nil {
			return &cfg, settings, err
		}
		if err := settings.Load("environment", source(environment)); err != nil {
			return &cfg, settings, err
		}
		return &cfg, settings, settings.ReadFiles()
	}
	t.Run("every secret has a file form, as flag and as variable", func(t *testing.T) {
		byName := map[string]*config.Setting{}
		for _, setting := range config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &config.Config{}) {
			byName[setting.Flag.Name] = setting
		}
		secrets := 0
		for name, setting := range byName {
			if setting.Flag.Value.Type() != "secret" {
				continue
			}
			secrets++
			require.Contains(t, byName, name+"-file")
			for _, variable := range setting.Variables {
				require.Contains(t, byName[name+"-file"].Variables, variable+"_FILE")
			}
		}
		require.Equal(t, 8, secrets)
	})
	t.Run("line breaks at the end are removed, of files, flags and variables", func(t *testing.T) {
		cfg, settings, err := load([]string{"--node-secret", "of a flag\n"}, map[string]string{
			"TYK_DB_ADMINSECRET_FILE": file(t, "of a file\r\n"), "DATABASE_URL": "host=a dbname=b\n",
		})
		require.NoError(t, err)
		require.Equal(t, "of a file", string(cfg.Server.AdminSecret))
		require.Equal(t, "of a flag", string(cfg.Server.NodeSecret))
		require.Equal(t, "host=a dbname=b", string(cfg.Database.URL))
		for _, setting := range settings {
			if setting.Flag.Name == "admin-secret" {
				require.Equal(t, "environment", setting.Source())
			}
		}
	})
	t.Run("a file that a flag names precedes a variable, and a flag precedes the file that a variable names", func(t *testing.T) {
		cfg, _, err := load([]string{"--admin-secret-file", file(t, "file"), "--node-secret", "flag"}, map[string]string{
			"TYK_DB_ADMINSECRET": "variable", "TYK_DB_NODESECRET_FILE": "/nowhere",
		})
		require.NoError(t, err)
		require.Equal(t, "file", string(cfg.Server.AdminSecret))
		require.Equal(t, "flag", string(cfg.Server.NodeSecret))
	})
	t.Run("the file is read again", func(t *testing.T) {
		path := file(t, "before")
		cfg, settings, err := load(nil, map[string]string{"TYK_DB_REDISPASSWORD_FILE": path})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte("after\n"), 0o600))
		require.NoError(t, settings.ReadFiles())
		require.Equal(t, "after", string(cfg.Redis.Password))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.ErrorContains(t, settings.ReadFiles(), "is empty")
		require.Equal(t, "after", string(cfg.Redis.Password), "a file that became empty changes nothing")
	})
	for name, c := range map[string]struct {
		args        []string
		environment map[string]string
		want        string
	}{
		"both":               {nil, map[string]string{"DATABASE_URL": "x", "TYK_DB_STORAGE_MAIN_CONNECTIONSTRING_FILE": file(t, "y")}, "--database-url and --database-url-file (DATABASE_URL_FILE, TYK_DB_STORAGE_MAIN_CONNECTIONSTRING_FILE) are both set"},
		"no such file":       {nil, map[string]string{"TYK_DB_TYKAPI_SECRET_FILE": "/nowhere"}, "--gateway-secret-file (TYK_DB_TYKAPI_SECRET_FILE): read secret: open /nowhere: no such file"},
		"an empty file":      {nil, map[string]string{"TYK_DB_NODESECRET_FILE": file(t, "\n")}, "is empty"},
		"a blank file":       {nil, map[string]string{"TYK_DB_NODESECRET_FILE": file(t, "  \n")}, "is empty"},
		"a file of a device": {[]string{"--node-secret-file", "/dev/zero"}, nil, "/dev/zero has more than 65536 bytes"},
		"an empty flag":      {[]string{"--database-url", ""}, nil, "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(c.args, c.environment)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestServerSettings are those that more than one value is read from, or that are held to a form.
func TestServerSettings(t *testing.T) {
	t.Parallel()
	load := func(values map[string]string) (config.Config, error) {
		var cfg config.Config
		err := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &cfg).Load("environment", source(values))
		return cfg, errors.Join(err, cfg.Resolve())
	}
	cfg, err := load(map[string]string{"GATEHOUSE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7,2001:db8::/32,::1,10.1.2.3/8"})
	require.NoError(t, err)
	require.Equal(t, "10.0.0.0/8,192.0.2.7/32,2001:db8::/32,::1/128,10.0.0.0/8", cfg.Server.TrustedProxies.String())
	for _, wrong := range []string{"proxy.example", "10.0.0.0/33", "10.0.0.1:80", "*"} {
		_, err := load(map[string]string{"GATEHOUSE_TRUSTED_PROXIES": "10.0.0.0/8," + wrong})
		require.ErrorContains(t, err, fmt.Sprintf("%q is neither an IP address nor a network", wrong))
	}
	for _, everybody := range []string{"0.0.0.0/0", "::/0"} {
		_, err := load(map[string]string{"GATEHOUSE_TRUSTED_PROXIES": everybody})
		require.ErrorContains(t, err, everybody+" has all addresses")
	}
	for path, valid := range map[string]bool{
		"/tyk": true, "/a/b-c_d.e~f": true, "tyk": false, "/": false, "/tyk/": false, "/a//b": false, "/a%20b": false, "/a b": false,
	} {
		_, err := load(map[string]string{"GATEHOUSE_BASE_PATH": path})
		require.Equal(t, valid, err == nil, path)
	}
	for _, variable := range []string{
		"GATEHOUSE_MAX_CONNECTIONS", "GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS", "GATEHOUSE_MAX_WRONG_CREDENTIALS",
		"GATEHOUSE_MAX_WRONG_PASSWORDS",
	} {
		_, err := load(map[string]string{variable: "-1"})
		require.ErrorContains(t, err, "("+variable+"): -1 is less than 0")
		_, err = load(map[string]string{variable: "0"})
		require.NoError(t, err)
	}
}
