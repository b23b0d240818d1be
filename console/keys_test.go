package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
	"gatehouse/internal/gatewaytest"
)

// statusThrough returns the status of a request through a gateway with a key.
func statusThrough(t testing.TB, gateway *gatewaytest.Gateway, path, key string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, gateway.URL()+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", key)
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// TestKeyOfPolicy makes a policy and a key of it, with which a client passes the gateway until the key is deleted.
func TestKeyOfPolicy(t *testing.T) {
	t.Parallel()
	s, gateway := startWithGateway(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	tides := s.servedAPI(admin, "Tides")
	id := s.policy(admin, `{"name":"Gold","active":true,"rate":100,"per":60,"access_rights":{"`+tides+`":{"api_id":"`+tides+`","api_name":"Tides","versions":["Default"]}}}`)
	gateway.WaitForAPI(t, tides, patience)
	gatewaytest.Eventually(t, patience, "the policy is loaded", func() bool { return len(gateway.Policies()) == 1 })

	tab := s.openAs(admin, "#/policies/"+id)
	tab.Press("Create a key")
	tab.See("New key", "Gold")
	tab.Fill("Name", "Harbour app")
	tab.Press("Create the key")
	tab.See("The key is created", "The new key")
	key := browsertest.Eval[string](tab, `document.querySelector('.secret pre').textContent`)
	require.NotContains(t, browsertest.Eval[string](tab, "location.href"), key)
	require.Equal(t, http.StatusOK, statusThrough(t, gateway, "/Tides/hello", key))

	tab.Press("Keys")
	tab.See("Harbour app", "100 in 1 minute")
	tab.Press("Harbour app")
	tab.See("Gateways refuse the key", "Gold")
	require.NotContains(t, browsertest.Eval[string](tab, "location.href"), key)
	tab.Press("Gateways refuse the key")
	tab.Press("Save")
	tab.See("The key is saved", "refused")
	require.Equal(t, http.StatusForbidden, statusThrough(t, gateway, "/Tides/hello", key))
	tab.Press("Delete")
	tab.PressCSS("dialog .danger")
	tab.See("The key is deleted", "There is no key yet")
	tab.Keys("/")
	browsertest.Eventually(tab, "Look up a key", `document.activeElement.labels?.[0]?.textContent`)
	tab.Fill("Look up a key", key)
	tab.Allow("status of 404")
	tab.Press("Look up")
	tab.See("The gateway has no such key")
}

// TestKeyOfAPI makes a key of an API with limits at a gateway that hashes keys, and finds it by itself and by its hash.
func TestKeyOfAPI(t *testing.T) {
	t.Parallel()
	s, gateway := startWithGateway(t, func(cfg *gatewaytest.Config) { cfg.HashKeys, cfg.ListHashedKeys = true, true })
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	tides := s.servedAPI(admin, "Tides")
	s.servedAPI(admin, "Currents")
	gateway.WaitForAPI(t, tides, patience)
	tab := s.openAs(admin, "#/keys?api="+tides)
	tab.See("Keys of the API Tides")
	tab.Press("Create the first key")
	tab.See("New key", "Tides")
	tab.Fill("Name", "Harbour app")
	tab.Fill("Requests", "3")
	tab.Fill("Requests of the quota", "1000")
	tab.Fill("Renewed after", "1")
	tab.Choose("Unit of Renewed after", "days")
	browsertest.Eval[any](tab, `(() => { const e = document.querySelector('[name=expires]'); e.value = '2099-05-06T07:08';
		e.dispatchEvent(new Event('input', {bubbles: true})); })()`)
	tab.Press("Create the key")
	tab.See("The new key", "Its hash")
	key := browsertest.Eval[string](tab, `document.querySelector('.secret pre').textContent`)
	hash := browsertest.Eval[string](tab, `document.querySelector('.line code').textContent`)
	for range 3 {
		require.Equal(t, http.StatusOK, statusThrough(t, gateway, "/Tides/hello", key))
	}
	require.Equal(t, http.StatusTooManyRequests, statusThrough(t, gateway, "/Tides/hello", key))

	tab.Go(s.url + "/console/#/keys?api=" + tides)
	tab.See("Harbour app", "3 in 1 minute", "2099")
	for _, name := range []string{key, hash} {
		tab.Go(s.url + "/console/#/keys")
		tab.Fill("Look up a key", name)
		tab.Press("Look up")
		tab.See("Harbour app", "1,000")
	}
	require.Equal(t, "2099-05-06T07:08", tab.Value("Expires"))
	tab.Fill("Requests", "70")
	tab.Press("Save")
	tab.See("The key is saved")
	var found struct {
		Data struct {
			Rate, Per float64
			Expires   int64
			Quota     int64 `json:"quota_max"`
		}
	}
	s.as(admin, "GET", "/api/keys/"+hash+"?hashed=1", nil, &found)
	require.InDelta(t, 70, found.Data.Rate, 0)
	require.EqualValues(t, 1000, found.Data.Quota)
	require.Equal(t, 2099, time.Unix(found.Data.Expires, 0).Year())
}

// TestKeysArePaged lists more keys than a page has, all of them and those of an API.
func TestKeysArePaged(t *testing.T) {
	t.Parallel()
	s, gateway := startWithGateway(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	tides := s.servedAPI(admin, "Tides")
	gateway.WaitForAPI(t, tides, patience)
	for i := range 12 {
		s.as(admin, "POST", "/api/keys", `{"alias":"app `+string(rune('A'+i))+`","access_rights":{"`+tides+`":{"api_id":"`+tides+`","api_name":"Tides","versions":["Default"]}}}`, nil)
	}
	for _, address := range []string{"#/keys", "#/keys?api=" + tides} {
		tab := s.openAs(admin, address)
		tab.See("Page 1 of 2")
		const rows = `document.querySelectorAll('tbody tr').length`
		browsertest.Eventually(tab, 10, rows)
		tab.Press("Next")
		browsertest.Eventually(tab, 2, rows)
	}
}

// TestKeysWithoutGateway shows in words what to do if there is no gateway, if it does not answer, and if it does not
// list its keys.
func TestKeysWithoutGateway(t *testing.T) {
	t.Parallel()
	t.Run("none is configured", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
		tides := s.servedAPI(admin, "Tides")
		tab := s.openAs(admin, "#/keys")
		tab.Allow("status of 500")
		tab.See("No gateway is configured", "--gateway-host")
		tab.Go(s.url + "/console/#/keys/new?api=" + tides)
		tab.See("Tides")
		tab.Fill("Name", "Harbour app")
		tab.Press("Create the key")
		tab.See("No gateway is configured")
		require.Equal(t, "Harbour app", tab.Value("Name"))
	})
	t.Run("it does not answer", func(t *testing.T) {
		t.Parallel()
		s, gateway := startWithGateway(t)
		admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
		gateway.SetControlDown(true)
		tab := s.openAs(admin, "#/keys")
		tab.Allow("status of 500")
		tab.See("Failed to unmarshal keys data from Tyk API.", "The gateway may not answer", "Request ")
		gateway.SetControlDown(false)
		tab.Press("Try again")
		tab.See("There is no key yet")
	})
	t.Run("it does not list keys", func(t *testing.T) {
		t.Parallel()
		s, _ := startWithGateway(t, func(cfg *gatewaytest.Config) { cfg.HashKeys = true })
		admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
		tab := s.openAs(admin, "#/keys")
		tab.Allow("status of 404")
		tab.See("This gateway does not list its keys", "enable_hashed_keys_listing", "Look up")
	})
}

// TestKeyAddressIsForOneWindow opens the address of a key's page in another window, which does not know the key, and
// signs out, after which no window does.
func TestKeyAddressIsForOneWindow(t *testing.T) {
	t.Parallel()
	s, gateway := startWithGateway(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	tides := s.servedAPI(admin, "Tides")
	gateway.WaitForAPI(t, tides, patience)
	var created json.RawMessage
	s.as(admin, "POST", "/api/keys", `{"alias":"app","access_rights":{"`+tides+`":{"api_id":"`+tides+`","api_name":"Tides","versions":["Default"]}}}`, &created)
	tab := s.openAs(admin, "#/keys")
	tab.Press("app")
	tab.See("Gateways refuse the key")
	address := browsertest.Eval[string](tab, "location.hash")
	require.True(t, strings.HasPrefix(address, "#/keys/key/"), address)
	s.openAs(admin, address).See("This window does not know the key")
	tab.Press("Sign out")
	tab.See("E-mail address")
	require.NotContains(t, browsertest.Eval[string](tab, "JSON.stringify(sessionStorage)"), "keys ")
}
