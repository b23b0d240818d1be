package e2e_test

import (
	"encoding/json"
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/testprogram"
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
	require.NoError(t, json.Unmarshal([]byte(readFile(t, path)), &c))
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
	var compose struct{ Services map[string]composeService }
	require.NoError(t, yaml.Unmarshal([]byte(readFile(t, filepath.Join(exampleDir, "compose.yaml"))), &compose))
	require.Equal(t, []string{"gatehouse", "gateway", "postgres", "redis"}, slices.Sorted(maps.Keys(compose.Services)))
	return compose.Services
}

// exampleReadme returns the two parts of the README: how everything is started, and the steps that follow.
func exampleReadme(t *testing.T) (start, steps string) {
	t.Helper()
	start, steps, found := strings.Cut(readFile(t, filepath.Join(exampleDir, "README.md")), "\n## To a key that is refused\n")
	require.True(t, found)
	return start, steps
}

// assigned returns the variables that a text sets for gatehouse.
func assigned(text string) map[string]string {
	set := map[string]string{}
	for _, m := range regexp.MustCompile(`\b((?:TYK_DB|GATEHOUSE)_[A-Z_]+|DATABASE_URL)[=:] ?"?([^\s"\\]*)`).FindAllStringSubmatch(text, -1) {
		set[m[1]] = m[2]
	}
	return set
}

func TestGatewayExampleSetsKnownVariables(t *testing.T) {
	t.Parallel()
	var known []string
	for _, setting := range settings() {
		known = append(known, setting.Variables...)
	}
	for _, name := range []string{"README.md", "compose.yaml", "Dockerfile"} {
		variables := assigned(readFile(t, filepath.Join(exampleDir, name)))
		require.NotEmpty(t, variables, name)
		for variable := range variables {
			require.Contains(t, known, variable, name)
		}
	}
	for variable := range readCompose(t)["gatehouse"].Environment {
		require.Contains(t, known, variable, "compose.yaml")
	}
}

