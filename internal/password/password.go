// Package password hashes passwords and compares them with hashes.
package password

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/alexedwards/argon2id"

	"gatehouse/internal/fairqueue"
)

// Cost is what a hash of Argon2id costs.
type Cost struct{ MemoryKiB, Iterations uint32 }

// Parameters of hashes. The cost is the minimum that OWASP recommends, about 20 ms and 19 MiB for a hash.
const (
	memoryKiB  = 19 * 1024
	iterations = 2
	saltBytes  = 16
	keyBytes   = 32
)

// Recommended returns the cost that passwords should have.
func Recommended() Cost { return Cost{MemoryKiB: memoryKiB, Iterations: iterations} }

const (
	// WrongDelay is the minimum time that Matches takes to report a wrong password. A program that guesses the password
	// of an account gets one result a second, however many requests it sends.
	WrongDelay = time.Second
	// maxWaiting is the number of passwords of an account that may wait for one another.
	maxWaiting = 8
)

// ErrBusy is returned if too many passwords of one account wait to be hashed or compared.
var ErrBusy = errors.New("too many passwords of the account are being hashed or compared")

// Hasher hashes passwords with Argon2id. It runs at most one hash for each processor at a time, so that a burst of
// requests cannot exhaust the memory, and one for each account. The parties of package fairqueue take turns, so that
// the accounts of one organisation delay those of another by a hash or two.
type Hasher struct {
	cost  Cost
	slots *fairqueue.Queue

	mu       sync.Mutex // guards accounts and the counters in it, for the time of a lookup
	accounts map[accountUse]*account
}

// accountUse identifies the queue of an account. Comparing and setting a password have separate queues, so that wrong
// passwords of one client do not delay another client that sets a new one.
type accountUse struct {
	account string
	compare bool
}

// account is an account with passwords that are being hashed or compared.
type account struct {
	slot  chan struct{} // holds a value while a password is hashed or compared
	users int           // callers of enter that have not left
}

// NewHasher returns a Hasher whose hashes have a cost. A hash has its cost in it, so that any Hasher compares passwords
// with it.
func NewHasher(cost Cost) *Hasher {
	processors := int64(runtime.NumCPU())
	return &Hasher{
		cost: cost, slots: fairqueue.New(processors, processors), accounts: map[accountUse]*account{},
	}
}

// Hash returns the hash of a password of an account, with a random salt and the parameters in it. It returns ErrBusy,
// or the error of ctx if that ends while Hash waits for other hashes.
func (h *Hasher) Hash(ctx context.Context, accountID, password string) (string, error) {
	leave, err := h.enter(ctx, accountUse{accountID, false})
	if err != nil {
		return "", err
	}
	defer leave()
	release, err := h.slots.Acquire(ctx, 1)
	if err != nil {
		return "", err
	}
	defer release()
	return argon2id.CreateHash(password, &argon2id.Params{
		Memory: h.cost.MemoryKiB, Iterations: h.cost.Iterations, Parallelism: 1,
		SaltLength: saltBytes, KeyLength: keyBytes,
	})
}

// Matches reports whether hash is a hash of an account's password. If not, it returns after WrongDelay, and no other
// password of the account is compared before. It returns ErrBusy, an error if hash is malformed, or that of ctx if that
// ends while Matches waits for other hashes.
func (h *Hasher) Matches(ctx context.Context, accountID, password, hash string) (bool, error) {
	leave, err := h.enter(ctx, accountUse{accountID, true})
	if err != nil {
		return false, err
	}
	defer leave()
	begun := time.Now()
	matches, err := h.compare(ctx, password, hash)
	if err == nil && !matches {
		// Also for a client that has gone: else it could try the next password as soon as it can tell, from the time that
		// the right one takes, that this one is wrong.
		<-time.After(WrongDelay - time.Since(begun))
	}
	return matches, err
}

// Refuse takes as long as Matches does for a wrong password, without comparing one.
func (h *Hasher) Refuse(ctx context.Context, accountID string) error {
	leave, err := h.enter(ctx, accountUse{accountID, true})
	if err != nil {
		return err
	}
	defer leave()
	<-time.After(WrongDelay)
	return nil
}

func (h *Hasher) compare(ctx context.Context, password, hash string) (bool, error) {
	release, err := h.slots.Acquire(ctx, 1)
	if err != nil {
		return false, err
	}
	defer release()
	return argon2id.ComparePasswordAndHash(password, hash)
}

// enter waits until no other password of an account is hashed, or compared. leave must be called if err is nil.
func (h *Hasher) enter(ctx context.Context, use accountUse) (leave func(), err error) {
	a := h.join(use)
	if a == nil {
		return nil, ErrBusy
	}
	select {
	case a.slot <- struct{}{}:
		return func() { <-a.slot; h.part(use, a) }, nil
	case <-ctx.Done():
		h.part(use, a)
		return nil, ctx.Err()
	}
}

// join returns the account for one more caller, or nil if there are too many.
func (h *Hasher) join(use accountUse) *account {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.accounts[use]
	if a == nil {
		a = &account{slot: make(chan struct{}, 1)}
		h.accounts[use] = a
	}
	if a.users > maxWaiting {
		return nil
	}
	a.users++
	return a
}

// part removes a caller of an account, and the account after the last one.
func (h *Hasher) part(use accountUse, a *account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.users--; a.users == 0 {
		delete(h.accounts, use)
	}
}
