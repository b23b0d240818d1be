package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/config"
)

// members are the names that the configuration reference of Tyk Dashboard 5.14 has for the variables of settings.
var members = map[string]string{
	"TYK_DB_LISTENPORT":                              "listen_port",
	"TYK_DB_ADMINSECRET":                             "admin_secret",
	"TYK_DB_NODESECRET":                              "shared_node_secret",
	"TYK_DB_PAGESIZE":                                "page_size",
	"TYK_DB_ENABLEDUPLICATESLUGS":                    "enable_duplicate_slugs",
	"TYK_DB_STORAGE_MAIN_CONNECTIONSTRING":           "storage.main.connection_string",
	"TYK_DB_STORAGE_MAIN_TYPE":                       "storage.main.type",
	"TYK_DB_TYKAPI_HOST":                             "tyk_api_config.Host",
	"TYK_DB_TYKAPI_PORT":                             "tyk_api_config.Port",
	"TYK_DB_TYKAPI_SECRET":                           "tyk_api_config.Secret",
	"TYK_DB_REDISHOST":                               "redis_host",
	"TYK_DB_REDISPORT":                               "redis_port",
	"TYK_DB_REDISADDRS":                              "redis_addrs",
	"TYK_DB_REDISUSERNAME":                           "redis_username",
	"TYK_DB_REDISPASSWORD":                           "redis_password",
	"TYK_DB_REDISDATABASE":                           "redis_database",
	"TYK_DB_ENABLECLUSTER":                           "enable_cluster",
	"TYK_DB_REDISUSESSL":                             "redis_use_ssl",
	"TYK_DB_REDISSSLINSECURESKIPVERIFY":              "redis_ssl_insecure_skip_verify",
	"TYK_DB_SECURITY_ALLOWADMINRESETPASSWORD":        "security.allow_admin_reset_password",
	"TYK_DB_SECURITY_FORBIDADMINVIEWACCESSTOKEN":     "security.forbid_admin_view_access_token",
	"TYK_DB_SECURITY_FORBIDADMINRESETACCESSTOKEN":    "security.forbid_admin_reset_access_token",
	"TYK_DB_SECURITY_LOGINFAILUREUSERNAMELIMIT":      "security.login_failure_username_limit",
	"TYK_DB_SECURITY_LOGIN_FAILURE_USERNAME_LIMIT":   "security.login_failure_username_limit",
	"TYK_DB_SECURITY_LOGINFAILUREIPLIMIT":            "security.login_failure_ip_limit",
	"TYK_DB_SECURITY_LOGIN_FAILURE_IP_LIMIT":         "security.login_failure_ip_limit",
	"TYK_DB_SECURITY_LOGINFAILUREEXPIRATION":         "security.login_failure_expiration",
	"TYK_DB_SECURITY_LOGIN_FAILURE_EXPIRATION":       "security.login_failure_expiration",
	"TYK_DB_SECURITY_HIDELOGINFAILURELIMITERROR":     "security.hide_login_failure_limit_error",
	"TYK_DB_SECURITY_HIDE_LOGIN_FAILURE_LIMIT_ERROR": "security.hide_login_failure_limit_error",
	"TYK_DB_SECURITY_ENFORCEPASSWORDHISTORY":         "security.enforce_password_history",
	"TYK_DB_SECURITY_AUDITLOGPATH":                   "security.audit_log_path",
	"TYK_DB_HTTPSERVEROPTIONS_USESSL":                "http_server_options.use_ssl",
	"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES":          "http_server_options.certificates",
	"TYK_DB_HTTPSERVEROPTIONS_MINVERSION":            "http_server_options.min_version",
	"TYK_DB_HTTPSERVEROPTIONS_CIPHERSUITES":          "http_server_options.ssl_ciphers",
	"TYK_DB_HTTPSERVEROPTIONS_SSLCIPHERS":            "http_server_options.ssl_ciphers",
	"TYK_DB_HTTPSERVEROPTIONS_SSLINSECURESKIPVERIFY": "http_server_options.ssl_insecure_skip_verify",
	"TYK_DB_REDISCAFILE":                             "redis_ca_file",
	"TYK_DB_REDISCERTFILE":                           "redis_cert_file",
	"TYK_DB_REDISKEYFILE":                            "redis_key_file",
	"TYK_DB_REDISTLSMINVERSION":                      "redis_tls_min_version",
	"TYK_DB_LOGLEVEL":                                "log_level",
	"TYK_DB_LOGFORMAT":                               "log_format",
	"TYK_DB_AUDIT_ENABLED":                           "audit.enabled",
	"TYK_DB_AUDIT_PATH":                              "audit.path",
	"TYK_DB_AUDIT_FORMAT":                            "audit.format",
	"TYK_DB_AUDIT_DETAILEDRECORDING":                 "audit.detailed_recording",
}