func TestGatewayExampleIsConsistent(t *testing.T) {
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
	t.Run("each part knows the secrets of the others", func(t *testing.T) {
		require.NotEmpty(t, conf.NodeSecret)
		require.NotEmpty(t, conf.Secret)
		for where, set := range map[string]map[string]string{"compose.yaml": env, "README.md": assigned(start)} {
			require.Equal(t, conf.NodeSecret, set["TYK_DB_NODESECRET"], where)
			require.Equal(t, conf.Secret, set["TYK_DB_TYKAPI_SECRET"], where)
			require.Equal(t, strconv.Itoa(conf.ListenPort), set["TYK_DB_TYKAPI_PORT"], where)
			require.Equal(t, strconv.Itoa(conf.Storage.Port), set["TYK_DB_REDISPORT"], where)
			require.Equal(t, conf.Storage.Password, set["TYK_DB_REDISPASSWORD"], where)
			require.Equal(t, 3, strings.Count(start, "\nADMIN="+set["TYK_DB_ADMINSECRET"]+"\n"), where)
		}
	})
	t.Run("addresses are names of services", func(t *testing.T) {
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
	t.Run("ports are open to this machine only", func(t *testing.T) {
		for name, service := range services {
			for _, port := range service.Ports {
				require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s: %s", name, port)
			}
		}
		require.Equal(t, []string{"127.0.0.1:3000:3000"}, services["gatehouse"].Ports)
	})
	t.Run("the image is built from this repository", func(t *testing.T) {
		build := services["gatehouse"].Build
		root, err := filepath.Abs(filepath.Join(exampleDir, build.Context))
		require.NoError(t, err)
		here, err := filepath.Abs(repository)
		require.NoError(t, err)
		require.Equal(t, here, root)
		dockerfile := readFile(t, filepath.Join(repository, build.Dockerfile))
		require.Regexp(t, `(?m)^USER gatehouse$`, dockerfile)
		goVersion := regexp.MustCompile(`(?m)^FROM golang:(\S+) AS build$`).FindStringSubmatch(dockerfile)
		require.NotNil(t, goVersion)
		require.Regexp(t, `(?m)^go `+regexp.QuoteMeta(goVersion[1])+`\.`, readFile(t, filepath.Join(repository, "go.mod")))
	})
}

// localConf runs the README's command that writes the configuration of a gateway outside of containers.
func localConf(t *testing.T) gatewayConf {
	t.Helper()
	start, _ := exampleReadme(t)
	steps := stepsOf(start)
	require.Len(t, steps, 1)
	path := filepath.Join(t.TempDir(), "tyk.conf")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(steps[0].commands, "/tmp/tyk.conf", path, 1))
	cmd.Dir = exampleDir
	printed, err := cmd.CombinedOutput()
	require.NoError(t, err, string(printed))
	return readGatewayConf(t, path)
}

// standinCommand is the README's command that starts the stand-in.
const standinCommand = "go run ./examples/gateway/standin"

// standin is the stand-in as its users run it.
type standin struct {
	url     string
	process *exec.Cmd
	printed *output
	exited  chan struct{}
}

var standinListens = regexp.MustCompile(`(?m)^stand-in gateway listens on (http://127\.0\.0\.1:\d+), loads from `)

// startStandin runs the README's command with a free port and with dashboardURL as the URL of gatehouse.
func startStandin(t *testing.T, dashboardURL string) *standin {
	t.Helper()
	s := &standin{process: exec.Command("sh", "-c", standinCommand), printed: &output{}, exited: make(chan struct{})}
	s.process.Dir = repository
	s.process.Env = environment("TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING="+dashboardURL, "TYK_GW_LISTENPORT=0")
	s.process.Stdout, s.process.Stderr = s.printed, s.printed
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run starts another process
	require.NoError(t, s.process.Start())
	go func() {
		_ = s.process.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
		<-s.exited
		if t.Failed() {
			t.Logf("log of the stand-in:\n%s", s.printed)
		}
	})
	eventually(t, "the stand-in listens", func() bool { return standinListens.MatchString(s.printed.String()) })
	s.url = standinListens.FindStringSubmatch(s.printed.String())[1]
	return s
}

// interrupt presses Ctrl-C and waits until the stand-in has stopped.
func (s *standin) interrupt(t *testing.T) {
	t.Helper()
	require.NoError(t, syscall.Kill(-s.process.Process.Pid, syscall.SIGINT))
	select {
	case <-s.exited: // the exit status of an interrupted go run is 1, whatever that of the program
	case <-time.After(bound):
		t.Fatal("the stand-in does not end")
	}
	require.True(t, strings.HasSuffix(s.printed.String(), "\nstopped\n"), s.printed.String())
}

// startExampleServer starts a server with the settings in a part of the README, and with the ports of this run.
func startExampleServer(t *testing.T, text string, ports map[string]string) *server {
	t.Helper()
	variables := assigned(text)
	maps.Copy(variables, ports)
	var settings []string
	for name, value := range variables {
		settings = append(settings, name+"="+value)
	}
	return startServer(t, settings...)
}

// walkExample runs the steps of the README twice, in its order and word for word. Only the addresses are those of this
// run.
func walkExample(t *testing.T, s *server, gatewayURL string) {
	t.Helper()
	_, text := exampleReadme(t)
	steps := stepsOf(text)
	require.Len(t, steps, 10)
	for range 2 {
		outputs, rest, err := runSteps(t, exampleSetup(s, gatewayURL, s.adminSecret()), steps)
		require.NoError(t, err, rest)
		requireOutputs(t, steps, outputs)
	}
}

// exampleSetup returns the commands that set the addresses and the secret.
func exampleSetup(s *server, gatewayURL, adminSecret string) string {
	return "set -u\nGATEHOUSE=http://" + s.address + "\nGATEWAY=" + gatewayURL + "\nADMIN=" + adminSecret +
		"\nUPSTREAM=http://" + s.address + "\n"
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	at, err := url.Parse(address)
	require.NoError(t, err)
	return at.Port()
}

