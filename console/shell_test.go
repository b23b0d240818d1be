package console_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
)

func TestSignInByPassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.policies(s.org("Rivermouth Foods"), 3)
	ines := s.user(s.org("Harbour Mills"), "ines@harbour.example", administrator)
	tab := s.open("#/policies")
	tab.Fill("E-mail address", ines.email)
	tab.Fill("Password", "wrong")
	tab.Press("Sign in")
	tab.See("password is wrong", "Request ")
	signIn(tab, ines.email, userPassword)
	tab.See("There is no policy yet")
	tab.Press("Sign out")
	tab.See("E-mail address")
}

func TestOperatorChoosesAnOrganisation(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	s.policies(org, 23)
	s.policies(s.org("Harbour Mills"), 1)
	tab := s.openAsOperator("#/policies")
	tab.See("Choose an organisation", "Harbour Mills")
	tab.Press("Rivermouth Foods " + org)
	tab.See("Policy 010", "Page 1 of 3")
	require.Equal(t, "#/org/"+org+"/policies", browsertest.Eval[string](tab, "location.hash"))
	tab.Press("Next")
	tab.See("Policy 020")
	tab.Choose("State", "inactive")
	tab.See("Policy 004", "Policy 020")
	tab.SeeNot("Policy 003")
}

func TestNavigationShowsWhatIsAllowed(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	reader := s.user(org, "reader@rivermouth.example", map[string]string{"policies": "read"})
	tab := s.openAs(reader, "")
	tab.Press("Policies")
	tab.See("There is no policy yet")
	other := s.user(org, "other@rivermouth.example", map[string]string{"apis": "read"})
	tab = s.openAs(other, "#/policies")
	tab.See("You may not see this page")
	require.False(t, browsertest.Eval[bool](tab, `document.querySelector('nav').innerText.includes('Policies')`))
}

// TestPagesOfPermissions compares the table of docs/console.md with the navigation of somebody who has only the
// permission of a row.
func TestPagesOfPermissions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/console.md")
	require.NoError(t, err)
	pages := map[string][]string{} // by the first column
	_, table, _ := strings.Cut(string(text), "## Who sees which page")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, row := range regexp.MustCompile(`(?m)^\| (.+?) \| (.+?) \|$`).FindAllStringSubmatch(table, -1) {
		pages[row[1]] = regexp.MustCompile(`, |; in an organisation `).Split(row[2], -1)
	}
	s := start(t)
	org := s.org("Rivermouth Foods")
	navigation := func(tab *browsertest.Tab) []string {
		return browsertest.Eval[[]string](tab, `[...document.querySelectorAll('nav a')].map((a) => a.innerText)`)
	}
	everybody := pages["a user without permissions"]
	levels := regexp.MustCompile("^with `(\\w+): read`(?: or `(write)`)?$")
	tested := 0
	for who, shown := range pages {
		match := levels.FindStringSubmatch(who)
		if match == nil {
			continue
		}
		tested++
		for _, level := range []string{"read", match[2]} {
			if level == "" {
				continue
			}
			t.Run(match[1]+" "+level, func(t *testing.T) {
				t.Parallel()
				s := s.in(t)
				only := s.user(org, match[1]+level+"@rivermouth.example", map[string]string{match[1]: level})
				require.ElementsMatch(t, slices.Concat(everybody, shown), navigation(s.openAs(only, "")))
			})
		}
	}
	require.Equal(t, 6, tested)
	t.Run("administrator", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		tab := s.openAs(s.user(org, "ines@rivermouth.example", administrator), "")
		require.ElementsMatch(t, pages["an administrator"], navigation(tab))
	})
	t.Run("operator", func(t *testing.T) {
		t.Parallel()
		require.ElementsMatch(t, pages["an operator"], navigation(s.in(t).openAsOperator("#/org/"+org+"/apis")))
	})
}

// TestSessionEnds ends a session while a page is shown: its request waits until the same user has signed in again.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.policies(s.org("Rivermouth Foods"), 12)
	tab := s.openAs(admin, "#/policies")
	tab.See("Policy 010")
	browsertest.Eval[int](tab, `fetch('../api/session', {method: 'DELETE'}).then((r) => r.status)`)
	tab.Press("Next")
	tab.See("Sign in again", "Policy 010")
	signIn(tab, admin.email, userPassword)
	tab.See("Policy 012")
	tab.SeeNot("Sign in again")
}

