package gateway_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaytest"
)

// countedConn counts the bytes that are read from a connection.
type countedConn struct {
	net.Conn

	read *atomic.Int64
}

func (c countedConn) Read(buf []byte) (int, error) {
	n, err := c.Conn.Read(buf)
	c.read.Add(int64(n))
	return n, err
}

// TestSessionsAreReadBySize: sessions of half a megabyte are not in memory by the hundred.
func TestSessionsAreReadBySize(t *testing.T) {
	t.Parallel()
	const keys, size = 120, 300 << 10
	redis := gatewaytest.StartRedis(t)
	var ids []string
	for n := range keys {
		ids = append(ids, fmt.Sprintf("key-%03d", n))
		session := `{"meta_data":"` + strings.Repeat("x", size) + `"}`
		require.NoError(t, redis.Client().Set(t.Context(), "apikey-"+ids[n], session, 0).Err())
	}
	var read atomic.Int64
	host, port := redis.Addr()
	client := gateway.NewRedis(gateway.RedisConfig{
		Addresses: []string{net.JoinHostPort(host, strconv.Itoa(port))}, Password: redis.Password(),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return countedConn{conn, &read}, err
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	seen := 0
	for session, err := range client.Sessions(t.Context(), append([]string{"unknown"}, ids...)) {
		require.NoError(t, err)
		require.Equal(t, ids[seen], session.ID)
		seen++
		require.Less(t, read.Load(), int64((seen+20)*size), "after %d sessions", seen)
	}
	require.Equal(t, keys, seen)
}
