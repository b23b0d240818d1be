package server_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/dashboard"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

const (
	controlSecret = "the-control-secret"
	// soon bounds waits for what must happen. No passing test waits that long.
	soon = time.Minute
	// notifyBound bounds the time until a change reaches gateways. It is four times the documented maximum, for a machine
	// that is slow.
	notifyBound = 8 * time.Second
	// pollEvery is the interval between two checks of a condition.
	pollEvery = 10 * time.Millisecond
)

// gatewaySetup is a server, a gateway whose dashboard it is, and the Redis of the gateway.
type gatewaySetup struct {
	*bundle
	gateway *gatewaytest.Gateway
	redis   *gatewaytest.Redis
}

// gatewayOptions are how server and gateway are connected.
type gatewayOptions struct {
	conn      string // the database; "": a new one
	noControl bool   // the server has no control API of the gateway
	noNotices bool   // the server has no Redis
	gateway   func(*gatewaytest.Config)
}

func setupGateway(t *testing.T, p gatewayOptions) *gatewaySetup {
	t.Helper()
	redis := gatewaytest.StartRedis(t, gatewaytest.WithPassword("sesame"))
	return setupGatewayOn(t, redis, p)
}

func setupGatewayOn(t *testing.T, redis *gatewaytest.Redis, p gatewayOptions) *gatewaySetup {
	t.Helper()
	if p.conn == "" {
		p.conn = storetest.Database(t)
	}
	listener := loopback(t)
	cfg := gatewaytest.Config{
		DashboardURL: "http://" + listener.Addr().String(), NodeSecret: nodeSecret, ControlSecret: controlSecret,
		Redis:        redis.Options(),
		PingInterval: 100 * time.Millisecond, RetryInterval: 50 * time.Millisecond, RedisPause: 50 * time.Millisecond,
		EnforceOrgQuotas: true,
	}
	if p.gateway != nil {
		p.gateway(&cfg)
	}
	e := &gatewaySetup{gateway: gatewaytest.Start(t, cfg), redis: redis}
	e.bundle = setupAt(t, p.conn, listener, withGateway(t, e.gateway, redis, p))
	e.gateway.WaitReady(t, soon)
	return e
}

// withGateway configures the gateway and its Redis in a server.
func withGateway(
	t testing.TB, g *gatewaytest.Gateway, redis *gatewaytest.Redis, p gatewayOptions,
) func(*server.Config) {
	return func(cfg *server.Config) {
		if !p.noControl {
			client, err := gateway.New(gateway.Config{Host: g.URL(), Secret: controlSecret})
			require.NoError(t, err)
			cfg.Gateway = client
		}
		if !p.noNotices {
			host, port := redis.Addr()
			cfg.Redis = gateway.NewRedis(gateway.RedisConfig{
				Addresses: []string{net.JoinHostPort(host, strconv.Itoa(port))}, Password: redis.Password(),
				NodeSecrets: []string{nodeSecret},
			})
			t.Cleanup(func() { _ = cfg.Redis.Close() })
		}
	}
}

// apiOf returns an API definition to import. more are members of it.
func apiOf(orgID, id string, more ...string) string {
	return `{"api_definition":{"api_id":"` + id + `","org_id":"` + orgID + `","name":"` + id + `","use_keyless":true,` + strings.Join(append(more, ""), ",") +
		`"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},` +
		`"proxy":{"listen_path":"/` + id + `/","target_url":"http://127.0.0.1:1/","strip_listen_path":true}}}`
}

func (b *bundle) importAPIs(documents ...string) reply {
	b.t.Helper()
	return b.admin("POST", "/admin/apis/import", `{"apis":[`+strings.Join(documents, ",")+`]}`)
}

func (b *bundle) importPolicies(documents ...string) reply {
	b.t.Helper()
	return b.admin("POST", "/admin/policies/import", `{"Data":[`+strings.Join(documents, ",")+`]}`)
}

// through sends a request through the gateway.
func (e *gatewaySetup) through(path, key string) reply {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.gateway.URL()+path, nil)
	require.NoError(e.t, err)
	r.Header.Set("Authorization", key)
	return send(e.t, r)
}

