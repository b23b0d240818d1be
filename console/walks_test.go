package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
	"gatehouse/internal/gatewaytest"
)

// TestWalks goes, on one server with a gateway and an empty database, from the admin secret to APIs that the gateway
// serves, as three people do one after another: an operator, the administrator whom they create, and the user whom the
// administrator creates. It prints how long each takes; most of that is the gateway's, which reloads a second after a
// change.
func TestWalks(t *testing.T) {
	t.Parallel()
	s, gateway := startWithGateway(t)
	started := time.Now()
	took := func(who string) {
		t.Logf("%s: %s", who, time.Since(started).Round(100*time.Millisecond))
		started = time.Now()
	}
	serves := func(path, key string, status int) {
		t.Helper()
		gatewaytest.Eventually(t, patience, path+" is served", func() bool { return statusThrough(t, gateway, path, key) == status })
	}

	operator := s.openAsOperator("")
	operator.See("Installation", "Gateways")
	operator.Press("Organisations")
	operator.Press("Create an organisation")
	operator.Fill("Name", "Rivermouth Foods")
	operator.Press("Create")
	operator.See("Created Rivermouth Foods")
	org := browsertest.Eval[string](operator, `location.hash.split('/')[2]`)
	operator.Go(s.url + "/console/#/org/" + org + "/users")
	operator.Press("Create a user")
	operator.Fill("First name", "Ines")
	operator.Fill("E-mail address", "ines@rivermouth.example")
	operator.Press("Administrator: may do everything in the organisation")
	operator.Press("Create")
	operator.Press("Open the user")
	setPassword(operator)
	operator.Press("APIs")
	createAPI(operator, "Tides", s.url, keyless)
	serves("/tides/hello", "", http.StatusOK)
	took("an operator, from an empty database to a served API")

	administrator := s.openAs(user{email: "ines@rivermouth.example"}, "#/apis")
	administrator.See("Tides")
	createAPI(administrator, "Ferries", s.url, withKeys)
	administrator.Press("Policies")
	administrator.Press("Create the first policy")
	administrator.Fill("Name", "Gold")
	administrator.Fill("Search APIs", "ferr")
	administrator.Press("Add Ferries")
	administrator.Fill("Requests", "100")
	administrator.Press("Create")
	administrator.See("The policy is created")
	gatewaytest.Eventually(t, patience, "the policy is loaded", func() bool { return len(gateway.Policies()) == 1 })
	administrator.Press("Create a key")
	administrator.Fill("Name", "Harbour app")
	administrator.Press("Create the key")
	administrator.See("The new key")
	key := browsertest.Eval[string](administrator, `document.querySelector('.secret pre').textContent`)
	serves("/ferries/hello", key, http.StatusOK)
	serves("/ferries/hello", "no key", http.StatusForbidden)
	took("an administrator, to an API that is served with a key of a policy")

	administrator.Press("Users")
	administrator.Press("Create a user")
	administrator.Fill("First name", "Odo")
	administrator.Fill("E-mail address", "odo@rivermouth.example")
	administrator.Press("APIs: Read and write")
	administrator.Press("Create")
	administrator.Press("Open the user")
	administrator.See("odo@rivermouth.example")
	odo := browsertest.Eval[string](administrator, `location.hash.split('/').pop()`)
	operator.Go(s.url + "/console/#/org/" + org + "/users/" + odo)
	setPassword(operator) // an administrator without the permission ResetPassword may not
	author := s.openAs(user{email: "odo@rivermouth.example"}, "#/apis")
	author.See("Ferries", "Tides")
	require.NotContains(t, browsertest.Eval[string](author, `document.querySelector('nav').innerText`), "Policies")
	createAPI(author, "Locks", s.url, keyless)
	serves("/locks/hello", "", http.StatusOK)
	took("a user who may write APIs, to a served API")
}

// Who may use an API that createAPI creates.
const (
	keyless  = true
	withKeys = false
)

// createAPI creates an API on the page of APIs. Its listen path is its name in lower case.
func createAPI(tab *browsertest.Tab, name, upstream string, isKeyless bool) {
	tab.Press("New API")
	tab.Fill("Name", name)
	tab.Fill("Listen path", "/"+strings.ToLower(name)+"/")
	tab.Fill("Upstream", upstream+"/")
	if isKeyless {
		tab.Press("Open to everybody, without a key")
	}
	tab.Press("Create")
	tab.See("The API is created")
}

// setPassword sets userPassword on the page of a user.
func setPassword(tab *browsertest.Tab) {
	tab.Press("Set a password…")
	tab.Fill("New password", userPassword)
	tab.Press("Set the password")
	tab.See("The password is set")
}
