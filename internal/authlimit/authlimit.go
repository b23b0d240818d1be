// Package authlimit limits how many wrong credentials a client may try.
//
// Only distinct wrong values count: a gateway that sends the same outdated secret every second is no attack, and its
// secret counts once. A client that has used up its limit is refused before its credential is compared, so that the
// response does not tell whether it is right; a credential that was right before is not refused, so that nobody locks
// out the clients that share their address.
//
// The memory of a Limiter is bounded: it evicts the client that has not sent a new credential for longest. To have its
// own count evicted, an attacker needs thousands of addresses, each of which has a limit of its own.
package authlimit

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	// maxClients is the number of clients whose wrong values are counted. With maxWrong values, a client takes 1 KiB.
	maxClients = 16 << 10
	// maxWrong is the number of wrong values of a client that are known, and so do not count again.
	maxWrong = 64
)

// Config is what New needs.
type Config struct {
	// Limit is the number of distinct wrong credentials that each client may try in a Window, all of them at once if it
	// likes. 0 is no limit.
	Limit int
	// Window is the time in which a client that has tried Limit wrong credentials may try as many again, one after
	// another.
	Window time.Duration
	// Lock has a client that has used up its limit wait for a whole Window before it may try again.
	Lock bool
	// Remembered is the number of right credentials, of all clients together, that are exempt from the limit. 0 is none.
	Remembered int
	// Wrong reports whether an error says that a credential is wrong. Other errors count as neither right nor wrong.
	Wrong func(error) bool
	Now   func() time.Time
}

// Limiter limits the wrong credentials of each client. Client identifies one, such as its address. Its methods are safe
// for concurrent use.
type Limiter[Client comparable] struct {
	cfg  Config
	seed maphash.Seed

	mu      sync.Mutex // guards the fields below, and is held for a few lookups in memory
	clients *simplelru.LRU[Client, *client]
	right   *simplelru.LRU[uint64, struct{}] // hashes of attempts; nil if none are remembered
}

// attempt is a credential of a client.
type attempt[Client comparable] struct {
	client     Client
	credential Credential
}

// Credential identifies a credential: its SHA-256, for example. The zero value is a credential like any other.
type Credential [32]byte

// client is what a Limiter knows of a client whose credentials are not all right.
type client struct {
	limit *rate.Limiter
	// locked is until when the client may not try, if Config.Lock is set.
	locked time.Time
	// wrong has hashes of the last wrong values, the oldest first. A collision has a value that does not count.
	wrong []uint64
	// comparing counts, by value, the comparisons that have begun and may yet find a wrong value.
	comparing map[Credential]int
	// compared is closed when one of them has ended; nil if nobody waits for it.
	compared chan struct{}
}

// TooManyError is returned for a credential that was not compared, because the client has tried too many wrong ones.
type TooManyError struct {
	// RetryAfter is how long it takes until another one is compared.
	RetryAfter time.Duration
}

// Error implements error.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many wrong credentials, the next is compared in %s", e.RetryAfter)
}

// RetryAfterSeconds returns RetryAfter in the unit of the header Retry-After, at least 1.
func (e *TooManyError) RetryAfterSeconds() int { return max(1, int(math.Ceil(e.RetryAfter.Seconds()))) }

// New returns a Limiter.
func New[Client comparable](cfg Config) (*Limiter[Client], error) {
	l := &Limiter[Client]{cfg: cfg, seed: maphash.MakeSeed()}
	var err error
	if l.clients, err = simplelru.NewLRU[Client, *client](maxClients, nil); err != nil {
		return nil, err
	}
	if cfg.Remembered > 0 {
		l.right, err = simplelru.NewLRU[uint64, struct{}](cfg.Remembered, nil)
	}
	return l, err
}

