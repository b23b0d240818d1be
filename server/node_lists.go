package server

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/gen/node"
	"gatehouse/httpbody"
	"gatehouse/internal/gziplist"
	"gatehouse/internal/importer"
	"gatehouse/store"
)

// headerSession has the ID of the gateway's process, and headerNode its ID. The lists are the same for all.
const (
	headerSession = "X-Tyk-Session-Id"
	headerNode    = "X-Tyk-Nodeid"
)

// recordTimeout is how long the end of a list may wait until its fetch is recorded. A gateway whose fetch is not
// recorded is notified again.
const recordTimeout = time.Second

// nodeListHead begins a list, and nodeListTail ends it with a nonce.
const nodeListHead = `{"Message":[`

func (s *Server) nodeListTail() string { return `],"Nonce":"` + s.store.NewNodeNonce() + `"}` }

// newNodeLists sets the lists for gateways, which may occupy some memory, in bytes.
func (s *Server) newNodeLists(memory int) {
	shared := &nodeMemory{limit: memory}
	s.nodePolicies = &nodeList{
		operation: "getNodePolicies", rows: s.store.NodePolicies, read: s.store.ReadNodePolicies,
		check: s.checks.Policies, saveChecks: s.store.SavePolicyChecks, recordFetch: s.store.RecordPoliciesFetch,
		cache: nodeCache{memory: shared},
	}
	s.nodeAPIs = &nodeList{
		operation: "getNodeAPIs", rows: s.store.NodeAPIs, read: s.store.ReadNodeAPIs,
		check: s.checks.APIs, saveChecks: s.store.SaveAPIChecks, recordFetch: s.store.RecordAPIsFetch,
		cache: nodeCache{memory: shared},
	}
}

// GetNodePolicies implements node.Handlers.
func (s *Server) GetNodePolicies(r *request) node.GetNodePoliciesReply {
	if !r.IsHead() {
		s.sync.PoliciesSent(r.Header(headerSession))
	}
	return replyNodeList(s, r, node.GetNodePoliciesReplies{}, s.nodePolicies)
}

// GetNodeAPIs implements node.Handlers.
func (s *Server) GetNodeAPIs(r *request) node.GetNodeAPIsReply {
	if !r.IsHead() {
		defer s.sync.APIsSent(r.Header(headerSession))
	}
	return replyNodeList(s, r, node.GetNodeAPIsReplies{}, s.nodeAPIs)
}

// GetNodeClientIDPs implements node.Handlers.
func (s *Server) GetNodeClientIDPs(*request) node.GetNodeClientIDPsReply {
	nothing := node.NodeClientIDPs{Message: []map[string]any{}, Nonce: s.store.NewNodeNonce()}
	return node.GetNodeClientIDPsReplies{}.OK(nothing)
}

// nodeListReplies are the replies of an operation that returns a list for gateways.
type nodeListReplies[R apiserver.Replier] interface {
	StreamOK() R
	Failed(cause error) R
}

// replyNodeList sends a list as it is kept in memory, or else row by row as the database returns it. A list that was
// sent in full is recorded.
func replyNodeList[R apiserver.Replier](s *Server, r *request, replies nodeListReplies[R], l *nodeList) R {
	if r.IsHead() {
		return streamNodeList(s, r, replies, l)
	}
	kept, err := s.answer(r.Context(), l)
	switch {
	case errors.Is(err, errNotKept):
		return streamNodeList(s, r, replies, l)
	case err != nil:
		return replies.Failed(err)
	}
	defer kept.release()
	ok := replies.StreamOK()
	if s.sendKept(r, ok, kept.nodeSnapshot) {
		s.recordFetch(r, l, kept.at)
	}
	return ok
}

