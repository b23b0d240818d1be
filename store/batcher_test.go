package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const (
	fakeConnections = 2
	fakeLatency     = time.Millisecond
)

var errCallersOwn = errors.New("an error of the caller's own statement")

// fakePool has fakeConnections connections.
type fakePool struct {
	querier // nil: the statements are fakes, too

	free chan struct{} // has an element for each free connection
}

func (p *fakePool) busy(context.Context) bool { return len(p.free) == 0 }

func (p *fakePool) size() int { return fakeConnections }

//nolint:ireturn // implements connections
func (p *fakePool) acquire(ctx context.Context) (conn querier, release func(), err error) {
	select {
	case <-p.free:
		return nil, func() { p.free <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// fixture is a batcher, its callers, and the statements that it has run.
type fixture struct {
	*batcher[string]

	pool       *fakePool
	manyResult func(keys []string) ([]string, error)
	callers    sync.WaitGroup

	mu         sync.Mutex // guards what follows
	statements [][]string // keys
	manyCtx    context.Context
}

// newFixture returns a batcher of rows that are equal to their keys. A statement takes fakeLatency, one for "slow" an
// hour. "missing" has no row, "malformed" is an error of its own.
func newFixture() *fixture {
	f := &fixture{pool: &fakePool{free: make(chan struct{}, fakeConnections)}}
	for range fakeConnections {
		f.pool.free <- struct{}{}
	}
	f.manyResult = func(keys []string) ([]string, error) {
		if slices.Contains(keys, "malformed") {
			return nil, errors.New("an error of the batch")
		}
		return slices.DeleteFunc(keys, func(key string) bool { return key == "missing" }), nil
	}
	f.batcher = newBatcher(f.pool, lookup[string]{
		single: f.single,
		many: func(ctx context.Context, _ querier, keys []string) ([]string, error) {
			f.mu.Lock()
			f.manyCtx = ctx
			f.mu.Unlock()
			if err := f.run(ctx, keys); err != nil {
				return nil, err
			}
			return f.manyResult(keys)
		},
		key: func(row string) string { return row },
	})
	return f
}

func (f *fixture) single(ctx context.Context, _ querier, key string) (string, error) {
	_, release, err := f.pool.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	if err := f.run(ctx, []string{key}); err != nil {
		return "", err
	}
	switch key {
	case "missing":
		return "", pgx.ErrNoRows
	case "malformed":
		return "", errCallersOwn
	}
	return key, nil
}

func (f *fixture) run(ctx context.Context, keys []string) error {
	f.mu.Lock()
	f.statements = append(f.statements, slices.Sorted(slices.Values(keys)))
	f.mu.Unlock()
	took := fakeLatency
	if slices.Contains(keys, "slow") {
		took = time.Hour
	}
	select {
	case <-time.After(took):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fixture) lastStatement() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.statements[len(f.statements)-1]
}

// call starts a call of do, and returns a function that waits for its result.
func (f *fixture) call(ctx context.Context, key string) (result func() (string, error)) {
	var row string
	var err error
	done := make(chan struct{})
	f.callers.Go(func() {
		defer close(done)
		row, err = f.do(ctx, key)
	})
	synctest.Wait() // until the call waits
	return func() (string, error) { <-done; return row, err }
}

// occupy starts a call for each connection.
func (f *fixture) occupy(ctx context.Context, key string) (results []func() (string, error)) {
	for range fakeConnections {
		results = append(results, f.call(ctx, key))
	}
	return results
}

func requireRow(t *testing.T, want string, result func() (string, error)) {
	t.Helper()
	row, err := result()
	require.NoError(t, err)
	require.Equal(t, want, row)
}

func TestCallersThatWaitForAConnectionShareAStatement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		first := f.occupy(t.Context(), "first")
		a, b, again := f.call(t.Context(), "a"), f.call(t.Context(), "b"), f.call(t.Context(), "a")
		missing := f.call(t.Context(), "missing")
		for _, result := range first {
			requireRow(t, "first", result)
		}
		requireRow(t, "a", a)
		requireRow(t, "b", b)
		requireRow(t, "a", again)
		_, err := missing()
		require.ErrorIs(t, err, ErrNotFound)
		require.Equal(t, []string{"a", "b", "missing"}, f.lastStatement())
		require.Len(t, f.statements, fakeConnections+1)
	})
}

func TestCallerWithAFreeConnectionRunsItsOwnStatement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		began := time.Now()
		for _, result := range f.occupy(t.Context(), "a") {
			requireRow(t, "a", result)
		}
		require.Equal(t, fakeLatency, time.Since(began), "they run at once")
		require.Len(t, f.statements, fakeConnections)

		f.occupy(t.Context(), "a")
		f.call(t.Context(), "b")
		time.Sleep(fakeLatency) // the batch of b runs on one connection, and the other is free
		synctest.Wait()
		began = time.Now()
		requireRow(t, "c", f.call(t.Context(), "c"))
		require.Equal(t, fakeLatency, time.Since(began), "c does not wait for the batch")
		f.callers.Wait()
	})
}

func TestCallersGatherWhileALargeBatchRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.occupy(t.Context(), "first")
		for i := range fakeConnections + 1 {
			f.call(t.Context(), strconv.Itoa(i))
		}
		time.Sleep(fakeLatency) // the batch runs on one connection, and the other is free
		synctest.Wait()
		a, b := f.call(t.Context(), "a"), f.call(t.Context(), "b")
		requireRow(t, "a", a)
		requireRow(t, "b", b)
		require.Equal(t, []string{"a", "b"}, f.lastStatement())
		requireRow(t, "c", f.call(t.Context(), "c"))
		require.Equal(t, []string{"c"}, f.lastStatement())
		require.Zero(t, f.large)
		f.callers.Wait()
	})
}

func TestErrorOfOneCallerIsNoErrorOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.occupy(t.Context(), "first")
		a, malformed := f.call(t.Context(), "a"), f.call(t.Context(), "malformed")
		requireRow(t, "a", a)
		_, err := malformed()
		require.ErrorIs(t, err, errCallersOwn)
	})
}

func TestEachCallerOfABatchKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.occupy(t.Context(), "first")
		short, cancel := context.WithCancel(t.Context())
		gone, a := f.call(short, "gone"), f.call(t.Context(), "a")
		cancel()
		_, err := gone()
		require.ErrorIs(t, err, context.Canceled)
		requireRow(t, "a", a)
		require.Equal(t, []string{"a"}, f.lastStatement(), "the batch does not look up keys of callers that have gone")

		// The context of the first caller of a batch ends while the batch runs.
		f.occupy(t.Context(), "first")
		short, cancel = context.WithTimeout(t.Context(), fakeLatency+fakeLatency/2)
		defer cancel()
		gone, a = f.call(short, "gone"), f.call(t.Context(), "a")
		_, err = gone()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		requireRow(t, "a", a)
		require.Equal(t, []string{"a", "gone"}, f.lastStatement())

		// The contexts of all callers of a batch end while it runs.
		f.occupy(t.Context(), "first")
		short, cancel = context.WithTimeout(t.Context(), fakeLatency+fakeLatency/2)
		defer cancel()
		for _, result := range []func() (string, error){f.call(short, "one"), f.call(short, "two")} {
			_, err := result()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		synctest.Wait()
		require.Error(t, f.manyCtx.Err(), "a batch without callers is cancelled")

		// The same while it waits for a connection.
		f.occupy(t.Context(), "first")
		short, cancel = context.WithTimeout(t.Context(), fakeLatency/2)
		defer cancel()
		_, err = f.call(short, "gone")()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		requireRow(t, "a", f.call(t.Context(), "a"))
		require.Equal(t, []string{"a"}, f.lastStatement())
		f.callers.Wait()
	})
}

func TestStuckBatchDelaysOthersByMaxBatchWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		ctx, cancel := context.WithCancel(t.Context())
		f.occupy(t.Context(), "first")
		slow := f.call(ctx, "slow")
		time.Sleep(fakeLatency) // the batch runs
		synctest.Wait()
		f.call(t.Context(), "other") // on the other connection
		began := time.Now()
		requireRow(t, "a", f.call(t.Context(), "a"))
		require.LessOrEqual(t, time.Since(began), maxBatchWait+2*fakeLatency)
		cancel()
		_, err := slow()
		require.ErrorIs(t, err, context.Canceled)
		f.callers.Wait()
	})
}

func TestPanicInABatchIsAnErrorOfItsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.manyResult = func([]string) ([]string, error) { panic("out of range") }
		f.occupy(t.Context(), "first")
		a, b := f.call(t.Context(), "a"), f.call(t.Context(), "b")
		for _, result := range []func() (string, error){a, b} {
			_, err := result()
			require.ErrorIs(t, err, errPanic)
			require.ErrorContains(t, err, "out of range")
		}
		synctest.Wait()
		require.Len(t, f.pool.free, fakeConnections, "the connection is released")
		require.Empty(t, f.slots, "other batches may run")
	})
}

func TestCloseWaitsForBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.occupy(t.Context(), "first")
		a := f.call(t.Context(), "a")
		began := time.Now()
		f.close()
		require.Equal(t, 2*fakeLatency, time.Since(began))
		requireRow(t, "a", a)
		f.occupy(t.Context(), "first")
		requireRow(t, "b", f.call(t.Context(), "b"))
		require.Equal(t, []string{"b"}, f.lastStatement(), "no batch begins after close")
		f.callers.Wait()
	})
}

// TestManyCallers is for the race detector.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	f := newFixture()
	for i := range 500 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
		f.callers.Go(func() {
			defer cancel()
			key := strconv.Itoa(i % 50)
			if row, err := f.do(ctx, key); err == nil {
				require.Equal(t, key, row)
			}
		})
	}
	f.callers.Wait()
	f.close()
	require.Nil(t, f.gathering)
	require.Len(t, f.pool.free, fakeConnections)
}
