package server_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestIDsWithoutCase: gateways decode the digits of the _id of a policy, so that its case makes no other policy,
// however it is stored.
func TestIDsWithoutCase(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	const lower, upper = "5ead7295575961000181868b", "5EAD7295575961000181868B"
	policy := func(id, org, name string) string {
		return `{"_id":` + id + `,"org_id":"` + org + `","name":"` + name + `"}`
	}
	imported := a.importPolicies(policy(`"`+upper+`"`, a.org, "first")).is(200)
	require.JSONEq(t, `{"`+lower+`":true}`, string(imported.envelope().Meta))
	require.Equal(t, upper, a.document("/api/portal/policies/" + lower)["_id"], "the document stays as it came")
	require.Equal(t, "first", a.document("/api/portal/policies/" + upper)["name"])

	a.importPolicies(policy(`"`+lower+`"`, a.org, "second")).is(200)
	a.importPolicies(policy(`{"$oid":"`+upper+`"}`, a.org, "third")).is(200)
	require.Equal(t, "third", a.document("/api/portal/policies/" + lower)["name"], "each replaces the one before it")
	a.importPolicies(policy(`"`+lower+`"`, a.org, "a"), policy(`"`+upper+`"`, a.org, "b")).message(403, "Request body malformed")
	require.Contains(t, a.importPolicies(policy(`"`+lower+`"`, other.org, "x")).is(403).body, "the id belongs to another organisation")
	other.send("POST", "/api/portal/policies", policy(`"`+lower+`"`, "", "x")).is(409)
	a.send("PUT", "/api/portal/policies/"+upper, `{"name":"fourth"}`).is(200)
	a.send("DELETE", "/api/portal/policies/"+upper, "").is(200)
	a.send("GET", "/api/portal/policies/"+lower, "").is(404)

	api := func(apiID, id string) string { return apiOf(a.org, apiID, `"id":"`+id+`"`) }
	a.importAPIs(api("one", upper)).is(200)
	require.Contains(t, a.send("GET", "/api/apis/"+lower, "").is(200).body, `"id":"`+upper+`"`, "the document stays as it came")
	require.Contains(t, a.importAPIs(api("two", lower)).is(403).body, "the id is another document's (one)")
	a.send("PUT", "/api/apis/one", api("one", lower)).is(200)
	a.send("DELETE", "/api/apis/"+upper, "").is(200)
}

// TestKeysOpenNoLaterAPI: a key of an API, and of a policy that names an API before there is one, opens no API that
// another organisation creates with the api_id later.
func TestKeysOpenNoLaterAPI(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	a := authorOn(e.bundle)
	other := a.another()
	protected := func(org, id string) string {
		return strings.Replace(apiOf(org, id), `"use_keyless":true`, `"use_keyless":false`, 1)
	}
	a.send("POST", "/api/apis", protected("", "own")).is(200)
	a.send("POST", "/api/apis", protected("", "mine")).is(200)
	e.gateway.WaitForAPI(t, "mine", soon)

	t.Run("of an API that is gone", func(t *testing.T) {
		key := keyID(a.send("POST", "/api/keys", `{"access_rights":{"own":{"api_id":"own","versions":["Default"]}}}`).is(200))
		e.through("/own/", key).is(200)
		a.send("DELETE", "/api/apis/own", "").is(200)
		gatewaytest.Eventually(t, soon, "the gateway does not serve it", func() bool { return !slices.Contains(e.gateway.APIs(), "own") })
		other.send("POST", "/api/apis", protected("", "own")).message(409, "Found API with the same ID")
		other.send("POST", "/api/apis/oas", `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"x-tyk-api-gateway":{"info":{"id":"own","name":"own",
			"state":{"active":true}},"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"/own/"}}}}`).is(409)
		other.send("POST", "/api/apis", protected("", "theirs")).is(200)
		other.send("PUT", "/api/apis/theirs", strings.Replace(protected("", "own"), `"name":"own"`, `"name":"theirs"`, 1)).is(409)
		require.Contains(t, other.send("GET", "/api/apis/theirs", "").is(200).body, `"api_id":"theirs"`)

		a.send("POST", "/api/apis", protected("", "own")).is(200)
		e.gateway.WaitForAPI(t, "own", soon)
		e.through("/own/", key).is(200)
	})
	t.Run("of an API with a new ID", func(*testing.T) {
		a.send("PUT", "/api/apis/own", protected("", "renamed")).is(200)
		other.send("POST", "/api/apis", protected("", "own")).is(409)
		a.send("PUT", "/api/apis/renamed", protected("", "own")).is(200)
	})
	t.Run("of a policy that names it before", func(t *testing.T) {
		rights := func(id string) string { return `"` + id + `":{"api_id":"` + id + `","versions":["Default"]}` }
		a.send("POST", "/api/portal/policies", `{"id":"early","active":true,"access_rights":{`+rights("mine")+`,`+rights("later")+`}}`).is(200)
		gatewaytest.Eventually(t, soon, "the policy is loaded", func() bool { return len(e.gateway.Policies()) == 1 })
		key := keyID(a.send("POST", "/api/keys", `{"apply_policies":["early"]}`).is(200))
		e.through("/mine/", key).is(200)
		other.send("POST", "/api/apis", protected("", "later")).is(200)
		e.gateway.WaitForAPI(t, "later", soon)
		e.through("/later/", key).is(403)
		e.through("/mine/", key).is(200)
		a.send("PUT", "/api/portal/policies/early", `{"id":"early","access_rights":{`+rights("mine")+`,`+rights("later")+`}}`).is(403)
		a.send("POST", "/api/keys", `{"access_rights":{`+rights("later")+`}}`).message(400, notOwned)
	})
	t.Run("an administrator moves an API", func(*testing.T) {
		a.send("DELETE", "/api/apis/mine", "").is(200)
		other.send("POST", "/api/apis", protected("", "mine")).is(409)
		e.importAPIs(protected(other.org, "mine")).is(200)
		other.send("DELETE", "/api/apis/mine", "").is(200)
		other.send("POST", "/api/apis", protected("", "mine")).is(200)
	})
}

