package gatewaysync

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// The limits of a change build on one another: a change may take changeTimeout, recording its outcome endTimeout, and
// the lease of its key outlives both. So only the lease of a server that died expires.
const (
	// changeTimeout bounds a change: its wait for other changes, and the gateway's response.
	changeTimeout = gateway.Timeout
	// endTimeout bounds the statement that ends a lease, which runs even if the request was cancelled.
	endTimeout = 5 * time.Second
	// leaseDuration is how long a request or the reconciler may hold a key. The last term allows for clocks that
	// differ.
	leaseDuration = changeTimeout + endTimeout + 5*time.Second
)

// orgKeysConfig holds what newOrgKeys needs; see Config.
type orgKeysConfig struct {
	store   *store.Store
	gateway *gateway.Client
	redis   *gateway.Redis
	session func(json.RawMessage) json.RawMessage
	log     *slog.Logger
	now     func() time.Time
	leads   func() bool // reports whether this server reconciles keys as soon as they are due
}

// orgKeys holds what changes of organisation keys and the reconciler have in common.
type orgKeys struct {
	orgKeysConfig

	// changes has an element for each change in progress.
	changes chan struct{}
	// due and registered wake the reconciler and the search for lost keys; an element means that there is work.
	due, registered chan struct{}
}

func newOrgKeys(cfg orgKeysConfig) *orgKeys {
	return &orgKeys{
		orgKeysConfig: cfg,
		changes:       make(chan struct{}, maxChanges), due: make(chan struct{}, 1), registered: make(chan struct{}, 1),
	}
}

// maxChanges is the number of changes in progress on this server. A gateway that does not answer occupies each of
// them until its timeout; more would only add connections to that gateway.
const maxChanges = 16

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake already
	}
}

// send sends a key to the gateway; one without a session is deleted there. The caller holds the lease of the key.
func (k *orgKeys) send(ctx context.Context, key store.OrgKey) error {
	if key.Session != nil {
		return k.gateway.SetOrgKey(ctx, key.OrgID, k.session(key.Session))
	}
	err := k.gateway.DeleteOrgKey(ctx, key.OrgID)
	if !errors.Is(err, gateway.ErrNoAPIs) {
		return err
	}
	err = k.redis.DeleteOrgKey(ctx, key.OrgID)
	if errors.Is(err, gateway.ErrNotConfigured) {
		return nil // the key stays (docs/behaviour.md#gateway-keys-and-cache)
	}
	return err
}

// abandon ends the lease of a key that was not sent or not stored. If that fails, the lease expires. unchanged is as
// in store.AbandonOrgKeyChange.
func (k *orgKeys) abandon(ctx context.Context, lease store.OrgKeyLease, unchanged bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := k.store.AbandonOrgKeyChange(ctx, lease, unchanged); err != nil {
		k.log.Warn("end lease of organisation key failed, it expires", "within", leaseDuration, "err", err)
	}
}
