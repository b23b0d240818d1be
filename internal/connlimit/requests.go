package connlimit

import (
	"context"
	"net/http"
)

// Requests returns a handler that limits the requests of HTTP/2 in progress, of which a connection may have many, each
// with its headers and its part of a response. Those of a connection after the first count as connections of its
// client: when there are as many as Config.PerClient or Config.Total allows, a further one is refused. No connection is
// closed for one, and a connection of HTTP/1 has one request at a time.
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
		// net/http would send the end of the response after this function, as long as the client does not receive it.
		_ = http.NewResponseController(w).Flush() // an error says that the client has gone
	})
}

// begin counts the request with a context. It returns false if the client has too many.
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
