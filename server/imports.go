package server

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/document"
	"gatehouse/internal/schema"
	"gatehouse/store"
)

// maxReasons bounds how many refusals an import's Message explains; Meta names them all.
const maxReasons = 10

// verdict is what becomes of the documents of an import.
type verdict struct {
	ids     idList            // as they came
	refused map[string]string // why, by id
	// problems are those of documents that do not fit the contract, placed in the body.
	problems []contract.Problem
	fits     int // documents that fit
	read     int
}

func newVerdict() *verdict { return &verdict{refused: map[string]string{}} }

// add notes a document's id. It is malformed if the body has it twice: which of the two is meant?
func (v *verdict) add(list, id string) error {
	if !v.ids.add(id) {
		return failure{event: malformed, problems: []contract.Problem{{Path: contract.Pointer(list, strconv.Itoa(v.read)), Reason: "has the id of one before it"}}}
	}
	return nil
}

// refuse notes why a document is not imported. One that does not say its id goes by its place.
func (v *verdict) refuse(list, id string, problems []contract.Problem) error {
	place := contract.Pointer(list, strconv.Itoa(v.read))
	if len(v.problems) < contract.MaxProblems {
		v.problems = append(v.problems, within(place, problems)...)
	}
	if id == "" {
		id = place
	}
	v.refused[id] = reasons(problems)
	return v.add(list, id)
}

// check fails if not one of the documents fits the contract: then the body as a whole does not.
func (v *verdict) check() error {
	if v.fits == 0 && v.read > 0 {
		return failure{event: malformed, problems: v.problems[:min(len(v.problems), contract.MaxProblems)]}
	}
	return nil
}

// replyImport answers an import: in the contract's words if all went in, else with how many did, and why others did not. Meta
// says of each id whether it is there now.
func (s *Server) replyImport(c echo.Context, v *verdict, what string) error {
	message := operationOf(c).Responses[succeeded].Message
	if len(v.refused) > 0 {
		message = v.message(what)
	}
	out := s.newStream(c)
	separator := `{"Status":"OK","Message":` + string(document.Quote(message)) + `,"Meta":{`
	for id := range v.ids.all() {
		_, refused := v.refused[id]
		if err := out.write(separator, document.Quote(id)); err != nil {
			return err
		}
		separator = ":" + strconv.FormatBool(!refused) + ","
	}
	return out.end(strings.TrimSuffix(separator, ",") + "}}")
}

func (v *verdict) message(what string) string {
	message := fmt.Sprintf("%d of %d %s imported", v.ids.len()-len(v.refused), v.ids.len(), what)
	explained := 0
	for id := range v.ids.all() {
		why, ok := v.refused[id]
		if !ok {
			continue
		}
		if explained++; explained > maxReasons {
			return message + fmt.Sprintf("; and %d more", len(v.refused)-maxReasons)
		}
		message += "; " + id + ": " + why
	}
	return message
}

// reasons writes problems as one line.
func reasons(problems []contract.Problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, strings.TrimSpace(p.Path+" "+p.Reason))
	}
	return strings.Join(all, ", ")
}

// arriving are the documents of the body that fit the contract, as read makes them, and notes what becomes of all in v.
func arriving[T any](s *Server, c echo.Context, v *verdict, check *documentCheck, idOf int,
	read func(*arrival) (T, string),
) iter.Seq2[T, error] {
	list := operationOf(c).Body.List
	return func(yield func(T, error) bool) {
		for a, err := range s.arrivals(c, check) {
			var item T
			switch {
			case err != nil:
			case len(a.problems) > 0:
				err = v.refuse(list, textOf(a.result, idOf), a.problems)
			default:
				var id string
				item, id = read(a)
				v.fits++
				err = v.add(list, id)
			}
			if err != nil {
				yield(item, err)
				return
			}
			if v.read++; len(a.problems) == 0 && !yield(item, nil) {
				return
			}
		}
	}
}

