// Package loglimit limits the log lines of clients that have not authenticated. A request of a few bytes causes lines
// of some hundred bytes: without a limit, a client could fill the disk with them.
//
// Each client may cause as many lines as its limit allows. What goes beyond it is counted, and summed up in one line
// for each client and Flush.
package loglimit

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxClients is the number of clients that are counted. Each takes some 200 bytes.
const maxClients = 16 << 10

// Config is what New needs.
type Config struct {
	// PerMinute is the number of requests of a client that are listed a minute, and at once. 0 is no limit.
	PerMinute int
	// Total is PerMinute for all clients together: a network of IPv6 has more addresses than a client needs.
	Total int
	// Summarise is called by Flush for each client of which something was not listed.
	Summarise func(Summary)
	Now       func() time.Time
}

// Summary is what was not listed of a client.
type Summary struct {
	// Client is invalid for all those together that are not known any more.
	Client netip.Prefix
	Since  time.Time // of the first request
	// Requests is the number of requests, and Changes that of those which would have changed something.
	Requests, Changes int
}

// Limiter limits the lines of each client. Its methods are safe for concurrent use. A nil Limiter limits nothing.
type Limiter struct {
	cfg Config

	mu      sync.Mutex // guards the fields below, for the time of a lookup, or of a pass over the clients by Flush
	total   *rate.Limiter
	clients *simplelru.LRU[netip.Prefix, *client]
	others  Summary // of clients that were forgotten
}

type client struct {
	limit    *rate.Limiter
	unlisted Summary
}

// New returns a Limiter.
func New(cfg Config) (*Limiter, error) {
	l := &Limiter{cfg: cfg, total: newLimit(cfg.Total)}
	var err error
	l.clients, err = simplelru.NewLRU(maxClients, func(_ netip.Prefix, c *client) {
		if c.unlisted.Requests > 0 && l.others.Requests == 0 {
			l.others.Since = c.unlisted.Since
		}
		l.others.Requests += c.unlisted.Requests
		l.others.Changes += c.unlisted.Changes
	})
	return l, err
}

func newLimit(perMinute int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(perMinute)/time.Minute.Seconds()), perMinute)
}

// Allow reports whether a request of a client is listed. If not, it counts the request.
func (l *Limiter) Allow(from netip.Prefix) bool {
	if l == nil || l.cfg.PerMinute == 0 {
		return true
	}
	allowed := true
	l.with(from, func(c *client) {
		now := l.cfg.Now()
		if allowed = c.limit.AllowN(now, 1) && l.total.AllowN(now, 1); allowed {
			return
		}
		if c.unlisted.Requests == 0 {
			c.unlisted = Summary{Client: from, Since: now}
		}
		c.unlisted.Requests++
	})
	return allowed
}

// AddChange counts the last request of a client that Allow has not allowed as one that would have changed something.
func (l *Limiter) AddChange(from netip.Prefix) {
	l.with(from, func(c *client) {
		if c.unlisted.Requests > c.unlisted.Changes { // else it was summarised meanwhile
			c.unlisted.Changes++
		}
	})
}

// with calls do with a client.
func (l *Limiter) with(from netip.Prefix, do func(*client)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.clients.Get(from)
	if !known {
		c = &client{limit: newLimit(l.cfg.PerMinute)}
		l.clients.Add(from, c)
	}
	do(c)
}

// Flush summarises what was not listed since the last time.
func (l *Limiter) Flush() {
	l.mu.Lock()
	var all []Summary
	for _, c := range l.clients.Values() {
		if c.unlisted.Requests > 0 {
			all = append(all, c.unlisted)
			c.unlisted = Summary{}
		}
	}
	if l.others.Requests > 0 {
		all = append(all, l.others)
		l.others = Summary{}
	}
	l.mu.Unlock()
	for _, each := range all {
		l.cfg.Summarise(each)
	}
}
