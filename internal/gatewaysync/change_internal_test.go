package gatewaysync

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestChangeWhoseTimeIsOver: changes that wait for others, because the gateway does not answer them, all end at the
// same time as these. Some of them then still acquire a slot.
func TestChangeWhoseTimeIsOver(t *testing.T) {
	t.Parallel()
	keys := newOrgKeys(orgKeysConfig{store: storetest.New(t), now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := keys.begin(ctx, store.OrgKeyChange{}, true)
	require.ErrorIs(t, err, gateway.ErrUnreachable)

	_, err = keys.begin(ctx, store.OrgKeyChange{}, false)
	require.NotErrorIs(t, err, gateway.ErrUnreachable, "the gateway was not the cause")
	require.ErrorIs(t, err, context.Canceled)
}
