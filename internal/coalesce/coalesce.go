// Package coalesce lets concurrent callers share calls of one function, such as a look at a database that all of them
// need.
package coalesce

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// Group runs one call at a time. The zero value has none. Unlike with golang.org/x/sync/singleflight, a caller never
// gets the result of a call that had begun before: what it finds is at least as new as the caller.
type Group[T any] struct {
	mu      sync.Mutex // guards the following; nothing waits while it is held
	running bool       // whether a call runs, or a caller is due to run the next one
	next    *call[T]   // the call that callers join; nil if none waits
}

type call[T any] struct {
	lead   chan struct{} // has an element for the caller that is to run the call
	done   chan struct{} // closed when the following are set
	result T
	err    error
}

// Do returns the result of a call of fn that begins after Do was called, or the error of ctx. One of the callers runs
// the call, to its end even if its own ctx ends: the context of the call has the values of ctx only. A panic of fn is
// an error. All callers of a Group have to pass the same function.
func (g *Group[T]) Do(ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
	joined := g.join()
	select {
	case <-joined.done:
		return joined.result, joined.err
	case <-joined.lead:
		g.run(context.WithoutCancel(ctx), joined, fn)
		return joined.result, joined.err
	case <-ctx.Done():
		return *new(T), ctx.Err()
	}
}

// join returns the next call.
func (g *Group[T]) join() *call[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = &call[T]{lead: make(chan struct{}, 1), done: make(chan struct{})}
	}
	if !g.running {
		g.running = true
		g.next.lead <- struct{}{}
	}
	return g.next
}

// run runs the next call, and has a caller of the one after it run that.
func (g *Group[T]) run(ctx context.Context, c *call[T], fn func(context.Context) (T, error)) {
	g.mu.Lock()
	g.next = nil
	g.mu.Unlock()
	c.run(ctx, fn)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running = g.next != nil; g.running {
		g.next.lead <- struct{}{} // if all of its callers have left, for the first one that joins them
	}
}

func (c *call[T]) run(ctx context.Context, fn func(context.Context) (T, error)) {
	defer close(c.done)
	defer func() {
		if cause := recover(); cause != nil {
			c.err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	c.result, c.err = fn(ctx)
}
