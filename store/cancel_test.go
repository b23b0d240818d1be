package store_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestConnectsAfterALostAttempt has pgx cancel an attempt to connect, in a goroutine of its own, while the next attempt
// succeeds. Only the race detector sees whether both use the same memory.
func TestConnectsAfterALostAttempt(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(storetest.EmptyDatabase(t))
	require.NoError(t, err)
	working := &pgconn.FallbackConfig{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}
	config.Fallbacks = append([]*pgconn.FallbackConfig{working}, config.Fallbacks...)
	config.Host, config.Port, config.TLSConfig = "127.0.0.1", losing(t), nil
	store.BoundCancel(config)

	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, conn.Ping(t.Context()))
	require.NoError(t, conn.Close(t.Context()))
}

// losing returns a port whose first connection is closed as soon as something was received. Others are refused: if the
// cancellation could be written, and something else read later, the race detector would take that for synchronisation.
func losing(t *testing.T) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = listener.Close()
		_, _ = conn.Read(make([]byte, 1<<10))
		_ = conn.Close()
	}()
	_, text, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	port, err := strconv.ParseUint(text, 10, 16)
	require.NoError(t, err)
	return uint16(port)
}
