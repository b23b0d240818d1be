package console_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

// raw returns the body of a response to the admin secret as it is.
func (s *site) raw(path string) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	r.Header.Set("Admin-Auth", adminSecret)
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return string(text)
}

// eventually waits until the response to the admin secret has a text.
func (s *site) eventually(path, text string) {
	s.t.Helper()
	stored := func() bool { return strings.Contains(s.raw(path), text) }
	require.Eventually(s.t, stored, time.Minute, 20*time.Millisecond, text)
}

// TestOrganisations walks an operator from the first organisation to its deletion.
func TestOrganisations(t *testing.T) {
	t.Parallel()
	s := start(t)
	tab := s.openAsOperator("#/organisations")
	tab.See("There is no organisation yet", "curl -sS "+s.url+"/admin/organisations")
	tab.Press("Create an organisation")
	tab.Fill("Name", "Rivermouth <b>Foods</b>")
	tab.Fill("Domain", "portal.rivermouth.example")
	tab.Press("Create")
	tab.See("Created Rivermouth <b>Foods</b>", "Settings", "Event key_event")
	tab.Fill("Slug", "rivermouth")
	tab.Press("Users may create single sign-on nonces")
	tab.Press("Save")
	tab.See("Saved")
	id := browsertest.Eval[string](tab, `location.hash.split('/')[2]`)
	var stored map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.raw("/admin/organisations/"+id)), &stored))
	require.Equal(t, []any{"Rivermouth <b>Foods</b>", "rivermouth", "portal.rivermouth.example", true},
		[]any{stored["owner_name"], stored["owner_slug"], stored["cname"], stored["sso_enabled"]})

	s.org("Harbour Mills")
	tab.Press("Organisations")
	tab.See("Harbour Mills")
	tab.Fill("Search organisations", "RIVERMOUTH.example")
	tab.SeeNot("Harbour Mills")
	tab.See("Rivermouth <b>Foods</b>")
	tab.Press("Rivermouth <b>Foods</b>")
	tab.Press("Delete…")
	tab.See("Its users, APIs, policies")
	tab.Fill("Type Rivermouth <b>Foods</b> to confirm", "Rivermouth")
	require.True(t, browsertest.Eval[bool](tab, `document.querySelector('dialog button.danger').disabled`))
	tab.Fill("Type Rivermouth <b>Foods</b> to confirm", "Rivermouth <b>Foods</b>")
	tab.Press("Delete the organisation")
	tab.See("Deleted Rivermouth <b>Foods</b>", "Harbour Mills")
	require.NotContains(t, s.raw("/admin/organisations"), id)
}

// TestOrganisationKeepsWhatTheFormDoesNotShow edits an organisation whose document JavaScript cannot write again.
func TestOrganisationKeepsWhatTheFormDoesNotShow(t *testing.T) {
	t.Parallel()
	s := start(t)
	var created struct{ Meta string }
	s.admin("POST", "/admin/organisations", `{"zebra" : 1.0, "owner_name":"A", "big":12345678901234567890,
		"event_options":{"own_event" : {"email":"x@y.example","more":1.50,"redis":false}}, "twice":{"b":1,"a":"\u00e9\/"}}`, &created)
	before := s.raw("/admin/organisations/" + created.Meta)
	require.Contains(t, before, `"zebra":1.0`)
	tab := s.openAsOperator("#/organisations/" + created.Meta)
	tab.See("Event own_event")
	tab.Fill("Name", "B")
	tab.PressCSS(`fieldset:nth-of-type(3) input[type=checkbox]`)
	tab.Press("Save")
	tab.See("Saved")
	want := strings.Replace(before, `"owner_name":"A"`, `"owner_name":"B"`, 1)
	want = strings.Replace(want, `"redis":false`, `"redis":true`, 1)
	require.Equal(t, want, s.raw("/admin/organisations/"+created.Meta))
	tab.See("B")
	tab.PressCSS(`fieldset:nth-of-type(1) input[type=checkbox]`) // of an event that the document does not have
	tab.Press("Save")
	s.eventually("/admin/organisations/"+created.Meta, `"key_event":{"redis":true}`)
}

// TestOrganisationConflict shows what the server says of a domain that another organisation has, at its field.
func TestOrganisationConflict(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.admin("POST", "/admin/organisations", `{"owner_name":"A","cname":"portal.example"}`, nil)
	id := s.org("Harbour Mills")
	tab := s.openAsOperator("#/organisations/" + id)
	tab.Allow("status of 403", "status of 409")
	tab.Fill("Domain", "Portal.example")
	tab.Press("Save")
	tab.See("belongs to organisation", "Request ")
	require.Equal(t, "Portal.example", tab.Value("Domain"), "what was typed stays")
	tab.Go(s.url + "/console/#/organisations")
	tab.Press("Harbour Mills")
	tab.See("what you typed earlier")
	require.Equal(t, "Portal.example", tab.Value("Domain"))
	tab.Press("Discard it")
	require.Empty(t, tab.Value("Domain"))
}

// TestKeyOfAnOrganisation limits an organisation, and keeps what the form does not show of its session.
func TestKeyOfAnOrganisation(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.org("Rivermouth Foods")
	tab := s.openAsOperator("#/organisations/" + id)
	tab.Allow("status of 404") // of the key that is not there
	tab.Press("Key")
	tab.See("The organisation has no key", "curl -sS "+s.url+"/admin/org/keys")
	tab.Press("Limit the organisation")
	tab.Fill("Quota", "1000")
	tab.Fill("Period of the quota, in seconds", "3600")
	tab.Press("Create the key")
	tab.See("Saved the key", "Delete the key…")
	key := s.raw("/admin/org/keys/" + id)
	require.Contains(t, key, `"quota_max":1000`)
	s.admin("PUT", "/admin/org/keys/"+id, `{"org_id":"`+id+`","quota_max":5,"other" : 1.0}`, nil)
	tab.Press("Settings")
	tab.Press("Key")
	browsertest.Eventually(tab, "5", `document.querySelector('input[name=quota_max]')?.value`)
	tab.Fill("Quota", "7")
	tab.Press("Save")
	s.eventually("/admin/org/keys/"+id, `"quota_max":7`)
	require.Contains(t, s.raw("/admin/org/keys/"+id), `"other":1.0`)
	tab.Press("Delete the key…")
	tab.Press("Delete the key")
	tab.See("The organisation has no key")
}

// TestOrganisationsArePaged lists more organisations than a page has.
func TestOrganisationsArePaged(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i := range 23 {
		s.org(fmt.Sprintf("Organisation %02d", i))
	}
	tab := s.openAsOperator("#/organisations")
	tab.See("Organisation 09", "Page 1 of 3")
	tab.SeeNot("Organisation 10")
	tab.Press("Next")
	tab.See("Organisation 19", "Page 2 of 3")
	tab.Fill("Search organisations", "tion 22")
	tab.See("Organisation 22")
	tab.SeeNot("Page 2 of 3")
	reader := s.user(browsertest.Eval[string](tab, `document.querySelector('tbody code').innerText`), "ines@example.org", administrator)
	tab = s.openAs(reader, "#/organisations")
	tab.See("You may not see this page")
}
