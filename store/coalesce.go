package store

import (
	"context"
	"runtime"
	"slices"
	"sync"
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
	timer   *time.Timer // ends the patience of those who wait
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
		defer c.release()
		return c.alone(ctx, key)
	}
	mine := &call[K, V]{key: key, done: make(chan struct{})}
	c.waiting = append(c.waiting, mine)
	if len(c.waiting) == 1 {
		c.timer = time.AfterFunc(patience, c.hurry)
	}
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

// release ends a statement: those who wait share the next.
func (c *coalescer[K, V]) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.start() {
		c.running--
	}
}

// hurry has those who wait share a statement beside the others.
func (c *coalescer[K, V]) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.start() {
		c.running++
	}
}

// start has those who wait share a statement, if there are any.
func (c *coalescer[K, V]) start() bool {
	if len(c.waiting) == 0 {
		return false
	}
	c.timer.Stop()
	calls, g := c.waiting, &group{waiting: len(c.waiting)}
	c.waiting = nil
	g.ctx, g.cancel = context.WithCancel(context.Background())
	for _, each := range calls {
		each.group = g
	}
	go c.share(calls)
	return true
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
	defer c.release()
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
