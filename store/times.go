package store

import (
	"context"
	"sync/atomic"
	"time"
)

// Times sums up how long calls use the database: while they wait for a connection, and while they have one. It may be
// used concurrently, and belongs to the calls whose context has it as its value for TimesKey. The zero value is ready
// to use.
type Times struct{ total, uses atomic.Int64 }

// TimesKey is the key of a *Times in a context.
type TimesKey struct{}

// Total returns the sum, and false if no call has used the database.
func (t *Times) Total() (total time.Duration, used bool) {
	return time.Duration(t.total.Load()), t.uses.Load() > 0
}

// add adds the time since start. t may be nil.
func (t *Times) add(start time.Time) {
	if t != nil {
		t.total.Add(int64(time.Since(start)))
		t.uses.Add(1)
	}
}

// use is a use of the database that lasts until its end.
type use struct {
	times *Times // nil: nobody wants to know
	since time.Time
}

// beginUse begins a use by a call, which counts for the Times of its context.
func beginUse(ctx context.Context) use {
	times, _ := ctx.Value(TimesKey{}).(*Times)
	if times == nil {
		return use{}
	}
	return use{times, time.Now()}
}

func (u use) end() { u.times.add(u.since) }
