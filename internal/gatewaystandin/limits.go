package gatewaystandin

import (
	"sync"
	"time"
)

// limits counts requests. A real gateway counts in Redis, together with the other gateways there.
type limits struct {
	mu     sync.Mutex // guards the fields below
	hits   map[string][]time.Time
	quotas map[string]*quota
}

type quota struct {
	used   int64
	renews time.Time // zero is never
}

func newLimits() *limits {
	return &limits{hits: map[string][]time.Time{}, quotas: map[string]*quota{}}
}

// allowRate reports whether a request is within rate requests in per seconds. It is exact, as a gateway's limiter is at
// low rates. A rate or per of 0 is no limit.
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

// allowQuota uses one request of a quota and reports whether there was one. A limit of 0 or less is unlimited. renewal
// is in seconds; 0 or less is never.
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