func TestGatewayLoads(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	first := setupOn(t, conn)
	org := first.org()
	first.importAPIs(apiOf(org, "harbour"), apiOf(org, "asleep", `"active":false`), apiOf(org, "awake", `"active":true`)).message(200, "APIs imported")
	first.importPolicies(`{"_id":"61df10078f11dd00097cb55f","org_id":"`+org+`"}`, `{"_id":"61df10078f11dd00097cb560","id":"gold","org_id":"`+org+`"}`).is(200)

	e := setupGateway(t, gatewayOptions{conn: conn})
	require.Equal(t, []string{"awake", "harbour"}, e.gateway.APIs(), "inactive APIs are not loaded")
	require.Equal(t, []string{"61df10078f11dd00097cb55f", "gold"}, e.gateway.Policies())
	e.through("/harbour/", "").is(200)

	t.Run("it loads again after a restart, as another node", func(t *testing.T) {
		before := e.gateway.NodeID()
		e.gateway.Restart()
		e.gateway.WaitReady(t, soon)
		require.Equal(t, []string{"awake", "harbour"}, e.gateway.APIs())
		require.NotEqual(t, before, e.gateway.NodeID())
	})
	t.Run("it unregisters when it stops", func(t *testing.T) {
		require.NoError(t, e.gateway.Stop())
		require.NotContains(t, e.admin("GET", "/admin/nodes", nil).is(200).body, e.gateway.NodeID())
	})
}

func TestChangeReachesGateways(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]gatewayOptions{"by the control API": {noNotices: true}, "by Redis": {noControl: true}, "by both": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := setupGateway(t, p)
			// The changes are sent to a second server, which may or may not be the leader.
			replica := setupOn(t, e.conn, withGateway(t, e.gateway, e.redis, p))
			org := replica.org()
			replica.importAPIs(apiOf(org, "harbour")).is(200)
			e.gateway.WaitForAPI(t, "harbour", notifyBound)
			replica.importPolicies(`{"_id":"61df10078f11dd00097cb55f","org_id":"` + org + `"}`).is(200)
			gatewaytest.Eventually(t, notifyBound, "the policy is loaded", func() bool { return len(e.gateway.Policies()) == 1 })
			replica.admin("DELETE", "/admin/apis/harbour", nil).is(200)
			gatewaytest.Eventually(t, notifyBound, "the API is removed", func() bool { return len(e.gateway.APIs()) == 0 })
			replica.importAPIs(apiOf(org, "harbour")).is(200)
			e.gateway.WaitForAPI(t, "harbour", notifyBound)
			replica.admin("DELETE", "/admin/organisations/"+org, nil).is(200)
			gatewaytest.Eventually(t, notifyBound, "everything is removed", func() bool { return len(e.gateway.APIs())+len(e.gateway.Policies()) == 0 })
			before := e.gateway.Reloads()
			replica.admin("GET", "/admin/system/reload", nil).is(200)
			e.gateway.WaitReloads(t, before+1, notifyBound)
			require.Empty(t, e.gateway.ReloadErrors())
		})
	}
}

func TestAnotherServerBecomesLeader(t *testing.T) {
	t.Parallel()
	redis := gatewaytest.StartRedis(t)
	conn := storetest.Database(t)
	var second *gatewaySetup
	t.Run("first", func(t *testing.T) {
		// This server is the leader, and stops at the end of the subtest.
		setupGatewayOn(t, redis, gatewayOptions{conn: conn})
	})
	second = setupGatewayOn(t, redis, gatewayOptions{conn: conn})
	second.importAPIs(apiOf(second.org(), "harbour")).is(200)
	second.gateway.WaitForAPI(t, "harbour", notifyBound)
}

func TestBurstOfChangesIsOneNotice(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{noControl: true})
	settled(t, e)
	before := len(e.gateway.Notices())
	org := e.org()
	start := time.Now()
	for i := range 20 {
		e.importAPIs(apiOf(org, fmt.Sprint("api-", i))).is(200)
	}
	gatewaytest.Eventually(t, soon, "all APIs are loaded", func() bool { return len(e.gateway.APIs()) == 20 })
	// A pause of 150 ms between two requests ends a burst. A slow machine makes many of them.
	require.LessOrEqual(t, len(e.gateway.Notices())-before, 2+int(time.Since(start)/(150*time.Millisecond)))
	for _, n := range e.gateway.Notices() {
		require.True(t, n.Accepted, n.Reason)
		require.Equal(t, "GroupReload", n.Command)
	}
}

// settled waits for the notice of the start of the server.
func settled(t *testing.T, e *gatewaySetup) {
	t.Helper()
	gatewaytest.Eventually(t, soon, "the first notice", func() bool { return len(e.gateway.Notices()) > 0 })
	e.gateway.WaitReloads(t, 3, soon)
}

