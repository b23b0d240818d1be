package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/store"
)

const (
	// auditDelay is how long an event may be collected before it is written: a statement for each would cost as much as
	// the change that it is about.
	auditDelay = time.Second
	// maxAuditBatch is how many events a statement writes. They take some tens of milliseconds.
	maxAuditBatch = 1000
	// maxAuditQueue is how many events are held while the database is away, each of some 1 KB, and at most 5.
	maxAuditQueue = 10_000
	// lastAuditTimeout bounds what is written at the end of a server, which has others to wait for.
	lastAuditTimeout = time.Second
)

// auditTrail collects audit events, and writes them to the database in batches. What does not fit into the queue, or
// could not be written, is dropped: the line in the audit log remains.
type auditTrail struct {
	store *store.Store
	log   *slog.Logger
	// events counts events by what became of them.
	events *prometheus.CounterVec

	// writing has an element while a batch is written.
	writing chan struct{}
	// wake is sent to when the queue has its first event, and when it has a batch.
	wake chan struct{}

	mu       sync.Mutex // guards what follows, for the time of a look at it
	queue    []store.AuditEvent
	dropping bool // whether the last event was dropped
}

// newAuditTrail returns a trail that counts events by what became of them: stored or dropped.
func newAuditTrail(db *store.Store, log *slog.Logger, events *prometheus.CounterVec) *auditTrail {
	for _, result := range []string{"stored", "dropped"} {
		events.WithLabelValues(result)
	}
	return &auditTrail{
		store: db, log: log, events: events, writing: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
}

// add has an event written later.
func (t *auditTrail) add(event store.AuditEvent) {
	t.mu.Lock()
	full := len(t.queue) >= maxAuditQueue
	if !full {
		t.queue = append(t.queue, event)
	}
	waiting := len(t.queue)
	t.mu.Unlock()
	if full {
		t.drop(1, errAuditQueueFull)
	}
	if waiting == 1 || waiting%maxAuditBatch == 0 {
		t.signal()
	}
}

var (
	errAuditQueueFull  = errors.New("too many events wait to be written")
	errAuditNotWritten = errors.New("the database did not answer before the server ended")
)

// drop counts events that are not written, and logs the first of several.
func (t *auditTrail) drop(n int, cause error) {
	t.events.WithLabelValues("dropped").Add(float64(n))
	t.mu.Lock()
	first := !t.dropping
	t.dropping = true
	t.mu.Unlock()
	if first {
		t.log.Warn("write audit events failed, the API lacks them, the audit log has them", "count", n, "err", cause)
	}
}

// run writes events until ctx ends, and then what is left.
func (t *auditTrail) run(ctx context.Context) {
	// A batch that is being written when ctx ends is not given up at once.
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastAuditTimeout, cancel) })
	defer stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.wake:
			t.collect(ctx)
			t.flush(writing, writing)
		}
	}
	t.flush(writing, writing)
}

// collect waits until there is a batch, or auditDelay has passed.
func (t *auditTrail) collect(ctx context.Context) {
	delay := time.NewTimer(auditDelay)
	defer delay.Stop()
	for t.waiting() < maxAuditBatch {
		select {
		case <-ctx.Done():
			return
		case <-delay.C:
			return
		case <-t.wake:
		}
	}
}

func (t *auditTrail) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}

// flush writes what has been collected, as long as ctx lasts. It waits for another flush until wait ends. While the
// database cannot be reached, events stay in the queue, and run tries again.
func (t *auditTrail) flush(ctx, wait context.Context) {
	select {
	case t.writing <- struct{}{}:
		defer func() { <-t.writing }()
	case <-wait.Done():
		return
	}
	for {
		batch := t.next()
		if len(batch) == 0 {
			return
		}
		err := t.store.WriteAuditEvents(ctx, batch)
		if errors.Is(err, store.ErrUnavailable) {
			t.signal()
			return
		}
		t.settle(len(batch), err)
	}
}

// next returns the events of the next batch, which stay in the queue until they are written.
func (t *auditTrail) next() []store.AuditEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.queue), maxAuditBatch)
	return t.queue[:n:n]
}

// settle removes a batch from the queue. An error leaves open whether it was stored: it is not written again.
func (t *auditTrail) settle(n int, err error) {
	t.mu.Lock()
	t.queue = append([]store.AuditEvent(nil), t.queue[n:]...)
	if err == nil {
		t.dropping = false
	}
	t.mu.Unlock()
	if err != nil {
		t.drop(n, err)
		return
	}
	t.events.WithLabelValues("stored").Add(float64(n))
}

// signal has run look at the queue.
func (t *auditTrail) signal() {
	select {
	case t.wake <- struct{}{}:
	default: // it is about to look
	}
}
