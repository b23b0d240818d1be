package server

import (
	"encoding/json"
	"iter"
	"math"

	"gatehouse/apiserver"
	"gatehouse/internal/fairqueue"
	"gatehouse/store"
)

// The page of a list whose parameter p is absent (docs/behaviour.md#paging).
const (
	everything = 0 // of /admin
	firstPage  = 1 // of /api
)

// page returns the page that the parameter p of a list asks for.
func (s *Server) page(p *int, absent int) store.Page {
	if p != nil {
		absent = *p
	}
	return store.Page{Number: absent, Size: s.pageSize}
}

// sentListsOfOne is how many lists are sent to the users of an organisation at the same time; others wait for one to
// end. Two chunks of a list are in memory, of up to two megabytes, also while its client does not read.
const sentListsOfOne = 32

func newSentLists() *fairqueue.Queue { return fairqueue.New(math.MaxInt64, sentListsOfOne) }

// list is a page of a list of rows.
type list[T any] struct {
	// name and pages are the names of the list and of the number of pages. Without a name, the list is the whole response.
	name, pages string
	page        store.Page
	rows        iter.Seq2[T, error]
	count       func() (int, error)
	// encode returns a row in JSON, which is used until the next call.
	encode func(T) (json.RawMessage, error)
	// file is set for a list that is sent as a file.
	file *apiserver.ListFile
}

// stored returns the document of a row.
func stored(row store.Row) (json.RawMessage, error) { return row.Document, nil }

// acquireList waits until the organisation of the caller may have one more list. release must be called once if err is
// nil.
func (s *Server) acquireList(r *request) (release func(), err error) {
	if !r.caller.authenticated() {
		return func() {}, nil
	}
	return s.sentLists.Acquire(r.Context(), 1)
}

// listReplies are the replies of an operation that returns a list.
type listReplies[R apiserver.Replier] interface {
	apiserver.ListReplies[R]
	BadParameter(cause error) R
}

// replyList sends a list (apiserver.ReplyList), when it is the turn of the caller's organisation.
func replyList[R apiserver.Replier, T any](s *Server, r *request, replies listReplies[R], l list[T]) R {
	release, err := s.acquireList(r)
	if err != nil {
		return replies.Failed(err)
	}
	defer release()
	reply := apiserver.ReplyList(r, replies, apiserver.List[T]{
		Name: l.name, Rows: l.rows, Encode: l.encode, CountName: l.pages, Count: l.countPages(), File: l.file,
	})
	// Here, and not as an expected error, whose functions would be allocated for each list.
	if cause := reply.Reply().Cause; cause != nil {
		return apiserver.ReplyError(replies, cause, badParameter(replies))
	}
	return reply
}

// countPages returns the function that counts the pages, nil if everything is on one.
func (l *list[T]) countPages() func() (int, error) {
	if l.page.Number <= 0 {
		return nil
	}
	return func() (int, error) {
		total, err := l.count()
		return l.page.Pages(total), err
	}
}
