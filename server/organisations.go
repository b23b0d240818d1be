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
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// objectID is the form of the IDs of organisations: a MongoDB ObjectID in hexadecimal.
var objectID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// organisationFields are the documented fields of an organisation in the order in which the original returns them, with
// their defaults (docs/behaviour.md#organisations).
var organisationFields = jsondoc.Members(json.RawMessage(`{"id":"","owner_name":"","owner_slug":"",` +
	`"cname_enabled":false,"cname":"","apis":[],"sso_enabled":false,"developer_quota":0,"developer_count":0,` +
	`"event_options":{},"hybrid_enabled":false,` +
	`"ui":{"languages":{},"hide_help":false,"default_lang":"","login_page":{},"nav":{},"uptime":{},"portal_section":{},` +
	`"designer":{},"dont_show_admin_sockets":false,"dont_allow_license_management":false,` +
	`"dont_allow_license_management_view":false,"cloud":false,"dev":false},` +
	`"org_options_meta":{},"open_policy":{"rules":"","enabled":false},"additional_permissions":{}}`))

// toOrganisation returns the row of an organisation's document: what it is searched by, and the document under this ID.
// A new organisation has no ID yet: "". Another ID in the document is removed.
func toOrganisation(id string, doc json.RawMessage) store.Organisation {
	if id == "" || jsondoc.String(doc, "id") != id {
		doc = jsondoc.Without(doc, "id")
	}
	return store.Organisation{
		ID: id, CName: jsondoc.String(doc, "cname"), SSOEnabled: jsondoc.Bool(doc, false, "sso_enabled"), Document: doc,
	}
}

// organisationIntegers must be integers under any spelling of their names: clients in Go match names in any case, and
// one value that they cannot decode would keep them from reading the list.
var organisationIntegers = []string{"developer_quota", "developer_count"}

// organisationRequest returns the organisation in the body of a request under an ID, which is "" for a new one.
func organisationRequest(c echo.Context, id string) (store.Organisation, error) {
	doc := bodyOf(c).json
	for _, m := range jsondoc.Members(doc) {
		sameName := func(name string) bool { return strings.EqualFold(name, m.Name) }
		if !slices.ContainsFunc(organisationIntegers, sameName) {
			continue
		}
		if _, err := strconv.ParseInt(string(m.Value), 10, 64); err != nil {
			return store.Organisation{}, malformed(contract.Pointer(m.Name), reasonNotInteger, nil)
		}
	}
	return toOrganisation(id, doc), nil
}

// withDefaults returns an organisation as the API shows it: the stored document, in which each documented field that it
// lacks is inserted behind its predecessor in the documented order.
func withDefaults(row store.Row) json.RawMessage {
	return jsondoc.Fill(row.Document, organisationFields, jsondoc.Quote(row.ID))
}

// GetOrgs implements admin.ServerInterface.
func (s *Server) GetOrgs(c echo.Context, params admin.GetOrgsParams) error {
	ctx, page := c.Request().Context(), s.page(params.P, everything)
	return replyList(s, c, list[store.Row]{
		name: "organisations", pages: "pages", page: page, rows: s.store.Organisations(ctx, page),
		encode: func(row store.Row) (json.RawMessage, error) { return withDefaults(row), nil },
		count:  func() (int, error) { return s.store.CountOrganisations(ctx) },
	})
}

// CreateOrg implements admin.ServerInterface.
func (s *Server) CreateOrg(c echo.Context) error {
	sent, err := organisationRequest(c, "")
	if err != nil {
		return err
	}
	id, err := s.store.CreateOrganisation(c.Request().Context(), sent)
	if err != nil {
		return err
	}
	return replyOK(c, id)
}

// ImportOrgs implements admin.ServerInterface.
func (s *Server) ImportOrgs(c echo.Context) error {
	id := jsondoc.String(bodyOf(c).json, "id")
	if id != "" && !objectID.MatchString(id) {
		return malformed("/id", "must be 24 hexadecimal digits in lower case", nil)
	}
	sent, err := organisationRequest(c, id)
	if err != nil {
		return err
	}
	id, err = s.store.ImportOrganisation(c.Request().Context(), sent)
	if err != nil {
		return err
	}
	return replyOK(c, id)
}

// GetOrg implements admin.ServerInterface.
func (s *Server) GetOrg(c echo.Context, orgID admin.OrgID) error {
	row, err := s.store.Organisation(c.Request().Context(), orgID)
	if err != nil {
		return err
	}
	return replyObject(c, withDefaults(row))
}

// UpdateOrg implements admin.ServerInterface.
func (s *Server) UpdateOrg(c echo.Context, orgID admin.OrgID) error {
	sent, err := organisationRequest(c, orgID)
	if err != nil {
		return err
	}
	if err := s.store.ReplaceOrganisation(c.Request().Context(), sent); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// DeleteOrg implements admin.ServerInterface.
func (s *Server) DeleteOrg(c echo.Context, orgID admin.OrgID) error {
	if err := s.store.DeleteOrganisation(c.Request().Context(), orgID); err != nil {
		return err
	}
	return replyOK(c, nil)
}

// GeneratePortalAPIsForOrg implements admin.ServerInterface.
func (s *Server) GeneratePortalAPIsForOrg(c echo.Context, orgID admin.OrgID) error {
	domain := bodyOf(c).form.Get("domain")
	if domain == "" {
		return apiError{outcome: outcomeNotFound}
	}
	err := s.store.EditOrganisation(c.Request().Context(), orgID, func(row store.Row) store.Organisation {
		// All defaults first, so that the two fields are in their documented places.
		doc := jsondoc.Set(withDefaults(row), "cname_enabled", json.RawMessage("true"))
		return toOrganisation(orgID, jsondoc.Set(doc, "cname", jsondoc.Quote(domain)))
	})
	if err != nil {
		return err
	}
	return replyOK(c, nil)
}
