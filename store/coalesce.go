package store

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long callers wait for a statement that takes its time, for example for a lock, before the next one runs
// beside it.
const patience = 50 * time.Millisecond

// coalescer lets concurrent callers share statements. A caller whom nobody is before runs their own at once; the others
// wait until it ends, and then share the next. Each keeps their own deadline. Callers whom a shared statement has no answer
// for, because it failed, whoever's fault that was, or left them out, run their own: what goes wrong for one goes wrong for
// nobody else. Callers with the same key share the answer, which nobody may change.
type coalescer[K comparable, V any] struct {
	// alone answers one caller, with one statement.
	alone func(context.Context, K) (V, error)
	// shared answers several, with one statement. It waits for no locks, and leaves out whom it would have to wait for.
	shared func(context.Context, []K) (map[K]V, error)

	mu      sync.Mutex
	running int
	waiting []*call[K, V]
}

// statements is how many run at once: one keeps a core of the database busy, which has about half of them. With more, fewer
// share (docs/performance.md).
var statements = max(1, runtime.GOMAXPROCS(0)/2)

// call is a caller who waits for a shared statement.
type call[K comparable, V any] struct {
	key      K
	group    *group // those whom it shares a statement with; nil before it is known
	value    V
	answered bool
	done     chan struct{}
}

// group is the callers of a statement.
type group struct {
	ctx     context.Context //nolint:containedctx // the statement's, which is nobody's own
	cancel  context.CancelFunc
	waiting int
}

func (c *coalescer[K, V]) do(ctx context.Context, key K) (V, error) {
	c.mu.Lock()
	if c.running < statements {
		c.running++
		c.mu.Unlock()
		defer c.begin().finish()
		return c.alone(ctx, key)
	}
	mine := &call[K, V]{key: key, done: make(chan struct{})}
	c.waiting = append(c.waiting, mine)
	c.mu.Unlock()
	select {
	case <-mine.done:
	case <-ctx.Done():
		c.leave(mine)
		return *new(V), ctx.Err()
	}
	if !mine.answered {
		return c.alone(ctx, key)
	}
	return mine.value, nil
}

// statement is one that runs. When it ends, or takes too long, those who wait share the next.
type statement[K comparable, V any] struct {
	of    *coalescer[K, V]
	timer *time.Timer
	over  atomic.Bool
}

func (c *coalescer[K, V]) begin() *statement[K, V] {
	st := &statement[K, V]{of: c}
	st.timer = time.AfterFunc(patience, st.makeRoom)
	return st
}

func (st *statement[K, V]) finish() {
	st.timer.Stop()
	st.makeRoom()
}

func (st *statement[K, V]) makeRoom() {
	if st.over.Swap(true) {
		return
	}
	if calls := st.of.next(); calls != nil {
		go st.of.share(calls)
	}
}

// next are the callers who wait, as a group; nil if nobody does.
func (c *coalescer[K, V]) next() []*call[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.waiting
	c.waiting = nil
	if len(calls) == 0 {
		c.running--
		return nil
	}
	g := &group{waiting: len(calls)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	for _, each := range calls {
		each.group = g
	}
	return calls
}

// leave is for a caller who waits no longer. A statement that nobody waits for ends.
func (c *coalescer[K, V]) leave(mine *call[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mine.group == nil {
		c.waiting = slices.DeleteFunc(c.waiting, func(each *call[K, V]) bool { return each == mine })
		return
	}
	if mine.group.waiting--; mine.group.waiting == 0 {
		mine.group.cancel()
	}
}

// share answers the calls with one statement.
func (c *coalescer[K, V]) share(calls []*call[K, V]) {
	defer c.begin().finish()
	g := calls[0].group
	defer g.cancel()
	keys, known := make([]K, 0, len(calls)), make(map[K]bool, len(calls))
	for _, each := range calls {
		if !known[each.key] {
			known[each.key] = true
			keys = append(keys, each.key)
		}
	}
	values, err := c.shared(g.ctx, keys)
	for _, each := range calls {
		if err == nil {
			each.value, each.answered = values[each.key]
		}
		close(each.done)
	}
}
