package console_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
	"gatehouse/server"
)

// storedUser returns a user as the admin API shows it.
func (s *site) storedUser(id string) (user struct {
	FirstName       string            `json:"first_name"`
	Active          bool              `json:"active"`
	AccessKey       string            `json:"access_key"`
	GroupID         string            `json:"group_id"`
	UserPermissions map[string]string `json:"user_permissions"`
},
) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.raw("/admin/users/"+id)), &user))
	return user
}

// TestUsersOfAnOrganisation walks an operator from an organisation without users to one who signs in.
func TestUsersOfAnOrganisation(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	tab := s.openAsOperator("#/org/" + org + "/users")
	tab.See("There is no user yet", "curl -sS "+s.url+"/admin/users", org)
	tab.Press("Create a user")
	tab.Fill("First name", "Ines")
	tab.Fill("E-mail address", "ines@rivermouth.example")
	tab.Press("Administrator: may do everything in the organisation")
	tab.See("An administrator has every permission.")
	tab.Press("Create")
	tab.See("Created Ines", "Access key", "It is shown only now")
	key := browsertest.Eval[string](tab, `document.querySelector('.secret pre').innerText`)
	tab.Press("Open the user")
	tab.See("ines@rivermouth.example", "Set a password…")
	tab.SeeNot(key)
	id := browsertest.Eval[string](tab, `location.hash.split('/').pop()`)
	require.Equal(t, key, s.storedUser(id).AccessKey)
	require.Equal(t, map[string]string{"IsAdmin": "admin"}, s.storedUser(id).UserPermissions)

	tab.Press("Allow resetting passwords")
	tab.See("Disallow resetting passwords")
	require.Equal(t, "admin", s.storedUser(id).UserPermissions["ResetPassword"])
	tab.Press("Disallow resetting passwords")
	tab.See("Allow resetting passwords")
	tab.Press("Set a password…")
	tab.Fill("New password", userPassword)
	tab.Press("Set the password")
	tab.See("The password is set")
	own := s.openAs(user{email: "ines@rivermouth.example"}, "#/users")
	own.See("ines@rivermouth.example", "administrator")

	tab.Press("Renew the access key…")
	tab.Press("Renew the key")
	tab.See("The user has a new access key", "Access key")
	renewed := browsertest.Eval[string](tab, `document.querySelector('.secret pre').innerText`)
	require.NotEqual(t, key, renewed)
	require.Equal(t, renewed, s.storedUser(id).AccessKey)

	tab.Press("Set inactive")
	tab.See("The user is inactive")
	tab.SeeNot("Set inactive") // the form has what is stored
	require.False(t, s.storedUser(id).Active)
	tab.Press("Active: may sign in, and the access key works")
	tab.Press("Save")
	tab.See("Set inactive")
	require.True(t, s.storedUser(id).Active)

	tab.Press("Delete…")
	tab.Fill("Type ines@rivermouth.example to confirm", "ines@rivermouth.example")
	tab.Press("Delete the user")
	tab.See("Deleted Ines", "There is no user yet")
}

// TestPermissionsOfAUser: an administrator changes them in the table; what the table does not know stays.
func TestPermissionsOfAUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "admin@rivermouth.example", administrator)
	omar := s.user(org, "omar@rivermouth.example", map[string]string{"apis": "read", "analytics": "write", "keys": "deny", "ResetPassword": "admin"})
	tab := s.openAs(admin, "#/users/"+omar.id)
	tab.See("Omar Mar", "Permissions", "analytics")
	require.True(t, browsertest.Eval[bool](tab, `document.querySelector('[aria-label="analytics: Read and write"]').checked`))
	tab.Press("Policies: Read and write")
	tab.Press("APIs: No access")
	tab.Press("Save")
	tab.See("Saved")
	require.Equal(t, map[string]string{"analytics": "write", "keys": "deny", "policies": "write", "ResetPassword": "admin"},
		s.storedUser(omar.id).UserPermissions)

	reader := s.user(org, "reader@rivermouth.example", map[string]string{"users": "read"})
	tab = s.openAs(reader, "#/users")
	tab.See("omar@rivermouth.example")
	tab.SeeNot("Create a user")
	tab.Press("Omar Mar")
	tab.See("omar@rivermouth.example")
	tab.SeeNot("Save")
	tab.SeeNot("Delete…")
	require.True(t, browsertest.Eval[bool](tab, `[...document.querySelectorAll('main input')].every((input) => input.disabled)`))

	writer := s.user(org, "writer@rivermouth.example", map[string]string{"users": "write"})
	tab = s.openAs(writer, "#/users/"+omar.id)
	tab.Allow("status of 403")
	tab.See("Omar Mar")
	tab.SeeNot("Administrator: may do everything")
	tab.Press("Keys: Read")
	tab.Press("Save")
	tab.See("access denied", "is a permission that the caller lacks", "Request ")
	require.True(t, browsertest.Eval[bool](tab, `document.querySelector('[aria-label="Keys: Read"]').checked`), "what was chosen stays")
}

