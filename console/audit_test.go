package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

// refused sends a request as a user, which is refused with a status.
func (s *site) refused(user user, method, path string, status int) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	r.Header.Set("Authorization", user.key)
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	require.Equal(s.t, status, response.StatusCode, "%s %s", method, path)
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.policies(org, 12)
	s.policies(s.org("Harbour Mills"), 1)
	reader := s.user(org, "reader@rivermouth.example", map[string]string{"audit_logs": "read"})
	s.refused(reader, "DELETE", "/api/portal/policies/%3Cimg%20src=x%20onerror=alert(1)%3E", http.StatusForbidden)
	tab := s.openAs(reader, "#/audit")
	tab.See("createSession", "access denied", "<img src=x onerror=alert(1)>", "Page 1 of 2")
	tab.Press("Next")
	tab.See("Page 2 of 2", admin.email)
	tab.SeeNot("createSession")

	tab.Fill("Who", strings.ToUpper(reader.email))
	tab.Keys(kb.Enter)
	tab.See("createSession", "access denied")
	tab.SeeNot("postPolicies")
	require.Equal(t, "#/audit?user="+strings.ReplaceAll(strings.ToUpper(reader.email), "@", "%40"), browsertest.Eval[string](tab, "location.hash"))
	tab.Press("More filters")
	tab.Fill("Outcome", "access_denied")
	tab.Press("Filter")
	tab.SeeNot("createSession")
	tab.See("deletePolicy")
	tab.Choose("Method", "PUT")
	tab.Press("Filter")
	tab.See("Nothing matches the filters")
	tab.Press("Show everything")
	tab.See("createSession", "Page 1 of 2")
	tab.Press("More filters")
	require.Empty(t, tab.Value("Outcome"))
	require.Equal(t, "#/audit", browsertest.Eval[string](tab, "location.hash"))

	tab.Press("postPolicies")
	tab.SeeNot("createSession")
	tab.See("Page 1 of 2")
	require.Equal(t, 12, browsertest.Eval[int](tab, exported("JSON")+`.then((text) => JSON.parse(text).length)`))
	require.Equal(t, 13, browsertest.Eval[int](tab, exported("CSV")+`.then((text) => text.trim().split('\n').length)`))

	tab.PressCSS("tbody a")
	tab.See("ID in the log of the server", "POST /api/portal/policies", admin.email, org)
	tab.Press("All requests")
	tab.See("createSession")
}

// exported requests a file of the list as its link does.
func exported(format string) string {
	return `fetch([...document.querySelectorAll('a')].find((a) => a.text === 'Export as ` + format + `').href).then((response) => {
		if (!/^attachment; /.test(response.headers.get('Content-Disposition'))) throw new Error('no file');
		return response.text();
	})`
}

// TestAuditOfAnOperator: operators see what everybody has done, or what the users of an organisation have.
func TestAuditOfAnOperator(t *testing.T) {
	t.Parallel()
	s := start(t)
	org, empty := s.org("Rivermouth Foods"), s.org("Harbour Mills")
	admin := s.policies(org, 1)
	tab := s.openAsOperator("#/audit")
	tab.See("operator", "createOperatorSession", "admin_secret", "createOrg", admin.email)
	tab.Press("More filters")
	tab.Fill("ID of the organisation", org)
	tab.Press("Filter")
	tab.SeeNot("admin_secret")
	tab.See(admin.email)
	tab = s.openAsOperator("#/org/" + org + "/audit")
	tab.See(admin.email)
	tab.SeeNot("createOrg")
	require.Equal(t, 2, browsertest.Eval[int](tab, exported("JSON")+`.then((text) => JSON.parse(text).length)`))
	tab = s.openAsOperator("#/org/" + empty + "/audit")
	tab.See("Nothing has been changed yet", "curl -sS "+s.url+"/api/audit-logs")
}

func TestAuditNeedsItsPermission(t *testing.T) {
	t.Parallel()
	s := start(t)
	other := s.user(s.org("Rivermouth Foods"), "other@rivermouth.example", map[string]string{"policies": "read"})
	tab := s.openAs(other, "#/audit")
	tab.See("You may not see this page")
	require.False(t, browsertest.Eval[bool](tab, `document.querySelector('nav').innerText.includes('Audit')`))
}
