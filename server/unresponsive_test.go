package server_test

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// blackHole accepts connections, reads what it is sent, and never answers.
type blackHole struct {
	address string       // of TCP
	packets string       // the address of UDP
	used    atomic.Int64 // connections, and packets
}

func newBlackHole(t *testing.T) *blackHole {
	t.Helper()
	listener := loopback(t)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	hole := &blackHole{address: listener.Addr().String(), packets: packets.LocalAddr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			hole.used.Add(1)
			t.Cleanup(func() { _ = conn.Close() })
		}
	})
	running.Go(func() {
		buf := make([]byte, 1<<10)
		for {
			if _, _, err := packets.ReadFrom(buf); err != nil {
				return
			}
			hole.used.Add(1)
		}
	})
	t.Cleanup(func() { _ = listener.Close(); _ = packets.Close(); running.Wait() })
	return hole
}

// resolve dials like a host whose DNS server is the hole.
func (h *blackHole) resolve(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Resolver: &net.Resolver{
		PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			server := h.address
			if strings.HasPrefix(network, "udp") {
				server = h.packets
			}
			return (&net.Dialer{}).DialContext(ctx, network, server)
		},
	}}
	return dialer.DialContext(ctx, network, address)
}

// TestUnresponsiveNeighbours has a gateway, a Redis or a DNS server accept everything and answer nothing, while 30
// clients wait for the gateway. Every operation that does not need it answers as if it were not there.
func TestUnresponsiveNeighbours(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*testing.T, *blackHole, *server.Config){
		"gateway": func(t *testing.T, hole *blackHole, cfg *server.Config) {
			t.Helper()
			client, err := gateway.New(gateway.Config{Host: "http://" + hole.address, Secret: controlSecret})
			require.NoError(t, err)
			cfg.Gateway = client
		},
		"Redis": func(t *testing.T, hole *blackHole, cfg *server.Config) {
			t.Helper()
			cfg.Redis = gateway.NewRedis(gateway.RedisConfig{
				Addresses: []string{hole.address}, NodeSecrets: []string{nodeSecret},
			})
		},
		"DNS": func(t *testing.T, hole *blackHole, cfg *server.Config) {
			t.Helper()
			client, err := gateway.New(gateway.Config{
				Host: "http://gateway.example:8080", Secret: controlSecret, Dial: hole.resolve,
			})
			require.NoError(t, err)
			cfg.Gateway = client
			cfg.Redis = gateway.NewRedis(gateway.RedisConfig{
				Addresses: []string{"redis.example:6379"}, NodeSecrets: []string{nodeSecret}, Dial: hole.resolve,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			healthy := setupOn(t, exampleDatabase(t))
			hole := newBlackHole(t)
			conn := exampleDatabase(t)
			b := setupOn(t, conn, func(cfg *server.Config) {
				configure(t, hole, cfg)
				if cfg.Redis != nil {
					t.Cleanup(func() { _ = cfg.Redis.Close() })
				}
			})
			// A change, of which gateways would have to be notified.
			storetest.Exec(t, conn, `UPDATE organisations SET document = document`)
			storetest.Announce(t, conn)
			require.Eventually(t, func() bool { return hole.used.Load() > 0 }, time.Minute, time.Millisecond)
			stop := waitForGateway(t, b)
			defer stop()
			for _, op := range independentOperations() {
				asked := time.Now()
				got := b.do(op.method, op.target(nil), op.requestBody(t), credential(op))
				require.Less(t, time.Since(asked), gateway.Timeout, op.id)
				want := healthy.do(op.method, op.target(nil), op.requestBody(t), credential(op))
				require.Equal(t, want.status, got.status, "%s: %s", op.id, got.body)
			}
		})
	}
}

// independentOperations returns the operations that do not need a gateway, those that delete something last.
func independentOperations() []operation {
	all := slices.DeleteFunc(operations(), needsGateway)
	slices.SortStableFunc(all, func(a, b operation) int {
		return strings.Count(a.method, http.MethodDelete) - strings.Count(b.method, http.MethodDelete)
	})
	return all
}

// needsGateway reports whether an operation calls a gateway, if there is one.
func needsGateway(op operation) bool {
	for name := range op.examples() {
		if name == "gateway" || name == "no_gateway" {
			return true
		}
	}
	return false
}

// waitForGateway sends requests that need a gateway, and returns a function that ends them.
func waitForGateway(t *testing.T, b *bundle) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 30 {
		for _, op := range operations() {
			if !needsGateway(op) || op.method != http.MethodGet {
				continue
			}
			r, err := http.NewRequestWithContext(ctx, op.method, b.url+op.target(nil), nil)
			require.NoError(t, err)
			credential(op)(r)
			waiting.Go(func() {
				if resp, err := http.DefaultClient.Do(r); err == nil {
					_ = resp.Body.Close()
				}
			})
		}
	}
	return func() { cancel(); waiting.Wait() }
}
