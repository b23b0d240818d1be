package gatewaysync

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

const (
	// checkInterval is how often the leader looks for keys that the gateways' Redis has lost without a gateway registering.
	checkInterval = 5 * time.Minute
	// loadTimeout is how long a gateway that has registered may take to load its first APIs: before that, it does not list
	// its organisation keys.
	loadTimeout = time.Minute
	// batchSize is the number of keys that one pass of the reconciler handles.
	batchSize = 256
	// callsAtOnce is the number of calls to the gateway at a time.
	callsAtOnce = 8
	// settledRounds is the number of consecutive checks that must find a key unchanged, maxRounds the number of checks
	// before the key waits for another attempt, and roundPause the time between two checks.
	settledRounds = 3
	maxRounds     = 20
	roundPause    = 100 * time.Millisecond
	// minRetryPause is the pause after the first failed attempt; it doubles up to maxRetryPause.
	minRetryPause = 500 * time.Millisecond
	maxRetryPause = time.Minute
)

// errUndone is returned when the gateway does not keep a key: its cached copy is written back with each request.
var errUndone = errors.New("the gateway does not keep the key that it is sent")

// orgKeyQueue wakes the reconciler. A buffered element means that there is work to do.
type orgKeyQueue struct{ due, registered chan struct{} }

func newOrgKeyQueue() orgKeyQueue {
	return orgKeyQueue{due: make(chan struct{}, 1), registered: make(chan struct{}, 1)}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake already
	}
}

// NodeRegistered starts a search for organisation keys that the gateways' Redis has lost.
func (s *Sync) NodeRegistered() { wake(s.keys.registered) }

// reconcileOrgKeys makes gateways keep the organisation keys that Postgres has, until ctx ends. Only the leader works; it is
// woken by a change, by becoming the leader, and when a key is due for another attempt.
func (s *Sync) reconcileOrgKeys(ctx context.Context) {
	timer := time.NewTimer(checkInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keys.due:
		case <-timer.C:
		}
		pause := checkInterval
		if s.leads.Load() {
			pause = s.reconcileDue(ctx)
		}
		timer.Reset(pause)
	}
}

// reconcileDue handles the keys that are due and returns the time until the next one is.
func (s *Sync) reconcileDue(ctx context.Context) time.Duration {
	keys, err := s.cfg.Store.UnsyncedOrgKeys(ctx, s.cfg.Now(), batchSize)
	if err == nil {
		s.reconcile(ctx, keys)
	}
	next, ok, nextErr := s.cfg.Store.NextOrgKeySync(ctx)
	switch err = errors.Join(err, nextErr); {
	case err != nil && ctx.Err() == nil:
		s.cfg.Log.Warn("read unsynced organisation keys failed", "err", err)
		return maxRetryPause
	case !ok:
		return checkInterval
	}
	return min(max(next.Sub(s.cfg.Now()), minRetryPause/10), checkInterval)
}

// reconcile sends the keys that the gateway may not have, and then makes sure that it keeps them. A key that fails waits for
// another attempt and does not stop the others.
func (s *Sync) reconcile(ctx context.Context, keys []store.UnsyncedOrgKey) {
	sent := s.each(ctx, keys, func(ctx context.Context, key store.UnsyncedOrgKey) error {
		if key.Sent {
			return nil
		}
		return s.ensureOrgKey(ctx, key)
	})
	if len(sent) > 0 {
		s.confirmOrgKeys(ctx, sent)
	}
}

// each calls do for the keys, several at a time, and returns those for which it returned nil, in their order. A key that was
// changed meanwhile is skipped: it is due again. For others that fail, the next attempt is scheduled.
func (s *Sync) each(ctx context.Context, keys []store.UnsyncedOrgKey, do func(context.Context, store.UnsyncedOrgKey) error,
) []store.UnsyncedOrgKey {
	failed := make([]error, len(keys))
	var calls errgroup.Group
	calls.SetLimit(callsAtOnce)
	for i, key := range keys {
		calls.Go(func() error {
			if failed[i] = do(ctx, key); failed[i] != nil {
				s.deferOrgKey(ctx, key, failed[i])
			}
			return nil
		})
	}
	_ = calls.Wait() // the errors are in failed
	done := make([]store.UnsyncedOrgKey, 0, len(keys))
	for i, key := range keys {
		if failed[i] == nil {
			done = append(done, key)
		}
	}
	return done
}