func TestUnreachableGatewaysDoNotBlockChanges(t *testing.T) {
	t.Parallel()
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		e := setupGateway(t, gatewayOptions{noControl: true})
		settled(t, e)
		e.redis.Kill()
		e.importAPIs(apiOf(e.org(), "harbour")).message(200, "APIs imported")
		gatewaytest.Eventually(t, soon, "the failure is logged", func() bool {
			return strings.Contains(e.log.String(), "notify gateways of a change failed")
		})
		e.redis.Restart()
		e.gateway.WaitSubscribed(t, soon)
		e.gateway.WaitForAPI(t, "harbour", soon)
	})
	t.Run("gateways that reconnect to Redis long after the server", func(t *testing.T) {
		t.Parallel()
		late := func(pause time.Duration) func(*gatewaytest.Config) {
			return func(cfg *gatewaytest.Config) { cfg.RedisPause = pause }
		}
		redis := gatewaytest.StartRedis(t, gatewaytest.WithPassword("sesame"))
		first := setupGatewayOn(t, redis, gatewayOptions{noControl: true, gateway: late(time.Second)})
		second := setupGatewayOn(t, redis, gatewayOptions{conn: first.conn, noControl: true, gateway: late(3 * time.Second)})
		both := []*gatewaySetup{first, second}
		for _, e := range both {
			e.gateway.WaitSubscribed(t, soon)
		}
		first.importAPIs(apiOf(first.org(), "quay")).message(200, "APIs imported")
		for _, e := range both {
			e.gateway.WaitForAPI(t, "quay", soon)
		}
		redis.Restart()
		first.importAPIs(apiOf(first.org(), "harbour")).message(200, "APIs imported")
		for _, e := range both {
			e.gateway.WaitForAPI(t, "harbour", soon)
		}
	})
	t.Run("the control API", func(t *testing.T) {
		t.Parallel()
		e := setupGateway(t, gatewayOptions{noNotices: true})
		settledReloads(t, e)
		e.gateway.SetControlDown(true)
		e.importAPIs(apiOf(e.org(), "harbour")).message(200, "APIs imported")
		e.admin("POST", "/admin/org/keys", `{"org_id":"`+e.org()+`","rate":1,"per":1}`).
			message(403, "Failed to save new session object to Tyk: the gateway cannot be reached")
		e.gateway.SetControlDown(false)
		e.gateway.WaitForAPI(t, "harbour", soon)
	})
}

// TestGatewayThatMissesANoticeIsNotifiedAgain: of two gateways, on two servers, one is not connected to its Redis when
// something changes. Both servers show that it is behind, one of them logs it, and it loads the change soon.
func TestGatewayThatMissesANoticeIsNotifiedAgain(t *testing.T) {
	t.Parallel()
	redis := gatewaytest.StartRedis(t, gatewaytest.WithPassword("sesame"))
	first := setupGatewayOn(t, redis, gatewayOptions{noControl: true})
	deaf := setupGatewayOn(t, redis, gatewayOptions{
		conn: first.conn, noControl: true, gateway: func(cfg *gatewaytest.Config) { cfg.Hostname = "deaf" },
	})
	both := []*gatewaySetup{first, deaf}
	for _, e := range both {
		e.gateway.WaitSubscribed(t, soon)
	}
	behind := func(on *gatewaySetup) (hostnames []string) {
		for _, node := range on.nodes() {
			if node.Behind {
				hostnames = append(hostnames, node.Hostname)
			}
		}
		return hostnames
	}
	logged := func(text string) int {
		return strings.Count(first.log.String(), text) + strings.Count(deaf.log.String(), text)
	}
	const missed, caughtUp = `msg="gateway has not loaded the last change, notifying it again"`, `msg="gateway has loaded the last change"`
	gatewaytest.Eventually(t, soon, "both have loaded all that has changed", func() bool {
		return len(behind(first)) == 0 && first.gateway.Idle() && deaf.gateway.Idle()
	})
	ofDeaf := ` node_id=` + deaf.gateway.NodeID() + ` hostname=deaf`
	warnings, loaded := logged(missed), logged(caughtUp+ofDeaf)

	deaf.gateway.SetNoticesDown(true)
	gatewaytest.Eventually(t, soon, "one gateway is deaf", func() bool { return !deaf.gateway.Subscribed() })
	gatewaytest.Eventually(t, soon, "it has loaded what it was notified of before", deaf.gateway.Idle)
	first.importAPIs(apiOf(first.org(), "harbour")).message(200, "APIs imported")
	first.gateway.WaitForAPI(t, "harbour", soon)
	require.NotContains(t, deaf.gateway.APIs(), "harbour")
	gatewaytest.Eventually(t, soon, "the gateway is behind", func() bool { return len(behind(first)) > 0 })
	for _, e := range both {
		require.Equal(t, []string{"deaf"}, behind(e))
		var health dashboard.Health
		e.do("GET", "/hello", nil).is(200).json(&health)
		require.Equal(t, dashboard.HealthStatusPass, health.Status)
		require.Equal(t, dashboard.HealthItemStatusWarn, health.Details["nodes"].Status)
		require.Equal(t, "not loaded the last change: 1 of 2", *health.Details["nodes"].Output)
	}
	gatewaytest.Eventually(t, soon, "the server that leads counts it", func() bool { return nodesBehindMetric(first)+nodesBehindMetric(deaf) == 1 })
	require.NotContains(t, deaf.gateway.APIs(), "harbour")
	deaf.gateway.SetNoticesDown(false)
	deaf.gateway.WaitForAPI(t, "harbour", soon)
	gatewaytest.Eventually(t, soon, "it is no longer behind", func() bool { return len(behind(first)) == 0 })
	gatewaytest.Eventually(t, soon, "the metric is 0 again", func() bool { return nodesBehindMetric(first)+nodesBehindMetric(deaf) == 0 })
	gatewaytest.Eventually(t, soon, "it is logged after it is stored", func() bool { return logged(caughtUp+ofDeaf) > loaded })
	require.Equal(t, loaded+1, logged(caughtUp+ofDeaf))
	require.Equal(t, warnings+1, logged(missed), "one warning")
}

