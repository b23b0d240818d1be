package loglimit_test

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/loglimit"
)

// address returns the nth address.
func address(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
}

// TestLimit: as many requests are listed as the limit allows, and the others are summed up.
func TestLimit(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var summaries []loglimit.Summary
	l, err := loglimit.New(loglimit.Config{
		PerMinute: 2, Total: 100, Now: func() time.Time { return now },
		Summarise: func(s loglimit.Summary) { summaries = append(summaries, s) },
	})
	require.NoError(t, err)
	for range 2 {
		require.True(t, l.Allow(address(1)))
	}
	l.Flush()
	require.Empty(t, summaries)
	since := now
	for i := range 5 {
		require.False(t, l.Allow(address(1)))
		if i > 2 {
			l.AddChange(address(1))
		}
		now = now.Add(time.Second)
	}
	l.Flush()
	require.Equal(t, []loglimit.Summary{{Client: address(1), Since: since, Requests: 5, Changes: 2}}, summaries)
	l.AddChange(address(1)) // its request was summarised
	l.Flush()
	require.Len(t, summaries, 1)
	now = now.Add(30 * time.Second)
	require.True(t, l.Allow(address(1)))
	require.False(t, l.Allow(address(1)))
}

// TestClientsAreBounded has many clients send requests: all of them together have a limit, too, and what those did that
// are forgotten is summed up in one line.
func TestClientsAreBounded(t *testing.T) {
	t.Parallel()
	const clients = 100_000
	const listed = 1000
	now, total, lines := time.Now(), 0, 0
	l, err := loglimit.New(loglimit.Config{
		PerMinute: 1, Total: listed, Now: func() time.Time { return now },
		Summarise: func(s loglimit.Summary) { total += s.Requests; lines++ },
	})
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for client := range clients {
		for range 3 {
			l.Allow(address(client))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(16<<20))
	l.Flush()
	require.Equal(t, 3*clients-listed, total)
	require.Equal(t, 16<<10+1, lines)
}
