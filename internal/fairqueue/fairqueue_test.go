package fairqueue_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/fairqueue"
)

// TestPartiesTakeTurns: a caller that waits behind many of another party waits for at most one of each other party.
func TestPartiesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		queue := fairqueue.New(4, 4)
		release, err := queue.Acquire(t.Context(), 4)
		require.NoError(t, err)
		var order []string
		wait := func(party string, n int64) {
			go func() {
				release, err := queue.Acquire(fairqueue.WithParty(t.Context(), party), n)
				if err == nil {
					order = append(order, party) // one at a time: each takes all
					release()
				}
			}()
			synctest.Wait()
		}
		for range 5 {
			wait("a", 4)
		}
		wait("v", 100)
		wait("v", 4)
		wait("w", 4)
		release()
		synctest.Wait()
		require.Equal(t, []string{"a", "v", "w", "a", "v", "a", "a", "a"}, order)
	})
}

// TestPartyHasALimit: what a party cannot have is left to the others, and one that leaves lets the next one go on.
func TestPartyHasALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		queue := fairqueue.New(3, 2)
		a, v := fairqueue.WithParty(t.Context(), "a"), fairqueue.WithParty(t.Context(), "v")
		first, err := queue.Acquire(a, 2)
		require.NoError(t, err)
		impatient, leave := context.WithCancel(a)
		left := make(chan error)
		go func() { _, err := queue.Acquire(impatient, 1); left <- err }()
		synctest.Wait()
		other, err := queue.Acquire(v, 1)
		require.NoError(t, err, "a waits for itself only")
		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		first()
		other()
		all, err := queue.Acquire(v, 9)
		require.NoError(t, err)
		rest, err := queue.Acquire(a, 1)
		require.NoError(t, err, "all is there again")
		all()
		rest()
	})
}

// TestReservationsShrink: what a party does not need any more is for the next one.
func TestReservationsShrink(t *testing.T) {
	t.Parallel()
	queue := fairqueue.New(4, 4)
	first, err := queue.Reserve(t.Context(), 9)
	require.NoError(t, err)
	first.Reduce(1)
	first.Reduce(2)
	second, err := queue.Reserve(t.Context(), 3)
	require.NoError(t, err)
	first.Release()
	second.Release()
	release, err := queue.Acquire(t.Context(), 4)
	require.NoError(t, err)
	release()
}
