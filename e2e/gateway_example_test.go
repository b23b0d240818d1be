package e2e_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/config"
	"gatehouse/internal/gatewaytest"
)

var exampleDir = filepath.Join(repository, "examples", "gateway")

// gatewayConf is the part of tyk.conf that concerns gatehouse (docs/behaviour.md#gateways).
type gatewayConf struct {
	ListenPort       int    `json:"listen_port"`
	Secret           string `json:"secret"`
	NodeSecret       string `json:"node_secret"`
	UseDBAppConfigs  bool   `json:"use_db_app_configs"`
	DBAppConfOptions struct {
		ConnectionString string `json:"connection_string"`
	} `json:"db_app_conf_options"`
	DisableZeroconf bool `json:"disable_dashboard_zeroconf"`
	Policies        struct {
		Source           string `json:"policy_source"`
		ConnectionString string `json:"policy_connection_string"`
	} `json:"policies"`
	Storage struct {
		Host     string `json:"host"`
		Port     int    `json:"port"`
		Password string `json:"password"`
	} `json:"storage"`
	HashKeys         *bool `json:"hash_keys"`
	EnforceOrgQuotas bool  `json:"enforce_org_quotas"`
}

func readGatewayConf(t *testing.T, path string) (c gatewayConf) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &c))
	return c
}

// composeService is a service of compose.yaml.
type composeService struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Environment map[string]string
	Volumes     []string
	Ports       []string
}

func readCompose(t *testing.T) map[string]composeService {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(exampleDir, "compose.yaml"))
	require.NoError(t, err)
	var compose struct{ Services map[string]composeService }
	require.NoError(t, yaml.Unmarshal(raw, &compose))
	require.Equal(t, []string{"gatehouse", "gateway", "postgres", "redis"}, slices.Sorted(maps.Keys(compose.Services)))
	return compose.Services
}

// exampleReadme is the README in its two parts: how all is started, and what is done then.
func exampleReadme(t *testing.T) (start, steps string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(exampleDir, "README.md"))
	require.NoError(t, err)
	start, steps, found := strings.Cut(string(raw), "\n## To a key that is refused\n")
	require.True(t, found)
	return start, steps
}

var fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// assigned are the variables that a text sets for gatehouse.
func assigned(text string) map[string]string {
	set := map[string]string{}
	for _, m := range regexp.MustCompile(`\b((?:TYK_DB|GATEHOUSE)_[A-Z_]+|DATABASE_URL)[=:] ?"?([^\s"\\]*)`).FindAllStringSubmatch(text, -1) {
		set[m[1]] = m[2]
	}
	return set
}

func TestGatewayExampleNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	known := environmentVariables(reflect.TypeFor[config.Config]())
	for _, name := range []string{"README.md", "compose.yaml", "Dockerfile"} {
		raw, err := os.ReadFile(filepath.Join(exampleDir, name))
		require.NoError(t, err)
		for variable := range assigned(string(raw)) {
			require.Contains(t, known, variable, name)
		}
		require.NotEmpty(t, assigned(string(raw)), name)
	}
	for variable := range readCompose(t)["gatehouse"].Environment {
		require.Contains(t, known, variable, "compose.yaml")
	}
}

func TestGatewayExampleAgreesWithItself(t *testing.T) {
	t.Parallel()
	services, conf := readCompose(t), readGatewayConf(t, filepath.Join(exampleDir, "tyk.conf"))
	env := services["gatehouse"].Environment
	start, _ := exampleReadme(t)

	t.Run("the gateway loads everything from gatehouse", func(t *testing.T) {
		require.True(t, conf.UseDBAppConfigs && conf.DisableZeroconf && conf.EnforceOrgQuotas)
		require.Equal(t, "service", conf.Policies.Source)
		require.Equal(t, "http://gatehouse"+env["GATEHOUSE_LISTEN"], conf.DBAppConfOptions.ConnectionString, "no slash at its end")
		require.Equal(t, conf.DBAppConfOptions.ConnectionString, conf.Policies.ConnectionString)
		require.Equal(t, "tykio/tyk-gateway:v5.11.1", services["gateway"].Image)
		require.Equal(t, []string{"./tyk.conf:/opt/tyk-gateway/tyk.conf:ro"}, services["gateway"].Volumes)
		require.NotNil(t, conf.HashKeys)
		require.False(t, *conf.HashKeys)
	})
	t.Run("the secrets are each other's", func(t *testing.T) {
		require.NotEmpty(t, conf.NodeSecret)
		require.NotEmpty(t, conf.Secret)
		for where, set := range map[string]map[string]string{"compose.yaml": env, "README.md": assigned(start)} {
			require.Equal(t, conf.NodeSecret, set["TYK_DB_NODESECRET"], where)
			require.Equal(t, conf.Secret, set["TYK_DB_TYKAPI_SECRET"], where)
			require.Equal(t, strconv.Itoa(conf.ListenPort), set["TYK_DB_TYKAPI_PORT"], where)
			require.Equal(t, strconv.Itoa(conf.Storage.Port), set["TYK_DB_REDISPORT"], where)
			require.Equal(t, conf.Storage.Password, set["TYK_DB_REDISPASSWORD"], where)
			require.Equal(t, 2, strings.Count(start, "\nADMIN="+set["TYK_DB_ADMINSECRET"]+"\n"), where)
		}
	})
	t.Run("the addresses are services", func(t *testing.T) {
		require.Equal(t, "http://gateway", env["TYK_DB_TYKAPI_HOST"])
		require.Equal(t, "redis", env["TYK_DB_REDISHOST"])
		require.Equal(t, conf.Storage.Host, env["TYK_DB_REDISHOST"])
		require.Contains(t, start, "\nUPSTREAM="+conf.DBAppConfOptions.ConnectionString+"\n")
		at, err := url.Parse(env["DATABASE_URL"])
		require.NoError(t, err)
		password, _ := at.User.Password()
		require.Equal(t, map[string]string{
			"POSTGRES_USER": at.User.Username(), "POSTGRES_PASSWORD": password, "POSTGRES_DB": strings.TrimPrefix(at.Path, "/"),
		}, services[at.Hostname()].Environment)
	})
	t.Run("only this machine reaches it", func(t *testing.T) {
		for name, service := range services {
			for _, port := range service.Ports {
				require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s: %s", name, port)
			}
		}
		require.Equal(t, []string{"127.0.0.1:3000:3000"}, services["gatehouse"].Ports)
	})
	t.Run("the image is built of this repository", func(t *testing.T) {
		build := services["gatehouse"].Build
		root, err := filepath.Abs(filepath.Join(exampleDir, build.Context))
		require.NoError(t, err)
		here, err := filepath.Abs(repository)
		require.NoError(t, err)
		require.Equal(t, here, root)
		raw, err := os.ReadFile(filepath.Join(repository, build.Dockerfile))
		require.NoError(t, err)
		module, err := os.ReadFile(filepath.Join(repository, "go.mod"))
		require.NoError(t, err)
		require.Regexp(t, `(?m)^USER gatehouse$`, string(raw))
		goVersion := regexp.MustCompile(`(?m)^FROM golang:(\S+) AS build$`).FindStringSubmatch(string(raw))
		require.NotNil(t, goVersion)
		require.Regexp(t, `(?m)^go `+regexp.QuoteMeta(goVersion[1])+`\.`, string(module))
	})
}