// TestBothIDsInEveryPath: where a path has an API, its api_id and its ID in the database are the same API.
func TestBothIDsInEveryPath(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	a := authorOn(e.bundle)
	classic := a.created("/api/apis", strings.Replace(apiOf("", "classic"), `"use_keyless":true`, `"use_keyless":false,"use_oauth2":true`, 1))
	oas := a.created("/api/apis/oas", `{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{},"x-tyk-api-gateway":{"info":{"name":"oas",
		"state":{"active":true}},"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"/oas/"}}}}`)
	e.gateway.WaitForAPI(t, classic.ID, soon)
	key := keyID(a.send("POST", "/api/keys", `{"access_rights":{"classic":{"api_id":"classic","versions":["Default"]}}}`).is(200))
	a.send("POST", "/api/apis/oauth/"+classic.Meta, `{"client_id":"c","policy_id":"","redirect_uri":"https://a.example"}`).is(200)
	tried := 0
	for _, op := range operations() {
		if op.method != "GET" || !strings.Contains(op.path, "{apiId}") || !strings.HasPrefix(op.path, "/api/") {
			continue
		}
		tried++
		api := classic
		if strings.Contains(op.path, "/oas/") {
			api = oas
		}
		get := func(id string) string {
			path := strings.NewReplacer("{apiId}", id, "{keyId}", key, "{clientId}", "c").Replace(op.path)
			return a.send("GET", path, "").is(200).body
		}
		require.Equal(t, get(api.ID), get(api.Meta), op.id)
	}
	require.Greater(t, tried, 8)
}

// knownIDs returns IDs that a client has predicted, then others.
type knownIDs struct {
	store.IDs
	predicted chan string
}

func (k knownIDs) Object() string {
	select {
	case id := <-k.predicted:
		return id
	default:
		return k.IDs.Object()
	}
}

// TestMadeIDsOfPoliciesAreFree: a made ID that another organisation has, or had, is replaced by another one.
func TestMadeIDsOfPoliciesAreFree(t *testing.T) {
	t.Parallel()
	predicted := make(chan string, 2)
	conn := storetest.Database(t)
	b := setupOn(t, conn, func(cfg *server.Config) {
		opened, err := store.Open(t.Context(), store.Config{
			ConnString: conn, Now: cfg.Now, IDs: knownIDs{store.NewIDs(cfg.Now), predicted},
		})
		require.NoError(t, err)
		t.Cleanup(opened.Close)
		cfg.Store = opened
	})
	a := authorOn(b)
	other := a.another()
	gone, held := idOf("a", 1), idOf("a", 2)
	a.send("POST", "/api/portal/policies", `{"_id":"`+gone+`","id":"gone"}`).is(200)
	a.send("DELETE", "/api/portal/policies/"+gone, "").is(200)
	a.send("POST", "/api/portal/policies", `{"_id":"`+held+`"}`).is(200)
	for i, id := range []string{gone, held} {
		predicted <- id
		made := other.send("POST", "/api/portal/policies", `{"id":"gold`+strconv.Itoa(i)+`"}`).is(200)
		require.NotContains(t, made.body, id)
		require.Empty(t, predicted, "the ID was made")
	}
}

