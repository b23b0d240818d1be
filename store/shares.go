package store

import (
	"context"
	"sync"
)

// An organisation has at most every second connection of the pool at a time, and every fourth for statements that may
// take long, of which all organisations together have every second one. However slow its statements are, others, and
// gateways, find a connection for theirs.
const (
	partOfOne     = 2
	partOfLongOne = 4
	partOfLong    = 2
)

// organised is a context with the organisation that calls are made for. It is one allocation.
type organised struct {
	context.Context

	organisation string
}

type organisationKey struct{}

// Value implements context.Context.
func (o *organised) Value(key any) any {
	if key == (organisationKey{}) {
		return o
	}
	return o.Context.Value(key)
}

// WithOrganisation returns a context for calls that are made for a user of an organisation, which share its part of the
// connections. Calls without an organisation have no such limit.
func WithOrganisation(ctx context.Context, orgID string) context.Context {
	return &organised{ctx, orgID}
}

// organisationOf returns "" if a call is not made for an organisation.
func organisationOf(ctx context.Context) string {
	if o, ok := ctx.Value(organisationKey{}).(*organised); ok {
		return o.organisation
	}
	return ""
}

// shares bounds how many connections an organisation has at a time.
type shares struct {
	size, longSize int
	long           chan struct{} // has an element for each connection with a statement that may take long

	mu   sync.Mutex // guards the fields below, and is held for a look-up in memory
	of   map[string]*share
	idle []*share // for other organisations
}

// share is the part of an organisation that has connections, or waits for one. Its channels have an element for each.
type share struct {
	all, long chan struct{}
	callers   int // guarded by shares.mu
}

func newShares(connections int) *shares {
	part := func(of int) int { return max(1, connections/of) }
	return &shares{
		size: part(partOfOne), longSize: part(partOfLongOne), long: make(chan struct{}, part(partOfLong)),
		of: map[string]*share{},
	}
}

// lease is a connection's place in the part of its organisation; the zero value is that of no organisation.
type lease struct {
	shares       *shares
	organisation string
	taken        [3]chan struct{} // nil where nothing has to be returned
}

// acquire waits until the organisation of a call may have one connection more. Its error is that of the context.
func (s *shares) acquire(ctx context.Context) (l lease, err error) {
	organisation := organisationOf(ctx)
	if organisation == "" {
		return lease{}, nil
	}
	part := s.join(organisation)
	l = lease{shares: s, organisation: organisation}
	wanted := [3]chan struct{}{1: part.all} // acquired in this order, without deadlocks
	if isLong(ctx) {
		wanted[0], wanted[2] = part.long, s.long
	}
	for i, places := range wanted {
		if places == nil {
			continue
		}
		select {
		case places <- struct{}{}:
			l.taken[i] = places
		case <-ctx.Done():
			l.release()
			return lease{}, ctx.Err()
		}
	}
	return l, nil
}

func (l lease) release() {
	if l.shares == nil {
		return
	}
	for _, places := range l.taken {
		if places != nil {
			<-places
		}
	}
	l.shares.leave(l.organisation)
}

func (s *shares) join(organisation string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.of[organisation]
	if part == nil {
		part = s.unused()
		s.of[organisation] = part
	}
	part.callers++
	return part
}

// unused returns a share that no organisation has. s.mu must be held.
func (s *shares) unused() *share {
	if last := len(s.idle) - 1; last >= 0 {
		part := s.idle[last]
		s.idle = s.idle[:last]
		return part
	}
	return &share{all: make(chan struct{}, s.size), long: make(chan struct{}, s.longSize)}
}

func (s *shares) leave(organisation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.of[organisation]
	if part.callers--; part.callers == 0 {
		delete(s.of, organisation)
		s.idle = append(s.idle, part)
	}
}

// full reports whether the organisation of a call has all connections that it may have.
func (s *shares) full(ctx context.Context) bool {
	organisation := organisationOf(ctx)
	if organisation == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.of[organisation]
	return part != nil && len(part.all) == cap(part.all)
}
