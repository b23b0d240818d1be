package gatewaysync

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"gatehouse/store"
)

const (
	// watchInterval is how often the leader looks for gateways that are behind.
	watchInterval = 500 * time.Millisecond
	// fetchTime is how long a gateway may take to fetch what has changed: it gathers notices for one second. One that
	// has fetched its policies may take longTime for its APIs, of which there may be many megabytes.
	fetchTime = 3 * time.Second
	longTime  = 15 * time.Second
	// heartbeatInterval is the time between two heartbeats of a gateway. One that sends none is not notified again.
	heartbeatInterval = 2 * time.Second
	// A gateway that is behind is notified again quickRepeats times every fetchTime, and then after pauses that double
	// up to maxRepeatPause: each notice reaches all gateways, and has them load everything.
	quickRepeats   = 3
	maxRepeatPause = 2 * time.Minute
	// clockTimeout is how long a notice may wait for the database's clock.
	clockTimeout = 500 * time.Millisecond
)

// behindWatch looks, on the server that leads, for gateways that send heartbeats but have not fetched policies and APIs
// since a change: a notice is lost that was published while a gateway was not connected to its Redis, and so is a
// reload that ended with an error. It has all gateways notified again, and marks in the database those that are behind.
//
// What a gateway has fetched is in the database, since any server may have sent it. Times of changes and of fetches are
// those of the database's clock. A change is as old as the notice of it, or older.
type behindWatch struct {
	store  *store.Store
	log    *slog.Logger
	now    func() time.Time
	leads  func() bool // reports whether this server notifies gateways
	repeat func()      // notifies gateways again
	count  atomic.Int64

	last atomic.Pointer[change] // nil: not known

	// What follows belongs to run.
	lags   map[string]*lag // by the IDs of nodes that have not fetched the last change
	failed bool            // whether the last check ended with an error
}

// change is the last change that gateways were notified of.
type change struct {
	time time.Time // by the database's clock
	at   time.Time // the same by this server's clock
}

func newBehindWatch(db *store.Store, log *slog.Logger, now func() time.Time) *behindWatch {
	return &behindWatch{store: db, log: log, now: now, lags: map[string]*lag{}}
}

// announcing records the time of a change, before gateways are notified of it. Without the database's clock, check does
// it later, so that gateways which have fetched meanwhile are notified once more.
func (w *behindWatch) announcing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	_ = w.setChanged(ctx)
}

func (w *behindWatch) setChanged(ctx context.Context) error {
	changed, err := w.store.Clock(ctx)
	if err != nil {
		w.last.Store(nil)
		return err
	}
	w.last.Store(&change{time: changed, at: w.now()})
	return nil
}

// run watches until ctx ends.
func (w *behindWatch) run(ctx context.Context) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !w.leads() {
			clear(w.lags)
			w.count.Store(0)
			continue
		}
		err := w.check(ctx)
		if err != nil && !w.failed && ctx.Err() == nil {
			w.log.Warn("look for gateways that are behind failed, retrying", "err", err)
		}
		w.failed = err != nil
	}
}

// check looks for gateways that are behind, and has gateways notified again if that is due.
func (w *behindWatch) check(ctx context.Context) error {
	last := w.last.Load()
	if last == nil {
		return w.setChanged(ctx)
	}
	nodes, err := w.store.NodesLacking(ctx, last.time)
	if err != nil {
		return err
	}
	now := w.now()
	lags := make(map[string]*lag, len(nodes))
	var fell, caughtUp []store.Node
	var late []*lag
	for _, node := range nodes {
		l, behind := observe(w.lags[node.ID], node, *last, now)
		if l != nil {
			lags[node.ID] = l
		}
		switch {
		case behind && !node.Behind:
			fell = append(fell, node)
		case !behind && node.Behind:
			caughtUp = append(caughtUp, node)
		}
		if behind {
			late = append(late, l)
		}
	}
	due := isDue(w.lags, lags, late, now)
	w.lags = lags
	w.count.Store(int64(len(late)))
	if due {
		for _, l := range lags { // the notice reaches them all
			l.repeated(now)
		}
		w.repeat()
	}
	return errors.Join(w.mark(ctx, fell, true), w.mark(ctx, caughtUp, false))
}

