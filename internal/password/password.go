// Package password hashes passwords and checks them against a hash.
package password

import (
	"context"
	"runtime"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sync/semaphore"
)

// The OWASP minimum for Argon2id: about 20 ms and 19 MiB a hash.
const (
	memoryKiB  = 19 * 1024
	iterations = 2
	saltBytes  = 16
	keyBytes   = 32
)

// Hasher hashes passwords with Argon2id, no more at a time than there are processors, so that a burst of
// sign-ins cannot take all memory.
type Hasher struct {
	slots *semaphore.Weighted
}

// NewHasher makes a Hasher.
func NewHasher() *Hasher {
	return &Hasher{slots: semaphore.NewWeighted(int64(runtime.NumCPU()))}
}

// Hash returns the hash to keep. It fails only when ctx ends while it waits.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.slots.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer h.slots.Release(1)
	return argon2id.CreateHash(password, &argon2id.Params{
		Memory: memoryKiB, Iterations: iterations, Parallelism: 1, SaltLength: saltBytes, KeyLength: keyBytes,
	})
}

// Matches tells whether hash was made from password.
func (h *Hasher) Matches(ctx context.Context, password, hash string) (bool, error) {
	if err := h.slots.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer h.slots.Release(1)
	return argon2id.ComparePasswordAndHash(password, hash)
}
