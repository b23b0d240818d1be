package gatewaysync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

const (
	// roundSize is the number of keys in one round of the reconciler, and callsAtOnce the number of its calls at a
	// time.
	roundSize   = 256
	callsAtOnce = 8
	// roundPause is the time between a notice, which empties the gateways' caches, and the check of what they have.
	roundPause = 100 * time.Millisecond
	// settledRounds is the number of consecutive checks that must find a key unchanged. After maxRounds checks that
	// did not, the attempt has failed.
	settledRounds = 3
	maxRounds     = 20
	// minRetryPause is the pause after the first failed attempt; it doubles up to maxRetryPause.
	minRetryPause = 500 * time.Millisecond
	maxRetryPause = time.Minute
	// pollInterval is how often a server looks for due keys that it was not notified of: failed attempts, and changes
	// of servers that died.
	pollInterval = time.Second
	// followerDelay is how long a server that does not lead leaves due keys to the leader, which may have no control
	// API.
	followerDelay = 10 * time.Second
)

var (
	// errUndone is the error of an attempt after which the gateway did not keep the key.
	errUndone = errors.New("the gateway does not keep the key that it is sent")
	// errSkipped is the error of an attempt that was not made, because the gateway did not answer another.
	errSkipped = errors.New("the gateway did not answer for another key")
)

// reconciler makes gateways keep organisation keys as they are stored. It belongs to one goroutine.
//
// It works in rounds. A round sends the due keys that the gateway may not have, publishes a notice, and checks the
// keys after a pause. A gateway caches a session and writes the copy back with each request, so that a request at the
// wrong moment undoes a change; the notice empties the cache. A change that was undone before the notice arrived is
// sent again (docs/behaviour.md#gateway-keys-and-cache). A key stays due until enough rounds have found it unchanged.
type reconciler struct {
	*orgKeys
	checks   map[string]checks // of the organisations whose keys are being checked
	failures int               // consecutive rounds that ended with an error
}

// checks counts what the rounds found of one version of a key.
type checks struct {
	version      int64
	rounds, kept int
}

func newReconciler(keys *orgKeys) *reconciler {
	return &reconciler{orgKeys: keys, checks: map[string]checks{}}
}

// run reconciles until ctx ends. Every server with a control API does: the leader at once, the others what the leader
// leaves. Leases keep them from sending the same key at the same time.
func (r *reconciler) run(ctx context.Context) {
	if r.gateway == nil { // keys stay unsynced for a server that has one
		return
	}
	for ctx.Err() == nil {
		due := r.now()
		if !r.leads() {
			due = due.Add(-followerDelay)
		}
		pause := pollInterval
		switch result, err := r.round(ctx, due); {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = retryPause(r.failures)
			r.failures++
			r.log.Warn("reconcile organisation keys failed, retrying", "pause", pause, "err", err)
		case result.checked:
			r.failures, pause = 0, 0
		case result.keys > 0:
			r.failures, pause = 0, roundPause
		}
		select {
		case <-ctx.Done():
		case <-r.due: // also in a pause: the gateway may be back
		case <-time.After(pause):
		}
	}
}

// attempt is what a round does for one key.
type attempt struct {
	store.UnsyncedOrgKey

	kept bool
	err  error
}

// roundResult is the outcome of a round.
type roundResult struct {
	keys int
	// checked reports whether the round paused and checked keys.
	checked bool
}

// round handles the keys that were due at a time. A key that fails is due again later and does not stop the others.
// The error ended the round: the database, the gateway or the Redis does not answer.
func (r *reconciler) round(ctx context.Context, due time.Time) (roundResult, error) {
	keys, err := r.store.UnsyncedOrgKeys(ctx, due, roundSize)
	attempts := make(map[string]*attempt, len(keys))
	for _, key := range keys {
		attempts[key.OrgID] = &attempt{UnsyncedOrgKey: key}
	}
	maps.DeleteFunc(r.checks, func(orgID string, _ checks) bool { return attempts[orgID] == nil })
	result := roundResult{keys: len(keys)}
	if err != nil || len(keys) == 0 {
		return result, err
	}
	if err := r.each(ctx, attempts, r.ensureOrgKey); err != nil || len(attempts) == 0 {
		return result, err
	}
	if err := r.dropSessions(ctx, slices.Collect(maps.Keys(attempts))); err != nil {
		return result, err
	}
	select {
	case <-ctx.Done():
		return result, ctx.Err()
	case <-time.After(roundPause):
	}
	result.checked = true
	err = r.each(ctx, attempts, r.checkOrgKey)
	for _, a := range attempts {
		if a.err = r.confirmOrgKey(ctx, a); a.err != nil {
			r.deferOrgKey(ctx, a)
		}
	}
	return result, err
}

// each calls do for the attempts, several at a time, and removes those that fail: they are due again later. It
// returns the error of a gateway that does not answer; then it leaves out the calls that have not begun.
func (r *reconciler) each(ctx context.Context, attempts map[string]*attempt,
	do func(context.Context, *attempt) error,
) error {
	calls, reachable := errgroup.WithContext(ctx)
	calls.SetLimit(callsAtOnce)
	for _, a := range attempts {
		calls.Go(func() error {
			select {
			case <-reachable.Done():
				a.err = errSkipped
			default:
				a.err = do(ctx, a)
			}
			if errors.Is(a.err, gateway.ErrUnreachable) {
				return a.err
			}
			return nil
		})
	}
	unreachable := calls.Wait()
	maps.DeleteFunc(attempts, func(_ string, a *attempt) bool {
		if a.err != nil {
			r.deferOrgKey(ctx, a)
		}
		return a.err != nil
	})
	return unreachable
}