// isDue reports whether gateways have to be notified again, for those that are late. lacking are the nodes that lack
// the last change, and before those of the check before. The notice waits while gateways fetch, which those do that
// lacked the change before and have it now: many gateways with long lists take more than fetchTime, and the notice
// would have all of them fetch once more. It waits for maxRepeatPause at most.
func isDue(before, lacking map[string]*lag, late []*lag, now time.Time) bool {
	fetching, due := false, false
	for id := range before {
		fetching = fetching || lacking[id] == nil
	}
	for _, l := range late {
		if next := now.Add(fetchTime); fetching && l.next.Before(next) && now.Before(l.since.Add(maxRepeatPause)) {
			l.next = next
		}
		due = due || !now.Before(l.next)
	}
	return due
}

// mark records that nodes have fallen behind or caught up, and logs it once.
func (w *behindWatch) mark(ctx context.Context, nodes []store.Node, behind bool) error {
	if len(nodes) == 0 {
		return nil
	}
	var ids []string
	for _, node := range nodes {
		ids = append(ids, node.ID)
	}
	changed, err := w.store.SetNodesBehind(ctx, ids, behind)
	if err != nil {
		return err
	}
	level, text := slog.LevelInfo, "gateway has loaded the last change"
	if behind {
		level, text = slog.LevelWarn, "gateway has not loaded the last change, notifying it again"
	}
	for _, node := range nodes {
		if slices.Contains(changed, node.ID) {
			w.log.Log(ctx, level, text, "node_id", node.ID, "hostname", node.Hostname)
		}
	}
	return nil
}

// lag is the state of a node that has not fetched a change.
type lag struct {
	change  time.Time // the change, by the database's clock
	since   time.Time // since when the node could have fetched it
	repeats int       // how often gateways were notified again
	next    time.Time // when they are notified again
}

// observe returns the state of a node, nil if it has fetched the last change, and whether the node is behind. before is
// its previous state. While changes follow each other, a node is as late as for the first change that it lacks.
func observe(before *lag, node store.Node, last change, now time.Time) (l *lag, behind bool) {
	if hasFetched(node, last.time) {
		return nil, false
	}
	if before != nil && !hasFetched(node, before.change) {
		return before, node.Behind || before.isLate(node, now)
	}
	l = &lag{change: last.time, since: now}
	if node.APIsFetched != nil { // else it has just registered, or had to give up a reload
		l.since = last.at
	}
	l.next = l.since.Add(fetchTime)
	// What a leader before this one has found stays so until the node has fetched.
	return l, before == nil && node.Behind || l.isLate(node, now)
}

// hasFetched reports whether a node has fetched what was stored at a time. A gateway that loads its policies from
// elsewhere fetches APIs only.
func hasFetched(node store.Node, changed time.Time) bool {
	return node.APIsFetched != nil && !node.APIsFetched.Before(changed) &&
		(node.PoliciesFetched == nil || !node.PoliciesFetched.Before(changed))
}

// isLate reports whether the time is over in which the node could fetch the change, and the node is alive.
func (l *lag) isLate(node store.Node, now time.Time) bool {
	limit := fetchTime
	if node.PoliciesFetched != nil && !node.PoliciesFetched.Before(l.change) {
		limit = longTime
	}
	// The last heartbeat that the database has may be as old as the interval, and as long as it takes until it has one.
	return now.Sub(l.since) >= limit &&
		node.LastSeen.After(l.since.Add(limit-heartbeatInterval-store.HeartbeatDelay))
}

// repeated records that gateways are notified again.
func (l *lag) repeated(now time.Time) {
	const doublings = 16 // reaches maxRepeatPause, and does not overflow
	l.next = now.Add(min(fetchTime<<min(max(l.repeats-quickRepeats+1, 0), doublings), maxRepeatPause))
	l.repeats++
}
