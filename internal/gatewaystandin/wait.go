package gatewaystandin

import (
	"context"
	"time"
)

// pollInterval is the time between two checks of a condition.
const pollInterval = 5 * time.Millisecond

// poll waits until the condition holds and reports whether it did before the time-out and the end of ctx.
func poll(ctx context.Context, timeout time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(timeout)
	for !condition() {
		if time.Now().After(deadline) || !pause(ctx, pollInterval) {
			return false
		}
	}
	return true
}

// pause sleeps and reports whether it slept in full: false means that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
