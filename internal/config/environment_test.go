package config_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/config"
)

func checkEnvironment(t *testing.T, environ ...string) (ignored []string, err error) {
	t.Helper()
	settings := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), &config.Config{})
	values := map[string]string{}
	for _, each := range environ {
		variable, value, _ := strings.Cut(each, "=")
		values[variable] = value
	}
	require.NoError(t, settings.Load("environment", source(values)))
	unused, err := settings.Unused(environ, nil)
	return unused.Variables, err
}

func TestVariablesWithoutEffectAreNamed(t *testing.T) {
	t.Parallel()
	ignored, err := checkEnvironment(t, "PATH=/bin", "TYK_DB_PAGESIZE=5", "TYK_DB_UI_DEV=true", "TYK_DB_ADMINSECERT=x",
		"TYK_DB_LICENSEKEY=", "GATEHOUSE_LISTN=:1", "GATEHOUSE_SERVICE_HOST=10.0.0.1", "GATEHOUSE_PORT=tcp://10.0.0.1:3000",
		"GATEHOUSE_PORT_3000_TCP=x", "DATABASE_URL_FILE=x", "TYK_DB_HTTPSERVEROPTIONS_USESSL=false",
		"TYK_DB_MONGOURL=mongodb://user:hidden@host", "DATABASE_URL=x")
	require.NoError(t, err)
	require.Equal(t, []string{
		"GATEHOUSE_LISTN", "TYK_DB_ADMINSECERT", "TYK_DB_MONGOURL", "TYK_DB_UI_DEV",
	}, ignored)
}

// TestVariablesThatProtectAreRefused lists what must not be ignored.
func TestVariablesThatProtectAreRefused(t *testing.T) {
	t.Parallel()
	for variable, reason := range map[string]string{
		"TYK_DB_MONGOURL=mongodb://user:hidden@host/db":    "stores its data in Postgres only",
		"TYK_DB_STORAGE_MAIN_READCONNECTIONSTRING=hidden":  "one connection string",
		"TYK_DB_STORAGE_MAIN_WRITECONNECTIONSTRING=hidden": "one connection string",
		"TYK_DB_SECURITY_OPENPOLICY_ENABLED=1":             "does not evaluate OPA rules",
		"TYK_DB_PRIVATEKEYPATH=/etc/hidden.pem":            "signs notices to gateways with the node secret",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			name, _, _ := strings.Cut(variable, "=")
			_, err := checkEnvironment(t, variable)
			require.ErrorContains(t, err, name+" is not supported: ")
			require.ErrorContains(t, err, reason)
			require.NotContains(t, err.Error(), "hidden")
			require.NotContains(t, err.Error(), "\n", "one line")
		})
	}
	for _, variable := range []string{
		"TYK_DB_SECURITY_OPENPOLICY_ENABLED=false",
		"TYK_DB_AUDIT_STORETYPE=db", "TYK_DB_AUDIT_STORETYPE=file", "TYK_DB_MONGOURL=",
	} {
		_, err := checkEnvironment(t, variable)
		require.NoError(t, err, variable)
	}
}
