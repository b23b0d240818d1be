package console_test

import (
	"fmt"
	"testing"

	"gatehouse/internal/browsertest"
	"gatehouse/internal/gatewaytest"
)

// viewsOfPoliciesAndKeys returns the views of a policy and of keys, on a server with a gateway.
func viewsOfPoliciesAndKeys(t *testing.T) []view {
	t.Helper()
	s, gateway := startWithGateway(t)
	hashing, _ := startWithGateway(t, func(cfg *gatewaytest.Config) { cfg.HashKeys = true })
	alone := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "ines@rivermouth.example", administrator)
	reader := s.user(org, "reader@rivermouth.example", map[string]string{"policies": "read", "keys": "read"})
	tides, currents := s.servedAPI(admin, "Tides"), s.servedAPI(admin, "Currents")
	gateway.WaitForAPI(t, currents, patience)
	right := func(id, name string) string {
		return `"` + id + `":{"api_id":"` + id + `","api_name":"` + name + `","versions":["Default"]`
	}
	rights := `"access_rights":{` + right(tides, "Tides") + `,"limit":{"rate":5,"per":1}},` + right(currents, "Currents") + `}}`
	policy := s.policy(admin, `{"name":"Gold","active":true,"rate":100,"per":60,"quota_max":50000,"quota_renewal_rate":2592000,`+
		`"tags":["harbour","partners"],`+rights+`}`)
	for i, alias := range []string{"Harbour app", "Ferry kiosk", "Billing", "Tide clock", "Partner: Lighthouse Ltd"} {
		s.as(admin, "POST", "/api/keys", fmt.Sprintf(`{"alias":"%s","rate":%d,"per":60,"expires":%d,"quota_max":1000,"quota_renewal_rate":86400,"is_inactive":%t,%s}`,
			alias, 10*(i+1), []int{0, 4083000000, 1000000000}[i%3], i == 3, rights), nil)
	}
	strangers := map[*site]user{}
	for _, other := range []*site{hashing, alone} {
		strangers[other] = other.user(other.org("Harbour Mills"), "ines@harbour.example", administrator)
	}
	shown := func(name string, on *site, by user, address string, use func(tab *browsertest.Tab)) view {
		return view{name: name, open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := on.in(t).openAs(by, address)
			tab.Allow("status of 404", "status of 500", "status of 403")
			use(tab)
			return tab
		}}
	}
	see := func(texts ...string) func(tab *browsertest.Tab) {
		return func(tab *browsertest.Tab) { tab.See(texts...) }
	}
	views := []view{
		shown("policy", s, admin, "#/policies/"+policy, see("limits of its own")),
		shown("policy-read", s, reader, "#/policies/"+policy, see("Tides", "50,000")),
		shown("policy-text", s, admin, "#/policies/"+policy+"?view=text", see(`"harbour"`)),
		shown("policy-delete", s, admin, "#/policies/"+policy, func(tab *browsertest.Tab) {
			tab.Press("Delete")
			tab.See("This cannot be undone")
		}),
		shown("policy-new", s, admin, "#/policies/new", func(tab *browsertest.Tab) {
			tab.Fill("Search APIs", "t")
			tab.See("Type to find others.")
		}),
		shown("policy-refused", s, admin, "#/policies/new", func(tab *browsertest.Tab) {
			tab.Fill("Name", "Gold")
			tab.Fill("Requests of the quota", "1.5")
			tab.Fill("Renewed after", "1")
			tab.Press("Create")
			tab.See("/quota_max")
		}),
		shown("keys", s, admin, "#/keys", see("Harbour app", "Lighthouse")),
		shown("key", s, admin, "#/keys", func(tab *browsertest.Tab) {
			tab.Press("Harbour app")
			tab.See("Start the quota again")
		}),
		shown("key-read", s, reader, "#/keys", func(tab *browsertest.Tab) {
			tab.Press("Harbour app")
			tab.See("Tides", "10 in 1 minute")
		}),
		shown("key-new", s, admin, "#/keys/new?policy="+policy, see("Gold", "Create the key")),
		shown("key-unknown", s, admin, "#/keys", func(tab *browsertest.Tab) {
			tab.Fill("Look up a key", "nobody-has-it")
			tab.Press("Look up")
			tab.See("The gateway has no such key")
		}),
		shown("key-created", hashing, strangers[hashing], "#/keys/new", func(tab *browsertest.Tab) {
			tab.Fill("Name", "Harbour app")
			tab.Choose("The key opens", "APIs that I choose, with limits")
			tab.Fill("Search APIs", "Tides")
			tab.Press("Add Tides")
			tab.Press("Create the key")
			tab.See("Its hash")
		}),
		shown("keys-not-listed", hashing, strangers[hashing], "#/keys", see("This gateway does not list its keys")),
		shown("keys-without-gateway", alone, strangers[alone], "#/keys", see("No gateway is configured")),
	}
	hashing.servedAPI(strangers[hashing], "Tides")
	for i := range views {
		views[i].dark = views[i].name == "policy" || views[i].name == "keys"
	}
	return views
}
