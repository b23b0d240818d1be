package server

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/document"
	"gatehouse/store"
)

// objectID is the form of Tyk's ids.
var objectID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// organisationFields are the documented fields of an organisation, in the order in which the API gives them, with what
// they are when nothing was ever said of them (facts §3).
var organisationFields = document.Members(json.RawMessage(`{"id":"","owner_name":"","owner_slug":"",` +
	`"cname_enabled":false,"cname":"","apis":[],"sso_enabled":false,"developer_quota":0,"developer_count":0,` +
	`"event_options":{},"hybrid_enabled":false,` +
	`"ui":{"languages":{},"hide_help":false,"default_lang":"","login_page":{},"nav":{},"uptime":{},"portal_section":{},` +
	`"designer":{},"dont_show_admin_sockets":false,"dont_allow_license_management":false,` +
	`"dont_allow_license_management_view":false,"cloud":false,"dev":false},` +
	`"org_options_meta":{},"open_policy":{"rules":"","enabled":false},"additional_permissions":{}}`))

// organisation takes out of a document what is searched. The document goes under id, "" for one that is made: another id in it
// is left out.
func organisation(id string, doc json.RawMessage) store.Organisation {
	if id == "" || document.String(doc, "id") != id {
		doc = document.Without(doc, "id")
	}
	return store.Organisation{
		ID: id, CName: document.String(doc, "cname"), SSOEnabled: document.Bool(doc, false, "sso_enabled"), Document: doc,
	}
}

// organisationIntegers must be ones to clients in Go, which take names in any case and each that is there twice: one that is
// none would keep them from reading the list.
var organisationIntegers = []string{"developer_quota", "developer_count"}

// sentOrganisation is the request's body under an id.
func sentOrganisation(c echo.Context, id string) (store.Organisation, error) {
	doc := bodyOf(c).raw
	for _, m := range document.Members(doc) {
		isInteger := slices.ContainsFunc(organisationIntegers, func(name string) bool { return strings.EqualFold(name, m.Name) })
		if _, err := strconv.ParseInt(string(m.Value), 10, 64); isInteger && err != nil {
			return store.Organisation{}, failure{event: malformed, problems: []contract.Problem{{Path: contract.Pointer(m.Name), Reason: notWhole}}}
		}
	}
	return organisation(id, doc), nil
}

// showOrganisation is an organisation as it goes out: as it came, each documented field that it lacks filled in behind the one
// that comes before it in the documented order.
func showOrganisation(row store.Row) json.RawMessage {
	return document.Fill(row.Document, organisationFields, document.Quote(row.ID))
}

// GetOrgs implements admin.ServerInterface.
func (s *Server) GetOrgs(c echo.Context, params admin.GetOrgsParams) error {
	ctx, page := c.Request().Context(), s.page(params.P, everything)
	return send(s, c, listing[store.Row]{
		list: "organisations", pages: "pages", page: page,
		show:  func(_ []byte, row store.Row) ([]byte, error) { return showOrganisation(row), nil },
		rows:  s.Store.Organisations(ctx, page),
		count: func() (int, error) { return s.Store.CountOrganisations(ctx) },
	})
}

// CreateOrg implements admin.ServerInterface.
func (s *Server) CreateOrg(c echo.Context) error {
	sent, err := sentOrganisation(c, "")
	if err != nil {
		return err
	}
	id, err := s.Store.CreateOrganisation(c.Request().Context(), sent)
	if err != nil {
		return err
	}
	return done(c, id)
}

// ImportOrgs implements admin.ServerInterface.
func (s *Server) ImportOrgs(c echo.Context) error {
	id := document.String(bodyOf(c).raw, "id")
	if id != "" && !objectID.MatchString(id) {
		return failure{event: malformed, problems: []contract.Problem{{Path: "/id", Reason: "must be 24 hexadecimal digits in lower case"}}}
	}
	sent, err := sentOrganisation(c, id)
	if err != nil {
		return err
	}
	id, err = s.Store.ImportOrganisation(c.Request().Context(), sent)
	if err != nil {
		return err
	}
	return done(c, id)
}

// GetOrg implements admin.ServerInterface.
func (s *Server) GetOrg(c echo.Context, orgID admin.OrgID) error {
	row, err := s.Store.Organisation(c.Request().Context(), orgID)
	if err != nil {
		return err
	}
	return bare(c, showOrganisation(row))
}

// UpdateOrg implements admin.ServerInterface.
func (s *Server) UpdateOrg(c echo.Context, orgID admin.OrgID) error {
	sent, err := sentOrganisation(c, orgID)
	if err != nil {
		return err
	}
	if err := s.Store.ReplaceOrganisation(c.Request().Context(), sent); err != nil {
		return err
	}
	return done(c, nil)
}

// DeleteOrg implements admin.ServerInterface.
func (s *Server) DeleteOrg(c echo.Context, orgID admin.OrgID) error {
	if err := s.Store.DeleteOrganisation(c.Request().Context(), orgID); err != nil {
		return err
	}
	return done(c, nil)
}

// GeneratePortalAPIsForOrg implements admin.ServerInterface.
func (s *Server) GeneratePortalAPIsForOrg(c echo.Context, orgID admin.OrgID) error {
	domain := bodyOf(c).form.Get("domain")
	if domain == "" {
		return failure{event: notFound}
	}
	err := s.Store.EditOrganisation(c.Request().Context(), orgID, func(row store.Row) store.Organisation {
		// With all fields, so that the two stand in their places.
		doc := document.Set(showOrganisation(row), "cname_enabled", json.RawMessage("true"))
		return organisation(orgID, document.Set(doc, "cname", document.Quote(domain)))
	})
	if err != nil {
		return err
	}
	return done(c, nil)
}