// sendKept sends a list that is kept. It reports whether the whole list was sent.
func (s *Server) sendKept(r *request, reply apiserver.Replier, kept *nodeSnapshot) bool {
	head, tail, length, write := []byte(nodeListHead), []byte(s.nodeListTail()), kept.list.Len(), kept.writePlain
	response := r.Echo.Response()
	header := response.Header()
	if httpbody.AcceptsGzip(r.Echo.Request()) {
		header.Set(echo.HeaderContentEncoding, "gzip")
		head, tail = nodeListMember, gziplist.AppendStored(nil, string(tail))
		length, write = len(kept.list.Members()), kept.writeGzip
	}
	header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	header.Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
	header.Set(echo.HeaderContentLength, strconv.Itoa(len(head)+length+len(tail)))
	r.Unchecked()
	response.Status = reply.Reply().Response.Status
	out := r.NewPacedWriter()
	_, err := out.Write(head)
	if err == nil {
		err = write(out)
	}
	if err == nil {
		_, err = out.Write(tail)
	}
	if err != nil {
		s.log.Info("response broken off by its client", "route", r.Echo.Path(), "err", err)
	}
	return err == nil
}

// nodeListMember is nodeListHead as a gzip member.
var nodeListMember = gziplist.AppendStored(nil, nodeListHead)

// streamNodeList sends a list row by row as the database returns it. Documents that these checks have not seen yet are
// checked first. One that gateways cannot decode is left out and logged. An error after a part of the list was sent
// ends it so that gateways discard it.
func streamNodeList[R apiserver.Replier](s *Server, r *request, replies nodeListReplies[R], l *nodeList) R {
	began, clockErr := s.fetchTime(r)
	ok := replies.StreamOK()
	out := r.NewListWriter(ok, nodeListHead)
	var results []store.CheckResult
	s.metrics.listReads.WithLabelValues(l.operation).Inc()
	for element, err := range s.elements(l, l.rows(r.Context(), s.checks.Name), &results) {
		switch {
		case err != nil && r.Sent():
			r.LogBroken(err)
			out.End(brokenTail)
			return ok
		case err != nil:
			return replies.Failed(err)
		}
		if !out.Write(element.JSON) {
			break
		}
	}
	if !out.End(s.nodeListTail()) || r.IsHead() {
		return ok
	}
	if clockErr != nil {
		r.LogError("record fetch of a gateway failed", clockErr)
	} else {
		s.recordFetch(r, l, began)
	}
	s.saveResults(r.Context(), l, results)
	return ok
}

// fetchTime returns the time of the database's clock, if a fetch has to be recorded: what changes from now on, the list
// may lack.
func (s *Server) fetchTime(r *request) (time.Time, error) {
	if r.IsHead() || r.Header(headerNode) == "" {
		return time.Time{}, nil
	}
	return s.store.Clock(r.Context())
}

// recordFetch records the fetch of a registered node. What cannot be recorded is logged, and the node is notified once
// more.
func (s *Server) recordFetch(r *request, l *nodeList, began time.Time) {
	sent := r.Header(headerNode)
	id := headerText(&sent)
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTimeout)
	defer cancel()
	err := l.recordFetch(ctx, id, began)
	switch {
	case errors.Is(err, context.DeadlineExceeded): // of a database that is busy, which is no fault
		s.log.Warn("record fetch of a gateway timed out, notifying it again", "operation", r.Operation.ID, "err", err)
	case err != nil:
		r.LogError("record fetch of a gateway failed", err)
	}
}

// checkStored checks whether gateways can decode a stored document, and logs why not. The result does not have the
// document, because it is kept until the end of the list.
func (s *Server) checkStored(l *nodeList, row store.NodeDocument) store.CheckResult {
	served, problems := l.check.Stored(row.Document)
	if problems != nil {
		s.log.Error("document left out: gateways cannot decode it", "operation", l.operation, "id", row.ID,
			"problems", importer.Reasons(problems))
	}
	row.Document = nil
	return store.CheckResult{Document: row, Loadable: problems == nil, Served: served}
}

// saveResults stores the results of checks. Documents whose results are not stored are checked again.
func (s *Server) saveResults(ctx context.Context, l *nodeList, results []store.CheckResult) {
	if len(results) == 0 {
		return
	}
	if err := l.saveChecks(ctx, s.checks.Name, results); err != nil {
		s.log.Error("save checks failed", "operation", l.operation, "err", err)
	}
}
