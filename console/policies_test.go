package console_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

// policy stores a policy, and returns its _id.
func (s *site) policy(as user, document string) string {
	s.t.Helper()
	var created struct{ Message string }
	s.as(as, "POST", "/api/portal/policies", document, &created)
	return created.Message
}

// storedPolicy returns a policy as it is stored.
func (s *site) storedPolicy(as user, id string) string {
	s.t.Helper()
	var stored json.RawMessage
	s.as(as, "GET", "/api/portal/policies/"+id, nil, &stored)
	return string(stored)
}

// TestPolicyIsCreated makes a policy of an API that is found by a search, and a copy of it, which it deletes.
func TestPolicyIsCreated(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	for _, name := range []string{"Tides", "Currents", "Tidings"} {
		s.servedAPI(admin, name)
	}
	tab := s.openAs(admin, "#/policies")
	tab.Press("Create the first policy")
	tab.Fill("Name", "Gold")
	tab.Fill("Search APIs", "tide")
	tab.SeeNot("Currents")
	tab.Press("Add Tides")
	tab.Fill("Requests", "250")
	tab.Choose("Unit of Interval", "hours")
	tab.Fill("Interval", "2")
	tab.Fill("Requests of the quota", "9007199254740993")
	tab.Fill("Renewed after", "30")
	tab.Choose("Unit of Renewed after", "days")
	tab.Fill("Tags", "gold, pilot")
	tab.Press("Create")
	tab.See("The policy is created", "Duplicate")
	id := strings.TrimPrefix(browsertest.Eval[string](tab, "location.hash"), "#/policies/")
	stored := s.storedPolicy(admin, id)
	for _, member := range []string{
		`"name":"Gold"`, `"rate":250`, `"per":7200`, `"quota_max":9007199254740993`, `"quota_renewal_rate":2592000`,
		`"tags":["gold","pilot"]`, `"api_name":"Tides"`, `"active":true`,
	} {
		require.Contains(t, stored, member)
	}

	tab.Press("Duplicate")
	tab.See("Duplicate a policy", "Tides")
	require.Equal(t, "Copy of Gold", tab.Value("Name"))
	tab.Choose("State", "denied: gateways refuse keys that have it")
	tab.Press("Create")
	tab.See("The policy is created", "denied")
	tab.Press("Delete")
	tab.See("This cannot be undone")
	tab.Fill("Type Copy of Gold to confirm", "Copy of Gold")
	tab.PressCSS("dialog .danger")
	tab.See("The policy is deleted", "250 in 2 hours")
}

// TestPolicyKeepsWhatTheFormDoesNotShow changes one field of a policy: nothing else of its text changes.
func TestPolicyKeepsWhatTheFormDoesNotShow(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	tides, currents := s.servedAPI(admin, "Tides"), s.servedAPI(admin, "Currents")
	id := s.policy(admin, `{"name":"Gold","active":true, "x-order" : [3, 1.0,2],"rate":1.0,"per":6.0e1,"quota_max":9007199254740993,`+
		`"quota_renewal_rate":1000,"x-big":123456789012345678901234567890,"x-text":"\u00e9\/","access_rights":{"`+tides+
		`":{"api_id":"`+tides+`","api_name":"Tides","versions":["Default"],"x-own":1.50,"limit":{"rate":5,"per":1}},"`+currents+
		`":{"api_id":"`+currents+`","api_name":"Currents"}}}`)
	before := s.storedPolicy(admin, id)
	require.Contains(t, before, `"rate":1.0`)
	tab := s.openAs(admin, "#/policies/"+id)
	tab.See("limits of its own")
	require.Equal(t, "1.0", tab.Value("Requests"))
	require.Equal(t, "9007199254740993", tab.Value("Requests of the quota"))
	tab.Fill("Name", "Silver")
	tab.Press("Save")
	tab.See("The policy is saved")
	after := s.storedPolicy(admin, id)
	require.Equal(t, withoutTime(strings.Replace(before, `"Gold"`, `"Silver"`, 1)), withoutTime(after))

	tab.Press("Remove Currents")
	tab.Fill("Tags", "tidal")
	tab.Press("Save")
	tab.SeeNot("Discard changes")
	last := s.storedPolicy(admin, id)
	require.NotContains(t, last, currents)
	require.Contains(t, last, `{"api_id":"`+tides+`","api_name":"Tides","versions":["Default"],"x-own":1.50,"limit":{"rate":5,"per":1}}`)
	require.Contains(t, last, `"tags":["tidal"]`)
	require.Contains(t, last, `"x-big":123456789012345678901234567890`)
}

// withoutTime returns a policy without the time of its last change.
func withoutTime(policy string) string {
	before, rest, found := strings.Cut(policy, `"last_updated":"`)
	if !found {
		return policy
	}
	_, after, _ := strings.Cut(rest, `"`)
	return before + after
}

// TestPolicyIsChangedByTwo has somebody else save a policy while a form of it, and its text, are open.
func TestPolicyIsChangedByTwo(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.user(s.org("Rivermouth Foods"), "ines@rivermouth.example", administrator)
	id := s.policy(admin, `{"name":"Gold","active":true,"rate":5,"per":60,"tags":["a"]}`)
	tab := s.openAs(admin, "#/policies/"+id)
	tab.Allow("status of 412")
	tab.Fill("Name", "Mine")
	s.as(admin, "PUT", "/api/portal/policies/"+id, `{"name":"Theirs","active":true,"rate":7,"per":60,"tags":["b"]}`, nil)
	tab.Press("Save")
	tab.See("Somebody else has changed the policy")
	require.Equal(t, "Mine", tab.Value("Name"))
	require.Equal(t, "7", tab.Value("Requests"))
	tab.Press("Save")
	tab.See("The policy is saved")
	stored := s.storedPolicy(admin, id)
	require.Contains(t, stored, `"Mine"`)
	require.Contains(t, stored, `"rate":7`)
	require.Contains(t, stored, `["b"]`)

	tab.Press("Text")
	tab.See(`"name": "Mine"`)
	tab.PressCSS(".cm-content")
	browsertest.Eval[bool](tab, `(document.querySelector('.cm-content').focus(), true)`)
	tab.Keys(" ")
	tab.See("Not saved yet.")
	s.as(admin, "PUT", "/api/portal/policies/"+id, `{"name":"Theirs again","active":true}`, nil)
	tab.Press("Save the text")
	tab.See("Somebody else has saved it meanwhile", "Theirs again")
	tab.Press("Save my text in its place")
	tab.See("The text is saved", "Nothing is changed.")
	require.Contains(t, s.storedPolicy(admin, id), "Mine")
}

// TestPolicyProblems shows what the server refuses at the field that it is about, and finds policies by their names.
func TestPolicyProblems(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.policies(s.org("Rivermouth Foods"), 23)
	tab := s.openAs(admin, "#/policies")
	tab.See("Policy 010")
	tab.Keys("/")
	tab.Keys("cy 017")
	tab.SeeNot("Policy 010")
	tab.See("Policy 017")
	tab.Press("Policy 017")
	tab.Allow("status of 403")
	tab.Fill("Requests of the quota", "1.5")
	tab.Fill("Renewed after", "60")
	tab.Press("Save")
	tab.See("/quota_max", "Request ")
	require.Equal(t, "true", browsertest.Eval[string](tab, `document.querySelector('[name=quota_max]').getAttribute('aria-invalid')`))
	tab.Fill("Requests of the quota", "15")
	tab.Press("Save")
	tab.See("The policy is saved")
}