// ensureOrgKey sends a key that the gateway may not have.
func (r *reconciler) ensureOrgKey(ctx context.Context, a *attempt) error {
	if a.Sent {
		return nil
	}
	return r.resend(ctx, a.UnsyncedOrgKey)
}

// resend sends a key while nobody else may. It returns store.ErrOrgKeyLeased if the key was changed, or is being
// changed.
func (r *reconciler) resend(ctx context.Context, key store.UnsyncedOrgKey) error {
	lease, err := r.store.LeaseOrgKey(ctx, key, leaseDuration)
	if err != nil {
		return err
	}
	if err := r.send(ctx, store.OrgKey{OrgID: key.OrgID, Session: key.Session}); err != nil {
		r.abandon(ctx, lease, false)
		return err
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	sent, err := r.store.ReleaseOrgKey(ending, lease, key)
	if err == nil && !sent {
		err = store.ErrOrgKeyLeased
	}
	return err
}

// dropSessions has gateways drop their cached copies of keys. Without a Redis for the notice, keys are only checked
// and sent again.
func (r *reconciler) dropSessions(ctx context.Context, orgIDs []string) error {
	err := r.redis.DropSessions(ctx, orgIDs)
	if errors.Is(err, gateway.ErrNotConfigured) {
		return nil
	}
	return err
}

// checkOrgKey finds out whether the gateway has kept a key. If not, it sends the key again.
func (r *reconciler) checkOrgKey(ctx context.Context, a *attempt) error {
	has, found, err := r.gateway.OrgKey(ctx, a.OrgID)
	switch {
	case err != nil:
		return err
	case !found: // the answer also of a gateway without APIs, which serves no requests that could undo a change
		a.kept = true
		return nil
	case a.Session != nil && sameLimits(a.Session, has):
		a.kept = true
		return nil
	}
	return r.resend(ctx, a.UnsyncedOrgKey)
}

// confirmOrgKey counts a check, and records a key that the gateway has kept for long enough.
func (r *reconciler) confirmOrgKey(ctx context.Context, a *attempt) error {
	c := r.checks[a.OrgID]
	if c.version != a.Version {
		c = checks{version: a.Version}
	}
	c.rounds++
	if c.kept++; !a.kept {
		c.kept = 0
	}
	r.checks[a.OrgID] = c
	switch {
	case c.kept >= settledRounds:
		return r.store.ConfirmOrgKey(ctx, a.UnsyncedOrgKey)
	case c.rounds >= maxRounds:
		return errUndone
	}
	return nil
}

// deferOrgKey schedules another attempt for a key. A key that is being changed, or was left out because the gateway
// did not answer, has not failed: it stays due.
func (r *reconciler) deferOrgKey(ctx context.Context, a *attempt) {
	if ctx.Err() != nil || errors.Is(a.err, store.ErrOrgKeyLeased) || errors.Is(a.err, errSkipped) {
		return
	}
	pause := retryPause(a.Attempts)
	if !errors.Is(a.err, gateway.ErrUnreachable) { // that is logged once for all keys
		r.log.Warn("send organisation key failed, retrying",
			"org_id", a.OrgID, "attempts", a.Attempts+1, "pause", pause, "err", a.err)
	}
	if err := r.store.DeferOrgKey(ctx, a.UnsyncedOrgKey, r.now().Add(pause), a.err); err != nil && ctx.Err() == nil {
		r.log.Warn("schedule organisation key failed", "org_id", a.OrgID, "err", err)
	}
}

// retryPause returns the pause after a failed attempt that others preceded.
func retryPause(before int) time.Duration {
	const doublings = 16 // reaches maxRetryPause, and does not overflow
	return min(minRetryPause<<min(before, doublings), maxRetryPause)
}

// sendAll sends every stored key to the gateway, whatever it has, and returns the number of keys that the gateway
// keeps. It works beside running servers, which may send some of the keys. A key that fails does not stop the others;
// the error joins all failures.
func (r *reconciler) sendAll(ctx context.Context) (int, error) {
	ids, err := r.store.OrgKeyIDs(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.store.ResendOrgKeys(ctx, ids); err != nil {
		return 0, err
	}
	due := r.now() // keys that fail are due later
	for {
		result, ended := r.round(ctx, due)
		open, err := r.store.UnsyncedOrgKeyErrors(ctx)
		if err != nil {
			return 0, errors.Join(ended, err)
		}
		kept := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, unsynced := open[id]; return unsynced })
		if ended != nil {
			return len(kept), ended
		}
		var failed []error
		for _, id := range ids {
			if cause := open[id]; cause != "" {
				failed = append(failed, fmt.Errorf("organisation %s: %s", id, cause))
			}
		}
		if len(kept)+len(failed) == len(ids) {
			return len(kept), errors.Join(failed...)
		}
		if result.keys == 0 { // a server works on the rest
			select {
			case <-ctx.Done():
			case <-time.After(roundPause):
			}
		}
	}
}