// textOf is what was captured of a document, as text.
func textOf(r schema.Result, captured int) string {
	var s string
	if raw := r.Captured[captured]; len(raw) > 0 && raw[0] == '"' {
		_ = json.Unmarshal(raw, &s) // it has been checked
	}
	return s
}

// take answers an import of documents that read takes out of the body.
func take[T any](s *Server, c echo.Context, what string, check *documentCheck, idOf int, read func(*arrival) (T, string),
	keep func(context.Context, string, iter.Seq2[T, error]) (map[string]store.Refusal, error),
) error {
	v := newVerdict()
	// A body that breaks off, or is too slow, ends the request's context, and its own error is the better one.
	ctx := context.WithoutCancel(c.Request().Context())
	refused, err := keep(ctx, s.loadable.name, arriving(s, c, v, check, idOf, read))
	if err == nil {
		err = v.check()
	}
	if err != nil {
		return err
	}
	for id, why := range refused {
		v.refused[id] = string(why)
	}
	return s.replyImport(c, v, what)
}

// ImportAPIs implements admin.ServerInterface.
func (s *Server) ImportAPIs(c echo.Context) error {
	return take(s, c, "APIs", s.loadable.apis, apiID, s.api, s.Store.ImportAPIs)
}

// api takes out of a document what is searched, and makes the ids that it lacks.
func (s *Server) api(a *arrival) (store.API, string) {
	doc, definition := json.RawMessage(a.result.Document), json.RawMessage(a.result.Captured[apiDefinition])
	given, givenID := textOf(a.result, apiID), textOf(a.result, apiDatabaseID)
	api := store.API{OrgID: textOf(a.result, apiOrgID), Document: doc}
	api.Active = string(a.result.Captured[apiActive]) != "false" // who says nothing of it wants it served
	api.APIID, api.ID = s.Store.NewAPIIDs(given, givenID)
	if api.APIID != given || api.ID != givenID {
		definition = withID(withID(definition, "id", api.ID), "api_id", api.APIID)
		api.Document = document.Set(doc, "api_definition", definition)
	}
	return api, api.APIID
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
	return take(s, c, "policies", s.loadable.policies, policyDatabaseID, s.policy, s.Store.ImportPolicies)
}

// policy takes out of a document what is searched, and makes the id that it lacks.
func (s *Server) policy(a *arrival) (store.Policy, string) {
	policy := store.Policy{
		ID: textOf(a.result, policyDatabaseID), ExplicitID: textOf(a.result, policyID), OrgID: textOf(a.result, policyOrgID),
		Document: a.result.Document,
	}
	if policy.ID == "" {
		policy.ID = s.Store.NewPolicyID(policy.ExplicitID)
		policy.Document = withID(policy.Document, "_id", policy.ID)
	}
	return policy, policy.ID
}

// ExportAPIs implements admin.ServerInterface.
func (s *Server) ExportAPIs(c echo.Context, params admin.ExportAPIsParams) error {
	return s.sendAPIs(c, store.Filter{OrgID: params.OrgId, Page: s.page(params.P, everything)})
}

func (s *Server) sendAPIs(c echo.Context, filter store.Filter) error {
	ctx := c.Request().Context()
	return send(s, c, listing[store.Row]{
		list: "apis", pages: "pages", page: filter.Page, show: asStored, rows: s.Store.APIs(ctx, filter),
		count: func() (int, error) { return s.Store.CountAPIs(ctx, filter) },
	})
}

// ExportPolicies implements admin.ServerInterface.
func (s *Server) ExportPolicies(c echo.Context, params admin.ExportPoliciesParams) error {
	return s.sendPolicies(c, store.Filter{OrgID: params.OrgId, Page: s.page(params.P, everything)})
}

func (s *Server) sendPolicies(c echo.Context, filter store.Filter) error {
	ctx := c.Request().Context()
	return send(s, c, listing[store.Row]{
		list: "Data", pages: "Pages", page: filter.Page, show: asStored, rows: s.Store.Policies(ctx, filter),
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