// TestOwnUser: users who may not manage others set their password with the present one, and cannot be found otherwise.
func TestOwnUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "admin@rivermouth.example", administrator)
	tab := s.openAs(admin, "#/users/"+admin.id)
	tab.Allow("status of 401", "status of 403")
	tab.Press("Set a password…")
	tab.Fill("Current password", "wrong")
	tab.Fill("New password", "another-horse-8")
	tab.Press("Set the password")
	tab.See("Current password is missing or wrong.")
	tab.Fill("Current password", userPassword)
	tab.Press("Set the password")
	tab.See("The password is set")
	fresh := s.open("")
	signIn(fresh, admin.email, "another-horse-8")
}

// TestUserGroups: a group is created, changed and deleted, and a user is put into it.
func TestUserGroups(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "admin@rivermouth.example", administrator)
	omar := s.user(org, "omar@rivermouth.example", map[string]string{"apis": "read"})
	tab := s.openAs(admin, "#/users")
	tab.Press("Groups")
	tab.See("There is no user group yet", "curl -sS "+s.url+"/api/usergroups")
	tab.Press("Create a group")
	tab.Fill("Name", "Readers")
	tab.Press("Policies: Read")
	tab.Press("Create")
	tab.See("Created Readers", "Delete…")
	id := browsertest.Eval[string](tab, `location.hash.split('/').pop()`)
	s.as(admin, "PUT", "/api/usergroups/"+id, `{"name":"Readers","more":1.0,"user_permissions":{"policies":"read"}}`, nil)
	tab.Go(s.url + "/console/#/users/groups")
	tab.See("policies: read")
	tab.Press("Readers")
	tab.Fill("Description", "Those who read")
	tab.Press("Save")
	tab.See("Saved")
	var text json.RawMessage
	s.as(admin, "GET", "/api/usergroups/"+id, nil, &text)
	require.Contains(t, string(text), `"more":1.0`)
	require.Contains(t, string(text), `"description":"Those who read"`)

	tab.Go(s.url + "/console/#/users/" + omar.id)
	tab.See("Omar Mar")
	tab.Choose("Group", "Readers")
	tab.Press("Save")
	s.eventually("/admin/users/"+omar.id, `"group_id":"`+id+`"`)
	tab.Go(s.url + "/console/#/users/groups/" + id)
	tab.Press("Delete…")
	tab.Fill("Type Readers to confirm", "Readers")
	tab.Press("Delete the group")
	tab.See("There is no user group yet")
	require.Empty(t, s.storedUser(omar.id).GroupID)
}

// TestUsersAreSearched on the server, by name and address, on pages.
func TestUsersAreSearched(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "admin@rivermouth.example", administrator)
	for i := range 22 {
		s.admin("POST", "/admin/users", map[string]any{
			"org_id": org, "email_address": fmt.Sprintf("user%02d@rivermouth.example", i), "first_name": "<i>User", "last_name": strconv.Itoa(i),
			"active": true, "user_permissions": map[string]string{},
		}, nil)
	}
	tab := s.openAs(admin, "#/users")
	tab.See("user08@rivermouth.example", "Page 1 of 3", "<i>User 8")
	tab.Fill("Search users", "USER 21")
	tab.See("user21@rivermouth.example")
	tab.SeeNot("user08@rivermouth.example")
	tab.Fill("Search users", "nobody-at-all")
	tab.See("Nothing found")
}