// nodesBehindMetric returns the number of gateways that are behind, as the server's metrics have it.
func nodesBehindMetric(e *gatewaySetup) int {
	e.t.Helper()
	metrics := e.admin("GET", "/metrics", nil).is(200).body
	_, after, found := strings.Cut(metrics, "\ngatehouse_nodes_behind ")
	require.True(e.t, found, metrics)
	value, err := strconv.Atoi(after[:strings.IndexByte(after, '\n')])
	require.NoError(e.t, err)
	return value
}

func settledReloads(t *testing.T, e *gatewaySetup) {
	t.Helper()
	e.gateway.WaitReloads(t, 3, soon) // two of its own start, one of the start of the server
}

// undecodable returns documents that would keep a gateway from loading all others
// (docs/behaviour.md#documents-a-gateway-cannot-decode).
func undecodable(org string) (apis, policies map[string]string) {
	apis = map[string]string{
		"no api_definition":                `{"api_model":{}}`,
		"api_definition is null":           `{"api_definition":null}`,
		"a number for a text":              apiOf(org, "p1", `"slug":5`),
		"a float form in an integer":       apiOf(org, "p2", `"listen_port":0.0`),
		"an exponent in an integer":        apiOf(org, "p3", `"listen_port":1e3`),
		"an integer of twenty digits":      apiOf(org, "p4", `"expire_analytics_after":12345678901234567890`),
		"an id that is not 24 hex":         apiOf(org, "p5", `"id":"not-24-hex"`),
		"oas is a text":                    strings.TrimSuffix(apiOf(org, "p6"), "}") + `,"oas":"text"}`,
		"oas is a list":                    strings.TrimSuffix(apiOf(org, "p7"), "}") + `,"oas":[]}`,
		"a wrong type within oas":          strings.TrimSuffix(apiOf(org, "p8"), "}") + `,"oas":{"openapi":"3.0.3","info":5,"paths":{}}}`,
		"a wrong type under another case":  apiOf(org, "p9", `"SLUG":5`),
		"a wrong type deep inside":         apiOf(org, "p10", `"auth_configs":{"authToken":{"use_param":"yes"}}`),
		"a list for an object":             apiOf(org, "p11", `"config_data":[1]`),
		"a wrong type deep inside oas":     strings.TrimSuffix(apiOf(org, "p12"), "}") + `,"oas":{"components":{"schemas":{"Tide":{"properties":{"high":{"maxLength":5.0}}}}}}}`,
		"a version of TLS that is none":    apiOf(org, "p14", `"proxy":{"transport":{"ssl_min_version":65536}}`),
		"a sign where there is none":       apiOf(org, "p15", `"jwt_issued_at_validation_skew":-0`),
		"a number beyond a float64":        apiOf(org, "p16", `"config_data":{"deep":[1e400]}`),
		"a leap second":                    apiOf(org, "p17", `"graphql":{"last_schema_update":"2016-12-31T23:59:60Z"}`),
		"a callback that is nowhere":       strings.TrimSuffix(apiOf(org, "p18"), "}") + `,"oas":{"components":{"callbacks":{"tide":{"$ref":""}}}}}`,
		"no switch of uptime tests":        apiOf(org, "p19", `"uptime_tests":{"disabled":"yes"}`),
		"a text for places of keys":        apiOf(org, "p20", `"jwt_jwks_uris":"http://upstream/keys"`),
		"a number for a duration":          apiOf(org, "p21", `"jwt_jwks_uris":[{"url":"http://upstream/keys","cache_timeout":300}]`),
		"a duration that is null":          apiOf(org, "p22", `"jwt_jwks_uris":[{"cache_timeout":null}]`),
		"a duration with an escape":        apiOf(org, "p23", `"jwt_jwks_uris":[{"cache_timeout":"5m\/"}]`),
		"a list of texts for one of lists": apiOf(org, "p24", `"security_requirements":["jwt"]`),
		"a text for a switch of GraphQL":   apiOf(org, "p25", `"graphql":{"proxy":{"sse_use_post":""},"supergraph":{"subgraphs":[{"sse_use_post":""}]}}`),
		"an id with an escape":             apiOf(org, "p26", `"id":"\u0035ea6b3e1d1a7f6000183b5c4"`),
		"a time with an escape":            apiOf(org, "p27", `"graphql":{"last_schema_update":"\u0032020-01-01T00:00:00Z"}`),
		"an oas schema that is a text":     strings.TrimSuffix(apiOf(org, "p13"), "}") + `,"oas":{"components":{"schemas":{"Tide":{"additionalProperties":"no"}}}}}`,
	}
	policies = map[string]string{
		"an _id that is not 24 hex":    `{"_id":"zz","org_id":"` + org + `"}`,
		"a float form in an integer":   `{"_id":"61df10078f11dd00097cb501","org_id":"` + org + `","quota_max":1500.0}`,
		"null":                         `null`,
		"an _id with an escape":        `{"_id":"\u0035ea6b3e1d1a7f6000183b5c4","org_id":"` + org + `"}`,
		"a text for a number":          `{"_id":"61df10078f11dd00097cb502","org_id":"` + org + `","rate":"3"}`,
		"a list for access rights":     `{"_id":"61df10078f11dd00097cb503","org_id":"` + org + `","access_rights":[]}`,
		"a number for a date":          `{"_id":"61df10078f11dd00097cb504","org_id":"` + org + `","last_updated":5}`,
		"a text for rights of GraphQL": `{"_id":"61df10078f11dd00097cb505","org_id":"` + org + `","graphql_access_rights":{"x":""}}`,
		"a text for a smoothing": `{"_id":"61df10078f11dd00097cb506","org_id":"` + org +
			`","access_rights":{"x":{"endpoints":[{"methods":[{"limit":{"smoothing":""}}]}]}}}`,
	}
	return apis, policies
}

