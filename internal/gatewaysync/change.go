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
	select {
	case k.changes <- struct{}{}:
		defer func() { <-k.changes }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %d changes wait for it", gateway.ErrUnreachable, maxChanges)
	}
	lease, err := k.begin(ctx, change)
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

// begin leases the key, and waits while another change or the reconciler holds it.
func (k *orgKeys) begin(ctx context.Context, change store.OrgKeyChange) (store.OrgKeyLease, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = minLeasePause, maxLeasePause
	for waited := false; ; waited = true {
		lease, err := k.store.BeginOrgKeyChange(ctx, change, leaseDuration)
		switch {
		case waited && err != nil && ctx.Err() != nil: // whoever held the lease waited for the gateway
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
