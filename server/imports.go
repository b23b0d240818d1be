package server

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"strconv"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/apidef"
	"gatehouse/internal/httpbody"
	"gatehouse/internal/importer"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// importKind is how documents of one kind are imported.
type importKind[T any] struct {
	name  string // in messages
	check *apidef.Check
	// toRow returns the row of a document, and its ID, which it makes if the document lacks one.
	toRow func(apidef.Document) (T, string)
	// store stores rows that the checks of a name have accepted, and returns the refused ones by ID.
	store func(ctx context.Context, checkedBy string, rows iter.Seq2[T, error]) (map[string]store.Refusal, error)
}

// importDocuments imports the documents of the request's body. It reads and checks one at a time, while the store
// writes those before it, in one transaction.
func importDocuments[T any](s *Server, c echo.Context, kind importKind[T]) error {
	if c.Request().ContentLength > s.limits.Import {
		return httpbody.ErrTooLarge
	}
	limits := httpbody.Limits{Bytes: s.limits.Import, Timeout: s.limits.BodyTimeout}
	body, err := httpbody.Open(c.Response(), c.Request(), limits)
	if err != nil {
		return err
	}
	defer body.Close()
	op := operationOf(c)
	imp := &importer.Import{
		Body: body, List: op.Body.List, MaxDocument: s.limits.Document, Check: kind.check,
		ValidateEnvelope: func(envelope json.RawMessage) error { return validate(c, op, envelope) },
	}
	// net/http cancels the request when its body breaks off. The error of the body is the better one.
	ctx := context.WithoutCancel(c.Request().Context())
	refused, err := kind.store(ctx, s.checks.Name, importer.Rows(imp, kind.toRow))
	if err == nil {
		err = imp.Result.Err()
	}
	if err != nil {
		return err
	}
	for id, reason := range refused {
		imp.Result.Refuse(id, string(reason))
	}
	return s.replyImport(c, &imp.Result, kind.name)
}

// replyImport replies with the contract's message if all documents were imported, else with how many were, and why
// others were not. Meta has each ID, and whether it was imported.
func (s *Server) replyImport(c echo.Context, result *importer.Result, kind string) error {
	message := cmp.Or(result.Refusals(kind), operationOf(c).Responses[outcomeOK].Message)
	out := s.newListWriter(c, `{"Status":"OK","Message":`+string(jsondoc.Quote(message))+`,"Meta":{`)
	for id, imported := range result.All() {
		member := append(jsondoc.Quote(id), ':')
		if err := out.write(strconv.AppendBool(member, imported)); err != nil {
			return err
		}
	}
	return out.end("}}")
}

// ImportAPIs implements admin.ServerInterface.
func (s *Server) ImportAPIs(c echo.Context) error {
	return importDocuments(s, c, importKind[store.API]{
		name: "APIs", check: s.checks.APIs, toRow: s.toAPI, store: s.store.ImportAPIs,
	})
}

// toAPI returns the row of an API definition, and its api_id.
func (s *Server) toAPI(doc apidef.Document) (store.API, string) {
	api := doc.API()
	apiID, id := s.store.NewAPIIDs(api.APIID, api.ID)
	return store.API{
		APIID: apiID, ID: id, OrgID: api.OrgID, Active: api.Active, Document: doc.WithAPIIDs(apiID, id),
	}, apiID
}

// ImportPolicies implements admin.ServerInterface.
func (s *Server) ImportPolicies(c echo.Context) error {
	return importDocuments(s, c, importKind[store.Policy]{
		name: "policies", check: s.checks.Policies, toRow: s.toPolicy, store: s.store.ImportPolicies,
	})
}

// toPolicy returns the row of a policy, and its _id.
func (s *Server) toPolicy(doc apidef.Document) (store.Policy, string) {
	policy := doc.Policy()
	id := policy.ID
	if id == "" {
		id = s.store.NewPolicyID(policy.ExplicitID)
	}
	return store.Policy{ID: id, ExplicitID: policy.ExplicitID, OrgID: policy.OrgID, Document: doc.WithPolicyID(id)}, id
}
