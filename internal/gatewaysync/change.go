package gatewaysync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// minLeasePause and maxLeasePause are the pauses between two attempts to lease a key that another change holds. They
// grow: changes that wait for a gateway that does not answer must not occupy the database.
const (
	minLeasePause = 10 * time.Millisecond
	maxLeasePause = 500 * time.Millisecond
)

// change changes a key in the gateway and then in Postgres. Between the two statements only the lease of the key is
// held, and one of this server's changes: no connection and no transaction (docs/behaviour.md#organisation-keys).
func (k *orgKeys) change(ctx context.Context, change store.OrgKeyChange) error {
	if k.gateway == nil {
		return k.store.WriteOrgKey(ctx, change)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	waited, err := k.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { <-k.changes }()
	lease, err := k.begin(ctx, change, waited)
	if err != nil {
		return err
	}
	if err := k.send(ctx, change.OrgKey); err != nil {
		k.abandon(ctx, lease, isRejected(err))
		return err
	}
	// The gateway has the change: store it, even if the client is gone.
	ctx, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancelEnd()
	if err := k.store.CommitOrgKeyChange(ctx, lease, change); err != nil {
		k.abandon(ctx, lease, false)
		return err
	}
	return nil
}

// acquire makes the change one of the maxChanges in progress. waited reports whether there were as many already.
func (k *orgKeys) acquire(ctx context.Context) (waited bool, err error) {
	select {
	case k.changes <- struct{}{}:
		return false, nil
	default:
	}
	select {
	case k.changes <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return true, fmt.Errorf("%w: %d changes wait for it", gateway.ErrUnreachable, maxChanges)
	}
}

// begin leases the key, and waits while another change or the reconciler holds it. waited reports whether the change
// has waited for others before: if its time is over then, the gateway that the others waited for is the cause.
func (k *orgKeys) begin(ctx context.Context, change store.OrgKeyChange, waited bool) (store.OrgKeyLease, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = minLeasePause, maxLeasePause
	for ; ; waited = true {
		lease, err := k.store.BeginOrgKeyChange(ctx, change, leaseDuration)
		switch {
		case waited && err != nil && ctx.Err() != nil: // the change that held the lease or the slot waited for the gateway
			return lease, fmt.Errorf("%w: %w", gateway.ErrUnreachable, err)
		case !errors.Is(err, store.ErrOrgKeyLeased):
			return lease, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// isRejected reports whether the gateway refused a request without acting on it. After an error of its own (5xx) it
// may have stored the key.
func isRejected(err error) bool {
	refused, ok := errors.AsType[*gateway.Refused](err)
	return ok && refused.Status < http.StatusInternalServerError
}
