package coalesce_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/coalesce"
)

// TestCallersShareACallThatBeginsAfterThem: the first caller has a call of its own, and all that come while it runs
// share the next.
func TestCallersShareACallThatBeginsAfterThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var group coalesce.Group[int]
		var calls atomic.Int64
		proceed := make(chan struct{})
		fn := func(context.Context) (int, error) {
			n := int(calls.Add(1))
			<-proceed
			return n, nil
		}
		var first int
		var later [50]int
		var callers sync.WaitGroup
		callers.Go(func() { first, _ = group.Do(t.Context(), fn) })
		synctest.Wait()
		for i := range later {
			callers.Go(func() { later[i], _ = group.Do(t.Context(), fn) })
		}
		synctest.Wait()
		require.EqualValues(t, 1, calls.Load())
		close(proceed)
		callers.Wait()
		require.Equal(t, 1, first)
		for _, got := range later {
			require.Equal(t, 2, got)
		}
		require.EqualValues(t, 2, calls.Load())
		got, err := group.Do(t.Context(), fn)
		require.NoError(t, err)
		require.Equal(t, 3, got)
	})
}

// TestCallersThatLeave: the call goes on for the others, and one without callers is left to those that come.
func TestCallersThatLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var group coalesce.Group[int]
		proceed := make(chan struct{})
		fn := func(ctx context.Context) (int, error) {
			<-proceed
			return 7, ctx.Err()
		}
		ctx, leave := context.WithCancel(t.Context())
		var running, waiting sync.WaitGroup
		running.Go(func() { // runs the call, to its end
			got, err := group.Do(ctx, fn)
			require.NoError(t, err)
			require.Equal(t, 7, got)
		})
		synctest.Wait()
		waiting.Go(func() {
			_, err := group.Do(ctx, fn)
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		leave()
		waiting.Wait()
		close(proceed)
		running.Wait()
		got, err := group.Do(t.Context(), fn)
		require.NoError(t, err)
		require.Equal(t, 7, got)
	})
}

// TestErrorsAndPanics are those of the callers that share the call.
func TestErrorsAndPanics(t *testing.T) {
	t.Parallel()
	var group coalesce.Group[int]
	failure := errors.New("failure")
	_, err := group.Do(t.Context(), func(context.Context) (int, error) { return 0, failure })
	require.ErrorIs(t, err, failure)
	_, err = group.Do(t.Context(), func(context.Context) (int, error) { panic("cause") })
	require.ErrorContains(t, err, "panic: cause")
	got, err := group.Do(t.Context(), func(context.Context) (int, error) { return 1, nil })
	require.NoError(t, err)
	require.Equal(t, 1, got)
}
