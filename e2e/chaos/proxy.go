package main

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// dialTimeout limits the connection to the target. It is on loopback.
	dialTimeout = 5 * time.Second
	// lostPeerTimeout is when the target of a dropped connection detects that its peer is gone, as Postgres does by TCP
	// keep-alives. Until then, the session may hold locks.
	lostPeerTimeout = 3 * time.Second
	copyBuffer      = 32 << 10
)

// proxy forwards connections to a target, and simulates an unreliable network.
type proxy struct {
	listener net.Listener
	target   string
	copies   sync.WaitGroup

	mu      sync.Mutex // guards what follows, for the time of one access
	links   map[*link]bool
	refuses bool
	delay   time.Duration
	frozen  chan struct{} // closed when traffic resumes; nil if the proxy is not frozen
	closed  chan struct{} // ends delays and pauses
}

// link is a connection through a proxy.
type link struct {
	in, out net.Conn
	dropped bool // guarded by proxy.mu: data is discarded, and neither side is notified
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, links: map[*link]bool{}, closed: make(chan struct{})}
	p.copies.Go(p.accept)
	return p, nil
}

// address is where clients connect.
func (p *proxy) address() string { return p.listener.Addr().String() }

// cut resets all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for each := range p.links {
		reset(each.in)
		reset(each.out)
	}
}

// drop discards all data on the existing connections, without closing them: a network that was cut. New connections
// work.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for each := range p.links {
		if !each.dropped {
			each.dropped = true
			p.copies.Go(func() { p.endTarget(each) })
		}
	}
}

func (p *proxy) endTarget(l *link) {
	select {
	case <-p.closed:
	case <-time.After(lostPeerTimeout):
	}
	reset(l.out)
}

// refuse resets new connections immediately.
func (p *proxy) refuse() { p.change(func() { p.refuses = true }) }

// slow delays all data.
func (p *proxy) slow(delay time.Duration) { p.change(func() { p.delay = delay }) }

// freeze stops all traffic until heal. Nothing is lost.
func (p *proxy) freeze() {
	p.change(func() {
		if p.frozen == nil {
			p.frozen = make(chan struct{})
		}
	})
}

// heal ends all disturbances, except that dropped connections stay dropped.
func (p *proxy) heal() {
	p.change(func() {
		p.refuses, p.delay = false, 0
		if p.frozen != nil {
			close(p.frozen)
			p.frozen = nil
		}
	})
}

func (p *proxy) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// close resets all connections and waits until their goroutines have ended.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.heal()
	close(p.closed)
	p.cut()
	p.copies.Wait()
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.copies.Go(func() { p.serve(in) })
	}
}

func (p *proxy) serve(in net.Conn) {
	if !p.pass(nil) {
		reset(in)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	out, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
	cancel()
	if err != nil {
		reset(in)
		return
	}
	l := &link{in: in, out: out}
	p.change(func() { p.links[l] = true })
	defer p.change(func() { delete(p.links, l) })
	var both sync.WaitGroup
	both.Go(func() { p.copy(l, in, out) })
	both.Go(func() { p.copy(l, out, in) })
	both.Wait()
	_ = in.Close()
	_ = out.Close()
}

// copy forwards one direction of a connection, until one side ends it.
func (p *proxy) copy(l *link, from, to net.Conn) {
	buffer := make([]byte, copyBuffer)
	for {
		n, err := from.Read(buffer)
		dropped := !p.pass(l)
		if n > 0 && !dropped {
			_, _ = to.Write(buffer[:n]) // if it fails, reading from to fails as well
		}
		if err != nil {
			if !dropped {
				_ = to.Close()
			}
			return
		}
	}
}

// pass waits while traffic is frozen or delayed, and reports whether it may pass then. l is nil for a new connection.
func (p *proxy) pass(l *link) bool {
	p.mu.Lock()
	frozen, delay := p.frozen, p.delay
	p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	if delay > 0 {
		select {
		case <-p.closed:
		case <-time.After(delay):
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l == nil {
		return !p.refuses
	}
	return !l.dropped
}

// reset closes a connection with RST: data in transit is lost.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