func TestUndecodableDocumentsAreRefusedAtImport(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	org := e.org()
	apis, policies := undecodable(org)
	for name, document := range apis {
		t.Run(name, func(t *testing.T) {
			got := e.importAPIs(document, apiOf(org, "good")).is(200).envelope()
			require.Contains(t, got.Message, "1 of 2 APIs imported; ")
			require.Contains(t, string(got.Meta), `"good":true`)
			require.Contains(t, string(got.Meta), `:false`)
		})
	}
	for name, document := range policies {
		t.Run("policy: "+name, func(t *testing.T) {
			got := e.importPolicies(document, `{"_id":"61df10078f11dd00097cb55f","org_id":"`+org+`"}`).is(200).envelope()
			require.Contains(t, got.Message, "1 of 2 policies imported; ")
			require.Contains(t, string(got.Meta), `"61df10078f11dd00097cb55f":true`)
		})
	}
	e.gateway.WaitForAPI(t, "good", soon)
	gatewaytest.Eventually(t, soon, "the policy is loaded", func() bool {
		return slices.Equal([]string{"61df10078f11dd00097cb55f"}, e.gateway.Policies())
	})
	require.Empty(t, e.gateway.ReloadErrors())
}

func TestUndecodableStoredDocumentsAreLeftOut(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	org := e.org()
	e.importAPIs(apiOf(org, "good"), apiOf(org, "turned")).is(200)
	e.importPolicies(`{"_id":"61df10078f11dd00097cb55f","org_id":"`+org+`"}`, `{"_id":"61df10078f11dd00097cb560","org_id":"`+org+`"}`).is(200)
	e.gateway.WaitForAPI(t, "turned", soon)

	apis, policies := undecodable(org)
	n := 0
	for _, document := range apis {
		n++
		storetest.Exec(t, e.conn, `INSERT INTO apis (api_id, id, org_id, active, document) VALUES ($1, $2, $3, true, $4)`,
			fmt.Sprint("stored-", n), fmt.Sprintf("%024x", n), org, document)
	}
	for _, document := range policies {
		n++
		storetest.Exec(t, e.conn, `INSERT INTO policies (id, policy_id, org_id, document) VALUES ($1, $1, $2, $3)`, fmt.Sprintf("%024x", n), org, document)
	}
	// Documents that were valid when they were imported.
	storetest.Exec(t, e.conn, `UPDATE apis SET document = $1 WHERE api_id = 'turned'`, apiOf(org, "turned", `"slug":5`))
	storetest.Exec(t, e.conn, `UPDATE policies SET document = '{"_id":5}' WHERE id = '61df10078f11dd00097cb560'`)
	storetest.Announce(t, e.conn)

	gatewaytest.Eventually(t, soon, "undecodable documents are left out", func() bool {
		return fmt.Sprint(e.gateway.APIs(), e.gateway.Policies()) == "[good] [61df10078f11dd00097cb55f]"
	})
	for range 3 {
		before := e.gateway.Reloads()
		e.admin("GET", "/admin/system/reload", nil).is(200)
		e.gateway.WaitReloads(t, before+1, soon)
	}
	require.Empty(t, e.gateway.ReloadErrors())
	require.NoError(t, e.gateway.Crashed())
	for _, id := range []string{"stored-1", "turned", "61df10078f11dd00097cb560"} {
		require.Equal(t, 1, strings.Count(e.log.String(), "id="+id+" "), "%s is logged once", id)
	}
}

