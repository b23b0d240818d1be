package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/internal/gateway"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// overview returns what GET /api/overview returns to a user.
func (b *bundle) overview(key string) gjson.Result {
	b.t.Helper()
	return gjson.Parse(b.do("GET", "/api/overview", nil, asUser(key)).is(200).body)
}

// problemTexts returns the texts of the problems of an overview.
func problemTexts(overview gjson.Result) (texts []string) {
	for _, text := range overview.Get("problems.#.text").Array() {
		texts = append(texts, text.String())
	}
	return texts
}

// TestOverviewCounts: each caller gets the counts that their permissions allow, of their organisation.
func TestOverviewCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	admin := b.user(org, "admin@example.org", nil).AccessKey
	super := b.user("", "super@example.org", nil).AccessKey
	b.importAPIs(apiOf(org, "a"), apiOf(org, "b", `"active":false`), apiOf(other, "c")).is(200)
	b.do("POST", "/api/apis/oas", `{"openapi":"3.0.3","info":{"title":"Tides","version":"1"},"paths":{},
		"x-tyk-api-gateway":{"info":{"name":"Tides","state":{"active":true}},"upstream":{"url":"http://u.example"},
		"server":{"listenPath":{"value":"/tides/"}}}}`, asUser(admin)).is(200)
	b.importPolicies(`{"_id":"61df10078f11dd00097cb55f","org_id":"` + org + `"}`).is(200)

	got := b.overview(admin)
	require.JSONEq(t, `{"total":3,"active":2,"inactive":1,"classic":2,"oas":1}`, got.Get("apis").Raw)
	require.Equal(t, "1 1", got.Get("users").Raw+" "+got.Get("policies").Raw)
	require.False(t, got.Get("organisations").Exists())
	got = b.overview(super)
	require.JSONEq(t, `{"total":4,"active":3,"inactive":1,"classic":3,"oas":1}`, got.Get("apis").Raw)
	require.Equal(t, "2 2 1", got.Get("organisations").Raw+" "+got.Get("users").Raw+" "+got.Get("policies").Raw)

	storetest.Exec(t, b.conn, `UPDATE apis SET search = NULL`) // by another program
	require.Equal(t, "1", b.overview(admin).Get("apis.oas").Raw)

	for object, member := range map[string]string{"users": "users", "apis": "apis", "policies": "policies", "system": "gateways traffic"} {
		key := b.user(org, object+"@example.org", map[string]string{object: "read"}).AccessKey
		var members []string
		b.overview(key).ForEach(func(name, _ gjson.Result) bool {
			members = append(members, name.String())
			return true
		})
		want := strings.Fields("version " + member + " problems")
		require.ElementsMatch(t, want, members, object)
	}
}

// TestOverviewNamesWithheldDocuments: what gateways do not get is a problem of its organisation only, with the reason.
func TestOverviewNamesWithheldDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	admin := b.user(org, "admin@example.org", nil).AccessKey
	b.importAPIs(apiOf(org, "turned"), apiOf(org, "off", `"active":false`), apiOf(other, "theirs")).is(200)
	b.importPolicies(`{"_id":"61df10078f11dd00097cb55f","name":"Gold","org_id":"` + org + `"}`).is(200)
	require.Empty(t, problemTexts(b.overview(b.user(org, "r@example.org", map[string]string{"apis": "read"}).AccessKey)))
	for _, id := range []string{"turned", "off", "theirs"} {
		owner := map[string]string{"theirs": other}[id]
		if owner == "" {
			owner = org
		}
		storetest.Exec(t, b.conn, `UPDATE apis SET document = $1, search = NULL WHERE api_id = $2`, apiOf(owner, id, `"slug":5`), id)
	}
	storetest.Exec(t, b.conn, `UPDATE policies SET document = '{"_id":"61df10078f11dd00097cb55f","name":"Gold","rate":"fast"}'`)
	storetest.Announce(t, b.conn)
	b.node("GET", "/system/apis", nil).is(200)
	b.node("GET", "/system/policies", nil).is(200)

	problems := b.overview(admin).Get(`problems.#(severity=="error")#`)
	require.Len(t, problems.Array(), 2, problems.Raw)
	require.Regexp(t, `^The API "turned" is not served: /api_definition/slug .+\.$`, problems.Get("0.text").String())
	require.JSONEq(t, `{"kind":"api","id":"turned","org_id":"`+org+`"}`, problems.Get("0.object").Raw)
	require.Regexp(t, `^The policy "Gold" is not in force: /rate .+\.$`, problems.Get("1.text").String())
	require.NotEmpty(t, problems.Get("1.action").String())
	for object, want := range map[string]int{"apis": 1, "policies": 1, "users": 0, "keys": 0} {
		key := b.user(org, object+"@example.org", map[string]string{object: "read"}).AccessKey
		require.Len(t, problemTexts(b.overview(key)), want, object)
	}
	super := b.user("", "super@example.org", nil).AccessKey
	require.Len(t, b.overview(super).Get(`problems.#(object.kind=="api")#`).Array(), 2)

	for n := range 12 {
		storetest.Exec(t, b.conn, `INSERT INTO apis (api_id, id, org_id, active, document) VALUES ($1, $2, $3, true, $4)`,
			fmt.Sprint("more-", n), fmt.Sprintf("%024x", n), org, apiOf(org, fmt.Sprint("more-", n), `"slug":5`))
	}
	storetest.Announce(t, b.conn)
	b.node("GET", "/system/apis", nil).is(200)
	require.Contains(t, problemTexts(b.overview(admin)), "3 more APIs are not served.")

	storetest.Exec(t, b.conn, `UPDATE apis SET active = false WHERE api_id = 'more-0'`)
	require.Contains(t, problemTexts(b.overview(admin)), "2 more APIs are not served.", "nobody expects an inactive one to be")
	b.do("PUT", "/api/apis/turned", apiOf(org, "turned"), asUser(admin)).is(200)
	require.Contains(t, problemTexts(b.overview(admin)), "One more API is not served.", "a corrected one is no problem")
}