// deferOrgKey schedules another attempt after an error.
func (s *Sync) deferOrgKey(ctx context.Context, key store.UnsyncedOrgKey, cause error) {
	if ctx.Err() != nil || errors.Is(cause, store.ErrOrgKeyLeased) {
		return
	}
	pause := min(minRetryPause<<min(key.Attempts, 16), maxRetryPause) //nolint:mnd // no overflow
	s.cfg.Log.Warn("send organisation key failed, retrying", "org_id", key.OrgID, "attempts", key.Attempts+1, "pause", pause,
		"err", cause)
	if err := s.cfg.Store.DeferOrgKey(ctx, key, s.cfg.Now().Add(pause), cause); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("schedule organisation key failed", "org_id", key.OrgID, "err", err)
	}
}

// ensureOrgKey sends a key to the gateway while nobody else may. It returns store.ErrOrgKeyLeased if the key was changed, or
// is being changed.
func (s *Sync) ensureOrgKey(ctx context.Context, key store.UnsyncedOrgKey) error {
	if s.cfg.Gateway == nil {
		return nil
	}
	lease, err := s.cfg.Store.LeaseOrgKey(ctx, key, leaseDuration)
	if err != nil {
		return err
	}
	if err := s.send(ctx, store.OrgKey{OrgID: key.OrgID, Session: key.Session}); err != nil {
		s.abandonChange(ctx, lease, false)
		return err
	}
	sent, err := s.cfg.Store.ReleaseOrgKey(ctx, lease, key)
	if err == nil && !sent {
		err = store.ErrOrgKeyLeased
	}
	return err
}

// confirmOrgKeys makes sure that the gateway keeps keys as they were sent. A gateway caches a session and writes the copy
// back with each request, so that a request at the wrong moment undoes a change. A notice empties the cache; a change that
// was undone before the notice arrived has to be sent again (docs/behaviour.md#gateway-keys-and-cache). Without a Redis for
// the notice, the key is only checked and sent again.
func (s *Sync) confirmOrgKeys(ctx context.Context, keys []store.UnsyncedOrgKey) {
	rounds := map[string]int{} // consecutive checks that found the key unchanged
	var mu sync.Mutex          // guards rounds
	for range maxRounds {
		if !s.dropSessions(ctx, keys) || len(keys) == 0 {
			return
		}
		if s.cfg.Gateway != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(roundPause):
			}
		}
		keys = s.each(ctx, keys, func(ctx context.Context, key store.UnsyncedOrgKey) error {
			same, err := s.checkOrgKey(ctx, key)
			mu.Lock()
			defer mu.Unlock()
			if rounds[key.OrgID]++; !same {
				rounds[key.OrgID] = 0
			}
			return err
		})
		keys = s.confirmSettled(ctx, keys, rounds)
	}
	for _, key := range keys {
		s.deferOrgKey(ctx, key, errUndone)
	}
}

// checkOrgKey reports whether the gateway has a key as it was sent. If not, it sends the key again.
func (s *Sync) checkOrgKey(ctx context.Context, key store.UnsyncedOrgKey) (same bool, err error) {
	if s.cfg.Gateway == nil {
		return true, nil
	}
	has, err := s.cfg.Gateway.OrgKey(ctx, key.OrgID)
	switch {
	case isNotFound(err): // the answer also of a gateway without APIs, which undoes nothing
		return true, nil
	case err != nil:
		return false, err
	case key.Session != nil && sameLimits(key.Session, has):
		return true, nil
	}
	return false, s.ensureOrgKey(ctx, key)
}

// confirmSettled confirms the keys that the gateway has kept for long enough, and returns the others.
func (s *Sync) confirmSettled(ctx context.Context, keys []store.UnsyncedOrgKey, rounds map[string]int) []store.UnsyncedOrgKey {
	var settled, open []store.UnsyncedOrgKey
	for _, key := range keys {
		if s.cfg.Gateway == nil || rounds[key.OrgID] >= settledRounds {
			settled = append(settled, key)
		} else {
			open = append(open, key)
		}
	}
	if len(settled) > 0 && s.dropSessions(ctx, settled) {
		for _, key := range settled {
			if err := s.cfg.Store.ConfirmOrgKey(ctx, key); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("confirm organisation key failed", "org_id", key.OrgID, "err", err)
			}
		}
	}
	return open
}