func TestOrgKeysThroughAGateway(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	org := e.org()
	e.importAPIs(apiOf(org, "harbour")).is(200)
	e.gateway.WaitForAPI(t, "harbour", soon)
	key := func(rate int) string {
		return fmt.Sprintf(`{"org_id":"%s","rate":%d,"per":3600,"quota_max":-1}`, org, rate)
	}

	e.admin("POST", "/admin/org/keys", key(2)).is(200)
	e.through("/harbour/", "").is(200)
	e.through("/harbour/", "").is(200)
	e.through("/harbour/", "").is(403)
	e.admin("GET", "/admin/org/keys/"+org, nil).is(200)
	require.Contains(t, e.admin("GET", "/admin/org/keys", nil).is(200).body, org)

	t.Run("gateways get integers for floats without a fraction", func(t *testing.T) {
		session := fmt.Sprintf(`{"org_id":"%s","rate":2.0,"per":3600,"quota_max":-1.0,"data_expires":1.718439136e+09}`, org)
		e.admin("PUT", "/admin/org/keys/"+org, session).is(200)
		require.Contains(t, e.admin("GET", "/admin/org/keys/"+org, nil).is(200).body, `"data":`+session)
		require.Contains(t, e.redis.Client().Get(t.Context(), "orgkey."+org).Val(), `"data_expires":1718439136`)
	})
	t.Run("a change is not undone by the gateway's cache", func(t *testing.T) {
		e.admin("PUT", "/admin/org/keys/"+org, key(1000)).is(200)
		gatewaytest.Eventually(t, soon, "the cached session is dropped", func() bool { return e.through("/harbour/", "").status == 200 })
		e.through("/harbour/", "").is(200)
	})
	t.Run("a refusal of the gateway leaves the stored key unchanged", func(t *testing.T) {
		e.gateway.SetControlError(500, "Error writing to key store")
		defer e.gateway.SetControlError(0, "")
		before := e.admin("GET", "/admin/org/keys/"+org, nil).is(200).body
		e.admin("PUT", "/admin/org/keys/"+org, key(7)).message(403, "Failed to update session object to Tyk")
		e.admin("DELETE", "/admin/org/keys/"+org, nil).message(500, "Could not delete key")
		require.Equal(t, before, e.admin("GET", "/admin/org/keys/"+org, nil).is(200).body)
	})
	t.Run("keys are restored in an empty Redis when the gateway registers", func(t *testing.T) {
		e.admin("PUT", "/admin/org/keys/"+org, key(1)).is(200)
		e.redis.Restart()
		e.gateway.Restart()
		e.gateway.WaitReady(t, soon)
		gatewaytest.Eventually(t, soon, "the key is restored", func() bool {
			return e.redis.Client().Exists(t.Context(), "orgkey."+org).Val() == 1
		})
	})
	t.Run("a deleted key is removed from the gateway", func(t *testing.T) {
		e.gateway.WaitForAPI(t, "harbour", soon)
		e.admin("DELETE", "/admin/org/keys/"+org, nil).is(200)
		require.Zero(t, e.redis.Client().Exists(t.Context(), "orgkey."+org).Val())
	})
}

