package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/httpbody"
	"gatehouse/internal/apidef"
	"gatehouse/internal/importer"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonlist"
	"gatehouse/internal/spool"
	"gatehouse/store"
)

// importKind is how documents of one kind are imported.
type importKind[T any] struct {
	name  string // in messages
	check *apidef.Check
	// toRow returns the row of a document, and its ID, which it makes if the document lacks one.
	toRow func(apidef.Document) (T, string)
	// document returns where a row has its document.
	document func(row *T) *json.RawMessage
	// store stores rows that the checks of a name have accepted, and returns the refused ones by ID.
	store func(ctx context.Context, checkedBy string, rows iter.Seq2[T, error]) (map[string]store.Refusal, error)
}

// importReplies are the replies of an operation that imports documents.
type importReplies[R apiserver.Replier] interface {
	StreamOK() R
	StreamRefused(message string) R
	NoneImported(message string, cause error) R
	Unauthorised(cause error) R
	TooManyAttempts(cause error) R
	EmptyBody(cause error) R
	Malformed(cause error) R
	TooLarge(cause error) R
	TooSlow(cause error) R
	Failed(cause error) R
}

// importDocuments imports the documents of the request's body.
func importDocuments[R apiserver.Replier, T any](
	s *Server, r *request, replies importReplies[R], kind importKind[T],
) R {
	result, err := receiveAndStore(s, r, kind)
	// An import may take longer than the server's timeout of a request. Ignore the error: not every ResponseWriter
	// supports deadlines.
	_ = http.NewResponseController(r.Echo.Response()).SetWriteDeadline(time.Now().Add(s.limits.BodyTimeout))
	if err != nil {
		// A body that is broken off is malformed, too: why it was broken off comes first.
		return apiserver.ReplyError(replies, err,
			apiserver.On(replies.EmptyBody, httpbody.ErrEmpty, jsonlist.ErrEmpty),
			apiserver.On(replies.TooLarge, httpbody.ErrTooLarge, jsonlist.ErrTooLarge, spool.ErrTooLarge, spool.ErrNoFile),
			apiserver.On(replies.TooSlow, httpbody.ErrTooSlow),
			apiserver.On(replies.Unauthorised, apiserver.ErrUnauthorised),
			apiserver.When(isTooManyAttempts, replies.TooManyAttempts), malformed(replies))
	}
	s.metrics.imported(r, result)
	refusals := result.Refusals(kind.name)
	if err := result.NoneImported(); err != nil {
		return replies.NoneImported(refusals, err)
	}
	reply := replies.StreamOK()
	if refusals != "" {
		reply = replies.StreamRefused(refusals)
	}
	s.auditImport(r, reply.Reply(), result)
	s.sendResult(r, reply, result)
	return reply
}

// spoolMemory is how much of an import is held in memory while its client sends, in bytes. It fits what most scripts
// import.
const spoolMemory = 1 << 20

// receiveAndStore receives and checks all documents before it stores the first one. So an import that its client sends
// slowly, or does not complete, holds neither a connection nor the lock of the table.
func receiveAndStore[T any](s *Server, r *request, kind importKind[T]) (*importer.Result, error) {
	received := spool.New(spool.Config{Dir: s.spoolDir, Memory: spoolMemory, Max: s.limits.Import})
	defer received.Close()
	body := &importBody{server: s, request: r}
	defer body.Close()
	result, err := receive(s, body, kind, received)
	if err != nil {
		if errors.Is(err, spool.ErrNoFile) {
			r.LogError("receive an import failed", err)
		}
		return nil, err
	}
	if err := r.AdmitAgain(); err != nil {
		return nil, err
	}
	refused, err := kind.store(r.Context(), s.checks.Name, spooledRows(kind, received))
	for id, reason := range refused {
		result.Refuse(id, string(reason))
	}
	return result, err
}

// receive reads and checks one document after another, and adds the rows of the valid ones to a spool.
func receive[T any](s *Server, sent *importBody, kind importKind[T], into *spool.Spool) (*importer.Result, error) {
	r := sent.request
	body, err := sent.open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	imp := &importer.Import{
		Body: body, List: r.Operation.Body.List, MaxDocument: s.limits.Document, Check: kind.check, OnLarge: sent.settle,
		ValidateEnvelope: func(envelope json.RawMessage) error { return r.ValidateBody(envelope) },
	}
	var columns []byte
	for row, err := range importer.Rows(imp, kind.toRow) {
		if err != nil {
			return nil, err
		}
		at := kind.document(&row)
		document := *at
		*at = nil
		if columns, err = apiserver.AppendJSON(columns[:0], row); err != nil {
			return nil, err
		}
		if err := into.Add(columns, document); err != nil {
			return nil, err
		}
	}
	return &imp.Result, imp.Result.Err()
}

