package store

import (
	"context"
	"sync"
	"sync/atomic"
)

// sharedStatements is how many statements of a coalescer run at once. Whoever comes meanwhile shares the next one: with
// fewer, more share and all wait longer; with more, the other way round (docs/performance.md).
const sharedStatements = 2

// coalescer lets concurrent callers share statements. A caller whom nobody is before runs their own at once; the others
// wait until one ends, and then share the next. Each keeps their own deadline. A shared statement that fails, whoever's
// fault it was, is no answer to anybody: each of its callers runs their own, and has their own error.
type coalescer[K comparable, V any] struct {
	// alone answers one caller, with one statement.
	alone func(context.Context, K) (V, error)
	// shared answers several, with one statement. A key that is not in the answer is not found.
	shared func(context.Context, []K) (map[K]V, error)

	mu      sync.Mutex
	running int
	waiting []*call[K, V]
}

// call is a caller who waits for a shared statement.
type call[K comparable, V any] struct {
	ctx    context.Context
	key    K
	value  V
	found  bool
	failed bool
	done   chan struct{}
}

func (c *coalescer[K, V]) do(ctx context.Context, key K) (V, error) {
	c.mu.Lock()
	if c.running < sharedStatements {
		c.running++
		c.mu.Unlock()
		defer c.release()
		return c.alone(ctx, key)
	}
	mine := &call[K, V]{ctx: ctx, key: key, done: make(chan struct{})}
	c.waiting = append(c.waiting, mine)
	c.mu.Unlock()
	select {
	case <-mine.done:
	case <-ctx.Done():
		return *new(V), ctx.Err()
	}
	switch {
	case mine.failed:
		return c.alone(ctx, key)
	case !mine.found:
		return mine.value, ErrNotFound
	}
	return mine.value, nil
}

// release ends a statement: those who wait share the next.
func (c *coalescer[K, V]) release() {
	if calls := c.next(); calls != nil {
		go func() {
			for ; calls != nil; calls = c.next() {
				c.share(calls)
			}
		}()
	}
}

// next are the callers who wait, nil if nobody does.
func (c *coalescer[K, V]) next() []*call[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.waiting
	c.waiting = nil
	if calls == nil {
		c.running--
	}
	return calls
}

// share answers the calls with one statement, which goes on for as long as one of them waits for it.
func (c *coalescer[K, V]) share(calls []*call[K, V]) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var interested atomic.Int64
	interested.Store(int64(len(calls)))
	keys, known := make([]K, 0, len(calls)), make(map[K]bool, len(calls))
	for _, each := range calls {
		stop := context.AfterFunc(each.ctx, func() {
			if interested.Add(-1) == 0 {
				cancel()
			}
		})
		defer stop()
		if !known[each.key] {
			known[each.key] = true
			keys = append(keys, each.key)
		}
	}
	values, err := c.shared(ctx, keys)
	for _, each := range calls {
		each.value, each.found = values[each.key]
		each.failed = err != nil
		close(each.done)
	}
}
