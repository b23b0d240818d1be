package gatewaysync

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/internal/gateway"
)

const (
	// searchInterval is how often the leader searches for lost keys although no gateway has registered: a Redis that
	// lost its data does not make gateways register.
	searchInterval = 5 * time.Minute
	// loadTimeout is how long a gateway that has registered may take to load its first APIs. Before that, it does not
	// list its organisation keys, and the search is repeated.
	loadTimeout = time.Minute
)

// searchLostKeys searches, until ctx ends, for stored keys that the gateways' Redis has lost, and has them sent
// again: when a gateway registers, when this server becomes the leader, and at intervals.
func (k *orgKeys) searchLostKeys(ctx context.Context) {
	if k.gateway == nil {
		return
	}
	ticker := time.NewTicker(searchInterval)
	defer ticker.Stop()
	for {
		limit := backoff.WithMaxElapsedTime(loadTimeout)
		select {
		case <-ctx.Done():
			return
		case <-k.registered:
		case <-ticker.C:
			if !k.leads() {
				continue
			}
			limit = backoff.WithMaxTries(1)
		}
		lost, err := backoff.Retry(ctx, func() (int, error) { return k.resendLost(ctx) },
			backoff.WithBackOff(backoff.NewExponentialBackOff()), limit)
		switch {
		case err != nil && ctx.Err() == nil:
			k.log.Warn("search for lost organisation keys failed", "err", err)
		case lost > 0:
			k.log.Info("organisation keys were lost in the gateways' Redis, sending them again", "keys", lost)
		}
	}
}

// resendLost has the keys sent again that gateways do not have, and returns their number. Keys that wait after a
// failed attempt are attempted now: the gateway has probably restarted.
func (k *orgKeys) resendLost(ctx context.Context) (int, error) {
	if err := k.store.RetryOrgKeys(ctx); err != nil {
		return 0, err
	}
	stored, err := k.store.OrgKeyIDs(ctx)
	if err != nil || len(stored) == 0 {
		return 0, err
	}
	lost, err := k.lostKeys(ctx, stored)
	if err != nil || len(lost) == 0 {
		return 0, err
	}
	return len(lost), k.store.ResendOrgKeys(ctx, lost)
}

// lostKeys returns the keys that the gateways' Redis does not have. It asks the Redis itself, if one is configured: a
// gateway without APIs does not list its keys, and when it has some, there may already be requests that the keys
// should limit.
func (k *orgKeys) lostKeys(ctx context.Context, stored []string) ([]string, error) {
	lost, err := k.redis.MissingOrgKeys(ctx, stored)
	if !errors.Is(err, gateway.ErrNotConfigured) {
		return lost, err
	}
	present, err := k.gateway.OrgKeys(ctx)
	slices.Sort(present)
	return slices.DeleteFunc(stored, func(id string) bool {
		_, found := slices.BinarySearch(present, id)
		return found
	}), err
}