// spooledRows returns the rows that receive has added to a spool.
func spooledRows[T any](kind importKind[T], received *spool.Spool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for fields, err := range received.Records() {
			var row T
			if err == nil {
				err = json.Unmarshal(fields[0], &row)
			}
			if err == nil {
				*kind.document(&row) = fields[1]
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// sendResult sends the body of a reply whose Meta has each ID, and whether its document was imported.
func (s *Server) sendResult(r *request, reply apiserver.Replier, result *importer.Result) {
	message := jsondoc.Quote(reply.Reply().Message())
	out := r.NewListWriter(reply, `{"Status":"`+apiserver.StatusOK+`","Message":`+string(message)+`,"Meta":{`)
	for id, imported := range result.All() {
		member := append(jsondoc.Quote(id), ':')
		if !out.Write(strconv.AppendBool(member, imported)) {
			break
		}
	}
	out.End("}}")
}

// ImportAPIs implements admin.Handlers.
func (s *Server) ImportAPIs(r *request) admin.ImportAPIsReply {
	return importDocuments(s, r, admin.ImportAPIsReplies{}, importKind[store.API]{
		name: "APIs", check: s.checks.APIs, toRow: s.toAPI, store: s.store.ImportAPIs,
		document: func(api *store.API) *json.RawMessage { return &api.Document },
	})
}

// toAPI returns the row of an API definition, and its api_id.
func (s *Server) toAPI(doc apidef.Document) (store.API, string) {
	api := doc.API()
	apiID, id := s.store.NewAPIIDs(api.APIID, strings.ToLower(api.ID))
	return store.API{
		APIID: apiID, ID: id, OrgID: api.OrgID, Active: api.Active, Document: doc.WithAPIIDs(apiID, id),
		Search: searchOf(doc),
	}, apiID
}

// What an API is searched by is bounded, because each list compares it with all APIs: the first characters of a name,
// and a number of categories of a size in bytes. The document keeps what it has.
const (
	searchedCharacters = 1000
	searchedCategories = 100
	maxCategory        = 255
)

// searchOf returns what an API is filtered and sorted by in lists.
func searchOf(doc apidef.Document) json.RawMessage {
	search := doc.Search()
	if name := []rune(search.Name); len(name) > searchedCharacters {
		search.Name = string(name[:searchedCharacters])
	}
	all, seen := search.Categories, map[string]bool{}
	search.Categories = []string{}
	for _, category := range all {
		if len(search.Categories) == searchedCategories {
			break
		}
		if !seen[category] && len(category) <= maxCategory {
			seen[category] = true
			search.Categories = append(search.Categories, category)
		}
	}
	text, _ := apiserver.AppendJSON(nil, search) // texts can be encoded
	return text
}

// ImportPolicies implements admin.Handlers.
func (s *Server) ImportPolicies(r *request) admin.ImportPoliciesReply {
	var failed error
	return importDocuments(s, r, admin.ImportPoliciesReplies{}, importKind[store.Policy]{
		name: "policies", check: s.checks.Policies,
		toRow: func(doc apidef.Document) (store.Policy, string) {
			policy, err := s.toPolicy(r, doc)
			failed = cmp.Or(failed, err)
			return policy, policy.ID
		},
		store: func(
			ctx context.Context, checkedBy string, policies iter.Seq2[store.Policy, error],
		) (map[string]store.Refusal, error) {
			if failed != nil {
				return nil, failed
			}
			return s.store.ImportPolicies(ctx, checkedBy, policies)
		},
		document: func(policy *store.Policy) *json.RawMessage { return &policy.Document },
	})
}

// toPolicy returns the row of a policy.
func (s *Server) toPolicy(r *request, doc apidef.Document) (store.Policy, error) {
	policy := doc.Policy()
	id := strings.ToLower(policy.ID) // as gateways write it; the document stays as it came
	var err error
	if id == "" {
		id, err = s.store.ImportedPolicyID(r.Context(), policy.OrgID, policy.ExplicitID)
	}
	return store.Policy{
		ID: id, ExplicitID: policy.ExplicitID, OrgID: policy.OrgID, Active: policy.Active, Document: doc.WithPolicyID(id),
		Served: s.servedPolicy(doc, id),
	}, err
}

// servedPolicy returns what gateways are given in place of a policy that is stored under an _id; nil if that is the
// policy.
func (s *Server) servedPolicy(doc apidef.Document, id string) json.RawMessage {
	served := s.checks.Policies.Served(doc)
	if served == nil {
		return nil
	}
	return apidef.WithPolicyID(served, id)
}