func TestOrgKeysAreDeletedWithTheirOrganisation(t *testing.T) {
	t.Parallel()
	for name, noNotices := range map[string]bool{"with notices": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := setupGateway(t, gatewayOptions{noNotices: noNotices})
			org, other := e.org(), e.org()
			e.importAPIs(apiOf(org, "harbour"), apiOf(other, "quay")).is(200)
			e.gateway.WaitForAPI(t, "quay", soon)
			for _, each := range []string{org, other} {
				e.admin("POST", "/admin/org/keys", `{"org_id":"`+each+`","rate":1,"per":3600}`).is(200)
			}
			there := func(org string) bool { return e.redis.Client().Exists(t.Context(), "orgkey."+org).Val() == 1 }
			require.True(t, there(org))
			e.admin("DELETE", "/admin/organisations/"+org, nil).is(200)
			gatewaytest.Eventually(t, soon, "the key is removed from the gateway", func() bool { return !there(org) })
			require.True(t, there(other))
		})
	}
}

// TestOrgKeysAreDeletedWithoutAPIs: a gateway that has no API deletes no organisation key, and later ones would be
// limited by it.
func TestOrgKeysAreDeletedWithoutAPIs(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	for _, path := range []string{"/admin/org/keys/", "/admin/organisations/"} {
		org := e.org()
		e.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`","rate":1,"per":3600}`).is(200)
		there := func() bool { return e.redis.Client().Exists(t.Context(), "orgkey."+org).Val() == 1 }
		require.True(t, there())
		e.admin("DELETE", path+org, nil).is(200)
		gatewaytest.Eventually(t, soon, "the key is removed: DELETE "+path, func() bool { return !there() })
	}
}

func TestOrgKeysAreRestoredWithoutRedis(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{noNotices: true})
	org := e.org()
	e.importAPIs(apiOf(org, "harbour")).is(200)
	e.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`","rate":1,"per":3600}`).is(200)
	e.gateway.WaitForAPI(t, "harbour", soon)
	e.redis.Restart()
	e.gateway.Restart()
	gatewaytest.Eventually(t, soon, "the key is restored", func() bool {
		return e.redis.Client().Exists(t.Context(), "orgkey."+org).Val() == 1
	})
}

// TestOrgKeysAreRestoredWithinSeconds: a gateway goes on while its Redis loses what it has, or a part of it.
func TestOrgKeysAreRestoredWithinSeconds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		noNotices bool
		lose      func(t *testing.T, e *gatewaySetup, key string)
	}{
		"flushed": {lose: func(t *testing.T, e *gatewaySetup, _ string) {
			t.Helper()
			require.NoError(t, e.redis.Client().FlushAll(t.Context()).Err())
		}},
		"restarted without its data": {lose: func(_ *testing.T, e *gatewaySetup, _ string) { e.redis.Restart() }},
		"restored from an old copy": {lose: func(t *testing.T, e *gatewaySetup, key string) {
			t.Helper()
			old := strings.Replace(e.redis.Client().Get(t.Context(), key).Val(), `"rate":7`, `"rate":1`, 1)
			require.NoError(t, e.redis.Client().Set(t.Context(), key, old, 0).Err())
		}},
		"flushed, and not known to the server": {noNotices: true, lose: func(t *testing.T, e *gatewaySetup, _ string) {
			t.Helper()
			require.NoError(t, e.redis.Client().FlushAll(t.Context()).Err())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := setupGateway(t, gatewayOptions{noNotices: c.noNotices})
			org := e.org()
			e.importAPIs(apiOf(org, "harbour")).is(200)
			e.gateway.WaitForAPI(t, "harbour", soon)
			e.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`","rate":7,"per":3600}`).is(200)
			gatewaytest.Eventually(t, soon, "the key was seen to be kept", func() bool {
				open, err := e.store.UnsyncedOrgKeyErrors(t.Context())
				return err == nil && len(open) == 0
			})
			c.lose(t, e, "orgkey."+org)
			lost, client := time.Now(), e.redis.Client()
			gatewaytest.Eventually(t, soon, "the key is restored", func() bool {
				return strings.Contains(client.Get(t.Context(), "orgkey."+org).Val(), `"rate":7`)
			})
			took := time.Since(lost)
			t.Logf("restored after %s", took)
			require.Less(t, took, 40*time.Second, "10 s on a machine that is four times as fast")
			gatewaytest.Eventually(t, soon, "the search is logged, maybe after the key is back", func() bool {
				return strings.Count(e.log.String(), "organisation keys were lost in the gateways' Redis") == 1
			})
		})
	}
}

