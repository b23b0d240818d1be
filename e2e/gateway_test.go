package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/gatewaytest"
)

const (
	testAdminSecret   = "the-admin-secret"
	testNodeSecret    = "the-node-secret"
	testControlSecret = "the-control-secret"
	// promised is the time within which README.md promises that a change reaches a gateway.
	promised = 2 * time.Second
)

// fixedSecrets returns the settings of a server whose secrets its gateway knows.
func fixedSecrets() []string {
	return []string{"TYK_DB_ADMINSECRET=" + testAdminSecret, "TYK_DB_NODESECRET=" + testNodeSecret}
}

// importAPI imports an API that a gateway serves at /<id>/.
func (s *server) importAPI(orgID, id string) {
	s.t.Helper()
	definition := json.RawMessage(`{"api_definition":{
		"api_id":"` + id + `","org_id":"` + orgID + `","name":"` + id + `","use_keyless":true,
		"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},
		"proxy":{"listen_path":"/` + id + `/","target_url":"http://127.0.0.1:1/","strip_listen_path":true}}}`)
	imported := ok(s.client().ImportAPIsWithResponse(s.t.Context(),
		client.ApiDefinitions{Apis: &[]client.ApiDefinition{definition}}))(s.t)
	require.JSONEq(s.t, `{"Status":"OK","Message":"APIs imported","Meta":{"`+id+`":true}}`, string(imported.Body))
}

// served is a server, a gateway that has loaded an API from it, and the gateway's Redis.
type served struct {
	*server
	link    *link
	gateway *gatewaytest.Gateway
	redis   *gatewaytest.Redis
	org     string
}

// serveGateway starts them and waits until the gateway serves the API "harbour" of the organisation org. With
// withControlAPI, the server reaches the gateway through its control API too, and not only through the Redis. settings
// are those of the server.
func serveGateway(t *testing.T, withControlAPI bool, settings ...string) *served {
	t.Helper()
	s := &served{redis: gatewaytest.StartRedis(t, gatewaytest.WithPassword("sesame")), link: newLink(t)}
	s.gateway = startGateway(t, s.link, s.redis, gatewaytest.Config{})
	host, port := s.redis.Addr()
	settings = slices.Concat(settings, fixedSecrets())
	settings = append(settings, "TYK_DB_REDISHOST="+host, fmt.Sprint("TYK_DB_REDISPORT=", port), "TYK_DB_REDISPASSWORD="+s.redis.Password())
	if withControlAPI {
		at, err := url.Parse(s.gateway.URL())
		require.NoError(t, err)
		settings = append(settings, "TYK_DB_TYKAPI_HOST=http://"+at.Hostname(), "TYK_DB_TYKAPI_PORT="+at.Port(), "TYK_DB_TYKAPI_SECRET="+testControlSecret)
	}
	s.server = startServer(t, settings...)
	s.link.connect(s.server)
	s.gateway.WaitReady(t, bound)
	s.org = s.newOrganisation()
	s.importAPI(s.org, "harbour")
	s.gateway.WaitForAPI(t, "harbour", bound)
	return s
}

// startGateway starts a gateway whose dashboard is at the end of a link. cfg has what differs from other gateways.
func startGateway(t *testing.T, l *link, redis *gatewaytest.Redis, cfg gatewaytest.Config) *gatewaytest.Gateway {
	t.Helper()
	cfg.DashboardURL, cfg.NodeSecret, cfg.ControlSecret = l.url, testNodeSecret, testControlSecret
	cfg.Redis, cfg.EnforceOrgQuotas = redis.Options(), true
	cfg.PingInterval, cfg.RetryInterval = 100*time.Millisecond, 50*time.Millisecond
	cfg.ReloadInterval, cfg.RedisPause = 50*time.Millisecond, 50*time.Millisecond
	return gatewaytest.Start(t, cfg)
}

// waitQuiet waits until the gateway has loaded all changes: it loads nothing, and no notice is pending.
func (s *served) waitQuiet() {
	s.t.Helper()
	// Longer than the server gathers changes for a notice.
	const longest = time.Second
	gatewaytest.Eventually(s.t, bound, "the gateway loads nothing", func() bool {
		calls := s.gateway.Calls()
		last := slices.IndexFunc(calls, func(c gatewaytest.Call) bool {
			return strings.HasPrefix(c.Path, "/system/") && time.Since(c.At) < longest
		})
		return last < 0 && s.gateway.Idle()
	})
}

// requireSameNode checks that the gateway is the node that it was, and is notified of changes.
func (s *served) requireSameNode(node, change string) {
	s.t.Helper()
	s.importAPI(s.org, change)
	gatewaytest.Eventually(s.t, promised, "the gateway serves "+change, func() bool {
		return slices.Contains(s.gateway.APIs(), change) || s.gateway.Deadlocked()
	})
	require.False(s.t, s.gateway.Deadlocked())
	require.Equal(s.t, node, s.gateway.NodeID(), "it is known over the restart")
	require.Equal(s.t, 1, s.gateway.Registrations())
}

