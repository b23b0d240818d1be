package server

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/internal/document"
	"gatehouse/store"
)

// databaseID is the form that a Tyk Gateway decodes as an id of the database (facts gateway §3).
var databaseID = regexp.MustCompile(`^[0-9a-fA-F]{24}$`)

// maxReasons bounds how many refusals an import's Message explains; Meta names them all.
const maxReasons = 10

// verdict is what becomes of the documents of an import.
type verdict struct {
	order   []string          // the ids, as they came
	refused map[string]string // why, by id
}

func newVerdict() *verdict { return &verdict{refused: map[string]string{}} }

// refuse notes a document that is not imported.
func (v *verdict) refuse(id, why string) {
	v.order = append(v.order, id)
	v.refused[id] = why
}

// meta says of each id whether it is there now.
func (v *verdict) meta() map[string]bool {
	there := make(map[string]bool, len(v.order))
	for _, id := range v.order {
		_, refused := v.refused[id]
		there[id] = !refused
	}
	return there
}

// reply answers an import: in the contract's words if all went in, else with how many did, and why others did not.
func (v *verdict) reply(c echo.Context, what string) error {
	there := v.meta()
	if len(v.refused) == 0 {
		return done(c, there)
	}
	message := []string{fmt.Sprintf("%d of %d %s imported", len(there)-len(v.refused), len(there), what)}
	for _, id := range v.order {
		why, ok := v.refused[id]
		if !ok {
			continue
		}
		if len(message) > maxReasons {
			message = append(message, fmt.Sprintf("and %d more", len(v.refused)-maxReasons))
			break
		}
		message = append(message, id+": "+why)
	}
	return say(c, strings.Join(message, "; "), there)
}

// reasons writes problems as one line.
func reasons(problems []problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, strings.TrimSpace(p.Path+" "+p.Reason))
	}
	return strings.Join(all, ", ")
}

// ImportAPIs implements admin.ServerInterface.
func (s *Server) ImportAPIs(c echo.Context) error {
	sent, err := elements(c)
	if err != nil {
		return err
	}
	v := newVerdict()
	apis := map[string]store.API{} // of two with one id, the later counts, as for a JSON object
	for i, e := range sent {
		api, why := s.api(e)
		switch {
		case why == "":
			v.order = append(v.order, api.APIID)
			apis[api.APIID] = api
		case api.APIID == "":
			v.refuse(fmt.Sprintf("/apis/%d", i), why)
		default:
			v.refuse(api.APIID, why)
		}
	}
	refused, err := s.Store.ImportAPIs(c.Request().Context(), inOrder(v.order, apis))
	if err != nil {
		return err
	}
	v.add(refused)
	return v.reply(c, "APIs")
}

// add notes what the store refused.
func (v *verdict) add(refused map[string]store.Refusal) {
	for id, why := range refused {
		v.refused[id] = string(why)
	}
}

// inOrder lists the documents of ids once each, in the order in which they came first.
func inOrder[T any](ids []string, byID map[string]T) []T {
	var list []T
	listed := map[string]bool{}
	for _, id := range ids {
		if doc, ok := byID[id]; ok && !listed[id] {
			list, listed[id] = append(list, doc), true
		}
	}
	return list
}

// api takes out of an element what is searched, and makes the ids that it lacks; or says why it is refused.
func (s *Server) api(e element) (api store.API, refused string) {
	definition, ok := document.Get(e.document, "api_definition")
	api.APIID = document.String(definition, "api_id")
	given := document.String(definition, "id")
	switch {
	case len(e.problems) > 0:
		return api, reasons(e.problems)
	case !ok || document.Members(definition) == nil:
		return api, "it has no api_definition"
	case given != "" && !databaseID.MatchString(given):
		return api, "/api_definition/id must be 24 hexadecimal digits"
	}
	apiID, id := s.Store.NewAPIIDs(api.APIID, given)
	definition = withID(withID(definition, "id", id), "api_id", apiID)
	return store.API{
		APIID: apiID, ID: id, OrgID: document.String(definition, "org_id"),
		Active:   document.Bool(definition, true, "active"), // who says nothing of it wants it served
		Document: document.Set(e.document, "api_definition", definition),
	}, ""
}