func TestAPIKeyIsRefusedAfterItsThirdRequest(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{gateway: func(cfg *gatewaytest.Config) {
		cfg.HashKeys, cfg.ListHashedKeys = false, false
	}})
	org, other := e.org(), e.org()
	ines, omar := e.user(org, "ines@rivermouth.example", nil), e.user(other, "omar@other.example", nil)
	e.importAPIs(strings.Replace(apiOf(org, "harbour"), `"use_keyless":true`, `"use_keyless":false`, 1)).is(200)
	e.importPolicies(`{"_id":"61df10078f11dd00097cb55f","org_id":"` + org + `","name":"three","rate":3,"per":60,"quota_max":-1,
		"access_rights":{"harbour":{"api_id":"harbour","api_name":"harbour","versions":["Default"]}},"active":true}`).is(200)
	e.gateway.WaitForAPI(t, "harbour", soon)
	gatewaytest.Eventually(t, soon, "the policy is loaded", func() bool { return len(e.gateway.Policies()) == 1 })

	made := e.do("POST", "/api/keys", `{"apply_policies":["61df10078f11dd00097cb55f"]}`, asUser(ines.AccessKey)).is(200)
	var key struct {
		ID   string         `json:"key_id"`
		Data map[string]any `json:"data"`
	}
	made.json(&key)
	require.Equal(t, org, key.Data["org_id"], "the caller's organisation")
	for range 3 {
		e.through("/harbour/", key.ID).is(200)
	}
	e.through("/harbour/", key.ID).is(429)

	path := "/api/keys/" + key.ID
	require.Contains(t, e.do("GET", "/api/apis/harbour/keys", nil, asUser(ines.AccessKey)).is(200).body, key.ID)
	e.do("GET", path, nil, asUser(ines.AccessKey)).is(200)
	t.Run("to users of other organisations, the key is unknown", func(t *testing.T) {
		session := `{"rate":1000,"apply_policies":["61df10078f11dd00097cb55f"]}`
		for method, body := range map[string]string{"GET": "", "DELETE": "", "PUT": session} {
			unknown := e.do(method, "/api/keys/unknown", body, asUser(omar.AccessKey)).message(404, "Could not retrieve key detail.")
			require.Equal(t, unknown.body, e.do(method, path, body, asUser(omar.AccessKey)).is(404).body, method)
		}
		e.do("GET", "/api/apis/harbour/keys", nil, asUser(omar.AccessKey)).is(404)
		for _, body := range []string{
			`{"org_id":"` + org + `"}`,
			`{"access_rights":{"harbour":{}}}`,
			`{"access_rights":{"harbour":{}},"access_rights":{}}`,
			`{"access_rights":{},"access_rights":{"harbour":{}}}`,
			`{"ORG_ID":"` + org + `"}`,
			session,
		} {
			e.do("POST", "/api/keys", body, asUser(omar.AccessKey)).message(400, "Attempted access to non-owned key.")
		}
	})
	e.do("PUT", path, `{"rate":1000,"per":60,"quota_max":-1,"access_rights":{"harbour":{"api_id":"harbour","versions":["Default"]}}}`,
		asUser(ines.AccessKey)).is(200)
	e.through("/harbour/", key.ID).is(200)
	e.do("DELETE", path, nil, asUser(ines.AccessKey)).message(200, "Key deleted successfully.")
	e.through("/harbour/", key.ID).is(403)
}

// TestGatewayThatDoesNotAnswerSlowsNoOtherRequest: changes of organisation keys wait for the gateway, and hold nothing
// that other requests need.
func TestGatewayThatDoesNotAnswerSlowsNoOtherRequest(t *testing.T) {
	t.Parallel()
	silent := loopback(t) // connections are accepted, requests are not answered
	client, err := gateway.New(gateway.Config{Host: "http://" + silent.Addr().String()})
	require.NoError(t, err)
	b := setup(t, func(cfg *server.Config) { cfg.Gateway = client })
	org := b.org()
	const changes = 12
	var responses [changes]reply
	var pending atomic.Int64
	var posts sync.WaitGroup
	pending.Store(changes)
	for i := range changes {
		target := org
		if i%2 == 0 {
			target = b.org()
		}
		posts.Go(func() {
			defer pending.Add(-1)
			responses[i] = b.admin("POST", "/admin/org/keys", `{"org_id":"`+target+`","rate":1}`)
		})
	}
	const keys = changes/2 + 1 // half of the changes are of one key, and one of these at a time waits for the gateway
	gatewaytest.Eventually(t, soon, "the changes have begun", func() bool {
		open, err := b.store.UnsyncedOrgKeyErrors(t.Context())
		return err == nil && len(open) == keys
	})
	for range 3 { // well within the deadline of the gateway's client, also on a slow machine
		b.admin("GET", "/admin/organisations/"+org, nil).is(200)
		b.do("GET", "/ready", nil).is(200)
	}
	require.EqualValues(t, changes, pending.Load(), "all requests were answered while the gateway was waited for")
	posts.Wait()
	for _, response := range responses {
		response.message(403, "Failed to save new session object to Tyk: the gateway cannot be reached")
	}
	b.admin("GET", "/admin/org/keys/"+org, nil).is(404)
}