// dropSessions has gateways drop their cached copies of keys. If the notice fails, the keys wait for another attempt.
func (s *Sync) dropSessions(ctx context.Context, keys []store.UnsyncedOrgKey) (ok bool) {
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = key.OrgID
	}
	if err := s.cfg.Redis.DropSessions(ctx, ids); err != nil {
		for _, key := range keys {
			s.deferOrgKey(ctx, key, err)
		}
		return false
	}
	return true
}

// watchLostOrgKeys looks, when a gateway registers and at intervals, for organisation keys that the gateways' Redis has
// lost, until ctx ends.
func (s *Sync) watchLostOrgKeys(ctx context.Context) {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		timeout := loadTimeout
		select {
		case <-ctx.Done():
			return
		case <-s.keys.registered:
		case <-ticker.C:
			if !s.leads.Load() {
				continue
			}
			timeout = time.Nanosecond // one attempt
		}
		if s.cfg.Gateway == nil {
			continue
		}
		lost, err := backoff.Retry(ctx, func() (int, error) { return s.resendLost(ctx) },
			backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(timeout))
		switch {
		case err != nil && ctx.Err() == nil:
			s.cfg.Log.Warn("search for lost organisation keys failed", "err", err)
		case lost > 0:
			s.cfg.Log.Info("organisation keys were lost in the gateways' Redis, sending them again", "keys", lost)
		}
	}
}

// resendLost has the keys sent again that gateways do not have, and returns their number. Keys that wait after a failed
// attempt are attempted now.
func (s *Sync) resendLost(ctx context.Context) (int, error) {
	stored, err := s.cfg.Store.OrgKeyIDs(ctx)
	if err != nil || len(stored) == 0 {
		return 0, err
	}
	lost, err := s.lostOrgKeys(ctx, stored)
	if err != nil {
		return 0, err
	}
	return len(lost), errors.Join(s.cfg.Store.ResendOrgKeys(ctx, lost), s.cfg.Store.RetryOrgKeys(ctx))
}

// lostOrgKeys returns the keys that the gateways' Redis does not have. It asks the Redis itself, if it is known: a gateway
// without APIs does not list its keys, and when it has some, there may already be requests that the keys should limit.
func (s *Sync) lostOrgKeys(ctx context.Context, stored []string) ([]string, error) {
	if s.cfg.Redis == nil {
		present, err := s.cfg.Gateway.OrgKeys(ctx)
		return slices.DeleteFunc(stored, func(id string) bool { return slices.Contains(present, id) }), err
	}
	var lost []string
	for _, id := range stored {
		exists, err := s.cfg.Redis.HasOrgKey(ctx, id)
		if err != nil {
			return nil, err
		}
		if !exists {
			lost = append(lost, id)
		}
	}
	return lost, nil
}

// SyncOrgKeys sends every stored organisation key to the gateway and returns the number of keys that were sent. It works
// beside running servers. A key that fails does not stop the others; the error joins all failures. It returns
// gateway.ErrNotConfigured without a gateway.
func (s *Sync) SyncOrgKeys(ctx context.Context) (int, error) {
	if s.cfg.Gateway == nil {
		return 0, gateway.ErrNotConfigured
	}
	ids, err := s.cfg.Store.OrgKeyIDs(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.cfg.Store.ResendOrgKeys(ctx, ids); err != nil {
		return 0, err
	}
	var sent []string
	var failed []error
	for _, id := range ids {
		if err := s.syncOrgKey(ctx, id); err != nil {
			failed = append(failed, err)
		} else {
			sent = append(sent, id)
		}
	}
	if len(sent) > 0 {
		failed = append(failed, s.cfg.Redis.DropSessions(ctx, sent))
	}
	return len(sent), errors.Join(failed...)
}

// syncOrgKey sends a key, unless a server has sent it meanwhile.
func (s *Sync) syncOrgKey(ctx context.Context, orgID string) error {
	for {
		key, err := s.cfg.Store.UnsyncedOrgKey(ctx, orgID)
		switch {
		case errors.Is(err, store.ErrNotFound): // a server has sent and confirmed it
			return nil
		case err != nil:
			return err
		case key.Sent:
			return nil
		}
		if err := s.ensureOrgKey(ctx, key); !errors.Is(err, store.ErrOrgKeyLeased) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leasePoll):
		}
	}
}
