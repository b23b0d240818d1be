package gatewaysync

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store"
)

// watched observes a node of which a test says what it does, at times in seconds after the start.
type watched struct {
	start time.Time
	node  store.Node
	lag   *lag
	last  change
}

func newWatched() *watched {
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	w := &watched{start: start, last: change{start, start}}
	w.fetchPolicies(0)
	w.fetchAPIs(0)
	return w
}

func (w *watched) at(seconds float64) time.Time {
	return w.start.Add(time.Duration(seconds * float64(time.Second)))
}

func (w *watched) changes(seconds float64) { w.last = change{w.at(seconds), w.at(seconds)} }

func (w *watched) fetchPolicies(seconds float64) {
	at := w.at(seconds)
	w.node.PoliciesFetched = &at
}

func (w *watched) fetchAPIs(seconds float64) {
	at := w.at(seconds)
	w.node.APIsFetched = &at
}

// observe reports whether the node is behind, after the check of that time. A node that is alive has just sent a
// heartbeat.
func (w *watched) observe(seconds float64, alive bool) bool {
	if alive {
		w.node.LastSeen = w.at(seconds)
	}
	w.lag, w.node.Behind = observe(w.lag, w.node, w.last, w.at(seconds))
	return w.node.Behind
}

func TestNodeIsBehindIfItDoesNotFetchInTime(t *testing.T) {
	t.Parallel()
	w := newWatched()
	require.False(t, w.observe(1, true), "it has fetched what there is")
	w.changes(10)
	require.False(t, w.observe(12.9, true))
	require.True(t, w.observe(13, true))
	w.fetchPolicies(14)
	require.True(t, w.observe(14.5, true), "until it has fetched both")
	w.fetchAPIs(15)
	require.False(t, w.observe(15.5, true))
}

// TestNodeIsNotBehindWhileChangesFollowEachOther: a node that fetches each change in time always lacks the next one.
func TestNodeIsNotBehindWhileChangesFollowEachOther(t *testing.T) {
	t.Parallel()
	healthy, deaf := newWatched(), newWatched()
	for second := 1.0; second < 20; second += 0.5 {
		for _, w := range []*watched{healthy, deaf} {
			w.changes(second)
		}
		healthy.fetchPolicies(second - 1)
		healthy.fetchAPIs(second - 1)
		require.False(t, healthy.observe(second+0.1, true), "after %v s", second)
		require.Equal(t, second >= 4, deaf.observe(second+0.1, true), "after %v s", second)
	}
}

func TestNodeMayTakeLongForItsAPIs(t *testing.T) {
	t.Parallel()
	w := newWatched()
	w.changes(10)
	w.fetchPolicies(11)
	require.False(t, w.observe(20, true))
	require.True(t, w.observe(25.1, true))
}

func TestNodeThatHasGoneIsNotBehind(t *testing.T) {
	t.Parallel()
	w := newWatched()
	require.False(t, w.observe(9.5, true))
	w.changes(10)
	require.False(t, w.observe(30, false))
}

func TestNodeThatHasFetchedNothingIsBehind(t *testing.T) {
	t.Parallel()
	w := newWatched()
	w.node.APIsFetched, w.node.PoliciesFetched = nil, nil // it has registered
	require.False(t, w.observe(100, true))
	require.False(t, w.observe(102.9, true))
	require.True(t, w.observe(103, true))
	w.fetchAPIs(104)
	require.False(t, w.observe(105, true), "it has its policies from elsewhere")
	w.node.APIsFetched = nil // it had to give up a reload
	require.False(t, w.observe(110, true))
	require.True(t, w.observe(113, true))
}

// TestNewLeaderKeepsWhatIsBehind: a gateway that is behind stays so for the server that takes over, which has not
// observed it before.
func TestNewLeaderKeepsWhatIsBehind(t *testing.T) {
	t.Parallel()
	w := newWatched()
	w.changes(10)
	require.True(t, w.observe(13, true))
	w.lag = nil
	w.changes(14)
	require.True(t, w.observe(14.5, true))
	require.True(t, w.observe(15, true))
	w.fetchPolicies(15)
	w.fetchAPIs(15)
	require.False(t, w.observe(15.5, true))
}

// TestNoticesAreRepeatedLessAndLessOften: a gateway that stays deaf does not have the others load everything all day.
func TestNoticesAreRepeatedLessAndLessOften(t *testing.T) {
	t.Parallel()
	w := newWatched()
	w.changes(10)
	require.False(t, w.observe(10.5, true))
	var notices []time.Duration
	for second := 13.0; second < 3613; second += 0.5 {
		require.True(t, w.observe(second, true))
		if !w.at(second).Before(w.lag.next) {
			notices = append(notices, w.at(second).Sub(w.at(10)))
			w.lag.repeated(w.at(second))
		}
	}
	require.Equal(t, []time.Duration{3, 6, 9, 12, 18, 30, 54, 102, 198, 318}, inSeconds(notices[:10]))
	require.Less(t, len(notices), 40, "in an hour")
}

// TestNoticesWaitWhileGatewaysFetch: a fleet that needs half a minute for its lists is not notified again meanwhile,
// which would have all of it fetch again, and is afterwards, for the node that has not fetched.
func TestNoticesWaitWhileGatewaysFetch(t *testing.T) {
	t.Parallel()
	const fetchEnds = 40
	w := newWatched()
	w.changes(10)
	require.False(t, w.observe(10.5, true))
	var notices []time.Duration
	before := map[string]*lag{}
	for second := 13.0; len(notices) < 3; second += 0.5 {
		require.True(t, w.observe(second, true))
		lacking := map[string]*lag{"late": w.lag}
		if second < fetchEnds {
			lacking[w.at(second).String()] = &lag{} // another node, which will have fetched at the next check
		}
		if isDue(before, lacking, []*lag{w.lag}, w.at(second)) {
			notices = append(notices, w.at(second).Sub(w.start))
			w.lag.repeated(w.at(second))
		}
		before = lacking
	}
	require.Equal(t, []time.Duration{13, fetchEnds + 3, fetchEnds + 6}, inSeconds(notices))
}

func inSeconds(durations []time.Duration) (seconds []time.Duration) {
	for _, d := range durations {
		seconds = append(seconds, d/time.Second)
	}
	return seconds
}
