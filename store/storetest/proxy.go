package storetest

import (
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// Proxy forwards connections to the Postgres of the tests. While it is stopped, it accepts connections and forwards
// nothing, as a machine that has lost its network does.
type Proxy struct {
	connString string
	ended      chan struct{} // closed with the test

	mu      sync.Mutex    // guards the following; nothing waits while it is held
	stopped chan struct{} // closed when the proxy is resumed; nil if it is not stopped
	cut     chan struct{} // closed when the present connections are cut
}

// NewProxy returns a proxy in front of a database.
func NewProxy(t testing.TB, connString string) *Proxy {
	t.Helper()
	target, err := pgx.ParseConfig(connString)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	p := &Proxy{
		connString: connString + " host=127.0.0.1 port=" + port,
		ended:      make(chan struct{}), cut: make(chan struct{}),
	}
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			network, address := pgconn.NetworkAddress(target.Host, target.Port)
			database, err := net.Dial(network, address)
			if err != nil {
				_ = client.Close()
				continue
			}
			cut := p.present()
			forwarding.Go(func() { p.forward(client, database, cut) })
			forwarding.Go(func() { p.forward(database, client, cut) })
			forwarding.Go(func() { <-p.ended; _ = client.Close(); _ = database.Close() })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); close(p.ended); forwarding.Wait() })
	return p
}

// ConnString returns the connection string of the database, through the proxy.
func (p *Proxy) ConnString() string { return p.connString }

// Stop stops forwarding.
func (p *Proxy) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = make(chan struct{})
}

// Resume has the proxy go on.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.stopped)
	p.stopped = nil
}

// Cut has the present connections forward nothing any more, without an end, as a firewall that has forgotten them does.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.cut)
	p.cut = make(chan struct{})
}

func (p *Proxy) present() (cut <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// waitWhileStopped reports whether the connection goes on.
func (p *Proxy) waitWhileStopped(cut <-chan struct{}) bool {
	p.mu.Lock()
	stopped := p.stopped
	p.mu.Unlock()
	if stopped != nil {
		select {
		case <-stopped:
		case <-p.ended:
		}
	}
	select {
	case <-p.ended:
		return false
	case <-cut:
		return false
	default:
		return true
	}
}

func (p *Proxy) forward(to, from net.Conn, cut <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.waitWhileStopped(cut) {
			return
		}
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			_ = to.Close()
			return
		}
	}
}
