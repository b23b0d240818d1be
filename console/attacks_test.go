package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/browsertest"
)

// hostile are texts that run a script where they are taken for HTML, an attribute, a URL or a part of a script.
var hostile = []string{
	`<img src=x onerror="window.attacked=1">`, `<script>window.attacked=1</script>`, `"><svg onload=window.attacked=1>`,
	`javascript:window.attacked=1`, `</textarea><script>window.attacked=1//`, "${window.attacked=1}", `'-(attacked=1)-'`,
}

// TestStoredScripts has every text that somebody can store contain scripts, and opens every page.
func TestStoredScripts(t *testing.T) {
	t.Parallel()
	s := start(t)
	text := strings.Join(hostile, " ")
	org := s.org(text)
	require.Less(t, len(text), 255, "longer names of APIs are refused")
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	s.admin("PUT", "/admin/organisations/"+org, fmt.Sprintf(`{"owner_name":%[1]s,"owner_slug":%[1]s,"cname":"",
		"event_options":{"key_event":{"email":%[1]s,"webhook":%[1]s}}}`, quoted), nil)
	admin := s.user(org, "ines@rivermouth.example", administrator)
	s.as(admin, "PUT", "/api/users/"+admin.id, map[string]any{
		"first_name": text, "last_name": text, "email_address": admin.email, "active": true, "user_permissions": administrator,
	}, nil)
	s.as(admin, "POST", "/api/users", map[string]any{
		"first_name": text, "last_name": text, "email_address": "odo@rivermouth.example", "active": true,
		"user_permissions": map[string]string{hostile[0]: hostile[1], "apis": hostile[2]},
	}, nil)
	s.as(admin, "POST", "/api/usergroups", map[string]any{
		"name": text, "description": text, "active": true, "user_permissions": map[string]string{hostile[2]: "read"},
	}, nil)
	var api struct{ ID string }
	s.as(admin, "POST", "/api/apis", fmt.Sprintf(`{"api_definition":{"name":%[1]s,"api_id":"attack","active":true,
		"proxy":{"listen_path":"/attack/","target_url":"http://upstream.example/"},"config_data":{%[1]s:%[1]s},
		"tags":[%[1]s]},"categories":[%[1]s]}`, quoted), &api)
	s.as(admin, "POST", "/api/portal/policies", fmt.Sprintf(`{"name":%[1]s,"active":true,"tags":[%[1]s],
		"access_rights":{"attack":{"api_id":"attack","api_name":%[1]s,"versions":[%[1]s]}}}`, quoted), nil)

	addresses := regexp.MustCompile(`name: '(\w+)'`).FindAllStringSubmatch(modules(t)["pages/index.js"], -1)
	require.NotEmpty(t, addresses)
	for who, open := range map[string]func(s *site) (tab *browsertest.Tab, prefix string){
		"operator": func(s *site) (*browsertest.Tab, string) { return s.openAsOperator(""), "org/" + org + "/" },
		"user":     func(s *site) (*browsertest.Tab, string) { return s.openAs(admin, ""), "" },
	} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			tab, prefix := open(s.in(t))
			tab.Allow("status of 500") // of lists of keys: there is no gateway
			visit := func(address string) {
				tab.Go(s.url + "/console/#/" + address)
				tab.SeeNot("Loading")
				require.Zero(t, browsertest.Eval[int](tab, `window.attacked ?? 0`), address)
				require.Zero(t, browsertest.Eval[int](tab, `document.querySelectorAll(
					'main img[src=x], main svg[onload], main script, [onerror], a[href^="javascript:"]').length`), address)
			}
			for _, address := range addresses {
				visit(address[1])
				visit(prefix + address[1])
			}
			for _, address := range []string{"apis", "policies"} {
				visit(prefix + address)
				tab.See(hostile[0]) // as text
			}
			visit(prefix + "apis/attack")
			tab.See(hostile[0])
		})
	}
}

// elsewhere serves a page of another site: to a browser, localhost and 127.0.0.1 are two.
func elsewhere(t *testing.T, page string) string {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>elsewhere</title><link rel=icon href=data:,><body>" + page))
	}))
	t.Cleanup(web.Close)
	return strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
}

// TestRequestsOfOtherSites has a page of another site send requests in a browser in which somebody has signed in.
func TestRequestsOfOtherSites(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "ines@rivermouth.example", administrator)
	tab := s.openAs(admin, "")
	tab.AllowAll()
	target := s.url + "/api/portal/policies"
	tab.Go(elsewhere(t, `<form method=post enctype=text/plain action="`+target+`"><input name='{"name":"forged","x":"' value='"}'></form>
		<iframe src="`+s.url+`/console/"></iframe>`))
	for _, request := range []string{
		`fetch('` + target + `', {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{"name":"forged"}'})`,
		`fetch('` + s.url + `/api/users/` + admin.id + `/actions/key/reset', {method: 'PUT', credentials: 'include'})`,
		`fetch('` + s.url + `/api/session', {method: 'POST', mode: 'no-cors', credentials: 'include',
			body: '{"email_address":"` + admin.email + `","password":"` + userPassword + `"}'})`,
	} {
		browsertest.Eval[any](tab, request+`.catch(() => 0).then(() => 0)`)
	}
	t.Run("no page of another site can frame the console", func(t *testing.T) {
		require.Eventually(t, func() bool { return strings.Contains(strings.Join(tab.Complaints(), "\n"), "frame-ancestors") },
			patience, 20*time.Millisecond, "the browser refuses the frame")
		require.Empty(t, browsertest.Eval[string](tab, `(() => {
			try { return document.querySelector('iframe').contentDocument?.body?.innerText ?? ''; } catch { return ''; } })()`))
	})
	tab.Go(elsewhere(t, `<form method=post enctype=text/plain action="`+target+`"><input name='{"name":"forged","x":"' value='"}'></form>`))
	browsertest.Eval[any](tab, `document.forms[0].submit()`)
	browsertest.Eventually(tab, true, `location.href.startsWith('`+s.url+`')`) // a form is a navigation

	var list struct{ Data []client.DBPolicy }
	s.as(admin, "GET", "/api/portal/policies", nil, &list) // with the same key: it was not renewed
	require.Empty(t, list.Data)
	tab.Go(s.url + "/console/#/policies")
	tab.See("There is no policy yet", "Sign out") // the session is the one that was there
}

// TestConsoleUsesTheContracts: modules send requests by lib/api.js only, to operations of the contracts, whose paths
// tsc checks; so they have no other way to the server.
func TestConsoleUsesTheContracts(t *testing.T) {
	t.Parallel()
	other := regexp.MustCompile(`\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|new Worker`)
	path := regexp.MustCompile(`\b(get|send)\(\s*(?:'(get|post|put|delete)',\s*)?'(/[^']*)'`)
	known, err := loadedContract()
	require.NoError(t, err)
	declared := map[string]bool{}
	for op := range known.Operations() {
		declared[strings.ToLower(op.Method)+" "+op.Path] = true
	}
	used := 0
	for name, source := range modules(t) {
		if name == "lib/api.js" || name == "pages/contract.js" { // which asks whether there is a page /docs
			continue
		}
		assert.Empty(t, other.FindString(source), name)
		for _, match := range path.FindAllStringSubmatch(source, -1) {
			method := match[2]
			if match[1] == "get" {
				method = "get"
			}
			assert.True(t, declared[method+" "+match[3]], "%s: %s %s is no operation", name, method, match[3])
			used++
		}
	}
	require.Positive(t, used)
}
