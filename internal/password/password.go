// Package password hashes passwords and compares them with hashes.
package password

import (
	"context"
	"runtime"

	"github.com/alexedwards/argon2id"
	"golang.org/x/sync/semaphore"
)

// Parameters of Argon2id: the minimum that OWASP recommends, about 20 ms and 19 MiB for a hash.
const (
	memoryKiB  = 19 * 1024
	iterations = 2
	saltBytes  = 16
	keyBytes   = 32
)

// Hasher hashes passwords with Argon2id. It runs at most one hash for each processor at a time, so that a burst of
// requests cannot exhaust the memory.
type Hasher struct {
	slots *semaphore.Weighted
}

// NewHasher returns a Hasher.
func NewHasher() *Hasher {
	return &Hasher{slots: semaphore.NewWeighted(int64(runtime.NumCPU()))}
}

// Hash returns the hash of a password, with a random salt and the parameters in it. Its only error is that of ctx, if
// that ends while Hash waits for other hashes.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.slots.Acquire(ctx, 1); err != nil {
		return "", err
	}
	defer h.slots.Release(1)
	return argon2id.CreateHash(password, &argon2id.Params{
		Memory: memoryKiB, Iterations: iterations, Parallelism: 1, SaltLength: saltBytes, KeyLength: keyBytes,
	})
}

// Matches reports whether hash is a hash of password. It returns an error if hash is malformed, or that of ctx if that
// ends while Matches waits for other hashes.
func (h *Hasher) Matches(ctx context.Context, password, hash string) (bool, error) {
	if err := h.slots.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer h.slots.Release(1)
	return argon2id.ComparePasswordAndHash(password, hash)
}
