package gatewaysync_test

import (
	"bytes"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaysync"
	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/testport"
)

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// TestFailureAfterTheGatewayStored: a gateway may store a key and answer 500. The limits of both keys are equal, so
// that only sending the stored key again repairs the difference.
func TestFailureAfterTheGatewayStored(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s, _ := f.run(t)
	org := f.organisation(t)
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":1,"tags":["old"]}`)))
	f.synced(t)
	f.api.change(func(a *controlAPI) { a.storesAndFails[org] = true })
	require.Error(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":1,"tags":["new"]}`)))
	f.synced(t)
	require.Equal(t, `{"rate":1,"tags":["old"]}`, f.api.key(org))
}

// TestRefusalThatPostgresCannotStore: the cause of a failed attempt is recorded whatever bytes the gateway sends.
func TestRefusalThatPostgresCannotStore(t *testing.T) {
	t.Parallel()
	f := setup(t)
	org := f.organisation(t)
	f.api.change(func(a *controlAPI) { a.refuses[org], a.message = true, `broken \u0000 \ud800 text` })
	require.NoError(t, f.store.WriteOrgKey(t.Context(), change(org, `{"rate":5}`)))
	f.run(t)
	f.attempted(t, org, 1)
}

// attempted waits until a number of attempts for a key have failed.
func (f *fixture) attempted(t *testing.T, org string, attempts int) {
	t.Helper()
	require.Eventually(t, func() bool {
		key, err := f.store.UnsyncedOrgKey(t.Context(), org)
		return err == nil && key.Attempts >= attempts
	}, eventually, 10*time.Millisecond, "failed attempts of %s are not recorded", org)
}

// unreachable is a client of an address at which nothing listens.
func unreachable(t *testing.T) *gateway.Client {
	t.Helper()
	address, err := testport.Address()
	require.NoError(t, err)
	client, err := gateway.New(gateway.Config{Host: address})
	require.NoError(t, err)
	return client
}

// TestUnreachableGatewayIsOneFailure: a gateway that is down is not called and logged for each key.
func TestUnreachableGatewayIsOneFailure(t *testing.T) {
	t.Parallel()
	const keys = 40
	f := setup(t)
	for range keys {
		org := f.organisation(t)
		require.NoError(t, f.store.WriteOrgKey(t.Context(), change(org, `{"rate":5}`)))
	}
	log := &logBuffer{}
	f.cfg.Gateway, f.cfg.Log = unreachable(t), slog.New(slog.NewTextHandler(log, nil))
	t.Run("in the background", func(t *testing.T) {
		_, stop := f.run(t)
		failedOften := func() bool { return log.count("reconcile organisation keys failed") >= 3 }
		require.Eventually(t, failedOften, eventually, 10*time.Millisecond)
		stop()
		require.Less(t, log.count("cannot be reached"), keys/2)
		failed, err := f.store.UnsyncedOrgKeyErrors(t.Context())
		require.NoError(t, err)
		require.NotContains(t, slices.Collect(maps.Values(failed)), "the gateway did not answer for another key")
	})
	t.Run("in keys sync", func(t *testing.T) {
		sent, err := gatewaysync.New(f.cfg).SyncOrgKeys(t.Context())
		require.Zero(t, sent)
		require.ErrorIs(t, err, gateway.ErrUnreachable)
		require.Equal(t, 1, strings.Count(err.Error(), "cannot be reached"), "%v", err)
	})
}

// TestRedisWithoutControlAPI: a server that cannot send keys to gateways leaves them for one that can, also if it
// leads.
func TestRedisWithoutControlAPI(t *testing.T) {
	t.Parallel()
	f := setup(t)
	redis := gatewaytest.StartRedis(t)
	host, port := redis.Addr()
	address := net.JoinHostPort(host, strconv.Itoa(port))
	notices := gateway.NewRedis(gateway.RedisConfig{Addresses: []string{address}, NodeSecrets: []string{"s"}})
	t.Cleanup(func() { _ = notices.Close() })
	channel := redis.Client().Subscribe(t.Context(), "tyk.cluster.notifications")
	t.Cleanup(func() { _ = channel.Close() })
	_, err := channel.Receive(t.Context())
	require.NoError(t, err)

	both := f.cfg
	f.cfg.Gateway, f.cfg.Redis = nil, notices
	leader, _ := f.run(t)
	next := func() string {
		message, err := channel.ReceiveMessage(t.Context())
		require.NoError(t, err)
		return message.Payload
	}
	require.Contains(t, next(), "GroupReload", "it leads")
	org := f.organisation(t)
	require.NoError(t, leader.ChangeOrgKey(t.Context(), change(org, `{"rate":5}`)))
	for range 3 { // notices of changes, and no others
		f.organisation(t)
		require.Contains(t, next(), "GroupReload")
	}

	f.cfg, f.cfg.Store = both, f.openStore(t)
	f.clock.ahead.Store(int64(time.Minute)) // the leader has had its time
	f.run(t)
	f.synced(t)
	require.Equal(t, `{"rate":5}`, f.api.key(org))
}

// TestKeyThatIsNotKeptDoesNotDelayOthers: a key that the gateway undoes again and again is checked many times, and
// other keys meanwhile.
func TestKeyThatIsNotKeptDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s, _ := f.run(t)
	undone, other := f.organisation(t), f.organisation(t)
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(undone, `{"rate":1}`)))
	f.synced(t)
	f.api.change(func(a *controlAPI) { a.undoes[undone] = 1 << 30 })
	require.NoError(t, f.store.WriteOrgKey(t.Context(), change(undone, `{"rate":2}`)))
	require.Eventually(t, func() bool {
		key, err := f.store.UnsyncedOrgKey(t.Context(), undone)
		return err == nil && key.Sent
	}, eventually, time.Millisecond)
	f.api.change(func(*controlAPI) { // the checks of the first key wait until the other is stored
		require.NoError(t, f.store.WriteOrgKey(t.Context(), change(other, `{"rate":3}`)))
	})
	require.Eventually(t, func() bool { return f.api.key(other) == `{"rate":3}` }, eventually, time.Millisecond)
	key, err := f.store.UnsyncedOrgKey(t.Context(), undone)
	require.NoError(t, err)
	require.Zero(t, key.Attempts, "the other key is sent while the first is still checked")
	f.attempted(t, undone, 1)
	f.api.change(func(a *controlAPI) { a.undoes[undone] = 0 })
	f.synced(t)
	require.Equal(t, `{"rate":2}`, f.api.key(undone))
}