// localConf does what the README says for a machine without containers.
func localConf(t *testing.T) gatewayConf {
	t.Helper()
	start, _ := exampleReadme(t)
	blocks := slices.DeleteFunc(fenced.FindAllStringSubmatch(start, -1), func(m []string) bool { return m[1] != "sh" })
	require.Len(t, blocks, 1)
	path := filepath.Join(t.TempDir(), "tyk.conf")
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.Replace(blocks[0][2], "/tmp/tyk.conf", path, 1))
	cmd.Dir = exampleDir
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	return readGatewayConf(t, path)
}

// TestGatewayExampleWalk does what the README says, in its order and word for word, with a stand-in for the gateway; only
// the addresses are this run's. What it shows as an answer must come, … standing for anything.
func TestGatewayExampleWalk(t *testing.T) {
	t.Parallel()
	conf, redis, way := localConf(t), gatewaytest.StartRedis(t), newLine(t)
	require.Equal(t, "http://127.0.0.1:3000", conf.DBAppConfOptions.ConnectionString)
	require.Equal(t, conf.DBAppConfOptions.ConnectionString, conf.Policies.ConnectionString)
	require.Equal(t, "127.0.0.1", conf.Storage.Host)
	gateway := gatewaytest.Start(t, gatewaytest.Config{
		DashboardURL: way.url, NodeSecret: conf.NodeSecret, ControlSecret: conf.Secret, Redis: redis.Options(),
		EnforceOrgQuotas: conf.EnforceOrgQuotas, HashKeys: *conf.HashKeys, RetryInterval: 50 * time.Millisecond,
	})
	start, steps := exampleReadme(t)
	control, err := url.Parse(gateway.URL())
	require.NoError(t, err)
	env := assigned(start)
	env["TYK_DB_TYKAPI_PORT"] = control.Port()
	_, port := redis.Addr()
	env["TYK_DB_REDISPORT"] = strconv.Itoa(port)
	var settings []string
	for name, value := range env {
		settings = append(settings, name+"="+value)
	}
	h := newHouse(t, settings...)
	way.connect(h)

	const mark = "\x1e\n"
	var script strings.Builder
	script.WriteString("set -euo pipefail\nGATEHOUSE=http://" + h.address + "\nGATEWAY=" + gateway.URL() + "\nADMIN=" + env["TYK_DB_ADMINSECRET"] +
		"\nUPSTREAM=" + conf.DBAppConfOptions.ConnectionString + "\n")
	var shown []string
	for _, block := range fenced.FindAllStringSubmatch(steps, -1) {
		if block[1] == "sh" {
			script.WriteString(block[2] + "printf '\\036\\n'\n")
			shown = append(shown, "")
		} else {
			shown[len(shown)-1] = strings.TrimSpace(block[2])
		}
	}
	require.Len(t, shown, 6)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	said, err := exec.CommandContext(ctx, "bash", "-c", script.String()).CombinedOutput()
	require.NoError(t, err, string(said))
	answers := strings.Split(strings.TrimSuffix(string(said), mark), mark)
	require.Len(t, answers, len(shown))
	for i, want := range shown {
		require.Regexp(t, "^"+strings.ReplaceAll(regexp.QuoteMeta(want), "…", `[^"]+`)+"\n?$", answers[i])
	}
}
