package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

const (
	// maxConcurrentBatches is how many batches of a batcher run at once. While one runs, callers gather for the next:
	// the more run, the fewer callers share each (docs/performance.md).
	maxConcurrentBatches = 1
	// maxBatchWait is how long a batch waits for the one before it, which may be stuck. A statement takes a few
	// milliseconds, also if the database is in another place, and a person does not notice so short a wait.
	maxBatchWait = 50 * time.Millisecond
)

// errPanic is the error of the callers of a batch that has panicked. The error that wraps it has the stack.
var errPanic = errors.New("panic")

// lookup looks up rows that have a unique key.
type lookup[V any] struct {
	// single returns the row of a key, or pgx.ErrNoRows.
	single func(ctx context.Context, db querier, key string) (V, error)
	// many returns the rows of several keys, in any order.
	many func(ctx context.Context, db querier, keys []string) ([]V, error)
	// key returns the key of a row.
	key func(V) string
}

// connections is a pool of connections.
type connections interface {
	querier
	// busy reports whether a statement would wait for a connection.
	busy(ctx context.Context) bool
	// size returns the number of connections that the pool may have.
	size() int
	// acquire waits for a connection, which the caller has to release. It counts for no organisation.
	acquire(ctx context.Context) (conn querier, release func(), err error)
}

// batcher does look-ups for concurrent callers. While a connection is free, each caller runs a statement of its own.
// Callers that would have to wait for a connection gather in a batch, which looks all of their keys up with one
// statement on the next free connection.
//
// Each caller keeps its own deadline: a batch runs until the last of its callers has gone. If the statement of a batch
// fails, each of its callers runs its own, so that a malformed key is an error of its caller only. Callers with the
// same key share the row.
type batcher[V any] struct {
	lookup[V]

	pool    connections
	slots   chan struct{}  // has an element for each batch that runs
	running sync.WaitGroup // batches that run or gather

	mu        sync.Mutex // guards the following, and the callers of batches; nothing waits while it is held
	gathering *batch[V]  // the batch that callers join; nil if no caller waits
	large     int        // number of large batches that run
	closed    bool
}

// batch is callers that share a statement.
type batch[V any] struct {
	callers map[string]int // number of callers by key
	total   int            // number of callers
	large   bool           // runs with more callers than the pool has connections
	cancel  context.CancelFunc

	done chan struct{} // closed when the batch has ended, and the following are set
	rows map[string]V
	err  error
}

func newBatcher[V any](pool connections, l lookup[V]) *batcher[V] {
	return &batcher[V]{lookup: l, pool: pool, slots: make(chan struct{}, maxConcurrentBatches)}
}

// do returns the row that has the key, or ErrNotFound.
func (b *batcher[V]) do(ctx context.Context, key string) (row V, err error) {
	shared := b.join(ctx, key)
	if shared == nil {
		return b.single(ctx, b.pool, key)
	}
	if err := b.await(ctx, shared, key); err != nil {
		return row, err
	}
	switch {
	case errors.Is(shared.err, errPanic), errors.Is(shared.err, ErrUnavailable):
		return row, shared.err
	case shared.err != nil:
		return b.single(ctx, b.pool, key)
	}
	row, found := shared.rows[key]
	if !found {
		return row, ErrNotFound
	}
	return row, nil
}

// await waits until the batch of a caller has ended, or its context, whose error it returns. It counts as the caller's
// use of the database.
func (b *batcher[V]) await(ctx context.Context, shared *batch[V], key string) error {
	defer beginUse(ctx).end()
	select {
	case <-shared.done:
		return nil
	case <-ctx.Done():
		b.abandon(shared, key)
		return ctx.Err()
	}
}

// join adds a caller to the batch that gathers, or begins a batch. It returns nil if the caller is to run a statement
// of its own.
func (b *batcher[V]) join(ctx context.Context, key string) *batch[V] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || !b.mustWait(ctx) {
		return nil
	}
	if b.gathering == nil {
		// The context of a batch has the values of its first caller's, but not the deadline.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // run and abandon call cancel
		began := &batch[V]{callers: map[string]int{}, cancel: cancel, done: make(chan struct{})}
		b.gathering = began
		b.running.Go(func() { b.run(ctx, began) })
	}
	b.gathering.callers[key]++
	b.gathering.total++
	return b.gathering
}

// mustWait reports whether a caller waits for a batch: if it would overtake callers that wait, if no connection is
// free, and while a large batch runs. A large batch answers more callers than the connections could in the same time,
// and those callers, who are likely to come back at once, find more to share the next batch with. The caller holds mu.
func (b *batcher[V]) mustWait(ctx context.Context) bool {
	return b.gathering != nil || b.large > 0 || b.pool.busy(ctx)
}

// abandon removes a caller that waits no longer. A batch without callers is cancelled.
func (b *batcher[V]) abandon(shared *batch[V], key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if shared.callers[key]--; shared.callers[key] == 0 {
		delete(shared.callers, key)
	}
	if shared.total--; shared.total == 0 {
		shared.cancel()
		b.endGathering(shared)
	}
}

// endGathering makes callers begin another batch. The caller holds mu.
func (b *batcher[V]) endGathering(shared *batch[V]) {
	if b.gathering == shared {
		b.gathering = nil
	}
}

// run waits until the batch may run, and for a connection, and looks up the keys of the callers who have gathered until
// then. A panic is an error of these callers: it must not end the program in a goroutine that no caller can recover in.
func (b *batcher[V]) run(ctx context.Context, shared *batch[V]) {
	defer close(shared.done)
	defer shared.cancel()
	defer func() {
		if p := recover(); p != nil {
			shared.err = fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack())
		}
	}()
	defer b.acquireSlot(ctx)()
	conn, release, err := b.pool.acquire(ctx)
	keys := b.startBatch(shared)
	defer b.endBatch(shared)
	if err != nil {
		shared.err = err
		return
	}
	defer release()
	rows, err := b.many(ctx, conn, keys)
	shared.err, shared.rows = err, make(map[string]V, len(rows))
	for _, row := range rows {
		shared.rows[b.key(row)] = row
	}
}

// acquireSlot waits until fewer than maxConcurrentBatches run, but not longer than maxBatchWait.
func (b *batcher[V]) acquireSlot(ctx context.Context) (release func()) {
	timer := time.NewTimer(maxBatchWait)
	defer timer.Stop()
	select {
	case b.slots <- struct{}{}:
		return func() { <-b.slots }
	case <-timer.C:
	case <-ctx.Done():
	}
	return func() {}
}

// startBatch ends the gathering of a batch, and returns its keys.
func (b *batcher[V]) startBatch(shared *batch[V]) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endGathering(shared)
	if shared.large = shared.total > b.pool.size(); shared.large {
		b.large++
	}
	return slices.Collect(maps.Keys(shared.callers))
}

func (b *batcher[V]) endBatch(shared *batch[V]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if shared.large {
		b.large--
	}
}

// close waits for the batches that run. Later callers run statements of their own.
func (b *batcher[V]) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.running.Wait()
}