// TestFirstAdministrator: from a new organisation, the console leads to an administrator who can set passwords, and who
// gives a user a password without an operator.
func TestFirstAdministrator(t *testing.T) {
	t.Parallel()
	s := start(t)
	operator := s.openAsOperator("")
	operator.Press("Organisation Choose one")
	operator.See("There is no organisation yet")
	operator.Press("Create an organisation")
	operator.Fill("Name", "Rivermouth Foods")
	operator.Press("Create")
	operator.See("Rivermouth Foods has no user yet.")
	operator.Press("Home")
	operator.See("Create the first administrator")
	operator.Press("Choose the organisation")
	operator.See("Choose an organisation")
	operator.PressCSS(".choices button")
	operator.See("There is no user yet")
	operator.Press("Create an administrator")
	operator.Fill("E-mail address", "ines@rivermouth.example")
	operator.Press("Create")
	operator.See("Created ines@rivermouth.example", "Access key")
	setPassword(operator)
	operator.Press("Open the user")
	operator.See("Disallow resetting passwords")
	id := browsertest.Eval[string](operator, `location.hash.split('/').pop()`)
	require.Equal(t, administrator, s.storedUser(id).UserPermissions)
	operator.Press("Organisations")
	operator.Press("Rivermouth Foods")
	operator.See("Settings")
	operator.SeeNot("has no user yet")

	ines := s.openAs(user{email: "ines@rivermouth.example"}, "#/home")
	ines.Press("Create or import an API")
	ines.See("There is no API yet")
	ines.Press("Users")
	ines.Press("Create a user")
	ines.SeeNot("May set the passwords of others") // which only operators allow
	ines.Fill("E-mail address", "odo@rivermouth.example")
	ines.Press("Administrator: may do everything in the organisation")
	ines.Press("Create")
	ines.See("Created odo@rivermouth.example")
	setPassword(ines)
	odo := s.openAs(user{email: "odo@rivermouth.example"}, "#/users/"+id)
	odo.See("You may not set the password.", "whom an operator has allowed")
	odo.SeeNot("Set a password…")
}

// TestFirstUserWithoutPasswords: an operator makes an administrator who may not set passwords, or no administrator.
func TestFirstUserWithoutPasswords(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	for _, each := range []struct {
		name    string
		pressed []string
		granted map[string]string
	}{
		{"lea", []string{"May set the passwords of others"}, map[string]string{"IsAdmin": "admin"}},
		{"tom", []string{"Administrator: may do everything in the organisation", "APIs: Read"}, map[string]string{"apis": "read"}},
	} {
		tab := s.in(t).openAsOperator("#/org/" + org + "/users/new?administrator=true")
		for _, pressed := range each.pressed {
			tab.Press(pressed)
		}
		tab.Fill("E-mail address", each.name+"@rivermouth.example")
		tab.Press("Create")
		tab.Press("Open the user")
		tab.See("Allow resetting passwords")
		id := browsertest.Eval[string](tab, `location.hash.split('/').pop()`)
		require.Equal(t, each.granted, s.storedUser(id).UserPermissions)
	}
}

// TestLastAdministrator: what the server refuses is shown in its words, and an administrator cannot be lost by a press.
func TestLastAdministrator(t *testing.T) {
	t.Parallel()
	s := start(t)
	org := s.org("Rivermouth Foods")
	admin := s.user(org, "admin@rivermouth.example", administrator)
	omar := s.user(org, "omar@rivermouth.example", map[string]string{"apis": "read"})
	tab := s.openAs(admin, "#/users/"+omar.id)
	tab.Press("Set inactive")
	tab.See("The user is inactive")
	tab.SeeNot("Set inactive")
	require.False(t, s.storedUser(omar.id).Active)
	tab.SeeNot("Allow resetting passwords") // which only operators may
	tab.Allow("status of 403")
	tab.Go(s.url + "/console/#/users/" + admin.id)
	tab.See("Admin Mar")
	tab.Press("Set inactive")
	tab.See("access denied", "Request ")
	require.True(t, s.storedUser(admin.id).Active)
}

// TestAccessKeysMayBeHidden: if administrators are configured not to see the keys of others, the page says so.
func TestAccessKeysMayBeHidden(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *server.Config) { cfg.Security.HideAccessKeys = true })
	admin := s.user(s.org("Rivermouth Foods"), "admin@rivermouth.example", administrator)
	tab := s.openAs(admin, "#/users/new")
	tab.Fill("E-mail address", "omar@rivermouth.example")
	tab.Press("APIs: Read")
	tab.Press("Create")
	tab.See("Created omar@rivermouth.example", "The access key is not shown to you")
	tab.Press("Open the user")
	tab.Press("Renew the access key…")
	tab.Press("Renew the key")
	tab.See("which nobody else sees")
}

// TestPermissionsAreThoseOfTheContract: the table has a row for each object that an operation asks for.
func TestPermissionsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	known, err := loadedContract()
	require.NoError(t, err)
	wanted := map[string]bool{}
	for op := range known.Operations() {
		if op.Permission != nil {
			wanted[op.Permission.Object] = true
		}
	}
	module, err := os.ReadFile("lib/permissions.js")
	require.NoError(t, err)
	var shown []string
	for _, match := range regexp.MustCompile(`\{ name: '(\w+)'`).FindAllStringSubmatch(string(module), -1) {
		shown = append(shown, match[1])
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(wanted)), shown, "objects of lib/permissions.js")
}
