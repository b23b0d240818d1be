package gatewaysync

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/store"
)

const (
	// probeInterval is how often the leader looks at some keys: a Redis that lost its data does not make gateways
	// register, and until the keys are back, their limits do not count.
	probeInterval = 3 * time.Second
	// redisProbe is the number of keys of a probe, which the Redis returns in one round trip, and controlProbe that
	// without a Redis, when each is a call of a gateway. The next probe looks at those that follow.
	redisProbe, controlProbe = 20, 1
	// searchInterval is how often the leader looks at all keys.
	searchInterval = 5 * time.Minute
	// searchBatch is the number of keys that are compared at a time.
	searchBatch = 500
	// loadTimeout is how long a gateway that has registered may take to load its first APIs. Before that, it does not
	// list its organisation keys, and the search is repeated.
	loadTimeout = time.Minute
)

// lostKeys searches for stored keys that the gateways' Redis has lost, or has as they were before: because it was
// flushed, or has restarted without its last writes. It belongs to one goroutine.
type lostKeys struct {
	*orgKeys
	cursor   string    // the last key that was probed
	failed   bool      // whether the last probe ended with an error
	found    int       // consecutive searches that found lost keys
	searched time.Time // when all keys were looked at last
}

// searchLostKeys searches, until ctx ends, for stored keys that gateways do not have, and has them sent again: when a
// gateway registers, when this server becomes the leader, when the Redis was connected to anew, and at intervals.
func (k *orgKeys) searchLostKeys(ctx context.Context) {
	if k.gateway == nil && k.redis == nil {
		return
	}
	l := &lostKeys{orgKeys: k, searched: k.now()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.registered:
			l.search(ctx, backoff.WithMaxElapsedTime(loadTimeout))
		case <-k.redis.Connected():
			if k.leads() {
				l.search(ctx, backoff.WithMaxTries(1))
			}
		case <-time.After(l.pause()):
			if k.leads() {
				l.probe(ctx)
			}
		}
	}
}

// pause returns the time until the next probe. It grows while something undoes what is sent.
func (l *lostKeys) pause() time.Duration {
	const doublings = 16 // reaches searchInterval, and does not overflow
	return min(probeInterval<<min(max(l.found-1, 0), doublings), searchInterval)
}

// probe looks at the next keys. It searches all of them if one is lost, if the last probe failed, or if it is time to.
func (l *lostKeys) probe(ctx context.Context) {
	lost, err := l.lostOfNext(ctx)
	switch {
	case err != nil && !l.failed && ctx.Err() == nil:
		l.log.Warn("look for lost organisation keys failed, retrying", "err", err)
	case err == nil && (lost || l.failed || l.now().Sub(l.searched) >= searchInterval):
		l.search(ctx, backoff.WithMaxTries(1))
	case err == nil:
		l.found = 0
	}
	l.failed = err != nil
}

// lostOfNext reports whether one of the next keys is lost.
func (l *lostKeys) lostOfNext(ctx context.Context) (bool, error) {
	size, lostOf := redisProbe, l.lostInRedis
	if l.redis == nil {
		size, lostOf = controlProbe, l.lostInGateway
	}
	keys, last, err := l.store.SyncedOrgKeys(ctx, l.cursor, size)
	if err == nil && last == "" && l.cursor != "" { // begin again
		keys, last, err = l.store.SyncedOrgKeys(ctx, "", size)
	}
	l.cursor = last
	if err != nil || len(keys) == 0 {
		return false, err
	}
	lost, err := lostOf(ctx, keys)
	return len(lost) > 0, err
}

// search looks at all keys, and has those sent again that are lost.
func (l *lostKeys) search(ctx context.Context, limit backoff.RetryOption) {
	lost, err := backoff.Retry(ctx, func() (int, error) { return l.resendLost(ctx) },
		backoff.WithBackOff(backoff.NewExponentialBackOff()), limit)
	switch {
	case err != nil && ctx.Err() == nil:
		l.log.Warn("search for lost organisation keys failed", "err", err)
		return
	case lost > 0:
		l.found++
		l.log.Info("organisation keys were lost in the gateways' Redis, sending them again", "keys", lost)
	}
	l.searched = l.now()
}

// resendLost has the keys sent again that gateways do not have, and returns their number. Keys that wait after a
// failed attempt are attempted now: the gateway or its Redis has probably restarted.
func (l *lostKeys) resendLost(ctx context.Context) (found int, err error) {
	if err := l.store.RetryOrgKeys(ctx); err != nil {
		return 0, err
	}
	lostOf, after := l.lostInRedis, ""
	for {
		keys, last, err := l.store.SyncedOrgKeys(ctx, after, searchBatch)
		if err != nil || last == "" {
			return found, err
		}
		if l.redis == nil && after == "" {
			if lostOf, err = l.notListed(ctx); err != nil {
				return 0, err
			}
		}
		after = last
		lost, err := lostOf(ctx, keys)
		if err == nil && len(lost) > 0 {
			err = l.store.ResendOrgKeys(ctx, lost)
		}
		if err != nil {
			return found, err
		}
		found += len(lost)
	}
}

// lostInRedis returns those of the keys that the gateways' Redis does not have as they are stored. It is asked itself,
// if it is known: a gateway without APIs does not list its keys, and when it has some, there may already be requests
// that the keys should limit.
func (l *lostKeys) lostInRedis(ctx context.Context, keys []store.OrgKey) (lost []string, err error) {
	has := make(map[string]json.RawMessage, len(keys))
	for session, err := range l.redis.OrgSessions(ctx, idsOf(keys)) {
		if err != nil {
			return nil, err
		}
		has[session.ID] = session.Session
	}
	for _, key := range keys {
		if session, found := has[key.OrgID]; !found || l.differs(key, session) {
			lost = append(lost, key.OrgID)
		}
	}
	return lost, nil
}

// lostInGateway does what lostInRedis does with a call of a gateway for each key.
func (l *lostKeys) lostInGateway(ctx context.Context, keys []store.OrgKey) (lost []string, err error) {
	for _, key := range keys {
		session, found, err := l.gateway.OrgKey(ctx, key.OrgID)
		if err != nil {
			return nil, err
		}
		if !found || l.differs(key, session) {
			lost = append(lost, key.OrgID)
		}
	}
	return lost, nil
}

// notListed returns a function that returns those of the keys that a gateway does not list.
func (l *lostKeys) notListed(ctx context.Context) (func(context.Context, []store.OrgKey) ([]string, error), error) {
	listed, err := l.gateway.OrgKeys(ctx)
	slices.Sort(listed)
	return func(_ context.Context, keys []store.OrgKey) ([]string, error) {
		return slices.DeleteFunc(idsOf(keys), func(id string) bool {
			_, found := slices.BinarySearch(listed, id)
			return found
		}), nil
	}, err
}

// differs reports whether gateways have other limits than those that are stored. A session that is not a JSON object
// is one that cannot be compared.
func (l *lostKeys) differs(key store.OrgKey, has json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimSpace(has), []byte("{")) && !sameLimits(l.session(key.Session), has)
}

func idsOf(keys []store.OrgKey) []string {
	ids := make([]string, 0, len(keys))
	for _, key := range keys {
		ids = append(ids, key.OrgID)
	}
	return ids
}
