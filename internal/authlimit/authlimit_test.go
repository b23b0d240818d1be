package authlimit_test

import (
	"crypto/sha256"
	"errors"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/authlimit"
)

var errWrong = errors.New("wrong")

func newLimiter(t *testing.T, perMinute, remembered int) *authlimit.Limiter[int] {
	t.Helper()
	now := time.Now()
	l, err := authlimit.New[int](authlimit.Config{
		Limit: perMinute, Window: time.Minute, Remembered: remembered, Now: func() time.Time { return now },
		Wrong: func(err error) bool { return errors.Is(err, errWrong) },
	})
	require.NoError(t, err)
	return l
}

func try(t *testing.T, l *authlimit.Limiter[int], client int, credential string, result error) error {
	t.Helper()
	return l.Do(t.Context(), client, sha256.Sum256([]byte(credential)), func() error { return result })
}

// TestMemoryIsBounded has many clients send many wrong values, and one of them many right ones.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, 100, 1000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for client := range 20_000 {
		values := 8
		if client%20 == 0 { // more than a client's are known of
			values = 80
		}
		for value := range values {
			require.ErrorIs(t, try(t, l, client, strconv.Itoa(value), errWrong), errWrong)
		}
	}
	for value := range 100_000 {
		require.NoError(t, try(t, l, 1, strconv.Itoa(value), nil))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(40<<20))
	runtime.KeepAlive(l)
}

// TestRightCredentialsTakeLittleMemory: clients without a wrong value are forgotten, and right ones are hashes.
//
//nolint:paralleltest // it measures the heap, in which parallel tests have theirs
func TestRightCredentialsTakeLittleMemory(t *testing.T) {
	const credentials = 16 << 10
	l := newLimiter(t, 100, credentials)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := range credentials {
		require.NoError(t, try(t, l, n, strconv.Itoa(n), nil))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(credentials*160))
	runtime.KeepAlive(l)
}

// TestOtherErrorsDoNotCount: an error of the database counts neither as right nor as wrong.
func TestOtherErrorsDoNotCount(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, 1, 1)
	for i := range 10 {
		require.ErrorIs(t, try(t, l, 1, strconv.Itoa(i), errors.ErrUnsupported), errors.ErrUnsupported)
	}
	require.PanicsWithValue(t, "fault", func() {
		_ = l.Do(t.Context(), 1, authlimit.Credential{}, func() error { panic("fault") })
	})
	require.NoError(t, try(t, l, 1, "right", nil))
	require.ErrorIs(t, try(t, l, 1, "wrong", errWrong), errWrong)
	var refused *authlimit.TooManyError
	require.ErrorAs(t, try(t, l, 1, "another", errWrong), &refused)
	require.Equal(t, time.Minute, refused.RetryAfter.Round(time.Second))
	require.Equal(t, 60, refused.RetryAfterSeconds())
	require.NoError(t, try(t, l, 1, "right", nil), "it was right before")
	require.ErrorIs(t, try(t, l, 1, "right", errors.ErrUnsupported), errors.ErrUnsupported)
	require.NoError(t, try(t, l, 1, "right", nil), "it was not revoked")
}

// BenchmarkRight measures what is added to each request.
func BenchmarkRight(b *testing.B) {
	l, err := authlimit.New[int](authlimit.Config{
		Limit: 60, Window: time.Minute, Remembered: 1000, Now: time.Now, Wrong: func(error) bool { return false },
	})
	require.NoError(b, err)
	digest := sha256.Sum256([]byte("right"))
	for b.Loop() {
		_ = l.Do(b.Context(), 1, digest, func() error { return nil })
	}
}