// TestOrganisationIsDeleted deletes the organisation in which an operator acts: the page says so, and asks for no
// credential, with which nothing would change.
func TestOrganisationIsDeleted(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	tab := s.openAsOperator("#/org/" + org + "/policies")
	tab.See("There is no policy yet")
	s.admin("DELETE", "/admin/organisations/"+org, nil, nil)
	tab.Press("APIs")
	tab.See("This organisation does not exist.")
	tab.SeeNot("Sign in again")
}

// TestSignInByNonce opens the address that a sign-on ends at.
func TestSignInByNonce(t *testing.T) {
	t.Parallel()
	s := start(t)
	ines := s.user(s.org("Harbour Mills"), "ines@harbour.example", administrator)
	var created struct{ Meta string }
	s.admin("POST", "/admin/sso", map[string]any{
		"ForSection": "dashboard", "OrgID": ines.orgID, "EmailAddress": ines.email, "GroupID": "",
	}, &created)
	tab := s.in(t).openPath("/tap?nonce=" + created.Meta)
	tab.See("Sign out", "Policies", "Ines Mar")
	require.NotContains(t, browsertest.Eval[string](tab, "location.href"), "nonce")
}

// TestSignInByNonceOfSomebodyElse has a sign-on arrive where somebody is signed in.
func TestSignInByNonceOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Harbour Mills")
	ines, odo := s.user(org, "ines@harbour.example", administrator), s.user(org, "odo@harbour.example", administrator)
	tab := s.openAs(ines, "")
	tab.See("Sign out")
	arrive := func() {
		var created struct{ Meta string }
		s.admin("POST", "/admin/sso", map[string]any{
			"ForSection": "dashboard", "OrgID": org, "EmailAddress": odo.email, "GroupID": "",
		}, &created)
		tab.Go("about:blank")
		tab.Go(s.url + "/tap?nonce=" + created.Meta)
		tab.See("A sign-on has led here")
	}
	who := func() string {
		return browsertest.Eval[string](tab, `fetch('/api/session').then((r) => r.json()).then((s) => s.email_address)`)
	}
	arrive()
	tab.Press("Cancel")
	tab.SeeNot("A sign-on has led here")
	require.Equal(t, ines.email, who())
	arrive()
	tab.Press("Use the sign-on")
	tab.See("Odo Mar", "Sign out") // the page that was loaded again
	tab.SeeNot("A sign-on has led here")
	require.Equal(t, odo.email, who())
}

func TestNetworkIsLost(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.policies(s.org("Rivermouth Foods"), 12)
	tab := s.openAs(admin, "#/policies")
	tab.See("Policy 010")
	tab.Allow("ERR_INTERNET_DISCONNECTED")
	tab.Offline(true)
	tab.Press("Next")
	tab.See("The server did not answer")
	tab.Offline(false)
	tab.Press("Try again")
	tab.See("Policy 012")
	tab.SeeNot("The server did not answer")
}

func TestTheme(t *testing.T) {
	t.Parallel()
	s := start(t)
	ines := s.user(s.org("Harbour Mills"), "ines@harbour.example", administrator)
	tab := s.openAs(ines, "")
	const ground = `getComputedStyle(document.body).backgroundColor`
	tab.Colours("light")
	light := browsertest.Eval[string](tab, ground)
	tab.Choose("Colours", "Dark")
	dark := browsertest.Eval[string](tab, ground)
	require.NotEqual(t, light, dark)
	tab.Go(s.url + "/console/")
	browsertest.Eventually(tab, dark, ground)
	tab.Choose("Colours", "System")
	browsertest.Eventually(tab, light, ground)
	tab.Colours("dark")
	browsertest.Eventually(tab, dark, ground)
}

// TestFirstPageIsSmall bounds what the first page transfers, and prints how long it takes until it has content.
func TestFirstPageIsSmall(t *testing.T) {
	t.Parallel()
	s := start(t)
	tab := s.open("")
	tab.See("Sign in")
	requests := tab.Requests()
	t.Logf("%d requests, %d bytes: %v", len(requests), tab.Received(), requests)
	require.Less(t, tab.Received(), 150_000)
	require.Less(t, len(requests), 40)
	const painted = `performance.getEntriesByName('first-contentful-paint').length`
	for _, visit := range []string{"first", "second"} {
		browsertest.Eventually(tab, 1, painted)
		t.Logf("%s visit: first content %.0f ms after the navigation began", visit,
			browsertest.Eval[float64](tab, `performance.getEntriesByName('first-contentful-paint')[0].startTime`))
		tab.Do(chromedp.Reload())
		tab.See("Sign in")
	}
}