// settingsFile writes a settings file and returns its path.
func settingsFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tyk_analytics.conf")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// loadFile loads settings from a file, and from an environment before it.
func loadFile(
	t *testing.T, content string, environ map[string]string,
) (*config.Config, config.Settings, config.Unused, error) {
	t.Helper()
	cfg := &config.Config{}
	settings := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), cfg)
	require.NoError(t, settings.Load("environment", source(environ)))
	file, err := config.FindFile(settingsFile(t, content))
	if err == nil {
		err = settings.LoadFile(file)
	}
	if err != nil {
		return cfg, settings, config.Unused{}, err
	}
	unused, err := settings.Unused(nil, file)
	return cfg, settings, unused, err
}

// nested returns a JSON object with one value.
func nested(member, value string) string {
	names := strings.Split(member, ".")
	for _, name := range slices.Backward(names) {
		value = fmt.Sprintf("{%q: %s}", name, value)
	}
	return value
}

// TestEverySettingHasAMember sets each variable of each setting by a member of a file.
func TestEverySettingHasAMember(t *testing.T) {
	t.Parallel()
	for i, setting := range config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &config.Config{}) {
		for _, variable := range setting.Variables {
			member := members[strings.TrimSuffix(variable, "_FILE")]
			if strings.HasSuffix(variable, "_FILE") {
				member += "_file"
			}
			if own, ok := strings.CutPrefix(variable, "GATEHOUSE_"); ok {
				member = "gatehouse." + strings.ToLower(own)
			}
			if variable == "GATEHOUSE_CONF" || !strings.HasPrefix(variable, "GATEHOUSE_") && !strings.HasPrefix(variable, "TYK_DB_") {
				continue // a file names no other; storage.main.connection_string stands for DATABASE_URL
			}
			require.NotEmpty(t, member, "%s is in no row of members", variable)
			value := map[string]string{"bool": "true", "int": "1", "int64": "1", "float64": "1", "duration": `"1s"`, "level": `"warn"`, "version": "772", "certificates": `[{"domain_name": "*.example", "cert_file": "a", "key_file": "b"}]`, "networks": `"::1"`}[setting.Flag.Value.Type()]
			if value == "" {
				value = `"a"`
			}
			_, settings, unused, err := loadFile(t, nested(member, value), nil)
			require.NoError(t, err, member)
			require.Equal(t, "file", settings[i].Source(), member)
			require.Contains(t, settings[i].Place(), "tyk_analytics.conf:1: "+member)
			require.Empty(t, unused, member)
		}
	}
}

func TestSettingsFile(t *testing.T) {
	t.Parallel()
	cfg, settings, unused, err := loadFile(t, `{
		"listen_port": 3001,
		"tyk_api_config": {"host": "http://tyk-gateway", "Port": "8080", "Secret": "a gateway's"},
		"_page_size": 5, "admin_secret": "a \"quoted\" secret", "shared_node_secret": "",
		"page_size": 0, "redis_port": 0, "redis_addrs": ["a:1", "b:2"], "redis_hosts": null,
		"enable_cluster": true, "redis_username": "overridden",
		"http_server_options": {"use_ssl": false, "certificates": [], "min_version": 0},
		"security": {"open_policy": {"enabled": false, "debug": true}},
		"ui": {"languages": {"English": "en"}, "hide_help": true, "nav": {}},
		"email_backend": {"settings": {"SMTPPassword": "hidden"}},
		"maintenance_mode": true, "sentry_code": "",
		"audit": {"enabled": false, "format": ""},
		"gatehouse": {"max_connections": 0, "body_timeout": "20s", "trusted_proxies": ["10.0.0.0/8", "::1"], "nothing": 1}
	}`, map[string]string{"TYK_DB_REDISUSERNAME": "of the environment"})
	require.NoError(t, err)
	require.Equal(t, 3001, cfg.Server.ListenPort)
	require.Equal(t, config.Gateway{Host: "http://tyk-gateway", Port: "8080", Secret: "a gateway's"}, cfg.Gateway)
	require.Equal(t, `a "quoted" secret`, string(cfg.Server.AdminSecret))
	require.Empty(t, cfg.Server.NodeSecret, "an empty text is not set")
	require.Equal(t, 10, cfg.Server.PageSize, "0 of the Dashboard is its default")
	require.Equal(t, 6379, cfg.Redis.Port)
	require.Equal(t, []string{"a:1", "b:2"}, cfg.Redis.Addrs)
	require.True(t, cfg.Redis.Cluster)
	require.Equal(t, "of the environment", cfg.Redis.Username)
	require.False(t, cfg.Audit.Enabled)
	require.Equal(t, "text", cfg.Audit.Format)
	require.Zero(t, cfg.Limits.MaxConnections, "0 of gatehouse is 0")
	require.Equal(t, "20s", cfg.Limits.BodyTimeout.String())
	require.Equal(t, "10.0.0.0/8,::1/128", cfg.Server.TrustedProxies.String())
	require.Equal(t, []string{
		"_page_size", "email_backend", "gatehouse.nothing", "maintenance_mode", "security.open_policy.debug", "ui",
	}, unused.Members)
	for _, setting := range settings {
		if setting.Flag.Name == "redis-cluster" {
			require.Regexp(t, `/tyk_analytics\.conf:6: enable_cluster$`, setting.Place())
		}
	}
}

