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

	"github.com/stretchr/testify/require"
)

// traffic is callers of a coalescer, and what its statements were asked for.
type traffic struct {
	coalescer[string, string]

	mu       sync.Mutex
	asked    [][]string
	sharing  context.Context
	sharedBy func(keys []string) (map[string]string, error)
	callers  sync.WaitGroup
}

var errOwn = errors.New("the caller's own")

// newTraffic makes a coalescer whose statements take a millisecond, those for "slow" an hour. Alone, "missing" is an error.
func newTraffic() *traffic {
	t := &traffic{sharedBy: func(keys []string) (map[string]string, error) {
		values := map[string]string{}
		for _, key := range keys {
			if key != "missing" {
				values[key] = "shared " + key
			}
		}
		return values, nil
	}}
	t.alone = func(ctx context.Context, key string) (string, error) {
		t.ask(key)
		took := time.Millisecond
		if key == "slow" {
			took = time.Hour
		}
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if key == "missing" {
			return "", errOwn
		}
		return "alone " + key, nil
	}
	t.shared = func(ctx context.Context, keys []string) (map[string]string, error) {
		t.mu.Lock()
		t.sharing = ctx
		t.mu.Unlock()
		t.ask(keys...)
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return t.sharedBy(keys)
	}
	return t
}

func (t *traffic) ask(keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = append(t.asked, slices.Sorted(slices.Values(keys)))
}

// call has a caller ask for a key, and says what they get once they have it.
func (t *traffic) call(ctx context.Context, key string) func() (string, error) {
	var value string
	var err error
	done := make(chan struct{})
	t.callers.Go(func() {
		defer close(done)
		value, err = t.do(ctx, key)
	})
	synctest.Wait() // for the caller to wait in its turn
	return func() (string, error) { <-done; return value, err }
}

func gets(t *testing.T, want string, of func() (string, error)) {
	t.Helper()
	value, err := of()
	require.NoError(t, err)
	require.Equal(t, want, value)
}

// busy has as many callers as there are statements at once, so that others wait.
func (t *traffic) busy(ctx context.Context, key string) (callers []func() (string, error)) {
	for range statements {
		callers = append(callers, t.call(ctx, key))
	}
	return callers
}

func TestWhoeverWaitsSharesAStatement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTraffic()
		first := c.busy(t.Context(), "first")
		a, b, again := c.call(t.Context(), "a"), c.call(t.Context(), "b"), c.call(t.Context(), "a")
		for _, each := range first {
			gets(t, "alone first", each)
		}
		gets(t, "shared a", a)
		gets(t, "shared b", b)
		gets(t, "shared a", again)
		require.Equal(t, []string{"a", "b"}, c.asked[len(c.asked)-1])
		require.Len(t, c.asked, statements+1)
		time.Sleep(time.Second)
		gets(t, "alone later", c.call(t.Context(), "later"))
		require.Zero(t, c.running)
	})
}

func TestWhatGoesWrongGoesWrongForOneCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTraffic()
		c.busy(t.Context(), "first")
		a, missing := c.call(t.Context(), "a"), c.call(t.Context(), "missing")
		gets(t, "shared a", a)
		_, err := missing()
		require.ErrorIs(t, err, errOwn)

		c.sharedBy = func([]string) (map[string]string, error) { return nil, errors.New("somebody's fault") }
		c.busy(t.Context(), "first")
		a, missing = c.call(t.Context(), "a"), c.call(t.Context(), "missing")
		gets(t, "alone a", a)
		_, err = missing()
		require.ErrorIs(t, err, errOwn)
	})
}

func TestEachCallerKeepsTheirDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTraffic()
		c.busy(t.Context(), "first")
		hurried, cancel := context.WithCancel(t.Context())
		gone, a := c.call(hurried, "gone"), c.call(t.Context(), "a")
		cancel()
		_, err := gone()
		require.ErrorIs(t, err, context.Canceled)
		gets(t, "shared a", a)
		require.Equal(t, []string{"a"}, c.asked[len(c.asked)-1], "who left before the statement is not in it")

		c.busy(t.Context(), "first")
		hurried, cancel = context.WithTimeout(t.Context(), time.Millisecond+time.Millisecond/2)
		defer cancel()
		one, two := c.call(hurried, "one"), c.call(hurried, "two")
		for _, each := range []func() (string, error){one, two} {
			_, err := each()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		synctest.Wait()
		require.Error(t, c.sharing.Err(), "nobody waits for the statement")
		c.callers.Wait()
	})
}

func TestSlowStatementHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTraffic()
		ctx, cancel := context.WithCancel(t.Context())
		slow := c.busy(ctx, "slow")
		began := time.Now()
		a := c.call(t.Context(), "a")
		gets(t, "shared a", a)
		require.LessOrEqual(t, time.Since(began), patience+10*time.Millisecond)
		gets(t, "shared b", c.call(t.Context(), "b"))
		require.LessOrEqual(t, time.Since(began), 2*patience+20*time.Millisecond)
		cancel()
		for _, each := range slow {
			_, err := each()
			require.ErrorIs(t, err, context.Canceled)
		}
		time.Sleep(time.Second)
		require.Zero(t, c.running)
	})
}

// TestCrowd is for the race detector.
func TestCrowd(t *testing.T) {
	t.Parallel()
	c := newTraffic()
	for i := range 500 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
		c.callers.Go(func() {
			defer cancel()
			key := strconv.Itoa(i % 50)
			if value, err := c.do(ctx, key); err == nil {
				require.Contains(t, []string{"alone " + key, "shared " + key}, value)
			}
		})
	}
	c.callers.Wait()
	require.Eventually(t, func() bool {
		c.coalescer.mu.Lock()
		defer c.coalescer.mu.Unlock()
		return c.running == 0 && len(c.waiting) == 0
	}, time.Minute, time.Millisecond)
}
