package gatewaytest

import (
	"sync"
	"time"
)

// limits counts requests. The counters are the process's own (a real gateway has them in Redis), which makes a
// difference to nobody but several gateways on one Redis.
type limits struct {
	mu     sync.Mutex
	hits   map[string][]time.Time
	quotas map[string]*quota
}

type quota struct {
	used   int64
	renews time.Time // zero: never
}

func newLimits() *limits {
	return &limits{hits: map[string][]time.Time{}, quotas: map[string]*quota{}}
}

// allowRate lets `rate` requests through in any `per` seconds; it is exact, as Redis' limiter is at low rates
// (facts §4). A rate or per of 0 is no limit.
func (l *limits) allowRate(name string, rate, per float64) bool {
	if rate <= 0 || per <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	oldest := now.Add(-time.Duration(per * float64(time.Second)))
	recent := l.hits[name]
	for len(recent) > 0 && !recent[0].After(oldest) {
		recent = recent[1:]
	}
	allowed := float64(len(recent)) < rate
	if allowed {
		recent = append(recent, now)
	}
	l.hits[name] = recent
	return allowed
}

// allowQuota takes one from the quota; limit ≤ 0 is unlimited (facts §4). renewal is in seconds, ≤ 0 means never.
func (l *limits) allowQuota(name string, limit, renewal int64) (remaining int64, allowed bool) {
	if limit <= 0 {
		return limit, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.quotas[name]
	if q == nil || (!q.renews.IsZero() && time.Now().After(q.renews)) {
		q = &quota{}
		if renewal > 0 {
			q.renews = time.Now().Add(time.Duration(renewal) * time.Second)
		}
		l.quotas[name] = q
	}
	if q.used >= limit {
		return 0, false
	}
	q.used++
	return limit - q.used, true
}

func (l *limits) resetQuota(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.quotas, name)
}
