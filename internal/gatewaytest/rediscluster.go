package gatewaytest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testport"
)

// clusterNodes is the number of masters that a Redis Cluster has at least.
const clusterNodes = 3

// lastSlot is the last of the slots that the keys of a Redis Cluster are in.
const lastSlot = 16383

// StartRedisCluster starts a Redis Cluster of masters only, each with a share of the keys, and waits until it serves
// all of them.
func StartRedisCluster(t testing.TB) []*Redis {
	t.Helper()
	nodes := make([]*Redis, clusterNodes)
	for i := range nodes {
		nodes[i] = StartRedis(t, withClusterPort(t))
	}
	for i, node := range nodes {
		ctx, client := t.Context(), node.Client()
		first, after := i*(lastSlot+1)/clusterNodes, (i+1)*(lastSlot+1)/clusterNodes
		require.NoError(t, client.ClusterAddSlotsRange(ctx, first, after-1).Err())
		// go-redis has no method with the port of the bus.
		require.NoError(t, client.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].busPort).Err())
	}
	for _, node := range nodes {
		client := node.Client()
		Eventually(t, redisStartTimeout, "the cluster serves all keys", func() bool { return servesAll(t.Context(), client) })
	}
	return nodes
}

// withClusterPort makes a server a node of a cluster, whose nodes reach each other at another port.
func withClusterPort(t testing.TB) RedisOption {
	t.Helper()
	port, err := testport.Reserve()
	require.NoError(t, err)
	return func(r *Redis) { r.busPort = port }
}

func servesAll(ctx context.Context, client *redis.Client) bool {
	info, err := client.ClusterInfo(ctx).Result()
	return err == nil && strings.Contains(info, "cluster_state:ok") &&
		strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r\n", clusterNodes))
}

// Addresses returns the addresses of servers, as host:port.
func Addresses(servers []*Redis) (addresses []string) {
	for _, each := range servers {
		host, port := each.Addr()
		addresses = append(addresses, host+":"+strconv.Itoa(port))
	}
	return addresses
}