// TestOverviewHasQuotaReports: what gateways report of quotas is shown for an hour, to those who may read keys.
func TestOverviewHasQuotaReports(t *testing.T) {
	t.Parallel()
	var ahead clock
	b := setup(t, func(c *server.Config) { c.Now = ahead.now })
	org, other := b.org(), b.org()
	report := func(orgID string, limit, used int) {
		b.node("POST", "/system/key/quota_trigger", map[string]any{
			"org_id": orgID, "key": "a-key-that-opens-doors", "trigger_limit": limit, "usage_percentage": used,
		}).is(200)
	}
	report(org, 75, 76)
	report(org, 75, 80)
	report(other, 50, 51)
	keys := b.user(org, "keys@example.org", map[string]string{"keys": "read"}).AccessKey
	const want = "A key has used 80% of its quota: gateways have reported 75% or more 2 times in the last hour."
	got := b.overview(keys)
	require.Equal(t, []string{want}, problemTexts(got))
	require.Equal(t, org, got.Get("problems.0.object.org_id").String())
	require.NotContains(t, got.Raw, "a-key-that-opens-doors")
	require.Empty(t, problemTexts(b.overview(b.user(org, "apis@example.org", map[string]string{"apis": "read"}).AccessKey)))
	require.Len(t, problemTexts(b.overview(b.user("", "super@example.org", nil).AccessKey)), 2)
	ahead.forward(59 * time.Minute)
	require.Len(t, problemTexts(b.overview(keys)), 1)
	ahead.forward(2 * time.Minute)
	require.Empty(t, problemTexts(b.overview(keys)))
}

// TestOverviewHasTheTrafficOfAnHour: requests and errors are counted by the minute, and forgotten after an hour.
func TestOverviewHasTheTrafficOfAnHour(t *testing.T) {
	t.Parallel()
	var ahead clock
	b := setup(t, func(c *server.Config) { c.Now = ahead.now })
	key := b.user("", "super@example.org", nil).AccessKey
	sums := func() (sum [3]int) {
		traffic := b.overview(key).Get("traffic")
		require.Len(t, traffic.Array(), 60)
		previous := time.Time{}
		for _, minute := range traffic.Array() {
			at := minute.Get("at").Time()
			require.True(t, previous.IsZero() || at.Sub(previous) == time.Minute, traffic.Raw)
			previous = at
			for i, member := range []string{"requests", "client_errors", "server_errors"} {
				sum[i] += int(minute.Get(member).Int())
			}
		}
		require.WithinDuration(t, ahead.now(), previous, 2*time.Minute)
		return sum
	}
	before := sums()
	b.do("GET", "/nowhere", nil).is(404)
	b.do("GET", "/api/users/nobody", nil, asUser(key)).is(400 + 4)
	b.do("GET", "/hello", nil).is(200)
	after := sums()
	require.Equal(t, [3]int{4, 2, 0}, [3]int{after[0] - before[0], after[1] - before[1], after[2] - before[2]})
	ahead.forward(57 * time.Minute)
	require.Equal(t, after[0]+1, sums()[0])
	ahead.forward(2 * time.Hour)
	require.Equal(t, [3]int{0, 0, 0}, sums(), "the others are older than an hour")
}

