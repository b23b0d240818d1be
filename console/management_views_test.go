package console_test

import (
	"net/http"
	"testing"

	"gatehouse/internal/browsertest"
)

// managementViews returns the views of Home, Organisations and Users, with what they show of an organisation.
func managementViews(t *testing.T, s *site, org string, operator func(name, address, text string) view) []view {
	t.Helper()
	admin := s.user(org, "mara@rivermouth.example", administrator)
	omar := s.user(org, "omar@rivermouth.example", map[string]string{"apis": "read", "policies": "write", "keys": "write"})
	s.user(org, "lena@rivermouth.example", map[string]string{"users": "read"})
	s.importAPI(org, "Tide tables", "/tides/")
	s.as(admin, "POST", "/api/usergroups", `{"name":"Readers","description":"Those who look","user_permissions":{"apis":"read","policies":"read"}}`, nil)
	s.send(http.Header{"Authorization": {"the-node-secret"}}, "POST", "/system/key/quota_trigger",
		map[string]any{"org_id": org, "trigger_limit": 75, "usage_percentage": 80}, nil)
	s.admin("POST", "/admin/org/keys", map[string]any{"org_id": org, "quota_max": 10000, "quota_renewal_rate": 86400}, nil)
	home := operator("home", "#/home", "Requests to this server")
	home.dark = true
	organisation := operator("organisation", "#/organisations/"+org, "Event key_event")
	person := operator("user", "#/org/"+org+"/users/"+omar.id, "Set a password")
	person.dark = true
	return []view{
		home,
		{name: "home-of-an-organisation", open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAs(admin, "#/home")
			tab.See("Requests to this server")
			return tab
		}},
		operator("organisations", "#/organisations", "Harbour Mills"),
		operator("organisation-new", "#/organisations/new", "Create an organisation"),
		organisation,
		operator("organisation-key", "#/organisations/"+org+"/key", "Period of the quota"),
		{name: "organisation-deletion", open: func(t *testing.T) *browsertest.Tab {
			t.Helper()
			tab := s.in(t).openAsOperator("#/organisations/" + org)
			tab.Press("Delete…")
			tab.See("This cannot be undone")
			return tab
		}},
		operator("users", "#/org/"+org+"/users", "omar@rivermouth.example"),
		operator("user-new", "#/org/"+org+"/users/new", "Permissions"),
		person,
		operator("groups", "#/org/"+org+"/users/groups", "Those who look"),
		operator("group-new", "#/org/"+org+"/users/groups/new", "Permissions"),
	}
}