// TestImportedPoliciesGetFreeIDs: the _id of a policy that is imported without one is derived from its id. A user of
// another organisation who has that, or had it and made keys of it, has neither the policy nor its ID.
func TestImportedPoliciesGetFreeIDs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	document := func(org, id, more string) string { return `{"id":"` + id + `","org_id":"` + org + `"` + more + `}` }
	imported := func(id, more string) string {
		var made map[string]bool
		got := a.importPolicies(document(a.org, id, more)).is(200)
		require.NoError(t, json.Unmarshal(got.envelope().Meta, &made))
		return slices.Collect(maps.Keys(made))[0]
	}
	derived := map[string]string{}
	for _, id := range []string{"gold", "silver"} {
		derived[id] = imported(id, "")
		storetest.Exec(t, a.conn, `DELETE FROM policies`) // as on another server, which derives the same
	}
	other.send("POST", "/api/portal/policies", `{"_id":"`+derived["gold"]+`","id":"has"}`).is(200)
	other.send("POST", "/api/portal/policies", `{"_id":"`+derived["silver"]+`","id":"had"}`).is(200)
	other.send("DELETE", "/api/portal/policies/had", "").is(200)
	for _, id := range []string{"gold", "silver"} {
		made := imported(id, "")
		require.NotEqual(t, derived[id], made)
		require.Equal(t, made, imported(id, `,"rate":1`), "the second import replaces the first")
		require.InDelta(t, 1, a.document("/api/portal/policies/" + id)["rate"], 0)
	}
	require.Equal(t, "has", other.document("/api/portal/policies/has")["id"])
}

// TestImportsGiveNoIDThatOthersUse: a user who knows the IDs of an organisation's documents before they are imported
// has neither a policy that gateways take for theirs, nor an API that calls theirs or is called in its place.
func TestImportsGiveNoIDThatOthersUse(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	refused := func(got reply) {
		t.Helper()
		require.Contains(t, got.is(403).body, "the id belongs to another organisation ("+other.org+")")
	}
	policy := func(id, explicit string) string {
		return `{"_id":"` + id + `","id":"` + explicit + `","org_id":"` + a.org + `"}`
	}
	other.send("POST", "/api/portal/policies", `{"_id":"`+idOf("c", 1)+`","id":"`+idOf("a", 1)+`"}`).is(200)
	refused(a.importPolicies(policy(idOf("a", 1), "gold")))
	refused(a.importPolicies(policy(idOf("A", 1), "gold")))
	refused(a.importPolicies(policy(idOf("a", 2), idOf("c", 1))))
	refused(a.importPolicies(policy(idOf("a", 2), idOf("A", 1))))
	a.importPolicies(policy(idOf("a", 2), "gold")).is(200)
	refused(a.importPolicies(policy(idOf("a", 2), idOf("A", 1))))

	calling := func(name, target string) string {
		return strings.Replace(apiOf("", name), `"target_url":"http://127.0.0.1:1/"`, `"target_url":"`+target+`"`, 1)
	}
	calls := calling("calls", "tyk://quay/")
	require.Contains(t, calls, "tyk://quay/")
	other.send("POST", "/api/apis", calls).is(200)
	other.send("PUT", "/api/apis/calls", strings.Replace(calls, `"name":"calls"`, `"name":"called"`, 1)).is(200)
	other.send("POST", "/api/apis", strings.Replace(apiOf("", "named"), `"name":"named"`, `"name":"Pier"`, 1)).is(200)
	for _, id := range []string{"quay", "pier"} {
		refused(a.importAPIs(apiOf(a.org, id)))
	}
	mixed := a.importAPIs(apiOf(a.org, "mole", `"id":"`+idOf("b", 1)+`"`), apiOf(a.org, "quay")).is(200)
	require.Contains(t, mixed.envelope().Message, "1 of 2 APIs imported; quay: the id belongs to another organisation ("+other.org+")")
	other.send("DELETE", "/api/apis/calls", "").is(200)
	a.importAPIs(apiOf(a.org, "quay")).is(200)
}

// TestImportsReleaseIDs: the ID that an import replaces stays with the organisation, as one that a user replaces.
func TestImportsReleaseIDs(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	other := a.another()
	policy := func(id string) string {
		return `{"_id":"` + idOf("a", 1) + `","id":"` + id + `","org_id":"` + a.org + `"}`
	}
	a.importPolicies(policy("gold"), `{"_id":"`+idOf("a", 2)+`","id":"steel","org_id":"`+a.org+`"}`).is(200)
	a.importPolicies(policy("platinum"), `{"_id":"`+idOf("a", 2)+`","id":"steel","org_id":"`+a.org+`","rate":1}`).is(200)
	other.send("POST", "/api/portal/policies", `{"id":"gold"}`).is(409)
	other.send("POST", "/api/portal/policies", `{"id":"Gold"}`).is(409)
	a.send("POST", "/api/portal/policies", `{"id":"gold"}`).is(200)

	api := func(n int) string { return apiOf(a.org, "quay", `"id":"`+idOf("b", n)+`"`) }
	a.importAPIs(api(1)).is(200)
	a.importAPIs(api(2)).is(200) // requests to tyk://<ID> of the organisation may still name the first ID
	other.send("POST", "/api/apis", apiOf("", idOf("b", 1))).is(409)
	a.send("POST", "/api/apis", apiOf("", idOf("b", 1))).is(200)
}