// standInControl is a control API that counts what it is asked, and answers as long as it is told to.
func standInControl(t *testing.T) (client *gateway.Client, asked *atomic.Int64, status *atomic.Int64) {
	t.Helper()
	asked, status = new(atomic.Int64), new(atomic.Int64)
	status.Store(http.StatusOK)
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hello" || strings.HasPrefix(r.URL.Path, "/tyk/apis/") { // and not a notice
			asked.Add(1)
		}
		switch code := int(status.Load()); {
		case code != http.StatusOK:
			w.WriteHeader(code)
			fmt.Fprint(w, `{"status":"error","message":"Attempted administrative access with invalid or missing key!"}`)
		case strings.HasPrefix(r.URL.Path, "/tyk/apis/"):
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"status":"error","message":"API not found"}`)
		default:
			fmt.Fprint(w, `{"status":"pass","version":"v5.11.0","details":{"redis":{"status":"fail"}}}`)
		}
	}))
	t.Cleanup(control.Close)
	client, err := gateway.New(gateway.Config{Host: control.URL, Secret: controlSecret})
	require.NoError(t, err)
	return client, asked, status
}

// TestOverviewProbesTheGateway: the gateway is asked once, however many overviews there are, and what it says is in
// words.
func TestOverviewProbesTheGateway(t *testing.T) {
	t.Parallel()
	client, asked, status := standInControl(t)
	ahead := newFrozenClock() // an answer of the gateway is used for ten seconds
	b := setup(t, func(c *server.Config) { c.Now, c.Gateway = ahead.now, client })
	org := b.org()
	system := b.user(org, "system@example.org", map[string]string{"system": "read"}).AccessKey
	users := b.user(org, "users@example.org", map[string]string{"users": "read"}).AccessKey
	b.overview(users)
	require.Zero(t, asked.Load(), "nobody is asked for what is not shown")
	for range 5 {
		got := b.overview(system)
		require.JSONEq(t, `{"registered":0,"behind":0,"version":"v5.11.0","control_api":"reachable","redis":"not_configured"}`,
			got.Get("gateways").Raw)
		require.Contains(t, problemTexts(got)[0], "The gateway does not reach its Redis")
	}
	require.Equal(t, int64(2), asked.Load())

	status.Store(http.StatusForbidden)
	ahead.forward(11 * time.Second)
	got := b.overview(system)
	require.Equal(t, "unreachable", got.Get("gateways.control_api").String())
	require.Contains(t, problemTexts(got)[0], "The gateway refuses the secret")
	require.Contains(t, got.Get("problems.0.action").String(), "--gateway-secret")
}

// TestOverviewWithoutAnswers: a gateway and a Redis that do not answer delay an overview by the time of a probe.
func TestOverviewWithoutAnswers(t *testing.T) {
	t.Parallel()
	silent := loopback(t) // accepts connections, and never answers
	client, err := gateway.New(gateway.Config{Host: silent.Addr().String(), Secret: controlSecret})
	require.NoError(t, err)
	redis := gateway.NewRedis(gateway.RedisConfig{
		Addresses: []string{silent.Addr().String()}, NodeSecrets: []string{nodeSecret},
	})
	t.Cleanup(func() { _ = redis.Close() })
	b := setup(t, func(c *server.Config) { c.Gateway, c.Redis = client, redis })
	org := b.org()
	b.importAPIs(apiOf(org, "a")).is(200)
	key := b.user(org, "admin@example.org", nil).AccessKey
	b.node("POST", "/system/key/quota_trigger", map[string]any{"org_id": org, "trigger_limit": 50, "usage_percentage": 51}).is(200)
	began := time.Now()
	got := b.overview(key)
	require.Less(t, time.Since(began), gateway.Timeout, "a probe is shorter than any other call")
	require.Equal(t, "unreachable, unreachable",
		got.Get("gateways.control_api").String()+", "+got.Get("gateways.redis").String())
	texts := strings.Join(problemTexts(got), "\n")
	for _, text := range []string{
		"The gateway's control API does not answer", "The Redis of the gateways does not answer", "No gateway has registered",
	} {
		require.Contains(t, texts, text)
	}
	require.NotContains(t, got.Raw, silent.Addr().String(), "addresses are in the log only")
	require.JSONEq(t, `["error","error","warning","warning"]`, got.Get("problems.#.severity").Raw, "errors are first")
}

// TestOverviewNamesGatewaysBehind: a gateway that has not loaded the last change is a problem for those who may see
// gateways.
func TestOverviewNamesGatewaysBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.register(header("X-Tyk-Hostname", "gateway-7"))
	b.register()
	storetest.Exec(t, b.conn, `UPDATE nodes SET behind = true WHERE id = $1`, id)
	key := b.user("", "super@example.org", nil).AccessKey
	got := b.overview(key)
	require.Equal(t, "2 1", got.Get("gateways.registered").Raw+" "+got.Get("gateways.behind").Raw)
	require.Equal(t, []string{`The gateway "gateway-7" has not loaded the last change.`}, problemTexts(got))
	require.JSONEq(t, `{"kind":"gateway","id":"`+id+`","org_id":""}`, got.Get("problems.0.object").Raw)
}