// TestFaultsOfASettingsFileHaveTheirPlace covers what is wrong with a file, and where each message says it is.
func TestFaultsOfASettingsFileHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"a missing comma":           {"{\n \"page_size\": 5\n \"admin_secret\": \"hidden\"}", `.conf:3:2: is no JSON: `},
		"a comment":                 {"{ // hidden\n}", `.conf:1:3: is no JSON: `},
		"an end too early":          {`{"admin_secret": "hidden"`, `.conf:1:`},
		"nothing":                   {"", `.conf:1:1: unexpected EOF`},
		"a list":                    {`["hidden"]`, `.conf: is no JSON object`},
		"something behind":          {`{} {"a":"hidden"}`, `.conf:1:`},
		"a member twice":            {"{\"page_size\": 5,\n\"page_size\": 6}", `.conf:2:`},
		"a member in two spellings": {"{\"page_size\": 5,\n\"Page_Size\": 6}", `.conf:2: Page_Size: is the same setting as page_size in line 1`},
		"not a number":              {"{\n\n\"page_size\": \"many\"}", `--page-size (`},
		"not a boolean":             {`{"redis_use_ssl": 7}`, `tyk_analytics.conf:1: redis_use_ssl): invalid value "7": must be true`},
		"what protects":             {"{\"security\":\n{\"open_policy\": {\"enabled\": true}}}", `.conf:2: security.open_policy.enabled is not supported: gatehouse does not evaluate OPA rules`},
		"another database":          {`{"mongo_url": "mongodb://hidden"}`, `.conf:1: mongo_url is not supported: gatehouse stores its data in Postgres only`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, _, err := loadFile(t, c.content, nil)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hidden")
		})
	}
	t.Run("a value out of range", func(t *testing.T) {
		t.Parallel()
		cfg, _, _, err := loadFile(t, "{\n\"page_size\": 1001}", nil)
		require.NoError(t, err)
		require.Regexp(t, `^--page-size \(.*/tyk_analytics\.conf:2: page_size\): 1001 is not between 1 and 1000$`, cfg.Resolve().Error())
	})
	t.Run("a file that is none", func(t *testing.T) {
		t.Parallel()
		for path, want := range map[string]string{
			"/nowhere/tyk.conf": "read settings: open /nowhere/tyk.conf: no such file", "/dev/zero": "has more than 1048576 bytes",
		} {
			_, err := config.FindFile(path)
			require.ErrorContains(t, err, want)
		}
	})
}

// TestSettingsFileInTheWorkingDirectory reads a file that nobody has named only if nobody else can have written it.
func TestSettingsFileInTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	file, err := config.FindFile("")
	require.NoError(t, err)
	require.Nil(t, file)
	require.Empty(t, file.Path())

	require.NoError(t, os.WriteFile("tyk_analytics.conf", []byte(`{}`), 0o600))
	file, err = config.FindFile("")
	require.NoError(t, err)
	require.Equal(t, "tyk_analytics.conf", file.Path())

	require.NoError(t, os.Chmod("tyk_analytics.conf", 0o666))
	_, err = config.FindFile("")
	require.ErrorContains(t, err, "other accounts may change it (mode 0666): name it with --conf")
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod("tyk_analytics.conf", 0o600))
		require.NoError(t, os.Chown("tyk_analytics.conf", 12345, 12345))
		_, err = config.FindFile("")
		require.ErrorContains(t, err, "belongs to another account")
	}
	_, err = config.FindFile("tyk_analytics.conf")
	require.NoError(t, err, "it is named")
}

// TestSettingsFileOfTheREADME loads the README's example.
func TestSettingsFileOfTheREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(readme), "$ cat tyk_analytics.conf\n")
	require.True(t, found)
	example, _, _ = strings.Cut(example, "```")
	secret := filepath.Join(t.TempDir(), "admin")
	require.NoError(t, os.WriteFile(secret, []byte("sesame-open-sesame"), 0o600))
	require.Contains(t, example, "/run/secrets/admin")
	cfg, settings, unused, err := loadFile(t, strings.Replace(example, "/run/secrets/admin", secret, 1), nil)
	require.NoError(t, err)
	require.Empty(t, unused)
	require.Equal(t, ":3000", cfg.Server.Address())
	require.Equal(t, "http://tyk-gateway", cfg.Gateway.Host)
	require.Equal(t, "8080", cfg.Gateway.Port)
	require.Equal(t, []string{"redis-0:6379", "redis-1:6379"}, cfg.Redis.Addresses())
	require.Equal(t, "host=db dbname=gatehouse", string(cfg.Database.URL))
	require.NoError(t, settings.ReadFiles())
	require.Equal(t, "sesame-open-sesame", string(cfg.Server.AdminSecret))
}
