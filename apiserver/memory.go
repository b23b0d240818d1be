package apiserver

import (
	"context"

	"gatehouse/internal/fairqueue"
)

// admissionKey is the key of the request in its context.
type admissionKey struct{}

// AdmitWaiting calls Request.AdmitAgain for the request of a context, if it is one of a request.
func AdmitWaiting(ctx context.Context) error {
	if r, ok := ctx.Value(admissionKey{}).(interface{ AdmitAgain() error }); ok {
		return r.AdmitAgain()
	}
	return nil
}

// WithParty returns a context for Hooks.Admitted. Requests wait for one another where they take much memory; those of
// one party, such as a customer, take turns with those of other parties.
func WithParty(ctx context.Context, party string) context.Context {
	return fairqueue.WithParty(ctx, party)
}

// MemoryLimit bounds the memory of what runs at the same time. Parties (WithParty) take turns. Its methods may be
// called concurrently.
type MemoryLimit struct{ queue *fairqueue.Queue }

// NewMemoryLimit returns a limit of so many bytes in all, and of each party.
func NewMemoryLimit(total, each int64) MemoryLimit { return MemoryLimit{fairqueue.New(total, each)} }

// Do calls work, which takes so many bytes, as soon as they are free, if the request of the context is still admitted
// then (AdmitWaiting). It waits for nothing if they are 0.
func (l MemoryLimit) Do(ctx context.Context, bytes int64, work func() error) error {
	if bytes > 0 {
		release, err := l.queue.Acquire(ctx, bytes)
		if err != nil {
			return err
		}
		defer release()
		if err := AdmitWaiting(ctx); err != nil {
			return err
		}
	}
	return work()
}
