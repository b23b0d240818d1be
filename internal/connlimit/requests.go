package connlimit

import (
	"context"
	"net/http"
)

// Requests returns a handler that limits the HTTP/2 requests in progress. Each request of a connection after the first
// counts as a connection of its client. If Config.PerClient or Config.Total is reached, further requests are handled by
// refused; no connection is closed. HTTP/1 is not limited: a connection has one request at a time.
func Requests(next, refused http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor < 2 {
			next.ServeHTTP(w, r)
			return
		}
		end, ok := begin(r.Context())
		if !ok {
			refused.ServeHTTP(w, r)
			return
		}
		defer end()
		next.ServeHTTP(w, r)
		// Without Flush, net/http would send the response after end: a client that does not receive it would not be counted.
		_ = http.NewResponseController(w).Flush() // it fails only if the client has disconnected
	})
}

// begin counts a request, whose context has its connection. ok is false if the client has too many requests.
func begin(ctx context.Context) (end func(), ok bool) {
	c, counted := ctx.Value(connKey{}).(*conn)
	if !counted || c == nil {
		return func() {}, true
	}
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.requests > 0 {
		of := c.client
		if !of.exempt && l.cfg.PerClient > 0 && of.count() >= l.cfg.PerClient ||
			l.cfg.Total > 0 && l.open+l.further >= l.cfg.Total {
			l.refusedRequests.add(l.cfg, "requests refused, there are too many at the same time", c.from, l.cfg.PerClient)
			return nil, false
		}
		of.further++
		l.further++
	}
	c.requests++
	return func() { l.end(c) }, true
}

// end records that a request has ended.
func (l *Listener) end(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.requests--
	if c.requests > 0 {
		c.client.further--
		l.further--
	}
}
