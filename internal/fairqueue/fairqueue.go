// Package fairqueue is a weighted semaphore whose waiters take turns: first one of each party, then the next of each.
// However many requests of one organisation wait, one of another organisation waits for a few of them only.
package fairqueue

import (
	"context"
	"slices"
	"sync"
)

// Queue shares something of a size, such as memory, among parties. Its methods are safe for concurrent use.
type Queue struct {
	each int64

	mu   sync.Mutex // guards the fields below, and is held for a few look-ups in memory
	free int64
	held map[string]int64 // by party
	// waiting are the waiters of each party, the oldest first, and turns the parties that have some, the next one first.
	waiting map[string][]*waiter
	turns   []string
}

type waiter struct {
	n     int64
	ready chan struct{} // closed when it has what it waits for
}

// New returns a queue for something of a size, of which a party can have so much at the same time.
func New(size, each int64) *Queue {
	return &Queue{each: min(each, size), free: size, held: map[string]int64{}, waiting: map[string][]*waiter{}}
}

type partyKey struct{}

// partyContext is one allocation, where context.WithValue is two.
type partyContext struct {
	context.Context

	party string
}

// Value implements context.Context.
func (p *partyContext) Value(key any) any {
	if key == (partyKey{}) {
		return p
	}
	return p.Context.Value(key)
}

// WithParty returns a context whose callers of Acquire are one party. Without it, a caller is of the party "".
func WithParty(ctx context.Context, party string) context.Context { return &partyContext{ctx, party} }

func partyOf(ctx context.Context) string {
	if p, ok := ctx.Value(partyKey{}).(*partyContext); ok {
		return p.party
	}
	return ""
}

// Acquire waits for n, or for as much as a party can have if that is less. release must be called once if err is nil;
// err is that of ctx.
func (q *Queue) Acquire(ctx context.Context, n int64) (release func(), err error) {
	granted, err := q.Reserve(ctx, n)
	if err != nil {
		return nil, err
	}
	return granted.Release, nil
}

// Reserve is Acquire for a caller who may need less later. Release must be called once if err is nil.
func (q *Queue) Reserve(ctx context.Context, n int64) (*Reservation, error) {
	party := partyOf(ctx)
	w := &waiter{n: min(n, q.each), ready: make(chan struct{})}
	q.join(party, w)
	granted := &Reservation{queue: q, party: party, n: w.n}
	select {
	case <-w.ready:
		return granted, nil
	case <-ctx.Done():
		if !q.leave(party, w) {
			granted.Release() // it was granted meanwhile
		}
		return nil, ctx.Err()
	}
}

// Reservation is what a caller of Reserve has. Its methods are not safe for concurrent use.
type Reservation struct {
	queue *Queue
	party string
	n     int64
}

// Reduce returns all but n.
func (r *Reservation) Reduce(n int64) {
	if n < r.n {
		r.queue.release(r.party, r.n-n)
		r.n = n
	}
}

// Release returns all.
func (r *Reservation) Release() { r.Reduce(0) }

func (q *Queue) join(party string, w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting[party]) == 0 {
		q.turns = append(q.turns, party)
	}
	q.waiting[party] = append(q.waiting[party], w)
	q.grant()
}

// leave removes a waiter. It returns false if the waiter does not wait any more.
func (q *Queue) leave(party string, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.Index(q.waiting[party], w)
	if at < 0 {
		return false
	}
	q.remove(party, at)
	q.grant()
	return true
}

func (q *Queue) release(party string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free += n
	if q.held[party] -= n; q.held[party] == 0 {
		delete(q.held, party)
	}
	q.grant()
}

// grant gives waiters what they wait for, in turn. A party that has as much as it can have is passed over. No waiter
// overtakes one for whom not enough is free: else something large would never be granted. q.mu must be held.
func (q *Queue) grant() {
	for at := 0; at < len(q.turns); {
		party := q.turns[at]
		next := q.waiting[party][0]
		if q.held[party]+next.n > q.each {
			at++
			continue
		}
		if next.n > q.free {
			return
		}
		q.free -= next.n
		q.held[party] += next.n
		close(next.ready)
		q.remove(party, 0)
		if len(q.waiting[party]) > 0 { // behind the other parties
			q.turns = append(slices.Delete(q.turns, at, at+1), party)
		}
	}
}

// remove removes a waiter of a party, and the party after its last one. q.mu must be held.
func (q *Queue) remove(party string, at int) {
	q.waiting[party] = slices.Delete(q.waiting[party], at, at+1)
	if len(q.waiting[party]) == 0 {
		delete(q.waiting, party)
		q.turns = slices.DeleteFunc(q.turns, func(each string) bool { return each == party })
	}
}
