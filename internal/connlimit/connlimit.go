// Package connlimit limits the connections that a server holds, in all and for each client. net/http limits neither,
// and a client that sends no more than half of a request's headers holds a connection and its buffers until a timeout.
package connlimit

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// logInterval is the least time between two log lines about refused connections, and between two about closed ones.
const logInterval = 10 * time.Second

// Config is what NewListener needs.
type Config struct {
	// Total is the number of open connections at which each new one costs another: that of the client with most whose
	// state has not changed for longest. Those that are kept (Keep) come last, and of them a client's only one, and those
	// of an exempt client, are not closed: Accept waits then. If the client of the new one has most, but no connection to
	// close, the new one is closed. 0 is no limit.
	Total int
	// PerClient is the number of open connections of a client above which new ones are closed. 0 is no limit.
	PerClient int
	// Client returns which addresses count as one client, and whether the client is exempt from PerClient. Connections of
	// an exempt client are closed last.
	Client func(net.Addr) (client netip.Prefix, exempt bool)
	// Opened is called with the number of open connections when it has changed, never concurrently.
	Opened func(connections int)
	Log    *slog.Logger
	Now    func() time.Time
}

// Listener limits the connections of another listener. Its ConnState and ConnContext have to be those of the
// http.Server.
type Listener struct {
	net.Listener

	cfg Config
	// wake has a value if Accept may find room; done is closed by Close.
	wake, done chan struct{}
	close      func()

	mu      sync.Mutex // guards the fields below and those of clients, for the time of a look at the connections
	open    int
	changes int // counts changes of the states of connections
	clients map[netip.Prefix]*client
	// further is the sum of client.further over all clients.
	further         int
	refusedRequests lines

	// Only Accept uses these, which is not called concurrently.
	refused, closed lines
}

// client is a client with open connections.
type client struct {
	exempt bool
	conns  map[*conn]struct{}
	// further is the number of requests in progress after the first of each connection.
	further int
}

// count returns the number of connections, including the requests that count as connections.
func (c *client) count() int { return len(c.conns) + c.further }

// NewListener returns a listener that limits the connections of another one.
func NewListener(l net.Listener, cfg Config) *Listener {
	done := make(chan struct{})
	return &Listener{
		Listener: l, cfg: cfg, clients: map[netip.Prefix]*client{},
		wake: make(chan struct{}, 1), done: done, close: sync.OnceFunc(func() { close(done) }),
	}
}

// Close implements net.Listener. Accept returns, also if it waits for room.
func (l *Listener) Close() error {
	l.close()
	return l.Listener.Close()
}

// Accept implements net.Listener. It closes connections of clients that have too many, and returns the next one.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, ok := l.add(accepted)
		if !ok {
			_ = accepted.Close()
			l.refused.add(l.cfg, "connections refused, a client has too many", c.from, l.cfg.PerClient)
			continue
		}
		switch kept, err := l.makeRoom(c); {
		case err != nil:
			_ = c.Close()
			return nil, err
		case kept:
			return c, nil
		}
	}
}

// add counts a connection, unless its client has too many.
func (l *Listener) add(accepted net.Conn) (c *conn, ok bool) {
	from, exempt := l.cfg.Client(accepted.RemoteAddr())
	c = &conn{Conn: accepted, listener: l, from: from}
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.clients[from]
	if of == nil {
		of = &client{exempt: exempt, conns: map[*conn]struct{}{}}
		l.clients[from] = of
	}
	if !exempt && l.cfg.PerClient > 0 && of.count() >= l.cfg.PerClient {
		return c, false
	}
	of.conns[c], c.client = struct{}{}, of
	l.open++
	l.cfg.Opened(l.open)
	l.changes++
	c.changed = l.changes
	return c, true
}

func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	of := l.clients[c.from]
	delete(of.conns, c)
	l.open--
	l.cfg.Opened(l.open)
	if len(of.conns) == 0 {
		delete(l.clients, c.from)
	}
	l.wakeAccept()
}

// wakeAccept has Accept look again, if it waits.
func (l *Listener) wakeAccept() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// makeRoom returns when there are no more connections than the total, and reports whether a new one is among them. It
// returns net.ErrClosed after Close.
func (l *Listener) makeRoom(added *conn) (kept bool, err error) {
	for {
		full, victim := l.victim(added)
		switch {
		case !full:
			return true, nil
		case victim != nil:
			_ = victim.Close()
			l.closed.add(l.cfg, "connections closed, there are too many", victim.from, l.cfg.Total)
			if victim == added {
				return false, nil
			}
		default:
			select {
			case <-l.wake:
			case <-l.done:
				return false, net.ErrClosed
			}
		}
	}
}

