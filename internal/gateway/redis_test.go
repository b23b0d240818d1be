package gateway_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
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

// TestRedisCluster: keys of all nodes are read and deleted, and a notice reaches a gateway that listens on any node.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := gatewaytest.StartRedisCluster(t)
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: gatewaytest.Addresses(nodes)})
	t.Cleanup(func() { _ = cluster.Close() })
	client := gateway.NewRedis(gateway.RedisConfig{
		Addresses: gatewaytest.Addresses(nodes[:1]), Cluster: true, NodeSecrets: []string{"node-secret"},
	})
	t.Cleanup(func() { _ = client.Close() })

	var ids []string
	for n := range 50 {
		ids = append(ids, fmt.Sprintf("org-%d", n))
		require.NoError(t, cluster.Set(t.Context(), "orgkey."+ids[n], `{"n":1}`, 0).Err())
	}
	for _, node := range nodes {
		require.NotZero(t, node.Client().DBSize(t.Context()).Val(), "each node has keys")
	}
	read := func() (found []string) {
		for session, err := range client.OrgSessions(t.Context(), ids) {
			require.NoError(t, err)
			found = append(found, session.ID)
		}
		return found
	}
	require.ElementsMatch(t, ids, read())
	for _, id := range ids[1:] {
		require.NoError(t, client.DeleteOrgKey(t.Context(), id))
	}
	require.Equal(t, ids[:1], read())

	for _, node := range nodes {
		listening := node.Client().Subscribe(t.Context(), "tyk.cluster.notifications")
		t.Cleanup(func() { _ = listening.Close() })
		_, err := listening.Receive(t.Context()) // the confirmation
		require.NoError(t, err)
		require.NoError(t, client.Reload(t.Context()))
		message, err := listening.ReceiveMessage(t.Context())
		require.NoError(t, err)
		require.Contains(t, message.Payload, `"command":"GroupReload"`)
	}
}