// TestGatewayExampleWalk follows the README for a gateway's binary, with a stand-in for the binary.
func TestGatewayExampleWalk(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	conf, redis, link := localConf(t), gatewaytest.StartRedis(t), newLink(t)
	require.Equal(t, "http://127.0.0.1:3000", conf.DBAppConfOptions.ConnectionString)
	require.Equal(t, conf.DBAppConfOptions.ConnectionString, conf.Policies.ConnectionString)
	require.Equal(t, "127.0.0.1", conf.Storage.Host)
	gateway := gatewaytest.Start(t, gatewaytest.Config{
		DashboardURL: link.url, NodeSecret: conf.NodeSecret, ControlSecret: conf.Secret, Redis: redis.Options(),
		EnforceOrgQuotas: conf.EnforceOrgQuotas, HashKeys: *conf.HashKeys, RetryInterval: 50 * time.Millisecond,
	})
	start, _ := exampleReadme(t)
	_, redisPort := redis.Addr()
	s := startExampleServer(t, start, map[string]string{
		"TYK_DB_TYKAPI_PORT": portOf(t, gateway.URL()), "TYK_DB_REDISPORT": strconv.Itoa(redisPort),
	})
	link.connect(s)
	walkExample(t, s, gateway.URL())
}

// TestGatewayExampleWalkWithStandin follows the README for the stand-in.
func TestGatewayExampleWalkWithStandin(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	start, text := exampleReadme(t)
	_, section, found := strings.Cut(start, "\n## With the stand-in\n")
	require.True(t, found)
	require.Contains(t, section, "\n"+standinCommand+"\n")
	conf := readGatewayConf(t, filepath.Join(exampleDir, "tyk.conf"))
	require.Contains(t, section, "listens on http://127.0.0.1:"+strconv.Itoa(conf.ListenPort)+", loads from http://127.0.0.1:3000")
	link := newLink(t)
	gateway := startStandin(t, link.url)
	s := startExampleServer(t, section, map[string]string{"TYK_DB_TYKAPI_PORT": portOf(t, gateway.url)})
	link.connect(s)
	walkExample(t, s, gateway.url)

	t.Run("a wait ends, and says where to look", func(t *testing.T) {
		steps := stepsOf(text)
		noGateway := "http://127.0.0.1:1"
		setup := exampleSetup(s, noGateway, s.adminSecret()) + "sleep() { :; }\n"
		outputs, rest, err := runSteps(t, setup, steps[:2])
		require.NoError(t, err, rest)
		require.Contains(t, outputs[1], "Not within a minute. What does the gateway log? Ask it yourself: curl -i "+noGateway+"/ready\n")
		require.Contains(t, outputs[1], `"session_id"`, "the next wait is one of its own")
	})
	t.Run("a failed step does not feed the next", func(t *testing.T) {
		steps := stepsOf(text)
		outputs, rest, err := runSteps(t, exampleSetup(s, gateway.url, "another-secret")+"sleep() { :; }\n", steps)
		require.Error(t, err)
		require.Equal(t, `{"Status":"Error","Message":"Not authorised","Meta":null}`, strings.TrimSpace(outputs[2]))
		require.Contains(t, outputs[3], "ORG", "the user is not created")
		require.Contains(t, rest, "ORG", "the shell, which is not interactive, ends at the policy")
		require.Len(t, outputs, 4)
	})
	t.Run("Ctrl-C stops the stand-in, which deregisters", func(t *testing.T) {
		nodes := func() string { return string(ok(s.client().ListNodesWithResponse(t.Context()))(t).Body) }
		require.Contains(t, nodes(), `"session_id"`)
		gateway.interrupt(t)
		require.Equal(t, `{"nodes":[]}`, nodes())
	})
}
