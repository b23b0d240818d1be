package doctor_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/doctor"
)

// TestRun has checks that end in another order than theirs, and one that never ends.
func TestRun(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	ok := func(name string) []doctor.Finding { return []doctor.Finding{{Check: name, Status: doctor.OK}} }
	findings := doctor.Run(t.Context(), time.Millisecond, []doctor.Check{
		{Name: "first", Run: func(context.Context) []doctor.Finding { <-second; return ok("first") }},
		{Name: "second", Run: func(context.Context) []doctor.Finding { close(second); return ok("second") }},
		{Name: "third", Run: func(context.Context) []doctor.Finding { <-ended; return nil }},
		{Name: "fourth", Run: func(ctx context.Context) []doctor.Finding { <-ctx.Done(); return ok("fourth") }},
	})
	require.Len(t, findings, 4)
	for i, want := range []doctor.Finding{
		{Check: "first", Status: doctor.OK},
		{Check: "second", Status: doctor.OK},
		{Check: "third", Status: doctor.Fault},
		{Check: "fourth", Status: doctor.OK},
	} {
		require.Equal(t, want.Check, findings[i].Check)
		require.Equal(t, want.Status, findings[i].Status)
	}
	require.Equal(t, "no result within 1ms", findings[2].Found)
}

// TestMemory has the limits of containers, which a test cannot set.
func TestMemory(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		memory   uint64
		goMemory int64
		status   doctor.Status
		found    string
	}{
		"none":                     {0, math.MaxInt64, doctor.OK, "the container has no limit of memory"},
		"enough":                   {512 * mib, math.MaxInt64, doctor.OK, "the container has 512 MiB"},
		"enough, and GOMEMLIMIT":   {512 * mib, 400 * mib, doctor.OK, "the container has 512 MiB"},
		"GOMEMLIMIT is above it":   {512 * mib, 600 * mib, doctor.Warning, "GOMEMLIMIT is 600 MiB, and the container has 512 MiB"},
		"GOMEMLIMIT is too little": {512 * mib, 10 * mib, doctor.Warning, "GOMEMLIMIT is 10 MiB"},
		"too little":               {70 * mib, math.MaxInt64, doctor.Warning, "the container has 70 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := doctor.Limits{
				Files: math.MaxUint64, Memory: c.memory, GoMemory: c.goMemory, MinMemory: 64 * mib, MemoryShare: 0.8,
			}
			findings := doctor.CheckLimits(func() doctor.Limits { return limits }).Run(t.Context())
			require.Len(t, findings, 2)
			require.Equal(t, c.status, findings[1].Status, findings[1])
			require.Contains(t, findings[1].Found, c.found)
			require.Equal(t, c.status == doctor.OK, findings[1].Advice == "")
		})
	}
}
