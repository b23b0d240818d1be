package gatewaysync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

const (
	// changeTimeout bounds a change of an organisation's key, the wait for another change of the same key included. It is
	// longer than the gateway client's timeout of 10 s, so that one call can end.
	changeTimeout = 12 * time.Second
	// leaseDuration is how long a change may hold its key: longer than changeTimeout, so that only the lease of a server that
	// crashed expires.
	leaseDuration = 20 * time.Second
	// endTimeout bounds the statement that ends a lease when the request is over.
	endTimeout = 5 * time.Second
	// leasePoll is the interval at which a change looks whether another change of the same key has ended.
	leasePoll = 25 * time.Millisecond
	// maxChanges is the number of changes in progress on this server. A gateway that does not answer occupies each of them
	// for the client's timeout; more would only make their requests wait longer.
	maxChanges = 64
)

// ChangeOrgKey changes an organisation's key in the gateway and in Postgres. The gateway is called first, while only a lease
// in Postgres is held: if it refuses the change or cannot be reached, the stored key stays as it is. Changes of one key
// happen one after another. Without a gateway the key is only stored.
//
// It returns store.ErrNotFound or store.ErrUnknownOrganisation if the change does not apply, a *gateway.Refused if the
// gateway refuses it, and gateway.ErrUnreachable if the gateway does not answer in time.
func (s *Sync) ChangeOrgKey(ctx context.Context, change store.OrgKeyChange) error {
	if s.cfg.Gateway == nil {
		return s.cfg.Store.WriteOrgKey(ctx, change)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	select {
	case s.changes <- struct{}{}:
		defer func() { <-s.changes }()
	case <-ctx.Done():
		return fmt.Errorf("%w: too many changes wait for it", gateway.ErrUnreachable)
	}
	lease, err := s.beginChange(ctx, change)
	if err != nil {
		return err
	}
	if err := s.send(ctx, change.OrgKey); err != nil {
		_, refused := errors.AsType[*gateway.Refused](err)
		s.abandonChange(ctx, lease, refused)
		return err
	}
	ctx, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), endTimeout) // the gateway has it: store it
	defer cancelEnd()
	if err := s.cfg.Store.CommitOrgKeyChange(ctx, lease, change); err != nil {
		s.abandonChange(ctx, lease, false)
		return err
	}
	return nil
}

// beginChange leases the key, and waits while another change or the reconciler holds it.
func (s *Sync) beginChange(ctx context.Context, change store.OrgKeyChange) (store.OrgKeyLease, error) {
	for {
		lease, err := s.cfg.Store.BeginOrgKeyChange(ctx, change, leaseDuration)
		switch {
		case err != nil && ctx.Err() != nil: // the changes before it waited for the gateway all the time
			return lease, fmt.Errorf("%w: %w", gateway.ErrUnreachable, err)
		case !errors.Is(err, store.ErrOrgKeyLeased):
			return lease, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(leasePoll):
		}
	}
}

// abandonChange ends the lease of a change that is not stored. If that fails, the lease expires, and the reconciler sends
// the stored key again.
func (s *Sync) abandonChange(ctx context.Context, lease store.OrgKeyLease, unchanged bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := s.cfg.Store.AbandonOrgKeyChange(ctx, lease, unchanged); err != nil {
		s.cfg.Log.Warn("end lease of organisation key failed", "err", err)
	}
}

// send sends a key to the gateway; one without a session is deleted there.
func (s *Sync) send(ctx context.Context, key store.OrgKey) error {
	if key.Session == nil {
		return s.cfg.Gateway.DeleteOrgKey(ctx, key.OrgID)
	}
	return s.cfg.Gateway.SetOrgKey(ctx, key.OrgID, s.cfg.Session(key.Session))
}