// Do calls compare and returns its error, or a *TooManyError without calling it. It waits for other comparisons of the
// client if their results decide whether there may be another one; its other error is that of ctx, if that ends
// meanwhile.
func (l *Limiter[Client]) Do(ctx context.Context, from Client, credential Credential, compare func() error) error {
	if l.cfg.Limit == 0 {
		return compare()
	}
	this := attempt[Client]{from, credential}
	if l.wasRight(this) {
		err := compare()
		if err != nil && l.cfg.Wrong(err) { // it has been revoked
			l.forget(this)
		}
		return err
	}
	c, err := l.begin(ctx, this)
	if err != nil {
		return err
	}
	right, wrong := false, false
	defer func() { l.end(c, this, right, wrong) }() // also after a panic of compare
	err = compare()
	right, wrong = err == nil, err != nil && l.cfg.Wrong(err)
	return err
}

// wasRight reports whether a credential is exempt from the limit.
func (l *Limiter[Client]) wasRight(this attempt[Client]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.right == nil {
		return false
	}
	_, ok := l.right.Get(l.hashOf(this))
	return ok
}

// forget has a credential that was right count as any other.
func (l *Limiter[Client]) forget(this attempt[Client]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.right.Remove(l.hashOf(this))
}

// begin waits until a credential may be compared. end must follow.
func (l *Limiter[Client]) begin(ctx context.Context, this attempt[Client]) (*client, error) {
	for {
		c, wait, err := l.tryBegin(this)
		if wait == nil {
			return c, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryBegin begins a comparison, returns a *TooManyError, or a channel that is closed when it is worth another try.
func (l *Limiter[Client]) tryBegin(this attempt[Client]) (*client, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.clients.Get(this.client)
	if !known {
		perSecond := rate.Limit(float64(l.cfg.Limit) / l.cfg.Window.Seconds())
		c = &client{limit: rate.NewLimiter(perSecond, l.cfg.Limit), comparing: map[Credential]int{}}
		l.clients.Add(this.client, c)
	}
	now := l.cfg.Now()
	if now.Before(c.locked) {
		return nil, nil, &TooManyError{RetryAfter: c.locked.Sub(now)}
	}
	left := c.limit.TokensAt(now)
	if left < 1 {
		wait := (1 - left) / float64(c.limit.Limit())
		return nil, nil, &TooManyError{RetryAfter: time.Duration(wait * float64(time.Second))}
	}
	if c.comparing[this.credential] == 0 && left < float64(len(c.comparing)+1) && !l.isKnown(c, this.credential) {
		if c.compared == nil {
			c.compared = make(chan struct{})
		}
		return nil, c.compared, nil
	}
	c.comparing[this.credential]++
	return c, nil, nil
}

// end records the result of a comparison.
func (l *Limiter[Client]) end(c *client, this attempt[Client], right, wrong bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.comparing[this.credential]--; c.comparing[this.credential] == 0 {
		delete(c.comparing, this.credential)
	}
	if c.compared != nil {
		close(c.compared)
		c.compared = nil
	}
	switch {
	case right && l.right != nil:
		l.right.Add(l.hashOf(this), struct{}{})
	case wrong && !l.isKnown(c, this.credential):
		now := l.cfg.Now()
		c.limit.AllowN(now, 1)
		if l.cfg.Lock && c.limit.TokensAt(now) < 1 {
			c.locked = now.Add(l.cfg.Window)
		}
		if len(c.wrong) == maxWrong {
			c.wrong = slices.Delete(c.wrong, 0, 1)
		}
		c.wrong = append(c.wrong, l.hash(this.credential))
	}
	if known, _ := l.clients.Peek(this.client); known == c && len(c.comparing) == 0 && len(c.wrong) == 0 {
		l.clients.Remove(this.client) // a client with right credentials only takes no memory
	}
}

// isKnown reports whether a wrong value has been counted. l.mu must be held.
func (l *Limiter[Client]) isKnown(c *client, credential Credential) bool {
	return slices.Contains(c.wrong, l.hash(credential))
}

func (l *Limiter[Client]) hash(credential Credential) uint64 {
	return maphash.Bytes(l.seed, credential[:])
}

// hashOf returns a hash of an attempt. A collision exempts a credential from the limit, and no more.
func (l *Limiter[Client]) hashOf(this attempt[Client]) uint64 {
	return maphash.Comparable(l.seed, this)
}
