package password

import "context"

// MatchesAny reports whether one of the hashes is a hash of an account's password. It returns ErrBusy, an error if a
// hash that it compares is malformed, or that of ctx if that ends while MatchesAny waits for other hashes.
func (h *Hasher) MatchesAny(ctx context.Context, accountID, password string, hashes []string) (bool, error) {
	leave, err := h.enter(ctx, accountUse{accountID, false})
	if err != nil {
		return false, err
	}
	defer leave()
	for _, hash := range hashes {
		matches, err := h.compare(ctx, password, hash)
		if matches || err != nil {
			return matches, err
		}
	}
	return false, nil
}
