package server

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/internal/apidef"
	"gatehouse/internal/document"
	"gatehouse/internal/httpbody"
	"gatehouse/internal/importer"
	"gatehouse/store"
)

// replyImport answers an import: in the contract's words if all went in, else with how many did, and why others did not. Meta
// says of each id whether it is there now.
func (s *Server) replyImport(c echo.Context, result *importer.Result, kind string) error {
	message := cmp.Or(result.Refusals(kind), operationOf(c).Responses[succeeded].Message)
	out := s.newStream(c)
	separator := `{"Status":"OK","Message":` + string(document.Quote(message)) + `,"Meta":{`
	for id, imported := range result.All() {
		if err := out.write(separator, document.Quote(id)); err != nil {
			return err
		}
		separator = ":" + strconv.FormatBool(imported) + ","
	}
	return out.end(strings.TrimSuffix(separator, ",") + "}}")
}

// importDocuments imports the documents of the request's body, which toRow makes rows of, with one of the store's functions.
func importDocuments[T any](s *Server, c echo.Context, check *apidef.Check, toRow func(apidef.Document) (T, string),
	store func(context.Context, string, iter.Seq2[T, error]) (map[string]store.Refusal, error),
) (*importer.Result, error) {
	if c.Request().ContentLength > s.Limits.Import {
		return nil, httpbody.ErrTooLarge
	}
	body, err := httpbody.Open(c.Response(), c.Request(), httpbody.Limits{Bytes: s.Limits.Import, Timeout: s.Limits.BodyTimeout})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	op := operationOf(c)
	imp := &importer.Import{
		Body: body, List: op.Body.List, MaxDocument: s.Limits.Document, Check: check,
		ValidateEnvelope: func(rest json.RawMessage) error { return filter(c, op, rest) },
	}
	// A body that breaks off, or is too slow, ends the request's context. Its own error is the better one.
	ctx := context.WithoutCancel(c.Request().Context())
	refused, err := store(ctx, s.checks.Name, importer.Rows(imp, toRow))
	if err == nil {
		err = imp.Result.Err()
	}
	for id, reason := range refused {
		imp.Result.Refuse(id, string(reason))
	}
	return &imp.Result, err
}

// ImportAPIs implements admin.ServerInterface.
func (s *Server) ImportAPIs(c echo.Context) error {
	result, err := importDocuments(s, c, s.checks.APIs, s.apiRow, s.Store.ImportAPIs)
	if err != nil {
		return err
	}
	return s.replyImport(c, result, "APIs")
}

// apiRow makes the ids that a document lacks.
func (s *Server) apiRow(doc apidef.Document) (store.API, string) {
	api := doc.API()
	apiID, id := s.Store.NewAPIIDs(api.APIID, api.ID)
	return store.API{APIID: apiID, ID: id, OrgID: api.OrgID, Active: api.Active, Document: doc.WithAPIIDs(apiID, id)}, apiID
}

// ImportPolicies implements admin.ServerInterface.
func (s *Server) ImportPolicies(c echo.Context) error {
	result, err := importDocuments(s, c, s.checks.Policies, s.policyRow, s.Store.ImportPolicies)
	if err != nil {
		return err
	}
	return s.replyImport(c, result, "policies")
}

// policyRow makes the id that a document lacks.
func (s *Server) policyRow(doc apidef.Document) (store.Policy, string) {
	policy := doc.Policy()
	id := policy.ID
	if id == "" {
		id = s.Store.NewPolicyID(policy.ExplicitID)
	}
	return store.Policy{ID: id, ExplicitID: policy.ExplicitID, OrgID: policy.OrgID, Document: doc.WithPolicyID(id)}, id
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
