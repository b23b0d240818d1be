package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// objectID is the form of the IDs of organisations: a MongoDB ObjectID in hexadecimal.
var objectID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// organisationFields returns the documented fields of an organisation in the order in which the original returns them,
// with their defaults: what the contract's schema of an organisation says. The ID is first, and has no default.
func organisationFields(known *contract.Contract) ([]jsondoc.Member, error) {
	defaults, err := contract.Defaults(known.Operation("createOrg").Body.Schema, "id")
	if err != nil {
		return nil, fmt.Errorf("an organisation: %w", err)
	}
	return append([]jsondoc.Member{jsondoc.NewMember("id", nil)}, jsondoc.Members(defaults)...), nil
}

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

// organisationRequest returns the organisation in the body of a request under an ID, which is "" for a new one. Its
// error is an apiserver.MalformedError.
func organisationRequest(r *request, id string) (store.Organisation, error) {
	if list, _ := jsondoc.Get(r.Body.JSON, "organisations"); bytes.HasPrefix(list, []byte("[")) {
		// The response of the list of organisations: it would be one organisation without a name.
		return store.Organisation{}, apiserver.MalformedAt(
			"/organisations", "is a list: send each organisation by itself", nil)
	}
	for name, value := range jsondoc.All(r.Body.JSON) {
		sameName := func(integer string) bool { return strings.EqualFold(integer, name) }
		if value == "null" || !slices.ContainsFunc(organisationIntegers, sameName) {
			continue
		}
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return store.Organisation{}, apiserver.MalformedAt(contract.Pointer(name), apiserver.ReasonNotInteger, nil)
		}
	}
	return toOrganisation(id, r.Body.JSON), nil
}

// withDefaults returns an organisation as the API shows it: the stored document, in which each documented field that it
// lacks is inserted behind its predecessor in the documented order.
func (s *Server) withDefaults(row store.Row) json.RawMessage {
	return jsondoc.Fill(row.Document, s.organisationFields, jsondoc.Quote(row.ID))
}

// GetOrgs implements admin.Handlers.
func (s *Server) GetOrgs(r *request, params admin.GetOrgsParams) admin.GetOrgsReply {
	ctx, filter := r.Context(), store.OrganisationFilter{Text: valueOf(params.Q), Page: s.page(params.P, everything)}
	return replyList(s, r, admin.GetOrgsReplies{}, list[store.Row]{
		name: "organisations", pages: "pages", page: filter.Page, rows: s.store.Organisations(ctx, filter),
		encode: func(row store.Row) (json.RawMessage, error) { return s.withDefaults(row), nil },
		count:  func() (int, error) { return s.store.CountOrganisations(ctx, filter) },
	})
}

// CreateOrg implements admin.Handlers.
func (s *Server) CreateOrg(r *request) admin.CreateOrgReply {
	var reply admin.CreateOrgReplies
	sent, err := organisationRequest(r, "")
	if err != nil {
		return reply.Malformed(err)
	}
	id, err := s.store.CreateOrganisation(r.Context(), sent)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), conflict(reply))
	}
	return reply.OK(id)
}

// importedOrganisationID returns the ID that the document of an organisation states, and the JSON pointer to it. In a
// dump of MongoDB it is the `_id`.
func importedOrganisationID(doc json.RawMessage) (id, at string) {
	for _, path := range [][]string{{"id"}, {"id", "$oid"}, {"_id"}, {"_id", "$oid"}} {
		if id := jsondoc.String(doc, path...); id != "" {
			return id, contract.Pointer(path...)
		}
	}
	return "", ""
}

// ImportOrgs implements admin.Handlers.
func (s *Server) ImportOrgs(r *request) admin.ImportOrgsReply {
	var reply admin.ImportOrgsReplies
	id, at := importedOrganisationID(r.Body.JSON)
	if id != "" && !objectID.MatchString(id) {
		return reply.Malformed(apiserver.MalformedAt(at, "must be 24 hexadecimal digits in lower case", nil))
	}
	sent, err := organisationRequest(r, id)
	if err != nil {
		return reply.Malformed(err)
	}
	id, err = s.store.ImportOrganisation(r.Context(), sent)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), conflict(reply))
	}
	return reply.OK(id)
}

// GetOrg implements admin.Handlers.
func (s *Server) GetOrg(r *request, orgID admin.OrgID) admin.GetOrgReply {
	var reply admin.GetOrgReplies
	row, err := s.store.Organisation(r.Context(), orgID)
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK(s.withDefaults(row))
}

// UpdateOrg implements admin.Handlers.
func (s *Server) UpdateOrg(r *request, orgID admin.OrgID) admin.UpdateOrgReply {
	var reply admin.UpdateOrgReplies
	sent, err := organisationRequest(r, orgID)
	if err != nil {
		return reply.Malformed(err)
	}
	if err := s.store.ReplaceOrganisation(r.Context(), sent); err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notFound(reply), conflict(reply))
	}
	return reply.OK()
}

// DeleteOrg implements admin.Handlers.
func (s *Server) DeleteOrg(r *request, orgID admin.OrgID) admin.DeleteOrgReply {
	var reply admin.DeleteOrgReplies
	if err := s.store.DeleteOrganisation(r.Context(), orgID); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK()
}

// GeneratePortalAPIsForOrg implements admin.Handlers.
func (s *Server) GeneratePortalAPIsForOrg(r *request, orgID admin.OrgID) admin.GeneratePortalAPIsForOrgReply {
	var reply admin.GeneratePortalAPIsForOrgReplies
	domain := r.Body.Form.Get("domain")
	if domain == "" {
		return reply.NotFound(nil)
	}
	err := s.store.EditOrganisation(r.Context(), orgID, func(row store.Row) store.Organisation {
		// All defaults first, so that the two fields are in their documented places.
		doc := jsondoc.Set(s.withDefaults(row), "cname_enabled", json.RawMessage("true"))
		return toOrganisation(orgID, jsondoc.Set(doc, "cname", jsondoc.Quote(domain)))
	})
	if taken, ok := errors.AsType[*store.ConflictError](err); ok {
		taken.Member = "domain" // as the form has it
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notFound(reply), conflict(reply))
	}
	return reply.OK()
}