// victim reports whether there are more connections than the total, and returns the one to close, nil if there is none.
func (l *Listener) victim(added *conn) (full bool, victim *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.Total == 0 || l.open <= l.cfg.Total {
		return false, nil
	}
	if victim = l.ofMost(added, false); victim == nil {
		victim = l.ofMost(added, true)
	}
	return true, victim
}

// ofMost returns the oldest connection of the client with most, of those that are kept or those that are not. It
// returns the new one if its client has more, and nil if there is no such connection. l.mu must be held.
func (l *Listener) ofMost(added *conn, kept bool) (victim *conn) {
	var of *client
	for from, candidate := range l.clients {
		if kept && (candidate.exempt || len(candidate.conns) == 1) || of != nil && !candidate.before(of, from == added.from) {
			continue
		}
		if oldest := candidate.oldest(added, kept); oldest != nil {
			of, victim = candidate, oldest
		}
	}
	if own := l.clients[added.from]; of != nil && !own.exempt && len(own.conns) > len(of.conns) {
		return added // others do not pay for a client that has more
	}
	return victim
}

// before reports whether a connection of c is closed rather than one of other: it is not exempt, or has more. Of two
// that have as many, it is the one that wants another.
func (c *client) before(other *client, wantsAnother bool) bool {
	switch {
	case c.exempt != other.exempt:
		return !c.exempt
	case len(c.conns) != len(other.conns):
		return len(c.conns) > len(other.conns)
	}
	return wantsAnother
}

// oldest returns the connection whose state has not changed for longest, of those that are kept or those that are not,
// except a new one; nil if there is none.
func (c *client) oldest(added *conn, kept bool) (oldest *conn) {
	for each := range c.conns {
		if each != added && each.kept == kept && (oldest == nil || each.changed < oldest.changed) {
			oldest = each
		}
	}
	return oldest
}

// ConnState is a callback of http.Server.
func (l *Listener) ConnState(accepted net.Conn, state http.ConnState) {
	if c := connOf(accepted); c != nil && (state == http.StateActive || state == http.StateIdle) {
		l.change(c, false)
	}
}

// change records that a request has begun or ended, or that the connection is kept until it has.
func (l *Listener) change(c *conn, kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.kept = kept
	l.changes++
	c.changed = l.changes
	if !kept {
		l.wakeAccept()
	}
}

// connOf returns the connection below one that http.Server uses, such as that of TLS; nil if it is none of a Listener.
func connOf(used net.Conn) *conn {
	for {
		if c, ok := used.(*conn); ok {
			return c
		}
		above, ok := used.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		used = above.NetConn()
	}
}

// connKey is the key, in the context of a request, of its connection.
type connKey struct{}

// ConnContext is a callback of http.Server.
func (l *Listener) ConnContext(ctx context.Context, accepted net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, connOf(accepted))
}

// Keep has the connection of a request, by the request's context, not be closed for another one before the request
// ends, unless all connections are kept and its client has most of them. Connections that are not kept are of clients
// that have not authenticated.
func Keep(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok && c != nil {
		c.listener.change(c, true)
	}
}

// CloseStrangers closes the connections that are not kept.
func (l *Listener) CloseStrangers() {
	var strangers []*conn
	l.mu.Lock()
	for _, of := range l.clients {
		for each := range of.conns {
			if !each.kept {
				strangers = append(strangers, each)
			}
		}
	}
	l.mu.Unlock()
	for _, each := range strangers {
		_ = each.Close()
	}
}

// BoundSendBuffer bounds what the system holds of responses that the client of a request, by the request's context, has
// not received: else that may be megabytes for each connection.
func BoundSendBuffer(ctx context.Context, bytes int) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok && c != nil {
		if buffered, ok := c.Conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
			_ = buffered.SetWriteBuffer(bytes) // an error says that the connection is closed
		}
	}
}

// lines sums up what happens in log lines.
type lines struct {
	count  int // since the last line
	logged time.Time
}

// add logs what has happened to a connection, the first at once.
func (s *lines) add(cfg Config, message string, from netip.Prefix, limit int) {
	s.count++
	now := cfg.Now()
	if now.Sub(s.logged) < logInterval {
		return
	}
	cfg.Log.Warn(message, "from", from.String(), "limit", limit, "count", s.count)
	s.count, s.logged = 0, now
}

// conn is a connection that is counted until it is closed.
type conn struct {
	net.Conn

	listener *Listener
	from     netip.Prefix

	// Listener.mu guards these.
	client   *client
	requests int  // of HTTP/2, in progress
	kept     bool // while the request in progress lasts
	changed  int  // what Listener.changes was at the last change
	closed   bool
}

// Close implements net.Conn.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.listener.remove(c)
	return err
}