func TestRestartInTheMiddleOfAReload(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, false)
	node := s.gateway.NodeID()
	s.waitQuiet()
	held := s.link.hold("/system/apis")
	s.importAPI(s.org, "quay")
	select {
	case <-held.arrived: // it has its policies
	case <-time.After(bound):
		t.Fatal("the gateway does not reload")
	}
	// The gateway takes this long to request its APIs: longer than a server needs to stop that does not wait for it, and
	// shorter than the two seconds that one waits.
	pause := time.After(700 * time.Millisecond)
	s.signal(syscall.SIGTERM)
	eventually(t, "the server is not ready while it waits for the gateway", func() bool {
		status, _ := s.get("/ready", "Accept", "*/*")
		return status == http.StatusServiceUnavailable
	})
	left := false
	select {
	case <-s.exited:
		left = true
	case <-pause:
	}
	close(held.release)
	require.Zero(t, s.waitExit(), s.log.String())
	s.start()
	s.requireSameNode(node, "pier")
	require.False(t, left, "the server stopped while a gateway had its policies and not yet its APIs")
	require.Contains(t, s.gateway.APIs(), "quay")
	require.Empty(t, s.gateway.ReloadErrors())
}

func TestServerThatWasKilledComesBackToItsGateways(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, false)
	node := s.gateway.NodeID()
	s.waitQuiet()
	s.kill()
	before := s.gateway.Reloads()
	calls := len(s.gateway.Calls())
	gatewaytest.Eventually(t, bound, "heartbeats fail", func() bool { return len(s.gateway.Calls()) >= calls+3 })
	s.start()
	s.gateway.WaitReloads(t, before+1, bound) // something may have changed meanwhile
	s.requireSameNode(node, "pier")
	require.Empty(t, s.gateway.ReloadErrors())
}

// TestKillWithinASecondOfAChange kills the server while gateways of each version load a change, or are about to, and
// starts it again. The gateways look for it all the time, register within their reloads, and load the change.
func TestKillWithinASecondOfAChange(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, false)
	links := map[*gatewaytest.Gateway]*link{}
	for _, version := range gatewaytest.Versions() {
		l := newLink(t)
		l.connect(s.server)
		links[startGateway(t, l, s.redis, gatewaytest.Config{
			Version: version, Hostname: string(version), RecoveryWindow: bound,
		})] = l
	}
	for gateway := range links {
		gateway.WaitReady(t, bound)
	}
	const rounds = 4 // at random moments
	moments := append([]string{"/system/policies", "/system/apis"}, make([]string, rounds)...)
	for round, path := range moments {
		change := fmt.Sprint("round-", round)
		var held []*heldRequest
		for _, l := range links {
			if path != "" {
				held = append(held, l.hold(path))
			}
		}
		s.importAPI(s.org, change)
		if path == "" {
			time.Sleep(rand.N(time.Second))
		}
		for _, each := range held {
			select {
			case <-each.arrived:
			case <-time.After(bound):
				t.Fatalf("no gateway requests %s", path)
			}
		}
		s.kill()
		for _, each := range held {
			close(each.release)
		}
		s.start()
		for gateway := range links {
			gatewaytest.Eventually(t, bound, "the gateway serves "+change, func() bool {
				return slices.Contains(gateway.APIs(), change) || gateway.Deadlocked()
			})
			require.False(t, gateway.Deadlocked(), "after a kill at %q", path)
		}
	}
	for gateway := range links {
		require.Equal(t, 1, gateway.Registrations(), "it is the same node all the time")
	}
}

func TestKeysSync(t *testing.T) {
	t.Parallel()
	s := serveGateway(t, true)
	other := s.newOrganisation()
	for _, org := range []string{s.org, other} {
		session := json.RawMessage(`{"org_id":"` + org + `","rate":2,"per":3600,"quota_max":-1}`)
		ok(s.client().CreateOrgKeyWithResponse(t.Context(), session))(t)
	}
	restored := func() {
		t.Helper()
		s.redis.Restart()
		var problems bytes.Buffer
		cmd := s.command("keys", "sync")
		cmd.Stderr = &problems
		printed, err := cmd.Output()
		require.NoError(t, err, problems.String())
		require.Equal(t, "2 organisation keys sent to the gateway\n", string(printed))
		for _, org := range []string{s.org, other} {
			require.Equal(t, int64(1), s.redis.Client().Exists(t.Context(), "orgkey."+org).Val(), "the key of %s is back", org)
		}
	}
	t.Run("while the server runs, on its private Postgres", func(t *testing.T) { restored() })
	require.Zero(t, s.stop())
	t.Run("and while it does not", func(t *testing.T) { restored() })
	t.Run("not without a gateway", func(t *testing.T) {
		cmd := s.command("keys", "sync")
		cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "TYK_DB_TYKAPI_") })
		var problems bytes.Buffer
		cmd.Stderr = &problems
		printed, err := cmd.Output()
		require.ErrorContains(t, err, "exit status 1")
		require.Empty(t, string(printed))
		require.Contains(t, problems.String(), "gatehouse: no gateway is configured: set --gateway-host (TYK_DB_TYKAPI_HOST)\n")
	})
}
