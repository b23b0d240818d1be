package server

import (
	"context"
	"errors"
	"iter"

	"gatehouse/apiserver"
	"gatehouse/internal/gziplist"
	"gatehouse/store"
)

// After a change, each of a fleet of gateways requests the same lists. They are read from the database once, and kept
// as compressed text until the next change. Before each answer, the version of the database is compared
// (store.Version), once for all requests that wait for it.

// errNotKept is returned for a list that is not kept in memory, for the version that is stored: it is read from the
// database for each request.
var errNotKept = errors.New("the list is not kept in memory")

// answer returns a list that has everything that was committed before the call. The caller has to release it. The error
// is errNotKept, or that of the database.
func (s *Server) answer(ctx context.Context, l *nodeList) (nodeAnswer, error) {
	if l.cache.memory.limit == 0 {
		return nodeAnswer{}, errNotKept
	}
	got, err := l.cache.calls.Do(ctx, func(ctx context.Context) (nodeAnswer, error) { return s.refresh(ctx, l) })
	if err == nil {
		got.keep()
	}
	return got, err
}

// refresh makes a list, unless the current one is that of the version that is stored.
func (s *Server) refresh(ctx context.Context, l *nodeList) (nodeAnswer, error) {
	c := &l.cache
	version, at, err := s.store.Version(ctx)
	if err != nil { // the listener is not connected, or notices are delayed: the list is only for those that wait for it
		if at, err = s.store.Clock(ctx); err != nil {
			return nodeAnswer{}, err
		}
		made, err := s.makeSnapshot(ctx, l, new(gziplist.List))
		return nodeAnswer{made, at}, err
	}
	if c.current == nil || c.current.version != version {
		before := new(gziplist.List)
		if c.current != nil && c.current.list != nil && c.current.version.SameServer(version) {
			before = c.current.list
		}
		made, err := s.makeSnapshot(ctx, l, before)
		if errors.Is(err, errNotKept) {
			made = &nodeSnapshot{memory: c.memory}
		} else if err != nil {
			return nodeAnswer{}, err
		}
		made.version = version
		made.keep()
		c.current.release()
		c.current = made
	}
	if c.current.list == nil {
		return nodeAnswer{}, errNotKept
	}
	return nodeAnswer{c.current, at}, nil
}

func (s *Server) makeSnapshot(ctx context.Context, l *nodeList, before *gziplist.List) (*nodeSnapshot, error) {
	list, err := s.makeList(ctx, l, before)
	if err != nil {
		return nil, err
	}
	return &nodeSnapshot{memory: l.cache.memory, list: list, bytes: len(list.Members())}, nil
}

// makeList makes a list of what is stored now. It takes from the one before what has not changed.
func (s *Server) makeList(
	ctx context.Context, l *nodeList, before *gziplist.List,
) (list *gziplist.List, err error) {
	var results []store.CheckResult
	s.metrics.listReads.WithLabelValues(l.operation).Inc()
	err = l.read(ctx, s.checks.Name, func(stored store.NodeSnapshot) (err error) {
		results = nil
		source := gziplist.Source{
			Read: func(first, last int64) iter.Seq2[gziplist.Element, error] {
				return s.elements(l, stored.Documents(first, last), &results)
			},
			Check: func(elements []byte) error { return s.checkElements(l, elements) },
			Limit: l.cache.memory.free(),
		}
		for _, row := range stored.Rows {
			source.Rows = append(source.Rows, gziplist.Row(row))
		}
		list, err = before.Next(source)
		return err
	})
	if errors.Is(err, gziplist.ErrTooLarge) || errors.Is(err, apiserver.ErrDeparture) {
		s.log.Warn("list for gateways is not kept in memory", "operation", l.operation, "reason", err)
		return nil, errNotKept
	}
	if err == nil {
		s.saveResults(ctx, l, results)
	}
	return list, err
}

// elements are the documents of a list that gateways can decode. Those that have not been checked are, which adds to
// results.
func (s *Server) elements(
	l *nodeList, documents iter.Seq2[store.NodeDocument, error], results *[]store.CheckResult,
) iter.Seq2[gziplist.Element, error] {
	return func(yield func(gziplist.Element, error) bool) {
		for row, err := range documents {
			document := row.Document
			if err == nil && row.Unchecked {
				result := s.checkStored(l, row)
				*results = append(*results, result)
				if !result.Loadable {
					continue
				}
				if result.Served != nil {
					document = result.Served
				}
			}
			if !yield(gziplist.Element{Position: row.Position, JSON: document}, err) {
				return
			}
		}
	}
}

// checkElements checks a part of a list against the contract, as a response is checked. It returns
// apiserver.ErrDeparture for one that departs from it: such a list is checked, and reported, each time that it is sent.
func (s *Server) checkElements(l *nodeList, elements []byte) error {
	return s.api.CheckBody(s.contract.Operation(l.operation), []byte(nodeListHead), elements, []byte(s.nodeListTail()))
}