// withID sets an id that a document lacks; a document that has it stays as it is.
func withID(doc json.RawMessage, name, id string) json.RawMessage {
	if document.String(doc, name) == id {
		return doc
	}
	return document.Set(doc, name, document.Quote(id))
}

// ImportPolicies implements admin.ServerInterface.
func (s *Server) ImportPolicies(c echo.Context) error {
	sent, err := elements(c)
	if err != nil {
		return err
	}
	v := newVerdict()
	policies := map[string]store.Policy{}
	for i, e := range sent {
		policy, why := s.policy(e)
		switch {
		case why == "":
			v.order = append(v.order, policy.ID)
			policies[policy.ID] = policy
		case policy.ID == "":
			v.refuse(fmt.Sprintf("/Data/%d", i), why)
		default:
			v.refuse(policy.ID, why)
		}
	}
	refused, err := s.Store.ImportPolicies(c.Request().Context(), inOrder(v.order, policies))
	if err != nil {
		return err
	}
	v.add(refused)
	return v.reply(c, "policies")
}

// policy takes out of an element what is searched, and makes the id that it lacks; or says why it is refused.
func (s *Server) policy(e element) (policy store.Policy, refused string) {
	policy.ID = document.String(e.document, "_id")
	policy.ExplicitID = document.String(e.document, "id")
	switch {
	case len(e.problems) > 0:
		return policy, reasons(e.problems)
	case policy.ID != "" && !databaseID.MatchString(policy.ID):
		return policy, "/_id must be 24 hexadecimal digits"
	case policy.ID == "":
		policy.ID = s.Store.NewPolicyID(policy.ExplicitID)
	}
	policy.OrgID = document.String(e.document, "org_id")
	policy.Document = withID(e.document, "_id", policy.ID)
	return policy, ""
}

// ExportAPIs implements admin.ServerInterface.
func (s *Server) ExportAPIs(c echo.Context, params admin.ExportAPIsParams) error {
	return s.sendAPIs(c, store.Filter{OrgID: params.OrgId, Page: s.page(params.P, everything)})
}

func (s *Server) sendAPIs(c echo.Context, filter store.Filter) error {
	ctx := c.Request().Context()
	return s.send(c, listing{
		list: "apis", pages: "pages", page: filter.Page, rows: s.Store.APIs(ctx, filter),
		count: func() (int, error) { return s.Store.CountAPIs(ctx, filter) },
	})
}

// ExportPolicies implements admin.ServerInterface.
func (s *Server) ExportPolicies(c echo.Context, params admin.ExportPoliciesParams) error {
	return s.sendPolicies(c, store.Filter{OrgID: params.OrgId, Page: s.page(params.P, everything)})
}

func (s *Server) sendPolicies(c echo.Context, filter store.Filter) error {
	ctx := c.Request().Context()
	return s.send(c, listing{
		list: "Data", pages: "Pages", page: filter.Page, rows: s.Store.Policies(ctx, filter),
		count: func() (int, error) { return s.Store.CountPolicies(ctx, filter) },
	})
}

// RemoveAPI implements admin.ServerInterface.
func (s *Server) RemoveAPI(c echo.Context, apiID admin.APIID) error {
	if err := s.Store.DeleteAPI(c.Request().Context(), apiID); err != nil {
		return err
	}
	return done(c, nil)
}

// RemovePolicy implements admin.ServerInterface.
func (s *Server) RemovePolicy(c echo.Context, policyID admin.PolicyID) error {
	if err := s.Store.DeletePolicy(c.Request().Context(), policyID); err != nil {
		return err
	}
	return done(c, nil)
}
